"""Identities: key pairs, signatures, and their two kinds of crypto.

- ``real``: Ed25519 of libsodium, through pynacl.
- ``model``: the honest bytes without the maths. The public key is the real one of the same secret, so that names and
  digests, and all that is decided by them, are the same in both kinds. A signature is a keyed hash, 64 bytes long as
  the real one, which anybody *could* compute; no automaton does. It is for simulations, whose runtime charges what real
  signing and verifying would have cost to the virtual CPU. The live runtime refuses it.

Keys are dealt from a secret of the scenario, so that simulated and live runs of a scenario have the same identities.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import Annotated, Literal, Protocol

import msgspec
import nacl.exceptions
import nacl.signing

from ledger.kernel.encoding import Digest, Plain, digest

PUBLIC_KEY_SIZE = 32
SIGNATURES_KEPT = 1 << 14
"""Model signatures and checks of them that are remembered: more than are under way among 128 voters, some megabytes."""

PublicKey = Annotated[bytes, msgspec.Meta(min_length=PUBLIC_KEY_SIZE, max_length=PUBLIC_KEY_SIZE)]
Signature = Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]
CryptoKind = Literal["real", "model"]


class Signer(Protocol):
    """Holds a secret key."""

    @property
    def public_key(self) -> PublicKey:
        """The key that verifies this signer's signatures."""
        ...

    def sign(self, message: bytes) -> Signature:
        """A signature of the message."""
        ...


class Verifier(Protocol):
    """Checks signatures of anybody."""

    def verify(self, public_key: PublicKey, message: bytes, signature: Signature) -> bool:
        """Whether the holder of the key signed the message. Total: a malformed key or signature is simply not valid."""
        ...


class RealSigner:
    """Ed25519."""

    def __init__(self, secret: bytes) -> None:
        self._key = nacl.signing.SigningKey(secret)
        self.public_key: PublicKey = bytes(self._key.verify_key)

    def sign(self, message: bytes) -> Signature:
        return self._key.sign(message).signature


class RealVerifier:
    """Ed25519."""

    def verify(self, public_key: PublicKey, message: bytes, signature: Signature) -> bool:
        try:
            nacl.signing.VerifyKey(public_key).verify(message, signature)
        except (nacl.exceptions.CryptoError, ValueError, TypeError):
            return False
        return True


class ModelSigner:
    """A keyed hash in the place of a signature."""

    def __init__(self, secret: bytes) -> None:
        self.public_key: PublicKey = bytes(nacl.signing.SigningKey(secret).verify_key)

    def sign(self, message: bytes) -> Signature:
        return model_signature(self.public_key, message)


class ModelVerifier:
    """Recomputes the keyed hash, once for all who ask: a signature is mostly checked by all members of a committee."""

    @staticmethod
    @lru_cache(maxsize=SIGNATURES_KEPT)
    def verify(public_key: PublicKey, message: bytes, signature: Signature) -> bool:
        return len(public_key) == PUBLIC_KEY_SIZE and signature == model_signature(public_key, message)


@lru_cache(maxsize=SIGNATURES_KEPT)
def model_signature(public_key: PublicKey, message: bytes) -> Signature:
    """What stands for the signature of the key's holder, be it a node or a committee."""
    return blake2b(message, key=public_key, digest_size=64).digest()


def deal_signer(kind: CryptoKind, seed: bytes | int, *label: Plain) -> Signer:
    """The signer with this label, of a key dealt from the scenario's seed."""
    secret = deal_signing_secret(seed, *label)
    return RealSigner(secret) if kind == "real" else ModelSigner(secret)


def deal_signing_secret(seed: bytes | int, *label: Plain) -> Digest:
    """What the signer with this label is made of."""
    return digest("signing key", seed, *label)


def verifier(kind: CryptoKind) -> Verifier:
    """The verifier for signatures of this kind."""
    return RealVerifier() if kind == "real" else ModelVerifier()
