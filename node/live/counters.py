"""What a live node counts, for its status and its metrics."""

from __future__ import annotations

from collections import defaultdict

from ledger.kernel.encoding import Value
from ledger.kernel.instant import Duration

BUCKETS = 32
"""The last one holds what takes longer than half an hour."""


class Latency:
    """How long something took, each time: bucket k counts the durations below 2^k microseconds and not below half of that."""

    __slots__ = ("buckets", "longest", "total")

    def __init__(self) -> None:
        self.buckets = [0] * BUCKETS
        self.total: Duration = 0
        self.longest: Duration = 0

    def note(self, duration: Duration) -> None:
        """It took so long."""
        self.buckets[min(duration.bit_length(), BUCKETS - 1)] += 1
        self.total += duration
        self.longest = max(self.longest, duration)

    @property
    def count(self) -> int:
        """How many times."""
        return sum(self.buckets)

    def quantile(self, per_cent: int) -> Duration | None:
        """A bound, at most twice too high, below which so many per cent of the durations are; none without durations."""
        rank = -(-self.count * per_cent // 100)
        counted = 0
        for k, in_bucket in enumerate(self.buckets):
            counted += in_bucket
            if in_bucket and counted >= rank:
                return min(1 << k, self.longest)
        return None


class LiveCounters:
    """What happened in one life of a node."""

    __slots__ = ("bytes", "faults", "frames", "inputs", "kinds", "messages", "outputs", "own_messages",
                 "records", "stalls", "timers", "turns", "wakes")  # fmt: skip

    def __init__(self) -> None:
        self.wakes = 0
        """Times that the runtime looked for something to do."""
        self.turns = 0
        self.messages = 0
        """Messages of peers that were handled."""
        self.own_messages = 0
        self.inputs = 0
        self.timers = 0
        self.records = 0
        """Records that became durable and were released."""
        self.frames = 0
        """What was handed to the transport, one for each peer and turn."""
        self.bytes = 0
        """Of the packets in these."""
        self.outputs = 0
        self.faults = 0
        self.stalls = 0
        """Times that reading from the peers stopped because the inbox was full."""
        self.kinds: defaultdict[type[Value], list[int]] = defaultdict(lambda: [0, 0])
        """By type of message: copies for other nodes, and their bytes."""

    def as_dict(self) -> dict[str, int]:
        """All counters by name, without those by kind."""
        return {name: getattr(self, name) for name in self.__slots__ if name != "kinds"}
