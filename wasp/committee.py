"""A committee: who its members are, in which order, and the quorums that follow."""

from __future__ import annotations

from collections.abc import Sequence

from ledger.kernel.automaton import NodeId
from ledger.kernel.identity import PublicKey
from ledger.kernel.quorum import correct_majority, intersecting, max_faulty, some_correct, waiting


class Committee:
    """The members of a chain, fixed in number and order.

    ``members`` are hosts' names, ``public_keys`` stand in the same order; they share ``group_key``. A member's *index*
    is its place; votes are counted as bit masks of indices. ``f`` is the largest number of faulty members that the protocols
    survive.
    """

    def __init__(self, members: Sequence[NodeId], public_keys: Sequence[PublicKey], group_key: PublicKey) -> None:
        assert members and len(members) == len(public_keys) == len(set(members))
        self.members: tuple[NodeId, ...] = tuple(members)
        self.public_keys: tuple[PublicKey, ...] = tuple(public_keys)
        self.group_key = group_key
        self.key: dict[NodeId, PublicKey] = dict(zip(self.members, self.public_keys, strict=True))
        self.index: dict[NodeId, int] = {member: place for place, member in enumerate(self.members)}
        self.bit: dict[NodeId, int] = {member: 1 << place for place, member in enumerate(self.members)}
        self.n = len(self.members)
        self.f = max_faulty(self.n)
        self.waiting = waiting(self.n, self.f)
        self.intersecting = intersecting(self.n, self.f)
        self.correct_majority = correct_majority(self.f)
        self.some_correct = some_correct(self.f)

    def __contains__(self, node: NodeId) -> bool:
        return node in self.index
