"""The trusted dealer: all members' keys of one committee, from a seed.

Real keys part into what everybody may know, ``CommitteeKeys``, and four scalars that only one member knows,
``MemberSecrets``. ``join_keys`` puts them together again where the member runs.
"""

from __future__ import annotations

from ledger.kernel.coin_key import RealCoinKey, deal_coin_keys, deal_coin_shares
from ledger.kernel.decryption_key import RealDecryptionKey, deal_decryption_keys, deal_decryption_shares
from ledger.kernel.encoding import Frozen
from ledger.kernel.group import Point, Scalar, base_times
from ledger.kernel.identity import CryptoKind
from ledger.kernel.key_share import KeyShare
from ledger.kernel.nonce_key import RealNonceKey, deal_nonce_keys, deal_opening_secrets, nonce_member
from ledger.kernel.quorum import some_correct, waiting
from ledger.kernel.signing_key import RealSigningKey, deal_signing_keys, deal_signing_shares
from ledger.kernel.threshold import MemberKeys


class SharedKey(Frozen):
    """What everybody may know of a key of which members hold shares: its point, and that of each share by index."""

    group_key: Point
    public_shares: tuple[Point, ...]


class CommitteeKeys(Frozen):
    """What everybody may know of the keys of a committee that survives f faulty members."""

    f: int
    coin: SharedKey
    signing: SharedKey
    opening_keys: tuple[Point, ...]
    decryption: SharedKey

    @property
    def n(self) -> int:
        """How many members there are."""
        return len(self.opening_keys)


class MemberSecrets(Frozen):
    """What only one member knows: its share of each key, and what it opens its shares of dealings with."""

    coin: Scalar
    signing: Scalar
    opening: Scalar
    decryption: Scalar

    def __repr__(self) -> str:
        return "MemberSecrets(...)"


def deal_member_keys(kind: CryptoKind, seed: bytes | int, label: str, n: int, f: int) -> tuple[MemberKeys, ...]:
    """The keys of the n members of the committee with this label, by member index."""
    if kind == "real":
        public, secrets = deal_committee(seed, label, n, f)
        return tuple(join_keys(public, member, secret) for member, secret in enumerate(secrets))
    coins = deal_coin_keys(kind, seed, label, n, some_correct(f))
    signing = deal_signing_keys(kind, seed, label, n, f)
    nonces = deal_nonce_keys(kind, seed, label, n, f)
    decryption = deal_decryption_keys(kind, seed, label, n, some_correct(f))
    return tuple(MemberKeys(coins[member], signing[member], nonces[member], decryption[member]) for member in range(n))


def deal_committee(seed: bytes | int, label: str, n: int, f: int) -> tuple[CommitteeKeys, tuple[MemberSecrets, ...]]:
    """The real keys of the n members of the committee with this label: what is public, and the secrets by member index."""
    coins = deal_coin_shares(seed, label, n, some_correct(f))
    signing = deal_signing_shares(seed, label, n, f)
    openings = deal_opening_secrets(seed, label, n)
    decryption = deal_decryption_shares(seed, label, n, some_correct(f))
    opening_keys = tuple(base_times(secret) for secret in openings)
    public = CommitteeKeys(f, _public(coins[0]), _public(signing[0]), opening_keys, _public(decryption[0]))
    secrets = tuple(
        MemberSecrets(coins[member].secret, signing[member].secret, openings[member], decryption[member].secret)
        for member in range(n)
    )
    return public, secrets


def join_keys(public: CommitteeKeys, member: int, secrets: MemberSecrets) -> MemberKeys:
    """The real keys of the member with this index."""
    f = public.f
    signing = _share(public.signing, secrets.signing, waiting(public.n, f))
    return MemberKeys(
        RealCoinKey(_share(public.coin, secrets.coin, some_correct(f))),
        RealSigningKey(member, signing),
        RealNonceKey(nonce_member(member, f, signing, secrets.opening, public.opening_keys)),
        RealDecryptionKey(_share(public.decryption, secrets.decryption, some_correct(f))),
    )


def foreign_secrets(public: CommitteeKeys, member: int, secrets: MemberSecrets) -> tuple[str, ...]:
    """The names of the secrets that are not those of the member with this index."""
    expected = {
        "coin": public.coin.public_shares[member],
        "signing": public.signing.public_shares[member],
        "opening": public.opening_keys[member],
        "decryption": public.decryption.public_shares[member],
    }
    return tuple(name for name, point in expected.items() if base_times(getattr(secrets, name)) != point)


def _public(share: KeyShare) -> SharedKey:
    return SharedKey(share.group_key, share.public_shares)


def _share(key: SharedKey, secret: Scalar, threshold: int) -> KeyShare:
    return KeyShare(secret, key.public_shares, key.group_key, threshold)
