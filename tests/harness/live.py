"""Doubles of what surrounds a live runtime, in memory: stores that can be made to wait or fail, transports, effects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from threading import Event
from typing import Any

from ledger.kernel.automaton import NodeId, Record
from node.hosting import Boot, HostFactory
from node.live.live_clock import LiveClock
from node.live.runtime import LiveLimits, LiveRuntime
from node.live.store_errors import StoreFailed
from node.live.surroundings import LiveEffects, Receiver
from node.record_places import unsuperseded
from node.wire import Wire
from tests.harness.simulation import TOY_WIRE
from tests.harness.toys import Log

PATIENCE = 60
"""Seconds after which a condition that has not come true is not expected any more."""


async def eventually(condition: Callable[[], Any]) -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 # any condition, which nobody announces
            await asyncio.sleep(0.001)


class MemoryStore:
    """Keeps records, and the groups in which they came. While its gate is shut, a commit waits."""

    def __init__(self, records: Sequence[Record] = (), incarnation: int = 1) -> None:
        self.durable = list(records)
        self.incarnation = incarnation
        self.groups: list[list[Record]] = []
        self.gate = Event()
        self.gate.set()
        self.commits = 0
        self.failure: StoreFailed | None = None
        self.closed = False

    @property
    def records(self) -> tuple[Record, ...]:
        return tuple(unsuperseded(self.durable))

    def commit(self, records: Sequence[Record]) -> None:
        assert not self.closed
        self.commits += 1
        assert self.gate.wait(PATIENCE)
        if self.failure is not None:
            raise self.failure
        self.groups.append(list(records))
        self.durable += records

    def close(self) -> None:
        self.closed = True


class Outbox:
    """A transport to nobody: keeps what is sent, decoded."""

    def __init__(self, receiver: Receiver, sent: list[Any], wire: Wire = TOY_WIRE) -> None:
        self._wire = wire
        self.receiver = receiver
        self.sent = sent
        self.running = False

    async def start(self) -> None:
        self.running = True

    async def stop(self) -> None:
        self.running = False

    def send(self, peer: NodeId, packets: tuple[bytes, ...]) -> None:
        assert self.running
        decoded = self._wire.decode(self._wire.frame(None, packets))[1]
        self.sent.append((peer, tuple(message for _, message in decoded)))


class MemoryNetwork:
    """Carries frames between the runtimes of one loop, each in the next round of the loop."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.receivers: dict[NodeId, Receiver] = {}
        self.frames = 0

    def transport(self, me: NodeId) -> Callable[[Receiver], MemoryTransport]:
        return lambda receiver: MemoryTransport(self, me, receiver)


class MemoryTransport:
    def __init__(self, network: MemoryNetwork, me: NodeId, receiver: Receiver) -> None:
        self._network = network
        self._me = me
        self._receiver = receiver

    async def start(self) -> None:
        self._network.receivers[self._me] = self._receiver

    async def stop(self) -> None:
        del self._network.receivers[self._me]

    def send(self, peer: NodeId, packets: tuple[bytes, ...]) -> None:
        self._network.frames += 1
        asyncio.get_running_loop().call_soon(self._deliver, peer, self._network.wire.frame(None, packets))

    def _deliver(self, peer: NodeId, frame: bytes) -> None:
        receiver = self._network.receivers.get(peer)
        if receiver is not None:
            receiver.frame_received(self._me, self._network.wire.decode(frame)[1])


class Answers:
    """Effects that answer the needs of a type when they are told to."""

    def __init__(self, kind: type) -> None:
        self._kind = kind
        self.needs: list[tuple[Any, asyncio.Future[Any]]] = []
        self.closed = False

    def start(self, need: Any) -> asyncio.Future[Any] | None:
        if type(need) is not self._kind:
            return None
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.needs.append((need, answer))
        return answer

    async def close(self) -> None:
        self.closed = True
        for _, answer in self.needs:
            answer.cancel()


class Nobody:
    """No type of need."""


class LiveToy:
    """One live runtime of a toy host, with all that surrounds it."""

    def __init__(
        self,
        me: NodeId,
        host: Callable[[Boot], Any],
        *,
        store: MemoryStore | None = None,
        effects: LiveEffects | None = None,
        limits: LiveLimits | None = None,
        observer: Any = None,
        epoch_us: int | None = None,
    ) -> None:
        self.store = store or MemoryStore()
        self.log = Log()
        self.sent: list[Any] = []
        self.clock = LiveClock(LiveClock(0).now() if epoch_us is None else epoch_us)
        self.effects = effects or Answers(Nobody)
        self.runtime = LiveRuntime(
            me,
            host,
            self.store,
            lambda receiver: Outbox(receiver, self.sent),
            TOY_WIRE,
            self.clock,
            self.effects,
            observer or self.log,
            limits,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[LiveToy]:
        """While it runs; afterwards it is stopped, gracefully unless it has failed."""
        run = asyncio.create_task(self.runtime.run())
        try:
            await eventually(lambda: self.runtime.is_running or run.done())
            yield self
            self.runtime.stop()
            async with asyncio.timeout(PATIENCE):
                await run
        finally:
            self.store.gate.set()
            run.cancel()
            with suppress(BaseException):
                await run

    @property
    def said(self) -> list[Any]:
        """The messages of the facts that were released."""
        return [output.message for _, _, output in self.log.entries]


def live_committee(
    hosts: Mapping[NodeId, HostFactory],
    wire: Wire,
    epoch_us: int,
    observer: Any,
    effects: Callable[[], LiveEffects],
    stores: Mapping[NodeId, MemoryStore],
) -> dict[NodeId, LiveRuntime]:
    """A runtime per host, over one network in memory."""
    network, clock = MemoryNetwork(wire), LiveClock(epoch_us)
    return {
        node: LiveRuntime(node, factory, stores[node], network.transport(node), wire, clock, effects(), observer)
        for node, factory in hosts.items()
    }
