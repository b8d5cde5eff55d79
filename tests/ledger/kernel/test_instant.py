"""Protocol time is counted in integers."""

from hypothesis import given
from hypothesis import strategies as st

from ledger.kernel.instant import DAY, HOUR, MICROSECOND, MILLISECOND, MINUTE, SECOND, earliest


def test_the_units_are_microseconds():
    assert (MICROSECOND, MILLISECOND, SECOND, MINUTE, HOUR, DAY) == (
        1,
        1_000,
        1_000_000,
        60_000_000,
        3_600_000_000,
        86_400_000_000,
    )


def test_the_earliest_of_no_instants_is_none():
    assert earliest() is None
    assert earliest(None, None) is None


@given(st.lists(st.none() | st.integers(), min_size=1))
def test_the_earliest_instant_is_one_of_them_and_none_is_before_it(instants):
    present = [instant for instant in instants if instant is not None]
    found = earliest(*instants)
    if found is None:
        assert present == []
    else:
        assert found in present
        assert all(found <= instant for instant in present)


def test_the_instant_zero_is_an_instant():
    assert earliest(None, 0, 5) == 0
