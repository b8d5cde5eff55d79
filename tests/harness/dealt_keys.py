"""What keys of a trusted dealer promise about how many shares tell something."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

from ledger.kernel.identity import CryptoKind
from ledger.kernel.key_dealer import deal_member_keys
from ledger.kernel.quorum import max_faulty
from ledger.kernel.rng import stream

KINDS: tuple[CryptoKind, ...] = ("real", "model")


def check_dealt_thresholds() -> None:
    """A coin, or a ciphertext, opens with f + 1 shares, and not with f."""
    for kind, n in product(KINDS, (4, 5, 7)):
        f = max_faulty(n)
        dealt = deal_member_keys(kind, 1, "mg1", n, f)
        coin, decryption = dealt[0].coin, dealt[0].decryption
        ciphertext = decryption.encrypt(b"label", b"plaintext", stream(1, "encrypt"))
        tossed = [keys.coin.share(b"coin") for keys in dealt]
        opened = [keys.decryption.share(ciphertext) for keys in dealt]
        for count in (f, f + 1):
            values = (
                _combined(lambda: coin.combine(b"coin", dict(enumerate(tossed[:count])))),  # noqa: B023 # called at once
                _combined(lambda: decryption.combine(ciphertext, dict(enumerate(opened[:count])))),  # noqa: B023
            )
            assert count > f or values == (None, None), f"secrecy: {count} shares of {n} tell {values}"
            assert count <= f or None not in values, f"liveness: {count} shares of {n} tell nothing"


def _combined(combine: Callable[[], bytes]) -> bytes | None:
    """What comes out, if it does."""
    try:
        return combine()
    except AssertionError:
        return None
