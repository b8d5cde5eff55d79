"""When a validator issues activity blocks.

Approval weight grows only while validators issue. GoShimmer's activity plugin issues at a fixed interval, whether or
not there is something to confirm. Departure: at the full rate only while this node sees an unconfirmed payload, else
once per
``idle_interval``; a quiet Tangle then costs next to nothing, and a payload wakes it at once.

The first block after a change of rate comes at a random moment within the interval (GoShimmer: a random start
offset), so that validators don't grind in step. Any own block counts as activity.
"""

from __future__ import annotations

from ledger.kernel.instant import Instant
from ledger.kernel.rng import Stream
from ledger.profile import Profile


class Activity:
    """The schedule of one issuer's activity blocks."""

    def __init__(self, profile: Profile, rng: Stream) -> None:
        self._profile = profile
        self._rng = rng
        self._busy = False
        self.due: Instant = 0
        """When the next activity block should be issued."""

    def start(self, now: Instant) -> None:
        """The node may issue from now on."""
        self.due = now + self._rng.randrange(self._profile.activity_interval)

    def note_issued(self, now: Instant) -> None:
        """A block of our own went out, or is being ground."""
        self.due = now + (self._profile.activity_interval if self._busy else self._profile.idle_interval)

    def note_payloads(self, open_count: int, now: Instant) -> None:
        """So many payloads are unconfirmed now."""
        busy = open_count > 0
        if busy == self._busy:
            return
        self._busy = busy
        if busy:
            self.due = min(self.due, now + self._rng.randrange(self._profile.activity_interval))
        else:
            self.due = max(
                self.due, now + self._profile.idle_interval - self._rng.randrange(self._profile.activity_interval)
            )
