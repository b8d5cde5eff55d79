"""Endpoints: one description of each route, from which it is served and from which the API document is made.

An endpoint says what stands in its path, its query and its body (models), what it answers, and for which reasons it refuses.
Its handler gets checked values and returns a model, or raises ``Refused``. So the document can't say other things than the
server does: a status that is not declared here is an error of this program, and found in tests.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, TypeAlias

from aiohttp import web

from ledger.kernel.encoding import Frozen
from node.live.api.answers import ApiModel
from node.live.api.events import NodeEvents
from node.live.api.node_view import NodeView

Access: TypeAlias = Literal["open", "token", "admin"]
"""open: anybody; token: anybody on the node's machine, and who has the token; admin: only who has the token."""
BODY_TYPE = "application/json"
EVENT_STREAM = "text/event-stream"
METRICS_TYPE = "text/plain"
REFUSAL_CODES: Mapping[int, str] = {
    400: "The question is malformed",
    401: "A token is needed, or this one is wrong",
    403: "The node has no token, so nobody may do this",
    404: "There is no such thing here",
    408: "It did not happen in this time",
    409: "What is asked contradicts the state",
    413: "The body is too large",
    415: f"The body is not {BODY_TYPE}",
    429: "Too many questions: wait, as Retry-After says",
    500: "This program failed",
    503: "Not now: the node starts, stops, or is full; wait, as Retry-After says",
}
RETRIED = frozenset({429, 503})
"""Refusals that say when to try again."""


class Refused(Exception):
    """The question is not answered: a status of HTTP, a word for programs, a sentence for people.

    ``more`` stands beside them in the answer.
    """

    def __init__(
        self, status: int, code: str, message: str, retry_after: int = 1, more: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = retry_after
        self.more = more or {}


class Desk(Frozen):
    """What handlers work with."""

    node: NodeView
    events: NodeEvents
    document: Mapping[str, Any]
    """The API document."""


class Question(Frozen):
    """A checked question; ``path``, ``query`` and ``body`` are of the endpoint's models."""

    path: Any
    query: Any
    body: Any
    raw: web.Request


Answer: TypeAlias = ApiModel | web.StreamResponse
Handler: TypeAlias = Callable[[Desk, Question], Answer | Awaitable[Answer]]


class Endpoint(Frozen):
    """A route."""

    method: Literal["GET", "POST"]
    path: str
    tag: str
    summary: str
    handler: Handler
    answer: type[ApiModel] | str
    """The model of the answer, or its media type."""
    places: type[ApiModel] | None = None
    query: type[ApiModel] | None = None
    body: type[ApiModel] | None = None
    status: int = 200
    refusals: tuple[int, ...] = ()
    """Statuses of refusals, beyond those that every endpoint of this shape has."""
    refusal: type[ApiModel] | None = None
    """The model of refusals with status 408, where they tell more than others."""
    access: Access = "token"
    durable: bool = True
    """Whether the answer is about what the host has done, and so is given when that is durable. How the node itself stands
    is told also while its disk is full."""
    lasting: bool = False
    """Whether the answer takes long by its nature: it counts among those, not among the questions in flight."""

    @property
    def statuses(self) -> tuple[int, ...]:
        """Every status of a refusal, in rising order."""
        statuses = {*self.refusals, 500}
        if self.places or self.query or self.body:
            statuses.add(400)
        if self.body:
            statuses |= {413, 415}
        if self.access != "open":
            statuses |= {401, 429, 503}
        if self.access == "admin":
            statuses.add(403)
        return tuple(sorted(statuses))

    @property
    def name(self) -> str:
        """The operation's name in the document."""
        words = [word for part in self.path.split("/") for word in part.strip("{}").split("-") if word]
        return self.method.lower() + "".join(word[0].upper() + word[1:] for word in words)
