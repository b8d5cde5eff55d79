"""Profiles."""

from __future__ import annotations

import pytest

from ledger.kernel.instant import MINUTE, SECOND
from ledger.profile import GOSHIMMER_08, PROFILES, adapted


def test_the_deployed_profile_has_the_deployed_numbers():
    profile = PROFILES["goshimmer-0.8"]
    assert (profile.strong_parents, profile.activity_parents, profile.activity_interval) == (2, 8, 2 * SECOND)
    assert (profile.accepted_percent, profile.confirmed_percent) == (45, 67)
    assert (profile.pow_difficulty, profile.pow_rate_thousandths, profile.parent_age_max) == (21, 100, 30 * MINUTE)


def test_an_adapted_profile_does_not_bear_the_name_of_the_deployed_one():
    assert adapted(GOSHIMMER_08) is GOSHIMMER_08
    assert adapted(GOSHIMMER_08, pow_difficulty=8).name == "goshimmer-0.8*"


def test_a_profile_whose_activity_raises_its_own_difficulty_by_more_than_a_bit_is_refused():
    """Five activity blocks stand in a window of ten seconds."""
    assert adapted(GOSHIMMER_08, pow_rate_thousandths=399).pow_rate_thousandths == 399
    with pytest.raises(ValueError, match="activity blocks alone"):
        adapted(GOSHIMMER_08, pow_rate_thousandths=400)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("strong_parents", 0),
        ("weak_parents", 7),
        ("activity_parents", 9),
        ("activity_interval", 0),
        ("idle_interval", 1 * SECOND),
        ("confirmed_percent", 50),
        ("accepted_percent", 68),
        ("tip_age_max", 30 * MINUTE),
        ("pow_difficulty", 61),
        ("pow_window", 0),
    ],
)
def test_parameters_that_cannot_work_together_are_refused(field, value):
    with pytest.raises(ValueError, match=r"\w+: "):
        adapted(GOSHIMMER_08, **{field: value})
