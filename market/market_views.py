"""What readers may ask the auction contract: its views, which change nothing.

| view | answer |
|---|---|
| order(k, account) | (side, energy, price), or None |
| book(k) | ((account, side, energy, price), ...): the homes' standing orders |
| round(k, number) | (number, price, supply, demand, participants, settled), or None; number 0 asks for the latest |
| clearing(k) | (price, supply, demand, matched, ((participant, side, energy, price, filled), ...)), or None before the gate |
| requests(k) | ((child, side, energy, remaining, next number), ...): the children's residuals |
| residuals(k) | ((side, energy, remaining, refunded, ((level, energy, price), ...)), ...): what went up |
| settlement(k, account) | (share or None, metered or None) of a home, see below |
| interval(k) | "future", "open", "cleared", "final", "closed" or "forgotten" |
| summary(k) | (routes or None, metering or None), see below |
| open_intervals() | (k, ...): opened and not closed |
| unsettled() | ((k, side, remaining), ...): residuals that are not answered in full |
| counters() | (missed gates of homes, missed gates of this chain's residuals, assumed readings) |
| debts() | ((account, micro-pence), ...): what homes owe the utility; below zero, what it owes them |

share = (side, ordered, local, ((level, Wh), ...), grid, money received or below zero paid, local price or None)
metered = (net, imbalance, money received or below zero paid, assumed)
routes = (local, ((level, bought, sold), ...), grid bought, grid sold, local price or None)
metering = (load, generation, self-consumed, imbalance bought, imbalance sold, assumed readings)

The rounds of a parent chain are the delegated ones: they are there from its gate on, and none where one side was empty.
"""

from __future__ import annotations

from collections.abc import Mapping

from ledger.kernel.encoding import Plain
from ledger.kernel.rejection import Rejected
from market.book import (
    SIDES,
    ChildRequest,
    ClearingRow,
    MeteredRow,
    MeteringRow,
    Residual,
    RoundRow,
    RoutesRow,
    Row,
    ShareRow,
    StandingOrder,
    agenda_of,
    counters_of,
    home_orders,
    progress_of,
)
from market.parameters import MarketParameters, MarketPlace
from market.purse import debt_of
from wasp.vm.contract import View, ViewPoint


def market_views(market: MarketParameters, place: MarketPlace) -> Mapping[str, ViewPoint]:
    """The views of the auction of one chain."""
    views = _Views(market, place)
    return {
        "order": views.order,
        "book": views.book,
        "round": views.round,
        "clearing": views.clearing,
        "requests": views.requests,
        "residuals": views.residuals,
        "settlement": views.settlement,
        "interval": views.interval,
        "summary": views.summary,
        "open_intervals": views.open_intervals,
        "unsettled": views.unsettled,
        "counters": views.counters,
        "debts": views.debts,
    }


class _Views:
    def __init__(self, market: MarketParameters, place: MarketPlace) -> None:
        self._market = market
        self._place = place

    def order(self, view: View, interval: Plain, account: Plain) -> Plain:
        return _plain(StandingOrder.read(view, "order", _interval(interval), _account(account)))

    def book(self, view: View, interval: Plain) -> Plain:
        orders = home_orders(view, self._place, _interval(interval))
        return tuple((order.participant, order.side, order.energy, order.price) for order in orders)

    def round(self, view: View, interval: Plain, number: Plain) -> Plain:
        k = _interval(interval)
        return _plain(RoundRow.read(view, "round", k, _interval(number) or progress_of(view, k).rounds))

    def clearing(self, view: View, interval: Plain) -> Plain:
        return _plain(ClearingRow.read(view, "clearing", _interval(interval)))

    def requests(self, view: View, interval: Plain) -> Plain:
        k = _interval(interval)
        rows = (
            (child, side, ChildRequest.read(view, "request", k, child, side))
            for child in self._place.children
            for side in SIDES
        )
        return tuple((child, side, *row.plain) for child, side, row in rows if row is not None)

    def residuals(self, view: View, interval: Plain) -> Plain:
        rows = ((side, Residual.read(view, "residual", _interval(interval), side)) for side in SIDES)
        return tuple((side, row.energy, row.remaining, row.refunded, row.lots) for side, row in rows if row is not None)

    def settlement(self, view: View, interval: Plain, account: Plain) -> Plain:
        k, home = _interval(interval), _account(account)
        return _plain(ShareRow.read(view, "share", k, home)), _plain(MeteredRow.read(view, "metered", k, home))

    def interval(self, view: View, interval: Plain) -> Plain:
        k = _interval(interval)
        progress = progress_of(view, k)
        if k < agenda_of(view).oldest:
            return "forgotten"
        if progress.cleared:
            return "closed" if progress.closed else "final" if progress.final else "cleared"
        return "open" if view.timestamp >= self._market.opening_at(k) else "future"

    def summary(self, view: View, interval: Plain) -> Plain:
        k = _interval(interval)
        return _plain(RoutesRow.read(view, "routes", k)), _plain(MeteringRow.read(view, "metering", k))

    def open_intervals(self, view: View) -> Plain:
        agenda = agenda_of(view)
        begun = [k for k in range(agenda.oldest, agenda.next_interval) if not progress_of(view, k).closed]
        k = agenda.next_interval
        while k < self._market.intervals and self._market.opening_at(k) <= view.timestamp:
            begun.append(k)
            k += 1
        return tuple(begun)

    def unsettled(self, view: View) -> Plain:
        agenda = agenda_of(view)
        rows = (
            (k, side, Residual.read(view, "residual", k, side))
            for k in range(agenda.oldest, agenda.next_interval)
            for side in SIDES
        )
        return tuple((k, side, row.remaining) for k, side, row in rows if row is not None and row.remaining)

    def counters(self, view: View) -> Plain:
        return counters_of(view).plain

    def debts(self, view: View) -> Plain:
        debts = ((home.account, debt_of(view, home.account)) for home in self._place.homes)
        return tuple((account, debt) for account, debt in debts if debt)


def _plain(row: Row | None) -> Plain:
    return None if row is None else row.plain


def _interval(value: Plain) -> int:
    if type(value) is not int or value < 0:
        raise Rejected("parameters", f"{value!r}, an integer of at least 0 expected")
    return value


def _account(value: Plain) -> str:
    if type(value) is not str:
        raise Rejected("parameters", f"an account's name is a string, not {type(value).__name__}")
    return value
