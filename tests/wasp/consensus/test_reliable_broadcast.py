"""One member's part in a broadcast."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.kernel.automaton import NOTHING, Envelope, Fault, NodeId, Path, Step
from tests.harness.committee import CHAIN, DealtCommittee
from wasp.consensus.binary_agreement import Done
from wasp.consensus.reliable_broadcast import (
    BroadcastPayload,
    Echo,
    Initial,
    PayloadDelivered,
    PayloadProposed,
    Ready,
    ReliableBroadcast,
)

DEALT = DealtCommittee(7)
PATH: Path = (CHAIN, 1, "broadcast", 0)
MEMBERS = DEALT.members


def member() -> ReliableBroadcast:
    return ReliableBroadcast(PATH, DEALT.committee, 0, payload_size_max=10)


def tell(broadcast: ReliableBroadcast, sender: NodeId, message: Any) -> Step[Any]:
    return broadcast.handle_message(sender, PATH, message, 0)


def multicast(message: Any) -> tuple[Envelope, ...]:
    return (Envelope(MEMBERS, PATH, message),)


def test_the_proposer_tells_all_members_itself_among_them():
    assert member().handle_input(BroadcastPayload(b"v"), 0) == Step(messages=multicast(Initial(b"v")))


def test_the_first_proposal_is_echoed_once():
    broadcast = member()
    expected: Step[Any] = Step(messages=multicast(Echo(b"v")), outputs=(PayloadProposed(),))
    assert tell(broadcast, MEMBERS[0], Initial(b"v")) == expected
    assert tell(broadcast, MEMBERS[0], Initial(b"v")) == NOTHING


def test_a_quorum_of_echoes_makes_ready_and_further_ones_nothing():
    broadcast = member()
    steps = [tell(broadcast, sender, Echo(b"v")) for sender in MEMBERS]
    assert [step.messages for step in steps] == [(), (), (), (), multicast(Ready(b"v")), (), ()]


def test_some_readies_are_joined_and_a_correct_majority_delivers():
    broadcast = member()
    steps = [tell(broadcast, sender, Ready(b"v")) for sender in MEMBERS]
    assert [step.messages for step in steps] == [(), (), multicast(Ready(b"v")), (), (), (), ()]
    assert [step.outputs for step in steps] == [(), (), (), (), (PayloadDelivered(b"v"),), (), ()]


def test_votes_for_other_payloads_are_counted_apart():
    broadcast = member()
    payloads = (b"v", b"w", b"v", b"w", b"v", b"w", b"v")
    assert all(
        tell(broadcast, sender, Ready(payload)).outputs == () for sender, payload in zip(MEMBERS, payloads, strict=True)
    )


@pytest.mark.parametrize("kind", [Initial, Echo, Ready])
def test_a_repeated_message_is_no_fault_but_a_second_payload_is(kind: Any):
    broadcast = member()
    assert tell(broadcast, MEMBERS[0], kind(b"v")).faults == ()
    assert tell(broadcast, MEMBERS[0], kind(b"v")) == NOTHING
    assert [fault.kind for fault in tell(broadcast, MEMBERS[0], kind(b"w")).faults] == ["equivocation"]


@pytest.mark.parametrize("kind", [Initial, Echo, Ready])
def test_an_oversized_payload_is_a_fault_and_not_counted(kind: Any):
    step = tell(member(), MEMBERS[0], kind(bytes(11)))
    assert step.faults == (Fault(MEMBERS[0], "oversized", PATH, "a payload of 11 bytes"),)
    assert step.messages == ()


def test_only_the_proposer_may_propose():
    assert [fault.kind for fault in tell(member(), MEMBERS[1], Initial(b"v")).faults] == ["not_the_proposer"]


def test_a_message_of_another_protocol_is_a_fault():
    assert [fault.kind for fault in tell(member(), MEMBERS[1], Done(0)).faults] == ["unexpected_message"]
