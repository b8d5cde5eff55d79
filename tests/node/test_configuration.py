"""Fields of a configuration: durations, prices, homes."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ledger.kernel.instant import format_duration
from node.configuration import (
    DURATION_MAX,
    Configuration,
    ConsensusSection,
    DataSection,
    HardwareSection,
    HomeSection,
    MarketSection,
    NetworkSection,
    parse_duration,
)

HOUR, MINUTE, SECOND, MILLISECOND = 3_600_000_000, 60_000_000, 1_000_000, 1_000


@given(st.integers(min_value=0, max_value=DURATION_MAX))
def test_a_duration_is_read_back_as_it_was_written(duration):
    assert parse_duration(format_duration(duration)) == duration


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("90s", 90 * SECOND), ("1h30m", 90 * MINUTE), ("25ms", 25 * MILLISECOND), ("100us", 100), ("2d", 48 * HOUR),
        ("0s", 0), (" 5m ", 5 * MINUTE), ("1m1ms", MINUTE + MILLISECOND), ("3660d", DURATION_MAX),
    ],
)  # fmt: skip
def test_durations_have_units(text, duration):
    assert parse_duration(text) == duration


@pytest.mark.parametrize(
    "text", ["", "5", "s", "1.5h", "-1s", "1 h", "1h 30m", "5 minutes", "٣s", 5, None, True, ["1s"]]
)
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match='expected a duration such as "90s"'):
        parse_duration(text)


def test_a_duration_beyond_ten_years_is_refused():
    with pytest.raises(ValueError, match="at most 3660d"):
        parse_duration("3660d1us")


@pytest.mark.parametrize(("text", "timeout"), [("off", None), ("1h30m", 90 * MINUTE), ("1us", 1)])
def test_a_timeout_is_a_duration_or_off(text, timeout):
    section = ConsensusSection(view_timeout=text, attempt_timeout=text)
    assert (section.view_timeout, section.attempt_timeout) == (timeout, timeout)
    dumped = section.model_dump(mode="json")
    assert dumped["view_timeout"] == text and ConsensusSection(**dumped) == section


@pytest.mark.parametrize("text", ["0s", "on", "never", 2, False, None])
def test_what_is_no_timeout_is_refused(text):
    with pytest.raises(ValidationError, match='expected "off", or a duration'):
        ConsensusSection(view_timeout=text)


@pytest.mark.parametrize(
    ("duration", "text"), [(0, "0s"), (1, "1us"), (90 * MINUTE, "1h30m"), (25 * HOUR + 1_001, "1d1h1ms1us")]
)
def test_the_shortest_text_is_written(duration, text):
    assert format_duration(duration) == text


@pytest.mark.parametrize(
    ("given_rate", "rate"),
    [
        (150_000, 150_000), ("150k", 150_000), (" 1G ", 10**9), ("1000", 1_000), ("1000000G", 10**15),
        ("unlimited", "unlimited"),
    ],
)  # fmt: skip
def test_a_bandwidth_is_a_number_of_bits_per_second_or_unlimited(given_rate, rate):
    section = NetworkSection(bandwidth=given_rate)
    assert section.bandwidth == rate
    assert NetworkSection.model_validate(section.model_dump(mode="json")) == section


@pytest.mark.parametrize("rate", [999, "0k", "1000001G", "fast", "1m", "1.5M", -1, 1e6, True, []])
def test_what_is_no_bandwidth_is_refused(rate):
    with pytest.raises(ValidationError, match="expected bits per second from 1000 to 1000000000000000, such as"):
        NetworkSection(bandwidth=rate)


def test_a_disk_that_is_not_named_goes_with_the_cpu():
    switches = [(cpu, disk) for cpu in (True, False) for disk in (None, True, False)]
    assert [HardwareSection(cpu=cpu, disk=disk).has_disk for cpu, disk in switches] == [
        True, True, False, False, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given_price", "price"), [(18.9, "18.9"), ("18.9", "18.9"), (3, "3"), (0, "0"), (0.001, "0.001")]
)
def test_a_price_is_a_decimal_number(given_price, price):
    market = MarketSection(grid_charges=given_price, grid_pays=1)  # type: ignore[arg-type]
    assert market.grid_charges == Decimal(price)


@pytest.mark.parametrize("price", ["x", True, None, float("nan"), float("inf"), -1, 0.0001, [3]])
def test_what_is_no_price_is_refused(price):
    with pytest.raises(ValidationError, match="expected a price in p/kWh"):
        MarketSection(grid_charges=price, grid_pays=1)  # type: ignore[arg-type]


def test_a_home_s_name_alone_stands_for_its_data_too():
    assert HomeSection.model_validate("home7") == HomeSection(name="home7", data="home7")


@pytest.mark.parametrize("column", ["load", "{house}.load", "{}"])
def test_a_column_must_name_the_home(column):
    with pytest.raises(ValidationError, match="expected a column name with"):
        DataSection(file="x.csv", load_column=column)


def test_a_configuration_is_read_back_from_its_dump():
    document = {
        "scenario": {"name": "x", "drain_max": "90s"},
        "data": {"file": "x.csv"},
        "market": {"grid_charges": 18.9, "grid_pays": 3.2},
        "chains": [{"name": "mg", "homes": ["h1", {"name": "h2", "data": "x", "generation_shift": "1h"}]}],
        "ledger": {"nodes": 2, "topology": "given", "links": [[1, 2]], "pow_window": "5s"},
        "faults": [{"at": "1h1us", "kind": "pause", "nodes": ["h1"], "duration": "3s"}],
    }
    configuration = Configuration.model_validate(document)
    assert Configuration.model_validate(configuration.model_dump(mode="json")) == configuration
