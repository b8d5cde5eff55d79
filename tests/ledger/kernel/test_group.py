"""The group of Ed25519: what is taken for a point or a scalar, and arithmetic at its edges."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.kernel.group import (
    IDENTITY,
    ORDER,
    base_times,
    evaluate,
    evaluate_commitments,
    hash_to_point,
    is_point,
    lagrange,
    minus,
    plus,
    scalar_bytes,
    scalar_of,
    times,
    total,
)
from ledger.kernel.identity import RealVerifier, deal_signer

BASE = base_times(1)
FIELD = 2**255 - 19
SIGN = 1 << 255
ORDER_8 = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
SMALL_ORDER = (
    bytes(32),  # order 4
    IDENTITY,
    scalar_bytes(FIELD - 1),  # order 2
    ORDER_8,
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
)


def with_sign(point: bytes) -> bytes:
    return (int.from_bytes(point, "little") | SIGN).to_bytes(32, "little")


@pytest.mark.parametrize("point", SMALL_ORDER)
def test_a_point_of_small_order_is_none_nor_is_its_sum_with_one_of_the_group(point: bytes):
    assert not is_point(point) and not is_point(with_sign(point))
    assert is_point(plus(BASE, point)) == (point == IDENTITY)


@pytest.mark.parametrize("y", range(19))
def test_a_point_has_one_encoding(y: int):
    assert not is_point((y + FIELD).to_bytes(32, "little"))
    assert not is_point((y + FIELD | SIGN).to_bytes(32, "little"))


@given(st.binary(max_size=70))
def test_any_bytes_are_judged_without_an_exception(data: bytes):
    assert not is_point(data) or len(data) == 32
    assert scalar_of(data) is None or scalar_bytes(scalar_of(data) or 0) == data


def test_a_scalar_has_one_encoding():
    assert [scalar_of(value.to_bytes(32, "little")) for value in (0, ORDER - 1, ORDER)] == [0, ORDER - 1, None]
    assert scalar_of(bytes(31)) is scalar_of(bytes(33)) is None


def test_sums_and_products_that_vanish_are_the_neutral_element():
    opposite = base_times(ORDER - 1)
    assert {plus(BASE, opposite), minus(BASE, BASE), total([BASE, opposite]), total([]), base_times(0)} == {IDENTITY}
    assert {times(ORDER, BASE), times(5, IDENTITY), evaluate_commitments((BASE, opposite), 0)} == {IDENTITY}
    assert plus(IDENTITY, BASE) == BASE == times(1, BASE)


def test_points_that_names_are_hashed_to_are_of_the_group_and_differ():
    points = {hash_to_point(name) for name in (b"", b"a", b"b", b"second base point of decryption")}
    assert len(points) == 4 and all(map(is_point, points))


@given(st.lists(st.integers(0, ORDER - 1), min_size=3, max_size=3), st.permutations(range(7)), st.integers(0, 8))
def test_a_polynomial_of_degree_2_is_known_from_any_3_shares(coefficients: list[int], order: list[int], at: int):
    members = order[:3]
    value = sum(lagrange(members, member, at) * evaluate(coefficients, member) for member in members) % ORDER
    assert value == sum(coefficient * at**power for power, coefficient in enumerate(coefficients)) % ORDER


def test_an_ordinary_signature_has_one_encoding_and_no_key_of_small_order_has_any():
    signer, verifier = deal_signer("real", 1, "somebody"), RealVerifier()
    signature = signer.sign(b"message")
    response = int.from_bytes(signature[32:], "little")
    assert verifier.verify(signer.public_key, b"message", signature)
    assert not verifier.verify(signer.public_key, b"message", signature[:32] + scalar_bytes(response + ORDER))
    assert not any(verifier.verify(key, b"message", IDENTITY + bytes(32)) for key in SMALL_ORDER)
