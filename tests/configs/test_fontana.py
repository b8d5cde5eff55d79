"""The shipped readings are what their README says: shape, bounds and the table of three weeks."""

import csv
import hashlib
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "configs" / "data"
DATA = FOLDER / "fontana-2016-2017.csv"
HOMES = [f"home{number}" for number in (*range(1, 14), 16, 17)]
HOURS = 8760


@pytest.fixture(scope="module")
def columns() -> dict[str, list[int]]:
    """Column name -> its 8760 integers."""
    with DATA.open() as file:
        header, *rows = csv.reader(file)
    return {name: [int(text) for text in cells] for name, cells in zip(header, zip(*rows, strict=True), strict=True)}


def test_the_file_is_the_one_that_the_recipe_makes():
    expected = "32d3f1433be30140cb76b2d480dcce9eeea75e4c91099c2894d3caaa4f589c68"
    assert hashlib.sha256(DATA.read_bytes()).hexdigest() == expected


def test_there_are_fifteen_homes_and_the_hours_of_a_year(columns):
    assert list(columns) == ["hour", *(f"{home}.{kind}_wh" for home in HOMES for kind in ("load", "generation"))]
    assert columns["hour"] == list(range(HOURS))
    assert {len(column) for column in columns.values()} == {HOURS}


def test_no_home_draws_or_generates_less_than_nothing_or_more_than_a_connection_carries(columns):
    assert min(min(column) for column in columns.values()) == 0
    assert max(max(columns[f"{home}.load_wh"]) for home in HOMES) == 8846
    assert max(max(columns[f"{home}.generation_wh"]) for home in HOMES) == 4780


def test_the_panels_sleep_at_night_by_the_stated_time(columns):
    begin = datetime.fromisoformat("2016-07-31T23:00")
    lit = {
        (begin + timedelta(hours=hour)).hour
        for home in HOMES
        for hour, energy in enumerate(columns[f"{home}.generation_wh"])
        if energy > 0
    }
    assert lit == set(range(5, 19))


def week(columns: dict[str, list[int]], number: int) -> tuple[int, int, int, int]:
    """Surplus, deficit and what one pool could match, in Wh, and the hours with more deficit than surplus."""
    surplus = deficit = matchable = short = 0
    for hour in range(1 + 168 * number, 169 + 168 * number):
        net = [
            columns[f"{home}.generation_wh"][(hour - 12 if place >= 10 else hour) % HOURS]
            - columns[f"{home}.load_wh"][hour]
            for place, home in enumerate(HOMES)
        ]
        over, under = sum(x for x in net if x > 0), -sum(x for x in net if x < 0)
        surplus, deficit, matchable, short = (
            surplus + over,
            deficit + under,
            matchable + min(over, under),
            short + (under > over),
        )
    return surplus, deficit, matchable, short


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (45, (1_556_434, 2_178_803, 1_323_359, 110)),
        (48, (1_099_884, 2_731_965, 1_023_216, 146)),
        (24, (442_413, 2_781_687, 376_388, 153)),
    ],
)
def test_the_weeks_add_up_to_the_table(columns, number, expected):
    assert week(columns, number) == expected


def test_the_recipe_refuses_another_wheel(tmp_path):
    (tmp_path / "other.whl").write_bytes(b"not the wheel")
    ran = subprocess.run(
        [sys.executable, FOLDER / "extract.py", tmp_path / "other.whl"], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "not the wheel of citylearn 2.1.2" in ran.stderr
