"""Booking: from a block that has come to a block that stands in the DAG, or waits, or is refused.

1.  take(B): known, or older than what is kept: ignore. Wrong on its own: refuse.
2.  Ahead of the clock by more than ``skew_max``: wait for its time.
3.  Missing parents: wait for them (solidification).
4.  Solid: a parent younger than B, or too old; an invalid payload: refuse.
5.  An input that is not booked: wait for it, at most ``INPUT_WAIT`` (an issuer attaches on the blocks that carry its
    inputs, unless they were confirmed; then they are on their way).
6.  Book: ledger, conflicts, DAG, tips, weight; send on; release what waited for B or for its outputs.

To *refuse* is to remember the block as invalid, to name its sender in a fault, and to drop what waits for it. What
waits too long or is too much is dropped without being remembered: it may come again. Nothing that is refused or
dropped has changed the ledger or the DAG.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from heapq import heappop, heappush
from typing import Any

from ledger.access import TransactionRejected, TransactionSeen
from ledger.attachment import Attacher
from ledger.block import Block, BlockEssence, BlockId, check_block
from ledger.dag import Dag
from ledger.finality import Finality
from ledger.kernel.automaton import Envelope, Fault, NodeId, Path, StepBuilder
from ledger.kernel.encoding import Frozen, Value
from ledger.kernel.identity import PublicKey, Verifier
from ledger.kernel.instant import SECOND, Duration, Instant, earliest
from ledger.kernel.rejection import Rejected, require
from ledger.output import OutputId, TransactionId
from ledger.pow import Grinder, IssueRates, required_difficulty
from ledger.profile import Profile
from ledger.solidification import Solidifier, Waiting
from ledger.transaction import Transaction
from ledger.utxo import NO_CONFLICTS, Standing, TransactionEntry, UtxoLedger
from ledger.validation import check_form, validate

TANGLE_PATH: Path = ("tangle",)
REFUSED_MAX = 10_000
"""Invalid blocks that are remembered, so that a second copy costs nothing."""
EARLY_MAX = 1_000
"""Blocks that wait for their time: a correct neighbour's are ahead by its skew alone."""
PARKED_MAX = 1_000
"""Blocks that wait for inputs."""
INPUT_WAIT: Duration = 30 * SECOND
"""Longer than any block that a neighbour has booked takes to come, with lost messages."""


class BlockRequest(Value):
    """Send me these blocks."""

    ids: tuple[BlockId, ...]


class BlockBooked(Frozen):
    """A block stands in the DAG."""

    block: Block


class BlockRefused(Frozen):
    """A block is invalid, or its issuer is faster than its proof of work allows."""

    block_id: BlockId
    issuer: PublicKey
    code: str
    detail: str


class _Parked:
    __slots__ = ("deadline", "missing", "waiting")

    def __init__(self, waiting: Waiting, missing: set[OutputId], deadline: Instant) -> None:
        self.waiting = waiting
        self.missing = missing
        self.deadline = deadline


class Booker:
    """Takes blocks in, in any order, and books them."""

    def __init__(
        self,
        me: NodeId,
        neighbours: Sequence[NodeId],
        verifier: Verifier,
        grinder: Grinder,
        names: Mapping[PublicKey, NodeId],
        dag: Dag,
        ledger: UtxoLedger,
        finality: Finality,
        attacher: Attacher,
        profile: Profile,
    ) -> None:
        self.solidifier = Solidifier(neighbours)
        self.rates = IssueRates(profile.pow_window)
        self.me = me
        self._others = {sender: tuple(n for n in neighbours if n != sender) for sender in (me, *neighbours)}
        self._verifier = verifier
        self._grinder = grinder
        self._names = names
        self.dag = dag
        self.ledger = ledger
        self._finality = finality
        self._attacher = attacher
        self.profile = profile
        self._refused: dict[BlockId, None] = {}
        self._early: list[tuple[Instant, BlockId, NodeId, Block]] = []
        self._early_ids: set[BlockId] = set()
        self._parked: dict[BlockId, _Parked] = {}
        self._parked_for: dict[OutputId, list[BlockId]] = {}

    @property
    def deadline(self) -> Instant | None:
        """When something that waits is due."""
        early = self._early[0][0] - self.profile.skew_max if self._early else None
        parked = next(iter(self._parked.values())).deadline if self._parked else None
        return earliest(early, parked, self.solidifier.deadline)

    @property
    def waiting(self) -> dict[str, int]:
        """How many blocks wait, and for what."""
        return {"parents": len(self.solidifier), "inputs": len(self._parked), "time": len(self._early)}

    def is_known(self, id: BlockId) -> bool:
        """Whether the block is booked, waits, or was refused."""
        return (
            id in self.dag.entries
            or id in self.solidifier
            or id in self._refused
            or id in self._early_ids
            or id in self._parked
        )

    # --------------------------------------------------------------------------------------------------------- coming in

    def take(self, block: Block, sender: NodeId, now: Instant, builder: StepBuilder[Any], forward: bool = True) -> None:
        """A block has come (lines 1 to 3)."""
        essence = block.essence
        if self.is_known(block.id) or essence.issuing_time < self.dag.pruned_before:
            return
        try:
            self._check_alone(block)
        except Rejected as rejected:
            self._refuse(block, sender, rejected, builder)
            return
        if not self._is_paced(block, builder):
            return
        if essence.issuing_time > now + self.profile.skew_max:
            if len(self._early) >= EARLY_MAX:
                builder.faults.append(
                    Fault(sender, "too_many_early", TANGLE_PATH, f"{EARLY_MAX} blocks wait for their time")
                )
                return
            heappush(self._early, (essence.issuing_time, block.id, sender, block))
            self._early_ids.add(block.id)
            return
        self._take_timely(block, sender, now, builder, forward)

    def _take_timely(
        self, block: Block, sender: NodeId, now: Instant, builder: StepBuilder[Any], forward: bool
    ) -> None:
        missing = self.dag.missing(block)
        if not missing:
            self._book(block, sender, now, builder, forward)
            return
        if any(parent in self._refused for parent in missing):
            self._refuse(block, sender, Rejected("invalid_parent", "a parent is invalid"), builder)
            return
        wanted = self.solidifier.hold(block, sender, missing, now)
        if wanted is None:
            builder.faults.append(Fault(sender, "too_many_unsolid", TANGLE_PATH, "too many blocks wait for parents"))
            return
        wanted = [id for id in wanted if id not in self._parked and id not in self._early_ids]
        if wanted and sender != self.me:
            builder.messages.append(Envelope((sender,), TANGLE_PATH, BlockRequest(tuple(wanted))))

    def _check_alone(self, block: Block) -> None:
        check_block(block, self.ledger.network, self._verifier)
        bits = self._grinder.zero_bits(block.essence.work_data, block.nonce)
        base = self.profile.pow_difficulty
        require(bits >= base, "insufficient_work", f"{bits} zero bits, {base} expected")
        if block.essence.payload is not None:
            check_form(block.essence.payload, self.ledger.network)

    def _is_paced(self, block: Block, builder: StepBuilder[Any]) -> bool:
        """Whether the issuer's rate allows the block, or others approve it already (it was asked for)."""
        profile, essence = self.profile, block.essence
        if not profile.pow_rate_thousandths or self.solidifier.is_requested(block.id):
            return True
        count = self.rates.count(essence.issuer, essence.issuing_time)
        required = required_difficulty(profile.pow_difficulty, profile.pow_rate_thousandths, count)
        bits = self._grinder.zero_bits(essence.work_data, block.nonce)
        if bits >= required:
            return True
        detail = f"{bits} zero bits, {required} expected after {count} blocks within the window"
        builder.outputs.append(BlockRefused(block.id, essence.issuer, "rate_exceeded", detail))
        issuer = self._names.get(essence.issuer)
        if issuer is not None:
            builder.faults.append(Fault(issuer, "rate_exceeded", TANGLE_PATH, detail))
        return False

    def _refuse(self, block: Block, sender: NodeId, rejected: Rejected, builder: StepBuilder[Any]) -> None:
        issuer = block.essence.issuer
        detail = f"block {block.id.hex()[:16]} of issuer {issuer.hex()[:16]}: {rejected.detail}"
        builder.faults.append(Fault(sender, rejected.code, TANGLE_PATH, detail))
        builder.outputs.append(BlockRefused(block.id, issuer, rejected.code, rejected.detail))
        for id in (block.id, *(waiting.block.id for waiting in self.solidifier.drop(block.id))):
            self._refused[id] = None
        while len(self._refused) > REFUSED_MAX:
            del self._refused[next(iter(self._refused))]

    # ------------------------------------------------------------------------------------------------------------ booking

    def _book(self, block: Block, sender: NodeId, now: Instant, builder: StepBuilder[Any], forward: bool) -> None:
        """Book a solid block, and all that waited for it (lines 4 to 6)."""
        queue = deque([Waiting(block, sender, set())])
        opinion = self._finality.opinion
        while queue:
            waiting = queue.popleft()
            if self._book_one(waiting, now, builder, forward):
                queue.extend(self.solidifier.release(waiting.block.id))
                if waiting.block.essence.payload is not None:
                    queue.extend(self._inputs_booked(waiting.block.essence.payload))
            if self._finality.opinion != opinion:
                opinion = self._finality.opinion
                self._attacher.note_opinion(now)

    def _book_one(self, waiting: Waiting, now: Instant, builder: StepBuilder[Any], forward: bool) -> bool:
        block, transaction = waiting.block, waiting.block.essence.payload
        try:
            self._check_ages(block.essence)
            if transaction is not None and not self._check_payload(transaction, waiting, now, builder):
                return False
        except Rejected as rejected:
            self._refuse(block, waiting.sender, rejected, builder)
            return False
        builder.outputs.append(BlockBooked(block))
        payload = None if transaction is None else self._book_payload(transaction, now, builder)
        entry = self.dag.add(block, self._branch(block.essence, payload), payload)
        self._attacher.note_booked(entry)
        if self.profile.pow_rate_thousandths:
            self.rates.note(block.essence.issuer, block.essence.issuing_time)
        self._finality.count(entry, now)
        if self._finality.facts:
            builder.outputs.extend(self._finality.facts)
            self._finality.facts.clear()
        if forward:
            others = self._others.get(waiting.sender, ())
            if others:
                builder.messages.append(Envelope(others, TANGLE_PATH, block))
        return True

    def _check_ages(self, essence: BlockEssence) -> None:
        entries, time, genesis = self.dag.entries, essence.issuing_time, self.dag.genesis
        oldest = time - self.profile.parent_age_max
        for id in (*essence.strong, *essence.weak) if essence.weak else essence.strong:
            parent = entries[id]
            if parent.time > time:
                raise Rejected("before_parent", f"issued at {time}, its parent at {parent.time}")
            if parent.time < oldest and parent is not genesis:
                raise Rejected("parent_too_old", f"issued at {time}, its parent at {parent.time}")

    def _check_payload(
        self, transaction: Transaction, waiting: Waiting, now: Instant, builder: StepBuilder[Any]
    ) -> bool:
        """Whether the payload is valid; False: the block waits for inputs now."""
        known = self.ledger.transactions.get(transaction.id)
        if known is not None:
            if transaction is not known.transaction and transaction != known.transaction:
                validate(transaction, [source.output for source in known.inputs], self._verifier)
            return True
        if transaction.id in self.ledger.past:
            return True
        missing = self.ledger.missing(transaction)
        if missing:
            self._park(waiting, set(missing), now, builder)
            return False
        validate(transaction, self.ledger.consumed(transaction), self._verifier)
        return True

    def _book_payload(
        self, transaction: Transaction, now: Instant, builder: StepBuilder[Any]
    ) -> TransactionEntry | None:
        known = self.ledger.transactions.get(transaction.id)
        if known is not None or transaction.id in self.ledger.past:
            return known
        payload, forked = self.ledger.book(transaction, now)
        builder.outputs.append(TransactionSeen(payload.id))
        if payload.standing is Standing.REJECTED:
            builder.outputs.append(
                TransactionRejected(payload.id, "conflict_lost", "one of its inputs is spent for good")
            )
        elif payload.conflicts:
            self._finality.fork(forked, payload, now)
        return payload

    def _branch(self, essence: BlockEssence, payload: TransactionEntry | None) -> frozenset[TransactionId]:
        entries = self.dag.entries
        branch = NO_CONFLICTS if payload is None else payload.conflicts
        for id in essence.strong:
            inherited = entries[id].branch
            if inherited:
                branch |= inherited
        for id in essence.weak:
            approved = entries[id].payload
            if approved is not None and approved.conflicts:
                branch |= approved.conflicts
        return self._finality.unsettled(branch) if branch else branch

    # ------------------------------------------------------------------------------------------------------------ waiting

    def _park(self, waiting: Waiting, missing: set[OutputId], now: Instant, builder: StepBuilder[Any]) -> None:
        if len(self._parked) >= PARKED_MAX:
            self.solidifier.drop(waiting.block.id)
            builder.faults.append(
                Fault(waiting.sender, "too_many_parked", TANGLE_PATH, "too many blocks wait for inputs")
            )
            return
        self._parked[waiting.block.id] = _Parked(waiting, missing, now + INPUT_WAIT)
        for id in sorted(missing, key=lambda id: (id.transaction, id.index)):
            self._parked_for.setdefault(id, []).append(waiting.block.id)

    def _inputs_booked(self, transaction: Transaction) -> list[Waiting]:
        released = []
        for index in range(len(transaction.essence.outputs)) if self._parked_for else ():
            output = transaction.output_id(index)
            for id in self._parked_for.pop(output, ()):
                parked = self._parked.get(id)
                if parked is not None:
                    parked.missing.discard(output)
                    if not parked.missing:
                        released.append(parked.waiting)
                        del self._parked[id]
        return released

    def handle_timer(self, now: Instant, builder: StepBuilder[Any]) -> bool:
        """Whatever waited for this moment. Returns whether a parent was given up."""
        while self._early and self._early[0][0] <= now + self.profile.skew_max:
            _, id, sender, block = heappop(self._early)
            self._early_ids.discard(id)
            self._take_timely(block, sender, now, builder, True)
        while self._parked:
            id, parked = next(iter(self._parked.items()))
            if parked.deadline > now:
                break
            del self._parked[id]
            self.solidifier.drop(id)
            for output in parked.missing:
                waiting = self._parked_for.get(output)
                if waiting is not None:
                    waiting.remove(id)
                    if not waiting:
                        del self._parked_for[output]
        given_up = self.solidifier.given_up
        for neighbour, ids in self.solidifier.due(now).items():
            wanted = tuple(id for id in ids if id not in self._parked and id not in self._early_ids)
            if wanted:
                builder.messages.append(Envelope((neighbour,), TANGLE_PATH, BlockRequest(wanted)))
        return self.solidifier.given_up > given_up
