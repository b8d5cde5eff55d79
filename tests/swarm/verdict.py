"""Runs a drawn scenario and judges it.

Beside the checks that every run makes of itself: a run whose chains are all up in the end is settled; where some chain is
down for good, only chains that it is above or below of hold anything. The supply is what it was. All energy of all homes
went somewhere, and every home's account moved by exactly what its receipts say.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ledger.kernel.encoding import Frozen
from ledger.kernel.instant import MINUTE, Duration
from market.hierarchy import AUCTION
from node.configuration import UTILITY
from node.configuration_checks import chains_above
from node.configuration_file import load_configuration
from node.experiments.drain import is_drained, unsettled_of, view_of
from node.experiments.recorder import Recorder
from node.experiments.scenario import SimulatedScenario
from node.experiments.summary import summarise
from node.plan import ChainPlan
from node.simulated.faults import ScheduledFault, fault_process
from node.simulated.runtime import SimulatedRuntime
from tests.swarm.scenarios import Life, write
from wasp.core_contracts.accounts import balance_of

CATCH_UP: Duration = 5 * MINUTE
"""After a run is drained, members and layer-1 nodes that are behind have this long to see the end of it."""


class Verdict(Frozen):
    """What a run came to."""

    problems: tuple[str, ...]
    drained: bool
    settled_after_us: int
    """Simulated time from the end of the last interval."""
    events: int
    summary: dict[str, Any]


class PoorScenario(SimulatedScenario):
    """Homes have only a part of the funds that the configuration gives them, down to none."""

    funds_per_mille = 1000

    def _funds(self, chain: ChainPlan) -> dict[str, int]:
        funds = super()._funds(chain)
        if not chain.homes:
            return funds
        return {account: amount * self.funds_per_mille // 1000 for account, amount in funds.items()}


def judge(life: Life, folder: Path) -> Verdict:
    """Run the scenario; its files are left in the folder."""
    return judge_file(write(life, folder), life.funds_per_mille, life.beside)


def judge_file(path: Path, funds_per_mille: int = 1000, beside: Sequence[ScheduledFault] = ()) -> Verdict:
    """Run a scenario's file, with these faults beside its own."""
    configuration = load_configuration(path)
    poor = type("_Poor", (PoorScenario,), {"funds_per_mille": funds_per_mille})
    scenario: SimulatedScenario = poor(configuration, path.parent)
    recorder = Recorder(scenario)
    runtime = scenario.runtime(recorder)
    if beside:
        runtime.clock.process(fault_process(runtime.clock, beside, runtime))  # type: ignore[arg-type]
    last = scenario.end + configuration.scenario.drain_max
    quiet = max([scenario.end, *(fault.at for fault in configuration.faults)])
    runtime.run_until(quiet)
    while not (drained := is_drained(scenario, recorder, runtime)) and runtime.now < last:
        runtime.run_until(runtime.now + MINUTE)
    settled_after = runtime.now - quiet
    runtime.run_until(runtime.now + CATCH_UP)
    recorder.finish(runtime.counters)
    summary = summarise(scenario, recorder, runtime)
    problems = tuple(_problems(scenario, recorder, runtime, summary, drained))
    return Verdict(problems, drained, settled_after, runtime.counters.events, summary)


def dead_chains(scenario: SimulatedScenario, runtime: SimulatedRuntime) -> set[str]:
    """Chains that have fewer members up than they need."""
    dead = set()
    for name, setup in scenario.chains.items():
        up = sum(runtime.host(member) is not None for member in setup.committee.members)
        if setup.plan.offline or up < setup.committee.waiting:
            dead.add(name)
    return dead


def _problems(
    scenario: SimulatedScenario, recorder: Recorder, runtime: SimulatedRuntime, summary: dict[str, Any], drained: bool
) -> Iterator[str]:
    yield from (f"violation: {violation}" for violation in recorder.invariants.violations)
    money = summary["money_micropence"]
    behind = {len(confirmed) for confirmed in recorder.invariants.unspent.values()}
    if money["after"] != money["before"]:
        yield f"supply: {money}, {behind}"
    dead = dead_chains(scenario, runtime)
    if not dead and not drained:
        yield f"not drained: {_why(scenario, recorder, runtime)}"
    if dead:
        yield from _held_elsewhere(scenario, recorder, dead)
    yield from _members_apart(scenario, recorder, runtime, dead)
    if drained and not any(scenario.plan.chains[name].homes for name in dead):
        yield from _energy_lost(summary)
    if drained:
        yield from _money_lost(scenario, recorder)


def _held_elsewhere(scenario: SimulatedScenario, recorder: Recorder, dead: set[str]) -> Iterator[str]:
    """Only a chain that is down, or one that waits for it, may hold something."""
    parents = {name: chain.parent for name, chain in scenario.plan.chains.items()}
    near = set(dead)
    for name in parents:
        if dead & set(chains_above(name, parents)):
            near.add(name)
    for name in dead:
        near.update(chains_above(name, parents))
    for entry in unsettled_of(scenario, recorder):
        if "chain" in entry and entry["chain"] not in near:
            yield f"unsettled at a chain that has nothing to do with {sorted(dead)}: {entry}"


def _members_apart(
    scenario: SimulatedScenario, recorder: Recorder, runtime: SimulatedRuntime, dead: set[str]
) -> Iterator[str]:
    for name, setup in scenario.chains.items():
        if name in dead:
            continue
        for member in setup.committee.members:
            host = runtime.host(member)
            if host is None:
                continue
            chain = host.chains[name]
            if chain.confirmed_block.index != recorder.confirmed[name]:
                yield f"{member} is at {chain.confirmed_block.index} of {name}, confirmed is {recorder.confirmed[name]}"


def _energy_lost(summary: dict[str, Any]) -> Iterator[str]:
    energy = summary["energy_wh"]
    if summary["assumed_readings"]:
        return
    needed = energy["demand"] - energy["generation"]
    grid = energy["grid_bought"] - energy["grid_sold"] + energy["imbalance_bought"] - energy["imbalance_sold"]
    if needed != grid:
        yield f"energy: homes needed {needed} Wh net, the main grid gave {grid} Wh: {energy}"


def _money_lost(scenario: SimulatedScenario, recorder: Recorder) -> Iterator[str]:
    """Accounts in the end = genesis + what the receipts say, debts counted; the contract holds nothing."""
    moved: dict[str, int] = defaultdict(int)
    columns = ("home", "side", "money", "imbalance_money")
    for home, side, money, imbalance in recorder.tables.settlements.select(*columns):
        moved[home] += (-money if side == "bid" else money) + (imbalance or 0)
    for name, setup in scenario.chains.items():
        state = recorder.confirmed_states[name]
        debts = dict(view_of(scenario, recorder, name, "debts"))
        for home in setup.plan.homes:
            before = balance_of(setup.state, home.name)
            after = balance_of(state, home.name) - debts.get(home.name, 0)
            if after - before != moved[home.name]:
                yield f"money: {home.name} moved by {after - before}, its receipts say {moved[home.name]}"
        if balance_of(state, AUCTION):
            yield f"money: the auction of {name} holds {balance_of(state, AUCTION)} with nothing open"
    grid = sum(debt for name in scenario.chains for _, debt in view_of(scenario, recorder, name, "debts"))
    utilities = sum(balance_of(recorder.confirmed_states[name], UTILITY) for name in scenario.chains) + grid
    before = sum(balance_of(setup.state, UTILITY) for setup in scenario.chains.values())
    if utilities - before != -sum(moved.values()):
        yield f"money: the utility moved by {utilities - before}, the homes by {sum(moved.values())}"


def _why(scenario: SimulatedScenario, recorder: Recorder, runtime: SimulatedRuntime) -> str:
    told = [str(entry) for entry in unsettled_of(scenario, recorder)]
    for name, setup in scenario.chains.items():
        opened = view_of(scenario, recorder, name, "open_intervals")
        told.append(f"\n  {name}: confirmed {recorder.confirmed[name]}, open {opened}")
        for member in setup.committee.members:
            host = runtime.host(member)
            if host is not None:
                told.append(f"\n    {member}: {host.chains[name].status}")
    return ", ".join(told)
