"""The simulated disk: group commit, and what a crash leaves.

1. A batch of records is handed over with a function that releases what waits for it.
2. When no write is under way, everything handed over becomes one *group*, written and synced in
   ``fsync + bytes / rate``; when one is, it waits for the next group (group commit).
3. When a group is durable its batches are released in the order in which they were handed over. A batch without records
   that comes while an earlier one waits joins the last group that is there: it never overtakes.
4. A crash loses what is not durable, and says no more about it. By the kind of loss:

   ============  ===================================================================================================
   ``unsynced``  all that was not durable is gone
   ``torn``      of the group under way the first records, how many is drawn, are found after all
   ``last``      the last durable group is gone too: the disk had lied about it
   ``all``       everything is gone: a new disk
   ============  ===================================================================================================

   A record that was torn in itself counts as gone: a store finds that by its checksum.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Literal, TypeAlias

from ledger.kernel.automaton import Record
from ledger.kernel.encoding import Codec, Frozen, Value, encode
from ledger.kernel.instant import SECOND, Duration
from ledger.kernel.rng import Stream
from node.hardware import HardwareProfile
from node.simulated.clock import VirtualClock

DiskLoss: TypeAlias = Literal["unsynced", "torn", "last", "all"]


class DiskParameters(Frozen):
    """How fast a disk is. Zero and none: what is written is durable at once."""

    fsync: Duration = 0
    bytes_per_second: int | None = None


class _Batch(Frozen):
    records: tuple[Record, ...]
    release: Callable[[], None]


class SimulatedDisk:
    """One node's disk."""

    def __init__(self, parameters: DiskParameters, clock: VirtualClock) -> None:
        self._parameters = parameters
        self._clock = clock
        self._durable: list[Record] = []
        self._last_group: int = 0
        self._written: list[_Batch] = []
        self._waiting: list[_Batch] = []
        self._writes = 0
        self.syncs = 0
        self.bytes_written = 0

    @property
    def records(self) -> tuple[Record, ...]:
        """What a restarted host finds, in the order in which it was written; read back from its encoding."""
        return tuple([_read_back(record) for record in self._durable])

    @property
    def busy(self) -> bool:
        """Whether a batch waits to be released."""
        return bool(self._written)

    def commit(self, records: Sequence[Record], release: Callable[[], None]) -> None:
        """Make the records durable, then release what waits for them (1-3)."""
        batch = _Batch(tuple(records), release)
        if not self._written:
            if not records:
                release()
                return
            self._waiting.append(batch)
            self._write()
        elif records or self._waiting:
            self._waiting.append(batch)
        else:
            self._written.append(batch)

    def crash(self, loss: DiskLoss, stream: Stream) -> int:
        """Lose what was not durable, and more by the kind of loss (4); how many durable records were lost."""
        under_way = [record for batch in self._written for record in batch.records]
        before = len(self._durable)
        self._writes += 1
        self._written, self._waiting = [], []
        if loss == "torn" and under_way:
            self._durable.extend(under_way[: stream.randrange(len(under_way) + 1)])
            return 0
        if loss == "last":
            del self._durable[len(self._durable) - self._last_group :]
            self._last_group = 0
        elif loss == "all":
            self._durable.clear()
            self._last_group = 0
        return before - len(self._durable)

    def _write(self) -> None:
        self._written, self._waiting = self._waiting, []
        duration, rate = self._parameters.fsync, self._parameters.bytes_per_second
        if duration or rate:
            size = sum(len(encode(record.value)) for batch in self._written for record in batch.records)
            self.bytes_written += size
            duration += -(-size * SECOND // rate) if rate else 0
        write = self._writes
        if duration:
            self._clock.call_at(self._clock.now + duration, lambda: self._synced(write))
        else:
            self._synced(write)

    def _synced(self, write: int) -> None:
        if write != self._writes:  # of before a crash
            return
        self.syncs += 1
        self._writes += 1
        group = self._written
        records = [record for batch in group for record in batch.records]
        self._durable.extend(records)
        self._last_group = len(records)
        # What is released may commit more; that must not overtake the rest of this group, so the group stays in
        # place while it is released.
        released = 0
        while released < len(group):
            group[released].release()
            released += 1
        self._written = []
        if self._waiting:
            self._write()


def _read_back(record: Record) -> Record:
    value = _codec_of(type(record.value)).decode(encode(record.value))
    assert value == record.value, f"a record is not what its encoding says: {record}"
    return Record(record.path, value)


@cache
def _codec_of(kind: type[Value]) -> Codec[Value]:
    return Codec(kind)


def disk_of(profile: HardwareProfile) -> DiskParameters:
    """The disk of a hardware profile."""
    return DiskParameters(profile.fsync, profile.disk_rate)
