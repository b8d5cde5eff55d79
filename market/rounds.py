"""Bidding rounds: from first quotes to the book that is cleared.

1. A round ends: its tentative price, of the orders then standing, is published with the energy on both sides.
2. Bidders learn from it and replace their orders; then the next round runs.
3. R rounds are R tentative prices and R - 1 learning steps: round R ends at the gate, its price is the clearing price, and
   nobody learns from it.
4. Price consensus ends the learning early: two rounds in a row had a price, it moved by at most the tolerance, the same
   participants stood, and nobody is forced. It does not end the taking of orders.

The paper leaves the time limit and the meaning of "consensus" open; lines 3 and 4 fix them. *Delegated* rounds are held at
once, by one strategy on everybody's behalf: in the contract of a parent chain for its children, and in runs without a
ledger. A book with one side has no price to learn from, and no rounds.
"""

from __future__ import annotations

from collections.abc import Sequence

from ledger.kernel.encoding import Frozen
from market.bidders.bidder import Bidder, Seat, Session
from market.clearing import Clearing, Mechanism
from market.learning import BiddingRound
from market.orders import Order, demand_of, supply_of
from market.units import MicroPencePerWattHour

ROUNDS_MAX = 20
"""Delegated rounds run inside one call of a contract; quotes settle in far fewer."""


class DelegatedBidding(Frozen):
    """What delegated rounds led to: the rounds held, the orders that stood in the last one, and their clearing.

    ``settled``: prices agreed in the last one, which may have come early.
    """

    rounds: tuple[BiddingRound, ...]
    orders: tuple[Order, ...]
    clearing: Clearing
    settled: bool

    @property
    def prices(self) -> tuple[MicroPencePerWattHour | None, ...]:
        """The tentative price of each round."""
        return tuple(held.price for held in self.rounds)


def hold_round(number: int, orders: Sequence[Order], mechanism: Mechanism) -> BiddingRound:
    """End a round: what is published of the standing orders."""
    participants = tuple(sorted({order.participant for order in orders}))
    return BiddingRound(number, mechanism.tentative_price(orders), supply_of(orders), demand_of(orders), participants)


def price_consensus(
    previous: BiddingRound | None,
    held: BiddingRound,
    orders: Sequence[Order],
    bidder: Bidder,
    tolerance: MicroPencePerWattHour,
) -> bool:
    """Whether learning ends with the round just held, in which these orders stood."""
    if previous is None or previous.price is None or held.price is None:
        return False
    if abs(held.price - previous.price) > tolerance or held.participants != previous.participants:
        return False
    return not any(bidder.forced(order.side, order.price, held) for order in orders)


def delegated_rounds(
    session: Session,
    orders: Sequence[Order],
    bidder: Bidder,
    mechanism: Mechanism,
    rounds: int,
    tolerance: MicroPencePerWattHour = 0,
) -> DelegatedBidding:
    """Bid for all participants of the session, at most ``rounds`` times, then clear.

    The orders say who trades how much; their prices are the bidder's to choose. The result's orders are in their sequence.
    """
    assert 1 <= rounds <= ROUNDS_MAX
    seats = [Seat(session, order.participant, order.side) for order in orders]
    states = [bidder.first_quote(seat) for seat in seats]
    held: list[BiddingRound] = []
    while True:
        standing = tuple(
            Order(order.participant, order.side, order.energy, state.price)
            for order, state in zip(orders, states, strict=True)
        )
        previous = held[-1] if held else None
        held.append(hold_round(len(held) + 1, standing, mechanism))
        one_sided = not (held[-1].supply and held[-1].demand)
        settled = price_consensus(previous, held[-1], standing, bidder, tolerance)
        if len(held) == rounds or one_sided or settled:
            return DelegatedBidding(tuple(held), standing, mechanism.clear(standing, session.interval), settled)
        states = [bidder.next_quote(seat, state, held[-1]) for seat, state in zip(seats, states, strict=True)]
