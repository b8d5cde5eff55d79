"""What FROST signatures of a committee promise, as checks under an adversary: ``AssertionError`` when a promise is broken.

Members sign with keys that remember what they signed: no pair of nonces may ever sign two things.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from ledger.kernel.automaton import Automaton, Envelope, NodeId, Path, Step
from ledger.kernel.encoding import Codec, digest
from ledger.kernel.identity import CryptoKind
from ledger.kernel.instant import Instant
from ledger.kernel.rng import Stream, stream
from ledger.kernel.threshold import Commitments, NoncePair
from tests.harness.committee import CHAIN, DealtCommittee
from tests.harness.consensus_checks import adversary, faulty_members
from tests.harness.virtual_network import TimedNetwork, VirtualNetwork
from wasp.consensus.anchor_signature import MessageSigned, PrepareSignature, SignaturePrepared, SignMessage
from wasp.consensus.byzantine import Lie, Lying, bad_shares, silent
from wasp.consensus.frost_signature import FrostSignature
from wasp.consensus.signing_session import (
    CommitteeSignature,
    FrostSignatureMessage,
    NextAttempt,
    SessionShare,
    SignatureShare,
    SigningSession,
)

FROST_CODEC: Codec[Any] = Codec(FrostSignatureMessage)
MESSAGE, OTHER = digest("message"), digest("other")

Signers = Literal["silent", "bad shares", "two-faced", "unresponsive", "lying coordinator", "divergent", "gossiping"]
SIGNERS: tuple[Signers, ...] = (
    "silent",
    "bad shares",
    "two-faced",
    "unresponsive",
    "lying coordinator",
    "divergent",
    "gossiping",
)


class RememberingKey:
    """A member's signing key that notices when one pair of nonces signs two things."""

    def __init__(self, key: Any, signed: dict[bytes, tuple[bytes, Commitments]]) -> None:
        self._key = key
        self._signed = signed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._key, name)

    def sign_share(self, nonces: NoncePair, message: bytes, commitments: Commitments) -> bytes:
        assert nonces.commitment not in self._signed, "nonces: used once"
        self._signed[nonces.commitment] = (message, commitments)
        share: bytes = self._key.sign_share(nonces, message, commitments)
        return share


class SigningCommittee:
    """A committee's members about to sign, each with a key that remembers."""

    def __init__(self, n: int, log_index: int = 1, kind: CryptoKind = "model") -> None:
        self.dealt = DealtCommittee(n, kind=kind)
        self.members = self.dealt.members
        self.signed: dict[bytes, tuple[bytes, Commitments]] = {}
        self.nodes: dict[NodeId, Any] = {me: self._member(me, log_index) for me in self.members}
        self.group_key = self.dealt.keys[self.members[0]].signing.group_key
        self.preparations: dict[int, bytes] = {}

    def _member(self, me: NodeId, log_index: int) -> FrostSignature:
        place = self.dealt.membership(me, log_index)
        key: Any = RememberingKey(place.keys.signing, self.signed)
        return FrostSignature(msgspec.structs.replace(place, keys=msgspec.structs.replace(place.keys, signing=key)))

    def lie(self, liars: Mapping[NodeId, Sequence[Lie]]) -> None:
        """These members lie from now on."""
        for me, lies in liars.items():
            self.nodes[me] = Lying(self.nodes[me], me, *lies)

    def prepare(self, network: VirtualNetwork | TimedNetwork, spoilt: Iterable[NodeId] = ()) -> None:
        """All members prepare; what some of them prepared is spoilt in their proposals."""
        for member, me in enumerate(self.members):
            network.give(me, PrepareSignature())
            [prepared] = network.outputs_of(me, SignaturePrepared)
            self.preparations[member] = bytes(64) if me in spoilt else prepared.preparation

    def decided(self, members: Iterable[int] | None = None) -> SignMessage:
        """The preparations of these members, or of all, are decided."""
        chosen = range(len(self.members)) if members is None else sorted(members)
        return SignMessage(MESSAGE, tuple((member, self.preparations[member]) for member in chosen))

    def check_signed(self, network: VirtualNetwork | TimedNetwork) -> None:
        """Every correct member has one signature, and it is the committee's."""
        for me in network.correct:
            signed = network.outputs_of(me, MessageSigned)
            assert len(signed) == 1, f"totality: {me} has {signed}, {self.nodes[me].status}"
            valid = self.dealt.verifier.verify(self.group_key, MESSAGE, signed[0].signature)
            assert valid, f"validity: {me} has {signed}"


def two_faced(envelope: Envelope) -> Sequence[Envelope]:
    """Bad shares for half of the others."""
    half = len(envelope.recipients) // 2
    first, rest = (
        Envelope(part, envelope.path, envelope.message)
        for part in (envelope.recipients[:half], envelope.recipients[half:])
    )
    return (first, *bad_shares(rest))


def unresponsive(envelope: Envelope) -> Sequence[Envelope]:
    """A bad share to begin with, then none at all, but always there for the next attempt."""
    return () if isinstance(envelope.message, SessionShare) else bad_shares(envelope)


def lying_coordinator(rng: Stream) -> Lie:
    """Spoils the first attempt, then asks for impossible sessions, or tells different members different ones."""

    def lie(envelope: Envelope) -> Sequence[Envelope]:
        if not isinstance(envelope.message, SigningSession):
            return bad_shares(envelope)
        session = envelope.message
        (first, commitment), *rest = session.commitments
        forgeries = (
            tuple(rest),
            (rest[0], *rest),
            ((first, rest[0][1]), *rest),
            ((first, bytes(64)), *rest),
            (*rest, (99, commitment)),
            session.commitments,
        )
        return [
            Envelope(
                (recipient,), envelope.path, SigningSession(session.attempt, session.session, rng.choice(forgeries))
            )
            for recipient in envelope.recipients
            if rng.random() < 0.8
        ]

    return lie


class GossipingSigner(Automaton[Any, Any, Any]):
    """An honest signer who lies about its shares, and tells at random what may tempt the others."""

    tellings_max = 40

    def __init__(
        self, inner: FrostSignature, me: NodeId, committee: SigningCommittee, log_index: int, rng: Stream
    ) -> None:
        self._inner = Lying(inner, me, two_faced if rng.random() < 0.5 else unresponsive)
        self._others = tuple(member for member in committee.members if member != me)
        self._n = len(committee.members)
        self._me = committee.members.index(me)
        self._log_index = log_index
        self._rng = rng
        self._tellings = 0
        self._offers: dict[int, bytes] = {}

    @property
    def deadline(self) -> Instant | None:
        return self._inner.deadline

    def handle_input(self, input: Any, now: Instant) -> Step[Any]:
        return self._inner.handle_input(input, now)

    def handle_timer(self, now: Instant) -> Step[Any]:
        return self._inner.handle_timer(now)

    def handle_message(self, sender: NodeId, path: Path, message: Any, now: Instant) -> Step[Any]:
        if isinstance(message, SignatureShare | NextAttempt | SessionShare):
            place = next((place for place, member in enumerate(self._others) if member == sender), None)
            if place is not None:
                self._offers[place + (place >= self._me)] = message.offer
        step = self._inner.handle_message(sender, path, message, now)
        if self._tellings >= self.tellings_max or self._rng.random() < 0.5:
            return step
        self._tellings += 1
        told = [Envelope((other,), path, self._tempting()) for other in self._others if self._rng.random() < 0.7]
        return Step(step.records, [*step.messages, *told], step.outputs, step.faults)

    def _tempting(self) -> FrostSignatureMessage:
        rng = self._rng
        attempt, session, offer = rng.randrange(0, 2 * self._n + 2), rng.randrange(0, self._n), rng.randbytes(64)
        own = [attempt for attempt in range(1, 2 * self._n) if (self._log_index + attempt) % self._n == self._me]
        threshold = self._n - (self._n - 1) // 3
        heard = sorted(self._offers.items())
        listed = tuple(sorted(rng.sample(heard, min(threshold, len(heard)))))
        kinds: tuple[Callable[[], FrostSignatureMessage], ...] = (
            lambda: SigningSession(rng.choice(own), rng.randrange(0, 2), listed),
            lambda: SigningSession(rng.choice(own), rng.randrange(0, 2), listed),
            lambda: SigningSession(attempt, session, listed),
            lambda: NextAttempt(attempt, offer),
            lambda: SessionShare(attempt, session, rng.randbytes(32), rng.randbytes(32), offer),
            lambda: SignatureShare(MESSAGE, rng.randbytes(32), offer),
            lambda: CommitteeSignature(rng.randbytes(64)),
        )
        return rng.choice(kinds)()


def check_signature(n: int, liars: Signers, seed: int, kind: CryptoKind = "model") -> SigningCommittee:
    """All correct members end with the committee's signature, and no nonces sign twice, whatever the faulty ones do."""
    log_index = seed % n + 1
    committee = SigningCommittee(n, log_index, kind)
    faulty = faulty_members(committee.dealt, seed)
    rng = stream(seed, "signing")
    lies: dict[Signers, Lie] = {
        "silent": silent,
        "bad shares": bad_shares,
        "two-faced": two_faced,
        "unresponsive": unresponsive,
        "lying coordinator": lying_coordinator(rng),
    }
    if liars in lies:
        committee.lie(dict.fromkeys(faulty, (lies[liars],)))
    elif liars == "gossiping":
        committee.nodes.update(
            {me: GossipingSigner(committee.nodes[me], me, committee, log_index, rng) for me in faulty}
        )
    network = VirtualNetwork(committee.nodes, FROST_CODEC, adversary(committee.members, seed), faulty)
    committee.prepare(network, [me for me in faulty if rng.random() < 0.3])
    absent = rng.sample(range(n), rng.randrange(0, committee.dealt.committee.f + 1))
    decided = committee.decided(member for member in range(n) if member not in absent)
    for me in rng.sample(list(committee.members), n):
        if me in faulty and liars == "divergent":
            network.give(me, SignMessage(OTHER, decided.preparations))
        else:
            network.give(me, decided)
        for _ in range(rng.randrange(0, 2 * n)):
            if network.pending:
                network.crank()
    network.run()
    committee.check_signed(network)
    return committee


def path_of(log_index: int = 1) -> Path:
    """Of a signature."""
    return (CHAIN, log_index, "signature")
