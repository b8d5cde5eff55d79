"""Distributions: of latency, without and with f silent members; of the rounds that agreements take.

The rounds of a protocol whose coin is real in every round follow the geometric law when all vote alike: a round ends it with
a chance of 1/2. Fixed coins end most agreements in the round whose coin fits first. A coin depends on nothing but seed, block
and proposer, so only one cell of each seed is counted, the one with the most members.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import comb
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from node.experiments.drawing import STYLE, WIDTH, Drawing, light
from node.experiments.protocol_look import ProtocolLook, in_time, minor_times, source_line
from node.experiments.sweep_data import SweepData, spans_of

POINTS_MAX = 240
"""Points of one curve: more than the pixels could tell apart."""
REAL_COINS = ("mmr14",)
"""Protocols whose coin is real in every round."""
COINS = {"wasp": "coins 1, 1, 0, 0, real", "hbbft": "coins 1, 0, real", "mmr14": "real coins"}
ROUNDS_SHOWN = 5
"""At least: a panel of its own is wide enough for its title."""
TAIL = 0.005


def distribution_figure(data: SweepData, machine: str, nodes: int) -> Drawing:
    """The share of nodes and blocks that had an anchor, by time: of committees of one size."""
    data = data.where(machine=machine, nodes=nodes)
    maps, protocols, silences = data.values("map"), data.values("protocol"), ("none", "f")
    look = ProtocolLook(protocols)
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.9 + 2.3 * len(maps)))
        for place, name in zip(figure.subplots(len(maps), 1, squeeze=False).flat, maps, strict=True):
            for protocol in protocols:
                for silence in silences:
                    some = data.where(map=name, protocol=protocol, silence=silence)
                    _draw_steps(place, spans_of(some.records, "anchored"), look, protocol, silence)
            place.set_xscale("log")
            place.xaxis.set_major_formatter(FuncFormatter(lambda value, _: in_time(value)))
            place.xaxis.set_minor_formatter(FuncFormatter(minor_times("235")))
            place.tick_params(axis="x", which="minor", labelsize=7)
            place.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
            place.set_ylim(0, 1.01)
            place.set_title(data.title(name), pad=3)
            place.set_ylabel("share of nodes and blocks")
        place.set_xlabel("from the beginning of the instance to the signed anchor, logarithmic")
        ink = light("ink")
        kinds = [
            Line2D([], [], color=ink, linewidth=1.6, label="no silent members"),
            Line2D([], [], color=ink, linewidth=1.2, linestyle=(0, (1.5, 1.2)), label="f silent members"),
        ]
        names = [Line2D([], [], label=protocol, **{**look.line(protocol), "linestyle": "-"}) for protocol in protocols]
        figure.legend(handles=[*names, *kinds], loc="outside upper left", ncols=5, handlelength=2.4)
        source_line(figure, data.source)
    caption = (
        f"Cumulative distribution of latency of committees of {nodes}, over nodes, blocks and seeds; full lines without, "
        "dotted with f silent members."
    )
    return Drawing("distribution", caption, caption, figure)


def _draw_steps(place: Axes, spans: Sequence[int], look: ProtocolLook, protocol: str, silence: str) -> None:
    if not spans:
        return
    shares = range(POINTS_MAX + 1)
    points = [max(spans[(len(spans) - 1) * share // POINTS_MAX], 1) / 1000 for share in shares]
    dashes, width = ("-", 1.6) if silence == "none" else ((0, (1.5, 1.2)), 1.2)
    place.plot(
        points, [share / POINTS_MAX for share in shares], color=look.colour(protocol), linestyle=dashes, linewidth=width
    )
    middle = len(points) // 2
    marker = look.line(protocol)
    place.plot(points[middle], 0.5, **{**marker, "linestyle": ""}, zorder=3)


# ---------------------------------------------------------------------------------------------------------------- rounds


def rounds_of(data: SweepData) -> dict[str, Counter[int]]:
    """How often each number of rounds was taken, by protocol, each coin counted once; without silent members."""
    found: dict[str, Counter[int]] = {}
    some = data.where(silence="none")
    for protocol in some.values("protocol"):
        records = [record for record in some.where(protocol=protocol).records if any(record.rounds)]
        largest: dict[int, tuple[tuple[int, ...], ...]] = {}
        for record in sorted(records, key=lambda record: record.nodes):
            largest[record.seed] = record.rounds
        counts = Counter(rounds for blocks in largest.values() for block in blocks for rounds in block)
        if protocol in COINS and counts:
            found[protocol] = counts
    return found


def rounds_figure(data: SweepData) -> Drawing:
    """Histograms of the rounds of agreements, with the geometric law."""
    found = rounds_of(data)
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.1))
        panels = figure.subplots(1, len(found), sharey=True, squeeze=False, width_ratios=_widths(found)).flat
        for place, (protocol, counts) in zip(panels, found.items(), strict=True):
            _draw_rounds(place, protocol, counts)
        figure.axes[0].set_ylabel("share of agreements")
        source_line(figure, data.source)
    told = [
        f"{protocol}: " + ", ".join(f"{rounds} x {count}" for rounds, count in sorted(counts.items()))
        for protocol, counts in found.items()
    ]
    caption = (
        "Rounds that agreements take, at the node where they take longest, without silent members. Marks: the geometric law "
        "of a fair coin, with the interval in which 99 % of samples of this size lie."
    )
    return Drawing("rounds", caption, f"Rounds of agreements, and how many took so many. {'; '.join(told)}.", figure)


def within_99(total: int, share: float) -> tuple[int, int]:
    """The counts between which a binomial sample lies with at least 99 %: each tail has half a per cent at most."""
    below, low, high = 0.0, 0, total
    for count in range(total + 1):
        chance = comb(total, count) * share**count * (1 - share) ** (total - count)
        if below + chance <= TAIL:
            low = count + 1
        if below + chance >= 1 - TAIL:
            high = count
            break
        below += chance
    return low, high


def _widths(found: Mapping[str, Counter[int]]) -> list[int]:
    return [max(ROUNDS_SHOWN, *counts) for counts in found.values()]


def _draw_rounds(place: Axes, protocol: str, counts: Counter[int]) -> None:
    total, last = counts.total(), max(ROUNDS_SHOWN, *counts)
    numbers = range(1, last + 1)
    place.bar(numbers, [counts[rounds] / total for rounds in numbers], 0.72, color=light("demand"), label="measured")
    if protocol in REAL_COINS:
        law = [0.5**rounds for rounds in numbers]
        ends = [[count / total for count in within_99(total, share)] for share in law]
        reach = [[share - low for share, (low, _) in zip(law, ends, strict=True)],
                 [high - share for share, (_, high) in zip(law, ends, strict=True)]]  # fmt: skip
        look: dict[str, Any] = {"fmt": "D", "color": light("ink"), "markersize": 4, "capsize": 3, "linewidth": 1}
        place.errorbar(numbers, law, reach, label="geometric law, 99 %", **look)
        place.legend(loc="upper right")
    place.set_title(f"{protocol}\n{total:,} agreements", pad=3)
    place.set_xlabel(f"rounds; {COINS[protocol]}")
    place.set_xticks(numbers)
    place.set_xlim(0.4, last + 0.6)
    place.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
    place.grid(False, axis="x")
