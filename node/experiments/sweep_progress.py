"""How far a sweep is, and how long it will take: a bar on a terminal, else a line once in a while, on standard error.

The time of a cell is estimated, from what was measured so far, by the best of: the mean of its point; its expected work
(``expected_work``) at the pace of its protocol; the same at the pace of all. Until something was measured nothing is said.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic

from ledger.kernel.instant import MINUTE, SECOND, format_duration
from node.experiments.committee_cells import Cell, CellResult, expected_work

LINE_EVERY = 60.0
"""Seconds between two lines where nobody looks on: often enough to see that it goes on, seldom enough for a log."""
SECONDS_OF_ANY = 0.05
"""What even the smallest cell takes."""
Note = Callable[[Cell, CellResult], None]


class TimeLeft:
    """Estimates what the cells that are left will take."""

    def __init__(self, cells: Sequence[Cell], jobs: int) -> None:
        self._left = {cell.digest: cell for cell in cells}
        self._jobs = jobs
        self._measured: dict[str, tuple[float, float, int]] = defaultdict(lambda: (0.0, 0.0, 0))
        """By point, by protocol, and of all: seconds, expected work, cells."""

    def note(self, cell: Cell, seconds: float) -> None:
        """A cell has ended after so long."""
        self._left.pop(cell.digest, None)
        for key in self._keys(cell):
            spent, work, count = self._measured[key]
            self._measured[key] = (spent + seconds, work + expected_work(cell.options), count + 1)

    def of(self, cell: Cell) -> float | None:
        """Seconds that a cell will take; none before anything was measured."""
        point, protocol, everything = (self._measured[key] for key in self._keys(cell))
        if point[2]:
            return point[0] / point[2]
        spent, work, count = protocol if protocol[2] else everything
        return max(SECONDS_OF_ANY, spent / work * expected_work(cell.options)) if count else None

    @property
    def seconds(self) -> float | None:
        """Until all cells have ended; at least as long as the longest takes."""
        each = [self.of(cell) for cell in self._left.values()]
        known = [seconds for seconds in each if seconds is not None]
        return max(sum(known) / self._jobs, max(known, default=0.0)) if len(known) == len(each) else None

    @property
    def count(self) -> int:
        """How many cells are left."""
        return len(self._left)

    @staticmethod
    def _keys(cell: Cell) -> tuple[str, str, str]:
        return f"point {sorted(cell.point.items(), key=str)}", f"protocol {cell.options.protocol}", "all"


@contextmanager
def sweep_progress(name: str, cells: Sequence[Cell], jobs: int) -> Iterator[Note]:
    """A function to be told of every cell that has ended."""
    left = TimeLeft(cells, jobs)
    if sys.stderr.isatty():
        with _bar(name, len(cells), left) as note:
            yield note
    else:
        yield _lines(name, len(cells), left)


def _lines(name: str, count: int, left: TimeLeft) -> Note:
    told = monotonic()

    def note(cell: Cell, result: CellResult) -> None:
        nonlocal told
        left.note(cell, result.seconds)
        if monotonic() - told >= LINE_EVERY:
            told = monotonic()
            sys.stderr.write(f"{name}: {count - left.count:,} of {count:,} cells {_left_text(left)}".rstrip() + "\n")
            sys.stderr.flush()

    return note


@contextmanager
def _bar(name: str, count: int, left: TimeLeft) -> Iterator[Note]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=count, left="")

        def note(cell: Cell, result: CellResult) -> None:
            left.note(cell, result.seconds)
            bar.update(task, completed=count - left.count, left=_left_text(left))

        yield note


def _left_text(left: TimeLeft) -> str:
    seconds = left.seconds
    return f"(about {in_words(seconds)} left)" if seconds else ""


def in_words(seconds: float) -> str:
    """A time as exact as one needs it: seconds below two minutes, then minutes."""
    step = SECOND if seconds < 120 else MINUTE
    return format_duration(max(1, round(seconds * SECOND / step)) * step)
