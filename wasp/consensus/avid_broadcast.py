"""Reliable broadcast with an erasure code, as in HoneyBadgerBFT (Miller et al. 2016, figure 2; Cachin and Tessaro 2005).

One proposer tells all members one payload, so that either all correct members deliver the same payload or none does. Nobody
but the proposer ever sends a payload: each member passes on its shard, 1/(n - 2f) of it.

1. proposer: cut v into n shards, n - 2f of which give v; h := root of their Merkle tree; ``Val(h, branch, shard)`` to each
2. on the first ``Val`` of the proposer, its branch valid and for the own place: multicast ``ShardEcho(h, branch, shard)``
3. a ``ShardEcho`` counts if it is its sender's first, its branch valid and for its sender's place
4. on ``ShardEcho(h)`` from n - f: decode, encode again; if the root is h: multicast ``RootReady(h)``, unless one was sent
5. on ``RootReady(h)`` from f + 1, if none was sent: multicast ``RootReady(h)``
6. on ``RootReady(h)`` from 2f + 1 and ``ShardEcho(h)`` from n - 2f: decode, deliver v

Quorums, for every n > 3f. Line 4 waits for n - f, not for an intersecting quorum, which is smaller where n is not 3f + 1 and
would keep agreement as well: of n - f who echoed h at least n - 2f are correct, told everybody, and so everybody has the
n - 2f shards of line 6. Lines 5 and 6 are Bracha's: f + 1, and 2f + 1 (a correct majority).

The check of line 4 is what binds a proposer. Its branches may be valid and its shards still be no payload's: then what is
decoded depends on the n - 2f shards that one happens to have. Encoding again gives h only if the shards below h are those of
a payload, so all correct members find the same: nobody gets ready for such an h, nobody delivers, and each that decoded has
a fault of the proposer (n - 2f > f have shown its branches, a correct one among them).

Departures: none in what is sent. The result of decoding is kept per root, so the check covers line 6 too. A branch is
verified once for all that hold the message. Before a payload is delivered, a member keeps one shard per member.

Invariants: agreement and totality, as Bracha's. With constant delay d all deliver at 3d, after (n - 1)(2n + 1) messages of
n^2 (|v| / (n - 2f) + 32 log2 n) bytes in all, where Bracha's weigh 2 n^2 |v|.
"""

from __future__ import annotations

from functools import cached_property
from typing import TypeAlias

from ledger.kernel.automaton import NOTHING, Automaton, Envelope, Fault, NodeId, Path, Step, StepBuilder
from ledger.kernel.encoding import Digest, Value
from ledger.kernel.erasure import decode_shards, encode_shards, shard_size
from ledger.kernel.instant import Instant
from ledger.kernel.merkle import Branch, MerkleTree, verify_branch
from wasp.committee import Committee
from wasp.consensus.reliable_broadcast import (
    PAYLOAD_SIZE_MAX,
    BroadcastOutput,
    BroadcastPayload,
    PayloadDelivered,
    PayloadProposed,
)


class ProvenShard(Value, dict=True):
    """What ``Val`` and ``ShardEcho`` have in common."""

    root: Digest
    branch: Branch
    shard: bytes

    @cached_property
    def proven(self) -> bool:
        """Whether the branch proves the shard, computed once for all that hold this object."""
        return verify_branch(self.root, self.shard, self.branch)


class Val(ProvenShard):
    """The recipient's shard of the proposer's payload."""


class ShardEcho(ProvenShard):
    """The sender had this shard from the proposer."""


class RootReady(Value):
    """Some correct member has decoded the payload below this root, and all will be able to: no other root can have that."""

    root: Digest


AvidMessage: TypeAlias = Val | ShardEcho | RootReady


class AvidBroadcast(Automaton[BroadcastPayload, AvidMessage, BroadcastOutput]):
    """One member's part in the broadcast of one proposer. Senders of messages are members: the owner has checked that."""

    def __init__(
        self,
        path: Path,
        committee: Committee,
        proposer: int,
        payload_size_max: int = PAYLOAD_SIZE_MAX,
        *,
        me: NodeId,
    ) -> None:
        self._path = path
        self._members = committee.members
        self._index = committee.index
        self._bit = committee.bit
        self._me = me
        self._n = committee.n
        self._shards_needed = committee.n - 2 * committee.f
        self._proposer = committee.members[proposer]
        self._payload_size_max = payload_size_max
        self._shard_size_max = shard_size(payload_size_max, self._shards_needed)
        self._echo_quorum = committee.waiting
        self._decode_quorum = self._shards_needed
        self._amplification_quorum = committee.some_correct
        self._delivery_quorum = committee.correct_majority
        self._val: Val | None = None
        self._echoed = 0
        self._echoes: dict[Digest, int] = {}
        self._shards: dict[Digest, dict[int, bytes]] = {}
        self._readied = 0
        self._readies: dict[Digest, int] = {}
        self._ready_sent = False
        self._payloads: dict[Digest, bytes | None] = {}
        self._delivered = False

    @property
    def status(self) -> str:
        """What has been seen, and so what is waited for."""
        echoes = max((mask.bit_count() for mask in self._echoes.values()), default=0)
        readies = max((mask.bit_count() for mask in self._readies.values()), default=0)
        return (
            f"val {self._val is not None}, echoes {echoes}/{self._echo_quorum}, "
            f"readies {readies}/{self._delivery_quorum}, delivered {self._delivered}"
        )

    def handle_input(self, input: BroadcastPayload, now: Instant) -> Step[BroadcastOutput]:
        """Line 1."""
        assert len(input.payload) <= self._payload_size_max, "the proposer keeps its payload below the limit"
        shards = encode_shards(input.payload, self._shards_needed, self._n)
        tree = MerkleTree(shards)
        root = tree.root
        return Step(
            messages=[
                Envelope((member,), self._path, Val(root, tree.branch(place), shards[place]))
                for place, member in enumerate(self._members)
            ]
        )

    def handle_message(self, sender: NodeId, path: Path, message: Value, now: Instant) -> Step[BroadcastOutput]:
        match message:
            case ShardEcho():
                return self._handle_echo(sender, message)
            case RootReady():
                return self._handle_ready(sender, message)
            case Val():
                return self._handle_val(sender, message)
            case _:
                return self._blame(sender, "unexpected_message", type(message).__name__)

    def _handle_val(self, sender: NodeId, message: Val) -> Step[BroadcastOutput]:
        """Line 2."""
        if sender != self._proposer:
            return self._blame(sender, "not_the_proposer", f"only {self._proposer} proposes here")
        if self._val is not None:
            return NOTHING if message == self._val else self._blame(sender, "equivocation", "two proposals")
        wrong = self._what_is_wrong(message, self._me)
        if wrong:
            return self._blame(sender, *wrong)
        self._val = message
        echo = Envelope(self._members, self._path, ShardEcho(message.root, message.branch, message.shard))
        return Step(messages=(echo,), outputs=(PayloadProposed(),))

    def _handle_echo(self, sender: NodeId, message: ShardEcho) -> Step[BroadcastOutput]:
        """Line 3."""
        bit, root, echoes = self._bit[sender], message.root, self._echoes
        mask = echoes.get(root, 0)
        if self._echoed & bit:
            return NOTHING if mask & bit else self._blame(sender, "equivocation", "two echoes")
        wrong = self._what_is_wrong(message, sender)
        if wrong:
            return self._blame(sender, *wrong)
        self._echoed |= bit
        echoes[root] = mask | bit
        if self._delivered:
            return NOTHING
        self._shards.setdefault(root, {})[message.branch.index] = message.shard
        return self._weigh(root)

    def _handle_ready(self, sender: NodeId, message: RootReady) -> Step[BroadcastOutput]:
        bit, root, readies = self._bit[sender], message.root, self._readies
        mask = readies.get(root, 0)
        if self._readied & bit:
            return NOTHING if mask & bit else self._blame(sender, "equivocation", "two readies")
        self._readied |= bit
        readies[root] = mask | bit
        return NOTHING if self._delivered else self._weigh(root)

    def _weigh(self, root: Digest) -> Step[BroadcastOutput]:
        """Lines 4 to 6: what the votes for this root have come to."""
        echoes, readies = self._echoes.get(root, 0).bit_count(), self._readies.get(root, 0).bit_count()
        step: StepBuilder[BroadcastOutput] = StepBuilder()
        if not self._ready_sent and (
            readies >= self._amplification_quorum
            or (echoes >= self._echo_quorum and self._payload_of(root, step) is not None)
        ):
            self._ready_sent = True
            step.messages.append(Envelope(self._members, self._path, RootReady(root)))
        if readies >= self._delivery_quorum and echoes >= self._decode_quorum:
            payload = self._payload_of(root, step)
            if payload is not None:
                self._delivered = True
                self._shards.clear()
                self._payloads.clear()
                step.outputs.append(PayloadDelivered(payload))
        return step.build()

    def _payload_of(self, root: Digest, step: StepBuilder[BroadcastOutput]) -> bytes | None:
        """The payload below this root; None, and a fault of the proposer, if the shards below it are no payload's."""
        if root not in self._payloads:
            payload = decode_shards(self._shards[root], self._shards_needed, self._n)
            if payload is None or not self._is_root_of(payload, root):
                payload = None
                step.faults.append(Fault(self._proposer, "no_codeword", self._path, "its shards are no payload's"))
            self._payloads[root] = payload
        return self._payloads[root]

    def _is_root_of(self, payload: bytes, root: Digest) -> bool:
        return MerkleTree(encode_shards(payload, self._shards_needed, self._n)).root == root

    def _what_is_wrong(self, message: ProvenShard, holder: NodeId) -> tuple[str, str] | None:
        """The kind and detail of the fault in a shard that should be this member's."""
        if len(message.shard) > self._shard_size_max:
            return "oversized", f"a shard of {len(message.shard)} bytes"
        if message.branch.index != self._index[holder] or message.branch.count != self._n:
            return "wrong_branch", f"for place {message.branch.index} of {message.branch.count}"
        return None if message.proven else ("wrong_branch", "the root does not follow from it")

    def _blame(self, sender: NodeId, kind: str, detail: str) -> Step[BroadcastOutput]:
        return Step(faults=(Fault(sender, kind, self._path, detail),))
