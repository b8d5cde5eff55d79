"""The Tangle: one layer-1 node's view of the block DAG, and its part in building it.

IOTA 2.0 (Müller et al., *Tangle 2.0: leaderless Nakamoto consensus on the heaviest DAG*, 2022), as deployed in GoShimmer 0.8
where the profile says so.

1.  On a block: check it, let it wait for parents, inputs or its time, book it, send it on (booking, solidification).
2.  On a request for blocks: send those that are kept.
3.  To attach a submitted transaction, or activity: choose parents, ``PowNeeded`` -> ``PowFound``, sign, book, send; one at a time,
    transactions first, in the order of their coming.
4.  A submitted transaction waits for its inputs, and for its timestamp if that is ahead of the clock.
5.  One that is pending already is attached again if its last block is older than ``reattach_after``.
6.  A node that starts asks its neighbours in turn for what it missed, and issues only after one has answered all.
7.  What is too old to matter is pruned every minute.

Only a block that is wrong on its own, or by its past cone, is *invalid*, and a fault of whoever sent it: honest nodes send on
only what they have booked. Whatever depends on the moment (rates, rivals, clocks, limits) makes a block wait or be ignored, never
invalid, so honest nodes never part over it.

Durability: booked blocks are written down together, at the latest in the step that confirms a transaction, so nobody is ever
told of a confirmation that a crash undoes; a snapshot supersedes the records before it. A node that crashed books its
records again and asks its neighbours for the rest. Losing unrecorded blocks is harmless: issuing binds nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from ledger.access import TransactionConfirmed, TransactionRejected, TransactionSeen
from ledger.attachment import Attacher
from ledger.block import Block, BlockEssence, BlockId, sign_block
from ledger.booking import TANGLE_PATH, BlockBooked, BlockRefused, BlockRequest, Booker
from ledger.dag import Dag
from ledger.finality import Finality, FinalityFact
from ledger.kernel.automaton import NOTHING, Automaton, Envelope, Fault, NodeId, Path, Record, Step, StepBuilder
from ledger.kernel.encoding import Digest, Frozen, Value
from ledger.kernel.identity import PublicKey, Signer, Verifier
from ledger.kernel.instant import HOUR, MINUTE, Duration, Instant
from ledger.kernel.rejection import Rejected
from ledger.kernel.rng import Stream
from ledger.output import TransactionId
from ledger.pow import Grinder, required_difficulty
from ledger.profile import Profile
from ledger.rate_control import Activity
from ledger.snapshot import LedgerSnapshot, take_snapshot
from ledger.synchronisation import SyncBlocks, Synchroniser, SyncRequest
from ledger.tips import RestrictedUniform, TipSelection
from ledger.transaction import Transaction
from ledger.utxo import GenesisLedger, Standing, UtxoLedger
from ledger.validation import check_form, validate

PRUNE_INTERVAL: Duration = MINUTE
SNAPSHOT_INTERVAL: Duration = HOUR
"""Records of blocks that a restart books again: an hour's take well under a second."""
UNRECORDED_MAX = 200
"""Blocks that a step without confirmations leaves unwritten."""
SUBMISSIONS_MAX = 1_000
"""Transactions that wait to be attached: hours of work for this node's proof of work."""
SUBMISSION_WAIT: Duration = MINUTE
"""How long a submission waits for inputs; who submitted it will do so again."""
REQUESTED_BLOCKS_MAX = 256
"""Blocks in one request: more than any honest block has missing parents, many times."""


class SubmitTransaction(Frozen):
    """Attach this transaction, unless that is done. Its fate is told by TransactionSeen, Accepted, Confirmed, Rejected."""

    transaction: Transaction


class PowNeeded(Frozen):
    """Find a nonce for the data with this many zero bits. Answered by ``PowFound``."""

    id: Digest
    difficulty: int
    data: bytes


class PowFound(Frozen):
    """The nonce for the ``PowNeeded`` with this id; one that is no longer wanted is ignored."""

    id: Digest
    nonce: int


class TransactionAttached(Frozen):
    """This node issued a block with the transaction."""

    transaction_id: TransactionId
    block_id: BlockId


class LedgerReplaced(Frozen):
    """A neighbour's snapshot took the place of the whole confirmed ledger."""


class BlocksRecord(Value):
    """Booked blocks, parents first."""

    blocks: tuple[Block, ...]


TangleInput: TypeAlias = SubmitTransaction | PowFound
TangleMessage: TypeAlias = Block | BlockRequest | SyncRequest | SyncBlocks | LedgerSnapshot
TangleOutput: TypeAlias = (
    PowNeeded | TransactionAttached | TransactionSeen | LedgerReplaced | BlockBooked | BlockRefused | FinalityFact
)
TangleRecord: TypeAlias = BlocksRecord | LedgerSnapshot


class _Submission:
    __slots__ = ("since", "transaction")

    def __init__(self, transaction: Transaction, since: Instant) -> None:
        self.transaction = transaction
        self.since = since


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
        self._signer = signer
        self._verifier = verifier
        self._is_validator = signer.public_key in validators
        self._activity = Activity(profile, rng)
        self._submissions: dict[TransactionId, _Submission] = {}
        self._grinding: BlockEssence | None = None
        self._unrecorded: list[Block] = []
        self._started = False
        self._restored = False
        self._quiet_until: Instant = 0
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
                self._submit(input.transaction, now, builder)
            case PowFound():
                self._finish_block(input, now, builder)
        return self._end(now, builder)

    def handle_message(self, sender: NodeId, path: Path, message: TangleMessage, now: Instant) -> Step[TangleOutput]:
        if isinstance(message, Block) and message.id in self.dag.entries:
            return NOTHING
        builder: StepBuilder[TangleOutput] = StepBuilder()
        match message:
            case Block():
                self._booker.take(message, sender, now, builder)
                if self._sync.falls_behind(len(self._booker.solidifier)):
                    self._sync.ask(sender, self._since(), now, builder)
            case BlockRequest():
                self._handle_block_request(sender, message, builder)
            case SyncRequest():
                self._handle_sync_request(sender, message, now, builder)
            case SyncBlocks():
                self._handle_sync_blocks(sender, message, now, builder)
            case LedgerSnapshot():
                self._handle_snapshot(sender, message, now, builder)
        return self._end(now, builder)

    def handle_timer(self, now: Instant) -> Step[TangleOutput]:
        builder: StepBuilder[TangleOutput] = StepBuilder()
        if not self._started:
            self._start(now)
        self._sync.handle_timer(self._since(), now, builder)
        self._booker.handle_timer(now, builder)
        opinion = self.finality.opinion
        self.finality.handle_timer(now)
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
        for other in (self._booker.deadline, self._sync.deadline, self.finality.deadline, self._issue_deadline()):
            if other is not None and other < deadline:
                deadline = other
        return deadline

    @property
    def status(self) -> str:
        """Why it waits."""
        parts = [f"{count} blocks wait for {what}" for what, count in self._booker.waiting.items() if count]
        if not self._sync.done:
            parts.append("waits for a neighbour to tell what it missed")
        if self._grinding is not None:
            parts.append("waits for proof of work")
        if self._submissions:
            parts.append(f"{len(self._submissions)} submissions wait to be attached")
        parts.append(f"{self.ledger.open_count} transactions unconfirmed")
        return "; ".join(parts)

    @property
    def tips(self) -> tuple[BlockId, ...]:
        """The strong tips."""
        return tuple(tip.id for tip in self._attacher.pools.strong.tips)

    def _start(self, now: Instant) -> None:
        self._started = True
        self._prune_at = now + PRUNE_INTERVAL
        self._snapshot_at = now + SNAPSHOT_INTERVAL
        self._activity.start(now)
        if self._restored:
            self._attacher.note_opinion(now)
            if self.profile.pow_rate_thousandths:
                self._quiet_until = now + self.profile.pow_window  # own blocks may have been lost from the count

    def _end(self, now: Instant, builder: StepBuilder[TangleOutput]) -> Step[TangleOutput]:
        """What every event ends with: facts of finality, records, the next block."""
        if self.finality.facts:
            builder.outputs.extend(self.finality.facts)
            self.finality.facts.clear()
        self._activity.note_payloads(self.ledger.open_count, now)
        if self._grinding is None:
            self._begin_block(now, builder)
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

    # ---------------------------------------------------------------------------------------------------------- issuing

    def _submit(self, transaction: Transaction, now: Instant, builder: StepBuilder[TangleOutput]) -> None:
        if transaction.id in self._submissions or self._is_ground(transaction):
            return
        if transaction.id in self.ledger.past:
            return
        if transaction.id not in self.ledger.transactions:
            try:
                check_form(transaction, self.ledger.network)
            except Rejected as rejected:
                builder.outputs.append(TransactionRejected(transaction.id, rejected.code, rejected.detail))
                return
        if len(self._submissions) >= SUBMISSIONS_MAX:
            builder.outputs.append(TransactionRejected(transaction.id, "too_many", "too many submissions wait"))
            return
        self._submissions[transaction.id] = _Submission(transaction, now)

    def _is_ground(self, transaction: Transaction) -> bool:
        payload = None if self._grinding is None else self._grinding.payload
        return payload is not None and payload.id == transaction.id

    def _next_submission(self, now: Instant, builder: StepBuilder[TangleOutput]) -> Transaction | None:
        """The first submission that can be attached now; those that never will be are dropped. (Lines 4 and 5.)"""
        for id, submission in list(self._submissions.items()):
            transaction = submission.transaction
            standing = self.ledger.standing(id)
            if standing is Standing.PENDING or standing is Standing.ACCEPTED:
                blocks = self.dag.attachments.get(id, ())
                stuck = all(block.time < now - self.profile.reattach_after for block in blocks)
                del self._submissions[id]
                if stuck:
                    return transaction
            elif standing is not None:
                del self._submissions[id]
            elif self.ledger.missing(transaction):
                if now >= submission.since + SUBMISSION_WAIT:
                    del self._submissions[id]
            elif transaction.essence.timestamp <= now + self.profile.skew_max:
                del self._submissions[id]
                if self._is_valid(transaction, builder):
                    return transaction
        return None

    def _is_valid(self, transaction: Transaction, builder: StepBuilder[TangleOutput]) -> bool:
        try:
            validate(transaction, self.ledger.consumed(transaction), self._verifier)
            for id in transaction.essence.inputs:
                for spender in self.ledger.outputs[id].spenders:
                    if spender.won or spender.standing is Standing.CONFIRMED:
                        raise Rejected("conflict_lost", "one of its inputs is spent for good")
        except Rejected as rejected:
            builder.outputs.append(TransactionRejected(transaction.id, rejected.code, rejected.detail))
            return False
        return True

    def _issue_deadline(self) -> Instant | None:
        if self._grinding is not None or not self._sync.done:
            return None
        deadline = self._activity.due if self._is_validator else None
        for submission in self._submissions.values():
            ready = min(
                submission.since + SUBMISSION_WAIT,
                max(submission.since + 1, submission.transaction.essence.timestamp - self.profile.skew_max),
            )
            if self.ledger.missing(submission.transaction):
                ready = submission.since + SUBMISSION_WAIT
            deadline = ready if deadline is None else min(deadline, ready)
        return deadline if deadline is None else max(deadline, self._quiet_until)

    def _begin_block(self, now: Instant, builder: StepBuilder[TangleOutput]) -> None:
        if not self._sync.done or now < self._quiet_until:
            return
        payload = self._next_submission(now, builder) if self._submissions else None
        if payload is None and not (self._is_validator and now >= self._activity.due):
            return
        self._activity.note_issued(now)
        self._grind(payload, now, builder)

    def _grind(self, payload: Transaction | None, now: Instant, builder: StepBuilder[TangleOutput]) -> None:
        essence = self._attacher.essence(payload, self._signer.public_key, now)
        count = self._booker.rates.count(essence.issuer, essence.issuing_time)
        difficulty = required_difficulty(self.profile.pow_difficulty, self.profile.pow_rate_thousandths, count)
        self._grinding = essence
        builder.outputs.append(PowNeeded(essence.work_data, difficulty, essence.work_data))

    def _finish_block(self, found: PowFound, now: Instant, builder: StepBuilder[TangleOutput]) -> None:
        essence = self._grinding
        if essence is None or found.id != essence.work_data:
            return
        self._grinding = None
        payload = essence.payload
        if payload is not None and self.ledger.standing(payload.id) in (Standing.CONFIRMED, Standing.REJECTED):
            return
        if not self._attacher.still_stands(essence):
            self._grind(payload, now, builder)
            return
        block = sign_block(essence, found.nonce, self._signer)
        self._booker.take(block, self.me, now, builder)
        assert block.id in self.dag.entries, "a node books its own blocks"
        if payload is not None:
            builder.outputs.append(TransactionAttached(payload.id, block.id))

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
        if request.since < self.dag.pruned_before:
            snapshot, blocks = take_snapshot(self.dag, self.ledger, self.finality)
            builder.messages.append(Envelope((sender,), TANGLE_PATH, snapshot))
            self._sync.answer(sender, blocks, builder)
        else:
            self._sync.answer(sender, self.dag.blocks_since(request.since), builder)

    def _handle_sync_blocks(
        self, sender: NodeId, answer: SyncBlocks, now: Instant, builder: StepBuilder[TangleOutput]
    ) -> None:
        if not self._sync.expects(sender):
            return
        for block in answer.blocks:
            self._booker.take(block, sender, now, builder, forward=False)
        self._sync.note_answer(answer, now)

    def _handle_snapshot(
        self, sender: NodeId, snapshot: LedgerSnapshot, now: Instant, builder: StepBuilder[TangleOutput]
    ) -> None:
        """A neighbour no longer has all that this starting node misses."""
        if self._sync.done or not self._sync.expects(sender):
            return
        if snapshot.supply != self._supply:
            builder.faults.append(Fault(sender, "bad_snapshot", TANGLE_PATH, f"{snapshot.supply} tokens"))
            return
        self._load(snapshot)
        self._unrecorded.clear()
        builder.records.append(Record(TANGLE_PATH, snapshot))
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
            builder.records.append(Record(TANGLE_PATH, snapshot))
        if self._unrecorded:
            self._write_down(builder)
