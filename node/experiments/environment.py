"""What surrounds the hosts of a scenario: machines, network, the topology of layer 1, faults.

Everything here is a pure function of the configuration and the seed. Errors are ``ConfigurationError`` with the field that is
to blame.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import networkx as nx

from ledger.kernel.automaton import NodeId
from ledger.kernel.rejection import Rejected
from ledger.kernel.rng import stream
from ledger.profile import PROFILES, Profile, adapted
from node.configuration import Configuration, ConfigurationError, FaultSection, FieldProblem
from node.simulated.conditions import Conditions, conditions
from node.simulated.faults import (
    ClockSkew,
    Crash,
    Heal,
    LinkChange,
    Partition,
    Pause,
    Restart,
    ScheduledFault,
    SlowCpu,
)


@contextmanager
def blaming(*field: str) -> Iterator[None]:
    """What is rejected inside is told as a problem of this field; of a market, all its problems one by one."""
    try:
        yield
    except Rejected as rejected:
        details = rejected.detail.split("; ") if rejected.code == "bad_market" else [rejected.detail]
        raise ConfigurationError([FieldProblem(field, detail) for detail in details]) from None


def ledger_profile(configuration: Configuration) -> Profile:
    """The parameters of layer 1."""
    section = configuration.ledger
    changes: dict[str, Any] = {}
    if section.pow_difficulty is not None:
        changes["pow_difficulty"] = section.pow_difficulty
    if section.pow_rate is not None:
        changes["pow_rate_thousandths"] = round(section.pow_rate * 1000)
    if section.pow_window is not None:
        changes["pow_window"] = section.pow_window
    try:
        return adapted(PROFILES[section.profile], **changes)
    except ValueError as error:
        raise ConfigurationError([FieldProblem(("ledger",), f"{section.profile} with {changes}: {error}")]) from None


def neighbours_of(
    configuration: Configuration, nodes: tuple[NodeId, ...], seed: int
) -> dict[NodeId, tuple[NodeId, ...]]:
    """Who gossips with whom on layer 1."""
    graph = _topology(configuration, len(nodes), seed)
    return {node: tuple(nodes[j] for j in sorted(graph[i]) if j != i) for i, node in enumerate(nodes)}


def _topology(configuration: Configuration, n: int, seed: int) -> Any:
    section = configuration.ledger
    match section.topology:
        case "ring":
            return nx.cycle_graph(n)
        case "watts-strogatz" if section.neighbours < n - 1:
            try:
                rng = stream(seed, "topology")
                return nx.connected_watts_strogatz_graph(n, section.neighbours, section.rewiring, seed=rng)
            except nx.NetworkXError as error:
                raise ConfigurationError([FieldProblem(("ledger", "neighbours"), f"{error}: expected more")]) from None
        case "given":
            graph = nx.empty_graph(n)
            graph.add_edges_from((a - 1, b - 1) for a, b in section.links)
            if not nx.is_connected(graph):
                expected = f"expected links that connect all nodes from 1 to {n}"
                raise ConfigurationError([FieldProblem(("ledger", "links"), expected)])
            return graph
        case _:
            return nx.complete_graph(n)


def conditions_of(configuration: Configuration, hosts: tuple[NodeId, ...], folder: Path) -> Conditions:
    """Links, CPUs and disks of all hosts."""
    with blaming("network"):
        return conditions(configuration.network, configuration.hardware, hosts, folder)


def scheduled_faults(configuration: Configuration) -> tuple[ScheduledFault, ...]:
    """What goes wrong, and when."""
    faults: list[ScheduledFault] = []
    for section in configuration.faults:
        nodes = [NodeId(node) for node in section.nodes]
        match section.kind:
            case "crash":
                faults += [Crash(section.at, node, section.disk_loss or "unsynced") for node in nodes]
            case "restart":
                faults += [Restart(section.at, node) for node in nodes]
            case "pause":
                faults += [Pause(section.at, node, section.duration) for node in nodes]
            case "slow":
                faults += [SlowCpu(section.at, node, section.per_cent or 100) for node in nodes]
            case "skew":
                faults += [ClockSkew(section.at, node, section.offset or 0) for node in nodes]
            case "link":
                faults.append(_link_change(section))
            case "partition":
                groups = tuple(tuple(map(NodeId, group)) for group in section.groups)
                faults.append(Partition(section.at, groups, section.one_way))
            case "heal":
                faults.append(Heal(section.at))
    return tuple(faults)


def _link_change(section: FaultSection) -> LinkChange:
    return LinkChange(
        section.at,
        tuple(map(NodeId, section.senders)),
        tuple(map(NodeId, section.recipients)),
        section.loss,
        section.duplication,
        section.extra_delay,
    )
