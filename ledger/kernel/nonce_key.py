"""Nonces that members deal to each other, and Schnorr signatures of the committee with them, as Wasp signs its anchors.

A signature needs a nonce that nobody knows. Several members each deal a secret to all; the nonce is the sum of these
secrets, unknown while one of the dealers is correct (Stinson and Strobl 2001). On the group of Ed25519, p is a dealer's
polynomial of degree f, e its ephemeral key, K the sum of the p, X the committee's polynomial, of degree n - f - 1.

1. dealing named sid: Feldman's commitments to p; E = e G; proof of knowing e, bound to sid and the commitments; for each
   member j, with opening key P_j: p(j), padded with hash(e P_j, j, sid)
2. open, with P_j = d G: unpad with hash(d E, j, sid); the share must fit the commitments
3. implicate: d E, and the proof that it is of P_j (``dleq``); so everybody can unpad the share, and see that it does not fit
4. recover the own share from f + 1 others that fit: interpolate p
5. partial signature of member j: s_j = K(j) + c X(j), where c = SHA-512(K(0) G, X(0) G, message), as in RFC 8032
6. it is right if s_j G = K(j) G + c X(j) G; K(j) G comes from the commitments
7. signature: K(0) G, and the value at 0 of the polynomial through n - f partial ones: an ordinary one of Ed25519

Departures. (a) Wasp's dealings have no proof of e. Then a faulty dealer could repeat the E of a correct one over shares
that fit nothing, so that all implicate it, which reveals what opens the correct one's dealing. Here, who repeats an E
can't prove it under the own sid. (b) The commitments tell whether a share is right, so the padding needs no tag.

What guards the key is f, not n - f. Any f + 1 members who pool their shares know K(0), so after one signature the key:
what n - 2f correct members can recover for others, n - 2f members can know. (s_j is public, so everybody learns the
coefficients of X above degree f as well. Filling K up to degree n - f - 1 by a second polynomial would hide those, and
still leave K(0) to n - 2f members, so it is not done; Wasp does not either.) Up to f members learn nothing: one unknown
of K and one of X are left to them, and one equation. That n - f members sign makes f + 1 correct ones vouch for what is
signed. Two messages under one K give the key away: the caller never signs twice with the same dealings.

Nor is K bound to the message, as FROST's nonce is. Who deals last, knowing the commitments of the others, can choose the sum;
with many signatures open at once whose messages it foresees, that makes a forgery (Benhamouda and others, *On the
(in)security of ROS*, 2021: in no time with 253 of them, by Wagner's algorithm in some 2^50 steps with 15). In a chain the
next instance begins when the last has ended or timed out, so only a scheduler that stops everything for long has many open;
and the order of two requests or more, so the message, is told by entropy that nobody knows before the dealers are decided.
A batch of one request has no such guard. Wasp's is no different.

``ModelNonceKey`` is the ideal functionality under the same group key: shares, proofs and partial signatures are keyed
hashes of the same lengths, made again to be checked; a dealing has the same form, and can be wrong in the same places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b, shake_128

from ledger.kernel.dleq import PROOF_SIZE, prove_equal, verify_equal
from ledger.kernel.encoding import Digest, Frozen, digest
from ledger.kernel.group import (
    ORDER,
    POINT_SIZE,
    SCALAR_SIZE,
    Point,
    Scalar,
    base_times,
    commitments_of,
    evaluate,
    evaluate_commitments,
    hash_to_scalar,
    is_point,
    lagrange,
    place_of,
    plus,
    random_scalar,
    scalar_bytes,
    scalar_of,
    times,
    total,
)
from ledger.kernel.identity import CryptoKind, PublicKey, Signature, model_signature
from ledger.kernel.key_share import KeyShare
from ledger.kernel.quorum import some_correct, waiting
from ledger.kernel.rng import Stream, stream
from ledger.kernel.signing_key import deal_group_polynomial, deal_signing_shares
from ledger.kernel.threshold import NonceKey

SESSIONS_MAX = 16
"""Signatures under way whose nonce is remembered, since each partial signature needs it; a forgotten one is summed again."""
IMPLICATION_SIZE = POINT_SIZE + PROOF_SIZE

_BASE = base_times(1)
_POLYNOMIAL = b"tanglegrid nonce polynomial"
_EPHEMERAL = b"tanglegrid nonce ephemeral"
_DEALING = b"tanglegrid nonce dealing"
_IMPLICATION = b"tanglegrid nonce implication"


class DealingForm(Frozen):
    """Where things are in a dealing of a committee: commitments, ephemeral key and its proof, one padded share per member."""

    n: int
    f: int

    @property
    def size(self) -> int:
        return self.shares_start + self.n * SCALAR_SIZE

    @property
    def head_size(self) -> int:
        """Bytes of the commitments and the ephemeral key."""
        return (self.f + 2) * POINT_SIZE

    @property
    def shares_start(self) -> int:
        return self.head_size + PROOF_SIZE

    def points(self, dealing: bytes) -> tuple[bytes, ...]:
        """The commitments, lowest degree first, and the ephemeral key."""
        return tuple(dealing[at : at + POINT_SIZE] for at in range(0, self.head_size, POINT_SIZE))

    def commitments(self, dealing: bytes) -> tuple[bytes, ...]:
        return self.points(dealing)[:-1]

    def ephemeral(self, dealing: bytes) -> bytes:
        return dealing[self.head_size - POINT_SIZE : self.head_size]

    def proof(self, dealing: bytes) -> bytes:
        return dealing[self.head_size : self.shares_start]

    def padded(self, dealing: bytes, member: int) -> bytes:
        """What was padded for the member with this index."""
        start = self.shares_start + member * SCALAR_SIZE
        return dealing[start : start + SCALAR_SIZE]


class _Session(Frozen):
    """A signature under way: commitments to K, and the challenge."""

    commitments: tuple[Point, ...]
    challenge: Scalar


class NonceMember(Frozen):
    """What one member holds: its place, its share of the key, its opening key; and what all know of the others'."""

    member: int
    form: DealingForm
    key_share: Scalar
    opening_secret: Scalar
    public_shares: tuple[Point, ...]
    opening_keys: tuple[Point, ...]
    group_key: PublicKey
    threshold: int


class RealNonceKey:
    """One member's part, with the maths."""

    def __init__(self, holds: NonceMember) -> None:
        self._holds = holds
        self._form = holds.form
        self._recovery_quorum = some_correct(holds.form.f)
        self.group_key = holds.group_key
        self.threshold = holds.threshold

    def deal(self, sid: bytes, rng: Stream) -> bytes:
        """Line 1."""
        seed = rng.randbytes(SCALAR_SIZE)
        polynomial = [
            hash_to_scalar(_POLYNOMIAL, seed, degree.to_bytes(4, "big"), sid) for degree in range(self._form.f + 1)
        ]
        commitments = b"".join(commitments_of(polynomial))
        secret = hash_to_scalar(_EPHEMERAL, seed, sid)
        ephemeral, proof = prove_equal(secret, _BASE, _DEALING + commitments + sid)
        padded = (
            _pad(times(secret, key), sid, member, scalar_bytes(evaluate(polynomial, member)))
            for member, key in enumerate(self._holds.opening_keys)
        )
        return commitments + ephemeral + proof + b"".join(padded)

    def is_dealing(self, sid: bytes, dealing: bytes) -> bool:
        if len(dealing) != self._form.size or not all(map(is_point, self._form.points(dealing))):
            return False
        ephemeral = self._form.ephemeral(dealing)
        context = _DEALING + dealing[: self._form.head_size - POINT_SIZE] + sid
        return verify_equal(ephemeral, _BASE, ephemeral, self._form.proof(dealing), context)

    def open(self, sid: bytes, dealing: bytes) -> bytes | None:
        """Line 2."""
        me = self._holds.member
        secret = times(self._holds.opening_secret, self._form.ephemeral(dealing))
        share = _pad(secret, sid, me, self._form.padded(dealing, me))
        return share if self.verify_share(me, dealing, share) else None

    def implicate(self, sid: bytes, dealing: bytes) -> bytes:
        """Line 3."""
        secret, proof = prove_equal(self._holds.opening_secret, self._form.ephemeral(dealing), _IMPLICATION + sid)
        return secret + proof

    def verify_implication(self, member: int, sid: bytes, dealing: bytes, implication: bytes) -> bool:
        if not 0 <= member < self._form.n or len(implication) != IMPLICATION_SIZE:
            return False
        key, ephemeral = self._holds.opening_keys[member], self._form.ephemeral(dealing)
        secret, proof = implication[:POINT_SIZE], implication[POINT_SIZE:]
        if not verify_equal(key, ephemeral, secret, proof, _IMPLICATION + sid):
            return False
        return not self.verify_share(member, dealing, _pad(secret, sid, member, self._form.padded(dealing, member)))

    def verify_share(self, member: int, dealing: bytes, share: bytes) -> bool:
        scalar = scalar_of(share)
        if scalar is None or not 0 <= member < self._form.n:
            return False
        return base_times(scalar) == evaluate_commitments(self._form.commitments(dealing), member)

    def recover(self, dealing: bytes, shares: Mapping[int, bytes]) -> bytes:
        """Line 4."""
        assert len(shares) >= self._recovery_quorum, "too few shares to know the polynomial"
        members, here = sorted(shares)[: self._recovery_quorum], place_of(self._holds.member)
        return scalar_bytes(_interpolate(members, shares, here))

    def sign_partial(self, dealings: Sequence[bytes], shares: Sequence[bytes], message: bytes) -> bytes:
        """Line 5."""
        nonce = sum(int.from_bytes(share, "little") for share in shares)
        session = _session(self._form, self.group_key, tuple(dealings), message)
        return scalar_bytes((nonce + session.challenge * self._holds.key_share) % ORDER)

    def verify_partial(self, member: int, dealings: Sequence[bytes], message: bytes, partial: bytes) -> bool:
        """Line 6."""
        scalar = scalar_of(partial)
        if scalar is None or not 0 <= member < self._form.n:
            return False
        session = _session(self._form, self.group_key, tuple(dealings), message)
        signed = times(session.challenge, self._holds.public_shares[member])
        return base_times(scalar) == plus(evaluate_commitments(session.commitments, member), signed)

    def combine(self, dealings: Sequence[bytes], message: bytes, partials: Mapping[int, bytes]) -> Signature:
        """Line 7."""
        assert len(partials) >= self.threshold, "too few partial signatures to make a signature"
        members = sorted(partials)[: self.threshold]
        session = _session(self._form, self.group_key, tuple(dealings), message)
        return session.commitments[0] + scalar_bytes(_interpolate(members, partials, 0))


class ModelNonceKey:
    """The dealer's model: honest bytes, no maths."""

    def __init__(self, secret: bytes, member: int, form: DealingForm, group_key: PublicKey, threshold: int) -> None:
        self._secret = secret
        self._member = member
        self._form = form
        self._recovery_quorum = some_correct(form.f)
        self._places = tuple(index.to_bytes(4, "big") for index in range(form.n))
        self.group_key = group_key
        self.threshold = threshold

    def deal(self, sid: bytes, rng: Stream) -> bytes:
        seed = rng.randbytes(SCALAR_SIZE)  # as the real key: what follows in the stream is the same in both kinds
        head = shake_128(seed + sid).digest(self._form.head_size)
        shares = b"".join(self._share(member, head) for member in range(self._form.n))
        return head + self._proof(sid, head) + shares

    def is_dealing(self, sid: bytes, dealing: bytes) -> bool:
        head = dealing[: self._form.head_size]
        return len(dealing) == self._form.size and self._form.proof(dealing) == self._proof(sid, head)

    def open(self, sid: bytes, dealing: bytes) -> bytes | None:
        share = self._form.padded(dealing, self._member)
        return share if self.verify_share(self._member, dealing, share) else None

    def implicate(self, sid: bytes, dealing: bytes) -> bytes:
        return self._implication(self._member, sid, dealing)

    def verify_implication(self, member: int, sid: bytes, dealing: bytes, implication: bytes) -> bool:
        if not 0 <= member < self._form.n or implication != self._implication(member, sid, dealing):
            return False
        return not self.verify_share(member, dealing, self._form.padded(dealing, member))

    def verify_share(self, member: int, dealing: bytes, share: bytes) -> bool:
        return 0 <= member < self._form.n and share == self._share(member, dealing)

    def recover(self, dealing: bytes, shares: Mapping[int, bytes]) -> bytes:
        assert len(shares) >= self._recovery_quorum, "too few shares to know the polynomial"
        return self._share(self._member, dealing)

    def sign_partial(self, dealings: Sequence[bytes], shares: Sequence[bytes], message: bytes) -> bytes:
        right = (self.verify_share(self._member, *pair) for pair in zip(dealings, shares, strict=True))
        assert all(right), "a member signs with its shares of the dealings"
        return self._partial(self._member, dealings, message)

    def verify_partial(self, member: int, dealings: Sequence[bytes], message: bytes, partial: bytes) -> bool:
        return 0 <= member < self._form.n and partial == self._partial(member, dealings, message)

    def combine(self, dealings: Sequence[bytes], message: bytes, partials: Mapping[int, bytes]) -> Signature:
        assert len(partials) >= self.threshold, "too few partial signatures to make a signature"
        return model_signature(self.group_key, message)

    def _proof(self, sid: bytes, head: bytes) -> bytes:
        return blake2b(head + sid, key=self._secret, digest_size=PROOF_SIZE).digest()

    def _share(self, member: int, dealing: bytes) -> bytes:
        """Told by the dealing's first commitment, which no other dealing has."""
        return blake2b(self._places[member] + dealing[:POINT_SIZE], key=self._secret, digest_size=SCALAR_SIZE).digest()

    def _implication(self, member: int, sid: bytes, dealing: bytes) -> bytes:
        name = self._places[member] + dealing[: self._form.head_size] + sid
        made = blake2b(name, key=self._secret, digest_size=64).digest()
        return made + made[: IMPLICATION_SIZE - 64]

    def _partial(self, member: int, dealings: Sequence[bytes], message: bytes) -> bytes:
        session = _model_session(self._secret, tuple(dealings), message)
        return blake2b(self._places[member], key=session, digest_size=SCALAR_SIZE).digest()


def deal_nonce_keys(kind: CryptoKind, seed: bytes | int, label: str, n: int, f: int) -> tuple[NonceKey, ...]:
    """The keys of the n members of the committee with this label, by member index."""
    polynomial = deal_group_polynomial(seed, label, n, f)
    form, group_key, threshold = DealingForm(n, f), base_times(polynomial[0]), waiting(n, f)
    if kind == "model":
        secret = digest("nonce key", scalar_bytes(polynomial[0]))
        return tuple(ModelNonceKey(secret, member, form, group_key, threshold) for member in range(n))
    shares, secrets = deal_signing_shares(seed, label, n, f), deal_opening_secrets(seed, label, n)
    opening_keys = tuple(base_times(secret) for secret in secrets)
    return tuple(
        RealNonceKey(nonce_member(member, f, shares[member], secrets[member], opening_keys)) for member in range(n)
    )


def deal_opening_secrets(seed: bytes | int, label: str, n: int) -> tuple[Scalar, ...]:
    """What each of the n members of the committee with this label opens its shares of dealings with."""
    rng = stream(seed, "opening keys", label)
    return tuple(random_scalar(rng) for _ in range(n))


def nonce_member(
    member: int, f: int, key: KeyShare, opening_secret: Scalar, opening_keys: tuple[Point, ...]
) -> NonceMember:
    """What a member holds, from its share of the committee's signing key and its opening secret."""
    return NonceMember(
        member,
        DealingForm(len(opening_keys), f),
        key.secret,
        opening_secret,
        key.public_shares,
        opening_keys,
        key.group_key,
        key.threshold,
    )


@lru_cache(maxsize=SESSIONS_MAX)
def _session(form: DealingForm, group_key: PublicKey, dealings: tuple[bytes, ...], message: bytes) -> _Session:
    """Line 5's K in the exponent, and c."""
    commitments = tuple(map(total, zip(*(form.commitments(dealing) for dealing in dealings), strict=True)))
    return _Session(commitments, hash_to_scalar(commitments[0], group_key, message))


@lru_cache(maxsize=SESSIONS_MAX)
def _model_session(secret: bytes, dealings: tuple[bytes, ...], message: bytes) -> Digest:
    return digest("nonce session", secret, *(dealing[:POINT_SIZE] for dealing in dealings), message)


def _interpolate(members: Sequence[int], values: Mapping[int, bytes], at: Scalar) -> Scalar:
    return sum(lagrange(members, member, at) * int.from_bytes(values[member], "little") for member in members) % ORDER


def _pad(secret: Point, sid: bytes, member: int, share: bytes) -> bytes:
    """The share padded, or unpadded: a pad is used once, since the ephemeral key is."""
    pad = blake2b(member.to_bytes(4, "big") + sid, key=secret, digest_size=SCALAR_SIZE).digest()
    return bytes(left ^ right for left, right in zip(share, pad, strict=True))
