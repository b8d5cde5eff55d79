"""Tendermint (Buchman, Kwon, Milosevic, *The latest gossip on BFT consensus*, arXiv 1807.04938, algorithm 1), one height.

A round has a proposer and three steps; a view of the other protocols is a round here. Lines are those of the algorithm.

- 11-21: begin a round: its proposer multicasts ``RoundProposal``, of its valid value if it has one; others time its coming
- 22-33: on the proposal, or when it is overdue (57): multicast ``Prevote``, for nil when locked on another value
- 34-35: prevotes of a quorum, for whatever: time the step (61)
- 36-43: a quorum of prevotes for the proposed value (a *polka*): lock on it, multicast ``Precommit``; it is the valid value
- 44-46: a quorum of prevotes for nil, or line 61: multicast ``Precommit`` for nil
- 47-48: precommits of a quorum, for whatever: time the round's end (65); for nil, all of them: end it at once
- 49-54: a quorum of precommits for one value, of any round: decide
- 55-56: f + 1 members in later rounds: go there

A decision takes 3d from the proposal, and (n - 1)(2n + 1) messages. This is CometBFT's form, in which a quorum of nil
precommits ends a round without waiting: with k dead proposers in a row a decision takes (2^k - 1)T + 2kd + 3d, T being the
timeout of the first proposal. In the paper's form each of these rounds waits for its precommit timeout as well.

Departures. (a) Votes go to all members directly, not by gossip. What the paper concludes from gossip, that a polka that one
correct member saw is soon seen by all, is replaced by the certificate of the polka in a proposal that repeats a valid value:
line 28 needs no prevotes of its own. A polka that liars showed to one member only is thus known to all when that member
proposes, at the latest after n rounds; a decided member answers votes of later rounds with its certificate; and a member that
waits for votes that liars showed to others only leaves its round after twice the round's timeout, if f + 1 others have voted
in it. (b) 2f + 1 is the intersecting quorum. (c) Timeouts double, up to a cap; a vote's is half a proposal's. (d) A member
sends its own batch proposal to the next proposer together with its nil prevote, so that gathering costs no time.

Invariants. A member that precommits v is locked on it, and prevotes another value only after a polka for that in a later
round. A decision for v in round r leaves an intersecting quorum locked on v, so no other value has a polka after r.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from ledger.kernel.automaton import NOTHING, Fault, NodeId, Path, Step, StepBuilder
from ledger.kernel.encoding import Digest, Value
from ledger.kernel.instant import Instant
from wasp.consensus.committee_protocol import Membership, ProtocolOutput
from wasp.consensus.leaders.leadership import VIEWS_AHEAD_MAX, LeaderProtocol, LeadershipMessage
from wasp.consensus.leaders.proposal_list import ProposalList
from wasp.consensus.leaders.vote import NO_VALUE, Ballot, Certificate, Notary, Vote


class Proposed(Vote):
    """The sender, as proposer of this round, proposes the list with this digest."""


class Prevote(Vote):
    """The sender had this list proposed in this round and may accept it; nil: it had none that it may accept in time."""


class Precommit(Vote):
    """The sender saw a polka for this list and is locked on it; nil: it saw none in time."""


class RoundProposal(Value):
    """The proposer's list in a round, and the polka of an earlier round for it, if it had one."""

    vote: Proposed
    proposals: ProposalList
    polka: Certificate | None


TendermintMessage: TypeAlias = LeadershipMessage | RoundProposal | Prevote | Precommit


class _Round:
    """The votes of one round, and what was proposed here."""

    __slots__ = ("led", "polka", "precommits", "prevotes", "proposal", "timed")

    def __init__(self, notary: Notary, number: int, polka_quorum: int, decision_quorum: int) -> None:
        self.prevotes = Ballot(notary, Prevote, number, polka_quorum)
        self.precommits = Ballot(notary, Precommit, number, decision_quorum)
        self.proposal: RoundProposal | None = None
        self.polka = False
        self.led = False
        self.timed: set[str] = set()


class Tendermint(LeaderProtocol):
    """One member's part in one instance."""

    name = "tendermint"
    decisive = Precommit

    def __init__(self, membership: Membership) -> None:
        super().__init__(membership)
        committee = membership.committee
        self._polka_quorum = committee.intersecting
        self._any_quorum = committee.intersecting
        self._skip_quorum = committee.some_correct
        self._company_quorum = committee.some_correct + 1
        self._rounds: dict[int, _Round] = {}
        self._reached: dict[NodeId, int] = {}
        self._stage: Literal["propose", "prevote", "precommit"] = "propose"
        self._locked: Certificate | None = None
        self._valid: Certificate | None = None

    @property
    def status(self) -> dict[str, Any]:
        round = self._rounds.get(self.view)
        return super().status | {
            "stage": self._stage,
            "proposal": round is not None and round.proposal is not None,
            "prevotes": round.prevotes.total if round else 0,
            "precommits": round.precommits.total if round else 0,
            "locked_in": self._locked.view if self._locked else None,
        }

    def handle_message(self, sender: NodeId, path: Path, message: Any, now: Instant) -> Step[ProtocolOutput]:
        if path != self._path:
            return Step(faults=(Fault(sender, "no_such_leaf", path),))
        match message:
            case Prevote() | Precommit():
                return self._handle_vote(sender, message, now)
        step: StepBuilder[ProtocolOutput] = StepBuilder()
        if isinstance(message, RoundProposal):
            self._handle_round_proposal(step, sender, message, now)
        else:
            self._handle_leadership(step, sender, message, now)
        return self._conclude(step)

    def _handle_vote(self, sender: NodeId, message: Prevote | Precommit, now: Instant) -> Step[ProtocolOutput]:
        """Lines 34 to 56, as far as votes decide."""
        round = self._rounds.get(message.view) or self._open(message.view)
        if round is None:
            return self._out_of_bounds(sender, message.view)
        ballot = round.prevotes if message.__class__ is Prevote else round.precommits
        count = ballot.add(sender, message)
        if count.__class__ is Fault:
            return Step(faults=(count,))
        if not count:
            return NOTHING
        later = message.view > self.view
        if not (later or self._is_threshold(count, ballot.total)):
            return NOTHING
        step: StepBuilder[ProtocolOutput] = StepBuilder()
        if ballot.total >= self._join_quorum:
            self._join(step)
        if ballot is round.precommits and message.digest != NO_VALUE:
            self._maybe_decide(step, ballot, message, now)
        if later:
            self._handle_later(step, sender, message.view, now)
        self._advance(step, now)
        return self._conclude(step)

    def _is_threshold(self, count: int | Fault, total: int) -> bool:
        """Whether so many votes for one value, or for whatever, may change something."""
        return (
            count == self._polka_quorum
            or count == self._decision_quorum
            or total == self._join_quorum
            or total == self._any_quorum
            or total == self._company_quorum
        )

    def _handle_later(self, step: StepBuilder[ProtocolOutput], sender: NodeId, view: int, now: Instant) -> None:
        """Lines 55 and 56: a member is in a later round."""
        self._answer(step, sender, view)
        if self.decided:
            return
        self._reached[sender] = max(view, self._reached.get(sender, view))
        rounds = sorted(self._reached.values(), reverse=True)
        if len(rounds) >= self._skip_quorum and rounds[self._skip_quorum - 1] > self.view:
            self._join(step)
            self._start_round(step, rounds[self._skip_quorum - 1], now)

    def _handle_proposed(self, step: StepBuilder[ProtocolOutput], now: Instant) -> None:
        """Line 21 in round 0, which nobody times who waits for work."""
        if self._stage == "propose" and "propose" not in self._timers:
            self._start_timer("propose", now)

    def _start_round(self, step: StepBuilder[ProtocolOutput], number: int, now: Instant) -> None:
        """Lines 11 to 21."""
        self.view, self._stage, self._announced = number, "propose", number
        for old in [old for old in self._rounds if old < number - VIEWS_AHEAD_MAX]:
            del self._rounds[old]
        for name in ("propose", "prevote", "precommit", "round", "patience"):
            self._timers.pop(name, None)
        self._start_timer("propose", now)
        self._offer(step, number)
        self._gather(step, now)

    def _lead(self, step: StepBuilder[ProtocolOutput], now: Instant) -> None:
        """Lines 14 to 19."""
        round, valid = self._at(self.view), self._valid
        proposals = self._lists.get(valid.digest) if valid else self._gathering.list_with(self._me)
        if proposals is not None and not round.led:
            round.led = True
            vote = self._notary.vote(Proposed, self.view, proposals.digest)
            self._propose_list(step, RoundProposal(vote, proposals, valid), now)

    def _handle_round_proposal(
        self, step: StepBuilder[ProtocolOutput], sender: NodeId, message: RoundProposal, now: Instant
    ) -> None:
        """Lines 22 and 28: what is wrong with a proposal, and what it proposes."""
        vote, number = message.vote, message.vote.view
        round = self._rounds.get(number) or self._open(number)
        if round is None:
            self._is_ahead(step, sender, number)
            return
        if sender != self.leader_of(number):
            self._blame(step, sender, "not_the_leader", f"round {number}")
        elif round.proposal is not None and round.proposal.vote == vote:
            return
        elif vote.digest != message.proposals.digest or not self._notary.is_vote(sender, vote):
            self._blame(step, sender, "bad_signature", "RoundProposal")
        elif round.proposal is not None:
            if round.proposal.vote.digest != vote.digest:
                evidence = (round.proposal.vote, vote)
                step.faults.append(Fault(sender, "equivocation", self._path, f"two lists in round {number}", evidence))
        elif why := self._why_bad(sender, message):
            # In a later round a list may be right by a polka that the signature does not bind: it would prove nothing.
            step.faults.append(Fault(sender, "bad_list", self._path, why, () if number else (message,)))
        else:
            round.proposal = message
            self._accept_list(step, message.proposals, now)
            if number > self.view:
                self._handle_later(step, sender, number, now)
            self._advance(step, now)

    def _why_bad(self, proposer: NodeId, message: RoundProposal) -> str:
        polka = message.polka
        if polka is None:
            return self._gathering.why_bad(message.proposals, self._committee.index[proposer])
        if polka.digest != message.vote.digest or polka.view >= message.vote.view:
            return "a polka for something else"
        return "" if self._notary.is_certified(Prevote, polka, self._polka_quorum) else "a polka that was none"

    def _advance(self, step: StepBuilder[ProtocolOutput], now: Instant) -> None:
        """Lines 22 to 48 for the present round, as far as they carry."""
        if self.decided:
            return
        round = self._at(self.view)
        proposal, prevotes, precommits = round.proposal, round.prevotes, round.precommits
        if self._stage == "propose" and proposal is not None:
            self._prevote(step, proposal.vote.digest if self._may_accept(proposal) else NO_VALUE)
        if self._stage == "prevote" and prevotes.total >= self._any_quorum and "prevote" not in round.timed:
            round.timed.add("prevote")
            self._start_timer("prevote", now, halves=1)
        if self._stage != "propose" and proposal is not None and not round.polka:
            polka = prevotes.certificate(proposal.vote.digest)
            if polka is not None:
                round.polka = True
                self._valid = polka
                if self._stage == "prevote":
                    self._locked = polka
                    self._precommit(step, polka.digest)
        if self._stage == "prevote" and prevotes.count(NO_VALUE) >= self._polka_quorum:
            self._precommit(step, NO_VALUE)
        if precommits.total >= self._any_quorum and "precommit" not in round.timed:
            round.timed.add("precommit")
            self._start_timer("precommit", now, halves=1)
        if self._stage != "propose" and prevotes.total >= self._company_quorum and "round" not in round.timed:
            round.timed.add("round")
            self._start_timer("round", now, halves=4)
        if precommits.count(NO_VALUE) >= self._decision_quorum:
            self._start_round(step, self.view + 1, now)
            self._advance(step, now)

    def _may_accept(self, proposal: RoundProposal) -> bool:
        """Lines 23 and 29: not locked, or on this list, or on another one before the polka for this one."""
        locked, polka = self._locked, proposal.polka
        return (
            locked is None or locked.digest == proposal.vote.digest or (polka is not None and locked.view <= polka.view)
        )

    def _prevote(self, step: StepBuilder[ProtocolOutput], digest: Digest) -> None:
        self._stage = "prevote"
        self._timers.pop("propose", None)
        self._multicast(step, self._notary.vote(Prevote, self.view, digest))
        if digest == NO_VALUE:
            self._offer(step, self.view + 1)

    def _precommit(self, step: StepBuilder[ProtocolOutput], digest: Digest) -> None:
        self._stage = "precommit"
        self._timers.pop("prevote", None)
        self._multicast(step, self._notary.vote(Precommit, self.view, digest))

    def _handle_expiry(self, step: StepBuilder[ProtocolOutput], name: str, now: Instant) -> None:
        """Lines 57 to 67."""
        match name:
            case "propose":
                self._prevote(step, NO_VALUE)
            case "prevote":
                self._precommit(step, NO_VALUE)
            case "precommit" | "round":
                self._start_round(step, self.view + 1, now)
        self._advance(step, now)

    def _at(self, number: int) -> _Round:
        """The round with this number, which is near."""
        round = self._rounds.get(number) or self._open(number)
        assert round is not None, "the round is near"
        return round

    def _open(self, number: int) -> _Round | None:
        """The round with this number, unless it is too far away."""
        if abs(number - self.view) > VIEWS_AHEAD_MAX:
            return None
        round = self._rounds[number] = _Round(self._notary, number, self._polka_quorum, self._decision_quorum)
        return round

    def _out_of_bounds(self, sender: NodeId, number: int) -> Step[ProtocolOutput]:
        step: StepBuilder[ProtocolOutput] = StepBuilder()
        self._is_ahead(step, sender, number)
        return step.build()
