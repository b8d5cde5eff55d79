"""Nodes as real processes, which end with the test that started them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PATIENCE = 180.0
"""Seconds until a condition that should come soon is given up."""
_MAIN = "import sys; from node.cli import main; main(sys.argv[1:])"
ROOT = Path(__file__).parents[2]


class NodeProcess:
    """``tanglegrid node`` of one node's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        command = [sys.executable, "-c", _MAIN, "node", "--config", str(folder / "node.toml")]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def events(self, name: str) -> list[dict[str, Any]]:
        """The lines of its log with this event, of all its lives."""
        log = self.folder / "log.jsonl"
        lines = log.read_text().splitlines(keepends=True) if log.exists() else []
        told = [json.loads(line) for line in lines if line.endswith("\n")]
        return [line for line in told if line["event"] == name]

    def terminate(self) -> None:
        """Ask it to stop."""
        self._process.terminate()

    def ended(self) -> tuple[int, str, str]:
        """Its exit code, and what it printed to standard output and to standard error."""
        output, errors = self._process.communicate(timeout=PATIENCE)
        return self._process.returncode, output, errors

    def wait_for(self, condition: Callable[[], object]) -> None:
        """Return when the condition holds; fail when it does not come, or the process ends first."""
        give_up = time.monotonic() + PATIENCE
        while not condition():
            assert self._process.poll() is None, f"{self.folder.name} has ended: {self.ended()}"
            assert time.monotonic() < give_up, f"{self.folder.name}: what was waited for does not come"
            time.sleep(0.05)

    def close(self) -> None:
        """End it, whatever it does."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()


@contextmanager
def running(*folders: Path) -> Iterator[list[NodeProcess]]:
    """Processes of these nodes."""
    processes: list[NodeProcess] = []
    try:
        processes.extend(NodeProcess(folder) for folder in folders)
        yield processes
    finally:
        for process in processes:
            process.close()
