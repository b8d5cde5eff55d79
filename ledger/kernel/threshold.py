"""The keys of a committee's member: what its threshold schemes look like from above, in both kinds of crypto.

Four keys, of which each member holds a part: the *coin* (values that nobody knows before f + 1 members release them), the
*signing* key (n - f members make one Ed25519 signature by FROST), the *nonce* key (members deal each other nonces for the
same signing key, as Wasp does), the *decryption* key (f + 1 members open what anybody encrypted to the committee).

Each has a *real* kind, with the maths, and a *model*, the ideal functionality: the trusted dealer's model yields what the
real kind would, shares and proofs are dummies of the same length, and nothing is yielded before enough of them are there.
The cost of the maths is charged by the runtime.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias

from ledger.kernel.encoding import Digest, Frozen
from ledger.kernel.identity import PublicKey, Signature
from ledger.kernel.rng import Stream

Commitments: TypeAlias = Sequence[tuple[int, bytes]]
"""Signers by index, rising, with the commitment of each to its nonces."""


class CoinKey(Protocol):
    """One member's part of the committee's key to threshold randomness.

    It backs the common coin and the batch entropy. The value with name ``sid`` is unique: whoever combines whichever shares
    gets the same 32 bytes, which nobody knows until f + 1 members have released their shares (96 bytes) of it.
    """

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


class SigningKey(Protocol):
    """One member's part of the committee's Ed25519 key, used by FROST (RFC 9591). Commitments are 64 bytes, shares 32."""

    @property
    def group_key(self) -> PublicKey:
        """The committee's public key: an ordinary verifier accepts what n - f members signed."""
        ...

    @property
    def threshold(self) -> int:
        """How many members sign: n - f."""
        ...

    def make_nonces(self, rng: Stream) -> NoncePair:
        """Nonces for one signature. Used for one message and one set of signers, never again."""
        ...

    def is_commitment(self, commitment: bytes) -> bool:
        """Whether these bytes commit to a pair of nonces. Total."""
        ...

    def sign_share(self, nonces: NoncePair, message: bytes, commitments: Commitments) -> bytes:
        """This member's share; ``commitments`` are those of all ``threshold`` signers, this member's own among them."""
        ...

    def verify_share(self, member: int, message: bytes, commitments: Commitments, share: bytes) -> bool:
        """Whether the signer with this index computed its share rightly. Total, for commitments that were checked."""
        ...

    def combine(self, message: bytes, commitments: Commitments, shares: Mapping[int, bytes]) -> Signature | None:
        """The signature from the shares of all signers, by member index; None: one of them is wrong."""
        ...


class NoncePair(Frozen):
    """A member's secret nonces for one signature, and their public commitment."""

    secret: bytes
    commitment: bytes


class NonceKey(Protocol):
    """One member's part in dealing nonces for the committee's Ed25519 key, and in signing with them.

    A *dealing* is public: Feldman commitments to a random polynomial of degree f, and its value for each member, encrypted to
    that member. The nonce of a signature is the sum of the secrets of several dealers.
    """

    @property
    def group_key(self) -> PublicKey:
        """The committee's public key, the same as ``SigningKey.group_key``."""
        ...

    @property
    def threshold(self) -> int:
        """How many partial signatures make a signature: n - f."""
        ...

    def deal(self, sid: bytes, rng: Stream) -> bytes:
        """A fresh dealing with this name, by this member."""
        ...

    def is_dealing(self, sid: bytes, dealing: bytes) -> bool:
        """Whether these bytes have the form of a dealing with this name. Total; says nothing about the shares in it."""
        ...

    def open(self, sid: bytes, dealing: bytes) -> bytes | None:
        """This member's share (32 bytes); None if what was encrypted for it does not fit the commitments: then implicate."""
        ...

    def implicate(self, sid: bytes, dealing: bytes) -> bytes:
        """What opens this member's encrypted share for everybody, with the proof that it does."""
        ...

    def verify_implication(self, member: int, sid: bytes, dealing: bytes, implication: bytes) -> bool:
        """Whether this proves that what was encrypted for that member does not fit the commitments.

        Total, for a dealing that was checked.
        """
        ...

    def verify_share(self, member: int, dealing: bytes, share: bytes) -> bool:
        """Whether this is the member's share of the dealing. Total, for a dealing that was checked."""
        ...

    def recover(self, dealing: bytes, shares: Mapping[int, bytes]) -> bytes:
        """This member's own share from f + 1 verified ones of others, by member index."""
        ...

    def sign_partial(self, dealings: Sequence[bytes], shares: Sequence[bytes], message: bytes) -> bytes:
        """This member's partial signature (32 bytes) with the sum of these dealings' nonces; its share of each is given."""
        ...

    def verify_partial(self, member: int, dealings: Sequence[bytes], message: bytes, partial: bytes) -> bool:
        """Whether the member signed the message with the sum of these dealings' nonces. Total, for checked dealings."""
        ...

    def combine(self, dealings: Sequence[bytes], message: bytes, partials: Mapping[int, bytes]) -> Signature:
        """The signature from ``threshold`` verified partial signatures, by member index."""
        ...


class DecryptionKey(Protocol):
    """One member's part of the key that opens what was encrypted to the committee."""

    @property
    def threshold(self) -> int:
        """How many shares open a ciphertext: f + 1."""
        ...

    def encrypt(self, label: bytes, plaintext: bytes, rng: Stream) -> bytes:
        """A ciphertext for the committee, bound to the label; anybody can make one."""
        ...

    def is_ciphertext(self, label: bytes, ciphertext: bytes) -> bool:
        """Whether it was made for this label by somebody who knows what is in it. Total."""
        ...

    def share(self, ciphertext: bytes) -> bytes:
        """This member's share of opening it (96 bytes); the ciphertext was checked."""
        ...

    def verify_share(self, member: int, ciphertext: bytes, share: bytes) -> bool:
        """Whether the member's share is right. Total, for a ciphertext that was checked."""
        ...

    def combine(self, ciphertext: bytes, shares: Mapping[int, bytes]) -> bytes:
        """The plaintext, from at least ``threshold`` verified shares, by member index."""
        ...


class MemberKeys(Frozen):
    """All that a member holds of its committee's keys."""

    coin: CoinKey
    signing: SigningKey
    nonces: NonceKey
    decryption: DecryptionKey
