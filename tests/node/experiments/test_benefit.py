"""Benefit and prices: both definitions, and the sum that holds whatever the prices were."""

import pytest
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
        "imbalance_cost": 0,
        "net_gain": 6_800_000,
        "net_percent_of_all": 212.5,
    }
    consumers = {
        "wh": 1500,
        "peer_to_peer_wh": 1000,
        "money": 19_450_000,
        "mean_price": 12_967,
        "gain": 8_900_000,
        "percent_of_peer_to_peer": 47.09,
        "percent_of_all": 31.39,
        "imbalance_cost": 0,
        "net_gain": 8_900_000,
        "net_percent_of_all": 31.39,
    }
    sides = {"producers": producers, "consumers": consumers}
    assert benefit == {
        **sides,
        "gain": 15_700_000,
        "imbalance_cost": 0,
        "net_gain": 15_700_000,
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
        for key in ("wh", "peer_to_peer_wh", "money", "gain", "imbalance_cost", "net_gain"):
            assert sum(part[key] for part in parts) == benefit[side][key]


def metered(side: str, ordered: int, imbalance: int, money: int) -> Tables:
    """One home that ordered something and was metered something else."""
    tables = Tables()
    net = (ordered if side == "ask" else -ordered) + imbalance
    price = TARIFF.sell_price if imbalance > 0 else TARIFF.buy_price
    tables.settlements.add("mg1", 0, "h", side, ordered, money, 0, 0, net, imbalance, imbalance * price, 0)
    return tables


@pytest.mark.parametrize(
    ("side", "ordered", "imbalance", "cost"),
    [
        ("ask", 1000, 0, 0),
        ("ask", 1000, 50, 0),  # more of the same is sold at the grid's price with a market and without one
        ("ask", 1000, -50, 50 * 15_700),  # what was sold and not generated is bought, instead of not being sold
        ("ask", 1000, -1200, 1000 * 15_700),  # of what is bought, 200 Wh would have been bought anyway
        ("bid", 1000, -50, 0),
        ("bid", 1000, 50, 50 * 15_700),
        ("bid", 1000, 1200, 1000 * 15_700),
    ],
)
def test_an_imbalance_costs_the_spread_where_it_is_against_the_order(side, ordered, imbalance, cost):
    benefit = benefit_of(metered(side, ordered, imbalance, 10_000 * ordered), TARIFF)
    gain = 1000 * (6_800 if side == "ask" else 8_900)
    part = benefit["producers" if side == "ask" else "consumers"]
    assert (part["gain"], part["imbalance_cost"], part["net_gain"]) == (gain, cost, gain - cost)
    assert (benefit["gain"], benefit["imbalance_cost"], benefit["net_gain"]) == (gain, cost, gain - cost)


def test_a_home_that_ordered_nothing_gains_and_loses_nothing():
    tables = Tables()
    tables.settlements.add("mg1", 0, "h", None, 0, 0, 70, 0, -70, -70, -70 * 18_900, 0)
    benefit = benefit_of(tables, TARIFF)
    assert (benefit["gain"], benefit["imbalance_cost"], benefit["net_gain"]) == (0, 0, 0)
    assert list(benefit["chains"]) == ["mg1"]


@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 6), st.integers(0, 2**32))
def test_the_net_gain_of_all_is_what_the_grid_alone_would_have_cost_less_what_the_market_cost(c, h, k, seed):
    tables = example_tables(chains=c, homes=h, intervals=k, seed=seed)
    alone = paid = 0
    for side, money, net, imbalance_money in tables.settlements.select(
        "side", "money", "metered_wh", "imbalance_money"
    ):
        alone -= net * (SELL if net > 0 else BUY)
        paid += (money if side == "bid" else -money) - imbalance_money
    benefit = benefit_of(tables, Tariff(BUY, SELL))
    assert benefit["net_gain"] == alone - paid
    assert benefit["net_gain"] == benefit["producers"]["net_gain"] + benefit["consumers"]["net_gain"]
    assert benefit["imbalance_cost"] >= 0


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
