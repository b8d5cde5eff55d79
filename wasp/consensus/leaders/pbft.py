"""Practical Byzantine fault tolerance (Castro and Liskov, OSDI 1999, sections 4.2 to 4.5), one decision per instance.

1. leader of view 0, with a list: multicast ``PrePrepare(0, list)``
2. on the leader's good ``PrePrepare(v, list)`` in the current view v: multicast ``Prepare(v, digest)``
3. on an intersecting quorum of ``Prepare(v, digest)`` and the list: *prepared*; multicast ``Commit(v, digest)``
4. on an intersecting quorum of ``Commit(v, digest)``, of any view: decide the list
5. when the timer of view v expires, or f + 1 members are in later views (v + 1: the lowest of those): go to v + 1,
   multicast ``ViewChange(v + 1, certificate of what was prepared last)``, offer the own proposal to its leader
6. on n - f ``ViewChange(v)``, or whatever else shows that view v has begun: its timer starts, twice as long as the last
7. leader of v > 0, on n - f good ``ViewChange(v)``: multicast ``NewView``: their marks, the latest certificate among them and
   ``PrePrepare(v, list)`` with the list of that certificate; there is none: with a list of its own
8. on a ``NewView`` that follows from its marks: go to its view, line 2

The leader's ``PrePrepare`` stands for its ``Prepare``, and carries the signature of one. A decision takes 3d from the
leader's ``PrePrepare``, and 2n(n - 1) messages. With a dead leader it takes T + 4d, T being the timeout: view change, new
view, prepare, commit. With k dead leaders in a row the timers add up: (2^k - 1)T + (k + 3)d.

Departures. (a) There is one sequence number: no watermarks, no checkpoints, and a value is a list that proves itself, so the
null request of the paper's new view is a list of the new leader. (b) A ``NewView`` holds n - f marks and one certificate,
not n - f certificates (see ``view_change``). (c) All votes are signed: the paper's authenticators can't be passed on. (d) A
decided member leaves the views, and answers a ``ViewChange`` with its ``Commit`` certificate.

Invariants. Two intersecting quorums share a correct member, which prepares one digest a view, so a view has one certificate
at most. A decision in v leaves an intersecting quorum prepared in v: every n - f marks hold one of its correct members, so
whatever is prepared later is the same list.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from ledger.kernel.automaton import NOTHING, Fault, NodeId, Path, Step, StepBuilder
from ledger.kernel.encoding import Digest, Natural, Value
from ledger.kernel.identity import Signature
from ledger.kernel.instant import Instant
from wasp.consensus.committee_protocol import Membership, ProtocolOutput
from wasp.consensus.leaders.leadership import VIEWS_AHEAD_MAX, LeadershipMessage
from wasp.consensus.leaders.proposal_list import ProposalList
from wasp.consensus.leaders.view_change import ViewChange, ViewChangeMark
from wasp.consensus.leaders.views import KnownView, ViewProtocol
from wasp.consensus.leaders.vote import Ballot, Certificate, Notary, Vote


class Prepare(Vote):
    """The leader of this view proposed this list to the sender, and it is a good one."""


class Commit(Vote):
    """An intersecting quorum prepared this list: no other one can be prepared in this view."""


class PrePrepare(Value):
    """The leader's list in this view, with the signature of its ``Prepare`` for it."""

    view: Natural
    proposals: ProposalList
    signature: Signature

    @property
    def vote(self) -> Prepare:
        """What the leader says about the digest alone."""
        return Prepare(self.view, self.proposals.digest, self.signature)


class NewView(Value):
    """The leader's list in a later view, and why it must be that one."""

    marks: tuple[ViewChangeMark, ...]
    prepared: Certificate | None
    pre_prepare: PrePrepare


PbftMessage: TypeAlias = LeadershipMessage | PrePrepare | Prepare | Commit | ViewChange | NewView


class _View(KnownView):
    """The votes of one view, and what its leader proposed here."""

    __slots__ = ("commits", "committed", "digest", "prepares")

    def __init__(self, notary: Notary, number: int, prepare_quorum: int, commit_quorum: int) -> None:
        super().__init__(number)
        self.prepares = Ballot(notary, Prepare, number, prepare_quorum)
        self.commits = Ballot(notary, Commit, number, commit_quorum)
        self.digest: Digest | None = None
        self.committed = False


class Pbft(ViewProtocol[_View]):
    """One member's part in one instance."""

    __slots__ = ("_prepare_quorum", "_prepared_votes")

    name = "pbft"
    decisive = Commit
    claimed = Prepare

    def __init__(self, membership: Membership) -> None:
        super().__init__(membership)
        self._prepare_quorum = membership.committee.intersecting
        self._prepared_votes: tuple[Ballot, Digest] | None = None
        """What was prepared last; the certificate is made when the view changes."""

    @property
    def status(self) -> dict[str, Any]:
        view = self._views.get(self.view)
        return super().status | {
            "pre_prepared": view is not None and view.digest is not None,
            "prepares": view.prepares.total if view else 0,
            "commits": view.commits.total if view else 0,
        }

    def handle_message(self, sender: NodeId, path: Path, message: Any, now: Instant) -> Step[ProtocolOutput]:
        """Votes, which are most of all messages, are counted here: one call less for each."""
        if path != self._path:
            return Step(faults=(Fault(sender, "no_such_leaf", path),))
        kind = message.__class__
        if kind is Commit or kind is Prepare:
            view = self._views.get(message.view) or self._open(message.view)
            if view is None:
                return self._out_of_bounds(sender, message.view)
            if kind is Commit:
                count = view.commits.add(sender, message)
                if count != self._decision_quorum and count != self._join_quorum and count.__class__ is not Fault:
                    return NOTHING
                return self._handle_commit(message, count, now)
            count = view.prepares.add(sender, message)
            if count != self._prepare_quorum and count != self._join_quorum and count.__class__ is not Fault:
                return NOTHING
            return self._handle_prepare(message, count, now)
        step: StepBuilder[ProtocolOutput] = StepBuilder()
        match message:
            case PrePrepare():
                self._handle_pre_prepare(step, sender, message, now)
            case ViewChange():
                self._handle_view_change(step, sender, message, now)
            case NewView():
                self._handle_new_view(step, sender, message, now)
            case _:
                self._handle_leadership(step, sender, message, now)
        return self._conclude(step)

    def _handle_prepare(self, message: Prepare, count: int | Fault, now: Instant) -> Step[ProtocolOutput]:
        """Line 3, when a vote is the last of a threshold."""
        if isinstance(count, Fault):
            return Step(faults=(count,))
        step: StepBuilder[ProtocolOutput] = StepBuilder()
        self._begin(step, message.view, now)
        self._maybe_commit(step, message.view)
        return self._conclude(step)

    def _handle_commit(self, message: Commit, count: int | Fault, now: Instant) -> Step[ProtocolOutput]:
        """Line 4, when a vote is the last of a threshold."""
        if isinstance(count, Fault):
            return Step(faults=(count,))
        step: StepBuilder[ProtocolOutput] = StepBuilder()
        self._begin(step, message.view, now)
        self._maybe_decide(step, self._at(message.view).commits, message, now)
        return self._conclude(step)

    def _handle_pre_prepare(
        self, step: StepBuilder[ProtocolOutput], sender: NodeId, message: PrePrepare, now: Instant
    ) -> None:
        """Line 2 in view 0."""
        if message.view != 0:
            self._blame(step, sender, "unexpected_message", "a later view begins with NewView")
        elif sender != self.leader_of(0):
            self._blame(step, sender, "not_the_leader", "view 0")
        elif self.view <= VIEWS_AHEAD_MAX:
            self._accept(step, sender, message, certified=False, now=now)

    def _accept(
        self, step: StepBuilder[ProtocolOutput], leader: NodeId, message: PrePrepare, certified: bool, now: Instant
    ) -> None:
        """Line 2. The leader's vote counts, so that two of them are found out; what is certified was checked by a quorum."""
        view, vote = self._at(message.view), message.vote
        count = view.prepares.add(leader, vote)
        if isinstance(count, Fault):
            step.faults.append(count)
            return
        if view.digest is not None:
            return
        if not count and not self._notary.is_vote(leader, vote):
            self._blame(step, leader, "bad_signature", "PrePrepare")
            return
        why = "" if certified else self._gathering.why_bad(message.proposals, self._committee.index[leader])
        if why:
            # In a later view a list may be right by a certificate that this message does not bind: it would prove nothing.
            step.faults.append(Fault(leader, "bad_list", self._path, why, () if message.view else (message,)))
            return
        view.digest = vote.digest
        self._accept_list(step, message.proposals, now)
        self._begin(step, message.view, now)
        if message.view == self.view and not self.decided:
            if leader != self._members[self._me]:
                self._multicast(step, self._notary.vote(Prepare, message.view, vote.digest))
            self._maybe_commit(step, message.view)

    def _change_view(self, step: StepBuilder[ProtocolOutput], view: int) -> None:
        """Line 5."""
        if self._prepared_votes is not None:
            ballot, digest = self._prepared_votes
            self._prepared = ballot.certificate(digest)
        super()._change_view(step, view)

    def _maybe_commit(self, step: StepBuilder[ProtocolOutput], number: int) -> None:
        """Line 3."""
        view = self._views[number]
        if number != self.view or view.committed or view.digest is None or self.decided:
            return
        if view.prepares.count(view.digest) >= self._prepare_quorum:
            view.committed = True
            self._prepared_votes = view.prepares, view.digest
            self._multicast(step, self._notary.vote(Commit, number, view.digest))

    def _propose(
        self,
        step: StepBuilder[ProtocolOutput],
        proposals: ProposalList,
        prepared: Certificate | None,
        marks: tuple[ViewChangeMark, ...],
        now: Instant,
    ) -> None:
        """Lines 1 and 7."""
        vote = self._notary.vote(Prepare, self.view, proposals.digest)
        pre_prepare = PrePrepare(self.view, proposals, vote.signature)
        self._propose_list(step, NewView(marks, prepared, pre_prepare) if self.view else pre_prepare, now)

    def _handle_new_view(
        self, step: StepBuilder[ProtocolOutput], sender: NodeId, message: NewView, now: Instant
    ) -> None:
        """Line 8."""
        view, prepared = message.pre_prepare.view, message.prepared
        if self._is_ahead(step, sender, view) or self.decided or view < self.view:
            return
        if view == 0 or sender != self.leader_of(view):
            self._blame(step, sender, "not_the_leader", f"view {view}")
        elif why := self._changes.why_bad(view, message.marks, prepared):
            self._blame(step, sender, "bad_new_view", why)
        elif prepared is not None and prepared.digest != message.pre_prepare.proposals.digest:
            self._blame(step, sender, "bad_new_view", "not the list that was prepared")
        else:
            if view > self.view:
                self._enter(view)
            self._begin(step, view, now)
            self._accept(step, sender, message.pre_prepare, certified=prepared is not None, now=now)

    def _make_view(self, number: int) -> _View:
        return _View(self._notary, number, self._prepare_quorum, self._decision_quorum)
