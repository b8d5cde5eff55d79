"""The store: a node's records in one SQLite file, durable in groups, verified whole when it is opened.

SQLite in write-ahead mode, one connection, one sync per group; chosen by measurement (docs/live.md, "The store").

1. ``found`` makes the file under another name and renames it: a file that is there was once whole.
2. ``open`` locks it (a file beside it, which is free again when the process ends, however it ends), verifies the journal
   that a crash left, then every record, and then durably raises the incarnation.
3. ``commit`` writes a group in one transaction: the records, and what they supersede deleted.
4. ``close`` leaves a file without a journal, and says so in it, and in the lock, where that takes no room: when a store that
   was not closed has no journal, records are lost.

What a file can't tell by itself is that all of it is of an earlier day (a backup that was put back). At least the incarnation
follows the wall clock, so peers take even that node, or one that was founded anew, for a new life and hear it.

A write that fails leaves nothing of its group. If that was for lack of space, the store goes on as soon as there is some;
after a failed sync nobody knows what is on the disk, so it refuses everything until it is opened, and verified, again.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path as FilePath
from typing import Any, TypeAlias

import msgspec

from ledger.kernel.automaton import NodeId, Path, Record
from ledger.kernel.encoding import RECORD_SIZE_MAX, Codec, Value
from ledger.kernel.rejection import Rejected
from ledger.tangle import TangleRecord
from node.live.store_errors import StoreBusy, StoreDamaged, StoreFailed, StoreForeign, StoreMissing
from node.live.store_file import Damage, Foreign, StoreFile
from node.live.store_journal import journal_damage, journal_of
from node.record_places import RecordPlaces, unsuperseded
from wasp.chain_interface import ChainRecord
from wasp.committee_log import LogIndexUsed

HostRecord: TypeAlias = TangleRecord | ChainRecord
"""What hosts write down. A new kind of record is added here."""
CLOSED = "closed"
"""What stands in the lock of a store that was closed."""
PAGE_SIZE_MIN = 512
"""Bytes of the smallest page of SQLite."""

_OF_THE_DISK = (
    sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
)  # fmt: skip
"""Errors that say nothing about what is in the file."""
_Content: TypeAlias = tuple[Path, tuple[Path, ...], Value]
_encode = msgspec.msgpack.Encoder().encode


class Store:
    """One node's records; opened once per life. ``commit`` and ``close`` are called by one thread at a time."""

    def __init__(self, path: FilePath, file: StoreFile, codec: Codec[_Content], lock: int) -> None:
        """Use ``open``."""
        self.path = path
        self._file = file
        self._codec = codec
        self._lock = lock
        self._places = RecordPlaces()
        self._broken = ""

    @classmethod
    def found(cls, path: FilePath, network: str, node: NodeId, records: Sequence[Record] = ()) -> None:
        """Make a new store (1); with records, for a node that had another: ``used_log_indices``.

        Errors: ``StoreFailed``, also when there is a file already.
        """
        if path.exists():
            raise StoreFailed(path, "there is a file already, and none is ever replaced", may_retry=False)
        draft = path.with_name(f"{path.name}.new")
        with _writing(path):
            for leftover in (draft, journal_of(draft)):
                leftover.unlink(missing_ok=True)
            file = StoreFile(draft, network, node)
            try:
                file.create(_encoded(records))
            finally:
                file.connection.close()
            draft.replace(path)
            _sync_folder(path.parent)

    @classmethod
    def open(
        cls,
        path: FilePath,
        network: str,
        node: NodeId,
        *,
        founded: bool = False,
        kinds: Any = HostRecord,
        wall_s: Callable[[], float] = time.time,
    ) -> Store:
        """The store in this file (2); it is made, unless it must have been ``founded`` before. ``kinds``: of its records.

        Errors: ``StoreMissing``, ``StoreBusy``, ``StoreDamaged``, ``StoreForeign``, ``StoreFailed``.
        """
        with _writing(path):
            lock, was_closed = _locked(path)
            try:
                return cls._opened(path, network, node, founded, kinds, int(wall_s()), lock, was_closed)
            except BaseException:
                os.close(lock)
                raise

    @classmethod
    def _opened(
        cls,
        path: FilePath,
        network: str,
        node: NodeId,
        founded: bool,
        kinds: Any,
        wall_s: int,
        lock: int,
        was_closed: bool,
    ) -> Store:
        if not path.exists():
            if founded:
                raise StoreMissing(path)
            cls.found(path, network, node)
        if (size := path.stat().st_size) < PAGE_SIZE_MIN:  # SQLite takes that for a new file
            raise StoreDamaged(path, f"it has {size} bytes, less than any store")
        if damage := journal_damage(path):
            raise StoreDamaged(path, damage)
        may_lack_journal = was_closed or journal_of(path).exists()
        with _reading(path):
            file = StoreFile(path, network, node)
            store = cls(path, file, Codec(tuple[Path, tuple[Path, ...], kinds], RECORD_SIZE_MAX), lock)
            try:
                file.verify_head()
                if file.open and not may_lack_journal:
                    raise Damage(f"its journal {journal_of(path).name} is missing, with what was written last")
            except BaseException:
                file.connection.close()
                raise
            try:
                for place, content in file.verified():
                    store._places.note(store._decoded(place, content).path, place)
                file.begin_life(max(file.incarnation + 1, wall_s))
            except BaseException:
                store._disconnect()
                raise
        _note_in(lock, str(os.getpid()))
        return store

    @property
    def incarnation(self) -> int:
        """Greater at each opening: by one, or as many seconds as have passed."""
        return self._file.incarnation

    @property
    def records(self) -> tuple[Record, ...]:
        """What a restarted host is built from, in the order in which it was written; read from the file each time."""
        return tuple([self._decoded(place, content) for place, content in self._file.contents()])

    def __len__(self) -> int:
        """How many records are kept."""
        return self._file.count

    @property
    def size_bytes(self) -> int:
        """What the file and its journal take on the disk."""
        return sum(file.stat().st_size for file in (self.path, journal_of(self.path)) if file.exists())

    def commit(self, records: Sequence[Record]) -> None:
        """Make a group of records durable, in this order: when it returns they are, all of them (3).

        Errors: ``StoreFailed``: none of them is, if it ``may_retry``; else nobody knows before the store is opened again.
        """
        if self._broken:
            raise StoreFailed(self.path, self._broken, may_retry=False)
        if not records:
            return
        needed = unsuperseded(records)
        prefixes = tuple(dict.fromkeys(prefix for record in records for prefix in record.supersedes))
        contents = _encoded(needed)
        execute = self._file.connection.execute
        try:
            execute("BEGIN IMMEDIATE")
            count, last = self._file.replace(self._places.below(prefixes), contents)
            execute("COMMIT")
        except sqlite3.Error as error:
            self._undo(error)
            raise StoreFailed(self.path, _cause(error), may_retry=not self._broken) from None
        self._places.take_below(prefixes)
        for place, record in enumerate(needed, last - len(needed) + 1):
            self._places.note(record.path, place)
        self._file.note_end(count, last)

    def close(self) -> None:
        """Leave a file that needs no journal, and let others have it (4). What fails here is told at the next opening."""
        with suppress(sqlite3.Error):
            if not self._broken:
                self._file.end_life()
        self._disconnect()
        os.close(self._lock)

    def _disconnect(self) -> None:
        """SQLite writes what is in the journal to the file, and if it can, deletes the journal."""
        _note_in(self._lock, CLOSED)
        with suppress(sqlite3.Error):
            self._file.connection.close()

    def _undo(self, error: sqlite3.Error) -> None:
        """A transaction has failed: nothing of it stays, or it is not known what stays."""
        try:
            if self._file.connection.in_transaction:
                self._file.connection.execute("ROLLBACK")
        except sqlite3.Error:
            self._broken = _cause(error)
        if not _lacks_space(error):
            self._broken = _cause(error)

    def _decoded(self, place: int, content: bytes) -> Record:
        try:
            path, supersedes, value = self._codec.decode(content)
        except Rejected as rejected:
            raise Foreign(f"record {place} is intact, but this version can't read it: {rejected.detail}") from None
        return Record(path, value, supersedes)


def _encoded(records: Sequence[Record]) -> list[bytes]:
    contents = [_encode((record.path, record.supersedes, record.value)) for record in records]
    assert all(len(content) <= RECORD_SIZE_MAX for content in contents), "a record is larger than what is read back"
    return contents


def used_log_indices(indices: Mapping[str, int]) -> tuple[Record, ...]:
    """What a member that has lost its records is founded with: by chain, a log index; it opens none up to that again."""
    return tuple([Record((chain, "log"), LogIndexUsed(index), ((chain, "log"),)) for chain, index in indices.items()])


# --------------------------------------------------------------------------------------------------- locks and errors


def _locked(path: FilePath) -> tuple[int, bool]:
    """The lock of the store, which this process holds until it closes it or ends; and whether the store was closed."""
    lock = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = _noted_in(lock)
        os.close(lock)
        raise StoreBusy(path, f"process {holder}" if holder.isdecimal() else "another process") from None
    return lock, _noted_in(lock) == CLOSED


def _note_in(lock: int, text: str) -> None:
    """Who holds the lock, or that nobody does: always as long, so that it takes no more room on the disk."""
    with suppress(OSError):
        os.pwrite(lock, f"{text:<15}\n".encode("ascii"), 0)
        os.fsync(lock)


def _noted_in(lock: int) -> str:
    return os.pread(lock, 16, 0).decode("ascii", "replace").strip()


@contextmanager
def _writing(path: FilePath) -> Iterator[None]:
    """What fails inside is told as a failure of this file."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise StoreFailed(path, _cause(error), may_retry=True) from None


@contextmanager
def _reading(path: FilePath) -> Iterator[None]:
    """What is found inside is told of this file."""
    try:
        yield
    except Damage as damage:
        raise StoreDamaged(path, str(damage)) from None
    except Foreign as foreign:
        raise StoreForeign(path, str(foreign), "Look whether the node's configuration names the right file") from None
    except sqlite3.DatabaseError as error:
        if _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise StoreBusy(path, "another program that reads SQLite files") from None
        if _code(error) in _OF_THE_DISK:
            raise
        raise StoreDamaged(path, f"its pages are not what was written ({error})") from None


def _code(error: sqlite3.Error) -> int:
    """The primary code of an error of SQLite, 0 if it has none."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _lacks_space(error: sqlite3.Error) -> bool:
    """Whether a write failed before anything of its transaction could be kept, so that it may be tried again."""
    refused = getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_IOERR_WRITE
    return refused or _code(error) == sqlite3.SQLITE_FULL


def _cause(error: OSError | sqlite3.Error) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    name = getattr(error, "sqlite_errorname", "")
    return f"{error} ({name})" if name else str(error)


def _sync_folder(folder: FilePath) -> None:
    """Make a renaming in this folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
