"""Households' energy from a file: units, rounding, shift, parts, and every way in which a file can be wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.configuration import ConfigurationError, DataSection, FieldProblem
from node.household_data import ENERGY_MAX, PROBLEMS_MAX, HomeData, HouseholdSeries, load_households


@pytest.fixture
def read(tmp_path):
    """Reads a text as one home's file."""

    def read_text(text, intervals=1, shift=0, parts=1, **fields):
        path = tmp_path / "x.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        section = DataSection(file="x.csv", **fields)
        return load_households(path, section, {"h": HomeData("h", shift)}, intervals, parts).series["h"]

    return read_text


@pytest.fixture
def problems_of(read, tmp_path):
    """What is told about a text."""

    def problems(text, *arguments, **fields):
        with pytest.raises(ConfigurationError) as raised:
            read(text, *arguments, **fields)
        return [p if isinstance(p, FieldProblem) else p.replace(f"{tmp_path}/", "") for p in raised.value.problems]

    return problems


HEADER = "hour,h.load_wh,h.generation_wh\n"


def test_a_home_reads_its_two_columns(read):
    assert read(HEADER + "0,10,20\n1,30,40\n", intervals=2) == HouseholdSeries((10, 30), (20, 40), 60)


def test_the_first_row_may_be_a_later_one(read):
    assert read(HEADER + "0,10,20\n1,30,40\n2,50,60\n", first_row=1) == HouseholdSeries((30,), (40,), 120)


def test_columns_are_named_by_the_map(read):
    text = "{x} up,h down\n5,6\n"
    assert read("h {x} up,h down\n5,6\n", load_column="{home} {x} up", generation_column="{home} down").load == (5,)
    assert text.startswith("{x}")


@pytest.mark.parametrize(
    ("text", "unit", "energy"),
    [
        ("0.4", "Wh", 0), ("0.5", "Wh", 1), ("1.5", "Wh", 2), ("2.5", "Wh", 3), ("2.4999", "Wh", 2), ("-0", "Wh", 0),
        ("0.4205", "kWh", 421), ("0.4204", "kWh", 420), ("1", "kWh", 1000), ("1e2", "Wh", 100), (" 7 ", "Wh", 7),
        (str(ENERGY_MAX), "Wh", ENERGY_MAX), ("1000000", "kWh", ENERGY_MAX),
    ],
)  # fmt: skip
def test_energy_is_rounded_half_up_to_whole_wh(read, text, unit, energy):
    assert read(f"h.load_wh,h.generation_wh\n{text},0\n", unit=unit).load == (energy,)


@pytest.mark.parametrize(
    "text",
    ["", "x", "-1", "-0.001", "nan", "inf", "1e999999", "1e99999999999999999999", "1_000", "1,5", str(ENERGY_MAX + 1)],
)
def test_a_bad_cell_is_told_with_file_line_and_column(problems_of, text):
    cell = f'"{text}"' if "," in text else text
    assert problems_of(f"h.load_wh,h.generation_wh\n1,2\n3,{cell}\n") == [
        f"x.csv:3: column 'h.generation_wh': expected energy in Wh from 0 up, not {text!r}"
    ]


def test_the_unit_is_the_configuration_s(problems_of):
    assert problems_of(HEADER + "0,1000001,0\n", unit="kWh") == [
        "x.csv:2: column 'h.load_wh': expected energy in kWh from 0 up, not '1000001'"
    ]


def test_a_bad_cell_outside_the_scenario_s_time_is_told_too(problems_of):
    assert len(problems_of(HEADER + "0,1,1\n1,x,1\n")) == 1


def test_a_short_row_and_a_quoted_line_break_keep_their_lines(problems_of):
    assert problems_of('note,h.load_wh,h.generation_wh\n"a\nb",1,2\nc,3\n') == [
        "x.csv:4: column 'h.generation_wh': expected energy in Wh from 0 up, not ''"
    ]


def test_all_bad_cells_are_told_up_to_a_limit(problems_of):
    assert len(problems_of(HEADER + "0,x,1\n" * PROBLEMS_MAX)) == PROBLEMS_MAX
    problems = problems_of(HEADER + "0,x,1\n" * (PROBLEMS_MAX + 2))
    assert problems[PROBLEMS_MAX:] == ["x.csv: and 2 more"]


def test_missing_and_repeated_columns_are_told_at_once(problems_of):
    assert problems_of("h.load_wh,h.load_wh,other\n1,2,3\n") == [
        "x.csv:1: column 'h.load_wh' is there 2 times: expected it once",
        "x.csv:1: column 'h.generation_wh' is missing",
        "x.csv:1: the columns found are 'h.load_wh', 'h.load_wh', 'other'",
    ]
    assert len(problems_of("h.load_wh,h.load_wh,h.generation_wh\n1,2,3\n")) == 1


def test_at_most_eight_columns_are_shown_in_place_of_a_missing_one(problems_of):
    header = ",".join(f"c{i}" for i in range(9))
    shown = ", ".join(f"'c{i}'" for i in range(8))
    assert problems_of(f"{header}\n{header}\n") == [
        "x.csv:1: column 'h.generation_wh' is missing",
        "x.csv:1: column 'h.load_wh' is missing",
        f"x.csv:1: the columns found are {shown}, ...",
    ]
    assert problems_of(f"{header[:-3]}\n1\n")[-1] == f"x.csv:1: the columns found are {shown}"


def test_another_delimiter_is_named(problems_of):
    told = ["x.csv:1: the header has ';' and no comma: expected commas between the cells"]
    assert problems_of("h.load_wh;h.generation_wh\n1;2\n") == told
    assert problems_of("h.load_wh;x,y\n1,2\n") != told


def test_a_row_with_more_cells_than_the_header_is_told(problems_of):
    assert problems_of(HEADER + "0,1,2\n0,1,5,2\n") == [
        "x.csv:3: the row has 4 cells: expected at most 3, as the header has"
    ]
    assert problems_of(HEADER + "0,1,2,3\n" * (PROBLEMS_MAX + 1))[PROBLEMS_MAX:] == ["x.csv: and 1 more"]


def test_too_few_rows_blame_the_field(problems_of, tmp_path):
    text = HEADER + "0,1,1\n1,1,1\n"
    expected = f"{tmp_path}/x.csv has 2 rows of data; rows 1 to 2 are needed, counted from 0"
    assert problems_of(text, 2, first_row=1) == [FieldProblem(("data", "first_row"), expected)]


def test_exactly_enough_rows_are_enough(read):
    assert read(HEADER + "0,1,1\n1,2,2\n2,3,3\n", 2, first_row=1).load == (2, 3)


@pytest.mark.parametrize("text", ["", HEADER, "\n\n", HEADER + "\n\n"])
def test_a_file_without_data_is_told(problems_of, text):
    assert problems_of(text) == ["x.csv: expected a header row and at least one row of data"]


def test_blank_lines_at_the_end_and_a_byte_order_mark_are_no_problem(read):
    assert read("\ufeff" + "h.load_wh,h.generation_wh\n1,2\n\n\n").generation == (2,)


def test_a_blank_line_within_the_data_is_a_hole(problems_of):
    assert len(problems_of(HEADER + "0,1,2\n\n0,1,2\n")) == 2


@pytest.mark.parametrize("text", [b"h.load_wh\n\xff\xfe\n", b"h.load_wh\n" + b"1" * 200_000 + b"\n"])
def test_what_is_no_csv_file_is_told(problems_of, text):
    (problem,) = problems_of(text)
    assert problem.startswith("x.csv: expected a CSV file in UTF-8: ")


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigurationError, match=r"none\.csv: can't be read: No such file or directory"):
        load_households(tmp_path / "none.csv", DataSection(file="none.csv"), {}, 1)


@pytest.mark.parametrize(
    ("loads", "unit", "counted"),
    [
        (("0.4", "0.3", "7"), "Wh", "2 of 3"), (("0.4", "7", "0"), "Wh", None), (("0.4", "0", "0.0"), "Wh", "1 of 1"),
        (("0", "0", "0e3"), "Wh", None), (("0.4", "0.3", "7"), "kWh", None), (("0.4", "0.3", "0.5"), "Wh", "2 of 3"),
    ],
)  # fmt: skip
def test_most_readings_rounded_to_nothing_are_worth_a_warning(tmp_path, loads, unit, counted):
    path = tmp_path / "x.csv"
    path.write_text(HEADER + "".join(f"0,{load},0\n" for load in loads))
    section = DataSection(file="x.csv", unit=unit)
    told = f'x.csv: {counted} readings above zero are rounded to 0 Wh: is data.unit = "Wh" right?'
    assert load_households(path, section, {"h": HomeData("h", 0)}, 1).warnings == ((told,) if counted else ())


# --------------------------------------------------------------------------------------------------------- shift, parts


def test_a_shift_takes_the_generation_of_earlier_rows_as_in_a_circle(read):
    text = HEADER + "".join(f"{row},{row},{row * 10}\n" for row in range(5))
    assert read(text, intervals=5, shift=2) == HouseholdSeries((0, 1, 2, 3, 4), (30, 40, 0, 10, 20), 100)
    assert read(text, intervals=2, shift=2, first_row=3).generation == (10, 20)
    assert read(text, intervals=2, shift=7, first_row=3) == read(text, intervals=2, shift=2, first_row=3)


def test_a_row_is_split_among_its_intervals_and_the_first_take_what_does_not_divide(read):
    text = HEADER + "0,11,4\n1,3,0\n"
    series = read(text, intervals=7, parts=4)
    assert series == HouseholdSeries((3, 3, 3, 2, 1, 1, 1), (1, 1, 1, 1, 0, 0, 0), 14)


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=6), st.integers(1, 8))
def test_splitting_loses_nothing(tmp_path_factory, energies, parts):
    path = tmp_path_factory.mktemp("data") / "x.csv"
    path.write_text("h.load_wh,h.generation_wh\n" + "".join(f"{energy},0\n" for energy in energies))
    homes = {"h": HomeData("h", 0)}
    load = load_households(path, DataSection(file="x.csv"), homes, len(energies) * parts, parts).series["h"].load
    assert [sum(load[i * parts : (i + 1) * parts]) for i in range(len(energies))] == energies
    assert max(load) - min(load[: len(load)]) <= max(energies)


def test_the_worst_day_is_of_either_direction_and_of_the_whole_file(read):
    rows = [(1, 2)] * 24 + [(5, 1)] * 24 + [(1, 7)] * 3
    text = HEADER + "".join(f"0,{load},{generation}\n" for load, generation in rows)
    assert read(text).worst_day == 120
    assert read(text, step="12h").worst_day == 14
