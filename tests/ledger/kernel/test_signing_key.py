"""A committee's signing key, in both kinds of crypto: n - f members sign, and what they sign verifies."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import nacl.signing
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.kernel.group import IDENTITY, ORDER, base_times, commitments_of, evaluate, lagrange
from ledger.kernel.identity import CryptoKind, verifier
from ledger.kernel.quorum import max_faulty
from ledger.kernel.rng import stream
from ledger.kernel.signing_key import deal_group_polynomial, deal_signing_keys
from ledger.kernel.threshold import NoncePair, SigningKey

KINDS: tuple[CryptoKind, ...] = ("real", "model")
MESSAGE = b"anchor"
both_kinds = pytest.mark.parametrize("kind", KINDS)


class Session:
    """Members of a committee about to sign one message."""

    def __init__(self, kind: CryptoKind, n: int, signers: tuple[int, ...]) -> None:
        self.keys: tuple[SigningKey, ...] = deal_signing_keys(kind, 1, "mg1", n, max_faulty(n))
        self.nonces = {j: self.keys[j].make_nonces(stream(1, "nonces", j)) for j in signers}
        self.commitments = tuple((j, self.nonces[j].commitment) for j in signers)

    def share(self, member: int, message: bytes = MESSAGE) -> bytes:
        return self.keys[member].sign_share(self.nonces[member], message, self.commitments)

    def shares(self) -> dict[int, bytes]:
        return {member: self.share(member) for member in self.nonces}


@both_kinds
@pytest.mark.parametrize("n", range(1, 10))
def test_any_n_minus_f_members_make_a_signature_that_verifies_under_the_group_key(kind: CryptoKind, n: int):
    threshold = n - max_faulty(n)
    for signers in list(combinations(range(n), threshold))[-3:]:
        session = Session(kind, n, signers)
        key = session.keys[0]
        assert key.threshold == threshold
        signature = key.combine(MESSAGE, session.commitments, session.shares())
        assert signature is not None
        assert verifier(kind).verify(key.group_key, MESSAGE, signature)


def test_a_real_signature_is_an_ordinary_one():
    session = Session("real", 4, (0, 2, 3))
    signature = session.keys[1].combine(MESSAGE, session.commitments, session.shares())
    assert nacl.signing.VerifyKey(session.keys[1].group_key).verify(MESSAGE, signature) == MESSAGE


@pytest.mark.parametrize("n", range(1, 10))
def test_both_kinds_have_the_group_key_of_the_dealt_polynomial_of_degree_n_minus_f_minus_1(n: int):
    f = max_faulty(n)
    polynomial = deal_group_polynomial(1, "mg1", n, f)
    assert len(polynomial) == n - f
    keys = [key.group_key for kind in KINDS for key in deal_signing_keys(kind, 1, "mg1", n, f)]
    assert set(keys) == {base_times(polynomial[0])} == {commitments_of(polynomial)[0]}
    members = range(f, n)
    assert sum(lagrange(members, j) * evaluate(polynomial, j) for j in members) % ORDER == polynomial[0]
    assert deal_group_polynomial(1, "mg2", n, f) != polynomial


@both_kinds
def test_a_wrong_share_yields_no_signature_and_is_told_from_the_right_ones(kind: CryptoKind):
    session = Session(kind, 5, (0, 1, 3, 4))
    key, shares = session.keys[2], session.shares()
    for wrong in (session.share(3, b"other"), session.share(4), bytes(32), b"\xff" * 32, b"", shares[3] + b"\0"):
        lied = shares | {3: wrong}
        assert key.combine(MESSAGE, session.commitments, lied) is None
        judged = {member: key.verify_share(member, MESSAGE, session.commitments, lied[member]) for member in lied}
        assert judged == {0: True, 1: True, 3: False, 4: True}


@both_kinds
def test_who_does_not_sign_or_is_no_member_has_no_right_share(kind: CryptoKind):
    session = Session(kind, 4, (0, 1, 2))
    key = session.keys[0]
    judged = [key.verify_share(member, MESSAGE, session.commitments, session.share(0)) for member in range(-1, 6)]
    assert judged == [False, True, False, False, False, False, False]


@both_kinds
def test_a_share_fits_one_message_and_one_list_of_commitments(kind: CryptoKind):
    session = Session(kind, 4, (0, 1, 2))
    key, share = session.keys[3], session.share(1)
    other = session.keys[2].make_nonces(stream(2, "other")).commitment
    assert key.verify_share(1, MESSAGE, session.commitments, share)
    assert not key.verify_share(1, b"other", session.commitments, share)
    assert not key.verify_share(1, MESSAGE, (*session.commitments[:2], (2, other)), share)
    assert not key.verify_share(1, MESSAGE, (*session.commitments[:2], (3, session.commitments[2][1])), share)


@both_kinds
def test_too_few_shares_or_shares_of_others_yield_nothing(kind: CryptoKind):
    session = Session(kind, 4, (0, 1, 2))
    shares = session.shares()
    with pytest.raises(AssertionError, match="too few"):
        session.keys[0].combine(MESSAGE, session.commitments, {0: shares[0], 1: shares[1]})
    with pytest.raises(AssertionError, match="shares of the signers"):
        session.keys[0].combine(MESSAGE, session.commitments, {0: shares[0], 1: shares[1], 3: shares[2]})


@both_kinds
def test_a_member_signs_only_with_its_own_nonces_in_a_list_of_n_minus_f(kind: CryptoKind):
    session = Session(kind, 4, (0, 1, 2))
    first, second, third = session.commitments
    key, nonces = session.keys[0], session.nonces[0]
    lists: list[Any] = [(first, second), (second, first, third), (first, first, second), (*session.commitments, first)]
    for commitments in lists:
        with pytest.raises(AssertionError, match="signers"):
            key.sign_share(nonces, MESSAGE, commitments)
    for stranger in (session.nonces[1], NoncePair(nonces.secret, second[1])):
        with pytest.raises(AssertionError, match="its own nonces"):
            key.sign_share(stranger, MESSAGE, session.commitments)


@both_kinds
def test_a_commitment_is_64_bytes_that_a_key_made(kind: CryptoKind):
    key = deal_signing_keys(kind, 1, "mg1", 4, 1)[0]
    commitment = key.make_nonces(stream(1, "nonces")).commitment
    assert len(commitment) == 64
    assert key.is_commitment(commitment)
    wrong = [
        commitment[:63],
        commitment + b"\0",
        b"",
        bytes(64),
        IDENTITY + commitment[32:],
        commitment[:32] + IDENTITY,
    ]
    assert [key.is_commitment(data) for data in wrong] == [False] * len(wrong)


@both_kinds
@given(data=st.binary(max_size=80))
def test_checks_are_total(kind: CryptoKind, data: bytes):
    session = Session(kind, 4, (0, 1, 2))
    assert not session.keys[0].verify_share(1, MESSAGE, session.commitments, data)
    session.keys[0].is_commitment(data)


def test_nonces_of_both_kinds_draw_as_much_from_the_stream():
    rngs = [stream(1, "nonces") for _ in KINDS]
    made = [deal_signing_keys(kind, 1, "mg1", 4, 1)[0].make_nonces(rng) for kind, rng in zip(KINDS, rngs, strict=True)]
    assert made[0].commitment != made[1].commitment
    assert rngs[0].getstate() == rngs[1].getstate()
