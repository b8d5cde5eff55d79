"""Tables of one-way delays between regions: three that come with the project, and the user's own.

A table is a CSV file. Its header row names the regions after a first cell that means nothing; then there is a row for each
region, in the same order and with its name first: from the row's region to the column's. A delay is in milliseconds, or a
range of them (``5-20``), in which each is drawn. A last column ``bits_per_second``, if there is one, limits what a node
of the row's region sends. Lines that begin with # are comments.

===============  ============================================================================================================
``aws-regions``  13 regions of AWS, measured; within a region 0, as in the source: less than the millisecond of the rest
``lan``          one local network, half a millisecond
``microgrid``    smart meters of one neighbourhood that speak by radio: 5 to 20 ms and 150 kbit/s
===============  ============================================================================================================
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from ledger.kernel.automaton import NodeId
from ledger.kernel.encoding import Frozen
from ledger.kernel.instant import DAY, MILLISECOND, Duration
from ledger.kernel.rejection import Rejected
from node.shipped import shipped
from node.simulated.delays import MatrixDelay

DELAY_MAX: Duration = DAY
"""Nobody waits longer for a frame; far from the bounds of instants."""
BITS_PER_SECOND = "bits_per_second"


class DelayTable(Frozen):
    """One-way delays among named regions."""

    regions: tuple[str, ...]
    delays: tuple[tuple[Duration, ...], ...]
    """Row: the sender's region. Of a range: its low end."""
    widths: tuple[tuple[Duration, ...], ...] = ()
    """How wide the ranges are; none: there are none."""
    bandwidths: tuple[int, ...] = ()
    """What a node of each region can send, in bits per second; none: not said."""

    def place(
        self, nodes: Sequence[NodeId], placement: Mapping[NodeId, str] | None = None, jitter: int = 0
    ) -> MatrixDelay:
        """The delay model of nodes in these regions; without a placement they take the regions in turn.

        Errors: ``Rejected("bad_placement", ...)``.
        """
        return MatrixDelay(self.delays, self._places(nodes, placement), jitter, self.widths)

    def bandwidths_of(
        self, nodes: Sequence[NodeId], placement: Mapping[NodeId, str] | None = None
    ) -> dict[NodeId, int]:
        """What each node can send, where the table says it; placed, and refused, as ``place`` does."""
        places = self._places(nodes, placement)
        return {node: self.bandwidths[place] for node, place in zip(nodes, places, strict=True) if self.bandwidths}

    def _places(self, nodes: Sequence[NodeId], placement: Mapping[NodeId, str] | None) -> tuple[int, ...]:
        places = placement or {node: self.regions[i % len(self.regions)] for i, node in enumerate(nodes)}
        for node in nodes:
            if places.get(node) not in self.regions:
                known = ", ".join(self.regions)
                raise Rejected("bad_placement", f"{node} is in {places.get(node)!r}; one of {known} expected")
        return tuple(self.regions.index(places[node]) for node in nodes)


def delay_table(name: str, folder: Path = Path()) -> DelayTable:
    """The shipped table with this name, or that of a file of one's own, ``.csv``, in this folder.

    Errors: ``Rejected("bad_delay_table", ...)``.
    """
    known = sorted(path.stem for path in shipped("networks").glob("*.csv"))
    if name in known:
        return read_delay_table(shipped("networks", f"{name}.csv"))
    if not name.endswith(".csv"):
        expected = f"known are {', '.join(known)}, and files that end in .csv"
        raise Rejected("bad_delay_table", f"no table is named {name!r}; {expected}")
    return read_delay_table(folder / name)


def read_delay_table(path: Path) -> DelayTable:
    """The table in this file.

    Errors: ``Rejected("bad_delay_table", ...)`` that names file, line and column.
    """
    rows = _rows(path)
    if len(rows) < 2:
        raise Rejected("bad_delay_table", f"{path}: a header row and a row per region expected")
    (top, header), body = rows[0], rows[1:]
    limited = header[-1] == BITS_PER_SECOND
    regions = header[1:-1] if limited else header[1:]
    if not regions or len(set(regions)) < len(regions) or not all(regions):
        raise Rejected("bad_delay_table", f"{path}:{top}: a first cell, then the names of different regions expected")
    if [cells[0] for _, cells in body] != regions:
        expected = f"the first column must name the regions of the header row, in its order: {', '.join(regions)}"
        raise Rejected("bad_delay_table", f"{path}: {expected}")
    ranges, bandwidths = [], []
    for line, cells in body:
        if len(cells) != len(header):
            raise Rejected("bad_delay_table", f"{path}:{line}: {len(cells)} columns, {len(header)} expected")
        named = zip(regions, cells[1:], strict=False)  # without the bandwidth
        ranges.append([_range(f"{path}:{line}: column {region}", cell) for region, cell in named])
        if limited:
            bandwidths.append(_bandwidth(f"{path}:{line}: column {BITS_PER_SECOND}", cells[-1]))
    widths = tuple(tuple(high - low for low, high in row) for row in ranges)
    return DelayTable(
        tuple(regions),
        tuple(tuple(low for low, _ in row) for row in ranges),
        widths if any(map(any, widths)) else (),
        tuple(bandwidths),
    )


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """The lines that say something, by number, as cells."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        return [
            (number, [cell.strip() for cell in next(csv.reader([line]))])
            for number, line in enumerate(lines, 1)
            if line.strip() and not line.startswith("#")
        ]
    except OSError as error:
        raise Rejected("bad_delay_table", f"{path}: can't be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise Rejected("bad_delay_table", f"{path}: no CSV file in UTF-8: {error}") from None


def _range(place: str, cell: str) -> tuple[Duration, Duration]:
    """The ends of a cell's range; both are the same for a single delay."""
    low, dash, high = cell.partition("-")
    try:
        ends = round(float(low) * MILLISECOND), round(float(high if dash else low) * MILLISECOND)
    except (ValueError, OverflowError):
        ends = 1, 0
    if not 0 <= ends[0] <= ends[1] <= DELAY_MAX:
        raise Rejected("bad_delay_table", f"{place}: milliseconds, or a range such as 5-20, expected, not {cell!r}")
    return ends


def _bandwidth(place: str, cell: str) -> int:
    if not (cell.isascii() and cell.isdecimal() and len(cell) <= 15 and int(cell)):
        raise Rejected("bad_delay_table", f"{place}: bits per second expected, not {cell!r}")
    return int(cell)
