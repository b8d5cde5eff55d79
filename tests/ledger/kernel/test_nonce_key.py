"""Nonces dealt by members, and signatures with them, in both kinds of crypto."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.kernel.group import (
    IDENTITY,
    ORDER,
    POINT_SIZE,
    base_times,
    hash_to_scalar,
    lagrange,
    scalar_of,
)
from ledger.kernel.identity import CryptoKind, verifier
from ledger.kernel.nonce_key import IMPLICATION_SIZE, RealNonceKey, deal_nonce_keys
from ledger.kernel.quorum import max_faulty
from ledger.kernel.rng import stream
from ledger.kernel.signing_key import deal_signing_keys
from ledger.kernel.threshold import NonceKey
from tests.harness.nonce_checks import spoiled

KINDS: tuple[CryptoKind, ...] = ("model", "real")
SIZES = (1, 2, 3, 4, 5, 6, 7, 8, 9)
MESSAGE, OTHER = b"message", b"other"
KEYS = {kind: deal_nonce_keys(kind, 1, "mg1", 7, 2) for kind in KINDS}
DEALINGS = {kind: KEYS[kind][0].deal(b"sid", stream(1, "dealing")) for kind in KINDS}

both_kinds = pytest.mark.parametrize("kind", KINDS)
any_bytes = st.one_of(st.binary(max_size=100), st.binary(min_size=IMPLICATION_SIZE, max_size=IMPLICATION_SIZE))


def sid(dealer: int) -> bytes:
    return b"dealer %d" % dealer


def opened(key: NonceKey, name: bytes, dealing: bytes) -> bytes:
    share = key.open(name, dealing)
    assert share is not None
    return share


def sign(keys: tuple[NonceKey, ...], dealers: range) -> tuple[list[bytes], list[list[bytes]], dict[int, bytes]]:
    """The dealings of these dealers, all members' shares of them, and all members' partial signatures."""
    dealings = [keys[dealer].deal(sid(dealer), stream(1, "nonce", dealer)) for dealer in dealers]
    shares = [
        [opened(key, sid(dealer), dealing) for dealer, dealing in zip(dealers, dealings, strict=True)] for key in keys
    ]
    partials = {member: key.sign_partial(dealings, shares[member], MESSAGE) for member, key in enumerate(keys)}
    return dealings, shares, partials


@both_kinds
@pytest.mark.parametrize("n", SIZES)
def test_any_n_minus_f_partial_signatures_make_the_same_ordinary_signature(kind: CryptoKind, n: int):
    f = max_faulty(n)
    keys = deal_nonce_keys(kind, 1, "mg1", n, f)
    dealings, _, partials = sign(keys, range(f + 1))
    assert all(keys[0].verify_partial(member, dealings, MESSAGE, partial) for member, partial in partials.items())
    groups = [range(n - f), range(f, n), range(n)]
    signatures = {
        keys[0].combine(dealings, MESSAGE, {member: partials[member] for member in group}) for group in groups
    }
    assert len(signatures) == 1
    [signature] = signatures
    assert verifier(kind).verify(keys[0].group_key, MESSAGE, signature)
    assert not verifier(kind).verify(keys[0].group_key, OTHER, signature)


@both_kinds
def test_a_partial_signature_is_right_for_its_member_message_and_dealings_only(kind: CryptoKind):
    keys = KEYS[kind]
    dealings, _, partials = sign(keys, range(3))
    right = [
        (member, message, count)
        for member in range(-1, 9)
        for message in (MESSAGE, OTHER)
        for count in (1, 2, 3)
        if keys[1].verify_partial(member, dealings[:count], message, partials[2])
    ]
    assert right == [(2, MESSAGE, 3)]


@both_kinds
def test_too_few_partial_signatures_or_shares_yield_nothing(kind: CryptoKind):
    keys = KEYS[kind]
    dealings, shares, partials = sign(keys, range(3))
    with pytest.raises(AssertionError, match="too few partial signatures"):
        keys[0].combine(dealings, MESSAGE, {member: partials[member] for member in range(4)})
    with pytest.raises(AssertionError, match="too few shares"):
        keys[6].recover(dealings[0], {member: shares[member][0] for member in range(2)})


@both_kinds
def test_a_wrong_share_is_noticed_by_its_member_proven_to_all_and_recovered(kind: CryptoKind):
    keys = KEYS[kind]
    bad = spoiled(DEALINGS[kind], 7, [3])
    assert keys[0].is_dealing(b"sid", bad)
    shares = {member: key.open(b"sid", bad) for member, key in enumerate(keys)}
    assert [member for member, share in shares.items() if share is None] == [3]
    proof = keys[3].implicate(b"sid", bad)
    assert len(proof) == IMPLICATION_SIZE
    assert [member for member in range(-1, 8) if keys[0].verify_implication(member, b"sid", bad, proof)] == [3]
    given = {member: shares[member] for member in (6, 1, 4, 0)}
    recovered = keys[3].recover(bad, given)  # type: ignore[arg-type] # none of these is missing
    assert recovered == keys[3].open(b"sid", DEALINGS[kind])
    assert [member for member in range(-1, 8) if keys[0].verify_share(member, bad, recovered)] == [3]


@both_kinds
def test_a_good_share_can_not_be_implicated(kind: CryptoKind):
    keys, good, bad = KEYS[kind], DEALINGS[kind], spoiled(DEALINGS[kind], 7, [3])
    for proof in (keys[3].implicate(b"sid", good), keys[3].implicate(b"sid", bad), bytes(IMPLICATION_SIZE)):
        assert not keys[0].verify_implication(3, b"sid", good, proof)
    assert not keys[0].verify_implication(3, b"sid", bad, keys[3].implicate(b"other sid", bad))


@both_kinds
def test_a_dealing_is_of_its_name_only_and_has_all_its_points(kind: CryptoKind):
    key, good = KEYS[kind][1], DEALINGS[kind]
    assert key.is_dealing(b"sid", good)
    assert not key.is_dealing(b"other sid", good)
    assert not any(key.is_dealing(b"sid", dealing) for dealing in (b"", b"garbage", good + b"?", good[:-1]))
    for place in range(4):
        for point in (IDENTITY, b"\xff" * POINT_SIZE, base_times(7)):
            start = place * POINT_SIZE
            assert not key.is_dealing(b"sid", good[:start] + point + good[start + POINT_SIZE :])


@both_kinds
def test_the_ephemeral_key_of_another_dealing_can_not_be_repeated(kind: CryptoKind):
    key, good = KEYS[kind][1], DEALINGS[kind]
    mine = KEYS[kind][5].deal(b"my sid", stream(2, "dealing"))
    tail = slice(3 * POINT_SIZE, 6 * POINT_SIZE)  # after the commitments: the ephemeral key and its proof
    stolen = mine[: tail.start] + good[tail] + mine[tail.stop :]
    assert key.is_dealing(b"my sid", mine)
    assert not key.is_dealing(b"my sid", stolen)


@both_kinds
@given(st.integers(-3, 9), st.binary(max_size=500), any_bytes)
def test_any_bytes_are_judged_without_an_exception(kind: CryptoKind, member: int, dealing: bytes, data: bytes):
    key, good = KEYS[kind][1], DEALINGS[kind]
    assert not key.is_dealing(b"sid", dealing)
    assert not key.verify_implication(member, b"sid", good, data)
    assert not key.verify_share(member, good, data)
    assert not key.verify_partial(member, [good], MESSAGE, data)


def test_shares_and_partial_signatures_have_one_encoding():
    keys = KEYS["real"]
    dealings, shares, partials = sign(keys, range(3))
    for data, judge in (
        (shares[2][0], lambda share: keys[0].verify_share(2, dealings[0], share)),
        (partials[2], lambda partial: keys[0].verify_partial(2, dealings, MESSAGE, partial)),
    ):
        assert judge(data)
        assert not judge((int.from_bytes(data, "little") + ORDER).to_bytes(32, "little"))


def test_what_is_sent_has_the_same_lengths_and_draws_the_same_randomness_in_both_kinds():
    def lengths(kind: CryptoKind) -> tuple[Any, ...]:
        rng = stream(3, "dealing")
        keys, dealing = KEYS[kind], KEYS[kind][2].deal(b"sid", rng)
        share = opened(keys[1], b"sid", dealing)
        partial = keys[1].sign_partial([dealing], [share], MESSAGE)
        return len(dealing), len(share), len(partial), len(keys[1].implicate(b"sid", dealing)), rng.random()

    assert lengths("model") == lengths("real")


@both_kinds
def test_the_group_key_is_that_of_the_other_signing_key(kind: CryptoKind):
    assert {key.group_key for key in KEYS[kind]} == {deal_signing_keys("real", 1, "mg1", 7, 2)[0].group_key}
    assert {key.threshold for key in KEYS[kind]} == {5}


def test_f_plus_1_members_who_pool_their_shares_know_the_key_and_f_do_not():
    keys = KEYS["real"]
    dealings, shares, partials = sign(keys, range(3))
    signature = keys[0].combine(dealings, MESSAGE, partials)
    challenge, response = hash_to_scalar(signature[:32], keys[0].group_key, MESSAGE), scalar_of(signature[32:])
    assert response is not None
    for pooled, known in ((range(3), True), (range(2), False)):
        nonces = {member: sum(int.from_bytes(share, "little") for share in shares[member]) for member in pooled}
        nonce = sum(lagrange(tuple(pooled), member) * value for member, value in nonces.items()) % ORDER
        secret = (response - nonce) * pow(challenge, -1, ORDER) % ORDER
        assert (base_times(secret) == keys[0].group_key) == known


def test_a_members_dealing_is_unlike_any_other():
    rng, again = stream(1, "dealing"), stream(1, "dealing")
    key: Any = KEYS["real"][0]
    assert isinstance(key, RealNonceKey)
    dealings = [key.deal(b"sid", rng), key.deal(b"sid", rng), key.deal(b"other", again)]
    points = [{dealing[at : at + POINT_SIZE] for at in range(0, 4 * POINT_SIZE, POINT_SIZE)} for dealing in dealings]
    assert len(set.union(*points)) == 12
