"""What a chain is told, and what it tells: its inputs, outputs and parameters."""

from __future__ import annotations

from typing import TypeAlias

from ledger.access import LedgerUpdate
from ledger.kernel.automaton import PeerReconnected
from ledger.kernel.encoding import Digest, Frozen, Value
from ledger.kernel.instant import MILLISECOND, Duration, Instant
from ledger.output import AnchorOutput, OutputId, TransactionId
from ledger.transaction import Transaction
from wasp.batch_policy import BatchPolicy, OldestFirst
from wasp.chain_block import ChainBlock
from wasp.committee_log import LogIndexUsed, RecoveryTimes
from wasp.consensus.consensus_interface import BatchDecided, IndexSkipped
from wasp.consensus.protocol_times import ProtocolTimes
from wasp.core_contracts.blocklog import Receipt
from wasp.mempool import RequestPooled, RequestRefused, SharingTimes, SubmitRequest
from wasp.off_ledger_pool import PoolLimits
from wasp.publishing import PublicationNeeded, PublicationTimes
from wasp.request import Request, RequestId
from wasp.state import State
from wasp.state_manager import FetchTimes, StateSnapshot
from wasp.vm.execution import Execution


class ChainParameters(Frozen):
    """The same at all members, but nothing breaks when they differ."""

    unconfirmed_anchors_max: int = 32
    """Signed anchors that may wait for confirmation; 1: each is built on a confirmed one. What a rejection can undo."""
    batch_delay: Duration = 100 * MILLISECOND
    """At least between two own proposals, so that requests gather (Wasp: 500 ms); doubled by every skip in a row."""
    gather_delay: Duration = 100 * MILLISECOND
    """How long the first requests of a chain at rest wait for a proposal: a request reaches the others in that time."""
    instances_kept: int = 16
    """Log indices that go on answering: late members need them; each holds its messages."""
    instances_ahead_max: int = 2
    """Future log indices whose messages are held back: the next, and one more when votes come late."""
    protocol: str = "wasp"
    times: ProtocolTimes = ProtocolTimes()
    """Of the committee's protocol, and of its signature."""
    policy: BatchPolicy = OldestFirst()
    recovery: RecoveryTimes = RecoveryTimes()
    publication: PublicationTimes = PublicationTimes()
    fetching: FetchTimes = FetchTimes()
    sharing: SharingTimes = SharingTimes()
    pool: PoolLimits = PoolLimits()


class AnchorKept(Value):
    """Record: the committee has signed this anchor, so it is to be published until layer 1 settles it."""

    transaction: Transaction


class ConfirmationKept(Value):
    """Record: layer 1 has confirmed this anchor. One that supersedes others holds the signed anchors that still wait."""

    anchor_id: OutputId
    anchor: AnchorOutput
    signed: tuple[Transaction, ...] = ()


ChainRecord: TypeAlias = LogIndexUsed | ChainBlock | StateSnapshot | AnchorKept | ConfirmationKept
"""What a member's life leaves behind."""


class ExecutionCompleted(Frozen):
    """Input: the answer to ``ChainBlockExecutionNeeded``; no execution: there was nothing to do."""

    log_index: int
    execution: Execution | None


ChainInput: TypeAlias = SubmitRequest | ExecutionCompleted | PeerReconnected | LedgerUpdate


class ChainBlockExecutionNeeded(Frozen):
    """Output: run ``wasp.vm.execution.execute`` with this; answered by ``ExecutionCompleted``."""

    chain: str
    log_index: int
    state: State
    previous: ChainBlock
    base: OutputId
    timestamp: Instant
    requests: tuple[Request, ...]
    entropy: Digest


class BatchProposed(Frozen):
    """Output: this member proposed these requests for a log index."""

    log_index: int
    requests: tuple[RequestId, ...]


class ChainBlockAnchored(Frozen):
    """Output: the committee has signed the anchor of this chain block, and the active state is the one after it."""

    chain: str
    block: ChainBlock
    state: State
    receipts: tuple[Receipt, ...]
    transaction_id: TransactionId


class ChainBlockConfirmed(Frozen):
    """Output: layer 1 has confirmed the anchor of this chain block."""

    chain: str
    block: ChainBlock
    anchor_id: OutputId


class ChainBlocksUndone(Frozen):
    """Output: these chain blocks, newest first, no longer lead to the active state: another anchor won, or leads."""

    chain: str
    blocks: tuple[ChainBlock, ...]


ChainOutput: TypeAlias = (
    ChainBlockExecutionNeeded
    | PublicationNeeded
    | RequestPooled
    | RequestRefused
    | BatchProposed
    | BatchDecided
    | IndexSkipped
    | ChainBlockAnchored
    | ChainBlockConfirmed
    | ChainBlocksUndone
)
