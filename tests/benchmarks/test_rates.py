"""Every benchmark does some work and says how much: none is measured here."""

import pytest

from tests.benchmarks import consensus, execution, kernel, peering, runtime
from tests.benchmarks.rate import Benchmark, repeated

ALL = (*kernel.BENCHMARKS, *consensus.BENCHMARKS, *execution.BENCHMARKS, *peering.BENCHMARKS)


@pytest.mark.parametrize("benchmark", ALL, ids=lambda benchmark: benchmark.name)
def test_a_benchmark_does_its_work_and_counts_it(benchmark: Benchmark):
    assert benchmark.prepare()() > 0


def test_repeated_work_is_counted_by_its_repetitions():
    calls: list[int] = []
    assert repeated(lambda: calls.append(1), 7)() == len(calls) == 7


@pytest.mark.parametrize("network", runtime.NETWORKS)
@pytest.mark.parametrize("protocol", runtime.MEASURED)
def test_a_run_goes_on_until_it_has_handled_enough_messages(protocol: str, network: str):
    measured = runtime.run(protocol, network, 4, messages_min=2_000)
    assert 2_000 <= measured.messages < 4_000
    assert measured.rate > 0 and measured.peak_megabytes > 0


def test_frames_go_from_one_node_to_another_while_their_rate_is_measured():
    assert peering.frame_rate(100, seconds=0) > 0
