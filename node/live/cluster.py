"""A local cluster: the files of its folder, and the processes of its nodes.

Commands that change something hold the folder's lock while they do; whoever waits for the nodes does not. Nothing outside
the folder is touched. Faults, made on purpose, are written down with their moments in ``faults.jsonl``, beside the results.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ledger.kernel.automaton import NodeId
from ledger.kernel.instant import Instant
from ledger.kernel.quorum import max_faulty
from node.configuration import ConfigurationError
from node.live.cluster_files import NODES_FOLDER, SECRET_FILE, ClusterFolder
from node.live.identity_files import read_token
from node.live.node_file import CLUSTER_FILE
from node.live.node_process import NodeProcess
from node.plan import ChainPlan

LOCK_FILE = ".lock"
FAULTS_FILE = "faults.jsonl"
LOCK_WAIT = 60.0
"""Seconds: longer than any command that changes something takes."""
LOCK_POLL = 0.05


class ClusterFailed(Exception):
    """A command could not be carried out, in sentences."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class Cluster:
    """The cluster of a folder.

    Errors: ``ConfigurationError``.
    """

    def __init__(self, folder: Path) -> None:
        if not (folder / CLUSTER_FILE).is_file():
            raise ConfigurationError([f"{folder}: no cluster is there: tanglegrid cluster init {folder} makes one"])
        self.folder = folder
        self.files = ClusterFolder(folder)
        self.processes = {
            node: NodeProcess(self.node_folder(node), self.files.node_path(node)) for node in self.files.nodes
        }

    @property
    def names(self) -> tuple[NodeId, ...]:
        """All nodes, in the order of the plan."""
        return tuple(self.files.nodes)

    @property
    def chains(self) -> tuple[ChainPlan, ...]:
        """The chains that have committees."""
        return tuple(chain for chain in self.files.plan.chains.values() if not chain.offline)

    @property
    def alive(self) -> list[NodeId]:
        """The nodes that have a process."""
        return [node for node, process in self.processes.items() if process.is_alive]

    @property
    def now(self) -> Instant:
        """On the nodes' clocks."""
        return time.time_ns() // 1_000 - self.files.epoch_us

    def node_folder(self, node: NodeId) -> Path:
        """The folder of a node."""
        return self.folder / NODES_FOLDER / node

    def log_path(self, node: NodeId) -> Path:
        """Where a node logs."""
        return self.node_folder(node) / self.files.nodes[node].log

    def api_url(self, node: NodeId) -> str:
        """Where a node answers."""
        return f"http://{self.files.nodes[node].api}"

    def token(self, node: NodeId) -> str:
        """What the node's API asks for.

        Errors: ``ConfigurationError``.
        """
        name = self.files.nodes[node].secrets
        return read_token(self.node_folder(node) / (name or SECRET_FILE))

    def named(self, names: Iterable[str]) -> list[NodeId]:
        """The nodes with these names; a chain's name stands for its members.

        Errors: ``ConfigurationError``.
        """
        found: dict[NodeId, None] = {}
        unknown = []
        for name in names:
            if name in self.processes:
                found[NodeId(name)] = None
            elif name in self.files.plan.chains:
                found |= dict.fromkeys(self.files.plan.chains[name].members)
            else:
                unknown.append(name)
        if unknown:
            expected = f"expected some of {', '.join(self.names)}, or a chain: {', '.join(self.files.plan.chains)}"
            raise ConfigurationError([f"{name}: is no node of {self.folder}: {expected}" for name in unknown])
        return list(found)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else changes anything meanwhile.

        Errors: ``ClusterFailed`` when another command does so for too long.
        """
        descriptor = os.open(self.folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            give_up = time.monotonic() + LOCK_WAIT
            while not _lock(descriptor):
                if time.monotonic() > give_up:
                    raise ClusterFailed([f"{self.folder}: another command has been working on this cluster for long"])
                time.sleep(LOCK_POLL)
            yield
        finally:
            os.close(descriptor)

    def record_fault(self, fault: str, nodes: Sequence[NodeId], **details: Any) -> None:
        """Write down what was done to the nodes, and when."""
        at = self.now
        line = {"time_unix_us": at + self.files.epoch_us, "at_us": at, "fault": fault, "nodes": nodes, **details}
        with (self.folder / FAULTS_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def quorum_of(chain: ChainPlan) -> int:
    """So many members decide: all but those that may be faulty."""
    return len(chain.members) - max_faulty(len(chain.members))


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
