import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from market.clearing import Clearing, FullMatch, Strict, competitive_interval, filled_energy
from market.orders import ASK, BID, Order, crossing_of, favourable_price, reserve
from market.sharing import share
from tests.harness.books import SMALL_TARIFF, books, dearest_first, prices

COMPETITIVE, PAIR, STRICT = FullMatch(), FullMatch("marginal_pair"), Strict()
mechanisms = st.sampled_from([COMPETITIVE, PAIR, STRICT])
intervals = st.integers(0, 30)


def book(*orders):
    """Orders written as (side, energy, price), named in their sequence."""
    return [Order(name, *order) for name, order in zip("abcdefgh", orders, strict=False)]


def clears(orders, price):
    """Whether as many Wh can be traded at the price as are offered and wanted there (equal limits are indifferent)."""
    wanted = sum(o.energy for o in orders if o.side == BID and o.price > price)
    wanted_at_most = sum(o.energy for o in orders if o.side == BID and o.price >= price)
    offered = sum(o.energy for o in orders if o.side == ASK and o.price < price)
    offered_at_most = sum(o.energy for o in orders if o.side == ASK and o.price <= price)
    return max(wanted, offered) <= min(wanted_at_most, offered_at_most)


# ------------------------------------------------------------------------------------------------ ordinary odd books


@pytest.mark.parametrize("mechanism", [COMPETITIVE, PAIR, STRICT])
@pytest.mark.parametrize(
    ("orders", "clearing"),
    [
        (book(), Clearing(None, 0, 0, 0, ())),
        (book((BID, 3, 9)), Clearing(None, 0, 3, 0, (0,))),
        (book((ASK, 3, 9), (ASK, 1, 2)), Clearing(None, 4, 0, 0, (0, 0))),
        (book((BID, 0, 9), (ASK, 0, 2)), Clearing(None, 0, 0, 0, (0, 0))),
        (book((BID, 0, 9), (ASK, 4, 2)), Clearing(None, 4, 0, 0, (0, 0))),
        (book((BID, 3, 7), (ASK, 3, 7)), Clearing(7, 3, 3, 3, (3, 3))),
        (book((BID, 3, 7), (ASK, 3, 7), (BID, 0, 12), (ASK, 0, 1)), Clearing(7, 3, 3, 3, (3, 3, 0, 0))),
        (book((BID, 2, 9), (BID, 2, 9), (ASK, 2, 9), (ASK, 2, 9)), Clearing(9, 4, 4, 4, (2, 2, 2, 2))),
        (book((BID, 10**12, 9), (ASK, 1, 9)), Clearing(9, 1, 10**12, 1, (1, 1))),
    ],
)
def test_empty_one_sided_zero_equal_and_unbalanced_books_are_ordinary(mechanism, orders, clearing):
    assert mechanism.clear(orders, 0) == clearing


def test_without_a_crossing_the_middle_of_best_bid_and_best_ask_is_the_price_and_all_energy_trades():
    orders = book((BID, 3, 2), (BID, 1, 4), (ASK, 5, 9), (ASK, 1, 12))
    assert COMPETITIVE.clear(orders, 0) == Clearing(6, 6, 4, 4, (3, 1, 3, 1))
    assert PAIR.clear(orders, 0) == Clearing(6, 6, 4, 4, (3, 1, 3, 1))


def test_strict_clearing_without_a_crossing_leaves_bids_and_asks():
    clearing = STRICT.clear(book((BID, 3, 2), (ASK, 5, 9)), 0)
    assert clearing == Clearing(None, 5, 3, 0, (0, 0))
    assert (clearing.surplus, clearing.deficit) == (5, 3)


def test_the_marginal_pair_is_split_in_the_middle_and_the_odd_half_goes_to_the_buyers():
    orders = book((BID, 1, 12), (BID, 1, 9), (BID, 1, 8), (ASK, 2, 4), (ASK, 1, 11))
    assert PAIR.tentative_price(orders) == (9 + 4) // 2 == 6


def test_the_competitive_price_shows_scarcity():
    orders = book((BID, 1, 12), (BID, 1, 9), (BID, 1, 8), (ASK, 2, 4), (ASK, 1, 11))
    assert COMPETITIVE.tentative_price(orders) == (8 + 9) // 2 == 8


def test_the_rest_of_a_part_filled_bid_sets_the_competitive_price_alone():
    orders = book((BID, 5, 9), (ASK, 2, 4))
    assert competitive_interval(crossing_of(orders)) == (9, 9)
    assert COMPETITIVE.clear(orders, 0) == Clearing(9, 2, 5, 2, (2, 2))
    assert STRICT.clear(orders, 0) == Clearing(9, 2, 5, 2, (2, 2))
    assert PAIR.tentative_price(orders) == 6


def test_strict_clearing_shares_the_margin_pro_rata_and_fills_what_is_before_it():
    orders = book((BID, 2, 9), (BID, 6, 7), (BID, 3, 7), (BID, 9, 5), (ASK, 5, 3), (ASK, 4, 8))
    assert STRICT.clear(orders, 0) == Clearing(7, 9, 20, 5, (2, 2, 1, 0, 5, 0))


def test_two_equal_orders_of_one_participant_are_two_orders():
    orders = [Order("b", BID, 100, 9), Order("b", BID, 100, 9), Order("a", ASK, 200, 5)]
    for mechanism in (COMPETITIVE, PAIR, STRICT):
        clearing = mechanism.clear(orders, 0)
        assert (clearing.matched, clearing.fills) == (200, (100, 100, 200))
        assert filled_energy(orders, clearing) == {"a": 200, "b": 200}


def test_orders_of_one_name_are_ranked_by_energy_and_not_by_arrival():
    small, large, ask = Order("b", BID, 1, 9), Order("b", BID, 3, 9), Order("a", ASK, 2, 5)
    for mechanism in (COMPETITIVE, PAIR, STRICT):
        assert mechanism.clear([small, large, ask], 0).fills == (1, 1, 2)
        assert mechanism.clear([large, small, ask], 0).fills == (1, 1, 2)
        assert mechanism.clear([large, small, ask], 1).fills == (2, 0, 2)


def test_the_odd_watt_hour_goes_round_with_the_interval():
    orders = book((BID, 1, 9), (BID, 1, 9), (BID, 1, 9), (ASK, 1, 3))
    for mechanism in (COMPETITIVE, PAIR, STRICT):
        fills = [mechanism.clear(orders, interval).fills for interval in range(4)]
        assert fills == [(1, 0, 0, 1), (0, 0, 1, 1), (0, 1, 0, 1), (1, 0, 0, 1)]


# ------------------------------------------------------------------------------------------------------- all books


@given(books(names_differ=False), mechanisms, intervals)
def test_nothing_is_created_or_lost(orders, mechanism, interval):
    clearing = mechanism.clear(orders, interval)
    for side in (BID, ASK):
        assert sum(f for o, f in zip(orders, clearing.fills, strict=True) if o.side == side) == clearing.matched
    assert all(0 <= fill <= order.energy for order, fill in zip(orders, clearing.fills, strict=True))
    assert (clearing.price is None) == (clearing.matched == 0)
    assert clearing.price == mechanism.tentative_price(orders)
    assert (clearing.surplus, clearing.deficit) == (
        clearing.supply - clearing.matched,
        clearing.demand - clearing.matched,
    )
    paid = sum(m for o, m in zip(orders, clearing.payments, strict=True) if o.side == BID)
    assert paid == sum(clearing.payments) - paid == clearing.matched * (clearing.price or 0)


@given(books(names_differ=False), mechanisms, intervals, st.randoms())
def test_the_sequence_of_the_orders_does_not_matter(orders, mechanism, interval, rng):
    shuffled = list(orders)
    rng.shuffle(shuffled)
    before, after = mechanism.clear(orders, interval), mechanism.clear(shuffled, interval)
    assert (before.price, before.supply, before.demand) == (after.price, after.supply, after.demand)
    key = str  # equal orders may change places with each other only
    assert sorted(zip(map(key, orders), before.fills, strict=True)) == sorted(
        zip(map(key, shuffled), after.fills, strict=True)
    )


@given(books(names_differ=False), st.sampled_from([COMPETITIVE, PAIR]), intervals)
def test_full_matching_trades_all_that_the_short_side_has(orders, mechanism, interval):
    clearing = mechanism.clear(orders, interval)
    assert clearing.matched == min(clearing.supply, clearing.demand)
    for order, fill in zip(orders, clearing.fills, strict=True):
        if clearing.matched and order.side != clearing.long_side:
            assert fill == order.energy
    if clearing.price is not None:
        assert SMALL_TARIFF.lowest_price <= clearing.price <= SMALL_TARIFF.highest_price


@given(books(), st.sampled_from([COMPETITIVE, PAIR]), intervals)
def test_the_long_side_shares_by_energy_and_not_by_price(orders, mechanism, interval):
    clearing = mechanism.clear(orders, interval)
    assume(clearing.long_side is not None)
    long_side = {order.participant: order.energy for order in orders if order.side == clearing.long_side}
    filled = filled_energy(orders, clearing)
    assert {name: filled[name] for name in sorted(long_side)} == share(clearing.matched, long_side, interval)


@given(books(names_differ=False))
def test_the_competitive_interval_holds_exactly_the_prices_that_clear(orders):
    interval = competitive_interval(crossing_of(orders))
    if interval is None:
        assert not all(any(o.side == side and o.energy for o in orders) for side in (BID, ASK))
        return
    low, high = interval
    assert [price for price in range(14) if clears(orders, price)] == list(range(low, high + 1))
    assert COMPETITIVE.tentative_price(orders) == (low + high) // 2


@given(books(names_differ=False))
def test_the_competitive_interval_lies_between_two_neighbours_of_the_pooled_quotes(orders):
    pool, supply = dearest_first(orders), len(dearest_first(orders, ASK))
    assume(0 < supply < len(pool))
    assert competitive_interval(crossing_of(orders)) == (pool[supply], pool[supply - 1])


@given(books(min_size=2), st.integers(0, 7), prices)
def test_the_competitive_price_never_falls_when_a_quote_rises(orders, place, raised):
    place %= len(orders)
    order = orders[place]
    assume(raised >= order.price)
    higher = [*orders[:place], Order(order.participant, order.side, order.energy, raised), *orders[place + 1 :]]
    before, after = COMPETITIVE.tentative_price(orders), COMPETITIVE.tentative_price(higher)
    assert (before is None and after is None) or before <= after


@given(books(min_size=2), st.integers(0, 7), intervals)
def test_whatever_the_others_quote_the_favourable_end_trades_as_much_at_no_worse_a_price(orders, place, interval):
    place %= len(orders)
    order = orders[place]
    favourable = Order(order.participant, order.side, order.energy, favourable_price(order.side, SMALL_TARIFF))
    obeying = COMPETITIVE.clear(orders, interval)
    greedy = COMPETITIVE.clear([*orders[:place], favourable, *orders[place + 1 :]], interval)
    assert greedy.fills[place] == obeying.fills[place]
    if obeying.price is not None:
        assert greedy.price <= obeying.price if order.side == BID else greedy.price >= obeying.price


def test_under_the_marginal_pair_a_bid_that_stops_crossing_can_raise_the_price():
    high = book((BID, 1, 12), (BID, 1, 7), (ASK, 1, 5), (ASK, 1, 6))
    low = book((BID, 1, 12), (BID, 1, 1), (ASK, 1, 5), (ASK, 1, 6))
    assert (PAIR.tentative_price(high), PAIR.tentative_price(low)) == (6, 8)
    assert PAIR.clear(high, 0).fills == PAIR.clear(low, 0).fills


@given(books(names_differ=False), mechanisms, intervals)
def test_the_joint_gain_depends_on_the_energy_alone(orders, mechanism, interval):
    clearing = mechanism.clear(orders, interval)
    gain = 0
    for order, fill, money in zip(orders, clearing.fills, clearing.payments, strict=True):
        with_the_grid = fill * reserve(order.side, SMALL_TARIFF)
        gain += with_the_grid - money if order.side == BID else money - with_the_grid
    assert gain == (SMALL_TARIFF.buy_price - SMALL_TARIFF.sell_price) * clearing.matched


@given(books(names_differ=False), intervals)
def test_strict_clearing_respects_every_limit_and_is_efficient(orders, interval):
    clearing = STRICT.clear(orders, interval)
    welfare = 0
    for order, fill in zip(orders, clearing.fills, strict=True):
        worth = order.price if order.side == BID else -order.price
        welfare += worth * fill
        if fill:
            assert order.price >= clearing.price if order.side == BID else order.price <= clearing.price
    pairs = zip(dearest_first(orders, BID), dearest_first(orders, ASK)[::-1], strict=False)
    gains = [high - low for high, low in pairs if high >= low]
    assert (welfare, clearing.matched) == (sum(gains), len(gains))


@given(books(names_differ=False), intervals)
def test_strict_clearing_shares_the_margin_by_energy(orders, interval):
    clearing = STRICT.clear(orders, interval)
    for side in (BID, ASK):
        filled = [(o, f) for o, f in zip(orders, clearing.fills, strict=True) if o.side == side and o.energy]
        part_filled = {order.price for order, fill in filled if 0 < fill < order.energy}
        assert len(part_filled) <= 1
        for price in part_filled:
            margin = [(o.energy, f) for o, f in filled if o.price == price]
            energy, left = sum(e for e, _ in margin), sum(f for _, f in margin)
            assert all(abs(fill * energy - left * weight) < energy for weight, fill in margin)
