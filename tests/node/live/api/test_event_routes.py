"""Event streams: what comes, in which form, and what becomes of a reader that does not read."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ledger.finality import BlockConfirmed
from ledger.kernel.instant import MINUTE, SECOND
from node.live.api import event_routes
from node.live.api.events import EVENTS_QUEUED_MAX, STREAMS_MAX, Event, EventStream
from tests.harness.live import eventually
from tests.harness.virtual_nodes import A1, TANGLE1, Client, VirtualCluster, all_of, connection, going_on, serving


@pytest.fixture
def cluster(tmp_path: Path) -> VirtualCluster:
    cluster = VirtualCluster(tmp_path)
    cluster.run(30 * SECOND)
    return cluster


async def events_of(client: Client, path: str) -> list[tuple[str, Any]]:
    """All events of a stream, up to its end."""
    events: list[tuple[str, Any]] = []
    async with client.session.get(client.server.url + path) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        name = ""
        async for line in response.content:
            if line.startswith(b"event: "):
                name = line[7:].strip().decode()
            elif line.startswith(b"data: "):
                events.append((name, json.loads(line[6:])))
    return events


async def test_clearings_and_chain_blocks_are_told_as_they_are_anchored_and_confirmed(cluster: VirtualCluster):
    node = cluster.node(A1)
    async with serving(node) as client:
        clearings = asyncio.create_task(events_of(client, "/v1/events/clearings?chain=north"))
        blocks = asyncio.create_task(events_of(client, "/v1/events/chainblocks"))
        await eventually(lambda: node.events.readers == 2)
        cluster.run(cluster.scenario.market.gate_at(0, 1) + MINUTE - cluster.runtime.now)
        node.events.end("stopped", "the node stops")
        told = await clearings
        assert [name for name, _ in told] == ["anchored", "confirmed", "end"]
        row = cluster.runtime.host(A1).chains["north"].active_state.read("auction", "clearing", 0)
        index = told[0][1].pop("stateIndex")
        assert told[0][1] == {
            "chain": "north",
            "interval": 0,
            "price": row[0],
            "supply": row[1],
            "demand": row[2],
            "matched": row[3],
        }
        told_blocks = await blocks
        north = [data["stateIndex"] for name, data in told_blocks if name == "confirmed" and data["chain"] == "north"]
        assert index in north
        assert north == list(range(1, north[-1] + 1))
        assert {data["chain"] for name, data in told_blocks[:-1]} == {"north", "town"}
        assert told_blocks[-1] == ("end", {"code": "stopped", "message": "the node stops"})


async def test_blocks_of_layer_1_are_told_with_their_grades(cluster: VirtualCluster):
    node = cluster.node(TANGLE1)
    async with serving(node) as client:
        told = asyncio.create_task(events_of(client, "/v1/events/blocks"))
        await eventually(lambda: node.events.readers == 1)
        await going_on(cluster, 2 * 60)
        await client.server.stop()
        by_block: dict[str, list[str]] = {}
        for name, data in (await told)[:-1]:
            by_block.setdefault(data["blockId"], []).append(name)
        assert ["booked", "accepted", "confirmed"] in by_block.values()
        assert node.events.readers == 0


async def test_a_stream_that_is_not_read_ends_and_says_so():
    stream = EventStream("blocks")
    for number in range(EVENTS_QUEUED_MAX):
        stream.put(Event("booked", {"number": number}))
    assert not stream.ended
    stream.put(Event("booked", {}))
    assert stream.ended
    stream.put(Event("booked", {}))
    last = await stream.next()
    assert last is not None
    assert (last.name, last.data["code"]) == ("end", "too_slow")
    assert await stream.next() is None


async def test_a_slow_reader_is_cut_off_with_a_last_event_that_says_so(
    cluster: VirtualCluster, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(event_routes, "WRITE_WAIT", 0.2)
    node = cluster.node(A1)
    async with serving(node) as client, connection(client, limit=1024) as (reader, writer):
        writer.write(b"GET /v1/events/blocks HTTP/1.1\r\nHost: x\r\n\r\n")
        await eventually(lambda: node.events.readers == 1)
        number = 0
        while node.events.readers:
            for _ in range(EVENTS_QUEUED_MAX // 2):
                node.events.observe(0, A1, [BlockConfirmed(number.to_bytes(3_000, "big"))], ())
                number += 1
            await asyncio.sleep(0.001)
        told = await all_of(reader)
        assert b'event: end\ndata: {"code":"too_slow"' in told
        assert told.count(b"event: confirmed") < number


async def test_a_reader_that_leaves_is_forgotten(cluster: VirtualCluster):
    node = cluster.node(A1)
    async with serving(node) as client:
        async with client.session.get(client.server.url + "/v1/events/blocks"):
            await eventually(lambda: node.events.readers == 1)
        for number in range(100):
            node.events.observe(0, A1, [BlockConfirmed(number.to_bytes(32, "big"))], ())
            await asyncio.sleep(0)
        await eventually(lambda: node.events.readers == 0)


async def test_one_reader_too_many_is_asked_to_come_again(cluster: VirtualCluster):
    async with serving(cluster.node(A1)) as client, AsyncExitStack() as stack:
        url = client.server.url + "/v1/events/blocks"
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        for _ in range(STREAMS_MAX):
            await stack.enter_async_context(session.get(url))
        async with session.get(url) as response:
            assert (response.status, response.headers["Retry-After"]) == (429, "60")
