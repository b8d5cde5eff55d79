"""Rates of the simulated runtime: messages handled per CPU second, counted as copies received from another node.

A toy in which everybody votes in rounds shows what the runtime itself costs, one message per frame; the common subset shows
it with a protocol on top, whose messages share frames. Model crypto, all checks on, every 256th frame encoded and decoded.
"""

from __future__ import annotations

from collections.abc import Callable

from ledger.kernel.automaton import NodeId
from ledger.kernel.instant import MILLISECOND, MINUTE
from node.simulated.delays import NormalDelay, UniformDelay
from node.simulated.machine import HostFactory
from node.simulated.network import NetworkParameters, constant_network
from node.simulated.runtime import SimulatedRuntime
from node.wire import Wire
from tests.benchmarks.rate import Benchmark
from tests.harness.committee import DealtCommittee
from tests.harness.toys import Rounds, ToyMessage, names
from wasp.consensus.committee_protocol import Propose
from wasp.consensus.common_subset import CommonSubset, SubsetMessage

CONSTANT = constant_network(25 * MILLISECOND)
UNIFORM = NetworkParameters(UniformDelay(15 * MILLISECOND, 35 * MILLISECOND))
NORMAL = NetworkParameters(NormalDelay(25 * MILLISECOND, 10 * MILLISECOND))


def rounds(n: int, network: NetworkParameters) -> Callable[[], int]:
    """Runs a hundred rounds of all to all."""
    members, wire = names(n), Wire(ToyMessage)

    def factory(me: NodeId) -> HostFactory:
        return lambda boot: Rounds(me, members, 100)

    def work() -> int:
        runtime = SimulatedRuntime(1, {me: factory(me) for me in members}, network, wire, codec="sample")
        for me in members:
            runtime.inject(me, "start")
        assert runtime.run_until_idle(10 * MINUTE)
        return runtime.counters.messages

    return work


def common_subsets(n: int, network: NetworkParameters) -> Callable[[], int]:
    """Runs common subsets of n members, one after another."""
    dealt, wire, log_index = DealtCommittee(n), Wire(SubsetMessage), 0

    def factory(me: NodeId) -> HostFactory:
        return lambda boot: CommonSubset(dealt.membership(me, log_index))

    def work() -> int:
        nonlocal log_index
        log_index += 1
        hosts = {me: factory(me) for me in dealt.members}
        runtime = SimulatedRuntime(log_index, hosts, network, wire, codec="sample")
        for me in dealt.members:
            runtime.inject(me, Propose(me.encode() * 50))
        assert runtime.run_until_idle(10 * MINUTE)
        return runtime.counters.messages

    return work


BENCHMARKS = (
    Benchmark("all to all of 16, constant delay", "messages", lambda: rounds(16, CONSTANT)),
    Benchmark("all to all of 16, uniform jitter 10 ms", "messages", lambda: rounds(16, UNIFORM)),
    Benchmark("common subset of 16, constant delay", "messages", lambda: common_subsets(16, CONSTANT)),
    Benchmark("common subset of 16, uniform jitter 10 ms", "messages", lambda: common_subsets(16, UNIFORM)),
    Benchmark("common subset of 16, normal jitter 10 ms", "messages", lambda: common_subsets(16, NORMAL)),
    Benchmark("common subset of 64, constant delay", "messages", lambda: common_subsets(64, CONSTANT)),
    Benchmark("common subset of 64, uniform jitter 10 ms", "messages", lambda: common_subsets(64, UNIFORM)),
)
