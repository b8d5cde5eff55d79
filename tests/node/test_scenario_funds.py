"""What the chains of a scenario have at genesis."""

import pytest
from annotated_types import Le

from node.configuration import ConfigurationError, FieldProblem, ScenarioSection
from node.configuration_file import load_configuration
from node.experiments.scenario import SimulatedScenario
from node.scenario import PARENT_FUNDS, TOKENS_MAX
from tests.harness.small_run import HOMES, NORTH, run_small, write_small
from wasp.core_contracts.accounts import balance_of, total_of


def test_a_chain_whose_homes_have_nothing_has_an_anchor_all_the_same(tmp_path):
    path = write_small(tmp_path)
    header = ",".join(f"{home}.load_wh,{home}.generation_wh" for home in HOMES)
    (tmp_path / "readings.csv").write_text(f"{header}\n{','.join(['0'] * 16)}\n")
    north = SimulatedScenario(load_configuration(path), tmp_path).chains["north"]
    assert (total_of(north.state), north.anchor[1].amount) == (1, 1)
    assert [balance_of(north.state, account) for account in (*NORTH, "utility", "governance")] == [0, 0, 0, 0, 0, 1]


def test_a_chain_can_send_away_all_that_its_market_has(tmp_path, monkeypatch):
    """The utility's only token goes up with the surplus; the anchor keeps its own."""

    def one_token(scenario, chain):
        return {**{home.name: 0 for home in chain.homes}, "utility": 1}

    monkeypatch.setattr(SimulatedScenario, "_funds", one_token)
    outcome = run_small(tmp_path, "data.forecast=perfect", "market.rounds=1")
    assert (outcome.violations, outcome.summary["unsettled"], outcome.summary["returned"]) == ([], [], 0)
    assert outcome.scenario.supply == 6
    kinds = outcome.tables.requests.select("chain", "kind")
    assert ("town", "submit_residual") in kinds


def test_a_parent_chain_could_lend_a_token_in_every_interval_of_the_longest_run(tmp_path):
    longest = next(rule.le for rule in ScenarioSection.model_fields["intervals"].metadata if isinstance(rule, Le))
    assert longest * 10 <= PARENT_FUNDS
    town = SimulatedScenario(load_configuration(write_small(tmp_path)), tmp_path).chains["town"]
    assert balance_of(town.state, "utility") == PARENT_FUNDS


def test_funds_are_so_many_days_at_the_largest_load_or_generation_of_a_day_at_the_grids_price(tmp_path):
    """The file is one day short: four rows. Per home and for the utility as much as for all homes together."""
    scenario = SimulatedScenario(load_configuration(write_small(tmp_path), ["market.funds_days=3"]), tmp_path)
    north = scenario.chains["north"].state
    worst = {"a1": 6_290, "a2": 2_020, "a3": 1_780, "a4": 1_960}
    expected = {home: 3 * 18_900 * energy for home, energy in worst.items()}
    assert {home: balance_of(north, home) for home in NORTH} == expected
    assert balance_of(north, "utility") == sum(expected.values())


def test_more_tokens_than_an_account_could_hold_are_refused(tmp_path, monkeypatch):
    """Three chains, each with a token of its anchor beside its accounts' funds."""
    funds = {"north": {"utility": TOKENS_MAX - 4}, "south": {"utility": 1}, "town": {}}
    monkeypatch.setattr(SimulatedScenario, "_funds", lambda scenario, chain: funds[chain.name])
    configuration = load_configuration(write_small(tmp_path))
    assert SimulatedScenario(configuration, tmp_path).supply == TOKENS_MAX
    funds["south"] = {"utility": 2}
    with pytest.raises(ConfigurationError) as caught:
        SimulatedScenario(configuration, tmp_path)
    message = f"the genesis funds of all accounts are {TOKENS_MAX + 1} micro-pence, expected at most {TOKENS_MAX}"
    assert caught.value.problems == (FieldProblem(("market", "funds_days"), message),)
