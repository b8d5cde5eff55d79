"""HotStuff (Yin, Malkhi, Reiter, Gueta, Abraham, PODC 2019, algorithm 2, "basic HotStuff"), one decision per instance.

1. leader, with n - f view changes (in view 0: none), the latest certificate among them: multicast ``ViewProposal``
2. on a proposal in the current view that is *safe*: send the leader ``PrepareVote``
3. leader, on a quorum of these: multicast ``Prepared``; on it: that is the latest to claim; send ``PreCommitVote``
4. leader, on a quorum of these: multicast ``PreCommitted``; on it: *lock* on the list; send ``CommitVote``
5. leader, on a quorum of these: multicast ``Decision``; on it: decide
6. when the view's timer expires, or f + 1 members are in later views: send the next leader ``ViewChange``, others ``Wish``

A proposal is safe (``safeNode``) when it is for the list that one is locked on, when one is not locked, or when it comes
with a certificate of a later view than that of the lock. All votes go to the leader alone, which decides 6d after its
proposal; the others decide at 7d, with 7(n - 1) messages; with a dead leader at T + d + 7d, T being the timeout. The paper's
first delay, for new-view messages that the leader of every view collects, is here that of the members' own proposals, and
counted apart.

Departures. (a) Not pipelined: the chain above needs each chain block signed before the next is proposed, so there is one
decision, and what extends a node is the same list. (b) Certificates are lists of signatures (see ``certified_phases``), and
quorums intersect for every n. (c) The paper leaves it open how members come into the same view: here by ``Wish``, a few
bytes to all, so that a view change has n(n - 1) messages; certificates go to the next leader only. (d) The certificate in a
proposal is a claim as well. (e) A proposal of a later view is kept until this member goes there.

Invariants. Two intersecting quorums share a correct member, which votes once a phase, so a view has one certified digest. A
decision in v leaves an intersecting quorum locked on its list in v: another one finds no quorum in v + 1, hence has no
certificate that could unlock a member there, and so on. Who is locked has seen a quorum's ``PreCommitVote``, so any n - f
view changes hold the certificate that unlocks everybody: a correct leader's proposal is safe for all.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from ledger.kernel.automaton import Envelope, NodeId, Path, Step, StepBuilder
from ledger.kernel.encoding import Natural, Value
from ledger.kernel.instant import Instant
from wasp.consensus.committee_protocol import Membership, ProtocolOutput
from wasp.consensus.leaders.certified_phases import Certified, CertifiedPhases, Phase, ViewProposal, later
from wasp.consensus.leaders.leadership import Decision, LeadershipMessage
from wasp.consensus.leaders.proposal_list import ProposalList
from wasp.consensus.leaders.view_change import ViewChange, ViewChangeMark
from wasp.consensus.leaders.vote import Certificate, Vote


class PrepareVote(Vote):
    """The leader of this view proposed this list to the sender, who may accept it."""


class PreCommitVote(Vote):
    """The sender has seen that a quorum may accept this list, so that no other can be certified in this view."""


class CommitVote(Vote):
    """The sender is locked on this list: a quorum has seen what unlocks those who are locked on another."""


class Prepared(Certified):
    """A quorum's ``PrepareVote``."""


class PreCommitted(Certified):
    """A quorum's ``PreCommitVote``."""


class Wish(Value):
    """The sender has left for this view."""

    view: Natural


HotStuffMessage: TypeAlias = (
    LeadershipMessage
    | ViewProposal
    | PrepareVote
    | Prepared
    | PreCommitVote
    | PreCommitted
    | CommitVote
    | ViewChange
    | Wish
)


class HotStuff(CertifiedPhases):
    """One member's part in one instance."""

    name = "hotstuff"
    claimed = PrepareVote
    phases = (Phase(PrepareVote, Prepared), Phase(PreCommitVote, PreCommitted), Phase(CommitVote, Decision))
    decisive = CommitVote

    def __init__(self, membership: Membership) -> None:
        super().__init__(membership)
        self._locked: Certificate | None = None

    @property
    def status(self) -> dict[str, Any]:
        return super().status | {"locked_in": self._locked.view if self._locked else None}

    def handle_message(self, sender: NodeId, path: Path, message: Any, now: Instant) -> Step[ProtocolOutput]:
        if not isinstance(message, Wish) or path != self._path:
            return super().handle_message(sender, path, message, now)
        step: StepBuilder[ProtocolOutput] = StepBuilder()
        self._handle_wish(step, sender, message, now)
        return self._conclude(step)

    def _may_accept(self, message: ViewProposal) -> bool:
        """Line 2: ``safeNode``."""
        locked, prepared = self._locked, message.prepared
        return (
            locked is None
            or locked.digest == message.proposals.digest
            or (prepared is not None and prepared.view > locked.view)
        )

    def _why_bad(self, message: ViewProposal) -> str:
        return "marks, for which nobody asked" if message.marks else ""

    def _remember(self, place: int, certificate: Certificate) -> None:
        """Lines 3 and 4."""
        if place == 0:
            self._prepared = later(self._prepared, certificate)
        else:
            self._locked = later(self._locked, certificate)

    def _change_view(self, step: StepBuilder[ProtocolOutput], view: int) -> None:
        """Line 6, and line 2 for a proposal that came before."""
        super()._change_view(step, view)
        self._maybe_accept(step, view)

    def _announce(self, step: StepBuilder[ProtocolOutput], change: ViewChange) -> None:
        """Line 6."""
        leader = self.leader_of(change.view)
        step.messages.append(Envelope((leader,), self._path, change))
        others = tuple(member for member in self._members if member != leader)
        if others:
            step.messages.append(Envelope(others, self._path, Wish(change.view)))

    def _handle_wish(self, step: StepBuilder[ProtocolOutput], sender: NodeId, message: Wish, now: Instant) -> None:
        """Line 6: f + 1 of them are followed."""
        if self._is_ahead(step, sender, message.view):
            return
        self._answer(step, sender, message.view)
        if not self.decided and message.view > 0:
            self._changes.note(sender, message.view)
            self._follow(step, now)

    def _propose(
        self,
        step: StepBuilder[ProtocolOutput],
        proposals: ProposalList,
        prepared: Certificate | None,
        marks: tuple[ViewChangeMark, ...],
        now: Instant,
    ) -> None:
        """Line 1: locks make up for the marks."""
        super()._propose(step, proposals, prepared, (), now)
