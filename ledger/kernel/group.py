"""The prime-order group of Ed25519: scalars, points, and polynomials over them.

Scalars are integers modulo ``ORDER``, points are their 32-byte encodings (RFC 8032). Curve arithmetic is libsodium's,
through pynacl; nothing here runs in constant time outside of it, which a simulator does not need and a wallet would.

Shares belong to members by index: the share of member j of a polynomial p is p(j + 1).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha512
from typing import Annotated, TypeAlias

import msgspec
import nacl.bindings as sodium

from ledger.kernel.rng import Stream

ORDER = 2**252 + 27742317777372353535851937790883648493
"""The prime order L of the group."""
SCALAR_SIZE = 32
POINT_SIZE = 32

Scalar: TypeAlias = int
Point = Annotated[bytes, msgspec.Meta(min_length=POINT_SIZE, max_length=POINT_SIZE)]

IDENTITY: Point = b"\x01" + bytes(POINT_SIZE - 1)
"""The neutral element. No element of a proof, key or commitment may be it."""


def scalar_bytes(scalar: Scalar) -> bytes:
    """32 bytes, little endian."""
    return scalar.to_bytes(SCALAR_SIZE, "little")


def scalar_of(data: bytes) -> Scalar | None:
    """The scalar that these bytes encode; None unless they are its one encoding. Total."""
    scalar = int.from_bytes(data, "little")
    return scalar if len(data) == SCALAR_SIZE and scalar < ORDER else None


def hash_to_scalar(*parts: bytes) -> Scalar:
    """SHA-512 of the parts, one after another, modulo the order. Callers put a label first and parts of fixed length."""
    hashed = sha512()
    for part in parts:
        hashed.update(part)
    return int.from_bytes(hashed.digest(), "little") % ORDER


def random_scalar(rng: Stream) -> Scalar:
    """A scalar other than 0, uniform but for 2^-128."""
    return rng.getrandbits(380) % (ORDER - 1) + 1


def is_point(data: bytes) -> bool:
    """Whether these bytes encode a point of the group other than the neutral one. Total."""
    return len(data) == POINT_SIZE and data != IDENTITY and bool(sodium.crypto_core_ed25519_is_valid_point(data))


def base_times(scalar: Scalar) -> Point:
    """The base point times a scalar."""
    scalar %= ORDER
    return sodium.crypto_scalarmult_ed25519_base_noclamp(scalar_bytes(scalar)) if scalar else IDENTITY


def times(scalar: Scalar, point: Point) -> Point:
    """A point times a scalar."""
    scalar %= ORDER
    if scalar == 0 or point == IDENTITY:
        return IDENTITY
    return sodium.crypto_scalarmult_ed25519_noclamp(scalar_bytes(scalar), point)


def plus(left: Point, right: Point) -> Point:
    """The sum of two points."""
    return sodium.crypto_core_ed25519_add(left, right)


def minus(left: Point, right: Point) -> Point:
    """The difference of two points."""
    return sodium.crypto_core_ed25519_sub(left, right)


def total(points: Iterable[Point]) -> Point:
    """The sum of the points."""
    result: Point | None = None
    for point in points:
        result = point if result is None else plus(result, point)
    return IDENTITY if result is None else result


def hash_to_point(name: bytes) -> Point:
    """A point of which nobody knows the discrete logarithm: Elligator 2 of SHA-512's first half, cofactor cleared.

    The map is libsodium's ``crypto_core_ed25519_from_uniform``; one map of one hash is not uniform over the group as
    RFC 9380's two are, but unpredictable, which is all that a coin's base point must be.
    """
    return sodium.crypto_core_ed25519_from_uniform(sha512(b"tanglegrid hash to point" + name).digest()[:32])


def place_of(member: int) -> Scalar:
    """Where a member's share is on the polynomial."""
    return member + 1


def random_polynomial(rng: Stream, degree: int, constant: Scalar | None = None) -> tuple[Scalar, ...]:
    """Coefficients, lowest first; the constant one may be given."""
    first = random_scalar(rng) if constant is None else constant
    return (first, *(random_scalar(rng) for _ in range(degree)))


def evaluate(coefficients: Sequence[Scalar], member: int) -> Scalar:
    """The member's share of the polynomial."""
    at, value = place_of(member), 0
    for coefficient in reversed(coefficients):
        value = (value * at + coefficient) % ORDER
    return value


def commitments_of(coefficients: Sequence[Scalar]) -> tuple[Point, ...]:
    """Feldman's commitment: the base point times each coefficient."""
    return tuple(base_times(coefficient) for coefficient in coefficients)


def evaluate_commitments(commitments: Sequence[Point], member: int) -> Point:
    """The base point times the member's share, from the commitments alone: one multiplication and addition per degree."""
    at, value = place_of(member), commitments[-1]
    for commitment in reversed(commitments[:-1]):
        value = plus(times(at, value), commitment)
    return value


def lagrange(members: Sequence[int], member: int, at: Scalar = 0) -> Scalar:
    """The weight of this member's share in the value at ``at`` (0: the secret) of a polynomial known at all these members."""
    numerator = denominator = 1
    here = place_of(member)
    for other in members:
        if other != member:
            there = place_of(other)
            numerator = numerator * (at - there) % ORDER
            denominator = denominator * (here - there) % ORDER
    return numerator * pow(denominator, -1, ORDER) % ORDER
