"""The households' energy: reads a CSV file through an explicit column map.

One row per step of time, one column of load and one of generation per home, in Wh or kWh. Each value is rounded half up to
whole Wh, load and generation apart; netting comes after. A shift of generation by s means generation(t - s) of the whole
series, which is taken as a circle. Every value of a column that is used must be good, also outside the scenario's time:
shifts and the worst day look at the whole series.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

from ledger.kernel.encoding import Frozen
from ledger.kernel.instant import DAY
from node.configuration import ConfigurationError, DataSection, FieldProblem

ENERGY_MAX = 10**9
"""Wh of one home in one step: anything larger is a mistake of units."""
PROBLEMS_MAX = 20
"""Bad cells that are told: a wrong unit or column makes all of them bad."""
COLUMNS_SHOWN = 8
"""Columns of the header that are shown where one is missing."""
Row = tuple[int, list[str]]
"""The line of the file that a row ends on, and its cells."""


class HouseholdSeries(Frozen):
    """Wh per delivery interval of one home, from the scenario's first interval on."""

    load: tuple[int, ...]
    generation: tuple[int, ...]
    worst_day: int
    """The largest gross load, or gross generation, of one day of the whole file: its rows from the first on, day by day,
    before any shift.
    """


class Households(Frozen):
    """The series of all homes by name, and what is legal in the file and probably not meant."""

    series: Mapping[str, HouseholdSeries]
    warnings: tuple[str, ...] = ()


class Vanished:
    """Counts the readings above zero, and those of them that are rounded to 0 Wh: most are, where kWh are taken for Wh."""

    def __init__(self) -> None:
        self._readings = 0
        self._vanished = 0

    def count(self, energy: int) -> None:
        """A reading above zero has this many whole Wh."""
        self._readings += 1
        self._vanished += energy == 0

    def warnings(self, path: Path, unit: str) -> tuple[str, ...]:
        """A warning when more than half are gone."""
        if 2 * self._vanished <= self._readings:
            return ()
        counted = f"{self._vanished:,} of {self._readings:,} readings above zero are rounded to 0 Wh"
        return (f'{path.name}: {counted}: is data.unit = "{unit}" right?',)


class HomeData(Frozen):
    """Which columns a home reads, and by how many rows its generation is shifted."""

    data: str
    shift_rows: int


def load_households(
    path: Path, section: DataSection, homes: Mapping[str, HomeData], intervals: int, parts: int = 1
) -> Households:
    """The series of the homes.

    ``parts``: delivery intervals per row; a row's energy is split evenly, what does not divide goes to the first parts.

    Errors: ``ConfigurationError`` that names the file, the line and the column.
    """
    header, rows = _read(path)
    wanted = {
        home: (
            section.load_column.replace("{home}", entry.data),
            section.generation_column.replace("{home}", entry.data),
        )
        for home, entry in homes.items()
    }
    names = sorted({name for pair in wanted.values() for name in pair})
    _check_header(path, header, rows, names)
    count = -(-intervals // parts)
    if section.first_row + count > len(rows):
        needed = f"rows {section.first_row} to {section.first_row + count - 1} are needed, counted from 0"
        raise ConfigurationError(
            [FieldProblem(("data", "first_row"), f"{path} has {len(rows)} rows of data; {needed}")]
        )
    columns, problems, vanished = {}, list[str](), Vanished()
    for name in names:
        columns[name] = _column(path, rows, name, header.index(name), section.unit, problems, vanished)
    if problems:
        raise ConfigurationError(_some_of(path, problems))
    window = range(section.first_row, section.first_row + count)
    series, rows_per_day = {}, max(1, DAY // section.step)
    for home, (load_column, generation_column) in wanted.items():
        load, generation, shift = columns[load_column], columns[generation_column], homes[home].shift_rows
        series[home] = HouseholdSeries(
            _split([load[row] for row in window], parts, intervals),
            _split([generation[(row - shift) % len(rows)] for row in window], parts, intervals),
            max(*_days(load, rows_per_day), *_days(generation, rows_per_day)),
        )
    return Households(series, vanished.warnings(path, section.unit))


def _read(path: Path) -> tuple[list[str], list[Row]]:
    """The header and the rows; blank lines at the end are none."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            table = [(reader.line_num, row) for row in reader]
    except OSError as error:
        raise ConfigurationError([f"{path}: can't be read: {error.strerror}"]) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError([f"{path}: expected a CSV file in UTF-8: {error}"]) from None
    while table and not table[-1][1]:
        table.pop()
    if len(table) < 2:
        raise ConfigurationError([f"{path}: expected a header row and at least one row of data"])
    return table[0][1], table[1:]


def _check_header(path: Path, header: Sequence[str], rows: Sequence[Row], names: Sequence[str]) -> None:
    """Refuse a header without the columns that are needed, and rows that are longer than it."""
    if len(header) == 1 and ";" in header[0]:
        raise ConfigurationError([f"{path}:1: the header has ';' and no comma: expected commas between the cells"])
    missing = [f"{path}:1: column {name!r} is missing" for name in names if name not in header]
    twice = [
        f"{path}:1: column {name!r} is there {header.count(name)} times: expected it once"
        for name in names
        if header.count(name) > 1
    ]
    if missing or twice:
        shown = f"{path}:1: the columns found are {_shown(header)}"
        raise ConfigurationError([*twice, *_some_of(path, missing), *([shown] if missing else [])])
    wide = [
        f"{path}:{line}: the row has {len(row)} cells: expected at most {len(header)}, as the header has"
        for line, row in rows
        if len(row) > len(header)
    ]
    if wide:
        raise ConfigurationError(_some_of(path, wide))


def _shown(header: Sequence[str]) -> str:
    return ", ".join(map(repr, header[:COLUMNS_SHOWN])) + (", ..." if len(header) > COLUMNS_SHOWN else "")


def _some_of(path: Path, problems: Sequence[str]) -> list[str]:
    more = [f"{path}: and {len(problems) - PROBLEMS_MAX} more"] if len(problems) > PROBLEMS_MAX else []
    return [*problems[:PROBLEMS_MAX], *more]


def _column(
    path: Path, rows: Sequence[Row], name: str, place: int, unit: str, problems: list[str], vanished: Vanished
) -> list[int]:
    """Whole Wh of one column; what is bad is 0 and a problem."""
    places = 3 if unit == "kWh" else 0
    values = []
    for line, row in rows:
        text = row[place] if place < len(row) else ""
        energy = _energy(text, places)
        if energy is None:
            problems.append(f"{path}:{line}: column {name!r}: expected energy in {unit} from 0 up, not {text!r}")
        elif energy or any(digit in "123456789" for digit in text.lower().partition("e")[0]):
            vanished.count(energy)
        values.append(energy or 0)
    return values


def _energy(text: str, places: int) -> int | None:
    """Wh, rounded half up; none for what is no energy."""
    try:
        energy = Decimal(text).scaleb(places)
    except ArithmeticError:
        return None
    if not energy.is_finite() or not 0 <= energy <= ENERGY_MAX or "_" in text:
        return None
    return int(energy.to_integral_value(ROUND_HALF_UP))


def _days(energies: Sequence[int], rows_per_day: int) -> Iterator[int]:
    return (sum(energies[i : i + rows_per_day]) for i in range(0, len(energies), rows_per_day))


def _split(energies: Sequence[int], parts: int, intervals: int) -> tuple[int, ...]:
    split = [energy // parts + (part < energy % parts) for energy in energies for part in range(parts)]
    return tuple(split[:intervals])
