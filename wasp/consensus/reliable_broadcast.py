"""Reliable broadcast (Bracha, *Asynchronous Byzantine agreement protocols*, 1987, figure 1), as Wasp runs it.

One proposer tells all members one payload, so that either all correct members deliver the same payload or none does.

1. proposer: multicast ``Initial(v)``
2. on the first ``Initial(v)`` of the proposer: multicast ``Echo(v)``
3. on ``Echo(v)`` from an intersecting quorum, floor((n + f) / 2) + 1, if no ``Ready`` was sent: multicast ``Ready(v)``
4. on ``Ready(v)`` from f + 1, if no ``Ready`` was sent: multicast ``Ready(v)``
5. on ``Ready(v)`` from 2f + 1: deliver v

Departures: ``Echo`` and ``Ready`` carry the whole payload, as Wasp's do (the paper's do as well; no erasure code). They are
counted by its digest, and the message that completes a quorum brings the payload, so that no payload is ever stored: what a
liar can make a member keep is two digests. A payload above ``payload_size_max`` is refused.

Invariants. *Agreement*: two intersecting quorums share a correct member, which echoes once, so all ``Ready`` of correct
members name one payload. *Totality*: who delivers has seen ``Ready`` from f + 1 correct members; all will, and amplify.
With constant delay d all deliver at 3d, after (n - 1)(2n + 1) messages.
"""

from __future__ import annotations

from functools import cached_property
from typing import TypeAlias

from ledger.kernel.automaton import NOTHING, Automaton, Envelope, Fault, NodeId, Path, Step
from ledger.kernel.encoding import Digest, Frozen, Value, digest_of_bytes
from ledger.kernel.instant import Instant
from wasp.committee import Committee

PAYLOAD_SIZE_MAX = 64 * 1024
"""Bytes of the largest payload, more than the largest batch proposal: it weighs 2 n^2 times on the network."""


class Initial(Value, dict=True):
    """The proposer's payload."""

    payload: bytes

    @cached_property
    def digest(self) -> Digest:
        """The digest of the payload, computed once for all that hold this object."""
        return digest_of_bytes(self.payload)


class Echo(Value, dict=True):
    """The sender had this payload from the proposer."""

    payload: bytes

    @cached_property
    def digest(self) -> Digest:
        """The digest of the payload."""
        return digest_of_bytes(self.payload)


class Ready(Value, dict=True):
    """Some correct member has seen an intersecting quorum echo this payload: no other one can have that."""

    payload: bytes

    @cached_property
    def digest(self) -> Digest:
        """The digest of the payload."""
        return digest_of_bytes(self.payload)


BroadcastMessage: TypeAlias = Initial | Echo | Ready


class BroadcastPayload(Frozen):
    """Input of the proposer, once."""

    payload: bytes


class PayloadProposed(Frozen):
    """Output, once: the proposer has told this member something; it may tell others something else."""


class PayloadDelivered(Frozen):
    """Output, once: all correct members deliver this payload."""

    payload: bytes


BroadcastOutput: TypeAlias = PayloadProposed | PayloadDelivered


class ReliableBroadcast(Automaton[BroadcastPayload, BroadcastMessage, BroadcastOutput]):
    """One member's part in the broadcast of one proposer. Senders of messages are members: the owner has checked that.

    Slotted, as a common subset has n of them at every member: what is small stays in the processor's cache.
    """

    __slots__ = ("_amplification_quorum", "_bit", "_delivered", "_delivery_quorum", "_echo_quorum", "_echoed", "_echoes",
                 "_initial", "_members", "_path", "_payload_size_max", "_proposer", "_readied", "_readies",
                 "_ready_sent")  # fmt: skip

    def __init__(
        self, path: Path, committee: Committee, proposer: int, payload_size_max: int = PAYLOAD_SIZE_MAX
    ) -> None:
        self._path = path
        self._members = committee.members
        self._bit = committee.bit
        self._proposer = committee.members[proposer]
        self._payload_size_max = payload_size_max
        self._echo_quorum = committee.intersecting
        self._amplification_quorum = committee.some_correct
        self._delivery_quorum = committee.correct_majority
        self._initial: Digest | None = None
        self._echoed = 0
        self._echoes: dict[Digest, int] = {}
        self._readied = 0
        self._readies: dict[Digest, int] = {}
        self._ready_sent = False
        self._delivered = False

    @property
    def status(self) -> str:
        """What has been seen, and so what is waited for."""
        echoes = max((mask.bit_count() for mask in self._echoes.values()), default=0)
        readies = max((mask.bit_count() for mask in self._readies.values()), default=0)
        return (
            f"initial {self._initial is not None}, echoes {echoes}/{self._echo_quorum}, "
            f"readies {readies}/{self._delivery_quorum}, delivered {self._delivered}"
        )

    def handle_input(self, input: BroadcastPayload, now: Instant) -> Step[BroadcastOutput]:
        """Line 1."""
        assert len(input.payload) <= self._payload_size_max, "the proposer keeps its payload below the limit"
        return Step(messages=(Envelope(self._members, self._path, Initial(input.payload)),))

    def handle_message(self, sender: NodeId, path: Path, message: Value, now: Instant) -> Step[BroadcastOutput]:
        match message:
            case Echo():
                return self._handle_echo(sender, message)
            case Ready():
                return self._handle_ready(sender, message)
            case Initial():
                return self._handle_initial(sender, message)
            case _:
                return self._blame(sender, "unexpected_message", type(message).__name__)

    def _handle_initial(self, sender: NodeId, message: Initial) -> Step[BroadcastOutput]:
        """Line 2."""
        if sender != self._proposer:
            return self._blame(sender, "not_the_proposer", f"only {self._proposer} proposes here")
        if self._initial is not None:
            return NOTHING if message.digest == self._initial else self._blame(sender, "equivocation", "two proposals")
        if len(message.payload) > self._payload_size_max:
            return self._blame(sender, "oversized", f"a payload of {len(message.payload)} bytes")
        self._initial = message.digest
        echo = Envelope(self._members, self._path, Echo(message.payload))
        return Step(messages=(echo,), outputs=(PayloadProposed(),))

    def _handle_echo(self, sender: NodeId, message: Echo) -> Step[BroadcastOutput]:
        """Line 3."""
        bit, digest, echoes = self._bit[sender], message.digest, self._echoes
        mask = echoes.get(digest, 0)
        if self._echoed & bit:
            return NOTHING if mask & bit else self._blame(sender, "equivocation", "two echoes")
        if not mask and len(message.payload) > self._payload_size_max:
            return self._blame(sender, "oversized", f"a payload of {len(message.payload)} bytes")
        self._echoed |= bit
        echoes[digest] = mask = mask | bit
        if mask.bit_count() == self._echo_quorum and not self._ready_sent:
            self._ready_sent = True
            return Step(messages=(Envelope(self._members, self._path, Ready(message.payload)),))
        return NOTHING

    def _handle_ready(self, sender: NodeId, message: Ready) -> Step[BroadcastOutput]:
        """Lines 4 and 5."""
        bit, digest, readies = self._bit[sender], message.digest, self._readies
        mask = readies.get(digest, 0)
        if self._readied & bit:
            return NOTHING if mask & bit else self._blame(sender, "equivocation", "two readies")
        if not mask and len(message.payload) > self._payload_size_max:
            return self._blame(sender, "oversized", f"a payload of {len(message.payload)} bytes")
        self._readied |= bit
        readies[digest] = mask = mask | bit
        count = mask.bit_count()
        messages: tuple[Envelope, ...] = ()
        outputs: tuple[PayloadDelivered, ...] = ()
        if count == self._amplification_quorum and not self._ready_sent:
            self._ready_sent = True
            messages = (Envelope(self._members, self._path, Ready(message.payload)),)
        if count == self._delivery_quorum and not self._delivered:
            self._delivered = True
            outputs = (PayloadDelivered(message.payload),)
        return Step(messages=messages, outputs=outputs) if messages or outputs else NOTHING

    def _blame(self, sender: NodeId, kind: str, detail: str) -> Step[BroadcastOutput]:
        return Step(faults=(Fault(sender, kind, self._path, detail),))
