"""The logs of a cluster's nodes as one, in the order of their moments; and what more comes, as it comes.

A log that its node has put aside is read on in the new file. A line that is no JSON, such as one torn by a full disk, is
shown as it is.
"""

from __future__ import annotations

import heapq
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ledger.kernel.automaton import NodeId
from ledger.kernel.encoding import Frozen

POLL = 0.2
"""Seconds between two looks at the files."""
READ_MAX = 1024 * 1024
"""Bytes that are read at a time."""
TAIL_READ_MAX = 256 * 1024
"""Bytes from a log's end within which its last lines are looked for."""


class LogLine(Frozen):
    """A line of a node's log."""

    node: NodeId
    moment: str
    text: str
    """As it stands in the file."""

    def told(self) -> str:
        """For people: moment, node, event, and the rest."""
        try:
            fields: dict[str, Any] = json.loads(self.text)
            event = fields.pop("event")
        except (ValueError, KeyError, AttributeError, TypeError):
            return f"{self.node}  {self.text}"
        level = fields.pop("level", "info")
        for known in ("node", "timestamp"):
            fields.pop(known, None)
        more = " ".join(f"{key}={value}" for key, value in fields.items())
        loud = "" if level == "info" else f"{level.upper()} "
        return f"{self.moment[11:23] or '-'}  {self.node}  {loud}{event}  {more}".rstrip()


class _Tail:
    """The end of one log."""

    def __init__(self, node: NodeId, path: Path, lines: int) -> None:
        self._node = node
        self._path = path
        self._rest = b""
        self._place = 0
        self._file_id: int | None = None
        self.last = self._last(lines)

    def more(self) -> list[LogLine]:
        """The lines that have come since."""
        try:
            with self._path.open("rb") as file:
                status = self._path.stat()
                if status.st_ino != self._file_id or status.st_size < self._place:
                    self._file_id, self._place, self._rest = status.st_ino, 0, b""
                file.seek(self._place)
                data = file.read(READ_MAX)
        except FileNotFoundError:
            return []
        self._place += len(data)
        *whole, self._rest = (self._rest + data).split(b"\n")
        return [self._line(line) for line in whole if line]

    def _last(self, lines: int) -> list[LogLine]:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return []
        self._file_id = status.st_ino
        self._place = max(0, status.st_size - TAIL_READ_MAX)
        torn = self._place > 0
        found = self.more()[torn:]
        return found[-lines:] if lines else []

    def _line(self, data: bytes) -> LogLine:
        text = data.decode("utf-8", "replace")
        try:
            moment = str(json.loads(text)["timestamp"])
        except (ValueError, KeyError, TypeError):
            moment = ""
        return LogLine(self._node, moment, text)


def log_lines(paths: Mapping[NodeId, Path], lines: int, *, follow: bool) -> Iterator[LogLine]:
    """The last so many lines of each log, in order; then, if wanted, those that come, for ever."""
    tails = [_Tail(node, path, lines) for node, path in paths.items()]
    yield from heapq.merge(*(tail.last for tail in tails), key=lambda line: line.moment)
    while follow:
        came = sorted([line for tail in tails for line in tail.more()], key=lambda line: line.moment)
        yield from came
        if not came:
            time.sleep(POLL)
