"""A market on chains without committees: a tree of auctions in ``Solo``, and checks that everything added up.

bench = MarketBench({"mg1": "region", "mg2": "region", "region": None}, {"mg1": ("a", "b"), "mg2": ("c",)})
bench.order("a", 0, BID, 500, 9_000)
bench.drain()                             # until all intervals are closed and nothing is under way
bench.check()                             # energy per home, money per account
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ledger.kernel.encoding import digest, unpack
from ledger.kernel.instant import HOUR, MINUTE, Instant
from ledger.output import OutputId
from market.auction import Auction
from market.book import ClearingRow, MeteredRow, MeteringRow, RoutesRow, ShareRow
from market.hierarchy import market_places
from market.orders import ASK, BID, Side
from market.parameters import Home, MarketParameters
from market.units import Tariff
from tests.harness.solo import Solo
from wasp.core_contracts.blocklog import Receipt, receipt_of
from wasp.outbox import OutboxEntry, output_of
from wasp.request import CrossChainMessage, MessageId, OnLedgerRequest, call

TARIFF = Tariff(buy_price=18_900, sell_price=3_200)
CONNECTION = 10_000
FUNDS = 10**12


def market_of(levels: int = 1, **changes: Any) -> MarketParameters:
    """A market of hourly intervals: opening half an hour before, three rounds of a minute, gates two minutes apart."""
    defaults: dict[str, Any] = {
        "first_delivery": HOUR,
        "interval_length": HOUR,
        "intervals": 1,
        "opening": 30 * MINUTE,
        "round_length": MINUTE,
        "rounds": 3,
        "gates": tuple((20 - 2 * level) * MINUTE for level in range(levels)),
        "tariff": TARIFF,
        "contract_seed": bytes(32),
    }
    return MarketParameters(**{**defaults, **changes})


class MarketBench:
    """A tree of auctions. ``homes`` has the accounts of each microgrid; their names differ over the whole tree.

    On the chains ``without_mandate`` no account lets the auction collect.
    """

    def __init__(
        self,
        parents: Mapping[str, str | None],
        homes: Mapping[str, Sequence[str]],
        market: MarketParameters | None = None,
        funds: int | Mapping[str, int] = FUNDS,
        utility_funds: int | Mapping[str, int] = FUNDS,
        without_mandate: Sequence[str] = (),
        **solo: Any,
    ) -> None:
        self.places = market_places(
            parents, {chain: tuple(Home(name, CONNECTION) for name in names) for chain, names in homes.items()}
        )
        self.market = market or market_of(1 + max(place.level for place in self.places.values()))
        self.homes = {name: chain for chain, names in homes.items() for name in names}
        self.funds = {name: funds if isinstance(funds, int) else funds.get(name, FUNDS) for name in self.homes}
        self.utility_funds = (
            dict.fromkeys(parents, utility_funds) if isinstance(utility_funds, int) else dict(utility_funds)
        )
        accounts = {chain: (*homes.get(chain, ()), "utility") for chain in parents}
        self.solo = Solo(
            {chain: {"auction": Auction(self.market, place)} for chain, place in self.places.items()},
            homes,
            {
                chain: {name: self.funds.get(name, self.utility_funds[chain]) for name in accounts[chain]}
                for chain in parents
            },
            {
                chain: {} if chain in without_mandate else dict.fromkeys(accounts[chain], ("auction",))
                for chain in parents
            },
            **solo,
        )
        self._injected = 0
        self.solo.advance_to(self.market.opening_at(0))

    # ------------------------------------------------------------------------------------------------------ asking

    def order(self, home: str, interval: int, side: Side, energy: int, price: int) -> Receipt:
        """Submit an order and run a block."""
        escrow = energy * self.market.tariff.buy_price if side == BID and energy > 0 else 0
        return self.solo.post(
            self.homes[home], home, "auction", "submit_order", interval, side, energy, price, allowance=escrow
        )

    def orders(self, interval: int, orders: Mapping[str, tuple[Side, int, int]]) -> None:
        """Submit orders that must be accepted."""
        for home, order in orders.items():
            receipt = self.order(home, interval, *order)
            assert receipt.succeeded and unpack(receipt.result) == "accepted", receipt

    def reading(self, home: str, interval: int, net: int, load: int | None = None) -> Receipt:
        """Submit a reading of this net and run a block."""
        load = max(0, -net) if load is None else load
        return self.solo.post(self.homes[home], home, "auction", "submit_reading", interval, net, load, net + load)

    def view(self, chain: str, view: str, *parameters: Any) -> Any:
        """A view of a chain's auction."""
        return self.solo.view(chain, "auction", view, *parameters)

    def inject(
        self, sender: str, contract: str, target: str, entry_point: str, parameters: Any, money: int
    ) -> str | None:
        """Let a message of another chain arrive that no contract sent, run a block; the code of its receipt."""
        solo = self.solo
        here, there = solo.chains[target].program, solo.chains[sender].program
        self._injected += 1
        asked = call("auction", entry_point, *parameters)
        message = CrossChainMessage(MessageId(sender, contract, 900 + self._injected), asked)
        output = output_of(OutboxEntry(target, money, None, message), here.id, there.id)
        request = OnLedgerRequest(OutputId(digest("injected", self._injected), 0), output)
        solo.supply += money
        solo.under_way.append((solo.now, request.output_id, output))
        solo.run_block(target)
        receipt = receipt_of(solo.chains[target].state, request.id)
        assert receipt is not None
        return receipt.code

    # ------------------------------------------------------------------------------------------------------- time

    def to_gate(self, interval: int = 0, level: int = 0) -> None:
        """Until the gate of this level is cleared."""
        self.solo.advance_to(self.market.gate_at(interval, level))

    def drain(self) -> None:
        """Until everything is settled, or nothing will happen any more."""
        self.solo.advance_to(self.market.metering_at(self.market.intervals) + HOUR)

    def restart_at(self, chain: str, instant: Instant) -> None:
        """The chain was down until then, and is back."""
        self.solo.advance_to(instant)
        self.solo.offline.discard(chain)

    # ------------------------------------------------------------------------------------------------------- rows

    def share(self, home: str, interval: int = 0) -> ShareRow | None:
        """What a home traded."""
        plain = self.view(self.homes[home], "settlement", interval, home)[0]
        return None if plain is None else ShareRow(*plain)

    def metered(self, home: str, interval: int = 0) -> MeteredRow | None:
        """What a home's reading led to."""
        plain = self.view(self.homes[home], "settlement", interval, home)[1]
        return None if plain is None else MeteredRow(*plain)

    def routes(self, chain: str, interval: int = 0) -> RoutesRow | None:
        """The energy of a microgrid by route."""
        plain = self.view(chain, "summary", interval)[0]
        return None if plain is None else RoutesRow(*plain)

    def metering(self, chain: str, interval: int = 0) -> MeteringRow | None:
        """What a microgrid's meters saw."""
        plain = self.view(chain, "summary", interval)[1]
        return None if plain is None else MeteringRow(*plain)

    def clearing(self, chain: str, interval: int = 0) -> ClearingRow | None:
        """What the gate of a chain led to."""
        plain = self.view(chain, "clearing", interval)
        return None if plain is None else ClearingRow(*plain)

    def missed(self, chain: str) -> tuple[int, int]:
        """Missed gates: of homes' orders, of this chain's residuals."""
        counters = self.view(chain, "counters")
        return counters[0], counters[1]

    # ------------------------------------------------------------------------------------------------------ checks

    def check(self, intervals: Sequence[int] | None = None) -> None:
        """Everything is settled, energy adds up per home, money per account, and nothing is left in the contracts."""
        kept = range(self.market.intervals) if intervals is None else intervals
        for chain in self.places:
            assert self.view(chain, "open_intervals") == (), f"{chain} has open intervals"
            assert self.view(chain, "unsettled") == ()
            keys = [key for key, _ in self.solo.chains[chain].state.entries() if key[0] == "auction"]
            assert not [key for key in keys if key[1] in ("result", "sent")], "messages leave nothing behind"
            for account in ("auction", *self.places):
                if account != chain:
                    assert self.solo.balance(chain, account) == 0, f"{account} on {chain} still has tokens"
        assert self.solo.quiet
        money = dict(self.funds)
        levels: dict[int, int] = {}
        for interval in kept:
            for home in self.homes:
                money[home] += self._check_home(home, interval)
            for chain in self._microgrids():
                self._check_sums(chain, interval)
                for level, bought, sold in self.routes(chain, interval).levels:  # type: ignore[union-attr]
                    levels[level] = levels.get(level, 0) + sold - bought
        assert not any(levels.values()), f"what a level sells, it buys: {levels}"
        debts = {home: dict(self.view(chain, "debts")).get(home, 0) for home, chain in self.homes.items()}
        found = {home: self.solo.balance(chain, home) for home, chain in self.homes.items()}
        assert found == {home: money[home] + debts[home] for home in self.homes}
        for chain in self.places:
            if chain not in self._microgrids():
                assert self.solo.balance(chain, "utility") == self.utility_funds[chain], "a parent chain keeps nothing"

    def _microgrids(self) -> list[str]:
        return [chain for chain, place in self.places.items() if place.homes]

    def _check_home(self, home: str, interval: int) -> int:
        """What a home received (or below zero paid) for an interval whose energy adds up."""
        order = self.view(self.homes[home], "order", interval, home)
        share, metered = self.share(home, interval), self.metered(home, interval)
        assert metered is not None and (share is None) == (order is None)
        if share is None:
            ordered, traded = 0, 0
        else:
            assert (share.side, share.ordered) == order[:2]
            assert share.ordered == share.local + sum(energy for _, energy in share.levels) + share.grid
            ordered, traded = share.ordered if share.side == ASK else -share.ordered, share.money
            tariff = self.market.tariff
            assert tariff.sell_price * share.ordered <= abs(traded) <= tariff.buy_price * share.ordered
            assert (traded > 0) == (share.side == ASK) or traded == 0
        assert metered.net == ordered + metered.imbalance
        price = self.market.tariff.buy_price if metered.imbalance < 0 else self.market.tariff.sell_price
        assert metered.money == metered.imbalance * price
        return traded + metered.money

    def _check_sums(self, chain: str, interval: int) -> None:
        """The sums over the homes are the sums over the homes; within a book money is only moved."""
        homes = [home for home, place in self.homes.items() if place == chain]
        shares = [share for home in homes if (share := self.share(home, interval)) is not None]
        routes, tariff = self.routes(chain, interval), self.market.tariff
        assert routes is not None
        for side, grid, place in ((BID, routes.grid_bought, 1), (ASK, routes.grid_sold, 2)):
            mine = [share for share in shares if share.side == side]
            assert sum(share.local for share in mine) == routes.local
            assert sum(share.grid for share in mine) == grid
            between = sum(energy for share in mine for _, energy in share.levels)
            assert between == sum(row[place] for row in routes.levels)
        traded = sum(share.money for share in shares)
        with_grid = routes.grid_sold * tariff.sell_price - routes.grid_bought * tariff.buy_price
        assert traded == with_grid + self._money_of_levels(chain, interval)

    def _money_of_levels(self, chain: str, interval: int) -> int:
        lots = [
            (side, energy, price)
            for side, _, _, _, lots in self.view(chain, "residuals", interval)
            for _, energy, price in lots
        ]
        return sum(energy * price if side == ASK else -energy * price for side, energy, price in lots)
