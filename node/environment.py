"""What the hosts of a scenario agree on about layer 1: its parameters, and who gossips with whom.

Everything here is a pure function of the configuration and the seed. Errors are ``ConfigurationError`` with the field that is
to blame.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ledger.kernel.automaton import NodeId
from ledger.kernel.rejection import Rejected
from ledger.kernel.rng import stream
from ledger.profile import PROFILES, Profile, adapted
from node.configuration import Configuration, ConfigurationError, FieldProblem
from node.plan import Plan


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
    section, n = configuration.ledger, len(nodes)
    if section.topology == "complete" or (section.topology == "watts-strogatz" and section.neighbours >= n - 1):
        return {node: tuple(other for other in nodes if other != node) for node in nodes}
    graph = _graph(configuration, n, seed)
    return {node: tuple(nodes[j] for j in sorted(graph[i]) if j != i) for i, node in enumerate(nodes)}


def peers_of(configuration: Configuration, plan: Plan, host: NodeId) -> tuple[NodeId, ...]:
    """Whom a host talks to: a layer-1 node to its neighbours and to all households, a household to all layer-1 nodes, of
    which it needs one, and to the members of the committees that it is on.
    """
    homes = tuple(NodeId(home.name) for home in plan.homes)
    if host in plan.ledger_nodes:
        return (*neighbours_of(configuration, plan.ledger_nodes, configuration.scenario.seed)[host], *homes)
    members = [member for chain in plan.memberships(host) for member in chain.members]
    return (*plan.ledger_nodes, *(home for home in homes if home != host and home in members))


def _graph(configuration: Configuration, n: int, seed: int) -> Any:
    """A graph of the nodes from 0 on that is not complete. The library is large: who has no such graph does without it."""
    import networkx as nx

    section = configuration.ledger
    if section.topology == "ring":
        return nx.cycle_graph(n)
    if section.topology == "watts-strogatz":
        try:
            rng = stream(seed, "topology")
            return nx.connected_watts_strogatz_graph(n, section.neighbours, section.rewiring, seed=rng)
        except nx.NetworkXError as error:
            raise ConfigurationError([FieldProblem(("ledger", "neighbours"), f"{error}: expected more")]) from None
    graph = nx.empty_graph(n)
    graph.add_edges_from((a - 1, b - 1) for a, b in section.links)
    if not nx.is_connected(graph):
        expected = f"expected links that connect all nodes from 1 to {n}"
        raise ConfigurationError([FieldProblem(("ledger", "links"), expected)])
    return graph
