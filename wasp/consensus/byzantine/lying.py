"""Byzantine members: the honest automaton, with one thing overridden.

``Lying`` runs the honest code and passes what it says to *others* through a lie; what it says to itself stays true, so it
goes on for as long as an honest member. A lie is a function from an envelope to envelopes. ``Gossiping`` is the hard one:
it knows no protocol order, and tells every member, as soon as it hears of a leaf, whatever may tempt it: echoes and readies
of true and forged payloads, both bits, decisions that never were. What honest code may do wrong by a threshold that is one
too low or one too high shows up under it, or under silence.

Wrappers fit around an instance, a chain or a host: they look at messages, and pass paths on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import msgspec

from ledger.kernel.automaton import NOTHING, Automaton, Envelope, NodeId, Path, Step
from ledger.kernel.encoding import Value
from ledger.kernel.group import SCALAR_SIZE
from ledger.kernel.instant import Instant
from ledger.kernel.nonce_key import IMPLICATION_SIZE
from ledger.kernel.rng import Stream
from wasp.consensus.binary_agreement import Aux, BVal, Done
from wasp.consensus.common_coin import CoinShare
from wasp.consensus.reliable_broadcast import Echo, Initial, Ready
from wasp.consensus.signing.nonce_sharing import Implicate, Recover, SharingOk, SharingReady
from wasp.consensus.signing.nonce_signature import PartialNonceSignature
from wasp.consensus.signing.signing_session import SessionShare, SignatureShare

Lie: TypeAlias = Callable[[Envelope], Sequence[Envelope]]
"""What is said in the place of an envelope to other members."""


class Lying(Automaton[Any, Any, Any]):
    """The inner automaton, lying to others."""

    def __init__(self, inner: Automaton[Any, Any, Any], me: NodeId, *lies: Lie) -> None:
        self._inner = inner
        self._me = me
        self._lies = lies

    @property
    def deadline(self) -> Instant | None:
        return self._inner.deadline

    def handle_input(self, input: Any, now: Instant) -> Step[Any]:
        return self._lie(self._inner.handle_input(input, now))

    def handle_message(self, sender: NodeId, path: Path, message: Any, now: Instant) -> Step[Any]:
        return self._lie(self._inner.handle_message(sender, path, message, now))

    def handle_timer(self, now: Instant) -> Step[Any]:
        return self._lie(self._inner.handle_timer(now))

    def _lie(self, step: Step[Any]) -> Step[Any]:
        if not step.messages:
            return step
        said: list[Envelope] = []
        for envelope in step.messages:
            others = tuple(recipient for recipient in envelope.recipients if recipient != self._me)
            if len(others) < len(envelope.recipients):
                said.append(Envelope((self._me,), envelope.path, envelope.message))
            told: list[Envelope] = [Envelope(others, envelope.path, envelope.message)] if others else []
            for lie in self._lies:
                told = [lied for true in told for lied in lie(true)]
            said.extend(told)
        return Step(step.records, said, step.outputs, step.faults)


def silent(envelope: Envelope) -> Sequence[Envelope]:
    """Says nothing."""
    return ()


def equivocating_proposer(envelope: Envelope) -> Sequence[Envelope]:
    """Proposes one payload to half of the others, and another to the rest."""
    if not isinstance(envelope.message, Initial):
        return (envelope,)
    return _split(envelope, Initial(forged(envelope.message.payload)))


def lying_echoer(envelope: Envelope) -> Sequence[Envelope]:
    """Echoes and readies what it heard to half of the others, and something else to the rest."""
    match envelope.message:
        case Echo():
            return _split(envelope, Echo(forged(envelope.message.payload)))
        case Ready():
            return _split(envelope, Ready(forged(envelope.message.payload)))
        case _:
            return (envelope,)


def lying_voter(envelope: Envelope) -> Sequence[Envelope]:
    """Votes for one bit towards half of the others, and for the other bit towards the rest."""
    match envelope.message:
        case BVal():
            return _split(envelope, BVal(envelope.message.round, not envelope.message.value))
        case Aux():
            return _split(envelope, Aux(envelope.message.round, not envelope.message.value))
        case _:
            return (envelope,)


def bad_shares(envelope: Envelope) -> Sequence[Envelope]:
    """Releases shares and signatures that do not verify."""
    match envelope.message:
        case CoinShare():
            share = CoinShare(_flipped(envelope.message.share))
            return (Envelope(envelope.recipients, envelope.path, share),)
        case PartialNonceSignature():
            partial = PartialNonceSignature(envelope.message.digest, _flipped(envelope.message.partial))
            return (Envelope(envelope.recipients, envelope.path, partial),)
        case Recover():
            return (Envelope(envelope.recipients, envelope.path, Recover(_flipped(envelope.message.share))),)
        case SignatureShare() | SessionShare() if envelope.message.share is not None:
            lied = msgspec.structs.replace(envelope.message, share=_flipped(envelope.message.share))
            return (Envelope(envelope.recipients, envelope.path, lied),)
        case _:
            return (envelope,)


def false_implicator(envelope: Envelope) -> Sequence[Envelope]:
    """Says of every good share of a nonce that it is bad."""
    if not isinstance(envelope.message, SharingOk):
        return (envelope,)
    return (Envelope(envelope.recipients, envelope.path, Implicate(bytes(IMPLICATION_SIZE))),)


def forged(payload: bytes) -> bytes:
    """Another payload."""
    return payload + b"?"


def _flipped(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]


def _split(envelope: Envelope, other: Value) -> Sequence[Envelope]:
    half = len(envelope.recipients) // 2
    return (
        Envelope(envelope.recipients[:half], envelope.path, envelope.message),
        Envelope(envelope.recipients[half:], envelope.path, other),
    )


class Gossiping(Automaton[Any, Any, Any]):
    """Says at random what the protocols count: by draws of its stream, to each other member something else.

    Its own proposal reaches a random part of the members, in two versions. About each leaf and round it speaks at most
    ``tellings_max`` times to each member: honest members count the first.
    """

    tellings_max = 3

    def __init__(
        self,
        me: NodeId,
        members: Sequence[NodeId],
        rng: Stream,
        own_broadcasts: Sequence[Path],
        payload: bytes = b"true",
    ) -> None:
        self._others = tuple(member for member in members if member != me)
        self._rng = rng
        self._own_broadcasts = tuple(own_broadcasts)
        self._payload = payload
        self._payloads: dict[Path, list[bytes]] = {}
        self._tellings: dict[tuple[Path, int], int] = {}

    def handle_input(self, input: Any, now: Instant) -> Step[Any]:
        """Propose, whatever the input is."""
        said: list[Envelope] = []
        for path in self._own_broadcasts:
            versions = self._payloads.setdefault(path, [self._payload, forged(self._payload)])
            told = [other for other in self._others if self._rng.random() < 0.8]
            said.extend(Envelope((other,), path, Initial(self._rng.choice(versions))) for other in told)
        return Step(messages=said)

    def handle_message(self, sender: NodeId, path: Path, message: Any, now: Instant) -> Step[Any]:
        match message:
            case Initial() | Echo() | Ready():
                versions = self._payloads.setdefault(path, [message.payload, forged(message.payload)])
                return self._tell(path, 0, lambda: self._broadcast_votes(versions))
            case BVal() | Aux():
                return self._tell(path, message.round, lambda: self._agreement_votes(message.round))
            case CoinShare():
                return self._tell(path, 0, lambda: [CoinShare(_flipped(message.share))])
            case SharingOk() | SharingReady() | Implicate() | Recover():
                return self._tell(path, 1, self._sharing_votes)
            case PartialNonceSignature():
                return self._tell(path, 0, lambda: [PartialNonceSignature(message.digest, _flipped(message.partial))])
            case _:
                return NOTHING

    def _tell(self, path: Path, round: int, votes: Callable[[], list[Value]]) -> Step[Any]:
        told = self._tellings.get((path, round), 0)
        if told >= self.tellings_max:
            return NOTHING
        self._tellings[path, round] = told + 1
        return Step(messages=[Envelope((other,), path, vote) for other in self._others for vote in votes()])

    def _broadcast_votes(self, versions: list[bytes]) -> list[Value]:
        votes: list[Value] = [Echo(self._rng.choice(versions)), Ready(self._rng.choice(versions))]
        return [vote for vote in votes if self._rng.random() < 0.4]

    def _agreement_votes(self, round: int) -> list[Value]:
        votes: list[Value] = [BVal(round, False), BVal(round, True), Aux(round, self._rng.random() < 0.5), Done(0)]
        return [vote for vote in votes if self._rng.random() < 0.4]

    def _sharing_votes(self) -> list[Value]:
        votes: list[Value] = [
            SharingOk(),
            SharingReady(),
            Implicate(bytes(IMPLICATION_SIZE)),
            Recover(bytes(SCALAR_SIZE)),
        ]
        return [vote for vote in votes if self._rng.random() < 0.4]
