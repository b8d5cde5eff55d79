"""The server: an aiohttp application of the endpoints.

A question goes through the same steps whatever its endpoint:

1. The door: rate, token, questions in flight. A node that stops answers 503.
2. Path, query and body are checked by the endpoint's models; all that is wrong is told at once, with its field.
3. The handler reads the host between two turns, or gives it an input and waits for what comes of it.
4. The answer waits until all that the host had done when it was made is durable; then it is sent.

Whatever is refused is JSON with a code and a sentence; so is a failure of this program, which is logged, not told. Only what
is no HTTP at all is answered by aiohttp, in plain text.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

import structlog
from aiohttp import web
from pydantic import ValidationError

from node.live.api.answers import ApiModel
from node.live.api.chain_routes import CHAIN_ENDPOINTS
from node.live.api.door import ApiSettings, Connections, Door
from node.live.api.endpoint import BODY_TYPE, RETRIED, Desk, Endpoint, Question, Refused
from node.live.api.event_routes import EVENT_ENDPOINTS
from node.live.api.events import NodeEvents
from node.live.api.ledger_routes import LEDGER_ENDPOINTS
from node.live.api.market_routes import MARKET_ENDPOINTS
from node.live.api.node_routes import NODE_ENDPOINTS
from node.live.api.node_view import NodeView
from node.live.api.openapi import api_document
from node.live.api.request_routes import REQUEST_ENDPOINTS

ENDPOINTS: tuple[Endpoint, ...] = (
    *NODE_ENDPOINTS,
    *LEDGER_ENDPOINTS,
    *CHAIN_ENDPOINTS,
    *REQUEST_ENDPOINTS,
    *MARKET_ENDPOINTS,
    *EVENT_ENDPOINTS,
)
"""Every route of a node."""
BODY_WAIT = 10.0
"""Seconds for a body to come."""
DISK_WAIT = 5.0
"""Seconds that an answer waits for the disk: a commit takes milliseconds."""
STOP_WAIT = 2.0
"""Seconds for answers that are under way when the server stops."""
PROBLEMS_MAX = 10
"""Problems of one question that are told."""
KEEP_ALIVE = 75.0
"""Seconds that a connection without questions is kept."""
BACKLOG = 1_024
"""Connections that wait to be accepted."""
LINE_SIZE_MAX = 32 * 1024
"""Bytes of a path with its query: a key of the state in the longest letters, percent-encoded, and some."""
_Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]


@cache
def node_document() -> dict[str, Any]:
    """The API document of every node."""
    return api_document(ENDPOINTS, version("tanglegrid"))


class ApiServer:
    """Serves one node."""

    def __init__(self, node: NodeView, events: NodeEvents, settings: ApiSettings) -> None:
        self.settings = settings
        self.door = Door(settings, lambda: node.now)
        self._node = node
        self._events = events
        self._desk = Desk(node, events, node_document())
        self._log = structlog.get_logger("tanglegrid.api")
        self._runner = web.AppRunner(
            self._application(),
            access_log=None,
            logger=_silent_logger(),
            keepalive_timeout=KEEP_ALIVE,
            shutdown_timeout=STOP_WAIT,
            max_line_size=LINE_SIZE_MAX,
        )
        self._connections: Connections | None = None
        self._listening: asyncio.Server | None = None
        events.metrics.serve(node)

    async def start(self) -> None:
        """Listen.

        Errors: ``OSError`` when the address can't be used.
        """
        await self._runner.setup()
        server = self._runner.server
        assert server is not None
        self._connections = Connections(server, self.settings.limits.connections_max)
        self._listening = await asyncio.get_running_loop().create_server(
            self._connections.accept, self.settings.host, self.settings.port, backlog=BACKLOG
        )

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        assert self._listening is not None, "it listens after start"
        host, port = self._listening.sockets[0].getsockname()[:2]
        return host, port

    @property
    def url(self) -> str:
        """Where it listens, for a client."""
        host, port = self.address
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def stop(self) -> None:
        """End the streams and the waits, finish what is under way, close."""
        if self._listening is not None:
            self._listening.close()
        self._events.end("stopped", "the node stops")
        await self._runner.cleanup()

    # ------------------------------------------------------------------------------------------------ the application

    def _application(self) -> web.Application:
        application = web.Application(
            middlewares=[_unmatched_as_json], client_max_size=self.settings.limits.body_size_max
        )
        for endpoint in ENDPOINTS:
            application.router.add_route(endpoint.method, endpoint.path, self._handler(endpoint))
        return application

    def _handler(self, endpoint: Endpoint) -> _Handle:
        async def handle(request: web.Request) -> web.StreamResponse:
            assert self._connections is not None
            self._connections.note_question(request.protocol)
            try:
                response = await self._answer(endpoint, request)
            except Refused as refused:
                response = _refusal(refused)
            except Exception as error:  # noqa: BLE001 - a question must not stop a node
                self._log.error("question_failed", path=request.path, error=repr(error), exc_info=error)
                response = _refusal(Refused(500, "failed", "this program failed: its log tells more"))
            self._events.metrics.answers.labels(endpoint.path, response.status).inc()
            return response

        return handle

    async def _answer(self, endpoint: Endpoint, request: web.Request) -> web.StreamResponse:
        self.door.check(request, endpoint.access)
        if endpoint.access != "open" and self._node.stopping:
            raise Refused(503, "not_running", "the node stops")
        with self.door.passing(endpoint.lasting):
            question = await _checked(endpoint, request)
            answer = endpoint.handler(self._desk, question)
            if inspect.isawaitable(answer):
                answer = await answer
            if isinstance(answer, web.StreamResponse):
                return answer
            if endpoint.durable:
                await self._wait_for_disk()
            return web.Response(
                body=answer.model_dump_json(by_alias=True).encode(), status=endpoint.status, content_type=BODY_TYPE
            )

    async def _wait_for_disk(self) -> None:
        """Line 4.

        Errors: ``Refused`` with status 503.
        """
        try:
            async with asyncio.timeout(DISK_WAIT):
                await self._node.durable()
        except TimeoutError:
            why = "; ".join(self._node.waits) or "the disk"
            raise Refused(503, "not_durable", f"what the node knows is not durable yet: it waits for {why}") from None


async def _checked(endpoint: Endpoint, request: web.Request) -> Question:
    """Line 2.

    Errors: ``Refused`` with status 400, 413 or 415.
    """
    problems: list[str] = []
    path = _parsed(endpoint.places, dict(request.match_info), "path", problems)
    query = _parsed(endpoint.query, _query_of(request, problems), "query", problems)
    body = None
    if endpoint.body is not None:
        if request.content_type != BODY_TYPE:
            raise Refused(415, "wrong_type", f"the body is {request.content_type}, {BODY_TYPE} expected")
        body = _parsed_body(endpoint.body, await _read(request), problems)
    if problems:
        raise Refused(400, "bad_question", "; ".join(problems[:PROBLEMS_MAX]))
    return Question(path, query, body, request)


async def _read(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(BODY_WAIT):
            return await request.read()
    except TimeoutError:
        raise Refused(400, "slow_body", f"the body did not come within {BODY_WAIT:g} seconds") from None
    except web.HTTPRequestEntityTooLarge:
        raise Refused(413, "body_too_large", f"a body of at most {request.client_max_size} bytes expected") from None


def _query_of(request: web.Request, problems: list[str]) -> dict[str, str]:
    given = request.query
    problems += [f"query.{_shown(name)}: given twice" for name in dict.fromkeys(given) if len(given.getall(name)) > 1]
    return dict(given)


def _parsed(
    model: type[ApiModel] | None, values: Mapping[str, str], place: str, problems: list[str]
) -> ApiModel | None:
    if model is None:
        problems += [f"{place}.{_shown(name)}: unknown" for name in values if place == "query"]
        return None
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems += _told(error, place)
        return None


def _parsed_body(model: type[ApiModel], data: bytes, problems: list[str]) -> ApiModel | None:
    try:
        return model.model_validate_json(data, strict=True)
    except ValidationError as error:
        problems += _told(error, "body")
        return None


def _told(error: ValidationError, place: str) -> list[str]:
    problems = []
    for problem in error.errors(include_url=False, include_context=False, include_input=False)[:PROBLEMS_MAX]:
        field = ".".join([place, *(_shown(str(part)) for part in problem["loc"])])
        problems.append(f"{field}: {problem['msg'].removeprefix('Value error, ')}")
    return problems


def _shown(name: str) -> str:
    return name if name.isprintable() and len(name) <= 100 else ascii(name[:100])


def _refusal(refused: Refused) -> web.Response:
    headers: dict[str, str] = {}
    if refused.status in RETRIED:
        headers["Retry-After"] = str(refused.retry_after)
    if refused.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    answer = {"code": refused.code, "message": refused.message, **refused.more}
    return web.Response(
        body=json.dumps(answer).encode(), status=refused.status, headers=headers, content_type=BODY_TYPE
    )


@web.middleware
async def _unmatched_as_json(request: web.Request, handler: _Handle) -> web.StreamResponse:
    """What the router itself answers: there is no such route, or not with this method."""
    try:
        return await handler(request)
    except web.HTTPMethodNotAllowed as refused:
        methods: Sequence[str] = sorted(refused.allowed_methods)
        answer = {"code": "wrong_method", "message": f"this route takes {', '.join(methods)}"}
        return web.json_response(answer, status=405, headers={"Allow": ", ".join(methods)})
    except web.HTTPException as refused:
        if refused.status < 400:
            raise
        answer = {"code": "no_such_route", "message": "there is no such route: /openapi.json tells all"}
        return web.json_response(answer, status=refused.status)


def _silent_logger() -> logging.Logger:
    """What strangers send is not worth a line for each."""
    logger = logging.getLogger("tanglegrid.api.http")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    return logger
