"""When a member proposes, and what.

::

    1  f + 1 others have proposed     propose at once: a correct one has work
    2  something is due, or a message is in the outbox, or requests have waited for ``gather_delay``:
                                      propose, not before ``batch_delay`` after the last proposal
    3  work by time alone, later      that is the deadline
    4  no work, or the view is full   wait; no timer

Work is a runnable request, an on-ledger request whose window is open, something due by now, or a message in the outbox; all
judged on the state after the tip, so there is none while that state is missing. The proposal names the tip and the requests;
without the tip's state the tip alone; no base while the view is full, or layer 1 has not told its confirmed view.

``gather_delay`` is for a chain at rest. A request is decided only when f + 1 members propose it, so one that is proposed
before the others have it costs an index for nothing; after one network delay they have it. What is due, all members see
by themselves.

``batch_delay`` lets requests gather while the chain is busy. Every skip in a row doubles it, or ``SKIP_DELAY_MIN`` where it
is shorter: a committee that can't agree on a base, because layer 1 decides between two, or because members do not hear
from layer 1, waits for that without burning log indices.
"""

from __future__ import annotations

from ledger.kernel.instant import MILLISECOND, Duration, Instant, earliest
from wasp.batch_policy import BatchPolicy
from wasp.chain_view import ChainView
from wasp.consensus.batch_proposal import REQUESTS_MAX, BatchProposal
from wasp.mempool import Mempool
from wasp.vm.execution import has_outbox, next_due
from wasp.vm.program import Program

SKIP_DOUBLINGS_MAX = 6
"""Doublings of the batch delay by skips in a row: a tenth of a second becomes six."""
SKIP_DELAY_MIN: Duration = 100 * MILLISECOND
"""What is doubled at least: without a batch delay, indices would be skipped as fast as messages travel."""


class Proposer:
    """One member's proposals."""

    def __init__(
        self,
        program: Program,
        view: ChainView,
        mempool: Mempool,
        policy: BatchPolicy,
        batch_delay: Duration,
        gather_delay: Duration,
    ) -> None:
        self.program = program
        self.view = view
        self.mempool = mempool
        self.policy = policy
        self.batch_delay = batch_delay
        self.gather_delay = gather_delay
        self.deadline: Instant | None = None
        """When there will be work, or when it may be proposed."""
        self._not_before: Instant = 0
        self._waiting_since: Instant | None = None
        """Since when there are requests to propose."""
        self._skips = 0
        self._next_due: Instant | None = None
        self._has_outbox = False
        self.note_active_state()

    def note_active_state(self) -> None:
        """The active state is another one."""
        state = self.view.active_state
        self._next_due, self._has_outbox = next_due(self.program, state), has_outbox(state)

    def note_anchored(self) -> None:
        """A log index ended with an anchor."""
        self._skips = 0

    def note_skipped(self, now: Instant) -> None:
        """A log index was skipped."""
        self._skips = min(self._skips + 1, SKIP_DOUBLINGS_MAX)
        self._not_before = max(self._not_before, now + (max(self.batch_delay, SKIP_DELAY_MIN) << self._skips))

    def proposal(self, accompanied: bool, now: Instant) -> BatchProposal | None:
        """What to propose now, if anything; afterwards ``deadline`` says when to ask again by time alone."""
        self.deadline = None
        if not accompanied and not self._may_begin(now):
            return None
        base = self.view.anchors.base if self.view.synced else None
        requests = self.mempool.proposable(now, self.policy) if base is not None and self.view.is_current else ()
        self._not_before = now + self.batch_delay
        self._waiting_since = None
        return BatchProposal(base, now, requests[:REQUESTS_MAX])

    def rest(self) -> None:
        """There is no instance to propose in."""
        self.deadline = None

    @property
    def status(self) -> str:
        """Why there is no proposal."""
        if not self.view.synced:
            return "layer 1 has not told its confirmed view"
        if self.view.anchors.base is None:
            return f"{len(self.view.anchors)} anchors wait for confirmation, as many as may"
        if not self.view.is_current:
            return "the state after the tip is missing"
        return "no work" if self.deadline is None else f"work at {self.deadline}"

    def _may_begin(self, now: Instant) -> bool:
        """Lines 2 to 4."""
        if not self.view.synced or self.view.anchors.base is None or not self.view.is_current:
            return False
        work_at = self._work_at(now)
        if work_at is not None:
            work_at = max(work_at, self._not_before)
        if work_at is None or now < work_at:
            self.deadline = work_at
            return False
        return True

    def _work_at(self, now: Instant) -> Instant | None:
        """When there is work, as far as one can see; not later than ``now`` when there is."""
        if self._has_outbox or (self._next_due is not None and self._next_due <= now):
            return now
        if not self.mempool.has_proposable(now):
            self._waiting_since = None
            return earliest(self._next_due, self.mempool.next_opening(now))
        if self._waiting_since is None:
            self._waiting_since = now
        return earliest(self._next_due, self._waiting_since + self.gather_delay)
