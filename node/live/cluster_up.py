"""What commands do to a running cluster, one after another: each from its beginning to what it tells."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ledger.kernel.automaton import NodeId
from ledger.kernel.encoding import Frozen
from node.live.cluster import Cluster, ClusterFailed
from node.live.cluster_clean import clean_cluster
from node.live.cluster_client import ClusterClient
from node.live.cluster_life import make_ready, start_nodes, stop_nodes, wait_for_answers, wait_until_trading
from node.live.cluster_links import Links, apply_links, read_links, write_links
from node.live.cluster_standing import ClusterStanding, standing_of

REMAINING_POLL = 0.5
"""Seconds between two looks at a disposable cluster."""


class BroughtUp(Frozen):
    """A cluster that was brought up."""

    standing: ClusterStanding
    started: tuple[NodeId, ...]
    seconds: float
    notes: tuple[str, ...]

    def text(self) -> str:
        """For people: how it stands, and what to type next."""
        folder, some = Path(self.standing.folder), self.standing.nodes[-1].name
        verdict = "trading" if self.standing.is_trading else "not trading yet"
        return "\n".join(
            [
                self.standing.text(),
                "",
                f"{verdict}: {len(self.started)} nodes started, {self.seconds:.1f} seconds",
                "next:",
                f"  tanglegrid cluster status {folder}",
                f"  tanglegrid cluster logs -f {folder} {some}",
                f"  tanglegrid cluster kill {folder} {some}",
                f"  tanglegrid cluster down {folder}",
            ]
        )

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {
            **self.standing.document(),
            "started": self.started,
            "seconds": round(self.seconds, 3),
            "notes": self.notes,
        }


def bring_up(cluster: Cluster, wait_seconds: float, told: Callable[[str], None]) -> BroughtUp:
    """Start what does not run, and wait until it trades, or for so many seconds. ``told`` hears how it goes.

    Errors: ``ClusterFailed`` when a node can't run; those that were started with it are stopped then.
    """
    begun = time.monotonic()
    with cluster.locked():
        notes = make_ready(cluster)
        for note in notes:
            told(note)
        started = _started(cluster, cluster.names)

    async def waiting() -> ClusterStanding:
        async with ClusterClient(cluster) as client:
            return await wait_until_trading(cluster, client, wait_seconds - (time.monotonic() - begun), told)

    standing = asyncio.run(waiting())
    return BroughtUp(standing, tuple(started), time.monotonic() - begun, tuple(notes))


def present_standing(cluster: Cluster) -> ClusterStanding:
    """How the cluster stands."""

    async def asking() -> ClusterStanding:
        async with ClusterClient(cluster) as client:
            return await standing_of(cluster, client)

    return asyncio.run(asking())


def restart_nodes(cluster: Cluster, nodes: Sequence[NodeId]) -> list[NodeId]:
    """Stop and start nodes, and wait until they answer.

    Errors: ``ClusterFailed``.
    """
    with cluster.locked():
        running = [node for node in nodes if cluster.processes[node].is_alive]
        stop_nodes(cluster, running)
        cluster.record_fault("restart", list(nodes))
        return _started(cluster, nodes)


def resume_nodes(cluster: Cluster, nodes: Sequence[NodeId]) -> list[NodeId]:
    """Let paused nodes go on, with the links that are wanted by now; which ones."""
    resumed = []
    for node in nodes:
        process = cluster.processes[node]
        if process.state == "paused" and process.send(signal.SIGCONT):
            resumed.append(node)
    cluster.record_fault("resume", resumed)
    links = read_links(cluster)
    asyncio.run(_apply(cluster, links, resumed))
    return resumed


def set_links(cluster: Cluster, links: Links, fault: str, **details: Any) -> list[str]:
    """Let the links be so; who could not be told, and why. The lock is the caller's."""
    write_links(cluster, links)
    running = [node for node, process in cluster.processes.items() if process.state == "running"]
    cluster.record_fault(fault, running, **details)
    return asyncio.run(_apply(cluster, links, running))


def remain_until_interrupted(cluster: Cluster) -> None:
    """Stay until interrupted, or told to end, or until no node runs; then nothing is left of the cluster."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    while cluster.alive and not ended.wait(REMAINING_POLL):
        pass
    remove_disposable(cluster)


def remove_disposable(cluster: Cluster) -> None:
    """Stop the cluster, and remove its folder."""
    with cluster.locked():
        stop_nodes(cluster, cluster.names)
    clean_cluster(cluster, everything=True)


def _started(cluster: Cluster, nodes: Sequence[NodeId]) -> list[NodeId]:
    """Start those that don't run, and wait until they answer; whatever hinders that, none of them is left behind."""
    before = cluster.alive
    try:
        started = start_nodes(cluster, nodes)
        asyncio.run(_answered(cluster, started))
    except BaseException as error:
        left = [node for node in nodes if node not in before]
        stop_nodes(cluster, left)
        if isinstance(error, ClusterFailed):
            raise ClusterFailed([*error.problems, f"stopped, what was started with it: {len(left)} nodes"]) from None
        raise
    return started


async def _answered(cluster: Cluster, started: Sequence[NodeId]) -> None:
    async with ClusterClient(cluster) as client:
        await wait_for_answers(cluster, client, started)


async def _apply(cluster: Cluster, links: Links, nodes: Sequence[NodeId]) -> list[str]:
    async with ClusterClient(cluster) as client:
        return await apply_links(client, links, nodes)
