"""The peering port: strangers meet HTTP with narrow limits; only who has proved to be a peer gets a websocket.

1. Connections are accepted at a bounded rate; what is beyond waits in the kernel's queue, which is short.
2. A connection is a *newcomer* until it has proved itself: there is a bounded number, each for a bounded time
   (``newcomers``).
3. ``GET /peering/VERSION`` with a hello in a header is answered with the signed challenge in a header. A handshake
   belongs to its connection.
4. The same, on the same connection, as an upgrade to a websocket with the proof in a header: the websocket is opened.
5. Everything else is refused with a status, a sentence as text, and the same in headers for a dialler; then the
   connection ends.

So a stranger is read by the HTTP parser only, which takes a few kilobytes of it, and never in full frames. Each newcomer
that does not become a peer's connection is counted once, by kind.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as MalformedBase64
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, unquote

from aiohttp import web

from ledger.kernel.encoding import FRAME_SIZE_MAX
from ledger.kernel.instant import SECOND, Instant
from ledger.kernel.rejection import Rejected, require
from node.live.handshake import (
    HANDSHAKE_SIZE_MAX,
    PEERING_VERSION,
    ConnectionKeys,
    Identity,
    ResponderHandshake,
    check_version,
    shown,
)
from node.live.newcomers import LEFT, TIMED_OUT, Newcomer, Newcomers
from node.live.peering_limits import PeeringLimits
from node.live.sealing import SEAL_SIZE
from node.live.token_bucket import TokenBucket

PATH = "/peering/"
HELLO, ANSWER, PROOF = "Tanglegrid-Hello", "Tanglegrid-Answer", "Tanglegrid-Proof"
REFUSED, REASON = "Tanglegrid-Refused", "Tanglegrid-Reason"
HEADERS_MAX = 32
"""Of a request: a dialler sends a dozen."""
HEADER_SIZE_MAX = 2048
"""Bytes of one: the largest message of a handshake, in base 64, and some."""
REASON_MAX = 300
"""Letters of a refusal by others that are repeated."""
BACKLOG = 128
"""Connections that wait in the kernel: with the rate of accepting, under a second."""
WEBSOCKET_SIZE_MAX = FRAME_SIZE_MAX + SEAL_SIZE
_SILENT = logging.getLogger("node.live.door")
_SILENT.disabled = True
_STATUS = {
    "malformed": HTTPStatus.BAD_REQUEST,
    "not_peering": HTTPStatus.NOT_FOUND,
    "wrong_version": HTTPStatus.UPGRADE_REQUIRED,
}


class Door:
    """Listens for peers."""

    def __init__(
        self,
        identity: Identity,
        limits: PeeringLimits,
        now: Callable[[], Instant],
        admit: Callable[[ResponderHandshake], None],
        serve: Callable[[ResponderHandshake, ConnectionKeys, web.WebSocketResponse, socket.socket], Awaitable[None]],
        refused: Callable[[str, Rejected], None],
    ) -> None:
        """``admit`` raises ``Rejected`` for a peer that is not wanted now; ``serve`` has the websocket until it is
        closed.
        """
        self._identity = identity
        self._limits = limits
        self._now = now
        self._admit = admit
        self._serve = serve
        self._refused = refused
        self._by_protocol: dict[web.RequestHandler, Newcomer] = {}
        self.newcomers = Newcomers(limits, lambda newcomer: refused(newcomer.address, newcomer.reason))
        self.accepted = 0
        self._listening: socket.socket | None = None
        self._listen_later = asyncio.get_running_loop().call_soon(lambda: None)
        self._rate = TokenBucket(1, 1, 0)
        self._entering: set[asyncio.Task[None]] = set()
        self._server: _Server | None = None

    @property
    def port(self) -> int:
        """Where it listens: as asked, or what the system chose for 0."""
        assert self._listening is not None, "it listens after the start"
        return int(self._listening.getsockname()[1])

    def start(self, host: str, port: int) -> None:
        """Listen.

        Errors: ``OSError``.
        """
        self._listening = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=BACKLOG
        )
        self._listening.setblocking(False)
        self._rate = TokenBucket(self._limits.newcomers_per_second_max, self._limits.newcomers_burst_max, self._now())
        self._server = _Server(self._handle, self._connection_lost)
        self._listen()

    async def stop(self) -> None:
        """Listen no longer; newcomers are sent away."""
        if self._listening is not None:
            self._listen_later.cancel()
            asyncio.get_running_loop().remove_reader(self._listening)
            self._listening.close()
        for newcomer in [*self._by_protocol.values()]:
            newcomer.close()
        await asyncio.gather(*self._entering)
        if self._server is not None:
            await self._server.shutdown(self._limits.closing_timeout / SECOND)

    def _listen(self) -> None:
        assert self._listening is not None
        asyncio.get_running_loop().add_reader(self._listening, self._accept, self._listening)

    def _accept(self, listening: socket.socket) -> None:
        """Line 1."""
        loop = asyncio.get_running_loop()
        wait = self._rate.take(1, self._now())
        if wait:
            loop.remove_reader(listening)
            self._listen_later = loop.call_later(wait / SECOND, self._listen)
        try:
            connection, address = listening.accept()
        except OSError as error:  # no descriptors are left, or it was closed before it was accepted
            self._refused("the peering port", Rejected("not_accepted", str(error)))
            return
        connection.setblocking(False)
        self.accepted += 1
        newcomer = Newcomer(str(address[0]), connection)
        self.newcomers.enter(newcomer)
        loop.call_later(self._limits.handshake_timeout / SECOND, self.newcomers.send_away, newcomer, TIMED_OUT)
        task = loop.create_task(self._enter(newcomer))
        self._entering.add(task)
        task.add_done_callback(self._entering.discard)

    async def _enter(self, newcomer: Newcomer) -> None:
        """Line 2."""
        server = self._server
        assert server is not None
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(lambda: self._protocol_for(newcomer, server), newcomer.socket)
        except OSError:  # the stranger has closed it meanwhile
            self.newcomers.leave(newcomer)
            newcomer.socket.close()

    def _protocol_for(self, newcomer: Newcomer, server: _Server) -> web.RequestHandler:
        protocol = _Protocol(server, newcomer, self._limits)
        self._by_protocol[protocol] = newcomer
        return protocol

    def _connection_lost(self, protocol: web.RequestHandler) -> None:
        newcomer = self._by_protocol.pop(protocol, None)
        if newcomer is not None:
            self.newcomers.leave(newcomer)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Lines 3 to 5."""
        newcomer = self._by_protocol.get(request.protocol)
        if newcomer is None:  # it was closed meanwhile
            return refusal(LEFT)
        try:
            require(
                request.path.startswith(PATH), "not_peering", f"this is where the peers of {self._identity.me} connect"
            )
            check_version(request.path.removeprefix(PATH))
            if PROOF not in request.headers:
                newcomer.handshake = ResponderHandshake(self._identity, decoded(request.headers, HELLO))
                return web.Response(headers={ANSWER: encoded(newcomer.handshake.answer)})
            handshake = newcomer.handshake
            if handshake is None:
                raise Rejected("no_hello", "a proof came without a hello before it on the same connection")
            keys = handshake.handle_proof(decoded(request.headers, PROOF))
            self._admit(handshake)
            return await self._open(request, newcomer, handshake, keys)
        except Rejected as rejected:
            newcomer.reason = rejected
            return refusal(rejected)
        except ConnectionError:  # the connection broke meanwhile
            raise
        except Exception as error:
            context: dict[str, Any] = {"message": "the peering port failed", "exception": error}
            if newcomer.proved:  # what a stranger can bring about is told, and is no reason to stop
                context["task"] = asyncio.current_task()
            asyncio.get_running_loop().call_exception_handler(context)
            raise

    async def _open(
        self, request: web.BaseRequest, newcomer: Newcomer, handshake: ResponderHandshake, keys: ConnectionKeys
    ) -> web.StreamResponse:
        """Line 4: a websocket for a peer."""
        websocket = web.WebSocketResponse(
            timeout=self._limits.closing_timeout / SECOND, compress=False, max_msg_size=WEBSOCKET_SIZE_MAX
        )
        if not websocket.can_prepare(request):
            raise Rejected("no_upgrade", "a proof comes with the request for a websocket")
        newcomer.proved = True
        self.newcomers.leave(newcomer)
        await websocket.prepare(request)
        await self._serve(handshake, keys, websocket, newcomer.socket)
        return websocket


class _Server(web.Server):
    """Tells when a connection has ended."""

    def __init__(
        self,
        handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        connection_lost: Callable[[web.RequestHandler], None],
    ) -> None:
        super().__init__(handle)
        self._told = connection_lost

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self._told(handler)


class _Protocol(web.RequestHandler):
    """Reads narrow requests, logs nothing, and does not repeat what it does not understand."""

    __slots__ = ("_newcomer",)

    def __init__(self, server: web.Server, newcomer: Newcomer, limits: PeeringLimits) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            logger=_SILENT,
            access_log=None,  # type: ignore[arg-type]
            keepalive_timeout=limits.handshake_timeout / SECOND,
            lingering_time=0.0,
            max_line_size=HEADER_SIZE_MAX,
            max_field_size=HEADER_SIZE_MAX,
            max_headers=HEADERS_MAX,
            auto_decompress=False,
        )
        self._newcomer = newcomer

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        self._newcomer.reason = Rejected("malformed", "what came is no request of HTTP, or too large for one")
        return refusal(self._newcomer.reason)


def refusal(rejected: Rejected) -> web.Response:
    """What somebody is told who is not wanted (5)."""
    response = web.Response(
        status=_STATUS.get(rejected.code, HTTPStatus.FORBIDDEN),
        text=f"{rejected}\n",
        headers={REFUSED: rejected.code, REASON: quote(rejected.detail), "Server": "tanglegrid"},
    )
    response.force_close()
    return response


def refused_by(status: int, headers: Mapping[str, str] | None) -> Rejected:
    """What the other side's refusal says; it may be anybody's."""
    if headers is None or REFUSED not in headers:
        return Rejected("not_a_peer", f"what answers there, with HTTP status {status}, is no peer")
    return Rejected("refused", f"{shown(headers[REFUSED])}: {shown(unquote(headers.get(REASON, '')), REASON_MAX)}")


def encoded(message: bytes) -> str:
    """A message of the handshake as a header."""
    return urlsafe_b64encode(message).decode()


def decoded(headers: Mapping[str, str], name: str) -> bytes:
    """A message of the handshake from its header.

    Errors: ``Rejected("undecodable", ...)``.
    """
    text = headers.get(name, "")
    require(0 < len(text) <= 2 * HANDSHAKE_SIZE_MAX, "undecodable", f"a header {name} was expected")
    try:
        return urlsafe_b64decode(text)
    except (MalformedBase64, ValueError):
        raise Rejected("undecodable", f"the header {name} is not base 64") from None


PEERING_PATH = f"{PATH}{PEERING_VERSION}"
"""Where a dialler of this version asks."""
