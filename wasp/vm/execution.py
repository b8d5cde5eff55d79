"""The execution of a batch: a pure function from a state and agreed inputs to the next state.

1. Due moments up to the block's timestamp run first, in order (time, interval, contract), at most
   ``transitions_max``; the rest wait for the next block. Nobody pays for them, and what the requests do can't undo
   them. One that fails is a bug, and stops the node.
2. Requests run in the order of H(request id, entropy), which nobody can know before the batch is decided; the places
   that an account's off-ledger requests have in it are then filled in the order of their nonces.
3. A request that can't run yet is skipped: nonce gap, timelock, no room left in inputs, gas, outbox or receipts of
   the block. One that never can is dropped: nonce used, executed before, too near its expiry, nobody's key. Neither
   leaves a trace in the state.
4. On-ledger: the tokens that came are credited to the sender's account here, all of them being the allowance.
5. The call runs in a draft of its own. When it fails, the draft is forgotten.
6. Gas is charged, at least ``gas_request_min``, as the policy says and the account can pay; the nonce is used up; a
   receipt says how it went.
7. Tokens of a failed on-ledger request go back as a message to ``returned`` of the contract that sent it. A failed
   answer (``Contract.answers``, or any ``returned``) is not sent again: its tokens stay with the contract that it was
   sent to.
8. The outbox lets up to ``outputs_max`` messages out. The anchor keeps at least one token, as layer 1 demands.
9. The block log is written, and forgets what is too old.
10. Accounts must add up: after = before + consumed - sent, balance by balance. Nothing ran and nothing left: no block.

Departures from Wasp: a priced fee is taken after the call, from what the account then has, and leaves one token of
those that go back, so that a message whose fee ate its tokens still gets its answer; messages that come back to their
sender are charged to nobody.
"""

from __future__ import annotations

from collections.abc import Sequence

from ledger.kernel.encoding import Digest, Frozen, digest
from ledger.kernel.instant import Instant
from ledger.output import BasicOutput, OutputId
from wasp.chain_block import ChainBlock
from wasp.core_contracts.accounts import (
    user_of,
)
from wasp.core_contracts.blocklog import (
    Event,
    Receipt,
)
from wasp.outbox import (
    outbox_size,
)
from wasp.request import OffLedgerRequest, OnLedgerRequest, Request, RequestId
from wasp.state import KeyReader, State
from wasp.vm.block_run import BlockRun, dues_of, first_due
from wasp.vm.program import Program


class Execution(Frozen):
    """What a batch did."""

    block: ChainBlock
    state: State
    consumed: tuple[OnLedgerRequest, ...]
    """Outputs of layer 1 that the anchor's transaction must take as inputs."""
    outgoing: tuple[BasicOutput, ...]
    """Outputs that it must make."""
    receipts: tuple[Receipt, ...]
    skipped: tuple[RequestId, ...]
    """Can't run yet: they stay in the mempool."""
    dropped: tuple[RequestId, ...]
    """Never can: forget them."""
    gas: int
    """Charged to the requests."""
    transition_gas: int
    """Burned by due moments, charged to nobody."""
    transitions: int
    """Due moments that ran."""
    funds: int
    """Tokens of all accounts: the new anchor's amount."""
    events: tuple[Event, ...]


def next_due(program: Program, state: State) -> Instant | None:
    """When something is next due by itself, possibly in the past."""
    due = first_due(dues_of(program, state))
    return None if due is None else due.instant


def has_outbox(state: State) -> bool:
    """Whether messages wait for an anchor: that is work for a chain block."""
    return outbox_size(state) > 0


def execution_order(reader: KeyReader, requests: Sequence[Request], entropy: Digest) -> list[Request]:
    """Shuffled by the entropy; the off-ledger requests of each account in the order of their nonces."""
    shuffled = sorted(requests, key=lambda request: digest("order", request.id, entropy))
    queues: dict[str, list[OffLedgerRequest]] = {}
    places: list[list[OffLedgerRequest] | OnLedgerRequest] = []  # whose turn it is, or what
    for request in shuffled:
        if type(request) is OffLedgerRequest:
            sender = request.essence.sender
            queue = queues.setdefault(user_of(reader, sender) or sender.hex(), [])
            queue.append(request)
            places.append(queue)
        elif type(request) is OnLedgerRequest:
            places.append(request)
    for queue in queues.values():
        queue.sort(key=lambda request: -request.essence.nonce)
    return [place.pop() if isinstance(place, list) else place for place in places]


def execute(
    program: Program,
    state: State,
    previous: ChainBlock,
    base: OutputId,
    log_index: int,
    timestamp: Instant,
    requests: Sequence[Request],
    entropy: Digest,
) -> Execution | None:
    """The chain block of these inputs, with all that it did; none when there was nothing to do."""
    assert previous.chain == program.chain and state.root == previous.state_root, "the state of another block"
    assert timestamp > previous.timestamp, "time of a chain grows with every block"
    run = BlockRun(program, state, previous.index + 1, timestamp)
    run.run_due_moments()
    for request in execution_order(state, requests, entropy):
        run.run_request(request)
    run.drain_outbox()
    if not (run.executed or run.transitions or run.outgoing):
        return None
    total = run.close(previous)
    after, mutations = state.write(run.draft.written)
    block = ChainBlock(
        program.chain,
        previous.index + 1,
        previous.digest,
        base,
        timestamp,
        log_index,
        tuple(run.executed),
        mutations,
        after.root,
    )
    return Execution(
        block=block,
        state=after,
        consumed=tuple([request for request in run.executed if type(request) is OnLedgerRequest]),
        outgoing=tuple(run.outgoing),
        receipts=tuple(run.receipts),
        skipped=tuple(run.skipped),
        dropped=tuple(run.dropped),
        gas=run.gas,
        transition_gas=run.transition_meter.used,
        transitions=run.transitions,
        funds=total,
        events=tuple(run.events),
    )
