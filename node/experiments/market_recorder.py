"""Reads what the market did out of confirmed states, as any reader of the chains could: through the contract's views.

At every newly confirmed state of a chain the intervals that are not finished are looked at; what stands there for the first
time becomes rows. Shares and readings are checked as they are read.
"""

from __future__ import annotations

from typing import Any

from ledger.kernel.automaton import NodeId
from ledger.kernel.instant import Duration, Instant
from market.hierarchy import AUCTION
from market.orders import ASK
from node.experiments.home_accounts import HomeAccounts
from node.experiments.invariants import Invariants
from node.experiments.tables import Tables
from node.scenario import Scenario
from wasp.chain_block import ChainBlock
from wasp.request import OffLedgerRequest
from wasp.state import State
from wasp.vm.sandbox import call_view

Share = tuple[str, int, int, tuple[tuple[int, int], ...], int, int, int | None]


class MarketRecorder:
    """Fills the tables of the market."""

    def __init__(self, scenario: Scenario, tables: Tables, invariants: Invariants) -> None:
        self._scenario = scenario
        self._tables = tables
        self._invariants = invariants
        self._accounts = HomeAccounts(scenario, invariants)
        self._live: dict[str, dict[int, _Interval]] = {name: {} for name in scenario.chains}
        self._next: dict[str, int] = dict.fromkeys(scenario.chains, 0)
        self.totals: dict[str, int] = dict.fromkeys(
            (
                "local",
                "between_microgrids",
                "grid_bought",
                "grid_sold",
                "imbalance_bought",
                "imbalance_sold",
                "self_consumed",
            ),
            0,
        )
        """Wh of settled and metered intervals."""
        self.counters: dict[str, tuple[int, int, int]] = {}
        """By chain, as the contract counts: orders of homes executed too late, missed gates of the chain's residuals, assumed
        readings.
        """
        self.final_after: dict[str, list[Duration]] = {name: [] for name in scenario.chains}
        """From the clearing of each interval to the instant its shares were confirmed by layer 1, by microgrid."""
        self.missed_gates = 0
        """Orders of homes that were submitted before the gate, and executed after it."""

    def order_submitted(self, now: Instant, chain: str, home: NodeId, request: OffLedgerRequest) -> None:
        """A home submitted an order."""
        from ledger.kernel.encoding import unpack

        parameters: Any = unpack(request.essence.call.parameters)
        interval, side, energy, price = parameters
        self._tables.orders.add(request.id.hex(), chain, interval, home, side, energy, price, now)

    def order_was_late(self, interval: int, submitted: Instant) -> None:
        """A confirmed chain block executed an order after its gate. The contract counts all of them, the rule not all."""
        if submitted < self._scenario.market.gate_at(interval, 0):
            self.missed_gates += 1

    def state_confirmed(self, now: Instant, chain: str, block: ChainBlock, state: State) -> None:
        """Look at what this state says of the intervals that are not finished."""
        live = self._live[chain]
        market, level = self._scenario.market, self._scenario.plan.chains[chain].level
        while self._next[chain] < market.intervals and market.opening_at(self._next[chain]) <= block.timestamp:
            live[self._next[chain]] = _Interval()
            self._next[chain] += 1
        self._accounts.check(chain, state, live, f"{chain}, chain block {block.index}")
        for k, interval in list(live.items()):
            self._read_bidding(chain, level, k, interval, state, block.timestamp)
            if self._scenario.plan.chains[chain].homes:
                self._read_settlement(now, chain, k, interval, state)
            if self._view(chain, state, "interval", k) in ("closed", "forgotten"):
                del live[k]
        self.counters[chain] = self._view(chain, state, "counters")

    def finish(self) -> None:
        """Homes whose interval was settled and never metered get their row without a reading."""
        for chain, live in self._live.items():
            for k, interval in live.items():
                for home, share in interval.shares.items():
                    self._add_settlement(chain, k, home, share, None)

    def _view(self, chain: str, state: State, view: str, *parameters: Any) -> Any:
        return call_view(self._scenario.chains[chain].program, state, AUCTION, view, *parameters)

    def _read_bidding(
        self, chain: str, level: int, k: int, interval: _Interval, state: State, timestamp: Instant
    ) -> None:
        while (row := self._view(chain, state, "round", k, interval.rounds + 1)) is not None:
            number, price, supply, demand, _, _ = row
            self._tables.rounds.add(chain, level, k, number, price, supply, demand)
            interval.rounds += 1
        if interval.cleared:
            return
        clearing = self._view(chain, state, "clearing", k)
        if clearing is not None:
            price, supply, demand, matched, _ = clearing
            self._tables.clearings.add(chain, level, k, price, supply, demand, matched, timestamp)
            self._invariants.cleared(chain, k, clearing)
            interval.cleared, interval.cleared_at = True, timestamp

    def _read_settlement(self, now: Instant, chain: str, k: int, interval: _Interval, state: State) -> None:
        routes, metering = self._view(chain, state, "summary", k)
        homes = [home.name for home in self._scenario.plan.chains[chain].homes]
        if routes is not None and not interval.settled:
            interval.settled = True
            self.final_after[chain].append(now - interval.cleared_at)
            self._note_routes(routes)
            prices = self._level_prices(chain, k, state)
            for home in homes:
                share, _ = self._view(chain, state, "settlement", k, home)
                if share is not None:
                    interval.shares[home] = share
                    self._add_trades(chain, k, home, share, prices)
            self._invariants.settled(chain, k, interval.shares, routes)
        if metering is not None and interval.settled and not interval.metered:
            interval.metered = True
            _, _, self_consumed, bought, sold, _ = metering
            for name, energy in (
                ("self_consumed", self_consumed),
                ("imbalance_bought", bought),
                ("imbalance_sold", sold),
            ):
                self.totals[name] += energy
            for home in homes:
                _, metered = self._view(chain, state, "settlement", k, home)
                share = interval.shares.get(home)
                self._add_settlement(chain, k, home, share, metered)
                self._invariants.metered(chain, k, home, share, metered)
            interval.shares = {}

    def _note_routes(self, routes: Any) -> None:
        local, levels, grid_bought, grid_sold, _ = routes
        self.totals["local"] += local
        self.totals["between_microgrids"] += sum(bought for _, bought, _ in levels)
        self.totals["grid_bought"] += grid_bought
        self.totals["grid_sold"] += grid_sold

    def _level_prices(self, chain: str, k: int, state: State) -> dict[int, int]:
        return {
            level: price for _, _, _, _, lots in self._view(chain, state, "residuals", k) for level, _, price in lots
        }

    def _add_trades(self, chain: str, k: int, home: str, share: Share, prices: dict[int, int]) -> None:
        side, _, local, levels, grid, _, local_price = share
        tariff = self._scenario.market.tariff
        add = self._tables.trades.add
        if local:
            add(chain, k, home, side, "local", local, local_price)
        for level, energy in levels:
            if energy:
                add(chain, k, home, side, f"level{level}", energy, prices[level])
        if grid:
            add(chain, k, home, side, "grid", grid, tariff.sell_price if side == ASK else tariff.buy_price)

    def _add_settlement(self, chain: str, k: int, home: str, share: Share | None, metered: Any) -> None:
        series = self._scenario.series[home]
        side, ordered, money = (share[0], share[1], abs(share[5])) if share else (None, 0, 0)
        known: tuple[Any, ...] = metered or (None, None, None, None)
        self._tables.settlements.add(
            chain,
            k,
            home,
            side,
            ordered,
            money,
            series.load[k],
            series.generation[k],
            known[0],
            known[1],
            known[2],
            None if known[3] is None else int(known[3]),
        )


class _Interval:
    """What was already read of an interval on one chain."""

    __slots__ = ("cleared", "cleared_at", "metered", "rounds", "settled", "shares")

    def __init__(self) -> None:
        self.rounds = 0
        self.cleared = False
        self.cleared_at: Instant = 0
        self.settled = False
        self.metered = False
        self.shares: dict[str, Share] = {}
