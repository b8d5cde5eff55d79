"""The latency of orders: the share that had reached each stage, by the time since submission.

The stages are apart by orders of magnitude (milliseconds to be named in a proposal, seconds to be confirmed), so the axis is
logarithmic unless all of them are close together. A cumulative distribution hides nothing: medians and tails are read off it.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from ledger.kernel.instant import SECOND
from node.experiments.drawing import STYLE, Drawing, empty_note, light, panels
from node.experiments.tables import Tables

CURVE_POINTS_MAX = 240
"""Points of one curve: more than the pixels could tell apart."""
INSTANT_BELOW = 0.02
"""Seconds: what is faster stands at the left edge of a logarithmic axis, which has no zero."""
LOGARITHMIC_FROM = 12
"""The axis of latency is logarithmic when its end is so many times its beginning."""
STAGES = (
    ("in_batch_us", "in a batch proposal", ":", "chain5"),
    ("decided_us", "decided by the committee", "--", "chain2"),
    ("anchored_us", "anchored: signed", "-.", "chain4"),
    ("confirmed_us", "confirmed by layer 1", "-", "chain1"),
)
"""Column of the stage, its words, its line, its colour."""


def latency(tables: Tables, delays: tuple[str, str] | None = None) -> Drawing:
    """The share of orders that had reached each stage, by the time since they were submitted.

    ``delays``: the gather delay and the batch delay of the committees, in words.
    """
    orders = frozenset(tables.orders.column("request"))
    names = [name for name, *_ in STAGES]
    spans: dict[str, list[float]] = {name: [] for name in names}
    for request, submitted, *stages in tables.requests.select("request", "submitted_us", *names):
        if request in orders:
            for name, reached in zip(names, stages, strict=True):
                if reached is not None and submitted is not None:
                    spans[name].append((reached - submitted) / SECOND)
    everything = [span for some in spans.values() for span in some]
    axis = _latency_axis(everything) if everything else None
    with rc_context(STYLE):
        figure, (place,) = panels(1, 2.5)
        for name, label, dashes, colour in STAGES:
            if axis and spans[name]:
                text = f"{label}, median {_seconds(_middle(spans[name]))}"
                _draw_curve(place, [max(span, axis[0]) for span in sorted(spans[name])], text, dashes, colour)
        if axis:
            _label_latency_axes(place, *axis)
            place.legend(loc="upper left", bbox_to_anchor=(0.0, 1.2), ncols=2, borderaxespad=0.0, handlelength=3.2)
        else:
            empty_note(place, "no order was executed")
    medians = [f"{label}: {_seconds(_middle(spans[name]))}" for name, label, *_ in STAGES if spans[name]]
    caption = (
        f"Latency of {len(orders):,} orders from their submission to each stage, as the household that submitted them "
        "sees it; cumulative distribution."
    )
    if axis and axis[2] and axis[0] == INSTANT_BELOW:
        caption += f" What took less than {_seconds(INSTANT_BELOW)} stands on the left edge."
    if axis and delays and _replaced(tables):
        caption += (
            f" Two steps, with a plateau between: the orders of an opening find a chain at rest and wait {delays[0]} "
            "(gather_delay) before a member proposes them; those that replace them after a round find that the members have "
            f"just proposed, and wait until {delays[1]} (batch_delay) after that."
        )
    return Drawing("latency", caption, f"Latency of orders by stage. Medians: {'; '.join(medians) or 'none'}.", figure)


def _replaced(tables: Tables) -> bool:
    """Whether any order replaced an earlier one."""
    orders = tables.orders.select("chain", "interval", "home")
    return len(set(orders)) < len(orders)


def _draw_curve(place: Axes, spans: Sequence[float], label: str, dashes: str, colour: str) -> None:
    shares = range(CURVE_POINTS_MAX + 1)
    points = [spans[(len(spans) - 1) * share // CURVE_POINTS_MAX] for share in shares]
    place.plot(
        points, [share / CURVE_POINTS_MAX for share in shares], dashes, color=light(colour), linewidth=1.8, label=label
    )


def _latency_axis(spans: Sequence[float]) -> tuple[float, float, bool]:
    """From where to where the axis goes, and whether it is logarithmic; what is shorter than it begins on its left edge."""
    high = max(spans) * 1.15 or 1.0
    low = max(INSTANT_BELOW, min(spans) * 0.85)
    return (low, high, True) if high > LOGARITHMIC_FROM * low else (0.0, high, False)


def _label_latency_axes(place: Axes, low: float, high: float, logarithmic: bool) -> None:
    place.set_ylabel("share of orders")
    place.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
    place.set_ylim(0, 1.01)
    if logarithmic:
        place.set_xscale("log")
        place.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _seconds(value)))
        place.xaxis.set_minor_formatter(FuncFormatter(_minor_seconds))
        place.tick_params(axis="x", which="minor", labelsize=7.5)
        place.set_xlabel("time since submission, logarithmic")
    else:
        place.set_xlabel("seconds since submission")
    place.set_xlim(low, high)


def _minor_seconds(value: float, _: int | None) -> str:
    """Minor ticks of the logarithmic axis: only 2 and 5 of each decade."""
    return _seconds(value) if f"{value:e}"[0] in "25" else ""


def _middle(spans: Sequence[float]) -> float:
    return sorted(spans)[(len(spans) - 1) // 2]


def _seconds(span: float) -> str:
    if span < 0.001:
        return "below 1 ms"
    return f"{span:.3g} s" if span >= 1 else f"{span * 1000:.3g} ms"
