"""Group commit: what a turn wants is released when its records, and those of all turns before it, are durable.

1. A turn with records, while no commit is under way, begins one, in the store's own thread.
2. Turns that end while a commit is under way wait; those with records, and all behind the first of them, become the next
   group together. A turn without records that comes before these is released with the group that is under way: it never
   overtakes.
3. When a group is durable the next commit begins at once, and then the turns of the group may be released, in their order.

These are the rules of the simulated disk. A commit that fails ends the node, and nothing of its group is ever released.
"""

from __future__ import annotations

from asyncio import Future, get_running_loop, wait
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from ledger.kernel.instant import Instant
from node.live.counters import Latency
from node.live.live_clock import LiveClock
from node.live.surroundings import RecordStore
from node.live.turn import LiveTurn


class GroupCommit:
    """Makes turns durable."""

    def __init__(self, store: RecordStore, clock: LiveClock, wake: Callable[[], None]) -> None:
        """``wake`` is called on the loop when a commit has ended."""
        self._store = store
        self._clock = clock
        self._wake = wake
        self._thread = ThreadPoolExecutor(1, "store")
        self._commit: Future[None] | None = None
        self._committing: list[LiveTurn] = []
        self._waiting: list[LiveTurn] = []
        self.began: Instant = 0
        """When the latest commit began."""
        self.turns = 0
        """Turns that are not released yet."""
        self.size = 0
        """Bytes of the packets in these."""
        self.latency = Latency()
        """From handing a group to the store until it is durable."""

    @property
    def is_under_way(self) -> bool:
        """Whether anything waits to be released."""
        return self._commit is not None

    def add(self, turn: LiveTurn) -> bool:
        """A turn has ended; whether it may be released at once (1, 2)."""
        if self._commit is None and not turn.records:
            return True
        self.turns += 1
        self.size += turn.size
        if self._commit is None:
            self._waiting.append(turn)
            self._begin()
        elif turn.records or self._waiting:
            self._waiting.append(turn)
        else:
            self._committing.append(turn)
        return False

    def durable(self) -> list[LiveTurn]:
        """The turns that may be released since the last call, in order (3).

        Errors: what the store raised.
        """
        if self._commit is None or not self._commit.done():
            return []
        commit, self._commit = self._commit, None
        commit.result()
        self.latency.note(self._clock.now() - self.began)
        durable, self._committing = self._committing, []
        if self._waiting:
            self._begin()
        self.turns -= len(durable)
        self.size -= sum(turn.size for turn in durable)
        return durable

    async def close(self) -> None:
        """Close the store, after the commit that is under way."""
        if self._commit is not None:
            await wait([self._commit])
            self._commit.exception()  # whatever it is, the node stops
        try:
            await get_running_loop().run_in_executor(self._thread, self._store.close)
        finally:
            self._thread.shutdown(wait=False)

    def _begin(self) -> None:
        self._committing, self._waiting = self._waiting, []
        records = [record for turn in self._committing for record in turn.records]
        self.began = self._clock.now()
        self._commit = get_running_loop().run_in_executor(self._thread, self._store.commit, records)
        self._commit.add_done_callback(lambda _: self._wake())
