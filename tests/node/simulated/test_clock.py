from __future__ import annotations

from typing import Any

import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st
from simpy.core import EmptySchedule

from node.simulated.clock import SkewedClock, VirtualClock, pairs


def recording_clock() -> tuple[VirtualClock, list[Any]]:
    seen: list[Any] = []

    def handle(now, arrivals):
        for receiver, item in pairs(arrivals):
            if receiver is None:
                item()
            else:
                seen.append((clock.now, receiver, item))

    clock = VirtualClock(0, handle)
    return clock, seen


def test_arrivals_of_one_instant_come_together_in_the_order_in_which_they_were_put_there():
    clock, seen = recording_clock()
    clock.arrive("a", 1, 20)
    clock.arrive_together(("b", "c"), 2, 10)
    clock.arrive_after(("d", "a"), 3, (10, 30))
    clock.run_through(30)
    assert seen == [(10, "b", 2), (10, "c", 2), (10, "d", 3), (20, "a", 1), (30, "a", 3)]


def test_events_of_simpy_come_before_arrivals_of_their_instant():
    clock, seen = recording_clock()

    def process():
        for _ in range(2):
            yield clock.timeout(10)
            seen.append((clock.now, "simpy"))

    clock.arrive("a", 1, 10)
    clock.arrive("a", 2, 20)
    clock.process(process())
    clock.run_through(20)
    assert seen == [(10, "simpy"), (10, "a", 1), (20, "simpy"), (20, "a", 2)]


def test_what_an_arrival_causes_at_its_own_instant_comes_at_that_instant():
    clock, seen = recording_clock()
    clock.call_at(10, lambda: clock.arrive("a", "caused", clock.now))
    clock.arrive("b", "before", 10)
    clock.run_through(10)
    assert seen == [(10, "b", "before"), (10, "a", "caused")]


def test_the_time_stands_at_the_end_of_the_run_and_what_lies_beyond_has_not_happened():
    clock, seen = recording_clock()
    clock.arrive("a", 1, 10)
    clock.arrive("a", 2, 11)
    clock.run_through(10)
    assert (clock.now, seen, clock.peek()) == (10, [(10, "a", 1)], 11)
    clock.run_through(100)
    assert (clock.now, len(seen), clock.peek()) == (100, 2, simpy.core.Infinity)


def test_running_for_events_says_whether_nothing_is_left():
    clock, _ = recording_clock()
    clock.arrive("a", 1, 10)
    clock.arrive("a", 2, 20)
    assert (clock.run_events(15), clock.now) == (False, 10)
    assert (clock.run_events(25), clock.now) == (True, 20)


def test_stepping_an_empty_clock_is_an_empty_schedule_as_in_simpy():
    clock, seen = recording_clock()
    clock.arrive("a", 1, 10)
    clock.step()
    assert seen == [(10, "a", 1)]
    with pytest.raises(EmptySchedule):
        clock.step()


def test_nothing_happens_in_the_past():
    clock, _ = recording_clock()
    clock.run_through(10)
    for put in (clock.arrive, lambda receiver, item, at: clock.arrive_together((receiver,), item, at)):
        with pytest.raises(AssertionError, match="past"):
            put("a", 1, 9)


def test_virtual_time_is_whole_microseconds():
    clock, _ = recording_clock()
    with pytest.raises(AssertionError, match="whole microseconds"):
        clock.timeout(0.5)


@given(
    offset=st.integers(-(10**8), 10**8),
    drift=st.integers(-999_999, 10**6),
    since=st.integers(0, 10**9),
    local=st.integers(0, 10**10),
)
def test_a_skewed_clock_finds_the_first_instant_at_which_it_shows_a_time(offset, drift, since, local):
    clock = SkewedClock(offset, drift, since)
    if drift < -900_000:
        local = since + offset + local % 1000  # nearly standing clocks: keep it short
    now = clock.when(local)
    assert clock.local(now) >= local > clock.local(now - 1)


def test_a_skewed_clock_is_off_by_its_offset_and_drifts_from_where_it_was_set():
    clock = SkewedClock(offset=500, drift=100, since=1_000_000)
    assert [clock.local(now) for now in (1_000_000, 2_000_000, 11_000_000)] == [1_000_500, 2_000_600, 11_001_500]
