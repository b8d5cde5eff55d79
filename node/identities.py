"""Who is who: the keys of a scenario's hosts and committees, parted into what every node may know and what one host knows.

=====================  =================================================================================================
``PublicIdentities``   every host's public key, and what is public of every committee's keys: known to all nodes
``HostSecrets``        one host's signing secret, and its member secrets on each of its chains: never leaves the host
``HeldIdentities``     what a live host has: the public identities and its own secrets
``SeededIdentities``   what a simulation has: all secrets of all hosts, dealt from the scenario's seed by name
=====================  =================================================================================================

``deal_identities`` deals from a seed the same real keys as ``SeededIdentities`` has, so that a live cluster can have those of
a simulation. Else the seed is 32 bytes of the operating system's entropy, forgotten when all is dealt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ledger.kernel.automaton import NodeId
from ledger.kernel.encoding import Frozen
from ledger.kernel.identity import (
    CryptoKind,
    PublicKey,
    RealSigner,
    RealVerifier,
    Signer,
    Verifier,
    deal_signer,
    deal_signing_secret,
    verifier,
)
from ledger.kernel.key_dealer import (
    CommitteeKeys,
    MemberSecrets,
    deal_committee,
    deal_member_keys,
    foreign_secrets,
    join_keys,
)
from ledger.kernel.quorum import max_faulty
from ledger.kernel.threshold import MemberKeys
from node.plan import Plan

_HOST = "host"
"""The first part of the label of every host's key."""


class Identities(Protocol):
    """What a scenario asks of its identities. Secrets are asked for only of hosts that run here."""

    @property
    def verifier(self) -> Verifier:
        """Checks the hosts' and the committees' signatures."""
        ...

    def public_key(self, host: NodeId) -> PublicKey:
        """The host's public key."""
        ...

    def group_key(self, chain: str) -> PublicKey:
        """The public key of the chain's committee."""
        ...

    def signer(self, host: NodeId) -> Signer:
        """The host's signer."""
        ...

    def member_keys(self, chain: str, member: NodeId) -> MemberKeys:
        """The member's part of its committee's keys."""
        ...


class SeededIdentities:
    """All hosts' identities, of either kind, dealt from the scenario's seed."""

    def __init__(self, kind: CryptoKind, seed: int, plan: Plan) -> None:
        self.verifier = verifier(kind)
        self._signers = {host: deal_signer(kind, seed, _HOST, host) for host in plan.hosts}
        self._keys: dict[str, dict[NodeId, MemberKeys]] = {}
        for chain in plan.chains.values():
            n = len(chain.members)
            keys = deal_member_keys(kind, seed, chain.name, n, max_faulty(n))
            self._keys[chain.name] = dict(zip(chain.members, keys, strict=True))

    def public_key(self, host: NodeId) -> PublicKey:
        return self._signers[host].public_key

    def group_key(self, chain: str) -> PublicKey:
        return next(iter(self._keys[chain].values())).signing.group_key

    def signer(self, host: NodeId) -> Signer:
        return self._signers[host]

    def member_keys(self, chain: str, member: NodeId) -> MemberKeys:
        return self._keys[chain][member]


class CommitteeIdentity(Frozen):
    """The members of a chain's committee, in their order, and what is public of their keys."""

    members: tuple[NodeId, ...]
    keys: CommitteeKeys


class PublicIdentities(Frozen):
    """What every node may know."""

    hosts: Mapping[NodeId, PublicKey]
    chains: Mapping[str, CommitteeIdentity]


class HostSecrets(Frozen):
    """What only one host knows."""

    host: NodeId
    signing: bytes
    """The 32 bytes that its Ed25519 key is made of."""
    chains: Mapping[str, MemberSecrets]
    """By the chains that it is a member of."""

    def __repr__(self) -> str:
        return f"HostSecrets({self.host!r}, ...)"


class HeldIdentities:
    """The identities that one live host has: everybody's in public, and its own in secret."""

    def __init__(self, public: PublicIdentities, secrets: HostSecrets) -> None:
        self.verifier = RealVerifier()
        self.public = public
        self._secrets = secrets
        self._signer = RealSigner(secrets.signing)

    def public_key(self, host: NodeId) -> PublicKey:
        return self.public.hosts[host]

    def group_key(self, chain: str) -> PublicKey:
        return self.public.chains[chain].keys.signing.group_key

    def signer(self, host: NodeId) -> Signer:
        assert host == self._secrets.host, "a live host has its own secrets only"
        return self._signer

    def member_keys(self, chain: str, member: NodeId) -> MemberKeys:
        assert member == self._secrets.host, "a live host has its own secrets only"
        committee = self.public.chains[chain]
        return join_keys(committee.keys, committee.members.index(member), self._secrets.chains[chain])


def deal_identities(seed: bytes | int, plan: Plan) -> tuple[PublicIdentities, dict[NodeId, HostSecrets]]:
    """Real identities of all hosts: what is public, and every host's secrets."""
    signing = {host: deal_signing_secret(seed, _HOST, host) for host in plan.hosts}
    members: dict[NodeId, dict[str, MemberSecrets]] = {host: {} for host in plan.hosts}
    chains: dict[str, CommitteeIdentity] = {}
    for chain in plan.chains.values():
        n = len(chain.members)
        keys, secrets = deal_committee(seed, chain.name, n, max_faulty(n))
        chains[chain.name] = CommitteeIdentity(chain.members, keys)
        for member, secret in zip(chain.members, secrets, strict=True):
            members[member][chain.name] = secret
    public = PublicIdentities({host: RealSigner(secret).public_key for host, secret in signing.items()}, chains)
    return public, {host: HostSecrets(host, signing[host], members[host]) for host in plan.hosts}


def identity_problems(public: PublicIdentities, secrets: HostSecrets) -> list[tuple[str, str]]:
    """The fields of a host's secrets that don't belong to the public identities, each with what is wrong."""
    host, problems = secrets.host, list[tuple[str, str]]()
    if host not in public.hosts:
        return [("host", f"{host!r} is none of the public identities' hosts")]
    if RealSigner(secrets.signing).public_key != public.hosts[host]:
        problems.append(("signing", f"is not the secret of {host}'s public key"))
    memberships = [name for name, committee in public.chains.items() if host in committee.members]
    problems += [
        (f"chains.{name}", f"is missing: {host} is a member") for name in memberships if name not in secrets.chains
    ]
    for name, secret in secrets.chains.items():
        if name not in memberships:
            problems.append((f"chains.{name}", f"{host} is no member of a chain with this name"))
            continue
        committee = public.chains[name]
        for field in foreign_secrets(committee.keys, committee.members.index(host), secret):
            problems.append((f"chains.{name}.{field}", f"is not the secret of {host}'s public share"))
    return problems
