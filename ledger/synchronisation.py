"""Synchronising: how a node that starts, or was cut off, gets what it missed in one go.

1.  At its start a node asks a neighbour for the blocks issued since what it has confirmed (less a minute).
2.  The neighbour answers with the blocks, parents first, in parts; the last part says so.
3.  If the neighbour has pruned some of them, a snapshot of its ledger comes first.
4.  No complete answer within ``ANSWER_WAIT``: ask the next neighbour. All have been asked in vain: go on alone.
5.  A running node with ``BEHIND`` waiting blocks asks the same of the neighbour that sent the last of them: one
    answer takes the place of as many round trips as the missing past is deep.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ledger.block import Block
from ledger.kernel.automaton import Envelope, NodeId, Path, StepBuilder
from ledger.kernel.encoding import Value
from ledger.kernel.instant import SECOND, Duration, Instant

SYNC_PATH: Path = ("tangle",)
ANSWER_WAIT: Duration = 5 * SECOND
"""Between parts of an answer."""
ANSWER_PAUSE: Duration = 1 * SECOND
"""A neighbour is answered once per pause: answers are large, questions are small."""
PART_BLOCKS_MAX = 100
PART_SIZE_MAX = 1024 * 1024
"""Blocks and bytes in a part: well within a frame."""
BEHIND = 32
"""Waiting blocks from which on a node asks for all that it misses."""


class SyncRequest(Value):
    """Send me the blocks issued since then."""

    since: Instant


class SyncBlocks(Value):
    """A part of the answer; ``last`` with the last one."""

    blocks: tuple[Block, ...]
    last: bool


class Synchroniser:
    """Whom this node asks, and whom it answers."""

    def __init__(self, neighbours: Sequence[NodeId]) -> None:
        self._neighbours = tuple(neighbours)
        self._asked = 0
        self._source: NodeId | None = None
        self._answered: dict[NodeId, Instant] = {}
        self.done = not neighbours
        """Whether the node knows what its neighbours know, as of its start."""
        self.deadline: Instant | None = 0 if neighbours else None
        """When the next neighbour is asked."""

    def expects(self, sender: NodeId) -> bool:
        """Whether an answer of this neighbour is awaited."""
        return sender == self._source

    def falls_behind(self, waiting: int) -> bool:
        """Whether so many waiting blocks call for a question."""
        return waiting >= BEHIND and self._source is None and self.done

    def ask(self, neighbour: NodeId, since: Instant, now: Instant, builder: StepBuilder[Any]) -> None:
        """Ask this neighbour."""
        if neighbour not in self._neighbours:
            return
        self._source = neighbour
        self.deadline = now + ANSWER_WAIT
        builder.messages.append(Envelope((neighbour,), SYNC_PATH, SyncRequest(since)))

    def note_answer(self, answer: SyncBlocks, now: Instant) -> None:
        """A part has come and is booked."""
        self.deadline = now + ANSWER_WAIT
        if answer.last:
            self._finish()

    def handle_timer(self, since: Instant, now: Instant, builder: StepBuilder[Any]) -> None:
        """The answer stays away."""
        if self.deadline is None or now < self.deadline:
            return
        if self.done or self._asked >= len(self._neighbours):
            self._finish()
        else:
            self._asked += 1
            self.ask(self._neighbours[self._asked - 1], since, now, builder)

    def may_answer(self, neighbour: NodeId, now: Instant) -> bool:
        """Whether this neighbour's question is answered; it must not ask again too soon."""
        last = self._answered.get(neighbour)
        if neighbour not in self._neighbours or (last is not None and now < last + ANSWER_PAUSE):
            return False
        self._answered[neighbour] = now
        return True

    def answer(self, neighbour: NodeId, blocks: Iterable[Block], builder: StepBuilder[Any]) -> None:
        """Send these blocks in parts."""
        part: list[Block] = []
        size = 0
        for block in blocks:
            if part and (len(part) >= PART_BLOCKS_MAX or size + block.size > PART_SIZE_MAX):
                builder.messages.append(Envelope((neighbour,), SYNC_PATH, SyncBlocks(tuple(part), False)))
                part, size = [], 0
            part.append(block)
            size += block.size
        builder.messages.append(Envelope((neighbour,), SYNC_PATH, SyncBlocks(tuple(part), True)))

    def _finish(self) -> None:
        self.done = True
        self._source = None
        self.deadline = None
