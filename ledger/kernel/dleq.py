"""Proof that two points have the same discrete logarithm to two bases (Chaum and Pedersen 1992, made non-interactive).

1. prover, with x: draw k; commit to (k G, k H)
2. challenge c := hash(context, G, H, x G, x H, k G, k H)
3. proof: (c, k + c x)
4. verifier, with (c, z): recompute (z G - c (x G), z H - c (x H)); it must hash to c

k is derived from the secret and all that is hashed, so no randomness is needed and none can be repeated.
"""

from __future__ import annotations

from ledger.kernel.group import (
    ORDER,
    SCALAR_SIZE,
    Point,
    Scalar,
    base_times,
    hash_to_scalar,
    is_point,
    minus,
    scalar_bytes,
    scalar_of,
    times,
)

PROOF_SIZE = 2 * SCALAR_SIZE
_CHALLENGE = b"tanglegrid dleq challenge"
_NONCE = b"tanglegrid dleq nonce"


def prove_equal(secret: Scalar, base: Point, context: bytes) -> tuple[Point, bytes]:
    """``secret`` times the base, and the proof that it is the same multiple as the public key of ``secret`` is of G."""
    key, image = base_times(secret), times(secret, base)
    nonce = hash_to_scalar(_NONCE, scalar_bytes(secret), base, context)
    challenge = _challenge(context, base, key, image, base_times(nonce), times(nonce, base))
    return image, scalar_bytes(challenge) + scalar_bytes((nonce + challenge * secret) % ORDER)


def verify_equal(key: Point, base: Point, image: Point, proof: bytes, context: bytes) -> bool:
    """Whether ``image`` is the same multiple of ``base`` as ``key`` is of G. Total; key and base are known to be points."""
    if len(proof) != PROOF_SIZE or not is_point(image):
        return False
    challenge, response = scalar_of(proof[:SCALAR_SIZE]), scalar_of(proof[SCALAR_SIZE:])
    if challenge is None or response is None:
        return False
    left = minus(base_times(response), times(challenge, key))
    right = minus(times(response, base), times(challenge, image))
    return _challenge(context, base, key, image, left, right) == challenge


def _challenge(context: bytes, base: Point, key: Point, image: Point, left: Point, right: Point) -> Scalar:
    return hash_to_scalar(_CHALLENGE, len(context).to_bytes(4, "big"), context, base, key, image, left, right)
