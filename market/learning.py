"""How the paper's bidders quote and learn, in integers.

Mullaney et al. 2022, III-B, equations (2) and (3) and Algorithm 1, after the adaptive-aggressiveness strategy of
Vytelingum, Cliff and Jennings 2008. A bidder has an *aggressiveness* r in [-1, 1]: at 1 it wants to trade at any price, at
-1 it wants the best price, at 0 it quotes the market's. With g(x) = (e^2x - 1) / (e^2 - 1), the market's price M, and the
reserves c (the grid buys at it) and l (the grid sells at it):

1. buyer,  r <= 0:  c + (M - c) (1 - g(-r))          r >= 0:  M + (l - M) g(r)
2. seller, r <= 0:  M + (l - M) g(-r)                r >= 0:  c + (M - c) (1 - g(r))
3. A quote is floored, then clamped to one micro-penny inside the reserves.
4. Forced: a buyer when demand exceeds supply and its bid is below the price; a seller when supply exceeds demand and its
   ask is above it:  r += b (1 - r), b = 0.4.
5. Else free:  r += b (d - r), d = -0.01 if the order would trade at the price, else +0.01.

**What is corrected, and why.** The paper prints "1 - g" on the wrong branch of both equations: a bid at r = -1 and at r = +1
is the market's price, a neutral bid jumps over the whole band, and each half *falls* with r, against its figure 7 and its
text ("if neutral, it aims its next bid at the current market price"; aggressive: "at the maximum buy"). Lines 1 and 2 are
Vytelingum's curve with both parameters 2; they rise (fall, for a seller) from end to end and meet at M. Algorithm 1 as
printed forces a buyer when demand is *less* than supply, and a seller, *below* the price, when demand exceeds supply; its
results say the opposite ("demand far exceeds supply ... make the buyers more aggressive"). Line 4 forces the long side.
"Can update bid freely" is undefined; line 5 is the short-term learning of the 2008 paper, with one price per round.

``PrintedEquations`` and ``PrintedAlgorithm`` are the paper's letter, selectable apart. What print leaves undefined, r = 0,
is there the market's price.

**Integers.** r is in millionths. g comes from a table of 1024 steps scaled by 2^32, computed once by ``decimal``,
correctly rounded, linear between; a quote is one exact product, floored once. Learning multiplies and floors. A seller's
quote at r is a buyer's at -r, so one curve serves both.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from typing import Protocol, TypeAlias

from ledger.kernel.encoding import Frozen, Value
from market.orders import BID, Side
from market.units import MicroPencePerWattHour, Tariff, WattHours

Aggressiveness: TypeAlias = int
"""In millionths, from -1,000,000 (passive) to 1,000,000 (aggressive)."""

ONE: Aggressiveness = 1_000_000
LEARNING_RATE = 400_000
"""b, in millionths."""
FREE_STEP: Aggressiveness = 10_000
"""The aggressiveness, towards + or -, that a bidder with freedom drifts to."""

_STEPS = 1024
_SCALE = 2**32
_GROWTH_ONE = _SCALE * ONE
"""g(1) as ``growth`` counts it."""


def _growth_table() -> tuple[int, ...]:
    with localcontext(Context(prec=50)):
        top = Decimal(2).exp() - 1
        exact = (((Decimal(2 * step) / _STEPS).exp() - 1) / top * _SCALE for step in range(_STEPS + 1))
        return tuple(int(value.to_integral_value(ROUND_HALF_EVEN)) for value in exact)


_GROWTH = _growth_table()


def growth(x: Aggressiveness) -> int:
    """g(x) for x in [0, ``ONE``], exactly on the line between two entries of the table, in units of 2^-32 / 10^6."""
    step, part = divmod(x * _STEPS, ONE)
    low = _GROWTH[step] * ONE
    return low if not part else low + (_GROWTH[step + 1] - _GROWTH[step]) * part


class BiddingRound(Value):
    """What is published at the end of a bidding round: its number from 1, the tentative price of the standing orders
    (None: one side is empty), the energy on both sides, and whose orders stood, by name.
    """

    number: int
    price: MicroPencePerWattHour | None
    supply: WattHours
    demand: WattHours
    participants: tuple[str, ...]


class QuoteRule(Protocol):
    """The curve from aggressiveness to a quote."""

    def quote(
        self, side: Side, aggressiveness: Aggressiveness, price: MicroPencePerWattHour, tariff: Tariff
    ) -> MicroPencePerWattHour:
        """What a bidder of this side and aggressiveness quotes when the market's price is this one."""
        ...

    def first_reaching(
        self, side: Side, goal: MicroPencePerWattHour, price: MicroPencePerWattHour, tariff: Tariff
    ) -> Aggressiveness:
        """The least aggressiveness whose quote is at least (buyer) or at most (seller) the goal; ``ONE`` if none is."""
        ...


class CorrectedEquations(Frozen):
    """Equations (2) and (3) as the text and the figure of the paper mean them: lines 1 to 3."""

    def quote(
        self, side: Side, aggressiveness: Aggressiveness, price: MicroPencePerWattHour, tariff: Tariff
    ) -> MicroPencePerWattHour:
        r = aggressiveness if side == BID else -aggressiveness
        if r <= 0:
            low = tariff.sell_price
            return tariff.clamp(low + (price - low) * (_GROWTH_ONE - growth(-r)) // _GROWTH_ONE)
        return tariff.clamp(price + (tariff.buy_price - price) * growth(r) // _GROWTH_ONE)

    def first_reaching(
        self, side: Side, goal: MicroPencePerWattHour, price: MicroPencePerWattHour, tariff: Tariff
    ) -> Aggressiveness:
        low, high = -ONE, ONE  # the curve is monotone in aggressiveness, and its end reaches every goal
        while low < high:
            middle = (low + high) // 2
            if agrees(side, self.quote(side, middle, price, tariff), goal):
                high = middle
            else:
                low = middle + 1
        return low


class PrintedEquations(Frozen):
    """Equations (2) and (3) to the letter: each half runs backwards, from one end of the band to the market's price."""

    def quote(
        self, side: Side, aggressiveness: Aggressiveness, price: MicroPencePerWattHour, tariff: Tariff
    ) -> MicroPencePerWattHour:
        r = aggressiveness if side == BID else -aggressiveness
        if r < 0:
            low = tariff.sell_price
            return tariff.clamp(low + (price - low) * growth(-r) // _GROWTH_ONE)
        if r == 0:
            return tariff.clamp(price)
        return tariff.clamp(price + (tariff.buy_price - price) * (_GROWTH_ONE - growth(r)) // _GROWTH_ONE)

    def first_reaching(
        self, side: Side, goal: MicroPencePerWattHour, price: MicroPencePerWattHour, tariff: Tariff
    ) -> Aggressiveness:
        for start in (
            -ONE,
            1,
        ):  # a half that runs backwards reaches a goal at its start, or nowhere; 0 quotes what -ONE does
            if agrees(side, self.quote(side, start, price, tariff), goal):
                return start
        return ONE


class LearningRule(Protocol):
    """How a bidder's aggressiveness follows a round that had a price."""

    def forces(self, side: Side, quote: MicroPencePerWattHour, held: BiddingRound) -> bool:
        """Whether the round forces a bidder with this quote to become more aggressive. Without a price it forces nobody."""
        ...

    def learned(
        self, side: Side, aggressiveness: Aggressiveness, quote: MicroPencePerWattHour, held: BiddingRound
    ) -> Aggressiveness:
        """The aggressiveness after the round."""
        ...


class CorrectedAlgorithm(Frozen):
    """Algorithm 1 as the paper's results mean it: the long side is forced (lines 4 and 5). ``rate`` is b, in millionths."""

    rate: int = LEARNING_RATE

    def forces(self, side: Side, quote: MicroPencePerWattHour, held: BiddingRound) -> bool:
        if held.price is None:
            return False
        if side == BID:
            return held.demand > held.supply and quote < held.price
        return held.supply > held.demand and quote > held.price

    def learned(
        self, side: Side, aggressiveness: Aggressiveness, quote: MicroPencePerWattHour, held: BiddingRound
    ) -> Aggressiveness:
        return _learned(self.forces(side, quote, held), self.rate, side, aggressiveness, quote, held)


class PrintedAlgorithm(Frozen):
    """Algorithm 1 to the letter: the short side is forced, a seller when its ask is already below the price."""

    rate: int = LEARNING_RATE

    def forces(self, side: Side, quote: MicroPencePerWattHour, held: BiddingRound) -> bool:
        if held.price is None or quote >= held.price:
            return False
        return held.demand < held.supply if side == BID else held.demand > held.supply

    def learned(
        self, side: Side, aggressiveness: Aggressiveness, quote: MicroPencePerWattHour, held: BiddingRound
    ) -> Aggressiveness:
        return _learned(self.forces(side, quote, held), self.rate, side, aggressiveness, quote, held)


def agrees(side: Side, quote: MicroPencePerWattHour, price: MicroPencePerWattHour) -> bool:
    """Whether an order with this quote would trade at this price."""
    return quote >= price if side == BID else quote <= price


def _learned(
    forced: bool,
    rate: int,
    side: Side,
    aggressiveness: Aggressiveness,
    quote: MicroPencePerWattHour,
    held: BiddingRound,
) -> Aggressiveness:
    if held.price is None:
        return aggressiveness
    aim = ONE if forced else -FREE_STEP if agrees(side, quote, held.price) else FREE_STEP
    return aggressiveness + rate * (aim - aggressiveness) // ONE
