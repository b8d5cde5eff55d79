"""FROST(Ed25519, SHA-512): the two rounds of RFC 9591 (Connolly, Komlo, Goldberg, Wood 2024), as pure functions.

Its signatures are ordinary Ed25519 signatures (RFC 8032): the challenge, H2, is hashed without a prefix (section 6.1).

1. round one, ahead of any message: a signer draws a hiding and a binding nonce (d, e); it publishes (D, E) = (d G, e G)
2. binding factors: rho_j = H1(group key, H4(message), H5(all commitments), j), so a share fits one message and one list
3. group commitment: R = sum of D_j + rho_j E_j; challenge: c = H2(R, group key, message)
4. round two: signer j's share of the signature: z_j = d_j + rho_j e_j + lambda_j s_j c
5. signature: (R, sum of z_j); if it does not verify, a share with z_j G != D_j + rho_j E_j + c lambda_j S_j is to blame

Signers are members of a committee; the identifier of the RFC is the member's index + 1. A commitment is D, E in 64 bytes.
Commitments are listed by rising index. Whoever signs twice with one pair of nonces reveals its share of the key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha512
from typing import TypeAlias

from ledger.kernel.encoding import Frozen
from ledger.kernel.group import (
    ORDER,
    POINT_SIZE,
    SCALAR_SIZE,
    Point,
    Scalar,
    base_times,
    hash_to_scalar,
    is_point,
    lagrange,
    place_of,
    plus,
    scalar_bytes,
    scalar_of,
    times,
    total,
)

CONTEXT = b"FROST-ED25519-SHA512-v1"
COMMITMENT_SIZE = 2 * POINT_SIZE
SHARE_SIZE = SCALAR_SIZE

CommitmentList: TypeAlias = tuple[tuple[int, bytes], ...]
"""Signers by index, rising, with the commitment of each."""


class Nonces(Frozen):
    """A signer's secret for one signature."""

    hiding: Scalar
    binding: Scalar


class SigningPackage(Frozen):
    """What all signers of one message with one list of commitments compute alike: lines 2 and 3."""

    group_key: Point
    commitments: Mapping[int, bytes]
    binding_factors: Mapping[int, Scalar]
    group_commitment: Point
    challenge: Scalar


def h1(*parts: bytes) -> Scalar:
    """For binding factors."""
    return hash_to_scalar(CONTEXT, b"rho", *parts)


def h2(*parts: bytes) -> Scalar:
    """For challenges, as in RFC 8032: no prefix."""
    return hash_to_scalar(*parts)


def h3(*parts: bytes) -> Scalar:
    """For nonces."""
    return hash_to_scalar(CONTEXT, b"nonce", *parts)


def h4(message: bytes) -> bytes:
    """For messages."""
    return sha512(CONTEXT + b"msg" + message).digest()


def h5(commitments: bytes) -> bytes:
    """For lists of commitments."""
    return sha512(CONTEXT + b"com" + commitments).digest()


def nonce_generate(randomness: bytes, secret: Scalar) -> Scalar:
    """Section 4.1: a nonce of 32 random bytes, hedged with the signer's share of the key."""
    return h3(randomness, scalar_bytes(secret))


def commit(nonces: Nonces) -> bytes:
    """Section 5.1: the commitment to a pair of nonces."""
    return base_times(nonces.hiding) + base_times(nonces.binding)


def is_commitment(data: bytes) -> bool:
    """Section 3.1: two points of the prime-order group, neither of them the neutral one. Total."""
    return len(data) == COMMITMENT_SIZE and is_point(data[:POINT_SIZE]) and is_point(data[POINT_SIZE:])


def binding_factor_inputs(group_key: Point, message: bytes, commitments: CommitmentList) -> dict[int, bytes]:
    """Sections 4.3 and 4.4: what is hashed to the binding factor of each signer."""
    encoded = b"".join(scalar_bytes(place_of(member)) + commitment for member, commitment in commitments)
    prefix = group_key + h4(message) + h5(encoded)
    return {member: prefix + scalar_bytes(place_of(member)) for member, _ in commitments}


def signing_package(group_key: Point, message: bytes, commitments: CommitmentList) -> SigningPackage:
    """Lines 2 and 3 (sections 4.4, 4.5, 4.6). All commitments were checked by ``is_commitment``."""
    inputs = binding_factor_inputs(group_key, message, commitments)
    factors = {member: h1(hashed) for member, hashed in inputs.items()}
    group_commitment = total(_bound(commitment, factors[member]) for member, commitment in commitments)
    challenge = h2(group_commitment, group_key, message)
    return SigningPackage(group_key, dict(commitments), factors, group_commitment, challenge)


def sign_share(package: SigningPackage, member: int, secret: Scalar, nonces: Nonces) -> Scalar:
    """Line 4 (section 5.2): the signer's share, from its share of the key and its nonces."""
    weight = lagrange(tuple(package.commitments), member)
    return (
        nonces.hiding + nonces.binding * package.binding_factors[member] + weight * secret * package.challenge
    ) % ORDER


def verify_share(package: SigningPackage, member: int, public_share: Point, share: bytes) -> bool:
    """Line 5 (section 5.4): whether the signer with this public share of the key gave this share. Total for the share."""
    scalar = scalar_of(share)
    if scalar is None or member not in package.commitments:
        return False
    nonce = _bound(package.commitments[member], package.binding_factors[member])
    weight = lagrange(tuple(package.commitments), member)
    return base_times(scalar) == plus(nonce, times(package.challenge * weight, public_share))


def aggregate(package: SigningPackage, shares: Iterable[Scalar]) -> bytes:
    """Line 5 (section 5.3): the signature, from the shares of all signers. To be verified as any signature."""
    return package.group_commitment + scalar_bytes(sum(shares) % ORDER)


def _bound(commitment: bytes, factor: Scalar) -> Point:
    """D + rho E: the commitment to the nonce that the signer really uses."""
    return plus(commitment[:POINT_SIZE], times(factor, commitment[POINT_SIZE:]))
