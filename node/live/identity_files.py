"""The files of identities: ``public.json``, which every node has, and ``secret.json``, which only its host has.

All bytes are hexadecimal, lower case. ``public.json`` has the genesis' digest too: a node whose configuration or data give
another genesis would be alone with it. A secret file that everybody can read is refused. Nothing of a secret is ever shown,
in an error neither.

Errors are ``ConfigurationError`` with file and field, all of a file at once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field, PlainSerializer, ValidationError

from ledger.kernel.automaton import NodeId
from ledger.kernel.encoding import Digest
from ledger.kernel.group import Scalar, is_point, scalar_bytes, scalar_of
from ledger.kernel.key_dealer import CommitteeKeys, MemberSecrets, SharedKey
from ledger.kernel.quorum import max_faulty
from node.configuration import ConfigurationError, Name, Section
from node.configuration_schema import told_problems
from node.identities import CommitteeIdentity, HostSecrets, PublicIdentities, identity_problems

SIZE = 32
"""Bytes of a key, a point, a scalar, a digest."""
PUBLIC_FORMAT = "tanglegrid public identities, 1"
TOKEN_MIN = 16
"""Characters of a token: shorter ones can be guessed."""
SECRET_FORMAT = "tanglegrid secrets of one host, 1"
OWNER_ONLY = 0o600
EVERYBODY = 0o007
"""The bits of a file's mode that no secret may have. A group may be let in: container platforms mount secrets so."""

_T = TypeVar("_T", bound=Section)


def _hex(expected: str, is_good: Callable[[bytes], bool]) -> Callable[[object], bytes]:
    def parse(text: object) -> bytes:
        if isinstance(text, bytes):
            return text
        try:
            data = bytes.fromhex(text) if isinstance(text, str) else b""
        except ValueError:
            data = b""
        if len(data) != SIZE or not is_good(data):
            raise ValueError(f"expected {2 * SIZE} hexadecimal digits, {expected}")
        return data

    return parse


_Key = Annotated[bytes, BeforeValidator(_hex("a public key", is_point)), PlainSerializer(bytes.hex)]
_Seed = Annotated[bytes, BeforeValidator(_hex("a secret", lambda data: True)), PlainSerializer(bytes.hex)]
_Digest = Annotated[bytes, BeforeValidator(_hex("a digest", lambda data: True)), PlainSerializer(bytes.hex)]
_Scalar = Annotated[
    bytes,
    BeforeValidator(_hex("a scalar below the group's order", lambda data: scalar_of(data) is not None)),
    PlainSerializer(bytes.hex),
]


class SharedKeySection(Section):
    """A key of which members hold shares."""

    group_key: _Key
    public_shares: tuple[_Key, ...]


class CommitteeSection(Section):
    """A chain's committee; lists are in the order of its members."""

    members: tuple[Name, ...] = Field(min_length=1)
    signing: SharedKeySection
    coin: SharedKeySection
    decryption: SharedKeySection
    opening_keys: tuple[_Key, ...]


class PublicFile(Section):
    """``public.json``."""

    format: str
    genesis: _Digest
    hosts: dict[Name, _Key]
    chains: dict[Name, CommitteeSection]


class MemberSecretsSection(Section):
    """A member's secrets."""

    coin: _Scalar = Field(repr=False)
    signing: _Scalar = Field(repr=False)
    opening: _Scalar = Field(repr=False)
    decryption: _Scalar = Field(repr=False)


class SecretFile(Section):
    """``secret.json``."""

    format: str
    host: Name
    signing: _Seed = Field(repr=False)
    chains: dict[Name, MemberSecretsSection]
    api_token: str = Field(min_length=TOKEN_MIN, repr=False)
    """What the node's API asks for."""


def write_public(path: Path, genesis: Digest, identities: PublicIdentities) -> None:
    """Write ``public.json``.

    Errors: ``OSError``.
    """
    chains = {
        name: CommitteeSection(
            members=committee.members,
            signing=_shared_section(committee.keys.signing),
            coin=_shared_section(committee.keys.coin),
            decryption=_shared_section(committee.keys.decryption),
            opening_keys=committee.keys.opening_keys,
        )
        for name, committee in identities.chains.items()
    }
    file = PublicFile(
        format=PUBLIC_FORMAT,
        genesis=genesis,
        hosts={str(host): key for host, key in identities.hosts.items()},
        chains=chains,
    )
    path.write_text(file.model_dump_json(indent=2) + "\n", encoding="utf-8")


def write_secrets(path: Path, secrets: HostSecrets, token: str) -> None:
    """Write ``secret.json``, which must not be there yet, for its owner alone; with the token of the node's API.

    Errors: ``OSError``.
    """
    chains = {
        name: MemberSecretsSection(
            **{field: scalar_bytes(getattr(member, field)) for field in member.__struct_fields__}
        )
        for name, member in secrets.chains.items()
    }
    file = SecretFile(format=SECRET_FORMAT, host=secrets.host, signing=secrets.signing, chains=chains, api_token=token)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY), "w", encoding="utf-8") as opened:
        opened.write(file.model_dump_json(indent=2) + "\n")


def read_public(path: Path) -> tuple[Digest, PublicIdentities]:
    """The genesis' digest and the public identities."""
    file = _read(path, PublicFile, PUBLIC_FORMAT)
    problems = []
    for name, section in file.chains.items():
        n, place = len(section.members), f"{path}: chains.{name}"
        problems += [f"{place}.members: {who!r} is none of hosts" for who in section.members if who not in file.hosts]
        if len(set(section.members)) != n:
            problems.append(f"{place}.members: expected each member once")
        counts = {f"{kind}.public_shares": len(getattr(section, kind).public_shares) for kind in _SHARED}
        problems += [
            f"{place}.{field}: expected {n}, one for each member, not {count}"
            for field, count in {**counts, "opening_keys": len(section.opening_keys)}.items()
            if count != n
        ]
    if problems:
        raise ConfigurationError(problems)
    hosts = {NodeId(host): key for host, key in file.hosts.items()}
    return file.genesis, PublicIdentities(hosts, {name: _committee(section) for name, section in file.chains.items()})


def read_secrets(path: Path, public: PublicIdentities) -> tuple[HostSecrets, str]:
    """The secrets of a host, which belong to the public identities, and the token of its API."""
    file = _read(path, SecretFile, SECRET_FORMAT)
    mode = path.stat().st_mode & 0o777
    if mode & EVERYBODY:
        raise ConfigurationError([f"{path}: everybody has access, mode {mode:04o}: expected 0600 (chmod 600 {path})"])
    chains = {
        name: MemberSecrets(*(_scalar(getattr(section, field)) for field in MemberSecrets.__struct_fields__))
        for name, section in file.chains.items()
    }
    secrets = HostSecrets(NodeId(file.host), file.signing, chains)
    if problems := identity_problems(public, secrets):
        raise ConfigurationError([f"{path}: {field}: {problem}" for field, problem in problems])
    return secrets, file.api_token


def read_token(path: Path) -> str:
    """The token of a host's API, alone: for whoever asks the API."""
    return _read(path, SecretFile, SECRET_FORMAT).api_token


_SHARED = ("signing", "coin", "decryption")


def _committee(section: CommitteeSection) -> CommitteeIdentity:
    coin, signing, decryption = (_shared(kind) for kind in (section.coin, section.signing, section.decryption))
    keys = CommitteeKeys(max_faulty(len(section.members)), coin, signing, section.opening_keys, decryption)
    return CommitteeIdentity(tuple(map(NodeId, section.members)), keys)


def _shared(section: SharedKeySection) -> SharedKey:
    return SharedKey(section.group_key, section.public_shares)


def _shared_section(key: SharedKey) -> SharedKeySection:
    return SharedKeySection(group_key=key.group_key, public_shares=key.public_shares)


def _scalar(data: bytes) -> Scalar:
    scalar = scalar_of(data)
    assert scalar is not None, "was checked when it was read"
    return scalar


def _read(path: Path, kind: type[_T], format: str) -> _T:
    """A JSON file of this kind and format."""
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError([f"{path}: can't be read: {error.strerror}"]) from None
    except json.JSONDecodeError as error:
        raise ConfigurationError([f"{path}:{error.lineno}:{error.colno}: expected JSON: {error.msg}"]) from None
    except (UnicodeDecodeError, RecursionError):
        raise ConfigurationError([f"{path}: expected JSON in UTF-8"]) from None
    if not isinstance(document, dict) or document.get("format") != format:
        raise ConfigurationError([f"{path}: format: expected a file with {format!r}"])
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        problems = told_problems(error.errors(), kind)
    told = [(".".join(map(str, problem.field)), problem.message) for problem in problems]
    raise ConfigurationError([f"{path}: {field}: {message.partition(', not ')[0]}" for field, message in told])
