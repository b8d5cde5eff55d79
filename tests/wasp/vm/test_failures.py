"""What a failed request leaves behind, and where its tokens go: every rule of failure, and of who may speak for whom."""

import msgspec
import pytest

from ledger.kernel.encoding import Plain, digest, encode, pack
from ledger.kernel.instant import HOUR, MINUTE
from ledger.output import (
    METADATA_SIZE_MAX,
    BasicOutput,
    ChainAddress,
    Expiration,
    KeyAddress,
    OutputId,
    SenderFeature,
    chain_id,
)
from tests.harness.probe import Probe, SecondProbe, Strict
from tests.harness.solo import NETWORK, Solo
from wasp.core_contracts.accounts import next_nonce
from wasp.core_contracts.governance import GOVERNANCE
from wasp.request import CrossChainMessage, MessageId, OnLedgerRequest, call
from wasp.vm.admission import Admission, admission
from wasp.vm.program import Limits

MG1, REGION = chain_id(NETWORK, "mg1"), chain_id(NETWORK, "region")
MINE, THEIRS = ChainAddress(MG1), ChainAddress(REGION)


def solo(**kwargs) -> Solo:
    contracts = {"probe": Probe(), "second": SecondProbe(), "strict": Strict()}
    balances = {"mg1": {"home1": 1_000, "home2": 0}, "region": {"utility": 50}}
    return Solo({"mg1": contracts, "region": contracts}, {"mg1": ("home1", "home2")}, balances, **kwargs)


def message(
    *parameters: Plain, entry_point: str = "take", contract: str = "probe", id: MessageId | None = None
) -> bytes:
    return encode(CrossChainMessage(id or MessageId("region", "probe", 3), call(contract, entry_point, *parameters)))


def deliver(here: Solo, metadata: bytes, tokens: int = 10, place: int = 0, **fields) -> OnLedgerRequest:
    """An output of layer 1 for mg1, by default of the region's probe, as if the region had sent it."""
    output = msgspec.structs.replace(
        BasicOutput(tokens, MINE, sender=SenderFeature(REGION, "probe"), metadata=metadata), **fields
    )
    request = OnLedgerRequest(OutputId(digest("from outside"), place), output)
    here.submit("mg1", request)
    return request


def receive(here: Solo, metadata: bytes, tokens: int = 10, **fields):
    request = deliver(here, metadata, tokens, **fields)
    execution = here.run_block("mg1")
    assert execution is not None
    assert execution.consumed == (request,)
    (receipt,) = execution.receipts
    return receipt, execution


# ---------------------------------------------------------------------------------------------------------- off-ledger


def test_a_failed_request_leaves_a_receipt_its_gas_and_its_used_nonce_and_nothing_else():
    here = solo()
    before = dict(here.chains["mg1"].state.entries())
    receipt = here.post("mg1", "home1", "probe", "take_then_fail", 7, allowance=7)
    after = dict(here.chains["mg1"].state.entries())
    assert (receipt.account, receipt.code, receipt.detail, receipt.result) == ("home1", "failing", "as asked", b"")
    assert receipt.gas > 20_000
    changed = {key[:2] for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    assert changed == {("accounts", "nonce"), ("blocklog", "receipt"), ("blocklog", "block"), ("blocklog", "timestamp")}
    assert here.chains["mg1"].events == []


@pytest.mark.parametrize(
    ("contract", "entry_point", "parameters", "code"),
    [
        ("nobody", "take", (), "contract"),
        ("probe", "nothing", (), "entry_point"),
        ("probe", "take", (), "parameters"),
        ("probe", "take", (1, 2), "parameters"),
        ("probe", "take", ("text",), "amount"),
        ("probe", "take", (-1,), "amount"),
        ("probe", "take", (True,), "amount"),
        ("probe", "take", (6,), "allowance"),
        ("probe", "stumble", (None,), "panic"),
        ("probe", "write", (b"key", 1), "key"),
        ("probe", "write", (True, 1), "key"),
        ("probe", "write", ("k" * 1_100, 1), "key"),
        ("probe", "write", ("key", b"x" * 4_000), None),
        ("probe", "echo", (b"x" * 4_093,), None),
        ("probe", "echo", (b"x" * 4_094,), "result"),
        ("probe", "collect", ("home1", 1), "mandate"),
        ("probe", "pay", ("home1", 1), "funds"),
        ("probe", "pay", ("nobody", 0), "account"),
        ("probe", "pay", ("outbox", 0), "account"),
        ("probe", "send", ("nowhere", "take", 1, 1), "chain"),
        ("probe", "send", ("mg1", "take", 1, 1), "chain"),
        ("probe", "send", ("region", "take", 0, 1), "amount"),
        ("probe", "send", ("region", "take", 1, 4), None),
        ("probe", "send", ("region", "take", 1, 5), "outputs"),
        ("probe", "burn", (50_000_000,), "gas"),
        ("probe", "burn", (-1_000,), "assertion"),
    ],
)
def test_what_a_request_may_not_do_fails_with_a_code_that_says_why(contract, entry_point, parameters, code):
    here = solo()
    if code == "assertion":
        with pytest.raises(AssertionError):
            here.post("mg1", "home1", contract, entry_point, *parameters, allowance=5)
    else:
        assert here.post("mg1", "home1", contract, entry_point, *parameters, allowance=5).code == code


def test_more_than_the_balance_is_refused_even_when_it_is_allowed():
    here = solo()
    assert here.post("mg1", "home1", "probe", "take", 1_000, allowance=1_001).code is None
    assert here.post("mg1", "home2", "probe", "take", 1, allowance=5).code == "funds"


def test_parameters_that_are_no_tuple_fail():
    here = solo()
    request = here.sign("mg1", "home1", "probe", "echo", 1)
    odd = msgspec.structs.replace(
        request.essence, call=msgspec.structs.replace(request.essence.call, parameters=pack(1))
    )
    for number, parameters in enumerate((pack(1), b"\xc1")):
        odd = msgspec.structs.replace(
            request.essence, call=msgspec.structs.replace(request.essence.call, parameters=parameters), nonce=number
        )
        here.submit("mg1", msgspec.structs.replace(request, essence=odd))
        here.run_block("mg1")
    assert [receipt.code for receipt in here.chains["mg1"].receipts] == ["parameters", "undecodable"]


# ----------------------------------------------------------------------------------------------------------- on-ledger


def test_tokens_that_came_are_credited_to_the_sending_chain_and_are_the_allowance():
    here = solo()
    receipt, execution = receive(here, message(entry_point="seen"))
    assert receipt.succeeded
    seen = ("mg1", "probe", "region", 10, ("region", "probe", 3), here.now, True)
    assert receipt.result == pack(seen)
    assert here.balance("mg1", "region") == 10
    assert execution.funds == 1_010

    assert receive(here, message(10), place=1)[0].succeeded
    assert receive(here, message(11), place=2)[0].code == "allowance"


def test_the_tokens_of_a_failed_message_go_back_to_returned_of_the_contract_that_sent_it():
    here = solo()
    receipt, execution = receive(here, message(5, entry_point="take_then_fail", contract="second"))
    assert (receipt.account, receipt.code) == ("region", "failing")
    (output,) = execution.outgoing
    back = call("probe", "returned", 3, "take_then_fail", pack((5,)))
    assert output == BasicOutput(
        10,
        THEIRS,
        sender=SenderFeature(MG1, "second"),
        metadata=encode(CrossChainMessage(MessageId("mg1", "second", 0), back)),
    )
    assert (here.balance("mg1", "region"), here.balance("mg1", "second"), execution.funds) == (0, 0, 1_000)
    here.advance(MINUTE)
    assert here.view("region", "probe", "value", "returned", 3) == ("mg1", "take_then_fail", pack((5,)), 10)
    assert here.balance("region", "probe") == 10


def test_a_message_for_a_contract_that_is_not_there_goes_back_in_the_name_of_the_accounts():
    here = solo()
    receipt, execution = receive(here, message(5, contract="nobody"))
    assert receipt.code == "contract"
    assert execution.outgoing[0].sender == SenderFeature(MG1, "accounts")


def test_a_message_as_large_as_a_contract_may_send_can_be_returned():
    here = solo()
    longest = "é" * 32
    id = MessageId("region", "probe", 2**60)
    receipt, execution = receive(here, message(b"x" * 6_140, entry_point=longest, id=id))
    assert receipt.code == "entry_point"
    assert len(execution.outgoing[0].metadata) <= METADATA_SIZE_MAX


def test_a_failed_message_too_large_to_be_returned_leaves_its_tokens_with_the_sending_chain():
    here = solo()
    size = METADATA_SIZE_MAX - len(message(b"", entry_point="missing")) - 4
    receipt, execution = receive(here, message(b"x" * size, entry_point="missing"))
    assert receipt.code == "entry_point"
    assert execution.outgoing == ()
    assert here.balance("mg1", "region") == 10


@pytest.mark.parametrize(("contract", "entry_point"), [("probe", "answer"), ("strict", "returned")])
def test_what_came_with_a_failed_answer_stays_with_the_contract_and_is_never_sent_again(contract, entry_point):
    here = solo()
    receipt, execution = receive(here, message(1, "x", b"", entry_point=entry_point, contract=contract))
    assert receipt.code == "failing"
    assert execution.outgoing == ()
    assert (here.balance("mg1", contract), here.balance("mg1", "region")) == (10, 0)


def test_a_return_to_a_contract_that_is_not_there_ends_with_governance():
    here = solo()
    receipt, execution = receive(here, message(entry_point="returned", contract="nobody"))
    assert (receipt.code, execution.outgoing) == ("contract", ())
    assert here.balance("mg1", GOVERNANCE) == 10


@pytest.mark.parametrize(
    ("fields", "metadata", "account", "code"),
    [
        ({"sender": None}, message(), GOVERNANCE, "sender"),
        ({"sender": SenderFeature(digest("unknown"), "probe")}, message(), GOVERNANCE, "sender"),
        ({}, b"nonsense", "region", "message"),
        ({}, b"", "region", "message"),
        ({}, message(id=MessageId("mg1", "probe", 3)), "region", "message"),
        ({}, message(id=MessageId("region", "second", 3)), "region", "message"),
        ({"sender": SenderFeature(MG1, "probe")}, message(id=MessageId("mg1", "probe", 3)), GOVERNANCE, "message"),
        ({"sender": SenderFeature(MG1, "probe")}, message(), GOVERNANCE, "message"),
        (
            {"sender": SenderFeature(MG1, "gone"), "address": THEIRS, "expiration": Expiration(0, MINE)},
            message(id=MessageId("mg1", "gone", 0)),
            GOVERNANCE,
            "message",
        ),
    ],
)
def test_what_nobody_known_sent_or_what_lies_is_consumed_and_kept_safe(fields, metadata, account, code):
    here = solo()
    receipt, execution = receive(here, metadata, **fields)
    assert (receipt.account, receipt.code, execution.outgoing) == (account, code, ())
    assert here.balance("mg1", account) == 10
    assert receipt.gas == 10_000


# ------------------------------------------------------------------------------------------ times and what comes back


def standing(here: Solo, request: OnLedgerRequest, at: int) -> Admission:
    chain = here.chains["mg1"]
    return admission(chain.program, chain.state, at, request)


def test_an_output_is_not_touched_before_its_timelock():
    here = solo()
    request = deliver(here, message(1), timelock=500)
    assert standing(here, request, 499) == Admission("waits", "timelock")
    assert standing(here, request, 500) == Admission("ready")
    assert here.run_block("mg1", at=499) is None
    execution = here.run_block("mg1", at=500)
    assert execution is not None
    assert execution.consumed == (request,)


def test_an_output_is_not_touched_within_a_minute_of_its_expiry_nor_later():
    here = solo()
    request = deliver(here, message(1), expiration=Expiration(10 * MINUTE, THEIRS))
    assert standing(here, request, 9 * MINUTE - 1) == Admission("ready")
    for late in (9 * MINUTE, 10 * MINUTE, 11 * MINUTE):
        assert standing(here, request, late) == Admission("hopeless", "expiry")
    here.submit("mg1", here.sign("mg1", "home1", "probe", "echo", 1))
    execution = here.run_block("mg1", at=9 * MINUTE)
    assert execution is not None
    assert (execution.dropped, execution.consumed) == ((request.id,), ())


def test_an_output_for_somebody_else_is_dropped():
    here = solo()
    request = deliver(here, message(1), address=THEIRS)
    assert standing(here, request, 5) == Admission("hopeless", "address")
    other = deliver(here, message(1), address=THEIRS, expiration=Expiration(5, KeyAddress(bytes(32))))
    assert standing(here, other, 9) == Admission("hopeless", "address")


def test_an_executed_output_is_dropped():
    here = solo()
    receive(here, message(1))
    request = OnLedgerRequest(OutputId(digest("from outside"), 0), BasicOutput(10, MINE))
    assert standing(here, request, 5) == Admission("hopeless", "executed")


def test_an_expired_message_comes_back_to_the_contract_that_sent_it_with_its_tokens():
    here = solo()
    here.offline = {"region"}
    here.post("mg1", "home1", "probe", "send", "region", "take", 25, 1, 10 * MINUTE, allowance=25)
    (entry,) = here.under_way
    request = OnLedgerRequest(entry[1], entry[2])
    assert standing(here, request, 10 * MINUTE - 1) == Admission("waits", "unexpired")
    assert standing(here, request, 10 * MINUTE) == Admission("ready")
    here.advance(HOUR)
    assert here.chains["mg1"].receipts[-1].account == "probe"
    assert here.view("mg1", "probe", "value", "returned", 0) == ("probe", "take", pack((25,)), 25)
    assert (here.balance("mg1", "probe"), here.chains["mg1"].funds, here.quiet) == (25, 1_000, True)


def test_what_comes_back_to_a_contract_that_fails_stays_in_its_account():
    here = solo()
    here.offline = {"region"}
    here.post("mg1", "home1", "strict", "send", "region", "take", 25, 1, 10 * MINUTE, allowance=25)
    here.advance(HOUR)
    assert here.chains["mg1"].receipts[-1].code == "failing"
    assert (here.balance("mg1", "strict"), here.quiet) == (25, True)


def test_an_output_that_expired_to_this_chain_but_was_never_its_own_is_refused():
    here = solo()
    receipt, _ = receive(here, message(1), address=THEIRS, expiration=Expiration(0, MINE))
    assert (receipt.code, here.balance("mg1", "region")) == ("message", 10)


# ---------------------------------------------------------------------------------------------------------------- room


def test_a_block_takes_at_most_inputs_max_outputs_and_leaves_the_rest_waiting():
    here = solo(limits=Limits(inputs_max=2))
    for place in range(3):
        deliver(here, message(1), place=place)
    here.submit("mg1", here.sign("mg1", "home1", "probe", "echo", 1))
    execution = here.run_block("mg1")
    assert execution is not None
    assert (len(execution.consumed), len(execution.receipts), len(execution.skipped)) == (2, 3, 1)
    assert len(here.chains["mg1"].pool) == 1


def test_a_block_holds_at_most_requests_max_requests():
    here = solo(limits=Limits(requests_max=2))
    here.submit("mg1", *[here.sign("mg1", "home1", "probe", "echo", n, nonce=n) for n in range(3)])
    execution = here.run_block("mg1")
    assert execution is not None
    assert (len(execution.receipts), len(execution.skipped)) == (2, 1)


def test_a_full_outbox_refuses_messages_of_requests_and_lets_messages_of_others_wait():
    here = solo(limits=Limits(outbox_max=3, outputs_max=0))
    assert here.post("mg1", "home1", "probe", "send", "region", "take", 1, 3, allowance=3).succeeded
    assert here.post("mg1", "home1", "probe", "send", "region", "take", 1, 1, allowance=3).code == "outputs"
    request = deliver(here, message(1))
    here.submit("mg1", here.sign("mg1", "home1", "probe", "echo", 1))
    execution = here.run_block("mg1")
    assert execution is not None
    assert (execution.skipped, len(execution.receipts)) == ((request.id,), 1)


def test_the_nonce_is_used_by_executed_requests_only():
    here = solo()
    here.post("mg1", "home1", "probe", "echo", 1)
    here.post("mg1", "home1", "probe", "stumble", None)
    receive(here, message(1))
    state = here.chains["mg1"].state
    assert (next_nonce(state, "home1"), next_nonce(state, "home2"), next_nonce(state, "region")) == (2, 0, 0)
