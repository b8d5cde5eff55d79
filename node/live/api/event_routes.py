"""Server-sent events: one stream per topic, written as fast as its reader reads.

A reader that takes nothing for ``WRITE_WAIT`` seconds, or whose queue overflows, is *too slow*: its last event says so,
and is written behind what waits in the socket. It is given ``LINGER`` seconds to read all that; then the connection is
cut. A comment is written every ``SILENCE_MAX`` seconds, so that a reader that is gone is noticed.
"""

from __future__ import annotations

import asyncio
import json
from typing import Annotated

from aiohttp import ClientConnectionResetError, web
from pydantic import Field

from node.live.api.answers import ApiModel, ChainName
from node.live.api.endpoint import EVENT_STREAM, Desk, Endpoint, Question, Refused
from node.live.api.events import STREAMS_MAX, Event, EventStream, Topic

WRITE_WAIT = 10.0
LINGER = 10.0
SILENCE_MAX = 15.0
_COMMENT = b": still here\n\n"


class ChainStreamQuery(ApiModel):
    """Of which chain."""

    chain: Annotated[ChainName | None, Field(description="Only events of this chain")] = None


async def _blocks(desk: Desk, question: Question) -> web.StreamResponse:
    return await _serve(desk, question, "blocks", None)


async def _chain_blocks(desk: Desk, question: Question) -> web.StreamResponse:
    return await _serve(desk, question, "chainblocks", question.query.chain)


async def _clearings(desk: Desk, question: Question) -> web.StreamResponse:
    return await _serve(desk, question, "clearings", question.query.chain)


async def _serve(desk: Desk, question: Question, topic: Topic, chain: str | None) -> web.StreamResponse:
    if desk.events.readers >= STREAMS_MAX:
        raise Refused(429, "too_many_streams", f"{STREAMS_MAX} streams are read already", retry_after=60)
    response = web.StreamResponse(headers={"Content-Type": EVENT_STREAM, "Cache-Control": "no-store"})
    with desk.events.reading(topic, chain) as stream:
        await response.prepare(question.raw)
        try:
            await _write_events(response, stream)
        except (ClientConnectionResetError, ConnectionError):
            pass
        except TimeoutError:
            stream.end("too_slow", f"nothing was read for {WRITE_WAIT:g} seconds")
            _leave(question.raw, response, stream)
    return response


async def _write_events(response: web.StreamResponse, stream: EventStream) -> None:
    await _write(response, _COMMENT)
    number = 0
    while True:
        try:
            async with asyncio.timeout(SILENCE_MAX):
                event = await stream.next()
        except TimeoutError:
            await _write(response, _COMMENT)
            continue
        if event is None:
            return
        number += 1
        await _write(response, _encoded(event, number))


async def _write(response: web.StreamResponse, data: bytes) -> None:
    async with asyncio.timeout(WRITE_WAIT):
        await response.write(data)


def _leave(request: web.Request, response: web.StreamResponse, stream: EventStream) -> None:
    """Write the last event behind what the reader has not read, without waiting for it; then close."""
    transport = request.transport
    if transport is None or transport.is_closing():
        return
    data = _encoded(Event("end", {"code": "too_slow", "message": "nothing was read for too long"}), 0)
    chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data) if response.chunked else data
    transport.write(chunk)
    transport.close()
    asyncio.get_running_loop().call_later(LINGER, transport.abort)


def _encoded(event: Event, number: int) -> bytes:
    return f"id: {number}\nevent: {event.name}\ndata: {json.dumps(event.data, separators=(',', ':'))}\n\n".encode()


EVENT_ENDPOINTS = (
    Endpoint(
        "GET",
        "/v1/events/blocks",
        "events",
        "Blocks of layer 1: booked, accepted, confirmed",
        _blocks,
        EVENT_STREAM,
        lasting=True,
    ),
    Endpoint(
        "GET",
        "/v1/events/chainblocks",
        "events",
        "Chain blocks: anchored, confirmed, undone",
        _chain_blocks,
        EVENT_STREAM,
        query=ChainStreamQuery,
        lasting=True,
    ),
    Endpoint(
        "GET",
        "/v1/events/clearings",
        "events",
        "Clearings of delivery intervals: anchored, confirmed",
        _clearings,
        EVENT_STREAM,
        query=ChainStreamQuery,
        lasting=True,
    ),
)
