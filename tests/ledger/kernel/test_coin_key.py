"""A coin's value is unique, the same in both kinds of crypto, and out of reach below the threshold."""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.kernel import coin_key
from ledger.kernel.coin_key import CoinModel, ModelCoinKey, deal_coin_keys
from ledger.kernel.encoding import digest
from ledger.kernel.group import evaluate, hash_to_point, lagrange, place_of, random_scalar, times, total
from ledger.kernel.key_share import POINT_SHARE_SIZE, deal_key
from ledger.kernel.quorum import max_faulty
from ledger.kernel.rng import stream

KINDS = pytest.mark.parametrize("kind", ["real", "model"])
SIZES = range(4, 10)
DEALT = {kind: deal_coin_keys(kind, 1, "mg1", 4, 2) for kind in ("real", "model")}


@KINDS
@pytest.mark.parametrize("n", SIZES)
def test_any_f_plus_1_shares_yield_the_same_value(kind, n):
    threshold = max_faulty(n) + 1
    keys = deal_coin_keys(kind, 1, "mg1", n, threshold)
    assert {key.threshold for key in keys} == {threshold}
    shares = {member: key.share(b"coin 1") for member, key in enumerate(keys)}
    values = {
        keys[0].combine(b"coin 1", {member: shares[member] for member in group})
        for group in combinations(range(n), threshold)
    }
    assert len(values) == 1
    assert {key.combine(b"coin 1", shares) for key in keys} == values
    assert {len(value) for value in values} == {32}


@pytest.mark.parametrize("n", SIZES)
def test_both_kinds_have_the_same_values(n):
    def value(kind, label: str, sid: bytes) -> bytes:
        keys = deal_coin_keys(kind, 7, label, n, max_faulty(n) + 1)
        return keys[0].combine(sid, {member: key.share(sid) for member, key in enumerate(keys)})

    names = [(label, sid) for label in ("mg1", "mg2") for sid in (b"coin 1", b"coin 2")]
    assert [value("real", *name) for name in names] == [value("model", *name) for name in names]
    assert len({value("real", *name) for name in names}) == len(names)


@KINDS
@pytest.mark.parametrize("n", SIZES)
def test_f_shares_yield_nothing(kind, n):
    threshold = max_faulty(n) + 1
    keys = deal_coin_keys(kind, 1, "mg1", n, threshold)
    too_few = {member: keys[member].share(b"coin 1") for member in range(threshold - 1)}
    with pytest.raises(AssertionError, match="too few shares"):
        keys[0].combine(b"coin 1", too_few)


@pytest.mark.parametrize("n", [4, 7, 9])
def test_f_shares_fit_to_any_value(n):
    """For the same f secrets, another secret in the place of the constant is a polynomial too, with another value."""
    f = max_faulty(n)
    keys = deal_key(stream(1, "key"), n, f + 1)
    base = hash_to_point(b"coin 1")
    known = list(range(f))
    constant = random_scalar(stream(2, "constant"))

    def at(member: int) -> int:
        """The polynomial of degree f through the known shares and the other constant (at 0, as a member -1's)."""
        places = [*known, -1]
        values = {**{share: keys[share].secret for share in known}, -1: constant}
        return sum(lagrange(places, place, place_of(member)) * values[place] for place in places)

    others = [at(member) for member in range(n)]
    assert [times(others[member], base) for member in known] == [times(keys[member].secret, base) for member in known]

    def value(secrets: list[int], group: range) -> bytes:
        return digest("coin", total(times(lagrange(group, member) * secrets[member], base) for member in group))

    true = [key.secret for key in keys]
    assert value(true, range(f + 1)) == value(true, range(n - f - 1, n))
    assert value(others, range(f + 1)) == value(others, range(n - f - 1, n))
    assert value(true, range(f + 1)) != value(others, range(f + 1))
    assert value(true, range(f + 1)) != value(true, range(f))


@KINDS
def test_a_share_is_right_for_its_member_and_its_name_only(kind):
    keys = DEALT[kind]
    share = keys[2].share(b"coin 1")
    assert len(share) == POINT_SHARE_SIZE == 96
    right = [
        (member, sid)
        for member in range(-1, 5)
        for sid in (b"coin 1", b"coin 2")
        if keys[0].verify_share(member, sid, share)
    ]
    assert right == [(2, b"coin 1")]


@KINDS
@given(place=st.integers(0, 95), bit=st.integers(0, 7))
@settings(max_examples=50)
def test_a_share_with_a_bit_flipped_is_wrong(kind, place, bit):
    share = bytearray(DEALT[kind][2].share(b"coin 1"))
    share[place] ^= 1 << bit
    assert DEALT[kind][0].verify_share(2, b"coin 1", bytes(share)) is False


@KINDS
@given(
    member=st.integers(-(2**63), 2**64 - 1) | st.integers(0, 3),
    sid=st.binary(max_size=100),
    share=st.binary(max_size=100) | st.binary(min_size=96, max_size=96),
)
def test_any_share_is_judged_without_an_exception(kind, member, sid, share):
    assert DEALT[kind][0].verify_share(member, sid, share) is False


@KINDS
def test_values_differ_by_name_committee_and_seed(kind):
    def value(seed: int, label: str, sid: bytes) -> bytes:
        keys = deal_coin_keys(kind, seed, label, 4, 2)
        return keys[0].combine(sid, {member: keys[member].share(sid) for member in range(2)})

    values = {
        value(1, "mg1", b"coin 1"),
        value(1, "mg1", b"coin 2"),
        value(1, "mg2", b"coin 1"),
        value(2, "mg1", b"coin 1"),
    }
    assert len(values) == 4
    assert value(1, "mg1", b"coin 1") in values


def test_both_ends_of_the_value_are_fair_coins():
    keys = DEALT["model"]
    shares = dict.fromkeys(range(2), b"")
    values = [keys[0].combine(round_number.to_bytes(4, "big"), shares) for round_number in range(2000)]
    for place in (0, -1):
        assert (
            900 < sum(value[place] & 1 for value in values) < 1100
        )  # more than four standard deviations to either side


@KINDS
def test_a_share_of_a_member_beyond_the_committee_is_not_right(kind):
    larger, committee = deal_coin_keys(kind, 1, "mg1", 5, 2), DEALT[kind]
    judged = [committee[0].verify_share(member, b"coin 1", larger[member].share(b"coin 1")) for member in range(5)]
    assert judged == [True, True, True, True, False]


def test_a_value_that_the_model_forgot_comes_again(monkeypatch):
    monkeypatch.setattr(coin_key, "VALUES_MAX", 2)
    model = CoinModel(1, 4, 2)
    key = ModelCoinKey(model, 0)
    names = [b"1", b"2", b"3", b"1"]
    values = [key.combine(name, {0: b"", 1: b""}) for name in names]
    assert values[0] == values[3]
    assert len(set(values)) == 3
    assert len(model._values) == 2


def test_a_shares_polynomial_is_the_one_that_was_dealt():
    keys = deal_key(stream(1, "key"), 5, 2)
    slope = keys[1].secret - keys[0].secret
    assert [key.secret for key in keys] == [evaluate((keys[0].secret - slope, slope), member) for member in range(5)]
