"""Messages and bytes of a block against committee size, with the power of the size that fits best.

A power law is a straight line on these axes; its exponent is fitted by least squares to the logarithms, over sizes from
``FITTED_FROM``, because what small committees do is not yet ruled by the largest power. The agreement alone shows what its
protocol costs; the entropy and the signature, which all protocols share, add 2 n (n - 1) messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from node.experiments.drawing import STYLE, WIDTH, Drawing
from node.experiments.protocol_look import ProtocolLook, size_axis, source_line
from node.experiments.sweep_data import SweepData, by_size, mean

FITTED_FROM = 7
MEASURES = (
    ("agreement_messages_per_block", "messages of the agreement per block"),
    ("messages_per_block", "all messages per block"),
    ("bytes_per_block", "bytes per block, frames included"),
)
Points = list[tuple[int, float]]


def traffic_figure(data: SweepData) -> Drawing:
    """Of committees without silent members, in the first of the maps."""
    data = data.where(silence="none", map=data.values("map")[0])
    protocols, sizes = data.values("protocol"), sorted(data.values("nodes"))
    look = ProtocolLook(protocols)
    told: list[str] = []
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 7.6))
        for place, (count, words) in zip(figure.subplots(3, 1, sharex=True), MEASURES, strict=True):
            handles: list[Line2D] = []
            for protocol in protocols:
                points = means_of(data.where(protocol=protocol), count)
                fitted = power_of(points)
                label = protocol if fitted is None else f"{protocol}  $n^{{{fitted[0]:.2f}}}$"
                told.append(f"{words}: {label}")
                handles.append(Line2D([], [], label=label, **look.line(protocol)))
                marks = {**look.line(protocol), "linestyle": ""}
                place.plot([nodes for nodes, _ in points], [height for _, height in points], **marks, zorder=3)
                if fitted is not None:
                    _draw_power(place, fitted, points, look, protocol)
            _label(place, words, sizes)
            place.legend(
                handles=handles, loc="center left", bbox_to_anchor=(1.01, 0.5), handlelength=2.4, labelspacing=0.35
            )
        place.set_xlabel("members of the committee, logarithmic")
        source_line(figure, data.source)
    caption = (
        "Traffic of a block against committee size, over all members; no silent ones. Marks: what was sent, on average over "
        f"blocks and seeds. Lines: the power of the size that fits best, by least squares over sizes from {FITTED_FROM}."
    )
    alternative = f"Powers: {'; '.join(told)}.".replace("$", "").replace("{", "").replace("}", "")
    return Drawing("traffic", caption, alternative, figure)


def means_of(data: SweepData, count: str) -> Points:
    """The mean of what is counted, by size."""
    found = [
        (nodes, mean(float(record.counts[count]) for record in records if record.counts[count] is not None))
        for nodes, records in by_size(data.records).items()
    ]
    return [(nodes, height) for nodes, height in found if height]


def power_of(points: Sequence[tuple[int, float]]) -> tuple[float, float] | None:
    """Exponent and factor of the power law that fits best; none for fewer than two sizes."""
    logs = [(log(nodes), log(height)) for nodes, height in points if nodes >= FITTED_FROM]
    if len(logs) < 2:
        return None
    middle_x, middle_y = (sum(pair[side] for pair in logs) / len(logs) for side in (0, 1))
    exponent = sum((x - middle_x) * (y - middle_y) for x, y in logs) / sum((x - middle_x) ** 2 for x, _ in logs)
    return exponent, exp(middle_y - exponent * middle_x)


def _draw_power(place: Axes, fitted: tuple[float, float], points: Points, look: ProtocolLook, protocol: str) -> None:
    exponent, factor = fitted
    sizes = [nodes for nodes, _ in points if nodes >= FITTED_FROM]
    ends = (sizes[0], sizes[-1])
    line = {key: value for key, value in look.line(protocol).items() if not key.startswith("marker")}
    place.plot(ends, [factor * nodes**exponent for nodes in ends], **line, zorder=1.8)


def _label(place: Axes, words: str, sizes: Sequence[int]) -> None:
    place.set_yscale("log")
    place.yaxis.set_major_locator(LogLocator(numticks=12))
    place.yaxis.set_minor_formatter(NullFormatter())
    place.yaxis.set_major_formatter(FuncFormatter(lambda value, _: in_thousands(value)))
    size_axis(place, sizes)
    place.set_title(words, pad=3)


def in_thousands(value: float) -> str:
    """A number in at most four characters, with k, M, G."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"
