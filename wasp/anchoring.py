"""Anchoring: the anchor transactions of a chain, and this member's local view of them (Wasp's `var_local_view`).

An anchor is *signed* when the committee's signature is on its transaction, and *confirmed* when layer 1 says so. Signed
ones are built on at once, so a chain of unconfirmed anchors grows on the confirmed one::

    confirmed <- signed <- signed <- tip

1. base to propose: the highest anchor known, if the next one would be at most ``unconfirmed_max`` ahead of the confirmed one
2. signed anchor learned: it joins the view, wherever its base stands
3. confirmed, and in the view: what lies below is settled
4. confirmed, and not in the view: another transaction won; what doesn't build on it is undone
5. rejected by layer 1 (an input was spent by others): it and what builds on it is undone
6. asked for the successor of a base: the signed one, if there is one; whether the base is spent or undone

Two signed anchors on one base are possible, because a log index that is given up by recovery may still end at some members.
They stay side by side, the one that is built on leads, layer 1 decides. That costs chain blocks, never safety: the base is an
input of both.

An anchor may be known before its base (a member that was away); it is kept as it is, and its base is told by layer 1 later.

Invariants: the confirmed anchor's state index only grows; no anchor in the view has a state index at or below it; what is
undone is never named as a base or sent as a successor again.

Departure: Wasp's view is a list and forgets it all at a rejection; this one is a tree, and forgets only what was built on
the loser.
"""

from __future__ import annotations

from ledger.kernel.encoding import Digest, Frozen
from ledger.kernel.rejection import Rejected
from ledger.output import AnchorOutput, BasicOutput, ChainId, OutputId, TransactionId
from ledger.transaction import Essence, Transaction
from wasp.chain_block import COMMITMENT_CODEC, ChainBlock, state_metadata_of
from wasp.consensus.batch_proposal import AnchorReference

SETTLED_MAX = 256
"""Signed successors of confirmed anchors that are kept, for members that still name an old base."""


class Anchor(Frozen):
    """An anchor with its id. ``block`` is the digest of the chain block that it commits to, ``transaction`` makes it."""

    id: OutputId
    output: AnchorOutput
    block: Digest
    transaction: Transaction | None = None

    @property
    def index(self) -> int:
        """The state index."""
        return self.output.state_index

    @property
    def base(self) -> OutputId | None:
        """The anchor that it was built on, if its transaction is known."""
        return None if self.transaction is None else self.transaction.essence.inputs[0]

    @property
    def reference(self) -> AnchorReference:
        """What a proposal names."""
        return AnchorReference(self.id, self.output.state_index)


def anchor_of(anchor_id: OutputId, output: AnchorOutput) -> Anchor:
    """The anchor of an output that layer 1 has confirmed.

    Errors: ``Rejected("undecodable", ...)`` when its metadata is not a state commitment.
    """
    return Anchor(anchor_id, output, COMMITMENT_CODEC.decode(output.state_metadata).chain_block)


def anchor_made_by(transaction: Transaction, chain: ChainId) -> Anchor | None:
    """The chain's anchor that the transaction makes, its first output; none when it makes none. Total."""
    output = transaction.essence.outputs[0]
    if not isinstance(output, AnchorOutput) or output.chain != chain:
        return None
    try:
        block = COMMITMENT_CODEC.decode(output.state_metadata).chain_block
    except Rejected:
        return None
    return Anchor(transaction.output_id(0), output, block, transaction)


def anchor_essence(
    network: str,
    base: Anchor,
    block: ChainBlock,
    funds: int,
    consumed: tuple[OutputId, ...],
    outgoing: tuple[BasicOutput, ...],
) -> Essence:
    """What the committee signs for a chain block: base anchor and consumed outputs in, new anchor and messages out.

    ``funds`` is what the chain holds after the block. The order of inputs and outputs is that of the execution, so all
    members that executed the same have the same essence.
    """
    output = AnchorOutput(
        funds, base.output.chain, base.index + 1, state_metadata_of(block), base.output.state_controller
    )
    assert block.index == output.state_index, "a chain block has the state index of its anchor"
    assert block.base == base.id, "a chain block is executed for its base anchor"
    return Essence(network, block.timestamp, (base.id, *consumed), (output, *outgoing))


class AnchorView:
    """One member's view of the anchors of its chain."""

    def __init__(self, genesis: Anchor, unconfirmed_max: int) -> None:
        assert unconfirmed_max >= 1
        self.chain = genesis.output.chain
        self.confirmed = genesis
        self.unconfirmed_max = unconfirmed_max
        self._signed: dict[OutputId, Anchor] = {}
        """Unconfirmed, in the order of learning."""
        self._successors: dict[OutputId, Transaction] = {}
        """By base: the first signed successor learned; undone ones are gone, some settled ones are kept."""
        self._undone: dict[OutputId, None] = {}

    @property
    def tip(self) -> Anchor:
        """The highest anchor, of equal ones the first learned."""
        return max(self._signed.values(), key=_index_of, default=self.confirmed)

    @property
    def base(self) -> AnchorReference | None:
        """Line 1; none when the view is full."""
        tip = self.tip
        return tip.reference if tip.index + 1 - self.confirmed.index <= self.unconfirmed_max else None

    def anchor(self, anchor_id: OutputId) -> Anchor | None:
        """The confirmed anchor, or a signed one in the view."""
        return self.confirmed if anchor_id == self.confirmed.id else self._signed.get(anchor_id)

    def unconfirmed(self) -> tuple[Anchor, ...]:
        """All signed anchors of the view, lowest first."""
        return tuple(sorted(self._signed.values(), key=_index_of))

    def by_height(self) -> tuple[Anchor, ...]:
        """All anchors of the view, highest first, of equal ones the first learned; the confirmed one last."""
        return (*sorted(self._signed.values(), key=_depth_of), self.confirmed)

    def __len__(self) -> int:
        """How many signed anchors wait for confirmation."""
        return len(self._signed)

    def successor(self, base: OutputId) -> Transaction | None:
        """Line 6: the signed transaction that moves this anchor."""
        return self._successors.get(base)

    def is_spent(self, base: AnchorReference) -> bool:
        """Line 6: whether nothing may be built on this anchor any more."""
        below = base.state_index < self.confirmed.index
        beside = base.state_index == self.confirmed.index and base.output_id != self.confirmed.id
        return below or beside or base.output_id in self._undone

    def sign(self, anchor: Anchor) -> bool:
        """Line 2. Whether the anchor is new and may still be confirmed."""
        assert anchor.base is not None, "a signed anchor comes with its transaction"
        if anchor.id in self._signed or anchor.id in self._undone or anchor.index <= self.confirmed.index:
            return False
        if anchor.base in self._undone or (
            anchor.index == self.confirmed.index + 1 and anchor.base != self.confirmed.id
        ):
            self._undo(anchor)
            return False
        self._signed[anchor.id] = anchor
        assert anchor.transaction is not None
        self._successors.setdefault(anchor.base, anchor.transaction)
        return True

    def confirm(self, anchor: Anchor) -> tuple[Anchor, ...]:
        """Lines 3 and 4; what is undone by it, lowest first. An older anchor than the confirmed one is no news."""
        if anchor.index <= self.confirmed.index:
            return ()
        settled, below = set(), self._signed.get(anchor.id)
        while below is not None and below.base is not None:
            settled.add(below.id)
            below = self._signed.get(below.base)
        self.confirmed = self._signed.get(anchor.id, anchor)
        undone = []
        for signed in self.unconfirmed():
            if signed.id in settled:
                del self._signed[signed.id]
            elif self._is_beside(signed):
                undone.append(signed)
                self._undo(signed)
        self._forget()
        return tuple(undone)

    def reject(self, transaction: TransactionId) -> tuple[Anchor, ...]:
        """Line 5; what is undone by it, lowest first."""
        undone = []
        for signed in self.unconfirmed():
            if signed.id.transaction == transaction or signed.base in self._undone:
                undone.append(signed)
                self._undo(signed)
        return tuple(undone)

    def _is_beside(self, signed: Anchor) -> bool:
        """Whether the anchor can't be a descendant of the confirmed one."""
        if signed.index <= self.confirmed.index or signed.base in self._undone:
            return True
        return signed.index == self.confirmed.index + 1 and signed.base != self.confirmed.id

    def _undo(self, anchor: Anchor) -> None:
        self._signed.pop(anchor.id, None)
        self._undone[anchor.id] = None
        assert anchor.base is not None and anchor.transaction is not None
        if self._successors.get(anchor.base) == anchor.transaction:
            del self._successors[anchor.base]
            for other in self._signed.values():
                if other.base == anchor.base and other.transaction is not None:
                    self._successors.setdefault(anchor.base, other.transaction)

    def _forget(self) -> None:
        while len(self._successors) > SETTLED_MAX + self.unconfirmed_max:
            del self._successors[next(iter(self._successors))]
        while len(self._undone) > SETTLED_MAX:
            del self._undone[next(iter(self._undone))]


def _index_of(anchor: Anchor) -> int:
    return anchor.index


def _depth_of(anchor: Anchor) -> int:
    return -anchor.index
