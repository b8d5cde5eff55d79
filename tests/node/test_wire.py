from __future__ import annotations

from importlib import import_module
from pkgutil import walk_packages
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ledger
import market
import wasp
from ledger.kernel.rejection import Rejected
from node.link import LinkHeader
from node.wire import PACKETS_SIZE_MAX, HostMessage, Wire, cut, frame_size
from tests.harness.toys import ToyMessage, ToyPing, ToyPong, ToyVote

WIRE = Wire(ToyMessage)
paths = st.lists(st.integers(0, 2**63) | st.text(max_size=10), max_size=6).map(tuple)
messages = (
    st.builds(ToyVote, st.integers(-(2**63), 2**64 - 1), st.integers(0, 300))
    | st.builds(ToyPing, st.integers(0, 9), st.binary(max_size=300))
    | st.builds(ToyPong, st.integers(0, 9))
)
headers = st.none() | st.builds(LinkHeader, *[st.integers(0, 2**63)] * 5, st.binary(max_size=40))
packets_lists = st.lists(st.tuples(paths, messages), max_size=20)


@given(headers, packets_lists)
def test_a_frame_decodes_to_what_was_put_into_it(header, packets):
    encoded = [WIRE.packet(path, message) for path, message in packets]
    data = WIRE.frame(header, encoded)
    assert WIRE.decode(data) == (header, tuple(packets))
    assert len(data) == frame_size(header, encoded)


@pytest.mark.parametrize("count", [15, 16, 65535, 65536])
def test_a_frame_of_many_packets_is_as_canonical_as_one_of_few(count: int):
    encoded = [WIRE.packet((), ToyPong(1))] * count
    data = WIRE.frame(None, encoded)
    assert WIRE.decode(data) == (None, (((), ToyPong(1)),) * count)
    assert len(data) == frame_size(None, encoded)


@given(packets_lists, st.data())
def test_a_damaged_frame_is_refused_or_is_another_frame(packets, data):
    whole = WIRE.frame(None, [WIRE.packet(path, message) for path, message in packets])
    place = data.draw(st.integers(0, len(whole) - 1))
    damaged = whole[:place] + bytes([whole[place] ^ data.draw(st.integers(1, 255))]) + whole[place + 1 :]
    try:
        header, decoded = WIRE.decode(damaged)
    except Rejected as rejected:
        assert rejected.code == "undecodable"
    else:
        assert WIRE.frame(header, [WIRE.packet(path, message) for path, message in decoded]) == damaged


def test_a_message_that_is_not_of_the_wire_is_refused():
    with pytest.raises(Rejected, match="undecodable"):
        Wire(ToyVote).decode(WIRE.frame(None, [WIRE.packet((), ToyPong(1))]))


def test_the_messages_of_all_modules_meet_in_one_codec():
    assert Wire().decode(Wire().frame(None, [])) == (None, ())
    found: set[Any] = set()
    for package in (ledger, wasp, market):
        for info in walk_packages(package.__path__, f"{package.__name__}."):
            module = import_module(info.name)
            for name, annotation in getattr(module, "__annotations__", {}).items():
                if name.endswith("Message") and annotation == "TypeAlias":
                    alias = getattr(module, name)
                    found.update(get_args(alias) or (alias,))
    assert found == set(get_args(HostMessage))


@pytest.mark.parametrize(
    ("sizes", "parts"),
    [
        ([], [[]]),
        ([PACKETS_SIZE_MAX], [[0]]),
        ([1, PACKETS_SIZE_MAX - 1], [[0, 1]]),
        ([1, PACKETS_SIZE_MAX], [[0], [1]]),
        ([PACKETS_SIZE_MAX, 0, 1, 1], [[0, 1], [2, 3]]),
    ],
)
def test_packets_are_parted_where_the_next_one_would_not_fit_into_the_frame(sizes, parts):
    assert [list(range(len(sizes)))[part] for part in cut(sizes)] == parts


def test_a_packet_that_fits_into_no_frame_is_refused():
    with pytest.raises(Rejected, match=f"oversized: a packet of {PACKETS_SIZE_MAX + 1} bytes"):
        cut([1, PACKETS_SIZE_MAX + 1])
