"""The folder of a cluster: written once, then edited by people, and read by the nodes and whoever runs them.

``init_cluster`` writes it whole beside its place and moves it there, so that a broken one leaves nothing half-done. Keys are
dealt from the operating system's entropy, or, to compare with a simulation, from a seed. Secrets are in files of their own,
each for its owner alone; nothing else of them is left.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import tomlkit

from ledger.kernel.automaton import NodeId
from ledger.kernel.encoding import Frozen
from ledger.kernel.instant import Duration
from node.configuration import Configuration, ConfigurationError
from node.configuration_checks import field_problems
from node.configuration_file import open_configuration
from node.environment import peers_of
from node.identities import HeldIdentities, deal_identities
from node.live.identity_files import write_public, write_secrets
from node.live.live_scenario import made_live
from node.live.node_file import CLUSTER_FILE, NODE_FILE, PUBLIC_FILE, NodeFile, read_cluster_file, read_node_file
from node.live.node_setup import entropy
from node.live.placement import Placed, Surrounding, placements
from node.plan import Plan, plan_of
from node.scenario import Scenario
from node.shipped import shipped

SCENARIO_FILE = "scenario.toml"
NODES_FOLDER = "nodes"
SECRET_FILE = "secret.json"
DEFAULT_SCENARIO = "live.toml"
ENTROPY_SIZE = 32
TOKEN_SIZE = 24
_CLUSTER_HEAD = """\
# A live cluster of tanglegrid. All nodes must have this file, the scenario and public.json alike; every node has a folder
# in nodes, with its own configuration and its secrets.
"""
_EPOCH_COMMENT = "instant 0 of the market's clock; must not change once a node has run"
_NODE_HEAD = """\
# A node: tanglegrid node --config {path}
# Paths are relative to this folder. Of its peers a node knows the keys from public.json.
"""
_SCENARIO_HEAD = """\
# The scenario of this cluster, resolved; it runs in the simulation, too: tanglegrid run scenario.toml
"""


class Initialised(Frozen):
    """A cluster whose files were written."""

    folder: Path
    surrounding: Surrounding
    plan: Plan
    notes: tuple[str, ...]
    """What of the scenario was changed so that it can run live."""
    warnings: tuple[str, ...]

    def text(self) -> str:
        """For people."""
        chains, nodes = self.plan.chains.values(), len(self.plan.ledger_nodes)
        sizes = ", ".join(f"{chain.name} {len(chain.members)}" for chain in chains)
        hosts = f"{nodes} layer-1 {'node' if nodes == 1 else 'nodes'}, {len(self.plan.homes)} homes"
        lines = [
            f"{self.folder}: {hosts}; members of the committees: {sizes}",
            *self.notes,
            f"every node has its files in {self.folder / NODES_FOLDER}",
        ]
        if self.surrounding == "local":
            lines += ["next:", f"  tanglegrid cluster up {self.folder}"]
        return "\n".join(lines)


class ClusterFolder:
    """The files of a cluster, as they are now.

    Errors: ``ConfigurationError``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        file = read_cluster_file(folder / CLUSTER_FILE)
        self.epoch_us = file.epoch_us
        self.scenario_path = folder / file.scenario
        self.configuration = open_configuration(self.scenario_path).configuration
        self.plan = plan_of(self.configuration)
        problems: list[str] = []
        self.nodes: dict[NodeId, NodeFile] = {}
        """By name, in the order of the plan."""
        for host in self.plan.hosts:
            try:
                self.nodes[host] = read_node_file(self.node_path(host))
            except ConfigurationError as error:
                problems += map(str, error.problems)
        if problems:
            raise ConfigurationError(problems)

    def node_path(self, node: NodeId) -> Path:
        """The node's own file."""
        return self.folder / NODES_FOLDER / node / NODE_FILE

    @property
    def has_run(self) -> bool:
        """Whether some node has a store: from then on the epoch is what it is."""
        return any((self.node_path(node).parent / file.store).exists() for node, file in self.nodes.items())

    def set_epoch(self, epoch_us: int) -> None:
        """Let instant 0 be another, before any node has run. Comments and all else in the file stay."""
        assert not self.has_run, "the records of a node that has run are of its epoch"
        path = self.folder / CLUSTER_FILE
        document = tomlkit.parse(path.read_text(encoding="utf-8"))
        document["epoch"] = _moment(epoch_us)
        document["epoch"].comment(_EPOCH_COMMENT)
        draft = path.with_name(f".{path.name}")
        draft.write_text(tomlkit.dumps(document), encoding="utf-8")
        draft.replace(path)
        self.epoch_us = epoch_us


def init_cluster(
    folder: Path,
    configuration: Path | None = None,
    overrides: Sequence[str] = (),
    *,
    members: int | None = None,
    seed: int | None = None,
    surrounding: Surrounding = "local",
    now_us: int,
    starts_in: Duration = 0,
) -> Initialised:
    """Write the files of a cluster into a folder that is not there yet, or empty.

    ``members``: homes of each microgrid. ``seed``: the scenario's, from which the keys are dealt as in a simulation, too;
    without it they are nobody's to guess. ``starts_in``: how long after ``now_us`` the market's clock begins.

    Errors: ``ConfigurationError``; ``OSError``, after which the place is as it was.
    """
    path = configuration or shipped(DEFAULT_SCENARIO)
    file = open_configuration(path, overrides, seed)
    resolved, notes = made_live(file.configuration, members)
    if problems := field_problems(resolved):
        raise file.placed(ConfigurationError(problems))
    _check_place(folder)
    plan = plan_of(resolved)
    public, all_secrets = deal_identities(secrets.token_bytes(ENTROPY_SIZE) if seed is None else seed, plan)
    identities = HeldIdentities(public, all_secrets[plan.hosts[0]])
    try:
        scenario = Scenario(resolved, path.parent, identities, entropy)
    except ConfigurationError as error:
        raise file.placed(error) from None
    places = placements(surrounding, plan)
    unfinished = folder.resolve().parent / f".{folder.resolve().name}.{os.getpid()}"
    try:
        unfinished.mkdir(parents=True)
        local = _copy_files(resolved, path.parent, unfinished)
        _write_toml(unfinished / SCENARIO_FILE, _SCENARIO_HEAD, _document(local))
        _write_toml(unfinished / CLUSTER_FILE, _CLUSTER_HEAD, _cluster_document(now_us + starts_in))
        write_public(unfinished / PUBLIC_FILE, scenario.genesis, public)
        for host in plan.hosts:
            home = unfinished / NODES_FOLDER / host
            home.mkdir(parents=True)
            peers = {peer: places[peer] for peer in peers_of(resolved, plan, host)}
            head = _NODE_HEAD.format(path=folder / NODES_FOLDER / host / NODE_FILE)
            _write_toml(home / NODE_FILE, head, _node_document(host, places[host], peers))
            write_secrets(home / SECRET_FILE, all_secrets[host], secrets.token_urlsafe(TOKEN_SIZE))
        if folder.is_dir():
            folder.rmdir()  # it is empty
        unfinished.rename(folder.resolve())
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return Initialised(folder, surrounding, plan, tuple(notes), scenario.warnings)


def _check_place(folder: Path) -> None:
    expected = "expected a folder that is not there yet, or empty"
    try:
        if folder.is_dir():
            taken = next(folder.iterdir(), None)
            if taken is not None:
                what = "there is a cluster already" if (folder / CLUSTER_FILE).exists() else f"has {taken.name} in it"
                raise ConfigurationError([f"{folder}: {what}: {expected}"])
        elif folder.exists():
            raise ConfigurationError([f"{folder}: is a file: {expected}"])
    except OSError as error:
        raise ConfigurationError([f"{folder}: {error.strerror}"]) from None


def _copy_files(configuration: Configuration, folder: Path, target: Path) -> Configuration:
    """Copy the files that the scenario names and that don't come with the project; the scenario that names the copies."""
    changes: dict[str, Any] = {}
    named = {
        "data": ("file", configuration.data.file),
        "network": ("matrix", configuration.network.matrix),
        "hardware": ("profile", configuration.hardware.profile),
    }
    for section, (field, name) in named.items():
        found = folder / (name or "")
        if name is None or not found.is_file() or found.resolve() == shipped(name).resolve():
            continue
        copy = Path("data", Path(name).name)
        (target / copy).parent.mkdir(exist_ok=True)
        shutil.copyfile(found, target / copy)
        changes[section] = getattr(configuration, section).model_copy(update={field: copy.as_posix()})
    return configuration.model_copy(update=changes)


# ------------------------------------------------------------------------------------------------------------ documents


def _write_toml(path: Path, head: str, document: Mapping[str, Any]) -> None:
    path.write_text(head + "\n" + tomlkit.dumps(document), encoding="utf-8")


def _document(configuration: Configuration) -> dict[str, Any]:
    """What is run, and all else that is not as it is by default. Homes are named alone where their data have their name."""
    document = configuration.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
    document["scenario"] = configuration.scenario.model_dump(mode="json")
    for chain in document["chains"]:
        homes = chain.get("homes", [])
        chain["homes"] = [
            home["name"] if home == {"name": home["name"], "data": home["name"]} else home for home in homes
        ]
        if not homes:
            del chain["homes"]
    for field in ("grid_charges", "grid_pays"):
        document["market"][field] = float(document["market"][field])
    return document


def _cluster_document(epoch_us: int) -> tomlkit.TOMLDocument:
    document = tomlkit.document()
    document["scenario"] = SCENARIO_FILE
    document["epoch"] = _moment(epoch_us)
    document["epoch"].comment(_EPOCH_COMMENT)
    return document


def _node_document(host: NodeId, placed: Placed, peers: Mapping[NodeId, Placed]) -> dict[str, Any]:
    return {
        "name": str(host),
        "listen": str(placed.listen),
        "api": str(placed.api),
        "peers": {str(peer): str(peer_placed.reached) for peer, peer_placed in peers.items()},
    }


def _moment(epoch_us: int) -> datetime:
    seconds, microsecond = divmod(epoch_us, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=microsecond)
