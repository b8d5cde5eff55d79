"""Looking for cycles is rare while a simulation runs, and as usual afterwards, however it ends."""

import gc

import pytest

from node.simulated.garbage import OBJECTS_MAX, seldom_collected


def test_searches_are_rare_inside_and_as_before_afterwards():
    before = gc.get_threshold()
    with seldom_collected():
        assert gc.get_threshold()[0] == OBJECTS_MAX
        assert gc.get_freeze_count() > 0
    assert gc.get_threshold() == before and gc.get_freeze_count() == 0


def test_a_run_that_fails_leaves_nothing_behind():
    before = gc.get_threshold()
    with pytest.raises(RuntimeError), seldom_collected():
        raise RuntimeError("a host failed")
    assert gc.get_threshold() == before and gc.get_freeze_count() == 0
