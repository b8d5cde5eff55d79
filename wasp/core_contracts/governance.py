"""The governance contract: who owns the chain, who its members are, its limits, what gas costs.

Its account takes the fees, and tokens that came without a sender to whom they could be credited. Only the owner may
change anything here; a chain without an owner stays as its genesis made it. The limits are part of the program that
all members run, and stand here to be read and proven.
"""

from __future__ import annotations

from collections.abc import Mapping

from ledger.kernel.encoding import Plain
from ledger.kernel.rejection import Rejected, require
from wasp.state import KeyReader
from wasp.vm.contract import AccountName, Contract, EntryPoint, Sandbox, View, ViewPoint
from wasp.vm.gas import FREE, GasPolicy

GOVERNANCE = "governance"


def gas_policy(reader: KeyReader) -> GasPolicy:
    """What gas costs now."""
    entry = reader.value_at((GOVERNANCE, "gas policy"))
    return FREE if entry is None else GasPolicy(*entry)


class Governance(Contract):
    """The doors to governance."""

    name = GOVERNANCE

    def __init__(
        self,
        owner: AccountName | None = None,
        committee: tuple[str, ...] = (),
        limits: tuple[tuple[str, int], ...] = (),
        policy: GasPolicy = FREE,
    ) -> None:
        self._owner = owner
        self._committee = committee
        self._limits = limits
        self._policy = policy

    @property
    def entry_points(self) -> Mapping[str, EntryPoint]:
        return {"set_owner": _set_owner, "set_gas_policy": _set_gas_policy, "withdraw": _withdraw}

    @property
    def views(self) -> Mapping[str, ViewPoint]:
        return {"owner": _owner, "committee": _committee, "limits": _limits, "gas_policy": _gas_policy}

    def genesis(self, sandbox: Sandbox) -> None:
        sandbox.write("owner", value=self._owner)
        sandbox.write("committee", value=self._committee)
        sandbox.write("limits", value=self._limits)
        sandbox.write("gas policy", value=(self._policy.tokens, self._policy.gas))


def _set_owner(sandbox: Sandbox, account: Plain) -> Plain:
    _require_owner(sandbox)
    if type(account) is not str:
        raise Rejected("parameters", "an owner is an account's name")
    sandbox.write("owner", value=account)
    return None


def _set_gas_policy(sandbox: Sandbox, tokens: Plain, gas: Plain) -> Plain:
    _require_owner(sandbox)
    if type(tokens) is not int or type(gas) is not int or tokens < 0 or gas < 1:
        raise Rejected("parameters", "a policy is a number of tokens, at least 0, for a number of gas, at least 1")
    sandbox.write("gas policy", value=(tokens, gas))
    return None


def _withdraw(sandbox: Sandbox, account: Plain, amount: Plain) -> Plain:
    _require_owner(sandbox)
    if type(account) is not str or type(amount) is not int or amount < 0:
        raise Rejected("parameters", "an account's name and an amount are needed")
    sandbox.pay(account, amount)
    return None


def _require_owner(sandbox: Sandbox) -> None:
    require(sandbox.caller == sandbox.read("owner"), "owner", "only the chain's owner may do this")


def _owner(view: View) -> Plain:
    entry: Plain = view.read("owner")
    return entry


def _committee(view: View) -> Plain:
    entry: Plain = view.read("committee")
    return entry


def _limits(view: View) -> Plain:
    entry: Plain = view.read("limits")
    return entry


def _gas_policy(view: View) -> Plain:
    entry: Plain = view.read("gas policy")
    return entry
