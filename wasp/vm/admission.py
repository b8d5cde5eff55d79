"""Who asks for what, and whether it can run in a chain block with a given timestamp.

A request *waits* when it can't run yet (it stays in the mempool, without a receipt), and is *hopeless* when it never
can (it is forgotten). The same judgement serves the execution of a batch and the mempool.

On-ledger requests:

1. Not touched before their timelock, nor within ``expiry_guard`` of their expiry or later, unless expiry gave them to
   this chain.
2. The output's sender feature, which layer 1 has checked, says which contract of which chain sent it; the message
   inside must name the same two. So no chain can speak for another.
3. The account is the sending chain's. A message of this chain's own that expired elsewhere is a call of ``returned``
   of the contract that sent it, which is also its account.
4. What has no known sender, or a message that can't be read or lies, is consumed and fails with a receipt; its tokens
   stay in the account of the sending chain, or in that of governance when it is not known. No token is lost, and none
   goes back to where it may not belong.
"""

from __future__ import annotations

from typing import Literal

from ledger.kernel.encoding import Frozen, pack
from ledger.kernel.instant import Instant
from ledger.kernel.rejection import Rejected
from ledger.output import ChainAddress
from wasp.core_contracts.accounts import next_nonce, user_of
from wasp.core_contracts.blocklog import receipt_of
from wasp.core_contracts.governance import GOVERNANCE
from wasp.request import MESSAGE_CODEC, Call, MessageId, OffLedgerRequest, OnLedgerRequest, Request
from wasp.state import KeyReader
from wasp.vm.contract import AccountName
from wasp.vm.program import Program

RETURNED = "returned"
"""The entry point for messages that come back."""


class Admission(Frozen):
    """Whether a request can run; ``reason`` is a stable word for why not."""

    verdict: Literal["ready", "waits", "hopeless"]
    reason: str = ""


READY = Admission("ready")


class Asking(Frozen):
    """What a request that can run asks for: ``refusal`` (code and detail) instead of a call that can be made."""

    account: AccountName
    call: Call | None
    gas_budget: int
    allowance: int
    attached: int = 0
    message: MessageId | None = None
    home: bool = False
    """Whether it is a message of this chain's own that has come back."""
    refusal: tuple[str, str] | None = None


def admission(program: Program, reader: KeyReader, timestamp: Instant, request: Request) -> Admission:
    """Whether the request can run in a chain block with this timestamp, on this state."""
    if type(request) is OffLedgerRequest:
        return _admission_off_ledger(program, reader, request)
    assert type(request) is OnLedgerRequest
    return _admission_on_ledger(program, reader, timestamp, request)


def _admission_off_ledger(program: Program, reader: KeyReader, request: OffLedgerRequest) -> Admission:
    essence = request.essence
    account = user_of(reader, essence.sender)
    if essence.chain != program.chain:
        return Admission("hopeless", "chain")
    if account is None:
        return Admission("hopeless", "unregistered")
    nonce = next_nonce(reader, account)
    if essence.nonce < nonce:
        return Admission("hopeless", "nonce_used")
    return READY if essence.nonce == nonce else Admission("waits", "nonce_gap")


def _admission_on_ledger(
    program: Program, reader: KeyReader, timestamp: Instant, request: OnLedgerRequest
) -> Admission:
    output, mine = request.output, ChainAddress(program.id)
    if receipt_of(reader, request.id) is not None:
        return Admission("hopeless", "executed")
    if output.timelock is not None and timestamp < output.timelock:
        return Admission("waits", "timelock")
    expiration = output.expiration
    if output.address == mine:
        late = expiration is not None and timestamp >= expiration.instant - program.limits.expiry_guard
        return Admission("hopeless", "expiry") if late else READY
    if expiration is None or expiration.return_address != mine:
        return Admission("hopeless", "address")
    return READY if timestamp >= expiration.instant else Admission("waits", "unexpired")


def asking_of(program: Program, reader: KeyReader, request: Request) -> Asking:
    """What an admitted request asks for."""
    if type(request) is OffLedgerRequest:
        essence = request.essence
        account = user_of(reader, essence.sender)
        assert account is not None, "admitted"
        return Asking(account, essence.call, essence.gas_budget, essence.allowance)
    assert type(request) is OnLedgerRequest
    return _asking_on_ledger(program, request)


def _asking_on_ledger(program: Program, request: OnLedgerRequest) -> Asking:
    output = request.output
    sender, tokens = output.sender, output.amount
    if sender is None or (sender.chain != program.id and sender.chain not in program.chain_names):
        return _refused(GOVERNANCE, tokens, "sender", "nobody known sent these tokens")
    own = sender.chain == program.id
    chain = program.chain if own else program.chain_names[sender.chain]
    account = GOVERNANCE if own else chain
    try:
        message = MESSAGE_CODEC.decode(output.metadata)
    except Rejected as rejection:
        return _refused(account, tokens, "message", rejection.detail)
    id, call = message.id, message.call
    if (id.chain, id.contract) != (chain, sender.contract):
        return _refused(account, tokens, "message", f"{id.contract!r} of {id.chain!r} did not send it")
    came_back = output.address != ChainAddress(program.id)
    if own != came_back or (own and id.contract not in program.contracts):
        return _refused(account, tokens, "message", "a message comes from another chain, or back to its sender")
    if own:
        back = Call(id.contract, RETURNED, pack((id.counter, call.entry_point, call.parameters)))
        return Asking(id.contract, back, program.limits.gas_request_max, tokens, tokens, id, home=True)
    return Asking(account, call, message.gas_budget, tokens, tokens, id)


def _refused(account: AccountName, tokens: int, code: str, detail: str) -> Asking:
    return Asking(account, None, 0, 0, attached=tokens, refusal=(code, detail))
