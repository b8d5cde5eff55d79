"""The server: who is let in, how much at once, and that whatever is refused is JSON."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from ledger.kernel.instant import SECOND
from ledger.kernel.rejection import Rejected
from node.live.api import door, server
from node.live.api.door import ApiSettings, is_loopback
from node.live.api.server import ApiServer
from tests.harness.live import eventually
from tests.harness.virtual_nodes import A1, TOKEN, VirtualCluster, all_of, connection, serving

NORTH = "/v1/chains/north"


@pytest.fixture
def cluster(tmp_path: Path) -> VirtualCluster:
    cluster = VirtualCluster(tmp_path)
    cluster.run(5 * SECOND)
    return cluster


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "node.example"])
def test_beyond_this_machine_a_token_is_compulsory(host: str):
    with pytest.raises(Rejected, match="token_needed"):
        ApiSettings(host)
    assert ApiSettings(host, token=TOKEN).token == TOKEN


def test_a_token_that_could_be_guessed_is_refused():
    with pytest.raises(Rejected, match="token_too_short"):
        ApiSettings(token="x" * 15)
    assert ApiSettings(token="x" * 16).token


def test_what_only_this_machine_reaches():
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost"))
    assert not any(is_loopback(host) for host in ("0.0.0.0", "::", "", "example.org", "10.0.0.1"))


async def test_beyond_this_machine_only_holders_of_the_token_are_answered_but_for_the_probes(cluster: VirtualCluster):
    async with serving(cluster.node(A1), TOKEN, host="0.0.0.0") as client:
        await client.ask("/health")
        await client.ask("/ready")
        async with client.session.get(client.server.url + NORTH) as response:
            assert (response.status, response.headers["WWW-Authenticate"]) == (401, "Bearer")
        for path in (NORTH, "/metrics", "/openapi.json", "/v1/events/blocks"):
            assert (await client.ask(path, 401, token=TOKEN + "x"))["code"] == "wrong_token"
        assert (await client.ask(NORTH, token=TOKEN))["name"] == "north"


async def test_on_this_machine_a_node_with_a_token_answers_everybody(cluster: VirtualCluster):
    async with serving(cluster.node(A1), TOKEN) as client:
        assert (await client.ask(NORTH))["name"] == "north"
        assert (await client.ask(NORTH, token="not the token"))["name"] == "north"


async def test_an_unknown_route_and_a_wrong_method_are_told_as_json(cluster: VirtualCluster):
    async with serving(cluster.node(A1)) as client:
        assert (await client.ask("/v2/everything", 404))["code"] == "no_such_route"
        assert await client.post("/health", None, 405) == {"code": "wrong_method", "message": "this route takes GET"}
        async with client.session.delete(client.server.url + "/api/core/v2/blocks") as response:
            assert (response.status, response.headers["Allow"]) == (405, "GET, POST")


async def test_all_that_is_wrong_with_a_question_is_told_at_once(cluster: VirtualCluster):
    async with serving(cluster.node(A1)) as client:
        answer = await client.ask("/v1/chains/north/market/accounts/a1?interval=x&at=never&at=active&more=1", 400)
        assert answer["message"] == (
            "query.at: given twice; query.at: Input should be 'confirmed' or 'active'; "
            "query.interval: expected a whole number; query.more: Extra inputs are not permitted"
        )
        assert (await client.ask("/v1/chains?more=1", 400))["message"] == "query.more: unknown"


async def test_a_body_of_another_type_or_too_large_is_refused(cluster: VirtualCluster):
    async with serving(cluster.node(A1), body_size_max=1_000) as client:
        url = client.server.url + f"{NORTH}/callview"
        async with client.session.post(url, data=b"{}", headers={"Content-Type": "text/plain"}) as response:
            assert (response.status, (await response.json())["code"]) == (415, "wrong_type")
        async with client.session.post(url, json={"contractName": "x" * 1_000}) as response:
            assert (response.status, (await response.json())["code"]) == (413, "body_too_large")
        for data in (b"", b"{", b'{"contractName": "\xff"}', b'{"contractName": "\\ud800"}', b"[" * 900):
            async with client.session.post(url, data=data, headers={"Content-Type": "application/json"}) as response:
                assert (response.status, (await response.json())["code"]) == (400, "bad_question")


async def test_a_body_that_does_not_come_is_not_waited_for(cluster: VirtualCluster, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server, "BODY_WAIT", 0.05)
    async with serving(cluster.node(A1)) as client, connection(client) as (reader, writer):
        lines = [
            "POST /v1/requests/offledger HTTP/1.1",
            "Host: x",
            "Content-Type: application/json",
            "Content-Length: 9",
        ]
        writer.write("\r\n".join([*lines, "", "{"]).encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 400")


async def test_beyond_its_rate_an_address_is_asked_to_come_again(cluster: VirtualCluster):
    async with serving(cluster.node(A1), rate_max=2, burst_max=3) as client:
        for _ in range(3):
            await client.ask("/v1/chains")
        for _ in range(5):
            async with client.session.get(client.server.url + "/v1/chains") as response:
                assert (response.status, response.headers["Retry-After"]) == (429, "1")
                assert (await response.json())["code"] == "too_fast"
        await client.ask("/health")
        cluster.run(SECOND)
        for _ in range(2):
            await client.ask("/v1/chains")
        await client.ask("/v1/chains", 429)


async def test_questions_in_flight_are_bounded(cluster: VirtualCluster):
    node = cluster.node(A1)
    async with serving(node, in_flight_max=2) as client:
        node.commit.clear()
        asked = [asyncio.create_task(client.ask("/v1/chains")) for _ in range(2)]
        await eventually(lambda: client.server.door.in_flight == 2)
        assert (await client.ask("/v1/chains", 429))["code"] == "too_many_questions"
        node.commit.set()
        await asyncio.gather(*asked)
        await client.ask("/v1/chains")
        assert client.server.door.in_flight == 0


async def test_lasting_questions_are_bounded_by_themselves(cluster: VirtualCluster):
    node = cluster.node(A1)
    async with serving(node, lasting_max=1) as client:
        path = f"{NORTH}/requests/0x{'00' * 32}/wait"
        waiting = asyncio.create_task(client.ask(path, 503))
        await eventually(lambda: client.server.door.lasting == 1)
        assert (await client.ask(path, 429))["code"] == "too_many_waits"
        await client.ask("/v1/chains")
        node.events.end("stopped", "the node stops")
        await waiting


async def test_a_failure_of_the_program_is_told_without_its_insides(
    cluster: VirtualCluster, monkeypatch: pytest.MonkeyPatch
):
    node = cluster.node(A1)
    async with serving(node) as client:
        monkeypatch.setattr(type(node), "peers", property(lambda self: 1 / 0))
        assert await client.ask("/v1/node/peers", 500) == {
            "code": "failed",
            "message": "this program failed: its log tells more",
        }


async def test_one_connection_too_many_is_closed_and_those_that_ask_nothing_make_room(
    cluster: VirtualCluster, monkeypatch: pytest.MonkeyPatch
):
    async with serving(cluster.node(A1), connections_max=3) as client, AsyncExitStack() as stack:
        silent = [await stack.enter_async_context(connection(client)) for _ in range(3)]
        async with connection(client) as (reader, _):
            assert await all_of(reader) == b""
        monkeypatch.setattr(door, "FIRST_QUESTION_WAIT", 0.0)
        async with connection(client) as (reader, _):
            assert await all_of(reader) == b""
        for reader, _ in silent:
            assert await all_of(reader) == b""
        await client.ask("/health")


async def test_a_connection_that_has_asked_something_is_not_closed_to_make_room(
    cluster: VirtualCluster, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(door, "FIRST_QUESTION_WAIT", 0.0)
    async with serving(cluster.node(A1), connections_max=1) as client:
        await client.ask("/health")
        async with connection(client) as (reader, _):
            assert await all_of(reader) == b""
        await client.ask("/health")


async def test_garbage_is_answered_or_cut_off_and_harms_nobody(cluster: VirtualCluster):
    async with serving(cluster.node(A1)) as client:
        for garbage in (
            b"\x00" * 100,
            b"GET\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"A" * 100_000,
            b"\x16\x03\x01\x02\x00",
        ):
            async with connection(client) as (reader, writer):
                writer.write(garbage + b"\r\n\r\n")
                answer = await all_of(reader)
                assert answer.startswith((b"HTTP/1.0 400", b"HTTP/1.1 400")), (garbage, answer)
        await client.ask("/health")


async def test_an_address_that_is_taken_is_an_os_error(cluster: VirtualCluster):
    async with serving(cluster.node(A1)) as client:
        node = cluster.node(A1)
        other = ApiServer(node, node.events, ApiSettings(port=client.server.address[1]))
        with pytest.raises(OSError, match="address already in use"):
            await other.start()
        await other.stop()


async def test_the_metrics_of_a_node_are_told_in_the_form_of_prometheus(cluster: VirtualCluster):
    node = cluster.node(A1)
    node.turns.note(1_500)
    async with serving(node) as client:
        cluster.run(cluster.scenario.market.gate_at(0, 1) + 60 * SECOND - cluster.runtime.now)
        await client.ask("/v1/chains/nowhere", 404)
        lines = (await client.ask("/metrics")).splitlines()
        told = {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}
        chain = cluster.runtime.host(A1).chains["north"]
        assert told['tanglegrid_node_info{name="a1",network="small"}'] == 1
        assert told['tanglegrid_chain_confirmed_state_index{chain="north"}'] == chain.confirmed_block.index
        assert told['tanglegrid_chain_blocks_total{chain="north",event="confirmed"}'] == chain.confirmed_block.index
        assert told['tanglegrid_requests_off_ledger_total{chain="north"}'] >= 4
        assert told['tanglegrid_requests_processing_time_seconds_count{chain="north",stage="confirmed"}'] >= 4
        assert told['tanglegrid_peering_connected{peer="a2"}'] == 1
        assert told['tanglegrid_webapi_requests_total{route="/v1/chains/{chain}",status="404"}'] == 1
        assert told['tanglegrid_runtime_turn_seconds_bucket{le="0.001024"}'] == 0
        assert told['tanglegrid_runtime_turn_seconds_bucket{le="0.002048"}'] == 1
        assert told["tanglegrid_runtime_turn_seconds_sum"] == 0.0015


async def test_two_nodes_in_one_process_have_their_own_metrics(cluster: VirtualCluster):
    async with serving(cluster.node(A1)) as one, serving(cluster.node(A1)) as other:
        await one.ask("/v1/chains/nowhere", 404)
        line = 'tanglegrid_webapi_requests_total{route="/v1/chains/{chain}",status="404"} 1.0'
        assert line in (await one.ask("/metrics")).splitlines()
        assert line not in (await other.ask("/metrics")).splitlines()
