"""Latency against throughput: what an offered load costs until the committee is saturated.

One panel per protocol and map, one curve per size, its points in the order of the offered rate. Throughput is what was
decided a second; latency counts from the moment at which a request was to be sent, to the anchor with it at the member that
had it, so waiting is in it. Where the curve turns upwards more is offered than decided: latency grows with the run's length.
"""

from __future__ import annotations

from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from node.experiments.drawing import STYLE, WIDTH, Drawing, light
from node.experiments.protocol_look import SIZE_LOOKS, source_line, time_axis
from node.experiments.sweep_data import SweepData, mean
from node.experiments.traffic_figure import in_thousands

SIZE_COLOURS = ("chain5", "chain1", "accent", "chain3", "chain2", "chain4", "chain6", "muted", "parent1", "parent3")
SIZE_LINES = ("-", "--", "-.", ":")
COLUMNS = 2
Load = tuple[float, float, float]
"""Throughput per second; median and 95th percentile of latency in milliseconds."""


def load_figure(data: SweepData, machine: str) -> Drawing:
    """Of cells with a rate, without silent members."""
    data = data.where(machine=machine, silence="none")
    sizes = sorted(data.values("nodes"))
    kinds = [(protocol, name) for name in data.values("map") for protocol in data.where(map=name).values("protocol")]
    columns = min(COLUMNS, len(kinds))
    rows = -(-len(kinds) // columns)
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.8 + 2.4 * rows))
        axes = list(figure.subplots(rows, columns, sharey=True, sharex=True, squeeze=False).flat)
        for unused in axes[len(kinds) :]:
            unused.remove()
        for place, (protocol, name) in zip(axes, kinds, strict=False):
            for index, nodes in enumerate(sizes):
                _draw_curve(place, loads_of(data.where(protocol=protocol, map=name, nodes=nodes)), _look(index))
            place.set_title(f"{protocol}, {name}", pad=3)
            place.set_xscale("log")
            place.xaxis.set_major_formatter(lambda value, _: in_thousands(value))
            place.xaxis.set_minor_formatter(lambda value, _: in_thousands(value) if f"{value:e}"[0] in "25" else "")
            place.tick_params(axis="x", which="minor", labelsize=7)
            time_axis(place)
            place.tick_params(axis="x", which="both", labelbottom=True)
        for place in axes[0 : len(kinds) : columns]:
            place.set_ylabel("latency of a request")
        for place in axes[max(0, len(kinds) - columns) : len(kinds)]:
            place.set_xlabel("requests decided per second")
        handles = [Line2D([], [], label=f"{nodes} members", **_look(index)) for index, nodes in enumerate(sizes)]
        whisker = Line2D([], [], color=light("ink"), linestyle="", marker="|", markersize=9, label="up to p95")
        figure.legend(handles=[*handles, whisker], loc="outside upper left", ncols=5, handlelength=2.6)
        source_line(figure, data.source)
    caption = (
        "Latency against throughput of an offered load, open loop: medians, with a whisker to the 95th percentile. Points of "
        "a curve are in the order of the offered rate; where it turns upwards the committee is saturated."
    )
    return Drawing("throughput", caption, caption, figure)


def loads_of(data: SweepData) -> list[Load]:
    """The points of a curve, by rising rate: means over seeds."""
    loads: list[Load] = []
    for rate in sorted(data.values("rate")):
        counts = [record.counts for record in data.where(rate=rate).records]
        shown = ("requests_per_second", "request_anchored_p50_us", "request_anchored_p95_us")
        found = [mean(count[name] for count in counts if count[name] is not None) for name in shown]
        throughput, middle, high = found
        if throughput is not None and middle is not None and high is not None:
            loads.append((throughput, middle / 1000, high / 1000))
    return loads


def _look(index: int) -> dict[str, Any]:
    colour, marker = SIZE_COLOURS[index % len(SIZE_COLOURS)], SIZE_LOOKS[index % len(SIZE_LOOKS)]
    edge = {"markersize": 5, "markeredgecolor": "white", "markeredgewidth": 0.5}
    return {
        "color": light(colour),
        "marker": marker,
        "linestyle": SIZE_LINES[index % len(SIZE_LINES)],
        "linewidth": 1.5,
        **edge,
    }


def _draw_curve(place: Axes, loads: list[Load], look: dict[str, Any]) -> None:
    throughput, middle, high = ([load[side] for load in loads] for side in range(3))
    place.plot(throughput, middle, **look, zorder=3)
    place.vlines(throughput, middle, high, color=look["color"], linewidth=0.9, zorder=2)
