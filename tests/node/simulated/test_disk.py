from __future__ import annotations

from typing import Any

import pytest

from ledger.kernel.automaton import Record
from ledger.kernel.encoding import encode
from ledger.kernel.rng import stream
from node.simulated.clock import VirtualClock, pairs
from node.simulated.disk import DiskParameters, SimulatedDisk
from tests.harness.toys import PATH, ToyPong

FSYNC = 5_000


def record(number: int) -> Record:
    return Record(PATH, ToyPong(number))


class Bench:
    """A disk whose releases are written down as (instant, name)."""

    def __init__(self, parameters: DiskParameters | None = None) -> None:
        self.clock = VirtualClock(0, lambda now, arrivals: [item() for _, item in pairs(arrivals)])  # type: ignore[arg-type]
        self.disk = SimulatedDisk(DiskParameters(FSYNC) if parameters is None else parameters, self.clock)
        self.released: list[tuple[int, Any]] = []

    def commit_at(self, instant: int, name: str, *numbers: int) -> None:
        records = [record(number) for number in numbers]
        self.clock.call_at(instant, lambda: self.disk.commit(records, lambda: self.note(name)))

    def note(self, name: str) -> None:
        self.released.append((self.clock.now, name))

    def numbers(self) -> list[int]:
        return [record.value.number for record in self.disk.records]  # type: ignore[attr-defined]


def test_a_batch_is_released_when_its_records_are_durable():
    bench = Bench()
    bench.commit_at(100, "a", 1, 2)
    bench.clock.run_through(100 + FSYNC - 1)
    assert (bench.released, bench.numbers()) == ([], [])
    bench.clock.run_through(100 + FSYNC)
    assert (bench.released, bench.numbers()) == ([(100 + FSYNC, "a")], [1, 2])


def test_what_comes_during_a_write_goes_together_in_the_next():
    bench = Bench()
    for instant, name, number in ((0, "a", 1), (1_000, "b", 2), (2_000, "c", 3), (4_999, "d", 4)):
        bench.commit_at(instant, name, number)
    bench.clock.run_through(20_000)
    assert bench.released == [(5_000, "a"), (10_000, "b"), (10_000, "c"), (10_000, "d")]
    assert (bench.numbers(), bench.disk.syncs) == ([1, 2, 3, 4], 2)


def test_a_batch_without_records_never_overtakes_one_that_waits():
    bench = Bench()
    bench.commit_at(0, "free")
    bench.commit_at(1, "a", 1)
    bench.commit_at(2, "joins a")
    bench.commit_at(3, "b", 2)
    bench.commit_at(4, "joins b")
    bench.commit_at(20_000, "free again")
    bench.clock.run_through(30_000)
    assert bench.released == [
        (0, "free"),
        (5_001, "a"),
        (5_001, "joins a"),
        (10_001, "b"),
        (10_001, "joins b"),
        (20_000, "free again"),
    ]


def test_what_a_release_commits_does_not_overtake_the_rest_of_its_group():
    bench = Bench()

    def release() -> None:
        bench.note("a")
        bench.disk.commit((), lambda: bench.note("caused by a"))

    bench.clock.call_at(0, lambda: bench.disk.commit([record(0)], lambda: None))
    bench.clock.call_at(1, lambda: bench.disk.commit([record(1)], release))
    bench.clock.call_at(2, lambda: bench.disk.commit([record(2)], lambda: bench.note("b")))
    bench.clock.run_through(20_000)
    assert [name for _, name in bench.released] == ["a", "b", "caused by a"]


def test_a_write_takes_the_time_of_its_bytes_too():
    size = len(encode(ToyPong(1)))
    bench = Bench(DiskParameters(FSYNC, bytes_per_second=1_000))
    bench.commit_at(0, "a", 1, 1)
    bench.clock.run_through(10**6)
    assert bench.released == [(FSYNC + 2 * size * 1_000, "a")]


def test_a_disk_that_takes_no_time_releases_at_once():
    bench = Bench(DiskParameters())
    bench.commit_at(7, "a", 1)
    bench.clock.run_through(7)
    assert (bench.released, bench.numbers()) == ([(7, "a")], [1])


@pytest.mark.parametrize(("loss", "left", "lost"), [("unsynced", [1, 2, 3], 0), ("last", [1], 2), ("all", [], 3)])
def test_a_crash_leaves_what_was_durable_or_less_of_it(loss: Any, left: list[int], lost: int):
    bench = Bench()
    bench.commit_at(0, "a", 1)
    bench.commit_at(6_000, "b", 2, 3)
    bench.commit_at(12_000, "c", 4)
    bench.commit_at(13_000, "d", 5)
    bench.clock.run_through(14_000)
    assert bench.disk.crash(loss, stream(1)) == lost
    bench.clock.run_through(50_000)
    assert (bench.numbers(), [name for _, name in bench.released]) == (left, ["a", "b"])


def test_a_torn_write_leaves_some_first_records_of_the_group_under_way_and_releases_nothing():
    lengths = set()
    for seed in range(60):
        bench = Bench()
        bench.commit_at(0, "a", 1)
        bench.commit_at(1, "b", 2, 3)
        bench.commit_at(2, "c", 4)
        bench.commit_at(6_000, "d", 5)
        bench.clock.run_through(6_000)
        bench.disk.crash("torn", stream(seed))
        bench.clock.run_through(50_000)
        assert bench.numbers() == [1, 2, 3, 4][: len(bench.numbers())]
        assert bench.released == [(5_000, "a")]
        lengths.add(len(bench.numbers()))
    assert lengths == {1, 2, 3, 4}


def test_a_disk_works_on_after_a_crash():
    bench = Bench()
    bench.commit_at(0, "a", 1)
    bench.clock.run_through(1_000)
    bench.disk.crash("unsynced", stream(1))
    bench.commit_at(2_000, "b", 2)
    bench.clock.run_through(5_000)  # when the write of before the crash would have ended
    assert (bench.released, bench.numbers()) == ([], [])
    bench.clock.run_through(7_000)
    assert (bench.released, bench.numbers()) == ([(7_000, "b")], [2])


def test_what_a_durable_record_supersedes_is_forgotten_and_comes_back_when_that_is_lost():
    log, state = (*PATH, "log"), (*PATH, "state", 0)

    def bench_after(*groups: list[Record]) -> Bench:
        bench = Bench()
        for place, group in enumerate(groups):
            bench.clock.call_at(10_000 * place, lambda group=group: bench.disk.commit(group, lambda: None))  # type: ignore[misc]
        bench.clock.run_through(10_000 * len(groups))
        return bench

    first = [Record(log, ToyPong(1)), Record(state, ToyPong(2))]
    second = [Record(log, ToyPong(3), (log,)), Record(log, ToyPong(4), (log,))]
    third = [Record(PATH, ToyPong(5), (PATH,))]
    assert bench_after(first, second).numbers() == [2, 4]
    assert bench_after(first, second, third).numbers() == [5]
    bench = bench_after(first, second)
    assert (bench.disk.crash("last", stream(1)), bench.numbers()) == (1, [1, 2])
    assert (bench.disk.crash("last", stream(1)), bench.numbers()) == (0, [1, 2])
    bench = bench_after(first, second, third)
    assert (bench.disk.crash("last", stream(1)), bench.numbers()) == (1, [2, 4])
    bench.disk.commit([Record(log, ToyPong(6), (log,))], lambda: None)
    bench.clock.run_through(bench.clock.now + 10_000)
    assert bench.numbers() == [2, 6]
