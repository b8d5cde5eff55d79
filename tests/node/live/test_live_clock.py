from __future__ import annotations

from time import time_ns

from hypothesis import given
from hypothesis import strategies as st

from node.live.live_clock import LiveClock

EPOCH = 1_700_000_000_000_000


class Clocks:
    """A wall clock and a monotonic one that are set by hand, in nanoseconds."""

    def __init__(self, wall: int, monotonic: int) -> None:
        self.wall = wall
        self.monotonic = monotonic

    def live(self) -> LiveClock:
        return LiveClock(EPOCH, lambda: self.wall, lambda: self.monotonic)


def test_instants_are_microseconds_since_the_epoch():
    clocks = Clocks(wall=EPOCH * 1000 + 2_500_000, monotonic=77)
    clock = clocks.live()
    assert clock.now() == 2_500
    clocks.monotonic += 1_999
    assert clock.now() == 2_501


def test_a_step_of_the_wall_clock_moves_nothing():
    clocks = Clocks(wall=EPOCH * 1000, monotonic=0)
    clock = clocks.live()
    clocks.wall -= 10**12
    clocks.monotonic += 5_000
    assert clock.now() == 5
    assert clocks.live().now() == -1_000_000_000


def test_the_real_clocks_are_taken_when_none_are_given():
    before = time_ns() // 1000
    now = LiveClock(0).now()
    assert before - 1 <= now <= time_ns() // 1000 + 1


@given(monotonic=st.integers(0, 10**18), at=st.integers(-(10**15), 10**15), ahead=st.integers(-(10**9), 10**12))
def test_who_waits_that_long_does_not_wake_before_the_instant_and_less_than_a_millisecond_after_it(
    monotonic: int, at: int, ahead: int
):
    clocks = Clocks(wall=(EPOCH + at) * 1000, monotonic=monotonic)
    clock = clocks.live()
    instant = clock.now() + ahead
    wait = round(clock.seconds_until(instant) * 1_000)
    assert wait >= 0
    clocks.monotonic += wait * 1_000_000
    assert 0 <= clock.now() - instant < 1_000 or (ahead < 0 and wait == 0)
