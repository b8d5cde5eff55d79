"""The process of a local node, as whoever runs the cluster sees it: known by a file, from one command to the next.

1. A started process is written down, with its pid and the moment of its start; another process that has got the same pid
   later is not ours, and gets no signal.
2. What ended by a command is forgotten; what is written down and not there has *died*.
3. A process that has ended and is not collected (a zombie) has ended.

The operating system's ``/proc`` tells of processes: this runs on Linux.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Literal, TypeAlias

from ledger.kernel.encoding import Frozen

PID_FILE = "pid"
OUTPUT_FILE = "output.txt"
"""What the process printed: one line, when it could not run."""
OUTPUT_SHOWN_MAX = 2_000
"""Bytes of it that are told."""
POLL = 0.02
"""Seconds between two looks at a process that is about to end."""
_PROC = Path("/proc")
_STATE, _THREADS, _STARTED, _RESIDENT = 0, 17, 19, 21
"""Fields of ``/proc/PID/stat`` behind the command's name: the state, threads, the start in ticks, the resident pages."""

ProcessState: TypeAlias = Literal["down", "died", "running", "paused"]


class Identity(Frozen):
    """Which process: its pid, and what no later process with this pid has."""

    pid: int
    begun: str
    """The machine's start and the process's, in ticks since then."""


class NodeProcess:
    """The process of one node. ``folder`` is the node's."""

    def __init__(self, folder: Path, configuration: Path) -> None:
        self._configuration = configuration
        self._pid_path = folder / PID_FILE
        self._output_path = folder / OUTPUT_FILE

    @property
    def identity(self) -> Identity | None:
        """The process that was started last, if it was not forgotten."""
        try:
            document = json.loads(self._pid_path.read_text(encoding="utf-8"))
            return Identity(int(document["pid"]), str(document["begun"]))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            return None  # torn by a crash of the machine: then nothing runs any more

    @property
    def state(self) -> ProcessState:
        """How it stands (1, 2, 3)."""
        identity = self.identity
        if identity is None:
            return "down"
        fields = _fields(identity.pid)
        if fields is None or _identity(identity.pid, fields) != identity:
            return "died"
        if fields[_STATE] in "ZX" and int(fields[_THREADS]) > 1:
            return "running"  # a thread is on its way out, and may hold the store yet
        if fields[_STATE] in "ZX":
            with suppress(ChildProcessError):
                os.waitpid(identity.pid, os.WNOHANG)
            return "died"
        return "paused" if fields[_STATE] in "Tt" else "running"

    @property
    def is_alive(self) -> bool:
        """Whether there is a process, paused or not."""
        return self.state in ("running", "paused")

    @property
    def pid(self) -> int | None:
        """The pid of the process that is there."""
        identity = self.identity
        return identity.pid if identity is not None and self.is_alive else None

    @property
    def memory(self) -> int | None:
        """Bytes that are resident."""
        pid = self.pid
        fields = None if pid is None else _fields(pid)
        return None if fields is None else int(fields[_RESIDENT]) * os.sysconf("SC_PAGE_SIZE")

    @property
    def last_words(self) -> str:
        """What it printed last."""
        try:
            with self._output_path.open("rb") as file:
                file.seek(max(0, self._output_path.stat().st_size - OUTPUT_SHOWN_MAX))
                return file.read().decode("utf-8", "replace").strip()
        except OSError:
            return ""

    def start(self) -> None:
        """Start it, in a session of its own: it outlives the command, and no terminal's keys reach it.

        Errors: ``OSError``.
        """
        assert not self.is_alive
        arguments = [sys.executable, "-P", "-m", "node", "node", "--config", str(self._configuration.resolve())]
        creating = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        pid = os.posix_spawn(
            sys.executable,
            arguments,
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(self._output_path), creating, 0o644),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
        identity = identity_of(pid)
        assert identity is not None, "a child stays until it is collected"
        draft = self._pid_path.with_name(f".{PID_FILE}")
        draft.write_text(json.dumps({"pid": pid, "begun": identity.begun}) + "\n", encoding="utf-8")
        draft.replace(self._pid_path)

    def send(self, number: signal.Signals) -> bool:
        """Send it a signal; whether it was there."""
        pid = self.pid
        if pid is None:
            return False
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return False
        return True

    def forget(self) -> None:
        """It ended because it was told to."""
        assert not self.is_alive
        self._pid_path.unlink(missing_ok=True)


def identity_of(pid: int) -> Identity | None:
    """The process that has this pid now."""
    fields = _fields(pid)
    return None if fields is None else _identity(pid, fields)


def end_processes(processes: list[NodeProcess], grace: float) -> list[NodeProcess]:
    """End them all: gracefully, and by force those that have not ended after so many seconds; these are returned."""
    for process in processes:
        if process.send(signal.SIGTERM):
            process.send(signal.SIGCONT)  # what is paused takes no other signal
    _wait_for_end(processes, grace)
    stubborn = [process for process in processes if process.is_alive]
    kill_processes(processes)
    return stubborn


def kill_processes(processes: list[NodeProcess]) -> None:
    """End them all at once, whatever they do."""
    for process in processes:
        process.send(signal.SIGKILL)
    _wait_for_end(processes, None)
    for process in processes:
        process.forget()


def pause_processes(processes: list[NodeProcess]) -> list[NodeProcess]:
    """Let them stand still; those that did so now."""
    paused = [process for process in processes if process.state == "running" and process.send(signal.SIGSTOP)]
    while any(process.state == "running" for process in paused):
        time.sleep(POLL)
    return paused


def _wait_for_end(processes: list[NodeProcess], seconds: float | None) -> None:
    give_up = None if seconds is None else time.monotonic() + seconds
    while any(process.is_alive for process in processes) and (give_up is None or time.monotonic() < give_up):
        time.sleep(POLL)


def _fields(pid: int) -> list[str] | None:
    """What the operating system tells of a process; None when there is none."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()


def _identity(pid: int, fields: list[str]) -> Identity:
    return Identity(pid, f"{(_PROC / 'sys/kernel/random/boot_id').read_text().strip()} {fields[_STARTED]}")
