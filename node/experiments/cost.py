"""What a run cost, in all, per trade, and per kWh that was traded between peers.

A trade is a row of the table of trades between peers: one participant's energy of one interval by one route other than the
main grid. The cost is that of the whole run, warm-up, bidding rounds, idle layer-1 blocks and drain included: what it takes
to have the market, divided by what came of it.

=================  ==========================================================================================================
``bytes``          of all frames sent between hosts
``messages``       received from another host
``layer1_blocks``  booked by any layer-1 node
``hashes``         of proof of work, by all hosts; as many as the modelled search needs where no real one is made
``gas``            of the requests in confirmed chain blocks, once, although each member executes them
``cpu_us``         virtual microseconds of all hosts' CPUs, by the hardware profile; none where CPUs cost no time
=================  ==========================================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping

from node.experiments.benefit import GRID
from node.experiments.recorder import Recorder
from node.experiments.scenario import SimulatedScenario
from node.hardware import PICOSECONDS
from node.simulated.runtime import SimulatedRuntime

COST_ROWS = (
    ("bytes", "sent between hosts", "B"),
    ("messages", "messages between hosts", ""),
    ("layer1_blocks", "layer-1 blocks", ""),
    ("hashes", "hashes of proof of work", ""),
    ("gas", "gas of requests", ""),
    ("cpu_us", "CPU time of all hosts, virtual", "s"),
)
"""Key, words, unit."""
PREFIXES = ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"), (1, ""))


def cost_of(scenario: SimulatedScenario, recorder: Recorder, runtime: SimulatedRuntime) -> dict[str, int | None]:
    """The cost of a run that is over, and what it is divided by: ``trades``, ``peer_to_peer_wh``."""
    totals = recorder.market.totals
    return {
        "trades": sum(1 for route in recorder.tables.trades.column("route") if route != GRID),
        "peer_to_peer_wh": totals["local"] + totals["between_microgrids"],
        "bytes": runtime.counters.bytes,
        "messages": runtime.counters.messages,
        "layer1_blocks": len(recorder.tables.blocks.rows),
        "hashes": scenario.proof_of_work.hashes,
        "gas": recorder.gas,
        "cpu_us": _cpu_time(scenario, runtime),
    }


def _cpu_time(scenario: SimulatedScenario, runtime: SimulatedRuntime) -> int | None:
    if not scenario.configuration.hardware.cpu:
        return None
    costs = scenario.hardware.costs
    meters = [machine.meter for machine in runtime.machines.values()]
    return sum(costs[kind] * amount for meter in meters for kind, amount in meter.charged.items()) // PICOSECONDS


def cost_lines(cost: Mapping[str, int | None]) -> list[tuple[str, str, str, str]]:
    """For people: what, in all, per trade, per kWh between peers; what is not known is left out."""
    trades, energy = cost.get("trades") or 0, (cost.get("peer_to_peer_wh") or 0) / 1000
    lines = []
    for key, words, unit in COST_ROWS:
        amount = cost.get(key)
        if amount is not None:
            value = amount / 10**6 if key == "cpu_us" else amount
            each = [quantity(value / by, unit) if by else "-" for by in (trades, energy)]
            lines.append((words, quantity(value, unit), *each))
    return lines  # type: ignore[return-value]


def quantity(value: float, unit: str) -> str:
    """Three significant digits, with a prefix above a thousand."""
    size, prefix = next(((size, prefix) for size, prefix in PREFIXES if value >= size), (1, ""))
    scaled = value / size
    digits = 0 if scaled >= 100 else 1 if scaled >= 10 else 2
    return f"{scaled:.{digits}f} {prefix}{unit}".rstrip()
