from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ledger.kernel.instant import SECOND
from node.live.token_bucket import TokenBucket


def test_as_much_as_the_burst_passes_at_once_and_what_is_beyond_waits_by_the_rate():
    bucket = TokenBucket(10, 100, 0)
    assert bucket.take(100, 0) == 0
    assert bucket.take(1, 0) == SECOND // 10
    assert bucket.take(4, 0) == SECOND // 2


def test_what_was_overdrawn_is_paid_back_before_anything_passes():
    bucket = TokenBucket(10, 100, 0)
    bucket.take(150, 0)
    assert bucket.take(0, 4 * SECOND) == SECOND
    assert bucket.take(1, 5 * SECOND + SECOND // 10) == 0


def test_it_holds_no_more_than_the_burst_however_long_nothing_is_taken():
    bucket = TokenBucket(10, 100, 0)
    assert bucket.take(100, 1000 * SECOND) == 0
    assert bucket.take(1, 1000 * SECOND) > 0


def test_what_is_only_taken_when_it_is_there_never_overdraws():
    bucket = TokenBucket(1, 2, 0)
    assert [bucket.has(1, 0) for _ in range(4)] == [True, True, False, False]
    assert [bucket.has(1, SECOND), bucket.has(1, SECOND)] == [True, False]


def test_it_is_exhausted_from_the_first_overdraft_until_it_is_half_full():
    bucket = TokenBucket(10, 100, 0)
    bucket.take(101, 5)
    bucket.take(1, SECOND)
    assert bucket.exhausted_since == 5
    bucket.take(0, 5 * SECOND)
    assert bucket.exhausted_since == 5  # 48 are there
    bucket.take(0, 6 * SECOND)
    assert bucket.exhausted_since is None


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 2 * SECOND)), max_size=40))
def test_whoever_waits_as_told_never_takes_more_than_burst_and_rate_allow(items: list[tuple[int, int]]):
    bucket, now, taken = TokenBucket(10, 20, 0), 0, 0
    for amount, pause in items:
        now += pause
        taken += amount
        now += bucket.take(amount, now)
        assert taken * SECOND <= 20 * SECOND + 10 * now
