"""The trusted dealer: all members' keys of one committee, from the scenario's seed."""

from __future__ import annotations

from ledger.kernel.coin_key import deal_coin_keys
from ledger.kernel.decryption_key import deal_decryption_keys
from ledger.kernel.identity import CryptoKind
from ledger.kernel.nonce_key import deal_nonce_keys
from ledger.kernel.quorum import some_correct
from ledger.kernel.signing_key import deal_signing_keys
from ledger.kernel.threshold import MemberKeys


def deal_member_keys(kind: CryptoKind, seed: bytes | int, label: str, n: int, f: int) -> tuple[MemberKeys, ...]:
    """The keys of the n members of the committee with this label, by member index."""
    coins = deal_coin_keys(kind, seed, label, n, some_correct(f))
    signing = deal_signing_keys(kind, seed, label, n, f)
    nonces = deal_nonce_keys(kind, seed, label, n, f)
    decryption = deal_decryption_keys(kind, seed, label, n, some_correct(f))
    return tuple(MemberKeys(coins[member], signing[member], nonces[member], decryption[member]) for member in range(n))
