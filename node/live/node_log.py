"""The log of a live node: a line of JSON per event, in a file that can't fill the disk, for people and for programs.

Logged is what changes the standing of something: the node's life, chain blocks, transactions of layer 1, log indices that
were skipped, faults. There is no line per message, request or turn; metrics count those.

1. When the file has its largest size it is put aside as ``NAME.1``, in the place of the one before.
2. Lines about events come at most at a rate, whatever happens; what is left out is counted, and told with the next line.
3. A line that can't be written is counted, too: with a full disk a node waits for its records, not for its log.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import FileIO
from pathlib import Path
from typing import Any

import structlog

from ledger.access import TransactionConfirmed, TransactionRejected
from ledger.kernel.automaton import Fault, NodeId
from ledger.kernel.instant import Instant
from node.host import ChainFact
from node.hosting import Observer
from node.live.group_commit import DiskRefused
from node.live.token_bucket import TokenBucket
from wasp.chain_interface import ChainBlockAnchored, ChainBlockConfirmed, ChainBlocksUndone
from wasp.consensus.consensus_interface import IndexSkipped

LINES_PER_SECOND_MAX = 50
"""A member of two busy chains logs two or three; a node among liars must not spend itself on writing about them."""
LINES_BURST_MAX = 1_000
"""A node that catches up tells of each chain block."""
DETAIL_MAX = 300
"""Letters of what a fault tells."""
_FIRST = ("timestamp", "level", "node", "event")


class LogFile:
    """A text file of bounded size (1, 3), written line by line: what a crash leaves was written."""

    def __init__(self, path: Path, size_max: int) -> None:
        """Errors: ``OSError`` when the file can't be opened."""
        self.path = path
        self.lost = 0
        """Lines that could not be written, or not whole."""
        self._size_max = size_max
        self._is_torn = False
        self._file: FileIO | None = self._opened()

    def write(self, line: str) -> None:
        """Append a line."""
        data = b"\n" * self._is_torn + line.encode("utf-8", "backslashreplace")
        try:
            if self._file is None or (self._size and self._size + len(data) > self._size_max):
                self._put_aside()
            assert self._file is not None
            written = self._file.write(data)
        except OSError:
            self.lost += 1
            return
        self._size += written
        self._is_torn = written < len(data)
        self.lost += self._is_torn

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """No more is written."""
        if self._file is not None:
            self._file.close()

    def _opened(self) -> FileIO:
        file = self.path.open("ab", buffering=0)
        self._size = file.tell()
        return file

    def _put_aside(self) -> None:
        """A new file in the place of the full one; where that fails, it is tried again with the next line."""
        if self._file is not None:
            self._file.close()
            self._file = None
            self.path.replace(self.path.with_name(f"{self.path.name}.1"))
        self._file = self._opened()


def configure_log(file: LogFile, node: NodeId) -> structlog.typing.BindableLogger:
    """Have everything in this process log into the file; the node's logger."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _in_order,
            structlog.processors.JSONRenderer(default=repr),
        ],
        logger_factory=structlog.WriteLoggerFactory(file=file),  # type: ignore[arg-type] # writes and flushes
        cache_logger_on_first_use=False,
    )
    logger: structlog.typing.BindableLogger = structlog.get_logger("tanglegrid.node", node=node)
    return logger


def _in_order(
    _logger: structlog.typing.WrappedLogger, _method: str, fields: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """When, where and what come first: people read logs, too."""
    return {key: fields.pop(key) for key in _FIRST if key in fields} | dict(fields)


class NodeLog:
    """An observer that logs what is worth a line."""

    def __init__(self, logger: Any, file: LogFile) -> None:
        self._logger = logger
        self._file = file
        self._bucket = TokenBucket(LINES_PER_SECOND_MAX, LINES_BURST_MAX, 0)
        self.left_out = 0
        """Lines since the last one that was written."""

    def observe(self, now: Instant, node: NodeId, outputs: Sequence[Any], faults: Sequence[Fault]) -> None:
        """These were released at this instant."""
        for output in outputs:
            match output:
                case ChainFact():
                    self._observe_chain(now, output.chain, output.fact)
                case TransactionConfirmed():
                    self._tell(now, "transaction_confirmed", transaction=output.transaction_id.hex())
                case TransactionRejected():
                    transaction = output.transaction_id.hex()
                    self._tell(now, "transaction_rejected", transaction=transaction, code=output.code)
                case DiskRefused():
                    self._tell(now, "disk_refused" if output.why else "disk_accepted", why=output.why)
                case _:
                    pass
        for fault in faults:
            detail = str(fault.detail)[:DETAIL_MAX]
            self._tell(now, "fault", accused=fault.accused, kind=fault.kind, path=list(fault.path), detail=detail)

    def _observe_chain(self, now: Instant, chain: str, fact: Any) -> None:
        match fact:
            case ChainBlockAnchored():
                requests = len(fact.block.requests)
                self._tell(now, "chain_block_anchored", chain=chain, index=fact.block.index, requests=requests)
            case ChainBlockConfirmed():
                self._tell(now, "chain_block_confirmed", chain=chain, index=fact.block.index)
            case ChainBlocksUndone():
                indices = [block.index for block in fact.blocks]
                self._tell(now, "chain_blocks_undone", chain=chain, newest=max(indices), oldest=min(indices))
            case IndexSkipped():
                self._tell(now, "index_skipped", chain=chain, log_index=fact.log_index, reason=fact.reason[:DETAIL_MAX])
            case _:
                pass

    def _tell(self, now: Instant, event: str, **fields: Any) -> None:
        """Line 2."""
        if not self._bucket.has(1, now):
            self.left_out += 1
            return
        if self.left_out or self._file.lost:
            fields |= {"left_out": self.left_out, "lost": self._file.lost}
            self.left_out = self._file.lost = 0
        self._logger.info(event, at_us=now, **fields)


class Observers:
    """Several observers as one."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def observe(self, now: Instant, node: NodeId, outputs: Sequence[Any], faults: Sequence[Fault]) -> None:
        """These were released at this instant."""
        for observer in self._observers:
            observer.observe(now, node, outputs, faults)
