"""What a member of one committee without a Tangle is told, what it tells, and where its requests come from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

from ledger.kernel.encoding import Frozen, Value
from ledger.kernel.instant import Instant
from ledger.output import TransactionId
from ledger.transaction import Essence
from wasp.consensus.batch_proposal import Batch
from wasp.mempool import SubmitRequest
from wasp.request import OffLedgerRequest, RequestId


class BeginIndex(Frozen):
    """Input: the answer to ``BeginningNeeded``, and what starts the first index."""

    log_index: int


class BeginningNeeded(Frozen):
    """Output: the index can begin; answered by ``BeginIndex``."""

    log_index: int


class BlockDecided(Frozen):
    """Output, once per index: this member knows the batch."""

    log_index: int
    batch: Batch
    proposed_at: Instant | None
    """When this member's own proposal had gone to the protocol, if it had."""
    listed_at: Instant | None
    """Protocols with a leader: when this member, as the leader, proposed its list, if it did."""
    led: bool
    """Whether the protocol has a leader."""
    view_changed: bool
    """Whether this member had left that leader's view, or the decision fell in a later one."""
    rounds: tuple[int, ...]
    """How many rounds each agreement of the protocol took here."""


class BlockReady(Frozen):
    """Output, once per index: the requests and the entropy are there."""

    log_index: int


class BlockEnded(Frozen):
    """Output, once per index: the anchor is signed; none: the index was skipped."""

    log_index: int
    began_at: Instant
    proposed_at: Instant | None
    anchor: TransactionId | None
    attempts: int
    """How many attempts at its signature there were here."""


MemberInput: TypeAlias = BeginIndex | SubmitRequest
MemberOutput: TypeAlias = BeginningNeeded | BlockDecided | BlockReady | BlockEnded


class ExecutedHere(Value):
    """Record: what this member will sign in this index. It signs nothing else there, in whatever life."""

    log_index: int
    essence: Essence


class RequestSource(Protocol):
    """Where a member's requests come from, and which of them it proposes."""

    def proposal(self, log_index: int) -> tuple[RequestId, ...] | None:
        """What to propose in this index; None: nothing yet."""
        ...

    def find(self, log_index: int, requests: Sequence[RequestId]) -> tuple[OffLedgerRequest, ...] | None:
        """The requests with these ids, which this index has decided; None: not all of them are here yet."""
        ...

    def keep(self, request: OffLedgerRequest) -> None:
        """A request has come."""
        ...

    def forget(self, requests: Sequence[RequestId]) -> None:
        """These were executed."""
        ...
