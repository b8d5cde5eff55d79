"""How a cluster stands: its nodes, and of each chain how high it is, how far layer 1 has confirmed it, and why it is stuck.

A chain is *stuck* when what it needs to decide or to confirm is known to be missing: a quorum of members that run and are
connected, or a layer-1 node. A member that answers tells its own view; the highest one counts. What a node says it waits
for, such as its disk, stands with the node.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from ledger.kernel.automaton import NodeId
from ledger.kernel.encoding import Frozen
from node.live.cluster import Cluster, quorum_of
from node.live.cluster_client import ClusterClient, Silent
from node.live.cluster_links import read_links
from node.live.node_process import ProcessState
from node.plan import ChainPlan

STUCK_LAG = 8
"""Chain blocks that wait for their confirmation: from so many on it is worth a word."""
_MEBIBYTE = 1024 * 1024
_Answer: TypeAlias = dict[str, Any] | Silent | None


class NodeStanding(Frozen):
    """A node."""

    name: NodeId
    state: ProcessState
    is_answering: bool
    is_ready: bool
    pid: int | None
    memory: int | None
    """Bytes that are resident."""
    incarnation: int | None
    peering: str
    api: str
    log: str
    waits: tuple[str, ...]
    """Why it does not run, answer, or do more, in sentences."""


class ChainStanding(Frozen):
    """A chain, as far as its members tell."""

    name: str
    height: int | None
    """The state index of the newest chain block with a signed anchor; None: nobody tells."""
    confirmed: int | None
    """The same, of those that layer 1 has confirmed."""
    lag: int | None
    members: int
    quorum: int
    up: int
    down: tuple[NodeId, ...]
    stuck: str | None


class ClusterStanding(Frozen):
    """All of it."""

    folder: str
    now: int
    nodes: tuple[NodeStanding, ...]
    chains: tuple[ChainStanding, ...]
    faults: tuple[str, ...]
    """What is done to the links on purpose."""

    @property
    def is_trading(self) -> bool:
        """Whether every chain has a quorum, and its first anchor confirmed."""
        return all(chain.up >= chain.quorum and (chain.confirmed or 0) >= 1 for chain in self.chains)

    def document(self) -> dict[str, Any]:
        """For programs."""
        document: dict[str, Any] = msgspec.to_builtins(self)
        return {**document, "is_trading": self.is_trading}

    def text(self) -> str:
        """For people."""
        rows = [["node", "state", "pid", "memory", "peering", "api", "log"]]
        rows += [
            [
                node.name,
                _state(node),
                str(node.pid or "-"),
                f"{node.memory / _MEBIBYTE:.0f} MiB" if node.memory else "-",
                node.peering,
                node.api,
                node.log,
            ]
            for node in self.nodes
        ]
        lines = [*table(rows), ""]
        rows = [["chain", "height", "confirmed", "lag", "members up", "stuck"]]
        rows += [
            [
                chain.name,
                *map(_number, (chain.height, chain.confirmed, chain.lag)),
                _members(chain),
                chain.stuck or "no",
            ]
            for chain in self.chains
        ]
        lines += table(rows)
        notes = [f"{node.name}: {wait}" for node in self.nodes for wait in node.waits]
        notes += [f"on purpose: {fault}" for fault in self.faults]
        return "\n".join([*lines, "", *notes] if notes else lines)


async def standing_of(cluster: Cluster, client: ClusterClient) -> ClusterStanding:
    """How the cluster stands now."""
    links = read_links(cluster)
    running = [node for node, process in cluster.processes.items() if process.state == "running"]
    members = [node for node in running if node not in cluster.files.plan.ledger_nodes]
    statuses, readiness, infos, told = await asyncio.gather(
        client.ask_all(running, "/v1/node/status"),
        client.ask_all(running, "/ready"),
        client.ask_all(running, "/v1/node/info"),
        client.ask_all(members, "/v1/chains"),
    )
    nodes = [
        _node_standing(cluster, node, statuses.get(node), readiness.get(node), infos.get(node))
        for node in cluster.names
    ]
    by_name = {node.name: node for node in nodes}
    layer_1 = any(by_name[node].is_answering for node in cluster.files.plan.ledger_nodes)
    summaries = _summaries(told)
    chains = [_chain_standing(chain, by_name, summaries.get(chain.name, []), layer_1) for chain in cluster.chains]
    return ClusterStanding(str(cluster.folder), cluster.now, tuple(nodes), tuple(chains), links.told())


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows in columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _node_standing(cluster: Cluster, name: NodeId, status: _Answer, readiness: _Answer, info: _Answer) -> NodeStanding:
    process, file = cluster.processes[name], cluster.files.nodes[name]
    state = process.state
    waits: tuple[str, ...] = ()
    if state == "died":
        waits = (f"it ended without being told to: {process.last_words or f'see {cluster.log_path(name)}'}",)
    elif isinstance(status, Silent):
        waits = (f"its API gives {status}" if str(status).startswith("no") else f"its API says: {status}",)
    elif status is not None:
        waits = tuple(status["waits"])
    return NodeStanding(
        name=name,
        state=state,
        is_answering=isinstance(status, dict),
        is_ready=isinstance(readiness, dict),
        pid=process.pid,
        memory=process.memory,
        incarnation=info["incarnation"] if isinstance(info, dict) else None,
        peering=str(file.listen),
        api=cluster.api_url(name),
        log=str(cluster.log_path(name)),
        waits=waits,
    )


def _summaries(
    told: Mapping[NodeId, dict[str, Any] | Silent],
) -> dict[str, list[dict[str, Any]]]:
    """What members say of each chain."""
    summaries: dict[str, list[dict[str, Any]]] = {}
    for answer in told.values():
        if isinstance(answer, dict):
            for summary in answer["chains"]:
                summaries.setdefault(summary["name"], []).append(summary)
    return summaries


def _chain_standing(
    chain: ChainPlan, nodes: Mapping[NodeId, NodeStanding], summaries: Sequence[Mapping[str, Any]], layer_1: bool
) -> ChainStanding:
    down = tuple(member for member in chain.members if not nodes[member].is_answering)
    height = max((summary["activeIndex"] for summary in summaries), default=None)
    confirmed = max((summary["confirmedIndex"] for summary in summaries), default=None)
    lag = None if height is None or confirmed is None else max(0, height - confirmed)
    up, quorum = len(chain.members) - len(down), quorum_of(chain)
    stuck: str | None = None
    lonely = [summary["stuck"] for summary in summaries if summary["stuck"]]
    if up < quorum:
        missing = ", ".join(f"{member} ({_state(nodes[member])})" for member in down)
        stuck = f"{up} of {len(chain.members)} members are up, {quorum} are needed: {missing}"
    elif len(summaries) - len(lonely) < quorum and lonely:
        stuck = lonely[0]
    elif not layer_1:
        stuck = "no layer-1 node is up: nothing is confirmed"
    elif lag is not None and lag >= STUCK_LAG:
        stuck = f"layer 1 has not confirmed the last {lag} chain blocks"
    return ChainStanding(chain.name, height, confirmed, lag, len(chain.members), quorum, up, down, stuck)


def _state(node: NodeStanding) -> str:
    if node.state == "running" and not node.is_answering:
        return "silent"
    return node.state


def _members(chain: ChainStanding) -> str:
    return f"{chain.up} of {chain.members} ({chain.quorum} needed)"


def _number(number: int | None) -> str:
    return "-" if number is None else str(number)
