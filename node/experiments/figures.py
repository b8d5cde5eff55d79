"""The figures of a day: net energy of the microgrids, clearing prices, energy by route.

Each takes the tables of a run and gives a ``Drawing``; what a table lacks is left out, and a figure without any content
says so in its place. The horizontal axis is the run's own clock, in hours: that of the walk, and of the instants at which
faults are injected. Markets are held before delivery; what belongs to an interval stands where its energy flows, from
``first_delivery`` + k intervals on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from ledger.kernel.encoding import Frozen
from ledger.kernel.instant import HOUR, Duration, Instant
from market.orders import ASK, BID
from market.units import Tariff
from node.experiments.benefit import GRID, chains_of
from node.experiments.drawing import (
    STYLE,
    Colours,
    Drawing,
    day_axis,
    empty_note,
    light,
    panels,
    route_label,
    route_look,
)
from node.experiments.tables import Tables

BARS_AT_DELIVERY = "hours of the run; bars stand at delivery"
PANELS_MAX = 12
"""Chains with a panel of their own in a figure: more would not fit on a page of paper."""


class Market(Frozen):
    """What the figures must know of the scenario: the main grid's prices, when energy flows, and what was done to the run."""

    tariff: Tariff
    interval: Duration
    first_delivery: Instant = 0
    faults: tuple[Instant, ...] = ()

    @property
    def hours(self) -> float:
        """The length of an interval in hours."""
        return self.interval / HOUR

    def starts(self, interval: int) -> float:
        """When the energy of an interval begins to flow, in hours of the run."""
        return (self.first_delivery + interval * self.interval) / HOUR

    def middle(self, interval: int) -> float:
        """The middle of a delivery interval, in hours of the run."""
        return self.starts(interval) + self.hours / 2

    def draw_axis(self, axes: Axes, intervals: int) -> None:
        """The horizontal axis of so many intervals, with a thin mark at each instant of an injected fault."""
        marks = sorted({at / HOUR for at in self.faults})
        ends = [self.starts(0), self.starts(max(1, intervals)), *marks]
        day_axis(axes, min(ends), max(ends))
        for mark in marks:
            axes.axvline(mark, **FAULT_MARK)


FAULT_MARK: dict[str, Any] = {"color": light("accent"), "linewidth": 0.8, "linestyle": (0, (1, 1.5)), "zorder": 1.5}


def day_figures(tables: Tables, market: Market) -> list[Drawing]:
    """The figures of energy, in the order of the report."""
    return [net_energy(tables, market), energy_by_route(tables, market)]


def chain_colours(tables: Tables) -> Colours:
    """The colours of a run's chains: of its microgrids, and of the chains above them."""
    chains = chains_of(tables)
    return Colours([chain for chain, level in chains if not level], [chain for chain, level in chains if level])


def intervals_of(tables: Tables) -> int:
    """One more than the last interval that anything is known of."""
    return 1 + max([*tables.settlements.column("interval"), *tables.clearings.column("interval")], default=-1)


# ----------------------------------------------------------------------------------------------------------- net energy


def net_energy(tables: Tables, market: Market) -> Drawing:
    """Homes with a surplus above zero, homes with a deficit below, and their sum, per microgrid and interval."""
    supply: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    demand: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for chain, interval, metered in tables.settlements.select("chain", "interval", "metered_wh"):
        if metered is not None:
            supply[chain][interval] += max(0, metered)
            demand[chain][interval] += max(0, -metered)
    chains = [chain for chain, _ in chains_of(tables) if chain in supply][:PANELS_MAX]
    with rc_context(STYLE):
        figure, axes = panels(len(chains), 1.15 if len(chains) <= 4 else 0.95, 1 if len(chains) <= 4 else 2)
        for place, chain in zip(axes, chains, strict=False):
            colour = chain_colours(tables)[chain]
            _draw_net_energy(place, supply[chain], demand[chain], market, colour)
            market.draw_axis(place, intervals_of(tables))
            place.set_title(chain, color=colour, weight="bold", pad=3)
        if chains:
            legend_above(figure, [*_net_energy_legend(), *fault_legend(market)])
            figure.supxlabel(BARS_AT_DELIVERY, fontsize=9)
            figure.supylabel("kWh per interval", fontsize=9)
        else:
            empty_note(axes[0], "no interval was settled")
    totals = [
        f"{chain}: homes with a surplus {sum(supply[chain].values()) / 1000:.1f} kWh, "
        f"homes with a deficit {sum(demand[chain].values()) / 1000:.1f} kWh"
        for chain in chains
    ]
    caption = (
        "Net energy of the microgrids as metered, generation less load. Bars add up the homes with a surplus (above zero) "
        f"and with a deficit (below); the line is their sum.{left_out(len(supply))}"
    )
    return Drawing("net-energy", caption, f"Net energy per microgrid and interval. {'; '.join(totals)}.", figure)


def _draw_net_energy(place: Axes, supply: dict[int, int], demand: dict[int, int], market: Market, colour: str) -> None:
    hours, starts = market.hours, [market.starts(interval) for interval in supply]
    above, below = [wh / 1000 for wh in supply.values()], [-wh / 1000 for wh in demand.values()]
    middle = [start + hours / 2 for start in starts]
    place.bar(middle, above, 0.86 * hours, color=light("supply"))
    place.bar(
        middle, below, 0.86 * hours, facecolor=light("demand"), edgecolor=light("paper"), hatch="////", linewidth=0
    )
    place.axhline(0, color=light("muted"), linewidth=0.7)
    net = [up + down for up, down in zip(above, below, strict=True)]
    place.stairs(net, [*starts, starts[-1] + hours], baseline=None, color=light("paper"), linewidth=3.2)
    place.stairs(net, [*starts, starts[-1] + hours], baseline=None, color=colour, linewidth=1.7)


def _net_energy_legend() -> list[Line2D | Patch]:
    return [
        Patch(facecolor=light("supply"), label="homes with a surplus"),
        Patch(facecolor=light("demand"), edgecolor=light("paper"), hatch="////", label="homes with a deficit"),
        Line2D([], [], color=light("ink"), linewidth=1.7, label="microgrid, net"),
    ]


# --------------------------------------------------------------------------------------------------------------- routes


def energy_by_route(tables: Tables, market: Market) -> Drawing:
    """Stacked: how buyers came by their energy (above zero) and where sellers' energy went (below)."""
    energy: dict[tuple[str, str], dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for interval, side, route, wh in tables.trades.select("interval", "side", "route", "energy_wh"):
        energy[route, side][interval] += wh
    for interval, wh in tables.settlements.select("interval", "imbalance_wh"):
        if wh is not None:
            energy["imbalance", ASK if wh > 0 else BID][interval] += abs(wh)
    routes = sorted({route for (route, _), some in energy.items() if any(some.values())}, key=_route_rank)
    count = intervals_of(tables)
    with rc_context(STYLE):
        figure, (place,) = panels(1, 2.9)
        for side, sign in ((BID, 1), (ASK, -1)):
            floor = [0.0] * count
            for route in routes:
                heights = [sign * energy[route, side][interval] / 1000 for interval in range(count)]
                middle = [market.middle(interval) for interval in range(count)]
                place.bar(middle, heights, 0.86 * market.hours, bottom=floor, **route_look(route))
                floor = [below + height for below, height in zip(floor, heights, strict=True)]
        if routes:
            _label_route_axes(place, market, count)
            labels = [route_label(route) for route in routes]
            if sum(label.startswith("between") for label in labels) == 1:
                labels = ["between microgrids" if label.startswith("between") else label for label in labels]
            looks = zip(labels, routes, strict=True)
            handles = [Patch(label=label, **route_look(route)) for label, route in looks]
            legend_above(figure, [*handles, *fault_legend(market)])
        else:
            empty_note(place, "nothing was traded")
    totals = [
        f"{route_label(route)}: bought {sum(energy[route, BID].values()) / 1000:.1f} kWh, "
        f"sold {sum(energy[route, ASK].values()) / 1000:.1f} kWh"
        for route in routes
    ]
    caption = (
        "Energy by route and interval, all microgrids together: what homes bought above zero, what they sold below. "
        "Energy between peers is bought and sold alike; imbalance is metered less ordered, settled with the main grid."
    )
    return Drawing("routes", caption, f"Energy by route. {'; '.join(totals)}.", figure)


def _route_rank(route: str) -> tuple[int, int]:
    level = route.removeprefix("level")
    return (1, int(level)) if level.isdigit() else ({"local": 0, GRID: 2, "imbalance": 3}.get(route, 4), 0)


def _label_route_axes(place: Axes, market: Market, count: int) -> None:
    place.axhline(0, color=light("ink"), linewidth=0.9)
    place.set_ylabel("kWh per interval")
    place.set_xlabel(BARS_AT_DELIVERY)
    place.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{abs(value):g}"))
    market.draw_axis(place, count)
    place.margins(y=0.12)
    for text, height, side in (("bought", 0.985, "top"), ("sold", 0.015, "bottom")):
        place.text(0.006, height, text, transform=place.transAxes, va=side, weight="bold")


# ------------------------------------------------------------------------------------------------------------- in common


def legend_above(figure: Figure, handles: Sequence[Line2D | Patch]) -> None:
    """The legend of a figure, above its panels."""
    figure.legend(
        handles=list(handles),
        loc="outside upper left",
        ncols=len(handles) if len(handles) <= 5 else 4,
        handlelength=1.8,
    )


def fault_legend(market: Market) -> list[Line2D | Patch]:
    """What the thin marks mean, where there are any."""
    return [Line2D([], [], label="fault injected", **FAULT_MARK)] if market.faults else []


def left_out(count: int) -> str:
    """A sentence for the caption, when there are more chains than panels."""
    return f" Only the first {PANELS_MAX} of {count} chains are shown." if count > PANELS_MAX else ""
