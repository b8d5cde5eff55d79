"""A speed-up shortens delivery intervals, with the energy of the whole, and nothing else."""

from pathlib import Path

import pytest

from ledger.kernel.instant import HOUR, MINUTE, SECOND
from node.configuration import ConfigurationError
from node.configuration_file import load_configuration
from node.experiments.check import check_file, plan_text
from node.experiments.doubts import GRINDING_RATE
from node.shipped import shipped
from tests.harness.small_run import run_small, write_small

BLOCKS_PER_SECOND = 1
"""Of a busy layer-1 node: an activity block every two seconds, and payloads."""


def test_a_faster_run_trades_the_same_energy_at_the_same_prices_in_less_time(tmp_path: Path):
    usual, fast = (run_small(tmp_path, "scenario.intervals=2", *more) for more in ((), ("scenario.speed_up=5",)))
    assert fast.scenario.market.interval_length == HOUR // 5
    assert (usual.scenario.end, fast.scenario.end) == (3 * HOUR + 15 * MINUTE, HOUR)
    for table, columns in {
        "clearings": ("chain", "interval", "price", "supply_wh", "demand_wh", "matched_wh"),
        "trades": ("chain", "interval", "home", "side", "route", "energy_wh", "price"),
        "settlements": ("chain", "interval", "home", "load_wh", "generation_wh", "money", "imbalance_wh"),
    }.items():
        rows = [sorted(getattr(run.tables, table).select(*columns), key=repr) for run in (usual, fast)]
        assert rows[0] == rows[1] and rows[0]
    assert fast.violations == [] and fast.summary["unsettled"] == usual.summary["unsettled"]


def test_a_market_that_does_not_fit_is_refused_with_the_numbers(tmp_path: Path):
    path = write_small(tmp_path)
    assert check_file(path, ["scenario.speed_up=5"], None).market.interval_length == 12 * MINUTE
    with pytest.raises(ConfigurationError) as caught:
        check_file(path, ["scenario.speed_up=6"], None)
    told = (
        "--set scenario.speed_up: an interval of 1h takes 10m at 6, and its market 11m from the opening to the last gate: "
        "expected at most 5, or a market that takes less"
    )
    assert caught.value.problems == (told,)


def test_the_plan_tells_the_speed_up(tmp_path: Path):
    told = "small: 1 delivery intervals of 12m (1h of the data, at speed-up 5), 8 homes on 3 chains, 4 layer-1 nodes"
    assert plan_text(check_file(write_small(tmp_path), ["scenario.speed_up=5"], None)).splitlines()[0] == told


def test_the_scenario_that_is_made_to_run_live_can_run_live():
    scenario = check_file(shipped("live.toml"), (), None)
    assert scenario.warnings == ()
    assert {name: len(chain.members) for name, chain in scenario.plan.chains.items()} == {
        "mg1": 4, "mg2": 4, "mg3": 4, "community": 9,
    }  # fmt: skip
    assert len(scenario.plan.hosts) == 16
    assert 30 * SECOND <= scenario.market.interval_length <= MINUTE
    configuration = load_configuration(shipped("live.toml"))
    assert (configuration.scenario.crypto, configuration.ledger.pow) == ("real", "ground")
    assert 2**scenario.profile.pow_difficulty * BLOCKS_PER_SECOND * 10 <= GRINDING_RATE
