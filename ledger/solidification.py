"""Solidification: a block is booked after its parents; what is missing is asked for.

1.  A block with missing parents waits. A missing parent that does not itself wait is asked for, first of the block's
    sender.
2.  Every ``REQUEST_INTERVAL`` without an answer the next neighbour is asked, up to ``REQUEST_ATTEMPTS_MAX`` times.
3.  Then the parent counts as lost, and all that waits for it is dropped (it may come again).
4.  When a block is booked, those that waited for nothing else are released.

Limits: at most ``UNSOLID_PER_SENDER_MAX`` blocks of a sender wait. So a flood of blocks with invented parents costs
bounded memory and takes no room from other senders.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from heapq import heappop, heappush

from ledger.block import Block, BlockId
from ledger.kernel.automaton import NodeId
from ledger.kernel.instant import SECOND, Duration, Instant

UNSOLID_PER_SENDER_MAX = 1_000
"""Half an hour of blocks of eight validators at rest: a neighbour that was cut off for that long is not cut short."""
REQUEST_INTERVAL: Duration = 1 * SECOND
"""Longer than a round trip to any neighbour."""
REQUEST_ATTEMPTS_MAX = 20
"""Every neighbour is asked several times, then the block is lost."""


class Waiting:
    """A block that waits for parents."""

    __slots__ = ("block", "missing", "sender")

    def __init__(self, block: Block, sender: NodeId, missing: set[BlockId]) -> None:
        self.block = block
        self.sender = sender
        self.missing = missing


class _Request:
    __slots__ = ("attempts", "next_at", "source")

    def __init__(self, source: NodeId, next_at: Instant) -> None:
        self.source = source
        self.attempts = 1
        self.next_at = next_at


class Solidifier:
    """The blocks that wait, and what is asked for."""

    def __init__(self, neighbours: Sequence[NodeId]) -> None:
        self._neighbours = tuple(neighbours)
        self._waiting: dict[BlockId, Waiting] = {}
        self._dependents: dict[BlockId, list[BlockId]] = {}
        self._requests: dict[BlockId, _Request] = {}
        self._timers: list[tuple[Instant, BlockId]] = []
        self._per_sender: defaultdict[NodeId, int] = defaultdict(int)
        self.given_up = 0
        """How many parents nobody had."""

    def __contains__(self, id: BlockId) -> bool:
        return id in self._waiting

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def requested(self) -> int:
        """How many blocks are asked for."""
        return len(self._requests)

    def is_requested(self, id: BlockId) -> bool:
        """Whether a waiting block has this parent: then somebody approves it."""
        return id in self._dependents

    @property
    def deadline(self) -> Instant | None:
        """When a request is due again."""
        while self._timers:
            at, id = self._timers[0]
            request = self._requests.get(id)
            if request is not None and request.next_at == at:
                return at
            heappop(self._timers)
        return None

    def hold(self, block: Block, sender: NodeId, missing: Sequence[BlockId], now: Instant) -> list[BlockId] | None:
        """Let a block wait. Returns what to ask its sender for; None if the sender has too many waiting blocks."""
        if self._per_sender[sender] >= UNSOLID_PER_SENDER_MAX:
            return None
        self._per_sender[sender] += 1
        self._waiting[block.id] = Waiting(block, sender, set(missing))
        self._requests.pop(block.id, None)
        wanted = []
        for parent in missing:
            self._dependents.setdefault(parent, []).append(block.id)
            if parent not in self._waiting and parent not in self._requests:
                request = _Request(sender, now + REQUEST_INTERVAL)
                self._requests[parent] = request
                heappush(self._timers, (request.next_at, parent))
                wanted.append(parent)
        return wanted

    def want(self, id: BlockId, source: NodeId, now: Instant) -> bool:
        """Ask for a tip that nobody waits for; whether it is to be asked for now."""
        if id in self._waiting or id in self._requests:
            return False
        self._requests[id] = _Request(source, now + REQUEST_INTERVAL)
        heappush(self._timers, (now + REQUEST_INTERVAL, id))
        return True

    def release(self, booked: BlockId) -> list[Waiting]:
        """A block is booked: those that missed only it, in the order of their coming."""
        self._requests.pop(booked, None)
        dependents = self._dependents.pop(booked, None)
        if dependents is None:
            return []
        released = []
        for id in dependents:
            waiting = self._waiting.get(id)
            if waiting is not None:
                waiting.missing.discard(booked)
                if not waiting.missing:
                    released.append(self._remove(id))
        return released

    def drop(self, lost: BlockId) -> list[Waiting]:
        """A block is invalid or lost: forget, and return, all that waits for it, directly or not."""
        dropped = []
        stack = [lost]
        while stack:
            id = stack.pop()
            self._requests.pop(id, None)
            for dependent in self._dependents.pop(id, ()):
                if dependent in self._waiting:
                    dropped.append(self._remove(dependent))
                    stack.append(dependent)
        for waiting in dropped:
            for parent in waiting.missing:
                self._forget_dependent(parent, waiting.block.id)
        return dropped

    def due(self, now: Instant) -> dict[NodeId, list[BlockId]]:
        """What to ask whom for now; what was asked for too often is dropped."""
        asked: dict[NodeId, list[BlockId]] = {}
        while (at := self.deadline) is not None and at <= now:
            _, id = heappop(self._timers)
            request = self._requests[id]
            if request.attempts >= REQUEST_ATTEMPTS_MAX or not self._neighbours:
                self.given_up += 1
                self.drop(id)
                continue
            request.attempts += 1
            request.source = self._after(request.source)
            request.next_at = now + REQUEST_INTERVAL
            heappush(self._timers, (request.next_at, id))
            asked.setdefault(request.source, []).append(id)
        return asked

    def _after(self, neighbour: NodeId) -> NodeId:
        places = self._neighbours
        return places[(places.index(neighbour) + 1) % len(places)] if neighbour in places else places[0]

    def _remove(self, id: BlockId) -> Waiting:
        waiting = self._waiting.pop(id)
        self._per_sender[waiting.sender] -= 1
        return waiting

    def _forget_dependent(self, parent: BlockId, id: BlockId) -> None:
        dependents = self._dependents.get(parent)
        if dependents is not None and id in dependents:
            dependents.remove(id)
            if not dependents:
                del self._dependents[parent]
                self._requests.pop(parent, None)
