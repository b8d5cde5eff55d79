"""Group commit: what a turn wants is released when its records, and those of all turns before it, are durable.

1. A turn with records, while no commit is under way, begins one, in the store's own thread.
2. Turns that end while a commit is under way wait; those with records, and all behind the first of them, become the next
   group together. A turn without records that comes before these is released with the group that is under way: it never
   overtakes.
3. When a group is durable the next commit begins at once, and then the turns of the group may be released, in their order.
4. A group that the disk has refused, and may take later (it is full), is tried again, again and again, and all wait for it:
   its peers miss the node, which goes on when there is room. When the node is to stop there is one last try.
5. Any other failure ends the node, and nothing of the group is ever released.

Lines 1 to 3 are the rules of the simulated disk.
"""

from __future__ import annotations

from asyncio import Future, TimerHandle, get_running_loop, wait
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from ledger.kernel.encoding import Frozen
from ledger.kernel.instant import Instant
from node.live.counters import Latency
from node.live.live_clock import LiveClock
from node.live.store_errors import StoreFailed
from node.live.surroundings import RecordStore
from node.live.turn import LiveTurn

TRY_AGAIN_AFTER = 1.0
"""Seconds: making room on a disk takes somebody longer."""


class DiskRefused(Frozen):
    """A fact about the node, told by its runtime: the disk does not take what must be durable, so the node is silent.

    Without a reason: the disk takes it again.
    """

    why: str


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
        self._retry: TimerHandle | None = None
        self._last_try = False
        self.refused = ""
        """Why the disk does not take the group that is tried again and again."""
        self.began: Instant = 0
        """When the latest group was handed to the store for the first time."""
        self.turns = 0
        """Turns that are not released yet."""
        self.size = 0
        """Bytes of the packets in these."""
        self.latency = Latency()
        """From handing a group to the store until it is durable."""

    @property
    def is_under_way(self) -> bool:
        """Whether anything waits to be released."""
        return self.turns > 0

    def add(self, turn: LiveTurn) -> bool:
        """A turn has ended; whether it may be released at once (1, 2)."""
        is_first = not self.turns
        if is_first and not turn.records:
            return True
        self.turns += 1
        self.size += turn.size
        if is_first:
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
        try:
            commit.result()
        except StoreFailed as failed:
            if not failed.may_retry or self._last_try:
                raise
            self.refused = failed.what
            self._retry = get_running_loop().call_later(TRY_AGAIN_AFTER, self._commit_group)
            return []
        self.refused = ""
        self.latency.note(self._clock.now() - self.began)
        durable, self._committing = self._committing, []
        if self._waiting:
            self._begin()
        self.turns -= len(durable)
        self.size -= sum(turn.size for turn in durable)
        return durable

    def end(self) -> None:
        """The node is to stop when all is released (4)."""
        self._last_try = True
        if self._retry is not None:
            self._retry.cancel()
            self._commit_group()

    async def close(self) -> None:
        """Close the store, after the commit that is under way."""
        if self._retry is not None:
            self._retry.cancel()
        if self._commit is not None:
            await wait([self._commit])
            self._commit.exception()  # whatever it is, the node stops
        try:
            await get_running_loop().run_in_executor(self._thread, self._store.close)
        finally:
            self._thread.shutdown(wait=False)

    def _begin(self) -> None:
        self._committing, self._waiting = self._waiting, []
        self.began = self._clock.now()
        self._commit_group()

    def _commit_group(self) -> None:
        self._retry = None
        records = [record for turn in self._committing for record in turn.records]
        self._commit = get_running_loop().run_in_executor(self._thread, self._store.commit, records)
        self._commit.add_done_callback(lambda _: self._wake())
