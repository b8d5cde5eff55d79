"""A branch proves its leaf, its place and the length of the list, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.kernel.encoding import Codec, digest, encode
from ledger.kernel.merkle import Branch, MerkleTree, verify_branch

leaf_lists = st.lists(st.binary(max_size=8), min_size=1, max_size=40)


def rfc_6962_node(leaves: list[bytes]) -> bytes:
    """The recursive definition: the left subtree has the largest power of two below the number of leaves."""
    if len(leaves) == 1:
        return digest("leaf", leaves[0])
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return digest("node", rfc_6962_node(leaves[:half]), rfc_6962_node(leaves[half:]))


@given(leaf_lists)
def test_the_tree_has_the_shape_of_rfc_6962_and_its_root_names_the_count(leaves):
    assert MerkleTree(leaves).root == digest("root", len(leaves), rfc_6962_node(leaves))


@pytest.mark.parametrize("count", range(1, 34))
def test_every_branch_proves_its_leaf_at_its_index_and_no_other(count):
    leaves = [bytes([index]) for index in range(count)]
    tree = MerkleTree(leaves)
    for index in range(count):
        branch = tree.branch(index)
        proven = [other for other in range(count) if verify_branch(tree.root, leaves[other], branch)]
        assert proven == [index]
        assert (branch.index, branch.count) == (index, count)


@given(leaf_lists, st.data())
def test_a_branch_with_another_index_or_length_proves_nothing(leaves, data):
    tree = MerkleTree(leaves)
    index = data.draw(st.integers(0, len(leaves) - 1))
    branch = tree.branch(index)
    changed_index = data.draw(st.integers(-2, 50).filter(lambda other: other != index))
    changed_count = data.draw(st.integers(-2, 50).filter(lambda other: other != len(leaves)))
    assert not verify_branch(tree.root, leaves[index], Branch(index, changed_count, branch.siblings))
    twin = 0 <= changed_index < len(leaves) and tree.branch(changed_index).siblings == branch.siblings
    moved = verify_branch(tree.root, leaves[index], Branch(changed_index, len(leaves), branch.siblings))
    assert moved is (twin and leaves[changed_index] == leaves[index])


@given(leaf_lists, st.data())
def test_a_branch_with_a_changed_missing_or_extra_sibling_proves_nothing(leaves, data):
    tree = MerkleTree(leaves)
    index = data.draw(st.integers(0, len(leaves) - 1))
    branch = tree.branch(index)
    extra = (*branch.siblings, bytes(32))
    assert not verify_branch(tree.root, leaves[index], Branch(index, len(leaves), extra))
    if branch.siblings:
        place = data.draw(st.integers(0, len(branch.siblings) - 1))
        changed = (*branch.siblings[:place], bytes(32), *branch.siblings[place + 1 :])
        assert not verify_branch(tree.root, leaves[index], Branch(index, len(leaves), changed))
        assert not verify_branch(tree.root, leaves[index], Branch(index, len(leaves), branch.siblings[1:]))


@given(leaf_lists, st.binary(max_size=8), st.data())
def test_a_branch_proves_no_other_leaf_and_under_no_other_root(leaves, other, data):
    tree = MerkleTree(leaves)
    index = data.draw(st.integers(0, len(leaves) - 1))
    assert verify_branch(tree.root, other, tree.branch(index)) is (other == leaves[index])
    assert not verify_branch(bytes(32), leaves[index], tree.branch(index))


@given(leaf_lists, leaf_lists)
def test_two_lists_have_one_root_only_when_they_are_equal(left, right):
    assert (MerkleTree(left).root == MerkleTree(right).root) is (left == right)


def test_an_inner_node_cannot_be_passed_off_as_a_leaf():
    leaves = [b"a", b"b", b"c", b"d"]
    tree = MerkleTree(leaves)
    inner = digest("leaf", b"a") + digest("leaf", b"b")
    upper = tree.branch(0).siblings[1:]
    assert not verify_branch(tree.root, inner, Branch(0, 2, upper))
    assert not verify_branch(tree.root, inner, Branch(0, 4, tree.branch(0).siblings))


@given(st.integers(-(2**63), 2**64 - 1), st.integers(-(2**63), 2**64 - 1), st.integers(0, 70))
def test_a_branch_with_any_numbers_is_judged_without_an_exception(index, count, siblings):
    branch = Codec[Branch](Branch).decode(encode(Branch(index, count, (bytes(32),) * siblings)))
    assert verify_branch(MerkleTree([b"a", b"b"]).root, b"a", branch) is False


def test_a_tree_without_leaves_and_a_branch_beyond_the_leaves_are_our_own_mistakes():
    with pytest.raises(AssertionError):
        MerkleTree([])
    for index in (-1, 2):
        with pytest.raises(AssertionError):
            MerkleTree([b"a", b"b"]).branch(index)


@pytest.mark.parametrize("count", range(1, 9))
def test_there_is_no_place_after_the_last_leaf(count):
    leaves = [b"same"] * count
    tree = MerkleTree(leaves)
    for index in (-1, count):
        for branch in map(tree.branch, range(count)):
            assert not verify_branch(tree.root, b"same", Branch(index, count, branch.siblings))
