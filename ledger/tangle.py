"""The Tangle: one layer-1 node's view of the block DAG, and its part in building it.

IOTA 2.0 (Müller et al., *Tangle 2.0: leaderless Nakamoto consensus on the heaviest DAG*, 2022), as deployed in
GoShimmer 0.8 where the profile says so.

1.  On a block: check it, let it wait for parents, inputs or its time, book it, send it on (booking, solidification).
2.  On a request for blocks: send those that are kept.
3.  To attach a submitted transaction, or activity: choose parents, ``PowNeeded`` -> ``PowFound``, sign, book, send;
    one at a time, transactions first, in the order of their coming.
4.  A submitted transaction waits for its inputs, and for its timestamp if that is ahead of the clock.
5.  One that is pending already is attached again if its last block is older than ``reattach_after``.
6.  A node that starts asks its neighbours in turn for what it missed, and issues only after one has answered all.
7.  What is too old to matter is pruned every minute.

Only a block that is wrong on its own, or by its past cone, is *invalid*, and a fault of whoever sent it: honest nodes
send on only what they have booked. Whatever depends on the moment (rates, rivals, clocks, limits) makes a block wait
or be ignored, never invalid, so honest nodes never part over it.

Durability: booked blocks are written down together, at the latest in the step that confirms a transaction, so nobody
is ever told of a confirmation that a crash undoes; a snapshot supersedes the records before it. A node that crashed
books its records again and asks its neighbours for the rest. Losing unrecorded blocks is harmless: issuing binds
nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from ledger.access import TransactionConfirmed, TransactionRejected, TransactionSeen
from ledger.attachment import Attacher
from ledger.block import Block, BlockId
from ledger.booking import TANGLE_PATH, BlockBooked, BlockRefused, BlockRequest, Booker
from ledger.dag import Dag
from ledger.finality import Finality, FinalityFact
from ledger.issuing import Issuer, PowFound, PowNeeded, SubmitTransaction, TransactionAttached
from ledger.kernel.automaton import NOTHING, Automaton, Envelope, Fault, NodeId, Path, Record, Step, StepBuilder
from ledger.kernel.encoding import Frozen, Value
from ledger.kernel.identity import PublicKey, Signer, Verifier
from ledger.kernel.instant import HOUR, MINUTE, Duration, Instant
from ledger.kernel.rng import Stream
from ledger.pow import Grinder
from ledger.profile import Profile
from ledger.snapshot import LedgerSnapshot, take_snapshot
from ledger.synchronisation import BEHIND, Synchroniser, SyncPart, SyncRequest
from ledger.tips import RestrictedUniform, TipSelection
from ledger.utxo import GenesisLedger, UtxoLedger

PRUNE_INTERVAL: Duration = MINUTE
SNAPSHOT_INTERVAL: Duration = HOUR
"""Records of blocks that a restart books again: an hour's take well under a second."""
UNRECORDED_MAX = 200
"""Blocks that a step without confirmations leaves unwritten."""
REQUESTED_BLOCKS_MAX = 256
"""Blocks in one request: more than any honest block has missing parents, many times."""


class LedgerReplaced(Frozen):
    """A neighbour's snapshot took the place of the whole confirmed ledger."""


class BlocksRecord(Value):
    """Booked blocks, parents first."""

    blocks: tuple[Block, ...]


TangleInput: TypeAlias = SubmitTransaction | PowFound
TangleMessage: TypeAlias = Block | BlockRequest | SyncRequest | SyncPart
TangleOutput: TypeAlias = (
    PowNeeded | TransactionAttached | TransactionSeen | LedgerReplaced | BlockBooked | BlockRefused | FinalityFact
)
TangleRecord: TypeAlias = BlocksRecord | LedgerSnapshot


class Tangle(Automaton[TangleInput, TangleMessage, TangleOutput]):
    """One layer-1 node. A node whose key is not among the validators issues payloads, but no activity.

    ``names`` tells which host holds an issuer's key, for faults that only the issuer can be blamed for.
    Its first deadline is at once: it asks its neighbours for what it missed.
    """

    def __init__(
        self,
        me: NodeId,
        signer: Signer,
        verifier: Verifier,
        neighbours: tuple[NodeId, ...],
        validators: Mapping[PublicKey, int],
        profile: Profile,
        genesis: GenesisLedger,
        grinder: Grinder,
        rng: Stream,
        names: Mapping[PublicKey, NodeId] | None = None,
        selection: TipSelection | None = None,
    ) -> None:
        self.me = me
        self.profile = profile
        self.ledger = UtxoLedger(genesis)
        self.dag = Dag(genesis.network, profile.parent_age_max + profile.skew_max + MINUTE)
        self.finality = Finality(self.dag, self.ledger, validators, profile)
        self._attacher = Attacher(self.dag, self.ledger, self.finality, profile, selection or RestrictedUniform(), rng)
        self._booker = Booker(
            me,
            neighbours,
            verifier,
            grinder,
            names or {},
            self.dag,
            self.ledger,
            self.finality,
            self._attacher,
            profile,
        )
        self._sync = Synchroniser(neighbours)
        self._supply = self.ledger.supply
        self._issuer = Issuer(signer, verifier, signer.public_key in validators, self._booker, self._attacher, rng)
        self._unrecorded: list[Block] = []
        self._started = False
        self._restored = False
        self._prune_at: Instant = 0
        self._snapshot_at: Instant = 0

    def restore(self, records: Iterable[TangleRecord], now: Instant) -> None:
        """Take up where the records end: called once, before any event, on a new Tangle with the same arguments."""
        assert not self._started
        self._restored = True
        for record in records:
            match record:
                case BlocksRecord():
                    scrap: StepBuilder[Any] = StepBuilder()
                    for block in record.blocks:
                        self._booker.take(block, self.me, max(now, block.essence.issuing_time), scrap, forward=False)
                case LedgerSnapshot():
                    self._load(record)

    # --------------------------------------------------------------------------------------------------------- the door

    def handle_input(self, input: TangleInput, now: Instant) -> Step[TangleOutput]:
        builder: StepBuilder[TangleOutput] = StepBuilder()
        match input:
            case SubmitTransaction():
                self._issuer.submit(input.transaction, now, builder)
            case PowFound():
                self._issuer.finish_block(input, now, builder)
        return self._end(now, builder)

    def handle_message(self, sender: NodeId, path: Path, message: Value, now: Instant) -> Step[TangleOutput]:
        if isinstance(message, Block) and message.id in self.dag.entries:
            return NOTHING
        builder: StepBuilder[TangleOutput] = StepBuilder()
        match message:
            case Block():
                self._booker.take(message, sender, now, builder)
                if len(self._booker.solidifier) >= BEHIND:
                    self._sync.maybe_ask(sender, self._since(), now, builder)
            case BlockRequest():
                self._handle_block_request(sender, message, builder)
            case SyncRequest():
                self._handle_sync_request(sender, message, now, builder)
            case SyncPart():
                self._handle_sync_part(sender, message, now, builder)
            case _:
                return Step(faults=(Fault(sender, "unexpected_message", TANGLE_PATH, type(message).__name__),))
        return self._end(now, builder)

    def handle_timer(self, now: Instant) -> Step[TangleOutput]:
        builder: StepBuilder[TangleOutput] = StepBuilder()
        if not self._started:
            self._start(now)
        self._sync.ask_when_due(self._since(), now, builder)
        if self._booker.handle_timer(now, builder):
            self._sync.maybe_ask(None, self._since(), now, builder)
        opinion = self.finality.opinion
        self.finality.review(now)
        if self.finality.opinion != opinion:
            self._attacher.note_opinion(now)
        if now >= self._prune_at:
            self._prune(now, builder)
        return self._end(now, builder)

    @property
    def deadline(self) -> Instant | None:
        if not self._started:
            return 0
        deadline = self._prune_at
        issuing = self._issuer.deadline if self._sync.done else None
        for other in (self._booker.deadline, self._sync.deadline, self.finality.deadline, issuing):
            if other is not None and other < deadline:
                deadline = other
        return deadline

    @property
    def status(self) -> str:
        """Why it waits."""
        parts = [f"{count} blocks wait for {what}" for what, count in self._booker.waiting.items() if count]
        if not self._sync.done:
            parts.append("waits for a neighbour to tell what it missed")
        parts += self._issuer.waits
        parts.append(f"{self.ledger.open_count} transactions unconfirmed")
        return "; ".join(parts)

    @property
    def synchronised(self) -> bool:
        """Whether the node has heard from a neighbour what it missed before its start."""
        return self._sync.done

    @property
    def tips(self) -> tuple[BlockId, ...]:
        """The strong tips."""
        return tuple(tip.id for tip in self._attacher.pools.strong.tips)

    def _start(self, now: Instant) -> None:
        self._started = True
        self._prune_at = now + PRUNE_INTERVAL
        self._snapshot_at = now + SNAPSHOT_INTERVAL
        self._issuer.start(now, self._restored)
        if self._restored:
            self._attacher.note_opinion(now)

    def _end(self, now: Instant, builder: StepBuilder[TangleOutput]) -> Step[TangleOutput]:
        """What every event ends with: facts of finality, records, the next block."""
        if self.finality.facts:
            builder.outputs.extend(self.finality.facts)
            self.finality.facts.clear()
        self._issuer.note_payloads(self.ledger.open_count, now)
        if self._sync.done:
            self._issuer.begin_block(now, builder)
        if builder.outputs:
            self._record(builder)
        return builder.build()

    def _record(self, builder: StepBuilder[TangleOutput]) -> None:
        confirmed = False
        for output in builder.outputs:
            if type(output) is BlockBooked:
                self._unrecorded.append(output.block)
            elif type(output) is TransactionConfirmed or type(output) is TransactionRejected:
                confirmed = True
        if self._unrecorded and (confirmed or len(self._unrecorded) >= UNRECORDED_MAX):
            self._write_down(builder)

    def _write_down(self, builder: StepBuilder[TangleOutput]) -> None:
        builder.records.append(Record(TANGLE_PATH, BlocksRecord(tuple(self._unrecorded))))
        self._unrecorded.clear()

    # ------------------------------------------------------------------------------------------- serving, synchronising

    def _since(self) -> Instant:
        """From when on blocks may be missing."""
        return max(0, self.dag.newest_confirmed.time - MINUTE)

    def _handle_block_request(self, sender: NodeId, request: BlockRequest, builder: StepBuilder[TangleOutput]) -> None:
        if len(request.ids) > REQUESTED_BLOCKS_MAX:
            builder.faults.append(Fault(sender, "request_too_large", TANGLE_PATH, f"{len(request.ids)} blocks"))
            return
        for id in request.ids:
            entry = self.dag.entries.get(id)
            if entry is not None and entry.block is not None:
                builder.messages.append(Envelope((sender,), TANGLE_PATH, entry.block))

    def _handle_sync_request(
        self, sender: NodeId, request: SyncRequest, now: Instant, builder: StepBuilder[TangleOutput]
    ) -> None:
        if not self._sync.may_answer(sender, now):
            return
        snapshot, blocks = None, tuple(self.dag.blocks_since(request.since))
        if request.since < self.dag.pruned_before:
            snapshot, blocks = take_snapshot(self.dag, self.ledger, self.finality)
        self._sync.answer(sender, request.question, snapshot, blocks, builder)

    def _handle_sync_part(
        self, sender: NodeId, part: SyncPart, now: Instant, builder: StepBuilder[TangleOutput]
    ) -> None:
        for taken in self._sync.take(sender, part, now):
            if taken.snapshot is not None and taken.number > 0:
                builder.faults.append(Fault(sender, "late_snapshot", TANGLE_PATH, "a snapshot comes before all blocks"))
            elif taken.snapshot is not None:
                self._replace(sender, taken.snapshot, now, builder)
            for block in taken.blocks:
                self._booker.take(block, sender, now, builder, forward=False)

    def _replace(
        self, sender: NodeId, snapshot: LedgerSnapshot, now: Instant, builder: StepBuilder[TangleOutput]
    ) -> None:
        """A neighbour no longer has all the blocks that this node misses, but it has what became of them."""
        if snapshot.supply != self._supply:
            builder.faults.append(Fault(sender, "bad_snapshot", TANGLE_PATH, f"{snapshot.supply} tokens"))
            return
        self._load(snapshot)
        self._unrecorded.clear()
        builder.records.append(Record(TANGLE_PATH, snapshot, (TANGLE_PATH,)))
        builder.outputs.append(LedgerReplaced())
        self._attacher.note_opinion(now)

    def _load(self, snapshot: LedgerSnapshot) -> None:
        self.dag.load(snapshot.roots)
        self.ledger.load(snapshot.outputs, snapshot.confirmed)
        self.finality.clear()
        self._attacher.pools.clear()

    # ---------------------------------------------------------------------------------------------------------- pruning

    def _prune(self, now: Instant, builder: StepBuilder[TangleOutput]) -> None:
        self._prune_at = now + PRUNE_INTERVAL
        for entry in self.dag.prune():
            self.finality.forget_block(entry)
            self._attacher.forget_block(entry)
            payload = entry.payload
            if payload is not None and payload.open and payload.id not in self.dag.attachments:
                for gone in self.ledger.forget(payload):
                    self.finality.forget(gone, now)
        self.ledger.prune(now - self.profile.parent_age_max - MINUTE)
        self._booker.rates.forget_before(now - 2 * self.profile.pow_window)
        if now >= self._snapshot_at and self._sync.done:
            self._snapshot_at = now + SNAPSHOT_INTERVAL
            snapshot, blocks = take_snapshot(self.dag, self.ledger, self.finality)
            self._unrecorded = list(blocks)
            builder.records.append(Record(TANGLE_PATH, snapshot, (TANGLE_PATH,)))
        if self._unrecorded:
            self._write_down(builder)
