"""The accounts contract: who has how many tokens on this chain, and who may ask for what.

Accounts are names: registered users, contracts, other chains, and the *outbox*, which holds the tokens of messages
that wait for an anchor. Every token of the chain is in exactly one of them, so their sum is what the chain holds on
layer 1. An account exists from genesis on, with an entry even when it is empty; nothing can be paid to a name that is
not an account.

- ``nonce`` counts an account's off-ledger requests: each is used once, in order.
- A *mandate* lets a contract collect from an account without being asked each time.
- Tokens leave for another chain's account by ``transfer_to_chain``: a message to the ``deposit`` of the accounts
  contract there. If it fails or expires there, it comes back to ``returned`` and is credited to the account that it
  was taken from.

The functions are for the chain itself; the contract's doors are for requests and readers.
"""

from __future__ import annotations

from collections.abc import Mapping

from ledger.kernel.encoding import Plain
from ledger.kernel.identity import PublicKey
from ledger.kernel.rejection import Rejected, require
from wasp.request import call
from wasp.state import KeyReader, StateKey
from wasp.vm.contract import AccountName, Contract, EntryPoint, Sandbox, View, ViewPoint
from wasp.vm.draft import Draft

ACCOUNTS = "accounts"
OUTBOX_ACCOUNT: AccountName = "outbox"
"""Holds the tokens of messages on their way into an anchor."""
TOTAL_KEY: StateKey = (ACCOUNTS, "total")


def balance_key(account: AccountName) -> StateKey:
    """Where an account's tokens are counted."""
    return (ACCOUNTS, "balance", account)


def balance_of(reader: KeyReader, account: AccountName) -> int:
    """Tokens of an account; 0 for a name that is none."""
    return reader.value_at(balance_key(account)) or 0


def is_account(reader: KeyReader, account: AccountName) -> bool:
    """Whether the chain has an account of this name."""
    return reader.value_at(balance_key(account)) is not None


def total_of(reader: KeyReader) -> int:
    """Tokens of all accounts."""
    return reader.value_at(TOTAL_KEY) or 0


def open_account(draft: Draft, account: AccountName, amount: int) -> None:
    """Make an account with its first tokens."""
    assert amount >= 0 and not is_account(draft, account)
    draft.write(balance_key(account), amount)


def credit(draft: Draft, account: AccountName, amount: int) -> None:
    """Add tokens to an account.

    Errors: ``Rejected("account", ...)`` for a name that is none.
    """
    assert amount >= 0
    balance = draft.value_at(balance_key(account))
    require(balance is not None, "account", f"{account!r} is no account of this chain")
    draft.write(balance_key(account), balance + amount)


def debit(draft: Draft, account: AccountName, amount: int) -> None:
    """Take tokens from an account.

    Errors: ``Rejected("funds", ...)`` beyond its balance.
    """
    assert amount >= 0
    balance = balance_of(draft, account)
    require(amount <= balance, "funds", f"{account!r} has {balance} tokens, {amount} needed")
    draft.write(balance_key(account), balance - amount)


def move(draft: Draft, payer: AccountName, payee: AccountName, amount: int) -> None:
    """Move tokens between accounts.

    Errors: ``Rejected("funds", ...)``, ``Rejected("account", ...)``.
    """
    if amount and payer != payee:
        debit(draft, payer, amount)
        credit(draft, payee, amount)
    else:
        require(amount <= balance_of(draft, payer), "funds", f"{payer!r} can't move {amount} tokens")
        require(is_account(draft, payee), "account", f"{payee!r} is no account of this chain")


def next_nonce(reader: KeyReader, account: AccountName) -> int:
    """The nonce of the account's next off-ledger request."""
    return reader.value_at((ACCOUNTS, "nonce", account)) or 0


def use_nonce(draft: Draft, account: AccountName) -> None:
    """The account's next request was executed."""
    draft.write((ACCOUNTS, "nonce", account), next_nonce(draft, account) + 1)


def user_of(reader: KeyReader, public_key: PublicKey) -> AccountName | None:
    """The registered account of a key."""
    name: AccountName | None = reader.value_at((ACCOUNTS, "user", public_key.hex()))
    return name


def register_user(draft: Draft, public_key: PublicKey, account: AccountName) -> None:
    """From now on the key's requests are the account's."""
    draft.write((ACCOUNTS, "user", public_key.hex()), account)


def has_mandate(reader: KeyReader, account: AccountName, contract: str) -> bool:
    """Whether the contract may collect from the account."""
    return reader.value_at((ACCOUNTS, "mandate", account, contract)) is not None


def grant_mandate(draft: Draft, account: AccountName, contract: str) -> None:
    """Let the contract collect from the account."""
    draft.write((ACCOUNTS, "mandate", account, contract), True)


class Accounts(Contract):
    """The doors to the accounts."""

    name = ACCOUNTS

    @property
    def entry_points(self) -> Mapping[str, EntryPoint]:
        return {
            "transfer": _transfer,
            "grant": _grant,
            "revoke": _revoke,
            "transfer_to_chain": _transfer_to_chain,
            "deposit": _deposit,
            "returned": _returned,
        }

    @property
    def views(self) -> Mapping[str, ViewPoint]:
        return {"balance": _balance, "nonce": _nonce, "mandate": _mandate, "total": _total}


def _transfer(sandbox: Sandbox, account: Plain, amount: Plain) -> Plain:
    sandbox.take(_amount(amount))
    sandbox.pay(_name(account), _amount(amount))
    return None


def _grant(sandbox: Sandbox, contract: Plain) -> Plain:
    sandbox.write("mandate", sandbox.caller, _name(contract), value=True)
    return None


def _revoke(sandbox: Sandbox, contract: Plain) -> Plain:
    sandbox.write("mandate", sandbox.caller, _name(contract), value=None)
    return None


def _transfer_to_chain(sandbox: Sandbox, chain: Plain, account: Plain, amount: Plain, expires: Plain) -> Plain:
    sandbox.take(_amount(amount))
    deposit = call(ACCOUNTS, "deposit", _name(account))
    message = sandbox.send(_name(chain), deposit, _amount(amount), None if expires is None else _amount(expires))
    sandbox.write("sent", message.counter, value=(sandbox.caller, chain))
    return message.counter


def _deposit(sandbox: Sandbox, account: Plain) -> Plain:
    amount = sandbox.attached
    sandbox.take(amount)
    sandbox.pay(_name(account), amount)
    return amount


def _returned(sandbox: Sandbox, counter: Plain, entry_point: Plain, parameters: Plain) -> Plain:
    sent = sandbox.read("sent", _amount(counter))
    require(sent is not None, "parameters", f"no message {counter!r} is under way")
    account, chain = sent
    message = sandbox.message
    genuine = message is not None and message.contract == ACCOUNTS and sandbox.caller in (chain, sandbox.contract)
    require(genuine, "sender", "a message comes back from where it went, or by itself")
    sandbox.write("sent", _amount(counter), value=None)
    amount = sandbox.attached
    sandbox.take(amount)
    sandbox.pay(account, amount)
    return amount


def _balance(view: View, account: Plain) -> Plain:
    return view.balance(_name(account))


def _nonce(view: View, account: Plain) -> Plain:
    return view.read("nonce", _name(account)) or 0


def _mandate(view: View, account: Plain, contract: Plain) -> Plain:
    return view.read("mandate", _name(account), _name(contract)) is not None


def _total(view: View) -> Plain:
    total: Plain = view.read("total")
    return total


def _name(value: Plain) -> str:
    if type(value) is not str:
        raise Rejected("parameters", f"a name is a string, not {type(value).__name__}")
    return value


def _amount(value: Plain) -> int:
    if type(value) is not int or value < 0:
        raise Rejected("parameters", "an amount is an integer, at least 0")
    return value
