"""Encryption to a committee, opened by f + 1 of its members: TDH2.

Shoup and Gennaro, *Securing threshold cryptosystems against chosen ciphertext attack*, 1998. Here on Ed25519's
group, with base point G, a second one H of which nobody knows the discrete logarithm, and the committee's key X = x G:

1. encrypt m for a label: draw r; c := m xor SHAKE-256(r X); ciphertext: (r G, r H, c) with a proof, bound to label and c,
   that r G and r H are the same multiple, which only who knows r can make
2. anybody checks that proof
3. share of member i, of a checked ciphertext: x_i times r G, with a proof that it is the same multiple as its public share
4. plaintext, from f + 1 shares: interpolate x (r G) = r X, remove the mask

A ciphertext is ``CIPHERTEXT_OVERHEAD`` = 128 bytes longer than what is in it. It is secure against chosen ciphertexts
(decisional Diffie-Hellman, random oracles): who alters one, or copies it under another label, can't make the proof. So a
member may open whatever passes the check. Every ciphertext that passes it opens, to the same bytes for all: there is no
tag inside that could be wrong.

Departures: the mask is as long as the message (the paper's messages have one length). Proofs are ``dleq``'s, whose hash
takes the bases as well.

``ModelDecryptionKey`` has ciphertexts and shares of the same lengths and draws as much from the stream; the mask is made of
a secret of the dealer's model, the proof is a keyed hash. No automaton can compute either by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b, shake_256

from ledger.kernel.dleq import PROOF_SIZE, prove_equal, verify_equal
from ledger.kernel.encoding import digest
from ledger.kernel.group import (
    POINT_SIZE,
    Point,
    base_times,
    hash_to_point,
    is_point,
    random_scalar,
    scalar_bytes,
    times,
)
from ledger.kernel.identity import CryptoKind
from ledger.kernel.key_share import KeyShare, ShareModel, deal_key
from ledger.kernel.rng import Stream, stream
from ledger.kernel.threshold import DecryptionKey

CIPHERTEXT_OVERHEAD = 2 * POINT_SIZE + PROOF_SIZE
"""Bytes of a ciphertext before the masked plaintext: two points and the proof."""

_SECOND_BASE = hash_to_point(b"second base point of decryption")
_CIPHERTEXT_CONTEXT = b"tanglegrid ciphertext"
_SHARE_CONTEXT = b"tanglegrid decryption share"


class RealDecryptionKey:
    """One member's part, with the maths."""

    def __init__(self, key: KeyShare) -> None:
        self._key = key
        self.threshold = key.threshold

    def encrypt(self, label: bytes, plaintext: bytes, rng: Stream) -> bytes:
        secret = random_scalar(rng)
        masked = _masked(plaintext, times(secret, self._key.group_key))
        image, proof = prove_equal(secret, _SECOND_BASE, _context(label, masked))
        return base_times(secret) + image + proof + masked

    def is_ciphertext(self, label: bytes, ciphertext: bytes) -> bool:
        point, image = ciphertext[:POINT_SIZE], ciphertext[POINT_SIZE : 2 * POINT_SIZE]
        proof, masked = ciphertext[2 * POINT_SIZE : CIPHERTEXT_OVERHEAD], ciphertext[CIPHERTEXT_OVERHEAD:]
        return is_point(point) and verify_equal(point, _SECOND_BASE, image, proof, _context(label, masked))

    def share(self, ciphertext: bytes) -> bytes:
        return self._key.multiply(ciphertext[:POINT_SIZE], _SHARE_CONTEXT)

    def verify_share(self, member: int, ciphertext: bytes, share: bytes) -> bool:
        return self._key.verify(member, ciphertext[:POINT_SIZE], share, _SHARE_CONTEXT)

    def combine(self, ciphertext: bytes, shares: Mapping[int, bytes]) -> bytes:
        return _masked(ciphertext[CIPHERTEXT_OVERHEAD:], self._key.combine(shares))


class DecryptionModel:
    """The dealer, who knows the secret: one for all members of a committee."""

    def __init__(self, secret: bytes, n: int, threshold: int) -> None:
        self._secret = secret
        self.threshold = threshold
        self.shares = ShareModel(secret, n)

    def encrypt(self, label: bytes, plaintext: bytes, nonce: bytes) -> bytes:
        """The ciphertext with this nonce of 32 bytes."""
        masked = self.masked(plaintext, nonce)
        return nonce + self._proof(label, nonce, masked) + masked

    def is_ciphertext(self, label: bytes, ciphertext: bytes) -> bool:
        """Whether it was made by ``encrypt``, for this label. Total."""
        nonce, masked = ciphertext[:POINT_SIZE], ciphertext[CIPHERTEXT_OVERHEAD:]
        return ciphertext[POINT_SIZE:CIPHERTEXT_OVERHEAD] == self._proof(label, nonce, masked)

    def masked(self, data: bytes, nonce: bytes) -> bytes:
        """The data, masked; or what was masked, plain."""
        return _masked(data, self._secret + nonce)

    def _proof(self, label: bytes, nonce: bytes, masked: bytes) -> bytes:
        head = blake2b(_context(label, nonce + masked), key=self._secret, digest_size=64).digest()
        return head + head[: CIPHERTEXT_OVERHEAD - POINT_SIZE - 64]


class ModelDecryptionKey:
    """One member's part, without the maths."""

    def __init__(self, model: DecryptionModel, member: int) -> None:
        self._model = model
        self._member = member
        self.threshold = model.threshold

    def encrypt(self, label: bytes, plaintext: bytes, rng: Stream) -> bytes:
        return self._model.encrypt(label, plaintext, scalar_bytes(random_scalar(rng)))

    def is_ciphertext(self, label: bytes, ciphertext: bytes) -> bool:
        return self._model.is_ciphertext(label, ciphertext)

    def share(self, ciphertext: bytes) -> bytes:
        return self._model.shares.make(self._member, ciphertext[:CIPHERTEXT_OVERHEAD])

    def verify_share(self, member: int, ciphertext: bytes, share: bytes) -> bool:
        return self._model.shares.verify(member, ciphertext[:CIPHERTEXT_OVERHEAD], share)

    def combine(self, ciphertext: bytes, shares: Mapping[int, bytes]) -> bytes:
        assert len(shares) >= self.threshold, "too few shares to open it"
        return self._model.masked(ciphertext[CIPHERTEXT_OVERHEAD:], ciphertext[:POINT_SIZE])


def deal_decryption_shares(seed: bytes | int, label: str, n: int, threshold: int) -> tuple[KeyShare, ...]:
    """What each of the n members of the committee with this label holds of its real key, by member index."""
    return deal_key(stream(seed, "decryption key", label), n, threshold)


def deal_decryption_keys(
    kind: CryptoKind, seed: bytes | int, label: str, n: int, threshold: int
) -> tuple[DecryptionKey, ...]:
    """The keys of the n members of the committee with this label, by member index."""
    if kind == "real":
        return tuple(RealDecryptionKey(key) for key in deal_decryption_shares(seed, label, n, threshold))
    model = DecryptionModel(digest("decryption model", seed, label), n, threshold)
    return tuple(ModelDecryptionKey(model, member) for member in range(n))


def _context(label: bytes, masked: bytes) -> bytes:
    return _CIPHERTEXT_CONTEXT + len(label).to_bytes(4, "big") + label + masked


def _masked(data: bytes, key: Point) -> bytes:
    size = len(data)
    mask = int.from_bytes(shake_256(key).digest(size), "big")
    return (int.from_bytes(data, "big") ^ mask).to_bytes(size, "big")
