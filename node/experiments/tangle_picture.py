"""A picture of the Tangle around one anchor: how a payload is buried under blocks until it is final.

Blocks stand at the time of their issue (horizontal) in the lane of their issuer (vertical); edges go from a block to its
parents, so to the left. The anchor's block is marked, and its approving future cone is tinted by what the anchor was when
each block was issued: not yet accepted, accepted, confirmed. The moments are those of the first node that came so far.

1. The anchor is the one whose surroundings fit on the page best: confirmed, about ``BLOCKS_WANTED`` blocks in its window.
2. The window reaches from shortly before its block to shortly after its confirmation; what is too much at the end is cut.
3. The cone is walked from the anchor's block over strong and weak edges, towards children.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path

from ledger.kernel.encoding import Frozen
from ledger.kernel.instant import SECOND, Instant
from node.experiments.benefit import natural
from node.experiments.drawing import STYLE, WIDTH, Drawing, empty_note, light, svg_of
from node.experiments.tables import Tables

BLOCKS_WANTED = 40
"""Blocks in the picture: enough to see how weight grows, few enough to follow an edge."""
BLOCKS_MAX = 90
LEAD, TAIL = 0.3, 0.35
"""The window before and after, as parts of the time that confirmation took."""
CROWDED = 0.035
"""Of the window's width: blocks of one lane closer than this are set a little apart."""
CONE = (("cone1", "approves it"), ("cone2", "approves it, after accepted"), ("cone3", "approves it, after confirmed"))


class PictureBlock(Frozen):
    """A block in the window."""

    id: str
    issuer: str
    issued: Instant
    payload: str
    strong: tuple[str, ...]
    weak: tuple[str, ...]

    @property
    def parents(self) -> tuple[str, ...]:
        """All of them, strong first."""
        return (*self.strong, *self.weak)


class AnchorBlock(Frozen):
    """The block that carried an anchor, and when that became what it is."""

    chain: str
    index: int
    block: str
    issued: Instant
    accepted: Instant
    confirmed: Instant

    @property
    def window(self) -> tuple[Instant, Instant]:
        """From when to when the picture reaches."""
        span = self.confirmed - self.issued
        return self.issued - int(LEAD * span), self.confirmed + int(TAIL * span)


def choose_anchor(tables: Tables) -> AnchorBlock | None:
    """The first of those whose window has the number of blocks nearest to what is wanted; none if none was confirmed."""
    carriers: dict[str, tuple[str, Instant, Instant, Instant]] = {}
    for block, issued, payload, accepted, confirmed in tables.blocks.select(
        "block", "issued_us", "payload", "accepted_us", "confirmed_us"
    ):
        if payload and accepted is not None and confirmed is not None:
            carriers.setdefault(payload, (block, issued, accepted, confirmed))
    times = sorted(issued for issued in tables.blocks.column("issued_us") if issued is not None)
    best: tuple[int, AnchorBlock] | None = None
    for chain, index, transaction in tables.chain_blocks.select("chain", "index", "transaction"):
        if transaction in carriers:
            anchor = AnchorBlock(chain, index, *carriers[transaction])
            start, end = anchor.window
            off = abs(bisect_right(times, end) - bisect_left(times, start) - BLOCKS_WANTED)
            if best is None or off < best[0]:
                best = (off, anchor)
    return best[1] if best else None


def tangle_picture(tables: Tables) -> Drawing:
    """The picture, or a note that there is none."""
    anchor = choose_anchor(tables)
    name, caption = "tangle", "The Tangle around one anchor."
    with rc_context(STYLE):
        if anchor is None:
            figure = Figure(figsize=(WIDTH, 1.6))
            empty_note(figure.subplots(), "no anchor was confirmed")
            return Drawing(name, caption, caption, svg_of(figure, name, caption))
        blocks = _blocks_between(tables, *anchor.window)
        cone = _future_cone(blocks, anchor.block)
        lanes = {issuer: lane for lane, issuer in enumerate(sorted({block.issuer for block in blocks}, key=natural))}
        figure = Figure(figsize=(WIDTH, 1.35 + min(6.5, max(1.6, 0.55 * len(lanes)))))
        place = figure.subplots()
        places = _places(blocks, lanes, anchor)
        _draw_edges(place, blocks, places, {*cone, anchor.block})
        _draw_blocks(place, blocks, places, cone, anchor)
        _label(figure, place, lanes, anchor, blocks)
    issued = (anchor.accepted - anchor.issued) / SECOND, (anchor.confirmed - anchor.issued) / SECOND
    caption = (
        f"The Tangle around the anchor of state {anchor.index} of {anchor.chain}: blocks by time and issuer; edges lead from "
        f"a block to its parents. The tinted blocks approve the anchor, directly or over others. It was accepted after "
        f"{issued[0]:.2f} s and confirmed after {issued[1]:.2f} s, at the first node that saw enough weight."
    )
    alternative = (
        f"A graph of {len(blocks)} blocks by {len(lanes)} issuers, of which {len(cone)} approve the anchor's block "
        f"directly or over others; accepted {issued[0]:.2f} s and confirmed {issued[1]:.2f} s after its issue."
    )
    return Drawing(name, caption, alternative, svg_of(figure, name, alternative))


def _blocks_between(tables: Tables, start: Instant, end: Instant) -> list[PictureBlock]:
    columns = ("block", "issuer", "issued_us", "payload", "strong_parents", "weak_parents")
    rows = [row for row in tables.blocks.select(*columns) if row[2] is not None and start <= row[2] <= end]
    rows.sort(key=lambda row: (row[2], row[0]))
    return [
        PictureBlock(block, issuer, issued, payload or "", tuple((strong or "").split()), tuple((weak or "").split()))
        for block, issuer, issued, payload, strong, weak in rows[:BLOCKS_MAX]
    ]


def _future_cone(blocks: Sequence[PictureBlock], root: str) -> frozenset[str]:
    """All that approve the root, without itself. Parents come before children, because a block is issued after them."""
    cone = {root}
    for block in blocks:
        if not cone.isdisjoint(block.parents):
            cone.add(block.id)
    return frozenset(cone - {root})


def _places(
    blocks: Sequence[PictureBlock], lanes: Mapping[str, int], anchor: AnchorBlock
) -> dict[str, tuple[float, float]]:
    """Seconds from the anchor's issue, and the lane, a little off it where blocks crowd."""
    start, end = anchor.window
    near = CROWDED * (end - start)
    offsets = (0.0, 0.24, -0.24)
    latest: dict[str, tuple[Instant, int]] = {}
    places = {}
    for block in blocks:
        before, turn = latest.get(block.issuer, (start - 2 * int(near) - 1, 0))
        turn = (turn + 1) % len(offsets) if block.issued - before < near else 0
        latest[block.issuer] = (block.issued, turn)
        places[block.id] = ((block.issued - anchor.issued) / SECOND, lanes[block.issuer] + offsets[turn])
    return places


def _draw_edges(
    place: Axes, blocks: Sequence[PictureBlock], places: Mapping[str, tuple[float, float]], cone: set[str]
) -> None:
    edges: dict[tuple[bool, bool], list[tuple[str, str]]] = defaultdict(list)
    for block in blocks:
        for kind, parents in ((True, block.strong), (False, block.weak)):
            for parent in parents:
                if parent in places:
                    edges[kind, block.id in cone and parent in cone].append((block.id, parent))
    for (strong, approving), pairs in sorted(edges.items()):
        path = _curves((places[child], places[parent]) for child, parent in pairs)
        colour, width = (light("ink"), 0.75) if approving else (light("muted"), 0.5)
        dashes = "-" if strong else (0, (3, 2))
        place.add_patch(PathPatch(path, fill=False, edgecolor=colour, linewidth=width, linestyle=dashes, zorder=1))


def _curves(pairs: Iterable[tuple[tuple[float, float], tuple[float, float]]]) -> Path:
    """One path of slightly bent edges: those along a lane must not hide behind the blocks between."""
    points: list[tuple[float, float]] = []
    codes: list[Any] = []
    for (x0, y0), (x1, y1) in pairs:
        bend = 0.34 if abs(y0 - y1) < 0.3 else 0.06
        points += [(x0, y0), ((x0 + x1) / 2, (y0 + y1) / 2 + bend), (x1, y1)]
        codes += [Path.MOVETO, Path.CURVE3, Path.CURVE3]
    return Path(points, codes)


def _draw_blocks(
    place: Axes,
    blocks: Sequence[PictureBlock],
    places: Mapping[str, tuple[float, float]],
    cone: frozenset[str],
    anchor: AnchorBlock,
) -> None:
    looks: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for block in blocks:
        if block.id != anchor.block:
            tint = "paper"
            if block.id in cone:
                tint = CONE[(block.issued >= anchor.accepted) + (block.issued >= anchor.confirmed)][0]
            looks["s" if block.payload else "o", tint].append(places[block.id])
    size = 52 if len(blocks) <= 50 else 34
    for (marker, tint), spots in sorted(looks.items()):
        style = {"facecolors": light(tint), "edgecolors": light("ink"), "linewidths": 0.8}
        place.scatter([x for x, _ in spots], [y for _, y in spots], size, marker=marker, zorder=3, **style)  # type: ignore[arg-type]
    x, y = places[anchor.block]
    place.scatter([x], [y], 2.6 * size, marker="s", color=light("accent"), edgecolors=light("ink"), zorder=4)


def _label(
    figure: Figure, place: Axes, lanes: Mapping[str, int], anchor: AnchorBlock, blocks: Sequence[PictureBlock]
) -> None:
    start, end = ((moment - anchor.issued) / SECOND for moment in anchor.window)
    if len(blocks) == BLOCKS_MAX:
        end = min(end, (blocks[-1].issued - anchor.issued) / SECOND)
    room = 0.03 * (end - start)
    place.set_xlim(start - room, end + room)
    place.set_ylim(len(lanes) - 0.45, -0.95)
    small = len(lanes) > 16
    place.set_yticks(list(lanes.values()), list(lanes), fontsize=6 if small else 8.5)
    place.grid(True, axis="y")
    place.grid(False, axis="x")
    place.set_xlabel(f"seconds since the anchor of {anchor.chain} was attached")
    moments = (
        (0, "attached"),
        (anchor.accepted - anchor.issued, "accepted"),
        (anchor.confirmed - anchor.issued, "confirmed"),
    )
    for moment, word in moments:
        if moment / SECOND <= end:
            place.axvline(moment / SECOND, color=light("accent"), linewidth=0.9, linestyle=(0, (1, 2)), zorder=0)
            place.text(moment / SECOND + room / 4, -0.9, word, color=light("accent"), va="top", fontsize=8)
    figure.legend(handles=_legend(), loc="outside upper left", ncols=4, handlelength=1.6, columnspacing=1.4)


def _legend() -> list[Line2D | Patch]:
    def mark(marker: str, colour: str, label: str) -> Line2D:
        return Line2D(
            [],
            [],
            linestyle="",
            marker=marker,
            markersize=7,
            color=light(colour),
            markeredgecolor=light("ink"),
            label=label,
        )

    def edge(dashes: Any, label: str) -> Line2D:
        return Line2D([], [], color=light("ink"), linewidth=0.8, linestyle=dashes, label=label)

    return [
        mark("s", "accent", "the anchor's block"),
        mark("s", "paper", "square: with a payload"),
        edge("-", "strong parent"),
        edge((0, (3, 2)), "weak parent"),
        *(mark("o", colour, label) for colour, label in CONE),
        mark("o", "paper", "does not approve it"),
    ]
