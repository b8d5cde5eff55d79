"""Byzantine members of the protocols ``hbbft`` and ``mmr14``: lies about shards, confirmations and ends of agreements.

What they have in common with ``wasp`` (votes, shares of coins) is lied about by the lies of ``byzantine``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ledger.kernel.automaton import Envelope, NodeId, Path, Step
from ledger.kernel.encoding import Digest, Value, digest
from ledger.kernel.erasure import encode_shards
from ledger.kernel.instant import Instant
from ledger.kernel.merkle import MerkleTree
from ledger.kernel.quorum import max_faulty
from ledger.kernel.rng import Stream
from wasp.consensus.avid_broadcast import RootReady, ShardEcho, Val
from wasp.consensus.binary_agreement import Aux, BVal
from wasp.consensus.byzantine.lying import Gossiping, forged
from wasp.consensus.common_coin import CoinShare
from wasp.consensus.hbbft import DecryptionShares
from wasp.consensus.late_coin_agreement import Conf, Term


def vals_of(shards: Sequence[bytes]) -> tuple[Val, ...]:
    """What a proposer tells each member whose payload has these shards; they need not be any payload's."""
    tree = MerkleTree(shards)
    return tuple(Val(tree.root, tree.branch(place), shard) for place, shard in enumerate(shards))


def vals_of_payload(payload: bytes, n: int) -> tuple[Val, ...]:
    """What an honest proposer tells each member."""
    return vals_of(encode_shards(payload, n - 2 * max_faulty(n), n))


def vals_of_none(n: int) -> tuple[Val, ...]:
    """Shards that are no payload's, with valid branches: the first n - 2f are one payload's, the rest another's.

    The payloads differ in their last byte, so who has the first n - 2f shards decodes the one, and who lacks the last of
    these decodes the other.
    """
    needed = n - 2 * max_faulty(n)
    one, other = (encode_shards(bytes(8 * needed - 5) + last, needed, n) for last in (b"1", b"2"))
    return vals_of([*one[:needed], *other[needed:]])


def equivocating_avid_proposer(envelope: Envelope) -> Sequence[Envelope]:
    """Proposes one payload to members in even places, and another to the rest."""
    message = envelope.message
    if not isinstance(message, Val) or message.branch.index % 2 == 0:
        return (envelope,)
    other = vals_of_payload(forged(b""), message.branch.count)[message.branch.index]
    return (Envelope(envelope.recipients, envelope.path, other),)


def codeless_proposer(envelope: Envelope) -> Sequence[Envelope]:
    """Proposes shards that are no payload's, with branches that are valid."""
    message = envelope.message
    if not isinstance(message, Val):
        return (envelope,)
    other = vals_of_none(message.branch.count)[message.branch.index]
    return (Envelope(envelope.recipients, envelope.path, other),)


def wrong_branches(envelope: Envelope) -> Sequence[Envelope]:
    """Passes on shards with branches that don't prove them, or that prove them for another place."""
    match envelope.message:
        case Val() | ShardEcho():
            kind, message = type(envelope.message), envelope.message
            other = vals_of_payload(b"payload", message.branch.count)[message.branch.index - 1]
            moved = kind(other.root, other.branch, other.shard)
            return _split(envelope, kind(message.root, message.branch, forged(message.shard)), moved)
        case _:
            return (envelope,)


def lying_shard_echoer(envelope: Envelope) -> Sequence[Envelope]:
    """Echoes and readies what it heard to half of the others, and something else, well proven, to the rest."""
    match envelope.message:
        case ShardEcho():
            other = vals_of_payload(forged(b""), envelope.message.branch.count)[envelope.message.branch.index]
            return _split(envelope, envelope.message, ShardEcho(other.root, other.branch, other.shard))
        case RootReady():
            return _split(envelope, envelope.message, RootReady(_forged_root(envelope.message.root)))
        case _:
            return (envelope,)


def lying_confirmer(envelope: Envelope) -> Sequence[Envelope]:
    """Confirms one set of values and ends with one bit towards half of the others, with another towards the rest."""
    match envelope.message:
        case Conf():
            other = Conf(envelope.message.round, envelope.message.values % 3 + 1)
            return _split(envelope, envelope.message, other)
        case Term():
            return _split(envelope, envelope.message, Term(envelope.message.round, not envelope.message.value))
        case _:
            return (envelope,)


def bad_decryption_shares(envelope: Envelope) -> Sequence[Envelope]:
    """Releases shares that open nothing."""
    if not isinstance(envelope.message, DecryptionShares):
        return (envelope,)
    return (Envelope(envelope.recipients, envelope.path, _bad(envelope.message)),)


def future_flood(envelope: Envelope) -> Sequence[Envelope]:
    """Says with each vote what it will vote in rounds that are far ahead, within the bounds and beyond them."""
    if not isinstance(envelope.message, BVal):
        return (envelope,)
    rounds = [envelope.message.round + ahead for ahead in (1, 2, 5, 50, 10_000, 2**40)]
    votes: list[Value] = [vote for r in rounds for vote in (BVal(r, False), BVal(r, True), Aux(r, True), Conf(r, 3))]
    coins = [Envelope(envelope.recipients, _moved(envelope.path, "coin", r), CoinShare(b"early")) for r in rounds]
    return (envelope, *(Envelope(envelope.recipients, envelope.path, vote) for vote in votes), *coins)


def replaying(envelope: Envelope) -> Sequence[Envelope]:
    """Says everything twice, and once more about the proposer after the one that it was about."""
    proposer = envelope.path[3]
    if type(proposer) is not int:
        return (envelope, envelope)
    elsewhere: Path = (*envelope.path[:3], proposer + 1, *envelope.path[4:])
    return (envelope, envelope, Envelope(envelope.recipients, elsewhere, envelope.message))


def _moved(path: Path, kind: str, round: int) -> Path:
    return (*path[:2], kind, path[3], round)


def _bad(message: DecryptionShares) -> DecryptionShares:
    return DecryptionShares(tuple(bytes([share[0] ^ 1]) + share[1:] for share in message.shares))


def _forged_root(root: Digest) -> Digest:
    return digest("forged", root)


def _split(envelope: Envelope, one: Value, other: Value) -> Sequence[Envelope]:
    half = len(envelope.recipients) // 2
    return (
        Envelope(envelope.recipients[:half], envelope.path, one),
        Envelope(envelope.recipients[half:], envelope.path, other),
    )


class GossipingHoneyBadger(Gossiping):
    """Says at random what these protocols count. Its own proposals are a payload's shards, another's, and no payload's."""

    def __init__(self, me: NodeId, members: Sequence[NodeId], rng: Stream, own_broadcasts: Sequence[Path]) -> None:
        super().__init__(me, members, rng, own_broadcasts)
        self._myself = me
        self._places = {member: place for place, member in enumerate(members)}
        self._mine: dict[Path, list[Val]] = {}
        """Shards of its own that it can prove, by broadcast."""

    def handle_input(self, input: Any, now: Instant) -> Step[Any]:
        """Propose, whatever the input is."""
        said = list(super().handle_input(input, now).messages)
        n, me = len(self._places), self._places[self._myself]
        for path in self._own_broadcasts:
            versions = [vals_of_payload(b"true", n), vals_of_payload(b"forged", n), vals_of_none(n)]
            self._rng.shuffle(versions)
            versions = versions[: self._rng.randint(1, 2)]
            self._mine[path] = [version[me] for version in versions]
            told = [other for other in self._others if self._rng.random() < 0.8]
            said += [Envelope((other,), path, self._rng.choice(versions)[self._places[other]]) for other in told]
        return Step(messages=said)

    def handle_message(self, sender: NodeId, path: Path, message: Any, now: Instant) -> Step[Any]:
        match message:
            case Val():
                self._mine.setdefault(path, [message])
                return self._tell(path, 0, lambda: self._shard_votes(path))
            case ShardEcho() | RootReady():
                return self._tell(path, 0, lambda: self._shard_votes(path))
            case Conf() | Term():
                return self._tell(path, message.round, lambda: self._agreement_votes(message.round))
            case DecryptionShares():
                return self._tell(path, 0, lambda: [_bad(message)])
            case _:
                return super().handle_message(sender, path, message, now)

    def _shard_votes(self, path: Path) -> list[Value]:
        votes: list[Value] = []
        for val in self._mine.get(path, ()):
            votes += [ShardEcho(val.root, val.branch, val.shard), RootReady(val.root)]
        self._rng.shuffle(votes)
        return [vote for vote in votes if self._rng.random() < 0.4]

    def _agreement_votes(self, round: int) -> list[Value]:
        votes: list[Value] = [
            Conf(round, self._rng.randint(1, 3)),
            BVal(round, False),
            BVal(round, True),
            Aux(round, self._rng.random() < 0.5),
        ]
        if self._rng.random() < 0.2:
            votes.append(Term(round, self._rng.random() < 0.5))
        return [vote for vote in votes if self._rng.random() < 0.4]
