"""The virtual CPU: what a host's work costs, from its hardware profile.

No automaton knows that it has a CPU. The objects that do the costly things (``Signer``, ``Verifier``, the member's keys)
are given to it wrapped by the host's ``CpuMeter``; executed gas is charged by whoever executes; frames, their bytes and
the messages in them are charged by the machine, with what a message of that kind lets its receiver hash and decode.

A frame costs the sum of its operations and one fixed cost. What a turn of a host handles in one go, all frames that waited
for it, costs the sum of theirs; what it causes leaves at the end of that time, rounded up to the microsecond, and the
host is busy until then.

The meter counts in whole picoseconds. A host without a profile has a CPU that takes no time: nothing is wrapped.

What is not modelled: memory bandwidth, other processes, and a second core for protocol work (one Python process has one).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ledger.kernel.encoding import Value
from ledger.kernel.identity import PublicKey, Signature, Signer, Verifier
from ledger.kernel.instant import Duration
from ledger.kernel.threshold import MemberKeys
from node.hardware import OPERATIONS, PICOSECONDS, HardwareProfile, Operation
from node.simulated.metered_keys import metered_keys
from node.wire import Packet
from node.work import MESSAGE_WORK, Work

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

    def charge_work(self, work: Work) -> None:
        """Several operations were carried out."""
        for operation, amount in work.items():
            self.charge(operation, amount)

    def charge_frame(self, size: int, packets: Sequence[Packet]) -> None:
        """A frame was opened, and what is in it is handled."""
        self.charge("frame")
        self.charge("decode", size)
        self.charge("packet", len(packets))
        self.charge("message", len(packets))
        for _, message in packets:
            if type(message) in MESSAGE_WORK:
                self.charge_work(MESSAGE_WORK[type(message)](message, False))

    def charge_own_message(self, message: Value) -> None:
        """A machine handles what it has sent to itself."""
        self.charge("message")
        if type(message) in MESSAGE_WORK:
            self.charge_work(MESSAGE_WORK[type(message)](message, True))

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
        return metered_keys(keys, self) if self.runs else keys


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
