"""Embedded stores for a node's records: ``python -m tests.benchmarks.stores [FOLDER]``.

What a node does to its disk: groups of 1 to 100 records of 100 bytes to 20 kB (all orders of magnitude alike), each group
durable before anything else happens; then a restart, which reads everything. In wall-clock time, because that is what waits:
the disk of FOLDER is measured as much as the store. LMDB and RocksDB are measured if they are installed
(``pip install lmdb rocksdict``). ``file`` is the floor: a file that is appended to and synced.
"""

from __future__ import annotations

import math
import os
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter
from typing import Any, Protocol

from ledger.kernel.automaton import NodeId, Record
from node.live.store import Store
from tests.harness.toys import ToyMessage, ToyPing

SIZE_MIN, SIZE_MAX = 100, 20_000
ROUNDS = 9
PATTERNS = ((1, 400), (10, 200), (100, 60))
"""Records in a group, and groups."""


class Engine(Protocol):
    def commit(self, group: Sequence[bytes]) -> None: ...

    def read(self) -> list[bytes]: ...

    def close(self) -> None: ...


class AppendedFile:
    def __init__(self, folder: Path) -> None:
        self._file = os.open(folder / "records", os.O_RDWR | os.O_CREAT | os.O_APPEND)

    def commit(self, group: Sequence[bytes]) -> None:
        os.write(self._file, b"".join([len(record).to_bytes(4, "big") + record for record in group]))
        os.fdatasync(self._file)

    def read(self) -> list[bytes]:
        data, place, records = os.pread(self._file, os.fstat(self._file).st_size, 0), 0, []
        while place < len(data):
            end = place + 4 + int.from_bytes(data[place : place + 4], "big")
            records.append(data[place + 4 : end])
            place = end
        return records

    def close(self) -> None:
        os.close(self._file)


class Sqlite:
    """Write-ahead mode, synced at every commit."""

    def __init__(self, folder: Path) -> None:
        self._connection = sqlite3.connect(folder / "records", isolation_level=None)
        for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.execute("CREATE TABLE IF NOT EXISTS records (place INTEGER PRIMARY KEY, content BLOB)")

    def commit(self, group: Sequence[bytes]) -> None:
        self._connection.execute("BEGIN")
        self._connection.executemany("INSERT INTO records (content) VALUES (?)", [(record,) for record in group])
        self._connection.execute("COMMIT")

    def read(self) -> list[bytes]:
        return [content for (content,) in self._connection.execute("SELECT content FROM records ORDER BY place")]

    def close(self) -> None:
        self._connection.close()


class Lmdb:
    def __init__(self, folder: Path) -> None:
        self._environment = import_module("lmdb").open(str(folder), map_size=2**31)
        self._place = 0

    def commit(self, group: Sequence[bytes]) -> None:
        with self._environment.begin(write=True) as transaction:
            for record in group:
                self._place += 1
                transaction.put(self._place.to_bytes(8, "big"), record, append=True)

    def read(self) -> list[bytes]:
        with self._environment.begin() as transaction:
            return [record for _, record in transaction.cursor()]

    def close(self) -> None:
        self._environment.close()


class RocksDb:
    def __init__(self, folder: Path) -> None:
        self._module = import_module("rocksdict")
        self._store = self._module.Rdict(str(folder), self._module.Options(raw_mode=True))
        self._synced = self._module.WriteOptions()
        self._synced.sync = True
        self._place = 0

    def commit(self, group: Sequence[bytes]) -> None:
        batch = self._module.WriteBatch(raw_mode=True)
        for record in group:
            self._place += 1
            batch.put(self._place.to_bytes(8, "big"), record)
        self._store.write(batch, self._synced)

    def read(self) -> list[bytes]:
        return list(self._store.values())

    def close(self) -> None:
        self._store.close()


class NodeStore:
    """The node's own: SQLite with checksums, links, an index of paths, and records decoded."""

    def __init__(self, folder: Path) -> None:
        self._store = Store.open(folder / "store.db", "benchmark", NodeId("home1"), kinds=ToyMessage)

    def commit(self, group: Sequence[bytes]) -> None:
        self._store.commit([Record(("toy",), ToyPing(0, record)) for record in group])

    def read(self) -> list[bytes]:
        return [record.value.content for record in self._store.records]  # type: ignore[attr-defined]

    def close(self) -> None:
        self._store.close()


ENGINES: dict[str, Callable[[Path], Any]] = {
    "file": AppendedFile,
    "SQLite": Sqlite,
    "LMDB": Lmdb,
    "RocksDB": RocksDb,
    "the store": NodeStore,
}
NEEDS = {"LMDB": "lmdb", "RocksDB": "rocksdict"}


def groups_of(size: int, count: int) -> list[list[bytes]]:
    """The same groups of records for every engine."""
    rng, bounds = Random(size), (math.log(SIZE_MIN), math.log(SIZE_MAX))
    return [[rng.randbytes(round(math.exp(rng.uniform(*bounds)))) for _ in range(size)] for _ in range(count)]


def measured(make: Callable[[Path], Engine], groups: Sequence[Sequence[bytes]], folder: Path) -> dict[str, float]:
    """Milliseconds per commit, records per second committed and read back after a restart, bytes on disk per byte."""
    engine, seconds = make(folder), []
    for group in groups:
        begin = perf_counter()
        engine.commit(group)
        seconds.append(perf_counter() - begin)
    engine.close()
    begin = perf_counter()
    engine = make(folder)
    records = engine.read()
    reading = perf_counter() - begin
    engine.close()
    assert records == [record for group in groups for record in group]
    taken = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    seconds.sort()
    return {
        "p50 ms": seconds[len(seconds) // 2] * 1000,
        "p99 ms": seconds[len(seconds) * 99 // 100] * 1000,
        "written/s": len(records) / sum(seconds),
        "read/s": len(records) / reading,
        "disk": taken / sum(map(len, records)),
    }


def installed(name: str) -> bool:
    """Whether this engine can be measured here."""
    return name not in NEEDS or find_spec(NEEDS[name]) is not None


def main() -> None:
    """Print a table in Markdown: medians of rounds in which the engines take turns, so that all meet the same disk."""
    where = sys.argv[1] if len(sys.argv) > 1 else None
    print("| records in a group | store | commit, p50 ms | p99 ms | written /s | read back /s | disk / data |")
    print("|---|---|---|---|---|---|---|")
    for size, count in PATTERNS:
        groups = groups_of(size, count)
        rows: dict[str, list[dict[str, float]]] = {name: [] for name in ENGINES if installed(name)}
        for _ in range(ROUNDS):
            for name, measurements in rows.items():
                with tempfile.TemporaryDirectory(dir=where) as folder:
                    measurements.append(measured(ENGINES[name], groups, Path(folder)))
        for name, measurements in rows.items():
            row = {column: median(each[column] for each in measurements) for column in measurements[0]}
            print(
                f"| {size} | {name} | {row['p50 ms']:.2f} | {row['p99 ms']:.1f} | {row['written/s']:,.0f} | "
                f"{row['read/s']:,.0f} | {row['disk']:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
