"""How the auction contract moves money between the accounts of its chain, and what happens where an account is empty.

Tokens that the contract holds are escrow or on their way: everything that it collects it pays on. What an account can't
pay becomes a *debt*: a record, not a token.

1. A home owes the utility; where the utility could not pay, the utility owes the home. So one signed number per home says
   all: above zero the home owes, below zero the utility does. What both owe each other cancels.
2. A debt is paid first from the next credit that the contract makes. The release of escrow is a credit.
3. What the utility is credited goes first to the homes that it owes, in the order of the configuration.
4. An account that took its mandate back can't pay: what it should have paid becomes a debt.

Credits that do not come through the contract, such as a deposit, pay no debts: the accounts contract knows of none, and
the contract's next credit is never far. Invariant: no call here changes the sum of
all accounts, and every call moves exactly the tokens that it names or records what is missing.
"""

from __future__ import annotations

from ledger.kernel.rejection import Rejected
from market.parameters import MarketPlace
from market.sharing import share
from market.units import MicroPence
from wasp.vm.contract import Sandbox, StateReader


class Purse:
    """The money side of one call of the contract."""

    def __init__(self, sandbox: Sandbox, place: MarketPlace) -> None:
        self._sandbox = sandbox
        self._place = place

    def credit(self, home: str, amount: MicroPence) -> None:
        """Pay a home from what the contract holds; its debt first."""
        repaid = min(amount, max(0, debt_of(self._sandbox, home)))
        if repaid:
            self._change_debt(home, -repaid)
            self.credit_utility(repaid)
        if amount > repaid:
            self._sandbox.pay(home, amount - repaid)

    def credit_utility(self, amount: MicroPence) -> None:
        """Pay the utility from what the contract holds; its debts first."""
        if self._sandbox.read("owed"):
            for home in self._place.homes:
                repaid = min(amount, max(0, -debt_of(self._sandbox, home.account)))
                if repaid:
                    self._change_debt(home.account, repaid)
                    self._sandbox.pay(home.account, repaid)
                    amount -= repaid
        if amount:
            self._sandbox.pay(self._place.utility, amount)

    def charge(self, home: str, amount: MicroPence) -> None:
        """A home pays the utility: from its account what is there, the rest becomes a debt."""
        cancelled = min(amount, max(0, -debt_of(self._sandbox, home)))
        paid = self._collect(home, amount - cancelled)
        if paid:
            self.credit_utility(paid)
        self._change_debt(home, amount - paid)

    def utility_pays(self, home: str, amount: MicroPence) -> None:
        """The utility pays a home: what the home owes cancels first, what is missing becomes a debt."""
        cancelled = min(amount, max(0, debt_of(self._sandbox, home)))
        paid = self.collect_from_utility(amount - cancelled)
        if paid:
            self._sandbox.pay(home, paid)
        self._change_debt(home, paid - amount)

    def collect_from_utility(self, amount: MicroPence) -> MicroPence:
        """Take from the utility what it has of this amount into the contract's account, and tell how much it was."""
        return self._collect(self._place.utility, amount)

    def credit_sellers(self, credits: dict[str, MicroPence], missing: MicroPence, interval: int) -> None:
        """Pay sellers all but what is missing, which the utility owes them in proportion to their credits."""
        owed = share(missing, credits, interval)
        for home, amount in credits.items():
            self.credit(home, amount - owed[home])
            self._change_debt(home, -owed[home])

    def _collect(self, account: str, amount: MicroPence) -> MicroPence:
        """Line 4: what the account has of this amount, if the contract still has its mandate."""
        collected = min(amount, self._sandbox.balance(account))
        if not collected:
            return 0
        try:
            self._sandbox.collect(account, collected)
        except Rejected as rejection:
            if rejection.code != "mandate":
                raise
            return 0
        return collected

    def _change_debt(self, home: str, change: MicroPence) -> None:
        if not change:
            return
        before = debt_of(self._sandbox, home)
        after = before + change
        owed = (self._sandbox.read("owed") or 0) + max(0, -after) - max(0, -before)
        self._sandbox.write("debt", home, value=after or None)
        self._sandbox.write("owed", value=owed or None)


def debt_of(state: StateReader, home: str) -> MicroPence:
    """What a home owes the utility; below zero, the utility owes the home."""
    debt: MicroPence = state.read("debt", home) or 0
    return debt
