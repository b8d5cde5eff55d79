"""Orders, and the book that they make.

An order is a bid (to buy) or an ask (to sell): so much energy, at the price that its bidder plays. Its *reserve* is the
main grid's price: a buyer never pays more, a seller never takes less. Under full matching the price sets the price, the
reserve is the limit; under strict clearing the price is the limit itself.

A book is any sequence of orders. Its sequence has no meaning: all that is computed of a book sorts by defined keys.
An order of no energy may stand in a book; it has no Wh that could set a price.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

from ledger.kernel.encoding import Frozen, Natural, Value
from ledger.kernel.rejection import require
from market.units import MicroPencePerWattHour, Tariff, WattHours

Side: TypeAlias = Literal["bid", "ask"]
BID: Final = "bid"
ASK: Final = "ask"


class Order(Value):
    """What a participant, by its name in the configuration, wants to trade in one delivery interval."""

    participant: str
    side: Side
    energy: Natural
    price: Natural


class Crossing(Frozen):
    """Where the bids, walked down from the dearest Wh, meet the asks, walked up from the cheapest.

    ``energy`` is how many Wh cross (the bid is at least the ask), ``marginal_bid`` and ``marginal_ask`` are the prices of
    the last pair of Wh that does (None: no pair does), ``next_bid`` and ``next_ask`` the prices of the next Wh on each
    side, which may be the rest of the same order (None: the side is used up).
    """

    energy: WattHours
    marginal_bid: MicroPencePerWattHour | None
    marginal_ask: MicroPencePerWattHour | None
    next_bid: MicroPencePerWattHour | None
    next_ask: MicroPencePerWattHour | None


def opposite(side: Side) -> Side:
    """The other side of the market."""
    return ASK if side == BID else BID


def reserve(side: Side, tariff: Tariff) -> MicroPencePerWattHour:
    """The limit of an order of this side, which is the price at which the side trades with the main grid."""
    return tariff.buy_price if side == BID else tariff.sell_price


def favourable_price(side: Side, tariff: Tariff) -> MicroPencePerWattHour:
    """The price that an order of this side would like best: the lowest for a buyer, the highest for a seller."""
    return tariff.lowest_price if side == BID else tariff.highest_price


def check_order(order: Order, tariff: Tariff, energy_max: WattHours) -> None:
    """Refuse an order that no market takes.

    Errors: ``Rejected`` with code ``bad_energy`` (none, or more than the registered connection ``energy_max``) or
    ``bad_price`` (not strictly inside the reserves).
    """
    require(1 <= order.energy <= energy_max, "bad_energy", f"an order of {order.energy} Wh, 1 to {energy_max} expected")
    require(
        tariff.lowest_price <= order.price <= tariff.highest_price,
        "bad_price",
        f"a price of {order.price}, {tariff.lowest_price} to {tariff.highest_price} micro-pence per Wh expected",
    )


def supply_of(orders: Sequence[Order]) -> WattHours:
    """The energy of all asks."""
    return sum([order.energy for order in orders if order.side == ASK])


def demand_of(orders: Sequence[Order]) -> WattHours:
    """The energy of all bids."""
    return sum([order.energy for order in orders if order.side == BID])


def crossing_of(orders: Sequence[Order]) -> Crossing:
    """Walk the book. Orders at one price are interchangeable here, so ties need no rule."""
    bids = sorted([(order.price, order.energy) for order in orders if order.side == BID and order.energy], reverse=True)
    asks = sorted([(order.price, order.energy) for order in orders if order.side == ASK and order.energy])
    bids.append((-1, 0))  # below every ask: the walk ends here at the latest
    energy = bid_place = ask_place = 0
    marginal_bid = marginal_ask = None
    bid, bid_left = bids[0]
    ask, ask_left = asks[0] if asks else (None, 0)
    while ask is not None and bid >= ask:
        marginal_bid, marginal_ask = bid, ask
        step = bid_left if bid_left < ask_left else ask_left
        energy += step
        bid_left -= step
        ask_left -= step
        if not bid_left:
            bid_place += 1
            bid, bid_left = bids[bid_place]
        if not ask_left:
            ask_place += 1
            ask, ask_left = asks[ask_place] if ask_place < len(asks) else (None, 0)
    return Crossing(energy, marginal_bid, marginal_ask, bid if bid_left else None, ask)
