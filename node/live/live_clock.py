"""The clock of a live node: instants are microseconds since the scenario's epoch.

The wall clock is read once, when the node starts; from then on the monotonic clock carries it. So a step of the wall clock
(by an operator, or by a time service) moves no deadline while the node runs, and instants never go back within one
incarnation. A restarted node reads the wall clock again: that is where its skew comes from, and the protocols bear it.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic_ns, time_ns

from ledger.kernel.instant import MILLISECOND, SECOND, Duration, Instant

NANOSECONDS = 1_000
"""In a microsecond."""


class LiveClock:
    """Tells the present instant."""

    def __init__(
        self,
        epoch_us: int,
        wall_ns: Callable[[], int] = time_ns,
        monotonic_ns: Callable[[], int] = monotonic_ns,
    ) -> None:
        """``epoch_us``: the scenario's epoch in microseconds of Unix time."""
        self._monotonic_ns = monotonic_ns
        self._zero_ns = monotonic_ns() - wall_ns() + epoch_us * NANOSECONDS

    def now(self) -> Instant:
        """The present; negative before the epoch."""
        return (self._monotonic_ns() - self._zero_ns) // NANOSECONDS

    def seconds_until(self, instant: Instant) -> float:
        """How long to wait so that the clock shows the instant, in whole milliseconds, rounded up.

        Event loops count in them: one that is told less would wake too early, again and again.
        """
        wait: Duration = max(0, instant - self.now())
        return -(-wait // MILLISECOND) * MILLISECOND / SECOND
