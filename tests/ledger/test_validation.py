"""When a transaction is valid: one test per rule, on both sides of its edge."""

from __future__ import annotations

import msgspec
import pytest

from ledger.kernel.identity import verifier
from ledger.kernel.rejection import Rejected
from ledger.output import BasicOutput, ChainAddress, Expiration, OutputId, SenderFeature
from ledger.transaction import Essence, SignatureUnlock, Transaction
from ledger.validation import check_form, validate
from tests.harness.payments import (
    ALICE,
    BOB,
    CHAINS,
    COMMITTEE_KEY,
    NETWORK,
    anchors,
    coins,
    key_of,
    move,
    payment,
    sign,
    to_chain,
)

VERIFIER = verifier("model")
ANCHOR, OTHER_ANCHOR = anchors()
IDS = tuple(OutputId(bytes(32), i) for i in range(4))


def code_of(transaction, consumed=(), network=NETWORK) -> str:
    try:
        check_form(transaction, network)
        validate(transaction, consumed, VERIFIER)
    except Rejected as rejected:
        return rejected.code
    return "valid"


def test_a_signed_payment_that_keeps_the_amount_is_valid():
    assert code_of(payment(IDS[:2], coins(25, 5)), coins(10, 20)) == "valid"


@pytest.mark.parametrize("amount", [29, 31])
def test_tokens_are_neither_created_nor_lost(amount):
    assert code_of(payment(IDS[:2], coins(amount)), coins(10, 20)) == "amount_mismatch"


def test_a_transaction_of_another_network_is_refused():
    assert code_of(payment(IDS[:1], coins(10)), coins(10), "other") == "wrong_network"


def test_an_output_consumed_twice_is_refused():
    assert code_of(payment([IDS[0], IDS[0]], coins(20)), coins(10, 10)) == "duplicate_input"


def test_there_is_one_unlock_per_input():
    essence = Essence(NETWORK, 0, IDS[:2], coins(20))
    assert code_of(sign(essence, ALICE), coins(10, 10)) == "unlock_count"


def test_a_transaction_that_no_block_can_carry_is_refused():
    outputs = [BasicOutput(1, key_of(ALICE), metadata=bytes(8_000)) for _ in range(8)]
    assert code_of(payment(IDS[:1], outputs), coins(8)) == "too_large"


def test_only_the_owner_of_a_key_spends_its_outputs():
    assert code_of(payment(IDS[:1], coins(10), owner=BOB), coins(10)) == "bad_signature"


def test_an_unlock_must_be_of_the_kind_of_the_address():
    essence = Essence(NETWORK, 0, IDS[:1], coins(10))
    assert code_of(sign(essence, 0), coins(10)) == "wrong_unlock"
    assert code_of(sign(essence, ALICE), [to_chain(10, CHAINS[0])]) == "wrong_unlock"


def test_an_output_of_a_chain_is_unlocked_by_its_anchor_among_the_inputs():
    held = to_chain(10, CHAINS[0])
    assert code_of(move(IDS[0], ANCHOR, received=[(IDS[1], held)]), [ANCHOR, held]) == "valid"
    foreign = to_chain(10, CHAINS[1])
    assert code_of(move(IDS[0], ANCHOR, received=[(IDS[1], foreign)]), [ANCHOR, foreign]) == "chain_not_unlocked"


def test_a_chain_unlock_must_point_at_another_input():
    essence = Essence(NETWORK, 0, IDS[:1], coins(10))
    for place in (0, 1):
        assert code_of(sign(essence, place), [to_chain(10, CHAINS[0])]) == "chain_not_unlocked"


def expiring(address, back, instant=100, timelock=None):
    return BasicOutput(10, address, Expiration(instant, back), timelock)


@pytest.mark.parametrize(("timestamp", "owner"), [(99, BOB), (100, ALICE)])
def test_from_its_expiration_on_an_output_belongs_to_its_return_address(timestamp, owner):
    output = expiring(key_of(BOB), key_of(ALICE))
    for spender in (ALICE, BOB):
        transaction = payment(IDS[:1], coins(10), timestamp, spender)
        assert code_of(transaction, [output]) == ("valid" if spender is owner else "bad_signature")


@pytest.mark.parametrize(("timestamp", "code"), [(49, "timelocked"), (50, "valid")])
def test_before_its_timelock_nobody_spends_an_output(timestamp, code):
    output = BasicOutput(10, key_of(ALICE), timelock=50)
    assert code_of(payment(IDS[:1], coins(10), timestamp), [output]) == code


def test_an_anchor_moves_by_one_state_index():
    for index, code in [(0, "bad_state_index"), (1, "valid"), (2, "bad_state_index")]:
        successor = msgspec.structs.replace(ANCHOR, state_index=index)
        essence = Essence(NETWORK, 0, IDS[:1], (successor,))
        assert code_of(sign(essence, COMMITTEE_KEY), [ANCHOR]) == code


def test_an_anchor_is_neither_lost_nor_made_from_nothing_nor_doubled():
    essence = Essence(NETWORK, 0, IDS[:1], coins(1_000))
    assert code_of(sign(essence, COMMITTEE_KEY), [ANCHOR]) == "anchor_lost"
    assert code_of(payment(IDS[:1], [ANCHOR]), coins(1_000)) == "anchor_from_nothing"
    changed = msgspec.structs.replace(ANCHOR, state_index=1, chain=CHAINS[1])
    assert code_of(sign(Essence(NETWORK, 0, IDS[:1], (changed,)), COMMITTEE_KEY), [ANCHOR]) == "anchor_lost"
    half = msgspec.structs.replace(ANCHOR, state_index=1, amount=500)
    assert code_of(sign(Essence(NETWORK, 0, IDS[:1], (half, half)), COMMITTEE_KEY), [ANCHOR]) == "two_anchors"
    both = Essence(NETWORK, 0, IDS[:2], (msgspec.structs.replace(ANCHOR, state_index=1, amount=2_000),))
    assert code_of(sign(both, COMMITTEE_KEY, COMMITTEE_KEY), [ANCHOR, ANCHOR]) == "two_anchors"


def test_two_chains_may_move_in_one_transaction():
    successors = tuple(msgspec.structs.replace(anchor, state_index=1) for anchor in (ANCHOR, OTHER_ANCHOR))
    essence = Essence(NETWORK, 0, IDS[:2], successors)
    assert code_of(sign(essence, COMMITTEE_KEY, COMMITTEE_KEY), [ANCHOR, OTHER_ANCHOR]) == "valid"


def test_the_controller_changes_only_in_a_rotation():
    rotated = msgspec.structs.replace(ANCHOR, state_index=1, state_controller=key_of(BOB))
    assert code_of(sign(Essence(NETWORK, 0, IDS[:1], (rotated,)), COMMITTEE_KEY), [ANCHOR]) == "valid"
    with_payment = (msgspec.structs.replace(rotated, amount=990), *coins(10))
    assert code_of(sign(Essence(NETWORK, 0, IDS[:1], with_payment), COMMITTEE_KEY), [ANCHOR]) == "controller_changed"
    with_input = (msgspec.structs.replace(rotated, amount=1_010),)
    essence = Essence(NETWORK, 0, IDS[:2], with_input)
    assert code_of(sign(essence, COMMITTEE_KEY, ALICE), [ANCHOR, *coins(10)]) == "controller_changed"


def test_a_chain_is_a_sender_only_where_its_anchor_moves():
    sent = to_chain(10, CHAINS[1], sender=SenderFeature(CHAINS[0], "auction"))
    assert code_of(move(IDS[0], ANCHOR, sent=[sent]), [ANCHOR]) == "valid"
    assert code_of(payment(IDS[:1], [sent]), coins(10)) == "bad_sender"
    assert code_of(move(IDS[0], OTHER_ANCHOR, sent=[sent]), [OTHER_ANCHOR]) == "bad_sender"


def test_the_unlocks_are_no_part_of_the_id():
    essence = Essence(NETWORK, 0, IDS[:1], coins(10))
    assert sign(essence, ALICE).id == sign(essence, COMMITTEE_KEY).id == essence.id


def test_a_chains_address_can_control_another_chain():
    owned = msgspec.structs.replace(OTHER_ANCHOR, state_controller=ChainAddress(CHAINS[0]))
    successors = tuple(msgspec.structs.replace(anchor, state_index=1) for anchor in (ANCHOR, owned))
    essence = Essence(NETWORK, 0, IDS[:2], successors)
    assert code_of(sign(essence, COMMITTEE_KEY, 0), [ANCHOR, owned]) == "valid"
    unlock = SignatureUnlock(ALICE.sign(essence.id))
    assert (
        code_of(Transaction(essence, (sign(essence, COMMITTEE_KEY).unlocks[0], unlock)), [ANCHOR, owned])
        == "wrong_unlock"
    )
