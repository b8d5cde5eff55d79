from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from ledger.issuing import PowFound, PowNeeded
from ledger.pow import DIFFICULTY_MAX, RealGrinder
from node.live.effects import ATTEMPTS_MAX, EffectFailed, LiveProofOfWork
from tests.harness.live import eventually

ROOT = Path(__file__).parents[3]


def need(data: bytes, difficulty: int) -> PowNeeded:
    return PowNeeded(data, difficulty, data)


HOPELESS = need(b"\x07" * 32, DIFFICULTY_MAX)
"""Nobody lives that long."""


def is_alive(process: int) -> bool:
    """Whether the process runs: a dead one that nobody has waited for does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_a_worker_process_grinds_in_the_order_of_asking():
    grinding = LiveProofOfWork()
    assert (grinding.start("nothing of that kind"), grinding.worker) == (None, None)
    needs = [need(bytes([n]) * 40, 8 + n) for n in range(4)]
    finished: list[bytes] = []
    tasks = []
    for each in needs:
        task = grinding.start(each)
        assert task is not None
        task.add_done_callback(lambda task: finished.append(task.result().id))
        tasks.append(task)
    answers = await asyncio.gather(*tasks)
    works = [RealGrinder().grind(each.data, each.difficulty) for each in needs]
    assert answers == [PowFound(each.id, work.nonce) for each, work in zip(needs, works, strict=True)]
    assert finished == [each.id for each in needs]
    assert (grinding.hashes, grinding.workers) == (sum(work.hashes for work in works), 1)
    worker = grinding.worker
    assert worker is not None and worker != os.getpid() and is_alive(worker)
    await grinding.close()
    assert not is_alive(worker)


async def test_what_is_ground_when_the_node_stops_is_lost_and_the_worker_is_gone():
    grinding = LiveProofOfWork()
    tasks = [grinding.start(HOPELESS), grinding.start(need(b"next", 1))]
    await eventually(lambda: grinding.worker)
    worker = grinding.worker
    assert worker is not None
    await grinding.close()
    assert [task is not None and task.cancelled() for task in tasks] == [True, True]
    assert (is_alive(worker), grinding.worker) == (False, None)
    await grinding.close()


async def test_a_worker_that_dies_is_replaced_and_asked_again():
    grinding = LiveProofOfWork()
    first = grinding.start(need(b"first", 1))
    assert first is not None
    await first
    assert grinding.worker is not None
    os.kill(grinding.worker, signal.SIGKILL)
    second = grinding.start(need(b"second", 10))
    assert second is not None
    assert await second == PowFound(b"second", RealGrinder().grind(b"second", 10).nonce)
    assert grinding.workers == 2
    await grinding.close()


async def test_a_need_of_which_every_worker_dies_is_given_up():
    grinding = LiveProofOfWork()
    task = grinding.start(HOPELESS)
    assert task is not None
    for number in range(1, ATTEMPTS_MAX + 1):
        await eventually(lambda number=number: grinding.workers == number and grinding.worker)
        assert not task.done()
        os.kill(grinding.worker, signal.SIGKILL)  # type: ignore[arg-type]
    with pytest.raises(EffectFailed, match="ended 3 times at difficulty 60"):
        await task
    await grinding.close()


NODE = f"""
import asyncio
from ledger.issuing import PowNeeded
from node.live.effects import LiveProofOfWork

async def main():
    grinding = LiveProofOfWork()
    need = grinding.start(PowNeeded(bytes(32), {DIFFICULTY_MAX}, bytes(32)))
    while grinding.worker is None:
        await asyncio.sleep(0.01)
    print(grinding.worker, flush=True)
    await need

asyncio.run(main())
"""


def test_when_the_node_is_killed_its_worker_ends_by_itself():
    with subprocess.Popen([sys.executable, "-c", NODE], cwd=ROOT, stdout=subprocess.PIPE) as node:
        assert node.stdout is not None
        worker = int(node.stdout.readline())
        assert is_alive(worker)
        node.kill()
        node.wait()
        asyncio.run(eventually(lambda: not is_alive(worker)))


@pytest.mark.parametrize(
    "test",
    [
        test_a_worker_process_grinds_in_the_order_of_asking,
        test_what_is_ground_when_the_node_stops_is_lost_and_the_worker_is_gone,
        test_a_worker_that_dies_is_replaced_and_asked_again,
    ],
)
def test_it_holds_on_the_faster_loop_as_well(test: Callable[[], Coroutine[Any, Any, None]]):
    uvloop = pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(test())
