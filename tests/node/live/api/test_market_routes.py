"""The market of a chain, as its members tell it: what stands in the state, and nothing else."""

from __future__ import annotations

import pytest

from ledger.kernel.instant import MINUTE
from tests.harness.virtual_nodes import A1, VirtualCluster, serving
from wasp.vm.sandbox import call_view

NORTH, TOWN = "/v1/chains/north/market", "/v1/chains/town/market"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> VirtualCluster:
    """After the metering of the only interval."""
    cluster = VirtualCluster(tmp_path_factory.mktemp("small"))
    cluster.run(cluster.scenario.end + MINUTE)
    return cluster


def view(cluster: VirtualCluster, name: str, *parameters, chain: str = "north"):
    member = cluster.runtime.host(A1).chains[chain]
    return call_view(member.program, member.active_state, "auction", name, *parameters)


async def test_the_calendar_of_a_market(cluster: VirtualCluster):
    market = cluster.scenario.market
    async with serving(cluster.node(A1)) as client:
        told = await client.ask(NORTH)
        assert (told["level"], told["parent"], told["children"]) == (0, "town", [])
        assert told["homes"] == ["a1", "a2", "a3", "a4"]
        assert (told["firstDelivery"], told["gateUs"]) == (market.first_delivery, market.gates[0])
        assert told["openIntervals"] == []
        assert (await client.ask(TOWN))["children"] == ["north", "south"]


async def test_an_interval_and_its_moments(cluster: VirtualCluster):
    market = cluster.scenario.market
    async with serving(cluster.node(A1)) as client:
        told = await client.ask(f"{NORTH}/intervals/0")
        assert (told["stage"], told["roundsHeld"], told["gate"]) == ("closed", 2, market.gate_at(0, 0))
        assert told["price"] == view(cluster, "clearing", 0)[0]
        assert (await client.ask(f"{NORTH}/intervals/1", 404))["code"] == "unknown_interval"
        for wrong in ("-1", "1e0", "one", "2147483648"):
            assert (await client.ask(f"{NORTH}/intervals/{wrong}", 400))["code"] == "bad_question"


async def test_the_book_and_the_clearing_of_an_interval(cluster: VirtualCluster):
    async with serving(cluster.node(A1)) as client:
        book = (await client.ask(f"{NORTH}/intervals/0/book"))["orders"]
        assert [(o["participant"], o["side"], o["energy"], o["price"]) for o in book] == list(view(cluster, "book", 0))
        clearing = await client.ask(f"{NORTH}/intervals/0/clearing")
        price, supply, demand, matched, fills = view(cluster, "clearing", 0)
        assert [clearing[name] for name in ("price", "supply", "demand", "matched")] == [price, supply, demand, matched]
        assert [tuple(fill.values()) for fill in clearing["fills"]] == list(fills)
        residuals = (await client.ask(f"{TOWN}/intervals/0/book"))["orders"]
        assert [(o["participant"], o["side"], o["energy"]) for o in residuals] == [
            request[:3] for request in view(cluster, "requests", 0, chain="town")
        ]


async def test_what_is_not_cleared_yet_is_not_found(cluster: VirtualCluster, tmp_path):
    early = VirtualCluster(tmp_path)
    early.run(MINUTE)
    async with serving(early.node(A1)) as client:
        assert (await client.ask(f"{NORTH}/intervals/0/clearing", 404))["code"] == "not_cleared"
        assert (await client.ask(f"{NORTH}/intervals/0"))["stage"] == "future"


async def test_an_account_and_its_part_in_an_interval(cluster: VirtualCluster):
    async with serving(cluster.node(A1)) as client:
        told = await client.ask(f"{NORTH}/accounts/a1?interval=0")
        share, metered = view(cluster, "settlement", 0, "a1")
        assert tuple(told["metered"].values()) == metered
        side, ordered, local, levels, grid, money, price = share
        assert told["share"] == {
            "side": side,
            "ordered": ordered,
            "local": local,
            "levels": [{"level": level, "energy": energy} for level, energy in levels],
            "grid": grid,
            "money": money,
            "price": price,
        }
        assert tuple(told["order"].values())[1:] == view(cluster, "order", 0, "a1")
        without = await client.ask(f"{NORTH}/accounts/a1")
        assert (without["share"], without["balance"]) == (None, told["balance"])
        assert (await client.ask(f"{NORTH}/accounts/nobody", 404))["code"] == "unknown_account"
        assert (await client.ask(f"{NORTH}/accounts/a1?interval=7", 404))["code"] == "unknown_interval"
