"""The common coin's key (Cachin, Kursawe, Shoup, *Random oracles in Constantinople*, 2000, section 4.3), on Ed25519's group.

1. the value's base point: the name, hashed to a point
2. share of member i: x_i times the base point, with a proof that it is the multiple which its public share is of G
3. value, from f + 1 shares: interpolate x times the base point, hash it

The value with a name is unique, whoever combines whichever shares: it is a hash of one point. With f shares of it every
value is as likely as any other (computational Diffie-Hellman, random oracles).

Departure: the base point comes by Elligator from a hash, the paper's group was of integers.

``RealCoinKey`` does that. ``ModelCoinKey`` yields the same values: the dealer's model, which all members of a committee
share, holds x and multiplies by itself, once per name; shares are dummies, and ``combine`` refuses to yield before there
are ``threshold`` of them, so that an adversary in a simulation knows no more than a real one would. Its cost is charged by
the runtime. Both kinds are dealt from the same stream.
"""

from __future__ import annotations

from collections.abc import Mapping

from ledger.kernel.encoding import Digest, digest
from ledger.kernel.group import Point, Scalar, hash_to_point, scalar_bytes, times
from ledger.kernel.identity import CryptoKind
from ledger.kernel.key_share import KeyShare, ShareModel, deal_key, deal_secret
from ledger.kernel.rng import stream
from ledger.kernel.threshold import CoinKey

VALUES_MAX = 1024
"""Values that a committee's model remembers: more than are tossed at the same time; a forgotten one is computed again."""
_CONTEXT = b"tanglegrid coin share"
_LABEL = "coin key"


class RealCoinKey:
    """One member's part, with the maths."""

    def __init__(self, key: KeyShare) -> None:
        self._key = key
        self.threshold = key.threshold

    def share(self, sid: bytes) -> bytes:
        return self._key.multiply(hash_to_point(sid), _CONTEXT)

    def verify_share(self, member: int, sid: bytes, share: bytes) -> bool:
        return self._key.verify(member, hash_to_point(sid), share, _CONTEXT)

    def combine(self, sid: bytes, shares: Mapping[int, bytes]) -> Digest:
        return _value_of(self._key.combine(shares))


class CoinModel:
    """The dealer, who knows the secret: one for all members of a committee."""

    def __init__(self, secret: Scalar, n: int, threshold: int) -> None:
        self._secret = secret
        self._values: dict[bytes, Digest] = {}
        self.threshold = threshold
        self.shares = ShareModel(digest("coin model", scalar_bytes(secret)), n)

    def value(self, sid: bytes) -> Digest:
        """The value with this name."""
        value = self._values.get(sid)
        if value is None:
            if len(self._values) >= VALUES_MAX:
                del self._values[next(iter(self._values))]
            value = self._values[sid] = _value_of(times(self._secret, hash_to_point(sid)))
        return value


class ModelCoinKey:
    """One member's part, without the maths."""

    def __init__(self, model: CoinModel, member: int) -> None:
        self._model = model
        self._member = member
        self.threshold = model.threshold

    def share(self, sid: bytes) -> bytes:
        return self._model.shares.make(self._member, sid)

    def verify_share(self, member: int, sid: bytes, share: bytes) -> bool:
        return self._model.shares.verify(member, sid, share)

    def combine(self, sid: bytes, shares: Mapping[int, bytes]) -> Digest:
        assert len(shares) >= self.threshold, "too few shares to know the value"
        return self._model.value(sid)


def deal_coin_shares(seed: bytes | int, label: str, n: int, threshold: int) -> tuple[KeyShare, ...]:
    """What each of the n members of the committee with this label holds of its real coin, by member index."""
    return deal_key(stream(seed, _LABEL, label), n, threshold)


def deal_coin_keys(kind: CryptoKind, seed: bytes | int, label: str, n: int, threshold: int) -> tuple[CoinKey, ...]:
    """The keys of the n members of the committee with this label, by member index."""
    if kind == "real":
        return tuple(RealCoinKey(key) for key in deal_coin_shares(seed, label, n, threshold))
    model = CoinModel(deal_secret(stream(seed, _LABEL, label), threshold), n, threshold)
    return tuple(ModelCoinKey(model, member) for member in range(n))


def _value_of(point: Point) -> Digest:
    return digest("coin", point)
