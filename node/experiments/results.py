"""The results of a run: tables, their digest, and the folder that keeps them.

A table is a list of rows of numbers, strings and None under declared columns. The digest covers every row of every table
and the summary, and nothing of the machine or the wall clock: the same scenario and seed give the same digest anywhere.

A run folder has ``manifest.json`` (resolved configuration, seed, versions, digest), ``summary.json``, one Parquet file per
table, and the report. It is written beside its place and moved there whole, so a broken run leaves nothing half-done.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

TableCell = int | float | str | None
VERSIONS_OF = ("tanglegrid", "simpy", "networkx", "msgspec", "msgpack", "pynacl", "pyarrow")


class Table:
    """Rows under declared columns: ``columns`` maps a name to "int64", "double" or "string"."""

    def __init__(self, name: str, columns: Mapping[str, str]) -> None:
        self.name = name
        self.columns = dict(columns)
        self.rows: list[tuple[TableCell, ...]] = []

    def add(self, *cells: TableCell) -> None:
        """Append a row; the cells stand in the order of the columns."""
        assert len(cells) == len(self.columns), f"{self.name}: {len(cells)} cells for {len(self.columns)} columns"
        self.rows.append(cells)

    def column(self, name: str) -> list[Any]:
        """All cells of a column."""
        place = list(self.columns).index(name)
        return [row[place] for row in self.rows]

    def select(self, *names: str) -> list[tuple[Any, ...]]:
        """The rows under some of the columns, in the order that is asked for."""
        places = [list(self.columns).index(name) for name in names]
        return [tuple(row[place] for place in places) for row in self.rows]


def digest_of_results(tables: Sequence[Table], summary: Mapping[str, Any]) -> str:
    """32 bytes of BLAKE2b, in hex, over all rows and the summary."""
    state = blake2b(digest_size=32)
    for table in sorted(tables, key=lambda table: table.name):
        state.update(json.dumps([table.name, table.columns]).encode())
        for row in table.rows:
            state.update(json.dumps(row, separators=(",", ":")).encode())
    state.update(json.dumps(summary, sort_keys=True).encode())
    return state.hexdigest()


def versions() -> dict[str, str]:
    """What the run was made with."""
    found = {"python": platform.python_version(), "platform": f"{platform.system()} {platform.machine()}"}
    for package in VERSIONS_OF:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


class FolderTaken(Exception):
    """The place for the run folder can't be used."""


def check_place(folder: Path) -> None:
    """Refuse, before a long run, a place that could not be written afterwards, or that holds anything but an earlier run.

    Errors: ``FolderTaken``.
    """
    try:
        if folder.is_dir():
            if any(folder.iterdir()) and not (folder / "manifest.json").is_file():
                raise FolderTaken(f"{folder}: is not empty and holds no earlier run; expected a new or a run's folder")
        elif folder.exists():
            raise FolderTaken(f"{folder}: is a file; expected a folder")
    except OSError as error:
        raise FolderTaken(f"{folder}: {error.strerror}") from None
    around = next(path for path in folder.resolve().parents if path.exists())
    if not around.is_dir():
        raise FolderTaken(f"{folder}: {around} is a file; expected a folder")
    probe = around / f".{folder.name}.{os.getpid()}.probe"
    try:  # only making something there shows that something can be made: permissions alone don't tell
        probe.mkdir()
        probe.rmdir()
    except OSError as error:
        raise FolderTaken(f"{folder}: can't be written: {error.strerror}") from None


def write_folder(
    folder: Path,
    tables: Sequence[Table],
    manifest: Mapping[str, Any],
    summary: Mapping[str, Any],
    files: Mapping[str, str],
) -> None:
    """Write a run folder whole, in the place of an earlier one.

    ``files``: further text files by name, such as the report.

    Errors: ``FolderTaken``; ``OSError``, after which the place is as it was.
    """
    check_place(folder)
    folder = folder.resolve()
    missing = [path for path in folder.parents if not path.exists()]
    unfinished = folder.parent / f".{folder.name}.{os.getpid()}"
    shutil.rmtree(unfinished, ignore_errors=True)  # of a process that was killed
    try:
        unfinished.mkdir(parents=True)
        for table in tables:
            write_parquet(unfinished / f"{table.name}.parquet", table)
        for name, content in {"manifest.json": manifest, "summary.json": summary}.items():
            (unfinished / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        for name, text in files.items():
            (unfinished / name).write_text(text, encoding="utf-8")
        _move(unfinished, folder)
    except BaseException as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        for path in missing:
            with suppress(OSError):  # which was never made, or into which somebody else has put something
                path.rmdir()
        if isinstance(error, OSError) and error.errno:
            raise OSError(error.errno, os.strerror(error.errno), str(folder)) from error
        raise


def _move(finished: Path, folder: Path) -> None:
    """Put a finished folder in its place; an earlier one goes when the new one is there."""
    earlier = finished.with_name(f"{finished.name}.earlier")
    if folder.exists():
        folder.rename(earlier)
    try:
        finished.rename(folder)
    except BaseException:
        if earlier.exists():
            earlier.rename(folder)
        raise
    shutil.rmtree(earlier, ignore_errors=True)


def write_parquet(path: Path, table: Table) -> None:
    """Write a table as a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"int64": pa.int64(), "double": pa.float64(), "string": pa.string()}
    columns = list(zip(*table.rows, strict=True)) or [()] * len(table.columns)
    arrays = [pa.array(cells, kinds[kind]) for cells, kind in zip(columns, table.columns.values(), strict=True)]
    pq.write_table(pa.table(arrays, names=list(table.columns)), path, compression="zstd")


def read_parquet(path: Path, name: str, columns: Mapping[str, str]) -> Table:
    """The table that a Parquet file holds.

    Errors: ``OSError``; ``ValueError`` when it is none, or lacks a column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = Table(name, columns)
    try:
        missing = [column for column in columns if column not in pq.read_schema(path).names]
        if missing:
            raise ValueError(
                f"{path}: lacks the columns {', '.join(missing)}; another version of tanglegrid has written it"
            )
        found = pq.read_table(path, columns=list(columns))
    except pa.ArrowException as error:
        raise ValueError(f"{path}: {error}") from None
    cells = [found.column(column).to_pylist() for column in columns]
    table.rows = list(zip(*cells, strict=True))
    return table
