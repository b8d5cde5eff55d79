"""Questions that nobody would ask, made by schemathesis from the API document: no crash, no answer that is not documented.

Every operation is asked with some dozens of questions, good ones and bad ones, the same in every run. Event streams never
end, so they are not asked; stopping the node is asked of a node that does not mind.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from ledger.kernel.instant import SECOND
from node.live.api.door import ApiLimits, ApiSettings
from node.live.api.server import ApiServer, node_document
from tests.harness.virtual_nodes import A1, TANGLE1, TOKEN, VirtualCluster, VirtualNode

SCHEMA = schemathesis.openapi.from_dict(node_document()).exclude(path_regex="^/v1/events/")
CHECKS = [
    negative_data_rejection,
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
BOUNDED = settings(
    max_examples=12, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)


class Unstoppable(VirtualNode):
    def stop(self) -> None:
        pass


class Serving:
    """The APIs of a household and of a layer-1 node, in a thread with a loop of their own."""

    def __init__(self, folder: Path) -> None:
        self.cluster = VirtualCluster(folder)
        self.cluster.run(self.cluster.scenario.market.gate_at(0, 1) + 60 * SECOND)
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.servers = [
            asyncio.run_coroutine_threadsafe(self._start(name), self.loop).result(30) for name in (A1, TANGLE1)
        ]

    async def _start(self, name: Any) -> ApiServer:
        node = Unstoppable(self.cluster, name)
        self.cluster.nodes[name] = node
        limits = ApiLimits(rate_max=10**6, burst_max=10**9)
        server = ApiServer(node, node.events, ApiSettings(token=TOKEN, limits=limits))
        await server.start()
        return server

    def stop(self) -> None:
        for server in self.servers:
            asyncio.run_coroutine_threadsafe(server.stop(), self.loop).result(30)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(30)
        self.loop.close()


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[ApiServer]]:
    serving = Serving(tmp_path_factory.mktemp("small"))
    yield serving.servers
    serving.stop()


@SCHEMA.parametrize()
@BOUNDED
def test_no_question_finds_a_crash_or_an_answer_that_is_not_documented(case: Case[Any], servers: list[ApiServer]):
    if case.path.endswith("/wait") and str(case.query.get("timeoutSeconds", 10)).isdecimal():
        case.query["timeoutSeconds"] = "0"  # which is as good a question as any, and is answered at once
    for server in servers:
        response = case.call(base_url=server.url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30)
        case.validate_response(response, checks=CHECKS)
