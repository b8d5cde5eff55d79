"""Drafts: changes to a state that may still be undone.

A draft lies over a state or over another draft and remembers what was written. Undoing is forgetting it; ``commit``
hands its writes to the draft below. Keys and values are checked as they are written, so what can't be stored fails
where it is written, and not when the block is made.
"""

from __future__ import annotations

from typing import Any

from ledger.kernel.encoding import Plain, pack
from ledger.kernel.rejection import require
from wasp.state import KeyReader, StateKey, path_of

_KEY_TYPES = frozenset((str, int))
_REMOVED: tuple[Plain, bytes | None] = (None, None)


class Draft:
    """Reads fall through to what lies below, writes stay here."""

    __slots__ = ("_below", "written")

    def __init__(self, below: KeyReader) -> None:
        self._below = below
        self.written: dict[StateKey, tuple[Plain, bytes | None]] = {}

    def value_at(self, key: StateKey) -> Any:
        """The plain value at this key, None where nothing stands."""
        found = self.written.get(key)
        return self._below.value_at(key) if found is None else found[0]

    def write(self, key: StateKey, value: Plain) -> int:
        """Put a value at this key (None removes it); how many bytes it takes.

        Errors: ``Rejected("unpackable", ...)`` for a value that is not plain, or too large; ``Rejected("key", ...)`` for a
        key that is too long, or has other parts than strings and integers.
        """
        require(_KEY_TYPES.issuperset(map(type, key)), "key", "a key is made of strings and integers")
        path_of(key)
        if value is None:
            self.written[key] = _REMOVED
            return 0
        packed = pack(value)
        self.written[key] = (value, packed)
        return len(packed)

    def commit(self) -> None:
        """Hand the writes to the draft below; this one must not be used again."""
        assert isinstance(self._below, Draft), "only a draft takes writes"
        self._below.written.update(self.written)
