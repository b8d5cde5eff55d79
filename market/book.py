"""What the auction contract remembers: its rows in the state of the chain, and where they stand.

| key | row | written |
|---|---|---|
| ("agenda",) | ``Agenda``: what is due, and the first interval that nothing is due for yet | by each due moment |
| ("interval", k) | ``Progress`` of an interval | first at its first due moment |
| ("order", k, account) | ``StandingOrder`` of a home | until the gate |
| ("request", k, child, side) | ``ChildRequest``: a residual that came from a child chain | until it is answered |
| ("round", k, number) | ``RoundRow``: the tentative price | at the round's end; delegated rounds at the gate |
| ("clearing", k) | ``ClearingRow``: price and fills | at the gate |
| ("residual", k, side) | ``Residual``: what went up to the parent chain, and what came back | from the gate |
| ("sent", counter) | (k, side) of the message that took a residual up | until it is answered |
| ("result", k, side, number) | ``ResultRow``: an answer that waits to be applied | until it is applied |
| ("reading", k, account) | ``ReadingRow`` | once |
| ("share", k, account) | ``ShareRow``: what a home traded, by route, and for how much | when the interval is final |
| ("metered", k, account) | ``MeteredRow``: metered against ordered | at metering |
| ("routes", k), ("metering", k) | ``RoutesRow``, ``MeteringRow``: the sums over the homes | with the two above |
| ("counters",) | ``Counters`` | when something is counted |
| ("debt", account) | micro-pence that a home owes the utility; below zero, the utility owes the home | by the purse |
| ("owed",) | the sum of what the utility owes | by the purse |

All of an interval is removed ``intervals_kept`` intervals later, once it is closed: the state does not grow for ever. A
row is a frozen value of plain fields, kept as the tuple of them.
"""

from __future__ import annotations

from typing import Protocol, Self, TypeAlias

import msgspec

from ledger.kernel.encoding import Frozen, Plain
from ledger.kernel.instant import Instant
from market.learning import BiddingRound
from market.orders import ASK, BID, Order, Side
from market.parameters import MarketPlace
from market.sharing import Lot
from market.units import MicroPence, MicroPencePerWattHour, WattHours
from wasp.vm.contract import StateReader

SIDES: tuple[Side, Side] = (BID, ASK)

PlainLot: TypeAlias = tuple[int, WattHours, MicroPencePerWattHour]
"""A lot as rows and parameters hold it: level, energy, price."""


class StateWriter(StateReader, Protocol):
    """A contract's part of the state, to read and write."""

    def write(self, *key: str | int, value: Plain) -> None:
        """Put a plain value at this key; None removes it."""
        ...


class Row(Frozen):
    """What stands at a key."""

    @classmethod
    def read(cls, state: StateReader, *key: str | int) -> Self | None:
        """The row at this key, if there is one."""
        plain = state.read(*key)
        return None if plain is None else cls(*plain)

    def write(self, state: StateWriter, *key: str | int) -> None:
        """Put the row at this key."""
        state.write(*key, value=self.plain)

    @property
    def plain(self) -> tuple[Plain, ...]:
        """The row as a plain value: its fields."""
        return msgspec.structs.astuple(self)


class Agenda(Row):
    """What is due: (instant, interval, step), sorted.

    ``next_interval`` is the first that has had no due moment yet, ``oldest`` the first that is not forgotten.
    """

    next_interval: int = 0
    oldest: int = 0
    entries: tuple[tuple[Instant, int, int], ...] = ()

    def adding(self, instant: Instant, interval: int, step: int) -> Agenda:
        """The agenda with one more entry; an entry that is there already stays one."""
        return Agenda(self.next_interval, self.oldest, tuple(sorted({*self.entries, (instant, interval, step)})))


class Progress(Row):
    """How far an interval is: rounds held, its gate passed, nothing open any more, its readings settled."""

    rounds: int = 0
    cleared: bool = False
    final: bool = False
    metered: bool = False

    @property
    def closed(self) -> bool:
        """Whether nothing will happen to the interval any more."""
        return self.final and self.metered


class StandingOrder(Row):
    """A home's order of one interval."""

    side: Side
    energy: WattHours
    price: MicroPencePerWattHour


class ChildRequest(Row):
    """A child chain's residual: its energy, what is not answered yet, and the number of the next answer."""

    energy: WattHours
    remaining: WattHours
    next_number: int = 0


class RoundRow(Row):
    """A bidding round that was held; ``settled`` when prices agree: from then on nobody learns."""

    number: int
    price: MicroPencePerWattHour | None
    supply: WattHours
    demand: WattHours
    participants: tuple[str, ...]
    settled: bool

    @property
    def held(self) -> BiddingRound:
        """What bidders learn from."""
        return BiddingRound(self.number, self.price, self.supply, self.demand, self.participants)


class ClearingRow(Row):
    """What the gate made of the book: ``fills`` has (participant, side, energy, price, Wh filled) of each order."""

    price: MicroPencePerWattHour | None
    supply: WattHours
    demand: WattHours
    matched: WattHours
    fills: tuple[tuple[str, Side, WattHours, MicroPencePerWattHour, WattHours], ...]

    @property
    def orders(self) -> tuple[Order, ...]:
        """The book that was cleared."""
        return tuple(Order(*fill[:4]) for fill in self.fills)


class Residual(Row):
    """What one side sent up to the parent chain, in message ``counter``.

    ``remaining`` is not answered yet, ``lots`` are what came, in order.
    """

    counter: int
    energy: WattHours
    remaining: WattHours
    next_number: int = 0
    refunded: WattHours = 0
    lots: tuple[PlainLot, ...] = ()


class ResultRow(Row):
    """An answer to a residual, with the money that came with it."""

    lots: tuple[PlainLot, ...]
    refunded: WattHours
    money: MicroPence


class ReadingRow(Row):
    """A meter's signed reading: net is generation less load, in Wh."""

    net: int
    load: WattHours
    generation: WattHours


class ShareRow(Row):
    """What a home traded: its order, its energy by route (levels as (level, Wh)), the money received, or below zero paid.

    ``price`` is the local clearing price, None where the side had no local match. The home's mean price is money / energy.
    """

    side: Side
    ordered: WattHours
    local: WattHours
    levels: tuple[tuple[int, WattHours], ...]
    grid: WattHours
    money: MicroPence
    price: MicroPencePerWattHour | None


class MeteredRow(Row):
    """Metered against ordered, signed as a reading; ``money`` received (or below zero paid) for the imbalance."""

    net: int
    imbalance: int
    money: MicroPence
    assumed: bool


class RoutesRow(Row):
    """The Wh of a microgrid's interval by route. ``levels`` has (level, bought, sold)."""

    local: WattHours
    levels: tuple[tuple[int, WattHours, WattHours], ...]
    grid_bought: WattHours
    grid_sold: WattHours
    price: MicroPencePerWattHour | None


class MeteringRow(Row):
    """The Wh that a microgrid's meters saw: gross load and generation, what of them met within homes, and imbalance."""

    load: WattHours
    generation: WattHours
    self_consumed: WattHours
    imbalance_bought: WattHours
    imbalance_sold: WattHours
    assumed: int


class Counters(Row):
    """Since genesis: orders of homes (whenever submitted) and residuals of this chain that came after a gate, readings that
    were assumed.
    """

    missed_gates_home: int = 0
    missed_gates_chain: int = 0
    readings_assumed: int = 0


def agenda_of(state: StateReader) -> Agenda:
    """What is due."""
    return Agenda.read(state, "agenda") or Agenda()


def progress_of(state: StateReader, interval: int) -> Progress:
    """How far the interval is."""
    return Progress.read(state, "interval", interval) or Progress()


def counters_of(state: StateReader) -> Counters:
    """What was counted so far."""
    return Counters.read(state, "counters") or Counters()


def count(state: StateWriter, home_late: int = 0, chain_late: int = 0, assumed: int = 0) -> None:
    """Count orders of homes and residuals that missed a gate, and readings that were assumed."""
    counters = counters_of(state)
    Counters(
        counters.missed_gates_home + home_late,
        counters.missed_gates_chain + chain_late,
        counters.readings_assumed + assumed,
    ).write(state, "counters")


def home_orders(state: StateReader, place: MarketPlace, interval: int) -> tuple[Order, ...]:
    """The standing orders of the homes, in the order of the configuration."""
    rows = ((home.account, StandingOrder.read(state, "order", interval, home.account)) for home in place.homes)
    return tuple(Order(account, row.side, row.energy, row.price) for account, row in rows if row is not None)


def lots_of(lots: tuple[PlainLot, ...]) -> tuple[Lot, ...]:
    """Lots as the arithmetic takes them."""
    return tuple(Lot(*lot) for lot in lots)


def remove_interval(state: StateWriter, place: MarketPlace, interval: int) -> None:
    """Forget an interval that is closed."""
    rounds = progress_of(state, interval).rounds
    for name in ("interval", "clearing", "routes", "metering"):
        state.write(name, interval, value=None)
    for number in range(1, rounds + 1):
        state.write("round", interval, number, value=None)
    for home in place.homes:
        for name in ("order", "reading", "share", "metered"):
            state.write(name, interval, home.account, value=None)
    for side in SIDES:
        state.write("residual", interval, side, value=None)
        for child in place.children:
            state.write("request", interval, child, side, value=None)
