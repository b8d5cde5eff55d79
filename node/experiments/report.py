"""The report of a run: one HTML page that needs nothing but itself, on a screen, on paper and without a network.

``render_report`` takes the tables, the summary and the manifest of a run. What it reads of the summary, all in the units
of the tables (Wh, micro-pence, micro-pence per Wh, microseconds); a key that is missing leaves its line or table out:

=====================  =======================================================================================
``digest``             of the results, hex
``seed``               of the scenario
``energy_wh``          ``demand``, ``generation``, ``self_consumed``, ``local``, ``between_microgrids``, ``grid_bought``,
                       ``grid_sold``, ``imbalance_bought``, ``imbalance_sold``
``energy_balance_wh``  as ``node.experiments.energy_balance.balance_of`` gives it
``money_micropence``   ``before``, ``after``: the supply over both layers
``latency_us``         per stage since submission (``in_batch``, ``decided``, ``anchored``, ``confirmed``): ``p50``,
                       ``p95``, ``p99``
``chains``             per chain: ``blocks``, ``anchors_confirmed``, and whatever else is counted
``layer1``             whatever is counted: ``nodes``, ``blocks``, ``payload_blocks``, ``messages``, ``bytes``, ...
``traffic``            whatever is counted of the network: ``messages``, ``frames``, ``bytes``
``simulated_us``       how much simulated time went by
``missed_gates``       ``home``, ``chain``
``assumed_readings``   homes and intervals that were settled without a reading
``debts``              micro-pence by account
``unsettled``          a number, or what is unsettled, one item each
``invariants``         name: times checked
``violations``         what broke, one text each
``prices``             as ``node.experiments.benefit.prices_of`` gives it; computed from the tables when missing
``benefit``            as ``node.experiments.benefit.benefit_of`` gives it; computed from the tables when missing
``warnings``           what is legal and probably not meant, one text each
``cost``               as ``node.experiments.cost.cost_of`` gives it
``final_us``           per microgrid, from the clearing to the confirmed shares: ``p50``, ``p95``
``faults``             what was injected: the instant and a text, each
=====================  =======================================================================================

Of the manifest: ``configuration`` (the resolved one; the main grid's prices come from there), ``first_delivery_us`` and
``interval_us`` (when energy flows, by the run's clock), ``weight_percent`` (of the validators: ``accepted``, ``confirmed``)
and ``versions``. The same input gives the same page, byte for byte: no date is on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from jinja2 import Environment, StrictUndefined

from ledger.kernel.encoding import Frozen
from ledger.kernel.instant import HOUR, MILLISECOND, MINUTE, SECOND
from market.units import Tariff, price_of
from node.configuration import parse_duration
from node.experiments.benefit import benefit_of, prices_of
from node.experiments.drawing import PALETTE, Drawing
from node.experiments.figures import Market, chain_colours, day_figures
from node.experiments.latency_figure import latency
from node.experiments.price_figure import clearing_prices
from node.experiments.report_tables import Listing, clock, kwh, pence, span, summary_tables, words
from node.experiments.tables import Tables
from node.experiments.tangle_picture import tangle_picture
from node.experiments.walk import WalkStep, choose_walk

TEMPLATE = "report.html.j2"


class Tile(Frozen):
    """One headline number."""

    label: str
    value: str
    note: str


class WalkLine(Frozen):
    """One step of the walk, as it is shown; ``colour`` is a name of the palette."""

    at: str
    since: str
    host: str
    what: str
    source: str
    colour: str


def render_report(
    tables: Tables, summary: Mapping[str, Any], manifest: Mapping[str, Any], walk: Sequence[WalkStep] = ()
) -> str:
    """The page. Without a ``walk`` the trade that shows most is looked up in the tables."""
    market = market_of(manifest)
    summary = {
        "prices": prices_of(tables),
        "benefit": benefit_of(tables, market.tariff),
        **summary,
    }
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(Path(__file__).with_name(TEMPLATE).read_text(encoding="utf-8"))
    return template.render(
        name=manifest.get("configuration", {}).get("scenario", {}).get("name", "a run"),
        facts=_facts(tables, summary),
        tiles=_tiles(summary),
        tables=summary_tables(tables, summary, market),
        drawings={drawing.name: drawing for drawing in drawings_of(tables, summary, manifest)},
        walk=_walk_lines(tables, list(walk) or choose_walk(tables)),
        violations=list(summary.get("violations", ())),
        warnings=list(summary.get("warnings", ())),
        faults=[(clock(at), what) for at, what in summary.get("faults", ())],
        versions=_versions(manifest),
        configuration=_flat(manifest.get("configuration", {})),
        light={colour: value for colour, (value, _) in PALETTE.items()},
        dark={colour: value for colour, (_, value) in PALETTE.items()},
    )


def drawings_of(tables: Tables, summary: Mapping[str, Any], manifest: Mapping[str, Any]) -> tuple[Drawing, ...]:
    """The figures of the page."""
    market = msgspec.structs.replace(market_of(manifest), faults=tuple(at for at, _ in summary.get("faults", ())))
    return (
        *day_figures(tables, market),
        clearing_prices(tables, market),
        latency(tables, _delays(manifest)),
        tangle_picture(tables, manifest.get("weight_percent", {})),
    )


def market_of(manifest: Mapping[str, Any]) -> Market:
    """The prices of the resolved configuration, and when energy flows."""
    section = manifest["configuration"]["market"]
    buy, sell = (price_of(str(section[field])) for field in ("grid_charges", "grid_pays"))
    interval = manifest.get("interval_us") or parse_duration(section.get("interval", "1h"))
    return Market(Tariff(buy, sell), interval, manifest.get("first_delivery_us", 0))


def _delays(manifest: Mapping[str, Any]) -> tuple[str, str] | None:
    """How long requests wait for a member's proposal: at rest, and after the last one."""
    section = manifest["configuration"].get("consensus")
    if section is None:
        return None
    return str(section["gather_delay"]), str(section["batch_delay"])


def _facts(tables: Tables, summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    settled = tables.settlements
    homes, intervals = len(set(settled.column("home"))), len(set(settled.column("interval")))
    microgrids, chains = len(set(settled.column("chain"))), len(summary.get("chains", {}))
    return [
        ("seed", str(summary.get("seed", "unknown"))),
        *([("simulated time", f"{clock(summary['simulated_us'])} h")] if "simulated_us" in summary else []),
        ("intervals settled", f"{intervals:,}"),
        ("microgrids", f"{microgrids:,} with {homes:,} homes"),
        ("chains", f"{chains:,}"),
        ("digest of the results", str(summary.get("digest", "unknown"))),
    ]


def _tiles(summary: Mapping[str, Any]) -> list[Tile]:
    benefit, tiles = summary["benefit"], []
    energy = benefit["peer_to_peer_wh"]
    bought = benefit["consumers"]["wh"]
    share = f"{100 * energy / bought:.1f} % of what homes ordered to buy" if bought else "nothing was ordered"
    tiles.append(Tile("traded between homes", f"{kwh(energy, 1)} kWh", share))
    for side, word in (("producers", "received more"), ("consumers", "paid less")):
        part = benefit[side]
        shown = [_signed(part[key]) for key in ("percent_of_all", "net_percent_of_all")]
        note = (
            f"after imbalances {shown[1]}. {pence(part['gain'])} p {word} on what was ordered than with the grid alone, "
            f"{pence(part['net_gain'])} p after imbalances"
        )
        tiles.append(Tile(f"gain of {side} on what was ordered", shown[0], note))
    confirmed = summary.get("latency_us", {}).get("confirmed", {})
    if confirmed.get("p50") is not None:
        note = f"on layer 1, median; p95 {span(confirmed.get('p95'))}"
        tiles.append(Tile("a bid is confirmed after", span(confirmed["p50"]), note))
    checks, violations = sum(summary.get("invariants", {}).values()), len(summary.get("violations", ()))
    tiles.append(
        Tile("invariants checked", f"{checks:,}", "times, none broken" if not violations else f"{violations} broken")
    )
    return tiles


def _signed(percent: float | None) -> str:
    return "none" if percent is None else f"{percent:+.1f} %"


def _walk_lines(tables: Tables, walk: Sequence[WalkStep]) -> list[WalkLine]:
    colours = chain_colours(tables)
    chain_of = dict(tables.settlements.select("home", "chain"))
    chains = {*tables.clearings.column("chain"), *chain_of.values()}
    lines: list[WalkLine] = []
    before = walk[0][0] if walk else 0
    for at, host, what, source in walk:
        chain = chain_of.get(host, host)
        colour = colours.name_of(chain) if chain in chains else "accent"
        since = f"+ {_gap(at - before)}" if lines and at != before else ""
        lines.append(WalkLine(clock(at), since, host, what, source, colour))
        before = at
    return lines


def _gap(time: int) -> str:
    """The time between two steps: as exact as its size asks for."""
    if time < MINUTE:
        return span(time) if time >= MILLISECOND else f"{time} µs"
    hours, minutes, seconds = time // HOUR, time % HOUR // MINUTE, time % MINUTE // SECOND
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def _versions(manifest: Mapping[str, Any]) -> Listing:
    rows = [(str(package), str(version)) for package, version in manifest.get("versions", {}).items()]
    return Listing("Made with", ("what", "version"), rows, numbers=False)


def _flat(section: Any, way: str = "") -> list[tuple[str, str]]:
    """Every field of a nested configuration with its dotted name."""
    if isinstance(section, Mapping):
        return [item for key, value in section.items() for item in _flat(value, f"{way}.{key}".lstrip("."))]
    if (
        isinstance(section, list | tuple)
        and section
        and not all(isinstance(item, str | int | float) for item in section)
    ):
        return [item for place, value in enumerate(section) for item in _flat(value, f"{way}[{place}]")]
    if isinstance(section, list | tuple):
        return [(way, ", ".join(words(item) for item in section) or "none")]
    return [(way, words(section))]
