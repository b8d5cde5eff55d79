"""The block DAG of one node: what is booked, which way it hangs together, and what may be forgotten.

Every booked block is *solid*: all of its parents are booked. Its *branch* is the set of unsettled conflicts in its
strong past cone, in its weak parents' payloads and in its own payload: the world that it votes for.

What is kept: an unconfirmed block has its parents and children; a confirmed one lets go of both, for nothing below it
changes any more. A block is pruned when it is so much older than the newest confirmed block that it can't be anybody's
parent. So memory follows the last ``kept`` of Tangle time, however long the run; and while nothing gets confirmed,
nothing is forgotten. The genesis is confirmed from the beginning, parent at any age, never pruned.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from ledger.block import Block, BlockId
from ledger.kernel.encoding import digest
from ledger.kernel.instant import Duration, Instant
from ledger.output import TransactionId
from ledger.utxo import NO_CONFLICTS, TransactionEntry


class BlockEntry:
    """A booked block. ``block`` is None for the genesis, and for what a snapshot only names."""

    __slots__ = (
        "block",
        "branch",
        "children",
        "confirmed",
        "grade",
        "id",
        "payload",
        "place",
        "strong",
        "supporters",
        "time",
        "validator",
        "walked",
        "weak",
        "weak_children",
    )

    def __init__(self, id: BlockId, block: Block | None, time: Instant, place: int) -> None:
        self.id = id
        self.block = block
        self.time = time
        self.place = place
        """The order of booking: parents stand before their children."""
        self.strong: tuple[BlockEntry, ...] = ()
        self.weak: tuple[BlockEntry, ...] = ()
        self.children: list[BlockEntry] = []
        self.weak_children: list[BlockEntry] = []
        self.payload: TransactionEntry | None = None
        self.branch: frozenset[TransactionId] = NO_CONFLICTS
        self.validator = -1
        """The issuer's index among the validators, -1 for others."""
        self.walked = 0
        """Mask of the validators that approve the block and its past cone."""
        self.supporters = 0
        """Mask of the validators that approve at least its payload."""
        self.grade = 0
        """The highest grade that its payload has reached by weight: 0 none, 1 accepted, 2 confirmed."""
        self.confirmed = False


def genesis_block_id(network: str) -> BlockId:
    """The name of the block that everything approves in the end."""
    return digest("genesis block", network)


class Dag:
    """All booked blocks that are not pruned."""

    def __init__(self, network: str, kept: Duration) -> None:
        self._kept = kept
        self.genesis = BlockEntry(genesis_block_id(network), None, 0, 0)
        self.genesis.confirmed = True
        self.entries: dict[BlockId, BlockEntry] = {self.genesis.id: self.genesis}
        self.unconfirmed: dict[BlockId, BlockEntry] = {}
        self.attachments: dict[TransactionId, list[BlockEntry]] = {}
        self.newest_confirmed = self.genesis
        self.pruned_before: Instant = 0
        """Blocks issued before this may have been forgotten."""
        self._order: deque[BlockEntry] = deque()
        self._place = 0

    def missing(self, block: Block) -> list[BlockId]:
        """The parents that are not booked."""
        entries, essence = self.entries, block.essence
        missing = [id for id in essence.strong if id not in entries]
        if essence.weak:
            missing += [id for id in essence.weak if id not in entries]
        return missing

    def add(self, block: Block, branch: frozenset[TransactionId], payload: TransactionEntry | None) -> BlockEntry:
        """Book a solid block."""
        entries, essence = self.entries, block.essence
        self._place += 1
        entry = BlockEntry(block.id, block, essence.issuing_time, self._place)
        entry.branch = branch
        entry.strong = tuple([entries[id] for id in essence.strong])
        for parent in entry.strong:
            if not parent.confirmed:
                parent.children.append(entry)
        if essence.weak:
            entry.weak = tuple([entries[id] for id in essence.weak])
            for parent in entry.weak:
                if not parent.confirmed:
                    parent.weak_children.append(entry)
        if payload is not None:
            entry.payload = payload
            self.attachments.setdefault(payload.id, []).append(entry)
        entries[entry.id] = entry
        self.unconfirmed[entry.id] = entry
        self._order.append(entry)
        return entry

    def load(self, roots: Iterable[tuple[BlockId, Instant]]) -> None:
        """Replace everything by the genesis and these settled blocks, of which only the names are known."""
        self.entries = {self.genesis.id: self.genesis}
        self.unconfirmed.clear()
        self.attachments.clear()
        self._order.clear()
        self.newest_confirmed = self.genesis
        for id, time in roots:
            self._place += 1
            root = BlockEntry(id, None, time, self._place)
            root.confirmed = True
            self.entries[id] = root
            self._order.append(root)
            if time > self.newest_confirmed.time:
                self.newest_confirmed = root
        self.pruned_before = self.newest_confirmed.time

    def confirm(self, entry: BlockEntry) -> None:
        """The block is confirmed: let go of what only unconfirmed blocks need."""
        entry.confirmed = True
        entry.strong = entry.weak = ()
        entry.children = []
        entry.weak_children = []
        entry.branch = NO_CONFLICTS
        del self.unconfirmed[entry.id]
        if entry.time >= self.newest_confirmed.time:
            self.newest_confirmed = entry

    def future_cone(self, roots: Iterable[BlockEntry]) -> list[BlockEntry]:
        """The unconfirmed blocks from which a strong walk reaches one of these, these included, in the order of booking."""
        found = {root.id: root for root in roots}
        stack = list(found.values())
        while stack:
            for child in stack.pop().children:
                if child.id not in found:
                    found[child.id] = child
                    stack.append(child)
        return sorted(found.values(), key=_place_of)

    def past_cone(self, roots: Iterable[BlockEntry]) -> list[BlockEntry]:
        """The unconfirmed blocks that a strong walk from these reaches, these included, in the order of booking."""
        found = {root.id: root for root in roots if not root.confirmed}
        stack = list(found.values())
        while stack:
            for parent in stack.pop().strong:
                if not parent.confirmed and parent.id not in found:
                    found[parent.id] = parent
                    stack.append(parent)
        return sorted(found.values(), key=_place_of)

    def newest(self, count_max: int, before: int | None = None) -> list[BlockEntry]:
        """The entries booked last, newest first; with ``before``, of those booked before this place."""
        if not self._order:
            return []
        first = self._order[0].place  # places follow each other without a gap
        end = len(self._order) if before is None else max(0, min(before - first, len(self._order)))
        return [self._order[place] for place in range(end - 1, max(-1, end - 1 - count_max), -1)]

    def blocks_since(self, since: Instant) -> Iterator[Block]:
        """The blocks issued at or after this, parents before children."""
        for entry in self._order:
            if entry.block is not None and entry.time >= since:
                yield entry.block

    def prune(self) -> list[BlockEntry]:
        """Forget, and return, the blocks that no new block can have as a parent."""
        before = self.newest_confirmed.time - self._kept
        pruned = []
        while self._order and self._order[0].time < before:
            pruned.append(self._forget(self._order.popleft()))
        if pruned:
            self.pruned_before = before
        return pruned

    def _forget(self, entry: BlockEntry) -> BlockEntry:
        del self.entries[entry.id]
        if self.unconfirmed.pop(entry.id, None) is not None:
            for child in entry.children:
                child.strong = tuple([parent for parent in child.strong if parent is not entry])
            for child in entry.weak_children:
                child.weak = tuple([parent for parent in child.weak if parent is not entry])
            for parent in entry.strong:
                if entry in parent.children:
                    parent.children.remove(entry)
            for parent in entry.weak:
                if entry in parent.weak_children:
                    parent.weak_children.remove(entry)
            entry.strong = entry.weak = ()
        if entry.payload is not None:
            attached = self.attachments[entry.payload.id]
            attached.remove(entry)
            if not attached:
                del self.attachments[entry.payload.id]
        return entry


def _place_of(entry: BlockEntry) -> int:
    return entry.place
