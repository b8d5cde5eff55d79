"""What FROST signatures of a committee promise, as checks under an adversary: ``AssertionError`` when a promise is broken.

Members sign with keys that remember what they signed: no pair of nonces may ever sign two things.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import msgspec

from ledger.kernel.automaton import Automaton, Envelope, NodeId, Path, Step
from ledger.kernel.encoding import Codec, digest
from ledger.kernel.identity import CryptoKind, verifier
from ledger.kernel.instant import HOUR, Instant
from ledger.kernel.quorum import max_faulty
from ledger.kernel.rng import Stream, stream
from ledger.kernel.signing_key import deal_signing_keys
from ledger.kernel.threshold import Commitments, NoncePair, SigningKey
from tests.harness.committee import CHAIN, DealtCommittee
from tests.harness.consensus_checks import adversary, faulty_members
from tests.harness.virtual_network import TimedNetwork, VirtualNetwork
from wasp.consensus.byzantine.lying import Lie, Lying, bad_shares, silent
from wasp.consensus.protocol_times import ATTEMPT_TIMEOUT
from wasp.consensus.signing.anchor_signature import MessageSigned, PrepareSignature, SignaturePrepared, SignMessage
from wasp.consensus.signing.frost_signature import FrostSignature
from wasp.consensus.signing.signing_session import (
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
    """A member's signing key that notices when one pair of nonces signs two things; a spoilt one makes bad shares."""

    def __init__(self, key: Any, signed: dict[bytes, tuple[bytes, Commitments]]) -> None:
        self._key = key
        self._signed = signed
        self.spoilt = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._key, name)

    def sign_share(self, nonces: NoncePair, message: bytes, commitments: Commitments) -> bytes:
        assert nonces.commitment not in self._signed, "nonces: used once"
        self._signed[nonces.commitment] = (message, commitments)
        share: bytes = self._key.sign_share(nonces, message, commitments)
        return bytes([share[0] ^ 1]) + share[1:] if self.spoilt else share


class SigningCommittee:
    """A committee's members about to sign, each with a key that remembers."""

    def __init__(self, n: int, log_index: int = 1, kind: CryptoKind = "model") -> None:
        self.dealt = DealtCommittee(n, kind=kind)
        self.members = self.dealt.members
        self.signed: dict[bytes, tuple[bytes, Commitments]] = {}
        self.keys = {me: RememberingKey(self.dealt.keys[me].signing, self.signed) for me in self.members}
        self.nodes: dict[NodeId, Any] = {me: self._member(me, log_index) for me in self.members}
        self.group_key = self.dealt.keys[self.members[0]].signing.group_key
        self.preparations: dict[int, bytes] = {}

    def _member(self, me: NodeId, log_index: int) -> FrostSignature:
        place = self.dealt.membership(me, log_index)
        key: Any = self.keys[me]
        return FrostSignature(msgspec.structs.replace(place, keys=msgspec.structs.replace(place.keys, signing=key)))

    def lie(self, liars: Iterable[NodeId], *lies: Lie, spoilt: bool = False) -> None:
        """These members lie from now on; those with spoilt keys don't get a signature from themselves."""
        for me in liars:
            self.nodes[me] = Lying(self.nodes[me], me, *lies)
            self.keys[me].spoilt = spoilt

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


def unhelpful(envelope: Envelope) -> Sequence[Envelope]:
    """Keeps the signature to itself: a liar has it first, since its own share is right."""
    return () if isinstance(envelope.message, CommitteeSignature) else (envelope,)


def two_faced(envelope: Envelope) -> Sequence[Envelope]:
    """Bad shares for half of the others."""
    half = len(envelope.recipients) // 2
    first, rest = (
        Envelope(part, envelope.path, envelope.message)
        for part in (envelope.recipients[:half], envelope.recipients[half:])
    )
    return (first, *bad_shares(rest))


def unresponsive(envelope: Envelope) -> Sequence[Envelope]:
    """No shares when it is asked for them, but always there for the next attempt."""
    return () if isinstance(envelope.message, SessionShare) else (envelope,)


def lying_coordinator(rng: Stream) -> Lie:
    """Asks for impossible sessions, or tells different members different ones."""

    def lie(envelope: Envelope) -> Sequence[Envelope]:
        if not isinstance(envelope.message, SigningSession):
            return (envelope,)
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
        self._inner = Lying(inner, me, unhelpful, two_faced if rng.random() < 0.5 else unresponsive)
        committee.keys[me].spoilt = rng.random() < 0.5
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


def check_signature(n: int, liars: Signers, seed: int, kind: CryptoKind = "model") -> None:
    """All correct members end with the committee's signature, and no nonces sign twice, whatever the faulty ones do."""
    log_index = seed % n + 1
    committee = SigningCommittee(n, log_index, kind)
    faulty = faulty_members(committee.dealt, seed)
    rng = stream(seed, "signing")
    lies: dict[Signers, Lie] = {
        "silent": silent,
        "bad shares": unhelpful,
        "two-faced": two_faced,
        "unresponsive": unresponsive,
        "lying coordinator": lying_coordinator(rng),
    }
    if liars in lies:
        committee.lie(faulty, unhelpful, lies[liars], spoilt=liars not in ("silent", "two-faced"))
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
    correct: list[Any] = [network.nodes[me] for me in network.correct]
    network.run(
        until=lambda: (
            network.now > HOUR
            or (not network.pending and all(node.started and node.deadline is None for node in correct))
        )
    )
    committee.check_signed(network)


def check_signing_key() -> None:
    """n - f members make a signature, one less make none, in both kinds."""
    kinds: tuple[CryptoKind, ...] = ("real", "model")
    for kind in kinds:
        for n in (4, 5, 6, 7):
            f = max_faulty(n)
            keys = deal_signing_keys(kind, 1, CHAIN, n, f)
            for count in (n - f - 1, n - f):
                signed = _is_signed_by(kind, keys[:count])
                assert count >= n - f or not signed, f"too few: {count} of {n}"
                assert count < n - f or signed, f"enough: {count} of {n}"


def _is_signed_by(kind: CryptoKind, keys: Sequence[SigningKey]) -> bool:
    nonces = [key.make_nonces(stream(1, "nonces", member)) for member, key in enumerate(keys)]
    commitments = tuple((member, pair.commitment) for member, pair in enumerate(nonces))
    try:
        shares = {member: key.sign_share(nonces[member], MESSAGE, commitments) for member, key in enumerate(keys)}
        signature = keys[0].combine(MESSAGE, commitments, shares)
    except AssertionError:
        return False
    return signature is not None and verifier(kind).verify(keys[0].group_key, MESSAGE, signature)


def check_attempts_joined() -> None:
    """A member that waits in attempt 0 is pulled into attempt 3 by f + 1 others, not by f."""
    for n in (4, 5, 6, 7, 8, 9):
        committee = SigningCommittee(n)
        f = committee.dealt.committee.f
        nodes = [committee.nodes[me] for me in committee.members]
        offers = [node.handle_input(PrepareSignature(), 0).outputs[0].preparation for node in nodes]
        nodes[0].handle_input(SignMessage(MESSAGE, tuple(enumerate(offers))), 0)
        for others in range(1, f + 2):
            step = nodes[0].handle_message(committee.members[others], path_of(), NextAttempt(3, offers[others]), 0)
            joined = any(isinstance(envelope.message, NextAttempt) for envelope in step.messages)
            assert others > f or not joined, "too early: f members may lie"
            assert others <= f or joined, "too late: one of f + 1 is correct"


def check_attempts_wait_for_company() -> None:
    """The time of an attempt begins when n - f members are there, not before."""
    for n in (4, 5, 6, 7, 8, 9):
        committee = SigningCommittee(n)
        waiting = committee.dealt.committee.waiting
        node = committee.nodes[committee.members[0]]
        [prepared] = node.handle_input(PrepareSignature(), 0).outputs
        steps = [node.handle_input(SignMessage(MESSAGE, ((0, prepared.preparation),)), 0)]
        announced = steps[0].messages[-1].message
        assert announced == NextAttempt(1, announced.offer), "too few commitments for attempt 0"
        for count, member in enumerate(committee.members, 1):
            node.handle_message(member, path_of(), announced, count)
            begun = node.deadline - 2 * ATTEMPT_TIMEOUT
            assert count >= waiting or begun == 0, f"too early: {count} of {n}"
            assert count < waiting or begun == waiting, f"too late: {count} of {n}"


def check_sessions_of_a_coordinator() -> None:
    """A coordinator needs f + 1 sessions when f members spoil one each, and may open no more."""
    for n in (4, 5, 6):
        committee = SigningCommittee(n)
        m0, *others = committee.members
        committee.lie([m0], unresponsive)
        network = TimedNetwork(committee.nodes, FROST_CODEC, 1, [m0])
        committee.prepare(network)
        for me in (m0, *others):
            network.give(me, SignMessage(MESSAGE, ()))
        network.run()
        committee.check_signed(network)
        late = {at for me in others for at, output in network.outputs[me] if isinstance(output, MessageSigned)}
        assert late == {5}, f"robust: offers 1d, spoilt session 3d, the next one 5d, not {late}"
        committee = SigningCommittee(n)
        asking = SigningSession(1, committee.dealt.committee.f + 1, ())
        [fault] = committee.nodes[m0].handle_message(committee.members[2], path_of(), asking, 0).faults
        assert "is not the sender's" in fault.detail, "too many sessions"


def path_of(log_index: int = 1) -> Path:
    """Of a signature."""
    return (CHAIN, log_index, "signature")
