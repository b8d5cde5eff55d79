"""Whole runs of a small scenario: what must be true of each, in calm and in trouble."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from node.configuration import Configuration
from node.configuration_file import load_configuration
from node.experiments.invariants import NAMES, Invariants
from node.experiments.market_recorder import MarketRecorder
from node.experiments.results import digest_of_results
from node.experiments.run import run_scenario
from node.experiments.tables import Tables
from node.shipped import shipped
from tests.harness.small_run import HOMES, NORTH, SOUTH, crash, restart, run_small, write_small

ROOT = Path(__file__).parents[3]
PARENT_ONLY = "chains.2.committee_size=2"
"""The parent chain has one member of each microgrid, so it can die alone."""
PARENT_MEMBERS = ("a1", "b1")
# When: the microgrids' gate is at 48:00, the parent chain's at 51:00; delivery from 60:00 to 120:00, readings until 135:00.


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """The small scenario, undisturbed."""
    return run_small(tmp_path_factory.mktemp("calm"))


@pytest.fixture
def run(tmp_path):
    def run_it(*overrides, more="", **options):
        return run_small(tmp_path, *overrides, more=more, **options)

    return run_it


def assert_whole(outcome, settled=True):
    """Nothing broken, lost or made; and, where it is to be, nothing left open."""
    summary = outcome.summary
    assert summary["violations"] == []
    money = summary["money_micropence"]
    assert money["before"] == money["after"] == outcome.scenario.supply
    if settled:
        assert summary["unsettled"] == []


def market_results(outcome):
    """Prices and fills, whatever the ledger did."""
    columns = ("chain", "interval", "price", "supply_wh", "demand_wh", "matched_wh")
    trades = sorted(outcome.tables.trades.rows)
    return sorted(outcome.tables.clearings.select(*columns)), trades, sorted(outcome.tables.settlements.rows)


def trades_by_route(outcome):
    """Wh by (side, route)."""
    found: dict[tuple[str, str], int] = {}
    for side, route, energy in outcome.tables.trades.select("side", "route", "energy_wh"):
        found[side, route] = found.get((side, route), 0) + energy
    return found


# ---------------------------------------------------------------------------------------------------------- in calm


def test_a_calm_run_settles_everything_and_checks_every_invariant(calm):
    assert_whole(calm)
    assert set(calm.summary["invariants"]) == set(NAMES)
    assert min(calm.summary["invariants"].values()) > 0
    assert calm.summary["missed_gates"] == {"home": 0, "chain": 0}
    assert (calm.summary["returned"], calm.summary["assumed_readings"], calm.summary["debts"]) == (0, 0, {})


def test_energy_adds_up_over_all_routes(calm):
    energy, routes = calm.summary["energy_wh"], trades_by_route(calm)
    ordered = {"bid": 0, "ask": 0}
    for side, wh in calm.tables.settlements.select("side", "ordered_wh"):
        ordered[side] += wh
    assert routes["bid", "local"] == routes["ask", "local"] == energy["local"] > 0
    assert routes["bid", "level1"] == routes["ask", "level1"] == energy["between_microgrids"] > 0
    assert sum(routes[key] for key in routes if key[0] == "bid") == ordered["bid"]
    assert sum(routes[key] for key in routes if key[0] == "ask") == ordered["ask"]
    assert routes.get(("bid", "grid"), 0) == energy["grid_bought"]
    assert routes.get(("ask", "grid"), 0) == energy["grid_sold"]
    taken, given = energy["grid_bought"] + energy["imbalance_bought"], energy["grid_sold"] + energy["imbalance_sold"]
    assert energy["demand"] - energy["generation"] == taken - given


def test_every_order_has_its_stages_in_order(calm):
    stages = ("submitted_us", "in_batch_us", "decided_us", "anchored_us", "confirmed_us")
    rows = calm.tables.requests.select("kind", "outcome", *stages)
    own = [row for row in rows if row[0] in ("submit_order", "submit_reading")]
    assert len(own) == 24
    for _, outcome, *instants in own:
        assert outcome == "ok" and instants == sorted(instants)
    assert {row[0] for row in rows} == {"submit_order", "submit_reading", "submit_residual", "receive_result"}


def test_chain_blocks_and_blocks_have_all_their_columns(calm):
    for row in calm.tables.chain_blocks.rows:
        assert None not in row
    assert sum(calm.tables.chain_blocks.column("outputs")) == 4
    assert None not in calm.tables.blocks.column("difficulty")
    chains = calm.summary["chains"]
    for name in ("north", "south", "town"):
        indices = [index for chain, index in calm.tables.chain_blocks.select("chain", "index") if chain == name]
        assert indices == list(range(1, chains[name]["anchors_confirmed"] + 1))


def test_the_manifest_says_all_that_a_repetition_needs(calm, tmp_path):
    manifest = json.loads(json.dumps(calm.manifest))
    write_small(tmp_path)
    again = run_scenario(Configuration.model_validate(manifest["configuration"]), tmp_path)
    assert again.summary == calm.summary
    assert manifest["digest"] == calm.summary["digest"]


def test_the_digest_is_that_of_tables_and_summary(calm):
    summary = {key: value for key, value in calm.summary.items() if key != "digest"}
    assert digest_of_results(list(calm.tables), summary) == calm.summary["digest"]


# ------------------------------------------------------------------------------------------------------ determinism


def digest_in_another_process(path, hash_seed, *options):
    command = [sys.executable, "-m", "node.cli", "run", str(path), "--json", *options]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    code = "import sys; from node.cli import main; main(sys.argv[1:])"
    command[1:3] = ["-c", code]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)["digest"]


def test_one_seed_gives_one_digest_in_any_process_and_another_seed_another(calm, tmp_path):
    path = write_small(tmp_path)
    assert digest_in_another_process(path, "1") == digest_in_another_process(path, "2") == calm.summary["digest"]
    assert digest_in_another_process(path, "1", "--seed", "2") != calm.summary["digest"]


# ------------------------------------------------------------------------------------------------------- variations


def test_a_hierarchy_of_three_levels_runs_from_a_file_alone():
    path = shipped("three-levels.toml")
    outcome = run_scenario(load_configuration(path, ["scenario.intervals=1", "data.first_row=7572"]), path.parent)
    assert_whole(outcome)
    levels = dict(outcome.tables.clearings.select("chain", "level"))
    assert levels == {"quay": 0, "mole": 0, "terrace": 0, "orchard": 0, "harbour": 1, "hill": 1, "region": 2}
    routes = trades_by_route(outcome)
    for side in ("bid", "ask"):
        assert routes[side, "level1"] > 0 and routes[side, "level2"] > 0
    assert outcome.summary["invariants"]["interval_energy"] == 2


def test_real_and_model_crypto_give_the_same_market(calm, run):
    real = run("scenario.crypto=real")
    assert_whole(real)
    assert market_results(real) == market_results(calm)


def test_proof_of_work_can_really_be_ground(calm, run):
    ground = run("ledger.pow=ground", "ledger.pow_difficulty=8")
    assert_whole(ground)
    assert set(ground.tables.blocks.column("difficulty")) == {8}
    assert market_results(ground) == market_results(calm)


def test_a_network_that_loses_and_doubles_frames_costs_time_and_nothing_else(calm, run):
    lossy = run("network.loss=0.05", "network.duplication=0.05")
    assert_whole(lossy)
    assert market_results(lossy) == market_results(calm)
    assert lossy.summary["traffic"]["frames"] > calm.summary["traffic"]["frames"]


# ---------------------------------------------------------------------------------------------------------- trouble


def test_an_offline_parent_sends_everything_back_and_the_main_grid_settles_it(calm, run):
    offline = run("chains.2.offline=true")
    assert_whole(offline)
    up = next(row for row in calm.tables.clearings.rows if row[0] == "town")
    supply, demand = up[4], up[5]
    energy = offline.summary["energy_wh"]
    assert (energy["between_microgrids"], energy["grid_sold"], energy["grid_bought"]) == (0, supply, demand)
    assert energy["local"] == calm.summary["energy_wh"]["local"]
    assert (offline.summary["missed_gates"], offline.summary["returned"]) == ({"home": 0, "chain": 2}, 2)
    assert offline.summary["chains"]["town"]["anchors_confirmed"] == 0
    returned = offline.tables.requests.select("kind", "chain", "account", "interval", "outcome")
    assert sorted(row for row in returned if row[0] == "returned") == [
        ("returned", "north", "north", 0, "ok"), ("returned", "south", "south", 0, "ok"),
    ]  # fmt: skip


@pytest.mark.parametrize("dead", [PARENT_MEMBERS, HOMES], ids=["alone", "with its children"])
def test_exactly_the_orders_that_a_dead_chain_had_taken_are_unsettled(calm, run, dead):
    fields = [PARENT_ONLY] if dead is PARENT_MEMBERS else []
    outcome = run(*fields, "scenario.drain_max=20m", more=crash("48m30s", *dead))
    assert_whole(outcome, settled=False)
    up = next(row for row in calm.tables.clearings.rows if row[0] == "town")
    order = {"what": "order", "chain": "town", "interval": 0}
    assert outcome.summary["unsettled"] == [
        {**order, "account": "north", "side": "ask", "energy_wh": up[4]},
        {**order, "account": "south", "side": "bid", "energy_wh": up[5]},
    ]
    assert outcome.summary["assumed_readings"] == (2 if dead is PARENT_MEMBERS else 0)


def test_orders_of_homes_whose_chain_is_dead_are_unsettled(run):
    outcome = run("scenario.drain_max=20m", more=crash("47m50s", *NORTH))
    assert_whole(outcome, settled=False)
    unsettled = outcome.summary["unsettled"]
    assert [(entry["what"], entry["chain"], entry["account"]) for entry in unsettled] == [
        ("order", "north", home) for home in NORTH
    ]
    last = {row[3]: row[5] for row in outcome.tables.orders.rows}
    assert {entry["account"]: entry["energy_wh"] for entry in unsettled} == {home: last[home] for home in NORTH}
    assert {row[2] for row in outcome.tables.settlements.rows} == set(SOUTH)


@pytest.mark.parametrize(
    ("at", "between"), [("47m59s", False), ("49m", True), ("51m6s", True)], ids=["nothing taken", "taken", "answering"]
)
def test_a_parent_chain_that_comes_back_settles_what_it_had_taken(calm, run, at, between):
    outcome = run(PARENT_ONLY, more=crash(at, *PARENT_MEMBERS) + restart("70m", *PARENT_MEMBERS))
    assert_whole(outcome)
    expected = calm.summary["energy_wh"]["between_microgrids"] if between else 0
    assert outcome.summary["energy_wh"]["between_microgrids"] == expected
    assert outcome.summary["missed_gates"]["chain"] == (0 if between else 2)


def test_a_member_of_each_chain_may_crash_and_come_back(calm, run):
    outcome = run(more=crash("46m", "a2", "b3") + restart("49m", "a2", "b3"))
    assert_whole(outcome)
    assert outcome.summary["energy_wh"]["between_microgrids"] == calm.summary["energy_wh"]["between_microgrids"]
    assert outcome.summary["assumed_readings"] == 0


def test_a_layer_1_node_that_never_comes_back_does_not_hold_up_the_drain(run):
    outcome = run(more=crash("48m5s", "tangle1"))
    assert_whole(outcome)
    assert outcome.summary["simulated_us"] <= outcome.scenario.end + 10 * 60_000_000


def test_orders_submitted_before_the_gate_and_executed_after_it_are_missed_gates(run):
    """Half of a committee decides nothing: what the other half ordered waits until they are back, after the gate."""
    outcome = run(more=crash("39m", "a3", "a4") + restart("49m", "a3", "a4"))
    assert_whole(outcome)
    assert outcome.summary["missed_gates"] == {"home": 2, "chain": 0}
    rows = outcome.tables.requests.select("chain", "kind", "account", "outcome")
    orders = [(account, found) for chain, kind, account, found in rows if (chain, kind) == ("north", "submit_order")]
    assert sorted(orders) == [("a1", "late"), ("a2", "late")]
    assert {row[2] for row in outcome.tables.trades.rows} <= set(SOUTH)


def test_an_order_submitted_at_its_gate_is_late_and_no_missed_gate(calm):
    scenario = calm.scenario
    market = MarketRecorder(scenario, Tables(), Invariants(scenario))
    gate = scenario.market.gate_at(0, 0)
    counts = []
    for submitted in (gate - 1, gate):
        market.order_was_late(0, submitted)
        counts.append(market.missed_gates)
    assert counts == [1, 1]


def test_chains_that_come_back_in_the_last_moment_have_their_intervals_all_the_same(run):
    """Their newest confirmed states are from before the first opening, so nothing is open in them."""
    outcome = run(more=crash("39m", *HOMES) + restart("134m59s999ms", *HOMES))
    assert_whole(outcome)
    assert outcome.summary["assumed_readings"] == len(HOMES)
    assert {chain["anchors_confirmed"] for chain in outcome.summary["chains"].values()} == {1}


def test_a_partition_that_heals_costs_nothing(calm, run):
    groups = [["tangle1", "a1", "a2", "b1", "b2"], ["tangle2", "tangle3", "tangle4", "a3", "a4", "b3", "b4"]]
    faults = (
        f'\n[[faults]]\nat = "47m55s"\nkind = "partition"\ngroups = {groups}\n\n[[faults]]\nat = "50m"\nkind = "heal"\n'
    )
    assert_whole(run(more=faults))


def test_a_home_that_is_down_at_metering_has_an_assumed_reading(calm, run):
    outcome = run(more=crash("1h30m", "a2"))
    assert_whole(outcome)
    assert outcome.summary["assumed_readings"] == 1
    columns = ("home", "ordered_wh", "metered_wh", "imbalance_wh", "imbalance_money", "assumed")
    rows = {row[0]: row[1:] for row in outcome.tables.settlements.select(*columns)}
    ordered = rows["a2"][0]
    assert rows["a2"] == (ordered, -ordered, 0, 0, 1)
    assert [rows[home][-1] for home in HOMES if home != "a2"] == [0] * 7


def test_intervals_may_be_parts_of_a_row(run):
    outcome = run("market.interval=30m", "scenario.intervals=3")
    assert_whole(outcome)
    assert sorted(set(outcome.tables.settlements.column("interval"))) == [0, 1, 2]
    assert sum(outcome.scenario.series["a1"].generation) == 3200 + 1450


@pytest.mark.parametrize("forecast", ["perfect", "persistence"])
def test_other_forecasts_may_be_chosen(run, forecast):
    outcome = run(f"data.forecast={forecast}")
    assert_whole(outcome)
    energy = outcome.summary["energy_wh"]
    if forecast == "perfect":
        assert energy["imbalance_bought"] == energy["imbalance_sold"] == 0
    else:
        assert energy["local"] == 0 and energy["imbalance_bought"] > 0
