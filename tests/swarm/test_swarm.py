"""Some random scenarios from the swarm, and those that once found something. Many more: ``python -m tests.swarm``."""

import pytest

from tests.swarm.scenarios import STORIES, draw
from tests.swarm.verdict import judge

SEEDS = (1, 2, 3, 5)


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_happens_everything_adds_up_and_settles(seed, tmp_path):
    verdict = judge(draw(seed), tmp_path)
    assert verdict.problems == (), f"to see it again: .venv/bin/python -m tests.swarm --seeds {seed}"


def test_a_seed_is_one_scenario_and_another_seed_another():
    assert draw(7) == draw(7) != draw(8)


def test_all_kinds_of_trouble_are_drawn():
    assert {draw(seed).story for seed in range(200)} == set(STORIES)
