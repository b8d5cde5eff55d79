"""What strangers, thieves and broken peers send to the peering port: it changes nothing for the others, is counted, and is
reported within limits.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from ledger.kernel.automaton import NodeId
from ledger.kernel.encoding import FRAME_SIZE_MAX
from ledger.kernel.identity import RealSigner
from ledger.kernel.instant import MILLISECOND, SECOND
from ledger.kernel.rejection import Rejected
from node.link import LinkHeader
from node.live.dialling import dial
from node.live.door import ANSWER, HELLO, PEERING_PATH, PROOF, REASON, REFUSED, decoded, encoded
from node.live.handshake import DiallerHandshake
from node.live.sealing import Sealer
from tests.harness.peers import (
    LIMITS,
    LOOPBACK,
    NETWORK,
    PATIENCE,
    WIRE,
    Neighbourhood,
    Relay,
    changed,
    neighbourhood,
    never,
    note,
    signer_of,
    until,
)

A, B, C = NodeId("a"), NodeId("b"), NodeId("c")
THIEF = RealSigner(b"thief" * 6 + b"--")


async def said(port: int, data: bytes, wait: bool = True) -> bytes:
    """What a port answers to these bytes until it closes the connection."""
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    try:
        async with asyncio.timeout(PATIENCE):
            try:
                writer.write(data)
                await writer.drain()
                return await reader.read() if wait else b""
            except ConnectionError:
                return b""
    finally:
        writer.transport.abort()


def request(path: str = PEERING_PATH, **headers: str) -> bytes:
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: x",
        *[f"{name.replace('_', '-')}: {text}" for name, text in headers.items()],
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def upgrade(proof: str) -> bytes:
    return request(
        Upgrade="websocket",
        Connection="upgrade",
        Sec_WebSocket_Version="13",
        Sec_WebSocket_Key="MDEyMzQ1Njc4OWFiY2RlZg==",
        Tanglegrid_Proof=proof,
    )


def hello_of(nodes: Neighbourhood, name: str, to: NodeId, network: str = NETWORK) -> str:
    return encoded(DiallerHandshake(nodes.identity(name, network=network), to).hello)


GARBAGE: dict[str, tuple[Callable[[Neighbourhood], bytes], str]] = {
    "random bytes": (lambda _: random.Random(1).randbytes(5000), "malformed"),
    "nothing": (lambda _: b"", "handshake_timeout"),
    "half a request": (lambda _: request()[:-2], "handshake_timeout"),
    "a page of the web": (lambda _: request("/"), "not_peering"),
    "a client of TLS": (lambda _: bytes.fromhex("16030100c8010000c40303") + bytes(200), "malformed"),
    "an endless line": (lambda _: b"GET /" + b"a" * 100_000, "malformed"),
    "many headers": (lambda _: request(**{f"x{i}": "y" for i in range(1000)}), "malformed"),
    "a large body": (lambda _: request("/x", Content_Length="1000000000") + bytes(1_000_000), "not_peering"),
    "another version": (lambda _: request("/peering/2"), "wrong_version"),
    "no hello": (lambda _: request(), "undecodable"),
    "a hello that is not base 64": (lambda _: request(Tanglegrid_Hello="\u00e9*"), "undecodable"),
    "a hello of random bytes": (lambda _: request(Tanglegrid_Hello=encoded(os.urandom(100))), "undecodable"),
    "half a hello": (lambda nodes: request(Tanglegrid_Hello=hello_of(nodes, "b", A)[:100]), "undecodable"),
    "a hello of another network": (
        lambda nodes: request(Tanglegrid_Hello=hello_of(nodes, "b", A, "elsewhere")),
        "wrong_network",
    ),
    "a hello for another node": (lambda nodes: request(Tanglegrid_Hello=hello_of(nodes, "c", B)), "wrong_name"),
    "a hello by its own name": (lambda nodes: request(Tanglegrid_Hello=reflected(nodes)), "reflected"),
    "a hello of an unknown node": (lambda nodes: request(Tanglegrid_Hello=hello_of(nodes, "x", A)), "unknown_peer"),
    "a proof without a hello": (lambda _: upgrade(encoded(bytes(66))), "no_hello"),
}


def reflected(nodes: Neighbourhood) -> str:
    identity = nodes.identity("a")
    return encoded(DiallerHandshake(type(identity)(A, THIEF, NETWORK, 1, {A: THIEF.public_key}), A).hello)


@pytest.mark.parametrize("garbage", GARBAGE)
async def test_garbage_at_the_port_is_answered_with_a_refusal_counted_once_and_disturbs_nobody(garbage: str):
    make, kind = GARBAGE[garbage]
    async with neighbourhood("abc", running="ab", handshake_timeout=300 * MILLISECOND, head_start=5 * SECOND) as nodes:
        before = nodes.running["a"].status.accepted
        answer = await said(nodes.ports["a"], make(nodes))
        await until(lambda: nodes.running["a"].status.newcomers == 0)
        status = nodes.running["a"].status
        strangers = {name: count for name, count in status.refused.items() if name != "already_connected"}
        assert (strangers, status.accepted) == ({kind: 1}, before + 1)
        if kind == "handshake_timeout":
            assert answer == b""
        elif garbage != "a large body":  # who goes on sending what nobody reads may not get to see the answer
            assert f"{REFUSED}: {kind}".encode() in answer
            assert b"aiohttp" not in answer
            assert nodes.notes["a"].faults == [(LOOPBACK, kind)]
        nodes.running["b"].send(A, (note(1),))
        await until(lambda: nodes.notes["a"].numbers("b") == [1])
        assert nodes.status("a", "b").connections == 1


async def test_a_refusal_says_in_words_what_is_wrong():
    async with neighbourhood("ab") as nodes:
        answer = await said(nodes.ports["a"], request(Tanglegrid_Hello=hello_of(nodes, "b", A, "elsewhere")))
        assert answer.startswith(b"HTTP/1.1 403 ")
        assert answer.endswith(b"wrong_network: a node of network 'elsewhere' meets a of network 'test-network'\n")
        assert f"{REASON}: a%20node%20of%20network".encode() in answer
        assert (await said(nodes.ports["a"], request("/peering/9"))).startswith(b"HTTP/1.1 426 ")


async def test_who_takes_another_s_name_without_its_key_gets_no_connection_and_disturbs_nobody():
    async with neighbourhood("ab", head_start=5 * SECOND) as nodes:
        reader, writer = await asyncio.open_connection(LOOPBACK, nodes.ports["a"])
        handshake = DiallerHandshake(nodes.identity("b"), A)
        thief = nodes.identity("b", signer=THIEF)
        writer.write(request(Tanglegrid_Hello=encoded(handshake.hello)))
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = dict(line.split(": ", 1) for line in head.splitlines()[1:] if line)
        assert ANSWER in headers
        decoded(headers, ANSWER)
        writer.write(upgrade(encoded(DiallerHandshake(thief, A).hello)))  # no proof at all
        assert b"undecodable" in await reader.read()
        writer.transport.abort()
        with pytest.raises(Rejected, match="bad_signature"):
            await nodes.dial(thief, "a", never)
        await until(lambda: nodes.running["a"].status.newcomers == 0)
        assert nodes.running["a"].status.refused["undecodable"] == 1
        nodes.running["b"].send(A, (note(1),))
        await until(lambda: nodes.notes["a"].numbers("b") == [1])
        assert nodes.status("a", "b").connections == 1


async def test_a_handshake_that_was_listened_to_can_not_be_repeated():
    """The very bytes of a successful dialler, again: the challenge is another, so its proof is none."""
    heard: list[bytes] = []
    nodes = Neighbourhood("ab")
    try:
        await nodes.start("a", elsewhere={"b": 1})
        async with Relay(nodes.ports["a"]) as relay:
            relay.change = lambda data: heard.append(data) or data  # type: ignore[func-returns-value]
            await nodes.start("b", elsewhere={"a": relay.port})
            await nodes.connected("ab")
            nodes.running["b"].send(A, (note(1),))
            await until(lambda: nodes.notes["a"].numbers("b") == [1])
            assert HELLO.encode() in heard[0]
            assert PROOF.encode() in heard[1]
            reader, writer = await asyncio.open_connection(LOOPBACK, nodes.ports["a"])
            writer.write(heard[0])
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"".join(heard[1:]))
            assert b"bad_signature" in await reader.read()
            writer.transport.abort()
            assert nodes.running["a"].status.refused["bad_signature"] == 1
            assert nodes.notes["a"].numbers("b") == [1]
            assert nodes.status("a", "b").connections == 1
    finally:
        await nodes.close()


@pytest.mark.parametrize("back", [False, True], ids=["of the dialler's frames", "of the responder's frames"])
async def test_somebody_in_the_middle_who_changes_a_byte_ends_the_connection_and_nothing_of_it_is_handled(back: bool):
    nodes = Neighbourhood("ab")
    receiver, sender = ("b", "a") if back else ("a", "b")
    try:
        await nodes.start("a", elsewhere={"b": 1})
        async with Relay(nodes.ports["a"]) as relay:
            await nodes.start("b", elsewhere={"a": relay.port})
            await nodes.connected("ab")
            nodes.running[sender].send(NodeId(receiver), (note(1, 2000),))
            await until(lambda: nodes.notes[receiver].numbers(sender) == [1])

            def change_once(data: bytes) -> bytes:
                if len(data) < 1500:
                    return data
                relay.change = relay.change_back = lambda data: data
                return data[:1000] + bytes((data[1000] ^ 1,)) + data[1001:]

            relay.change = relay.change_back = change_once
            nodes.running[sender].send(NodeId(receiver), (note(2, 2000),))
            await until(lambda: nodes.notes[receiver].numbers(sender) == [1, 2])  # over the next connection
            assert nodes.status(receiver, sender).connections == 2
            assert nodes.status(receiver, sender).suspended is False
    finally:
        await nodes.close()


BAD_FRAMES: dict[str, tuple[bytes, str]] = {
    "random bytes": (random.Random(2).randbytes(300), "undecodable_frame"),
    "nothing": (b"", "undecodable_frame"),
    "half a frame": (WIRE.frame(LinkHeader(1, 1, 1, 0, 0), (note(1),))[:-5], "undecodable_frame"),
    "a frame without a header": (WIRE.frame(None, (note(1),)), "no_header"),
    "a frame of another session": (WIRE.frame(LinkHeader(2, 1, 1, 0, 0), (note(1),)), "wrong_session"),
}


@pytest.mark.parametrize("name", BAD_FRAMES)
async def test_a_peer_whose_frame_is_none_is_at_fault_and_suspended_and_the_others_go_on(name: str):
    data, kind = BAD_FRAMES[name]
    async with neighbourhood("abc", running="ab") as nodes:

        async def misbehave(handshake: DiallerHandshake, websocket: Any) -> None:
            assert handshake.keys is not None
            await websocket.send_bytes(Sealer(handshake.keys.sending).seal(data))
            while not websocket.closed:
                await websocket.receive()

        await nodes.dial(nodes.identity("c"), "a", misbehave)
        await until(lambda: nodes.status("a", "c").suspended)
        assert nodes.notes["a"].faults == [(C, kind)]
        assert nodes.running["a"].status.refused[kind] == 1
        with pytest.raises(Rejected, match=r"suspended.*c broke the rules"):
            await nodes.dial(nodes.identity("c"), "a", never)
        assert nodes.notes["a"].numbers("c") == []
        nodes.running["b"].send(A, (note(1),))
        await until(lambda: nodes.notes["a"].numbers("b") == [1])


@pytest.mark.parametrize("kind", ["a frame that is too long", "a text", "bytes that are not sealed"])
async def test_what_is_not_sealed_by_the_peer_is_nobody_s_fault(kind: str):
    async with neighbourhood("ac", running="a") as nodes:

        async def misbehave(handshake: DiallerHandshake, websocket: Any) -> None:
            try:
                if kind == "a text":
                    await websocket.send_str("hello")
                else:
                    await websocket.send_bytes(bytes(FRAME_SIZE_MAX + 17 if "long" in kind else 100))
                while not websocket.closed:
                    await websocket.receive()
            except ConnectionError:
                pass

        await nodes.dial(nodes.identity("c"), "a", misbehave)
        await until(lambda: not nodes.status("a", "c").connected)
        assert not nodes.status("a", "c").suspended
        assert nodes.notes["a"].frames == []
        await until(lambda: "tampered" in nodes.running["a"].status.refused or "long" in kind)
        assert nodes.running["a"].status.refused.get("tampered", 0) == ("long" not in kind)  # too long: not even opened


async def test_a_peer_that_floods_is_slowed_down_and_then_suspended():
    limits = {"bytes_per_second_max": 1 << 22, "bytes_burst_max": 1 << 22, "throttled_max": 200 * MILLISECOND}
    async with neighbourhood("abc", running="ab", **limits) as nodes:

        async def flood(handshake: DiallerHandshake, websocket: Any) -> None:
            assert handshake.keys is not None
            sealer = Sealer(handshake.keys.sending)
            try:
                for number in range(1, 1000):
                    header = LinkHeader(1, number, 1, 0, 0)
                    await websocket.send_bytes(sealer.seal(WIRE.frame(header, (note(number, 100_000),))))
            except ConnectionError:
                pass

        task = asyncio.ensure_future(nodes.dial(nodes.identity("c"), "a", flood))
        await until(lambda: nodes.status("a", "c").suspended)
        assert (C, "flooding") in nodes.notes["a"].faults
        await asyncio.wait([task])
        assert nodes.status("a", "c").throttled_us > 0
        assert nodes.status("a", "b").connected


async def test_frames_that_come_again_or_are_of_the_past_are_handed_over_once():
    async with neighbourhood("ac", running="a") as nodes:

        async def repeat(handshake: DiallerHandshake, websocket: Any) -> None:
            assert handshake.keys is not None
            sealer = Sealer(handshake.keys.sending)
            for sequence in (1, 2, 1, 1, 2, 3):
                await websocket.send_bytes(sealer.seal(WIRE.frame(LinkHeader(1, sequence, 1, 0, 0), (note(sequence),))))
            await until(lambda: nodes.status("a", "c").received_frames == 6)

        await nodes.dial(nodes.identity("c"), "a", repeat)
        assert nodes.notes["a"].numbers("c") == [1, 2, 3]
        assert nodes.status("a", "c").duplicates == 3


async def test_slow_strangers_hold_a_bounded_number_of_connections_for_a_bounded_time():
    limits = {"newcomers_max": 20, "newcomers_per_address_max": 10, "handshake_timeout": SECOND}
    async with neighbourhood("abc", running="ab", **limits) as nodes:
        writers = []
        for number in range(60):
            _, writer = await asyncio.open_connection(LOOPBACK, nodes.ports["a"])
            writer.write(request()[: number % 30])
            writers.append(writer)
        await until(lambda: nodes.running["a"].status.accepted >= 60)
        assert nodes.running["a"].status.newcomers_most <= 10
        await nodes.start("c")
        await nodes.connected("ac", "ab")
        await until(lambda: nodes.running["a"].status.newcomers == 0)
        refused = nodes.running["a"].status.refused
        assert refused["crowded_out"] + refused["handshake_timeout"] == 60
        assert refused["crowded_out"] >= 50
        for writer in writers:
            writer.transport.abort()


async def test_in_a_flood_of_strangers_peers_talk_and_new_ones_come_and_what_is_logged_is_bounded():
    """Strangers by the hundred, many at a time, of whom some say something and some nothing."""
    async with neighbourhood("abc", running="ab", head_start=5 * SECOND) as nodes:
        rng, stop = random.Random(3), asyncio.Event()

        async def strange() -> None:
            while not stop.is_set():
                with suppress(OSError):
                    await said(nodes.ports["a"], rng.choice((b"", request("/"), rng.randbytes(100))), wait=False)

        strangers = [asyncio.ensure_future(strange()) for _ in range(50)]
        await until(lambda: nodes.running["a"].status.accepted >= 400)
        await nodes.start("c")
        await nodes.connected("ac")
        for number in range(20):
            nodes.running["b"].send(A, (note(number),))
            nodes.running["c"].send(A, (note(number),))
        await until(lambda: all(len(nodes.notes["a"].numbers(peer)) == 20 for peer in "bc"))
        stop.set()
        await asyncio.gather(*strangers)
        status = nodes.running["a"].status
        assert status.newcomers_most <= LIMITS.newcomers_per_address_max
        assert len(status.latest) <= LIMITS.refusals_kept_max
        assert sum(status.refused.values()) >= 300
        assert len(nodes.notes["a"].faults) <= LIMITS.reports_burst_max + 30
        assert (nodes.status("a", "b").connections, nodes.status("a", "b").lost) == (1, 0)


async def test_reports_of_refusals_end_when_there_are_too_many_and_all_are_counted():
    async with neighbourhood("a", reports_burst_max=5) as nodes:
        for _ in range(30):
            await said(nodes.ports["a"], request("/"))
        await until(lambda: nodes.running["a"].status.refused["not_peering"] == 30)
        status = nodes.running["a"].status
        assert 5 <= len(nodes.notes["a"].faults) < 30
        assert len(nodes.notes["a"].faults) + status.unreported == 30
        assert {(refusal.who, refusal.kind) for refusal in status.latest} == {(LOOPBACK, "not_peering")}


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n" + ANSWER.encode() + b": AAAA\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 403 Forbidden\r\n" + REFUSED.encode() + b": \x1b[2J\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=["nothing", "another protocol", "a page", "a bad answer", "a long header", "elsewhere", "a strange refusal"],
)
async def test_a_dialler_that_finds_no_peer_says_so_and_goes_on(answer: bytes):
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, LOOPBACK, 0)
    nodes = Neighbourhood("ab")
    try:
        with pytest.raises(Rejected) as caught:
            await nodes.dial(nodes.identity("a"), "b", never, server.sockets[0].getsockname()[1])
        assert caught.value.code in ("unreachable", "not_a_peer", "undecodable", "refused")
        assert "\x1b" not in str(caught.value)
    finally:
        server.close()
        await nodes.close()


async def test_a_peer_that_is_not_there_is_unreachable_with_the_cause():
    nodes = Neighbourhood("ab")
    with pytest.raises(Rejected, match=r"unreachable: b at 127.0.0.1:\d+: Connection refused"):
        await nodes.dial(nodes.identity("a"), "b", never)
    with pytest.raises(Rejected, match=r"unreachable: b at 127\.0\.0\.1:1: "):
        await dial(nodes.identity("a"), nodes.peers({"b": 1})[1], LIMITS, _never_served)
    assert signer_of("a").public_key == nodes.peers()[0].public_key
    await nodes.close()


async def _never_served(handshake: DiallerHandshake, websocket: Any, raw_socket: Any) -> None:
    raise AssertionError("nothing is there")


def test_limits_of_tests_are_as_tight_as_the_usual_ones():
    assert changed().newcomers_max == LIMITS.newcomers_max
