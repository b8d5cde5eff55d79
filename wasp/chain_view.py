"""Where a chain stands, by layer 1 and by its own blocks: anchors, states, which block is active, which is confirmed.

The *active* block is the highest one whose anchor is in the local view and whose state is held; the *confirmed* one follows
layer 1. Both move along the tree of blocks: from the old place down to the common ancestor (undone), then up to the new one
(anchored). While nothing of the view is held (this member was away), both stay where they are.

::

    1  an anchor is signed             it is a record, joins the view, is published by rank
    2  layer 1 confirms an anchor      it is a record, the view is trimmed to it; now and then one that supersedes the others
    3  layer 1 rejects one             the view forgets it and what was built on it
    4  executed here, or fetched       the block is held, a record
    5  after each of these             move, tell what was undone, anchored, confirmed; seek what is missing

Invariants: the confirmed block only moves to descendants. What is undone is told before what is anchored, and a block is
anchored before it is confirmed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from ledger.access import (
    AnchorConfirmed,
    ChainSynced,
    LedgerUpdate,
    OutputConfirmed,
    OutputSpent,
    TransactionAccepted,
    TransactionConfirmed,
    TransactionRejected,
    TransactionSeen,
)
from ledger.kernel.automaton import Automaton, NodeId, Path, Record, Step, StepBuilder
from ledger.kernel.encoding import Digest, Frozen, Value
from ledger.kernel.instant import Instant, earliest
from ledger.output import OutputId
from ledger.transaction import Transaction
from wasp.anchor_search import AnchorAnswer, AnchorMessage, AnchorQuery, AnchorSearch, SeekAnchors
from wasp.anchoring import Anchor, AnchorView, anchor_made_by, anchor_of
from wasp.chain_block import ChainBlock
from wasp.chain_interface import (
    AnchorKept,
    ChainBlockAnchored,
    ChainBlockConfirmed,
    ChainBlocksUndone,
    ConfirmationKept,
)
from wasp.core_contracts.blocklog import receipt_of
from wasp.crosschain import Inbox
from wasp.publishing import PublicationNeeded, Publisher
from wasp.request import Request
from wasp.state import State
from wasp.state_manager import (
    ChainBlockAnswer,
    ChainBlockQuery,
    SeekBlocks,
    StateManager,
    StateMessage,
    StateSnapshot,
)

CONFIRMATIONS_RECORDED_MAX = 64
"""Confirmations that are records, with the anchors that led to them, before one takes the place of all."""


class SignedAnchorLearned(Frozen):
    """Input: the committee has signed this transaction."""

    transaction: Transaction


class BlockExecuted(Frozen):
    """Input: a chain block was executed here."""

    block: ChainBlock
    state: State


class BasesNeeded(Frozen):
    """Input: batches are to be executed on the states after these blocks, and on anchors that are not in the view."""

    blocks: tuple[Digest, ...] = ()
    unknown: tuple[OutputId, ...] = ()


class OutputsArrived(Frozen):
    """Output: the inbox holds confirmed outputs that it did not hold before."""


class ViewChanged(Frozen):
    """Output, after every change of the anchors or of the held states: the requests of the blocks left and entered."""

    undone: tuple[Request, ...]
    executed: tuple[Request, ...]
    moved: bool


ViewMessage: TypeAlias = StateMessage | AnchorMessage
ChainViewInput: TypeAlias = SignedAnchorLearned | BlockExecuted | BasesNeeded | LedgerUpdate
ChainViewOutput: TypeAlias = (
    ChainBlocksUndone | ChainBlockAnchored | ChainBlockConfirmed | PublicationNeeded | OutputsArrived | ViewChanged
)


class ChainView(Automaton[ChainViewInput, ViewMessage, ChainViewOutput]):
    """One member's view of its chain."""

    def __init__(
        self,
        name: str,
        anchors: AnchorView,
        states: StateManager,
        search: AnchorSearch,
        inbox: Inbox,
        publisher: Publisher,
        genesis: ChainBlock,
    ) -> None:
        state = states.state(genesis.digest)
        assert state is not None
        self.name = name
        self.anchors = anchors
        self.states = states
        self.search = search
        self.inbox = inbox
        self.publisher = publisher
        self.active = genesis
        self.active_state = state
        self.confirmed = genesis
        self.confirmed_state = state
        self.synced = False
        """Whether layer 1 has told its confirmed view in this life."""
        self._bases = BasesNeeded()

    def restore(self, values: Sequence[Value]) -> None:
        """Stand where the records of a former life end."""
        start = self.states.restore([value for value in values if isinstance(value, ChainBlock | StateSnapshot)])
        if start is not None:
            self.active, self.active_state = self.confirmed, self.confirmed_state = start
        for value in values:
            match value:
                case AnchorKept():
                    self._sign_again(value.transaction)
                case ConfirmationKept():
                    self.anchors.confirm(anchor_of(value.anchor_id, value.anchor))
                    for transaction in value.signed:
                        self._sign_again(transaction)
        self._move_active()
        self._move_confirmed()
        self.states.settle(self.confirmed)

    def _sign_again(self, transaction: Transaction) -> None:
        anchor = anchor_made_by(transaction, self.anchors.chain)
        assert anchor is not None, "only anchors of the chain are kept"
        self.anchors.sign(anchor)

    @property
    def is_current(self) -> bool:
        """Whether the state after the tip is held, so that the next block can be built on it."""
        return self.active.digest == self.anchors.tip.block

    def handle_input(self, input: ChainViewInput, now: Instant) -> Step[ChainViewOutput]:
        step: StepBuilder[ChainViewOutput] = StepBuilder()
        match input:
            case SignedAnchorLearned():
                self._handle_signed(step, input.transaction, now)
            case BlockExecuted():
                step.add(self.states.hold(input.block, input.state))
                self._follow(step, now)
            case BasesNeeded():
                if input != self._bases:
                    self._bases = input
                    self._seek(step, now)
            case _:
                self._handle_ledger_update(step, input, now)
        return step.build()

    def handle_message(self, sender: NodeId, path: Path, message: ViewMessage, now: Instant) -> Step[ChainViewOutput]:
        step: StepBuilder[ChainViewOutput] = StepBuilder()
        match message:
            case ChainBlockQuery() | ChainBlockAnswer():
                if step.add(self.states.handle_message(sender, path, message, now)):
                    self._follow(step, now)
            case AnchorQuery() | AnchorAnswer():
                for found in step.add(self.search.handle_message(sender, path, message, now)):
                    self._handle_signed(step, found.transaction, now)
        return step.build()

    def handle_timer(self, now: Instant) -> Step[ChainViewOutput]:
        step: StepBuilder[ChainViewOutput] = StepBuilder()
        found = [*step.add(self.states.handle_timer(now)), *step.add(self.search.handle_timer(now))]
        assert not found, "blocks and anchors come by messages"
        step.outputs.extend(step.add(self.publisher.handle_timer(now)))
        return step.build()

    @property
    def deadline(self) -> Instant | None:
        return earliest(self.states.deadline, self.search.deadline, self.publisher.deadline)

    @property
    def status(self) -> dict[str, str]:
        """Where it stands, and what is missing."""
        tip, confirmed = self.anchors.tip, self.anchors.confirmed
        return {
            "anchors": f"confirmed {confirmed.index}, tip {tip.index}, {len(self.anchors)} unconfirmed",
            "blocks": f"active {self.active.index}, confirmed {self.confirmed.index}; {self.states.status}",
            "publishing": self.publisher.status,
        }

    def _handle_ledger_update(self, step: StepBuilder[ChainViewOutput], update: LedgerUpdate, now: Instant) -> None:
        """Lines 2 and 3. The node's layer-1 host tells of all chains that the node follows."""
        match update:
            case TransactionSeen():
                self.publisher.handle_seen(update.transaction_id, now)
            case TransactionAccepted():
                self.publisher.handle_accepted(update.transaction_id)
            case TransactionConfirmed():
                pass  # the anchor that it made is told as confirmed by itself
            case TransactionRejected():
                if self.anchors.reject(update.transaction_id):
                    self._follow(step, now)
            case _ if update.chain != self.anchors.chain:
                pass
            case ChainSynced():
                self.synced = True
                self.publisher.begin_session(now)
                self.inbox.synchronize(update.outputs)
                self._confirm(step, anchor_of(update.anchor_id, update.anchor))
                self._follow(step, now)
                step.outputs.append(OutputsArrived())
            case AnchorConfirmed():
                self._confirm(step, anchor_of(update.anchor_id, update.anchor))
                self._follow(step, now)
            case OutputConfirmed():
                self.inbox.add(update.output_id, update.output)
                step.outputs.append(OutputsArrived())
            case OutputSpent():
                self.inbox.remove(update.output_id)

    def _handle_signed(self, step: StepBuilder[ChainViewOutput], transaction: Transaction, now: Instant) -> None:
        """Line 1."""
        anchor = anchor_made_by(transaction, self.anchors.chain)
        assert anchor is not None, "n - f members signed what is not an anchor of this chain"
        if self.anchors.sign(anchor):
            step.records.append(Record((self.name, "anchors"), AnchorKept(transaction)))
            self._follow(step, now)

    def _confirm(self, step: StepBuilder[ChainViewOutput], anchor: Anchor) -> None:
        """Line 2."""
        before, path = self.anchors.confirmed.index, (self.name, "anchors")
        if anchor.index <= before:
            return
        self.anchors.confirm(anchor)
        if anchor.index // CONFIRMATIONS_RECORDED_MAX == before // CONFIRMATIONS_RECORDED_MAX:
            step.records.append(Record(path, ConfirmationKept(anchor.id, anchor.output)))
            return
        waiting = [signed.transaction for signed in self.anchors.unconfirmed()]
        kept = tuple([transaction for transaction in waiting if transaction is not None])
        step.records.append(Record(path, ConfirmationKept(anchor.id, anchor.output, kept), (path,)))

    def _follow(self, step: StepBuilder[ChainViewOutput], now: Instant) -> None:
        """Line 5."""
        undone, anchored = self._move_active()
        if undone:
            step.outputs.append(ChainBlocksUndone(self.name, tuple(undone)))
        for place, block in enumerate(anchored):
            above = anchored[place + 1] if place + 1 < len(anchored) else None
            step.outputs.append(self._anchored(block, above))
        confirmed = self._move_confirmed()
        for place, block in enumerate(confirmed):
            above = confirmed[place + 1] if place + 1 < len(confirmed) else None
            step.outputs.append(ChainBlockConfirmed(self.name, block, self._anchor_id(block, above)))
        if confirmed:
            self.states.settle(self.confirmed)
            step.add(self.states.maybe_snapshot(self.confirmed))
        if self.synced:
            step.outputs.extend(step.add(self.publisher.follow(self.anchors.unconfirmed(), now)))
        self._seek(step, now)
        left = tuple([request for block in reversed(undone) for request in block.requests])
        entered = tuple([request for block in anchored for request in block.requests])
        step.outputs.append(ViewChanged(left, entered, moved=bool(undone or anchored)))

    def _seek(self, step: StepBuilder[ChainViewOutput], now: Instant) -> None:
        sought = dict.fromkeys([self.anchors.tip.block, self.anchors.confirmed.block, *self._bases.blocks])
        step.add(self.states.handle_input(SeekBlocks(tuple(sought)), now))
        step.add(self.search.handle_input(SeekAnchors(self._bases.unknown), now))

    def _anchored(self, block: ChainBlock, above: ChainBlock | None) -> ChainBlockAnchored:
        state = self.states.state(block.digest) or self.active_state
        found = [receipt_of(state, request.id) for request in block.requests]
        receipts = tuple([receipt for receipt in found if receipt is not None])
        return ChainBlockAnchored(self.name, block, state, receipts, self._anchor_id(block, above).transaction)

    def _anchor_id(self, block: ChainBlock, above: ChainBlock | None) -> OutputId:
        """The anchor of a block: the base of the block above it, or one that the view knows."""
        if above is not None:
            return above.base
        for anchor in self.anchors.by_height():
            if anchor.block == block.digest:
                return anchor.id
        raise AssertionError("a block is active or confirmed by an anchor of the view")

    def _move_active(self) -> tuple[list[ChainBlock], list[ChainBlock]]:
        """To the highest held block of the view: the blocks left, newest first, and those entered, oldest first."""
        for anchor in self.anchors.by_height():
            target, state = self.states.block(anchor.block), self.states.state(anchor.block)
            if target is not None and state is not None:
                undone, anchored = self._way(self.active, target)
                self.active, self.active_state = target, state
                return undone, anchored
        return [], []

    def _move_confirmed(self) -> list[ChainBlock]:
        """To layer 1's anchor: the blocks that are confirmed now and were not before, oldest first."""
        digest = self.anchors.confirmed.block
        block, state = self.states.block(digest), self.states.state(digest)
        if block is None or state is None or block.index <= self.confirmed.index:
            return []
        left, confirmed = self._way(self.confirmed, block)
        assert not left, "layer 1 confirms successors only"
        self.confirmed, self.confirmed_state = block, state
        return confirmed

    def _way(self, old: ChainBlock, new: ChainBlock) -> tuple[list[ChainBlock], list[ChainBlock]]:
        """Down from the old block to the common ancestor, and up from there to the new one, without the ancestor."""
        left: list[ChainBlock] = []
        entered: list[ChainBlock] = []
        while old.digest != new.digest:
            if old.index >= new.index:
                left.append(old)
                old = self._previous(old)
            else:
                entered.append(new)
                new = self._previous(new)
        return left, entered[::-1]

    def _previous(self, block: ChainBlock) -> ChainBlock:
        previous = self.states.block(block.previous)
        assert previous is not None, "the way between two held blocks is held"
        return previous
