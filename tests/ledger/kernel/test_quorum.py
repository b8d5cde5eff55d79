"""The four quorums do what their names say, for every committee size, by brute force."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.kernel.quorum import correct_majority, intersecting, max_faulty, some_correct, waiting


@pytest.mark.parametrize(
    ("n", "f", "some", "majority", "crossing", "wait"),
    [
        (1, 0, 1, 1, 1, 1),
        (2, 0, 1, 1, 2, 2),
        (3, 0, 1, 1, 2, 3),
        (4, 1, 2, 3, 3, 3),
        (5, 1, 2, 3, 4, 4),
        (6, 1, 2, 3, 4, 5),
        (7, 2, 3, 5, 5, 5),
        (8, 2, 3, 5, 6, 6),
        (9, 2, 3, 5, 6, 7),
        (10, 3, 4, 7, 7, 7),
    ],
)
def test_the_table_of_quorums(n, f, some, majority, crossing, wait):
    assert (max_faulty(n), some_correct(f), correct_majority(f), intersecting(n, f), waiting(n, f)) == (
        f,
        some,
        majority,
        crossing,
        wait,
    )


def least_overlap(n: int, size: int) -> int:
    """The fewest members that two sets of this size have in common: by symmetry one of them may be the first ones."""
    first = set(range(size))
    return min(len(first.intersection(second)) for second in combinations(range(n), size))


@pytest.mark.parametrize("n", range(4, 10))
def test_two_intersecting_quorums_share_a_correct_member_and_smaller_ones_need_not(n):
    f = max_faulty(n)
    assert least_overlap(n, intersecting(n, f)) >= f + 1
    assert least_overlap(n, intersecting(n, f) - 1) <= f


@pytest.mark.parametrize("n", range(4, 10))
def test_some_correct_is_the_least_set_that_cannot_be_all_faulty(n):
    f = max_faulty(n)
    faulty = set(range(f))
    assert all(set(group) - faulty for group in combinations(range(n), some_correct(f)))
    assert any(not set(group) - faulty for group in combinations(range(n), some_correct(f) - 1))


@pytest.mark.parametrize("n", range(4, 10))
def test_a_correct_majority_has_more_correct_members_than_there_can_be_faulty_ones(n):
    f = max_faulty(n)
    faulty = set(range(f))
    assert min(len(set(group) - faulty) for group in combinations(range(n), correct_majority(f))) == f + 1
    assert min(len(set(group) - faulty) for group in combinations(range(n), correct_majority(f) - 1)) == f


@pytest.mark.parametrize("n", range(4, 10))
def test_a_literal_2f_plus_1_does_not_intersect_unless_n_is_3f_plus_1(n):
    f = max_faulty(n)
    assert (least_overlap(n, 2 * f + 1) >= f + 1) is (n == 3 * f + 1)


@given(st.integers(1, 10_000))
def test_f_is_the_largest_number_of_faulty_members_that_a_committee_bears(n):
    f = max_faulty(n)
    assert 3 * f < n <= 3 * (f + 1)


@given(st.integers(1, 10_000))
def test_the_correct_members_alone_reach_every_quorum(n):
    f = max_faulty(n)
    assert max(some_correct(f), correct_majority(f), intersecting(n, f), waiting(n, f)) <= n - f


@pytest.mark.parametrize("n", [0, -1])
def test_there_is_no_committee_without_members(n):
    with pytest.raises(ValueError, match="at least one member"):
        max_faulty(n)
