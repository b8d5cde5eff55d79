"""What a chain block does: order, due moments, skips, drops, and when there is none."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.kernel.encoding import ZERO_DIGEST, digest, encode
from ledger.kernel.identity import deal_signer
from ledger.kernel.instant import MINUTE
from ledger.output import OutputId
from tests.harness.probe import Probe, SecondProbe, Stuck
from tests.harness.solo import Solo
from wasp.chain_block import COMMITMENT_CODEC, replayed, state_metadata_of
from wasp.core_contracts.blocklog import block_info, prove_receipt, receipt_of, verify_receipt
from wasp.request import RequestId, call, sign_request
from wasp.vm.execution import execute, execution_order, has_outbox, next_due
from wasp.vm.program import Limits

USERS = ("home1", "home2", "home3")


def solo(**kwargs) -> Solo:
    balances = {"mg1": dict.fromkeys(USERS, 1_000), "region": {"utility": 50}}
    chains = {"mg1": {"probe": Probe(), "second": SecondProbe()}, "region": {"probe": Probe()}}
    return Solo(chains, {"mg1": USERS}, balances, **kwargs)


def run(here: Solo, requests, timestamp=100, chain="mg1", entropy=ZERO_DIGEST):
    on = here.chains[chain]
    base = OutputId(digest("anchor"), 0)
    return execute(on.program, on.state, on.block, base, 1, timestamp, requests, entropy)


# ----------------------------------------------------------------------------------------------- no block, and a block


def test_there_is_no_block_without_a_request_a_due_moment_or_a_waiting_message():
    assert run(solo(), ()) is None


def test_there_is_no_block_of_dropped_or_skipped_requests_alone():
    here = solo()
    gap = here.sign("mg1", "home1", "probe", "echo", 1, nonce=1)
    stranger = sign_request(deal_signer("model", 5, "stranger"), "mg1", 0, call("probe", "echo", 1))
    assert run(here, (gap, stranger)) is None


def test_a_block_names_its_base_its_predecessor_and_the_root_that_its_mutations_lead_to():
    here = solo()
    before = here.chains["mg1"]
    request = here.sign("mg1", "home1", "probe", "write", "key", 7)
    execution = run(here, (request,), timestamp=123)
    assert execution is not None
    block = execution.block
    assert (block.chain, block.index, block.previous, block.base, block.timestamp, block.log_index, block.requests) == (
        "mg1", 1, before.block.digest, OutputId(digest("anchor"), 0), 123, 1, (request,),
    )  # fmt: skip
    assert block.state_root == execution.state.root
    after = replayed(before.state, block)
    assert after is not None
    assert after.root == execution.state.root
    assert execution.state.read("probe", "key") == 7


def test_the_commitment_has_always_the_same_size_and_changes_with_the_block():
    here = solo()
    execution = run(here, (here.sign("mg1", "home1", "probe", "echo", 1),))
    assert execution is not None
    metadata = [state_metadata_of(here.chains["mg1"].block), state_metadata_of(execution.block)]
    assert [len(one) for one in metadata] == [85, 85]
    assert COMMITMENT_CODEC.decode(metadata[1]).root == execution.state.root
    assert COMMITMENT_CODEC.decode(metadata[1]).chain_block == execution.block.digest
    assert metadata[0] != metadata[1]


def test_the_digest_of_a_block_covers_its_requests_but_not_their_signatures():
    here = solo()
    request = here.sign("mg1", "home1", "probe", "echo", 1)
    resigned = msgspec.structs.replace(request, signature=bytes(64))
    first, second = run(here, (request,)), run(here, (resigned,))
    assert first is not None
    assert second is not None
    assert first.block != second.block
    assert first.block.digest == second.block.digest
    changes = {
        "chain": "other", "index": 9, "previous": digest("x"), "base": OutputId(digest("x"), 0), "timestamp": 9,
        "log_index": 9, "requests": (), "mutations": (), "state_root": digest("x"),
    }  # fmt: skip
    for field, value in changes.items():
        assert msgspec.structs.replace(first.block, **{field: value}).digest != first.block.digest, field


def test_executing_refuses_a_state_that_is_not_the_previous_blocks_and_a_time_that_does_not_grow():
    here = solo()
    on = here.chains["mg1"]
    base = OutputId(digest("anchor"), 0)
    with pytest.raises(AssertionError, match="another block"):
        execute(on.program, here.chains["region"].state, on.block, base, 1, 100, (), ZERO_DIGEST)
    with pytest.raises(AssertionError, match="time"):
        execute(on.program, on.state, on.block, base, 1, on.block.timestamp, (), ZERO_DIGEST)


def test_every_receipt_verifies_against_the_root_and_no_other_does():
    here = solo()
    good = here.post("mg1", "home1", "probe", "echo", ("a", 1))
    bad = here.post("mg1", "home1", "probe", "stumble", "text")
    state = here.chains["mg1"].state
    for receipt in (good, bad):
        proof = prove_receipt(state, receipt.request_id)
        assert verify_receipt(state.root, receipt, proof)
        assert not verify_receipt(state.root, msgspec.structs.replace(receipt, gas=receipt.gas + 1), proof)
        assert not verify_receipt(state.root, msgspec.structs.replace(receipt, code="lie"), proof)
    assert (good.code, bad.code) == (None, "panic")


# --------------------------------------------------------------------------------------------------------------- order


@given(st.permutations(range(9)), st.binary(min_size=32, max_size=32))
def test_the_order_depends_on_ids_and_entropy_only_and_keeps_the_nonces_of_an_account_in_order(places, entropy):
    here = solo()
    requests = [here.sign("mg1", user, "probe", "echo", 1, nonce=n) for user in USERS for n in range(3)]
    state = here.chains["mg1"].state
    order = execution_order(state, [requests[place] for place in places], entropy)
    assert order == execution_order(state, requests, entropy)
    for user in USERS:
        mine = [one.essence.nonce for one in order if one.essence.sender == here.signer(user).public_key]
        assert mine == [0, 1, 2]


def test_another_entropy_gives_another_order():
    here = solo()
    requests = [here.sign("mg1", user, "probe", "echo", 1) for user in USERS]
    state = here.chains["mg1"].state
    orders = {tuple(one.id for one in execution_order(state, requests, digest("e", n))) for n in range(60)}
    assert len(orders) == 6


def test_requests_that_come_in_any_order_are_all_executed_when_their_nonces_fit():
    here = solo()
    requests = [here.sign("mg1", "home1", "probe", "echo", 1, nonce=n) for n in (4, 1, 3, 0, 2)]
    execution = run(here, requests)
    assert execution is not None
    assert [request.essence.nonce for request in execution.block.requests] == [0, 1, 2, 3, 4]


# ------------------------------------------------------------------------------------------------------ skips and drops


def test_a_nonce_gap_is_skipped_without_a_trace_and_runs_when_the_gap_is_filled():
    here = solo()
    gap = here.sign("mg1", "home1", "probe", "echo", 1, nonce=1)
    other = here.sign("mg1", "home2", "probe", "echo", 1)
    execution = run(here, (gap, other))
    assert execution is not None
    assert (execution.skipped, execution.dropped) == ((gap.id,), ())
    assert receipt_of(execution.state, gap.id) is None
    filled = run(here, (gap, here.sign("mg1", "home1", "probe", "echo", 1, nonce=0)))
    assert filled is not None
    assert len(filled.receipts) == 2


def test_what_can_never_run_is_dropped():
    here = solo()
    here.post("mg1", "home1", "probe", "echo", 1)
    used = here.sign("mg1", "home1", "probe", "echo", 2, nonce=0)
    stranger = sign_request(deal_signer("model", 5, "stranger"), "mg1", 0, call("probe", "echo", 1))
    elsewhere = sign_request(here.signer("home2"), "region", 0, call("probe", "echo", 1))
    good = here.sign("mg1", "home1", "probe", "echo", 3)
    execution = run(here, (used, stranger, elsewhere, good))
    assert execution is not None
    assert set(execution.dropped) == {used.id, stranger.id, elsewhere.id}
    assert execution.block.requests == (good,)


def test_of_two_requests_with_one_nonce_one_is_executed_and_the_other_dropped():
    here = solo()
    pair = [here.sign("mg1", "home1", "probe", "echo", n, nonce=0) for n in (1, 2)]
    execution = run(here, pair)
    assert execution is not None
    assert len(execution.receipts) == len(execution.dropped) == 1
    assert {execution.receipts[0].request_id, *execution.dropped} == {request.id for request in pair}


def test_a_request_given_twice_is_executed_once():
    here = solo()
    request = here.sign("mg1", "home1", "probe", "echo", 1)
    execution = run(here, (request, request))
    assert execution is not None
    assert execution.block.requests == (request,)
    assert execution.dropped == (request.id,)


# --------------------------------------------------------------------------------------------------------- due moments


def schedule(here: Solo, contract: str, *moments: tuple[int, int, int, str]) -> None:
    assert here.post("mg1", "home1", contract, "schedule", moments).succeeded


def events_of(execution) -> list[tuple[str, str]]:
    return [(event.contract, event.name) for event in execution.events]


def fields_of(execution) -> list[tuple[str, int, int]]:
    return [(event.contract, *msgspec.msgpack.decode(event.fields)) for event in execution.events]


def test_due_moments_run_in_order_of_time_interval_and_contract_before_any_request():
    here = solo()
    schedule(here, "second", (50, 3, 0, ""), (60, 1, 0, ""))
    schedule(here, "probe", (50, 4, 0, ""), (50, 3, 0, ""), (70, 0, 0, ""))
    request = here.sign("mg1", "home2", "probe", "emit", "asked", 0)
    execution = run(here, (request,), timestamp=60)
    assert execution is not None
    assert events_of(execution) == [*[("probe", "due"), ("second", "due")] * 2, ("probe", "asked")]
    dues = [("probe", 50, 3), ("second", 50, 3), ("probe", 50, 4), ("second", 60, 1)]
    assert fields_of(execution)[:4] == dues
    assert execution.transitions == 4
    assert execution.transition_gas > 0


def test_a_due_moment_alone_makes_a_block_exactly_from_its_time_on():
    here = solo()
    schedule(here, "probe", (5_000, 0, 0, ""))
    assert next_due(here.chains["mg1"].program, here.chains["mg1"].state) == 5_000
    assert run(here, (), timestamp=4_999) is None
    execution = run(here, (), timestamp=5_000)
    assert execution is not None
    assert next_due(here.chains["mg1"].program, execution.state) is None


def test_at_most_transitions_max_due_moments_run_in_a_block_and_the_rest_stay_due():
    here = solo(limits=Limits(transitions_max=3))
    schedule(here, "probe", *[(50 + n, n, 0, "") for n in range(4)])
    first = run(here, (), timestamp=100)
    assert first is not None
    assert first.transitions == 3
    assert next_due(here.chains["mg1"].program, first.state) == 53
    here.run_block("mg1", at=100)
    here.advance_to(1_000)
    assert [execution.transitions for execution in here.chains["mg1"].executions] == [0, 3, 1]


def test_due_moments_stay_whatever_the_requests_do_and_are_charged_to_nobody():
    here = solo()
    schedule(here, "probe", (50, 0, 0, ""))
    before = {user: here.balance("mg1", user) for user in USERS}
    execution = run(here, (here.sign("mg1", "home2", "probe", "stumble", "x"),), timestamp=60)
    assert execution is not None
    assert execution.receipts[0].code == "panic"
    assert execution.transitions == 1
    assert execution.gas == execution.receipts[0].gas
    assert {user: execution.state.read("accounts", "balance", user) for user in USERS} == before


def test_a_due_moment_that_fails_is_a_bug_and_stops_the_node():
    here = solo()
    schedule(here, "probe", (50, 0, -1, ""))
    with pytest.raises(AssertionError, match="failed at its due moment"):
        run(here, (), timestamp=60)


def test_a_contract_that_stays_due_at_the_same_moment_is_a_bug():
    here = Solo({"mg1": {"stuck": Stuck()}}, balances={"mg1": {"utility": 1}})
    with pytest.raises(AssertionError, match="is due at"):
        run(here, (), timestamp=60)


# -------------------------------------------------------------------------------------------------------------- outbox


def test_messages_leave_in_order_of_interval_and_chain_and_at_most_outputs_max_a_block():
    chains = {name: {"probe": Probe(), "second": SecondProbe()} for name in ("mg1", "a", "b")}
    here = Solo(chains, {"mg1": USERS}, {"mg1": {"home1": 100, "probe": 100}}, limits=Limits(outputs_max=4))
    schedule(here, "probe", (50, 9, 2, "b"), (51, 9, 1, "a"), (52, 8, 2, "b"))
    here.run_block("mg1", at=60)
    chain = here.chains["mg1"]
    assert has_outbox(chain.state)
    here.run_block("mg1", at=61)
    assert not has_outbox(chain.state)
    drained = [[name_of(here, output) for output in execution.outgoing] for execution in chain.executions]
    assert drained == [[], [("b", 3), ("b", 4), ("a", 2), ("b", 0)], [("b", 1)]]


def name_of(here: Solo, output) -> tuple[str, int]:
    names = {chain.program.id: name for name, chain in here.chains.items()}
    return names[output.address.chain], msgspec.msgpack.decode(output.metadata)[1][3]


def test_a_request_sends_for_the_last_interval_that_was_due():
    chains = {name: {"probe": Probe()} for name in ("mg1", "a", "b")}
    here = Solo(chains, {"mg1": USERS}, {"mg1": {"home1": 100, "probe": 100}}, limits=Limits(outputs_max=1))
    schedule(here, "probe", (50, 5, 2, "b"))
    here.run_block("mg1", at=60)
    here.post("mg1", "home1", "probe", "send", "a", "take", 1, 1, allowance=1)
    here.advance_to(2_000)
    sent = [name_of(here, output) for execution in here.chains["mg1"].executions for output in execution.outgoing]
    assert sent == [("b", 0), ("a", 2), ("b", 1)]


def test_an_output_names_its_sender_its_expiry_and_its_way_back():
    here = solo()
    here.post("mg1", "home1", "probe", "send", "region", "take", 5, 1, 10 * MINUTE, allowance=5)
    (output,) = here.chains["mg1"].executions[-1].outgoing
    mine, region = here.chains["mg1"].program.id, here.chains["region"].program.id
    assert (output.amount, output.address.chain, output.expiration.instant) == (5, region, 10 * MINUTE)
    assert (output.expiration.return_address.chain, output.sender.chain, output.sender.contract) == (
        mine,
        mine,
        "probe",
    )
    assert msgspec.msgpack.decode(output.metadata)[1] == ["MessageId", "mg1", "probe", 0]


def test_the_anchor_keeps_one_token_so_a_message_with_the_last_one_waits():
    here = Solo({"mg1": {"probe": Probe()}, "b": {}}, {"mg1": ("home1",)}, {"mg1": {"home1": 10}})
    here.post("mg1", "home1", "probe", "send", "b", "take", 5, 2, allowance=10)
    chain = here.chains["mg1"]
    assert (len(chain.executions[-1].outgoing), chain.funds, has_outbox(chain.state)) == (1, 5, True)


# --------------------------------------------------------------------------------------------------------- determinism


def test_a_run_is_the_same_under_every_hash_seed():
    root = Path(__file__).parents[3]
    script = "from tests.harness.probe_scenario import transcript; print(transcript())"
    outputs = [
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=root,
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1]
    assert len(outputs[0]) > 1_000


def test_two_members_that_are_given_the_requests_in_another_order_make_the_same_block():
    here = solo()
    requests = [
        here.sign("mg1", user, "probe", "write", "key", f"{user}{n}", nonce=n) for user in USERS for n in range(3)
    ]
    first, second = run(here, requests), run(here, requests[::-1])
    assert first is not None
    assert second is not None
    assert encode(first.block) == encode(second.block)


def test_the_block_log_remembers_the_block():
    here = solo()
    receipt = here.post("mg1", "home1", "probe", "emit", "hello", 5)
    chain = here.chains["mg1"]
    info = block_info(chain.state, 1)
    assert info is not None
    ids: tuple[RequestId, ...] = (receipt.request_id,)
    assert (info.timestamp, info.requests, info.events) == (chain.block.timestamp, ids, 1)
