"""A threshold value is unique, and out of reach below the threshold."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.kernel.quorum import max_faulty
from ledger.kernel.threshold import SHARE_SIZE, deal_threshold_keys


@pytest.mark.parametrize("n", range(4, 10))
def test_any_f_plus_1_shares_yield_the_same_value(n):
    threshold = max_faulty(n) + 1
    keys = deal_threshold_keys(1, "mg1", n, threshold)
    shares = {member: key.share(b"coin 1") for member, key in enumerate(keys)}
    values = {
        keys[0].combine(b"coin 1", {member: shares[member] for member in group})
        for group in combinations(range(n), threshold)
    }
    assert len(values) == 1
    assert {key.combine(b"coin 1", shares) for key in keys} == values
    assert {len(value) for value in values} == {32}


@pytest.mark.parametrize("n", range(4, 10))
def test_f_shares_yield_nothing(n):
    threshold = max_faulty(n) + 1
    keys = deal_threshold_keys(1, "mg1", n, threshold)
    too_few = {member: keys[member].share(b"coin 1") for member in range(threshold - 1)}
    with pytest.raises(AssertionError, match="too few shares"):
        keys[0].combine(b"coin 1", too_few)


def test_a_share_is_right_for_its_member_and_its_name_only():
    keys = deal_threshold_keys(1, "mg1", 4, 2)
    share = keys[2].share(b"coin 1")
    assert len(share) == SHARE_SIZE
    right = [
        (member, sid)
        for member in range(-1, 5)
        for sid in (b"coin 1", b"coin 2")
        if keys[0].verify_share(member, sid, share)
    ]
    assert right == [(2, b"coin 1")]


@given(st.integers(-(2**63), 2**64 - 1), st.binary(max_size=100), st.binary(max_size=100))
def test_any_share_is_judged_without_an_exception(member, sid, share):
    assert deal_threshold_keys(1, "mg1", 4, 2)[0].verify_share(member, sid, share) is False


def test_values_differ_by_name_committee_and_seed():
    def value(seed: int, label: str, sid: bytes) -> bytes:
        keys = deal_threshold_keys(seed, label, 4, 2)
        return keys[0].combine(sid, {member: keys[member].share(sid) for member in range(2)})

    values = {
        value(1, "mg1", b"coin 1"),
        value(1, "mg1", b"coin 2"),
        value(1, "mg2", b"coin 1"),
        value(2, "mg1", b"coin 1"),
    }
    assert len(values) == 4
    assert value(1, "mg1", b"coin 1") in values


def test_the_last_bit_of_the_value_is_a_fair_coin():
    keys = deal_threshold_keys(7, "mg1", 4, 2)
    heads = 0
    for round_number in range(2000):
        sid = round_number.to_bytes(4, "big")
        heads += keys[0].combine(sid, {member: keys[member].share(sid) for member in range(2)})[-1] & 1
    assert 900 < heads < 1100  # more than four standard deviations to either side


def test_a_share_of_a_member_beyond_the_committee_is_not_right():
    larger, committee = deal_threshold_keys(1, "mg1", 5, 2), deal_threshold_keys(1, "mg1", 4, 2)
    judged = [committee[0].verify_share(member, b"coin 1", larger[member].share(b"coin 1")) for member in range(5)]
    assert judged == [True, True, True, True, False]
