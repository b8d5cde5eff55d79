"""Synchronising: how a node that starts, or was cut off, gets what it missed in one go.

1.  At its start a node asks a neighbour for the blocks issued since what it has confirmed (less a minute).
2.  The neighbour answers with the blocks, parents first, in numbered parts; the last part says so.
3.  If the neighbour has pruned some of them, its first part has a snapshot, and the live blocks follow. A snapshot in a
    later part is a fault: it would take away what the blocks before it have just confirmed.
4.  Parts are taken in the order of their numbers, however they come.
5.  No next part within ``ANSWER_WAIT``: ask the next neighbour. All have been asked in vain: go on alone.
6.  A running node asks again when ``BEHIND`` blocks wait for parents, or a parent was given up: one answer takes the
    place of as many round trips as the missing past is deep.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ledger.block import Block
from ledger.kernel.automaton import Envelope, NodeId, Path, StepBuilder
from ledger.kernel.encoding import Natural, Value
from ledger.kernel.instant import SECOND, Duration, Instant
from ledger.snapshot import LedgerSnapshot

SYNC_PATH: Path = ("tangle",)
ANSWER_WAIT: Duration = 5 * SECOND
"""Between parts of an answer."""
ANSWER_PAUSE: Duration = 1 * SECOND
"""A neighbour is answered once per pause: answers are large, questions are small."""
PART_BLOCKS_MAX = 100
PART_SIZE_MAX = 1024 * 1024
"""Blocks and bytes in a part: well within a frame."""
PARTS_MAX = 1_000
"""Parts that wait for earlier ones."""
BEHIND = 32
"""Waiting blocks from which on a node asks for all that it misses."""


class SyncRequest(Value):
    """Send me the blocks issued since then. The question is named by the instant of its asking."""

    question: Instant
    since: Instant


class SyncPart(Value):
    """Part ``number`` of the answer. A snapshot replaces all that the asker has."""

    question: Instant
    number: Natural
    last: bool
    snapshot: LedgerSnapshot | None
    blocks: tuple[Block, ...]


class Synchroniser:
    """Whom this node asks, and whom it answers."""

    def __init__(self, neighbours: Sequence[NodeId]) -> None:
        self._neighbours = tuple(neighbours)
        self._asked = 0
        self._source: NodeId | None = None
        self._question: Instant = -1
        self._parts: dict[int, SyncPart] = {}
        self._next_part = 0
        self._answered: dict[NodeId, Instant] = {}
        self.done = not neighbours
        """Whether the node knows what its neighbours know, as of its start."""
        self.deadline: Instant | None = 0 if neighbours else None
        """When the next neighbour is asked."""

    # ---------------------------------------------------------------------------------------------------------- asking

    def maybe_ask(self, neighbour: NodeId | None, since: Instant, now: Instant, builder: StepBuilder[Any]) -> None:
        """Blocks are missing: ask this neighbour, or the next one, unless an answer is awaited."""
        if self._source is None and self.done and self._neighbours:
            self._asked = 0
            if neighbour not in self._neighbours:
                neighbour = self._neighbours[now % len(self._neighbours)]
            self._ask(neighbour, since, now, builder)

    def _ask(self, neighbour: NodeId, since: Instant, now: Instant, builder: StepBuilder[Any]) -> None:
        self._source = neighbour
        self._question = max(now, self._question + 1)
        self._parts.clear()
        self._next_part = 0
        self.deadline = now + ANSWER_WAIT
        builder.messages.append(Envelope((neighbour,), SYNC_PATH, SyncRequest(self._question, since)))

    def take(self, sender: NodeId, part: SyncPart, now: Instant) -> list[SyncPart]:
        """A part has come: those that can be taken now, in order. After the last one the node is synchronised."""
        if sender != self._source or part.question != self._question or len(self._parts) >= PARTS_MAX:
            return []
        self._parts[part.number] = part
        taken = []
        while (next_part := self._parts.pop(self._next_part, None)) is not None:
            self._next_part += 1
            self.deadline = now + ANSWER_WAIT
            taken.append(next_part)
            if next_part.last:
                self._finish()
                break
        return taken

    def ask_when_due(self, since: Instant, now: Instant, builder: StepBuilder[Any]) -> None:
        """The answer stays away."""
        if self.deadline is None or now < self.deadline:
            return
        if self._asked >= len(self._neighbours):
            self._finish()
        else:
            self._asked += 1
            self._ask(self._neighbours[self._asked - 1], since, now, builder)

    def _finish(self) -> None:
        self.done = True
        self._source = None
        self.deadline = None
        self._parts.clear()

    # ------------------------------------------------------------------------------------------------------- answering

    def may_answer(self, neighbour: NodeId, now: Instant) -> bool:
        """Whether this neighbour's question is answered; it must not ask again too soon."""
        last = self._answered.get(neighbour)
        if neighbour not in self._neighbours or (last is not None and now < last + ANSWER_PAUSE):
            return False
        self._answered[neighbour] = now
        return True

    def answer(
        self,
        neighbour: NodeId,
        question: Instant,
        snapshot: LedgerSnapshot | None,
        blocks: Iterable[Block],
        builder: StepBuilder[Any],
    ) -> None:
        """Send the snapshot, if any, and these blocks in parts."""
        parts: list[list[Block]] = [[]]
        size = 0
        for block in blocks:
            if parts[-1] and (len(parts[-1]) >= PART_BLOCKS_MAX or size + block.size > PART_SIZE_MAX):
                parts.append([])
                size = 0
            parts[-1].append(block)
            size += block.size
        for number, part in enumerate(parts):
            first, last = number == 0, number == len(parts) - 1
            message = SyncPart(question, number, last, snapshot if first else None, tuple(part))
            builder.messages.append(Envelope((neighbour,), SYNC_PATH, message))
