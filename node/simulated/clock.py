"""The virtual clock: simpy's environment with an agenda of its own for what happens often.

simpy makes an object, a heap entry and a callback list for every event. For the arrivals of frames that is most of the
cost of a simulation. So this environment keeps, beside simpy's queue, one list of arrivals per instant and a heap of the
instants; one ``step`` hands over all arrivals of an instant at once. It overrides ``step`` and ``peek`` in the manner of
simpy's own ``RealtimeEnvironment``. simpy's processes and timeouts work as ever: faults, load and scenarios are written
with them.

Order: instants ascending; at one instant simpy's events first, then the arrivals in the order in which they were put
there; what an arrival causes at its own instant comes in a further list of that instant. Virtual time is a whole number
of microseconds since the scenario's epoch.

This is the one file that touches protected names of simpy, whose version is pinned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush
from typing import Any, TypeAlias

import simpy
from simpy.core import EmptySchedule, Infinity

from ledger.kernel.instant import Duration, Instant

Arrivals: TypeAlias = list[Any]
"""Receiver, item, receiver, item, ...: a pair each would be a million objects, and a third less speed. Where the receiver is
None, the item is a function to be called."""
PARTS_PER_MILLION = 1_000_000


class VirtualClock(simpy.Environment):
    """Virtual time, and everything that is going to happen in it."""

    def __init__(self, start: Instant, handle_arrivals: Callable[[Instant, Arrivals], None]) -> None:
        super().__init__(start)
        self._handle_arrivals = handle_arrivals
        self._agenda: dict[Instant, Arrivals] = {}
        self._instants: list[Instant] = []

    @property
    def now(self) -> Instant:
        """The present instant."""
        return self._now  # type: ignore[return-value]

    def arrive(self, receiver: Any, item: Any, instant: Instant) -> None:
        """Put one arrival at an instant, which is not in the past."""
        arrivals = self._agenda.get(instant)
        if arrivals is None:
            assert instant >= self._now, "nothing happens in the past"
            self._agenda[instant] = [receiver, item]
            heappush(self._instants, instant)
        else:
            arrivals += (receiver, item)

    def arrive_together(self, receivers: Sequence[Any], item: Any, instant: Instant) -> None:
        """The same item arrives at all receivers at one instant."""
        arrivals = self._agenda.get(instant)
        if arrivals is None:
            assert instant >= self._now, "nothing happens in the past"
            arrivals = self._agenda[instant] = []
            heappush(self._instants, instant)
        alternating = [item] * (2 * len(receivers))
        alternating[::2] = receivers
        arrivals += alternating

    def arrive_after(self, receivers: Sequence[Any], item: Any, delays: Sequence[Duration]) -> None:
        """The same item arrives at each receiver after its own delay."""
        agenda, instants, now = self._agenda, self._instants, self.now
        for receiver, delay in zip(receivers, delays, strict=True):
            instant = now + delay
            arrivals = agenda.get(instant)
            if arrivals is None:
                agenda[instant] = [receiver, item]
                heappush(instants, instant)
            else:
                arrivals += (receiver, item)

    def call_at(self, instant: Instant, function: Callable[[], None]) -> None:
        """Call the function at an instant."""
        self.arrive(None, function, instant)

    def arrivals(self) -> Iterator[tuple[Any, Any]]:
        """Receivers and items on the agenda, in no particular order: for counting what is under way."""
        for arrivals in self._agenda.values():
            yield from pairs(arrivals)

    def peek(self) -> float:
        """The instant of what happens next; infinity when nothing does."""
        at = self._queue[0][0] if self._queue else Infinity
        return min(self._instants[0], at) if self._instants else at

    def step(self) -> None:
        """What happens next: one event of simpy's, or all arrivals of an instant."""
        instants, queue = self._instants, self._queue
        if instants and not (queue and queue[0][0] <= instants[0]):
            self._now = instant = heappop(instants)
            self._handle_arrivals(instant, self._agenda.pop(instant))
        elif queue:
            super().step()
        else:
            raise EmptySchedule

    def schedule(self, event: simpy.Event, priority: Any = simpy.events.NORMAL, delay: float = 0) -> None:
        """Put one of simpy's events into its queue."""
        assert type(delay) is int, f"virtual time is whole microseconds: {delay!r}"
        super().schedule(event, priority, delay)

    def run_through(self, instant: Instant) -> None:
        """Everything up to this instant happens, what happens at it included; then it is the present."""
        self.run_events(instant)
        self._now = max(self._now, instant)

    def run_events(self, limit: Instant) -> bool:
        """Everything up to this instant happens; whether nothing more is going to. The present is where it stopped."""
        instants, agenda, queue, handle = self._instants, self._agenda, self._queue, self._handle_arrivals
        while instants or queue:
            if not instants or (queue and queue[0][0] <= instants[0]):
                if queue[0][0] > limit:
                    return False
                super().step()
            elif (instant := instants[0]) <= limit:
                self._now = heappop(instants)
                handle(instant, agenda.pop(instant))
            else:
                return False
        return True


def pairs(arrivals: Arrivals) -> Iterator[tuple[Any, Any]]:
    """Receivers with their items."""
    alternating = iter(arrivals)
    return zip(alternating, alternating)  # noqa: B905 # an odd one out would have no receiver: all are put in by pairs


class SkewedClock:
    """A node's clock: the virtual time plus an offset that drifts by some parts per million."""

    __slots__ = ("_drift", "_offset", "_since")

    def __init__(self, offset: Duration = 0, drift: int = 0, since: Instant = 0) -> None:
        assert drift > -PARTS_PER_MILLION, "a clock that runs backwards has no next deadline"
        self._offset = offset
        self._drift = drift
        self._since = since

    def local(self, now: Instant) -> Instant:
        """What this clock shows at an instant of virtual time."""
        if not self._drift:
            return now + self._offset
        return now + self._offset + (now - self._since) * self._drift // PARTS_PER_MILLION

    def when(self, local: Instant) -> Instant:
        """The first instant of virtual time at which this clock shows ``local`` or later."""
        if not self._drift:
            return local - self._offset
        elapsed = (local - self._offset - self._since) * PARTS_PER_MILLION // (PARTS_PER_MILLION + self._drift)
        now = self._since + elapsed - 2
        while self.local(now) < local:
            now += 1
        return now
