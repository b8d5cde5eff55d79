"""Where a chain stands: which chain block is active, which is confirmed, and what changed when that moves.

The *active* block is the highest one whose anchor is in the view and whose state is held; the *confirmed* one follows layer
1. Both move along the tree of blocks: from the old place down to the common ancestor (undone), then up to the new one
(anchored). While nothing of the view is held (this member was away), both stay where they are.

Invariants: the confirmed block only moves to descendants. What is undone is told before what is anchored, and a block is
anchored before it is confirmed.
"""

from __future__ import annotations

from ledger.kernel.encoding import Digest, Frozen
from ledger.kernel.identity import PublicKey
from ledger.output import OutputId
from wasp.anchoring import AnchorView
from wasp.chain_block import ChainBlock
from wasp.core_contracts.accounts import next_nonce, user_of
from wasp.core_contracts.blocklog import receipt_of
from wasp.request import Request, RequestId
from wasp.state import State
from wasp.state_manager import StateManager


class StateOfRequests:
    """What the mempool asks of a state."""

    def __init__(self, state: State) -> None:
        self._state = state

    def next_nonce(self, sender: PublicKey) -> int | None:
        """The next nonce of the key's account; none without an account."""
        account = user_of(self._state, sender)
        return None if account is None else next_nonce(self._state, account)

    def is_executed(self, request: RequestId) -> bool:
        """Whether the request has a receipt."""
        return receipt_of(self._state, request) is not None


class Move(Frozen):
    """The active block moved: these blocks were left, newest first, and these entered, oldest first."""

    undone: tuple[ChainBlock, ...]
    anchored: tuple[ChainBlock, ...]

    @property
    def undone_requests(self) -> tuple[Request, ...]:
        """The requests of the blocks that were left, oldest first."""
        return tuple([request for block in reversed(self.undone) for request in block.requests])

    @property
    def executed_requests(self) -> tuple[Request, ...]:
        """The requests of the blocks that were entered."""
        return tuple([request for block in self.anchored for request in block.requests])


STAYED = Move((), ())


class ChainView:
    """The active and the confirmed block of one member."""

    def __init__(self, anchors: AnchorView, blocks: StateManager, genesis: ChainBlock, state: State) -> None:
        self.anchors = anchors
        self.blocks = blocks
        self.active = genesis
        self.active_state = state
        self.confirmed = genesis
        self.confirmed_state = state

    @property
    def is_current(self) -> bool:
        """Whether the state after the tip is held, so that the next block can be built on it."""
        return self.active.digest == self.anchors.tip.block

    def move_active(self) -> Move | None:
        """Follow the view; none when the active block stays."""
        target = self._target()
        if target is None or target.digest == self.active.digest:
            return None
        state = self.blocks.state(target.digest)
        assert state is not None
        undone, anchored = self._way(self.active, target)
        self.active, self.active_state = target, state
        return Move(tuple(undone), tuple(reversed(anchored)))

    def move_confirmed(self) -> tuple[ChainBlock, ...]:
        """Follow layer 1: the blocks that are confirmed now and were not before, oldest first."""
        digest = self.anchors.confirmed.block
        block, state = self.blocks.block(digest), self.blocks.state(digest)
        if block is None or state is None or block.index <= self.confirmed.index:
            return ()
        left, confirmed = self._way(self.confirmed, block)
        assert not left, "layer 1 confirms successors only"
        self.confirmed, self.confirmed_state = block, state
        return tuple(reversed(confirmed))

    def anchor_id(self, block: ChainBlock, above: ChainBlock | None) -> OutputId:
        """The anchor of a block: the base of the block above it, or one that the view knows."""
        if above is not None:
            return above.base
        for anchor in (self.anchors.confirmed, *self.anchors.unconfirmed()):
            if anchor.block == block.digest:
                return anchor.id
        raise AssertionError("a block is active or confirmed by an anchor of the view")

    def _target(self) -> ChainBlock | None:
        for anchor in self.anchors.by_height():
            if self.blocks.state(anchor.block) is not None:
                return self.blocks.block(anchor.block)
        return None

    def _way(self, old: ChainBlock, new: ChainBlock) -> tuple[list[ChainBlock], list[ChainBlock]]:
        """Down from the old block to the common ancestor, and down from the new one, without the ancestor."""
        left: list[ChainBlock] = []
        entered: list[ChainBlock] = []
        while old.digest != new.digest:
            if old.index >= new.index:
                left.append(old)
                old = self._previous(old.previous)
            else:
                entered.append(new)
                new = self._previous(new.previous)
        return left, entered

    def _previous(self, digest: Digest) -> ChainBlock:
        block = self.blocks.block(digest)
        assert block is not None, "the way between two held blocks is held"
        return block
