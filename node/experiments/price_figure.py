"""The figure of prices: how the tentative prices of the bidding rounds came to the clearing price, chain by chain.

A price stands where its energy flows. The rounds of an interval are set apart within it, from left to right, and joined by
a thin line that ends at the clearing: their order is true, their distances are not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from node.experiments.benefit import chains_of
from node.experiments.drawing import STYLE, Drawing, empty_note, light, panels
from node.experiments.figures import (
    PANELS_MAX,
    Market,
    chain_colours,
    fault_legend,
    intervals_of,
    left_out,
    legend_above,
)
from node.experiments.tables import Tables

CLEARING_SIZE = 8.5
ROUNDS_REACH = 0.46
"""Of an interval's length: how far to the left of the clearing the first round stands."""
TENTATIVE: dict[str, Any] = {
    "linestyle": "", "marker": "o", "markersize": 3.6, "markerfacecolor": "none", "markeredgewidth": 0.7, "alpha": 0.7,
}  # fmt: skip


def clearing_prices(tables: Tables, market: Market) -> Drawing:
    """One panel per chain: clearing prices, and the tentative prices of the rounds on the way to them."""
    cleared: dict[str, list[tuple[int, int, bool]]] = {chain: [] for chain, _ in chains_of(tables)}
    for chain, interval, price, supply, demand in tables.clearings.select(
        "chain", "interval", "price", "supply_wh", "demand_wh"
    ):
        if price is not None:
            cleared[chain].append((interval, price, demand > supply))
    chains = [chain for chain in cleared if cleared[chain]][:PANELS_MAX]
    colours = chain_colours(tables)
    with rc_context(STYLE):
        figure, axes = panels(len(chains), 1.75, 1 if len(chains) <= 4 else 2)
        for place, chain in zip(axes, chains, strict=False):
            _draw_rounds(place, tables, chain, market, colours[chain])
            _draw_prices(place, cleared[chain], market, colours[chain])
            market.draw_axis(place, intervals_of(tables))
            place.set_title(chain, color=colours[chain], weight="bold", pad=3)
        if chains:
            _draw_grid_prices(axes, market)
            legend_above(figure, [*_price_legend(), *fault_legend(market)])
            figure.supxlabel("hours of the run; marks stand at delivery", fontsize=9)
            figure.supylabel("p/kWh", fontsize=9)
        else:
            empty_note(axes[0], "nothing was matched, so there is no price")
    ranges = [
        f"{chain}: {min(p for _, p, _ in cleared[chain]) / 1000:.2f} to {max(p for _, p, _ in cleared[chain]) / 1000:.2f}"
        for chain in chains
    ]
    caption = (
        "Clearing prices between what the main grid pays and what it charges. Circles joined by a thin line: the tentative "
        "prices of the bidding rounds, from left to right; the last round is the clearing. No mark: one side of the market "
        "was empty."
        f"{left_out(sum(map(bool, cleared.values())))}"
    )
    return Drawing("prices", caption, f"Clearing prices in pence per kWh. {'; '.join(ranges)}.", figure)


def _draw_rounds(place: Axes, tables: Tables, chain: str, market: Market, colour: str) -> None:
    ways: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for of, interval, number, price in tables.rounds.select("chain", "interval", "round", "price"):
        if of == chain and price is not None:
            ways[interval].append((number, price))
    last = max((number for way in ways.values() for number, _ in way), default=1)
    for interval, way in ways.items():
        # The last round is the clearing: it stands at the middle of the interval, like the mark.
        apart = [ROUNDS_REACH * market.hours * (last - number) / max(1, last - 1) for number, _ in sorted(way)]
        where = [market.middle(interval) - before for before in apart]
        prices = [price / 1000 for _, price in sorted(way)]
        place.plot(where, prices, color=colour, linewidth=0.6, alpha=0.55, zorder=2)
        place.plot(where, prices, **TENTATIVE, markeredgecolor=colour, zorder=2.1)


def _draw_prices(place: Axes, prices: Sequence[tuple[int, int, bool]], market: Market, colour: str) -> None:
    for scarce, marker in ((True, "^"), (False, "v")):
        some = [(market.middle(interval), price / 1000) for interval, price, short in prices if short == scarce]
        place.plot(
            [at for at, _ in some],
            [price for _, price in some],
            linestyle="",
            marker=marker,
            markersize=CLEARING_SIZE,
            color=colour,
            markeredgecolor=light("paper"),
            markeredgewidth=0.6,
            zorder=3,
        )


def _draw_grid_prices(axes: Sequence[Axes], market: Market) -> None:
    buy, sell = market.tariff.buy_price / 1000, market.tariff.sell_price / 1000
    room = 0.2 * (buy - sell)
    for place in axes:
        place.set_ylim(sell - room, buy + room)
        for price in (buy, sell):
            place.axhline(price, color=light("ink"), linewidth=0.9, linestyle=(0, (5, 2)))
        for price, word, side in ((buy, "charges", "bottom"), (sell, "pays", "top")):
            height = price + (room / 4 if side == "bottom" else -room / 4)
            text = f"main grid {word} {price:g}"
            place.text(0.99, height, text, transform=place.get_yaxis_transform(), ha="right", va=side, fontsize=7.5)


def _price_legend() -> list[Line2D | Patch]:
    ink = light("ink")
    marks = (("^", "cleared, demand above supply"), ("v", "cleared, supply above demand"))
    cleared = [Line2D([], [], linestyle="", color=ink, marker=mark, markersize=7, label=text) for mark, text in marks]
    tentative = {**TENTATIVE, "linestyle": "-"}
    return [
        *cleared,
        Line2D([], [], color=ink, linewidth=0.6, markeredgecolor=ink, label="tentative, by round", **tentative),
    ]
