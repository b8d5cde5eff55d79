"""A sweep: every cell of a study, run by whoever there is, kept as it ends, and put together into one table.

1. read the study, make its cells, open the folder; what is finished there already is left out
2. the longest cells first, by their expected work: a committee of 100 takes a thousand times as long as one of four, and
   should not be alone at the end
3. each result is written as it comes
4. all are there: one table in the order of the study, one manifest

So the results depend neither on how many work, nor on the order, nor on how often the sweep was killed.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from node.experiments.committee_cells import cells_of, expected_work, inputs_of
from node.experiments.study_file import open_study
from node.experiments.sweep_folder import SweepFolder, Warn
from node.experiments.sweep_progress import in_words, sweep_progress
from node.experiments.sweep_workers import Workers

FAILURES_SHOWN = 5
"""The manifest has all of them."""


class SweepInterrupted(Exception):
    """Somebody has ended a sweep. What is finished is kept."""


class SweepOutcome:
    """What came of a sweep."""

    def __init__(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        self.folder = folder
        self.manifest = manifest

    @property
    def failures(self) -> list[str]:
        """Cells that have failed, by their reason."""
        failed = [f"{cell['options']}: {cell['outcome']}: {cell['problem']}" for cell in self.manifest["failed"]]
        more = len(failed) - FAILURES_SHOWN
        return failed[:FAILURES_SHOWN] + ([f"and {more:,} more, in {self.folder}/manifest.json"] if more > 0 else [])

    def text(self) -> str:
        """The outcome for people."""
        manifest = self.manifest
        seconds = Counter[str]()
        for protocol, sizes in manifest["times"].items():
            seconds[protocol] = sum(round(size["cpu_seconds"]) for size in sizes.values())
        spent = ", ".join(f"{protocol} {in_words(count)}" for protocol, count in seconds.items())
        failed = f"{len(manifest['failed']):,} of them failed"
        lines = [
            f"{manifest['study']['name']}: {manifest['cells']:,} cells, {failed}; {manifest['rows']:,} rows",
            f"CPU time: {spent}; peak memory of a process {manifest['peak_memory_bytes'] / 1e6:,.0f} MB",
            f"digest: {manifest['digest']}",
            f"results: {self.folder}; figures: tanglegrid figures {self.folder}",
        ]
        return "\n".join(lines)


def run_sweep(
    path: Path,
    overrides: Sequence[str],
    out: Path | None,
    workers: Workers,
    *,
    resume: bool = False,
    overwrite: bool = False,
    warn: Warn,
) -> SweepOutcome:
    """Run the study in a file. ``out`` none: below ``runs``, by its name.

    Errors: ``ConfigurationError``; ``SweepInterrupted``; ``OSError`` when results can't be written: what is there is sound.
    """
    study = open_study(path, overrides)
    cells = cells_of(study, path.parent)
    plan = {**study.model_dump(mode="json"), "inputs": inputs_of(study, path.parent)}
    place = out if out is not None else Path("runs") / study.study.name
    folder = SweepFolder(place, plan, resume=resume, overwrite=overwrite, warn=warn)
    finished = folder.finished(cells)
    known = {cell.digest for cell, _ in finished}
    todo = [cell for cell in cells if cell.digest not in known]
    todo.sort(key=lambda cell: (-expected_work(cell.options), cell.number))
    try:
        with (
            closing(workers.results(todo)) as results,
            sweep_progress(study.study.name, todo, workers.jobs) as note,
        ):
            for cell, result in results:
                folder.keep(cell, result)
                finished.append((cell, result))
                note(cell, result)
    except KeyboardInterrupt:
        sets = [word for text in overrides for word in ("--set", text)]
        again = shlex.join(["tanglegrid", "sweep", str(path), "--out", str(place), "--resume", *sets])
        told = f"interrupted; {len(finished):,} of {len(cells):,} cells are finished. To go on: {again}"
        raise SweepInterrupted(told) from None
    return SweepOutcome(place, folder.complete(finished))
