"""What a node tells of itself, and what its operator may do to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.kernel.instant import SECOND
from node.live.link_fault import LinkFault
from tests.harness.virtual_nodes import A1, A2, TANGLE1, TOKEN, VirtualCluster, serving


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> VirtualCluster:
    cluster = VirtualCluster(tmp_path_factory.mktemp("small"))
    cluster.run(30 * SECOND)
    return cluster


async def test_a_node_that_has_the_present_is_healthy_and_ready(cluster: VirtualCluster):
    for name in (A1, TANGLE1):
        async with serving(cluster.node(name)) as client:
            assert await client.ask("/health") == {"isHealthy": True}
            assert await client.ask("/ready") == {"isReady": True}


async def test_a_node_that_has_just_started_is_not_ready_and_says_why(tmp_path: Path):
    cluster = VirtualCluster(tmp_path)
    async with serving(cluster.node(A1)) as client:
        assert await client.ask("/health") == {"isHealthy": True}
        answer = await client.ask("/ready", 503)
        assert answer["code"] == "not_ready"
        assert "layer 1: waiting for tangle1 to answer the subscription" in answer["message"]
        assert "north: layer 1 has not told its confirmed view" in answer["message"]
    async with serving(cluster.node(TANGLE1)) as client:
        answer = await client.ask("/ready", 503)
        assert answer == {"code": "not_ready", "message": "waits for a neighbour to tell what it missed"}


async def test_a_node_that_stops_is_neither_and_answers_nothing_else(cluster: VirtualCluster):
    node = cluster.node(A1)
    async with serving(node) as client:
        node.stop()
        assert (await client.ask("/health", 503))["code"] == "not_running"
        assert (await client.ask("/ready", 503))["code"] == "not_ready"
        assert (await client.ask("/v1/chains", 503))["message"] == "the node stops"


async def test_a_node_tells_who_it_is(cluster: VirtualCluster):
    async with serving(cluster.node(A1)) as client:
        info = await client.ask("/v1/node/info")
        assert info.pop("version")
        assert info == {
            "name": "a1",
            "network": "small",
            "kind": "household",
            "chains": ["north", "town"],
            "incarnation": 1,
            "epochUnixUs": 1_700_000_000_000_000,
            "startedAt": 0,
            "now": cluster.runtime.now,
        }


async def test_a_node_tells_why_its_automata_wait(cluster: VirtualCluster):
    node = cluster.node(A1)
    node.waits = ["waits for the disk, since 7 ms: 1 turns are not released"]
    async with serving(node) as client:
        status = await client.ask("/v1/node/status")
        assert status["waits"] == node.waits
        assert set(status["automata"]) == {"access", "north", "town", "prosumer"}
        assert "index 1" in status["automata"]["north"]["log"]
        assert status["counters"]["turns"] > 0
    async with serving(cluster.node(TANGLE1)) as client:
        status = await client.ask("/v1/node/status")
        assert status["automata"] == {"tangle": "0 transactions unconfirmed", "access": "2 sessions"}


async def test_peers_and_faults_are_told(cluster: VirtualCluster):
    node = cluster.node(A1)
    node.away = {A2}
    async with serving(node) as client:
        peers = (await client.ask("/v1/node/peers"))["peers"]
        assert [peer["name"] for peer in peers if not peer["isConnected"]] == ["a2"]
        assert peers[0] == {
            "name": "tangle1",
            "address": "127.0.0.1:4000",
            "isConnected": True,
            "sinceUnixUs": 1,
            "incarnation": 1,
            "connections": 1,
            "queued": 2,
            "sentFrames": 3,
            "sentBytes": 4,
            "receivedFrames": 5,
            "receivedBytes": 6,
            "duplicates": 7,
            "resent": 8,
            "lost": 9,
            "dropped": 10,
            "roundTripUs": 12,
            "isSuspended": False,
            "lastError": "",
        }
        faults = (await client.ask("/v1/node/faults?limit=2"))["faults"]
        assert [fault["at"] for fault in faults] == [2, 1]


async def test_links_are_changed_by_whoever_has_the_token(cluster: VirtualCluster):
    node = cluster.node(A1)
    async with serving(node, TOKEN) as client:
        wanted = {
            "links": {"a2": {"cut": True, "delayUs": 0, "loss": 0.0}, "b1": {"cut": False, "delayUs": 20, "loss": 0.5}}
        }
        assert await client.post("/admin/links", wanted, token=TOKEN) == wanted
        assert node.link_faults == {"a2": LinkFault(cut=True), "b1": LinkFault(False, 20, 0.5)}
        assert (await client.ask("/v1/node/status", token=TOKEN))["linkFaults"] == wanted["links"]
        answer = await client.post("/admin/links", {"links": {"nobody": {}}}, 404, token=TOKEN)
        assert answer["code"] == "unknown_peer"
        assert await client.post("/admin/links", {"links": {}}, token=TOKEN) == {"links": {}}
        assert node.link_faults == {}


async def test_a_node_is_stopped_by_whoever_has_the_token(cluster: VirtualCluster):
    node = cluster.node(A1)
    async with serving(node, TOKEN) as client:
        assert (await client.post("/admin/stop", None, 401))["code"] == "wrong_token"
        assert not node.stopping
        assert await client.post("/admin/stop", None, 202, token=TOKEN) == {"isStopping": True}
        assert node.stopping


async def test_without_a_token_nobody_is_the_operator(cluster: VirtualCluster):
    async with serving(cluster.node(A1)) as client:
        assert (await client.post("/admin/links", {"links": {}}, 403))["code"] == "no_token"
        assert (await client.post("/admin/stop", None, 403, token="whatever"))["code"] == "no_token"
