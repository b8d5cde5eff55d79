"""A chain's program: all that its members must have in common to compute the same states.

The chain's name, its contracts (the four core contracts are added), the seed of their randomness, the chains that it
can send to, the registered users, the limits. A program is fixed for the life of a chain; what changes is in the
state.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ledger.kernel.encoding import Frozen, Plain
from ledger.kernel.identity import PublicKey
from ledger.kernel.instant import MINUTE, Duration
from ledger.kernel.rejection import Rejected, require
from ledger.output import ChainId, chain_id
from wasp.core_contracts.accounts import OUTBOX_ACCOUNT, Accounts
from wasp.core_contracts.blocklog import Blocklog
from wasp.core_contracts.governance import Governance
from wasp.core_contracts.root import Root
from wasp.request import NAME_SIZE_MAX
from wasp.vm.contract import AccountName, Contract
from wasp.vm.gas import FREE, GAS_BLOCK_MAX, GAS_REQUEST_MAX, GAS_REQUEST_MIN, GasPolicy


class Limits(Frozen):
    """What a chain block may hold at most."""

    gas_block_max: int = GAS_BLOCK_MAX
    gas_request_max: int = GAS_REQUEST_MAX
    gas_request_min: int = GAS_REQUEST_MIN
    requests_max: int = 1_000
    """Requests of a block: their ids fit into one entry of the block log."""
    inputs_max: int = 100
    """Outputs of layer 1 consumed by a block: with the anchor, they fit into a transaction."""
    outputs_max: int = 100
    """Messages of the outbox that leave with a block: likewise."""
    outputs_of_request_max: int = 4
    """Messages of one request: Wasp's limit."""
    outbox_max: int = 256
    """Waiting messages beyond which requests must wait too: due moments always find room."""
    transitions_max: int = 100
    """Due moments of a block: several intervals of several contracts at once, and a block is not late."""
    expiry_guard: Duration = MINUTE
    """Time before its expiry in which an output is not touched: it could be taken back by its sender."""
    blocks_kept: int = 10_000
    """Blocks that the block log remembers: Wasp's default."""
    receipts_kept: int = 1_000
    """Blocks whose receipts and events it remembers: longer than any mempool keeps what was executed."""


class Door:
    """An entry point or view, and how many parameters it takes."""

    __slots__ = ("_function", "_least", "_most")

    def __init__(self, function: Callable[..., Plain]) -> None:
        parameters = list(inspect.signature(function).parameters.values())[1:]
        self._function = function
        self._least = sum([parameter.default is parameter.empty for parameter in parameters])
        self._most = len(parameters)
        assert all(parameter.kind is parameter.POSITIONAL_OR_KEYWORD for parameter in parameters)

    def enter(self, sandbox: Any, parameters: tuple[Plain, ...]) -> Plain:
        """What the function returns.

        Errors: ``Rejected("parameters", ...)`` for too few or too many, ``Rejected("panic", ...)`` when the contract
        stumbles over them, and whatever the contract rejects.
        """
        fits = self._least <= len(parameters) <= self._most
        require(fits, "parameters", f"{len(parameters)} parameters, {self._least} to {self._most} expected")
        try:
            return self._function(sandbox, *parameters)
        except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError) as error:
            # a contract that trusts its parameters must not stop its chain; messages of errors differ between interpreters
            raise Rejected("panic", type(error).__name__) from error


class Program:
    """What a chain runs."""

    def __init__(
        self,
        network: str,
        chain: str,
        contracts: Mapping[str, Contract],
        contract_seed: bytes,
        chains: Mapping[str, ChainId],
        users: Mapping[PublicKey, AccountName],
        limits: Limits = Limits(),  # noqa: B008 - immutable
        owner: AccountName | None = None,
        committee: tuple[str, ...] = (),
        gas_policy: GasPolicy = FREE,
    ) -> None:
        named = tuple([(name, getattr(limits, name)) for name in msgspec.structs.asdict(limits)])
        core: list[Contract] = [Accounts(), Blocklog(), Governance(owner, committee, named, gas_policy)]
        every = [*core, *contracts.values()]
        every.append(Root(every))
        self.network = network
        self.chain = chain
        self.id: ChainId = chain_id(network, chain)
        self.contracts: dict[str, Contract] = {contract.name: contract for contract in sorted(every, key=_name_of)}
        assert len(self.contracts) == len(every), "two contracts have the same name"
        self.contract_seed = contract_seed
        self.chains: dict[str, ChainId] = {name: id for name, id in sorted(chains.items()) if name != chain}
        self.chain_names: dict[ChainId, str] = {id: name for name, id in self.chains.items()}
        self.users: dict[PublicKey, AccountName] = dict(sorted(users.items()))
        self.limits = limits
        self.entry_points: dict[tuple[str, str], Door] = {
            (contract.name, name): Door(function)
            for contract in every
            for name, function in contract.entry_points.items()
        }
        self.views: dict[tuple[str, str], Door] = {
            (contract.name, name): Door(function) for contract in every for name, function in contract.views.items()
        }
        self.accounts: tuple[AccountName, ...] = self._accounts()

    def _accounts(self) -> tuple[AccountName, ...]:
        """The accounts that exist by themselves: contracts, chains, users, the outbox."""
        kinds = ([OUTBOX_ACCOUNT], list(self.contracts), list(self.chains), sorted(set(self.users.values())))
        names = [name for kind in kinds for name in kind]
        assert len(set(names)) == len(names), "a contract, a chain and a user must not have the same name"
        assert self.chain not in names, "an account must not have the name of its chain"
        assert all(0 < len(name) <= NAME_SIZE_MAX for name in (self.chain, *names)), "a name is too long"
        return tuple(sorted(names))


def _name_of(contract: Contract) -> str:
    return contract.name
