"""What a run cost, for people. What is counted of a real run is in ``test_summary``."""

import pytest

from node.experiments.cost import cost_lines, quantity


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(0, "B", "0.00 B"), (0.25, "s", "0.25 s"), (9.99, "", "9.99"), (10, "", "10.0"), (100, "B", "100 B"),
     (999, "B", "999 B"), (1000, "B", "1.00 kB"), (24_300_000, "B", "24.3 MB"), (4.56e9, "", "4.56 G"), (3e13, "", "30.0 T")],
)  # fmt: skip
def test_a_quantity_has_three_digits_and_a_prefix(value, unit, text):
    assert quantity(value, unit) == text


def test_the_cost_is_divided_by_trades_and_by_energy_between_peers():
    cost = {"trades": 4, "peer_to_peer_wh": 500, "bytes": 8_000, "messages": 12, "gas": 0, "cpu_us": 2_000_000}
    assert cost_lines(cost) == [
        ("sent between hosts", "8.00 kB", "2.00 kB", "16.0 kB"),
        ("messages between hosts", "12.0", "3.00", "24.0"),
        ("gas of requests", "0.00", "0.00", "0.00"),
        ("CPU time of all hosts, virtual", "2.00 s", "0.50 s", "4.00 s"),
    ]


def test_without_trades_there_is_no_cost_of_one_and_what_is_unknown_is_left_out():
    cost = {"trades": 0, "peer_to_peer_wh": 0, "bytes": 8_000, "cpu_us": None}
    assert cost_lines(cost) == [("sent between hosts", "8.00 kB", "-", "-")]
