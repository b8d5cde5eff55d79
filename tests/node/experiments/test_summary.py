"""The summary: percentiles and text. What it says of a real run is in ``test_run``."""

import pytest

from node.configuration import FaultSection
from node.experiments.summary import FAULTS_SHOWN, UNSETTLED_SHOWN, fault_text, percentile, summary_text
from tests.harness.small_run import run_small


@pytest.mark.parametrize(
    ("count", "per_cent", "expected"),
    [(1, 50, 1), (1, 99, 1), (2, 50, 1), (2, 51, 2), (3, 50, 2), (4, 50, 2), (20, 95, 19), (21, 95, 20), (100, 99, 99),
     (101, 99, 100), (100, 100, 100), (100, 1, 1), (10, 0, 1)],
)  # fmt: skip
def test_a_percentile_is_the_smallest_value_that_so_many_per_cent_do_not_exceed(count, per_cent, expected):
    assert percentile(range(1, count + 1), per_cent) == expected


def test_there_is_no_percentile_of_nothing():
    assert percentile([], 50) is None


@pytest.fixture(scope="module")
def summary(tmp_path_factory):
    return run_small(tmp_path_factory.mktemp("run")).summary


def test_the_text_is_at_most_a_hundred_columns_wide_and_says_what_matters(summary):
    text = summary_text(summary)
    assert max(map(len, text.splitlines())) <= 100
    for part in (
        "small, seed 1: 2.3 h of simulated time",
        "demand (gross)                       5.0",
        "traded between microgrids            2.7",
        "the supply of both layers is unchanged",
        "unsettled: nothing",
        "0 violations",
        summary["digest"],
    ):
        assert part in text


def test_the_text_says_when_money_has_changed_and_what_is_unsettled(summary):
    orders = [{"what": "order", "chain": "town", "energy_wh": i} for i in range(UNSETTLED_SHOWN + 2)]
    text = summary_text({**summary, "money_micropence": {"before": 5, "after": 4}, "unsettled": orders})
    assert "CHANGED from 5 to 4" in text
    assert f"unsettled: {len(orders)}" in text
    assert "what order, chain town, energy_wh 19" in text
    assert "energy_wh 20" not in text and "and 2 more" in text


def test_a_latency_that_nobody_reached_is_a_dash(summary):
    nothing = dict.fromkeys(summary["latency_us"]["confirmed"])
    text = summary_text({**summary, "latency_us": {**summary["latency_us"], "confirmed": nothing}})
    assert "  confirmed                           -        -        -" in text


def test_the_text_names_the_injected_faults_and_counts_the_rest(summary):
    assert "fault" not in summary_text(summary).split("energy")[0]
    faults = [[(7_200 + i) * 10**6, f"crash of {'a' * 100}{i}"] for i in range(FAULTS_SHOWN + 2)]
    text = summary_text({**summary, "faults": [[61_000_000, "crash of a1"], *faults]})
    assert f"faults injected: {FAULTS_SHOWN + 3}\n  00:01:01 crash of a1\n  02:00:00 crash of" in text
    assert "  and 3 more\n" in text
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ({"kind": "crash", "nodes": ["a", "b"]}, "crash of a, b"),
        ({"kind": "restart", "nodes": ["a"]}, "restart of a"),
        ({"kind": "pause", "nodes": ["a"], "duration": "1500ms"}, "pause of a for 1.5 s"),
        ({"kind": "partition", "groups": [["a", "b"], ["c"]]}, "partition: a, b | c"),
        ({"kind": "heal"}, "heal: every host reaches every other again"),
    ],
)
def test_a_fault_in_words(fault, text):
    assert fault_text(FaultSection.model_validate({"at": "1h", **fault})) == text


def test_the_cost_of_a_run_is_counted(summary):
    cost, layer1 = summary["cost"], summary["layer1"]
    assert (cost["bytes"], cost["messages"]) == (summary["traffic"]["bytes"], summary["traffic"]["messages"])
    assert cost["layer1_blocks"] == layer1["blocks"]
    assert cost["peer_to_peer_wh"] == summary["benefit"]["peer_to_peer_wh"] > 0
    assert cost["hashes"] > 2**20 * layer1["blocks"]  # of 2^21 on average
    assert min(cost["gas"], cost["cpu_us"], cost["trades"]) > 0
    text = summary_text(summary)
    assert "cost                                      in all   per trade     per kWh\n  sent between hosts" in text
    assert f"(per row of the table of trades between peers, {cost['trades']}; per kWh" in text


def test_an_interval_is_final_in_a_microgrid_after_the_gate_of_the_chain_above(summary):
    minutes = 60_000_000
    assert list(summary["final_us"]) == ["north", "south"]
    assert all(3 * minutes < span < 4 * minutes for spans in summary["final_us"].values() for span in spans.values())
    assert "from the gate to final on layer 1, s     p50      p95\n  north   " in summary_text(summary)


def test_the_text_says_the_gain_on_orders_beside_the_one_after_imbalances(summary):
    benefit = {**summary["benefit"], "gain": 5_000_000_000, "net_gain": 4_500_000_000}
    text = summary_text({**summary, "benefit": benefit})
    assert "both: 5,000.00 pence on what was ordered, 4,500.00 pence after imbalances" in text
