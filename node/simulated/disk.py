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
5. What a durable record supersedes is forgotten with it, and comes back when that record is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Literal, TypeAlias

from ledger.kernel.automaton import Record
from ledger.kernel.encoding import RECORD_SIZE_MAX, Codec, Frozen, Value, encode
from ledger.kernel.instant import SECOND, Duration
from ledger.kernel.rng import Stream
from node.hardware import HardwareProfile
from node.record_places import RecordPlaces, unsuperseded
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
        self._durable: dict[int, Record] = {}
        """By place, in order."""
        self._places = RecordPlaces()
        self._next_place = 0
        self._last_group = 0
        """The first place of the last durable group."""
        self._superseded: dict[int, Record] = {}
        """What the last durable group took the place of."""
        self._written: list[_Batch] = []
        self._waiting: list[_Batch] = []
        self._writes = 0
        self.syncs = 0
        self.bytes_written = 0

    @property
    def records(self) -> tuple[Record, ...]:
        """What a restarted host finds, in the order in which it was written; read back from its encoding."""
        return tuple([_read_back(record) for record in self._durable.values()])

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
        self._writes += 1
        self._written, self._waiting = [], []
        lost = 0
        if loss == "torn" and under_way:
            self._keep(under_way[: stream.randrange(len(under_way) + 1)])
        elif loss == "last":
            kept = {place: record for place, record in self._durable.items() if place < self._last_group}
            lost = len(self._durable) - len(kept)
            self._begin_with({**kept, **self._superseded})
        elif loss == "all":
            lost = len(self._durable)
            self._begin_with({})
        return lost

    def _keep(self, group: Sequence[Record]) -> None:
        """The group is durable (5)."""
        self._last_group, self._superseded = self._next_place, {}
        for record in unsuperseded(group):
            for place in self._places.take_below(record.supersedes):
                self._superseded[place] = self._durable.pop(place)
            self._places.note(record.path, self._next_place)
            self._durable[self._next_place] = record
            self._next_place += 1

    def _begin_with(self, durable: Mapping[int, Record]) -> None:
        self._durable = dict(sorted(durable.items()))
        self._last_group, self._superseded = self._next_place, {}
        self._places = RecordPlaces()
        for place, record in self._durable.items():
            self._places.note(record.path, place)

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
        self._keep([record for batch in group for record in batch.records])
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
    return Record(record.path, value, record.supersedes)


@cache
def _codec_of(kind: type[Value]) -> Codec[Value]:
    return Codec(kind, RECORD_SIZE_MAX)


def disk_of(profile: HardwareProfile) -> DiskParameters:
    """The disk of a hardware profile."""
    return DiskParameters(profile.fsync, profile.disk_rate)
