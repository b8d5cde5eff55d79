"""The making of one chain block: due moments, requests one by one, the outbox, the block log.

What each part does, and why, stands with ``execute``, whose lines the methods carry out.
"""

from __future__ import annotations

from collections.abc import Mapping

from ledger.kernel.encoding import encode, pack, unpack
from ledger.kernel.instant import Instant
from ledger.kernel.rejection import Rejected, require
from ledger.output import METADATA_SIZE_MAX, BasicOutput
from wasp.chain_block import ChainBlock
from wasp.core_contracts.accounts import (
    ACCOUNTS,
    TOTAL_KEY,
    balance_of,
    credit,
    move,
    total_of,
    use_nonce,
)
from wasp.core_contracts.blocklog import (
    DETAIL_SIZE_MAX,
    BlockInfo,
    Event,
    Receipt,
    forget,
    write_block,
    write_receipt,
)
from wasp.core_contracts.governance import GOVERNANCE, gas_policy
from wasp.outbox import (
    Sending,
    drain,
    last_interval,
    next_message_id,
    note_interval,
    outbox_size,
    output_of,
    put,
)
from wasp.request import Call, CrossChainMessage, OffLedgerRequest, OnLedgerRequest, Request, RequestId
from wasp.state import KeyReader, State
from wasp.vm.admission import RETURNED, Asking, admission, asking_of
from wasp.vm.contract import Due
from wasp.vm.draft import Draft
from wasp.vm.gas import GAS_CALL, GAS_PARAMETER_BYTE, GasMeter
from wasp.vm.program import Program
from wasp.vm.sandbox import Caller, CallSandbox, ContractReader

RESULT_SIZE_MAX = 4_096
"""Bytes of a result: receipts are kept in the state."""
UNMETERED = 1 << 62
"""The gas limit of what is the chain's own doing: genesis and due moments."""


class BlockRun:
    """The making of one chain block: the block's draft, and what happened so far."""

    def __init__(self, program: Program, state: State, index: int, timestamp: Instant) -> None:
        self.program = program
        self.state = state
        self.draft = Draft(state)
        self.index = index
        self.timestamp = timestamp
        self.policy = gas_policy(state)
        self.executed: list[Request] = []
        self.outgoing: list[BasicOutput] = []
        self.receipts: list[Receipt] = []
        self.skipped: list[RequestId] = []
        self.dropped: list[RequestId] = []
        self.events: list[Event] = []
        self.transition_meter = GasMeter(UNMETERED)
        self.transitions = 0
        self.gas = 0
        self._inputs = 0
        self._full = False

    # ------------------------------------------------------------------------------------------------ line 1

    def run_due_moments(self) -> None:
        """What is due happens by itself, before the first request."""
        dues = dues_of(self.program, self.draft)
        while self.transitions < self.program.limits.transitions_max:
            due = first_due(dues)
            if due is None or due.instant > self.timestamp:
                return
            dues[due.contract] = self._run_due(due)
            self.transitions += 1

    def _run_due(self, due: Due) -> Due | None:
        name, code = due.contract, self.program.contracts[due.contract]
        note_interval(self.draft, due.interval)
        sandbox = CallSandbox(
            self.program, self.draft, self.transition_meter, self.timestamp, name, Caller(name, due=due)
        )
        try:
            code.handle_due(sandbox, due)
        except Rejected as rejection:
            raise AssertionError(f"{name} failed at its due moment {due}: {rejection}") from rejection
        self.events.extend(sandbox.events)
        following = code.next_due(ContractReader(self.draft, name))
        progress = following is None or (following.instant, following.interval) > (due.instant, due.interval)
        assert progress, f"{name} is due at {following} after {due}"
        return following

    # ------------------------------------------------------------------------------------------------ lines 3-7

    def run_request(self, request: Request) -> None:
        """One request: skipped, dropped, or executed with a receipt."""
        entitled = admission(self.program, self.draft, self.timestamp, request)
        if entitled.verdict == "hopeless":
            self.dropped.append(request.id)
        elif entitled.verdict == "waits" or not self._has_room(request):
            self.skipped.append(request.id)
        else:
            self._execute(request)

    def _has_room(self, request: Request) -> bool:
        limits = self.program.limits
        no_gas = self._full or self.gas + limits.gas_request_min > limits.gas_block_max
        if no_gas or len(self.executed) >= limits.requests_max:
            return False
        if type(request) is OffLedgerRequest:
            return True
        return self._inputs < limits.inputs_max and outbox_size(self.draft) < limits.outbox_max

    def _execute(self, request: Request) -> None:
        limits, asking = self.program.limits, asking_of(self.program, self.draft, request)
        most = min(asking.gas_budget, limits.gas_request_max, limits.gas_block_max)
        room = limits.gas_block_max - self.gas
        meter = GasMeter(min(most, room))
        envelope = Draft(self.draft)
        if asking.attached:
            credit(envelope, asking.account, asking.attached)
        call = Draft(envelope)
        result, rejection = b"", None
        events: list[Event] = []
        try:
            result, events = self._call(call, meter, asking, request)
        except Rejected as error:
            rejection = error
        if meter.exhausted and room < most:
            self._full = True  # the block's gas ended, not the request's
            self.skipped.append(request.id)
            return
        if rejection is None:
            call.commit()
            self.events.extend(events)
        gas = max(min(meter.used, meter.limit), limits.gas_request_min)
        fee = self._charge(envelope, asking, gas, rejection)
        if rejection is not None and asking.attached and asking.call is not None:
            self._give_back(envelope, asking, asking.call)
        if type(request) is OffLedgerRequest:
            use_nonce(envelope, asking.account)
        else:
            self._inputs += 1
        code, detail = (None, "") if rejection is None else (rejection.code, rejection.detail[:DETAIL_SIZE_MAX])
        receipt = Receipt(request.id, self.index, self.timestamp, asking.account, code, detail, gas, fee, result)
        write_receipt(envelope, receipt)
        envelope.commit()
        self.receipts.append(receipt)
        self.executed.append(request)
        self.gas += gas

    def _call(self, draft: Draft, meter: GasMeter, asking: Asking, request: Request) -> tuple[bytes, list[Event]]:
        """Make the call; its packed result and events, or ``Rejected``."""
        if asking.refusal is not None:
            raise Rejected(*asking.refusal)
        call = asking.call
        assert call is not None
        require(meter.limit >= self.program.limits.gas_request_min, "gas", f"a budget of {meter.limit} is too small")
        meter.burn(GAS_CALL + GAS_PARAMETER_BYTE * len(call.parameters))
        require(call.contract in self.program.contracts, "contract", f"there is no contract {call.contract!r}")
        door = self.program.entry_points.get((call.contract, call.entry_point))
        require(door is not None, "entry_point", f"{call.contract!r} has no entry point {call.entry_point!r}")
        assert door is not None
        parameters = unpack(call.parameters)
        if type(parameters) is not tuple:
            raise Rejected("parameters", "a tuple expected")
        caller = Caller(asking.account, asking.allowance, asking.attached, request.id, asking.message)
        sandbox = CallSandbox(self.program, draft, meter, self.timestamp, call.contract, caller)
        result = pack(door.enter(sandbox, parameters))
        require(not meter.exhausted, "gas", f"more than {meter.limit} gas needed")
        require(len(result) <= RESULT_SIZE_MAX, "result", f"{len(result)} bytes, at most {RESULT_SIZE_MAX} allowed")
        return result, sandbox.events

    def _charge(self, envelope: Draft, asking: Asking, gas: int, rejection: Rejected | None) -> int:
        """Take the fee, as far as the account can pay."""
        if asking.home or asking.account == GOVERNANCE:
            return 0
        kept = 1 if rejection is not None and asking.attached else 0
        fee = min(self.policy.fee(gas), max(0, balance_of(envelope, asking.account) - kept))
        move(envelope, asking.account, GOVERNANCE, fee)
        return fee

    def _give_back(self, envelope: Draft, asking: Asking, call: Call) -> None:
        """Where the tokens of a failed on-ledger request go."""
        tokens = min(asking.attached, balance_of(envelope, asking.account))
        code = self.program.contracts.get(call.contract)
        if call.entry_point == RETURNED or (code is not None and call.entry_point in code.answers):
            move(envelope, asking.account, GOVERNANCE if code is None else code.name, tokens)
            return
        assert asking.message is not None
        counter, contract = asking.message.counter, asking.message.contract
        back = Call(contract, RETURNED, pack((counter, call.entry_point, call.parameters)))
        sender = ACCOUNTS if code is None else code.name
        id = next_message_id(envelope, self.program.chain, sender)
        if len(encode(CrossChainMessage(id, back))) > METADATA_SIZE_MAX:
            return  # larger than an honest chain sends: the tokens stay in the sending chain's account
        put(
            envelope,
            Sending(id, asking.account, back, tokens, None, asking.account, last_interval(envelope)),
        )

    # ------------------------------------------------------------------------------------------------ lines 8-10

    def drain_outbox(self) -> None:
        """Let messages out, in their order."""
        spare = total_of(self.state) + self._consumed() - 1
        for entry in drain(self.draft, self.program.limits.outputs_max, spare):
            self.outgoing.append(output_of(entry, self.program.chains[entry.target], self.program.id))

    def close(self, previous: ChainBlock) -> int:
        """Write the block log and the total; the tokens that the chain now has."""
        limits = self.program.limits
        ids = tuple([request.id for request in self.executed])
        write_block(
            self.draft, self.index, BlockInfo(self.timestamp, previous.digest, ids, len(self.events)), self.events
        )
        forget(self.draft, self.index, limits.blocks_kept, limits.receipts_kept)
        total = total_of(self.state) + self._consumed() - sum([output.amount for output in self.outgoing])
        self.draft.write(TOTAL_KEY, total)
        check_sum(self.state, self.draft, total)
        return total

    def _consumed(self) -> int:
        return sum([request.output.amount for request in self.executed if type(request) is OnLedgerRequest])


def dues_of(program: Program, reader: KeyReader) -> dict[str, Due | None]:
    """When each contract is next due."""
    dues = {name: code.next_due(ContractReader(reader, name)) for name, code in program.contracts.items()}
    assert all(due is None or due.contract == name for name, due in dues.items())
    return dues


def first_due(dues: Mapping[str, Due | None]) -> Due | None:
    """The one whose turn comes first."""
    present = [due for due in dues.values() if due is not None]
    return min(present) if present else None


def check_sum(state: State, draft: Draft, total: int) -> None:
    """Accounts add up: what balances changed by is what the total changed by, and no balance is negative."""
    change = 0
    for key, (value, _) in draft.written.items():
        if key[:2] == (ACCOUNTS, "balance"):
            assert type(value) is int and value >= 0, f"{key[2]} has {value!r} tokens"
            change += value - (state.value_at(key) or 0)
    assert total_of(state) + change == total, f"{total} tokens expected, {total_of(state) + change} counted"
