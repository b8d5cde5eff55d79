"""Benefit and prices: both definitions, and the sum that holds whatever the prices were."""

from hypothesis import given
from hypothesis import strategies as st

from market.units import Tariff
from node.experiments.benefit import benefit_of, chains_of, prices_of
from node.experiments.tables import Tables
from tests.harness.example_run import BUY, SELL, example_tables

TARIFF = Tariff(18_900, 3_200)


def small_market() -> Tables:
    """One seller of 1000 Wh, one buyer of 1500: 1000 at 10 p/kWh between them, 500 from the grid."""
    tables = Tables()
    tables.clearings.add("mg1", 0, 0, 10_000, 1000, 1500, 1000, 0)
    tables.trades.add("mg1", 0, "home1", "ask", "local", 1000, 10_000)
    tables.trades.add("mg1", 0, "home2", "bid", "local", 1000, 10_000)
    tables.trades.add("mg1", 0, "home2", "bid", "grid", 500, 18_900)
    tables.settlements.add("mg1", 0, "home1", "ask", 1000, 10_000_000, 0, 0, None, None, None, None)
    tables.settlements.add("mg1", 0, "home2", "bid", 1500, 19_450_000, 0, 0, None, None, None, None)
    return tables


def test_both_definitions_of_benefit():
    benefit = benefit_of(small_market(), TARIFF)
    producers = {
        "wh": 1000,
        "peer_to_peer_wh": 1000,
        "money": 10_000_000,
        "mean_price": 10_000,
        "gain": 6_800_000,
        "percent_of_peer_to_peer": 212.5,
        "percent_of_all": 212.5,
    }
    consumers = {
        "wh": 1500,
        "peer_to_peer_wh": 1000,
        "money": 19_450_000,
        "mean_price": 12_967,
        "gain": 8_900_000,
        "percent_of_peer_to_peer": 47.09,
        "percent_of_all": 31.39,
    }
    sides = {"producers": producers, "consumers": consumers}
    assert benefit == {
        **sides,
        "gain": 15_700_000,
        "joint": 15_700_000,
        "peer_to_peer_wh": 1000,
        "chains": {"mg1": sides},
    }


def test_what_is_traded_with_the_grid_alone_gains_nothing():
    tables = Tables()
    tables.trades.add("mg1", 0, "home1", "ask", "grid", 700, 3_200)
    tables.settlements.add("mg1", 0, "home1", "ask", 700, 700 * 3_200, 0, 0, None, None, None, None)
    benefit = benefit_of(tables, TARIFF)
    assert (benefit["gain"], benefit["joint"]) == (0, 0)
    assert benefit["producers"]["percent_of_peer_to_peer"] is None
    assert benefit["producers"]["percent_of_all"] == 0.0
    assert benefit["consumers"]["percent_of_all"] is None


@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 6), st.booleans(), st.integers(0, 2**32))
def test_the_gains_of_both_sides_add_up_to_the_spread_whatever_the_prices(chains, homes, intervals, parent, seed):
    tables = example_tables(chains=chains, homes=homes, intervals=intervals, parent=parent, seed=seed)
    benefit = benefit_of(tables, Tariff(BUY, SELL))
    assert benefit["gain"] == benefit["joint"]
    assert benefit["producers"]["peer_to_peer_wh"] == benefit["consumers"]["peer_to_peer_wh"]
    for side in ("producers", "consumers"):
        parts = [chain[side] for chain in benefit["chains"].values()]
        for key in ("wh", "peer_to_peer_wh", "money", "gain"):
            assert sum(part[key] for part in parts) == benefit[side][key]


def test_the_mean_price_is_weighted_by_energy_and_rounded_half_up():
    tables = Tables()
    tables.clearings.add("mg1", 0, 0, 4_000, 0, 0, 1, 0)
    tables.clearings.add("mg1", 0, 1, 4_001, 0, 0, 1, 0)
    tables.clearings.add("mg2", 0, 0, 4_000, 0, 0, 3, 0)
    tables.clearings.add("mg2", 0, 1, 8_000, 0, 0, 1, 0)
    tables.clearings.add("mg3", 0, 0, None, 0, 0, 0, 0)
    assert prices_of(tables) == {
        "mg1": {"min": 4_000, "mean": 4_001, "max": 4_001, "matched_wh": 2},
        "mg2": {"min": 4_000, "mean": 5_000, "max": 8_000, "matched_wh": 4},
        "mg3": {"min": None, "mean": None, "max": None, "matched_wh": 0},
    }


def test_chains_stand_by_level_and_then_by_the_number_in_their_name():
    tables = Tables()
    tables.settlements.add("mg2", 0, "home1", "ask", 1, 1, 0, 0, None, None, None, None)
    for chain, level in (("region", 2), ("west", 1), ("mg10", 0), ("east", 1)):
        tables.clearings.add(chain, level, 0, None, 0, 0, 0, 0)
    assert chains_of(tables) == [("mg2", 0), ("mg10", 0), ("east", 1), ("west", 1), ("region", 2)]
