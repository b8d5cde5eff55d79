"""One dealer's part in a key that nobody holds: Feldman's verifiable secret sharing (1987), with a proof of knowledge.

1. dealer: draw a polynomial; public: G times each coefficient, and the proof of knowing the constant one
2. member: its share is right if G times it is what the commitments say
3. the key: the sum of the polynomials of those dealers that qualified

The proof (of ``FROST``'s key generation, Komlo and Goldberg 2020) is bound to a context, which names dealer and ceremony:
nobody deals what another has dealt, or a constant chosen to cancel the others' out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from ledger.kernel.dleq import PROOF_SIZE, prove_equal, verify_equal
from ledger.kernel.encoding import Value
from ledger.kernel.group import (
    ORDER,
    Point,
    Scalar,
    base_times,
    commitments_of,
    evaluate_commitments,
    is_point,
    scalar_of,
    total,
)
from ledger.kernel.key_share import KeyShare

_BASE = base_times(1)
_CONTEXT = b"tanglegrid key dealing"


class KeyDealing(Value):
    """What is public of a dealt polynomial. The context is not in it."""

    commitments: tuple[Point, ...]
    proof: Annotated[bytes, msgspec.Meta(min_length=PROOF_SIZE, max_length=PROOF_SIZE)]


def make_dealing(polynomial: Sequence[Scalar], context: bytes) -> KeyDealing:
    """Line 1."""
    _, proof = prove_equal(polynomial[0], _BASE, _CONTEXT + context)
    return KeyDealing(commitments_of(polynomial), proof)


def check_dealing(dealing: KeyDealing, threshold: int, context: bytes) -> bool:
    """Whether it deals a key with this threshold, by somebody who knows its constant. Total."""
    commitments = dealing.commitments
    return (
        len(commitments) == threshold
        and all(is_point(commitment) for commitment in commitments)
        and verify_equal(commitments[0], _BASE, commitments[0], dealing.proof, _CONTEXT + context)
    )


def open_share(dealing: KeyDealing, member: int, share: bytes) -> Scalar | None:
    """Line 2: the member's share of a checked dealing, None if these bytes are not it. Total."""
    secret = scalar_of(share)
    fits = secret is not None and base_times(secret) == evaluate_commitments(dealing.commitments, member)
    return secret if fits else None


def join_dealings(dealings: Sequence[KeyDealing], shares: Sequence[Scalar], n: int) -> KeyShare:
    """Line 3: what one member of n holds, from the checked dealings of the same threshold and its share of each."""
    joint = [total(same) for same in zip(*(dealing.commitments for dealing in dealings), strict=True)]
    public_shares = tuple(evaluate_commitments(joint, member) for member in range(n))
    return KeyShare(sum(shares) % ORDER, public_shares, joint[0], len(joint))
