"""What the auction contract does on a parent chain: it clears the residuals of its children, and answers them.

1. Before the gate children's residuals come in, one per (interval, child, side), each with the escrow of its side.
2. At the gate, if both sides are there, the bidding rounds are held in the contract on the children's behalf
   (``market.rounds``), their tentative prices are published, and the book is cleared. With one side, and so with one child,
   there is no price, no learning, and no round.
3. What is left of a side goes up as this chain's own residual. What was matched is answered at once.
4. Where there is no way up (the root, or no token to lend), what is left is refunded in the same answer.
5. What comes down from the parent is passed down: each lot, and a refund, is shared among the children by what each still
   lacks. A child is answered when there is energy to answer with, so every answer has money.
6. The interval is final when every child is answered in full.

A late residual is refused: its tokens go back to the child's contract, which counts it. No gate waits for a child.

Steps of the agenda: 1 the gate, 0 passes results down.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from ledger.kernel.instant import Instant
from ledger.kernel.rejection import require
from market.book import SIDES, ChildRequest, ClearingRow, PlainLot, Progress, RoundRow, lots_of, progress_of
from market.hierarchy import (
    AUCTION,
    RESULTS_STEP,
    AppliedResult,
    Uplink,
    answer_money,
    escrow_of,
    require_sender,
)
from market.orders import ASK, BID, Order, Side
from market.parameters import MarketParameters, MarketPlace
from market.rounds import DelegatedBidding, delegated_rounds
from market.sharing import share
from market.units import WattHours
from wasp.request import call
from wasp.vm.contract import Sandbox

RESIDUAL_MAX: WattHours = 10**12
"""Wh of the largest residual (1 TWh): no grid, and far from every bound of the encoding."""


class Parent:
    """The role of a chain whose participants are other chains."""

    def __init__(self, market: MarketParameters, place: MarketPlace) -> None:
        self._market = market
        self._place = place

    def first_due(self, interval: int) -> Instant:
        """The gate."""
        return self._market.gate_at(interval, self._place.level)

    def take_residual(self, sandbox: Sandbox, interval: int, side: Side, energy: int) -> None:
        """Line 1.

        Errors: ``Rejected`` with code ``stranger``, ``bad_energy``, ``late``, ``duplicate`` or ``escrow``.
        """
        require_sender(sandbox, *self._place.children)
        child, gate = sandbox.caller, self.first_due(interval)
        require(1 <= energy <= RESIDUAL_MAX, "bad_energy", f"a residual of {energy} Wh, 1 to {RESIDUAL_MAX} expected")
        require(sandbox.timestamp < gate, "late", f"residuals are accepted before {gate}")
        known = ChildRequest.read(sandbox, "request", interval, child, side)
        require(known is None, "duplicate", f"interval {interval} has a residual of {child} already")
        escrow = escrow_of(side, energy, self._market.tariff)
        require(sandbox.attached == escrow, "escrow", f"{sandbox.attached} tokens came along, {escrow} expected")
        sandbox.take(escrow)
        ChildRequest(energy, energy).write(sandbox, "request", interval, child, side)

    def handle_step(self, sandbox: Sandbox, interval: int, step: int) -> None:
        """Do what is due. A parent chain's interval has no later steps of its own."""
        if step == RESULTS_STEP:
            for result in Uplink(sandbox, self._market, self._place).apply_results(interval):
                self._pass_down(sandbox, interval, result)
        else:
            self._close_gate(sandbox, interval)
        self._note_progress(sandbox, interval)

    def _close_gate(self, sandbox: Sandbox, interval: int) -> None:
        """Lines 2 to 4."""
        uplink = Uplink(sandbox, self._market, self._place)
        bidding = self._bidding(interval, self._standing_orders(sandbox, interval))
        self._publish_rounds(sandbox, interval, bidding)
        clearing = _clearing_row(bidding)
        clearing.write(sandbox, "clearing", interval)
        left = {BID: clearing.demand - clearing.matched, ASK: clearing.supply - clearing.matched}
        goes_up = {side: bool(left[side]) and uplink.send_residual(interval, side, left[side]) for side in SIDES}
        for child, side, energy, _, fill in clearing.fills:
            lots: tuple[PlainLot, ...] = ()
            if fill:
                assert clearing.price is not None, "a match has a price"
                lots = ((self._place.level, fill, clearing.price),)
            refunded = 0 if goes_up[side] else energy - fill
            if lots or refunded:
                self._answer(sandbox, interval, child, side, lots, refunded)

    def _bidding(self, interval: int, orders: Sequence[Order]) -> DelegatedBidding:
        market = self._market
        return delegated_rounds(
            market.session(self._place.chain, interval),
            orders,
            market.bidder,
            market.mechanism,
            market.delegated_rounds,
            market.tolerance,
        )

    def _publish_rounds(self, sandbox: Sandbox, interval: int, bidding: DelegatedBidding) -> None:
        """Nobody learns from these rows any more; they show how the price came about."""
        held = bidding.rounds if bidding.clearing.supply and bidding.clearing.demand else ()
        for one in held:
            settled = bidding.settled and one.number == len(held)
            RoundRow(one.number, one.price, one.supply, one.demand, one.participants, settled).write(
                sandbox, "round", interval, one.number
            )
        Progress(rounds=len(held), cleared=True).write(sandbox, "interval", interval)

    def _standing_orders(self, sandbox: Sandbox, interval: int) -> tuple[Order, ...]:
        rows = (
            (child, side, ChildRequest.read(sandbox, "request", interval, child, side))
            for child in self._place.children
            for side in SIDES
        )
        return tuple(Order(child, side, row.energy, 0) for child, side, row in rows if row is not None)

    def _pass_down(self, sandbox: Sandbox, interval: int, result: AppliedResult) -> None:
        """Line 5."""
        side = result.side
        requests = {
            child: ChildRequest.read(sandbox, "request", interval, child, side) for child in self._place.children
        }
        lacking = {child: row.remaining for child, row in requests.items() if row is not None}
        portions: dict[str, list[PlainLot]] = {child: [] for child in lacking}
        for lot in lots_of(result.lots):
            for child, energy in share(lot.energy, lacking, interval).items():
                lacking[child] -= energy
                if energy:
                    portions[child].append((lot.level, energy, lot.price))
        refunds = share(result.refunded, lacking, interval)
        for child in lacking:
            if portions[child] or refunds[child]:
                self._answer(sandbox, interval, child, side, tuple(portions[child]), refunds[child])

    def _answer(
        self, sandbox: Sandbox, interval: int, child: str, side: Side, lots: tuple[PlainLot, ...], refunded: int
    ) -> None:
        """Send the next result of a child's request."""
        row = ChildRequest.read(sandbox, "request", interval, child, side)
        assert row is not None, "only requests are answered"
        remaining = row.remaining - refunded - sum(energy for _, energy, _ in lots)
        assert remaining >= 0, "more was answered than was asked"
        ChildRequest(row.energy, remaining, row.next_number + 1).write(sandbox, "request", interval, child, side)
        sandbox.send(
            child,
            call(AUCTION, "receive_result", interval, side, row.next_number, lots, refunded),
            answer_money(side, lots, refunded, remaining == 0, self._market.tariff),
        )

    def _note_progress(self, sandbox: Sandbox, interval: int) -> None:
        """Line 6. Nothing is metered here."""
        rows = (
            ChildRequest.read(sandbox, "request", interval, child, side)
            for child in self._place.children
            for side in SIDES
        )
        final, progress = all(row is None or row.remaining == 0 for row in rows), progress_of(sandbox, interval)
        if final and not progress.final:
            sandbox.emit("interval_final", interval)
        replace(progress, final=final, metered=True).write(sandbox, "interval", interval)


def _clearing_row(bidding: DelegatedBidding) -> ClearingRow:
    clearing = bidding.clearing
    fills = tuple(
        (order.participant, order.side, order.energy, order.price, fill)
        for order, fill in zip(bidding.orders, clearing.fills, strict=True)
    )
    price = clearing.price if clearing.matched else None
    return ClearingRow(price, clearing.supply, clearing.demand, clearing.matched, fills)
