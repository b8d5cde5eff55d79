"""Proof of work of a live node: ground in a process of its own, so that the event loop never waits for it.

1. The worker process is started at the first ``PowNeeded``: a household never has one.
2. It grinds one thing at a time, in the order of asking, as a mining core does. The answer is ``PowFound``.
3. When the node stops, the worker is killed in the middle of its work and the answer is lost. When the node is killed, the
   worker sees the end of its pipe and ends by itself.
4. A worker that dies while the node runs is started again, and grinds again what was asked; when three of them have died of
   one need, the effect fails, and the node with it.
"""

from __future__ import annotations

import os
import sys
from asyncio import IncompleteReadError, Lock, Task, create_subprocess_exec, gather, get_running_loop
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from typing import Any

from ledger.issuing import PowFound, PowNeeded
from node.live.grinding import ANSWER, QUESTION

ATTEMPTS_MAX = 3
"""Workers that die of one need: it is no accident any more."""
NEEDS_MAX = 16
"""Under way at once: a host asks for one at a time, and one more for each that it has given up."""


class EffectFailed(Exception):
    """What the host needs can't be had on this machine."""


class LiveProofOfWork:
    """Answers ``PowNeeded`` with ``PowFound``."""

    def __init__(self) -> None:
        self.hashes = 0
        """For reports of energy."""
        self.workers = 0
        """Worker processes started so far."""
        self._process: Process | None = None
        self._core = Lock()
        self._under_way: set[Task[PowFound]] = set()

    @property
    def worker(self) -> int | None:
        """The process id of the worker, if there is one."""
        return None if self._process is None else self._process.pid

    def start(self, need: Any) -> Task[PowFound] | None:
        """Grind, if that is what is needed."""
        if type(need) is not PowNeeded:
            return None
        assert len(self._under_way) < NEEDS_MAX, "a host asks for one proof of work at a time"
        task = get_running_loop().create_task(self._found(need))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    async def close(self) -> None:
        """Line 3."""
        under_way = list(self._under_way)
        for task in under_way:
            task.cancel()
        await gather(*under_way, return_exceptions=True)
        await self._end_worker()

    async def _found(self, need: PowNeeded) -> PowFound:
        async with self._core:
            for _ in range(ATTEMPTS_MAX):
                try:
                    nonce, hashes = await self._ground(need)
                except (IncompleteReadError, ConnectionError):
                    await self._end_worker()
                    continue
                self.hashes += hashes
                return PowFound(need.id, nonce)
        raise EffectFailed(
            f"the process that grinds proof of work ended {ATTEMPTS_MAX} times at difficulty {need.difficulty}"
        )

    async def _ground(self, need: PowNeeded) -> tuple[int, int]:
        if self._process is None:
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
            command = (sys.executable, "-m", "node.live.grinding")
            self._process = await create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, env=environment)
            self.workers += 1
        questions, answers = self._process.stdin, self._process.stdout
        assert questions is not None and answers is not None
        questions.write(QUESTION.pack(len(need.data), need.difficulty) + need.data)
        await questions.drain()
        nonce, hashes = ANSWER.unpack(await answers.readexactly(ANSWER.size))
        return nonce, hashes

    async def _end_worker(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            with suppress(ProcessLookupError):  # it has just ended
                process.kill()
        await process.communicate()
