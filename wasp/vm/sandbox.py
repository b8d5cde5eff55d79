"""The sandbox: what a contract's call sees of the chain and may do to it.

Every act goes to the draft of the call, so that it can be undone, and to the gas meter, which is not undone. A view
has neither: it reads a state that nobody can change.
"""

from __future__ import annotations

from typing import Any

from ledger.kernel.encoding import Frozen, Plain, pack
from ledger.kernel.instant import Instant
from ledger.kernel.rejection import require
from ledger.kernel.rng import Stream, stream
from wasp.core_contracts.accounts import OUTBOX_ACCOUNT, balance_of, has_mandate, move
from wasp.core_contracts.blocklog import Event, timestamp_of
from wasp.outbox import PARAMETERS_SIZE_MAX, Sending, last_interval, next_message_id, outbox_size, put
from wasp.request import NAME_SIZE_MAX, Call, MessageId, RequestId
from wasp.state import KeyReader, State
from wasp.vm.contract import AccountName, Due
from wasp.vm.draft import Draft
from wasp.vm.gas import (
    GAS_DRAW,
    GAS_EVENT,
    GAS_READ,
    GAS_SEND,
    GAS_TRANSFER,
    GAS_WRITE,
    GAS_WRITE_BYTE,
    GasMeter,
)
from wasp.vm.program import Program

EVENT_SIZE_MAX = 4_096
"""Bytes of an event's packed fields: events are kept in the state."""


def contract_stream(contract_seed: bytes, chain: str, *label: str | int) -> Stream:
    """The contracts' randomness with this label: never of a batch, so that runs with and without a ledger agree."""
    return stream(contract_seed, chain, *label)


class ContractReader:
    """A contract's part of a state or of a draft."""

    __slots__ = ("_contract", "_reader")

    def __init__(self, reader: KeyReader, contract: str) -> None:
        self._reader = reader
        self._contract = contract

    def read(self, *key: str | int) -> Any:
        return self._reader.value_at((self._contract, *key))


class StateView(ContractReader):
    """What a view may do with the state after a chain block."""

    __slots__ = ()

    @property
    def timestamp(self) -> Instant:
        return timestamp_of(self._reader)

    def balance(self, account: AccountName) -> int:
        return balance_of(self._reader, account)


def call_view(program: Program, state: State, contract: str, view: str, *parameters: Plain) -> Plain:
    """What a view of a contract tells about a state.

    Errors: ``Rejected("view", ...)`` for one that doesn't exist, and whatever the view rejects.
    """
    door = program.views.get((contract, view))
    require(door is not None, "view", f"{contract!r} has no view {view!r}")
    assert door is not None
    return door.enter(StateView(state, contract), parameters)


class Caller(Frozen):
    """Who asks, by what, and with which tokens. A due moment asks for itself."""

    account: AccountName
    allowance: int = 0
    attached: int = 0
    request_id: RequestId | None = None
    message: MessageId | None = None
    due: Due | None = None


class CallSandbox:
    """The sandbox of one call."""

    __slots__ = (
        "_allowance", "_draft", "_due", "_meter", "_program", "_sent",
        "attached", "caller", "chain", "contract", "events", "message", "request_id", "timestamp",
    )  # fmt: skip

    def __init__(
        self, program: Program, draft: Draft, meter: GasMeter, timestamp: Instant, contract: str, caller: Caller
    ) -> None:
        self._program = program
        self._draft = draft
        self._meter = meter
        self._allowance = caller.allowance
        self._due = caller.due
        self._sent = 0
        self.timestamp = timestamp
        self.chain = program.chain
        self.contract = contract
        self.caller = caller.account
        self.request_id = caller.request_id
        self.message = caller.message
        self.attached = caller.attached
        self.events: list[Event] = []

    def read(self, *key: str | int) -> Any:
        self._meter.burn(GAS_READ)
        return self._draft.value_at((self.contract, *key))

    def balance(self, account: AccountName) -> int:
        self._meter.burn(GAS_READ)
        return balance_of(self._draft, account)

    def write(self, *key: str | int, value: Plain) -> None:
        self._meter.burn(GAS_WRITE)
        self._meter.burn(GAS_WRITE_BYTE * self._draft.write((self.contract, *key), value))

    def take(self, amount: int) -> None:
        self._meter.burn(GAS_TRANSFER)
        self._require_amount(amount)
        if self.caller == self.contract:
            return
        require(amount <= self._allowance, "allowance", f"{amount} tokens needed, {self._allowance} allowed")
        move(self._draft, self.caller, self.contract, amount)
        self._allowance -= amount

    def collect(self, account: AccountName, amount: int) -> None:
        self._meter.burn(GAS_TRANSFER)
        self._require_amount(amount)
        allowed = has_mandate(self._draft, account, self.contract)
        require(allowed, "mandate", f"{account!r} gave no mandate to {self.contract!r}")
        move(self._draft, account, self.contract, amount)

    def pay(self, account: AccountName, amount: int) -> None:
        self._meter.burn(GAS_TRANSFER)
        self._require_amount(amount)
        require(account != OUTBOX_ACCOUNT, "account", "tokens enter the outbox with a message only")
        move(self._draft, self.contract, account, amount)

    def send(self, chain: str, call: Call, amount: int, expires: Instant | None = None) -> MessageId:
        self._meter.burn(GAS_SEND + GAS_WRITE_BYTE * len(call.parameters))
        limits = self._program.limits
        require(chain in self._program.chains, "chain", f"{self.chain!r} can't send to {chain!r}")
        require(type(amount) is int and amount >= 1, "amount", "a message carries at least one token")
        size = len(call.parameters)
        require(size <= PARAMETERS_SIZE_MAX, "parameters", f"{size} bytes, at most {PARAMETERS_SIZE_MAX} fit an output")
        if self._due is None:
            most = limits.outputs_of_request_max
            require(self._sent < most, "outputs", f"a request sends at most {most} messages")
            require(outbox_size(self._draft) < limits.outbox_max, "outputs", "the outbox is full")
        id = next_message_id(self._draft, self.chain, self.contract)
        interval = last_interval(self._draft) if self._due is None else self._due.interval
        put(self._draft, Sending(id, chain, call, amount, expires, self.contract, interval))
        self._sent += 1
        return id

    def emit(self, event: str, *fields: Plain) -> None:
        packed = pack(fields)
        self._meter.burn(GAS_EVENT + GAS_WRITE_BYTE * len(packed))
        require(len(event) <= NAME_SIZE_MAX, "event", f"a name has at most {NAME_SIZE_MAX} characters")
        require(len(packed) <= EVENT_SIZE_MAX, "event", f"{len(packed)} bytes, at most {EVENT_SIZE_MAX} expected")
        self.events.append(Event(self.contract, event, packed))

    def draw(self, *label: str | int) -> Stream:
        self._meter.burn(GAS_DRAW)
        return contract_stream(self._program.contract_seed, self.chain, *label)

    def burn(self, gas: int) -> None:
        assert gas >= 0
        self._meter.burn(gas)

    def _require_amount(self, amount: int) -> None:
        require(type(amount) is int and amount >= 0, "amount", "an amount is an integer, at least 0")
