"""Questions to the nodes of a cluster, all at once, through their APIs. A node that does not answer is part of the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import TracebackType
from typing import Any

import aiohttp

from ledger.kernel.automaton import NodeId
from node.live.cluster import Cluster

ANSWER_WAIT = 5.0
"""Seconds: far longer than a node takes that has not stopped."""


class Silent(Exception):
    """The node gave no answer, or refused: why."""


class ClusterClient:
    """A context in which nodes are asked."""

    def __init__(self, cluster: Cluster, answer_wait: float = ANSWER_WAIT) -> None:
        self._cluster = cluster
        self._timeout = aiohttp.ClientTimeout(total=answer_wait)

    async def __aenter__(self) -> ClusterClient:
        self._session = aiohttp.ClientSession(timeout=self._timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.close()

    async def ask(self, node: NodeId, path: str, body: object = None) -> dict[str, Any]:
        """The answer of a node; a body is posted.

        Errors: ``Silent``.
        """
        headers = {"Authorization": f"Bearer {self._cluster.token(node)}"}
        method = "GET" if body is None else "POST"
        url = self._cluster.api_url(node) + path
        try:
            async with self._session.request(method, url, json=body, headers=headers) as response:
                answer: dict[str, Any] = await response.json(content_type=None)
                if response.status >= 400:
                    raise Silent(str(answer.get("message", response.reason)))
                return answer
        except TimeoutError:
            raise Silent(f"no answer within {self._timeout.total:.0f} seconds") from None
        except aiohttp.ClientConnectorError:
            raise Silent("nothing listens") from None
        except (aiohttp.ClientError, OSError, ValueError, AttributeError) as error:
            raise Silent(f"no answer: {error}") from None

    async def ask_all(
        self, nodes: Iterable[NodeId], path: str, body: object = None
    ) -> dict[NodeId, dict[str, Any] | Silent]:
        """The answer of each node, or why there is none."""
        asked = list(nodes)
        answers = await asyncio.gather(*(self._tried(node, path, body) for node in asked))
        return dict(zip(asked, answers, strict=True))

    async def _tried(self, node: NodeId, path: str, body: object) -> dict[str, Any] | Silent:
        try:
            return await self.ask(node, path, body)
        except Silent as silent:
            return silent
