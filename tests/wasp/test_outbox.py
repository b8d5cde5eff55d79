"""The order in which messages leave, against a sorted list."""

from hypothesis import given
from hypothesis import strategies as st

from ledger.kernel.encoding import encode
from ledger.output import METADATA_SIZE_MAX, ChainAddress, chain_id
from wasp.core_contracts.accounts import OUTBOX_ACCOUNT, balance_of, open_account
from wasp.outbox import (
    PARAMETERS_SIZE_MAX,
    OutboxEntry,
    Sending,
    drain,
    last_interval,
    next_message_id,
    note_interval,
    outbox_size,
    output_of,
    put,
)
from wasp.request import Call, CrossChainMessage, MessageId, call
from wasp.state import EMPTY_STATE
from wasp.vm.draft import Draft


def fresh(tokens: int = 1_000) -> Draft:
    draft = Draft(EMPTY_STATE)
    for account, amount in (("auction", tokens), ("probe", tokens), (OUTBOX_ACCOUNT, 0)):
        open_account(draft, account, amount)
    return draft


def send(draft: Draft, target: str, interval: int, contract: str = "auction", amount: int = 1) -> MessageId:
    id = next_message_id(draft, "mg1", contract)
    put(draft, Sending(id, target, call("auction", "order", interval), amount, None, contract, interval))
    return id


PUTS = st.tuples(st.sampled_from("abc"), st.integers(-2, 5), st.sampled_from(("auction", "probe")), st.integers(1, 5))


@given(st.lists(st.one_of(PUTS, st.integers(0, 4)), max_size=50))
def test_messages_leave_in_the_order_of_a_sorted_list_and_carry_their_tokens(steps):
    draft, model = fresh(), []
    for step in steps:
        if isinstance(step, int):
            drained = drain(draft, step, 10_000)
            model.sort()
            assert [(entry.target, entry.message.id.contract, entry.amount) for entry in drained] == [
                (target, contract, amount) for _, target, contract, _, amount in model[:step]
            ]
            del model[:step]
        else:
            target, interval, contract, amount = step
            id = send(draft, target, interval, contract, amount)
            model.append((interval, target, contract, id.counter, amount))
        assert outbox_size(draft) == len(model)
        assert balance_of(draft, OUTBOX_ACCOUNT) == sum(amount for *_, amount in model)


def test_an_empty_outbox_leaves_nothing_but_its_counters_in_the_state():
    draft = fresh()
    for n in range(5):
        send(draft, "a", n)
    assert len(drain(draft, 100, 1_000)) == 5
    state, _ = EMPTY_STATE.write(draft.written)
    left = {key: value for key, value in state.entries() if key[1] == "outbox"}
    assert left == {("accounts", "outbox", "size"): 0, ("accounts", "outbox", "counter", "auction"): 5}


def test_ids_count_the_messages_of_each_contract_and_are_never_used_again():
    draft = fresh()
    assert [send(draft, "a", 0).counter for _ in range(3)] == [0, 1, 2]
    drain(draft, 100, 1_000)
    assert send(draft, "a", 0) == MessageId("mg1", "auction", 3)
    assert send(draft, "a", 0, "probe") == MessageId("mg1", "probe", 0)


def test_a_message_that_the_chain_cannot_spare_waits_and_so_do_those_behind_it():
    draft = fresh()
    for amount in (3, 9, 1):
        send(draft, "a", 0, amount=amount)
    assert [entry.amount for entry in drain(draft, 100, 11)] == [3]
    assert [entry.amount for entry in drain(draft, 100, 10)] == [9, 1]
    send(draft, "a", 1, amount=9)
    send(draft, "a", 2, amount=1)
    assert drain(draft, 100, 8) == ()


def test_the_last_interval_only_grows():
    draft = fresh()
    assert last_interval(draft) == 0
    for interval, expected in ((3, 3), (2, 3), (5, 5)):
        note_interval(draft, interval)
        assert last_interval(draft) == expected


def test_the_largest_message_with_the_longest_names_fits_into_an_output_also_on_its_way_back():
    name = "\U0001f33b" * 64
    id = MessageId(name, name, 2**64 - 1)
    forth = CrossChainMessage(id, Call(name, name, bytes(PARAMETERS_SIZE_MAX)))
    back = CrossChainMessage(id, call(name, "returned", 2**64 - 1, name, bytes(PARAMETERS_SIZE_MAX)))
    assert max(len(encode(forth)), len(encode(back))) <= METADATA_SIZE_MAX
    entry = OutboxEntry("b", 5, None, forth)
    output = output_of(entry, chain_id("n", "b"), chain_id("n", "mg1"))
    assert (output.amount, output.address, output.expiration) == (5, ChainAddress(chain_id("n", "b")), None)
