"""The API document: valid, complete, and made of the endpoints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from ledger.kernel.instant import SECOND
from node.live.api.answers import LIMIT_MAX
from node.live.api.door import ApiLimits
from node.live.api.events import EVENTS_QUEUED_MAX
from node.live.api.server import ENDPOINTS, node_document
from tests.harness.virtual_nodes import A1, VirtualCluster, serving


def test_the_document_is_valid_openapi_3_1():
    OpenAPIV31SpecValidator(node_document()).validate()


async def test_the_document_is_served(tmp_path: Path):
    cluster = VirtualCluster(tmp_path)
    cluster.run(SECOND)
    async with serving(cluster.node(A1)) as client:
        assert await client.ask("/openapi.json") == node_document()


def test_every_endpoint_is_in_the_document_once_with_every_status():
    paths = node_document()["paths"]
    names = [operation["operationId"] for path in paths.values() for operation in path.values()]
    assert len(names) == len(set(names)) == len(ENDPOINTS)
    for endpoint in ENDPOINTS:
        responses = paths[endpoint.path][endpoint.method.lower()]["responses"]
        assert list(responses) == [str(endpoint.status), *map(str, endpoint.statuses)]


@pytest.mark.parametrize(
    "path",
    [
        "/health",
        "/ready",
        "/api/core/v2/info",
        "/api/core/v2/tips",
        "/api/core/v2/blocks/{blockId}",
        "/api/core/v2/transactions/{transactionId}/included-block",
        "/api/core/v2/outputs/{outputId}",
        "/v1/node/info",
        "/v1/node/peers",
        "/v1/chains/{chain}",
        "/v1/chains/{chain}/committee",
        "/v1/chains/{chain}/state/{key}",
        "/v1/chains/{chain}/receipts/{requestId}",
        "/v1/chains/{chain}/callview",
        "/v1/chains/{chain}/requests/{requestId}/wait",
        "/v1/requests/offledger",
        "/metrics",
    ],
)
def test_routes_are_those_of_the_field(path: str):
    assert path in node_document()["paths"]


def test_only_health_and_readiness_are_open_and_only_admin_routes_always_need_the_token():
    paths = node_document()["paths"]
    security = {path: operation.get("security") for path in paths for operation in paths[path].values()}
    assert {path for path, needed in security.items() if needed is None} == {"/health", "/ready"}
    assert {path for path, needed in security.items() if needed == [{"token": []}]} == {"/admin/links", "/admin/stop"}


def test_the_page_about_the_api_names_every_route_and_no_other():
    page = (Path(__file__).parents[4] / "docs" / "api.md").read_text()
    named = set(re.findall(r"`(?:GET |POST )?(/[^`? ]+)`", page[page.index("| route |") : page.index("## Why")]))
    assert named == set(node_document()["paths"])


def test_the_page_about_the_api_states_the_limits_that_hold():
    page = " ".join((Path(__file__).parents[4] / "docs" / "api.md").read_text().split())
    limits = ApiLimits()
    assert (
        f"{limits.rate_max:,} questions per second from one address ({limits.burst_max:,} at once), "
        f"{limits.in_flight_max} in flight, {limits.lasting_max:,} waits and streams, "
        f"bodies of {limits.body_size_max // 1024} KiB, pages of at most {LIMIT_MAX:,} items, "
        f"{limits.connections_max:,} connections"
    ) in page
    assert f"when {EVENTS_QUEUED_MAX} events wait for a reader" in page
