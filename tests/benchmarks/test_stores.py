import pytest

from tests.benchmarks.stores import ENGINES, NEEDS, groups_of, installed, measured


@pytest.mark.parametrize("name", ENGINES)
def test_a_store_that_is_measured_gives_back_what_it_was_given(name, tmp_path):
    if not installed(name):
        pytest.skip(f"{NEEDS[name]} is not installed: it is needed for the comparison alone")
    row = measured(ENGINES[name], groups_of(3, 4), tmp_path)
    assert all(value > 0 for value in row.values()) and row["disk"] >= 1
