"""One member's part in a binary agreement."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.kernel.automaton import NOTHING, NodeId, Path, Step
from tests.harness.committee import CHAIN, DealtCommittee
from wasp.consensus.binary_agreement import (
    Aux,
    BinaryAgreement,
    BitDecided,
    BVal,
    CoinLearned,
    CoinNeeded,
    Done,
    VoteGiven,
)
from wasp.consensus.common_coin import REAL_SCHEDULE, WASP_SCHEDULE, CoinSchedule
from wasp.consensus.reliable_broadcast import Echo

DEALT = DealtCommittee(4)
PATH: Path = (CHAIN, 1, "agreement", 0)
M0, M1, M2, M3 = MEMBERS = DEALT.members


class Member:
    """An agreement, and all that it has said."""

    def __init__(self, schedule: CoinSchedule = WASP_SCHEDULE, rounds_max: int = 10) -> None:
        self.agreement = BinaryAgreement(PATH, DEALT.committee, schedule, rounds_max)
        self.said: list[Any] = []
        self.outputs: list[Any] = []

    def take(self, step: Step[Any]) -> Step[Any]:
        self.said += [envelope.message for envelope in step.messages]
        self.outputs += step.outputs
        return step

    def give(self, input: VoteGiven | CoinLearned) -> Step[Any]:
        return self.take(self.agreement.handle_input(input, 0))

    def tell(self, message: Any, *senders: NodeId) -> list[str]:
        """The kinds of faults that it finds in the message of these senders."""
        steps = [self.take(self.agreement.handle_message(sender, PATH, message, 0)) for sender in senders]
        return [fault.kind for step in steps for fault in step.faults]


def after_round_0() -> Member:
    """Decided 1 in round 0, without having heard of votes for 0."""
    member = Member()
    member.give(VoteGiven(True))
    member.tell(BVal(0, True), M0, M1, M2)
    member.tell(Aux(0, True), M0, M1, M2)
    return member


def test_a_round_from_the_vote_to_the_decision():
    member = after_round_0()
    assert member.said == [BVal(0, True), Aux(0, True), Done(0), BVal(1, True)]
    assert member.outputs == [BitDecided(True)]
    assert (member.agreement.decision, member.agreement.terminated) == (True, False)


def test_deciding_a_second_time_terminates():
    member = after_round_0()
    member.tell(BVal(1, True), M0, M1, M2)
    member.tell(Aux(1, True), M0, M1, M2)
    assert member.agreement.terminated
    assert member.said[-2:] == [BVal(1, True), Aux(1, True)]
    assert member.outputs == [BitDecided(True)]


def test_who_is_ahead_still_relays_votes_of_the_rounds_behind():
    """Without that, a member that waits in round 0 for a majority of votes for 0 hangs for ever."""
    member = after_round_0()
    assert member.agreement.round == 1
    member.tell(BVal(0, False), M1, M2)
    assert member.said[-1] == BVal(0, False)


def test_who_has_terminated_still_relays_votes_of_the_rounds_behind():
    member = after_round_0()
    member.tell(BVal(1, True), M0, M1, M2)
    member.tell(Aux(1, True), M0, M1, M2)
    member.tell(BVal(0, False), M1, M2)
    assert member.said[-1] == BVal(0, False)


def test_votes_that_came_before_the_own_one_count():
    member = Member()
    member.tell(BVal(0, True), M1, M2, M3)
    member.tell(Aux(0, True), M1, M2, M3)
    member.tell(BVal(1, True), M1, M2, M3)
    member.tell(Aux(1, True), M1, M2, M3)
    assert member.said == []
    member.give(VoteGiven(False))
    assert member.outputs == [BitDecided(True)]
    assert member.agreement.terminated
    assert member.said == [
        *(BVal(0, False), BVal(0, True), Aux(0, True), Done(0)),
        *(BVal(1, True), Aux(1, True)),
    ]


def test_auxiliary_votes_outside_of_the_accepted_values_wait():
    member = Member()
    member.give(VoteGiven(True))
    member.tell(BVal(0, True), M0, M1, M2)
    member.tell(Aux(0, True), M0, M1)
    member.tell(Aux(0, False), M2)
    assert member.agreement.round == 0
    member.tell(BVal(0, False), M1, M2, M3)
    assert member.agreement.round == 1
    assert member.outputs == [], "both values: the coin is the estimate, and nothing is decided"


def test_a_real_coin_is_wanted_at_the_start_of_its_round_and_waited_for():
    member = Member(REAL_SCHEDULE)
    member.give(VoteGiven(True))
    assert member.outputs == [CoinNeeded(0)]
    member.tell(BVal(0, True), M0, M1, M2)
    member.tell(Aux(0, True), M0, M1, M2)
    assert member.agreement.round == 0
    member.give(CoinLearned(0, False))
    assert member.agreement.round == 1
    assert member.outputs == [CoinNeeded(0), CoinNeeded(1)]
    member.tell(BVal(1, True), M0, M1, M2)
    member.give(CoinLearned(1, True))
    member.tell(Aux(1, True), M0, M1, M2)
    assert member.outputs == [CoinNeeded(0), CoinNeeded(1), BitDecided(True), CoinNeeded(2)]


def test_rounds_are_bounded():
    member = Member(rounds_max=2)
    assert member.tell(BVal(2, True), M1) == ["round_out_of_bounds"]
    assert member.tell(Aux(2, True), M1) == ["round_out_of_bounds"]
    assert member.tell(Done(2), M1) == ["round_out_of_bounds"]
    assert member.tell(BVal(1, True), M1) == []


def test_out_of_rounds_it_stands_still_and_says_so():
    member = Member(CoinSchedule((False,)), rounds_max=1)
    member.give(VoteGiven(True))
    member.tell(BVal(0, True), M0, M1, M2)
    member.tell(Aux(0, True), M0, M1, M2)
    assert member.agreement.status == "out of rounds, decided None"
    assert member.tell(BVal(0, False), M1, M2) == []


@pytest.mark.parametrize("message", [BVal(0, True), Aux(0, True), Done(0)])
def test_a_repeated_message_changes_nothing(message: Any):
    member = Member()
    member.give(VoteGiven(True))
    member.tell(message, M1)
    assert member.agreement.handle_message(M1, PATH, message, 0) == NOTHING


def test_two_auxiliary_votes_or_two_first_decisions_are_equivocation_two_votes_are_not():
    member = Member()
    assert member.tell(BVal(0, True), M1) + member.tell(BVal(0, False), M1) == []
    assert member.tell(Aux(0, True), M1) + member.tell(Aux(0, False), M1) == ["equivocation"]
    assert member.tell(Done(0), M1) + member.tell(Done(1), M1) == ["equivocation"]


def test_a_message_of_another_protocol_is_a_fault():
    assert Member().tell(Echo(b"v"), M1) == ["unexpected_message"]
