"""Where a sweep keeps what it has: so that one that was killed can go on, and nothing half-written is taken for a result.

=================  ===================================================================================================
``manifest.json``  the study as it was read, digests of the files that it names, versions, commit, machine; from the end
                   of the sweep on also seeds, failed cells, times and the digest of the table
``cells/*.json``   one file per finished cell, named by the digest of its options, with a digest of its content
``cells.parquet``  the table of all cells, once the sweep is complete (``node.experiments.sweep_table``)
=================  ===================================================================================================

Every file is written beside its place and moved there. A cell's file that doesn't hold what its digest says is damaged: the
cell is run again, and so is one that crashed. A study, or a file that it names, that has changed since is told with what
changed; a program that has changed is warned of.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from node.configuration import ConfigurationError
from node.experiments.calibration import processor
from node.experiments.committee_cells import Cell, CellResult, digest_of
from node.experiments.results import FolderTaken, check_place, digest_of_results, versions, write_parquet
from node.experiments.sweep_table import sweep_table
from node.experiments.sweep_workers import cores

MANIFEST, TABLE, CELLS = "manifest.json", "cells.parquet", "cells"
SHOWN_MAX = 8
"""Changes of a study that are told; then it is another one."""
Finished = tuple[Cell, CellResult]
Warn = Callable[[str], None]


class SweepFolder:
    """The folder of one sweep, begun or gone on with.

    ``plan``: what the manifest says of the study: its tables, and ``inputs``, digests of the files that it names.

    Errors: ``ConfigurationError`` when the place is taken or the study has changed; ``OSError``.
    """

    def __init__(self, path: Path, plan: Mapping[str, Any], *, resume: bool, overwrite: bool, warn: Warn) -> None:
        self.path = path
        self._warn = warn
        self._manifest = {**plan, "state": "unfinished", **provenance()}
        try:
            check_place(path)
        except FolderTaken as error:
            raise ConfigurationError([f"--out {error}"]) from None
        earlier = read_manifest(path)
        if earlier is not None and "study" not in earlier:
            raise ConfigurationError([f"--out {path}: holds a run, not a sweep; expected another folder"])
        if overwrite:
            self._clear()
        elif earlier is not None:
            self._check_earlier(earlier, plan, resume)
        (path / CELLS).mkdir(parents=True, exist_ok=True)
        for unfinished in (path / CELLS).glob(".*"):  # of a process that was killed while it wrote
            unfinished.unlink()
        self._write_manifest()

    def _check_earlier(self, earlier: Mapping[str, Any], plan: Mapping[str, Any], resume: bool) -> None:
        if not resume:
            kept = len(list(self._cell_files()))
            options = "--resume to go on with it, --overwrite to begin anew, or another folder"
            raise ConfigurationError([f"--out {self.path}: holds a sweep with {kept:,} finished cells: {options}"])
        changes = list(changed({name: earlier.get(name) for name in plan}, plan))
        if changes:
            told = [f"{self.path}: changed since this sweep began: {change}" for change in changes[:SHOWN_MAX]]
            more = [f"and {len(changes) - SHOWN_MAX} more changes"] if len(changes) > SHOWN_MAX else []
            raise ConfigurationError([*told, *more, "expected the same study, or --overwrite, or another --out"])
        for name in ("versions", "commit"):
            if earlier.get(name) != self._manifest[name]:
                self._warn(f"{self.path}: earlier cells were run with other {name}: a result may depend on it")

    def _clear(self) -> None:
        """Take away an earlier sweep's files, and nothing else."""
        for path in [*self._cell_files(), self.path / TABLE, self.path / MANIFEST]:
            path.unlink(missing_ok=True)

    def _cell_files(self) -> Iterator[Path]:
        return (self.path / CELLS).glob("*.json")

    # ------------------------------------------------------------------------------------------------------ cells

    def finished(self, cells: Sequence[Cell]) -> list[Finished]:
        """Those of the cells that have been run, with their results; damaged files are warned of."""
        found: list[Finished] = []
        for cell in cells:
            place = self._place(cell)
            if not place.exists():
                continue
            result = _read_result(place, cell)
            if result is None:
                self._warn(f"{place}: is damaged; the cell is run again")
            elif result.outcome != "crashed":
                found.append((cell, result))
        return found

    def keep(self, cell: Cell, result: CellResult) -> None:
        """Write the result of a cell.

        Errors: ``OSError``.
        """
        content = msgspec.to_builtins(result)
        whole = {"cell": cell.digest, "options": cell.text, "content": content, "digest": digest_of(content)}
        _write(self._place(cell), json.dumps(whole).encode())

    def _place(self, cell: Cell) -> Path:
        return self.path / CELLS / f"{cell.digest}.json"

    # -------------------------------------------------------------------------------------------------- the whole

    def complete(self, finished: Sequence[Finished]) -> dict[str, Any]:
        """Write the table and the manifest of all cells. Returns the manifest.

        Errors: ``OSError``.
        """
        table = sweep_table(finished)
        with _beside(self.path / TABLE) as unfinished:
            write_parquet(unfinished, table)
        self._manifest |= {
            "state": "complete",
            "cells": len(finished),
            "rows": len(table.rows),
            "seeds": sorted({cell.options.seed for cell, _ in finished}),
            "failed": [
                {"cell": cell.number, "options": cell.text, "outcome": result.outcome, "problem": result.problem}
                for cell, result in sorted(finished, key=lambda pair: pair[0].number)
                if result.outcome != "done"
            ],
            "digest": digest_of_results([table], {}),
            "times": _times(finished),
            "peak_memory_bytes": max((result.peak_memory for _, result in finished), default=0),
        }
        self._write_manifest()
        return self._manifest

    def _write_manifest(self) -> None:
        _write(self.path / MANIFEST, (json.dumps(self._manifest, indent=2) + "\n").encode())


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a run or sweep; none where there is none.

    Errors: ``ConfigurationError`` when it can't be read.
    """
    place = folder / MANIFEST
    if not place.exists():
        return None
    try:
        manifest = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError([f"{place}: can't be read: {error}"]) from None
    if not isinstance(manifest, dict):
        raise ConfigurationError([f"{place}: expected a manifest"])
    return manifest


def changed(before: Any, after: Any, way: str = "") -> Iterator[str]:
    """What differs between two nested values, one line for each field."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in [*before, *(name for name in after if name not in before)]:
            yield from changed(before.get(name), after.get(name), f"{way}.{name}".lstrip("."))
    elif before != after:
        yield f"{way}: was {_shown(before)}, is {_shown(after)}"


def provenance() -> dict[str, Any]:
    """With what, and on which machine."""
    return {"versions": versions(), "commit": _commit(), "machine": {"processor": processor(), "cores": cores()}}


def _shown(value: Any) -> str:
    return "not there" if value is None else json.dumps(value)


def _commit() -> str | None:
    """The commit of the checkout that this program runs from; none where it is installed."""

    def said(*words: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        tracked = said("ls-files", Path(__file__).name)
        return (
            said("rev-parse", "HEAD") + (" and changes" if said("status", "--porcelain") else "") if tracked else None
        )
    except (OSError, subprocess.CalledProcessError):
        return None


def _times(finished: Sequence[Finished]) -> dict[str, dict[str, dict[str, float]]]:
    """Seconds by protocol and number of nodes: of the clock, and of the processors."""
    times: dict[str, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(float)))
    for cell, result in sorted(finished, key=lambda pair: (pair[0].options.nodes, pair[0].number)):
        of = times[cell.options.protocol][str(cell.options.nodes)]
        for name, value in (("cells", 1), ("seconds", result.seconds), ("cpu_seconds", result.cpu_seconds)):
            of[name] = round(of[name] + value, 3)
    return {protocol: dict(sizes) for protocol, sizes in times.items()}


def _read_result(place: Path, cell: Cell) -> CellResult | None:
    """The result in a cell's file; none when it is damaged."""
    try:
        whole = json.loads(place.read_bytes())
        if whole["cell"] != cell.digest or whole["digest"] != digest_of(whole["content"]):
            return None
        return msgspec.convert(whole["content"], CellResult)
    except (OSError, ValueError, LookupError, TypeError, msgspec.ValidationError):
        return None


def _write(place: Path, content: bytes) -> None:
    with _beside(place) as unfinished:
        unfinished.write_bytes(content)


@contextmanager
def _beside(place: Path) -> Iterator[Path]:
    """A file beside the place, moved there whole, or taken away.

    Errors: ``OSError`` that names the place.
    """
    unfinished = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        yield unfinished
        unfinished.replace(place)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(place)) from error
    finally:
        unfinished.unlink(missing_ok=True)
