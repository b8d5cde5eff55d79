"""Who runs the cells of a sweep: processes of this machine, or the workers of a Dask cluster.

Both take cells in an order and give results as they come. Local processes are made by a server that has imported
everything already, so a new one costs little: a process whose memory has grown is replaced, and one that dies takes its own
cell with it and no other. They don't hear Ctrl-C; whoever gives up the results ends them.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Generator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol

from node.configuration import ConfigurationError
from node.experiments.committee_cells import Cell, CellResult, run_cell

CELLS_PER_PROCESS = 500
"""What a process keeps, such as tables of drawn delays, is of use to many cells; what it loses should not add up."""
PROCESS_MEMORY_MAX = 256 * 2**20
"""Bytes: more than a committee of thirty needs, so that large ones don't leave every process as large as they were."""
CONNECTION_TIMEOUT = "10s"
Finished = tuple[Cell, CellResult]


class Workers(Protocol):
    """Whoever runs cells."""

    @property
    def jobs(self) -> int:
        """How many cells they run at a time."""
        ...

    def results(self, cells: Sequence[Cell]) -> Generator[Finished]:
        """Run the cells, begun in this order; each with its result, in the order in which they end."""
        ...


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# ----------------------------------------------------------------------------------------------------------- this machine


class LocalWorkers:
    """Processes of this machine."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([run_cell.__module__])

    def results(self, cells: Sequence[Cell]) -> Generator[Finished]:
        """As of ``Workers``; ends all processes when it is closed."""
        waiting, idle = deque(cells), list[_Process]()
        busy: dict[Connection, _Process] = {}
        try:
            while waiting or busy:
                while waiting and len(busy) < self.jobs:
                    process = idle.pop() if idle else _Process(self._context)
                    process.begin(waiting.popleft())
                    busy[process.connection] = process
                for connection in wait(list(busy)):
                    assert isinstance(connection, Connection)
                    process = busy.pop(connection)
                    finished = process.end()
                    if process.is_worn:
                        process.stop()
                    else:
                        idle.append(process)
                    yield finished
        finally:
            for process in [*busy.values(), *idle]:
                process.stop()


class _Process:
    """One process, which runs one cell at a time."""

    def __init__(self, context: multiprocessing.context.ForkServerContext) -> None:
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_run_cells, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()  # so that its end closes the pipe
        self._cell: Cell | None = None
        self._cells_run = 0
        self.is_worn = False
        """Whether it should be replaced."""

    def begin(self, cell: Cell) -> None:
        """Give it a cell."""
        self._cell = cell
        try:
            self.connection.send(cell)
        except OSError:
            self.is_worn = True  # it is dead; whoever waits for it is told

    def end(self) -> Finished:
        """Take the result of its cell."""
        assert self._cell is not None
        self._cells_run += 1
        try:
            result: CellResult = self.connection.recv()
        except (EOFError, OSError):
            self._process.join()
            self.is_worn = True
            return self._cell, CellResult("crashed", f"its process {_end_of(self._process.exitcode)}")
        self.is_worn = self._cells_run >= CELLS_PER_PROCESS or result.peak_memory > PROCESS_MEMORY_MAX
        return self._cell, result

    def stop(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.join()
        self.connection.close()


def _run_cells(connection: Connection) -> None:
    """What a process does until nobody is there any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        while True:
            connection.send(run_cell(connection.recv()))
    except (EOFError, OSError):
        return


def _end_of(code: int | None) -> str:
    if code is not None and code < 0:
        return f"was killed by {signal.Signals(-code).name}; a lack of memory does that"
    return f"ended with exit code {code}"


# -------------------------------------------------------------------------------------------------------------- a cluster


class DaskWorkers:
    """The workers of a Dask cluster that runs already. They need this version of tanglegrid, and to see the same files.

    Errors: ``ConfigurationError``.
    """

    def __init__(self, address: str) -> None:
        try:
            from distributed import Client
        except ImportError:
            missing = (
                "--scheduler needs the package distributed, which is not installed: pip install 'tanglegrid[dask]'"
            )
            raise ConfigurationError([missing]) from None
        try:
            self._client: Any = Client(address, timeout=CONNECTION_TIMEOUT)
        except (OSError, ValueError) as error:
            raise ConfigurationError([f"--scheduler {address}: no scheduler answers: {error}"]) from None

    @property
    def jobs(self) -> int:
        """As of ``Workers``: the cluster may grow."""
        return max(1, sum(int(cores) for cores in self._client.ncores().values()))

    def results(self, cells: Sequence[Cell]) -> Generator[Finished]:
        """As of ``Workers``; what has not begun is taken back when it is closed."""
        from distributed import as_completed

        futures = {self._client.submit(run_cell, cell, key=f"cell-{cell.digest}", pure=False): cell for cell in cells}
        try:
            for future in as_completed(list(futures)):
                cell = futures.pop(future)
                if future.status == "finished":
                    yield cell, future.result()
                elif future.status == "error":
                    yield cell, CellResult("crashed", f"its worker: {future.exception()}")
                else:
                    raise OSError(f"the cluster has lost a cell: {cell.text}")
                future.release()
        finally:
            self._client.cancel(list(futures))

    def close(self) -> None:
        """Leave the cluster."""
        self._client.close()
