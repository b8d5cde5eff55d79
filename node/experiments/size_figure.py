"""Latency against committee size: medians as lines, the spread above them as bands, machines that cost nothing beside them.

One panel for each map. The line is the median over nodes, blocks and seeds, the bands reach to the 95th and 99th percentile.
Hollow markers are the same committees without CPU costs: where the line leaves them, machines have overtaken the network; a
ring stands where they have doubled the latency. Where all links have one delay, dashes are the closed forms.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import exp, log
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from node.experiments.closed_forms import delays_of
from node.experiments.drawing import STYLE, WIDTH, Drawing, light
from node.experiments.protocol_look import ProtocolLook, size_axis, source_line, time_axis
from node.experiments.sweep_data import SweepData, by_size, spans_of, summary_of

KNEE = 2.0
"""Machines have overtaken the network when they double the latency."""
Curve = list[tuple[int, float]]
"""Nodes, and milliseconds."""
MEASURES = {
    "decided": "from the block's first proposal to the decision",
    "anchored": "from the beginning of the instance to the signed anchor",
}


def size_figure(data: SweepData, phase: str, machine: str, silence: str) -> Drawing:
    """Latencies with this machine, and without costs, of cells with this silence."""
    data = data.where(silence=silence, machine=(machine, "off"))
    maps, protocols, sizes = data.values("map"), data.values("protocol"), sorted(data.values("nodes"))
    look = ProtocolLook(protocols)
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 1.1 + (2.5 if len(maps) > 1 else 3.6) * len(maps)))
        axes = list(figure.subplots(len(maps), 1, sharex=True, squeeze=False).flat)
        for place, name in zip(axes, maps, strict=True):
            shown = data.where(map=name)
            _draw_panel(place, shown, phase, machine, look)
            _draw_closed_forms(place, shown, phase, silence, look)
            time_axis(place)
            size_axis(place, sizes)
            place.set_title(data.title(name), pad=3)
            place.set_ylabel("latency, logarithmic")
        axes[-1].set_xlabel("members of the committee, logarithmic")
        figure.legend(handles=_legend(data, look, machine), loc="outside upper left", ncols=5, handlelength=2.6)
        source_line(figure, data.source)
    who = "no silent members" if silence == "none" else "f silent members" if silence == "f" else silence
    caption = (
        f"Latency {MEASURES[phase]} against committee size, {who}. Lines: median over nodes, blocks and seeds; bands: up to "
        "the 95th and the 99th percentile. Hollow: the same without CPU, disk and bandwidth. Rings: the machines have "
        "doubled the latency."
    )
    name = f"latency-{phase}" + ("" if silence == "none" else f"-{silence.replace(' ', '-')}-silent")
    return Drawing(name.replace("-silent-silent", "-silent"), caption, caption, figure)


def curve_of(data: SweepData, phase: str) -> Curve:
    """Medians by size."""
    found = [(nodes, summary_of(spans_of(records, phase))) for nodes, records in by_size(data.records).items()]
    return [(nodes, summary.p50 / 1000) for nodes, summary in found if summary is not None]


def knee_of(curve: Curve, reference: Curve) -> tuple[float, float] | None:
    """Where a curve has become ``KNEE`` times its reference, between sizes by power laws; none where it never does."""
    below = dict(reference)
    points = [(nodes, height, height / below[nodes]) for nodes, height in curve if below.get(nodes)]
    for (left, low, before), (right, high, after) in pairwise(points):
        if before < KNEE <= after:
            part = log(KNEE / before) / log(after / before)
            return exp(log(left) + part * log(right / left)), exp(log(low) + part * log(high / low))
    return None


def _draw_panel(place: Axes, data: SweepData, phase: str, machine: str, look: ProtocolLook) -> None:
    for protocol in data.values("protocol"):
        mine = data.where(protocol=protocol)
        without = curve_of(mine.where(machine="off"), phase)
        costed = mine.where(machine=machine)
        found = [(nodes, summary_of(spans_of(some, phase))) for nodes, some in by_size(costed.records).items()]
        points = [(nodes, summary) for nodes, summary in found if summary is not None]
        nodes = [nodes for nodes, _ in points]
        middle = [summary.p50 / 1000 for _, summary in points]
        for high, alpha in (
            ([summary.p99 for _, summary in points], 0.09),
            ([summary.p95 for _, summary in points], 0.13),
        ):
            place.fill_between(
                nodes, middle, [span / 1000 for span in high], color=look.colour(protocol), alpha=alpha, linewidth=0
            )
        place.plot(nodes, middle, **look.line(protocol), zorder=3)
        if machine != "off":
            place.plot(
                [nodes for nodes, _ in without], [height for _, height in without], **look.hollow(protocol), zorder=2.5
            )
            knee = knee_of(list(zip(nodes, middle, strict=True)), without)
            if knee is not None:
                place.plot(*knee, **_ring(look.colour(protocol)), zorder=4)


def _draw_closed_forms(place: Axes, data: SweepData, phase: str, silence: str, look: ProtocolLook) -> None:
    """Where all links of the panel's map have one delay."""
    (name,) = data.values("map")
    delay = data.constant_delays.get(name)
    if delay is None or silence not in ("none", "f"):
        return
    for protocol in data.values("protocol"):
        sizes = sorted({record.nodes for record in data.records if record.protocol == protocol})
        delays = [delays_of(protocol, nodes, silence == "f", phase == "anchored") for nodes in sizes]
        heights = [number * delay / 1000 for number in delays if number is not None]
        if len(heights) == len(sizes):
            place.plot(sizes, heights, color=look.colour(protocol), linewidth=0.9, linestyle=(0, (4, 3)), zorder=2)


def _ring(colour: str) -> dict[str, Any]:
    return {
        "marker": "o", "markersize": 10, "markerfacecolor": "none", "markeredgecolor": colour, "markeredgewidth": 1.3,
        "linestyle": "",
    }  # fmt: skip


def _legend(data: SweepData, look: ProtocolLook, machine: str) -> Sequence[Line2D | Patch]:
    ink = light("ink")
    handles: list[Line2D | Patch] = list(look.handles(data.values("protocol")))
    band = Patch(facecolor=ink, alpha=0.25, label="p50 to p95, p99")
    hollow: dict[str, Any] = {"color": ink, "marker": "o", "markerfacecolor": "none", "linestyle": "", "markersize": 5}
    if machine != "off" and "off" in data.values("machine"):
        handles += [
            Line2D([], [], label="CPU off", **hollow),
            Line2D([], [], label=f"where {machine} doubles it", **_ring(ink)),
        ]
    if data.constant_delays:
        handles.append(Line2D([], [], color=ink, linewidth=0.9, linestyle=(0, (4, 3)), label="closed form, no CPU"))
    return [*handles, band]
