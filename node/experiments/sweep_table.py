"""The table of a sweep: one row per cell, block and node, in the order of the study whatever order its cells ended in.

What belongs to a whole cell, or to a whole block, stands in each of its rows; a cell without any block has one row. Nothing
in it is measured by a clock of this machine: the same study gives the same table, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from node.experiments.committee_cells import COUNT_COLUMNS, PARAMETERS, Cell, CellResult
from node.experiments.committee_summary import ROW_COLUMNS
from node.experiments.results import Table, TableCell

BLOCK_COLUMNS: Mapping[str, str] = {**ROW_COLUMNS, "agreement_rounds": "string"}
SWEEP_COLUMNS: Mapping[str, str] = {
    "cell": "int64", **PARAMETERS, "faulty_max": "int64", "seed": "int64", "outcome": "string", "problem": "string",
    **BLOCK_COLUMNS, **COUNT_COLUMNS, "digest": "string",
}  # fmt: skip


def sweep_table(finished: Iterable[tuple[Cell, CellResult]]) -> Table:
    """The table of these cells."""
    table = Table("cells", SWEEP_COLUMNS)
    for cell, result in sorted(finished, key=lambda pair: pair[0].number):
        for row in _rows(cell, result):
            table.add(*row)
    return table


def _rows(cell: Cell, result: CellResult) -> Iterator[tuple[TableCell, ...]]:
    options = cell.options
    parameters = [cell.point[name] for name in PARAMETERS]
    before = (cell.number, *parameters, options.faulty_max, options.seed, result.outcome, result.problem)
    after = (*[result.counts.get(name) for name in COUNT_COLUMNS], result.digest)
    place = list(ROW_COLUMNS).index("block")
    for row in result.rows or [(None,) * len(ROW_COLUMNS)]:
        block = row[place]
        rounds = result.agreement_rounds[block - 1] if isinstance(block, int) else ()
        yield (*before, *row, " ".join(map(str, rounds)) or None, *after)
