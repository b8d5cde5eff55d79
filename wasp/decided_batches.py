"""Decided batches on their way to an essence: what a member does with each, from what it knows of the base anchor.

::

    a signed successor of the base is known        send that; the instance ends with it
    the base is spent, or was undone               nothing may be built on it: nothing is executed
    requests and entropy there, state there        execute, at the proposed time, raised to later than the block before
    executed                                       sign the essence, if the first two lines still don't hold

Invariants: a batch is executed once, and one essence is signed per log index.
"""

from __future__ import annotations

from typing import TypeAlias

from wasp.anchoring import AnchorView, anchor_essence
from wasp.chain_interface import ChainBlockExecutionNeeded, ExecutionCompleted
from wasp.chain_view import BasesNeeded
from wasp.consensus.batch_proposal import Batch
from wasp.consensus.consensus_interface import BatchExecuted, ExecutionNeeded, SuccessorKnown
from wasp.request import RequestId
from wasp.state_manager import StateManager

BatchStep: TypeAlias = SuccessorKnown | BatchExecuted | ChainBlockExecutionNeeded
"""What comes next: an input of the instance, or a need of the chain."""


class _Decided:
    __slots__ = ("batch", "given", "need")

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.need: ExecutionNeeded | None = None
        self.given = False
        """Whether it was given to execution."""


class DecidedBatches:
    """The batches of one member's instances that have not ended, by log index."""

    def __init__(self, chain: str, network: str, anchors: AnchorView, states: StateManager) -> None:
        self.chain = chain
        self.network = network
        self.anchors = anchors
        self.states = states
        self._decided: dict[int, _Decided] = {}

    def log_indices(self) -> tuple[int, ...]:
        """The indices whose batches are decided."""
        return tuple(self._decided)

    def index_of(self, request_id: RequestId) -> int | None:
        """The index whose decided batch names the request, if one does."""
        named = [index for index, decided in self._decided.items() if request_id in decided.batch.requests]
        return named[-1] if named else None

    def add(self, log_index: int, batch: Batch) -> BatchStep | None:
        """The batch of this index is decided."""
        self._decided[log_index] = _Decided(batch)
        return self.next_step(log_index)

    def want(self, need: ExecutionNeeded) -> BatchStep | None:
        """The batch can be executed."""
        decided = self._decided.get(need.log_index)
        if decided is None:
            return None
        decided.need = need
        return self.next_step(need.log_index)

    def forget(self, log_index: int) -> None:
        """The instance has ended, or is no longer kept."""
        self._decided.pop(log_index, None)

    def next_step(self, log_index: int) -> BatchStep | None:
        """What to do now, if anything."""
        decided = self._decided.get(log_index)
        if decided is None:
            return None
        reference, need = decided.batch.base, decided.need
        successor = self.anchors.successor(reference.output_id)
        if successor is not None:
            return SuccessorKnown(successor)
        if decided.given:
            return None
        if self.anchors.is_spent(reference):
            decided.given = True
            return BatchExecuted(None)
        base = self.anchors.anchor(reference.output_id)
        if need is None or base is None:
            return None
        previous, state = self.states.block(base.block), self.states.state(base.block)
        if previous is None or state is None:
            return None
        decided.given = True
        timestamp = max(decided.batch.timestamp_proposed, previous.timestamp + 1)
        return ChainBlockExecutionNeeded(
            self.chain, log_index, state, previous, base.id, timestamp, need.requests, need.entropy
        )

    def executed(self, input: ExecutionCompleted) -> BatchStep | None:
        """What becomes of an execution."""
        decided, execution = self._decided.get(input.log_index), input.execution
        if decided is None:
            return None
        reference = decided.batch.base
        successor, base = self.anchors.successor(reference.output_id), self.anchors.anchor(reference.output_id)
        if successor is not None:
            return SuccessorKnown(successor)
        if execution is None or base is None:  # a spent or undone anchor is no longer in the view
            return BatchExecuted(None)
        consumed = tuple([request.output_id for request in execution.consumed])
        return BatchExecuted(
            anchor_essence(self.network, base, execution.block, execution.funds, consumed, execution.outgoing)
        )

    def bases(self) -> BasesNeeded:
        """The bases on which batches wait to be executed: blocks of known ones, and anchors that are not known."""
        waiting = [decided.batch.base.output_id for decided in self._decided.values() if not decided.given]
        known = [(place, self.anchors.anchor(place)) for place in waiting]
        blocks = [base.block for _, base in known if base is not None]
        unknown = [place for place, base in known if base is None]
        return BasesNeeded(tuple(dict.fromkeys(blocks)), tuple(dict.fromkeys(unknown)))

    @property
    def status(self) -> dict[int, str]:
        """Why each waits."""
        return {log_index: self._why(decided) for log_index, decided in self._decided.items()}

    def _why(self, decided: _Decided) -> str:
        if decided.given:
            return "given to execution"
        if decided.need is None:
            return "requests or entropy are missing"
        if self.anchors.anchor(decided.batch.base.output_id) is None:
            return "the base anchor is unknown here"
        return "the state after the base anchor is missing"
