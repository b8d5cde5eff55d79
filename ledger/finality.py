"""Approval weight: which blocks are accepted and confirmed, and which of two rivals wins.

GoShimmer 0.8's on-tangle voting with grades of finality (Müller et al., *Tangle 2.0*, 2022, sections IV and V):

1.  A validator supports its own block, all blocks of its strong past cone, and the payloads of the weak parents on
    the way.
2.  A block is *accepted* from 45 % of the weight on, *confirmed* from 67 % on if its branch has won.
3.  A validator votes for the conflicts in the branches of its blocks; of its votes for rivals the latest counts
    (by issuing time, then block id).
4.  A conflict's weight is that of its voters, at most that of the conflicts that it depends on.
5.  A node likes the heaviest rival, ties by the lower id, unless it depends on one that it dislikes.
6.  A conflict *wins* at 67 %: its rivals, and what depends on them, are rejected.
7.  A transaction is *accepted* when a block with it has 45 % and the node likes it; it is *confirmed* when a block
    with it has 67 %, its conflicts have won, and the transactions that made its inputs are confirmed.
8.  Whom a node dislikes after having liked it, it gives up only when the other side has been ahead for ``settling``.

Departures. Line 8 is ours: on-tangle voting is not safe when votes change faster than they spread (one node may see
67 % for a side that the others are just leaving). With ``settling`` above two network delays, whoever changes its vote
has heard of every vote that others counted. This holds under a bound on delays, not in full asynchrony, where rivals may
still be confirmed apart; GoShimmer has no answer to that either. Blocks that approve both rivals belong to no possible
world: they are booked, never liked, and their votes do not count.

A walk stops where its validator is counted already, so each block is visited once per validator. Masks of validators
are graded by a table. Votes exist only where there are rivals, so the common case costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from ledger.access import TransactionAccepted, TransactionConfirmed, TransactionRejected
from ledger.block import BlockId
from ledger.dag import BlockEntry, Dag
from ledger.kernel.encoding import Frozen
from ledger.kernel.identity import PublicKey
from ledger.kernel.instant import Instant
from ledger.output import TransactionId
from ledger.profile import Profile
from ledger.utxo import NO_CONFLICTS, Standing, TransactionEntry, UtxoLedger

ACCEPTED, CONFIRMED = 1, 2

Stamp: TypeAlias = tuple[Instant, BlockId]
"""When a vote was cast: later stamps replace earlier ones."""


class BlockAccepted(Frozen):
    """The block has the weight to be accepted."""

    block_id: BlockId


class BlockConfirmed(Frozen):
    """The block has the weight to be confirmed, and its branch has won."""

    block_id: BlockId


FinalityFact: TypeAlias = (
    BlockAccepted | BlockConfirmed | TransactionAccepted | TransactionConfirmed | TransactionRejected
)


class Conflict:
    """An undecided transaction with rivals, and each validator's latest vote for it."""

    __slots__ = ("entry", "votes", "weight")

    def __init__(self, entry: TransactionEntry) -> None:
        self.entry = entry
        self.votes: dict[int, Stamp] = {}
        self.weight = 0


class Finality:
    """Counts approval over a DAG and its ledger. What happens is collected in ``facts``, which the owner empties."""

    def __init__(self, dag: Dag, ledger: UtxoLedger, validators: Mapping[PublicKey, int], profile: Profile) -> None:
        assert validators and all(weight > 0 for weight in validators.values())
        self._dag = dag
        self._ledger = ledger
        self._profile = profile
        self._index = {key: place for place, key in enumerate(validators)}
        self._weights = tuple(validators.values())
        self._total = sum(self._weights)
        self._byte_weights = tuple(_sums(self._weights[place : place + 8]) for place in range(0, len(self._weights), 8))
        """For every eight validators: the weight of each subset, by its bits."""
        self._accepting, self._confirming = (
            -(-per_cent * self._total // 100) for per_cent in (profile.accepted_percent, profile.confirmed_percent)
        )
        self._conflicts: dict[TransactionId, Conflict] = {}
        self._liked: set[TransactionId] = set()
        self._preferred: set[TransactionId] = set()
        self._preferred_since: Instant = 0
        self._held: dict[BlockId, BlockEntry] = {}
        self.facts: list[FinalityFact] = []
        self.opinion = 0
        """Grows whenever a branch may have become liked or disliked."""

    # ------------------------------------------------------------------------------------------------------- opinions

    def likes(self, branch: frozenset[TransactionId]) -> bool:
        """Whether this node would approve the branch."""
        if not branch:
            return True
        for id in branch:
            if id not in self._liked:
                entry = self._ledger.transactions.get(id)
                if entry is not None and not entry.won and entry.standing is not Standing.CONFIRMED:
                    return False
        return True

    def unsettled(self, branch: frozenset[TransactionId]) -> frozenset[TransactionId]:
        """The branch without the conflicts that have won; lost ones stay."""
        return frozenset(id for id in branch if not self._has_won(id)) if branch else NO_CONFLICTS

    def is_lost(self, branch: frozenset[TransactionId]) -> bool:
        """Whether a conflict of the branch is rejected."""
        return any(self._ledger.standing(id) is Standing.REJECTED for id in branch)

    def weight_of(self, transaction: TransactionId) -> int | None:
        """The weight for an undecided conflict, for those who look on."""
        conflict = self._conflicts.get(transaction)
        return None if conflict is None else conflict.weight

    @property
    def deadline(self) -> Instant | None:
        """When a changed preference will have settled."""
        waits = self._preferred != self._liked
        return self._preferred_since + self._profile.settling if waits else None

    def review(self, now: Instant) -> None:
        """A preference may have settled."""
        if self._conflicts:
            self._evaluate(now)

    # ------------------------------------------------------------------------------------------------------- counting

    def fork(self, forked: list[TransactionEntry], entry: TransactionEntry, now: Instant) -> None:
        """A transaction with rivals was booked; ``forked`` have just got their first. (Lines 3 and 5.)"""
        for older in forked:
            self._conflicts[older.id] = Conflict(older)
            self._liked.add(older.id)
            self._preferred.add(older.id)
            for dependent in self._ledger.descendants(older):
                dependent.conflicts |= {older.id}
                attached = self._dag.attachments.get(dependent.id, [])
                carriers = [block for block in attached if not block.confirmed]
                weakly = [child for block in carriers for child in block.weak_children]
                for block in self._dag.future_cone(carriers + weakly):
                    block.branch |= {older.id}
                    self._vote(block)
        if entry.id in entry.conflicts and entry.open:
            self._conflicts[entry.id] = Conflict(entry)
        if forked or entry.open:
            self._evaluate(now)

    def count(self, entry: BlockEntry, now: Instant) -> None:
        """A block was booked: its issuer approves its past cone and votes for its branch."""
        assert entry.block is not None
        index = self._index.get(entry.block.essence.issuer)
        if index is None:
            if entry.payload is not None and entry.payload.carried:
                self._settle_payload(entry.payload, now)
            return
        entry.validator = index
        reached = self._walk(entry, 1 << index)
        if entry.branch and self._conflicts:
            self._vote(entry)
            self._evaluate(now)
        if len(reached) > 1:
            reached.sort(key=_place_of)
        for block in reached:
            self._grade_block(block, now)

    def forget(self, entry: TransactionEntry, now: Instant) -> None:
        """The ledger unbooked a pending transaction."""
        if self._conflicts.pop(entry.id, None) is not None:
            self._liked.discard(entry.id)
            self._preferred.discard(entry.id)
            self.opinion += 1
            self._evaluate(now)

    def clear(self) -> None:
        """A snapshot replaced the DAG and the ledger."""
        self._conflicts.clear()
        self._liked.clear()
        self._preferred.clear()
        self._held.clear()
        self.facts.clear()
        self.opinion += 1

    def forget_block(self, entry: BlockEntry) -> None:
        """The DAG pruned a block."""
        self._held.pop(entry.id, None)

    def _walk(self, start: BlockEntry, bit: int) -> list[BlockEntry]:
        reached: list[BlockEntry] = []
        grade_of = self._grade_of
        stack = [start]
        while stack:
            block = stack.pop()
            if block.walked & bit or block.confirmed:
                continue
            block.walked |= bit
            block.supporters |= bit
            if grade_of(block.supporters) > block.grade or grade_of(block.walked) == CONFIRMED:
                reached.append(block)
            stack.extend(block.strong)
            for parent in block.weak:
                if not (parent.supporters & bit or parent.confirmed):
                    parent.supporters |= bit
                    if grade_of(parent.supporters) > parent.grade:
                        reached.append(parent)
        return reached

    def _grade_of(self, mask: int) -> int:
        weight = 0
        for weights in self._byte_weights:
            weight += weights[mask & 255]
            mask >>= 8
        return CONFIRMED if weight >= self._confirming else ACCEPTED if weight >= self._accepting else 0

    def _grade_block(self, block: BlockEntry, now: Instant) -> None:
        grade, before = self._grade_of(block.supporters), block.grade
        block.grade = grade
        if before == 0 and grade:
            self.facts.append(BlockAccepted(block.id))
        payload = block.payload
        if payload is not None and payload.open:
            if payload.standing is Standing.PENDING and self.likes(payload.conflicts):
                payload.standing = Standing.ACCEPTED
                self.facts.append(TransactionAccepted(payload.id))
            if grade == CONFIRMED and not payload.carried:
                payload.carried = True
                self._settle_payload(payload, now)
        if not block.confirmed and self._grade_of(block.walked) == CONFIRMED:
            self._settle_block(block)

    def _settle_block(self, block: BlockEntry) -> None:
        if all(self._has_won(id) for id in block.branch):
            self._held.pop(block.id, None)
            self._dag.confirm(block)
            self.facts.append(BlockConfirmed(block.id))
        elif not self.is_lost(block.branch):
            self._held[block.id] = block

    def _settle_payload(self, payload: TransactionEntry, now: Instant) -> None:
        stack = [payload]
        while stack:
            entry = stack.pop()
            if not (entry.open and entry.carried and all(self._has_won(id) for id in entry.conflicts)):
                continue
            if any(source.maker is not None and source.maker.open for source in entry.inputs):
                continue
            if entry.standing is Standing.PENDING:
                self.facts.append(TransactionAccepted(entry.id))
            self._ledger.confirm(entry, now)
            self.facts.append(TransactionConfirmed(entry.id))
            stack.extend(self._ledger.spenders(entry))

    def _has_won(self, id: TransactionId) -> bool:
        entry = self._ledger.transactions.get(id)
        return entry is None or entry.won or entry.standing is Standing.CONFIRMED

    # --------------------------------------------------------------------------------------------------------- voting

    def _vote(self, block: BlockEntry) -> None:
        if block.validator < 0 or self._contradicts_itself(block.branch):
            return
        stamp = (block.time, block.id)
        for id in block.branch:
            conflict = self._conflicts.get(id)
            if conflict is not None and conflict.votes.get(block.validator, stamp) <= stamp:
                conflict.votes[block.validator] = stamp

    def _contradicts_itself(self, branch: frozenset[TransactionId]) -> bool:
        if len(branch) < 2:
            return False
        entries = [self._ledger.transactions[id] for id in branch if id in self._ledger.transactions]
        return any(rival.id in branch for entry in entries for rival in self._ledger.rivals(entry))

    def _rivals(self, conflict: Conflict) -> list[Conflict]:
        rivals = (self._conflicts.get(rival.id) for rival in self._ledger.rivals(conflict.entry))
        return [rival for rival in rivals if rival is not None]

    def _weigh(self) -> None:
        own: dict[TransactionId, int] = {}
        for id, conflict in self._conflicts.items():
            rivals = self._rivals(conflict)
            own[id] = sum(
                self._weights[validator]
                for validator, stamp in conflict.votes.items()
                if all(rival.votes.get(validator, (0, b"")) < stamp for rival in rivals)
            )
        for conflict in self._conflicts.values():
            conflict.weight = min(own[id] for id in conflict.entry.conflicts if id in own)

    def _evaluate(self, now: Instant) -> None:
        self._weigh()
        while self._decide_one(now):
            self._weigh()
        preferred: set[TransactionId] = set()
        for conflict in sorted(self._conflicts.values(), key=_by_weight):
            entry = conflict.entry
            above = all(id == entry.id or id in preferred or self._has_won(id) for id in entry.conflicts)
            if above and not any(rival.entry.id in preferred for rival in self._rivals(conflict)):
                preferred.add(entry.id)
        if preferred != self._preferred:
            self._preferred = preferred
            self._preferred_since = now
        if preferred != self._liked:
            settled = now >= self._preferred_since + self._profile.settling
            if settled or self._liked <= preferred:
                self._liked = set(preferred)
                self.opinion += 1

    def _decide_one(self, now: Instant) -> bool:
        """Line 6, for the first conflict that has the weight; those it depends on come before it."""
        for conflict in sorted(self._conflicts.values(), key=_by_weight):
            if 100 * conflict.weight < self._profile.confirmed_percent * self._total:
                return False
            entry = conflict.entry
            if all(id == entry.id or self._has_won(id) for id in entry.conflicts):
                self._win(entry, now)
                return True
        return False

    def _win(self, winner: TransactionEntry, now: Instant) -> None:
        winner.won = True
        self._drop(winner.id)
        for rival in self._ledger.rivals(winner):
            if not rival.open:
                continue
            for lost in self._ledger.reject(rival, now):
                self._drop(lost.id)
                detail = f"{winner.id.hex()[:16]} won over it, or over a transaction that it spends from"
                self.facts.append(TransactionRejected(lost.id, "conflict_lost", detail))
        self.opinion += 1
        for block in sorted(self._held.values(), key=_place_of):
            del self._held[block.id]
            self._settle_block(block)
        self._settle_payload(winner, now)
        for dependent in self._ledger.descendants(winner):
            self._settle_payload(dependent, now)

    def _drop(self, id: TransactionId) -> None:
        self._conflicts.pop(id, None)
        self._liked.discard(id)
        self._preferred.discard(id)


def _by_weight(conflict: Conflict) -> tuple[int, int, TransactionId]:
    return -conflict.weight, len(conflict.entry.conflicts), conflict.entry.id


def _place_of(block: BlockEntry) -> int:
    return block.place


def _sums(weights: Sequence[int]) -> tuple[int, ...]:
    """The sum of every subset of at most eight weights, by its bits."""
    return tuple(sum(weight for place, weight in enumerate(weights) if mask >> place & 1) for mask in range(256))
