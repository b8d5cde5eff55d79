"""The auction contract: the market of every delivery interval on one chain, a microgrid's or a parent chain's.

The interval's life, by the timestamps of chain blocks alone; nobody has to be awake for it:

    future -> open -> cleared -> final -> closed -> forgotten

- *open*: orders (homes') or residuals (children's) are taken, bidding rounds end,
- *cleared*: the gate has passed, what was not matched is on its way through the hierarchy, and escrowed,
- *final*: every Wh that went up is answered, money has moved, shares stand in the state,
- *closed*: final, and metered against ordered; the two may happen in either order,
- *forgotten*: ``intervals_kept`` intervals later its rows are removed from the state.

Several intervals may be open at once. What is due stands in the agenda, sorted by (instant, interval); only the first due
moment of the next interval is computed. What the roles do is in ``market.microgrid`` and ``market.parent``, what goes between
chains in ``market.hierarchy``, what is kept in ``market.book``.

Doors for requests (all parameters are checked here, they come from anybody):

    submit_order(interval, side, energy, price)            a home; "accepted" or "late"
    submit_reading(interval, net, load, generation)        a home's meter
    submit_residual(interval, side, energy)                a child chain's auction
    receive_result(interval, side, number, lots, refunded) the parent chain's auction
    returned(counter, entry point, parameters)             a residual that came back

Invariant: between calls the contract holds exactly the escrow of what is open: bids of intervals that are not final,
children's residuals that are not answered, results that wait to be applied.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from msgspec.structs import replace

from ledger.kernel.encoding import Plain
from ledger.kernel.instant import Instant
from ledger.kernel.rejection import Rejected, require
from market.book import Agenda, agenda_of, progress_of, remove_interval
from market.hierarchy import AUCTION, Uplink
from market.market_views import market_views
from market.microgrid import Microgrid
from market.orders import ASK, BID, Side
from market.parameters import MarketParameters, MarketPlace
from market.parent import Parent
from wasp.vm.contract import Contract, Due, EntryPoint, Sandbox, StateReader, ViewPoint

FORGOTTEN_MAX = 4
"""Intervals forgotten in one due moment: more than one, so that it catches up after one that stayed open for long."""
_FIRST_STEP = 1


class Auction(Contract):
    """The contract of one chain of the market."""

    name: ClassVar[str] = AUCTION
    answers: ClassVar[tuple[str, ...]] = ("receive_result", "returned")

    def __init__(self, market: MarketParameters, place: MarketPlace) -> None:
        assert max(place.level, place.parent_level) < len(market.gates), "every level has a gate"
        self.market = market
        """The rules that all chains of the market agree on."""
        self.place = place
        """This chain's place in the hierarchy."""
        self._microgrid = Microgrid(market, place)
        self._parent = Parent(market, place)
        self._role = self._parent if place.children else self._microgrid

    @property
    def entry_points(self) -> Mapping[str, EntryPoint]:
        doors: dict[str, EntryPoint] = {"receive_result": self._receive_result, "returned": self._returned}
        if self.place.children:
            return {"submit_residual": self._submit_residual, **doors}
        return {"submit_order": self._submit_order, "submit_reading": self._submit_reading, **doors}

    @property
    def views(self) -> Mapping[str, ViewPoint]:
        return market_views(self.market, self.place)

    # ------------------------------------------------------------------------------------------------- what is due

    def next_due(self, state: StateReader) -> Due | None:
        agenda = agenda_of(state)
        moments = [entry[:2] for entry in agenda.entries[:1]]
        if agenda.next_interval < self.market.intervals:
            moments.append((self._role.first_due(agenda.next_interval), agenda.next_interval))
        return Due(*min(moments), self.name) if moments else None

    def handle_due(self, sandbox: Sandbox, due: Due) -> None:
        agenda = agenda_of(sandbox)
        interval = due.interval
        if interval == agenda.next_interval:
            agenda = replace(agenda, next_interval=interval + 1).adding(due.instant, interval, _FIRST_STEP)
            agenda = self._forget(sandbox, agenda)
        steps = [step for instant, k, step in agenda.entries if (instant, k) == (due.instant, interval)]
        left = tuple(entry for entry in agenda.entries if entry[:2] != (due.instant, interval))
        replace(agenda, entries=left).write(sandbox, "agenda")
        for step in steps:
            following = self._role.handle_step(sandbox, interval, step)
            if following is not None:
                self._add(sandbox, following[0], interval, following[1])

    def _add(self, sandbox: Sandbox, instant: Instant, interval: int, step: int) -> None:
        agenda_of(sandbox).adding(instant, interval, step).write(sandbox, "agenda")

    def _forget(self, sandbox: Sandbox, agenda: Agenda) -> Agenda:
        """Remove intervals that are closed and old enough."""
        oldest = agenda.oldest
        last = min(oldest + FORGOTTEN_MAX, agenda.next_interval - self.market.intervals_kept)
        while oldest < last and progress_of(sandbox, oldest).closed:
            remove_interval(sandbox, self.place, oldest)
            oldest += 1
        return replace(agenda, oldest=oldest)

    # --------------------------------------------------------------------------------------------------- the doors

    def _submit_order(self, sandbox: Sandbox, interval: Plain, side: Plain, energy: Plain, price: Plain) -> Plain:
        return self._microgrid.take_order(
            sandbox, self._interval(interval), _side(side), _natural(energy, "energy"), _natural(price, "price")
        )

    def _submit_reading(self, sandbox: Sandbox, interval: Plain, net: Plain, load: Plain, generation: Plain) -> Plain:
        self._microgrid.take_reading(
            sandbox,
            self._interval(interval),
            _integer(net, "net"),
            _natural(load, "load"),
            _natural(generation, "generation"),
        )
        return None

    def _submit_residual(self, sandbox: Sandbox, interval: Plain, side: Plain, energy: Plain) -> Plain:
        self._parent.take_residual(sandbox, self._interval(interval), _side(side), _natural(energy, "energy"))
        return None

    def _receive_result(
        self, sandbox: Sandbox, interval: Plain, side: Plain, number: Plain, lots: Plain, refunded: Plain
    ) -> Plain:
        if type(lots) is not tuple:
            raise Rejected("parameters", f"lots are a tuple, not {type(lots).__name__}")
        Uplink(sandbox, self.market, self.place).take_result(
            self._interval(interval), _side(side), _natural(number, "number"), lots, _natural(refunded, "refunded")
        )
        return None

    def _returned(self, sandbox: Sandbox, counter: Plain, entry_point: Plain, parameters: Plain) -> Plain:
        Uplink(sandbox, self.market, self.place).take_returned(_natural(counter, "counter"))
        return None

    def _interval(self, value: Plain) -> int:
        interval = _natural(value, "interval")
        last = self.market.intervals - 1
        require(interval <= last, "unknown", f"interval {interval}, 0 to {last} expected")
        return interval


def _integer(value: Plain, name: str) -> int:
    if type(value) is not int:
        raise Rejected("parameters", f"{name} is an integer, not {type(value).__name__}")
    return value


def _natural(value: Plain, name: str) -> int:
    number = _integer(value, name)
    require(number >= 0, "parameters", f"{name} is {number}, at least 0 expected")
    return number


def _side(value: Plain) -> Side:
    if value == BID:
        return BID
    if value == ASK:
        return ASK
    raise Rejected("parameters", f"side {value!r}, {BID!r} or {ASK!r} expected")
