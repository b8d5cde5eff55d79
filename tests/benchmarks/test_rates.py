"""Every benchmark does some work and says how much: none is measured here."""

import pytest

from tests.benchmarks.__main__ import AREAS
from tests.benchmarks.rate import Benchmark, repeated

ALL = [benchmark for benchmarks in AREAS.values() for benchmark in benchmarks]


@pytest.mark.parametrize("benchmark", ALL, ids=lambda benchmark: benchmark.name)
def test_a_benchmark_does_its_work_and_counts_it(benchmark: Benchmark):
    assert benchmark.prepare()() > 0


def test_repeated_work_is_counted_by_its_repetitions():
    calls: list[int] = []
    assert repeated(lambda: calls.append(1), 7)() == len(calls) == 7
