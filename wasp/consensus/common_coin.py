"""Common coin: a value that all members learn, and nobody before f + 1 of them have released their share of it.

The coin of Cachin, Kursawe and Shoup (2000) on threshold keys, and the schedules that spare it. The same automaton
yields the entropy of a batch: the coin is the lowest bit of the value, the entropy is all of it.

1. on the owner's word, with the name of the value: multicast the share of that name
2. on valid shares of f + 1 members (shares that came before the name was known are checked then): combine, output;
   of each member one share is checked

The name binds chain, log index, proposer and round (the leaf's path), and whatever the owner adds, so no value is used
twice. A restarted member never takes part in an old log index, so it never releases a share for a second use.

Wasp's *semi* coin: in rounds 0, 1, 2, 3 modulo 5 the coin is fixed to 1, 1, 0, 0, and only the next one is real. A fixed
coin costs nothing and lets unanimous members decide in the first round that fits, but a scheduler knows it: only a coin that
nobody knows before the votes are fixed guarantees that agreement ends. Wasp releases the share of a real coin at the start
of its round, so a scheduler who reads shares knows that as well (docs/consensus.md).
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from ledger.kernel.automaton import NOTHING, Automaton, Envelope, Fault, NodeId, Path, Step
from ledger.kernel.encoding import Digest, Frozen, Value, pack
from ledger.kernel.instant import Instant
from ledger.kernel.threshold import CoinKey
from wasp.committee import Committee

COIN_SHARE_SIZE_MAX = 256
"""Bytes of the largest share with its proof, of any of the threshold schemes."""


class CoinSchedule(Frozen):
    """Which rounds have a fixed coin, repeated for ever; None stands for a real one."""

    rounds: tuple[bool | None, ...]

    def fixed(self, round: int) -> bool | None:
        """The coin of this round if everybody knows it ahead, None if it must be tossed."""
        return self.rounds[round % len(self.rounds)]


WASP_SCHEDULE = CoinSchedule((True, True, False, False, None))
REAL_SCHEDULE = CoinSchedule((None,))


class CoinShare(Value):
    """The sender's share of the value that this leaf is about."""

    share: Annotated[bytes, msgspec.Meta(max_length=COIN_SHARE_SIZE_MAX)]


class ReleaseShare(Frozen):
    """Input, once: the value is wanted. ``purpose`` is the part of its name that the path does not hold."""

    purpose: bytes = b""


class CoinTossed(Frozen):
    """Output, once: the value; the same at every member."""

    value: Digest

    @property
    def bit(self) -> bool:
        """The coin."""
        return bool(self.value[0] & 1)


class CommonCoin(Automaton[ReleaseShare, CoinShare, CoinTossed]):
    """One member's part in one value. Senders of messages are members: the owner has checked that."""

    def __init__(self, path: Path, committee: Committee, key: CoinKey) -> None:
        self._path = path
        self._members = committee.members
        self._index = committee.index
        self._bit = committee.bit
        self._key = key
        self._threshold = key.threshold
        self._name: bytes | None = None
        self._unchecked: dict[NodeId, bytes] = {}
        self._checked = 0
        self._shares: dict[int, bytes] = {}
        self._tossed = False

    @property
    def status(self) -> str:
        """What is waited for."""
        if self._tossed:
            return "tossed"
        return f"released {self._name is not None}, shares {len(self._shares)}/{self._threshold}"

    def handle_input(self, input: ReleaseShare, now: Instant) -> Step[CoinTossed]:
        """Line 1, and line 2 for the shares that came before."""
        assert self._name is None, "a share is released once"
        self._name = pack((self._path, input.purpose))
        messages = (Envelope(self._members, self._path, CoinShare(self._key.share(self._name))),)
        outputs: list[CoinTossed] = []
        faults: list[Fault] = []
        for sender, share in self._unchecked.items():
            step = self._check(sender, share, self._name)
            outputs.extend(step.outputs)
            faults.extend(step.faults)
        self._unchecked.clear()
        return Step((), messages, outputs, faults)

    def handle_message(self, sender: NodeId, path: Path, message: Value, now: Instant) -> Step[CoinTossed]:
        """Line 2."""
        if not isinstance(message, CoinShare):
            return Step(faults=(Fault(sender, "unexpected_message", self._path, type(message).__name__),))
        if self._name is None:
            if self._unchecked.setdefault(sender, message.share) != message.share:
                return Step(faults=(Fault(sender, "equivocation", self._path, "two shares"),))
            return NOTHING
        return self._check(sender, message.share, self._name)

    def _check(self, sender: NodeId, share: bytes, name: bytes) -> Step[CoinTossed]:
        checked = self._checked | self._bit[sender]
        if self._tossed or checked == self._checked:
            return NOTHING
        self._checked, member = checked, self._index[sender]
        if not self._key.verify_share(member, name, share):
            return Step(faults=(Fault(sender, "bad_share", self._path),))
        self._shares[member] = share
        if len(self._shares) < self._threshold:
            return NOTHING
        self._tossed = True
        return Step(outputs=(CoinTossed(self._key.combine(name, self._shares)),))
