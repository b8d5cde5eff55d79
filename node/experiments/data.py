"""The households' energy: reads a CSV file through an explicit column map.

One row per step of time, one column of load and one of generation per home, in Wh or kWh. Each value is rounded half up to
whole Wh, load and generation apart; netting comes after. A shift of generation by s means generation(t - s) of the whole
series, which is taken as a circle.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import lru_cache
from pathlib import Path

from ledger.kernel.encoding import Frozen
from node.configuration import ConfigurationError, DataSection

ENERGY_MAX = 10**9
"""Wh of one home in one step: anything larger is a mistake of units."""


class HouseholdSeries(Frozen):
    """Wh per delivery interval of one home, from the scenario's first interval on."""

    load: tuple[int, ...]
    generation: tuple[int, ...]


class HomeData(Frozen):
    """Which columns a home reads, and by how many rows its generation is shifted."""

    data: str
    shift_rows: int


def load_households(
    path: Path, section: DataSection, homes: Mapping[str, HomeData], intervals: int, parts: int = 1
) -> dict[str, HouseholdSeries]:
    """The series of the homes, by home.

    ``parts``: delivery intervals per row; a row's energy is split evenly, what does not divide goes to the first parts.

    Errors: ``ConfigurationError`` that names the file, the row and the column.
    """
    header, rows = _read(path)
    places = {name: place for place, name in enumerate(header)}
    wanted = {
        home: (section.load_column.format(home=entry.data), section.generation_column.format(home=entry.data))
        for home, entry in homes.items()
    }
    missing = sorted({column for pair in wanted.values() for column in pair if column not in places})
    if missing:
        raise ConfigurationError([f"{path}:1: column {column!r} is missing" for column in missing])
    count = -(-intervals // parts)
    if section.first_row + count > len(rows):
        raise ConfigurationError(
            [
                f"{path}: has {len(rows)} rows, the scenario needs rows {section.first_row} to {section.first_row + count - 1}"
            ]
        )
    problems: list[str] = []
    columns: dict[str, list[int]] = {}
    for column in sorted({column for pair in wanted.values() for column in pair}):
        columns[column] = _column(path, rows, column, places[column], section.unit, problems)
    if problems:
        raise ConfigurationError(problems[:20])
    series = {}
    for home, (load_column, generation_column) in wanted.items():
        load, generation, shift = columns[load_column], columns[generation_column], homes[home].shift_rows
        window = range(section.first_row, section.first_row + count)
        series[home] = HouseholdSeries(
            _split([load[row] for row in window], parts, intervals),
            _split([generation[(row - shift) % len(rows)] for row in window], parts, intervals),
        )
    return series


def worst_day(path: Path, section: DataSection, data: str, rows_per_day: int) -> int:
    """The largest Wh that the home with this data takes or gives in any window of one day of the whole file."""
    header, rows = _read(path)
    problems: list[str] = []
    totals = []
    for name in (section.load_column.format(home=data), section.generation_column.format(home=data)):
        if name not in header:
            raise ConfigurationError([f"{path}:1: column {name!r} is missing"])
        values = _column(path, rows, name, header.index(name), section.unit, problems)
        totals += [sum(values[i : i + rows_per_day]) for i in range(0, len(values), rows_per_day)]
    if problems:
        raise ConfigurationError(problems[:20])
    return max(totals)


@lru_cache(maxsize=4)
def _read(path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            table = list(csv.reader(file))
    except OSError as error:
        raise ConfigurationError([f"{path}: can't be read: {error.strerror}"]) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError([f"{path}: not a CSV file in UTF-8: {error}"]) from None
    if len(table) < 2:
        raise ConfigurationError([f"{path}: expected a header row and at least one row of data"])
    return table[0], table[1:]


def _column(
    path: Path, rows: Sequence[Sequence[str]], name: str, place: int, unit: str, problems: list[str]
) -> list[int]:
    factor = Decimal(1000 if unit == "kWh" else 1)
    values = []
    for i, row in enumerate(rows):
        text = row[place] if place < len(row) else ""
        try:
            energy = int((Decimal(text) * factor).to_integral_value(ROUND_HALF_UP))
        except (InvalidOperation, ValueError, OverflowError):
            energy = -1
        if not 0 <= energy <= ENERGY_MAX:
            problems.append(f"{path}:{i + 2}: column {name!r}: expected energy in {unit} from 0 up, not {text!r}")
            energy = 0
        values.append(energy)
    return values


def _split(energies: Sequence[int], parts: int, intervals: int) -> tuple[int, ...]:
    split = [energy // parts + (part < energy % parts) for energy in energies for part in range(parts)]
    return tuple(split[:intervals])
