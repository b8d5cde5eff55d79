"""Money between accounts where some are empty: the purse against a model that counts by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.kernel.rejection import Rejected
from market.parameters import Home, MarketPlace
from market.purse import Purse, debt_of

PLACE = MarketPlace("mg", 0, homes=(Home("a", 1), Home("b", 1)))


class Accounts:
    """The part of a sandbox that moves money, with accounts that took their mandate back."""

    def __init__(self, balances, revoked=()):
        self.balances = dict(balances)
        self.state = {}
        self.revoked = revoked
        self.code = "mandate"

    def read(self, *key):
        return self.state.get(key)

    def write(self, *key, value):
        self.state[key] = value

    def balance(self, account):
        return self.balances.get(account, 0)

    def collect(self, account, amount):
        assert amount > 0
        if account in self.revoked:
            raise Rejected(self.code, "none")
        self._move(account, "auction", amount)

    def pay(self, account, amount):
        assert amount > 0
        self._move("auction", account, amount)

    def _move(self, payer, payee, amount):
        assert self.balances[payer] >= amount
        self.balances[payer] -= amount
        self.balances[payee] += amount


def settle_utility(balances, debts, amount):
    """The utility is credited: homes that it owes come first."""
    for home in ("a", "b"):
        part = min(amount, -debts[home]) if debts[home] < 0 else 0
        debts[home] += part
        balances[home] += part
        amount -= part
    balances["utility"] += amount


def apply(balances, debts, operation, home, amount):
    """What should happen, by hand."""
    if operation == "deposit":
        balances[home] += amount
    elif operation == "credit":
        part = min(amount, debts[home]) if debts[home] > 0 else 0
        debts[home] -= part
        balances["auction"] -= amount
        settle_utility(balances, debts, part)
        balances[home] += amount - part
    elif operation == "charge":
        part = min(amount, -debts[home]) if debts[home] < 0 else 0
        paid = min(amount - part, balances[home])
        balances[home] -= paid
        settle_utility(balances, debts, paid)
        debts[home] += amount - paid
    else:
        part = min(amount, debts[home]) if debts[home] > 0 else 0
        paid = min(amount - part, balances["utility"])
        balances["utility"] -= paid
        balances[home] += paid
        debts[home] -= amount - paid


OPERATIONS = st.tuples(
    st.sampled_from(["credit", "charge", "utility_pays", "deposit"]), st.sampled_from(["a", "b"]), st.integers(0, 9)
)


@given(st.lists(OPERATIONS, max_size=25), st.integers(0, 9), st.integers(0, 9))
def test_every_operation_moves_what_it_says_or_records_what_is_missing(operations, utility, home):
    balances = {"a": home, "b": 0, "utility": utility, "auction": 1_000}
    debts = {"a": 0, "b": 0}
    accounts = Accounts(balances)
    purse = Purse(accounts, PLACE)
    for operation, home, amount in operations:
        if operation == "deposit":
            accounts.balances[home] += amount
        else:
            getattr(purse, operation)(home, amount)
        apply(balances, debts, operation, home, amount)
        assert accounts.balances == balances
        assert {name: debt_of(accounts, name) for name in debts} == debts
        assert (accounts.read("owed") or 0) == sum(-debt for debt in debts.values() if debt < 0)
        assert 0 not in accounts.state.values(), "a debt of nothing is no entry"


@given(st.dictionaries(st.sampled_from("ab"), st.integers(1, 50), min_size=1), st.integers(0, 3), st.integers(0, 5))
def test_sellers_get_all_but_their_part_of_what_is_missing(credits, interval, missing):
    missing = min(missing, sum(credits.values()))
    accounts = Accounts({"a": 0, "b": 0, "utility": 0, "auction": 1_000})
    Purse(accounts, PLACE).credit_sellers(credits, missing, interval)
    for home, amount in credits.items():
        owed = -debt_of(accounts, home)
        assert accounts.balances[home] + owed == amount
        assert abs(owed * sum(credits.values()) - missing * amount) < sum(credits.values())
    assert accounts.balances["auction"] == 1_000 - sum(credits.values()) + missing


def test_an_account_without_a_mandate_cannot_pay():
    accounts = Accounts({"a": 5, "b": 0, "utility": 5, "auction": 0}, revoked=("a", "utility"))
    purse = Purse(accounts, PLACE)
    purse.charge("a", 3)
    purse.utility_pays("b", 3)
    assert accounts.balances == {"a": 5, "b": 0, "utility": 5, "auction": 0}
    assert (debt_of(accounts, "a"), debt_of(accounts, "b")) == (3, -3)


def test_another_failure_is_not_taken_for_a_missing_mandate():
    accounts = Accounts({"a": 5, "b": 0, "utility": 5, "auction": 0}, revoked=("a",))
    accounts.code = "gas"
    with pytest.raises(Rejected):
        Purse(accounts, PLACE).charge("a", 3)
