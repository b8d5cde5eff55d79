"""What was refused at the peering port, and why: all counted, the latest kept, a bounded part of it reported.

A *refusal* is about a connection that did not become, or did not stay, a peer's. Its kind is a stable word, of a set that no
stranger can make larger; its detail a sentence.
"""

from __future__ import annotations

from collections import Counter, deque

from ledger.kernel.encoding import Frozen
from ledger.kernel.instant import Instant
from ledger.kernel.rejection import Rejected
from node.live.peering_limits import PeeringLimits
from node.live.token_bucket import TokenBucket

REPORTS_PER_SECOND = 1


class Refusal(Frozen):
    """Somebody, named by an address or as a peer, was sent away."""

    at_us: int
    """Microseconds of Unix time."""
    who: str
    kind: str
    detail: str


class Refusals:
    """Those of one node."""

    def __init__(self, limits: PeeringLimits, now: Instant) -> None:
        self.counts: Counter[str] = Counter()
        """By kind, since the start."""
        self.unreported = 0
        """How many were too many to be reported one by one."""
        self.latest: deque[Refusal] = deque(maxlen=limits.refusals_kept_max)
        self._reports = TokenBucket(REPORTS_PER_SECOND, limits.reports_burst_max, now)

    def note(self, who: str, rejected: Rejected, at_us: int, now: Instant) -> bool:
        """Take a refusal down; whether it may be reported."""
        self.counts[rejected.code] += 1
        self.latest.append(Refusal(at_us, who, rejected.code, rejected.detail))
        reported = self._reports.has(1, now)
        self.unreported += not reported
        return reported
