"""The state manager: chain blocks and the states after them, by block digest; those missing are fetched from members.

Blocks form a tree: those on different anchors stand side by side until one is confirmed. A block is *held* when the state
after it is known.

::

    1  executed here                 hold the block and its state; the block is a record
    2  an anchor commits to a block  sought: if it is not held, ask members for it and for what lies below, newest first
    3  asked                         answer with the block and its ancestors above the asker's index, as many as fit
    4  answered                      each block must be the one that the block above names; when one stands on a held block,
                                     replay the mutations upwards: each must lead to the state root that it claims
    5  no answer in time             ask other members; the time doubles
    6  confirmed                     forget states below, and the oldest blocks
    7  now and then after that       a snapshot of the confirmed state is a record; it supersedes the last one, and the blocks
                                     that are too old to be asked for

What a peer says is checked by digests alone, from the anchor's commitment down: so any member may be asked, and lies are
found at once. A root that doesn't fit can't come from the peer, since the committee has signed it; the block is then never
held.

A restarted member begins with the last snapshot, and replays the blocks above it. Those below are kept for others.

Invariants: every held block but the lowest has a held ancestor; every block held is a record, in an order in which each
comes after its previous one. Blocks are recorded at paths by their index, ``BLOCKS_KEPT`` at each, so that a snapshot can
name those that everybody can do without.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeAlias

import msgspec

from ledger.kernel.automaton import NOTHING, Automaton, Envelope, Fault, NodeId, Path, Record, Step
from ledger.kernel.encoding import RECORD_SIZE_MAX, Digest, Frozen, Natural, Value, encode
from ledger.kernel.instant import MILLISECOND, Duration, Instant
from ledger.kernel.rejection import Rejected
from ledger.kernel.rng import Stream
from wasp.chain_block import ChainBlock, replayed
from wasp.committee import Committee
from wasp.questions import Questions
from wasp.state import EMPTY_STATE, Mutation, State

BLOCKS_KEPT = 10_000
"""Chain blocks kept for members that were away (Wasp's number)."""
SNAPSHOT_INTERVAL = 1_000
"""Chain blocks between two snapshots: a restart replays that many in about a second."""
FETCHED_MAX = 100_000
"""Blocks fetched and not yet replayed: ten times what members keep."""
BLOCKS_PER_ANSWER_MAX = 256
SNAPSHOT_SIZE_MAX = RECORD_SIZE_MAX - 4096
"""Bytes of the largest snapshot that is written, its path left out; a state that is larger has none, and is replayed."""
ANSWER_SIZE_MAX = 512 * 1024
"""Bytes of blocks in one answer: far below a frame, so that an answer never holds up a vote for long."""


class FetchTimes(Frozen):
    """How missing blocks are asked for."""

    fetch_retry: Duration = 500 * MILLISECOND
    """Longer than an answer takes."""
    fetch_fan_out: int = 2
    """Members asked at a time."""


class ChainBlockQuery(Value):
    """I need the block with this digest, and its ancestors with an index higher than this."""

    block: Digest
    above: Natural


class ChainBlockAnswer(Value):
    """The block that you asked for, and ancestors: newest first."""

    blocks: Annotated[tuple[ChainBlock, ...], msgspec.Meta(min_length=1, max_length=BLOCKS_PER_ANSWER_MAX)]


class StateSnapshot(Value):
    """Record: the state after this confirmed block, as what makes it of an empty one."""

    block: ChainBlock
    mutations: tuple[Mutation, ...]


StateMessage: TypeAlias = ChainBlockQuery | ChainBlockAnswer


class SeekBlocks(Frozen):
    """Input: these blocks are needed now, and no others. Those not held are answered by ``BlocksFetched``."""

    blocks: tuple[Digest, ...]


class BlocksFetched(Frozen):
    """Output: blocks that were sought are held now."""

    blocks: tuple[Digest, ...]


class StateManager(Automaton[SeekBlocks, StateMessage, BlocksFetched]):
    """One member's chain blocks and states."""

    def __init__(
        self,
        path: Path,
        committee: Committee,
        me: NodeId,
        genesis: ChainBlock,
        state: State,
        times: FetchTimes,
        rng: Stream,
    ) -> None:
        self.path = path
        self.committee = committee
        others = [member for member in committee.members if member != me]
        self._questions = Questions(others, times.fetch_retry, times.fetch_fan_out, rng)
        self._blocks: dict[Digest, ChainBlock] = {genesis.digest: genesis}
        """Held ones, and older ones whose states are forgotten; in the order of coming."""
        self._states: dict[Digest, State] = {genesis.digest: state}
        self._fetched: dict[Digest, ChainBlock] = {}
        """Blocks whose ancestors are still missing."""
        self._unfit: dict[Digest, None] = {}
        """Blocks that don't lead to the root that they claim."""
        self._sought: tuple[Digest, ...] = ()
        self._snapshot_index = genesis.index
        self._oldest_path = 0
        """Of the paths of recorded blocks, the first that is not superseded."""

    def block(self, digest: Digest) -> ChainBlock | None:
        """The block with this digest, if it is held or was."""
        return self._blocks.get(digest)

    def state(self, digest: Digest) -> State | None:
        """The state after the block with this digest, if the block is held."""
        return self._states.get(digest)

    def hold(self, block: ChainBlock, state: State) -> Step[BlocksFetched]:
        """Line 1."""
        if block.digest in self._blocks:
            return NOTHING
        assert block.previous in self._states, "a block is executed on a held one"
        self._blocks[block.digest] = block
        self._states[block.digest] = state
        return Step(records=(self._record(block),))

    def restore(self, values: Sequence[ChainBlock | StateSnapshot]) -> tuple[ChainBlock, State] | None:
        """Hold again what the records of a former life hold; where the last snapshot stands, if there is one."""
        blocks = [value for value in values if isinstance(value, ChainBlock)]
        self._oldest_path = min([block.index // BLOCKS_KEPT for block in blocks], default=0)
        snapshot = next((value for value in reversed(values) if isinstance(value, StateSnapshot)), None)
        start = None
        if snapshot is not None:
            start = snapshot.block, EMPTY_STATE.apply(snapshot.mutations)
            assert start[1].root == snapshot.block.state_root, "a snapshot is the state after its block"
            self._snapshot_index = snapshot.block.index
            below = [block for block in blocks if block.index < snapshot.block.index]
            self._blocks.update({block.digest: block for block in below})
            self._blocks[snapshot.block.digest], self._states[snapshot.block.digest] = start
        for block in blocks:
            before = self._states.get(block.previous)
            if before is not None and block.digest not in self._blocks:
                after = _replayed(before, block)
                if after is not None:
                    self._blocks[block.digest] = block
                    self._states[block.digest] = after
        return start

    def settle(self, confirmed: ChainBlock) -> None:
        """Line 6."""
        for digest in [digest for digest in self._states if self._blocks[digest].index < confirmed.index]:
            del self._states[digest]
        while len(self._blocks) - len(self._states) > BLOCKS_KEPT:
            oldest = next(digest for digest in self._blocks if digest not in self._states)
            del self._blocks[oldest]

    def maybe_snapshot(self, confirmed: ChainBlock) -> Step[BlocksFetched]:
        """Line 7."""
        if confirmed.index < self._snapshot_index + SNAPSHOT_INTERVAL:
            return NOTHING
        snapshot = StateSnapshot(confirmed, self._states[confirmed.digest].mutations())
        self._snapshot_index = confirmed.index
        if len(encode(snapshot)) > SNAPSHOT_SIZE_MAX:
            return NOTHING
        path = (*self.path, "snapshot")
        unneeded = range(self._oldest_path, confirmed.index // BLOCKS_KEPT - 1)
        self._oldest_path = max(self._oldest_path, unneeded.stop)
        return Step(records=(Record(path, snapshot, (path, *[(*self.path, place) for place in unneeded])),))

    def handle_input(self, input: SeekBlocks, now: Instant) -> Step[BlocksFetched]:
        """Line 2."""
        sought = tuple([block for block in input.blocks if block not in self._states and block not in self._unfit])
        if sought == self._sought:
            return NOTHING
        self._sought = sought
        self._questions.begin_anew()
        if not sought:
            self._fetched.clear()
        return self._ask(now)

    def handle_message(self, sender: NodeId, path: Path, message: StateMessage, now: Instant) -> Step[BlocksFetched]:
        if sender not in self.committee:
            return self._fault(sender, "not_a_member", type(message).__name__)
        match message:
            case ChainBlockQuery():
                return self._handle_query(sender, message)
            case ChainBlockAnswer():
                return self._handle_answer(sender, message, now)

    def handle_timer(self, now: Instant) -> Step[BlocksFetched]:
        """Line 5."""
        if self.deadline is None or now < self.deadline:
            return NOTHING
        return self._ask(now)

    @property
    def deadline(self) -> Instant | None:
        return self._questions.deadline

    @property
    def status(self) -> str:
        """What is missing."""
        unfit = f", {len(self._unfit)} blocks do not lead to their state root" if self._unfit else ""
        return f"{len(self._states)} states, {len(self._sought)} blocks sought, {len(self._fetched)} fetched{unfit}"

    def _handle_query(self, sender: NodeId, message: ChainBlockQuery) -> Step[BlocksFetched]:
        """Line 3. Genesis is everybody's own."""
        blocks: list[ChainBlock] = []
        size = 0
        block = self._blocks.get(message.block)
        while block is not None and block.index > message.above and len(blocks) < BLOCKS_PER_ANSWER_MAX:
            size += len(encode(block))
            if size > ANSWER_SIZE_MAX and blocks:
                break
            blocks.append(block)
            block = self._blocks.get(block.previous)
        if not blocks:
            return NOTHING
        return Step(messages=(Envelope((sender,), self.path, ChainBlockAnswer(tuple(blocks))),))

    def _handle_answer(self, sender: NodeId, message: ChainBlockAnswer, now: Instant) -> Step[BlocksFetched]:
        """Line 4."""
        expected = message.blocks[0].digest
        if expected not in self._missing():
            return NOTHING
        for block in message.blocks:
            if block.digest != expected:
                return self._fault(sender, "broken_answer", "a chain block that the one above does not name")
            if expected in self._states or len(self._fetched) >= FETCHED_MAX:
                break
            self._fetched[expected] = block
            expected = block.previous
        records = self._replay()
        fetched = tuple([block for block in self._sought if block in self._states])
        self._sought = tuple([block for block in self._sought if block not in fetched and block not in self._unfit])
        self._questions.begin_anew()
        asked = self._ask(now)
        return Step(records, asked.messages, (BlocksFetched(fetched),) if fetched else ())

    def _replay(self) -> list[Record]:
        """Hold the fetched blocks that stand on a held one, lowest first."""
        records = []
        for block in sorted(self._fetched.values(), key=_index_of):
            before = self._states.get(block.previous)
            if before is None:
                continue
            del self._fetched[block.digest]
            after = _replayed(before, block)
            if after is None:
                self._unfit[block.digest] = None
                continue
            self._blocks[block.digest] = block
            self._states[block.digest] = after
            records.append(self._record(block))
        return records

    def _record(self, block: ChainBlock) -> Record:
        return Record((*self.path, block.index // BLOCKS_KEPT), block)

    def _missing(self) -> tuple[Digest, ...]:
        """For each block sought, the highest of its line that is neither held nor fetched."""
        missing = []
        for digest in self._sought:
            block = self._fetched.get(digest)
            while block is not None:
                digest = block.previous
                block = self._fetched.get(digest)
            if digest not in self._states and digest not in self._unfit:
                missing.append(digest)
        return tuple(dict.fromkeys(missing))

    def _ask(self, now: Instant) -> Step[BlocksFetched]:
        """Lines 2 and 5."""
        missing = self._missing()
        if not missing:
            self._questions.rest()
            return NOTHING
        asked = self._questions.ask(now)
        if not asked:
            return NOTHING
        above = min([self._blocks[digest].index for digest in self._states])
        return Step(messages=[Envelope(asked, self.path, ChainBlockQuery(digest, above)) for digest in missing])

    def _fault(self, accused: NodeId, kind: str, detail: str) -> Step[BlocksFetched]:
        return Step(faults=(Fault(accused, kind, self.path, detail),))


def _replayed(state: State, block: ChainBlock) -> State | None:
    try:
        return replayed(state, block)
    except Rejected:
        return None


def _index_of(block: ChainBlock) -> int:
    return block.index
