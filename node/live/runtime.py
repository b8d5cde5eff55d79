"""The live runtime: runs one host as a process, with a real clock, a real disk and real peers.

One task does everything that the host sees, so the host is as single-threaded as in a simulation:

1. The task waits, without polling, for a frame, an input, the host's deadline, or the end of a commit.
2. All that has arrived by then is handled in one turn (``node.live.turn``), at one reading of the clock.
3. The records of the turn go to the store, in a thread; turns that end meanwhile become the next group together.
4. When they are durable, turns are released in their order, those without records too (``node.live.group_commit``).
5. Released are: outputs and faults, to the observer; needs, to the effects; packets, to the transport, one frame per peer.
6. The deadline is read after each turn. A timer is never early; how late it is, is the loop's business.

Back-pressure: when ``unreleased_max`` turns wait for a disk that has stalled, no further turn begins; the inbox fills to
``inbox_max``; then reading from the peers stops (``room``), inputs of the owner are refused (``InboxFull``), and the peers'
own queues fill. Nothing that was read is dropped. A full disk is such a stall: the observer is told (``DiskRefused``).

What ends it: ``stop``, after one last turn of what had arrived, when everything is durable and released; or an exception of
the host (``NodeFailed``), of the store, of an effect or of the transport's start, after which nothing more is released: to
the peers that is a crash. An answer that is under way then is lost: the restarted host asks again.

Measured on one core of a cloud machine: a turn of which nothing comes costs 11 microseconds with asyncio's loop and 6 with
uvloop, one that multicasts to three peers 18 and 13; a commit costs 150 and 80 before the store does anything (a thread is
woken, and wakes the loop). In committees of four with real keys a message costs 60 in all, a twentieth of it in here: sixteen
of them make a turn.
"""

from __future__ import annotations

from asyncio import Event, Future, TimerHandle, get_running_loop, sleep
from collections import deque
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

from ledger.kernel.automaton import Automaton, Fault, NodeId, PeerReconnected
from ledger.kernel.encoding import Frozen
from ledger.kernel.instant import MILLISECOND, Instant
from node.hosting import Boot, HostFactory, Observer
from node.live.counters import Latency, LiveCounters
from node.live.group_commit import DiskRefused, GroupCommit
from node.live.live_clock import LiveClock
from node.live.surroundings import LiveEffects, RecordStore, TransportFactory
from node.live.turn import Arrival, LiveTurn, Turns
from node.simulated.cpu import CpuMeter
from node.wire import Packet, Wire, cut


class LiveLimits(Frozen):
    """How much may wait in a live node."""

    inbox_max: int = 4096
    """Messages and inputs that wait for a turn: handled in one go, they are a few tenths of a second in which the node does
    nothing else. Frames that were being read when it filled up still come in, one per peer."""
    unreleased_max: int = 1024
    """Turns that wait for the disk: seconds of a busy member."""
    unreleased_bytes_max: int = 64 * 1024 * 1024
    """Of the packets in these: sixteen of the largest frames."""
    faults_kept_max: int = 256
    """The latest are shown in the status; all are counted, and told to the observer."""


class NodeFailed(Exception):
    """The host raised: an error of this program. What it had put out and not released is lost, as in a crash."""

    def __init__(self, node: NodeId, incarnation: int, now: Instant, event: Any, cause: str) -> None:
        super().__init__(node, incarnation, now, event, cause)
        self.node = node
        self.incarnation = incarnation
        self.now = now
        self.event = event
        self.cause = cause

    def __str__(self) -> str:
        return (
            f"{self.node} (incarnation {self.incarnation}) failed at {self.now} us while it handled "
            f"{repr(self.event)[:500]}: {self.cause}"
        )


class InboxFull(Exception):
    """The node has as much to do as it can hold; the input was not taken. Worth another try in a moment."""


class LiveRuntime:
    """Runs one host; a ``Receiver`` of its transport."""

    def __init__(
        self,
        node: NodeId,
        factory: HostFactory,
        store: RecordStore,
        transport: TransportFactory,
        wire: Wire,
        clock: LiveClock,
        effects: LiveEffects,
        observer: Observer,
        limits: LiveLimits | None = None,
    ) -> None:
        """Boot the host from the records of the store.

        Errors: ``NodeFailed`` when that is impossible.
        """
        self.node = node
        self.clock = clock
        self.incarnation = store.incarnation
        self.counters = LiveCounters()
        self.turn_latency = Latency()
        """From the reading of the clock to the end of the turn: CPU time, nearly."""
        self.limits = limits or LiveLimits()
        self.faults: deque[tuple[Instant, Fault]] = deque(maxlen=self.limits.faults_kept_max)
        self.host = self._booted(factory, store)
        self._turns = Turns(node, self.host, wire, self.counters)
        self._effects = effects
        self._observer = observer
        self._wake, self._room = Event(), Event()
        self.commits = GroupCommit(store, clock, self._wake.set)
        self._room.set()
        self._inbox: list[Arrival] = []
        self._inbox_size = 0
        self._timer: TimerHandle | None = None
        self._timer_at: Instant | None = None
        self._effect_failure: BaseException | None = None
        self._begun = False
        self._started = False
        self._stopping = False
        self._released = 0
        """Turns that were released."""
        self._awaited: deque[tuple[int, Future[None]]] = deque()
        """Who waits for how many of them."""
        self._transport = transport(self)

    def _booted(self, factory: HostFactory, store: RecordStore) -> Automaton[Any, Any, Any]:
        now = self.clock.now()
        try:
            return factory(Boot(store.records, now, self.incarnation, CpuMeter(None)))
        except Exception as error:
            raise self._failed(now, "the boot", error) from error

    @property
    def now(self) -> Instant:
        """The present instant."""
        return self.clock.now()

    @property
    def is_running(self) -> bool:
        """Whether it exchanges frames with its peers."""
        return self._started and not self._stopping

    @property
    def is_stopping(self) -> bool:
        """Whether it takes nothing more."""
        return self._stopping

    @property
    def waits(self) -> list[str]:
        """What it waits for, when it is not simply idle."""
        waits = []
        if self.commits.is_under_way:
            since = (self.now - self.commits.began) // MILLISECOND
            why = f" ({self.commits.refused})" if self.commits.refused else ""
            waits.append(f"the disk{why}, for {since} ms now: {self.commits.turns} turns are not released")
        if self._stopping:
            waits.append("is stopping")
        elif not self._room.is_set():
            waits.append(f"its CPU: {self._inbox_size} messages and inputs, nothing more is read from the peers")
        return waits

    # ------------------------------------------------------------------------------------------------------ what arrives

    def inject(self, input: Any) -> None:
        """An input of the owner, for the next turn. To be called on the loop.

        Errors: ``InboxFull``.
        """
        if self._stopping or self._inbox_size >= self.limits.inbox_max:
            raise InboxFull(f"{self.node} is stopping" if self._stopping else f"{self._inbox_size} wait already")
        self._take(None, input, 1)

    def frame_received(self, peer: NodeId, packets: Sequence[Packet]) -> None:
        """An authenticated peer's packets."""
        self._take(peer, packets, len(packets))

    def peer_reconnected(self, peer: NodeId) -> None:
        """What was sent to the peer may be lost: its protocols want to know."""
        self._take(None, PeerReconnected(peer), 1)

    def peer_fault(self, peer: str, kind: str, detail: str) -> None:
        """A peer, or somebody at an address, broke the protocol below the packets: told at once, it changes no state."""
        self._note_faults((Fault(NodeId(peer), kind, (), detail),))

    async def room(self) -> None:
        """Returns when another frame may be read."""
        await self._room.wait()

    def _take(self, sender: NodeId | None, content: Any, size: int) -> None:
        self._inbox.append((sender, content))
        self._inbox_size += size
        if self._inbox_size >= self.limits.inbox_max and self._room.is_set():
            self._room.clear()
            self.counters.stalls += 1
        self._wake.set()

    async def durable(self) -> None:
        """Returns when all that the host has done so far is durable and released: at once, unless a commit is under way.

        Whoever reads the host waits for this before telling anybody: what the host knows, a crash could take back.
        """
        if self.commits.is_under_way:
            released: Future[None] = get_running_loop().create_future()
            self._awaited.append((self._released + self.commits.turns, released))
            await released

    # ----------------------------------------------------------------------------------------------------------- the loop

    async def run(self) -> None:
        """Run until ``stop``.

        Errors: ``NodeFailed``; what the store, an effect or the start of the transport raises.
        """
        assert not self._begun, "a runtime runs once: a restart is a new one, of what the store holds"
        self._begun = True
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.commits.close)
            stack.push_async_callback(self._effects.close)
            stack.callback(self._cancel_timer)
            stack.callback(self._disappoint)
            await self._transport.start()
            stack.push_async_callback(self._transport.stop)
            self._schedule()
            self._started = True
            while not self._stopping:
                await self._something_to_do()
                self._maybe_release()
                self._maybe_turn()
            if self._inbox:
                self._turn(self.clock.now())
            self.commits.end()
            while self.commits.is_under_way:
                await self._something_to_do()
                self._maybe_release()

    def stop(self) -> None:
        """End gracefully: ``run`` returns when what had arrived is handled, durable and handed to the transport."""
        self._stopping = True
        self._room.clear()
        self._wake.set()

    async def _something_to_do(self) -> None:
        """Line 1."""
        if self._wake.is_set():
            await sleep(0)  # an event that is set is not waited for, and the transport must have its turn, too
        await self._wake.wait()
        self._wake.clear()
        self.counters.wakes += 1
        if self._effect_failure is not None:
            raise self._effect_failure

    # -------------------------------------------------------------------------------------------------------------- turns

    def _maybe_turn(self) -> None:
        """Lines 2 and 6: a turn, if there is anything to handle, and if not too much waits for the disk."""
        waiting, limits = self.commits, self.limits
        if waiting.turns >= limits.unreleased_max or waiting.size >= limits.unreleased_bytes_max:
            return  # the end of the commit wakes
        now, due = self.clock.now(), self._turns.due
        if self._inbox or (due is not None and due <= now):
            self._turn(now)
        self._schedule()

    def _turn(self, now: Instant) -> None:
        inbox, self._inbox = self._inbox, []
        self._inbox_size = 0
        if not self._stopping:
            self._room.set()
        try:
            turn = self._turns.turn(inbox, now)
        except Exception as error:
            raise self._failed(now, self._turns.event, error) from error
        self.turn_latency.note(self.clock.now() - now)
        if not turn.is_empty and self.commits.add(turn):
            self._release(turn)

    def _schedule(self) -> None:
        """Line 6."""
        due = self._turns.due
        if due == self._timer_at:
            return
        self._cancel_timer()
        if due is not None:
            self._timer_at = due
            self._timer = get_running_loop().call_later(self.clock.seconds_until(due), self._time_has_come)

    def _time_has_come(self) -> None:
        self._timer_at = self._timer = None
        self._wake.set()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = self._timer = None

    # ------------------------------------------------------------------------------------------------------- what leaves

    def _maybe_release(self) -> None:
        """Line 4."""
        refused = self.commits.refused
        durable = self.commits.durable()
        if self.commits.refused != refused:
            self._observer.observe(self.clock.now(), self.node, (DiskRefused(self.commits.refused),), ())
        for turn in durable:
            self._release(turn)

    def _release(self, turn: LiveTurn) -> None:
        """Line 5."""
        counters, send = self.counters, self._transport.send
        counters.records += len(turn.records)
        try:
            if turn.outputs or turn.faults:
                self._put_out(turn)
            for peer, packets in turn.packets.items():
                for part in cut([len(packet) for packet in packets]):
                    frame = tuple(packets[part])
                    send(peer, frame)
                    counters.frames += 1
                    counters.bytes += sum(map(len, frame))
        except Exception as error:
            raise self._failed(self.clock.now(), "what a turn has put out", error) from error
        self._released += 1
        while self._awaited and self._awaited[0][0] <= self._released:
            _, released = self._awaited.popleft()
            if not released.done():
                released.set_result(None)

    def _disappoint(self) -> None:
        """What was not released by now never will be."""
        for _, released in self._awaited:
            released.cancel()

    def _put_out(self, turn: LiveTurn) -> None:
        self.counters.outputs += len(turn.outputs)
        for output in turn.outputs:
            answer = self._effects.start(output)
            if answer is not None:
                answer.add_done_callback(self._answered)
        self._note_faults(turn.faults, turn.outputs)

    def _note_faults(self, faults: Sequence[Fault], outputs: Sequence[Any] = ()) -> None:
        now = self.clock.now()
        self.counters.faults += len(faults)
        self.faults.extend((now, fault) for fault in faults)
        self._observer.observe(now, self.node, outputs, faults)

    def _answered(self, answer: Future[Any]) -> None:
        """An effect has ended. Its answer is taken however full the inbox is: the host asks for few at a time."""
        if answer.cancelled():
            return
        if (failure := answer.exception()) is not None:
            self._effect_failure = failure
            self._wake.set()
        else:
            self._take(None, answer.result(), 1)

    def _failed(self, now: Instant, event: Any, error: Exception) -> NodeFailed:
        return NodeFailed(self.node, self.incarnation, now, event, f"{type(error).__name__}: {error}")
