"""The state of a chain: a persistent, authenticated map from keys to plain values.

A trie of 16 branches over the digest of the key, after Ethereum's Merkle trie (Wood 2014) and the Jellyfish Merkle
Tree of Diem (Gao, Hu, Wu 2021), from which it takes that a subtree with one entry *is* that entry:

1. path(key) = digest of (contract, key...); its hexadecimal digits, first one first, lead down from the top.
2. A subtree without entries is nothing, one with a single entry is a leaf, any other is a branch of 16 subtrees.
3. digest of nothing = 32 zero bytes; of a leaf = H("leaf" path H(value)), of 68 bytes; of a branch = H(its 16
   digests), of 512 bytes.
4. root = digest of the top.

Line 2 makes the shape a function of the entries alone. So the root does not depend on the order of writes, and
removing what was written brings the earlier root back.

A state is immutable. ``apply`` shares all that it doesn't change, so a thousand historic states cost what their
blocks changed. Digests are computed when a root is asked for, and kept in the node: only paths that a block changed
are hashed again.

A proof is the 15 siblings of every level, top first. It takes one hash a level to check, about log16 of the number of
entries; at most 64, whatever was proven: presence, absence by an empty place, or absence by another leaf that stands
in the place. The size of foreign values plays no role, because a leaf commits to the digest of its value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Protocol, TypeAlias

from ledger.kernel.encoding import DIGEST_SIZE, ZERO_DIGEST, Digest, Plain, Value, digest_of_bytes, pack, unpack
from ledger.kernel.rejection import Rejected, require

StateKey: TypeAlias = tuple[str | int, ...]
"""Where a value stands: the contract's name, then the contract's own key."""

WIDTH = 16
"""Subtrees of a branch: three hashes of half a kilobyte reach 4,096 entries, where a binary trie needs twelve small
ones."""
LEVELS_MAX = 64
"""Hexadecimal digits of a path."""
KEY_SIZE_MAX = 1_024
"""Bytes of a packed key: a few names and numbers."""
PATHS_KEPT = 65_536
"""Paths of the keys last used that are kept, so that a key is hashed once and not at every access; about 20 MB."""


class Mutation(Value):
    """One key's new value, packed; None removes it."""

    key: StateKey
    value: bytes | None


class OtherLeaf(Value):
    """What is known of a leaf of another key, in the place where an absent key would stand."""

    path: Digest
    value_digest: Digest


class Proof(Value):
    """That a key has a value, or none, under a root: the 15 siblings of each level, top first."""

    levels: tuple[tuple[Digest, ...], ...]
    other: OtherLeaf | None


class KeyReader(Protocol):
    """A state, or a draft over one."""

    def value_at(self, key: StateKey) -> Any:
        """The plain value at this key, None where nothing stands."""
        ...


class _Leaf:
    """An entry; as a change, one without packed value removes the entry."""

    __slots__ = ("cached", "key", "packed", "path", "value")

    def __init__(self, path: Digest, key: StateKey, value: Plain, packed: bytes | None) -> None:
        self.path = path
        self.key = key
        self.value = value
        self.packed = packed
        self.cached: Digest | None = None


class _Branch:
    __slots__ = ("cached", "children")

    def __init__(self, children: Sequence[_Node]) -> None:
        self.children = children
        self.cached: Digest | None = None


_Node: TypeAlias = "_Leaf | _Branch | None"


class State:
    """The state of a chain after one of its chain blocks."""

    __slots__ = ("_top",)

    def __init__(self) -> None:
        self._top: _Node = None

    @property
    def root(self) -> Digest:
        """32 bytes that commit to every entry and to the absence of all others."""
        return _digest_of(self._top)

    def read(self, contract: str, *key: str | int) -> Any:
        """The plain value at the contract's key, None where nothing stands.

        Errors: ``Rejected("key", ...)`` for a key that is too long, or has other parts than strings and integers.
        """
        return self.value_at((contract, *key))

    def value_at(self, key: StateKey) -> Any:
        """The plain value at this key, None where nothing stands."""
        leaf = self._leaf(path_of(key))
        return None if leaf is None else leaf.value

    def apply(self, mutations: Iterable[Mutation]) -> State:
        """The state with these changes, of which a later one of the same key wins.

        Errors: ``Rejected("undecodable", ...)`` for a value that is not the encoding of a plain one.
        """
        changes = {}
        for mutation in mutations:
            path, packed = path_of(mutation.key), mutation.value
            changes[path] = _Leaf(path, mutation.key, None if packed is None else unpack(packed), packed)
        return self._changed(sorted(changes.values(), key=_path_of_leaf))

    def write(self, written: Mapping[StateKey, tuple[Plain, bytes | None]]) -> tuple[State, tuple[Mutation, ...]]:
        """The state with these values (each with its packed form), and what really changed, in the order of paths."""
        changes = []
        for key, (value, packed) in written.items():
            path = path_of(key)
            leaf = self._leaf(path)
            if packed != (None if leaf is None else leaf.packed):
                changes.append(_Leaf(path, key, value, packed))
        changes.sort(key=_path_of_leaf)
        return self._changed(changes), tuple([Mutation(leaf.key, leaf.packed) for leaf in changes])

    def entries(self) -> Iterator[tuple[StateKey, Plain]]:
        """Every key with its value, in the order of paths."""
        for leaf in _leaves(self._top):
            yield leaf.key, leaf.value

    def mutations(self) -> tuple[Mutation, ...]:
        """What makes this state of an empty one, in the order of paths."""
        return tuple([Mutation(leaf.key, leaf.packed) for leaf in _leaves(self._top)])

    def prove(self, contract: str, *key: str | int) -> Proof:
        """The proof of what stands at the contract's key, be it nothing."""
        path, node = path_of((contract, *key)), self._top
        levels: list[tuple[Digest, ...]] = []
        while type(node) is _Branch:
            digit = _digit(path, len(levels))
            levels.append(tuple([_digest_of(child) for place, child in enumerate(node.children) if place != digit]))
            node = node.children[digit]
        other = None
        if type(node) is _Leaf and node.path != path:
            other = OtherLeaf(node.path, digest_of_bytes(node.packed or b""))
        return Proof(tuple(levels), other)

    def _leaf(self, path: Digest) -> _Leaf | None:
        node, depth = self._top, 0
        while type(node) is _Branch:
            byte = path[depth >> 1]
            node = node.children[byte & 15 if depth & 1 else byte >> 4]
            depth += 1
        return node if type(node) is _Leaf and node.path == path else None

    def _changed(self, changes: list[_Leaf]) -> State:
        if not changes:
            return self
        state = State()
        state._top = _changed(self._top, 0, changes)
        return state


EMPTY_STATE = State()


def verify_proof(root: Digest, contract: str, key: tuple[str | int, ...], value: Plain, proof: Proof) -> bool:
    """Whether the contract's key has this value (None: no value) under the root. Total."""
    try:
        path = path_of((contract, *key))
        node = ZERO_DIGEST if value is None else _leaf_digest(path, digest_of_bytes(pack(value)))
    except Rejected:
        return False
    if len(proof.levels) > LEVELS_MAX or any(len(level) != WIDTH - 1 for level in proof.levels):
        return False
    if proof.other is not None:
        if value is not None or proof.other.path == path:
            return False
        node = _leaf_digest(proof.other.path, proof.other.value_digest)
    for depth in range(len(proof.levels) - 1, -1, -1):
        siblings, digit = proof.levels[depth], _digit(path, depth)
        node = digest_of_bytes(b"".join((*siblings[:digit], node, *siblings[digit:])))
    return node == root


@lru_cache(maxsize=PATHS_KEPT)
def path_of(key: StateKey) -> Digest:
    """Where the key's entry stands.

    Errors: ``Rejected("key", ...)`` for a key that is too long, or has other parts than strings and integers.
    """
    parts: list[str | int] = []
    for part in key:
        # True equals 1 in every dict that holds keys, so it must be 1 here too
        if isinstance(part, int):
            parts.append(int(part))
        elif isinstance(part, str):
            parts.append(part)
        else:
            raise Rejected("key", f"a key is made of strings and integers, not {type(part).__name__}")
    packed = pack(tuple(parts))
    require(len(packed) <= KEY_SIZE_MAX, "key", f"{len(packed)} bytes, at most {KEY_SIZE_MAX} expected")
    return digest_of_bytes(packed)


def _path_of_leaf(leaf: _Leaf) -> Digest:
    return leaf.path


def _digit(path: Digest, depth: int) -> int:
    byte = path[depth >> 1]
    return byte & 15 if depth & 1 else byte >> 4


def _leaf_digest(path: Digest, value_digest: Digest) -> Digest:
    return digest_of_bytes(b"leaf" + path + value_digest)


def _digest_of(node: _Node) -> Digest:
    if node is None:
        return ZERO_DIGEST
    digest = node.cached
    if digest is None:
        if type(node) is _Branch:
            parts = [ZERO_DIGEST if child is None else child.cached or _digest_of(child) for child in node.children]
            digest = blake2b(b"".join(parts), digest_size=DIGEST_SIZE).digest()
        else:
            assert type(node) is _Leaf and node.packed is not None
            digest = _leaf_digest(node.path, digest_of_bytes(node.packed))
        node.cached = digest
    return digest


def _changed(node: _Node, depth: int, changes: list[_Leaf]) -> _Node:
    """The subtree with the changes, which are sorted and have one path each."""
    if type(node) is not _Branch:
        leaves = [change for change in changes if change.packed is not None]
        if type(node) is _Leaf and all(change.path != node.path for change in changes):
            leaves.append(node)
        return _built(leaves, depth)
    children = list(node.children)
    for digit, group in _by_digit(changes, depth):
        children[digit] = _changed(children[digit], depth + 1, group)
    present = WIDTH - children.count(None)
    if present == 0:
        return None
    if present == 1:
        only = next(child for child in children if child is not None)
        if type(only) is _Leaf:
            return only
    return _Branch(children)


def _built(leaves: list[_Leaf], depth: int) -> _Node:
    """The subtree of these entries."""
    if len(leaves) <= 1:
        return leaves[0] if leaves else None
    children: list[_Node] = [None] * WIDTH
    for digit, group in _by_digit(leaves, depth):
        children[digit] = _built(group, depth + 1)
    return _Branch(children)


def _by_digit(leaves: list[_Leaf], depth: int) -> Iterable[tuple[int, list[_Leaf]]]:
    if len(leaves) == 1:
        return ((_digit(leaves[0].path, depth), leaves),)
    groups: dict[int, list[_Leaf]] = {}
    for leaf in leaves:
        groups.setdefault(_digit(leaf.path, depth), []).append(leaf)
    return groups.items()


def _leaves(node: _Node) -> Iterator[_Leaf]:
    if type(node) is _Leaf:
        yield node
    elif type(node) is _Branch:
        for child in node.children:
            yield from _leaves(child)
