"""One member's part in the committee's signature."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ledger.kernel.automaton import NOTHING, NodeId, Path
from ledger.kernel.encoding import digest
from ledger.transaction import ChainUnlock, CommitteeUnlock, SignatureUnlock, Transaction
from tests.harness.committee import CHAIN, DealtCommittee
from tests.harness.consensus_instances import BASE, essence_of
from wasp.consensus.batch_proposal import Batch
from wasp.consensus.distributed_signature import (
    DistributedSignature,
    MessageSigned,
    PartialSignature,
    SignMessage,
    anchor_transaction,
    is_signed_anchor,
    is_signed_by,
)

DEALT = DealtCommittee(5)
M0, M1, M2, M3, M4 = DEALT.members
PATH: Path = (CHAIN, 1, "signature")
MESSAGE, OTHER = digest("message"), digest("other")
ESSENCE = essence_of(Batch(BASE, 5, (), (0, 1, 2)), digest("entropy"), inputs=3)


def member(me: NodeId) -> DistributedSignature:
    return DistributedSignature(PATH, DEALT.committee, DEALT.signers[me], DEALT.verifier)


def share(me: NodeId, message: bytes = MESSAGE) -> PartialSignature:
    return PartialSignature(message, DEALT.signers[me].sign(message))


def unlock_of(message: bytes, *members: int) -> CommitteeUnlock:
    signers = [DEALT.signers[DEALT.members[j]] for j in members]
    return CommitteeUnlock(members, tuple(signer.sign(message) for signer in signers))


def faults(step: Any) -> list[tuple[NodeId, str]]:
    return [(fault.accused, fault.kind) for fault in step.faults]


def test_signatures_of_n_minus_f_members_make_the_unlock_in_the_order_of_the_members():
    signature = member(M0)
    assert signature.handle_message(M4, PATH, share(M4), 0) is NOTHING
    [envelope] = signature.handle_input(SignMessage(MESSAGE), 0).messages
    assert (envelope.recipients, envelope.path, envelope.message) == (DEALT.members, PATH, share(M0))
    assert signature.handle_message(M0, PATH, share(M0), 0) is NOTHING
    assert signature.handle_message(M2, PATH, share(M2), 0) is NOTHING
    assert signature.handle_message(M2, PATH, share(M2), 0) is NOTHING
    step = signature.handle_message(M1, PATH, share(M1), 0)
    assert step.outputs == (MessageSigned(unlock_of(MESSAGE, 0, 1, 2, 4)),)
    assert signature.handle_message(M3, PATH, share(M3), 0) is NOTHING


@pytest.mark.parametrize("early", [True, False])
def test_bad_and_divergent_signatures_are_faults_and_do_not_count(early: bool):
    signature = member(M0)
    found: list[tuple[NodeId, str]] = []
    forged = PartialSignature(MESSAGE, DEALT.signers[M2].sign(MESSAGE))
    if not early:
        found += faults(signature.handle_input(SignMessage(MESSAGE), 0))
    found += faults(signature.handle_message(M1, PATH, forged, 0))
    found += faults(signature.handle_message(M2, PATH, share(M2, OTHER), 0))
    if early:
        found += faults(signature.handle_input(SignMessage(MESSAGE), 0))
    assert found == [(M1, "bad_signature"), (M2, "divergent")]
    assert signature.status == "signed by me True, signatures 0/4"


def test_two_different_early_signatures_are_equivocation():
    signature = member(M0)
    assert faults(signature.handle_message(M1, PATH, share(M1), 0)) == []
    assert faults(signature.handle_message(M1, PATH, share(M1, OTHER), 0)) == [(M1, "equivocation")]


def test_only_distinct_members_of_the_committee_sign_for_it():
    def signed(unlock: CommitteeUnlock) -> bool:
        return is_signed_by(DEALT.committee, MESSAGE, unlock, DEALT.verifier)

    good = unlock_of(MESSAGE, 0, 1, 2, 3)
    assert signed(good)
    assert signed(unlock_of(MESSAGE, 0, 1, 2, 3, 4))
    assert not signed(unlock_of(OTHER, 0, 1, 2, 3))
    assert not signed(unlock_of(MESSAGE, 0, 1, 2))
    assert not signed(CommitteeUnlock(good.signers, good.signatures[::-1]))
    assert not signed(CommitteeUnlock((0, 1, 2), good.signatures))
    assert not signed(CommitteeUnlock((1, 2, 3, 4), good.signatures))
    assert not signed(CommitteeUnlock((0, 1, 2, 5), good.signatures))
    assert not signed(CommitteeUnlock((0, 0, 1, 2), (good.signatures[0], *good.signatures[:3])))


def test_an_anchor_has_the_committees_unlock_first_and_the_chains_for_all_other_inputs():
    unlock = unlock_of(ESSENCE.id, 0, 1, 2, 3)
    assert anchor_transaction(ESSENCE, unlock) == Transaction(ESSENCE, (unlock, ChainUnlock(0), ChainUnlock(0)))


def test_a_signed_anchor_moves_the_base_and_has_the_unlocks_that_it_must():
    def valid(transaction: Transaction) -> bool:
        return is_signed_anchor(transaction, BASE.output_id, DEALT.committee, DEALT.verifier)

    good = anchor_transaction(ESSENCE, unlock_of(ESSENCE.id, 0, 1, 2, 3))
    assert valid(good)
    assert not valid(msgspec.structs.replace(good, unlocks=good.unlocks[:2]))
    assert not valid(msgspec.structs.replace(good, unlocks=(good.unlocks[0], ChainUnlock(0), ChainUnlock(1))))
    assert not valid(msgspec.structs.replace(good, unlocks=(SignatureUnlock(bytes(64)), *good.unlocks[1:])))
    assert not valid(anchor_transaction(ESSENCE, unlock_of(ESSENCE.id, 0, 1, 2)))
    elsewhere = msgspec.structs.replace(ESSENCE, inputs=ESSENCE.inputs[::-1])
    assert not valid(anchor_transaction(elsewhere, unlock_of(elsewhere.id, 0, 1, 2, 3)))
