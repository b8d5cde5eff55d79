"""Where to attach: the parents of a new block.

1.  Activity: tips, as many as the profile's ``activity_parents``.
2.  A payload: first the blocks that carry the unconfirmed transactions it spends from, so that its past cone has its
    inputs (strong where their branch is liked, else weak); then tips, to ``strong_parents`` and ``weak_parents``.
3.  No tip is young enough: the newest confirmed block, or if that is too old as well, the genesis.
4.  A payload that this node does not like, because it likes a rival or dislikes what it spends from, is not attached: the
    block would be a vote for it.

Line 4 is a departure: GoShimmer attaches a double spend beside the earliest attachment of its rival. But whoever attaches
also votes, and a validator that votes for both sides in turn undoes what others have counted on. So rivals arise only
where they are submitted before they hear of each other, and whoever comes later waits for the outcome.

The issuing time is the latest of the clock, the parents' and the transaction's.
"""

from __future__ import annotations

from ledger.block import BLOCK_VERSION, PARENTS_MAX, BlockEssence
from ledger.dag import BlockEntry, Dag
from ledger.finality import Finality
from ledger.kernel.identity import PublicKey
from ledger.kernel.instant import Instant
from ledger.kernel.rng import Stream
from ledger.profile import Profile
from ledger.tips import Demand, TipPools, TipSelection
from ledger.transaction import Transaction
from ledger.utxo import Standing, UtxoLedger


class Attacher:
    """Chooses parents from one node's view."""

    def __init__(
        self, dag: Dag, ledger: UtxoLedger, finality: Finality, profile: Profile, selection: TipSelection, rng: Stream
    ) -> None:
        self.pools = TipPools()
        self._dag = dag
        self._ledger = ledger
        self._finality = finality
        self._profile = profile
        self._selection = selection
        self._rng = rng
        strong, weak = profile.strong_parents, profile.weak_parents
        self._payload_demand = Demand(strong + weak, strong, weak)
        total = profile.activity_parents
        self._activity_demand = Demand(total, total, min(weak, total - 1))

    def essence(self, payload: Transaction | None, issuer: PublicKey, now: Instant) -> BlockEssence:
        """A block's essence with its parents; the payload's inputs must be known."""
        oldest = max(0, now - self._profile.tip_age_max)
        strong, weak = self._activity_parents(oldest) if payload is None else self._payload_parents(payload, oldest)
        times = [parent.time for parent in (*strong, *weak)]
        timestamp = 0 if payload is None else payload.essence.timestamp
        return BlockEssence(
            version=BLOCK_VERSION,
            network=self._ledger.network,
            strong=tuple(sorted(parent.id for parent in strong)),
            weak=tuple(sorted({parent.id for parent in weak} - {parent.id for parent in strong})),
            issuer=issuer,
            issuing_time=max(now, timestamp, *times),
            payload=payload,
        )

    def still_stands(self, essence: BlockEssence) -> bool:
        """Whether the parents chosen before are still there, and liked."""
        entries, likes = self._dag.entries, self._finality.likes
        if not all(id in entries for id in (*essence.strong, *essence.weak)):
            return False
        weak = [entries[id].payload for id in essence.weak]
        return all(likes(entries[id].branch) for id in essence.strong) and all(
            payload is None or (payload.standing is not Standing.REJECTED and likes(payload.conflicts))
            for payload in weak
        )

    def may_attach(self, payload: Transaction) -> bool:
        """Whether this node likes the payload, whose inputs it knows. (Line 4.)"""
        known = self._ledger.transactions.get(payload.id)
        if known is not None:
            return self._finality.likes(known.conflicts)
        for id in payload.essence.inputs:
            source = self._ledger.outputs[id]
            if any(rival.open for rival in source.spenders):
                return False
            if source.maker is not None and not self._finality.likes(source.maker.conflicts):
                return False
        return True

    # --------------------------------------------------------------------------------------------------------- parents

    def _activity_parents(self, oldest: Instant) -> tuple[list[BlockEntry], list[BlockEntry]]:
        strong, weak = self._selection.select(self.pools, self._activity_demand, oldest, self._rng)
        return strong or [self._fallback(oldest)], weak

    def _payload_parents(self, payload: Transaction, oldest: Instant) -> tuple[list[BlockEntry], list[BlockEntry]]:
        carriers = self._carriers(payload, oldest)
        liked = [carrier for carrier in carriers if self._finality.likes(carrier.branch)]
        tips, weak_tips = self._selection.select(self.pools, self._payload_demand, oldest, self._rng)
        strong = _distinct([*liked, *tips])[: max(len(liked), self._profile.strong_parents)] or [self._fallback(oldest)]
        disliked = [carrier for carrier in carriers if carrier not in liked]
        return strong, _distinct([*disliked, *weak_tips])[: PARENTS_MAX - len(strong)]

    def _carriers(self, payload: Transaction, oldest: Instant) -> list[BlockEntry]:
        """One block for each unconfirmed transaction that the payload spends from."""
        carriers = []
        for id in payload.essence.inputs:
            maker = self._ledger.outputs[id].maker
            if maker is not None and maker.open:
                attached = self._dag.attachments.get(maker.id, [])
                fresh = [block for block in attached if block.time >= oldest]
                liked = [block for block in fresh if self._finality.likes(block.branch)]
                carriers += (liked or fresh)[:1]
        return _distinct(carriers)[: PARENTS_MAX - 1]

    def _fallback(self, oldest: Instant) -> BlockEntry:
        newest = self._dag.newest_confirmed
        return newest if newest.time >= oldest else self._dag.genesis

    # ------------------------------------------------------------------------------------------------------------ tips

    def note_booked(self, entry: BlockEntry) -> None:
        """A block was booked: it may be a tip, and its parents no longer are."""
        if self._finality.likes(entry.branch):
            for parent in entry.strong:
                self.pools.strong.discard(parent)
            for parent in entry.weak:
                self.pools.weak.discard(parent)
            self.pools.strong.add(entry)
        elif self._is_weak_tip(entry):
            self.pools.weak.add(entry)

    def forget_block(self, entry: BlockEntry) -> None:
        """The DAG pruned a block."""
        self.pools.strong.discard(entry)
        self.pools.weak.discard(entry)

    def note_opinion(self, now: Instant) -> None:
        """This node likes other branches than before: find all tips again."""
        self.pools.clear()
        oldest = now - self._profile.tip_age_max
        likes = self._finality.likes
        for entry in self._dag.unconfirmed.values():
            if entry.time < oldest:
                continue
            if likes(entry.branch):
                if not any(likes(child.branch) for child in entry.children):
                    self.pools.strong.add(entry)
            elif self._is_weak_tip(entry) and not any(likes(child.branch) for child in entry.weak_children):
                self.pools.weak.add(entry)
        newest = self._dag.newest_confirmed
        if not len(self.pools.strong) and newest.time >= oldest:
            self.pools.strong.add(newest)

    def _is_weak_tip(self, entry: BlockEntry) -> bool:
        payload = entry.payload
        return payload is not None and payload.open and self._finality.likes(payload.conflicts)


def _distinct(entries: list[BlockEntry]) -> list[BlockEntry]:
    return list({entry.id: entry for entry in entries}.values())
