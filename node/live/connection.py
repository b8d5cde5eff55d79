"""One open connection to a peer that has proved itself: sealed frames over a websocket, both ways.

1. What the peer's link wants to send waits in a queue; a task seals and writes it, as fast as the socket takes it.
2. A task reads frames, opens and decodes them, and hands them over. It reads no faster than the peer's rate limits
   allow, and waits while the receiver has no room: the socket's buffers fill, and the peer slows down.
3. What the peer sealed and is no frame, or comes too fast for too long, is the peer's *fault*; what was not sealed by
   the peer is not: somebody sits in the middle. Both end the connection.
4. A connection on which nothing is sent for ``keep_alive_every`` sends an acknowledgement; one on which nothing is heard
   for some such spans is dead.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

from aiohttp import ClientWebSocketResponse, WSMessage, WSMsgType, web

from ledger.kernel.instant import SECOND, Instant
from ledger.kernel.rejection import Rejected
from node.link import LinkHeader
from node.live.handshake import ConnectionKeys, shown
from node.live.newcomers import close_socket
from node.live.peering_limits import PeeringLimits
from node.live.sealing import Opener, Sealer
from node.live.token_bucket import TokenBucket
from node.wire import Packet, Wire

Websocket: TypeAlias = "ClientWebSocketResponse[Any] | web.WebSocketResponse"
CLOSE_TEXT_MAX = 120
"""Bytes that a websocket's goodbye has room for."""


class PeerFault(Exception):
    """An authenticated peer broke the rules of peering."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(kind, detail)
        self.kind = kind
        self.detail = detail


class ConnectionOwner(Protocol):
    """The link that a connection serves."""

    def frame_came(self, header: LinkHeader, packets: tuple[Packet, ...], size: int, now: Instant) -> None:
        """The peer's next frame."""
        ...

    def throttled(self, wait: int) -> None:
        """Reading waits so long for the peer's rate to be within its limits."""
        ...

    def keep_alive(self) -> None:
        """Nothing was sent for a while: something should be."""
        ...

    async def room(self) -> None:
        """Returns when another frame may be read."""
        ...

    def now(self) -> Instant:
        """The present, by the monotonic clock."""
        ...


class Connection:
    """Serves one peer's link until it ends."""

    def __init__(
        self,
        websocket: Websocket,
        raw_socket: socket.socket,
        keys: ConnectionKeys,
        peer_session: int,
        dialled_by_me: bool,
        wire: Wire,
        limits: PeeringLimits,
    ) -> None:
        self.peer_session = peer_session
        self.dialled_by_me = dialled_by_me
        self.silent_checks = 0
        """Spans without a frame of the peer."""
        self.closed = asyncio.Event()
        """Set when it has ended and is closed."""
        self.queue: deque[tuple[LinkHeader, tuple[bytes, ...], int]] = deque()
        self.queue_bytes = 0
        self.sent_frames = 0
        self.sent_bytes = 0
        self._websocket = websocket
        self._socket = raw_socket
        self._sealer = Sealer(keys.sending)
        self._opener = Opener(keys.receiving)
        self._wire = wire
        self._limits = limits
        self._wanted: asyncio.Future[None] | None = None
        self._flushed: asyncio.Event | None = None
        self._waits = False
        """Whether this node does not want to read now."""
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def put(self, header: LinkHeader, packets: tuple[bytes, ...], size: int) -> bool:
        """Queue a frame; whether there is room for it."""
        if len(self.queue) >= self._limits.queue_max or (
            self.queue and self.queue_bytes + size > self._limits.queue_bytes_max
        ):
            return False
        self.queue.append((header, packets, size))
        self.queue_bytes += size
        if self._wanted is not None and not self._wanted.done():
            self._wanted.set_result(None)
        return True

    def end(self, reason: str) -> None:
        """End it, for the first reason that is given."""
        if not self._ended.done():
            self._ended.set_result(reason)

    async def run(self, owner: ConnectionOwner) -> str:
        """Serve the link until the connection ends; why it did.

        Errors: ``PeerFault``; ``Rejected`` for what nobody can be blamed for.
        """
        loop = asyncio.get_running_loop()
        tasks: list[asyncio.Future[str]] = [
            loop.create_task(self._read(owner)),
            loop.create_task(self._write()),
            loop.create_task(self._watch(owner)),
            self._ended,
        ]
        farewell = "stopping"
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finished = next(task for task in tasks if task in done)
            error = finished.exception()
            if isinstance(error, PeerFault):
                farewell = f"{error.kind}: {error.detail}"
            elif error is None:
                farewell = finished.result()
            return finished.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.close(farewell)

    async def flush(self) -> None:
        """Returns when all that is queued has been written; never, when the connection ends before."""
        if self.queue and not self._ended.done():
            self._flushed = asyncio.Event()
            await self._flushed.wait()

    async def _write(self) -> str:
        """Line 1."""
        queue, websocket, frame, seal = self.queue, self._websocket, self._wire.frame, self._sealer.seal
        loop = asyncio.get_running_loop()
        while True:
            while queue:
                header, packets, size = queue.popleft()
                self.queue_bytes -= size
                data = seal(frame(header, packets))
                self.sent_frames += 1
                self.sent_bytes += len(data)
                try:
                    await websocket.send_bytes(data)
                except (ConnectionError, OSError) as error:
                    # What has come is read to its end, and there stands why; a reader that finds none is not waited for.
                    await asyncio.sleep(self._limits.closing_timeout / SECOND)
                    return f"it broke: {error}"
            if self._flushed is not None:
                self._flushed.set()
            self._wanted = loop.create_future()
            await self._wanted

    async def _read(self, owner: ConnectionOwner) -> str:
        """Lines 2 and 3."""
        receive, unseal, now = self._websocket.receive, self._opener.open, owner.now
        limits, at_once = self._limits, 0
        frames = TokenBucket(limits.frames_per_second_max, limits.frames_burst_max, now())
        volume = TokenBucket(limits.bytes_per_second_max, limits.bytes_burst_max, now())
        while True:
            message = await receive()
            if self._ended.done():
                return self._ended.result()
            self.silent_checks = 0
            if message.type is not WSMsgType.BINARY:
                return self._why_closed(message)
            data: bytes = message.data
            instant = now()
            if wait := max(frames.take(1, instant), volume.take(len(data), instant)):
                await self._throttle((frames, volume), wait, instant, owner)
            header, packets = self._frame(unseal(data))
            owner.frame_came(header, packets, len(data), instant)
            at_once += 1
            if at_once >= limits.frames_at_once_max:
                at_once = 0
                await asyncio.sleep(0)
            self._waits = True
            await owner.room()
            self._waits = False

    def _frame(self, data: bytes) -> tuple[LinkHeader, tuple[Packet, ...]]:
        try:
            header, packets = self._wire.decode(data)
        except Rejected as rejected:
            raise PeerFault("undecodable_frame", rejected.detail) from None
        if header is None:
            raise PeerFault("no_header", "a frame without the header of a link")
        if header.session != self.peer_session:
            raise PeerFault("wrong_session", f"session {header.session}, {self.peer_session} was agreed")
        return header, packets

    async def _throttle(self, buckets: Sequence[TokenBucket], wait: int, now: Instant, owner: ConnectionOwner) -> None:
        """Read slower; a peer that is at its limit for too long floods (2, 3)."""
        for bucket in buckets:
            if bucket.exhausted_since is not None and now - bucket.exhausted_since > self._limits.throttled_max:
                raise PeerFault("flooding", f"at its rate limit for more than {self._limits.throttled_max} us")
        owner.throttled(wait)
        self._waits = True
        await asyncio.sleep(wait / SECOND)
        self._waits = False

    async def _watch(self, owner: ConnectionOwner) -> str:
        """Line 4. A span in which this node did not want to read tells nothing of the peer."""
        sent = 0
        while True:
            await asyncio.sleep(self._limits.keep_alive_every / SECOND)
            if self.sent_frames == sent:
                owner.keep_alive()
            sent = self.sent_frames
            if self._waits:
                continue
            if self.silent_checks >= self._limits.silent_checks_max:
                return "the peer was silent for too long"
            self.silent_checks += 1

    def _why_closed(self, message: WSMessage) -> str:
        if message.type is WSMsgType.CLOSE:
            said = message.extra or "without a reason"
            return f"the peer closed it: {shown(said, CLOSE_TEXT_MAX)}"
        if message.type is WSMsgType.TEXT:
            raise Rejected("tampered", "a text came where sealed frames are sent")
        return f"it broke: {self._websocket.exception() or 'the connection was lost'}"

    async def close(self, farewell: str) -> None:
        """Say why, as far as that is possible at once, and close."""
        text = farewell.encode()[:CLOSE_TEXT_MAX].decode(errors="ignore").encode()
        try:
            async with asyncio.timeout(self._limits.closing_timeout / SECOND):
                await self._websocket.close(message=text)
        except (TimeoutError, ConnectionError, OSError):
            pass
        finally:
            close_socket(self._socket)
            self.closed.set()
