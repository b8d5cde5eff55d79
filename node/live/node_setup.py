"""A live node made ready to start, from its file alone: what it is, whom it knows, what it runs.

1. All files are read: the node's and the cluster's, the scenario, the public identities.
2. They must fit: a scenario that can run live, whose chains and hosts are those of the identities; peers that are known.
3. The node's secrets must be its own.
4. The genesis that the scenario and its data give must be the one that all nodes know.

What is wrong is told with its file, as much of it at once as can be told. Two networks are told apart by their *id*: the
genesis, the epoch, and what of the scenario all nodes must have alike. A node with a file that somebody has changed is
refused by its peers, and by its own store.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from ledger.kernel.automaton import NodeId
from ledger.kernel.encoding import Digest, Frozen, digest
from ledger.kernel.rng import Stream
from node.configuration import Configuration, ConfigurationError, FieldProblem
from node.configuration_file import ConfigurationFile, open_configuration
from node.environment import peers_of
from node.hosting import HostFactory
from node.identities import HeldIdentities, PublicIdentities
from node.live.dialling import Peer
from node.live.identity_files import read_public, read_secrets
from node.live.node_file import CLUSTER_FILE, PUBLIC_FILE, ClusterFile, NodeFile, read_cluster_file, read_node_file
from node.plan import Plan, plan_of
from node.scenario import Scenario

_T = TypeVar("_T")
_AGREED = ("scenario", "market", "chains", "ledger")
"""The sections that all nodes must have alike, beside the protocol; others may be a node's own."""


class NodeSetup(Frozen):
    """A node that can start."""

    name: NodeId
    file: NodeFile
    folder: Path
    """Of its file: what it names is looked for here."""
    scenario: Scenario
    identities: HeldIdentities
    token: str
    """What the API asks for."""
    epoch_us: int
    network: str
    """The network's id."""
    peers: tuple[Peer, ...]

    @property
    def factory(self) -> HostFactory:
        """How its host is built."""
        return self.scenario.hosts()[self.name]

    @property
    def store_path(self) -> Path:
        """Where its records are."""
        return self.folder / self.file.store

    @property
    def log_path(self) -> Path:
        """Where it logs."""
        return self.folder / self.file.log


def entropy(*_label: object) -> Stream:
    """A host's own randomness is the operating system's, however often it is started."""
    return random.SystemRandom()


def read_setup(path: Path) -> NodeSetup:
    """The node of this ``node.toml``.

    Errors: ``ConfigurationError``.
    """
    node, folder = read_node_file(path), path.parent
    cluster = folder / node.cluster
    found = _Problems()
    cluster_file = found.tried(lambda: read_cluster_file(cluster / CLUSTER_FILE))
    known = found.tried(lambda: read_public(cluster / PUBLIC_FILE))
    scenario_path = cluster / (cluster_file.scenario if cluster_file else "")
    file = found.tried(lambda: open_configuration(scenario_path)) if cluster_file else None
    found.raise_all()
    assert cluster_file and known and file
    genesis, public = known
    plan = plan_of(file.configuration)
    found.add(live_problems(file))
    found.add(_unfit(cluster / PUBLIC_FILE, plan, public))
    found.raise_all()
    held = found.tried(lambda: read_secrets(folder / node.secrets, public))
    found.add(_node_problems(path, node, file.configuration, plan))
    if held and held[0].host != node.name:
        found.add(
            [f"{folder / node.secrets}: host: these are the secrets of {held[0].host}, {path} is that of {node.name}"]
        )
    found.raise_all()
    assert held
    secrets, token = held
    identities = HeldIdentities(public, secrets)
    scenario = _scenario(file, scenario_path.parent, identities)
    if scenario.genesis != genesis:
        told = f"{scenario_path} and its data give {scenario.genesis.hex()}, so one of these files was changed"
        raise ConfigurationError([f"{cluster / PUBLIC_FILE}: genesis: is {genesis.hex()}, but {told}"])
    peers = tuple(
        Peer(NodeId(peer), public.hosts[NodeId(peer)], address.host, address.port)
        for peer, address in node.peers.items()
    )
    network = network_id(file.configuration, genesis, cluster_file)
    return NodeSetup(
        NodeId(node.name), node, folder, scenario, identities, token, cluster_file.epoch_us, network, peers
    )


def network_id(configuration: Configuration, genesis: Digest, cluster: ClusterFile) -> str:
    """The id of a network: nodes that have another have nothing to say to each other."""
    document = configuration.model_dump(mode="json", exclude_defaults=True, include={*_AGREED})
    agreed = json.dumps([document, configuration.consensus.protocol], sort_keys=True)
    tail = digest("network", genesis, cluster.epoch_us, agreed).hex()[:16]
    return f"{configuration.scenario.name}-{tail}"


def live_problems(file: ConfigurationFile) -> list[str]:
    """What a simulation may take for granted, and a live node may not."""
    configuration, problems = file.configuration, list[FieldProblem]()
    if configuration.scenario.crypto != "real":
        expected = 'expected "real": live nodes refuse "model", whose signatures anybody can make'
        problems.append(FieldProblem(("scenario", "crypto"), expected))
    if configuration.ledger.pow != "ground":
        expected = 'expected "ground": live nodes refuse "sampled", which is no work'
        problems.append(FieldProblem(("ledger", "pow"), expected))
    return [str(problem) for problem in file.placed(ConfigurationError(problems)).problems]


def _unfit(path: Path, plan: Plan, public: PublicIdentities) -> Iterator[str]:
    """Where the public identities are not those of the scenario's chains and hosts."""
    for host in plan.hosts:
        if host not in public.hosts:
            yield f"{path}: hosts.{host}: is missing: the scenario has it"
    for name, chain in plan.chains.items():
        if name not in public.chains:
            yield f"{path}: chains.{name}: is missing: the scenario has it"
        elif public.chains[name].members != chain.members:
            yield f"{path}: chains.{name}.members: expected those of the scenario, {', '.join(chain.members)}"


def _node_problems(path: Path, node: NodeFile, configuration: Configuration, plan: Plan) -> Iterator[str]:
    """What is wrong with the node's name, and with its peers."""
    if node.name not in plan.hosts:
        yield f"{path}: name: {node.name!r} is no host of the scenario: expected one of {', '.join(plan.hosts)}"
        return
    for peer in node.peers:
        if peer not in plan.hosts or peer == node.name:
            yield f"{path}: peers.{peer}: is no other host of the scenario"
    for peer in peers_of(configuration, plan, NodeId(node.name)):
        if peer not in node.peers:
            yield f"{path}: peers.{peer}: is missing: {node.name} talks to it"


def _scenario(file: ConfigurationFile, folder: Path, identities: HeldIdentities) -> Scenario:
    try:
        return Scenario(file.configuration, folder, identities, entropy)
    except ConfigurationError as error:
        raise file.placed(error) from None


class _Problems:
    """Collects what is wrong."""

    def __init__(self) -> None:
        self._found: list[str] = []

    def tried(self, reading: Callable[[], _T]) -> _T | None:
        """What is read; none when it can't be used."""
        try:
            return reading()
        except ConfigurationError as error:
            self._found += map(str, error.problems)
            return None

    def add(self, problems: Iterator[str] | list[str]) -> None:
        """These are wrong, too."""
        self._found += problems

    def raise_all(self) -> None:
        """Errors: ``ConfigurationError`` when anything is wrong."""
        if self._found:
            raise ConfigurationError(self._found)
