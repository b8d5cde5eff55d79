"""Mechanisms: from the standing orders to a price and to what each of them trades.

**Full matching** (the paper's, Mullaney et al. 2022, III-B). Supply S and demand D are fixed, the limit of an order is its
reserve, and "all energy within the grid" is matched, "leaving no wasted energy":

1. Q = min(S, D): the short side trades in full. One side empty: no price, nothing matched.
2. Bids by price down and asks by price up are walked by energy; the marginal pair (a_m, b_m) is the last that crosses.
3. Price rule ``marginal_pair`` (the paper): the middle of a_m and b_m.
4. Price rule ``competitive``: the middle of [max(a_m, b_next), min(b_m, a_next)], where next is the price of the next Wh
   not matched, the rest of a part-filled order included.
5. No pair crosses: either rule takes the middle of the best bid and the best ask, and Q trades all the same.
6. The long side shares Q in proportion to the energy of its orders: prices set the price, not the share.

The middle is floored: the odd half micro-penny per Wh stays with the buyers.

The paper's equation (1) contradicts its sentence (min of the consumers and max of the producers, against "the highest
consumer bid" and "the lowest producer bid"). They agree on the pairs that cross, hence line 2; line 5 is the sentence.

The competitive interval holds exactly the prices at which as many Wh are offered as wanted; it is the interval from the
(S + 1)-th to the S-th dearest Wh of bids and asks in one pool. So scarcity shows in it, and no bidder can turn the price in
its favour by a less favourable quote. For the marginal pair neither holds: a bid that stops crossing can *raise* the
price. Under either rule a quote never costs quantity, so a bidder has no reason to offer more than the favourable end.

**Strict clearing** (the market study's). The price of an order is its limit, and only what crosses trades: the orders
before the margin in full, those at the marginal price share what is left of their side pro rata. The price is the middle
of the competitive interval. Nothing crosses: no price, nothing matched. It may leave bids *and* asks.

Ties, here and there, are shared by the rule of ``market.sharing``, never by arrival.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias

from ledger.kernel.encoding import Frozen
from market.orders import ASK, BID, Crossing, Order, Side, crossing_of, demand_of, supply_of
from market.sharing import apportion
from market.units import MicroPence, MicroPencePerWattHour, WattHours

PriceRule: TypeAlias = Literal["marginal_pair", "competitive"]


class Clearing(Frozen):
    """What a mechanism made of a book. ``fills`` has the Wh that each order trades, in the sequence of the orders."""

    price: MicroPencePerWattHour | None
    supply: WattHours
    demand: WattHours
    matched: WattHours
    fills: tuple[WattHours, ...]

    @property
    def long_side(self) -> Side | None:
        """The side that has more energy; none has when they are equal."""
        if self.supply == self.demand:
            return None
        return ASK if self.supply > self.demand else BID

    @property
    def surplus(self) -> WattHours:
        """Energy offered and not matched."""
        return self.supply - self.matched

    @property
    def deficit(self) -> WattHours:
        """Energy wanted and not matched."""
        return self.demand - self.matched

    @property
    def payments(self) -> tuple[MicroPence, ...]:
        """What each bid pays and each ask receives, in the sequence of the orders."""
        price = self.price or 0
        return tuple(fill * price for fill in self.fills)


class Mechanism(Protocol):
    """A way to clear a book. The sequence of the orders must not matter."""

    def tentative_price(self, orders: Sequence[Order]) -> MicroPencePerWattHour | None:
        """The price at which ``clear`` would clear these orders."""
        ...

    def clear(self, orders: Sequence[Order], interval: int) -> Clearing:
        """Clear the book of this delivery interval."""
        ...


class FullMatch(Frozen):
    """The paper's mechanism: the short side trades in full, within the reserves."""

    price_rule: PriceRule = "competitive"

    def tentative_price(self, orders: Sequence[Order]) -> MicroPencePerWattHour | None:
        return self._price(crossing_of(orders))

    def clear(self, orders: Sequence[Order], interval: int) -> Clearing:
        supply, demand = supply_of(orders), demand_of(orders)
        matched = min(supply, demand)
        fills = [order.energy if matched else 0 for order in orders]
        if matched and supply != demand:
            long_side = ASK if supply > demand else BID
            _share_fills(
                orders, fills, [i for i, order in enumerate(orders) if order.side == long_side], matched, interval
            )
        return Clearing(self.tentative_price(orders), supply, demand, matched, tuple(fills))

    def _price(self, crossing: Crossing) -> MicroPencePerWattHour | None:
        if self.price_rule == "marginal_pair" and crossing.marginal_bid is not None:
            assert crossing.marginal_ask is not None
            return (crossing.marginal_bid + crossing.marginal_ask) // 2
        return _competitive_price(crossing)


class Strict(Frozen):
    """A price is a limit: only what crosses trades, at the middle of the competitive interval."""

    def tentative_price(self, orders: Sequence[Order]) -> MicroPencePerWattHour | None:
        crossing = crossing_of(orders)
        return _competitive_price(crossing) if crossing.energy else None

    def clear(self, orders: Sequence[Order], interval: int) -> Clearing:
        crossing = crossing_of(orders)
        fills = [0] * len(orders)
        if crossing.marginal_bid is None or crossing.marginal_ask is None:
            return Clearing(None, supply_of(orders), demand_of(orders), 0, tuple(fills))
        for side, marginal in ((BID, crossing.marginal_bid), (ASK, crossing.marginal_ask)):
            left, at_the_margin = crossing.energy, []
            for i, order in enumerate(orders):
                if order.side != side:
                    continue
                if order.price == marginal:
                    at_the_margin.append(i)
                elif (order.price > marginal) == (side == BID):
                    fills[i] = order.energy
                    left -= order.energy
            _share_fills(orders, fills, at_the_margin, left, interval)
        price = _competitive_price(crossing)
        return Clearing(price, supply_of(orders), demand_of(orders), crossing.energy, tuple(fills))


def competitive_interval(crossing: Crossing) -> tuple[MicroPencePerWattHour, MicroPencePerWattHour] | None:
    """The lowest and the highest price that clear the book; None when one side is empty."""
    below = [price for price in (crossing.marginal_ask, crossing.next_bid) if price is not None]
    above = [price for price in (crossing.marginal_bid, crossing.next_ask) if price is not None]
    return (max(below), min(above)) if below and above else None


def filled_energy(orders: Sequence[Order], clearing: Clearing) -> dict[str, WattHours]:
    """What each participant trades, in the order of the names."""
    filled = dict.fromkeys(sorted({order.participant for order in orders}), 0)
    for order, fill in zip(orders, clearing.fills, strict=True):
        filled[order.participant] += fill
    return filled


def _competitive_price(crossing: Crossing) -> MicroPencePerWattHour | None:
    interval = competitive_interval(crossing)
    return None if interval is None else (interval[0] + interval[1]) // 2


def _share_fills(
    orders: Sequence[Order], fills: list[int], places: list[int], energy: WattHours, interval: int
) -> None:
    """Share energy among the orders at these places, by their energy. A name with two orders has two ranks."""
    places.sort(key=lambda i: (orders[i].participant, orders[i].energy, orders[i].price))
    for i, amount in zip(places, apportion(energy, [orders[i].energy for i in places], interval), strict=True):
        fills[i] = amount
