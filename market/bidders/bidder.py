"""What a bidder is: a pure strategy, from what it knows to its next quote.

The same strategy runs in a prosumer, beside its meter, and inside the contract of a parent chain, on behalf of the child
chains. So it keeps nothing: its state goes in and comes out as a value, and its randomness comes from its *seat*, the same
wherever and whenever the strategy runs.
"""

from __future__ import annotations

from typing import Protocol

from ledger.kernel.encoding import Frozen, Plain, Value, digest
from ledger.kernel.rng import Stream, stream
from market.learning import Aggressiveness, BiddingRound
from market.orders import Side
from market.units import MicroPencePerWattHour, Tariff


class Session(Frozen):
    """The market of one delivery interval on one chain: the contract's seed, names, and the main grid's prices."""

    seed: bytes
    chain: str
    interval: int
    tariff: Tariff


class Seat(Frozen):
    """A bidder's place in a session. The participant is the name of its account on the chain.

    Its randomness is the stream of the digest of contract seed, chain, interval and account, with a first word that keeps
    it apart from other draws.
    """

    session: Session
    participant: str
    side: Side

    def stream(self, *label: Plain) -> Stream:
        """This seat's randomness for the purpose with this label. All nodes draw the same."""
        return stream(
            digest("seat", self.session.seed, self.session.chain, self.session.interval, self.participant), *label
        )


class BidderState(Value):
    """All that a bidder remembers from round to round: the aggressiveness, None while it has seen no price, and its quote."""

    aggressiveness: Aggressiveness | None
    price: MicroPencePerWattHour


class Bidder(Protocol):
    """A bidding strategy."""

    def first_quote(self, seat: Seat) -> BidderState:
        """The state before the first round; its price is the first quote."""
        ...

    def next_quote(self, seat: Seat, state: BidderState, held: BiddingRound) -> BidderState:
        """The state after a round was held; its price is the next quote."""
        ...

    def forced(self, side: Side, quote: MicroPencePerWattHour, held: BiddingRound) -> bool:
        """Whether the round forces a bidder with this quote to move: the price has not settled then."""
        ...
