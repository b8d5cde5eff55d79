"""How the figures of a report look, and how they become SVG that stands inside a page.

Every colour is a name of ``PALETTE``: drawn with its light value, and replaced in the SVG by a CSS variable, so that one
drawing serves a light page, a dark page and paper. Colours of one family differ in lightness too, and what is filled has a
hatch besides, so that nothing is lost in grey.

Text stays text, in the page's font: it can be searched, read aloud, and costs no bytes. It is laid out by matplotlib's own
font, which is wider than nearly all others, so a reader's font leaves space and never overlaps.

``svg_of`` gives equal bytes for equal drawings: ids come from the drawing's name, and no date is in it.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from ledger.kernel.encoding import Frozen

PALETTE: Mapping[str, tuple[str, str]] = {
    "ink": ("#1c2630", "#e6ebf0"),
    "muted": ("#5d6a77", "#9aa7b4"),
    "line": ("#d9dfe5", "#38434e"),
    "paper": ("#fdfdfe", "#141a20"),
    "chain1": ("#0b559f", "#6fb1f2"),
    "chain2": ("#e38b06", "#f2b04a"),
    "chain3": ("#178a5e", "#4fcf9c"),
    "chain4": ("#a8448c", "#e08cc8"),
    "chain5": ("#45acd1", "#8fd9f0"),
    "chain6": ("#7d4f25", "#c99a6b"),
    "parent1": ("#43389a", "#a9a0f5"),
    "parent2": ("#6f62c4", "#c4bdf7"),
    "parent3": ("#77839f", "#b3bdd1"),
    "route_local": ("#0a4658", "#2f8fae"),
    "route_level1": ("#22917f", "#46c2ac"),
    "route_level2": ("#74bfa8", "#8be0c8"),
    "route_level3": ("#b4ddcd", "#c8f2e4"),
    "route_grid": ("#c3cad1", "#65717d"),
    "route_imbalance": ("#bd4a2f", "#ef8468"),
    "supply": ("#f0c24b", "#d9a92e"),
    "demand": ("#8ca3bd", "#5c7898"),
    "accent": ("#c22f4e", "#ff7d97"),
    "cone1": ("#f6d7a8", "#6b4d1f"),
    "cone2": ("#e89b4c", "#c9802f"),
    "cone3": ("#9c4a10", "#ffbe7d"),
}
"""Name: value on a light page, value on a dark page. Light values are unlike each other: they are found again in the SVG."""

WIDTH = 7.6
"""Inches of every figure: the width of the page's text."""
PIXELS_PER_INCH = 200
PAPER = "#ffffff"
"""Behind a figure that stands alone."""
CHAIN_COLOURS, PARENT_COLOURS = 6, 3
DAY_TICKS = ((13, 1), (26, 3), (50, 6), (170, 24), (400, 48))
"""Hours on the axis of the day: up to so many, a tick every so many."""
STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": PALETTE["muted"][0],
    "axes.grid": True,
    "axes.labelcolor": PALETTE["ink"][0],
    "axes.labelsize": 9,
    "axes.linewidth": 0.7,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 9.5,
    "axes.titlecolor": PALETTE["ink"][0],
    "axes.facecolor": "none",
    "figure.constrained_layout.use": True,
    "figure.facecolor": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "grid.color": PALETTE["line"][0],
    "grid.linewidth": 0.6,
    "hatch.color": PALETTE["paper"][0],
    "hatch.linewidth": 0.8,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "legend.labelcolor": PALETTE["ink"][0],
    "svg.fonttype": "none",
    "text.color": PALETTE["ink"][0],
    "xtick.color": PALETTE["muted"][0],
    "xtick.labelsize": 8.5,
    "ytick.color": PALETTE["muted"][0],
    "ytick.labelsize": 8.5,
}


class Drawing(Frozen):
    """A figure: what it shows in a sentence, and what a reader who can't see it should know."""

    name: str
    caption: str
    alternative: str
    figure: Figure

    @property
    def svg(self) -> str:
        """The figure as an element of a page."""
        return svg_of(self.figure, self.name, self.alternative)

    def save(self, path: Path) -> None:
        """Write the figure as a file of its own, for a light page or paper; its ending tells the format: svg, pdf or png.

        Errors: ``OSError``.
        """
        undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {"Software": None}}
        kind = path.suffix.removeprefix(".")
        with rc_context({**STYLE, "svg.hashsalt": self.name, "svg.fonttype": "path", "pdf.fonttype": 42}):
            self.figure.savefig(path, dpi=PIXELS_PER_INCH, facecolor=PAPER, metadata=undated[kind])


class Colours:
    """The colours of the chains, the same in every figure: microgrids in order, parent chains apart."""

    def __init__(self, microgrids: Iterable[str], parents: Iterable[str]) -> None:
        self._colours = {chain: f"parent{i % PARENT_COLOURS + 1}" for i, chain in enumerate(parents)}
        self._colours |= {chain: f"chain{i % CHAIN_COLOURS + 1}" for i, chain in enumerate(microgrids)}

    def __getitem__(self, chain: str) -> str:
        return light(self.name_of(chain))

    def name_of(self, chain: str) -> str:
        """The name of the chain's colour in the palette."""
        return self._colours.get(chain, "ink")


def light(name: str) -> str:
    """The value of a colour that figures are drawn with."""
    return PALETTE[name][0]


def route_look(route: str) -> dict[str, Any]:
    """Fill and hatch of a route: "local", "level1", ..., "grid", "imbalance"; levels above the third look like it."""
    level = route.removeprefix("level")
    name = f"route_level{min(int(level), 3)}" if level.isdigit() else f"route_{route}"
    hatch = {"route_grid": "////", "route_imbalance": "xxxx", "route_level2": "....", "route_level3": "----"}.get(name)
    colour = light("muted") if name == "route_grid" else light("paper")
    return {"facecolor": light(name), "hatch": hatch, "edgecolor": colour, "linewidth": 0.4}


def route_label(route: str) -> str:
    """A route in words."""
    level = route.removeprefix("level")
    if level.isdigit():
        return f"between, level {level}"
    return {"local": "within the microgrid", "grid": "main grid", "imbalance": "imbalance, main grid"}.get(route, route)


def day_axis(axes: Axes, start: float, end: float) -> None:
    """The common horizontal axis: hours of the run."""
    length = end - start
    axes.set_xlim(start - 0.03 * length - 0.02, end + 0.01 * length)
    step = next((step for limit, step in DAY_TICKS if length <= limit), None)
    if length >= 2 and step:
        axes.xaxis.set_major_locator(MultipleLocator(step))


def panels(count: int, height: float, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure with equal panels on common axes; what is left over in the last row is empty."""
    columns = min(columns, max(1, count))
    rows = max(1, -(-count // columns))
    figure = Figure(figsize=(WIDTH, 0.75 + height * rows))
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    axes = list(grid.flat)
    for unused in axes[count:] if count else []:
        unused.remove()
    for place in range(max(0, count - columns), count):
        axes[place].xaxis.set_tick_params(labelbottom=True)
    return figure, axes[: max(1, count)]


def empty_note(axes: Axes, text: str) -> None:
    """What stands in a figure that has nothing to show."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, color=light("muted"))


def svg_of(figure: Figure, name: str, alternative: str) -> str:
    """The figure as an SVG element for an HTML page, with its own ids and the page's colours and font."""
    buffer = io.StringIO()
    with rc_context({**STYLE, "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _inline(buffer.getvalue(), name, alternative)


def _inline(text: str, name: str, alternative: str) -> str:
    """What a browser needs of a stand-alone SVG: no prologue, namespaces, page-wide style, unused ids, or fonts."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->|<style.*?</style>", "", text, flags=re.DOTALL)
    box = re.search(r'viewBox="[^"]*"', text)
    assert box is not None, "matplotlib writes a view box"
    head = f'<svg class="figure" {box[0]} role="img" aria-label="{escape(alternative)}">'
    text = head + text[text.index(">") + 1 :]
    text = text.replace("xlink:href", "href")
    # Markers, patterns and clips are the same bytes in two figures; a page needs each id once.
    used = frozenset(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    text = re.sub(r' id="([^"]+)"', lambda found: f' id="{name}-{found[1]}"' if found[1] in used else "", text)
    text = re.sub(r'(href="#|url\(#)', rf"\1{name}-", text)
    text = re.sub(r"font-family: [^;\"]*; ", "", text)
    text = re.sub(r' transform="rotate\(-0 [^"]*"', "", text)
    text = re.sub(r"(\.\d\d)\d+", r"\1", text)
    for colour, (value, _) in PALETTE.items():
        text = text.replace(value, f"var(--{colour})")
    return re.sub(r"\s*\n\s*", "\n", text).strip()
