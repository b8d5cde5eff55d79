"""The state against a dict: contents, roots, proofs, sharing."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.kernel.encoding import ZERO_DIGEST, Plain, digest, digest_of_bytes, pack
from ledger.kernel.rejection import Rejected
from wasp.state import (
    EMPTY_STATE,
    KEY_SIZE_MAX,
    LEVELS_MAX,
    WIDTH,
    Mutation,
    OtherLeaf,
    Proof,
    State,
    StateKey,
    verify_proof,
)

KEYS = st.tuples(st.sampled_from(("auction", "accounts")), st.sampled_from(("a", "b", 1)), st.integers(0, 30))
VALUES = st.one_of(st.none(), st.integers(-5, 5), st.binary(max_size=40), st.tuples(st.booleans(), st.text(max_size=5)))
WRITES = st.lists(st.tuples(KEYS, VALUES), max_size=60)


def mutation(key: StateKey, value: Plain) -> Mutation:
    return Mutation(key, None if value is None else pack(value))


def state_of(entries: dict[StateKey, Plain]) -> State:
    return EMPTY_STATE.apply([mutation(key, value) for key, value in entries.items()])


@given(st.lists(WRITES, max_size=6))
def test_a_state_holds_what_a_dict_holds_after_the_same_writes(batches):
    state, model = EMPTY_STATE, {}
    for batch in batches:
        state = state.apply([mutation(key, value) for key, value in batch])
        for key, value in batch:
            if value is None:
                model.pop(key, None)
            else:
                model[key] = value
        assert dict(state.entries()) == model
        assert state.root == state_of(model).root


@given(WRITES, st.randoms(use_true_random=False))
def test_the_root_does_not_depend_on_the_order_of_writes_nor_on_how_they_are_batched(writes, rng):
    final = dict(writes)
    shuffled = list(final.items())
    rng.shuffle(shuffled)
    one_by_one = EMPTY_STATE
    for key, value in shuffled:
        one_by_one = one_by_one.apply([mutation(key, value)])
    assert one_by_one.root == EMPTY_STATE.apply([mutation(key, value) for key, value in writes]).root


@given(WRITES, WRITES)
def test_removing_what_was_written_restores_the_earlier_root(before, after):
    state = EMPTY_STATE.apply([mutation(key, value) for key, value in before])
    root = state.root
    changed = state.apply([mutation(key, value) for key, value in after])
    undone = changed.apply([mutation(key, state.value_at(key)) for key, _ in after])
    assert undone.root == root
    assert dict(undone.entries()) == dict(state.entries())
    assert state.root == root, "the old state still stands"


@given(WRITES, WRITES)
def test_two_states_have_the_same_root_exactly_when_they_hold_the_same(first, second):
    one = EMPTY_STATE.apply([mutation(key, value) for key, value in first])
    two = EMPTY_STATE.apply([mutation(key, value) for key, value in second])
    same = {key: pack(value) for key, value in one.entries()} == {key: pack(value) for key, value in two.entries()}
    assert (one.root == two.root) == same


@given(WRITES)
def test_write_reports_what_really_changed_and_applying_that_leads_to_the_same_root(writes):
    before = state_of({("auction", "a", 1): 7, ("auction", "b", 2): b"x"})
    written = {key: (value, None if value is None else pack(value)) for key, value in writes}
    after, mutations = before.write(written)
    assert before.apply(mutations).root == after.root
    changed = {key for key, (_, packed) in written.items() if packed != packed_at(before, key)}
    assert {mutation.key for mutation in mutations} == changed


def packed_at(state: State, key: StateKey) -> bytes | None:
    value = state.value_at(key)
    return None if value is None else pack(value)


def test_writing_what_already_stands_changes_nothing_not_even_the_state_object():
    state = state_of({("a", 1): 5})
    assert state.write({("a", 1): (5, pack(5)), ("a", 2): (None, None)}) == (state, ())


def test_a_false_value_and_zero_are_values_and_not_absent():
    state = state_of({("a", 1): 0, ("a", 2): False, ("a", 3): b"", ("a", 4): ()})
    assert len(list(state.entries())) == 4
    assert state.root != state_of({("a", 1): False, ("a", 2): 0, ("a", 3): b"", ("a", 4): ()}).root


def test_the_shape_and_the_digests_are_what_the_docstring_says():
    key: StateKey = ("auction", "order", 1)
    path = digest_of_bytes(pack(key))
    leaf = digest_of_bytes(b"leaf" + path + digest_of_bytes(pack("value")))
    assert EMPTY_STATE.root == ZERO_DIGEST
    assert state_of({key: "value"}).root == leaf

    other: StateKey = next(
        ("auction", "order", n)
        for n in range(2, 99)
        if digest_of_bytes(pack(("auction", "order", n)))[0] >> 4 != path[0] >> 4
    )
    other_path = digest_of_bytes(pack(other))
    children = [ZERO_DIGEST] * 16
    children[path[0] >> 4] = leaf
    children[other_path[0] >> 4] = digest_of_bytes(b"leaf" + other_path + digest_of_bytes(pack(3)))
    assert state_of({key: "value", other: 3}).root == digest_of_bytes(b"".join(children))


def test_values_are_separated_by_contract():
    state = state_of({("auction", "x"): 1, ("accounts", "x"): 2})
    assert (state.read("auction", "x"), state.read("accounts", "x"), state.read("root", "x")) == (1, 2, None)


def test_a_boolean_in_a_key_is_the_integer_that_it_equals():
    state = state_of({("a", 1): "one"})
    assert state.read("a", True) == "one"
    assert state_of({("b", True): "x"}).root == state_of({("b", 1): "x"}).root


@pytest.mark.parametrize("part", [b"bytes", None, (1, 2)])
def test_a_key_with_another_part_than_strings_and_integers_is_refused(part):
    with pytest.raises(Rejected, match="key"):
        EMPTY_STATE.read("a", part)


def test_a_key_of_the_largest_size_is_accepted_and_a_longer_one_refused():
    longest = KEY_SIZE_MAX - len(pack(("", "a" * 300))) + 300
    key: StateKey = ("", "a" * longest)
    assert len(pack(key)) == KEY_SIZE_MAX
    assert state_of({key: 1}).value_at(key) == 1
    with pytest.raises(Rejected, match="key"):
        EMPTY_STATE.read("", "a" * (longest + 1))


def test_mutations_that_do_not_decode_are_refused():
    with pytest.raises(Rejected, match="undecodable"):
        EMPTY_STATE.apply([Mutation(("a", 1), b"\xc1")])


# ------------------------------------------------------------------------------------------------------------- proofs


@given(st.dictionaries(KEYS, VALUES.filter(lambda value: value is not None), max_size=40), KEYS)
def test_presence_and_absence_are_proven_and_nothing_else(entries, key):
    state = state_of(entries)
    contract, *rest = key
    proof = state.prove(contract, *rest)
    value = state.value_at(key)
    assert verify_proof(state.root, contract, tuple(rest), value, proof)
    assert not verify_proof(state.root, contract, tuple(rest), "another" if value is None else None, proof)
    assert not verify_proof(state.root, contract, tuple(rest), ("another",), proof)
    assert not verify_proof(digest("another root"), contract, tuple(rest), value, proof)
    assert not verify_proof(state.root, contract, (*rest, "more"), value, proof) or value is None


def big_state() -> State:
    rng = random.Random(7)
    return state_of({("auction", "order", n): (n, rng.randbytes(rng.randrange(2000))) for n in range(2_000)})


BIG = big_state()


def test_a_proof_costs_a_hash_a_level_whatever_is_proven():
    for n in range(0, 4_000, 97):
        proof = BIG.prove("auction", "order", n)
        assert 2 <= len(proof.levels) <= 6
        assert all(len(level) == WIDTH - 1 for level in proof.levels)
        assert verify_proof(BIG.root, "auction", ("order", n), BIG.read("auction", "order", n), proof)


def test_a_proof_that_was_tampered_with_is_not_valid():
    value = BIG.read("auction", "order", 5)
    proof = BIG.prove("auction", "order", 5)
    root, key = BIG.root, ("order", 5)
    assert verify_proof(root, "auction", key, value, proof)
    for depth, level in enumerate(proof.levels):
        for place in range(len(level)):
            siblings = (*level[:place], digest("lie"), *level[place + 1 :])
            levels = (*proof.levels[:depth], siblings, *proof.levels[depth + 1 :])
            assert not verify_proof(root, "auction", key, value, Proof(levels, None))
    assert not verify_proof(root, "auction", key, value, Proof(proof.levels[:-1], None))
    assert not verify_proof(root, "auction", key, value, Proof(((ZERO_DIGEST,) * 14,) * len(proof.levels), None))
    assert not verify_proof(root, "auction", key, value, Proof((((ZERO_DIGEST,) * 15),) * (LEVELS_MAX + 1), None))
    assert not verify_proof(root, "auction", key, value, Proof(proof.levels, OtherLeaf(digest("x"), digest("y"))))


def test_absence_is_not_proven_by_the_leaf_of_the_key_itself_nor_by_one_from_elsewhere():
    value = BIG.read("auction", "order", 5)
    proof = BIG.prove("auction", "order", 5)
    path = digest_of_bytes(pack(("auction", "order", 5)))
    itself = OtherLeaf(path, digest_of_bytes(pack(value)))
    assert not verify_proof(BIG.root, "auction", ("order", 5), None, Proof(proof.levels, itself))

    elsewhere = next(n for n in range(2_000, 9_000) if BIG.prove("auction", "order", n).other is not None)
    proof = BIG.prove("auction", "order", elsewhere)
    assert verify_proof(BIG.root, "auction", ("order", elsewhere), None, proof)
    stranger = digest_of_bytes(pack(("auction", "order", elsewhere + 1)))
    assert proof.other is not None and stranger != proof.other.path
    moved = Proof(proof.levels, OtherLeaf(stranger, proof.other.value_digest))
    assert not verify_proof(BIG.root, "auction", ("order", elsewhere), None, moved)


def test_verifying_is_total_for_keys_and_values_that_cannot_exist():
    proof = EMPTY_STATE.prove("a", 1)
    assert verify_proof(EMPTY_STATE.root, "a", (1,), None, proof)
    assert not verify_proof(EMPTY_STATE.root, "a", (b"x",), None, proof)  # type: ignore[arg-type]
    assert not verify_proof(EMPTY_STATE.root, "a", (1,), 1.5, proof)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------------------ sharing


def nodes(node: object) -> dict[int, object]:
    found = {} if node is None else {id(node): node}
    for child in getattr(node, "children", ()):
        found.update(nodes(child))
    return found


def test_a_changed_state_shares_all_but_the_changed_path():
    after = BIG.apply([mutation(("auction", "order", 3), "new")])
    new = set(nodes(after._top)) - set(nodes(BIG._top))
    assert len(new) == len(BIG.prove("auction", "order", 3).levels) + 1


def test_only_changed_paths_are_hashed_again_and_only_when_a_root_is_asked_for():
    assert BIG.root
    after = BIG.apply([mutation(("auction", "order", n), "new") for n in (3, 4, 3)])
    unhashed = [node for node in nodes(after._top).values() if node.cached is None]  # type: ignore[attr-defined]
    levels = [len(BIG.prove("auction", "order", n).levels) for n in (3, 4)]
    assert max(levels) < len(unhashed) <= sum(levels) + 2
    assert after.root != BIG.root
    assert all(node.cached is not None for node in nodes(after._top).values())  # type: ignore[attr-defined]


def test_mutations_of_a_state_rebuild_it_from_nothing():
    assert EMPTY_STATE.apply(BIG.mutations()).root == BIG.root
