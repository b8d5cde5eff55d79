"""The keys of a committee's member, each of whose operations is charged to the virtual CPU of its host.

Charged is what the real key does (``node.work``), whichever kind is inside. Real keys remember what they need
again for the same signature, the signing package and the session: here each member pays for it once, and again when it was
forgotten meanwhile, as if it ran alone in its process.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING

from ledger.kernel.encoding import Digest
from ledger.kernel.identity import PublicKey, Signature
from ledger.kernel.nonce_key import SESSIONS_MAX
from ledger.kernel.rng import Stream
from ledger.kernel.signing_key import PACKAGES_MAX
from ledger.kernel.threshold import (
    CoinKey,
    Commitments,
    DecryptionKey,
    MemberKeys,
    NonceKey,
    NoncePair,
    SigningKey,
)
from node.work import Work, key_work, nonce_session_work

if TYPE_CHECKING:
    from node.simulated.cpu import CpuMeter


def metered_keys(keys: MemberKeys, meter: CpuMeter) -> MemberKeys:
    """The keys, each of whose operations is charged to the meter."""
    f = keys.coin.threshold - 1
    work = key_work(keys.signing.threshold + f, f)
    return MemberKeys(
        MeteredCoinKey(keys.coin, meter, work),
        MeteredSigningKey(keys.signing, meter, work),
        MeteredNonceKey(keys.nonces, meter, work, f),
        MeteredDecryptionKey(keys.decryption, meter, work),
    )


class _Remembered:
    """The last few things that were computed, by what they were computed from."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._known: dict[Hashable, None] = {}

    def knows(self, name: Hashable) -> bool:
        """Whether it was computed before and is not forgotten; it is from now on."""
        known = self._known
        found = name in known
        known.pop(name, None)
        known[name] = None
        if len(known) > self._size:
            del known[next(iter(known))]
        return found


class MeteredCoinKey:
    """Charges each share made, checked, combined."""

    def __init__(self, key: CoinKey, meter: CpuMeter, work: Mapping[str, Work]) -> None:
        self._key = key
        self._charge = meter.charge_work
        self._work = work
        self.threshold = key.threshold

    def share(self, sid: bytes) -> bytes:
        self._charge(self._work["coin share"])
        return self._key.share(sid)

    def verify_share(self, member: int, sid: bytes, share: bytes) -> bool:
        self._charge(self._work["coin verify share"])
        return self._key.verify_share(member, sid, share)

    def combine(self, sid: bytes, shares: Mapping[int, bytes]) -> Digest:
        self._charge(self._work["coin combine"])
        return self._key.combine(sid, shares)


class MeteredSigningKey:
    """Charges what FROST does; the package once per message and signers."""

    def __init__(self, key: SigningKey, meter: CpuMeter, work: Mapping[str, Work]) -> None:
        self._key = key
        self._meter = meter
        self._charge = meter.charge_work
        self._work = work
        self._packages = _Remembered(PACKAGES_MAX)
        self.group_key: PublicKey = key.group_key
        self.threshold = key.threshold

    def make_nonces(self, rng: Stream) -> NoncePair:
        self._charge(self._work["signing make nonces"])
        return self._key.make_nonces(rng)

    def is_commitment(self, commitment: bytes) -> bool:
        self._charge(self._work["signing check commitment"])
        return self._key.is_commitment(commitment)

    def sign_share(self, nonces: NoncePair, message: bytes, commitments: Commitments) -> bytes:
        self._charge_package(message, commitments)
        self._charge(self._work["signing share"])
        return self._key.sign_share(nonces, message, commitments)

    def verify_share(self, member: int, message: bytes, commitments: Commitments, share: bytes) -> bool:
        self._charge_package(message, commitments)
        self._charge(self._work["signing verify share"])
        return self._key.verify_share(member, message, commitments, share)

    def combine(self, message: bytes, commitments: Commitments, shares: Mapping[int, bytes]) -> Signature | None:
        self._charge_package(message, commitments)
        self._charge(self._work["signing combine"])
        self._meter.charge("hash", len(message))
        return self._key.combine(message, commitments, shares)

    def _charge_package(self, message: bytes, commitments: Commitments) -> None:
        if not self._packages.knows((message, tuple(commitments))):
            self._charge(self._work["signing package"])
            self._meter.charge("hash", len(message) + sum(len(commitment) for _, commitment in commitments))


class MeteredNonceKey:
    """Charges what dealing nonces and signing with them does; the session once per message and dealings."""

    def __init__(self, key: NonceKey, meter: CpuMeter, work: Mapping[str, Work], f: int) -> None:
        self._key = key
        self._charge = meter.charge_work
        self._work = work
        self._f = f
        self._sessions = _Remembered(SESSIONS_MAX)
        self.group_key: PublicKey = key.group_key
        self.threshold = key.threshold

    def deal(self, sid: bytes, rng: Stream) -> bytes:
        self._charge(self._work["nonces deal"])
        return self._key.deal(sid, rng)

    def is_dealing(self, sid: bytes, dealing: bytes) -> bool:
        self._charge(self._work["nonces check dealing"])
        return self._key.is_dealing(sid, dealing)

    def open(self, sid: bytes, dealing: bytes) -> bytes | None:
        self._charge(self._work["nonces open"])
        return self._key.open(sid, dealing)

    def implicate(self, sid: bytes, dealing: bytes) -> bytes:
        self._charge(self._work["nonces implicate"])
        return self._key.implicate(sid, dealing)

    def verify_implication(self, member: int, sid: bytes, dealing: bytes, implication: bytes) -> bool:
        self._charge(self._work["nonces verify implication"])
        return self._key.verify_implication(member, sid, dealing, implication)

    def verify_share(self, member: int, dealing: bytes, share: bytes) -> bool:
        self._charge(self._work["nonces verify share"])
        return self._key.verify_share(member, dealing, share)

    def recover(self, dealing: bytes, shares: Mapping[int, bytes]) -> bytes:
        self._charge(self._work["nonces recover"])
        return self._key.recover(dealing, shares)

    def sign_partial(self, dealings: Sequence[bytes], shares: Sequence[bytes], message: bytes) -> bytes:
        self._charge_session(dealings, message)
        return self._key.sign_partial(dealings, shares, message)

    def verify_partial(self, member: int, dealings: Sequence[bytes], message: bytes, partial: bytes) -> bool:
        self._charge_session(dealings, message)
        self._charge(self._work["nonces verify partial"])
        return self._key.verify_partial(member, dealings, message, partial)

    def combine(self, dealings: Sequence[bytes], message: bytes, partials: Mapping[int, bytes]) -> Signature:
        self._charge_session(dealings, message)
        self._charge(self._work["nonces combine"])
        return self._key.combine(dealings, message, partials)

    def _charge_session(self, dealings: Sequence[bytes], message: bytes) -> None:
        if not self._sessions.knows((tuple(dealings), message)):
            self._charge(nonce_session_work(self._f, len(dealings)))


class MeteredDecryptionKey:
    """Charges each encryption, each share, each plaintext, and what is masked, unmasked and hashed."""

    def __init__(self, key: DecryptionKey, meter: CpuMeter, work: Mapping[str, Work]) -> None:
        self._key = key
        self._meter = meter
        self._charge = meter.charge_work
        self._work = work
        self.threshold = key.threshold

    def encrypt(self, label: bytes, plaintext: bytes, rng: Stream) -> bytes:
        self._charge(self._work["decryption encrypt"])
        self._meter.charge("cipher", len(plaintext))
        self._meter.charge("hash", 2 * len(plaintext))  # for the nonce and for the challenge of the proof
        return self._key.encrypt(label, plaintext, rng)

    def is_ciphertext(self, label: bytes, ciphertext: bytes) -> bool:
        self._charge(self._work["decryption check"])
        self._meter.charge("hash", len(ciphertext))
        return self._key.is_ciphertext(label, ciphertext)

    def share(self, ciphertext: bytes) -> bytes:
        self._charge(self._work["decryption share"])
        return self._key.share(ciphertext)

    def verify_share(self, member: int, ciphertext: bytes, share: bytes) -> bool:
        self._charge(self._work["decryption verify share"])
        return self._key.verify_share(member, ciphertext, share)

    def combine(self, ciphertext: bytes, shares: Mapping[int, bytes]) -> bytes:
        self._charge(self._work["decryption combine"])
        self._meter.charge("cipher", len(ciphertext))
        return self._key.combine(ciphertext, shares)
