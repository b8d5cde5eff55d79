from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from ledger.kernel.automaton import NodeId
from ledger.kernel.instant import MILLISECOND, SECOND
from node.live.dialling import BackOff, Peer
from tests.harness.peers import changed

LIMITS = changed(back_off_first=100 * MILLISECOND, back_off_max=SECOND)


class Largest(random.Random):
    """Draws the largest of what may be drawn."""

    def randrange(self, start, stop=None, step=1):  # type: ignore[override]
        return start - 1


def test_waits_double_up_to_the_limit():
    back_off = BackOff(LIMITS, Largest())
    waits = [back_off.wait(0) for _ in range(6)]
    assert waits == [100 * MILLISECOND, 200 * MILLISECOND, 400 * MILLISECOND, 800 * MILLISECOND, SECOND, SECOND]


def test_waits_start_over_after_a_connection_that_lasted_or_when_told_to():
    back_off = BackOff(LIMITS, Largest())
    for _ in range(4):
        back_off.wait(0)
    assert back_off.wait(SECOND) == SECOND  # not longer than the limit
    assert back_off.wait(SECOND + 1) == 100 * MILLISECOND
    back_off.wait(0)
    back_off.start_over()
    assert back_off.wait(0) == 100 * MILLISECOND


@given(st.integers(0, 2**32), st.integers(1, 10))
def test_a_wait_is_between_half_of_it_and_all_of_it(seed: int, attempts: int):
    drawn, most = BackOff(LIMITS, random.Random(seed)), BackOff(LIMITS, Largest())
    for _ in range(attempts):
        wait, longest = drawn.wait(0), most.wait(0)
        assert longest // 2 <= wait <= longest


def test_addresses_of_the_sixth_version_are_bracketed():
    assert Peer(NodeId("a"), bytes(32), "::1", 14000).address == "[::1]:14000"
    assert Peer(NodeId("a"), bytes(32), "node-1.tanglegrid", 14000).address == "node-1.tanglegrid:14000"
