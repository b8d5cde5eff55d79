"""Two microgrids, their parent chain and layer 1, in one process, in real time: real signatures, real proof of work."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ledger.kernel.automaton import NodeId
from ledger.kernel.instant import SECOND
from market.hierarchy import AUCTION
from node.configuration_file import load_configuration
from node.experiments.scenario import SimulatedScenario
from node.host import ChainFact
from node.live.effects import LiveProofOfWork
from node.live.live_clock import LiveClock
from node.wire import Wire
from tests.harness.live import MemoryStore, eventually, live_committee
from tests.harness.small_run import NORTH, SOUTH, write_small
from wasp.chain_interface import ChainBlockConfirmed
from wasp.vm.sandbox import call_view

QUICK = (
    "scenario.crypto=real",
    "scenario.speed_up=300",
    "ledger.pow=ground",
    "ledger.pow_difficulty=8",
    "market.opening=10s",
    "market.gate=5s",
    "market.gate_step=2s",
    "market.rounds=1",
    "market.round_length=2s",
    "market.reading_grace=2s",
)
MEMBERS = {"north": NORTH, "south": SOUTH}


class Confirmations:
    """An observer that keeps faults, and the highest chain block that each member knows to be confirmed, by chain."""

    def __init__(self) -> None:
        self.faults: list[Any] = []
        self.heights: dict[tuple[NodeId, str], int] = {}

    def observe(self, now: Any, node: Any, outputs: Any, faults: Any) -> None:
        self.faults.extend(faults)
        for output in outputs:
            if isinstance(output, ChainFact) and isinstance(output.fact, ChainBlockConfirmed):
                self.heights[node, output.chain] = output.fact.block.index


def clearings(hosts: Mapping[NodeId, Any]) -> dict[NodeId, Any]:
    """How the first interval was cleared, as each member of each microgrid knows it."""
    return {
        NodeId(member): call_view(chain.program, chain.active_state, AUCTION, "clearing", 0)
        for name, members in MEMBERS.items()
        for member in members
        for chain in [hosts[NodeId(member)].chains[name]]
    }


def is_above(heights: Mapping[Any, int], others: Mapping[Any, int]) -> bool:
    return all(heights.get(key, 0) >= height for key, height in others.items())


async def test_a_scenario_trades_in_real_time_as_it_does_in_the_simulation_and_what_it_did_survives(tmp_path: Path):
    path = write_small(tmp_path)
    scenario = SimulatedScenario(load_configuration(path, QUICK), tmp_path)
    opening = scenario.market.first_delivery - scenario.market.opening
    hosts, seen, wire = scenario.hosts(), Confirmations(), Wire()
    stores = {node: MemoryStore() for node in hosts}
    epoch = LiveClock(0).now() - (opening - SECOND)
    runtimes = live_committee(hosts, wire, epoch, seen, LiveProofOfWork, stores)
    live: dict[NodeId, Any] = {node: runtime.host for node, runtime in runtimes.items()}
    runs = [asyncio.create_task(runtime.run()) for runtime in runtimes.values()]
    homes = [(NodeId(member), name) for name, members in MEMBERS.items() for member in members]
    await eventually(lambda: None not in clearings(live).values() or any(run.done() for run in runs))
    reached = {(node, name): live[node].chains[name].active_block.index for node, name in homes}
    await eventually(lambda: is_above(seen.heights, reached) or any(run.done() for run in runs))
    for runtime in runtimes.values():
        runtime.stop()
    await asyncio.gather(*runs)
    assert seen.faults == []

    simulated = scenario.runtime(Confirmations())
    simulated.run_until(scenario.market.first_delivery)
    expected = clearings({node: simulated.host(node) for node in hosts})
    assert [clearing[:4] for clearing in clearings(live).values()] == [clearing[:4] for clearing in expected.values()]

    stores = {node: MemoryStore(store.records, incarnation=2) for node, store in stores.items()}
    restarted = live_committee(hosts, wire, epoch, seen, LiveProofOfWork, stores)
    assert clearings({node: runtime.host for node, runtime in restarted.items()}) == clearings(live)
