from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.kernel.encoding import Codec, encode
from ledger.kernel.rejection import Rejected
from market.units import (
    AMOUNT_MAX,
    Tariff,
    energy_of,
    kilowatt_hours,
    pence,
    pence_per_kilowatt_hour,
    price_of,
)


def rejection(function, *arguments):
    with pytest.raises(Rejected) as caught:
        function(*arguments)
    return caught.value.code


def test_the_papers_prices_are_whole_numbers_of_micro_pence_per_watt_hour():
    assert (price_of("18.9"), price_of("3.2"), price_of(Decimal("11.05"))) == (18_900, 3_200, 11_050)


def test_energy_is_written_in_kilowatt_hours_and_counted_in_watt_hours():
    assert (energy_of("0.42"), energy_of(3), energy_of("1e2"), energy_of("0")) == (420, 3_000, 100_000, 0)


@pytest.mark.parametrize("amount", ["0.0001", "18.9005", "1e-4", "1e-9999999", "0." + "3" * 80])
def test_what_is_finer_than_the_unit_is_refused_by_name(amount):
    assert rejection(price_of, amount) == "too_fine"
    assert rejection(energy_of, amount) == "too_fine"


def test_zeros_behind_the_unit_are_not_finer_than_it():
    assert price_of("18.9" + "0" * 90) == 18_900


@pytest.mark.parametrize("amount", ["", "abc", "nan", "inf", "1,5", "0x10"])
def test_what_is_no_number_is_refused_by_name(amount):
    assert rejection(price_of, amount) == "not_a_number"


@pytest.mark.parametrize("amount", ["-0.001", "1e13", str(AMOUNT_MAX + 1), "1e999999999"])
def test_what_no_market_has_is_refused_by_name(amount):
    assert rejection(energy_of, amount) == "out_of_range"


def test_the_largest_amount_is_taken():
    assert energy_of(AMOUNT_MAX) == AMOUNT_MAX * 1000


@given(st.integers(0, AMOUNT_MAX * 1000))
def test_what_is_shown_is_read_back_as_it_was(number):
    assert price_of(pence_per_kilowatt_hour(number)) == number
    assert energy_of(str(kilowatt_hours(number))) == number


def test_amounts_are_shown_with_all_their_places():
    assert str(pence_per_kilowatt_hour(18_900)) == "18.900"
    assert str(kilowatt_hours(-420)) == "-0.420"
    assert str(pence(-1_500_000)) == "-1.500000"


def test_a_tariff_leaves_room_for_a_price_strictly_inside():
    assert (Tariff(2, 0).lowest_price, Tariff(2, 0).highest_price) == (1, 1)
    assert rejection(Tariff, 1, 0) == "bad_tariff"


def test_the_grid_never_takes_money_for_taking_energy():
    assert rejection(Tariff, 5, -1) == "bad_tariff"


def test_a_price_outside_is_clamped_to_one_micro_penny_inside_the_reserves():
    tariff = Tariff(18_900, 3_200)
    assert [tariff.clamp(price) for price in (0, 3_200, 3_201, 9_000, 18_899, 18_900, 99_999)] == [
        3_201,
        3_201,
        3_201,
        9_000,
        18_899,
        18_899,
        18_899,
    ]


def test_a_tariff_that_comes_in_is_checked_like_one_that_is_made():
    codec = Codec(Tariff)
    assert codec.decode(encode(Tariff(18_900, 3_200))) == Tariff(18_900, 3_200)
    assert rejection(codec.decode, encode(Tariff(10, 8)).replace(b"\x0a\x08", b"\x09\x08")) == "bad_tariff"
