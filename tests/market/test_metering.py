"""Readings, metered against ordered, and debts."""

from __future__ import annotations

import pytest

from ledger.kernel.instant import MINUTE
from market.book import MeteredRow, MeteringRow
from market.clearing import Strict
from market.orders import ASK, BID
from tests.harness.market_bench import CONNECTION, FUNDS, TARIFF, MarketBench, market_of

BUY, SELL = TARIFF.buy_price, TARIFF.sell_price
HOMES = ("a", "b", "c", "d")


def alone(**changes):
    funds = changes.pop("funds", FUNDS)
    utility_funds = changes.pop("utility_funds", FUNDS)
    return MarketBench({"mg": None}, {"mg": HOMES}, market_of(**changes), funds, utility_funds)


def to_readings(bench, interval=0):
    bench.solo.advance_to(bench.market.readings_from(interval))


def test_imbalance_is_bought_dear_and_sold_cheap_also_against_the_own_side():
    bench = alone()
    bench.orders(0, {"a": (BID, 300, 9_000), "b": (ASK, 200, 5_000), "c": (ASK, 100, 6_000)})
    to_readings(bench)
    for home, net in (("a", -250), ("b", 150), ("c", 130), ("d", -40)):
        assert bench.reading(home, 0, net).succeeded
    bench.drain()
    bench.check()
    assert bench.metered("a") == MeteredRow(-250, 50, 50 * SELL, False)
    assert bench.metered("b") == MeteredRow(150, -50, -50 * BUY, False)
    assert bench.metered("c") == MeteredRow(130, 30, 30 * SELL, False)
    assert bench.metered("d") == MeteredRow(-40, -40, -40 * BUY, False)
    assert bench.metering("mg") == MeteringRow(290, 280, 0, 90, 80, 0)
    assert bench.solo.balance("mg", "utility") == FUNDS + 90 * BUY - 80 * SELL


def test_a_single_watt_hour_of_imbalance_counts_either_way():
    bench = alone()
    to_readings(bench)
    assert bench.reading("a", 0, 1).succeeded and bench.reading("b", 0, -1).succeeded
    bench.drain()
    bench.check()
    assert (bench.metered("a").money, bench.metered("b").money) == (SELL, -BUY)
    assert bench.metering("mg") == MeteringRow(1, 1, 0, 1, 1, 2)


def test_gross_load_and_generation_and_what_met_in_the_home_are_summed():
    bench = alone()
    to_readings(bench)
    assert bench.reading("a", 0, 100, load=70).succeeded
    assert bench.reading("b", 0, -30, load=50).succeeded
    bench.drain()
    assert bench.metering("mg") == MeteringRow(120, 190, 90, 30, 100, 2)


def test_a_home_without_a_reading_is_settled_as_if_it_metered_what_it_ordered():
    bench = alone()
    bench.orders(0, {"a": (BID, 300, 9_000), "b": (ASK, 300, 5_000)})
    to_readings(bench)
    assert bench.reading("b", 0, 300).succeeded
    bench.drain()
    bench.check()
    assert bench.metered("a") == MeteredRow(-300, 0, 0, True)
    assert bench.metered("b") == MeteredRow(300, 0, 0, False)
    assert bench.metered("c") == MeteredRow(0, 0, 0, True)
    assert bench.metering("mg").assumed == 3
    assert bench.view("mg", "counters") == (0, 0, 3)


def test_readings_are_taken_from_the_end_of_the_delivery_until_the_grace_is_over():
    bench = alone(intervals=2)
    opening, end = bench.market.readings_from(0), bench.market.metering_at(0)
    sign, chain = bench.solo.sign, bench.solo.chains["mg"]
    for moment, home, code in (
        (opening - 1, "a", "not_open"),
        (opening, "b", None),
        (end - 1, "c", None),
        (end, "d", "late"),
    ):
        bench.solo.advance_to(moment - 1)
        bench.solo.submit("mg", sign("mg", home, "auction", "submit_reading", 0, 5, 0, 5))
        bench.solo.run_block("mg", moment)
        assert chain.receipts[-1].code == code
    assert [bench.metered(home).assumed for home in HOMES] == [True, False, False, True]


@pytest.mark.parametrize(
    ("reading", "code"),
    [
        ((0, 5, 5, 5), "bad_reading"),
        ((0, -6, 5, 0), "bad_reading"),
        ((0, CONNECTION + 1, 0, CONNECTION + 1), "bad_reading"),
        ((0, -CONNECTION - 1, CONNECTION + 1, 0), "bad_reading"),
        ((0, 5, -1, 4), "parameters"),
        ((0, 5, 0, "5"), "parameters"),
        ((0, None, 0, 5), "parameters"),
        ((1, 5, 0, 5), "unknown"),
        ((0, 5, 0), "parameters"),
        ((0, CONNECTION, 7, CONNECTION + 7), None),
        ((0, -CONNECTION, CONNECTION, 0), None),
    ],
)
def test_a_reading_must_be_one(reading, code):
    bench = alone()
    to_readings(bench)
    assert bench.solo.post("mg", "a", "auction", "submit_reading", *reading).code == code


def test_a_home_has_one_reading_per_interval():
    bench = alone()
    to_readings(bench)
    assert bench.reading("a", 0, -10).succeeded
    assert bench.reading("a", 0, -20).code == "duplicate"
    bench.drain()
    assert bench.metered("a").net == -10


def test_the_interval_is_closed_when_it_is_final_and_metered():
    bench = alone()
    bench.to_gate()
    assert bench.view("mg", "interval", 0) == "final"
    assert bench.view("mg", "open_intervals") == (0,)
    bench.solo.advance_to(bench.market.metering_at(0))
    assert bench.view("mg", "interval", 0) == "closed"
    assert bench.view("mg", "open_intervals") == ()
    assert [event.name for event in bench.solo.chains["mg"].events] == ["interval_final", "interval_metered"]


# ------------------------------------------------------------------------------------------------------------- debts


def test_what_an_account_cannot_pay_becomes_a_debt_that_its_next_credit_pays_first():
    bench = alone(intervals=3, funds={"a": 10 * BUY})
    to_readings(bench)
    assert bench.reading("a", 0, -15).succeeded
    bench.solo.advance_to(bench.market.opening_at(2))
    bench.solo.advance_to(bench.market.metering_at(0))
    assert bench.view("mg", "debts") == (("a", 5 * BUY),)
    assert bench.solo.balance("mg", "a") == 0
    assert bench.solo.balance("mg", "utility") == FUNDS + 10 * BUY
    bench.orders(2, {"a": (ASK, 4, 9_000), "b": (BID, 4, 9_000)})
    bench.to_gate(2)
    earned = 4 * bench.clearing("mg", 2).price
    assert earned < 5 * BUY
    assert bench.view("mg", "debts") == (("a", 5 * BUY - earned),)
    assert bench.solo.balance("mg", "a") == 0
    assert bench.solo.balance("mg", "utility") == FUNDS + 10 * BUY + earned
    bench.drain()
    bench.check()


def test_the_release_of_escrow_is_a_credit():
    bench = alone(intervals=3, opening=60 * MINUTE, funds={"a": 10 * BUY})
    to_readings(bench)
    assert bench.reading("a", 0, -11).succeeded
    bench.orders(2, {"a": (BID, 9, 9_000)})
    bench.solo.advance_to(bench.market.metering_at(0))
    assert bench.view("mg", "debts") == (("a", 10 * BUY),)
    assert bench.solo.balance("mg", "a") == 0
    bench.orders(2, {"a": (BID, 8, 9_000)})
    assert bench.view("mg", "debts") == (("a", 9 * BUY),), "what a smaller order frees pays first"
    assert bench.solo.balance("mg", "utility") == FUNDS + 2 * BUY
    bench.orders(2, {"c": (ASK, 8, 9_000)})
    bench.to_gate(2)
    assert bench.view("mg", "debts") == (("a", 9 * BUY - 8 * (BUY - 9_000)),)
    bench.drain()
    bench.check()


def test_above_the_largest_debt_new_orders_are_refused():
    for debt_max, code in ((5 * BUY, None), (5 * BUY - 1, "debt")):
        bench = alone(intervals=3, funds={"a": 10 * BUY}, debt_max=debt_max)
        to_readings(bench)
        assert bench.reading("a", 0, -15).succeeded
        bench.solo.advance_to(bench.market.metering_at(0))
        bench.solo.advance_to(bench.market.opening_at(2))
        assert bench.order("a", 2, ASK, 1, 9_000).code == code
        bench.drain()
        bench.check()


def test_what_the_utility_cannot_pay_it_owes_and_pays_from_its_next_credit():
    bench = alone(intervals=3, utility_funds=10 * SELL)
    to_readings(bench)
    assert bench.reading("a", 0, 15).succeeded
    assert bench.reading("b", 0, 6).succeeded
    bench.solo.advance_to(bench.market.metering_at(0))
    assert bench.view("mg", "debts") == (("a", -5 * SELL), ("b", -6 * SELL))
    assert bench.solo.balance("mg", "a") == FUNDS + 10 * SELL
    bench.solo.advance_to(bench.market.opening_at(2))
    bench.orders(2, {"c": (BID, 1, 9_000)})
    bench.to_gate(2)
    assert bench.view("mg", "debts") == (("b", BUY - 11 * SELL),), "in the order of the homes"
    assert bench.solo.balance("mg", "utility") == 0
    bench.drain()
    bench.check()


def test_the_utility_pays_sellers_with_what_it_is_paid_by_the_buyers_of_the_same_interval():
    """Both sides trade with the grid only under strict clearing, where nothing may cross."""
    bench = alone(utility_funds=0, mechanism=Strict())
    bench.orders(0, {"a": (BID, 10, 5_000), "b": (ASK, 20, 9_000)})
    bench.drain()
    bench.check()
    assert (bench.routes("mg").grid_bought, bench.routes("mg").grid_sold) == (10, 20)
    assert bench.view("mg", "debts") == ()
    assert bench.solo.balance("mg", "utility") == 10 * BUY - 20 * SELL


def test_what_the_grid_owes_sellers_is_shared_by_what_they_earned():
    bench = alone(utility_funds=40 * SELL)
    bench.orders(0, {"a": (ASK, 60, 9_000), "b": (ASK, 20, 8_000)})
    bench.to_gate()
    assert bench.view("mg", "debts") == (("a", -30 * SELL), ("b", -10 * SELL))
    assert bench.solo.balance("mg", "a") == FUNDS + 30 * SELL
    bench.drain()
    bench.check()


def test_debts_of_a_home_and_of_the_utility_cancel():
    bench = alone(intervals=3, utility_funds=0, funds={"a": 0})
    to_readings(bench)
    assert bench.reading("a", 0, -5).succeeded
    bench.solo.advance_to(bench.market.metering_at(0))
    assert bench.view("mg", "debts") == (("a", 5 * BUY),)
    to_readings(bench, 1)
    assert bench.reading("a", 1, 60).succeeded
    bench.drain()
    assert bench.view("mg", "debts") == (("a", 5 * BUY - 60 * SELL),)
    bench.check()


def test_a_home_that_took_its_mandate_back_runs_into_debt():
    bench = alone(intervals=3, debt_max=5 * BUY - 1)
    to_readings(bench)
    assert bench.solo.post("mg", "a", "accounts", "revoke", "auction").succeeded
    assert bench.reading("a", 0, -5).succeeded
    bench.solo.advance_to(bench.market.opening_at(2))
    assert bench.view("mg", "debts") == (("a", 5 * BUY),)
    assert bench.order("a", 2, ASK, 1, 9_000).code == "debt"
    bench.drain()
    bench.check()


def test_charges_come_first_so_that_the_utility_can_pay():
    bench = alone(utility_funds=0)
    to_readings(bench)
    assert bench.reading("a", 0, 5).succeeded
    assert bench.reading("b", 0, -5).succeeded
    bench.drain()
    bench.check()
    assert bench.view("mg", "debts") == ()
