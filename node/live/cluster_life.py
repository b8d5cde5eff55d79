"""The life of a local cluster: up until it trades, nodes killed, paused and started again, down without a trace.

``up``:

1. What runs is left alone: a second ``up`` does no harm.
2. Before any node has run, the epoch is set so that the first market opens as soon as the nodes are there, unless it is
   still to come; and ports that somebody has taken meanwhile are replaced by free ones.
3. All others are started, and waited for until each answers. One that ends instead takes with it those that were
   started with it, and the reason is told.
4. Then every chain must have a quorum, and its first anchor confirmed.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence

from ledger.kernel.automaton import NodeId
from ledger.kernel.instant import SECOND
from node.live.cluster import Cluster, ClusterFailed
from node.live.cluster_client import ClusterClient, Silent
from node.live.cluster_links import apply_links, read_links
from node.live.cluster_ports import replace_taken_ports
from node.live.cluster_standing import ClusterStanding, standing_of
from node.live.node_process import end_processes, kill_processes
from node.scenario import first_opening

STARTING = 5.0
"""Seconds that a node takes from its start until the market may open, beside the work of the processor."""
STARTING_WORK = 2.5
"""Seconds of a processor that a node's start takes: reading the files, building the host."""
GRACE = 15.0
"""Seconds that a node has to stop: it commits its last turn, and no more."""
POLL = 0.25
START_WAIT = 120.0
"""Seconds until a node that runs must answer: a large store is verified at its opening."""
Told = Callable[[str], None]


def start_nodes(cluster: Cluster, nodes: Sequence[NodeId]) -> list[NodeId]:
    """Start those of the nodes that have no process (1, 2); which ones. The lock is the caller's.

    Errors: ``OSError``.
    """
    started = [node for node in nodes if not cluster.processes[node].is_alive]
    for node in started:
        cluster.processes[node].start()
    return started


def make_ready(cluster: Cluster) -> list[str]:
    """Line 2: what was changed, in sentences."""
    notes: list[str] = []
    if cluster.alive:
        return notes
    if not cluster.files.has_run and cluster.now >= 0:
        delay = STARTING + STARTING_WORK * len(cluster.names) / (os.cpu_count() or 1)
        opening = time.time_ns() // 1_000 + round(delay * SECOND)
        cluster.files.set_epoch(opening - first_opening(cluster.files.configuration))
        notes.append(f"the first market opens in {delay:.0f} seconds")
    return [*notes, *replace_taken_ports(cluster.files)]


async def wait_for_answers(cluster: Cluster, client: ClusterClient, nodes: Sequence[NodeId]) -> None:
    """Line 3, and what is wanted of the links is told to the nodes.

    Errors: ``ClusterFailed``.
    """
    give_up = time.monotonic() + START_WAIT
    waiting = list(nodes)
    while waiting:
        ended = [node for node in waiting if not cluster.processes[node].is_alive]
        if ended:
            raise ClusterFailed([_why_ended(cluster, node) for node in ended])
        answers = await client.ask_all(waiting, "/health")
        waiting = [node for node in waiting if isinstance(answers[node], Silent) and cluster.now >= 0]
        if waiting and time.monotonic() > give_up:
            raise ClusterFailed([f"{node}: {answers[node]}" for node in waiting])
        if waiting:
            await asyncio.sleep(POLL)
    links = read_links(cluster)
    if links.wishes and cluster.now >= 0:
        await apply_links(client, links, nodes)


async def wait_until_trading(cluster: Cluster, client: ClusterClient, seconds: float, told: Told) -> ClusterStanding:
    """Line 4: how the cluster stands then, or after so many seconds."""
    give_up = time.monotonic() + seconds
    before: list[str] = []
    while True:
        standing = await standing_of(cluster, client)
        if standing.is_trading or time.monotonic() > give_up:
            return standing
        waits = _waits(standing)
        if waits != before:
            told(f"waiting: {'; '.join(waits)}")
            before = waits
        await asyncio.sleep(POLL)


def stop_nodes(cluster: Cluster, nodes: Sequence[NodeId], grace: float = GRACE) -> list[NodeId]:
    """Stop nodes gracefully; those that had to be killed. The lock is the caller's."""
    processes = [cluster.processes[node] for node in nodes]
    stubborn = end_processes(processes, grace)
    return [node for node in nodes if cluster.processes[node] in stubborn]


def kill_nodes(cluster: Cluster, nodes: Sequence[NodeId]) -> None:
    """End nodes as a failure of their machine would. The lock is the caller's."""
    kill_processes([cluster.processes[node] for node in nodes])


def _waits(standing: ClusterStanding) -> list[str]:
    waits = []
    for chain in standing.chains:
        if chain.up < chain.quorum:
            waits.append(f"{chain.name} has {chain.up} of {chain.members} members")
        elif not chain.confirmed:
            waits.append(f"{chain.name} has no confirmed anchor")
    return waits


def _why_ended(cluster: Cluster, node: NodeId) -> str:
    words = cluster.processes[node].last_words.removeprefix("error: ")
    return f"{node} has ended: {words or f'see {cluster.log_path(node)}'}"
