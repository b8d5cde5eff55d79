"""The hierarchy: a tree of chains in which every microgrid, and every parent chain, is one bidder to its parent.

Up goes the *residual*, what a side could not match, as one order with the escrow that it could cost. Down come *results*.

1. At its gate a chain sends each side's residual R up: R x P_gb with a deficit; with a surplus 1 token, lent by the
   utility's account of the sending chain. It expires at the parent's gate plus ``residual_grace``.
2. The parent answers in results numbered 0, 1, 2, ... per (interval, child, side), each with lots (level, Wh, price) in
   rising level, Wh refunded, and their money: the sale, or the escrow of those Wh less their cost; for refunds the escrow.
3. The result that closes the request (lots and refunds add up to R) brings the lent token back. Results don't expire.
4. Results are applied once each and in number order. One that comes early waits in the state.
5. A residual that expired, or that the parent refused, comes back to ``returned``, and counts as refunded in full. One
   whose parent's gate has passed when its own gate is run (the chain was down) is not even sent. Each is a missed gate.
   Where gas has a price, the parent keeps the fee of the refusal; the utility of the sending chain bears it.
6. What is refunded is traded with the main grid by the microgrids, each on its own chain; parents pass refunds down.

A result is taken by a request and applied by a due moment of the next chain block: passing it down may take more outputs
than one request may send, and applying it must not depend on the gas that came with it.

A result whose lots or money do not fit the request (no correct parent sends one) is noted and not applied; its money
stays with the contract. Invariant: energy = remaining + refunded + lots, for every residual, at every chain block.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from msgspec.structs import replace

from ledger.kernel.encoding import Frozen
from ledger.kernel.rejection import Rejected, require
from market.book import SIDES, PlainLot, Residual, ResultRow, agenda_of, count
from market.orders import ASK, BID, Side
from market.parameters import CONNECTION_MAX, LEVELS_MAX, PARTICIPANTS_MAX, Home, MarketParameters, MarketPlace
from market.purse import Purse
from market.units import MicroPence, Tariff, WattHours
from wasp.request import call
from wasp.vm.contract import Sandbox

AUCTION = "auction"
"""The name of the contract, on every chain of the market."""
RESULTS_STEP = 0
"""The step of an interval's agenda in which results are applied."""
RESULTS_MAX = LEVELS_MAX
"""Answers to one request: at most one for each level above, so a higher number is nonsense."""
LOAN: MicroPence = 1
"""What a surplus carries up, because an output carries at least one token."""


class AppliedResult(Frozen):
    """What a result brought to one side of an interval, after it was checked."""

    side: Side
    lots: tuple[PlainLot, ...]
    refunded: WattHours


def market_places(
    parents: Mapping[str, str | None], homes: Mapping[str, tuple[Home, ...]], utility: str = "utility"
) -> dict[str, MarketPlace]:
    """The place of every chain, from its parent (None: a root) and the homes of the microgrids.

    Children stand in the order of the configuration. Errors: ``Rejected("bad_hierarchy", ...)``, with all problems.
    """
    problems = [
        f"the parent of {chain} is {parent}, which is no chain"
        for chain, parent in parents.items()
        if parent and parent not in parents
    ]
    problems += [f"the homes of {chain} have no chain" for chain in homes if chain not in parents]
    children: dict[str, list[str]] = {chain: [] for chain in parents}
    for chain, parent in parents.items():
        if parent in children:
            children[parent].append(chain)
    for chain in parents:
        names = [home.account for home in homes.get(chain, ())]
        if bool(names) == bool(children[chain]):
            problems.append(
                f"{chain} has {len(names)} homes and {len(children[chain])} children, either homes or children expected"
            )
        if len(names) + len(children[chain]) > PARTICIPANTS_MAX:
            problems.append(
                f"{chain} has {len(names) + len(children[chain])} participants, at most {PARTICIPANTS_MAX} expected"
            )
        for home in homes.get(chain, ()):
            if not 1 <= home.connection <= CONNECTION_MAX:
                problems.append(
                    f"the connection of {home.account} is {home.connection} Wh, 1 to {CONNECTION_MAX} expected"
                )
        if len(names) != len(set(names)) or utility in names:
            problems.append(f"the homes of {chain} are {names}, different names expected, and none of them {utility}")
    levels = _levels(children)
    problems += [f"{chain} is above itself" for chain in parents if chain not in levels]
    require(not problems, "bad_hierarchy", "; ".join(problems))
    return {
        chain: MarketPlace(
            chain,
            levels[chain],
            parent,
            levels[parent] if parent else 0,
            tuple(children[chain]),
            homes.get(chain, ()),
            utility,
        )
        for chain, parent in parents.items()
    }


def escrow_of(side: Side, energy: WattHours, tariff: Tariff) -> MicroPence:
    """What a residual takes along: its cost at the grid's price, or the loan."""
    return energy * tariff.buy_price if side == BID else LOAN


def answer_money(
    side: Side, lots: Sequence[PlainLot], refunded: WattHours, closing: bool, tariff: Tariff
) -> MicroPence:
    """The money of an answer: at least 1 whenever lots or a closing refund are in it."""
    if side == BID:
        return sum(energy * (tariff.buy_price - price) for _, energy, price in lots) + refunded * tariff.buy_price
    return sum(energy * price for _, energy, price in lots) + (LOAN if closing else 0)


def require_sender(sandbox: Sandbox, *senders: str | None) -> None:
    """Refuse what did not come from the auction of one of these chains (or, expired, from this contract itself).

    Errors: ``Rejected("stranger", ...)``.
    """
    message = sandbox.message
    genuine = message is not None and message.contract == AUCTION and sandbox.caller in senders
    require(genuine, "stranger", f"{sandbox.caller} asks, a message from the auction of {senders} expected")


class Uplink:
    """A chain's side of the traffic with its parent chain, in one call of the contract."""

    def __init__(self, sandbox: Sandbox, market: MarketParameters, place: MarketPlace) -> None:
        self._sandbox = sandbox
        self._market = market
        self._place = place

    def send_residual(self, interval: int, side: Side, energy: WattHours) -> bool:
        """Line 1. False where there is no way up (no parent, its gate passed, no token to lend): it counts as refunded."""
        parent, sandbox = self._place.parent, self._sandbox
        if parent is None:
            return False
        gate = self._market.gate_at(interval, self._place.parent_level)
        if sandbox.timestamp >= gate:
            count(sandbox, chain_late=1)
            return False
        if side == ASK and not Purse(sandbox, self._place).collect_from_utility(LOAN):
            return False
        message = sandbox.send(
            parent,
            call(AUCTION, "submit_residual", interval, side, energy),
            escrow_of(side, energy, self._market.tariff),
            gate + self._market.residual_grace,
        )
        Residual(message.counter, energy, energy).write(sandbox, "residual", interval, side)
        sandbox.write("sent", message.counter, value=(interval, side))
        return True

    def take_result(self, interval: int, side: str, number: int, lots: Sequence[Any], refunded: int) -> None:
        """A result of the parent has come: keep it with its money until its number's turn.

        Errors: ``Rejected`` with code ``stranger``, ``parameters``, ``unknown`` or ``duplicate``.
        """
        sandbox = self._sandbox
        require_sender(sandbox, self._place.parent)
        residual = Residual.read(sandbox, "residual", interval, side) if side in SIDES else None
        if residual is None:
            raise Rejected("unknown", f"a result for {side} of interval {interval}, which sent no residual up")
        require(
            residual.next_number <= number < RESULTS_MAX and sandbox.read("result", interval, side, number) is None,
            "duplicate",
            f"result {number} has come before, or never will; {residual.next_number} is next",
        )
        row = ResultRow(_checked_lots(lots), refunded, sandbox.attached)
        sandbox.take(row.money)
        self._keep(interval, side, number, row)

    def take_returned(self, counter: int) -> None:
        """Line 5. Errors: ``Rejected`` with code ``stranger``, or ``unknown`` for a message that is not under way."""
        require_sender(self._sandbox, self._place.parent, self._sandbox.contract)
        sent = self._sandbox.read("sent", counter)
        require(sent is not None, "unknown", f"message {counter} came back, and is not under way")
        interval, side = sent
        residual = Residual.read(self._sandbox, "residual", interval, side)
        assert residual is not None, "a residual lives as long as its message"
        count(self._sandbox, chain_late=1)
        sandbox, left = self._sandbox, residual.remaining
        sandbox.take(sandbox.attached)
        fee = answer_money(side, (), left, True, self._market.tariff) - sandbox.attached
        money = sandbox.attached + (Purse(sandbox, self._place).collect_from_utility(fee) if fee > 0 else 0)
        self._keep(interval, side, residual.next_number, ResultRow((), left, money))

    def apply_results(self, interval: int) -> list[AppliedResult]:
        """Line 4: apply what has come, as far as the numbers go without a gap."""
        applied = []
        for side in SIDES:
            residual = Residual.read(self._sandbox, "residual", interval, side)
            while residual is not None:
                number = residual.next_number
                row = ResultRow.read(self._sandbox, "result", interval, side, number)
                if row is None:
                    break
                self._sandbox.write("result", interval, side, number, value=None)
                residual, fits = self._applied(residual, side, row)
                residual.write(self._sandbox, "residual", interval, side)
                if fits:
                    applied.append(AppliedResult(side, row.lots, row.refunded))
                else:
                    self._sandbox.emit("result_unfit", interval, side, number)
        return applied

    def all_answered(self, interval: int) -> bool:
        """Whether nothing of the interval is open above."""
        residuals = (Residual.read(self._sandbox, "residual", interval, side) for side in SIDES)
        return all(residual is None or residual.remaining == 0 for residual in residuals)

    def _keep(self, interval: int, side: str, number: int, row: ResultRow) -> None:
        row.write(self._sandbox, "result", interval, side, number)
        agenda = agenda_of(self._sandbox).adding(self._sandbox.timestamp, interval, RESULTS_STEP)
        agenda.write(self._sandbox, "agenda")

    def _applied(self, residual: Residual, side: Side, row: ResultRow) -> tuple[Residual, bool]:
        """The residual after its next result, and whether that fits it."""
        remaining = residual.remaining - row.refunded - sum(energy for _, energy, _ in row.lots)
        levels = [residual.lots[-1][0] if residual.lots else self._place.level, *(level for level, _, _ in row.lots)]
        fits = (
            remaining >= 0
            and row.refunded >= 0
            and all(lower < upper for lower, upper in pairwise(levels))
            and row.money == answer_money(side, row.lots, row.refunded, remaining == 0, self._market.tariff)
        )
        after = replace(residual, next_number=residual.next_number + 1)
        if not fits:
            return after, False
        if remaining == 0:
            self._sandbox.write("sent", residual.counter, value=None)
            if side == ASK:
                Purse(self._sandbox, self._place).credit_utility(LOAN)
        refunded, lots = residual.refunded + row.refunded, (*residual.lots, *row.lots)
        return replace(after, remaining=remaining, refunded=refunded, lots=lots), True


def _checked_lots(lots: Sequence[Any]) -> tuple[PlainLot, ...]:
    """Lots as they came. Errors: ``Rejected("parameters", ...)``."""
    for lot in lots:
        require(
            type(lot) is tuple
            and len(lot) == 3
            and all(type(field) is int for field in lot)
            and lot[1] >= 1
            and lot[2] >= 0,
            "parameters",
            f"lot {lot!r}, (level, Wh, micro-pence per Wh) expected",
        )
    return tuple(lots)


def _levels(children: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """The height of every chain; none for chains that are above themselves."""
    levels: dict[str, int] = {}
    found = True
    while found:
        ready = [
            chain for chain in children if chain not in levels and all(child in levels for child in children[chain])
        ]
        for chain in ready:
            levels[chain] = 1 + max((levels[child] for child in children[chain]), default=-1)
        found = bool(ready)
    return levels
