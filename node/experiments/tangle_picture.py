"""A picture of the Tangle around one anchor: how a payload is buried under blocks until it is final.

Blocks stand at the time of their issue (horizontal) in the lane of their issuer (vertical); edges go from a block to its
parents, so to the left. The anchor's block is marked, and its approving future cone is tinted by what the anchor was when
each block was issued: not yet accepted, accepted, confirmed. The moments are those of the first node that came so far.

1. The anchor is the one whose surroundings fit on the page best: confirmed, about ``BLOCKS_WANTED`` blocks in its window.
2. The window reaches from shortly before its block to shortly after its confirmation; what is too much at the end is cut.
3. The cone is walked from the anchor's block over strong and weak edges, towards children.
4. An edge is straight, unless it would run through another block: then it takes the least of the ``BENDS`` that does not.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path

from ledger.kernel.encoding import Frozen
from ledger.kernel.instant import SECOND, Instant
from node.experiments.benefit import natural
from node.experiments.drawing import STYLE, WIDTH, Drawing, empty_note, light
from node.experiments.tables import Tables

BLOCKS_WANTED = 40
"""Blocks in the picture: enough to see how weight grows, few enough to follow an edge."""
BLOCKS_MAX = 90
PLOT_WIDTH, LANE_HEIGHT = 6.4, 0.55
"""Inches, about: to tell how near an edge comes to a block."""
CLEARANCE = 0.085
"""Inches between the middle of a block and an edge that is not its own."""
BENDS = (0.0, 0.12, -0.12, 0.24, -0.24, 0.36, -0.36, 0.5, -0.5, 0.65, -0.65)
"""Lanes by which the control point of an edge is off its middle; the edge is half as far."""
LEAD, TAIL = 0.3, 0.35
"""The window before and after, as parts of the time that confirmation took."""
CROWDED = 0.035
"""Of the window's width: blocks of one lane closer than this are set a little apart."""
Spot: TypeAlias = tuple[float, float]
"""Seconds from the anchor's issue, and the lane."""
EdgeLook: TypeAlias = tuple[bool, bool]
"""Whether to a strong parent, and whether both ends approve the anchor's block or are it."""
BlockLook: TypeAlias = tuple[str, str]
"""Marker and tint."""
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


def tangle_picture(tables: Tables, weight_percent: Mapping[str, int]) -> Drawing:
    """The picture, or a note that there is none. ``weight_percent``: of the validators, for ``accepted``, ``confirmed``."""
    anchor = choose_anchor(tables)
    name, caption = "tangle", "The Tangle around one anchor."
    with rc_context(STYLE):
        if anchor is None:
            figure = Figure(figsize=(WIDTH, 1.6))
            empty_note(figure.subplots(), "no anchor was confirmed")
            return Drawing(name, caption, caption, figure)
        blocks = _blocks_between(tables, *anchor.window)
        cone = _future_cone(blocks, anchor.block)
        lanes = {issuer: lane for lane, issuer in enumerate(sorted({block.issuer for block in blocks}, key=natural))}
        figure = Figure(figsize=(WIDTH, 1.45 + min(6.5, max(1.6, LANE_HEIGHT * len(lanes)))))
        place = figure.subplots()
        places = _places(blocks, lanes, anchor)
        start, end = anchor.window
        scale = (PLOT_WIDTH * SECOND / (end - start), LANE_HEIGHT)
        edges = _draw_edges(place, blocks, places, {*cone, anchor.block}, scale)
        looks = _draw_blocks(place, blocks, places, cone, anchor)
        _label(place, lanes, anchor, blocks)
        handles = _legend(edges, looks)
        figure.legend(handles=handles, loc="outside upper left", ncols=3, handlelength=1.6, columnspacing=1.4)
    issued = (anchor.accepted - anchor.issued) / SECOND, (anchor.confirmed - anchor.issued) / SECOND
    weights = [_percent(weight_percent, grade) for grade in ("accepted", "confirmed")]
    caption = (
        f"The Tangle around the anchor of state {anchor.index} of {anchor.chain}: blocks by time and issuer; edges lead from "
        "a block to its parents. The tinted blocks approve the anchor, directly or over others. Attached: its block was "
        f"issued, after the proof of work. Accepted{weights[0]} after {issued[0]:.2f} s, confirmed{weights[1]} after "
        f"{issued[1]:.2f} s, at the first node that saw so much approve it."
    )
    alternative = (
        f"A graph of {len(blocks)} blocks by {len(lanes)} issuers, of which {len(cone)} approve the anchor's block "
        f"directly or over others; accepted {issued[0]:.2f} s and confirmed {issued[1]:.2f} s after its issue."
    )
    return Drawing(name, caption, alternative, figure)


def _percent(weight_percent: Mapping[str, int], grade: str) -> str:
    return f" (by {weight_percent[grade]} % of the validators' weight)" if grade in weight_percent else ""


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


def _places(blocks: Sequence[PictureBlock], lanes: Mapping[str, int], anchor: AnchorBlock) -> dict[str, Spot]:
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
    place: Axes,
    blocks: Sequence[PictureBlock],
    places: Mapping[str, Spot],
    cone: set[str],
    scale: Spot,
) -> frozenset[EdgeLook]:
    """Draw all; which looks there are."""
    edges: dict[EdgeLook, list[tuple[str, str]]] = defaultdict(list)
    for block in blocks:
        for kind, parents in ((True, block.strong), (False, block.weak)):
            for parent in parents:
                if parent in places:
                    edges[kind, block.id in cone and parent in cone].append((block.id, parent))
    for (strong, approving), pairs in sorted(edges.items()):
        path = _curves(pairs, places, scale)
        style = _edge_style(strong, approving)
        place.add_patch(PathPatch(path, fill=False, zorder=1, **style))
    return frozenset(edges)


def _edge_style(strong: bool, approving: bool) -> dict[str, Any]:
    colour, width = (light("ink"), 1.2) if approving else (light("muted"), 0.55)
    return {"color": colour, "linewidth": width, "linestyle": "-" if strong else (0, (3, 2))}


def _curves(pairs: Sequence[tuple[str, str]], places: Mapping[str, Spot], scale: Spot) -> Path:
    """One path of all edges, each with the least bend that leaves the other blocks alone; else with the most room."""
    points: list[Spot] = []
    codes: list[Any] = []
    for child, parent in pairs:
        others = np.array([spot for name, spot in places.items() if name not in (child, parent)]).reshape(-1, 2)
        ways = [_bent(places[child], places[parent], bend) for bend in BENDS]
        rooms = []
        for way in ways:
            rooms.append(_room(way, others, scale))
            if rooms[-1] > CLEARANCE:
                break
        points += ways[rooms.index(max(rooms))]
        codes += [Path.MOVETO, Path.CURVE3, Path.CURVE3]
    return Path(points, codes)


def _bent(start: Spot, end: Spot, bend: float) -> list[Spot]:
    return [start, ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2 + bend), end]


def _room(way: Sequence[Spot], others: Any, scale: Spot) -> float:
    """Inches between a curve and the nearest of other blocks."""
    if not len(others):
        return CLEARANCE * 2
    t = np.linspace(0, 1, 33)[:, None]
    start, control, end = (np.array(spot) for spot in way)
    curve = (1 - t) ** 2 * start + 2 * t * (1 - t) * control + t**2 * end
    apart = (curve[:, None, :] - others[None, :, :]) * np.array(scale)
    return float(np.sqrt((apart**2).sum(axis=2)).min())


def _draw_blocks(
    place: Axes,
    blocks: Sequence[PictureBlock],
    places: Mapping[str, Spot],
    cone: frozenset[str],
    anchor: AnchorBlock,
) -> frozenset[BlockLook]:
    """Draw all; which markers and tints there are besides the anchor's."""
    looks: dict[BlockLook, list[Spot]] = defaultdict(list)
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
    return frozenset(looks)


def _label(place: Axes, lanes: Mapping[str, int], anchor: AnchorBlock, blocks: Sequence[PictureBlock]) -> None:
    start, end = ((moment - anchor.issued) / SECOND for moment in anchor.window)
    if len(blocks) == BLOCKS_MAX:
        end = min(end, (blocks[-1].issued - anchor.issued) / SECOND)
    room = 0.03 * (end - start)
    place.set_xlim(start - room, end + room)
    place.set_ylim(len(lanes) - 0.45, -1.0)
    small = len(lanes) > 16
    place.set_yticks(list(lanes.values()), list(lanes), fontsize=6 if small else 8.5)
    place.grid(True, axis="y")
    place.grid(False, axis="x")
    place.set_xlabel(f"seconds since the anchor of {anchor.chain} was attached")
    accepted, confirmed = anchor.accepted - anchor.issued, anchor.confirmed - anchor.issued
    # The first word stands left of its line, the last one right: so the one between has room on its longer side.
    moments = ((0, "attached", "right"), (accepted, "accepted", "right" if 2 * accepted > confirmed else "left"))
    for moment, word, side in (*moments, (confirmed, "confirmed", "left")):
        if moment / SECOND <= end:
            at = moment / SECOND
            place.axvline(at, color=light("accent"), linewidth=0.9, linestyle=(0, (1, 2)), zorder=0)
            beside = at + (room / 4 if side == "left" else -room / 4)
            place.text(beside, -0.95, word, color=light("accent"), va="top", ha=side, fontsize=8)


def _legend(edges: frozenset[EdgeLook], looks: frozenset[BlockLook]) -> list[Line2D | Patch]:
    """What is drawn, and nothing else."""

    def mark(marker: str, colour: str, label: str) -> Line2D:
        style: dict[str, Any] = {"color": light(colour), "markeredgecolor": light("ink"), "markersize": 7}
        return Line2D([], [], linestyle="", marker=marker, label=label, **style)

    tints = {tint for _, tint in looks}
    handles: list[Line2D | Patch] = [mark("s", "accent", "the anchor's block")]
    if any(marker == "s" for marker, _ in looks):
        handles.append(mark("s", "paper", "square: with a payload"))
    handles += [mark("o", colour, label) for colour, label in CONE if colour in tints]
    if "paper" in tints:
        handles.append(mark("o", "paper", "does not approve it"))
    for strong, word in ((True, "strong parent"), (False, "weak parent")):
        if any(kind == strong for kind, _ in edges):
            handles.append(Line2D([], [], label=word, **_edge_style(strong, False)))
    if any(approving for _, approving in edges):
        handles.append(Line2D([], [], label="bold: over it, the anchor is approved", **_edge_style(True, True)))
    return handles
