"""The progress bar of a run: on a terminal only, on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import process_time

from ledger.kernel.instant import HOUR, SECOND, Instant
from node.simulated.runtime import SimulatedRuntime

ProgressFunction = Callable[[Instant, Instant, SimulatedRuntime], None]
BlockProgress = Callable[[int, int], None]
"""Told how many ends of blocks at members there were, and how many there will be."""


@contextmanager
def progress_bar(quiet: bool) -> Iterator[ProgressFunction | None]:
    """A function to report progress with; none where nobody would see it."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[rates]}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("trading", total=None, rates="")
        began = process_time()

        def report(now: Instant, end: Instant, runtime: SimulatedRuntime) -> None:
            spent = max(process_time() - began, 1e-9)
            rates = (
                f"{now / HOUR:.1f} h simulated, {now / SECOND / spent:,.0f} x real time, "
                f"{runtime.counters.messages / spent:,.0f} messages per CPU second"
            )
            what = "trading" if now < end else "draining"
            bar.update(task, total=end, completed=min(now, end), description=what, rates=rates)

        yield report


@contextmanager
def block_bar(quiet: bool) -> Iterator[BlockProgress | None]:
    """A function to report the progress of one committee with; none where nobody would see it."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (TextColumn("deciding"), BarColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("deciding", total=None)
        yield lambda done, total: bar.update(task, total=total, completed=done)
