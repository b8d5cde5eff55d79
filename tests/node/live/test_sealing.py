from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.kernel.rejection import Rejected
from node.live.sealing import SEAL_SIZE, Opener, Sealer

KEY = bytes(range(32))


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_what_was_sealed_opens_in_order(frames: list[bytes]):
    sealer, opener = Sealer(KEY), Opener(KEY)
    sealed = [sealer.seal(frame) for frame in frames]
    assert [len(data) for data in sealed] == [len(frame) + SEAL_SIZE for frame in frames]
    assert [opener.open(data) for data in sealed] == frames


def test_two_equal_frames_are_sealed_differently():
    sealer = Sealer(KEY)
    assert sealer.seal(b"frame") != sealer.seal(b"frame")


@pytest.mark.parametrize(
    "places", [[0, 0], [1], [0, 2], [0, 1, 0]], ids=["repeated", "early", "one missing", "an old one"]
)
def test_frames_that_are_not_the_next_do_not_open(places: list[int]):
    sealer, opener = Sealer(KEY), Opener(KEY)
    sealed = [sealer.seal(b"frame %d" % number) for number in range(3)]
    for place in places[:-1]:
        opener.open(sealed[place])
    with pytest.raises(Rejected, match="tampered"):
        opener.open(sealed[places[-1]])


@given(st.binary(max_size=100))
def test_what_was_not_sealed_does_not_open(data: bytes):
    with pytest.raises(Rejected, match="tampered"):
        Opener(KEY).open(data)


@given(st.integers(0, 20), st.integers(1, 255))
def test_a_frame_that_was_changed_does_not_open(place: int, by: int):
    sealed = bytearray(Sealer(KEY).seal(b"frame"))
    sealed[place % len(sealed)] ^= by
    with pytest.raises(Rejected, match="tampered"):
        Opener(KEY).open(bytes(sealed))
