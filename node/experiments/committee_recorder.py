"""What is measured of one committee, and checked: the observer of its members.

Of every block and node (instants of virtual time; beginnings when the event is handled, ends when its results leave)::

    began ---- prepared --> proposed    the signature is prepared, the own proposal made
    proposed - gathered --> first       only with a leader: its list of proposals is out
    first ---- decided ---> decided     the agreement alone
    decided -- ready -----> ready       the requests and the entropy are there
    ready ---- signed ----> ended       the anchor is signed
    began ---- anchored --> ended

*First* is the block's first proposal: the leader's list where the protocol has a leader, else the node's own; a node that
decides before it has proposed counts from the earliest of the others'. A node that proposes after the list was out has
gathered for no time at all.

Checked: all nodes decide the same batch and sign the same anchor, and nobody is accused of anything, since nobody lies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ledger.kernel.automaton import Fault, NodeId
from ledger.kernel.encoding import Digest
from ledger.kernel.instant import Duration, Instant, earliest
from node.experiments.committee_interface import BlockDecided, BlockEnded, BlockReady
from node.experiments.progress import BlockProgress
from wasp.consensus.batch_proposal import Batch
from wasp.request import RequestId

PHASES = ("prepared", "gathered", "decided", "ready", "signed", "anchored")
VIOLATIONS_KEPT = 20
"""One is enough to end a run in failure; a broken protocol has no end of them."""


class BlockRecord:
    """What is known of one block."""

    __slots__ = (
        "anchor",
        "batch",
        "decided",
        "ended",
        "led",
        "listed_at",
        "proposed",
        "ready",
        "rounds",
        "view_changed",
    )

    def __init__(self) -> None:
        self.batch: Batch | None = None
        self.anchor: Digest | None = None
        """The id of the anchor's transaction; none: skipped, or not ended."""
        self.led = False
        self.view_changed = False
        """Somebody has left the first view: nobody lies here, so a timer made it."""
        self.listed_at: Instant | None = None
        self.decided: dict[NodeId, Instant] = {}
        self.proposed: dict[NodeId, Instant] = {}
        """The own proposals of those who have decided."""
        self.ready: dict[NodeId, Instant] = {}
        self.ended: dict[NodeId, tuple[Instant, BlockEnded]] = {}
        self.rounds: tuple[int, ...] = ()
        """Per agreement, at the node where it took longest."""

    @property
    def signers_changed(self) -> bool:
        """Whether there was a second attempt at the signature: a timer gave up those of the first."""
        return any(end.attempts > 1 for _, end in self.ended.values())

    def decided_after(self, node: NodeId) -> Duration | None:
        """From the block's first proposal to the decision of this node; none while one of them is not known."""
        first = self.listed_at
        if not self.led:
            first = self.proposed.get(node, min(self.proposed.values(), default=None))
        decided = self.decided.get(node)
        return None if decided is None or first is None else decided - first

    def phases(self, node: NodeId) -> dict[str, Duration]:
        """How long each phase took at a node where the block has ended with an anchor; without those that there were not."""
        ended_at, end = self.ended[node]
        found = {"anchored": ended_at - end.began_at}
        if end.proposed_at is not None:
            found["prepared"] = end.proposed_at - end.began_at
            if self.listed_at is not None:
                found["gathered"] = max(0, self.listed_at - end.proposed_at)
        decided = self.decided_after(node)
        if decided is not None:
            found["decided"] = decided
        if node in self.ready:
            found["ready"] = self.ready[node] - self.decided[node]
            found["signed"] = ended_at - self.ready[node]
        return {phase: found[phase] for phase in PHASES if phase in found}


class RequestRecord:
    """The requests of an offered load: from the moment at which each was to be sent, as seen by the member that had it."""

    def __init__(self) -> None:
        self._waiting: dict[RequestId, tuple[NodeId, Instant]] = {}
        self.sent = 0
        self.refused = 0
        self.decided: list[Duration] = []
        """In the order of the decisions."""
        self.anchored: list[Duration] = []

    @property
    def waiting(self) -> int:
        """How many were sent and not yet anchored at their member."""
        return len(self._waiting)

    def note_sent(self, request: RequestId, node: NodeId, now: Instant) -> None:
        """It was to be sent now, to this member."""
        self.sent += 1
        self._waiting[request] = (node, now)

    def note_decided(self, requests: Sequence[RequestId], node: NodeId, now: Instant) -> None:
        """A batch with these was decided at this member."""
        own = [sent for member, sent in self._of(requests) if member == node]
        self.decided.extend([now - sent for sent in own])

    def note_anchored(self, requests: Sequence[RequestId], node: NodeId, now: Instant) -> None:
        """The anchor of a batch with these was signed at this member."""
        for request in requests:
            member, sent = self._waiting.get(request, (None, 0))
            if member == node:
                del self._waiting[request]
                self.anchored.append(now - sent)

    def _of(self, requests: Sequence[RequestId]) -> Iterator[tuple[NodeId, Instant]]:
        return (self._waiting[request] for request in requests if request in self._waiting)


class CommitteeRecorder:
    """Observes the members of one committee."""

    def __init__(self, nodes: Sequence[NodeId], blocks: int, progress: BlockProgress | None = None) -> None:
        self._ends = len(nodes) * blocks
        self._open = self._ends
        self._progress = progress
        self.blocks = [BlockRecord() for _ in range(blocks)]
        self.requests = RequestRecord()
        self.violations: list[str] = []
        self.faults = 0
        self.progressed_at: Instant = 0
        """When a member last got further."""

    @property
    def last_end(self) -> Instant:
        """When the last of the ends that were seen was seen."""
        return max([at for block in self.blocks for at, _ in block.ended.values()], default=0)

    @property
    def complete(self) -> bool:
        """Whether every block has ended at every node."""
        return self._open == 0

    def observe(self, now: Instant, node: NodeId, outputs: Sequence[Any], faults: Sequence[Fault]) -> None:
        """The observer's one method."""
        for output in outputs:
            match output:
                case BlockDecided():
                    self._note_decided(now, node, output)
                case BlockReady():
                    self.blocks[output.log_index - 1].ready[node] = now
                case BlockEnded():
                    self._note_ended(now, node, output)
        if outputs:
            self.progressed_at = now
        for fault in faults:
            self.faults += 1
            self._violated(f"{node} accuses {fault.accused} of {fault.kind} at {fault.path}: {fault.detail}")

    def _note_decided(self, now: Instant, node: NodeId, fact: BlockDecided) -> None:
        block = self.blocks[fact.log_index - 1]
        block.decided[node] = now
        block.led = fact.led
        block.view_changed |= fact.view_changed
        if fact.proposed_at is not None:
            block.proposed[node] = fact.proposed_at
        if fact.listed_at is not None:
            block.listed_at = earliest(fact.listed_at, block.listed_at)
        earlier = block.rounds or (0,) * len(fact.rounds)
        block.rounds = tuple(map(max, earlier, fact.rounds))
        if block.batch is None:
            block.batch = fact.batch
        elif block.batch != fact.batch:
            self._violated(f"block {fact.log_index}: {node} decided another batch than {next(iter(block.decided))}")
        self.requests.note_decided(fact.batch.requests, node, now)

    def _note_ended(self, now: Instant, node: NodeId, fact: BlockEnded) -> None:
        block = self.blocks[fact.log_index - 1]
        if block.ended and block.anchor != fact.anchor:
            self._violated(f"block {fact.log_index}: {node} signed another anchor than {next(iter(block.ended))}")
        block.anchor = fact.anchor
        block.ended[node] = (now, fact)
        self._open -= 1
        if self._progress is not None:
            self._progress(self._ends - self._open, self._ends)
        if fact.anchor is not None and block.batch is not None:
            self.requests.note_anchored(block.batch.requests, node, now)

    def _violated(self, what: str) -> None:
        if len(self.violations) < VIOLATIONS_KEPT:
            self.violations.append(what)
