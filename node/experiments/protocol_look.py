"""How protocols and committees look in all figures of a sweep: colour, marker and line, so that grey is enough to tell them.

Axes of sizes are logarithmic and have a tick at each size. What is measured with CPU costs is drawn with lines and filled
markers; without, with hollow markers; what is derived by hand, as thin dashes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from node.experiments.drawing import light

LOOKS = {
    "wasp": ("chain1", "o", "-"),
    "hbbft": ("chain4", "s", "-"),
    "pbft": ("chain2", "^", "--"),
    "tendermint": ("chain3", "v", (0, (5, 1.5, 1, 1.5))),
    "hotstuff": ("accent", "P", (0, (3, 1.2))),
    "jolteon": ("chain5", "X", "-."),
    "sequencer": ("muted", "*", (0, (1, 1.2))),
    "mmr14": ("chain6", "D", (0, (7, 1.5))),
}
"""Colour, marker, line."""
OTHER_LOOKS = (("parent1", "<", "-"), ("parent2", ">", "--"), ("parent3", "h", "-."))
SIZE_LOOKS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
"""Markers of sizes, where lines are of sizes."""
SOURCE_SIZE = 6.5
DECADE = 12


class ProtocolLook:
    """The looks of the protocols of a sweep."""

    def __init__(self, protocols: Sequence[str]) -> None:
        others = [protocol for protocol in protocols if protocol not in LOOKS]
        self._looks: dict[str, Any] = {
            **LOOKS, **{other: OTHER_LOOKS[i % len(OTHER_LOOKS)] for i, other in enumerate(others)}
        }  # fmt: skip

    def colour(self, protocol: str) -> str:
        """The colour that a protocol's lines are drawn with."""
        return light(self._looks[protocol][0])

    def line(self, protocol: str) -> dict[str, Any]:
        """Line and filled markers."""
        _, marker, dashes = self._looks[protocol]
        size = {"*": 7.5, "P": 6, "X": 6, "D": 4.5}.get(marker, 5)
        edge = {"markeredgecolor": "white", "markeredgewidth": 0.5}
        look = {"color": self.colour(protocol), "marker": marker, "markersize": size, "linestyle": dashes}
        return {**look, "linewidth": 1.5, **edge}

    def hollow(self, protocol: str) -> dict[str, Any]:
        """Hollow markers, without a line."""
        line = self.line(protocol)
        look = {"markerfacecolor": "none", "markeredgecolor": self.colour(protocol), "markeredgewidth": 0.9}
        return {**line, "linestyle": "", "markersize": line["markersize"] - 0.5, **look}

    def handles(self, protocols: Sequence[str]) -> list[Line2D]:
        """A legend's handles."""
        return [Line2D([], [], label=protocol, **self.line(protocol)) for protocol in protocols]


def size_axis(axes: Axes, sizes: Sequence[int]) -> None:
    """The axis of committee sizes."""
    axes.set_xscale("log")
    axes.set_xlim(min(sizes) * 0.92, max(sizes) * 1.09)
    axes.xaxis.set_major_locator(FixedLocator(list(sizes)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))


def time_axis(axes: Axes) -> None:
    """A logarithmic axis of milliseconds, once everything is drawn: the shorter it is, the more numbers it has."""
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: in_time(value)))
    low, high = axes.get_ylim()
    axes.yaxis.set_minor_formatter(FuncFormatter(minor_times("25" if high > DECADE * low else "23457")))
    axes.tick_params(axis="y", which="minor", labelsize=7)
    axes.grid(True, which="minor", axis="y", linewidth=0.3)


def minor_times(digits: str) -> Callable[[float, int | None], str]:
    """How minor ticks of a logarithmic axis of milliseconds are named: those that begin with one of these digits."""
    return lambda value, _: in_time(value) if f"{value:e}"[0] in digits else ""


def in_time(milliseconds: float) -> str:
    """Milliseconds below a second, seconds above."""
    return f"{milliseconds / 1000:g} s" if milliseconds >= 1000 else f"{milliseconds:g} ms"


def source_line(figure: Figure, text: str) -> None:
    """Where the numbers come from, at the foot of a figure."""
    figure.supxlabel(text, fontsize=SOURCE_SIZE, color=light("muted"), x=0.99, ha="right")
