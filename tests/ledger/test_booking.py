"""What comes in: refused, waiting, or booked."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import booking, solidification
from ledger.access import TransactionConfirmed, TransactionSeen
from ledger.block import BLOCK_CODEC, BlockEssence, sign_block
from ledger.booking import BlockBooked, BlockRefused, BlockRequest
from ledger.kernel.automaton import NOTHING, Envelope, Fault
from ledger.kernel.identity import deal_signer
from ledger.kernel.instant import MINUTE, SECOND
from ledger.kernel.rejection import Rejected
from ledger.profile import GOSHIMMER_08, adapted
from tests.harness.lone_tangle import GRINDER, LoneTangle
from tests.harness.payments import BOB, coins, genesis, payment

GENESIS = genesis(*coins(100, 200))
STRANGER = deal_signer("model", 0, "stranger")


def invalid_blocks(node: LoneTangle):
    good = node.block(0)
    node.hear(good)
    old = node.block(0, time=node.now - 30 * MINUTE - 1)
    node.hear(old)
    paid = payment([GENESIS.output_id(0)], coins(100))
    many = [node.block(1, time=node.now - i) for i in range(1, 10)]
    node.hear_all(*many)
    ids = sorted(block.id for block in many)
    forged = node.block(0)
    yield "wrong_version", node.block(0, version=2)
    yield "wrong_network", node.block(0, network="other")
    yield "bad_parents", node.block(0, strong=tuple(ids[:9]))
    yield "bad_parents", node.block(0, strong=tuple(ids[:5]), weak=(*many[5:],), issuing_time=node.now)
    yield "bad_parents", node.block(0, strong=(ids[1], ids[0]))
    yield "bad_parents", node.block(0, strong=(ids[0], ids[0]))
    yield "bad_parents", node.block(0, many[0], weak=(many[0],))
    yield "bad_signature", msgspec.structs.replace(forged, signature=bytes(64))
    other = msgspec.structs.replace(forged.essence, issuer=STRANGER.public_key)
    yield "bad_signature", sign_block(other, GRINDER.grind(other.work_data, 21).nonce, node.signers[0])
    yield "insufficient_work", node.block(0, difficulty=20)
    yield "before_parent", node.block(0, good, time=node.now - 1)
    yield "parent_too_old", node.block(0, old)
    yield "before_transaction", node.block(0, payload=payment([GENESIS.output_id(0)], coins(100), node.now + 1))
    yield "amount_mismatch", node.block(0, payload=payment([GENESIS.output_id(0)], coins(99)))
    yield "bad_signature", node.block(0, payload=payment([GENESIS.output_id(0)], coins(100), owner=BOB))
    yield "duplicate_input", node.block(0, payload=payment([GENESIS.output_id(0)] * 2, coins(200)))
    booked = node.block(0, payload=paid)
    node.hear(booked)
    spoiled = msgspec.structs.replace(paid, unlocks=payment([GENESIS.output_id(0)], coins(100), owner=BOB).unlocks)
    yield "bad_signature", node.block(1, payload=spoiled)


def test_invalid_blocks_of_every_kind_are_a_fault_of_their_sender_and_change_nothing():
    node = LoneTangle(GENESIS)
    node.now += 60 * MINUTE
    codes = set()
    for code, block in invalid_blocks(node):
        before = (dict(node.tangle.dag.entries), dict(node.tangle.ledger.outputs), node.tangle.tips)
        step = node.hear(block, "b")
        (fault,) = step.faults
        assert (fault.accused, fault.kind, fault.path) == ("b", code, ("tangle",))
        assert block.essence.issuer.hex()[:16] in fault.detail
        assert step.outputs == [BlockRefused(block.id, block.essence.issuer, code, step.outputs[0].detail)]
        assert (step.messages, step.records) == ([], [])
        assert (dict(node.tangle.dag.entries), dict(node.tangle.ledger.outputs), node.tangle.tips) == before
        assert node.hear(block, "b") == NOTHING, "a second copy costs nothing"
        codes.add(code)
    assert len(codes) == 10


def test_parents_may_be_as_young_as_the_block_and_as_old_as_the_profile_says():
    node = LoneTangle(GENESIS)
    node.now += 60 * MINUTE
    parent = node.block(0, time=node.now - 30 * MINUTE)
    same = node.block(0, parent, time=node.now - 30 * MINUTE)
    child = node.block(1, parent)
    node.hear_all(parent, same, child)
    assert node.is_booked(same)
    assert node.is_booked(child)


def test_eight_parents_are_allowed_strong_and_weak_together():
    node = LoneTangle(GENESIS)
    parents = [node.block(0, time=node.now - i) for i in range(8)]
    node.hear_all(*parents)
    block = node.block(1, *parents[:5], weak=tuple(parents[5:]))
    node.hear(block)
    assert node.is_booked(block)


@given(st.binary(max_size=300))
def test_any_bytes_decode_to_a_block_or_are_rejected(data):
    try:
        assert BLOCK_CODEC.encode(BLOCK_CODEC.decode(data)) == data
    except Rejected as rejected:
        assert rejected.code == "undecodable"


@settings(max_examples=50)
@given(st.data())
def test_a_block_survives_its_encoding_and_no_other_bytes_give_the_same(data):
    node = LoneTangle(GENESIS)
    block = node.block(0, payload=payment([GENESIS.output_id(0)], coins(100)))
    encoded = BLOCK_CODEC.encode(block)
    decoded = BLOCK_CODEC.decode(encoded)
    assert (decoded, decoded.id) == (block, block.id)
    place = data.draw(st.integers(0, len(encoded) - 1))
    changed = encoded[:place] + bytes([encoded[place] ^ data.draw(st.integers(1, 255))]) + encoded[place + 1 :]
    try:
        other = BLOCK_CODEC.decode(changed)
    except Rejected:
        return
    assert (
        other.id != block.id or other.essence.payload is not None
    )  # a payload's unlocks are covered through the essence
    assert other != block


def test_a_booked_block_is_sent_on_to_the_other_neighbours_once():
    node = LoneTangle(GENESIS, neighbours=("a", "b", "c"))
    block = node.block(0)
    assert node.hear(block, "b").messages == [Envelope(("a", "c"), ("tangle",), block)]
    assert node.hear(block, "c") == NOTHING


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(9)))
def test_blocks_are_booked_in_whatever_order_they_come(order):
    node = LoneTangle(GENESIS)
    transaction = payment([GENESIS.output_id(0)], coins(60, 40))
    spending = payment([transaction.output_id(0)], coins(60))
    blocks = [node.block(0, time=node.now - 10, payload=transaction)]
    for i in range(1, 9):
        parents = blocks[max(0, i - 3) : i]
        blocks.append(node.block(i % 4, *parents, time=node.now - 10 + i, payload=spending if i == 4 else None))
    node.hear_all(*[blocks[i] for i in order])
    assert all(node.is_booked(block) for block in blocks)
    booked = [output.block.id for output in node.told(BlockBooked)]
    for block in blocks:
        for parent in block.essence.strong:
            assert parent == node.genesis_id or booked.index(parent) < booked.index(block.id)
    assert {o.transaction_id for o in node.told(TransactionConfirmed)} == {transaction.id, spending.id}
    assert node.tangle._booker.waiting == {"parents": 0, "inputs": 0, "time": 0}
    assert node.tangle._booker.solidifier.requested == 0


def test_a_missing_parent_is_asked_for_of_the_sender_then_of_the_others_in_turn():
    node = LoneTangle(GENESIS)
    parent = node.block(0)
    child = node.block(1, parent)
    request = BlockRequest((parent.id,))
    assert node.hear(child, "b").messages == [Envelope(("b",), ("tangle",), request)]
    asked = []
    for _ in range(3):
        (envelope,) = node.later(SECOND).messages
        asked.append((envelope.recipients, envelope.message))
    assert asked == [(("a",), request), (("b",), request), (("a",), request)]
    node.hear(parent, "a")
    assert node.is_booked(child)
    assert node.later(5 * SECOND).messages == ()


def test_a_parent_that_itself_waits_is_not_asked_for():
    node = LoneTangle(GENESIS)
    first = node.block(0)
    second = node.block(1, first)
    third = node.block(2, second)
    assert node.hear(second).messages[0].message == BlockRequest((first.id,))
    assert node.hear(third).messages == ()


def test_a_parent_that_nobody_has_is_given_up_with_all_that_waits_for_it():
    node = LoneTangle(GENESIS)
    lost = node.block(0)
    second = node.block(1, lost)
    third = node.block(2, second)
    node.hear_all(second, third)
    node.later(solidification.REQUEST_ATTEMPTS_MAX * SECOND)
    assert node.tangle._booker.waiting["parents"] == 0
    assert node.tangle._booker.solidifier.requested == 0
    node.hear_all(third, second, lost)
    assert all(node.is_booked(block) for block in (lost, second, third)), "they may come again"


def test_what_stands_on_an_invalid_block_is_refused_with_it():
    node = LoneTangle(GENESIS)
    invalid = node.block(0, payload=payment([GENESIS.output_id(0)], coins(99)))
    before, after = node.block(1, invalid), node.block(2, invalid)
    node.hear_all(before, invalid, after)
    assert node.refusal(invalid) == "amount_mismatch"
    assert node.refusal(after) == "invalid_parent"
    assert not any(node.is_booked(block) for block in (before, invalid, after))
    assert node.hear(before).outputs == ()


def test_a_requested_block_is_sent_if_it_is_kept():
    node = LoneTangle(GENESIS)
    block = node.block(0)
    node.hear(block)
    step = node.hear(BlockRequest((block.id, bytes(32), node.genesis_id)), "b")
    assert step.messages == [Envelope(("b",), ("tangle",), block)]
    flood = node.hear(BlockRequest(tuple(i.to_bytes(32, "big") for i in range(257))), "b")
    assert [fault.kind for fault in flood.faults] == ["request_too_large"]


@pytest.mark.parametrize(("ahead", "waits"), [(2 * SECOND, False), (2 * SECOND + 1, True)])
def test_a_block_further_ahead_than_the_skew_waits_for_its_time(ahead, waits):
    node = LoneTangle(GENESIS)
    block = node.block(0, time=node.now + ahead)
    node.hear(block)
    assert node.is_booked(block) is not waits
    node.later(1)
    assert node.is_booked(block)


def test_a_block_with_unknown_inputs_waits_for_them_and_not_for_ever():
    node = LoneTangle(GENESIS)
    made = payment([GENESIS.output_id(0)], coins(60, 40))
    maker = node.block(0, payload=made)
    spender = node.block(1, payload=payment([made.output_id(0)], coins(60)))
    node.hear(spender)
    child = node.block(2, spender)
    node.hear(child)
    assert not node.is_booked(spender)
    node.hear(maker)
    assert node.is_booked(spender)
    assert node.is_booked(child)
    never = node.block(1, payload=payment([made.output_id(7)], coins(60)))
    node.hear(never)
    node.later(booking.INPUT_WAIT)
    assert node.tangle._booker.waiting["inputs"] == 0
    assert node.tangle._booker._parked_for == {}
    assert node.hear(never).faults == ()


def unsolid(node: LoneTangle, number: int, issuer=STRANGER):
    return node.block(issuer, number.to_bytes(32, "big"), time=node.now - number % 1000)


def test_a_flood_of_unsolid_blocks_takes_bounded_room_and_none_of_the_others(monkeypatch):
    monkeypatch.setattr(solidification, "UNSOLID_PER_SENDER_MAX", 50)
    node = LoneTangle(GENESIS)
    faults = [node.hear(unsolid(node, number), "a").faults for number in range(300)]
    kinds = [fault.kind for fault in itertools.chain(*faults)]
    assert kinds == ["too_many_unsolid"] * 250
    assert len(node.tangle._booker.solidifier) == 50
    other = unsolid(node, 1_000)
    assert list(node.hear(other, "b").faults) == []
    assert other.id in node.tangle._booker.solidifier
    node.later(solidification.REQUEST_ATTEMPTS_MAX * SECOND)
    assert len(node.tangle._booker.solidifier) == 0
    assert node.tangle._booker.solidifier._dependents == {}
    assert node.tangle._booker.solidifier._timers == []


def test_blocks_that_wait_for_time_or_inputs_are_limited(monkeypatch):
    monkeypatch.setattr(booking, "EARLY_MAX", 5)
    monkeypatch.setattr(booking, "PARKED_MAX", 5)
    node = LoneTangle(GENESIS)
    early = [node.hear(node.block(0, time=node.now + 10 * SECOND + i)).faults for i in range(7)]
    assert [fault.kind for fault in itertools.chain(*early)] == ["too_many_early"] * 2
    parked = [node.hear(node.block(0, payload=payment([GENESIS.output_id(9)], coins(i + 1)))).faults for i in range(7)]
    assert [fault.kind for fault in itertools.chain(*parked)] == ["too_many_parked"] * 2
    assert node.tangle._booker.waiting == {"parents": 0, "inputs": 5, "time": 5}


def test_refused_blocks_are_remembered_within_limits(monkeypatch):
    monkeypatch.setattr(booking, "REFUSED_MAX", 5)
    node = LoneTangle(GENESIS)
    for i in range(20):
        node.hear(node.block(0, version=2, time=node.now - i))
    assert len(node.tangle._booker._refused) == 5


ADAPTIVE = adapted(GOSHIMMER_08, pow_rate_thousandths=250)


def test_an_issuer_beyond_its_rate_needs_more_work_and_is_blamed_itself():
    node = LoneTangle(GENESIS, profile=ADAPTIVE)
    for i in range(4):
        node.hear(node.block(0, time=node.now - 9 * SECOND + i))
    block = node.block(0)
    step = node.hear(block, "b")
    detail = "21 zero bits, 22 expected after 4 blocks within the window"
    assert step.faults == [Fault("v0", "rate_exceeded", ("tangle",), detail)]
    assert not node.is_booked(block)
    worked = node.block(0, difficulty=22)
    node.hear(worked)
    assert node.is_booked(worked)
    other = node.block(1)
    node.hear(other)
    assert node.is_booked(other), "rates are counted per issuer"


def test_a_block_beyond_its_issuers_rate_that_others_approve_is_booked():
    node = LoneTangle(GENESIS, profile=ADAPTIVE)
    for i in range(4):
        node.hear(node.block(0, time=node.now - 9 * SECOND + i))
    block = node.block(0)
    node.hear(block)
    child = node.block(1, block)
    node.hear(child)
    node.hear(block)
    assert node.is_booked(block)
    assert node.is_booked(child)


def test_the_nodes_own_difficulty_follows_its_own_rate():
    node = LoneTangle(genesis(*coins(*[1] * 12)), profile=ADAPTIVE)
    source = genesis(*coins(*[1] * 12))
    for i in range(9):
        node.submit(payment([source.output_id(i)], coins(1)))
    bits = [
        node.tangle._booker._grinder.zero_bits(o.block.essence.work_data, o.block.nonce) for o in node.told(BlockBooked)
    ]
    assert bits == [21, 21, 21, 21, 22, 22, 22, 22, 23]
    assert len(node.told(TransactionSeen)) == 9


def test_a_block_older_than_what_is_kept_is_ignored():
    node = LoneTangle(GENESIS, weights=(1,))
    old = node.block(0, time=node.now - 50 * SECOND)
    node.hear(old)
    node.now += 60 * MINUTE
    node.hear_all(node.block(0))
    node.later(2 * MINUTE)
    assert not node.is_booked(old)
    assert node.hear(old).messages == ()
    assert not node.is_booked(old)


def test_the_essence_of_a_block_has_one_encoding():
    node = LoneTangle(GENESIS)
    essence = node.block(0).essence
    assert isinstance(essence, BlockEssence)
    assert msgspec.structs.replace(essence).work_data == essence.work_data
