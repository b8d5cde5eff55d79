"""A configuration checked without running it: what a run would refuse is refused, and the plan is told.

The timetable is that of the first delivery interval, in time since the run's start and in time before delivery begins; each
next interval's is one interval later. What a fault may name are the hosts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import wrap

from ledger.kernel.instant import Duration, format_duration
from ledger.kernel.quorum import max_faulty
from node.configuration import ConfigurationError
from node.configuration_file import open_configuration
from node.environment import neighbours_of
from node.experiments.environment import conditions_of
from node.experiments.scenario import SimulatedScenario

WIDTH = 110
"""Columns of the text."""


def check_file(path: Path, overrides: Sequence[str], seed: int | None) -> SimulatedScenario:
    """The scenario of a configuration file, made ready as for a run.

    Errors: ``ConfigurationError``.
    """
    file = open_configuration(path, overrides, seed)
    try:
        scenario = SimulatedScenario(file.configuration, path.parent)
        neighbours_of(file.configuration, scenario.plan.ledger_nodes, scenario.seed)
        conditions_of(file.configuration, scenario.plan.hosts, path.parent)
    except ConfigurationError as error:
        raise file.placed(error) from None
    return scenario


def plan_text(scenario: SimulatedScenario) -> str:
    """The plan for people: chains with their committees, timetable, hosts."""
    market, speed_up = scenario.market, scenario.configuration.scenario.speed_up
    whole = format_duration(scenario.configuration.market.interval)
    faster = "" if speed_up == 1 else f" ({whole} of the data, at speed-up {speed_up})"
    head = (
        f"{scenario.network}: {market.intervals} delivery intervals of {format_duration(market.interval_length)}{faster}, "
        f"{len(scenario.plan.homes)} homes on {len(scenario.plan.chains)} chains, {len(scenario.plan.ledger_nodes)} "
        "layer-1 nodes"
    )
    return "\n".join([head, "", *_chain_lines(scenario), "", *_timetable(scenario), "", *_host_lines(scenario)])


def _chain_lines(scenario: SimulatedScenario) -> Iterator[str]:
    chains = scenario.plan.chains.values()
    width = max(len("parent"), *(len(chain.name) for chain in chains))
    yield f"{'chain':<{width}}  level  {'parent':<{width}}  members  faulty at most  homes"
    for chain in chains:
        homes = ", ".join(home.name for home in chain.homes) or "-"
        members, parent = len(chain.members), chain.parent or "-"
        line = f"{chain.name:<{width}}  {chain.level:>5}  {parent:<{width}}  {members:>7}  {max_faulty(members):>14}  "
        yield from _hanging(line, homes + (" (offline)" if chain.offline else ""))


def _timetable(scenario: SimulatedScenario) -> Iterator[str]:
    market = scenario.market
    delivery = market.delivery(0)
    levels: dict[int, list[str]] = {}
    for chain in scenario.plan.chains.values():
        levels.setdefault(chain.level, []).append(chain.name)
    rows = [("opening", delivery - market.opening_at(0))]
    rows += [(f"round {number} ends", delivery - market.round_end(0, number)) for number in range(1, market.rounds + 1)]
    rows += [(f"gate of {', '.join(levels[level])}", gate) for level, gate in enumerate(market.gates)]
    yield "timetable of the first interval, since the start"
    for what, before in rows:
        yield f"  {_clock(delivery - before):>9}  {what}, {format_duration(before)} before delivery"
    yield f"  {_clock(delivery):>9}  delivery begins"
    yield f"  {_clock(market.readings_from(0)):>9}  delivery ends, readings are accepted"
    yield f"  {_clock(market.metering_at(0)):>9}  metering"
    later = format_duration(market.interval_length)
    yield f"each next interval is {later} later; the last is metered at {_clock(scenario.end)}"


def _host_lines(scenario: SimulatedScenario) -> Iterator[str]:
    yield "hosts, as faults name them"
    for hosts in (scenario.plan.ledger_nodes, tuple(home.name for home in scenario.plan.homes)):
        yield from _hanging("  ", ", ".join(hosts))


def _hanging(head: str, text: str) -> list[str]:
    return wrap(text, WIDTH, initial_indent=head, subsequent_indent=" " * min(len(head), WIDTH // 2))


def _clock(instant: Duration) -> str:
    """Hours and minutes, and seconds where there are some."""
    seconds, rest = divmod(instant, 1_000_000)
    minutes, second = divmod(seconds, 60)
    text = f"{minutes // 60}:{minutes % 60:02}"
    return text if not second and not rest else f"{text}:{second:02}" + (f".{rest:06}".rstrip("0") if rest else "")
