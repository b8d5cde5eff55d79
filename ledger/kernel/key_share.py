"""A key of which each member of a committee holds a share, and the multiplication of points by its secret.

The key is a polynomial over the scalars, its secret the value at 0. Members multiply a point by the secret, which none of
them knows: each releases its share times the point, with the proof that it is that share (``dleq``); ``threshold`` of
those, weighted by Lagrange's coefficients, make the secret times the point (Shamir 1979, in the exponent). A share so
released is 96 bytes. The common coin and decryption are both this.

``ShareModel`` stands for it where no maths is wanted: dummies of the same length, one keyed hash each, that are checked by
making them again, so that a share that was altered or is another's is noticed.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

from ledger.kernel.dleq import PROOF_SIZE, prove_equal, verify_equal
from ledger.kernel.encoding import Frozen, digest
from ledger.kernel.group import (
    POINT_SIZE,
    Point,
    Scalar,
    base_times,
    evaluate,
    lagrange,
    random_polynomial,
    times,
    total,
)
from ledger.kernel.rng import Stream

POINT_SHARE_SIZE = POINT_SIZE + PROOF_SIZE
"""Bytes of a share of a multiplied point, with its proof."""


class KeyShare(Frozen):
    """What one member holds of a key."""

    secret: Scalar
    """Its value of the polynomial."""
    public_shares: tuple[Point, ...]
    """The base point times each member's value, by index."""
    group_key: Point
    """The base point times the polynomial's constant, which nobody holds."""
    threshold: int

    def multiply(self, point: Point, context: bytes) -> bytes:
        """This member's share of the key's secret times the point."""
        image, proof = prove_equal(self.secret, point, context)
        return image + proof

    def verify(self, member: int, point: Point, share: bytes, context: bytes) -> bool:
        """Whether this is that member's share of the key's secret times the point. Total."""
        return (
            0 <= member < len(self.public_shares)
            and len(share) == POINT_SHARE_SIZE
            and verify_equal(self.public_shares[member], point, share[:POINT_SIZE], share[POINT_SIZE:], context)
        )

    def combine(self, shares: Mapping[int, bytes]) -> Point:
        """The key's secret times the point, from verified shares by member index: the first ``threshold`` are enough."""
        assert len(shares) >= self.threshold, "too few shares to know the value"
        members = sorted(shares)[: self.threshold]
        return total(times(lagrange(members, member), shares[member][:POINT_SIZE]) for member in members)


def deal_key(rng: Stream, n: int, threshold: int) -> tuple[KeyShare, ...]:
    """A fresh key's shares, by member index, from a dealer that is trusted to forget the polynomial."""
    polynomial = random_polynomial(rng, threshold - 1)
    secrets = [evaluate(polynomial, member) for member in range(n)]
    public_shares = tuple(base_times(secret) for secret in secrets)
    group_key = base_times(polynomial[0])
    return tuple(KeyShare(secret, public_shares, group_key, threshold) for secret in secrets)


def deal_secret(rng: Stream, threshold: int) -> Scalar:
    """The secret of the key that ``deal_key`` makes from the same stream: for the dealer's model."""
    return random_polynomial(rng, threshold - 1)[0]


class ShareModel:
    """Dummy shares of n members."""

    def __init__(self, secret: bytes, n: int) -> None:
        self._keys = tuple(digest("share", secret, member) for member in range(n))

    def make(self, member: int, name: bytes) -> bytes:
        """The member's share of what has this name."""
        head = blake2b(name, key=self._keys[member], digest_size=64).digest()
        return head + head[: POINT_SHARE_SIZE - 64]

    def verify(self, member: int, name: bytes, share: bytes) -> bool:
        """Whether this is that member's share of what has this name. Total."""
        return 0 <= member < len(self._keys) and share == self.make(member, name)
