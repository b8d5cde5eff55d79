"""Gates so close together that no residual reaches the parent chain in time."""

from tests.harness.small_run import run_small


def test_a_residual_that_comes_after_its_gate_is_refused_comes_back_and_is_a_missed_gate_of_its_chain(tmp_path):
    outcome = run_small(tmp_path, "market.gate_step=1s", "network.delay=100ms", "market.rounds=1")
    assert outcome.violations == []
    summary = outcome.summary
    assert (summary["missed_gates"], summary["returned"], summary["unsettled"]) == ({"home": 0, "chain": 2}, 2, [])
    rows = outcome.tables.requests.select("chain", "kind", "account", "outcome")
    assert sorted(row for row in rows if row[1] in ("submit_residual", "returned")) == [
        ("north", "returned", "town", "ok"),
        ("south", "returned", "town", "ok"),
        ("town", "submit_residual", "north", "late"),
        ("town", "submit_residual", "south", "late"),
    ]
    assert summary["energy_wh"]["between_microgrids"] == 0
