"""What an instance of the consensus is told, and what it tells: its inputs and outputs."""

from __future__ import annotations

from typing import TypeAlias

from ledger.kernel.encoding import Digest, Frozen
from ledger.transaction import Essence, Transaction
from wasp.consensus.batch_proposal import Batch, BatchProposal
from wasp.request import Request, RequestId


class OpenInstance(Frozen):
    """Input, once, the first: this member takes part."""


class ProposeBatch(Frozen):
    """Input, once: the member's proposal. It is sent as soon as the signature is prepared."""

    proposal: BatchProposal


class RequestsDelivered(Frozen):
    """Input: the answer to ``RequestsNeeded``: all of them, in that order."""

    requests: tuple[Request, ...]


class BatchExecuted(Frozen):
    """Input: an answer to ``ExecutionNeeded``; no essence: nothing was executed."""

    essence: Essence | None


class SuccessorKnown(Frozen):
    """Input, once a batch is decided: this member holds a signed successor of its base; also answers ``ExecutionNeeded``."""

    transaction: Transaction


ConsensusInput: TypeAlias = OpenInstance | ProposeBatch | RequestsDelivered | BatchExecuted | SuccessorKnown


class OthersProposed(Frozen):
    """Output, once: f + 1 others have proposed, or decided, so a correct one; a member that holds its proposal back joins."""

    log_index: int


class BatchDecided(Frozen):
    """Output, once: what all correct members will execute."""

    log_index: int
    batch: Batch


class IndexSkipped(Frozen):
    """Output, at the end: nothing comes of this log index."""

    log_index: int
    reason: str


class RequestsNeeded(Frozen):
    """Output: the bodies of the decided requests are wanted; answered by ``RequestsDelivered``."""

    log_index: int
    requests: tuple[RequestId, ...]


class ExecutionNeeded(Frozen):
    """Output: the batch can be executed; answered by ``BatchExecuted`` or ``SuccessorKnown``."""

    log_index: int
    batch: Batch
    requests: tuple[Request, ...]
    entropy: Digest


class AnchorSigned(Frozen):
    """Output, at the end: a signed successor of the base anchor."""

    log_index: int
    transaction: Transaction


ConsensusOutput: TypeAlias = (
    OthersProposed | BatchDecided | IndexSkipped | RequestsNeeded | ExecutionNeeded | AnchorSigned
)
