"""What the sharing of nonces and the signature with them promise, as checks under an adversary.

A check runs one committee once, by its seed, in either kind of crypto.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec

from ledger.kernel.automaton import Envelope, NodeId, Path
from ledger.kernel.encoding import Codec, digest, pack
from ledger.kernel.group import SCALAR_SIZE
from ledger.kernel.identity import CryptoKind
from ledger.kernel.rng import Stream, stream
from tests.harness.committee import CHAIN, DealtCommittee
from tests.harness.consensus_checks import adversary, faulty_members
from tests.harness.virtual_network import VirtualNetwork
from wasp.consensus.byzantine.lying import (
    Gossiping,
    Lie,
    Lying,
    bad_shares,
    equivocating_proposer,
    false_implicator,
    lying_echoer,
    silent,
)
from wasp.consensus.signing.anchor_signature import MessageSigned, PrepareSignature, SignaturePrepared, SignMessage
from wasp.consensus.signing.nonce_sharing import (
    DealNonce,
    Implicate,
    NonceShared,
    NonceSharing,
    SharingMessage,
    SharingOk,
    SharingReady,
)
from wasp.consensus.signing.nonce_signature import NonceSignature, NonceSignatureMessage, dealers_named, encode_dealers

SHARING_CODEC: Codec[Any] = Codec(SharingMessage)
NONCE_SIGNATURE_CODEC: Codec[Any] = Codec(NonceSignatureMessage)

NonceLiars = Literal["silent", "lying", "gossiping", "bad shares", "wrong dealings"]
NONCE_LIARS: tuple[NonceLiars, ...] = ("silent", "lying", "gossiping", "bad shares", "wrong dealings")
MESSAGE = digest("message")


def spoiled(dealing: bytes, n: int, members: Iterable[int]) -> bytes:
    """The dealing with wrong shares for these members: it ends with what is padded for each."""
    changed = bytearray(dealing)
    for member in members:
        changed[len(dealing) - (n - member) * SCALAR_SIZE] ^= 1
    return bytes(changed)


class WrongDealer:
    """A member's nonce key that deals wrong shares to some members, and is honest in all else."""

    def __init__(self, key: Any, n: int, members: Iterable[int]) -> None:
        self._key = key
        self._n = n
        self._members = tuple(members)

    def deal(self, sid: bytes, rng: Stream) -> bytes:
        dealing: bytes = self._key.deal(sid, rng)
        return spoiled(dealing, self._n, self._members)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._key, name)


def cheated(dealt: DealtCommittee, seed: int, liars: NonceLiars) -> list[int]:
    """To whom a faulty dealer deals wrong shares: from nobody to all."""
    rng = stream(seed, "cheated")
    if liars not in ("wrong dealings", "gossiping"):
        return []
    return rng.sample(range(dealt.committee.n), rng.randrange(dealt.committee.n + 1))


def hasty(rng: Stream) -> Lie:
    """Says to some that it has its share, and to some that all is ready, as soon as it has a dealing."""

    def lie(envelope: Envelope) -> Sequence[Envelope]:
        if isinstance(envelope.message, SharingReady):
            return ()
        if not isinstance(envelope.message, SharingOk | Implicate):
            return (envelope,)
        some = [tuple(member for member in envelope.recipients if rng.random() < 0.5) for _ in range(2)]
        return (Envelope(some[0], envelope.path, SharingOk()), Envelope(some[1], envelope.path, SharingReady()))

    return lie


def lies_of(liars: NonceLiars, rng: Stream) -> Sequence[Lie]:
    """What a liar says in the place of the truth."""
    lies: dict[NonceLiars, Sequence[Lie]] = {
        "silent": (silent,),
        "lying": (equivocating_proposer, lying_echoer, false_implicator),
        "bad shares": (bad_shares,),
        "wrong dealings": (bad_shares, hasty(rng)),
    }
    return lies[liars]


def check_sharing(n: int, liars: NonceLiars, seed: int, kind: CryptoKind = "model") -> None:
    """All correct members output one dealing, each with its share of it, or none does; all do if the dealer is correct."""
    dealt = DealtCommittee(n, kind=kind)
    faulty = faulty_members(dealt, seed)
    dealer = stream(seed, "dealer").choice(faulty or dealt.members) if seed % 4 else dealt.members[0]
    place = dealt.committee.index[dealer]
    path: Path = (CHAIN, 1, "signature", place)
    nodes: dict[NodeId, Any] = {}
    for me in dealt.members:
        key: Any = dealt.keys[me].nonces
        if me in faulty:
            key = WrongDealer(key, n, cheated(dealt, seed, liars))
        nodes[me] = NonceSharing(path, dealt.committee, place, key)
        if me in faulty and liars == "gossiping":
            own = (path,) if me == dealer else ()
            dealing = key.deal(pack(path), stream(seed, "dealing"))
            nodes[me] = Gossiping(me, dealt.members, stream(seed, "gossip", me), own, dealing)
        elif me in faulty:
            nodes[me] = Lying(nodes[me], me, *lies_of(liars, stream(seed, "lies", me)))
    network = VirtualNetwork(nodes, SHARING_CODEC, adversary(dealt.members, seed), faulty)
    network.give(dealer, DealNonce(stream(seed, "dealer's")))
    network.run()
    outputs = {me: network.outputs_of(me, NonceShared) for me in network.correct}
    shared = [output for each in outputs.values() for output in each]
    assert len({output.dealing for output in shared}) <= 1, "agreement: one dealing"
    counts = {len(each) for each in outputs.values()}
    assert counts in ({0}, {1}), f"totality: {network.status()}"
    assert dealer in faulty or counts == {1}, f"validity: {network.status()}"
    for me, each in outputs.items():
        for output in each:
            right = dealt.keys[me].nonces.verify_share(dealt.committee.index[me], output.dealing, output.share)
            assert right, "completeness: every share is right"


def check_nonce_signature(n: int, liars: NonceLiars, seed: int, kind: CryptoKind = "model") -> None:
    """All correct members prepare, and end with the same signature, which an ordinary verifier accepts."""
    dealt = DealtCommittee(n, kind=kind)
    faulty = faulty_members(dealt, seed)
    nodes: dict[NodeId, Any] = {}
    for me in dealt.members:
        membership = dealt.membership(me)
        path: Path = (CHAIN, 1, "signature", dealt.committee.index[me])
        if me in faulty:
            key: Any = WrongDealer(membership.keys.nonces, n, cheated(dealt, seed, liars))
            membership = msgspec.structs.replace(membership, keys=msgspec.structs.replace(membership.keys, nonces=key))
        nodes[me] = NonceSignature(membership)
        if me in faulty and liars == "gossiping":
            dealing = membership.keys.nonces.deal(pack(path), stream(seed, "dealing"))
            nodes[me] = Gossiping(me, dealt.members, stream(seed, "gossip", me), (path,), dealing)
        elif me in faulty:
            nodes[me] = Lying(nodes[me], me, *lies_of(liars, stream(seed, "lies", me)))
    network = VirtualNetwork(nodes, NONCE_SIGNATURE_CODEC, adversary(dealt.members, seed), faulty)
    for me in dealt.members:
        network.give(me, PrepareSignature())
    prepared: dict[NodeId, bytes] = {}

    def all_prepared() -> bool:
        for me in network.correct:
            for output in network.outputs_of(me, SignaturePrepared):
                prepared[me] = output.preparation
        return len(prepared) == len(network.correct)

    network.run(until=all_prepared)
    assert len(prepared) == len(network.correct), f"preparation: {network.status()}"
    for preparation in prepared.values():
        assert int.from_bytes(preparation, "big").bit_count() >= n - dealt.committee.f, "preparation: n - f dealers"
    decided = _decided(dealt, faulty, prepared, seed)
    for me in stream(seed, "signing order").sample(dealt.members, n):
        if me not in faulty or liars != "gossiping":
            network.give(me, SignMessage(MESSAGE, decided))
        network.run(until=lambda stop=network.cranks + 3 * n: network.cranks >= stop)  # type: ignore[misc]
    network.run()
    signed = {me: network.outputs_of(me, MessageSigned) for me in network.correct}
    first = signed[network.correct[0]]
    assert len(first) == 1 and all(each == first for each in signed.values()), f"termination: {network.status()}"
    group_key = dealt.keys[dealt.members[0]].nonces.group_key
    assert dealt.verifier.verify(group_key, MESSAGE, first[0].signature), "validity: an ordinary signature"


def _decided(
    dealt: DealtCommittee, faulty: Iterable[NodeId], prepared: dict[NodeId, bytes], seed: int
) -> tuple[tuple[int, bytes], ...]:
    """What n - f or more members are decided to have prepared; of the faulty ones, whatever they like."""
    rng = stream(seed, "decided")
    n = dealt.committee.n
    lies = {me: _lie(dealt, faulty, rng) for me in faulty}
    count = rng.randint(dealt.committee.waiting, n)
    chosen = sorted(dealt.committee.index[me] for me in rng.sample(dealt.members, count))
    said = {**prepared, **lies}
    return tuple((member, said[dealt.members[member]]) for member in chosen)


def _lie(dealt: DealtCommittee, faulty: Iterable[NodeId], rng: Stream) -> bytes:
    n = dealt.committee.n
    others = rng.sample(range(n), n - dealt.committee.f)
    liars = [dealt.committee.index[me] for me in faulty]
    lies = (b"", rng.randbytes(9), encode_dealers(range(n), n), encode_dealers(liars, n), encode_dealers(others, n))
    return rng.choice(lies)


def check_dealers() -> None:
    """Of the decided preparations f + 1 name a dealer, or it is no dealer; liars can't keep it below f + 1 dealers."""
    for n in (4, 5, 6, 7, 8, 9, 10, 13):
        dealt = DealtCommittee(n)
        f = dealt.committee.f
        honest = encode_dealers(range(n - f), n)
        for naming in range(f + 2):
            signature: Any = NonceSignature(dealt.membership(dealt.members[0]))
            others = [encode_dealers(range(f, n), n)] * naming
            preparations = [*others, *[honest] * (n - f - naming)]
            signature.handle_input(SignMessage(MESSAGE, tuple(enumerate(preparations))), 0)
            chosen = n - 1 in signature.dealers
            assert naming > f or not chosen, "liars: a dealer that f members name may be silent"
            assert naming <= f or chosen, "liars: a dealer that f + 1 members name has dealt"
        for seed in range(20):
            rng = stream(seed, "names", n)
            correct = [encode_dealers(rng.sample(range(n), n - f), n) for _ in range(n - 2 * f)]
            lies = [_lie(dealt, dealt.members[:f], rng) for _ in range(f)]
            signature = NonceSignature(dealt.membership(dealt.members[0]))
            signature.handle_input(SignMessage(MESSAGE, tuple(enumerate(correct + lies))), 0)
            assert len(signature.dealers) > f, "secrecy: a correct dealer"
            named = [dealers_named(preparation, n, f) for preparation in correct]
            assert all(any(mask >> dealer & 1 for mask in named) for dealer in signature.dealers), (
                "liars: only named ones"
            )


def check_nonce_key() -> None:
    """Of both kinds: n - f partial signatures make the signature, f + 1 shares make one's own; one less is too few."""
    kinds: tuple[CryptoKind, ...] = ("model", "real")
    for kind, n in itertools.product(kinds, (4, 5, 7)):
        dealt = DealtCommittee(n, kind=kind)
        keys = [dealt.keys[me].nonces for me in dealt.members]
        dealing = keys[0].deal(b"sid", stream(1, "dealing"))
        shares = {member: key.open(b"sid", dealing) or b"" for member, key in enumerate(keys)}
        partials = {member: key.sign_partial([dealing], [shares[member]], MESSAGE) for member, key in enumerate(keys)}
        for count in range(n):
            signed = recovered = False
            with contextlib.suppress(AssertionError):
                signature = keys[0].combine([dealing], MESSAGE, dict(itertools.islice(partials.items(), count)))
                signed = dealt.verifier.verify(keys[0].group_key, MESSAGE, signature)
            with contextlib.suppress(AssertionError):
                recovered = keys[-1].recover(dealing, dict(itertools.islice(shares.items(), count))) == shares[n - 1]
            assert count >= n - dealt.committee.f or not signed, f"too few: {count} of {n} signed"
            assert count < n - dealt.committee.f or signed, f"enough: {count} of {n} signed"
            assert count > dealt.committee.f or not recovered, f"too few: {count} of {n} reveal their shares"
            assert count <= dealt.committee.f or recovered, f"enough: {count} of {n} reveal their shares"
