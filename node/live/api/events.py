"""What happens at a node, for those who wait for it: readers of event streams, and users who wait for their requests.

It is the runtime's observer, so all that it tells is durable. Nobody is waited for: a reader has a bounded queue, and one
whose queue is full is *too slow*; it gets one last event that says so, and the stream ends. What nobody reads is not even
made.

| topic | event | when |
|---|---|---|
| blocks | booked, accepted, confirmed | a block of layer 1 was booked, or reached a grade of finality |
| chainblocks | anchored, confirmed, undone | by chain |
| clearings | anchored, confirmed | a chain block of this standing cleared an interval's market |

A user who waits for a request is told of each fact that concerns it. Refusals that are its fate are remembered for a while,
for those who ask afterwards; others are not: anybody could provoke them, with a forged signature under another's request.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias

from ledger.booking import BlockBooked
from ledger.finality import BlockAccepted, BlockConfirmed
from ledger.kernel.automaton import Fault, NodeId
from ledger.kernel.encoding import Frozen, unpack
from ledger.kernel.instant import Instant
from market.book import ClearingRow
from market.hierarchy import AUCTION
from node.host import ChainFact
from node.live.api.answers import to_hex
from node.live.api.metrics import FATES, NodeMetrics
from wasp.chain_block import ChainBlock
from wasp.chain_interface import ChainBlockAnchored, ChainBlockConfirmed, ChainBlocksUndone
from wasp.mempool import RequestPooled, RequestRefused
from wasp.request import RequestId

Topic: TypeAlias = Literal["blocks", "chainblocks", "clearings"]
EVENTS_QUEUED_MAX = 256
"""Events that wait for one reader: some seconds of a busy node, below a megabyte."""
STREAMS_MAX = 64
"""Readers of all streams: each event is written to each of them."""
WAITS_MAX = 2_000
"""Users that wait for requests at one time: as many as a mempool keeps requests."""
REFUSALS_KEPT = 4_096
"""Refused requests that are remembered."""


class Event(Frozen):
    """One event of a stream."""

    name: str
    data: dict[str, Any]


class EventStream:
    """One reader's queue. It ends with an event named ``end``, which says why."""

    def __init__(self, topic: Topic, chain: str | None = None) -> None:
        self.topic = topic
        self.chain = chain
        """Only events of this chain; none: of all."""
        self.ended = False
        self._events: deque[Event] = deque()
        self._arrived = asyncio.Event()

    def put(self, event: Event) -> None:
        """Queue an event; one too many ends the stream, and what waits is dropped."""
        if self.ended:
            return
        if len(self._events) >= EVENTS_QUEUED_MAX:
            self._events.clear()
            self.end("too_slow", f"more than {EVENTS_QUEUED_MAX} events waited for this reader: they are lost")
            return
        self._events.append(event)
        self._arrived.set()

    def end(self, code: str, message: str) -> None:
        """Nothing comes after this."""
        if not self.ended:
            self.ended = True
            self._events.append(Event("end", {"code": code, "message": message}))
            self._arrived.set()

    async def next(self) -> Event | None:
        """The next event; none when the stream has ended."""
        while not self._events:
            if self.ended:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        return self._events.popleft()


Key: TypeAlias = tuple[str, RequestId]
News: TypeAlias = RequestPooled | RequestRefused | ChainBlockAnchored | ChainBlockConfirmed | ChainBlocksUndone


class RequestWait:
    """One user's wait for news of a request."""

    def __init__(self) -> None:
        self._news: News | None = None
        self._ended = False
        self._arrived = asyncio.Event()

    def tell(self, news: News) -> None:
        """Something happened to the request; only the newest fact is kept."""
        self._news = news
        self._arrived.set()

    def end(self) -> None:
        """Nothing will be told any more."""
        self._ended = True
        self._arrived.set()

    async def news(self) -> News | None:
        """The newest fact since the last call; none when nothing will be told any more."""
        await self._arrived.wait()
        self._arrived.clear()
        return None if self._ended else self._news


class NodeEvents:
    """The observer of one node."""

    def __init__(self, metrics: NodeMetrics) -> None:
        self.metrics = metrics
        self.refusals: dict[Key, RequestRefused] = {}
        """The newest ones that are fates."""
        self._streams: list[EventStream] = []
        self._waits: dict[Key, list[RequestWait]] = {}
        self._waiting = 0

    # ------------------------------------------------------------------------------------------------------- observing

    def observe(self, now: Instant, node: NodeId, outputs: Sequence[Any], faults: Sequence[Fault]) -> None:
        """These were released at this instant."""
        self.metrics.observe(now, node, outputs, faults)
        for output in outputs:
            match output:
                case ChainFact():
                    self._observe_chain(output.chain, output.fact)
                case BlockBooked():
                    essence = output.block.essence
                    payload = None if essence.payload is None else to_hex(essence.payload.id)
                    self._publish_block("booked", output.block.id, issued=essence.issuing_time, transactionId=payload)
                case BlockAccepted():
                    self._publish_block("accepted", output.block_id)
                case BlockConfirmed():
                    self._publish_block("confirmed", output.block_id)
                case _:
                    pass

    def _observe_chain(self, chain: str, fact: Any) -> None:
        match fact:
            case RequestPooled():
                self._tell((chain, fact.request_id), fact)
            case RequestRefused():
                self._note_refused((chain, fact.request_id), fact)
            case ChainBlockAnchored():
                self._note_blocks(chain, "anchored", (fact.block,), fact)
            case ChainBlockConfirmed():
                self._note_blocks(chain, "confirmed", (fact.block,), fact)
            case ChainBlocksUndone():
                self._note_blocks(chain, "undone", fact.blocks, fact)
            case _:
                pass

    def _note_refused(self, key: Key, fact: RequestRefused) -> None:
        if fact.code in FATES:
            self.refusals.pop(key, None)
            self.refusals[key] = fact
            if len(self.refusals) > REFUSALS_KEPT:
                del self.refusals[next(iter(self.refusals))]
        self._tell(key, fact)

    def _note_blocks(self, chain: str, name: str, blocks: Sequence[ChainBlock], fact: News) -> None:
        for block in blocks:
            if self._waits:
                for request in block.requests:
                    self._tell((chain, request.id), fact)
            if self._streams:
                self._publish("chainblocks", chain, name, lambda block=block: _chain_block_data(chain, block))  # type: ignore[misc]
                if name != "undone" and any(stream.topic == "clearings" for stream in self._streams):
                    self._publish_clearings(chain, name, block)

    # ----------------------------------------------------------------------------------------------- waiting for requests

    @contextmanager
    def waiting_for(self, chain: str, request_id: RequestId) -> Iterator[RequestWait]:
        """A wait for news of a request, from now on."""
        key, wait = (chain, request_id), RequestWait()
        self._waits.setdefault(key, []).append(wait)
        self._waiting += 1
        try:
            yield wait
        finally:
            self._waiting -= 1
            self._waits[key].remove(wait)
            if not self._waits[key]:
                del self._waits[key]

    @property
    def waiting(self) -> int:
        """How many users wait."""
        return self._waiting

    def _tell(self, key: Key, news: News) -> None:
        for wait in self._waits.get(key, ()):
            wait.tell(news)

    # -------------------------------------------------------------------------------------------------------- streams

    @contextmanager
    def reading(self, topic: Topic, chain: str | None = None) -> Iterator[EventStream]:
        """A stream of the events from now on."""
        stream = EventStream(topic, chain)
        self._streams.append(stream)
        try:
            yield stream
        finally:
            self._streams.remove(stream)

    @property
    def readers(self) -> int:
        """How many streams are read."""
        return len(self._streams)

    def end(self, code: str, message: str) -> None:
        """Every stream ends, for this reason, and nobody waits any longer."""
        for stream in self._streams:
            stream.end(code, message)
        for waits in self._waits.values():
            for wait in waits:
                wait.end()

    def _publish(self, topic: Topic, chain: str | None, name: str, make: Callable[[], dict[str, Any]]) -> None:
        event = None
        for stream in self._streams:
            if stream.topic == topic and (stream.chain is None or stream.chain == chain):
                event = event or Event(name, make())
                stream.put(event)

    def _publish_block(self, name: str, block_id: bytes, **more: Any) -> None:
        if self._streams:
            self._publish("blocks", None, name, lambda: {"blockId": to_hex(block_id), **more})

    def _publish_clearings(self, chain: str, name: str, block: ChainBlock) -> None:
        for mutation in block.mutations:
            if mutation.key[:2] == (AUCTION, "clearing") and mutation.value is not None:
                row = ClearingRow(*unpack(mutation.value))  # type: ignore[misc] # the contract wrote it
                data = {
                    "chain": chain,
                    "interval": mutation.key[2],
                    "price": row.price,
                    "supply": row.supply,
                    "demand": row.demand,
                    "matched": row.matched,
                    "stateIndex": block.index,
                }
                self._publish("clearings", chain, name, lambda data=data: data)  # type: ignore[misc]


def _chain_block_data(chain: str, block: ChainBlock) -> dict[str, Any]:
    return {
        "chain": chain,
        "stateIndex": block.index,
        "timestamp": block.timestamp,
        "logIndex": block.log_index,
        "requests": [to_hex(request.id) for request in block.requests],
    }
