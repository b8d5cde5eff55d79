"""A home's automaton: from its meter's forecasts to orders, and from its meter's readings to signed requests.

After Mullaney et al. 2022, III: each smart meter "places bids directly to the smart contracts", and updates them round by
round. Here the meter also reports what it measured.

1. At an interval's opening: forecast the net reading, take the bidder's first quote, submit the order.
2. When a round's tentative price stands in the active state, the bidder learns from it; another quote replaces the order.
   Nobody learns from the last round, nor once prices agreed, and nothing is submitted from the gate on.
3. After the delivery: submit the reading.
4. What the chain has not executed ``resubmit_after`` later is submitted again, the same bytes: mempools may have lost it.
5. A request leaves the books when the account's nonce has passed it. It may have failed; an order that was refused is not
   tried again until the next quote.

The bidder's draws come from its seat (contract seed, chain, interval, account), so they are the same wherever the home runs.
What it learns is a function of the rounds in the state alone: when a re-base changes them, it is learned again. So a
restarted home needs no records, only the next active state: its nonce, its standing orders and its readings are there.

An undone request comes back through the mempools. Should they have lost it, the nonces of later ones would wait for ever:
then, after the same time, what is still wanted is signed again from the account's nonce on. An order whose gate has passed
is not, nor is a reading whose grace is over.
"""

from __future__ import annotations

from typing import NoReturn, TypeAlias

from ledger.kernel.automaton import NOTHING, Automaton, Fault, NodeId, Path, Step
from ledger.kernel.encoding import Frozen
from ledger.kernel.identity import Signer
from ledger.kernel.instant import SECOND, Duration, Instant, earliest
from market.bidders.bidder import BidderState, Seat
from market.book import ReadingRow, RoundRow, StandingOrder
from market.hierarchy import AUCTION, escrow_of
from market.meter import Meter
from market.orders import ASK, BID
from market.parameters import MarketParameters, MarketPlace
from wasp.request import Call, OffLedgerRequest, call, sign_request
from wasp.vm.contract import StateReader

PENDING_MAX = 64
"""Requests under way: more than a home makes in an interval, fewer than a mempool keeps of one account."""


class StateAdvanced(Frozen):
    """Input: the active state is another one now.

    ``reader`` reads the auction's part of it, ``timestamp`` is its chain block's, ``nonce`` the next one of this home's
    account.
    """

    reader: StateReader
    timestamp: Instant
    nonce: int


class RequestToSubmit(Frozen):
    """Output: give this request to the own chain. ``again`` if it is the same one as before.

    ``entry_point`` and ``interval`` say what it is about.
    """

    request: OffLedgerRequest
    entry_point: str
    interval: int
    again: bool


ProsumerInput: TypeAlias = StateAdvanced


class _Bidding:
    """The home's part in the market of one interval."""

    __slots__ = ("energy", "learned", "seat", "sent", "state")

    def __init__(self, seat: Seat, energy: int, state: BidderState, sent: StandingOrder | None) -> None:
        self.seat = seat
        self.energy = energy
        self.state = state
        self.sent = sent
        self.learned: list[RoundRow] = []


class _Pending:
    """A signed request that the active state has not executed."""

    __slots__ = ("call", "interval", "request", "since")

    def __init__(self, request: OffLedgerRequest, interval: int, since: Instant) -> None:
        self.request = request
        self.call = request.essence.call
        self.interval = interval
        self.since = since


class Prosumer(Automaton[ProsumerInput, NoReturn, RequestToSubmit]):
    """A home in the market of its microgrid's chain."""

    def __init__(
        self,
        market: MarketParameters,
        place: MarketPlace,
        meter: Meter,
        signer: Signer,
        resubmit_after: Duration = 15 * SECOND,
    ) -> None:
        assert meter.home in place.connections, "a home of this microgrid"
        self._market = market
        self._place = place
        self._meter = meter
        self._signer = signer
        self._resubmit_after = resubmit_after
        self._reader: StateReader | None = None
        self._nonce = 0
        self._next_nonce = 0
        self._pending: dict[int, _Pending] = {}
        self._biddings: dict[int, _Bidding] = {}
        self._next_opening = 0
        self._next_reading = 0
        self._outputs: list[RequestToSubmit] = []

    # ------------------------------------------------------------------------------------------------------ events

    def handle_input(self, input: ProsumerInput, now: Instant) -> Step[RequestToSubmit]:
        self._reader = input.reader
        self._nonce = input.nonce
        self._next_nonce = max(self._next_nonce, input.nonce)
        self._pending = {nonce: pending for nonce, pending in self._pending.items() if nonce >= input.nonce}
        return self._act(now)

    def handle_message(self, sender: NodeId, path: Path, message: NoReturn, now: Instant) -> Step[RequestToSubmit]:
        return Step(faults=(Fault(sender, "unexpected", path, "homes speak to their chain, not to each other"),))

    def handle_timer(self, now: Instant) -> Step[RequestToSubmit]:
        return self._act(now)

    @property
    def deadline(self) -> Instant | None:
        if self._reader is None:
            return None
        market = self._market
        return earliest(
            self._opening(self._next_opening) if self._next_opening < self._intervals else None,
            market.readings_from(self._next_reading) + market.clock_margin
            if self._next_reading < self._intervals
            else None,
            *(pending.since + self._resubmit_after for pending in self._pending.values()),
        )

    @property
    def status(self) -> str:
        """Why it waits."""
        if self._reader is None:
            return "waits for the first state of its chain"
        return (
            f"nonce {self._nonce}, {len(self._pending)} requests under way, bids for intervals {sorted(self._biddings)}"
        )

    # ------------------------------------------------------------------------------------------------ lines 1 to 5

    def _act(self, now: Instant) -> Step[RequestToSubmit]:
        if self._reader is None:
            return NOTHING
        self._open_biddings(self._reader, now)
        for interval in sorted(self._biddings):
            self._bid(self._reader, interval, now)
        self._report_readings(self._reader, now)
        self._resubmit(now)
        outputs, self._outputs = tuple(self._outputs), []
        return Step(outputs=outputs) if outputs else NOTHING

    def _open_biddings(self, reader: StateReader, now: Instant) -> None:
        """Line 1. What stands in the state already was submitted before a restart."""
        market, home = self._market, self._meter.home
        while self._next_opening < self._intervals and self._opening(self._next_opening) <= now:
            interval = self._next_opening
            self._next_opening += 1
            net = self._meter.forecast(interval) if now < market.gate_at(interval, self._place.level) else 0
            if net:
                seat = Seat(market.session(self._place.chain, interval), home, ASK if net > 0 else BID)
                standing = StandingOrder.read(reader, "order", interval, home)
                self._biddings[interval] = _Bidding(seat, abs(net), market.bidder.first_quote(seat), standing)

    def _bid(self, reader: StateReader, interval: int, now: Instant) -> None:
        """Line 2."""
        bidding = self._biddings[interval]
        if now >= self._market.gate_at(interval, self._place.level):
            del self._biddings[interval]
            return
        self._learn(reader, interval, bidding)
        side = bidding.seat.side
        order = StandingOrder(side, bidding.energy, bidding.state.price)
        if order != bidding.sent:
            allowance = escrow_of(BID, order.energy, self._market.tariff) if side == BID else 0
            parameters = (interval, side, order.energy, order.price)
            if self._sign(call(AUCTION, "submit_order", *parameters), allowance, interval, now):
                bidding.sent = order

    def _learn(self, reader: StateReader, interval: int, bidding: _Bidding) -> None:
        """Bring the bidder's state in line with the rounds that the state has."""
        learned, bidder = bidding.learned, self._market.bidder
        if learned and RoundRow.read(reader, "round", interval, learned[-1].number) != learned[-1]:
            learned.clear()
            bidding.state = bidder.first_quote(bidding.seat)
        while len(learned) < self._market.rounds - 1:
            row = RoundRow.read(reader, "round", interval, len(learned) + 1)
            if row is None or row.settled:
                return
            learned.append(row)
            bidding.state = bidder.next_quote(bidding.seat, bidding.state, row.held)

    def _report_readings(self, reader: StateReader, now: Instant) -> None:
        """Line 3."""
        market = self._market
        while self._next_reading < self._intervals:
            interval = self._next_reading
            if market.readings_from(interval) + market.clock_margin > now:
                return
            self._next_reading += 1
            known = ReadingRow.read(reader, "reading", interval, self._meter.home) is not None
            if now < market.metering_at(interval) and not known:
                reading = self._meter.reading(interval)
                parameters = (interval, reading.net, reading.load, reading.generation)
                self._sign(call(AUCTION, "submit_reading", *parameters), 0, interval, now)

    def _resubmit(self, now: Instant) -> None:
        """Line 4, and what to do when nonces below were lost."""
        if not self._pending:
            return
        waiting = sorted(self._pending.items())
        if waiting[0][0] > self._nonce and waiting[0][1].since + self._resubmit_after <= now:
            self._pending = {}
            self._next_nonce = self._nonce
            for _, pending in waiting:
                if now < self._end_of(pending):
                    self._sign(pending.call, pending.request.essence.allowance, pending.interval, now)
            return
        for _, pending in waiting:
            if pending.since + self._resubmit_after <= now:
                pending.since = now
                self._outputs.append(
                    RequestToSubmit(pending.request, pending.call.entry_point, pending.interval, again=True)
                )

    # -------------------------------------------------------------------------------------------------- small parts

    @property
    def _intervals(self) -> int:
        return min(self._market.intervals, self._meter.intervals)

    def _end_of(self, pending: _Pending) -> Instant:
        """From when on its chain refuses what is asked."""
        if pending.call.entry_point == "submit_reading":
            return self._market.metering_at(pending.interval)
        return self._market.gate_at(pending.interval, self._place.level)

    def _opening(self, interval: int) -> Instant:
        return self._market.opening_at(interval) + self._market.clock_margin

    def _sign(self, wanted: Call, allowance: int, interval: int, now: Instant) -> bool:
        """Sign a request and submit it, unless too many are under way."""
        if len(self._pending) >= PENDING_MAX:
            return False
        request = sign_request(self._signer, self._place.chain, self._next_nonce, wanted, allowance)
        self._pending[self._next_nonce] = _Pending(request, interval, now)
        self._next_nonce += 1
        self._outputs.append(RequestToSubmit(request, wanted.entry_point, interval, again=False))
        return True
