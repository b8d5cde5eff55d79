"""Peering: frames over the loopback device between two nodes of this process, and handshakes; both ends are counted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator

from ledger.kernel.automaton import NodeId
from node.live.handshake import DiallerHandshake, ResponderHandshake
from node.live.sealing import Opener, Sealer
from tests.benchmarks.rate import ROUND_SECONDS, ROUNDS, Benchmark, Result, rate_of, repeated
from tests.harness.peers import Neighbourhood, changed, neighbourhood, note, until

SIZES = (100, 2_000, 20_000)
UNDER_WAY_MAX = 1_000
"""Frames that are not acknowledged, so that none is given up."""
UNLIMITED = {"frames_per_second_max": 10**9, "bytes_per_second_max": 10**12, "queue_bytes_max": 10**9}
A, B = NodeId("a"), NodeId("b")


def results() -> Iterator[Result]:
    """The rates of peering."""
    for size in SIZES:
        yield Result(f"frames of {size:,} bytes, sent and received", frame_rate(size, ROUND_SECONDS), "frames")
    for benchmark in BENCHMARKS:
        yield Result(benchmark.name, rate_of(benchmark), benchmark.unit)


def frame_rate(size: int, seconds: float) -> float:
    """Frames per CPU second from one node to another, the best of a few rounds of so much CPU time."""
    return asyncio.run(_frame_rate(size, seconds))


async def _frame_rate(size: int, seconds: float) -> float:
    best = 0.0
    async with neighbourhood("ab", None, **UNLIMITED) as nodes:
        for _ in range(ROUNDS):
            begin, sent = time.process_time(), 0
            while (elapsed := time.process_time() - begin) < seconds or not sent:
                sent += await _sent(nodes, size, UNDER_WAY_MAX // 2)
            best = max(best, sent / elapsed)
    return best


async def _sent(nodes: Neighbourhood, size: int, count: int) -> int:
    """Send so many frames, a few at each turn of the loop as a host does, and see them arrive."""
    before, packet = len(nodes.notes["b"].frames), (note(1, size),)
    for number in range(count):
        nodes.running["a"].send(B, packet)
        if number % 10 == 9:
            await asyncio.sleep(0)
    await until(lambda: len(nodes.notes["b"].frames) == before + count)
    return count


def shaking_hands() -> Callable[[], int]:
    nodes = Neighbourhood("ab")
    one, other = nodes.identity("a"), nodes.identity("b")
    asyncio.run(nodes.close())

    def handshake() -> None:
        dialler = DiallerHandshake(one, B)
        responder = ResponderHandshake(other, dialler.hello)
        responder.handle_proof(dialler.handle_answer(responder.answer))

    return repeated(handshake, 100)


def sealing() -> Callable[[], int]:
    sealer, opener, frame = Sealer(bytes(32)), Opener(bytes(32)), bytes(300)
    return repeated(lambda: opener.open(sealer.seal(frame)))


BENCHMARKS = (
    Benchmark("handshakes, both sides, without sockets", "handshakes", shaking_hands),
    Benchmark("seal and open a frame of 300 bytes", "frames", sealing),
)
assert changed(**UNLIMITED).queue_max > UNDER_WAY_MAX
