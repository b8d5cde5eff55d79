"""The IOTA paper's bidder (Mullaney et al. 2022, III-B): a random first quote, then aggressiveness.

1. The first quote is drawn evenly from the prices strictly between the reserves.
2. At the first round with a price: r = the least aggressiveness whose quote at that price reaches the first quote.
3. At every round with a price: r learns (Algorithm 1), and the quote follows from it (equations 2 and 3).

The paper leaves open how r starts; line 2 makes the first quote one that the curve could have given. Both rules are
chosen apart: in their corrected form, or as printed (``market.learning`` says what is wrong in print).

The first quotes are remembered for long: unless one side is very short of energy, most of the spread of the first price
over different draws is still there after ten rounds.
"""

from __future__ import annotations

from ledger.kernel.encoding import Frozen
from market.bidders.bidder import BidderState, Seat
from market.learning import BiddingRound, CorrectedAlgorithm, CorrectedEquations, LearningRule, QuoteRule
from market.orders import Side
from market.units import MicroPencePerWattHour


class PaperBidder(Frozen):
    """Quotes by ``equations``, learns by ``algorithm``."""

    equations: QuoteRule = CorrectedEquations()
    algorithm: LearningRule = CorrectedAlgorithm()

    def first_quote(self, seat: Seat) -> BidderState:
        tariff = seat.session.tariff
        return BidderState(None, seat.stream("first quote").randint(tariff.lowest_price, tariff.highest_price))

    def next_quote(self, seat: Seat, state: BidderState, held: BiddingRound) -> BidderState:
        if held.price is None:
            return state
        side, tariff, aggressiveness = seat.side, seat.session.tariff, state.aggressiveness
        if aggressiveness is None:
            aggressiveness = self.equations.first_reaching(side, state.price, held.price, tariff)
        aggressiveness = self.algorithm.learned(side, aggressiveness, state.price, held)
        return BidderState(aggressiveness, self.equations.quote(side, aggressiveness, held.price, tariff))

    def forced(self, side: Side, quote: MicroPencePerWattHour, held: BiddingRound) -> bool:
        return self.algorithm.forces(side, quote, held)
