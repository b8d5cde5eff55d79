"""Stores of toy records, and a process that writes one until it is killed."""

from __future__ import annotations

from collections.abc import Iterable
from multiprocessing.connection import Connection
from pathlib import Path as FilePath

from ledger.kernel.automaton import NodeId, Path, Record
from node.live.store import Store
from tests.harness.toys import PATH, ToyMessage, ToyPing, ToyPong

NETWORK, NODE = "testnet", NodeId("home1")
SIZES = (0, 100, 1_000, 20_000)


def opened(path: FilePath, **options) -> Store:
    return Store.open(path, NETWORK, NODE, kinds=ToyMessage, **options)


def pong(number: int, *supersedes: Path, path: Path = PATH) -> Record:
    return Record(path, ToyPong(number), supersedes)


def ping(number: int) -> Record:
    """A record whose size depends on its number: from a hundred bytes to twenty thousand."""
    return Record(PATH, ToyPing(number, bytes(SIZES[number % len(SIZES)])))


def numbers(records: Iterable[Record]) -> list[int]:
    return [record.value.number for record in records]  # type: ignore[attr-defined]


def write_until_killed(path: FilePath, acknowledged: Connection) -> None:
    """Commit groups of one to seven records, numbered from where the store ends, and say after each how far they go."""
    store = opened(path)
    number = len(store)
    acknowledged.send(number)
    while True:
        size = 1 + number % 7
        store.commit([ping(number + place) for place in range(size)])
        number += size
        acknowledged.send(number)
