"""Latency by stage: what of a block's time goes where, protocol by protocol, for a small, a middle and a large committee.

Means, because they add up to the whole. Bars are drawn to the same height, for the whole differs by orders of magnitude; it
is written above each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from node.experiments.drawing import STYLE, WIDTH, Drawing, light
from node.experiments.protocol_look import source_line
from node.experiments.sweep_data import CellRecord, SweepData, mean

STAGES: Mapping[str, tuple[str, str, str | None]] = {
    "prepared": ("signature prepared", "route_local", None),
    "gathered": ("proposals on their way to the leader", "supply", "...."),
    "decided": ("agreed", "chain1", None),
    "ready": ("entropy, requests", "route_level3", "----"),
    "signed": ("anchor signed", "chain2", "////"),
}
"""Words, colour, hatch."""
PANELS_MAX = 4


def stage_figure(data: SweepData, name: str, machine: str) -> Drawing:
    """Of one map, with this machine, without silent members."""
    data = data.where(map=name, machine=machine, silence="none")
    protocols, sizes = data.values("protocol"), chosen(sorted(data.values("nodes")), PANELS_MAX)
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.9 + 1.55 * len(sizes)))
        panels = list(figure.subplots(len(sizes), 1, sharex=True, squeeze=False).flat)
        for place, nodes in zip(panels, sizes, strict=True):
            _draw_bars(place, protocols, data.where(nodes=nodes))
            place.set_ylabel(f"{nodes} members")
        handles = [Patch(label=words, **_fill(colour, hatch)) for words, colour, hatch in STAGES.values()]
        figure.legend(handles=handles, loc="outside upper left", ncols=3, handlelength=1.6)
        source_line(figure, data.source)
    caption = (
        f"Where the time of a block goes in {name}, from the beginning of its instance to the signed anchor: means over "
        "nodes, blocks and seeds, as shares of the whole, which stands above each bar."
    )
    return Drawing(f"stages-{name}", caption, caption, figure)


def stages_of(records: Sequence[CellRecord]) -> dict[str, float]:
    """The mean of each stage, in milliseconds; one that a protocol does not have takes no time."""
    rows = [row for record in records for row in record.spans]
    return {stage: (mean(row[stage] or 0 for row in rows) or 0.0) / 1000 for stage in STAGES}


def chosen(sizes: Sequence[int], count: int) -> list[int]:
    """At most so many of the sizes, the smallest and the largest among them, evenly on a logarithmic axis."""
    low, high = sizes[0], sizes[-1]
    wanted = [low * (high / low) ** (place / (count - 1)) for place in range(count)]
    return list(dict.fromkeys(min(sizes, key=lambda size: abs(log(size / want))) for want in wanted))


def _draw_bars(place: Axes, protocols: Sequence[str], data: SweepData) -> None:
    for column, protocol in enumerate(protocols):
        records = data.where(protocol=protocol).records
        if not records:
            place.text(column, 0.5, "not in the study", ha="center", va="center", fontsize=7, color=light("muted"))
            continue
        stages = stages_of(records)
        whole, floor = sum(stages.values()) or 1.0, 0.0
        for stage, (_, colour, hatch) in STAGES.items():
            share = stages[stage] / whole
            place.bar(column, share, 0.7, bottom=floor, **_fill(colour, hatch))
            floor += share
        text = f"{whole / 1000:.3g} s" if whole >= 1000 else f"{whole:.3g} ms"
        place.text(column, 1.03, text, ha="center", va="bottom", fontsize=8)
    place.set_ylim(0, 1.0)
    place.set_xticks(range(len(protocols)), protocols, color=light("ink"))
    place.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
    place.grid(False, axis="x")


def _fill(colour: str, hatch: str | None) -> dict[str, Any]:
    edge = light("muted") if hatch in ("....", "----") else light("paper")
    return {"facecolor": light(colour), "hatch": hatch, "edgecolor": edge, "linewidth": 0.4}
