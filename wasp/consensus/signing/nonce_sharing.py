"""Asynchronous complete sharing of one dealer's nonce, as Wasp runs it.

hbACSS (Yurek and others, 2022) with Feldman's commitments (Das and others, *Practical asynchronous distributed key
generation*, 2022, section IV.A): all correct members end with a share of the dealer's secret, or none does.

1. dealer: broadcast a dealing reliably
2. on its delivery open the own share; if it fits multicast ``SharingOk``, otherwise ``Implicate`` with the proof
3. on ``SharingOk`` from n - f: multicast ``SharingReady``, unless sent
4. on ``SharingReady`` from f + 1: multicast ``SharingReady``, unless sent
5. on ``SharingReady`` from n - f, with a share: output it
6. on a valid ``Implicate``, with a share: multicast ``Recover`` with it, once
7. without a share, on valid ``Recover`` from f + 1: interpolate the own share

The quorums of lines 3 and 5 mean a correct majority: f + 1 of them are correct, and can give everybody else a share (line
3), or make everybody else ready (line 5). At any n, 2f + 1 would do; n - f, which is Wasp's number, is never less, and
correct members reach it alone.

Departures. (a) Line 6 does not wait for the own output, line 7 leads to line 5. Wasp's members output as soon as they have
recovered a share, which some may when others never output. Who deals a wrong share has no secret left to guard. (b) What
is no dealing is a fault of the dealer, and goes no further; Wasp's members stop.

Invariants. *Totality*: when a correct member outputs, f + 1 correct ones are ready, so all will be. The first of these was
so by line 3: f + 1 correct members opened shares. All deliver the dealing; who can't open it implicates, and recovers.
*Completeness*: all shares fit the same commitments, so they lie on one polynomial of degree f. *Secrecy*: nobody can
implicate a correct dealer. With constant delay d all output at 5d, after (n - 1)(4n + 1) messages.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

from ledger.kernel.automaton import NOTHING, Automaton, Envelope, Fault, NodeId, Path, Step, StepBuilder
from ledger.kernel.encoding import Frozen, Value, pack
from ledger.kernel.group import SCALAR_SIZE
from ledger.kernel.instant import Instant
from ledger.kernel.nonce_key import IMPLICATION_SIZE
from ledger.kernel.rng import Stream
from ledger.kernel.threshold import NonceKey
from wasp.committee import Committee
from wasp.consensus.reliable_broadcast import BroadcastMessage, BroadcastPayload, PayloadDelivered, ReliableBroadcast


class SharingOk(Value):
    """The sender has a share of its own that fits the dealing."""


class SharingReady(Value):
    """Some correct member knows that f + 1 correct ones hold shares, so that all can have one."""


class Implicate(Value):
    """What was padded for the sender does not fit the dealing: here is what opens it, with the proof."""

    implication: Annotated[bytes, msgspec.Meta(min_length=IMPLICATION_SIZE, max_length=IMPLICATION_SIZE)]


class Recover(Value):
    """The sender's share, for those who got none from a dealer that was proven faulty."""

    share: Annotated[bytes, msgspec.Meta(min_length=SCALAR_SIZE, max_length=SCALAR_SIZE)]


SharingMessage: TypeAlias = BroadcastMessage | SharingOk | SharingReady | Implicate | Recover


class DealNonce(Frozen):
    """Input of the dealer, once. The secret is drawn from this stream."""

    rng: Stream


class NonceShared(Frozen):
    """Output, once: all correct members output this dealing, each with its own share."""

    dealing: bytes
    share: bytes


class NonceSharing(Automaton[DealNonce, SharingMessage, NonceShared]):
    """One member's part in the sharing of one dealer. Senders of messages are members: the owner has checked that."""

    def __init__(self, path: Path, committee: Committee, dealer: int, key: NonceKey) -> None:
        self._path = path
        self._sid = pack(path)
        self._members = committee.members
        self._index = committee.index
        self._bit = committee.bit
        self._dealer = committee.members[dealer]
        self._key = key
        self._broadcast = ReliableBroadcast(path, committee, dealer)
        self._ok_quorum = committee.waiting
        self._amplification_quorum = committee.some_correct
        self._output_quorum = committee.waiting
        self._recovery_quorum = committee.some_correct
        self._dealing: bytes | None = None
        self._share: bytes | None = None
        self._oks = 0
        self._readies = 0
        self._ready_sent = False
        self._early: dict[tuple[NodeId, type[Value]], Implicate | Recover] = {}
        self._implicators = 0
        self._recoverers = 0
        self._dealer_blamed = False
        self._share_revealed = False
        self._shares: dict[int, bytes] = {}
        self._output = False

    @property
    def status(self) -> str:
        """What has been seen, and so what is waited for."""
        if self._output:
            return "output"
        if self._dealing is None:
            return f"no dealing: {self._broadcast.status}"
        return (
            f"share {self._share is not None}, oks {self._oks.bit_count()}/{self._ok_quorum}, "
            f"readies {self._readies.bit_count()}/{self._output_quorum}, "
            f"shares of others {len(self._shares)}/{self._recovery_quorum}"
        )

    def handle_input(self, input: DealNonce, now: Instant) -> Step[NonceShared]:
        """Line 1."""
        dealing = self._key.deal(self._sid, input.rng)
        return self._broadcast.handle_input(BroadcastPayload(dealing), now)  # type: ignore[return-value] # no output yet

    def handle_message(self, sender: NodeId, path: Path, message: Value, now: Instant) -> Step[NonceShared]:
        match message:
            case SharingOk():
                return self._handle_ok(sender)
            case SharingReady():
                return self._handle_ready(sender)
            case Implicate() | Recover():
                return self._handle_revelation(sender, message)
            case _:
                step = self._broadcast.handle_message(sender, path, message, now)
                if not step.outputs:
                    return step  # type: ignore[return-value] # a step without outputs is a step of any automaton
                whole: StepBuilder[NonceShared] = StepBuilder()
                for output in whole.add(step):
                    if isinstance(output, PayloadDelivered):
                        self._handle_dealing(whole, output.payload)
                return whole.build()

    def _handle_dealing(self, step: StepBuilder[NonceShared], dealing: bytes) -> None:
        """Line 2, and lines 6 and 7 for what came before."""
        if not self._key.is_dealing(self._sid, dealing):
            step.faults.append(Fault(self._dealer, "bad_dealing", self._path))
            return
        self._dealing = dealing
        self._share = self._key.open(self._sid, dealing)
        answer = SharingOk() if self._share is not None else Implicate(self._key.implicate(self._sid, dealing))
        step.messages.append(Envelope(self._members, self._path, answer))
        for (sender, _), message in self._early.items():
            self._weigh(step, sender, message, dealing)
        self._early.clear()
        self._maybe_output(step)

    def _handle_ok(self, sender: NodeId) -> Step[NonceShared]:
        """Line 3."""
        mask = self._oks | self._bit[sender]
        if mask == self._oks:
            return NOTHING
        self._oks = mask
        if mask.bit_count() != self._ok_quorum or self._ready_sent:
            return NOTHING
        return Step(messages=(self._ready(),))

    def _handle_ready(self, sender: NodeId) -> Step[NonceShared]:
        """Lines 4 and 5."""
        mask = self._readies | self._bit[sender]
        if mask == self._readies:
            return NOTHING
        self._readies = mask
        count = mask.bit_count()
        if count != self._amplification_quorum and count != self._output_quorum:
            return NOTHING
        step: StepBuilder[NonceShared] = StepBuilder()
        if count == self._amplification_quorum and not self._ready_sent:
            step.messages.append(self._ready())
        self._maybe_output(step)
        return step.build()

    def _ready(self) -> Envelope:
        self._ready_sent = True
        return Envelope(self._members, self._path, SharingReady())

    def _handle_revelation(self, sender: NodeId, message: Implicate | Recover) -> Step[NonceShared]:
        """Lines 6 and 7. What comes before the dealing waits, one of each kind per member."""
        if self._dealing is None:
            if self._early.setdefault((sender, type(message)), message) != message:
                return Step(faults=(Fault(sender, "equivocation", self._path, f"two of {type(message).__name__}"),))
            return NOTHING
        step: StepBuilder[NonceShared] = StepBuilder()
        self._weigh(step, sender, message, self._dealing)
        return step.build()

    def _weigh(
        self, step: StepBuilder[NonceShared], sender: NodeId, message: Implicate | Recover, dealing: bytes
    ) -> None:
        match message:
            case Implicate():
                self._weigh_implication(step, sender, message, dealing)
            case Recover():
                self._weigh_share(step, sender, message, dealing)

    def _weigh_implication(
        self, step: StepBuilder[NonceShared], sender: NodeId, message: Implicate, dealing: bytes
    ) -> None:
        """Line 6."""
        if self._implicators & self._bit[sender]:
            return
        self._implicators |= self._bit[sender]
        if not self._key.verify_implication(self._index[sender], self._sid, dealing, message.implication):
            step.faults.append(Fault(sender, "false_implication", self._path))
            return
        if not self._dealer_blamed:
            self._dealer_blamed = True
            step.faults.append(Fault(self._dealer, "bad_share", self._path, f"the one for {sender}"))
        if self._share is not None and not self._share_revealed:
            self._share_revealed = True
            step.messages.append(Envelope(self._members, self._path, Recover(self._share)))

    def _weigh_share(self, step: StepBuilder[NonceShared], sender: NodeId, message: Recover, dealing: bytes) -> None:
        """Line 7. As of implications, one of each member is checked."""
        if self._share is not None or self._recoverers & self._bit[sender]:
            return
        self._recoverers |= self._bit[sender]
        member = self._index[sender]
        if not self._key.verify_share(member, dealing, message.share):
            step.faults.append(Fault(sender, "bad_share", self._path))
            return
        self._shares[member] = message.share
        if len(self._shares) == self._recovery_quorum:
            self._share = self._key.recover(dealing, self._shares)
            self._shares.clear()
            self._maybe_output(step)

    def _maybe_output(self, step: StepBuilder[NonceShared]) -> None:
        """Line 5."""
        if self._output or self._share is None or self._readies.bit_count() < self._output_quorum:
            return
        assert self._dealing is not None, "a share is of a dealing"
        self._output = True
        step.outputs.append(NonceShared(self._dealing, self._share))
