"""Who comes in: how many connections, how many questions at once and per second, and who holds the token.

1. Bound beyond the own machine, everything but the probes needs the token; admin routes need it everywhere.
2. A connection more than ``connections_max`` is closed at once. Those that never asked anything go first, when they have had
   ``FIRST_QUESTION_WAIT`` to do so: whoever opens connections for nothing keeps nobody else out for long.
3. Each address has a rate with a burst; beyond it the answer is 429, and says when to come again.
4. Questions in flight are bounded, and lasting ones (waits, streams) by themselves: those cost memory, not work.
"""

from __future__ import annotations

import hmac
from asyncio import Protocol, get_running_loop
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any

from aiohttp import web

from ledger.kernel.encoding import Frozen
from ledger.kernel.instant import SECOND, Instant
from ledger.kernel.rejection import require
from node.live.api.endpoint import Access, Refused
from node.live.api.events import STREAMS_MAX, WAITS_MAX
from node.live.token_bucket import TokenBucket

FIRST_QUESTION_WAIT = 5.0
"""Seconds: any client asks at once."""
ADDRESSES_MAX = 1_000
"""Addresses whose rates are remembered; the one that has been here longest is forgotten first."""
TOKEN_SIZE_MIN = 16
"""Characters that nobody guesses at the rate that is let in."""


class ApiLimits(Frozen):
    """How much at once."""

    body_size_max: int = 256 * 1024
    """Bytes: the largest request in hexadecimal digits, and some."""
    connections_max: int = WAITS_MAX + STREAMS_MAX + 512
    in_flight_max: int = 256
    """Questions that are being answered: at some tenths of a millisecond each, the loop has caught up in a moment."""
    lasting_max: int = WAITS_MAX + STREAMS_MAX
    rate_max: int = 2_000
    """Questions per second from one address: near what one process can answer beside its work as a node."""
    burst_max: int = 4_000


class ApiSettings(Frozen):
    """Where the API listens, and who may ask.

    Errors: ``Rejected`` with code ``token_needed`` or ``token_too_short``.
    """

    host: str = "127.0.0.1"
    port: int = 0
    token: str | None = None
    limits: ApiLimits = ApiLimits()

    def __post_init__(self) -> None:
        require(
            self.token is not None or is_loopback(self.host),
            "token_needed",
            f"the API listens at {self.host}, beyond this machine: a token is needed",
        )
        require(
            self.token is None or len(self.token) >= TOKEN_SIZE_MIN,
            "token_too_short",
            f"a token of at least {TOKEN_SIZE_MIN} characters expected",
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


class Door:
    """Lets questions in, one endpoint after another."""

    def __init__(self, settings: ApiSettings, now: Callable[[], Instant]) -> None:
        self._token = None if settings.token is None else f"Bearer {settings.token}".encode()
        self._is_local = is_loopback(settings.host)
        self._limits = settings.limits
        self._now = now
        self._rates: dict[str, TokenBucket] = {}
        self.in_flight = 0
        self.lasting = 0

    def check(self, request: web.Request, access: Access) -> None:
        """Lines 1 and 3.

        Errors: ``Refused`` with status 429, 401 or 403.
        """
        if access == "open":
            return
        self._check_rate(request.remote or "")
        if self._is_local and access == "token":
            return
        if self._token is None:
            raise Refused(403, "no_token", "this node has no token: nobody may do this through its API")
        given = request.headers.get("Authorization", "").encode(errors="replace")
        if not hmac.compare_digest(given, self._token):
            raise Refused(401, "wrong_token", "expected the header Authorization: Bearer, with the node's token")

    def _check_rate(self, address: str) -> None:
        now, limits = self._now(), self._limits
        bucket = self._rates.get(address)
        if bucket is None:
            if len(self._rates) >= ADDRESSES_MAX:
                del self._rates[next(iter(self._rates))]
            bucket = self._rates[address] = TokenBucket(limits.rate_max, limits.burst_max, now)
        wait = bucket.take(1, now)
        if wait:
            bucket.take(-1, now)  # a question that is not answered costs nothing
            text = f"more than {limits.rate_max} questions per second from this address"
            raise Refused(429, "too_fast", text, retry_after=-(-wait // SECOND))

    @contextmanager
    def passing(self, lasting: bool) -> Iterator[None]:
        """Line 4: while a question is being answered.

        Errors: ``Refused`` with status 429.
        """
        if lasting:
            if self.lasting >= self._limits.lasting_max:
                raise Refused(429, "too_many_waits", f"{self.lasting} waits and streams are open", retry_after=5)
            self.lasting += 1
        else:
            if self.in_flight >= self._limits.in_flight_max:
                raise Refused(429, "too_many_questions", f"{self.in_flight} questions are being answered")
            self.in_flight += 1
        try:
            yield
        finally:
            if lasting:
                self.lasting -= 1
            else:
                self.in_flight -= 1


class Connections:
    """Line 2: makes a handler for each connection, while there is room."""

    def __init__(self, server: web.Server, connections_max: int) -> None:
        self._server = server
        self._max = connections_max
        self._silent: dict[Any, float] = {}
        """Connections that have not asked anything, and since when they are here."""
        self.turned_away = 0

    def accept(self) -> Protocol:
        """The protocol of a new connection."""
        now = get_running_loop().time()
        if len(self._server.connections) >= self._max:
            self._close_silent(now)
            self.turned_away += 1
            return _Closing()
        if len(self._silent) >= self._max:
            self._silent = {handler: since for handler, since in self._silent.items() if handler.transport is not None}
        handler = self._server()
        self._silent[handler] = now
        return handler

    def note_question(self, protocol: Any) -> None:
        """The connection has asked something."""
        self._silent.pop(protocol, None)

    def _close_silent(self, now: float) -> None:
        for handler, since in list(self._silent.items()):
            if now < since + FIRST_QUESTION_WAIT:
                return  # in the order of coming: the others are younger
            del self._silent[handler]
            if handler.transport is not None:
                handler.transport.abort()


class _Closing(Protocol):
    """Closes its connection."""

    def connection_made(self, transport: Any) -> None:
        transport.abort()
