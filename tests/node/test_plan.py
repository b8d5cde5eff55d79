"""Who is above whom, and who sits on which committee."""

import pytest

from node.configuration import Configuration
from node.plan import HomePlan, parent_members, plan_of


def plan(*chains):
    """The plan of chains given as (name, parent, number of homes or their list, further fields)."""
    sections = []
    for name, parent, homes, *fields in chains:
        named = [f"{name}{i + 1}" for i in range(homes)] if isinstance(homes, int) else homes
        sections.append({"name": name, "homes": named, **({"parent": parent} if parent else {}), **(fields or [{}])[0]})
    document = {
        "scenario": {"name": "x"},
        "data": {"file": "x.csv"},
        "market": {"grid_charges": 2, "grid_pays": 1},
        "chains": sections,
    }
    return plan_of(Configuration.model_validate(document))


@pytest.mark.parametrize(
    ("sizes", "members"),
    [
        ((5, 5, 5), "a1 b1 c1 a2 b2 c2 a3 b3 c3"),
        ((5, 5), "a1 b1 a2 b2 a3 b3 a4 b4"),
        ((9,), "a1 a2 a3 a4 a5 a6 a7"),
        ((1, 1, 1, 1, 1, 1, 1), "a1 b1 c1 d1 e1 f1 g1"),
        ((6, 6, 6, 6, 6, 6), "a1 b1 c1 d1 e1 f1 a2 b2 c2 d2"),
        ((1,) * 12, "a1 b1 c1 d1 e1 f1 g1 h1 i1 j1"),
        ((3, 2), "a1 b1 a2 b2 a3"),
        ((1, 4), "a1 b1 b2 b3 b4"),
        ((1, 9), "a1 b1 b2 b3 b4 b5 b6"),
    ],
)
def test_a_parent_s_committee_is_whole_turns_until_seven_cut_at_ten(sizes, members):
    committees = [tuple(f"{'abcdefghijkl'[i]}{j + 1}" for j in range(size)) for i, size in enumerate(sizes)]
    assert " ".join(parent_members(committees)) == members


@pytest.mark.parametrize(
    ("size", "members"),
    [(1, "a1"), (2, "a1 b1"), (3, "a1 b1 c1"), (4, "a1 b1 c1 a2"), (12, "a1 b1 c1 a2 b2 c2 a3 b3 c3 a4 b4 c4")],
)
def test_a_size_that_is_asked_for_is_kept(size, members):
    committees = [tuple(f"{name}{j + 1}" for j in range(5)) for name in "abc"]
    assert " ".join(parent_members(committees, size)) == members


def test_children_stand_in_the_order_of_the_configuration_and_parents_after_them():
    planned = plan(("top", None, 0), ("b", "top", 4), ("a", "top", 4))
    assert list(planned.chains) == ["b", "a", "top"]
    top = planned.chains["top"]
    assert (top.children, top.level, top.parent, top.homes) == (("b", "a"), 1, None, ())
    assert top.members == ("b1", "a1", "b2", "a2", "b3", "a3", "b4", "a4")
    assert planned.chains["a"].members == ("a1", "a2", "a3", "a4")


def test_the_level_is_the_height_in_an_uneven_tree():
    planned = plan(
        ("root", None, 0), ("deep", "root", 0), ("deeper", "deep", 0), ("leaf", "deeper", 4), ("near", "root", 4)
    )
    levels = {name: chain.level for name, chain in planned.chains.items()}
    assert levels == {"leaf": 0, "deeper": 1, "deep": 2, "root": 3, "near": 0}


def test_a_parent_of_parents_takes_their_members_in_turn():
    planned = plan(
        ("region", None, 0), ("east", "region", 0), ("west", "region", 0),
        ("a", "east", 3), ("b", "east", 3), ("c", "west", 3), ("d", "west", 3),
    )  # fmt: skip
    assert planned.chains["east"].members == ("a1", "b1", "a2", "b2", "a3", "b3")
    assert planned.chains["region"].members == ("a1", "c1", "b1", "d1", "a2", "c2", "b2", "d2")


def test_a_committee_s_size_is_that_of_the_configuration():
    planned = plan(("top", None, 0, {"committee_size": 3}), ("b", "top", 4), ("a", "top", 4))
    assert planned.chains["top"].members == ("b1", "a1", "b2")


def test_hosts_are_layer_1_first_then_the_homes_of_all_chains():
    planned = plan(("top", None, 0), ("b", "top", 2), ("a", "top", 1))
    assert planned.hosts == ("tangle1", "tangle2", "tangle3", "tangle4", "b1", "b2", "a1")


def test_shifts_of_chain_and_home_add_up_and_a_home_s_data_may_have_another_name():
    home = {"name": "x", "data": "y", "generation_shift": "2h"}
    planned = plan(("mg", None, ["w", home], {"generation_shift": "1h"}))
    hour = 3_600_000_000
    assert planned.homes == (HomePlan("w", "mg", "w", hour), HomePlan("x", "mg", "y", 3 * hour))


def test_a_host_is_a_member_of_its_own_microgrid_first_and_of_none_that_is_offline():
    planned = plan(
        ("root", None, 0), ("top", "root", 0, {"offline": True}), ("b", "top", 4), ("a", "top", 4)
    )  # fmt: skip
    assert [chain.name for chain in planned.memberships("a1")] == ["a", "root"]
    assert [chain.name for chain in planned.memberships("tangle1")] == []


def test_committees_that_survive_no_fault_are_warned_of():
    planned = plan(("top", None, 0, {"committee_size": 3}), ("b", "top", 4), ("a", "top", 3))
    assert planned.warnings() == (
        "chain 'a' has 3 members, at least 4 expected: it survives no faulty member",
        "chain 'top' has 3 members, at least 4 expected: it survives no faulty member",
    )
