"""Ports of a local cluster that somebody has taken since they were chosen: free ones take their places, in all files.

Only what listens on this machine is changed, and only while no node runs. Comments and all else in the files stay.
"""

from __future__ import annotations

import socket

import tomlkit

from ledger.kernel.automaton import NodeId
from node.live.cluster_files import ClusterFolder
from node.live.node_file import Address, read_node_file
from node.live.placement import free_ports


def replace_taken_ports(files: ClusterFolder) -> list[str]:
    """What was replaced, in sentences.

    Errors: ``ConfigurationError`` when there are not so many free ports.
    """
    taken = [
        (node, field, address)
        for node, file in files.nodes.items()
        for field, address in (("listen", file.listen), ("api", file.api))
        if address.port != 0 and address.is_loopback and _is_taken(address)
    ]
    if not taken:
        return []
    new: dict[tuple[NodeId, str], Address] = {}
    notes = []
    for (node, field, address), port in zip(taken, free_ports(len(taken)), strict=True):
        new[node, field] = Address(address.host, port)
        notes.append(f"{node}: {field} is {new[node, field]}: {address} is in use")
    for node in files.nodes:
        _rewrite(files, node, new)
    return notes


def _rewrite(files: ClusterFolder, node: NodeId, new: dict[tuple[NodeId, str], Address]) -> None:
    path, file = files.node_path(node), files.nodes[node]
    document = tomlkit.parse(path.read_text(encoding="utf-8"))
    for field in ("listen", "api"):
        if (node, field) in new:
            document[field] = str(new[node, field])
    peers = document.get("peers", {})
    for peer in file.peers:
        if (NodeId(peer), "listen") in new:
            peers[peer] = str(new[NodeId(peer), "listen"])
    draft = path.with_name(f".{path.name}")
    draft.write_text(tomlkit.dumps(document), encoding="utf-8")
    draft.replace(path)
    files.nodes[node] = read_node_file(path)


def _is_taken(address: Address) -> bool:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as candidate:
        candidate.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # as servers do: who has just closed is no obstacle
        try:
            candidate.bind(address)
        except OSError:
            return True
    return False
