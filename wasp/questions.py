"""Whom to ask for what is missing, and when to ask again: the same for request bodies, chain blocks and anchors.

A few members are asked at a time, drawn anew each time, at doubling intervals: whatever is sought is held by a correct
member, and a new question soon meets it. An answer, or another thing that is sought, begins the intervals anew.
"""

from __future__ import annotations

from collections.abc import Iterable

from ledger.kernel.automaton import NodeId
from ledger.kernel.instant import Duration, Instant
from ledger.kernel.rng import Stream

DOUBLINGS_MAX = 6
"""Times that the interval is doubled: half a second becomes half a minute."""


class Questions:
    """One member's questions to the others of its committee."""

    def __init__(self, others: Iterable[NodeId], retry: Duration, fan_out: int, rng: Stream) -> None:
        self.others = list(others)
        self.retry = retry
        self.fan_out = fan_out
        self.rng = rng
        self.asked = 0
        """How often, since the last answer."""
        self.deadline: Instant | None = None
        """When to ask again."""

    def begin_anew(self) -> None:
        """There was an answer, or something else is sought."""
        self.asked = 0

    def rest(self) -> None:
        """Nothing is sought."""
        self.deadline = None

    def ask(self, now: Instant) -> tuple[NodeId, ...]:
        """Whom to ask now, nobody if there are no others; afterwards ``deadline`` says when to ask again."""
        if not self.others:
            self.rest()
            return ()
        self.deadline = now + (self.retry << min(self.asked, DOUBLINGS_MAX))
        self.asked += 1
        return tuple(self.rng.sample(self.others, min(self.fan_out, len(self.others))))
