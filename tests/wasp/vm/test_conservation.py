"""Whatever requests do: tokens are neither made nor lost, messages happen once, receipts are unique, replay agrees."""

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.kernel.encoding import ZERO_DIGEST
from tests.harness.probe_scenario import busy_solo
from tests.harness.solo import Solo
from wasp.chain_block import replayed
from wasp.core_contracts.accounts import OUTBOX_ACCOUNT
from wasp.request import MESSAGE_CODEC, OnLedgerRequest
from wasp.state import EMPTY_STATE
from wasp.vm.block_run import check_sum
from wasp.vm.draft import Draft
from wasp.vm.genesis import genesis_block


@pytest.fixture(scope="module")
def busy() -> Solo:
    return busy_solo(seed=3, requests=150)


@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32))
def test_the_supply_is_the_same_after_every_block_of_a_random_hour(seed):
    solo = busy_solo(seed, requests=40)
    solo.check_supply()
    assert solo.quiet
    assert all(solo.balance(name, OUTBOX_ACCOUNT) == 0 for name in solo.chains)


def test_the_scenario_is_busy_enough_to_mean_something(busy):
    codes = Counter(receipt.code for chain in busy.chains.values() for receipt in chain.receipts)
    assert len(codes) >= 8
    assert codes[None] > 40
    consumed = [request for chain in busy.chains.values() for run in chain.executions for request in run.consumed]
    assert len(consumed) > 40
    came_back = [request for request in consumed if request.output.expiration is not None]
    assert came_back
    assert sum(run.transitions for chain in busy.chains.values() for run in chain.executions) > 5


def test_every_message_is_named_once_and_taken_exactly_once(busy):
    runs = [run for chain in busy.chains.values() for run in chain.executions]
    sent = Counter(MESSAGE_CODEC.decode(output.metadata).id for run in runs for output in run.outgoing)
    taken = Counter(MESSAGE_CODEC.decode(request.output.metadata).id for run in runs for request in run.consumed)
    assert sent == taken
    assert set(sent.values()) == {1}


def test_every_request_has_exactly_one_receipt_and_the_nonces_of_an_account_are_used_in_order(busy):
    for chain in busy.chains.values():
        ids = [receipt.request_id for receipt in chain.receipts]
        assert len(set(ids)) == len(ids)
        nonces: dict[bytes, list[int]] = {}
        for run in chain.executions:
            for request in run.block.requests:
                if not isinstance(request, OnLedgerRequest):
                    nonces.setdefault(request.essence.sender, []).append(request.essence.nonce)
        assert all(used == list(range(len(used))) for used in nonces.values())


def test_a_member_that_only_replays_the_mutations_reaches_the_same_states(busy):
    for chain in busy.chains.values():
        state = EMPTY_STATE
        first = chain.executions[0]
        genesis = replayed(state, genesis_of(chain))
        assert genesis is not None
        state = genesis
        for run in chain.executions:
            after = replayed(state, run.block)
            assert after is not None
            assert after.root == run.state.root
            state = after
        assert first.block.index == 1


def genesis_of(chain):
    previous = chain.executions[0].block.previous
    state = chain.genesis
    block = genesis_block(chain.program, state)
    assert block.digest == previous
    return block


def test_a_block_whose_mutations_do_not_lead_to_its_root_is_not_replayed(busy):
    chain = next(iter(busy.chains.values()))
    assert replayed(EMPTY_STATE, chain.executions[-1].block) is None


@pytest.mark.parametrize(("change", "total"), [(1, 10), (-1, 10), (0, 11), (-11, -1)])
def test_the_check_of_the_sum_sees_a_token_too_many_or_too_few_and_a_negative_balance(change, total):
    draft = Draft(EMPTY_STATE)
    draft.write(("accounts", "balance", "home1"), 10)
    draft.write(("accounts", "total"), 10)
    state, _ = EMPTY_STATE.write(draft.written)
    assert state.root != ZERO_DIGEST
    after = Draft(state)
    after.write(("accounts", "balance", "home1"), 10 + change)
    with pytest.raises(AssertionError):
        check_sum(state, after, total)
