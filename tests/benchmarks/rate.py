"""What a benchmark is, and how its rate is measured."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

ROUNDS = 3
ROUND_SECONDS = 0.2
"""Of CPU time: long against the clock's tick, short enough to run all areas while one waits."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """``prepare`` is not measured; what it returns does some work and says how many units of it were done."""

    name: str
    unit: str
    prepare: Callable[[], Callable[[], int]]


@dataclass(frozen=True, slots=True)
class Result:
    """One line of what is printed."""

    name: str
    value: float
    unit: str
    peak_megabytes: int | None = None
    """Memory at its peak, of work that had a process of its own."""


def results_of(benchmarks: Sequence[Benchmark]) -> Iterator[Result]:
    """The rates of these benchmarks."""
    for benchmark in benchmarks:
        yield Result(benchmark.name, rate_of(benchmark), benchmark.unit)


def rate_of(benchmark: Benchmark) -> float:
    """Units per CPU second: the best of some rounds, after one call to warm up."""
    work = benchmark.prepare()
    work()
    return max(one_round(work) for _ in range(ROUNDS))


def one_round(work: Callable[[], int]) -> float:
    """Units per CPU second while the work is repeated for the length of a round."""
    units, begin = 0, time.process_time()
    while (elapsed := time.process_time() - begin) < ROUND_SECONDS:
        units += work()
    return units / elapsed


def repeated(operation: Callable[[], object], times: int = 1000) -> Callable[[], int]:
    """Work that repeats one operation, so that reading the clock does not count."""

    def work() -> int:
        for _ in range(times):
            operation()
        return times

    return work
