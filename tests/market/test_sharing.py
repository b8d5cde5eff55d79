from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.kernel.encoding import Codec, encode
from market.clearing import FullMatch, filled_energy
from market.orders import BID, reserve
from market.sharing import Correction, Lot, RoutedShare, apportion, route_shares, share, uniform_price_correction
from tests.harness.books import SMALL_TARIFF, books

weights = st.lists(st.one_of(st.integers(0, 3), st.integers(0, 10**9)), min_size=1, max_size=8)
totals = st.one_of(st.integers(0, 9), st.integers(0, 10**15))
intervals = st.integers(0, 10**6)
orders_by_name = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 40), min_size=1)


# --------------------------------------------------------------------------------------------------- apportionment


@given(totals, weights, intervals)
def test_amounts_add_up_and_each_is_less_than_a_unit_from_its_exact_share(total, weights, interval):
    whole = sum(weights)
    if not whole:
        assert apportion(0, weights, interval) == [0] * len(weights)
        return
    amounts = apportion(total, weights, interval)
    assert sum(amounts) == total
    for amount, weight in zip(amounts, weights, strict=True):
        assert abs(amount - Fraction(total * weight, whole)) < 1
        assert weight or not amount
        assert total > whole or amount <= weight


@given(totals, weights, intervals)
def test_a_larger_fractional_part_is_served_first(total, weights, interval):
    whole = sum(weights)
    if not whole:
        return
    amounts = apportion(total, weights, interval)
    raised = [(total * w % whole, a > total * w // whole) for a, w in zip(amounts, weights, strict=True)]
    served = [part for part, up in raised if up]
    passed_over = [part for part, up in raised if not up]
    assert not served or not passed_over or min(served) >= max(passed_over)


def test_the_floor_is_given_before_the_largest_fractional_parts():
    assert apportion(10, [3, 3, 1], 0) == [4, 4, 2]  # 4 2/7, 4 2/7, 1 3/7
    assert apportion(11, [3, 3, 1], 0) == [5, 5, 1]  # 4 5/7, 4 5/7, 1 4/7


@pytest.mark.parametrize(
    ("interval", "amounts"), [(0, [1, 1, 0]), (1, [1, 0, 1]), (2, [0, 1, 1]), (3, [1, 1, 0]), (301, [1, 0, 1])]
)
def test_ties_go_to_the_smallest_rank_plus_interval_modulo_those_who_share(interval, amounts):
    assert apportion(2, [5, 5, 5], interval) == amounts


def test_who_has_no_weight_has_no_rank():
    assert [apportion(1, [0, 5, 0, 5], interval) for interval in (0, 1, 2)] == [
        [0, 1, 0, 0],
        [0, 0, 0, 1],
        [0, 1, 0, 0],
    ]


@given(st.integers(1, 8), st.integers(0, 7), st.integers(1, 50))
def test_over_as_many_intervals_as_there_are_equals_nobody_is_favoured(n, total, weight):
    sums = [0] * n
    for interval in range(n):
        sums = [a + b for a, b in zip(sums, apportion(total, [weight] * n, interval), strict=True)]
    assert sums == [total] * n


def test_rank_is_the_place_among_the_names_and_not_of_arrival():
    assert share(1, {"c": 2, "a": 2, "b": 2}, 0) == {"a": 1, "b": 0, "c": 0}
    assert list(share(1, {"c": 2, "a": 2, "b": 2}, 0)) == ["a", "b", "c"]


def test_something_to_share_and_nobody_to_share_it_is_misuse():
    with pytest.raises(AssertionError):
        apportion(1, [0, 0], 0)


# --------------------------------------------------------------------------------------------------------- routes


@st.composite
def routed(draw):
    ordered = draw(orders_by_name)
    left, routes = sum(ordered.values()), []
    for _ in range(draw(st.integers(0, 4))):
        routes.append(draw(st.integers(0, left)))
        left -= routes[-1]
    return ordered, routes


@given(routed(), intervals)
def test_every_route_is_shared_by_what_is_still_lacking(case, interval):
    ordered, routes = case
    lacking = dict(ordered)
    for energy, portion in zip(routes, route_shares(ordered, routes, interval), strict=True):
        assert portion == share(energy, lacking, interval)
        lacking = {name: lacking[name] - portion[name] for name in lacking}
    assert min(lacking.values()) >= 0
    assert sum(lacking.values()) == sum(ordered.values()) - sum(routes)


def test_a_later_route_makes_up_for_the_rounding_of_an_earlier_one():
    assert route_shares({"a": 1, "b": 1}, [1, 1], 0) == [{"a": 1, "b": 0}, {"a": 0, "b": 1}]


@given(routed(), intervals)
def test_who_orders_as_much_gets_as_much_on_all_routes_together(case, interval):
    ordered, routes = case
    rest = sum(ordered.values()) - sum(routes)
    portions = route_shares(ordered, [*routes, rest], interval)
    assert {name: sum(portion[name] for portion in portions) for name in ordered} == ordered


# ----------------------------------------------------------------------------------------- uniform price correction


def test_a_deficit_pays_one_mean_of_all_its_routes():
    correction = uniform_price_correction(
        {"b": 100, "a": 50, "c": 50}, 100, 10, [Lot(1, 40, 12), Lot(3, 20, 15)], 18, 0
    )
    money = 100 * 10 + 40 * 12 + 20 * 15 + 40 * 18
    assert correction == Correction(
        (100, 40, 20, 40),
        money,
        (
            RoutedShare("a", (25, 10, 5, 10), money // 4),
            RoutedShare("b", (50, 20, 10, 20), money // 2),
            RoutedShare("c", (25, 10, 5, 10), money // 4),
        ),
    )


def test_a_surplus_without_any_match_is_sold_to_the_grid():
    correction = uniform_price_correction({"a": 7, "b": 0}, 0, None, [], 3, 9)
    assert correction == Correction((0, 7), 21, (RoutedShare("a", (0, 7), 21), RoutedShare("b", (0, 0), 0)))


def test_a_level_that_matched_nothing_is_a_route_of_nothing():
    correction = uniform_price_correction({"a": 7}, 2, 5, [Lot(1, 0, 0), Lot(2, 5, 6)], 9, 0)
    assert correction == Correction((2, 0, 5, 0), 40, (RoutedShare("a", (2, 0, 5, 0), 40),))


def test_a_correction_is_stored_as_it_is():
    correction = uniform_price_correction({"a": 7, "b": 8}, 2, 5, [Lot(1, 3, 4)], 9, 0)
    assert Codec(Correction).decode(encode(correction)) == correction


@pytest.mark.parametrize(
    ("local_energy", "local_price", "lots"),
    [
        (8, 5, []),  # more than was ordered
        (4, 5, [Lot(1, 4, 5)]),
        (1, None, []),  # a match without a price
        (1, 5, [Lot(2, 1, 5), Lot(1, 1, 5)]),  # levels that fall
        (1, 5, [Lot(1, 1, 5), Lot(1, 1, 5)]),  # one level twice
    ],
)
def test_what_no_hierarchy_answers_is_misuse(local_energy, local_price, lots):
    with pytest.raises(AssertionError):
        uniform_price_correction({"a": 7}, local_energy, local_price, lots, 9, 0)


@st.composite
def long_sides(draw):
    """The end of a microgrid's interval: its clearing, its long side, the lots and the grid's price."""
    orders = draw(books())
    interval = draw(st.integers(0, 30))
    clearing = FullMatch(draw(st.sampled_from(["competitive", "marginal_pair"]))).clear(orders, interval)
    ordered = {order.participant: order.energy for order in orders if order.side == clearing.long_side}
    left, lots = sum(ordered.values()) - (clearing.matched if ordered else 0), []
    for level in draw(st.lists(st.integers(1, 5), unique=True, max_size=3).map(sorted)):
        energy = draw(st.integers(0, left))
        left -= energy
        lots.append(Lot(level, energy, draw(st.integers(SMALL_TARIFF.lowest_price, SMALL_TARIFF.highest_price))))
    return orders, interval, clearing, ordered, lots


@given(long_sides())
def test_what_the_long_side_pays_is_what_the_short_side_the_levels_and_the_grid_receive(case):
    orders, interval, clearing, ordered, lots = case
    if clearing.long_side is None:
        return
    grid_price = reserve(clearing.long_side, SMALL_TARIFF)
    correction = uniform_price_correction(ordered, clearing.matched, clearing.price, lots, grid_price, interval)
    sides = zip(orders, clearing.payments, strict=True)
    short_side_money = sum(money for order, money in sides if order.side != clearing.long_side)
    grid_energy = sum(ordered.values()) - clearing.matched - sum(lot.energy for lot in lots)
    assert correction.money == (
        short_side_money + sum(lot.energy * lot.price for lot in lots) + grid_energy * grid_price
    )
    assert sum(part.money for part in correction.shares) == correction.money
    assert correction.energies == (clearing.matched, *(lot.energy for lot in lots), grid_energy)
    assert tuple(map(sum, zip(*(part.energies for part in correction.shares), strict=True))) == correction.energies
    assert {part.participant: sum(part.energies) for part in correction.shares} == ordered


@given(long_sides())
def test_the_local_route_is_what_the_clearing_filled(case):
    orders, interval, clearing, ordered, lots = case
    if clearing.long_side is None:
        return
    correction = uniform_price_correction(ordered, clearing.matched, clearing.price, lots, 0, interval)
    filled = filled_energy(orders, clearing)
    assert {part.participant: part.energies[0] for part in correction.shares} == {
        name: filled[name] for name in ordered
    }


@given(long_sides())
def test_money_is_shared_by_energy_whatever_the_routes(case):
    _, interval, clearing, ordered, lots = case
    if clearing.long_side is None:
        return
    grid_price = reserve(clearing.long_side, SMALL_TARIFF)
    correction = uniform_price_correction(ordered, clearing.matched, clearing.price, lots, grid_price, interval)
    assert {part.participant: part.money for part in correction.shares} == share(correction.money, ordered, interval)


@given(long_sides())
def test_the_escrow_at_the_grids_price_always_suffices_and_nobody_sells_below_the_grid(case):
    _, interval, clearing, ordered, lots = case
    if clearing.long_side is None:
        return
    grid_price = reserve(clearing.long_side, SMALL_TARIFF)
    correction = uniform_price_correction(ordered, clearing.matched, clearing.price, lots, grid_price, interval)
    for part in correction.shares:
        with_the_grid = sum(part.energies) * grid_price
        assert part.money <= with_the_grid if clearing.long_side == BID else part.money >= with_the_grid


@given(long_sides())
def test_the_hierarchy_changes_nothing_for_the_short_side_and_costs_nobody_more_than_the_rounding(case):
    _, interval, clearing, ordered, lots = case
    if clearing.long_side is None:
        return
    sign = 1 if clearing.long_side == BID else -1
    grid_price = reserve(clearing.long_side, SMALL_TARIFF)
    alone = uniform_price_correction(ordered, clearing.matched, clearing.price, [], grid_price, interval)
    helped = uniform_price_correction(ordered, clearing.matched, clearing.price, lots, grid_price, interval)
    found = sum(lot.energy * (grid_price - lot.price) for lot in lots)
    assert alone.money - helped.money == found
    assert sign * found >= 0
    for before, after in zip(alone.shares, helped.shares, strict=True):
        assert before.energies[0] == after.energies[0]
        assert sign * (after.money - before.money) <= 1


@given(long_sides(), long_sides())
def test_the_joint_gain_of_two_microgrids_and_their_parent_depends_on_the_energy_alone(one, other):
    """A surplus meets a deficit one level up: all gain the spread of the grid's prices per Wh traded between peers."""
    cases = {case[2].long_side: case for case in (one, other)}
    if set(cases) != {"bid", "ask"}:
        return
    between = min(cases["bid"][2].deficit, cases["ask"][2].surplus)
    price = (SMALL_TARIFF.lowest_price + SMALL_TARIFF.highest_price) // 2
    gain = traded = 0
    for side, (orders, interval, clearing, ordered, _) in cases.items():
        lots = [Lot(1, between, price)]
        correction = uniform_price_correction(
            ordered, clearing.matched, clearing.price, lots, reserve(side, SMALL_TARIFF), interval
        )
        traded += clearing.matched
        for order, money in zip(orders, clearing.payments, strict=True):
            if order.side != side:
                gain += abs(order.energy * reserve(order.side, SMALL_TARIFF) - money) if clearing.matched else 0
        gain += abs(sum(ordered.values()) * reserve(side, SMALL_TARIFF) - correction.money)
    assert gain == (SMALL_TARIFF.buy_price - SMALL_TARIFF.sell_price) * (traded + between)
