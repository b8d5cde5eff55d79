"""The bidder that always quotes the favourable end: the lowest price for a buyer, the highest for a seller.

Under full matching a quote never costs quantity, and under the competitive price rule a more favourable quote never makes
the price worse. So, whatever the others quote, no quote does better than this one: the paper's learning rule is obeyed at
a loss. It shows what the mechanism rewards; under strict clearing the same bidder trades nothing.
"""

from __future__ import annotations

from ledger.kernel.encoding import Frozen
from market.bidders.bidder import BidderState, Seat
from market.learning import BiddingRound
from market.orders import Side, favourable_price
from market.units import MicroPencePerWattHour


class FavourableBidder(Frozen):
    """Never learns."""

    def first_quote(self, seat: Seat) -> BidderState:
        return BidderState(None, favourable_price(seat.side, seat.session.tariff))

    def next_quote(self, seat: Seat, state: BidderState, held: BiddingRound) -> BidderState:
        return state

    def forced(self, side: Side, quote: MicroPencePerWattHour, held: BiddingRound) -> bool:
        return False
