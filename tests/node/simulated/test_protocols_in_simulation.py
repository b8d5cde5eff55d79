"""A committee's protocol on the whole of the runtime: the closed forms of the literature, and what faults must not change."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.kernel.automaton import NodeId
from node.hosting import Boot
from node.simulated.delay_tables import delay_table
from node.simulated.delays import UniformDelay
from node.simulated.faults import Crash, Heal, Partition
from node.simulated.network import NetworkParameters, constant_network
from node.simulated.runtime import SimulatedRuntime
from node.wire import Wire
from tests.harness.committee import DealtCommittee
from tests.harness.simulation import FOREVER, D, assert_frames_add_up, toy_profile
from tests.harness.toys import Log
from wasp.consensus.committee_protocol import ProposalsDecided, Propose
from wasp.consensus.common_subset import CommonSubset


def common_subset(n: int, network: NetworkParameters, seed: int = 1, **parameters: Any) -> tuple[SimulatedRuntime, Log]:
    dealt, log = DealtCommittee(n), Log()

    def factory(me: NodeId) -> Any:
        def host(boot: Boot) -> CommonSubset:
            return CommonSubset(dealt.membership(me))

        return host

    hosts = {me: factory(me) for me in dealt.members}
    runtime = SimulatedRuntime(seed, hosts, network, Wire(), observer=log, **parameters)
    for me in dealt.members:
        runtime.inject(me, Propose(me.encode()))
    return runtime, log


def decisions(log: Log) -> dict[NodeId, tuple[int, Any]]:
    return {node: (now, output) for now, node, output in log.entries if isinstance(output, ProposalsDecided)}


@pytest.mark.parametrize("n", [4, 7, 10, 16])
def test_a_common_subset_of_n_takes_five_delays_and_with_f_down_eleven(n: int):
    runtime, log = common_subset(n, constant_network(D))
    assert runtime.run_until_idle(FOREVER)
    assert {now for now, _ in decisions(log).values()} == {5 * D}
    assert len(decisions(log)) == n
    f = (n - 1) // 3
    down = tuple(Crash(0, NodeId(f"m{index}")) for index in range(n - f, n))
    runtime, log = common_subset(n, constant_network(D), faults=down)
    runtime.run_until(20 * D)
    assert [now for now, _ in decisions(log).values()] == [11 * D] * (n - f)


@pytest.mark.parametrize("seed", range(4))
def test_a_common_subset_is_decided_alike_over_a_lossy_wide_network_with_a_partition(seed: int):
    n = 5
    nodes = [NodeId(f"m{index}") for index in range(n)]
    delay = delay_table("aws-regions").place(nodes, jitter=50_000)
    network = NetworkParameters(delay, loss=0.2, duplication=0.2, bandwidth=10_000_000)
    faults = (Partition(100_000, (tuple(nodes[:3]), tuple(nodes[3:]))), Heal(3_000_000))
    runtime, log = common_subset(n, network, seed, faults=faults, hardware=toy_profile(frame=50_000_000))
    assert runtime.run_until_idle(FOREVER)
    outputs = [output for _, output in decisions(log).values()]
    assert len(outputs) == n
    assert all(output == outputs[0] for output in outputs)
    assert log.faults == []
    assert_frames_add_up(runtime)


def test_jitter_and_a_slow_cpu_make_it_later_and_nothing_else():
    plain, log = common_subset(7, NetworkParameters(UniformDelay(D, D)))
    plain.run_until_idle(FOREVER)
    slow, slow_log = common_subset(7, NetworkParameters(UniformDelay(D, D)), hardware=toy_profile(frame=1_000_000_000))
    slow.run_until_idle(FOREVER)
    assert {now for now, _ in decisions(log).values()} == {5 * D}
    assert min(now for now, _ in decisions(slow_log).values()) > 5 * D
    values = [output for _, output in (*decisions(log).values(), *decisions(slow_log).values())]
    assert all(value == values[0] for value in values)
