"""The calendar of a market, and what no market can be."""

from __future__ import annotations

import pytest

from ledger.kernel.instant import HOUR, MINUTE
from ledger.kernel.rejection import Rejected
from market.bidders.bidder import Session
from market.parameters import Home, MarketPlace
from market.units import Tariff
from tests.harness.market_bench import TARIFF, market_of


def test_the_calendar_counts_back_from_the_delivery():
    market = market_of(3, first_delivery=2 * HOUR, intervals=5)
    assert market.delivery(3) == 5 * HOUR
    assert market.opening_at(3) == 5 * HOUR - 30 * MINUTE
    assert [market.gate_at(3, level) for level in range(3)] == [5 * HOUR - minutes * MINUTE for minutes in (20, 18, 16)]
    assert [market.round_end(3, number) for number in (1, 2, 3)] == [5 * HOUR - m * MINUTE for m in (22, 21, 20)]
    assert market.readings_from(3) == 6 * HOUR
    assert market.metering_at(3) == 6 * HOUR + 5 * MINUTE
    assert market.session("mg", 3) == Session(bytes(32), "mg", 3, TARIFF)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"interval_length": 0}, "interval_length is 0s, more than 0s expected"),
        ({"intervals": 0}, "intervals is 0, at least 1"),
        ({"rounds": 0}, "rounds is 0, at least 1"),
        ({"round_length": 0}, "round_length is 0s, more than 0s expected"),
        ({"delegated_rounds": 0}, "delegated_rounds is 0, 1 to 20"),
        ({"delegated_rounds": 21}, "delegated_rounds is 21, 1 to 20"),
        ({"tariff": Tariff(10**8 + 1, 0)}, "the grid's buy price is 100000001, at most 100000000"),
        ({"tolerance": -1}, "tolerance is -1, at least 0"),
        ({"reading_grace": 0}, "reading_grace is 0s, more than 0s expected"),
        ({"residual_grace": 0}, "residual_grace is 0s, more than 0s expected"),
        ({"clock_margin": -1}, "clock_margin is -1us, at least 0s"),
        ({"debt_max": -1}, "debt_max is -1 micro-pence, at least 0"),
        ({"intervals_kept": 0}, "intervals_kept is 0, at least 1"),
        ({"gates": ()}, "gates has 0 levels, 1 to 16"),
        ({"gates": tuple(range(17, 0, -1))}, "gates has 17 levels, 1 to 16"),
        ({"gates": (MINUTE, MINUTE)}, "the gates are 1m, 1m before delivery, falling spans expected"),
        ({"gates": (MINUTE, -1)}, "the last gate is 1us after delivery begins"),
        (
            {"opening": 23 * MINUTE - 1},
            "opening is 22m59s999ms999us before delivery, at least 23m expected: 3 rounds of 1m before the gate at 20m",
        ),
        ({"first_delivery": 30 * MINUTE - 1}, "first_delivery is 29m59s999ms999us, at least 30m"),
        (
            {"opening": 80 * MINUTE + 1, "first_delivery": 2 * HOUR},
            "the market takes 1h1us from its opening to its last gate, at most 1h",
        ),
    ],
)
def test_a_market_that_cannot_be_is_refused_with_the_numbers(changes, problem):
    with pytest.raises(Rejected) as caught:
        market_of(**changes)
    assert caught.value.code == "bad_market"
    assert problem in caught.value.detail


@pytest.mark.parametrize(
    "changes",
    [
        {"tariff": Tariff(10**8, 0)},
        {"delegated_rounds": 1},
        {"delegated_rounds": 20},
        {"gates": (2, 1, 0)},
        {"gates": tuple(range(16, 0, -1))},
        {"opening": 23 * MINUTE},
        {"first_delivery": 30 * MINUTE},
        {"opening": 80 * MINUTE, "first_delivery": 80 * MINUTE},
        {"rounds": 1, "round_length": 1, "tolerance": 0, "debt_max": 0, "clock_margin": 0, "intervals_kept": 1},
    ],
)
def test_a_market_at_the_bounds_is_one(changes):
    assert market_of(**changes).intervals == 1


def test_all_problems_are_told_at_once():
    with pytest.raises(Rejected) as caught:
        market_of(rounds=0, intervals=0)
    assert "rounds is 0" in caught.value.detail and "intervals is 0" in caught.value.detail


def test_gates_closer_than_two_confirmations_are_worth_a_warning():
    market = market_of(3)
    assert market.warnings(MINUTE) == ()
    assert market.warnings(MINUTE + 1) == tuple(
        f"the gates of levels {level} and {level + 1} are 2m apart, "
        "at least 2m2us expected: twice the time of a confirmation"
        for level in (0, 1)
    )


def test_a_place_knows_the_connections_of_its_homes():
    place = MarketPlace("mg", 0, homes=(Home("b", 7), Home("a", 5)))
    assert place.connections == {"b": 7, "a": 5}
