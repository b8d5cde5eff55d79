"""The files of a live node that people edit: its own ``node.toml``, and the cluster's ``cluster.toml``.

::

    DIR/cluster.toml      where the scenario is, and the epoch: instant 0 of the market's clock
    DIR/scenario.toml     the scenario, resolved; its data beside it, where they are not those that come with the project
    DIR/public.json       what every node may know of all keys
    DIR/nodes/NAME/node.toml, secret.json, store.db, log.jsonl

Files that a node names are looked for beside its own file. Errors are ``ConfigurationError``, all problems of a file at
once, with line and field.
"""

from __future__ import annotations

import ipaddress
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, NamedTuple, TypeVar

from pydantic import BeforeValidator, Field, PlainSerializer, ValidationError

from node.configuration import Name, Section
from node.configuration_schema import told_problems
from node.toml_file import TomlFile

CLUSTER_FILE = "cluster.toml"
PUBLIC_FILE = "public.json"
NODE_FILE = "node.toml"
PORT_MAX = 65_535
_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)):([0-9]{1,5})")


class Address(NamedTuple):
    """Where something listens: a name or an address of the network, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def _parse_address(text: object) -> Address:
    if isinstance(text, Address):
        return text
    parts = _ADDRESS.fullmatch(text) if isinstance(text, str) else None
    if parts is None or int(parts[3]) > PORT_MAX:
        raise ValueError(f'expected an address and a port from 0 to {PORT_MAX}, such as "127.0.0.1:4000", not {text!r}')
    return Address(parts[1] or parts[2], int(parts[3]))


def _parse_peer(text: object) -> Address:
    address = _parse_address(text)
    if address.port == 0:
        raise ValueError(f"expected the port at which the peer listens, not {text!r}")
    return address


def _parse_moment(value: object) -> datetime:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError(f"expected a moment of UTC such as 2026-11-23T08:00:00Z, not {str(value)!r}")
    return value.astimezone(UTC)


Listen = Annotated[Address, BeforeValidator(_parse_address), PlainSerializer(str, return_type=str)]
PeerAddress = Annotated[Address, BeforeValidator(_parse_peer), PlainSerializer(str, return_type=str)]
Moment = Annotated[datetime, BeforeValidator(_parse_moment)]


class NodeFile(Section):
    """``node.toml``. Paths are relative to its folder."""

    name: Name
    listen: Listen
    """Where other nodes reach this one; port 0 takes a free one."""
    api: Listen
    """Where the API is served. Beyond this machine it asks for the token that is in the secret file."""
    cluster: str = "../.."
    """The folder of ``cluster.toml`` and ``public.json``."""
    secrets: str = "secret.json"
    store: str = "store.db"
    log: str = "log.jsonl"
    log_size_max: int = Field(default=64 * 1024 * 1024, ge=64 * 1024)
    """Bytes of the log; when it has so many it is put aside as ``log.jsonl.1``, of which the latest is kept."""
    peers: dict[Name, PeerAddress] = Field(default_factory=dict)
    """The nodes that this one talks to, and where they listen."""


class ClusterFile(Section):
    """``cluster.toml``."""

    scenario: str = "scenario.toml"
    epoch: Moment
    """Instant 0. It must not change once a node has run."""

    @property
    def epoch_us(self) -> int:
        """Microseconds of Unix time."""
        return (self.epoch - _UNIX) // timedelta(microseconds=1)


_UNIX = datetime(1970, 1, 1, tzinfo=UTC)
_S = TypeVar("_S", bound=Section)


def read_node_file(path: Path) -> NodeFile:
    """The node's own file."""
    return _read(path, NodeFile)


def read_cluster_file(path: Path) -> ClusterFile:
    """The cluster's file."""
    return _read(path, ClusterFile)


def _read(path: Path, kind: type[_S]) -> _S:
    file = TomlFile(path)
    try:
        return kind.model_validate(file.document)
    except ValidationError as error:
        raise file.placed(told_problems(error.errors(), kind)) from None
