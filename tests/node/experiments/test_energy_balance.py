"""The energy of all homes adds up, whatever was ordered, metered, assumed or never settled."""

from hypothesis import given
from hypothesis import strategies as st

from node.experiments.energy_balance import balance_lines, balance_of
from node.experiments.tables import Tables
from tests.harness.example_run import example_summary, example_tables

ENERGY = {
    "demand": 3_000, "generation": 1_800, "self_consumed": 500, "local": 1_000, "between_microgrids": 0,
    "grid_bought": 800, "grid_sold": 0, "imbalance_bought": 900, "imbalance_sold": 500,
}  # fmt: skip


def a_market() -> Tables:
    """A buyer that ordered 200 Wh too much, a seller that ordered 200 too much, two that ordered too little."""
    tables = Tables()
    tables.settlements.add("mg1", 0, "h1", "bid", 900, 0, 700, 0, -700, 200, 0, 0)
    tables.settlements.add("mg1", 0, "h2", "bid", 900, 0, 1600, 0, -1600, -700, 0, 0)
    tables.settlements.add("mg1", 0, "h3", "ask", 500, 0, 200, 500, 300, -200, 0, 0)
    tables.settlements.add("mg1", 0, "h4", "ask", 500, 0, 500, 1300, 800, 300, 0, 0)
    return tables


def test_what_went_one_way_by_order_and_back_by_imbalance_is_neither_demand_nor_generation():
    tables = a_market()
    energy = ENERGY | {"self_consumed": 700}
    assert balance_of(tables, energy) == {"back": 400, "unread_demand": 0, "unread_generation": 0}
    common = "0.700 consumed where generated + 1.000 within microgrids + 0.000 between microgrids"
    back = "0.400 ordered, not used, and settled back as imbalance"
    assert balance_lines(energy, balance_of(tables, energy)) == [
        f"demand 3.000 = {common} + 0.800 bought from the main grid + 0.900 imbalance bought - {back}",
        f"generation 1.800 = {common} + 0.000 sold to the main grid + 0.500 imbalance sold - {back}",
    ]


def test_no_more_goes_back_than_was_ordered():
    tables = Tables()
    tables.settlements.add("mg1", 0, "h1", "bid", 300, 0, 0, 100, 100, 400, 0, 0)
    tables.settlements.add("mg1", 0, "h2", "ask", 200, 0, 100, 0, -100, -300, 0, 0)
    assert balance_of(tables, {"demand": 100, "generation": 100})["back"] == 500


def test_what_was_measured_and_never_read_is_told_apart():
    tables = Tables()
    tables.settlements.add("mg1", 0, "h1", "bid", 300, 0, 450, 20, -300, 0, 0, 1)
    tables.settlements.add("mg1", 0, "h2", "ask", 300, 0, 50, 300, None, None, None, None)
    energy = dict.fromkeys(ENERGY, 0) | {"demand": 500, "generation": 320, "grid_bought": 300, "grid_sold": 300}
    assert balance_of(tables, energy) == {"back": 0, "unread_demand": 200, "unread_generation": 20}
    lines = balance_lines(energy, balance_of(tables, energy))
    ends = [line.partition("settled back as imbalance ")[2] for line in lines]
    assert ends == ["+ 0.200 without a reading", "+ 0.020 without a reading"]
    assert [line.split(" = ")[0] for line in lines] == ["demand 0.500", "generation 0.320"]


def test_sums_that_differ_are_told():
    lines = balance_lines(ENERGY, {"back": 0, "unread_demand": 0, "unread_generation": -100})
    assert lines[0].startswith("demand 3.000 DIFFERS FROM 3.200 = 0.500")
    assert lines[1].endswith("settled back as imbalance - 0.100 without a reading")


def test_energy_that_is_not_known_by_all_its_routes_has_no_sum():
    assert balance_lines({"demand": 1}, {"back": 0, "unread_demand": 0, "unread_generation": 0}) == []


@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 6), st.booleans(), st.integers(0, 2**32))
def test_the_sums_hold_in_every_run(chains, homes, intervals, parent, seed):
    tables = example_tables(chains=chains, homes=homes, intervals=intervals, parent=parent, seed=seed)
    summary = example_summary(tables)
    lines = balance_lines(summary["energy_wh"], summary["energy_balance_wh"])
    assert len(lines) == 2
    assert not any("DIFFERS" in line for line in lines)
    assert summary["energy_balance_wh"]["back"] * (18_900 - 3_200) == summary["benefit"]["imbalance_cost"]
