"""The journal of a store, checked before SQLite reads it.

SQLite appends the pages of a transaction as frames to a write-ahead journal beside the file, the last one marked as its
end, and moves them into the file now and then. After a crash it takes what is intact, and silently drops everything from
the first bad frame on: meant for the transaction that was being written, but one bad bit drops all that was acknowledged
behind it.

1. Follow the frames from the first one, with their running checksum, to the first bad one.
2. Frames behind it that carry the journal's salt were written into this journal, those with another are leftovers of an
   earlier one.
3. A transaction is begun only when the one before it was synced. So when at least two ends are among those frames, the first
   of them was acknowledged: damage. One alone may be a write that a power failure tore.

The format is that of https://www.sqlite.org/walformat.html. A journal is a few megabytes long at most, and is there only
after a crash.
"""

from __future__ import annotations

from pathlib import Path
from struct import unpack_from

HEADER_SIZE = 32
FRAME_HEADER_SIZE = 24
_MAGIC = 0x377F0682
_MASK = 0xFFFFFFFF


def journal_of(path: Path) -> Path:
    """The journal beside a store's file."""
    return path.with_name(f"{path.name}-wal")


def journal_damage(path: Path) -> str:
    """What is damaged in the journal of this store, empty if nothing is that was acknowledged.

    Errors: ``OSError``.
    """
    journal = journal_of(path)
    data = journal.read_bytes() if journal.exists() else b""
    if len(data) <= HEADER_SIZE:
        return ""
    magic, _, page_size = unpack_from(">III", data)
    salt = data[16:24]
    running = _checksum((0, 0), data[:24], big=magic & 1 == 1)
    if magic & ~1 != _MAGIC or running != unpack_from(">II", data, 24):
        return f"the head of its journal {journal.name} is not what was written (bytes 0 to {HEADER_SIZE - 1})"
    if page_size < 512 or page_size & (page_size - 1):
        return f"its journal {journal.name} has pages of {page_size} bytes (bytes 8 to 11)"
    frame_size = FRAME_HEADER_SIZE + page_size
    starts = range(HEADER_SIZE, len(data) - frame_size + 1, frame_size)
    for place, start in enumerate(starts):
        running = _checksum(running, data[start : start + 8], big=magic & 1 == 1)
        running = _checksum(running, data[start + FRAME_HEADER_SIZE : start + frame_size], big=magic & 1 == 1)
        if data[start + 8 : start + 16] != salt or running != unpack_from(">II", data, start + 16):
            ends = [other for other in starts[place:] if _is_end(data, other, salt)]
            if len(ends) < 2:
                return ""
            return (
                f"frame {place + 1} of its journal {journal.name} is not what was written "
                f"(bytes {start} to {start + frame_size - 1}), and at least {len(ends) - 1} groups stand behind it"
            )
    return ""


def _is_end(data: bytes, start: int, salt: bytes) -> bool:
    """Whether a frame ends a transaction of the journal with this salt."""
    return data[start + 8 : start + 16] == salt and data[start + 4 : start + 8] != bytes(4)


def _checksum(running: tuple[int, int], data: bytes, *, big: bool) -> tuple[int, int]:
    first, second = running
    words = unpack_from(f"{'>' if big else '<'}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & _MASK
        second = (second + odd + first) & _MASK
    return first, second
