"""Approval weight: every threshold, rivals, and the ways to disagree."""

from __future__ import annotations

import pytest

from ledger.access import TransactionAccepted, TransactionConfirmed, TransactionRejected, TransactionSeen
from ledger.finality import BlockAccepted, BlockConfirmed
from ledger.kernel.instant import SECOND
from ledger.output import ChainAddress, Expiration
from ledger.profile import GOSHIMMER_08, adapted
from ledger.utxo import Standing
from tests.harness.lone_tangle import LoneTangle
from tests.harness.payments import CHAINS, anchors, coins, genesis, move, payment, successor_of, to_chain

SETTLING = GOSHIMMER_08.settling
GENESIS = genesis(*coins(100, 200, 300), *anchors())


def spend(place: int = 0, note: bytes = b""):
    amount = GENESIS.outputs[place].amount
    return payment([GENESIS.output_id(place)], coins(amount), note=note)


def facts(node: LoneTangle, transaction) -> list[type]:
    return [type(o) for o in node.outputs if getattr(o, "transaction_id", None) == transaction.id]


@pytest.mark.parametrize(
    ("weights", "accepted", "confirmed"),
    [
        ((1, 1, 1, 1), False, False),
        ((44, 1, 54, 1), False, False),
        ((45, 1, 53, 1), True, False),
        ((66, 1, 32, 1), True, False),
        ((67, 1, 31, 1), True, True),
    ],
)
def test_a_block_is_accepted_from_45_and_confirmed_from_67_percent_of_the_weight_on(weights, accepted, confirmed):
    node = LoneTangle(GENESIS, weights)
    transaction = spend()
    block = node.block(0, payload=transaction)
    node.hear(block)
    assert (BlockAccepted(block.id) in node.outputs) is accepted
    assert (BlockConfirmed(block.id) in node.outputs) is confirmed
    kinds = [TransactionSeen, *[TransactionAccepted] * accepted, *[TransactionConfirmed] * confirmed]
    assert facts(node, transaction) == kinds


def test_three_of_four_equal_validators_confirm_two_accept():
    node = LoneTangle(GENESIS)
    first = node.block(0, payload=spend())
    second = node.block(1, first)
    third = node.block(2, second)
    told = []
    for block in (first, second, third):
        node.hear(block)
        told.append((BlockAccepted(first.id) in node.outputs, BlockConfirmed(first.id) in node.outputs))
    assert told == [(False, False), (True, False), (True, True)]


@pytest.mark.parametrize("n", [8, 9, 17, 30])
def test_of_many_validators_with_weights_of_their_own_those_that_approve_are_added_up(n):
    weights = tuple(range(1, n + 1))
    node, total = LoneTangle(GENESIS, weights), sum(weights)
    chain = [node.block(0)]
    for place in range(n):
        node.hear(chain[-1])
        approving = 100 * sum(weights[: place + 1])
        assert (BlockAccepted(chain[0].id) in node.outputs) is (approving >= 45 * total)
        assert node.is_confirmed(chain[0]) is (approving >= 67 * total)
        if place + 1 < n:
            chain.append(node.block(place + 1, chain[-1]))


def test_a_validator_counts_once_however_many_blocks_it_issues():
    node = LoneTangle(GENESIS)
    first = node.block(0)
    blocks = [first]
    for i in range(5):
        blocks.append(node.block(i % 2, blocks[-1]))
    node.hear_all(*blocks)
    assert not node.is_confirmed(first)


def test_those_who_are_no_validators_have_no_weight():
    node = LoneTangle(GENESIS, (66, 34))
    first = node.block(0)
    stranger = LoneTangle(GENESIS, (1, 1, 1)).signers[2]
    node.hear_all(first, node.block(stranger, first))
    assert not node.is_confirmed(first)


def test_confirming_a_block_confirms_its_strong_past_cone_parents_first():
    node = LoneTangle(GENESIS)
    chain = [node.block(0)]
    for issuer in (0, 1, 2):
        chain.append(node.block(issuer, chain[-1]))
    node.hear_all(*chain)
    assert [o.block_id for o in node.told(BlockConfirmed)] == [chain[0].id, chain[1].id]


def test_a_weak_parent_is_approved_for_its_payload_alone():
    node = LoneTangle(GENESIS)
    transaction = spend()
    below = node.block(3)
    carrier = node.block(3, below, payload=transaction)
    node.hear_all(below, carrier, *[node.block(i, weak=(carrier,)) for i in range(3)])
    assert node.tangle.ledger.standing(transaction.id) is Standing.CONFIRMED
    assert not node.is_confirmed(carrier)
    assert not node.is_confirmed(below)


def rivals(node: LoneTangle):
    one, other = sorted((spend(0, b"one"), spend(0, b"other")), key=lambda t: t.id)
    return one, other, node.block(0, payload=one), node.block(1, payload=other)


def test_rivals_stand_side_by_side_and_the_lower_id_is_liked_at_a_tie():
    node = LoneTangle(GENESIS)
    one, other, block_one, block_other = rivals(node)
    node.hear_all(block_other, block_one)
    assert node.tangle.finality.weight_of(one.id) == node.tangle.finality.weight_of(other.id) == 1
    assert node.tangle.ledger.standing(one.id) is node.tangle.ledger.standing(other.id) is Standing.PENDING
    node.later(SETTLING)
    assert node.tangle.finality.likes(frozenset({one.id}))
    assert not node.tangle.finality.likes(frozenset({other.id}))
    assert node.tangle.tips == (block_one.id,)


def test_the_heavier_rival_is_liked_whatever_its_id():
    node = LoneTangle(GENESIS, (1, 2, 1, 1))
    one, other, block_one, block_other = rivals(node)
    node.hear_all(block_one, block_other)
    node.later(SETTLING)
    assert not node.tangle.finality.likes(frozenset({one.id}))
    assert node.tangle.finality.likes(frozenset({other.id}))
    assert node.tangle.tips == (block_other.id,)


def test_a_node_changes_its_mind_only_after_settling():
    node = LoneTangle(GENESIS, (2, 1, 1, 1))
    one, other, block_one, block_other = rivals(node)
    node.hear_all(block_other, block_one)
    assert node.tangle.finality.likes(frozenset({other.id})), "it liked that when it was alone"
    assert node.tangle.tips == (block_other.id,)
    assert node.tangle.deadline == node.now + SETTLING
    node.later(SETTLING - 1)
    assert node.tangle.finality.likes(frozenset({other.id}))
    node.later(1)
    assert node.tangle.finality.likes(frozenset({one.id}))
    assert not node.tangle.finality.likes(frozenset({other.id}))
    assert node.tangle.tips == (block_one.id,)


def test_a_preference_that_does_not_last_changes_nothing():
    node = LoneTangle(GENESIS, (2, 1, 1, 1))
    _one, other, block_one, block_other = rivals(node)
    node.hear_all(block_other, block_one)
    node.later(SECOND // 2)
    node.hear_all(node.block(2, block_other), node.block(3, block_other))
    node.later(5 * SECOND)
    assert node.tangle.finality.likes(frozenset({other.id}))


@pytest.mark.parametrize(("weights", "wins"), [((33, 66, 1), False), ((33, 67, 0), True)])
def test_a_rival_wins_from_67_percent_on_and_the_other_is_rejected_with_what_spends_from_it(weights, wins):
    node = LoneTangle(GENESIS, tuple(weight for weight in weights if weight))
    one, other, block_one, block_other = rivals(node)
    child = payment([one.output_id(0), GENESIS.output_id(1)], coins(300))
    node.hear_all(block_one, node.block(0, block_one, payload=child), block_other)
    expected = [Standing.REJECTED, Standing.REJECTED, Standing.CONFIRMED] if wins else [Standing.PENDING] * 3
    if not wins:
        expected[2] = Standing.ACCEPTED
        node.tangle.ledger.transactions[other.id].standing = Standing.ACCEPTED
    assert [node.tangle.ledger.standing(t.id) for t in (one, child, other)] == expected
    assert [o.transaction_id for o in node.told(TransactionRejected)] == [one.id, child.id] * wins


def test_of_a_validators_votes_for_rivals_the_latest_counts_whatever_the_order_of_their_coming():
    for reverse in (False, True):
        node = LoneTangle(GENESIS)
        one, other, block_one, block_other = rivals(node)
        changed = node.block(0, block_other, time=node.now + 1)
        node.hear(block_other)
        node.hear_all(*((changed, block_one) if reverse else (block_one, changed)))
        assert node.tangle.finality.weight_of(one.id) == 0
        assert node.tangle.finality.weight_of(other.id) == 2


def test_votes_cast_before_a_rival_was_known_count():
    node = LoneTangle(GENESIS)
    one, other, block_one, block_other = rivals(node)
    above = node.block(2, block_one)
    node.hear_all(block_one, above, node.block(2, above), block_other)
    assert node.tangle.finality.weight_of(one.id) == 2
    assert node.tangle.finality.weight_of(other.id) == 1


def test_a_block_that_approves_both_rivals_votes_for_none_and_is_never_liked():
    node = LoneTangle(GENESIS)
    one, other, block_one, block_other = rivals(node)
    both = node.block(2, block_one, block_other)
    node.hear_all(block_one, block_other, both)
    assert node.tangle.finality.weight_of(one.id) == node.tangle.finality.weight_of(other.id) == 1
    node.hear_all(node.block(1, block_one, time=node.now + 1), node.block(3, block_one), node.block(2, block_one))
    assert node.tangle.ledger.standing(one.id) is Standing.CONFIRMED
    assert both.id not in node.tangle.tips
    node.hear_all(*[node.block(i, both, time=node.now + 2) for i in range(4)])
    assert not node.is_confirmed(both)


def test_a_block_on_the_losing_side_is_not_confirmed_but_its_payload_can_be_saved_weakly():
    node = LoneTangle(GENESIS)
    one, other, block_one, block_other = rivals(node)
    innocent = spend(1)
    carrier = node.block(1, block_other, payload=innocent)
    node.hear_all(block_one, block_other, carrier)
    node.later(SETTLING)
    assert carrier.id not in node.tangle.tips
    assert [tip.id for tip in node.tangle._attacher.pools.weak.tips] == [carrier.id]
    supporters = [node.block(i, block_one, weak=(carrier,), time=node.now + 1) for i in (0, 2, 3)]
    node.hear_all(*supporters)
    assert node.tangle.ledger.standing(one.id) is Standing.CONFIRMED
    assert node.tangle.ledger.standing(other.id) is Standing.REJECTED
    assert node.tangle.ledger.standing(innocent.id) is Standing.CONFIRMED
    assert not node.is_confirmed(carrier)


def test_a_rival_that_spends_from_a_rival_waits_for_it():
    node = LoneTangle(GENESIS)
    one, other, block_one, block_other = rivals(node)
    child, twin = (payment([one.output_id(0)], coins(100), note=note) for note in (b"child", b"twin"))
    block_child, block_twin = node.block(2, block_one, payload=child), node.block(3, block_one, payload=twin)
    node.hear_all(block_one, block_other, block_child, block_twin)
    assert node.tangle.finality.weight_of(one.id) is None, "decided, by its own voter and those of what spends from it"
    assert (node.tangle.finality.weight_of(child.id), node.tangle.finality.weight_of(twin.id)) == (1, 1)
    assert node.tangle.ledger.standing(other.id) is Standing.REJECTED
    node.hear_all(node.block(0, block_child, time=node.now + 1), node.block(1, block_child, time=node.now + 1))
    assert node.tangle.ledger.standing(child.id) is Standing.CONFIRMED
    assert node.tangle.ledger.standing(twin.id) is Standing.REJECTED


def test_a_transaction_is_confirmed_after_what_it_spends_from():
    node = LoneTangle(GENESIS)
    made = spend()
    spending = payment([made.output_id(0)], coins(100))
    maker = node.block(3, payload=made)
    carrier = node.block(0, payload=spending)  # not on its maker's block
    node.hear_all(maker, carrier, node.block(1, carrier), node.block(2, carrier))
    assert facts(node, spending) == [TransactionSeen, TransactionAccepted]
    node.hear_all(node.block(1, maker), node.block(2, maker))
    told = [(type(o), o.transaction_id) for o in node.outputs if type(o) in (TransactionConfirmed,)]
    assert told == [(TransactionConfirmed, made.id), (TransactionConfirmed, spending.id)]


@pytest.mark.parametrize("first", ["target", "sender"])
def test_a_target_and_a_sender_that_meet_at_an_expiry_are_rivals_and_one_takes_it(first):
    """The target's anchor is signed before the expiry and published late; the sender reclaims after it."""
    expiry = 50 * SECOND
    sent = to_chain(70, CHAINS[1], expiration=Expiration(expiry, ChainAddress(CHAINS[0])))
    node = LoneTangle(GENESIS)
    sending = move(GENESIS.output_id(3), anchors()[0], 10, sent=[sent])
    base = node.block(0, payload=sending)
    confirmed = [node.block(i, base) for i in (1, 2)]
    node.hear_all(base, *confirmed)
    received = [(sending.output_id(1), sent)]
    taking = move(GENESIS.output_id(4), anchors()[1], expiry - 1, received=received)
    reclaiming = move(*successor_of(sending), expiry, received=received)
    winner, loser = (taking, reclaiming) if first == "target" else (reclaiming, taking)
    winning = node.block(0, *confirmed, payload=winner)
    node.hear_all(node.block(3, *confirmed, payload=loser), winning, *[node.block(i, winning) for i in (1, 2)])
    assert node.tangle.ledger.standing(winner.id) is Standing.CONFIRMED
    assert node.tangle.ledger.standing(loser.id) is Standing.REJECTED
    assert node.tangle.ledger.supply == 2_600
    late = move(*successor_of(sending), expiry - 1, received=received)
    node.hear(node.block(0, winning, payload=late))
    assert node.tangle.ledger.standing(late.id) is None, "before the expiry the sender may not reclaim"


def test_thresholds_of_a_profile_are_those_that_count():
    node = LoneTangle(GENESIS, profile=adapted(GOSHIMMER_08, accepted_percent=25, confirmed_percent=51))
    first = node.block(0)
    node.hear(first)
    assert BlockAccepted(first.id) in node.outputs
    second = node.block(1, first)
    node.hear(second)
    assert not node.is_confirmed(first)
    node.hear(node.block(2, second))
    assert node.is_confirmed(first)


def test_an_old_vote_that_comes_late_does_not_replace_a_newer_one():
    node = LoneTangle(GENESIS)
    one, other, block_one, block_other = rivals(node)
    node.hear_all(block_one, block_other)
    votes = [node.block(2, parent, time=node.now + i) for i, parent in enumerate((block_one, block_other, block_one))]
    node.hear_all(*reversed(votes))
    assert node.tangle.finality.weight_of(one.id) == 2
    assert node.tangle.finality.weight_of(other.id) == 1


def test_a_conflict_weighs_no_more_than_what_it_depends_on():
    node = LoneTangle(GENESIS)
    one, _other, block_one, block_other = rivals(node)
    child, twin = (payment([one.output_id(0)], coins(100), note=note) for note in (b"child", b"twin"))
    node.hear_all(
        block_one, block_other, node.block(0, block_one, payload=child), node.block(0, block_one, payload=twin)
    )
    node.hear(node.block(0, block_other, time=node.now + 1))
    assert node.tangle.finality.weight_of(one.id) == 0
    assert node.tangle.finality.weight_of(child.id) == node.tangle.finality.weight_of(twin.id) == 0


def test_a_block_that_approves_both_rivals_leaves_its_issuers_earlier_vote_alone():
    node = LoneTangle(GENESIS)
    one, other, block_one, block_other = rivals(node)
    node.hear_all(block_one, block_other, node.block(2, block_one))
    node.hear(node.block(2, block_one, block_other, time=node.now + 1))
    assert node.tangle.finality.weight_of(one.id) == 2
    assert node.tangle.finality.weight_of(other.id) == 1
