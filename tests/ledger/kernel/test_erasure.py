"""Any k of n shards are the payload, and nothing that a peer can send is more than that."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.kernel.erasure import SHARDS_MAX, decode_shards, encode_shards, shard_size

SHAPES = [(1, 1), (1, 4), (2, 2), (2, 4), (3, 5), (4, 6), (3, 7), (6, 16), (22, 64), (1, SHARDS_MAX), (86, SHARDS_MAX)]
SHAPES += [(SHARDS_MAX, SHARDS_MAX)]


@pytest.mark.parametrize(("k", "n"), SHAPES)
@pytest.mark.parametrize("size", [0, 1, 2, 3, 100])
def test_the_first_k_and_the_last_k_and_some_between_give_the_payload(k: int, n: int, size: int):
    payload = bytes(range(size))
    shards = encode_shards(payload, k, n)
    assert {len(shard) for shard in shards} == {shard_size(size, k)}
    assert len(shards) == n
    for places in (range(k), range(n - k, n), sorted(range(n), key=lambda place: place * 7 % n)[:k]):
        assert decode_shards({place: shards[place] for place in places}, k, n) == payload


@given(st.data())
def test_any_k_shards_give_the_payload_and_less_do_not(data: st.DataObject):
    k, n = data.draw(st.sampled_from(SHAPES[:8]))
    payload = data.draw(st.binary(max_size=50))
    places = data.draw(st.permutations(range(n)))
    shards = encode_shards(payload, k, n)
    assert decode_shards({place: shards[place] for place in places[: data.draw(st.integers(k, n))]}, k, n) == payload
    assert decode_shards({place: shards[place] for place in places[: k - 1]}, k, n) is None


@given(st.dictionaries(st.integers(-2, 8), st.binary(max_size=6), max_size=8))
def test_whatever_peers_send_is_the_payload_of_one_row_or_of_none(shards: Any):
    payload = decode_shards(shards, 2, 4)
    if payload is not None:
        used = sorted(place for place in shards if 0 <= place < 4)[:2]
        row = encode_shards(payload, 2, 4)
        assert {place: shards[place] for place in used} == {place: row[place] for place in used}


@pytest.mark.parametrize(
    "row",
    [
        b"\x00\x00\x00\x05abcd",  # longer than it is
        b"\x00\x00\x00\x03abcd",  # something after the end
        b"\xff\xff\xff\xffabcd",
        b"\x00\x00",  # too short to have a length
        b"",
    ],
)
def test_a_row_that_is_no_payload_s_has_none(row: bytes):
    half = len(row) // 2
    assert decode_shards({0: row[:half], 1: row[half:]}, 2, 4) is None


def test_shards_of_two_sizes_have_none():
    assert decode_shards({0: b"\x00\x00\x00\x02", 1: b"ab"}, 2, 4) is None


def test_nothing_that_was_passed_is_changed():
    """The library moves the items of the sequences that it is given, also of tuples."""
    shards = encode_shards(b"payload", 3, 5)
    given_shards = {4: shards[4], 1: shards[1], 2: shards[2]}
    before = dict(given_shards)
    assert decode_shards(given_shards, 3, 5) == b"payload"
    assert given_shards == before
    assert encode_shards(b"payload", 3, 5) == shards
