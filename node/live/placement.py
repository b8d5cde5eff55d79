"""Where the nodes of a cluster listen, and how others reach them, for each surrounding that a cluster is made for.

===============  ====================================================================================================
``local``        one machine: loopback, with two ports per node that are free when they are chosen
``netns``        a network namespace per node: 10.77.0.10 and on, ports 4000 (peering) and 9090 (API)
``compose``      a container per node, reached by the node's name
``kubernetes``   a pod per node: the layer-1 nodes are ``tangle-0.tangle`` and on, a chain's homes ``mg1-0.mg1`` and on
===============  ====================================================================================================

Local ports lie below those that an operating system gives to outgoing connections, else a node's port could be taken by
another node's connection before it starts.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Literal, TypeAlias

from ledger.kernel.automaton import NodeId
from ledger.kernel.encoding import Frozen
from node.configuration import ConfigurationError
from node.live.node_file import Address
from node.plan import Plan

Surrounding: TypeAlias = Literal["local", "netns", "compose", "kubernetes"]
PEERING_PORT, API_PORT = 4000, 9090
LOOPBACK, ANYWHERE = "127.0.0.1", "0.0.0.0"
PORTS = range(10_240, 32_768)
"""From which local ports are chosen."""
NETNS_FIRST, NETNS_LAST = 10, 254
LAYER_1 = "tangle"
"""The name of the layer-1 nodes' group."""


class Placed(Frozen):
    """Where a node listens, where its API does, and where its peers find it."""

    listen: Address
    api: Address
    reached: Address


def placements(surrounding: Surrounding, plan: Plan) -> dict[NodeId, Placed]:
    """Where every host is.

    Errors: ``ConfigurationError`` when there is no room for all of them.
    """
    match surrounding:
        case "local":
            ports = iter(free_ports(2 * len(plan.hosts)))
            return {host: _local(next(ports), next(ports)) for host in plan.hosts}
        case "netns":
            room = NETNS_LAST - NETNS_FIRST + 1
            if len(plan.hosts) > room:
                raise ConfigurationError(
                    [f"the cluster has {len(plan.hosts)} nodes: expected at most {room} in one network"]
                )
            addresses = {host: f"10.77.0.{place}" for place, host in enumerate(plan.hosts, NETNS_FIRST)}
            return {host: _placed(address, address) for host, address in addresses.items()}
        case "compose":
            return {host: _placed(ANYWHERE, host) for host in plan.hosts}
        case "kubernetes":
            return {host: _placed(ANYWHERE, name) for host, name in _pods(plan).items()}


def free_ports(count: int) -> list[int]:
    """So many ports of this machine, one after another where possible, on which nothing listens now.

    Errors: ``ConfigurationError`` when there are not so many.
    """
    first = random.SystemRandom().choice(PORTS)
    found: list[int] = []
    with ExitStack() as stack:
        for offset in range(len(PORTS)):
            port = PORTS[(first - PORTS.start + offset) % len(PORTS)]
            candidate = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            try:
                candidate.bind((LOOPBACK, port))
            except OSError:
                continue
            found.append(port)
            if len(found) == count:
                return found
    raise ConfigurationError(
        [f"{count} free ports are needed from {PORTS.start} to {PORTS.stop - 1}: {len(found)} are free"]
    )


def _local(peering: int, api: int) -> Placed:
    return Placed(Address(LOOPBACK, peering), Address(LOOPBACK, api), Address(LOOPBACK, peering))


def _placed(listens: str, reached: str) -> Placed:
    return Placed(Address(listens, PEERING_PORT), Address(listens, API_PORT), Address(reached, PEERING_PORT))


def _pods(plan: Plan) -> dict[NodeId, str]:
    groups: list[tuple[str, Sequence[str]]] = [(LAYER_1, plan.ledger_nodes)]
    groups += [
        (_label(name), [home.name for home in chain.homes]) for name, chain in plan.chains.items() if chain.homes
    ]
    return {NodeId(host): f"{group}-{place}.{group}" for group, hosts in groups for place, host in enumerate(hosts)}


def _label(name: str) -> str:
    """A chain's name as a name of the domain name system."""
    return name.lower().replace("_", "-")
