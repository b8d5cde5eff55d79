"""The first state of a chain: accounts with their funds, users, mandates, and what each contract starts with."""

from __future__ import annotations

from collections.abc import Mapping

from wasp.chain_block import ChainBlock, first_block
from wasp.core_contracts.accounts import (
    TOTAL_KEY,
    grant_mandate,
    is_account,
    open_account,
    register_user,
    total_of,
)
from wasp.state import EMPTY_STATE, State
from wasp.vm.block_run import UNMETERED, check_sum
from wasp.vm.contract import AccountName
from wasp.vm.draft import Draft
from wasp.vm.gas import GasMeter
from wasp.vm.program import Program
from wasp.vm.sandbox import Caller, CallSandbox


def genesis(
    program: Program,
    balances: Mapping[AccountName, int],
    mandates: Mapping[AccountName, tuple[str, ...]] | None = None,
) -> State:
    """The chain's first state. Names in ``balances`` that are not known otherwise become accounts without a key."""
    draft = Draft(EMPTY_STATE)
    for account in sorted({*program.accounts, *balances}):
        open_account(draft, account, balances.get(account, 0))
    draft.write(TOTAL_KEY, sum(balances.values()))
    for public_key, account in program.users.items():
        register_user(draft, public_key, account)
    for account, contracts in sorted((mandates or {}).items()):
        assert is_account(draft, account)
        for contract in contracts:
            assert contract in program.contracts
            grant_mandate(draft, account, contract)
    for name, code in program.contracts.items():
        code.genesis(CallSandbox(program, draft, GasMeter(UNMETERED), 0, name, Caller(name)))
    check_sum(EMPTY_STATE, draft, total_of(draft))
    return EMPTY_STATE.write(draft.written)[0]


def genesis_block(program: Program, state: State) -> ChainBlock:
    """Chain block 0, which leads to the genesis state."""
    return first_block(program.chain, state)
