"""The ledger changes when things happen, not what the market does.

The same scenario once with contracts alone, once with committees, networks and a Tangle under them.
"""

import pytest

from ledger.kernel.instant import HOUR
from node.configuration_file import load_configuration
from node.experiments.drain import is_drained, view_of
from node.experiments.recorder import Recorder
from node.experiments.scenario import SimulatedScenario
from tests.harness.off_ledger import OffLedger
from tests.harness.small_run import HOMES, write_small

OVERRIDES = ("scenario.intervals=2", "market.rounds=3", "market.price_tolerance=20")


@pytest.fixture(scope="module")
def scenario(tmp_path_factory):
    path = write_small(tmp_path_factory.mktemp("small"))
    return SimulatedScenario(load_configuration(path, OVERRIDES), path.parent)


@pytest.fixture(scope="module")
def alone(scenario):
    """Contracts and homes, and nothing under them."""
    market = OffLedger(scenario)
    market.run(scenario.end + HOUR)
    return market


@pytest.fixture(scope="module")
def stack(scenario):
    """The whole simulated stack."""
    recorder = Recorder(scenario)
    runtime = scenario.runtime(recorder)
    runtime.run_until(scenario.end + HOUR)
    assert is_drained(scenario, recorder, runtime)
    recorder.finish(runtime.counters)
    return recorder


def everywhere(scenario, ask, *views):
    """What each of these views tells about each interval of each chain."""
    return {
        (chain, interval, view): ask(chain, view, interval)
        for chain in scenario.chains
        for interval in range(2)
        for view in views
    }


def test_the_same_orders_are_accepted(alone, stack):
    outcomes = dict(stack.tables.requests.select("request", "outcome"))
    columns = ("submitted_us", "request", "interval", "home", "side", "energy_wh", "price")
    accepted: dict[tuple[str, int], list[tuple[str, int, int]]] = {}
    for _, request, interval, home, *order in sorted(stack.tables.orders.select(*columns)):
        if outcomes[request] == "ok":
            accepted.setdefault((home, interval), []).append(tuple(order))
    assert accepted == alone.accepted_orders
    assert set(accepted) == {(home, interval) for home in HOMES for interval in range(2)}
    assert max(map(len, accepted.values())) == 3, "a quote for each round"


def test_prices_and_fills_are_the_same_on_every_chain(scenario, alone, stack):
    views = ("clearing", "requests", "residuals", "summary", "interval")
    found = everywhere(scenario, lambda chain, *asked: view_of(scenario, stack, chain, *asked), *views)
    assert found == everywhere(scenario, alone.view, *views)
    prices = [found[chain, 0, "clearing"][0] for chain in scenario.chains]
    assert None not in prices, "there is something to compare"
    assert {found[chain, interval, "interval"] for chain in scenario.chains for interval in range(2)} == {"closed"}


def test_tentative_prices_are_the_same_round_by_round(scenario, alone, stack):
    for chain in scenario.chains:
        for interval in range(2):
            rounds = [view_of(scenario, stack, chain, "round", interval, number) for number in range(1, 12)]
            assert rounds == [alone.view(chain, "round", interval, number) for number in range(1, 12)]
    shown = stack.tables.rounds.select("chain", "interval", "round", "price")
    town = [row for row in shown if row[0] == "town"]
    assert [(interval, number) for _, interval, number, _ in town[:2]] == [(0, 1), (0, 2)]
    assert town == [
        ("town", interval, number, row[1])
        for interval in range(2)
        for number in range(1, 12)
        if (row := alone.view("town", "round", interval, number)) is not None
    ]


def test_every_home_trades_the_same_for_the_same_money(scenario, alone, stack):
    for home, chain in alone.homes.items():
        for interval in range(2):
            settlement = view_of(scenario, stack, chain, "settlement", interval, home)
            assert settlement == alone.view(chain, "settlement", interval, home)
            assert None not in settlement
    for chain in scenario.chains:
        assert view_of(scenario, stack, chain, "counters") == alone.view(chain, "counters") == (0, 0, 0)
