"""Views that members change together, as in PBFT, HotStuff and Jolteon: when to leave, when the next begins, what it needs.

1. the timer of view v expires, or f + 1 members are in later views (v + 1: the lowest of those): go to v + 1, say so with the
   certificate of what was prepared last (``ViewChange``), offer the own proposal to its leader
2. n - f members are in view v or later, or whatever else shows it: v has begun; its timer starts, twice as long as the last
3. leader of v > 0, on n - f good ``ViewChange(v)``: propose the list of the latest certificate among them; there is none: a
   list of its own. In view 0 the list is its own
4. decided, and somebody is in a later view: show it the decision

A view's timer starts when the view has begun: a member that is alone in a view waits for the others, and the time that
correct members spend together grows from view to view, up to what they need. With k dead leaders in a row their views take
(2^k - 1)T + kd, T being the timeout of the first: the timer, and one delay for what line 1 says.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Generic, TypeVar

from ledger.kernel.automaton import NodeId, Step, StepBuilder
from ledger.kernel.instant import Instant
from wasp.consensus.committee_protocol import Membership, ProtocolOutput
from wasp.consensus.leaders.leadership import VIEWS_AHEAD_MAX, LeaderProtocol
from wasp.consensus.leaders.proposal_list import ProposalList
from wasp.consensus.leaders.view_change import ViewChange, ViewChangeMark, ViewChanges
from wasp.consensus.leaders.vote import Certificate, Kind


class KnownView:
    """What one member knows of one view; protocols add their votes."""

    __slots__ = ("begun", "led")

    def __init__(self, number: int) -> None:
        self.begun = number == 0
        self.led = False


AnyView = TypeVar("AnyView", bound=KnownView)


class ViewProtocol(LeaderProtocol, Generic[AnyView]):
    """One member's part in one instance of a protocol that changes views; it fills in what happens in one."""

    __slots__ = ("_changes", "_prepared", "_views")

    claimed: ClassVar[Kind]
    """The kind of vote whose certificates are claimed in view changes."""

    def __init__(self, membership: Membership) -> None:
        super().__init__(membership)
        self._views: dict[int, AnyView] = {}
        self._changes = ViewChanges(self._notary, membership.committee, self.claimed)
        self._prepared: Certificate | None = None

    @property
    def status(self) -> dict[str, Any]:
        return super().status | {
            "prepared_in": self._prepared.view if self._prepared else None,
            "view_changes": self._changes.count(self.view),
        }

    @abstractmethod
    def _make_view(self, number: int) -> AnyView:
        """A view of which nothing is known yet."""

    @abstractmethod
    def _propose(
        self,
        step: StepBuilder[ProtocolOutput],
        proposals: ProposalList,
        prepared: Certificate | None,
        marks: tuple[ViewChangeMark, ...],
        now: Instant,
    ) -> None:
        """Line 3: multicast the list, with the certificate that demands it, if one does, the latest claim of these marks."""

    def _handle_proposed(self, step: StepBuilder[ProtocolOutput], now: Instant) -> None:
        self._maybe_start_timer(now)

    def _handle_expiry(self, step: StepBuilder[ProtocolOutput], name: str, now: Instant) -> None:
        """Line 1."""
        self._change_view(step, self.view + 1)
        self._maybe_start_timer(now)

    def _begin(self, step: StepBuilder[ProtocolOutput], number: int, now: Instant) -> None:
        """Line 2: f + 1 members at least are in this view."""
        view = self._at(number)
        if view.begun and "view" in self._timers:
            return
        view.begun = True
        self._join(step)
        self._maybe_start_timer(now)

    def _maybe_start_timer(self, now: Instant) -> None:
        if self._own is None or self.decided or "view" in self._timers:
            return
        if self._at(self.view).begun:
            self._start_timer("view", now)

    def _enter(self, view: int) -> None:
        """Be in a view, and forget what is of no use any more."""
        self.view = view
        for name in ("view", "patience"):
            self._timers.pop(name, None)
        self._changes.forget_before(view)
        for old in [old for old in self._views if old < view - VIEWS_AHEAD_MAX]:
            del self._views[old]

    def _change_view(self, step: StepBuilder[ProtocolOutput], view: int) -> None:
        """Line 1."""
        self._enter(view)
        self._announced = view
        self._announce(step, self._changes.make(view, self._prepared))
        self._offer(step, view)

    def _announce(self, step: StepBuilder[ProtocolOutput], change: ViewChange) -> None:
        """Line 1: tell the others."""
        self._multicast(step, change)

    def _handle_view_change(
        self, step: StepBuilder[ProtocolOutput], sender: NodeId, message: ViewChange, now: Instant
    ) -> None:
        """Lines 1 to 4."""
        view = message.view
        if self._is_ahead(step, sender, view):
            return
        self._answer(step, sender, view)
        if self.decided or view < self.view or view == 0:
            return
        fault = self._changes.add(sender, message, self.leader_of(view) == self._members[self._me])
        if fault is not None:
            step.faults.append(fault)
            return
        self._follow(step, now)

    def _follow(self, step: StepBuilder[ProtocolOutput], now: Instant) -> None:
        """Lines 1 to 3, when a member has gone to a view."""
        followed = self._changes.followed()
        if followed > 0:
            self._join(step)
        if followed > self.view:
            self._change_view(step, followed)
            self._maybe_start_timer(now)
        if self._changes.have_begun(self.view):
            self._begin(step, self.view, now)
        self._gather(step, now)

    def _lead(self, step: StepBuilder[ProtocolOutput], now: Instant) -> None:
        """Line 3."""
        view = self._at(self.view)
        if view.led:
            return
        marks = self._changes.marks(self.view)
        if self.view > 0 and not marks:
            return
        prepared = self._changes.highest(marks) if marks else None
        if prepared is None:
            proposals = self._gathering.list_with(self._me)
        elif (proposals := self._lists.get(prepared.digest)) is None:
            self._ask(step, self._lists.want(prepared.digest, now))
        if proposals is not None:
            view.led = True
            self._propose(step, proposals, prepared, marks, now)

    def _at(self, number: int) -> AnyView:
        """The view with this number, which is near."""
        view = self._views.get(number) or self._open(number)
        assert view is not None, "the view is near"
        return view

    def _open(self, number: int) -> AnyView | None:
        """The view with this number, of which nothing is known yet, unless it is too far away."""
        if abs(number - self.view) > VIEWS_AHEAD_MAX:
            return None
        view = self._views[number] = self._make_view(number)
        return view

    def _out_of_bounds(self, sender: NodeId, number: int) -> Step[ProtocolOutput]:
        step: StepBuilder[ProtocolOutput] = StepBuilder()
        self._is_ahead(step, sender, number)
        return step.build()
