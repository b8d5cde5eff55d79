"""What every home must have in its account, by what the contract says that it traded: checked at every confirmed state.

    account = genesis funds + money of settled intervals + money of metered intervals + what it owes - what its bids lock

What the utility owes a home counts as owed below zero. A bid locks its energy at P_gb until its interval is final. Nothing
else moves a home's tokens here: nobody pays anybody directly, and gas costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from market.hierarchy import AUCTION
from market.orders import BID
from node.experiments.invariants import Invariants
from node.scenario import Scenario
from wasp.core_contracts.accounts import balance_of
from wasp.state import State
from wasp.vm.sandbox import call_view


class HomeAccounts:
    """Adds up what homes were paid and paid."""

    def __init__(self, scenario: Scenario, invariants: Invariants) -> None:
        self._scenario = scenario
        self._invariants = invariants
        self._money: dict[str, dict[str, int]] = {
            name: {home.name: balance_of(setup.state, home.name) for home in setup.plan.homes}
            for name, setup in scenario.chains.items()
        }
        self._counted: set[tuple[str, int, str]] = set()
        """Settlements and meterings that are in the sums: chain, interval, which of both."""

    def check(self, chain: str, state: State, intervals: Iterable[int], place: str) -> None:
        """Check the homes of a chain in a confirmed state; the intervals are those that were not closed before it."""
        program, money = self._scenario.chains[chain].program, self._money[chain]

        def look(view: str, *parameters: Any) -> Any:
            return call_view(program, state, AUCTION, view, *parameters)

        locked = dict.fromkeys(money, 0)
        for k in intervals:
            routes, metering = look("summary", k)
            if routes is None:
                for home, side, energy, _ in look("book", k):
                    locked[home] += energy * self._scenario.market.tariff.buy_price if side == BID else 0
            for name, sums, part, amount in (("settled", routes, 0, 5), ("metered", metering, 1, 2)):
                if sums is not None and (chain, k, name) not in self._counted:
                    self._counted.add((chain, k, name))
                    for home in money:
                        row = look("settlement", k, home)[part]
                        money[home] += 0 if row is None else row[amount]
        debts = dict(look("debts"))
        for home, amount in money.items():
            expected = amount + debts.get(home, 0) - locked[home]
            found = balance_of(state, home)
            self._invariants.check("home_money", found == expected, f"{place}: {home} has {found}, not {expected}")
