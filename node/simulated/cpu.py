"""The virtual CPU: what a host's work costs, from its hardware profile.

No automaton knows that it has a CPU. The objects that do the costly things (``Signer``, ``Verifier``, ``CoinKey``)
are given to it wrapped by the host's ``CpuMeter``; executed gas is charged by whoever executes; frames and their
bytes are charged by the machine. A turn of a host (all that waited for it, handled in one go) costs the sum; its outputs
leave at the end of that time, rounded up to the microsecond, and the host is busy until then.

The meter counts in whole picoseconds. A host without a profile has a CPU that takes no time: nothing is wrapped.

What is not modelled: memory bandwidth, other processes, and a second core for protocol work (one Python process has one).
"""

from __future__ import annotations

from collections.abc import Mapping

from ledger.kernel.encoding import Digest
from ledger.kernel.identity import PublicKey, Signature, Signer, Verifier
from ledger.kernel.instant import Duration
from ledger.kernel.threshold import CoinKey, MemberKeys
from node.hardware import OPERATIONS, PICOSECONDS, HardwareProfile, Operation

PER_CENT = 100


class CpuMeter:
    """Adds up what one host's work costs."""

    __slots__ = ("_costs", "charged", "slowness", "spent")

    def __init__(self, profile: HardwareProfile | None) -> None:
        self._costs: Mapping[Operation, int] | None = profile.costs if profile else None
        self.charged: dict[Operation, int] = dict.fromkeys(OPERATIONS, 0)
        """How many units of each operation were charged."""
        self.slowness = PER_CENT
        """Per cent of the profile's cost: 200 is half as fast."""
        self.spent = 0
        """Picoseconds charged since the last ``settle``."""

    @property
    def runs(self) -> bool:
        """Whether anything costs time here."""
        return self._costs is not None

    def charge(self, operation: Operation, amount: int = 1) -> None:
        """An operation was carried out on this many units (bytes, for what is priced per kB)."""
        if self._costs is not None:
            self.charged[operation] += amount
            self.spent += self._costs[operation] * amount

    def settle(self) -> Duration:
        """How long the CPU takes for what was charged since the last time."""
        spent, self.spent = self.spent, 0
        return -(-spent * self.slowness // (PER_CENT * PICOSECONDS))

    def signer(self, signer: Signer) -> Signer:
        """The signer, each of whose signatures is charged here."""
        return MeteredSigner(signer, self) if self.runs else signer

    def verifier(self, verifier: Verifier) -> Verifier:
        """The verifier, each of whose checks is charged here."""
        return MeteredVerifier(verifier, self) if self.runs else verifier

    def member_keys(self, keys: MemberKeys) -> MemberKeys:
        """The keys, each of whose operations is charged here."""
        return MemberKeys(self.coin_key(keys.coin), keys.signing, keys.nonces, keys.decryption) if self.runs else keys

    def coin_key(self, key: CoinKey) -> CoinKey:
        """The key, each of whose operations is charged here."""
        return MeteredCoinKey(key, self) if self.runs else key


class MeteredSigner:
    """Charges each signature."""

    def __init__(self, signer: Signer, meter: CpuMeter) -> None:
        self._signer = signer
        self._meter = meter

    @property
    def public_key(self) -> PublicKey:
        return self._signer.public_key

    def sign(self, message: bytes) -> Signature:
        self._meter.charge("sign")
        self._meter.charge("hash", len(message))
        return self._signer.sign(message)


class MeteredVerifier:
    """Charges each signature that is checked."""

    def __init__(self, verifier: Verifier, meter: CpuMeter) -> None:
        self._verifier = verifier
        self._meter = meter

    def verify(self, public_key: PublicKey, message: bytes, signature: Signature) -> bool:
        self._meter.charge("verify")
        self._meter.charge("hash", len(message))
        return self._verifier.verify(public_key, message, signature)


class MeteredCoinKey:
    """Charges each share made, checked, combined."""

    def __init__(self, key: CoinKey, meter: CpuMeter) -> None:
        self._key = key
        self._meter = meter

    @property
    def threshold(self) -> int:
        return self._key.threshold

    def share(self, sid: bytes) -> bytes:
        self._meter.charge("threshold_share")
        return self._key.share(sid)

    def verify_share(self, member: int, sid: bytes, share: bytes) -> bool:
        self._meter.charge("threshold_verify")
        return self._key.verify_share(member, sid, share)

    def combine(self, sid: bytes, shares: Mapping[int, bytes]) -> Digest:
        self._meter.charge("threshold_combine", len(shares))
        return self._key.combine(sid, shares)
