"""A token bucket: a rate, and how much may come at once. Integers; sans I/O.

The bucket may be overdrawn: whoever takes too much is told how long to wait until it is level again. So a large item passes
after a small one without being cut, and the rate holds over time.
"""

from __future__ import annotations

from ledger.kernel.instant import SECOND, Duration, Instant


class TokenBucket:
    """Holds at most ``burst`` tokens, and gains ``rate`` per second."""

    __slots__ = ("_burst", "_level", "_rate", "_since", "exhausted_since")

    def __init__(self, rate: int, burst: int, now: Instant) -> None:
        self._rate = rate
        self._burst = self._level = burst * SECOND
        self._since = now
        self.exhausted_since: Instant | None = None
        """Since when it has not been half full again after it was empty."""

    def has(self, amount: int, now: Instant) -> bool:
        """Whether there are so many tokens; they are taken only then."""
        level = min(self._burst, self._level + (now - self._since) * self._rate)
        if level < amount * SECOND:
            return False
        self._level, self._since = level - amount * SECOND, now
        return True

    def take(self, amount: int, now: Instant) -> Duration:
        """Take so many tokens; how long to wait before going on, 0 for not at all."""
        level = min(self._burst, self._level + (now - self._since) * self._rate)
        if self.exhausted_since is not None and 2 * level >= self._burst:
            self.exhausted_since = None
        self._level = level = level - amount * SECOND
        self._since = now
        if level >= 0:
            return 0
        if self.exhausted_since is None:
            self.exhausted_since = now
        return -(level // self._rate)
