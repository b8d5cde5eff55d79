"""The root contract: which contracts the chain has.

Contracts are part of the program that all members run; here stands what they are called, in which version, and which
doors they have, so that a reader with an anchor can tell what the chain's requests meant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ledger.kernel.encoding import Plain
from ledger.kernel.rejection import Rejected
from wasp.vm.contract import Contract, EntryPoint, Sandbox, View, ViewPoint

ROOT = "root"


class Root(Contract):
    """The registry of the contracts of a chain."""

    name = ROOT

    def __init__(self, contracts: Sequence[Contract]) -> None:
        self._contracts = sorted([*contracts, self], key=_name_of)

    @property
    def entry_points(self) -> Mapping[str, EntryPoint]:
        return {}

    @property
    def views(self) -> Mapping[str, ViewPoint]:
        return {"contracts": _list, "contract": _describe}

    def genesis(self, sandbox: Sandbox) -> None:
        sandbox.write("contracts", value=tuple([contract.name for contract in self._contracts]))
        for contract in self._contracts:
            doors = tuple(sorted(contract.entry_points)), tuple(sorted(contract.views))
            sandbox.write("contract", contract.name, value=(contract.version, *doors))


def _name_of(contract: Contract) -> str:
    return contract.name


def _list(view: View) -> Plain:
    entry: Plain = view.read("contracts")
    return entry


def _describe(view: View, name: Plain) -> Plain:
    if type(name) is not str:
        raise Rejected("parameters", "a contract's name is a string")
    entry: Plain = view.read("contract", name)
    return entry
