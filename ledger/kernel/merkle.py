"""A Merkle tree over a list of byte strings, with branches that prove one of them (Merkle 1987; RFC 6962's shape).

Leaves and inner nodes are hashed under different labels, so neither can be passed off as the other; the number of leaves
is part of the root, so a branch also proves the position and the length of the list.
"""

from __future__ import annotations

from collections.abc import Sequence

from ledger.kernel.encoding import Digest, Value, digest


class Branch(Value):
    """The siblings on the way from leaf ``index`` of ``count`` up to the root, lowest first."""

    index: int
    count: int
    siblings: tuple[Digest, ...]


class MerkleTree:
    """The tree of at least one leaf."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        assert leaves, "a Merkle tree has at least one leaf"
        self._count = len(leaves)
        self._levels: list[list[Digest]] = [[digest("leaf", leaf) for leaf in leaves]]
        while len(self._levels[-1]) > 1:
            self._levels.append(_parents(self._levels[-1]))

    @property
    def root(self) -> Digest:
        """32 bytes that commit to every leaf, its place and the number of leaves."""
        return digest("root", self._count, self._levels[-1][0])

    def branch(self, index: int) -> Branch:
        """The proof of the leaf at this index."""
        assert 0 <= index < self._count
        siblings, place = [], index
        for level in self._levels[:-1]:
            if place ^ 1 < len(level):
                siblings.append(level[place ^ 1])
            place >>= 1
        return Branch(index, self._count, tuple(siblings))


def _parents(level: list[Digest]) -> list[Digest]:
    pairs = [digest("node", level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
    return pairs if len(level) % 2 == 0 else [*pairs, level[-1]]


def verify_branch(root: Digest, leaf: bytes, branch: Branch) -> bool:
    """Whether the branch proves that the leaf stands at its index under the root. Total."""
    if not 0 <= branch.index < branch.count:
        return False
    node, place, width, siblings = digest("leaf", leaf), branch.index, branch.count, list(branch.siblings)
    while width > 1:
        if place ^ 1 < width:
            if not siblings:
                return False
            sibling = siblings.pop(0)
            node = digest("node", sibling, node) if place & 1 else digest("node", node, sibling)
        place, width = place >> 1, (width + 1) // 2
    return not siblings and digest("root", branch.count, node) == root
