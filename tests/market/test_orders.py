import pytest
from hypothesis import given

from ledger.kernel.encoding import Codec, encode
from ledger.kernel.rejection import Rejected
from market.orders import (
    ASK,
    BID,
    Crossing,
    Order,
    check_order,
    crossing_of,
    demand_of,
    favourable_price,
    opposite,
    reserve,
    supply_of,
)
from market.units import Tariff
from tests.harness.books import PAPER_TARIFF, books, dearest_first


def bid(energy, price, name="b"):
    return Order(name, BID, energy, price)


def ask(energy, price, name="a"):
    return Order(name, ASK, energy, price)


def test_a_buyer_never_pays_more_and_a_seller_never_takes_less_than_with_the_grid():
    assert (reserve(BID, PAPER_TARIFF), reserve(ASK, PAPER_TARIFF)) == (18_900, 3_200)
    assert (favourable_price(BID, PAPER_TARIFF), favourable_price(ASK, PAPER_TARIFF)) == (3_201, 18_899)
    assert (opposite(BID), opposite(ASK)) == (ASK, BID)


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (bid(0, 9), "bad_energy"),
        (bid(101, 9), "bad_energy"),
        (bid(5, 8), "bad_price"),
        (ask(5, 20), "bad_price"),
    ],
)
def test_an_order_that_no_market_takes_is_refused_by_name(order, code):
    with pytest.raises(Rejected) as caught:
        check_order(order, Tariff(20, 8), energy_max=100)
    assert caught.value.code == code


@pytest.mark.parametrize("order", [bid(1, 9), bid(100, 19), ask(1, 9), ask(100, 19)])
def test_an_order_at_the_edge_of_what_is_allowed_is_taken(order):
    check_order(order, Tariff(20, 8), energy_max=100)


def test_an_order_travels():
    assert Codec(Order).decode(encode(bid(420, 9_000))) == bid(420, 9_000)


@pytest.mark.parametrize(
    ("orders", "crossing"),
    [
        ([], Crossing(0, None, None, None, None)),
        ([bid(3, 9)], Crossing(0, None, None, 9, None)),
        ([ask(3, 9)], Crossing(0, None, None, None, 9)),
        ([ask(3, 0)], Crossing(0, None, None, None, 0)),
        ([bid(3, 5), ask(2, 6)], Crossing(0, None, None, 5, 6)),
        ([bid(3, 5), ask(3, 5)], Crossing(3, 5, 5, None, None)),
        ([bid(3, 9), ask(2, 6)], Crossing(2, 9, 6, 9, None)),  # the rest of the bid is the next Wh
        ([bid(2, 9), ask(3, 6)], Crossing(2, 9, 6, None, 6)),
        ([bid(2, 9), bid(2, 7), ask(2, 4), ask(5, 8)], Crossing(2, 9, 4, 7, 8)),
        ([bid(2, 9), bid(2, 7), ask(3, 4), ask(5, 6)], Crossing(4, 7, 6, None, 6)),
        ([bid(2, 9), bid(0, 12), ask(2, 4), ask(0, 1)], Crossing(2, 9, 4, None, None)),  # no Wh, no price
        ([bid(1, 0), ask(1, 0)], Crossing(1, 0, 0, None, None)),
    ],
)
def test_the_walk_ends_at_the_last_pair_that_crosses(orders, crossing):
    assert crossing_of(orders) == crossing


@given(books(names_differ=False))
def test_the_walk_is_the_walk_of_single_watt_hours(orders):
    bids, asks = dearest_first(orders, BID), dearest_first(orders, ASK)[::-1]
    assert (demand_of(orders), supply_of(orders)) == (len(bids), len(asks))
    m = sum(high >= low for high, low in zip(bids, asks, strict=False))
    assert crossing_of(orders) == Crossing(
        m,
        bids[m - 1] if m else None,
        asks[m - 1] if m else None,
        bids[m] if m < len(bids) else None,
        asks[m] if m < len(asks) else None,
    )
