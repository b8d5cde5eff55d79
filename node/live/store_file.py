"""The file of a store: an SQLite database that holds a chain of records.

1. A record lies at its *place*, counted upwards, never used twice. Its *checksum* is of place and content, with a key made of
   network, node and format; its *link* is the digest of the former record's checksum and its own.
2. Deleted records leave gaps; the link of the record behind a gap is made anew.
3. The end of the chain (how many records, the last place, its checksum) is kept apart, with a checksum of its own.
4. ``verified`` reads everything. A record that is lost, torn, exchanged, doubled, of another node or of another past of the
   same node is found and named by its place.

5. The head says whose records they are, the number of the node's present life, and whether that life was ended in order.

``replace`` is called within a transaction of the caller.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from ledger.kernel.automaton import NodeId
from ledger.kernel.encoding import Digest, digest

FORMAT = 1
"""Of the file; raised with every change after which older programs can't read it, or newer ones what they wrote."""
APPLICATION = 0x54477374
"""What marks an SQLite file as a store."""
CHECKSUM_SIZE = 16
_EMPTY = bytes(CHECKSUM_SIZE)
"""The checksum before the first record."""
_SCHEMA = """
CREATE TABLE identity (network TEXT, node TEXT, incarnation INTEGER, open INTEGER, checksum BLOB);
CREATE TABLE records (place INTEGER PRIMARY KEY, content BLOB, checksum BLOB, link BLOB);
CREATE TABLE end (count INTEGER, place INTEGER, last BLOB, checksum BLOB);
"""


class Damage(Exception):
    """What was written is not there as it was written; the text says where."""


class Foreign(Exception):
    """The file is intact, but not for this node or this program; the text says why."""


class StoreFile:
    """One connection to the file."""

    def __init__(self, path: Path, network: str, node: NodeId) -> None:
        """Open the file, or begin an empty one.

        Errors: ``sqlite3.Error``, here and of every method.
        """
        self.network = network
        self.node = node
        self.incarnation = 0
        self.open = False
        """Whether it was left without being closed."""
        self.count = 0
        self.last = 0
        """The last place."""
        self._key: Digest = digest("store", FORMAT, network, node)
        self.connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            self.connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            self.connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            self.connection.close()
            raise

    def create(self, contents: Sequence[bytes] = ()) -> None:
        """Make the tables in an empty file, with these records."""
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
        self.connection.execute(f"PRAGMA application_id = {APPLICATION}")
        self.connection.execute(f"PRAGMA user_version = {FORMAT}")
        self.connection.execute("BEGIN")
        self.connection.execute("INSERT INTO identity VALUES (?, ?, 0, 0, x'')", (self.network, self.node))
        self.connection.execute("INSERT INTO end VALUES (0, 0, x'', x'')")
        self._write_life(0, is_open=False)
        self.note_end(*self.replace((), contents))
        self.connection.execute("COMMIT")

    # --------------------------------------------------------------------------------------------------------- reading

    def verify_head(self) -> None:
        """Whose file it is.

        Errors: ``Damage``, ``Foreign``.
        """
        application, version = self._one("PRAGMA application_id")[0], self._one("PRAGMA user_version")[0]
        if application != APPLICATION:
            raise Foreign("it is an SQLite file, but not a store")
        if version != FORMAT:
            raise Foreign(f"it has format {version}, and this version of tanglegrid reads and writes format {FORMAT}")
        network, node, incarnation, is_open, checksum = self._one("SELECT * FROM identity")
        key = digest("store", FORMAT, network, node)
        if checksum != _checksum(key, 0, _life(incarnation, is_open)):
            raise Damage("its head (network, node, incarnation) is not what was written")
        if (network, node) != (self.network, self.node):
            raise Foreign(
                f"it is the store of {node} in network {network}, and {self.node} in {self.network} was expected"
            )
        self.incarnation, self.open = incarnation, bool(is_open)

    def verified(self) -> Iterator[tuple[int, bytes]]:
        """Place and content of every record, each verified, in order (4); to be read to the end.

        Errors: ``Damage``.
        """
        before, last, count = _EMPTY, 0, 0
        for place, content, checksum, link in self.connection.execute("SELECT * FROM records ORDER BY place"):
            if place <= 0 or type(content) is not bytes or checksum != _checksum(self._key, place, content):
                raise Damage(f"record {place} (number {count + 1} of the file) is not what was written")
            if link != _link(before, checksum):
                raise Damage(f"records are lost between {last} and {place}, or come from another file")
            yield place, content
            before, last, count = checksum, place, count + 1
        kept, end, end_checksum, checksum = self._one("SELECT * FROM end")
        if checksum != _checksum(self._key, 0, _end(kept, end, end_checksum)):
            raise Damage("its list's end is not what was written")
        if (kept, end, end_checksum) != (count, last, before):
            raise Damage(f"{kept} records were written, the last is {end}; {count} are found, the last is {last}")
        self.count, self.last = count, last

    def contents(self) -> Iterator[tuple[int, bytes]]:
        """Place and content of every record, in order."""
        yield from self.connection.execute("SELECT place, content FROM records ORDER BY place")

    # --------------------------------------------------------------------------------------------------------- writing

    def begin_life(self, incarnation: int) -> None:
        """A life with this number begins; that it is open is told by the file itself, without its journal."""
        self._write_life(incarnation, is_open=True)
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.incarnation = incarnation

    def end_life(self) -> None:
        """The file is going to be closed, and then has no journal."""
        self._write_life(self.incarnation, is_open=False)

    def _write_life(self, incarnation: int, *, is_open: bool) -> None:
        checksum = _checksum(self._key, 0, _life(incarnation, int(is_open)))
        row = (incarnation, int(is_open), checksum)
        self.connection.execute("UPDATE identity SET incarnation = ?, open = ?, checksum = ?", row)

    def replace(self, superseded: Sequence[int], contents: Sequence[bytes]) -> tuple[int, int]:
        """Delete the records at these places, and write new ones behind all others (1, 2).

        How many there are then, and the last place: for ``note_end`` when the transaction is durable.
        """
        if superseded:
            self._delete(superseded)
        before, place = self._checksum_before(self.last + 1), self.last
        rows = []
        for place, content in enumerate(contents, self.last + 1):
            checksum = _checksum(self._key, place, content)
            rows.append((place, content, checksum, _link(before, checksum)))
            before = checksum
        self.connection.executemany("INSERT INTO records VALUES (?, ?, ?, ?)", rows)
        count = self.count - len(superseded) + len(rows)
        self._write_end(count, place, before)
        return count, place

    def note_end(self, count: int, last: int) -> None:
        """The chain ends here now."""
        self.count, self.last = count, last

    def _delete(self, places: Sequence[int]) -> None:
        self.connection.executemany("DELETE FROM records WHERE place = ?", [(place,) for place in places])
        behind = 0
        for place in sorted(places):
            if place < behind:  # in the gap that was closed last
                continue
            found = self.connection.execute(
                "SELECT place, checksum FROM records WHERE place > ? ORDER BY place LIMIT 1", (place,)
            ).fetchone()
            if found is None:
                return
            behind, checksum = found
            link = _link(self._checksum_before(behind), checksum)
            self.connection.execute("UPDATE records SET link = ? WHERE place = ?", (link, behind))

    def _checksum_before(self, place: int) -> bytes:
        found = self.connection.execute(
            "SELECT checksum FROM records WHERE place < ? ORDER BY place DESC LIMIT 1", (place,)
        ).fetchone()
        return _EMPTY if found is None else bytes(found[0])

    def _write_end(self, count: int, place: int, last: bytes) -> None:
        checksum = _checksum(self._key, 0, _end(count, place, last))
        row = (count, place, last, checksum)
        self.connection.execute("UPDATE end SET count = ?, place = ?, last = ?, checksum = ?", row)

    def _one(self, query: str) -> tuple[Any, ...]:
        rows = self.connection.execute(query).fetchall()
        if len(rows) != 1:
            raise Damage(f"{len(rows)} rows are found where one was written ({query})")
        return tuple(rows[0])


def _life(incarnation: Any, is_open: Any) -> bytes:
    return repr(("life", incarnation, is_open)).encode()


def _end(count: Any, place: Any, last: Any) -> bytes:
    return repr(("end", count, place, last)).encode()


def _checksum(key: Digest, place: int, content: bytes) -> bytes:
    return blake2b(place.to_bytes(8, "big") + content, digest_size=CHECKSUM_SIZE, key=key).digest()


def _link(before: bytes, checksum: bytes) -> bytes:
    return blake2b(before + checksum, digest_size=CHECKSUM_SIZE).digest()
