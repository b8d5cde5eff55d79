"""Dialling a peer: two requests on one connection, the second of which becomes the websocket; and when to try again.

The waits between attempts double up to a limit, and each is drawn between half of it and all of it: nodes that lost each
other at the same moment don't come back at the same moment. They start over when a connection has lasted longer than the
limit.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeAlias

import aiohttp

from ledger.kernel.automaton import NodeId
from ledger.kernel.encoding import Frozen
from ledger.kernel.identity import PublicKey
from ledger.kernel.instant import SECOND, Duration, Instant
from ledger.kernel.rejection import Rejected
from node.live.door import ANSWER, HELLO, PEERING_PATH, PROOF, WEBSOCKET_SIZE_MAX, decoded, encoded, refused_by
from node.live.handshake import DiallerHandshake, Identity
from node.live.peering_limits import PeeringLimits


class Peer(Frozen):
    """Another host, and where it listens."""

    node: NodeId
    public_key: PublicKey
    host: str
    port: int

    @property
    def address(self) -> str:
        """For people, and in addresses of the web."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


AddrInfo: TypeAlias = "tuple[int, int, int, str, Any]"
Serve: TypeAlias = Callable[[DiallerHandshake, "aiohttp.ClientWebSocketResponse[Any]", socket.socket], Awaitable[None]]


class PeerWebsocket(aiohttp.ClientWebSocketResponse[Literal[True]]):
    """Knows the response that it came with: where the connection breaks, only closing that gives it back."""

    def __init__(
        self, reader: Any, writer: Any, protocol: Any, response: aiohttp.ClientResponse, *rest: Any, **named: Any
    ):
        super().__init__(reader, writer, protocol, response, *rest, **named)
        self.response = response


async def dial(identity: Identity, peer: Peer, limits: PeeringLimits, serve: Serve) -> None:
    """Connect to a peer and have the connection served until it ends.

    Errors: ``Rejected`` when there is no connection to be had, or ``serve`` raises it.
    """
    sockets: list[socket.socket] = []  # one per address of the peer's name that was tried; the last one succeeded

    def opened(info: AddrInfo) -> socket.socket:
        family, kind, protocol, _, _ = info
        sockets.append(socket.socket(family=family, type=kind, proto=protocol))
        return sockets[-1]

    handshake = DiallerHandshake(identity, peer.node)
    connector = aiohttp.TCPConnector(limit=1, use_dns_cache=False, happy_eyeballs_delay=None, socket_factory=opened)
    async with aiohttp.ClientSession(
        connector=connector, auto_decompress=False, ws_response_class=PeerWebsocket
    ) as session:
        try:
            async with asyncio.timeout(limits.handshake_timeout / SECOND):
                websocket = await _websocket(session, f"http://{peer.address}{PEERING_PATH}", handshake, limits)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Rejected("unreachable", f"{peer.node} at {peer.address}: {_cause(error)}") from None
        try:
            await serve(handshake, websocket, sockets[-1])
        finally:
            websocket.response.close()


async def _websocket(
    session: aiohttp.ClientSession, url: str, handshake: DiallerHandshake, limits: PeeringLimits
) -> PeerWebsocket:
    async with session.get(url, headers={HELLO: encoded(handshake.hello)}, allow_redirects=False) as response:
        if ANSWER not in response.headers:
            raise refused_by(response.status, response.headers)
        proof = handshake.handle_answer(decoded(response.headers, ANSWER))
    try:
        websocket = await session.ws_connect(
            url,
            headers={PROOF: encoded(proof)},
            timeout=aiohttp.ClientWSTimeout(ws_close=limits.closing_timeout / SECOND),
            max_msg_size=WEBSOCKET_SIZE_MAX,
        )
    except aiohttp.WSServerHandshakeError as error:
        raise refused_by(error.status, error.headers) from None
    assert isinstance(websocket, PeerWebsocket)
    return websocket


def _cause(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError) and error.errno:
        return os.strerror(error.errno)
    return "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__


class BackOff:
    """How long to wait before the next attempt."""

    def __init__(self, limits: PeeringLimits, rng: random.Random) -> None:
        self._limits = limits
        self._rng = rng
        self._next = limits.back_off_first

    def wait(self, lasted: Duration) -> Duration:
        """After an attempt whose connection lasted so long, 0 if there was none."""
        if lasted > self._limits.back_off_max:
            self._next = self._limits.back_off_first
        wait, self._next = self._next, min(2 * self._next, self._limits.back_off_max)
        return wait // 2 + self._rng.randrange(wait // 2 + 1)

    def start_over(self) -> None:
        """The next wait is the first again."""
        self._next = self._limits.back_off_first


async def wait_until(event: asyncio.Event, now: Instant, until: Instant) -> None:
    """Returns when the event is set, or at that instant."""
    try:
        async with asyncio.timeout(max(0, until - now) / SECOND):
            await event.wait()
    except TimeoutError:
        pass
