"""The summary of a run: what a reader wants to know first, as one JSON object and as text.

Keys: ``digest``, ``seed``, ``scenario``, ``simulated_us``, ``energy_wh``, ``energy_balance_wh`` (as ``balance_of`` gives
it), ``money_micropence``, ``prices``, ``benefit``, ``latency_us`` (of orders, from their submission to each stage, as their
household sees it), ``chains``, ``missed_gates``
(``home``: orders submitted before and executed after the gate; ``chain``: residuals that did not reach their parent in time),
``returned`` (residuals that expired or were refused), ``assumed_readings``, ``debts``, ``unsettled``, ``layer1``,
``traffic``, ``cost`` (as ``cost_of`` gives it), ``final_us`` (per microgrid, from the clearing to the instant at which
layer 1 had confirmed the interval's shares), ``invariants`` (how often each was checked), ``violations``, ``warnings``,
``faults`` (what the configuration had injected: the instant and a text, each), ``transcript``.

Percentiles are nearest-rank: a value that occurred, the smallest that at least so many per cent don't exceed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import shorten, wrap
from typing import Any

from ledger.kernel.instant import format_duration
from node.configuration import FaultSection
from node.experiments.benefit import benefit_of, prices_of
from node.experiments.cost import cost_lines, cost_of
from node.experiments.drain import unsettled_of, view_of
from node.experiments.energy_balance import balance_lines, balance_of
from node.experiments.recorder import Recorder
from node.experiments.scenario import SimulatedScenario
from node.simulated.runtime import SimulatedRuntime

STAGES = ("in_batch", "decided", "anchored", "confirmed")
PERCENTILES = (50, 95, 99)
UNSETTLED_SHOWN, FAULTS_SHOWN = 20, 10
"""Entries in the text; the JSON object has all."""


def percentile(ordered: Sequence[int], per_cent: int) -> int | None:
    """The nearest-rank percentile of values in rising order; none of nothing."""
    return ordered[max(0, -(-len(ordered) * per_cent // 100) - 1)] if ordered else None


def summarise(scenario: SimulatedScenario, recorder: Recorder, runtime: SimulatedRuntime) -> dict[str, Any]:
    """The summary, but for the digest of the results."""
    tables, totals = recorder.tables, recorder.market.totals
    series = scenario.series.values()
    energy = {
        "demand": sum(sum(home.load) for home in series),
        "generation": sum(sum(home.generation) for home in series),
        **{name: totals[name] for name in (
            "self_consumed", "local", "between_microgrids", "grid_bought", "grid_sold", "imbalance_bought", "imbalance_sold",
        )},
    }  # fmt: skip
    counters = recorder.market.counters
    supply = {sum(output.amount for output in unspent.values()) for unspent in recorder.invariants.unspent.values()}
    return {
        "seed": scenario.seed,
        "scenario": scenario.network,
        "simulated_us": runtime.now,
        "energy_wh": energy,
        "energy_balance_wh": balance_of(tables, energy),
        "money_micropence": {"before": scenario.supply, "after": supply.pop() if len(supply) == 1 else sorted(supply)},
        "prices": prices_of(tables),
        "benefit": benefit_of(tables, scenario.market.tariff),
        "latency_us": _latencies(recorder),
        "chains": _chains(scenario, recorder),
        "missed_gates": {
            "home": recorder.market.missed_gates,
            "chain": sum(entry[1] for entry in counters.values()),
        },
        "returned": sum(1 for kind in tables.requests.column("kind") if kind == "returned"),
        "assumed_readings": sum(entry[2] for entry in counters.values()),
        "debts": _debts(scenario, recorder),
        "unsettled": unsettled_of(scenario, recorder),
        "layer1": {
            "nodes": len(scenario.plan.ledger_nodes),
            "blocks": len(tables.blocks.rows),
            "payload_blocks": sum(1 for payload in tables.blocks.column("payload") if payload),
            "confirmed_blocks": sum(1 for instant in tables.blocks.column("confirmed_us") if instant is not None),
        },
        "traffic": {
            "messages": runtime.counters.messages,
            "frames": runtime.counters.frames,
            "bytes": runtime.counters.bytes,
        },
        "cost": cost_of(scenario, recorder, runtime),
        "final_us": {
            chain: {f"p{per_cent}": percentile(sorted(spans), per_cent) for per_cent in (50, 95)}
            for chain, spans in recorder.market.final_after.items()
            if spans
        },
        "invariants": dict(recorder.invariants.checked),
        "violations": list(recorder.invariants.violations),
        "warnings": list(scenario.warnings),
        "faults": [[fault.at, fault_text(fault)] for fault in scenario.configuration.faults],
        "transcript": runtime.transcript.hex(),
    }


def _latencies(recorder: Recorder) -> dict[str, dict[str, int | None]]:
    latencies: dict[str, dict[str, int | None]] = {}
    for stage in STAGES:
        rows = recorder.tables.requests.select("kind", "submitted_us", f"{stage}_us")
        spans = sorted(at - submitted for kind, submitted, at in rows if kind == "submit_order" and at is not None)
        latencies[stage] = {f"p{per_cent}": percentile(spans, per_cent) for per_cent in PERCENTILES}
    return latencies


def _chains(scenario: SimulatedScenario, recorder: Recorder) -> dict[str, dict[str, int]]:
    table = recorder.tables.chain_blocks
    names, outcomes = table.column("chain"), table.column("outcome")
    return {
        name: {
            "members": setup.committee.n,
            "blocks": names.count(name),
            "anchors_confirmed": recorder.confirmed[name],
            "undone": sum(1 for of, outcome in zip(names, outcomes, strict=True) if of == name and outcome == "undone"),
        }
        for name, setup in scenario.chains.items()
    }


def fault_text(fault: FaultSection) -> str:
    """An injected fault in words."""
    match fault.kind:
        case "partition":
            one_way = " (one way)" if fault.one_way else ""
            return f"partition: {' | '.join(', '.join(group) for group in fault.groups)}{one_way}"
        case "slow":
            return f"CPU of {', '.join(fault.nodes)} at {fault.per_cent} % of its usual time"
        case "skew":
            return f"clock of {', '.join(fault.nodes)} off by {format_duration(fault.offset or 0)}"
        case "link":
            way = f"{', '.join(fault.senders) or 'all'} to {', '.join(fault.recipients) or 'all'}"
            what = f"loss {fault.loss:g}, duplication {fault.duplication:g}, {format_duration(fault.extra_delay)} more"
            return f"links from {way}: {what}"
        case "heal":
            return "heal: every host reaches every other again"
        case "pause":
            return f"pause of {', '.join(fault.nodes)} for {fault.duration / 1e6:g} s"
        case _:
            return f"{fault.kind} of {', '.join(fault.nodes)}"


def _debts(scenario: SimulatedScenario, recorder: Recorder) -> dict[str, int]:
    return {account: debt for name in scenario.chains for account, debt in view_of(scenario, recorder, name, "debts")}


# --------------------------------------------------------------------------------------------------------------- text


def summary_text(summary: Mapping[str, Any]) -> str:
    """The summary for a terminal: at most 100 columns."""
    energy, money = summary["energy_wh"], summary["money_micropence"]
    lines = [f"{summary['scenario']}, seed {summary['seed']}: {_hours(summary['simulated_us'])} of simulated time"]
    lines += [*_fault_lines(summary), ""]
    lines += ["energy                                kWh"]
    words = {
        "demand": "demand (gross)", "generation": "generation (gross)", "self_consumed": "consumed where generated",
        "local": "traded within microgrids", "between_microgrids": "traded between microgrids",
        "grid_bought": "bought from the main grid", "grid_sold": "sold to the main grid",
        "imbalance_bought": "imbalance bought", "imbalance_sold": "imbalance sold",
    }  # fmt: skip
    lines += [f"  {words[name]:<30}{value / 1000:>10,.1f}" for name, value in energy.items()]
    for sentence in balance_lines(energy, summary["energy_balance_wh"]):
        lines += wrap(f"kWh: {sentence}", 98, initial_indent="  ", subsequent_indent="    ")
    lines += ["", *_market_lines(summary), "", *_latency_lines(summary), "", *_chain_lines(summary)]
    lines += [*_layer1_lines(summary), "", *_cost_lines(summary)]
    before, after = money["before"], money["after"]
    kept = "unchanged" if before == after else f"CHANGED from {before} to {after}"
    lines += ["", f"money: the supply of both layers is {kept} ({before / 1e8:,.2f} pounds in tokens)"]
    lines += _open_lines(summary)
    checks = sum(summary["invariants"].values())
    broken = len(summary["violations"])
    lines += ["", f"invariants: {checks:,} checks, {broken} violations"]
    lines += ["  " + ", ".join(f"{name} {count:,}" for name, count in part) for part in _parts(summary["invariants"])]
    lines += [f"warning: {warning}" for warning in summary["warnings"]]
    lines.append(f"digest: {summary['digest']}")
    return "\n".join(lines)


def _fault_lines(summary: Mapping[str, Any]) -> list[str]:
    faults = summary["faults"]
    lines = [f"faults injected: {len(faults)}"] if faults else []
    lines += ["  " + shorten(f"{_clock(at)} {what}", 98, placeholder=" ...") for at, what in faults[:FAULTS_SHOWN]]
    if len(faults) > FAULTS_SHOWN:
        lines.append(f"  and {len(faults) - FAULTS_SHOWN} more")
    return lines


def _clock(at: int) -> str:
    seconds = at // 1_000_000
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def _parts(invariants: Mapping[str, int]) -> list[list[tuple[str, int]]]:
    entries = list(invariants.items())
    return [entries[i : i + 5] for i in range(0, len(entries), 5)]


def _hours(microseconds: int) -> str:
    return f"{microseconds / 3_600_000_000:.1f} h"


def _seconds(microseconds: int | None) -> str:
    return "-" if microseconds is None else f"{microseconds / 1e6:.2f}"


def _market_lines(summary: Mapping[str, Any]) -> list[str]:
    producers, consumers = summary["benefit"]["producers"], summary["benefit"]["consumers"]
    rows = (
        ("ordered, kWh", "wh", 1_000, ".1f"),
        ("of it traded between peers, kWh", "peer_to_peer_wh", 1_000, ".1f"),
        ("mean price, p/kWh", "mean_price", 1_000, ".2f"),
        ("gain on what was ordered, pence", "gain", 1_000_000, ".2f"),
        ("  % of grid's money for peer kWh", "percent_of_peer_to_peer", 1, ".1f"),
        ("  % of grid's money for all kWh", "percent_of_all", 1, ".1f"),
        ("cost of imbalances, pence", "imbalance_cost", 1_000_000, ".2f"),
        ("net gain, after imbalances, pence", "net_gain", 1_000_000, ".2f"),
        ("  % of grid's money for all kWh", "net_percent_of_all", 1, ".1f"),
    )
    lines = ["market                               producers  consumers"]
    for words, key, unit, form in rows:
        cells = ["-" if side[key] is None else format(side[key] / unit, form) for side in (producers, consumers)]
        lines.append(f"  {words:<34}" + "".join(f"{cell:>11}" for cell in cells))
    gain, net = (f"{summary['benefit'][key] / 1_000_000:,.2f}" for key in ("gain", "net_gain"))
    lines.append(f"  both: {gain} pence on what was ordered, {net} pence after imbalances")
    lines.append("  (the grid's money: what it pays producers, what it charges consumers, for the ordered energy)")
    lines.append("clearing price, p/kWh                min    mean     max")
    for chain, prices in summary["prices"].items():
        cells = ["-" if prices[key] is None else f"{prices[key] / 1_000:.2f}" for key in ("min", "mean", "max")]
        lines.append(f"  {chain:<30}" + "".join(f"{cell:>8}" for cell in cells))
    return lines


def _latency_lines(summary: Mapping[str, Any]) -> list[str]:
    lines = ["latency of an order, s             p50      p95      p99"]
    for stage, spans in summary["latency_us"].items():
        lines.append(f"  {stage.replace('_', ' '):<28}" + "".join(f"{_seconds(span):>9}" for span in spans.values()))
    return lines


def _chain_lines(summary: Mapping[str, Any]) -> list[str]:
    lines = ["chain                         members   blocks confirmed   undone"]
    for name, chain in summary["chains"].items():
        counts = (chain["members"], chain["blocks"], chain["anchors_confirmed"], chain["undone"])
        lines.append(f"  {name:<26}" + "".join(f"{count:>9,}" for count in counts))
    return lines


def _layer1_lines(summary: Mapping[str, Any]) -> list[str]:
    layer1, traffic = summary["layer1"], summary["traffic"]
    return [
        f"layer 1: {layer1['nodes']} nodes, {layer1['blocks']:,} blocks, {layer1['payload_blocks']:,} with a transaction",
        f"traffic: {traffic['messages']:,} messages in {traffic['frames']:,} frames, {traffic['bytes'] / 1e6:,.1f} MB",
    ]


def _cost_lines(summary: Mapping[str, Any]) -> list[str]:
    cost = summary["cost"]
    lines = [f"{'cost':<36}{'in all':>12}{'per trade':>12}{'per kWh':>12}"]
    lines += [f"  {words:<34}" + "".join(f"{cell:>12}" for cell in cells) for words, *cells in cost_lines(cost)]
    energy = f"{cost['peer_to_peer_wh'] / 1000:,.1f} kWh"
    lines.append(
        f"  (per row of the table of trades between peers, {cost['trades']:,}; per kWh between peers, {energy})"
    )
    if summary["final_us"]:
        lines.append("from the gate to final on layer 1, s     p50      p95")
    for chain, spans in summary["final_us"].items():
        lines.append(f"  {chain:<34}" + "".join(f"{_seconds(span):>9}" for span in spans.values()))
    return lines


def _open_lines(summary: Mapping[str, Any]) -> list[str]:
    missed, unsettled = summary["missed_gates"], summary["unsettled"]
    late = f"missed gates: {missed['home']} of homes, {missed['chain']} of chains, {summary['returned']} residuals returned"
    lines = [late, f"assumed readings: {summary['assumed_readings']}; accounts in debt: {len(summary['debts'])}"]
    lines.append(f"unsettled: {len(unsettled) or 'nothing'}")
    lines += [
        "  " + ", ".join(f"{key} {value}" for key, value in entry.items()) for entry in unsettled[:UNSETTLED_SHOWN]
    ]
    if len(unsettled) > UNSETTLED_SHOWN:
        lines.append(f"  and {len(unsettled) - UNSETTLED_SHOWN} more")
    return lines
