"""One node as a process: its host, run by the live runtime, with its store, its peering and its API.

1. The files are read and checked, the log is opened, the store is opened and verified.
2. The host is built from its records. If the epoch is still to come, the node waits for it.
3. The API listens, so that it can be asked how the node stands; then the runtime runs, and with it the peering.
4. SIGTERM or SIGINT: what has arrived is handled, made durable and sent, and the node stops.

What ends a node otherwise is told in a sentence, in its log and on standard error, as ``NodeDown`` with an exit code: 2 for
files, or a store, that can't be used as they are, 1 for all else. A supervisor that starts a node again after code 2 gets
the same again.

A store that was there once must be there again: a marker beside it says so. A member that has lost its records must not
begin anew as if nothing had happened.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from node.live.api.door import ApiSettings
from node.live.api.events import NodeEvents
from node.live.api.live_view import LiveNodeView
from node.live.api.metrics import NodeMetrics
from node.live.api.server import ApiServer
from node.live.effects import EffectFailed, LiveProofOfWork
from node.live.live_clock import LiveClock
from node.live.node_file import Address
from node.live.node_log import LogFile, NodeLog, Observers, configure_log
from node.live.node_setup import NodeSetup, read_setup
from node.live.peering import Peering
from node.live.peering_limits import PeeringLimits
from node.live.runtime import LiveRuntime, NodeFailed
from node.live.store import Store
from node.live.store_errors import StoreError, StoreFailed
from node.live.surroundings import Receiver, Transport
from node.terminal import FAILED, UNUSABLE
from node.wire import Wire

FOUNDED = ".founded"
"""What the marker's name ends with."""


class NodeDown(Exception):
    """The node does not run: why, and the exit code."""

    def __init__(self, why: str, code: int) -> None:
        super().__init__(why)
        self.code = code


def run_node(path: Path) -> None:
    """Run the node of this ``node.toml`` until it is told to stop.

    Errors: ``ConfigurationError``; ``NodeDown``.
    """
    setup = read_setup(path)
    try:
        file = LogFile(setup.log_path, setup.file.log_size_max)
    except OSError as error:
        raise NodeDown(f"{setup.log_path}: the log can't be written: {error.strerror}", UNUSABLE) from None
    logger: Any = configure_log(file, setup.name)
    logger.info("starting", pid=os.getpid(), network=setup.network, epoch_us=setup.epoch_us)
    try:
        store = opened_store(setup)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(LiveNode(setup, store, logger, file).run())
        logger.info("stopped")
    except NodeDown as down:
        logger.error("down", why=str(down), code=down.code)
        raise
    finally:
        file.close()


def opened_store(setup: NodeSetup) -> Store:
    """The node's store, verified.

    Errors: ``NodeDown``.
    """
    path = setup.store_path
    marker = path.with_name(path.name + FOUNDED)
    try:
        store = Store.open(path, setup.network, setup.name, founded=marker.exists())
        marker.touch()
    except StoreError as error:
        raise NodeDown(str(error), FAILED if isinstance(error, StoreFailed) else UNUSABLE) from None
    except OSError as error:
        store.close()
        raise NodeDown(f"{marker}: can't be written: {error.strerror}", FAILED) from None
    return store


class LiveNode:
    """The parts of a node, wired."""

    def __init__(self, setup: NodeSetup, store: Store, logger: Any, file: LogFile) -> None:
        self._setup = setup
        self._store = store
        self._logger = logger
        self._file = file
        self._stopped = asyncio.Event()
        self._failure: str | None = None
        self._runtime: LiveRuntime | None = None

    async def run(self) -> None:
        """Run until the node is told to stop.

        Errors: ``NodeDown``.
        """
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._handle_loop_failure)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        clock = LiveClock(self._setup.epoch_us)
        if clock.now() < 0:
            self._logger.info("waiting_for_epoch", for_us=-clock.now())
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), clock.seconds_until(0))
        if self._stopped.is_set():
            self._store.close()
            return
        try:
            await self._live(clock)
        except (NodeFailed, EffectFailed, StoreFailed) as failure:
            self._logger.error("failed", exc_info=failure.__cause__)
            raise NodeDown(str(failure), FAILED) from None
        if self._failure is not None:
            raise NodeDown(self._failure, FAILED)

    def stop(self) -> None:
        """End gracefully."""
        self._stopped.set()
        if self._runtime is not None:
            self._runtime.stop()

    async def _live(self, clock: LiveClock) -> None:
        setup, events = self._setup, NodeEvents(NodeMetrics())
        runtime = self._runtime = LiveRuntime(
            setup.name,
            setup.factory,
            self._store,
            self._transport,
            Wire(),
            clock,
            LiveProofOfWork(),
            Observers(events, NodeLog(self._logger, self._file)),
        )
        gc.collect()
        gc.freeze()  # what is built by now stays: it need not be looked through again and again
        view = LiveNodeView(setup.network, setup.epoch_us, runtime, self._peering, self.stop)
        settings = ApiSettings(setup.file.api.host, setup.file.api.port, setup.token)
        api = ApiServer(view, events, settings)
        try:
            await api.start()
        except OSError as error:
            raise NodeDown(_deaf("the API", setup.file.api, error), FAILED) from None
        self._logger.info(
            "running",
            incarnation=runtime.incarnation,
            records=len(self._store),
            api=api.url,
            peering=str(setup.file.listen),
        )
        try:
            await runtime.run()
        except OSError as error:
            raise NodeDown(_deaf("peering", setup.file.listen, error), FAILED) from None
        finally:
            await api.stop()

    def _transport(self, receiver: Receiver) -> Transport:
        setup, listen = self._setup, self._setup.file.listen
        self._peering = Peering(
            setup.name,
            setup.identities.signer(setup.name),
            setup.network,
            self._store.incarnation,
            setup.peers,
            (listen.host, listen.port),
            PeeringLimits(),
            receiver,
        )
        return self._peering

    def _handle_loop_failure(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A task of ours that fails is an error of this program, as an exception of the host is: the node stops."""
        error, message = context.get("exception"), str(context.get("message"))
        self._logger.error("loop_failure", message=message, exc_info=error)
        if error is not None and "task" in context:
            self._failure = f"this is an error of tanglegrid: {message}: {type(error).__name__}: {error}"
            self.stop()


def _deaf(what: str, address: Address, error: OSError) -> str:
    return f"{address}: {what} can't listen there: {error.strerror or error}"


def _loop_factory() -> Any:
    """The faster loop, where it is installed."""
    if find_spec("uvloop") is None:
        return None
    import uvloop

    return uvloop.new_event_loop
