"""Phases in which members vote to the leader alone, and it shows all of them the certificate: HotStuff and its descendants.

1. leader, with the list that the view demands (``views``, line 3): multicast ``ViewProposal``, signed as its first vote
2. on the leader's good ``ViewProposal`` in the current view, if the protocol allows it: send the leader a vote of phase 0
3. leader, on an intersecting quorum of votes of a phase: multicast their certificate, as the message of that phase
4. on a certificate of phase i, shown or in a proposal: remember what the protocol wants of it; it is of a later view: go
   there; it is of the current one, and shown: vote in phase i + 1
5. on a certificate of the last phase: decide

A member votes in a view's phases in rising order, each at most once, and never in a view that it has left. With p phases the
leader decides 2p delays after its proposal, the others at (2p + 1)d; (2p + 1)(n - 1) messages.

A certificate is a list of signatures, of an intersecting quorum for every n; the papers count on threshold signatures. So the
number of messages is linear in n, as theirs, but their bytes are quadratic: p certificates of O(n) for each member.

Line 2 asks nobody else: what makes it safe is the protocol's. Line 4 needs no list: a quorum vouches for it, and who must
propose or output a list that it lacks asks for it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

from ledger.kernel.automaton import NOTHING, Envelope, Fault, NodeId, Path, Step, StepBuilder
from ledger.kernel.encoding import Digest, Natural, Value
from ledger.kernel.identity import Signature
from ledger.kernel.instant import Instant
from wasp.consensus.committee_protocol import Membership, ProtocolOutput
from wasp.consensus.leaders.leadership import VIEWS_AHEAD_MAX
from wasp.consensus.leaders.proposal_list import ProposalList
from wasp.consensus.leaders.view_change import ViewChange, ViewChangeMark
from wasp.consensus.leaders.views import KnownView, ViewProtocol
from wasp.consensus.leaders.vote import Ballot, Certificate, Kind, Vote


class ViewProposal(Value):
    """The leader's list in this view, with the signature of its first vote for it, and why it may be that one."""

    view: Natural
    proposals: ProposalList
    signature: Signature
    prepared: Certificate | None
    """Of an earlier view, for this list; without it the list is the leader's own."""
    marks: tuple[ViewChangeMark, ...]
    """Where the protocol asks for a proof that this certificate is the latest."""

    def vote(self, kind: type[Vote]) -> Vote:
        """What the leader says about the digest alone."""
        return kind(self.view, self.proposals.digest, self.signature)


class Certified(Value):
    """The leader shows the certificate of a phase; the subclass says of which."""

    certificate: Certificate


class Phase(NamedTuple):
    """What members vote in a phase, and how the leader shows the certificate of these votes."""

    vote: Kind
    message: Callable[[Certificate], Value]


class _View(KnownView):
    """What this member saw and said in one view; the ballots are its leader's."""

    __slots__ = ("ballots", "proposal", "voted")

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.ballots: dict[Kind, Ballot] = {}
        self.proposal: ViewProposal | None = None
        self.voted = -1


class CertifiedPhases(ViewProtocol[_View]):
    """One member's part in one instance; a protocol has phases, and rules what to remember and what to accept."""

    phases: ClassVar[tuple[Phase, ...]]

    def __init__(self, membership: Membership) -> None:
        super().__init__(membership)
        self._certificate_quorum = membership.committee.intersecting
        self._places: dict[Any, int] = {phase.message: place for place, phase in enumerate(self.phases)}

    @property
    def status(self) -> dict[str, Any]:
        view = self._views.get(self.view)
        return super().status | {
            "proposal": view is not None and view.proposal is not None,
            "voted": view.voted if view else -1,
            "votes": {kind.__name__: ballot.total for kind, ballot in view.ballots.items()} if view else {},
        }

    @abstractmethod
    def _remember(self, place: int, certificate: Certificate) -> None:
        """Line 4: a good certificate of the phase at this place."""

    @abstractmethod
    def _why_bad(self, message: ViewProposal) -> str:
        """What is wrong with what a good list's leader says in its favour; empty when nothing is."""

    @abstractmethod
    def _may_accept(self, message: ViewProposal) -> bool:
        """Line 2: whether this member may vote for it, though it is good."""

    def handle_message(self, sender: NodeId, path: Path, message: Any, now: Instant) -> Step[ProtocolOutput]:
        if path != self._path:
            return Step(faults=(Fault(sender, "no_such_leaf", path),))
        if isinstance(message, Vote):
            return self._handle_vote(sender, message)
        step: StepBuilder[ProtocolOutput] = StepBuilder()
        match message:
            case Certified():
                self._handle_certified(step, sender, message, now)
            case ViewProposal():
                self._handle_view_proposal(step, sender, message, now)
            case ViewChange():
                self._handle_view_change(step, sender, message, now)
            case _:
                self._handle_leadership(step, sender, message, now)
        return self._conclude(step)

    def _handle_vote(self, sender: NodeId, message: Vote) -> Step[ProtocolOutput]:
        """Line 3. A certificate of the last phase is as good when its view is over; of another phase it is of no use then."""
        kind, number = message.__class__, message.view
        if self.decided or number < self.view - VIEWS_AHEAD_MAX:
            return NOTHING
        view = self._views.get(number)
        ballot = view.ballots.get(kind) if view is not None else None
        if ballot is None:
            detail = f"{kind.__name__} in view {number}, in which the recipient proposed nothing"
            return Step(faults=(Fault(sender, "unexpected_message", self._path, detail),))
        count = ballot.add(sender, message)
        if isinstance(count, Fault):
            return Step(faults=(count,))
        if not count or not ballot.closed:
            return NOTHING
        certificate = ballot.certificate(message.digest)
        assert certificate is not None, "a closed ballot has a certificate, of the digest that closed it"
        step: StepBuilder[ProtocolOutput] = StepBuilder()
        if number == self.view or kind is self.decisive:
            shown = next(phase.message for phase in self.phases if phase.vote is kind)
            self._multicast(step, shown(certificate))
        return self._conclude(step)

    def _handle_view_proposal(
        self, step: StepBuilder[ProtocolOutput], sender: NodeId, message: ViewProposal, now: Instant
    ) -> None:
        """Line 2. Marks prove that the view has begun. A proof of a bad list binds no certificate, so it is one in view 0."""
        number, prepared, vote = message.view, message.prepared, message.vote(self.phases[0].vote)
        view = self._views.get(number) or self._open(number)
        if view is None:
            self._is_ahead(step, sender, number)
            return
        first = view.proposal.vote(self.phases[0].vote) if view.proposal is not None else None
        if first == vote:
            return
        if sender != self.leader_of(number):
            self._blame(step, sender, "not_the_leader", f"view {number}")
        elif not self._notary.is_vote(sender, vote):
            self._blame(step, sender, "bad_signature", "ViewProposal")
        elif first is not None:
            step.faults.append(Fault(sender, "equivocation", self._path, f"two lists in view {number}", (first, vote)))
        elif why := self._why_bad_list(sender, message):
            step.faults.append(Fault(sender, "bad_list", self._path, why, () if number else (message,)))
        elif why := self._why_bad(message):
            self._blame(step, sender, "bad_proposal", why)
        else:
            view.proposal = message
            if prepared is not None:
                self._learn(step, 0, prepared, now)
            self._accept_list(step, message.proposals, now)
            if message.marks and not self.decided:
                if number > self.view:
                    self._enter(number)
                self._begin(step, number, now)
            self._maybe_accept(step, number)

    def _why_bad_list(self, leader: NodeId, message: ViewProposal) -> str:
        """A certified list was checked by a quorum."""
        prepared = message.prepared
        if prepared is None:
            return self._gathering.why_bad(message.proposals, self._committee.index[leader])
        if prepared.view >= message.view or prepared.digest != message.proposals.digest:
            return "a certificate for something else"
        good = self._notary.is_certified(self.claimed, prepared, self._certificate_quorum)
        return "" if good else "a certificate that is none"

    def _maybe_accept(self, step: StepBuilder[ProtocolOutput], number: int) -> None:
        """Line 2."""
        proposal = self._at(number).proposal
        if proposal is not None and self._may_accept(proposal):
            self._vote(step, 0, number, proposal.proposals.digest)

    def _handle_certified(
        self, step: StepBuilder[ProtocolOutput], sender: NodeId, message: Certified, now: Instant
    ) -> None:
        """Lines 4 and 5."""
        place, certificate = self._places.get(type(message)), message.certificate
        if place is None:
            self._blame(step, sender, "unexpected_message", type(message).__name__)
            return
        number = certificate.view
        if self.decided or self._is_ahead(step, sender, number):
            return
        if not self._notary.is_certified(self.phases[place].vote, certificate, self._certificate_quorum):
            self._blame(step, sender, "bad_certificate", type(message).__name__)
            return
        self._learn(step, place, certificate, now)
        self._vote(step, place + 1, number, certificate.digest)

    def _learn(self, step: StepBuilder[ProtocolOutput], place: int, certificate: Certificate, now: Instant) -> None:
        """Line 4: the certificate is good, and a quorum was in its view."""
        if self.decided:
            return
        self._remember(place, certificate)
        if certificate.view > self.view:
            self._enter(certificate.view)
        if certificate.view == self.view:
            self._begin(step, certificate.view, now)

    def _vote(self, step: StepBuilder[ProtocolOutput], place: int, number: int, digest: Digest) -> None:
        """Lines 2 and 4."""
        if number != self.view or self.decided:
            return
        view = self._at(number)
        if view.voted < place:
            view.voted = place
            vote = self._notary.vote(self.phases[place].vote, number, digest)
            step.messages.append(Envelope((self.leader_of(number),), self._path, vote))

    def _propose(
        self,
        step: StepBuilder[ProtocolOutput],
        proposals: ProposalList,
        prepared: Certificate | None,
        marks: tuple[ViewChangeMark, ...],
        now: Instant,
    ) -> None:
        """Line 1."""
        view, number, path = self._at(self.view), self.view, self._path
        for phase in self.phases:
            quorum = self._decision_quorum if phase.vote is self.decisive else self._certificate_quorum
            view.ballots[phase.vote] = Ballot(self._notary, phase.vote, number, quorum)
        view.voted = 0
        vote = self._notary.vote(self.phases[0].vote, number, proposals.digest)
        self._propose_list(step, ViewProposal(number, proposals, vote.signature, prepared, marks), now)
        step.messages.append(Envelope((self._members[self._me],), path, vote))

    def _make_view(self, number: int) -> _View:
        return _View(number)


def later(known: Certificate | None, certificate: Certificate) -> Certificate:
    """The certificate of the later view; the known one, if they are of the same."""
    return certificate if known is None or certificate.view > known.view else known
