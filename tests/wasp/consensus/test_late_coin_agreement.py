"""One member's part in an agreement whose coin is tossed after the votes."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.kernel.automaton import NOTHING, NodeId, Path, Step
from tests.harness.committee import CHAIN, DealtCommittee
from wasp.consensus.binary_agreement import Aux, BitDecided, BVal, CoinLearned, CoinNeeded, VoteGiven
from wasp.consensus.common_coin import REAL_SCHEDULE, CoinSchedule
from wasp.consensus.hbbft import HBBFT_SCHEDULE
from wasp.consensus.late_coin_agreement import Conf, LateCoinAgreement, Term
from wasp.consensus.reliable_broadcast import Echo

DEALT = DealtCommittee(4)
PATH: Path = (CHAIN, 1, "agreement", 0)
M0, M1, M2, M3 = MEMBERS = DEALT.members
NO, YES, BOTH = 1, 2, 3


class Member:
    """An agreement, and all that it has said."""

    def __init__(
        self, schedule: CoinSchedule = HBBFT_SCHEDULE, rounds_max: int = 10, *, confirming: bool = True
    ) -> None:
        self.agreement = LateCoinAgreement(PATH, DEALT.committee, schedule, rounds_max, confirming=confirming)
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

    def votes(self, round: int, value: bool) -> None:
        """All that is voted for one value."""
        self.tell(BVal(round, value), M0, M1, M2)
        self.tell(Aux(round, value), M0, M1, M2)


def test_who_decides_by_a_fixed_coin_stops_with_its_end():
    member = Member()
    member.give(VoteGiven(True))
    member.votes(0, True)
    assert member.said == [BVal(0, True), Aux(0, True), Term(0, True)]
    assert member.outputs == [BitDecided(True)]
    assert (member.agreement.terminated, member.agreement.decision, member.agreement.rounds_taken) == (True, True, 1)


def test_the_second_coin_fits_zero():
    member = Member()
    member.give(VoteGiven(False))
    member.votes(0, False)
    assert (member.agreement.round, member.agreement.rounds_taken) == (1, 0)
    member.votes(1, False)
    assert member.outputs == [BitDecided(False)]
    assert member.said[-1] == Term(1, False)
    assert member.agreement.rounds_taken == 2


def test_a_real_coin_is_wanted_when_n_minus_f_have_confirmed():
    member = Member(REAL_SCHEDULE)
    member.give(VoteGiven(True))
    member.votes(0, True)
    assert member.said == [BVal(0, True), Aux(0, True), Conf(0, YES)]
    member.tell(Conf(0, YES), M0, M1)
    assert member.outputs == []
    member.tell(Conf(0, YES), M2)
    assert member.outputs == [CoinNeeded(0)]
    member.give(CoinLearned(0, True))
    assert member.outputs == [CoinNeeded(0), BitDecided(True)]


def test_confirmations_of_values_not_accepted_wait_for_them():
    member = Member(REAL_SCHEDULE)
    member.give(VoteGiven(True))
    member.votes(0, True)
    member.tell(Conf(0, BOTH), M1, M2, M3)
    assert member.outputs == []
    member.tell(BVal(0, False), M1, M2, M3)
    assert member.outputs == [CoinNeeded(0)], "a confirmed value that is accepted later"
    member.give(CoinLearned(0, True))
    assert member.outputs == [CoinNeeded(0)], "both values: nothing is decided by a coin"
    assert member.agreement.round == 1


def test_what_was_heard_is_confirmed_not_what_is_accepted():
    """Confirming all that is accepted would let nobody decide, for ever: accepted values only grow."""
    member = Member(REAL_SCHEDULE)
    member.give(VoteGiven(True))
    member.tell(BVal(0, True), M0, M1, M2)
    member.tell(BVal(0, False), M1, M2, M3)
    member.tell(Aux(0, True), M0, M1, M2)
    assert member.said[-1] == Conf(0, YES)


def test_unconfirmed_the_coin_is_wanted_when_the_own_votes_are_fixed():
    member = Member(REAL_SCHEDULE, confirming=False)
    member.give(VoteGiven(True))
    member.votes(0, True)
    assert member.said == [BVal(0, True), Aux(0, True)]
    assert member.outputs == [CoinNeeded(0)]
    assert member.tell(Conf(0, YES), M1) == ["unexpected_message"]
    member.give(CoinLearned(0, False))
    assert member.said[-1] == BVal(1, True)


def test_nothing_is_confirmed_in_a_round_with_a_fixed_coin():
    assert Member().tell(Conf(0, YES), M1) == ["unexpected_message"]
    assert Member().tell(Conf(2, YES), M1) == []


def test_an_end_counts_as_all_votes_of_later_rounds():
    member = Member()
    member.give(VoteGiven(False))
    member.tell(Term(0, False), M3)
    member.votes(0, False)
    assert member.agreement.round == 1
    member.tell(BVal(1, False), M0, M1)
    assert Aux(1, False) in member.said, "two votes and an end are a majority"
    member.tell(Aux(1, False), M0, M1)
    assert member.outputs == [BitDecided(False)]


def test_an_end_does_not_count_in_its_own_round_nor_instead_of_what_was_said():
    member = Member()
    member.give(VoteGiven(True))
    member.tell(Aux(1, True), M3)
    member.tell(Term(0, False), M3)
    member.tell(BVal(0, True), M0, M1, M2)
    member.tell(Aux(0, True), M0, M1)
    assert member.agreement.round == 0
    assert member.outputs == []
    assert member.tell(Aux(1, True), M3) == [], "the first value of M3 in round 1 was 1, and stands"


def test_who_hears_of_f_plus_one_ends_ends_too_and_its_end_counts_from_its_round_on():
    member = Member()
    member.give(VoteGiven(False))
    member.tell(Term(0, False), M1)
    member.tell(Term(0, False), M2)
    assert member.outputs == [], "they ended in round 0, this member is in round 0"
    member.votes(0, False)
    assert member.outputs == [BitDecided(False)]
    assert member.said == [BVal(0, False), Aux(0, False), BVal(1, False), Term(0, False)]


def test_who_has_stopped_still_relays_votes_of_the_rounds_behind():
    member = Member()
    member.give(VoteGiven(True))
    member.votes(0, True)
    member.tell(BVal(0, False), M1, M2)
    assert member.said[-1] == BVal(0, False)
    member.tell(BVal(1, False), M1, M2, M3)
    assert member.said[-1] == BVal(0, False), "in later rounds its end speaks for it"


def test_a_coin_that_comes_after_the_end_changes_nothing():
    member = Member(CoinSchedule((False, None)))
    member.give(VoteGiven(True))
    member.votes(0, True)
    member.votes(1, True)
    member.tell(Conf(1, YES), M0, M1, M2)
    assert member.outputs == [CoinNeeded(1)]
    member.tell(Term(0, True), M1, M2)
    assert member.outputs == [CoinNeeded(1), BitDecided(True)]
    assert member.give(CoinLearned(1, True)) == NOTHING


def test_rounds_are_bounded():
    member = Member(rounds_max=3)
    for message in (BVal(3, True), Aux(3, True), Conf(3, YES), Term(3, True), BVal(2**60, True)):
        assert member.tell(message, M1) == ["round_out_of_bounds"]
    for message in (BVal(2, True), Aux(2, True), Conf(2, YES), Term(2, True)):
        assert member.tell(message, M1) == []


def test_out_of_rounds_it_stands_still_and_says_so():
    member = Member(CoinSchedule((False,)), rounds_max=1)
    member.give(VoteGiven(True))
    member.votes(0, True)
    assert member.agreement.status == "out of rounds"
    assert member.tell(BVal(0, False), M1, M2) == []


@pytest.mark.parametrize("message", [BVal(2, True), Aux(2, True), Conf(2, YES), Term(2, True)])
def test_a_repeated_message_changes_nothing(message: Any):
    member = Member()
    member.give(VoteGiven(True))
    member.tell(message, M1)
    assert member.agreement.handle_message(M1, PATH, message, 0) == NOTHING


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Aux(0, True), Aux(0, False)),
        (Conf(2, YES), Conf(2, BOTH)),
        (Term(0, True), Term(0, False)),
        (Term(0, True), Term(1, True)),
    ],
)
def test_two_of_what_is_said_once_are_equivocation(one: Any, other: Any):
    member = Member()
    assert member.tell(one, M1) + member.tell(other, M1) == ["equivocation"]
    assert member.tell(BVal(0, True), M2) + member.tell(BVal(0, False), M2) == [], "votes may be relayed"


def test_a_message_of_another_protocol_is_a_fault():
    assert Member().tell(Echo(b"v"), M1) == ["unexpected_message"]
