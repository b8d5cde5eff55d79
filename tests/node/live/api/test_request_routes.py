"""Requests: posted, refused with a reason, waited for; and why they wait."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ledger.kernel.encoding import digest, encode
from ledger.kernel.instant import MINUTE, SECOND
from ledger.output import BasicOutput, ChainAddress, Expiration, OutputId
from node.live.api import server
from node.live.api.answers import from_hex, to_hex
from node.live.api.chain_routes import proof_info
from tests.harness.small_run import crash
from tests.harness.virtual_nodes import A1, A2, A3, A4, TANGLE1, VirtualCluster, going_on, serving
from wasp.core_contracts.blocklog import prove_receipt
from wasp.request import OffLedgerRequest, OnLedgerRequest

POST = "/v1/requests/offledger"
NORTH = "/v1/chains/north"


@pytest.fixture
def cluster(tmp_path: Path) -> VirtualCluster:
    """Before the first market opens: the chains are at rest."""
    cluster = VirtualCluster(tmp_path)
    cluster.run(30 * SECOND)
    return cluster


def body(request: OffLedgerRequest) -> dict[str, str]:
    return {"request": to_hex(encode(request))}


def wait(request: OffLedgerRequest, **query: Any) -> str:
    more = "&".join(f"{name}={value}" for name, value in query.items())
    return f"{NORTH}/requests/{to_hex(request.id)}/wait?{more}"


def order(cluster: VirtualCluster, ahead: int = 0, energy: int = 5) -> OffLedgerRequest:
    """An order long before the opening: it is executed, and fails."""
    return cluster.request(A1, 0, "ask", energy, 10_000, ahead=ahead)


async def test_a_posted_request_is_taken_executed_confirmed_and_waited_for(cluster: VirtualCluster):
    request = order(cluster)
    async with serving(cluster.node(A1)) as client:
        assert await client.post(POST, body(request), 202) == {"requestId": to_hex(request.id), "chain": "north"}
        early = await client.ask(wait(request, timeoutSeconds=0), 408)
        assert (early["code"], early["stage"]) == ("still_waiting", "mempool")
        anchored, confirmed, _ = await asyncio.gather(
            client.ask(wait(request)), client.ask(wait(request, waitForL1Confirmation="true")), going_on(cluster)
        )
        chain = cluster.runtime.host(A1).chains["north"]
        assert (anchored["stage"], confirmed["stage"]) == ("anchored", "confirmed")
        assert (confirmed["code"], confirmed["succeeded"], confirmed["account"]) == ("not_open", False, "a1")
        receipt = await client.ask(f"{NORTH}/receipts/{to_hex(request.id)}?at=confirmed")
        assert receipt == confirmed
        proof = proof_info(prove_receipt(chain.confirmed_state, request.id))
        assert (receipt["proof"], from_hex(receipt["root"])) == (
            proof.model_dump(by_alias=True),
            chain.confirmed_block.state_root,
        )
        assert (await client.post(POST, body(request), 202))["requestId"] == to_hex(request.id)
        assert chain.mempool.status.startswith("0 off-ledger")


async def test_a_request_that_can_not_be_taken_is_refused_with_the_reason(cluster: VirtualCluster):
    good, eager = order(cluster), cluster.request(A1, 0, "ask", 5, 10_000, ahead=1_000)
    forged = OffLedgerRequest(good.essence, bytes(64))
    cases = [
        (body(eager), 429, "nonce_ahead"),
        (body(forged), 400, "bad_signature"),
        ({"request": "0x00"}, 400, "undecodable"),
        ({"request": "00"}, 400, "bad_question"),
        ({}, 400, "bad_question"),
        ([], 400, "bad_question"),
        ({"request": 7}, 400, "bad_question"),
    ]
    async with serving(cluster.node(A1)) as client:
        for sent, status, code in cases:
            assert (await client.post(POST, sent, status))["code"] == code
    async with serving(cluster.node(TANGLE1)) as client:
        assert (await client.post(POST, body(good), 404))["code"] == "unknown_chain"


async def test_a_forged_copy_of_a_request_changes_nothing_for_the_good_one(cluster: VirtualCluster):
    good = order(cluster, ahead=1)
    forged = OffLedgerRequest(good.essence, bytes(64))
    async with serving(cluster.node(A1)) as client:
        assert (await client.post(POST, body(forged), 400))["code"] == "bad_signature"
        assert (await client.ask(wait(good, timeoutSeconds=0), 408))["stage"] == "unknown"
        await client.post(POST, body(good), 202)
        await client.post(POST, body(forged), 202)
        assert (await client.ask(wait(good, timeoutSeconds=0), 408))["stage"] == "mempool"
        lines = (await client.ask("/metrics")).splitlines()
        assert 'tanglegrid_requests_off_ledger_total{chain="north"} 1.0' in lines
        assert 'tanglegrid_requests_refused_total{chain="north",code="bad_signature"} 1.0' in lines


async def test_a_full_mempool_and_a_busy_node_ask_to_come_again(cluster: VirtualCluster):
    node = cluster.node(A1)
    pool = cluster.runtime.host(A1).chains["north"].mempool.pool
    pool.limits = type(pool.limits)(off_ledger_max=0)
    async with serving(node) as client:
        async with client.session.post(client.server.url + POST, json=body(order(cluster))) as response:
            assert (response.status, response.headers["Retry-After"]) == (503, "1")
            assert (await response.json())["code"] == "pool_full"
        node.busy = True
        assert (await client.post(POST, body(order(cluster)), 503))["code"] == "busy"


async def test_a_request_with_a_gap_below_it_says_which_nonces_are_missing(cluster: VirtualCluster):
    request = order(cluster, ahead=2)
    async with serving(cluster.node(A1)) as client:
        await client.post(POST, body(request), 202)
        told = await client.ask(wait(request, timeoutSeconds=0), 408)
        assert (told["stage"], told["missingNonces"]) == ("mempool", [0, 1])
        assert told["message"] == "in the mempool, with nonce 2: nobody has sent nonce 0, 1"


async def test_a_request_that_nobody_sent_is_not_known(cluster: VirtualCluster):
    request = order(cluster)
    async with serving(cluster.node(A1)) as client:
        told = await client.ask(wait(request, timeoutSeconds=0), 408)
        assert (told["stage"], told["message"]) == (
            "unknown",
            "not known at a1: it was not submitted here, or it is long forgotten",
        )
        assert (await client.ask(f"{NORTH}/receipts/{to_hex(request.id)}", 404))["code"] == "no_receipt"
        assert (await client.ask(wait(request).replace("north", "east"), 404))["code"] == "unknown_chain"
        for wrong in ("timeoutSeconds=61", "timeoutSeconds=x", "waitForL1Confirmation=yes", "other=1"):
            path = wait(request).removesuffix("?") + "?" + wrong
            assert (await client.ask(path, 400))["code"] == "bad_question"


async def test_a_request_that_another_took_the_place_of_is_not_waited_for(cluster: VirtualCluster):
    first, second = order(cluster, ahead=1), order(cluster, ahead=1, energy=6)
    async with serving(cluster.node(A1)) as client:
        await client.post(POST, body(first), 202)
        waiting = asyncio.create_task(client.ask(wait(first), 409))
        await asyncio.sleep(0.05)
        await client.post(POST, body(second), 202)
        assert (await waiting)["code"] == "replaced"
        assert (await client.ask(wait(first), 409))["message"] == "the sender signed another request with its nonce"


async def test_a_committee_without_a_quorum_names_who_is_missing(tmp_path: Path):
    cluster = VirtualCluster(tmp_path, crash("10s", "a3", "a4"))
    cluster.run(30 * SECOND)
    node, request = cluster.node(A1), order(cluster)
    node.away = {A3, A4}
    async with serving(node) as client:
        await client.post(POST, body(request), 202)
        await going_on(cluster, 2)
        told = await client.ask(wait(request, timeoutSeconds=0), 408)
        assert (told["stage"], told["logIndex"], told["missingMembers"]) == ("proposed", 1, ["a3", "a4"])
        assert told["message"].startswith(
            "the committee lacks a quorum: 2 of 4 members are there, 3 are needed, a3, a4 missing; "
            "proposed in log index 1, which is at agreement"
        )
        node.away = {A2}
        assert (await client.ask(wait(request, timeoutSeconds=0), 408))["missingMembers"] == []


async def test_a_decided_and_an_anchored_request_say_what_they_wait_for(cluster: VirtualCluster):
    request = order(cluster)
    stages: list[str] = []
    async with serving(cluster.node(A1)) as client:
        await client.post(POST, body(request), 202)
        while stages[-1:] != ["anchored"]:
            cluster.run(SECOND // 1000)
            told = await client.ask(wait(request, timeoutSeconds=0, waitForL1Confirmation="true"), 408)
            if told["stage"] not in stages:
                stages.append(told["stage"])
                last = told["message"]
        assert stages == ["mempool", "proposed", "decided", "anchored"]
        assert last.startswith(
            "anchored in chain block 1, not confirmed by layer 1: confirmed 0, tip 1, 1 unconfirmed; "
        )
        assert last.endswith("layer 1: synced; 0 transactions published and not settled")


async def test_whoever_waits_when_the_node_stops_is_told(cluster: VirtualCluster):
    request = order(cluster, ahead=1)
    async with serving(cluster.node(A1)) as client:
        await client.post(POST, body(request), 202)
        waiting = asyncio.create_task(client.ask(wait(request), 503))
        await asyncio.sleep(0.05)
        await client.server.stop()
        assert (await waiting)["code"] == "not_running"


async def test_nothing_is_told_before_it_is_durable(cluster: VirtualCluster):
    node = cluster.node(A1)
    async with serving(node) as client:
        node.commit.clear()
        asked = asyncio.create_task(client.ask(NORTH))
        done, _ = await asyncio.wait([asked], timeout=0.05)
        assert not done
        node.commit.set()
        assert (await asked)["name"] == "north"


async def test_a_node_whose_disk_is_full_says_so_and_tells_nothing_that_a_crash_could_take_back(
    cluster: VirtualCluster, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(server, "DISK_WAIT", 0.02)
    node = cluster.node(A1)
    async with serving(node) as client:
        node.commit.clear()
        node.waits = ["the disk (no room), for 7 ms now: 1 turns are not released"]
        told = await client.ask(NORTH, 503)
        assert told["code"] == "not_durable"
        assert told["message"].endswith("it waits for the disk (no room), for 7 ms now: 1 turns are not released")
        assert (await client.ask("/v1/node/status"))["waits"] == node.waits
        for path in ("/health", "/v1/node/info", "/v1/node/peers", "/v1/node/faults", "/metrics"):
            await client.ask(path)


async def test_an_on_ledger_request_waits_for_its_time_and_then_for_a_log_index(cluster: VirtualCluster):
    chain = cluster.runtime.host(A1).chains["north"]
    output_id, now = OutputId(digest("of another chain"), 0), cluster.runtime.now
    expiration = Expiration(now + 5 * MINUTE, ChainAddress(cluster.scenario.chains["town"].program.id))
    output = BasicOutput(5, ChainAddress(chain.id), expiration, now + MINUTE)
    request = OnLedgerRequest(output_id, output)
    path = f"{NORTH}/requests/{to_hex(request.id)}/wait?timeoutSeconds=0"
    async with serving(cluster.node(A1)) as client:
        chain.mempool.inbox.add(output_id, output)
        told = await client.ask(path, 408)
        assert (told["stage"], told["message"]) == (
            "mempool",
            f"confirmed on the ledger: it may be taken from {now + MINUTE} on",
        )
        cluster.runtime.run_until(now + MINUTE)
        told = await client.ask(path, 408)
        assert told["message"].startswith("confirmed on the ledger: to be proposed in log index 1 at ")
        cluster.runtime.run_until(now + 6 * MINUTE)
        assert (await client.ask(path, 408))["message"] == "confirmed on the ledger: its time to be taken is over"
