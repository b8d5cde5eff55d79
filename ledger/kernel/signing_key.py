"""The committee's Ed25519 key, of which n - f members together make a signature by FROST (RFC 9591), in both kinds.

The dealer draws a polynomial of degree n - f - 1: its value at 0 is the committee's secret key, member j's share is its
value at j + 1, and the group key is the base point times the secret. ``RealSigningKey`` signs by ``ledger.kernel.frost``.

``ModelSigningKey`` is the ideal functionality under the same group key: a commitment is random bytes with a tag that only
the dealer's secret makes, a share is a keyed hash of signer, message and list of commitments, and only the right shares of
all signers yield the signature, the model's signature of the group key. It can't forget who knows which nonces, so it
insists that a signer uses its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b

from ledger.kernel import frost
from ledger.kernel.encoding import digest
from ledger.kernel.group import (
    POINT_SIZE,
    SCALAR_SIZE,
    Point,
    Scalar,
    base_times,
    evaluate,
    random_polynomial,
    scalar_bytes,
    scalar_of,
)
from ledger.kernel.identity import CryptoKind, PublicKey, RealVerifier, Signature, model_signature
from ledger.kernel.key_share import KeyShare
from ledger.kernel.quorum import waiting
from ledger.kernel.rng import Stream, stream
from ledger.kernel.threshold import Commitments, NoncePair, SigningKey

PACKAGES_MAX = 64
"""Signing packages remembered, since a member needs the one of an attempt for each share of it: more than are under way."""

_package = lru_cache(maxsize=PACKAGES_MAX)(frost.signing_package)


class RealSigningKey:
    """FROST(Ed25519, SHA-512)."""

    def __init__(self, member: int, key: KeyShare) -> None:
        self._member = member
        self._secret = key.secret
        self._public_shares = key.public_shares
        self._verifier = RealVerifier()
        self.group_key: PublicKey = key.group_key
        self.threshold = key.threshold

    def make_nonces(self, rng: Stream) -> NoncePair:
        randomness = rng.randbytes(2 * SCALAR_SIZE)
        hiding, binding = (frost.nonce_generate(half, self._secret) for half in _halves(randomness))
        secret = scalar_bytes(hiding) + scalar_bytes(binding)
        return NoncePair(secret, frost.commit(frost.Nonces(hiding, binding)))

    def is_commitment(self, commitment: bytes) -> bool:
        return frost.is_commitment(commitment)

    def sign_share(self, nonces: NoncePair, message: bytes, commitments: Commitments) -> bytes:
        _check_signer(self, self._member, nonces, commitments)
        pair = frost.Nonces(*(int.from_bytes(half, "little") for half in _halves(nonces.secret)))
        package = _package(self.group_key, message, tuple(commitments))
        return scalar_bytes(frost.sign_share(package, self._member, self._secret, pair))

    def verify_share(self, member: int, message: bytes, commitments: Commitments, share: bytes) -> bool:
        if not 0 <= member < len(self._public_shares):
            return False
        package = _package(self.group_key, message, tuple(commitments))
        return frost.verify_share(package, member, self._public_shares[member], share)

    def combine(self, message: bytes, commitments: Commitments, shares: Mapping[int, bytes]) -> Signature | None:
        _check_shares(self, commitments, shares)
        scalars = [scalar for share in shares.values() if (scalar := scalar_of(share)) is not None]
        if len(scalars) < len(shares):
            return None
        package = _package(self.group_key, message, tuple(commitments))
        signature = frost.aggregate(package, scalars)
        return signature if self._verifier.verify(self.group_key, message, signature) else None


class ModelSigningKey:
    """The dealer's model: honest bytes, no maths."""

    def __init__(self, secret: bytes, member: int, n: int, group_key: Point, threshold: int) -> None:
        self._tag_key = digest("commitment", secret)
        self._share_key = digest("share", secret)
        self._member = member
        self._n = n
        self.group_key: PublicKey = group_key
        self.threshold = threshold

    def make_nonces(self, rng: Stream) -> NoncePair:
        secret = rng.randbytes(2 * SCALAR_SIZE)  # as the real key: what follows in the stream is the same in both kinds
        head = blake2b(secret, digest_size=32).digest()
        return NoncePair(secret, head + self._tag(head))

    def is_commitment(self, commitment: bytes) -> bool:
        return commitment[POINT_SIZE:] == self._tag(commitment[:POINT_SIZE])

    def sign_share(self, nonces: NoncePair, message: bytes, commitments: Commitments) -> bytes:
        _check_signer(self, self._member, nonces, commitments)
        return self._shares(message, commitments)[self._member]

    def verify_share(self, member: int, message: bytes, commitments: Commitments, share: bytes) -> bool:
        return member < self._n and share == self._shares(message, commitments).get(member)

    def combine(self, message: bytes, commitments: Commitments, shares: Mapping[int, bytes]) -> Signature | None:
        _check_shares(self, commitments, shares)
        return model_signature(self.group_key, message) if shares == self._shares(message, commitments) else None

    def _tag(self, head: bytes) -> bytes:
        return blake2b(head, key=self._tag_key, digest_size=32).digest()

    def _shares(self, message: bytes, commitments: Commitments) -> Mapping[int, bytes]:
        signers = tuple(member for member, _ in commitments)
        listed = b"".join([commitment for _, commitment in commitments])
        package = blake2b(message + listed + str(signers).encode(), key=self._share_key, digest_size=32).digest()
        return _model_shares(package, signers)


@lru_cache(maxsize=PACKAGES_MAX)
def _model_shares(package: bytes, signers: tuple[int, ...]) -> Mapping[int, bytes]:
    """The right shares of all signers, computed once for all members of the committee."""
    keys = {member: member.to_bytes(4, "big") for member in signers}
    return {member: blake2b(package, key=key, digest_size=SCALAR_SIZE).digest() for member, key in keys.items()}


def deal_group_polynomial(seed: bytes | int, label: str, n: int, f: int) -> tuple[Scalar, ...]:
    """The polynomial whose value at 0 is the secret key of the committee with this label: n - f of its values tell it."""
    return random_polynomial(stream(seed, "group key", label), waiting(n, f) - 1)


def deal_signing_shares(seed: bytes | int, label: str, n: int, f: int) -> tuple[KeyShare, ...]:
    """What each of the n members of the committee with this label holds of its key, by member index."""
    polynomial = deal_group_polynomial(seed, label, n, f)
    secrets = [evaluate(polynomial, member) for member in range(n)]
    public_shares = tuple(base_times(secret) for secret in secrets)
    group_key, threshold = base_times(polynomial[0]), waiting(n, f)
    return tuple(KeyShare(secret, public_shares, group_key, threshold) for secret in secrets)


def deal_signing_keys(kind: CryptoKind, seed: bytes | int, label: str, n: int, f: int) -> tuple[SigningKey, ...]:
    """The keys of the n members of the committee with this label, by member index."""
    polynomial = deal_group_polynomial(seed, label, n, f)
    group_key, threshold = base_times(polynomial[0]), waiting(n, f)
    if kind == "model":
        secret = digest("signing key", scalar_bytes(polynomial[0]))
        return tuple(ModelSigningKey(secret, member, n, group_key, threshold) for member in range(n))
    return tuple(RealSigningKey(member, share) for member, share in enumerate(deal_signing_shares(seed, label, n, f)))


def _check_signer(key: SigningKey, member: int, nonces: NoncePair, commitments: Commitments) -> None:
    """The caller's duty: as many signers as it takes, in rising order, this one among them with the nonces that it made."""
    signers = [signer for signer, _ in commitments]
    assert len(signers) == key.threshold and signers == sorted(set(signers)), "signers: n - f distinct ones, rising"
    assert (member, nonces.commitment) in commitments, "a signer uses its own nonces"


def _check_shares(key: SigningKey, commitments: Commitments, shares: Mapping[int, bytes]) -> None:
    """The caller's duty: the shares of all signers, of which there are as many as it takes."""
    assert len(shares) >= key.threshold, "too few shares to make a signature"
    assert shares.keys() == {signer for signer, _ in commitments}, "shares of the signers, of all of them"


def _halves(data: bytes) -> tuple[bytes, bytes]:
    return data[:SCALAR_SIZE], data[SCALAR_SIZE:]
