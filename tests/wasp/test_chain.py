"""A committee's chains, from requests to confirmed anchors, on a ledger that confirms what it is given."""

import msgspec
import pytest

from ledger.access import OutputConfirmed
from ledger.kernel.automaton import NOTHING, Fault
from ledger.kernel.encoding import encode
from ledger.kernel.instant import HOUR, MILLISECOND, MINUTE, SECOND
from ledger.output import BasicOutput, ChainAddress, chain_id
from tests.harness.chain_network import CHAIN, NETWORK, OTHER, QUICK, ChainNetwork
from wasp.chain_block import ChainBlock
from wasp.chain_interface import (
    AnchorKept,
    ChainBlockAnchored,
    ChainBlockConfirmed,
    ChainBlockExecutionNeeded,
    ChainBlocksUndone,
    ConfirmationKept,
)
from wasp.committee_log import LogIndexUsed, NextIndexVote
from wasp.consensus.consensus_interface import BatchDecided, IndexSkipped
from wasp.mempool import RequestPooled, RequestRefused, SharedRequest
from wasp.state_manager import ChainBlockQuery
from wasp.vm.program import Limits


def parameters(**changes):
    return msgspec.structs.replace(QUICK, **changes)


def booted(n=4, **keywords):
    network = ChainNetwork(n, **keywords)
    network.run(SECOND)
    return network


def all_count(network, amount):
    return lambda: all(network.count(name) == amount for name in network.members)


def all_confirmed(network):
    return lambda: all(chain.confirmed_block == chain.active_block for chain in network.chains.values())


def confirmed_requests(network, name="m0"):
    """Ids of the requests of the confirmed blocks, newest block first."""
    chain = network.chains[name]
    block, ids = chain.confirmed_block, []
    while block.index:
        ids.extend(request.id for request in block.requests)
        block = chain.view.states.block(block.previous)
    return ids


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7])
def test_a_request_is_executed_once_at_all_members(n):
    network = booted(n)
    request = network.request(0, 0, "add", 5)
    network.submit("m0", request)
    network.run(20 * SECOND)
    assert [network.count(name) for name in network.members] == [5] * n
    for name in network.members:
        [anchored] = network.anchored(name)
        [confirmed] = network.confirmed(name)
        assert (anchored.block.requests, anchored.receipts[0].request_id) == ((request,), request.id)
        assert confirmed.block == anchored.block
        assert confirmed.anchor_id.transaction == anchored.transaction_id
    assert network.ledger.anchor.state_index == 1
    assert network.faults == []


def test_members_tell_the_moments_of_a_request_in_order():
    network = booted()
    network.submit("m0", network.request(0, 0))
    network.run(20 * SECOND)
    kinds = [type(output) for _, name, output in network.outputs if name == "m1"]
    wanted = (RequestPooled, BatchDecided, ChainBlockExecutionNeeded, ChainBlockAnchored, ChainBlockConfirmed)
    assert [kind for kind in kinds if kind in wanted] == list(wanted)


def test_an_idle_chain_sends_nothing_for_an_hour():
    network = booted()
    network.submit("m0", network.request(0, 0))
    network.run(MINUTE)
    sent = len(network.messages)
    network.run(HOUR)
    assert network.messages[sent:] == []
    assert [chain.deadline for chain in network.chains.values()] == [None] * 4


def test_a_due_moment_makes_a_block_at_its_time_without_a_request_and_nothing_afterwards():
    network = booted()
    due = 10 * MINUTE
    network.submit("m0", network.request(0, 0, "ring_at", due))
    network.run_until(all_confirmed(network))
    network.run(MINUTE)
    sent = len(network.messages)
    network.run(due - network.now - 1)
    assert network.messages[sent:] == []
    network.run(MINUTE)
    for name in network.members:
        block = network.anchored(name)[-1].block
        assert (block.index, block.requests) == (2, ())
        assert network.chains[name].active_state.read("counter", "rung") == block.timestamp
        assert due <= block.timestamp < due + 10 * MILLISECOND
    sent = len(network.messages)
    network.run(HOUR)
    assert network.messages[sent:] == []


def test_requests_that_come_within_the_batch_delay_share_a_block():
    network = booted(parameters=parameters(batch_delay=2 * SECOND))
    network.submit("m0", network.request(0, 0))
    network.run(500 * MILLISECOND)
    for user in range(3):
        network.submit(f"m{user}", network.request(user, 1 if user == 0 else 0))
        network.run(100 * MILLISECOND)
    network.run_until(all_count(network, 4))
    first, second = [anchored.block for anchored in network.anchored("m0")]
    assert [len(first.requests), len(second.requests)] == [1, 3]
    assert second.timestamp >= first.timestamp + 2 * SECOND - 50 * MILLISECOND


@pytest.mark.parametrize(("gather_delay", "blocks"), [(100 * MILLISECOND, [(1, 5)]), (0, [(2, 5)])])
def test_requests_given_to_all_members_at_once_need_time_to_reach_the_others(gather_delay, blocks):
    """Without it the first index goes by for nothing: every member names only its own request."""
    network = booted(5, users=5, parameters=parameters(gather_delay=gather_delay))
    for user in range(5):
        network.submit(f"m{user}", network.request(user, 0))
    network.run_until(all_count(network, 5))
    assert [(a.block.log_index, len(a.block.requests)) for a in network.anchored("m0")] == blocks


def test_what_is_due_does_not_wait_for_requests_to_gather():
    network = booted(parameters=parameters(gather_delay=30 * SECOND))
    due = 10 * MINUTE
    network.submit("m0", network.request(0, 0, "ring_at", due))
    network.run(SECOND)
    assert [len(network.anchored(name)) for name in network.members] == [0] * 4
    network.run(due + SECOND - network.now)
    assert due <= network.chains["m0"].active_block.timestamp < due + 10 * MILLISECOND


def test_a_block_is_later_than_the_one_before_even_if_the_clocks_go_back():
    network = booted(1)
    network.skew["m0"] = HOUR
    network.submit("m0", network.request(0, 0))
    network.run(10 * SECOND)
    before = network.chains["m0"].active_block
    network.skew["m0"] = 10 * SECOND
    network.restart("m0")
    network.run(SECOND)
    network.submit("m0", network.request(0, 1))
    network.run(10 * SECOND)
    after = network.chains["m0"].active_block
    assert (after.index, after.timestamp) == (2, before.timestamp + 1)


def test_a_decided_batch_with_nothing_to_do_is_skipped_without_a_block():
    """Two of three clocks have passed the due moment, and others join: the batch's time is before it."""
    network = booted(4, skew={"m0": 60 * SECOND})
    network.submit("m1", network.request(0, 0, "ring_at", 100 * SECOND))
    network.run_until(all_confirmed(network), 30 * SECOND)
    network.run(100 * SECOND - network.now + 10 * SECOND)
    assert [chain.active_block.index for chain in network.chains.values()] == [2] * 4
    network.submit("m1", network.request(0, 1, "add", 1))
    network.run_until(all_count(network, 1))
    assert [len(network.anchored(name)) for name in network.members] == [3] * 4


# ------------------------------------------------------------------------------------------------ crashes, log indices


@pytest.mark.parametrize("moment", range(0, 220, 15))
def test_four_members_go_on_with_one_dead_and_another_restarted_in_the_middle_of_an_index(moment):
    network = booted(4, seed=moment)
    network.kill("m3")
    network.submit("m0", network.request(0, 0))
    network.run(moment * MILLISECOND)
    network.restart("m1")
    network.run_until(all_count(network, 1), 60 * SECOND)
    network.submit("m2", network.request(0, 1))
    network.run_until(all_count(network, 2), 60 * SECOND)
    network.run_until(all_confirmed(network))
    assert network.faults == []
    assert len(confirmed_requests(network)) == 2


@pytest.mark.parametrize("seed", range(6))
def test_members_that_were_all_killed_at_different_indices_go_on(seed):
    network = booted(4, seed=seed)
    for place in range(4):
        network.submit("m3", network.request(0, place))
        network.run(300 * MILLISECOND + 37 * MILLISECOND * seed)
        network.kill(f"m{place}")
    used = {
        max([record.value.index for record in disk if isinstance(record.value, LogIndexUsed)])
        for disk in network.disks.values()
    }
    assert len(used) > 1
    for place in range(4):
        network.start(f"m{place}")
    network.run(SECOND)
    nonce = max(chain.active_state.read("accounts", "nonce", "user0") or 0 for chain in network.chains.values())
    for place in range(nonce, 5):
        network.submit("m1", network.request(0, place))
    network.run_until(all_count(network, 5), 120 * SECOND)
    network.run_until(all_confirmed(network))
    assert sorted(confirmed_requests(network)) == sorted(network.request(0, place).id for place in range(5))


def test_a_log_index_is_durable_before_the_first_message_of_its_instance():
    network = ChainNetwork(4)
    chain = network.chains["m0"]
    seen = []
    original = chain.handle_message

    def watched(*arguments):
        step = original(*arguments)
        seen.append(step)
        return step

    chain.handle_message = watched
    network.run(SECOND)
    network.submit("m0", network.request(0, 0))
    network.run(5 * SECOND)
    durable = set()
    for step in seen:
        durable |= {record.value.index for record in step.records if isinstance(record.value, LogIndexUsed)}
        used = {envelope.path[1] for envelope in step.messages if isinstance(envelope.path[1], int)}
        assert used <= durable


def test_a_chain_block_is_durable_before_the_signature_share_of_its_anchor_leaves():
    network = booted()
    chain = network.chains["m0"]
    original, seen = chain.handle_input, []

    def watched(*arguments):
        step = original(*arguments)
        if any(envelope.path[-1] == "signature" for envelope in step.messages):
            seen.append([type(record.value) for record in step.records])
        return step

    chain.handle_input = watched
    network.submit("m1", network.request(0, 0))
    network.run(5 * SECOND)
    assert seen == [[ChainBlock]]


def test_a_restarted_member_stands_where_its_records_end():
    network = booted(1)
    for nonce in range(3):
        network.submit("m0", network.request(0, nonce))
        network.run(10 * SECOND)
    network.ledger.paused = True
    network.submit("m0", network.request(0, 3))
    network.run(10 * SECOND)
    before = network.chains["m0"]
    network.kill("m0")
    network.outputs.clear()
    network.start("m0")
    after = network.chains["m0"]
    assert (after.active_block, after.confirmed_block) == (before.active_block, before.confirmed_block)
    assert after.active_state.root == before.active_state.root
    assert (after.active_block.index, after.confirmed_block.index) == (4, 3)
    network.run(30 * SECOND)
    assert network.confirmed("m0") == [] == network.anchored("m0")
    network.ledger.paused = False
    network.ledger.settle()
    assert [confirmed.block.index for confirmed in network.confirmed("m0")] == [4]


def test_a_signed_anchor_survives_that_all_members_are_killed_before_it_is_published():
    network = booted()
    network.ledger.deaf = True
    network.submit("m0", network.request(0, 0))
    network.run_until(all_count(network, 1))
    for name in list(network.members):
        network.restart(name)
    network.ledger.deaf = False
    network.run_until(all_confirmed(network), 60 * SECOND)
    assert confirmed_requests(network) == [network.request(0, 0).id]


def test_records_of_a_life_are_indices_blocks_anchors_and_confirmations():
    network = booted()
    network.submit("m0", network.request(0, 0))
    network.run(20 * SECOND)
    kinds = [type(record.value) for record in network.disks["m2"]]
    assert kinds == [ChainBlock, AnchorKept, LogIndexUsed, ConfirmationKept]
    assert {record.path for record in network.disks["m2"]} == {(CHAIN, "log"), (CHAIN, "state", 0), (CHAIN, "anchors")}


# ------------------------------------------------------------------------------------------------------ anchors


def held_back(limit):
    """A committee whose ledger confirms nothing, after more requests than it may anchor."""
    network = booted(parameters=parameters(unconfirmed_anchors_max=limit))
    network.ledger.paused = True
    for nonce in range(limit + 2):
        network.submit("m0", network.request(0, nonce))
        network.run(5 * SECOND)
    return network


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_members_hold_back_at_the_limit_of_unconfirmed_anchors_and_go_on_when_one_is_confirmed(limit):
    network = held_back(limit)
    assert [chain.active_block.index for chain in network.chains.values()] == [limit] * 4
    assert {chain.status["proposal"] for chain in network.chains.values()} == {
        f"{limit} anchors wait for confirmation, as many as may"
    }
    sent = len(network.messages)
    network.run(MINUTE)
    shared = [envelope for _, _, envelope in network.messages[sent:] if not isinstance(envelope.message, SharedRequest)]
    assert shared == []
    network.ledger.paused = False
    network.ledger.settle()
    network.run_until(all_count(network, limit + 2))
    network.run_until(all_confirmed(network))
    assert network.faults == []


def test_a_member_at_the_limit_joins_the_others_with_an_empty_proposal():
    """One layer-1 host has not told m3 of the confirmation; the others go on without its base."""
    network = booted(parameters=parameters(unconfirmed_anchors_max=1))
    network.submit("m0", network.request(0, 0))
    network.run_until(all_count(network, 1))
    blind = network.chains["m3"]
    original = blind.handle_input
    blind.handle_input = lambda input, now: NOTHING if hasattr(input, "anchor_id") else original(input, now)
    network.run(10 * SECOND)
    network.submit("m0", network.request(0, 1))
    network.run_until(all_count(network, 2), 30 * SECOND)
    assert len(network.anchored("m3")) == 2


def rejected_after_two_blocks():
    """Blocks 1 and 2 stand on an input that a rival spends: both are undone."""
    network = booted()
    network.ledger.paused = True
    given = network.ledger.send(0)
    network.run_until(all_count(network, 1))
    network.submit("m0", network.request(0, 0))
    network.submit("m1", network.request(1, 0))
    network.run_until(all_count(network, 3))
    network.run(2 * SECOND)
    before = {name: [anchored.block for anchored in network.anchored(name)] for name in network.members}
    network.ledger.paused = False
    network.ledger.spend(given)
    return network, before


def test_a_rejected_anchor_undoes_the_blocks_on_it_and_their_requests_are_executed_again_exactly_once():
    network, before = rejected_after_two_blocks()
    for name in network.members:
        assert network.facts(name, ChainBlocksUndone) == [ChainBlocksUndone(CHAIN, tuple(reversed(before[name])))]
    network.run_until(all_count(network, 2))
    network.run_until(all_confirmed(network))
    again = {network.request(0, 0).id, network.request(1, 0).id}
    ids = confirmed_requests(network)
    assert (len(ids), set(ids)) == (2, again)
    assert network.faults == []


def test_account_nonces_go_back_with_a_re_base():
    network, _ = rejected_after_two_blocks()
    assert [chain.active_state.read("accounts", "nonce", "user0") for chain in network.chains.values()] == [None] * 4
    network.run_until(all_count(network, 2))
    assert [chain.active_state.read("accounts", "nonce", "user0") for chain in network.chains.values()] == [1] * 4


def test_undone_requests_come_back_to_members_that_had_never_pooled_them():
    network = booted()
    network.ledger.paused = True
    given = network.ledger.send(0)
    network.run_until(all_count(network, 1))
    network.drop = lambda sender, receiver, envelope: receiver == "m3" and isinstance(envelope.message, SharedRequest)
    request = network.request(0, 0)
    network.submit("m0", request)
    network.run_until(all_count(network, 2))
    network.run(2 * SECOND)
    for name in ("m0", "m1"):
        network.kill(name)
    network.ledger.spend(given)
    assert [request.id in network.chains[name].mempool.pool for name in network.members] == [True, True]


def conflicting_anchors(seed=0, **keywords):
    """m0 alone holds signed anchor 1; the others recover, and sign another one on the same base."""
    network = booted(4, seed=seed, **keywords)
    network.ledger.deaf = True
    network.submit("m0", network.request(0, 0))
    network.drop = lambda sender, receiver, envelope: envelope.path[-1] == "signature" and receiver != "m0"
    network.run_until(lambda: network.count("m0") == 1)
    network.chains["m0"].handle_message = lambda *arguments: NOTHING
    network.drop = lambda sender, receiver, envelope: "m0" in (sender, receiver)
    network.run_until(lambda: all(network.count(name) == 1 for name in ("m1", "m2", "m3")), 60 * SECOND)
    return network


def test_recovery_may_sign_a_second_anchor_and_layer_1_decides_between_the_two():
    network = conflicting_anchors()
    first, second = network.anchored("m0")[0], network.anchored("m1")[0]
    assert (first.block.index, second.block.index) == (1, 1)
    assert first.transaction_id != second.transaction_id
    network.drop = lambda *arguments: False
    del network.chains["m0"].handle_message
    network.ledger.deaf = False
    network.reconnect("m0")
    network.run_until(all_confirmed(network), 120 * SECOND)
    network.submit("m0", network.request(0, 1))
    network.run_until(all_count(network, 2), 120 * SECOND)
    network.run_until(all_confirmed(network))
    assert len({chain.confirmed_block.digest for chain in network.chains.values()}) == 1
    assert len(confirmed_requests(network)) == 2


def test_without_recovery_there_is_one_signed_anchor_per_base():
    for seed in range(5):
        network = booted(5, seed=seed, jitter=60 * MILLISECOND)
        for nonce in range(8):
            network.submit(f"m{nonce % 5}", network.request(nonce % 3, nonce // 3))
            network.run(120 * MILLISECOND)
        network.run(20 * SECOND)
        essences = {
            record.value.transaction.id: record.value.transaction.essence.inputs[0]
            for disk in network.disks.values()
            for record in disk
            if isinstance(record.value, AnchorKept)
        }
        assert len(set(essences.values())) == len(essences) == network.ledger.anchor.state_index


def test_a_member_that_holds_a_signed_successor_sends_it_and_nobody_signs_another():
    """m1 restarts without the last signature: its proposal names the old base, and the others' successor comes to it."""
    network = booted()
    network.ledger.deaf = True
    network.drop = lambda sender, receiver, envelope: receiver in ("m1", "m2") and envelope.path[-1] == "signature"
    network.submit("m0", network.request(0, 0))
    network.run_until(lambda: network.count("m0") == network.count("m3") == 1)
    network.drop = lambda *arguments: False
    network.submit("m0", network.request(0, 1))
    network.run_until(all_count(network, 2), 60 * SECOND)
    bases = {}
    for disk in network.disks.values():
        for record in disk:
            if isinstance(record.value, AnchorKept):
                bases.setdefault(record.value.transaction.essence.inputs[0], set()).add(record.value.transaction.id)
    assert [len(transactions) for transactions in bases.values()] == [1] * len(bases)


@pytest.mark.parametrize("batch_delay", [100 * MILLISECOND, 0])
def test_members_that_disagree_on_the_base_skip_and_then_go_on(batch_delay):
    """Two members hold one tip, two the other: no index is decided until layer 1 has chosen, and few are tried."""
    network = conflicting_anchors(parameters=parameters(batch_delay=batch_delay))
    other = network.anchored("m0")[0]
    kept = next(r.value for r in network.disks["m0"] if isinstance(r.value, AnchorKept))
    block = next(r.value for r in network.disks["m0"] if isinstance(r.value, ChainBlock))
    assert other.block == block
    network.disks["m1"] = [r for r in network.disks["m1"] if isinstance(r.value, LogIndexUsed)]
    from ledger.kernel.automaton import Record

    network.disks["m1"] += [Record((CHAIN, "state"), block), Record((CHAIN, "anchors"), kept)]
    network.drop = lambda *arguments: False
    for name in list(network.members):
        network.restart(name)
    network.run(SECOND)
    skipped = len([1 for _, _, output in network.outputs if isinstance(output, IndexSkipped)])
    for name in ("m0", "m2"):
        network.submit(name, network.request(1, 0))
    network.run(20 * SECOND)
    skips = [output for _, _, output in network.outputs if isinstance(output, IndexSkipped)][skipped:]
    assert skips and {skip.reason for skip in skips} == {"no base anchor"}
    assert len(skips) < 4 * 20
    network.ledger.deaf = False
    network.run_until(all_count(network, 2), 120 * SECOND)
    network.run_until(all_confirmed(network))
    assert len(confirmed_requests(network)) == 2


# ------------------------------------------------------------------------------------------------ publishing, catching up


def test_only_the_first_by_rank_publishes_when_its_block_is_seen():
    network = booted()
    for nonce in range(4):
        network.submit("m0", network.request(0, nonce))
        network.run(10 * SECOND)
    assert [member for _, member, _ in network.ledger.published] == ["m1", "m2", "m3", "m0"]


def test_the_next_by_rank_publishes_when_the_first_is_dead():
    network = booted()
    network.kill("m1")
    network.submit("m0", network.request(0, 0))
    network.run_until(all_confirmed(network), 5 * SECOND)
    network.run_until(all_count(network, 1))
    anchored_at = max(at for at, _, output in network.outputs if isinstance(output, ChainBlockAnchored))
    network.run(10 * SECOND)
    [(at, member, _)] = network.ledger.published
    assert member == "m2"
    delay = QUICK.publication.publish_delay
    assert delay <= at - anchored_at + 50 * MILLISECOND <= delay + 100 * MILLISECOND


def test_an_anchor_that_is_not_accepted_is_attached_again():
    network = booted()
    network.ledger.accepted_after = network.ledger.confirmed_after = 25 * SECOND
    network.submit("m0", network.request(0, 0))
    network.run(60 * SECOND)
    (first, member, _), *others = network.ledger.published
    again = [(at - first, by) for at, by, _ in others]
    assert again[0][1] == member
    assert 0 <= again[0][0] - QUICK.publication.reattach_after <= 100 * MILLISECOND
    assert {by for _, by, _ in network.ledger.published} == {"m1"}


def test_after_a_new_session_with_layer_1_an_accepted_anchor_is_attached_again_until_it_is_confirmed():
    network = booted()
    network.ledger.confirmed_after = 10 * MINUTE
    network.submit("m0", network.request(0, 0))
    network.run(MINUTE)
    assert [member for _, member, _ in network.ledger.published] == ["m1"], "accepted: nothing more to do"
    for name in network.members:
        network.input(name, network.ledger.synced())
    since = network.now
    network.run(QUICK.publication.reattach_after)
    assert [(at - since, member) for at, member, _ in network.ledger.published[1:]] == [
        (QUICK.publication.reattach_after, "m1")
    ]


def test_a_member_that_was_away_fetches_the_blocks_that_it_missed():
    network = booted()
    network.kill("m3")
    for nonce in range(12):
        network.submit("m0", network.request(0, nonce))
        network.run(3 * SECOND)
    network.start("m3")
    network.run_until(all_count(network, 12), 10 * SECOND)
    network.run_until(all_confirmed(network), 10 * SECOND)
    assert [confirmed.block.index for confirmed in network.confirmed("m3")] == list(range(1, 13))
    assert [anchored.block.index for anchored in network.anchored("m3")] == list(range(1, 13))
    assert [anchored.receipts for anchored in network.anchored("m3")] == [
        anchored.receipts for anchored in network.anchored("m0")
    ]
    queries = [envelope for _, name, envelope in network.messages if isinstance(envelope.message, ChainBlockQuery)]
    assert queries


def test_a_member_that_was_cut_off_takes_part_again_after_reconnection():
    network = booted(5)
    network.drop = lambda sender, receiver, envelope: "m4" in (sender, receiver)
    for nonce in range(6):
        network.submit("m0", network.request(0, nonce))
        network.run(3 * SECOND)
    network.drop = lambda *arguments: False
    network.reconnect("m4")
    network.kill("m0")
    network.submit("m1", network.request(0, 6))
    network.run_until(all_count(network, 7), 60 * SECOND)
    assert network.faults == []


# ------------------------------------------------------------------------------------------------------- cross-chain


def test_a_message_from_another_chain_is_taken_exactly_once():
    network = booted()
    given = network.ledger.send(0)
    network.run_until(all_confirmed(network), 60 * SECOND)
    network.run_until(all_count(network, 1))
    network.run_until(all_confirmed(network), 60 * SECOND)
    network.ledger.tell(OutputConfirmed(network.chain_id, given, BasicOutput(7, ChainAddress(network.chain_id))))
    network.run(MINUTE)
    assert [network.count(name) for name in network.members] == [1] * 4
    assert given in network.ledger.spent


def test_a_timelocked_message_is_taken_when_its_time_has_come():
    network = booted()
    network.ledger.send(0, timelock=2 * MINUTE)
    network.run(MINUTE)
    assert [network.count(name) for name in network.members] == [0] * 4
    network.run_until(all_count(network, 1), 2 * MINUTE)
    block = network.chains["m0"].active_block
    gathered = 2 * MINUTE + QUICK.gather_delay
    assert gathered <= block.timestamp <= gathered + 10 * MILLISECOND


def test_a_message_is_not_touched_in_the_last_minute_before_it_expires():
    network = booted()
    network.ledger.send(0, expires=network.now + MINUTE + 10 * SECOND)
    network.ledger.send(1, expires=network.now + MINUTE)
    network.run(3 * MINUTE)
    assert [network.count(name) for name in network.members] == [1] * 4


def test_messages_that_found_no_room_in_an_anchor_leave_with_the_next_without_a_request():
    network = booted(limits=Limits(outputs_max=1))
    network.ledger.paused = True
    for nonce in range(3):
        network.submit("m0", network.request(0, nonce, "send", 5, HOUR, allowance=5))
    network.run(10 * SECOND)
    blocks = [anchored.block for anchored in network.anchored("m2")]
    assert [len(block.requests) for block in blocks] == [3, 0, 0]
    sent = len(network.messages)
    network.run(MINUTE)
    assert network.messages[sent:] == []


def test_one_member_can_not_drive_the_log_with_votes_for_high_indices():
    network = booted()
    for name in ("m0", "m1", "m2"):
        for index, cause in ((10**9, "started"), (10**12, "recover")):
            network._deliver("m3", name, network._lives[name], (CHAIN, "log"), encode(NextIndexVote(index, cause)))
    network.kill("m3")
    network.submit("m0", network.request(0, 0))
    network.run_until(all_count(network, 1), 30 * SECOND)
    assert max(chain.log.used for chain in network.chains.values()) < 5


def test_a_message_that_expired_elsewhere_comes_back_once_with_its_tokens():
    network = booted()
    expires = 5 * MINUTE
    network.submit("m0", network.request(0, 0, "send", 40, expires, allowance=40))
    network.run_until(all_confirmed(network), 30 * SECOND)
    network.run(30 * SECOND)
    sent = [output for output in network.ledger.unspent.values() if isinstance(output, BasicOutput)]
    assert [(output.amount, output.address) for output in sent] == [(40, ChainAddress(chain_id(NETWORK, OTHER)))]
    network.run(10 * MINUTE)
    for chain in network.chains.values():
        assert chain.confirmed_state.read("counter", "returned", 0) == 40
    assert [output for output in network.ledger.unspent.values() if isinstance(output, BasicOutput)] == []
    assert network.chains["m0"].confirmed_block.timestamp >= expires


# ------------------------------------------------------------------------------------------------- doors


def test_a_refused_request_is_told_with_a_code_and_a_sentence():
    network = booted()
    request = network.request(0, 0)
    forged = msgspec.structs.replace(request, signature=bytes(64))
    network.submit("m0", forged)
    refusal = RequestRefused(CHAIN, request.id, "bad_signature", "the sender did not sign the request")
    assert network.facts("m0", RequestRefused) == [refusal]


def test_messages_of_strangers_and_for_leaves_that_do_not_exist_are_faults():
    network = booted()
    chain = network.chains["m0"]
    vote = NextIndexVote(1, "done")
    stranger = chain.handle_message("stranger", (CHAIN, "log"), vote, network.now)
    assert stranger.faults == (Fault("stranger", "not_a_member", (CHAIN, "log"), "NextIndexVote"),)
    for path in ((CHAIN, "mempool"), (CHAIN, "nowhere"), (CHAIN,), (CHAIN, "log", 3)):
        assert [fault.kind for fault in chain.handle_message("m1", path, vote, network.now).faults] == ["no_such_leaf"]


def test_messages_for_closed_and_far_future_indices_are_ignored_and_near_future_ones_are_bounded():
    network = booted()
    chain = network.chains["m0"]
    path = (CHAIN, 99, "entropy")
    assert chain.handle_message("m1", path, NextIndexVote(1, "done"), network.now) == NOTHING
    assert chain.handle_message("m1", (CHAIN, 0, "entropy"), NextIndexVote(1, "done"), network.now) == NOTHING
    path = (CHAIN, chain.log.used + 1, "entropy")
    for _ in range(chain.instances.held_max):
        assert chain.handle_message("m1", path, NextIndexVote(1, "done"), network.now) == NOTHING
    [fault] = chain.handle_message("m1", path, NextIndexVote(1, "done"), network.now).faults
    assert fault == Fault("m1", "too_many_messages", path, "for log indices that are not open")
    assert chain.handle_message("m2", path, NextIndexVote(1, "done"), network.now) == NOTHING


def test_a_message_ahead_of_its_index_waits_for_it():
    network = ChainNetwork(4)
    network.drop = lambda sender, receiver, envelope: receiver == "m3" and envelope.path[1] == "log"
    network.submit("m0", network.request(0, 0))
    network.run(5 * SECOND)
    assert network.chains["m3"].log.used == 0
    network.drop = lambda *arguments: False
    for name in ("m0", "m1", "m2"):
        network.reconnect(name)
    network.run_until(all_count(network, 1), 10 * SECOND)
    assert network.anchored("m3")


def test_the_status_says_why_a_chain_waits():
    network = booted()
    assert {chain.status["proposal"] for chain in network.chains.values()} == {"no work"}
    network.kill("m1")
    network.kill("m2")
    network.submit("m0", network.request(0, 0))
    network.run(SECOND)
    status = network.chains["m0"].status
    assert status["instance"]["phase"] == "agreement"
    assert status["mempool"] == "1 off-ledger and 0 on-ledger requests, 0 missing for a batch"
