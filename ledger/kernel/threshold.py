"""Threshold randomness: a value that nobody knows until f + 1 members of a committee have released their shares of it.

It backs the common coin and the batch entropy. The value with name ``sid`` is unique: whoever combines whichever shares
gets the same 32 bytes. ``ModelThresholdKey`` is the ideal functionality: the dealer's secret yields the value, shares are
dummies of the length that a share with its proof has, and ``combine`` refuses to yield before ``threshold`` of them are
there, so that an adversary in a simulation knows no more than a real one would. Its cost is charged by the runtime.

What is modelled, what is not: shares on the group of Ed25519 with proofs of equality (Cachin, Kursawe, Shoup 2000) come
behind the same interface.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Protocol

from ledger.kernel.encoding import Digest, digest

SHARE_SIZE = 96
"""Bytes of a share: a group element and a proof of two scalars."""


class ThresholdKey(Protocol):
    """One member's part of the committee's key."""

    @property
    def threshold(self) -> int:
        """How many shares yield a value: f + 1."""
        ...

    def share(self, sid: bytes) -> bytes:
        """This member's share of the value with this name."""
        ...

    def verify_share(self, member: int, sid: bytes, share: bytes) -> bool:
        """Whether the share of the member with this index is right. Total."""
        ...

    def combine(self, sid: bytes, shares: Mapping[int, bytes]) -> Digest:
        """The value, from at least ``threshold`` verified shares by member index."""
        ...


class ModelThresholdKey:
    """The dealer's model: honest bytes, no maths."""

    def __init__(self, secret: bytes, member: int, n: int, threshold: int) -> None:
        self._secret = secret
        self._member = member
        self._n = n
        self.threshold = threshold

    def share(self, sid: bytes) -> bytes:
        return self._share_of(self._member, sid)

    def verify_share(self, member: int, sid: bytes, share: bytes) -> bool:
        return 0 <= member < self._n and share == self._share_of(member, sid)

    def combine(self, sid: bytes, shares: Mapping[int, bytes]) -> Digest:
        assert len(shares) >= self.threshold, "too few shares to know the value"
        return digest("threshold value", self._secret, sid)

    def _share_of(self, member: int, sid: bytes) -> bytes:
        head = blake2b(sid, key=digest("share", self._secret, member), digest_size=64).digest()
        return head + head[: SHARE_SIZE - 64]


def deal_threshold_keys(seed: bytes | int, label: str, n: int, threshold: int) -> tuple[ModelThresholdKey, ...]:
    """The keys of the n members of the committee with this label, by member index."""
    secret = digest("threshold key", seed, label)
    return tuple(ModelThresholdKey(secret, member, n, threshold) for member in range(n))
