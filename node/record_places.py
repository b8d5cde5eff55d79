"""Where a disk keeps which records, and which of them a new one makes superfluous; the same for both runtimes.

Records lie at *places*, numbered upwards in the order in which they were written, never used twice. A record that
supersedes paths takes the place of all earlier records at them and below.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ledger.kernel.automaton import Path, Record


class RecordPlaces:
    """The places of the records that are needed, by path."""

    def __init__(self) -> None:
        self._places: dict[Path, list[int]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._places.values()))

    def note(self, path: Path, place: int) -> None:
        """A record with this path lies at this place."""
        self._places.setdefault(path, []).append(place)

    def below(self, prefixes: Sequence[Path]) -> list[int]:
        """The places of all records at these paths and below."""
        if not prefixes:
            return []
        return [place for path, places in self._places.items() if is_below(path, prefixes) for place in places]

    def take_below(self, prefixes: Sequence[Path]) -> list[int]:
        """The same, and no record at these paths or below is needed any more."""
        if not prefixes:
            return []
        taken = [path for path in self._places if is_below(path, prefixes)]
        return [place for path in taken for place in self._places.pop(path)]


def is_below(path: Path, prefixes: Iterable[Path]) -> bool:
    """Whether the path is one of these or goes on from one."""
    return any(path[: len(prefix)] == prefix for prefix in prefixes)


def unsuperseded(records: Sequence[Record]) -> list[Record]:
    """The records that none behind them supersedes, in order."""
    prefixes: dict[Path, None] = {}
    needed = []
    for record in reversed(records):
        if not is_below(record.path, prefixes):
            needed.append(record)
        prefixes.update(dict.fromkeys(record.supersedes))
    return needed[::-1]
