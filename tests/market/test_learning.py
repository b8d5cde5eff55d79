from decimal import Decimal, localcontext
from itertools import pairwise
from math import e, exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.learning import (
    ONE,
    BiddingRound,
    CorrectedAlgorithm,
    CorrectedEquations,
    PrintedAlgorithm,
    PrintedEquations,
    agrees,
    growth,
)
from market.orders import ASK, BID
from market.units import Tariff
from tests.harness.books import PAPER_TARIFF, SMALL_TARIFF

CORRECTED, PRINTED = CorrectedEquations(), PrintedEquations()
HALF = ONE // 2
aggressiveness = st.integers(-ONE, ONE)
both_sides = st.sampled_from([BID, ASK])


@st.composite
def markets(draw):
    """A tariff, and a price inside it."""
    low = draw(st.integers(0, 10**6))
    tariff = Tariff(low + draw(st.one_of(st.integers(2, 12), st.integers(2, 10**7))), low)
    return tariff, draw(st.integers(tariff.lowest_price, tariff.highest_price))


def held(price, supply, demand):
    return BiddingRound(1, price, supply, demand, ("a", "b"))


# ---------------------------------------------------------------------------------------------------------- the curve


def test_g_runs_from_nothing_to_one():
    assert (growth(0), growth(ONE)) == (0, 2**32 * ONE)


def test_the_table_is_correctly_rounded():
    with localcontext() as context:
        context.prec = 80
        for step in range(0, 1024, 64):
            x = step * ONE // 1024
            assert x * 1024 == step * ONE, "a step of the table is a whole number of millionths here"
            exact = (Decimal(2 * step) / 1024).exp() - 1
            error = Decimal(growth(x) // ONE) - exact / (Decimal(2).exp() - 1) * 2**32
            assert growth(x) % ONE == 0
            assert abs(error) <= Decimal("0.5")


@given(st.integers(0, ONE))
def test_between_two_steps_g_is_a_straight_line_close_to_the_curve(x):
    exact = (exp(2 * x / ONE) - 1) / (e**2 - 1)
    assert abs(growth(x) / (2**32 * ONE) - exact) < 6e-7  # the chord's error: h^2 / 8 times the largest curvature


def test_g_rises_with_every_millionth_so_that_the_corrected_quotes_are_monotone():
    values = [growth(x) for x in range(ONE + 1)]
    assert all(low < high for low, high in pairwise(values))


TABLE = {  # thousandths of p/kWh, c = 3.2, l = 18.9, price = 11
    (PRINTED, BID): [11_000, 5_297, 3_201, 11_000, 18_899, 16_775, 11_000],
    (CORRECTED, BID): [3_201, 8_902, 10_999, 11_000, 11_000, 13_124, 18_899],
    (PRINTED, ASK): [11_000, 16_775, 18_899, 11_000, 3_201, 5_297, 11_000],
    (CORRECTED, ASK): [18_899, 13_124, 11_000, 11_000, 10_999, 8_902, 3_201],
}


@pytest.mark.parametrize(("rule", "side"), TABLE)
def test_quotes_as_printed_and_as_corrected(rule, side):
    points = (-ONE, -HALF, -1, 0, 1, HALF, ONE)
    assert [rule.quote(side, r, 11_000, PAPER_TARIFF) for r in points] == TABLE[rule, side]


@pytest.mark.parametrize("rule", [CORRECTED, PRINTED])
@given(market=markets(), side=both_sides, r=aggressiveness)
def test_every_quote_is_inside_the_reserves(rule, market, side, r):
    tariff, price = market
    assert tariff.lowest_price <= rule.quote(side, r, price, tariff) <= tariff.highest_price


@given(markets(), st.tuples(aggressiveness, aggressiveness))
def test_corrected_a_more_aggressive_bid_is_never_lower_and_a_more_aggressive_ask_never_higher(market, pair):
    tariff, price = market
    passive, eager = sorted(pair)
    assert CORRECTED.quote(BID, passive, price, tariff) <= CORRECTED.quote(BID, eager, price, tariff)
    assert CORRECTED.quote(ASK, passive, price, tariff) >= CORRECTED.quote(ASK, eager, price, tariff)


@given(markets(), both_sides)
def test_corrected_the_neutral_quote_is_the_price_and_the_ends_are_the_reserves(market, side):
    tariff, price = market
    assert CORRECTED.quote(side, 0, price, tariff) == PRINTED.quote(side, 0, price, tariff) == price
    eager, passive = CORRECTED.quote(side, ONE, price, tariff), CORRECTED.quote(side, -ONE, price, tariff)
    ends = (tariff.highest_price, tariff.lowest_price)
    assert (eager, passive) == (ends if side == BID else ends[::-1])


@given(markets(), st.tuples(aggressiveness, aggressiveness))
def test_printed_each_half_runs_backwards(market, pair):
    tariff, price = market
    passive, eager = sorted(pair)
    if passive < 0 <= eager or passive <= 0 < eager:
        return
    assert PRINTED.quote(BID, passive, price, tariff) >= PRINTED.quote(BID, eager, price, tariff)
    assert PRINTED.quote(ASK, passive, price, tariff) <= PRINTED.quote(ASK, eager, price, tariff)


@given(markets(), aggressiveness)
def test_corrected_a_quote_is_the_floor_of_the_equation(market, r):
    tariff, price = market
    part, one = growth(abs(r)), growth(ONE)
    if r >= 0:
        exact = price * one + (tariff.buy_price - price) * part
    else:
        exact = tariff.sell_price * one + (price - tariff.sell_price) * (one - part)
    assert CORRECTED.quote(BID, r, price, tariff) == tariff.clamp(exact // one)
    assert CORRECTED.quote(ASK, -r, price, tariff) == tariff.clamp(exact // one)


@given(market=markets(), side=both_sides, data=st.data())
def test_corrected_the_first_aggressiveness_is_the_least_whose_quote_reaches_the_first_quote(market, side, data):
    tariff, price = market
    goal = data.draw(st.integers(tariff.lowest_price, tariff.highest_price))
    r = CORRECTED.first_reaching(side, goal, price, tariff)
    assert -ONE <= r <= ONE
    assert agrees(side, CORRECTED.quote(side, r, price, tariff), goal)
    assert r == -ONE or not agrees(side, CORRECTED.quote(side, r - 1, price, tariff), goal)


@given(price=st.integers(1, 12), side=both_sides, goal=st.integers(1, 12))
def test_printed_the_first_aggressiveness_is_the_least_whose_quote_reaches_the_first_quote(price, side, goal):
    r = PRINTED.first_reaching(side, goal, price, SMALL_TARIFF)
    coarse = [-ONE, *range(-ONE + 999, 0, 997), -1, 0, 1, *range(1000, ONE, 997), ONE]
    reaching = [r for r in coarse if agrees(side, PRINTED.quote(side, r, price, SMALL_TARIFF), goal)]
    assert (reaching or [ONE])[0] == r


def test_printed_only_a_jump_reaches_a_dear_first_quote():
    assert [PRINTED.first_reaching(BID, goal, 11_000, PAPER_TARIFF) for goal in (11_000, 11_001, 18_899)] == [
        -ONE,
        1,
        1,
    ]
    assert [PRINTED.first_reaching(ASK, goal, 11_000, PAPER_TARIFF) for goal in (11_000, 10_999, 3_201)] == [-ONE, 1, 1]


# ------------------------------------------------------------------------------------------------------- Algorithm 1


@pytest.mark.parametrize(
    ("rule", "forced"),
    [  # (side, quote relative to the price 10) for deficit, balance, surplus
        (
            CorrectedAlgorithm(),
            {(BID, 9, "deficit"), (ASK, 11, "surplus")},
        ),
        (
            PrintedAlgorithm(),
            {(BID, 9, "surplus"), (ASK, 9, "deficit")},
        ),
    ],
)
def test_who_is_forced(rule, forced):
    rounds = {"deficit": held(10, 3, 4), "balance": held(10, 3, 3), "surplus": held(10, 4, 3)}
    found = {
        (side, quote, name)
        for side in (BID, ASK)
        for quote in (9, 10, 11)
        for name, bidding_round in rounds.items()
        if rule.forces(side, quote, bidding_round)
    }
    assert found == forced


@pytest.mark.parametrize("rule", [CorrectedAlgorithm(), PrintedAlgorithm()])
def test_a_round_without_a_price_forces_nobody_and_teaches_nothing(rule):
    for side in (BID, ASK):
        for bidding_round in (held(None, 4, 3), held(None, 3, 4)):
            assert not rule.forces(side, 1, bidding_round)
            assert rule.learned(side, 123, 1, bidding_round) == 123


@pytest.mark.parametrize(
    ("side", "quote", "bidding_round", "r", "learned"),
    [
        (BID, 9, held(10, 3, 4), 0, 400_000),  # forced: r += 0.4 (1 - r)
        (ASK, 11, held(10, 4, 3), -ONE, -200_000),
        (BID, 10, held(10, 3, 4), 0, -4_000),  # would trade: r += 0.4 (-0.01 - r)
        (ASK, 10, held(10, 4, 3), 0, -4_000),
        (BID, 9, held(10, 4, 3), 0, 4_000),  # free, and would not trade: r += 0.4 (0.01 - r)
        (ASK, 11, held(10, 3, 4), 0, 4_000),
        (BID, 9, held(10, 4, 3), 500_000, 304_000),
        (BID, 9, held(10, 3, 4), 1, 400_000),  # 399,999.6 is floored
        (BID, 10, held(10, 3, 4), 1, -4_000),  # -4,000.4 is floored to -4,001
    ],
)
def test_a_bidder_learns_in_floored_products(side, quote, bidding_round, r, learned):
    assert CorrectedAlgorithm().learned(side, r, quote, bidding_round) == learned


def test_the_printed_algorithm_learns_by_the_same_arithmetic():
    rule = PrintedAlgorithm()
    assert rule.learned(BID, 0, 9, held(10, 4, 3)) == 400_000
    assert rule.learned(BID, 0, 9, held(10, 3, 4)) == 4_000
    assert rule.learned(ASK, 0, 9, held(10, 3, 4)) == 400_000
    assert rule.learned(ASK, 0, 9, held(10, 4, 3)) == -4_000
    assert rule.learned(ASK, 0, 11, held(10, 4, 3)) == 4_000


def test_the_learning_rate_is_a_parameter():
    assert CorrectedAlgorithm(rate=ONE).learned(BID, -ONE, 9, held(10, 3, 4)) == ONE
    assert CorrectedAlgorithm(rate=0).learned(BID, 77, 9, held(10, 3, 4)) == 77


@given(
    rule=st.sampled_from([CorrectedAlgorithm(), PrintedAlgorithm()]),
    side=both_sides,
    r=aggressiveness,
    quote=st.integers(1, 12),
    price=st.integers(1, 12),
    supply=st.integers(1, 3),
    demand=st.integers(1, 3),
)
def test_aggressiveness_stays_between_minus_one_and_one(rule, side, r, quote, price, supply, demand):
    bidding_round = held(price, supply, demand)
    learned = rule.learned(side, r, quote, bidding_round)
    assert -ONE <= learned <= ONE
    if rule.forces(side, quote, bidding_round):
        assert learned >= r
