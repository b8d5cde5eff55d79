"""What the auction contract does on the chain of a microgrid: orders, bidding rounds, the gate, settlement, metering.

1. From the opening to the gate homes submit orders. A bid locks energy x P_gb until the interval is final; the next order of
   the same home replaces it, and only the difference moves.
2. At each round's end the tentative price of the standing orders is published. Homes learn and replace their orders.
3. The last round ends at the gate: the book is cleared, each side's residual goes up.
4. When every Wh that went up has been answered, the interval is final: homes are settled, and what nobody matched is
   traded with the main grid, through the utility's account.
5. From T_k + D on meters submit their readings; after the grace metered meets ordered.

An order in a chain block whose timestamp is not before the gate is not taken. It is no failed request, because a failure
would undo its count: the result in its receipt is "late". The contract can't know when a request was submitted, so here what
was submitted too late is counted with what was decided too late. Whoever saw the submissions can tell them apart: the
recorder of a run counts as missed gates only orders that were submitted before the gate.

Steps of the agenda: 1 to R the round ends, R + 1 the metering, 0 applies results.
"""

from __future__ import annotations

from msgspec.structs import replace

from ledger.kernel.instant import Instant
from ledger.kernel.rejection import require
from market.book import (
    SIDES,
    ClearingRow,
    MeteredRow,
    Progress,
    ReadingRow,
    Residual,
    RoundRow,
    StandingOrder,
    count,
    home_orders,
    progress_of,
)
from market.hierarchy import RESULTS_STEP, Uplink, escrow_of
from market.orders import ASK, BID, Order, Side, check_order
from market.parameters import MarketParameters, MarketPlace
from market.purse import Purse, debt_of
from market.rounds import hold_round, price_consensus
from market.settlement import settle_metering, settle_trades
from market.units import MicroPence
from wasp.vm.contract import Sandbox

ACCEPTED = "accepted"
LATE = "late"


class Microgrid:
    """The role of a chain whose participants are homes."""

    def __init__(self, market: MarketParameters, place: MarketPlace) -> None:
        self._market = market
        self._place = place
        self._connections = place.connections

    def first_due(self, interval: int) -> Instant:
        """The end of the first bidding round."""
        return self._market.round_end(interval, 1)

    def take_order(self, sandbox: Sandbox, interval: int, side: Side, energy: int, price: int) -> str:
        """Line 1; the answer is ``ACCEPTED`` or ``LATE``.

        Errors: ``Rejected`` with code ``stranger``, ``not_open``, ``bad_energy``, ``bad_price``, ``debt``, ``allowance``
        or ``funds``.
        """
        market, home = self._market, sandbox.caller
        require(home in self._connections, "stranger", f"{home} is no home of this microgrid")
        order = Order(home, side, energy, price)
        check_order(order, market.tariff, self._connections[home])
        opening = market.opening_at(interval)
        require(sandbox.timestamp >= opening, "not_open", f"orders are accepted from {opening} on")
        if sandbox.timestamp >= market.gate_at(interval, self._place.level):
            count(sandbox, home_late=1)
            return LATE
        debt = debt_of(sandbox, home)
        require(debt <= market.debt_max, "debt", f"{home} owes {debt} micro-pence, at most {market.debt_max} expected")
        standing = StandingOrder.read(sandbox, "order", interval, home)
        StandingOrder(side, energy, price).write(sandbox, "order", interval, home)
        self._lock(
            sandbox,
            home,
            self._escrow(side, energy) - (self._escrow(standing.side, standing.energy) if standing else 0),
        )
        return ACCEPTED

    def take_reading(self, sandbox: Sandbox, interval: int, net: int, load: int, generation: int) -> None:
        """Line 5.

        Errors: ``Rejected`` with code ``stranger``, ``bad_reading``, ``not_open``, ``late`` or ``duplicate``.
        """
        market, home = self._market, sandbox.caller
        require(home in self._connections, "stranger", f"{home} is no home of this microgrid")
        require(
            load >= 0 and generation >= 0 and net == generation - load,
            "bad_reading",
            f"a net reading of {net} Wh, generation {generation} less load {load} expected, neither below 0",
        )
        connection = self._connections[home]
        require(
            abs(net) <= connection,
            "bad_reading",
            f"a net reading of {net} Wh, at most {connection} either way expected",
        )
        opening, end = market.readings_from(interval), market.metering_at(interval)
        require(sandbox.timestamp >= opening, "not_open", f"readings are accepted from {opening} on")
        require(sandbox.timestamp < end, "late", f"readings are accepted before {end}")
        require(
            ReadingRow.read(sandbox, "reading", interval, home) is None,
            "duplicate",
            f"interval {interval} has a reading of {home}",
        )
        ReadingRow(net, load, generation).write(sandbox, "reading", interval, home)

    def handle_step(self, sandbox: Sandbox, interval: int, step: int) -> tuple[Instant, int] | None:
        """Do what is due, and tell the step that is due next."""
        market = self._market
        if step == RESULTS_STEP:
            Uplink(sandbox, market, self._place).apply_results(interval)
            self._settle_when_final(sandbox, interval)
            return None
        if step > market.rounds:
            self._meter(sandbox, interval)
            return None
        self._end_round(sandbox, interval, step)
        if step == market.rounds:
            self._close_gate(sandbox, interval)
            return market.metering_at(interval), step + 1
        return market.round_end(interval, step + 1), step + 1

    def _end_round(self, sandbox: Sandbox, interval: int, number: int) -> None:
        """Line 2."""
        market = self._market
        orders = home_orders(sandbox, self._place, interval)
        held = hold_round(number, orders, market.mechanism)
        previous = RoundRow.read(sandbox, "round", interval, number - 1)
        settled = previous is not None and (
            previous.settled or price_consensus(previous.held, held, orders, market.bidder, market.tolerance)
        )
        RoundRow(number, held.price, held.supply, held.demand, held.participants, settled).write(
            sandbox, "round", interval, number
        )
        Progress(rounds=number).write(sandbox, "interval", interval)

    def _close_gate(self, sandbox: Sandbox, interval: int) -> None:
        """Line 3."""
        market = self._market
        orders = home_orders(sandbox, self._place, interval)
        clearing = market.mechanism.clear(orders, interval)
        fills = tuple(
            (order.participant, order.side, order.energy, order.price, fill)
            for order, fill in zip(orders, clearing.fills, strict=True)
        )
        price = clearing.price if clearing.matched else None
        ClearingRow(price, clearing.supply, clearing.demand, clearing.matched, fills).write(
            sandbox, "clearing", interval
        )
        Progress(market.rounds, cleared=True).write(sandbox, "interval", interval)
        uplink = Uplink(sandbox, market, self._place)
        left = {BID: clearing.deficit, ASK: clearing.surplus}
        for side in SIDES:
            if left[side]:
                uplink.send_residual(interval, side, left[side])
        self._settle_when_final(sandbox, interval)

    def _settle_when_final(self, sandbox: Sandbox, interval: int) -> None:
        """Line 4. What was sent nowhere, refunded or returned is what the settlement finds unmatched."""
        progress = progress_of(sandbox, interval)
        if progress.final or not Uplink(sandbox, self._market, self._place).all_answered(interval):
            return
        market, purse = self._market, Purse(sandbox, self._place)
        clearing = ClearingRow.read(sandbox, "clearing", interval)
        assert clearing is not None, "an interval is final after its gate"
        residuals = {side: Residual.read(sandbox, "residual", interval, side) for side in SIDES}
        settlement = settle_trades(
            clearing, {side: row for side, row in residuals.items() if row is not None}, market.tariff, interval
        )
        purse.credit_utility(settlement.money_to_utility(market.tariff))
        earned = settlement.money_of_utility(market.tariff)
        missing = earned - purse.collect_from_utility(earned)
        for home, share in settlement.shares:
            share.write(sandbox, "share", interval, home)
            if share.side == BID:
                purse.credit(home, self._escrow(BID, share.ordered) + share.money)
        purse.credit_sellers(
            {home: share.money for home, share in settlement.shares if share.side == ASK}, missing, interval
        )
        settlement.routes.write(sandbox, "routes", interval)
        replace(progress, final=True).write(sandbox, "interval", interval)
        sandbox.emit("interval_final", interval)

    def _meter(self, sandbox: Sandbox, interval: int) -> None:
        """Line 5, the end: what homes owe comes first, so that it can pay what is owed to homes."""
        market, purse = self._market, Purse(sandbox, self._place)
        homes = [home.account for home in self._place.homes]
        readings = {home: ReadingRow.read(sandbox, "reading", interval, home) for home in homes}
        settlement = settle_metering(
            homes,
            {order.participant: order for order in home_orders(sandbox, self._place, interval)},
            {home: row for home, row in readings.items() if row is not None},
            market.tariff,
        )
        for home, row in settlement.metered:
            row.write(sandbox, "metered", interval, home)
        self._settle_imbalances(purse, settlement.metered)
        settlement.sums.write(sandbox, "metering", interval)
        if settlement.sums.assumed:
            count(sandbox, assumed=settlement.sums.assumed)
        replace(progress_of(sandbox, interval), metered=True).write(sandbox, "interval", interval)
        sandbox.emit("interval_metered", interval)

    def _settle_imbalances(self, purse: Purse, metered: tuple[tuple[str, MeteredRow], ...]) -> None:
        for home, row in metered:
            if row.money < 0:
                purse.charge(home, -row.money)
        for home, row in metered:
            if row.money > 0:
                purse.utility_pays(home, row.money)

    def _escrow(self, side: Side, energy: int) -> MicroPence:
        """What a home's order locks; an ask locks nothing."""
        return escrow_of(BID, energy, self._market.tariff) if side == BID else 0

    def _lock(self, sandbox: Sandbox, home: str, more: MicroPence) -> None:
        if more > 0:
            sandbox.take(more)
        elif more < 0:
            Purse(sandbox, self._place).credit(home, -more)
