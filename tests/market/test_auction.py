"""The auction contract on one microgrid without a parent chain: orders, rounds, the gate, settlement."""

from __future__ import annotations

import pytest

from ledger.kernel.encoding import unpack
from ledger.kernel.instant import MINUTE
from ledger.kernel.rejection import Rejected
from market.auction import Auction
from market.bidders.favourable import FavourableBidder
from market.book import ClearingRow, RoutesRow, ShareRow
from market.clearing import FullMatch
from market.hierarchy import market_places
from market.orders import ASK, BID
from market.parameters import Home
from tests.harness.market_bench import CONNECTION, FUNDS, TARIFF, MarketBench, market_of
from wasp.state import verify_proof

HOMES = ("a", "b", "c", "d")


def alone(**changes):
    """One microgrid of four homes that trades with itself and the main grid."""
    funds = changes.pop("funds", FUNDS)
    utility_funds = changes.pop("utility_funds", FUNDS)
    return MarketBench({"mg": None}, {"mg": HOMES}, market_of(**changes), funds, utility_funds)


def code_of(receipt):
    return receipt.code if not receipt.succeeded else unpack(receipt.result)


def test_a_deficit_is_shared_bought_from_the_grid_and_paid_at_one_mean_price():
    bench = alone()
    bench.orders(0, {"a": (BID, 600, 9_000), "b": (BID, 200, 7_000), "c": (ASK, 400, 5_000)})
    bench.drain()
    bench.check()
    price = bench.clearing("mg").price
    cost = 400 * price + 400 * TARIFF.buy_price
    assert bench.share("a") == ShareRow(BID, 600, 300, (), 300, -cost * 600 // 800, price)
    assert bench.share("b") == ShareRow(BID, 200, 100, (), 100, -cost * 200 // 800, price)
    assert bench.share("c") == ShareRow(ASK, 400, 400, (), 0, 400 * price, price)
    assert bench.share("d") is None
    assert bench.routes("mg") == RoutesRow(400, (), 400, 0, price)
    assert bench.solo.balance("mg", "utility") == FUNDS + 400 * TARIFF.buy_price


def test_a_surplus_is_sold_to_the_grid_by_the_utility():
    bench = alone()
    bench.orders(0, {"a": (BID, 100, 9_000), "b": (ASK, 300, 7_000), "c": (ASK, 100, 5_000)})
    bench.drain()
    bench.check()
    price = bench.clearing("mg").price
    earned = 100 * price + 300 * TARIFF.sell_price
    assert bench.share("b") == ShareRow(ASK, 300, 75, (), 225, earned * 300 // 400, price)
    assert bench.solo.balance("mg", "utility") == FUNDS - 300 * TARIFF.sell_price


def test_with_supply_equal_to_demand_everything_trades_locally():
    bench = alone()
    bench.orders(0, {"a": (BID, 300, 9_000), "b": (ASK, 300, 5_000)})
    bench.to_gate()
    assert bench.view("mg", "interval", 0) == "final"
    bench.drain()
    bench.check()
    assert bench.routes("mg") == RoutesRow(300, (), 0, 0, bench.clearing("mg").price)


def test_a_book_with_one_side_has_no_price_and_goes_to_the_grid():
    bench = alone()
    bench.orders(0, {"a": (BID, 300, 9_000)})
    bench.drain()
    bench.check()
    assert bench.clearing("mg") == ClearingRow(None, 0, 300, 0, (("a", BID, 300, 9_000, 0),))
    assert bench.share("a") == ShareRow(BID, 300, 0, (), 300, -300 * TARIFF.buy_price, None)


def test_an_empty_interval_ends_by_itself():
    bench = alone()
    bench.drain()
    bench.check()
    assert bench.clearing("mg") == ClearingRow(None, 0, 0, 0, ())
    assert bench.routes("mg") == RoutesRow(0, (), 0, 0, None)


def test_a_bid_locks_its_energy_at_the_grids_price_until_the_interval_is_final():
    bench = alone()
    bench.orders(0, {"a": (BID, 300, 9_000), "b": (ASK, 300, 5_000)})
    assert bench.solo.balance("mg", "a") == FUNDS - 300 * TARIFF.buy_price
    assert bench.solo.balance("mg", "b") == FUNDS
    assert bench.solo.balance("mg", "auction") == 300 * TARIFF.buy_price
    bench.to_gate()
    price = bench.clearing("mg").price
    assert bench.solo.balance("mg", "a") == FUNDS - 300 * price
    assert bench.solo.balance("mg", "b") == FUNDS + 300 * price
    assert bench.solo.balance("mg", "auction") == 0


def test_the_next_order_of_an_account_replaces_the_one_before_with_its_escrow():
    bench = alone()
    bench.orders(0, {"a": (BID, 300, 9_000)})
    bench.orders(0, {"a": (BID, 500, 9_500)})
    assert bench.view("mg", "book", 0) == (("a", BID, 500, 9_500),)
    assert bench.solo.balance("mg", "a") == FUNDS - 500 * TARIFF.buy_price
    bench.orders(0, {"a": (BID, 200, 9_500)})
    assert bench.solo.balance("mg", "a") == FUNDS - 200 * TARIFF.buy_price
    bench.orders(0, {"a": (ASK, 700, 9_500)})
    assert bench.view("mg", "order", 0, "a") == (ASK, 700, 9_500)
    assert bench.solo.balance("mg", "a") == FUNDS
    bench.drain()
    bench.check()


def test_a_replacement_needs_only_the_difference():
    bench = alone(funds=500 * TARIFF.buy_price)
    bench.orders(0, {"a": (BID, 400, 9_000)})
    bench.orders(0, {"a": (BID, 500, 9_000)})
    assert bench.solo.balance("mg", "a") == 0


def test_an_order_that_the_account_cannot_cover_is_refused_and_the_standing_one_stays():
    bench = alone(funds=500 * TARIFF.buy_price)
    bench.orders(0, {"a": (BID, 500, 9_000)})
    assert code_of(bench.order("a", 0, BID, 501, 9_000)) == "funds"
    assert bench.view("mg", "order", 0, "a") == (BID, 500, 9_000)
    assert bench.solo.balance("mg", "auction") == 500 * TARIFF.buy_price


def test_a_bid_beyond_its_requests_allowance_is_refused():
    bench = alone()
    escrow = 10 * TARIFF.buy_price
    parameters = (0, BID, 10, 9_000)
    refused = bench.solo.post("mg", "a", "auction", "submit_order", *parameters, allowance=escrow - 1)
    assert refused.code == "allowance"
    assert bench.view("mg", "book", 0) == ()
    assert bench.solo.post("mg", "a", "auction", "submit_order", *parameters, allowance=escrow).succeeded


@pytest.mark.parametrize(
    ("order", "code"),
    [
        ((0, BID, 0, 9_000), "bad_energy"),
        ((0, BID, CONNECTION + 1, 9_000), "bad_energy"),
        ((0, BID, 10, TARIFF.sell_price), "bad_price"),
        ((0, ASK, 10, TARIFF.buy_price), "bad_price"),
        ((0, "sell", 10, 9_000), "parameters"),
        ((0, BID, -1, 9_000), "parameters"),
        ((0, BID, 10, True), "parameters"),
        ((0, BID, "10", 9_000), "parameters"),
        ((-1, BID, 10, 9_000), "parameters"),
        ((1, BID, 10, 9_000), "unknown"),
        ((0, BID, 10), "parameters"),
    ],
)
def test_an_order_that_no_market_takes_is_refused(order, code):
    bench = alone()
    receipt = bench.solo.post("mg", "a", "auction", "submit_order", *order, allowance=FUNDS)
    assert receipt.code == code
    assert bench.view("mg", "book", 0) == ()


@pytest.mark.parametrize("order", [(0, BID, 1, TARIFF.lowest_price), (0, ASK, CONNECTION, TARIFF.highest_price)])
def test_an_order_at_the_bounds_is_accepted(order):
    bench = alone()
    assert bench.solo.post("mg", "a", "auction", "submit_order", *order, allowance=FUNDS).succeeded


def test_an_account_that_is_no_home_cannot_order_nor_report():
    market = market_of()
    bench = MarketBench({"mg": None}, {"mg": ("a",)}, market)
    stranger = MarketBench({"mg": None}, {"mg": ("a", "b")}, market)
    contract = stranger.solo.chains["mg"].program.contracts["auction"]
    contract._microgrid._connections.pop("b")
    assert stranger.order("b", 0, ASK, 10, 9_000).code == "stranger"
    assert bench.order("a", 0, ASK, 10, 9_000).succeeded
    stranger.solo.advance_to(market.readings_from(0))
    assert stranger.reading("b", 0, 5).code == "stranger"


def test_orders_are_taken_from_the_opening_on():
    bench = MarketBench({"mg": None}, {"mg": HOMES}, market_of(intervals=2))
    opening = bench.market.opening_at(1)
    bench.solo.advance_to(opening - 1)
    assert bench.view("mg", "interval", 1) == "future"
    bench.solo.submit("mg", bench.solo.sign("mg", "a", "auction", "submit_order", 1, ASK, 10, 9_000))
    bench.solo.run_block("mg")
    assert bench.solo.chains["mg"].receipts[-1].code == "not_open"
    bench.solo.run_block("mg", opening)
    assert bench.order("a", 1, ASK, 10, 9_000).succeeded
    assert bench.view("mg", "interval", 1) == "open"


def test_an_order_in_a_block_at_the_gate_is_late_counted_and_not_taken():
    bench = alone()
    gate = bench.market.gate_at(0, 0)
    bench.solo.advance_to(gate - 2)
    assert code_of(bench.order("a", 0, BID, 10, 9_000)) == "accepted"
    assert bench.solo.chains["mg"].block.timestamp < gate
    bench.solo.advance_to(gate)
    assert code_of(bench.order("b", 0, BID, 10, 9_000)) == "late"
    assert bench.missed("mg") == (1, 0)
    assert bench.solo.balance("mg", "b") == FUNDS
    assert bench.view("mg", "book", 0) == (("a", BID, 10, 9_000),)
    bench.drain()
    bench.check()


def test_the_gate_is_exclusive_to_the_microsecond():
    bench = alone()
    gate = bench.market.gate_at(0, 0)
    for moment, account, answer in ((gate - 1, "a", "accepted"), (gate, "b", "late")):
        bench.solo.submit("mg", bench.solo.sign("mg", account, "auction", "submit_order", 0, ASK, 10, 9_000))
        bench.solo.run_block("mg", moment)
        assert code_of(bench.solo.chains["mg"].receipts[-1]) == answer


def test_every_round_end_publishes_the_tentative_price_of_the_standing_orders():
    bench = alone()
    bench.orders(0, {"a": (BID, 300, 9_000), "b": (ASK, 200, 5_000)})
    assert bench.view("mg", "round", 0, 0) is None
    bench.solo.advance_to(bench.market.round_end(0, 1) - 1)
    assert bench.view("mg", "round", 0, 1) is None
    bench.solo.advance_to(bench.market.round_end(0, 1))
    mechanism = FullMatch()
    assert bench.view("mg", "round", 0, 1) == (1, 9_000, 200, 300, ("a", "b"), False)
    bench.orders(0, {"c": (ASK, 100, 7_000)})
    bench.solo.advance_to(bench.market.round_end(0, 2))
    assert bench.view("mg", "round", 0, 0) == (2, 8_000, 300, 300, ("a", "b", "c"), False)
    bench.to_gate()
    last = bench.view("mg", "round", 0, 3)
    assert last == (3, 8_000, 300, 300, ("a", "b", "c"), True), "the same participants, the same price, nobody forced"
    clearing = bench.clearing("mg")
    assert clearing.price == last[1] == mechanism.tentative_price(clearing.orders)
    assert bench.view("mg", "round", 0, 4) is None


def test_prices_that_agree_once_stay_settled():
    bench = alone(rounds=4)
    bench.orders(0, {"a": (BID, 300, 9_000), "b": (ASK, 300, 5_000)})
    bench.solo.advance_to(bench.market.round_end(0, 2))
    bench.orders(0, {"a": (BID, 300, 8_000)})
    bench.to_gate()
    rounds = [bench.view("mg", "round", 0, number) for number in (1, 2, 3, 4)]
    assert [(row[1], row[5]) for row in rounds] == [(7_000, False), (7_000, True), (6_500, True), (6_500, True)]


def test_forced_bidders_keep_prices_unsettled_unless_the_bidder_never_learns():
    for changes, settled in (({}, False), ({"bidder": FavourableBidder()}, True)):
        bench = alone(**changes)
        bench.orders(0, {"a": (BID, 300, 9_000), "b": (BID, 300, 8_000), "c": (ASK, 300, 5_000)})
        bench.to_gate()
        assert bench.view("mg", "round", 0, 3)[5] is settled


def test_the_price_rule_and_the_tolerance_are_parameters():
    bench = alone(mechanism=FullMatch("marginal_pair"))
    bench.orders(0, {"a": (BID, 300, 9_000), "b": (ASK, 200, 5_000)})
    bench.to_gate()
    assert bench.clearing("mg").price == 7_000
    for tolerance, settled in ((499, False), (500, True)):
        bench = alone(tolerance=tolerance)
        bench.orders(0, {"a": (BID, 300, 9_000), "b": (ASK, 300, 5_000)})
        bench.solo.advance_to(bench.market.round_end(0, 1))
        bench.orders(0, {"a": (BID, 300, 8_000)})
        bench.solo.advance_to(bench.market.round_end(0, 2))
        assert bench.view("mg", "round", 0, 2)[5] is settled


def test_what_is_due_happens_by_itself_and_late_blocks_catch_up_in_order():
    bench = MarketBench({"mg": None}, {"mg": HOMES}, market_of(intervals=3))
    bench.orders(0, {"a": (BID, 300, 9_000), "b": (ASK, 200, 5_000)})
    bench.solo.offline.add("mg")
    bench.restart_at("mg", bench.market.delivery(3))
    bench.drain()
    assert [bench.view("mg", "interval", k) for k in range(3)] == ["closed"] * 3
    assert [row[1] for k in range(3) if (row := bench.view("mg", "round", k, 1))] == [9_000, None, None]
    bench.check()


def test_several_intervals_are_open_at_once():
    market = market_of(intervals=3, opening=60 * MINUTE, gates=(5 * MINUTE,), rounds=2)
    bench = MarketBench({"mg": None}, {"mg": HOMES}, market)
    assert bench.view("mg", "open_intervals") == (0,)
    bench.orders(0, {"a": (BID, 300, 9_000), "b": (ASK, 200, 5_000)})
    bench.solo.advance_to(market.opening_at(1) + 1)
    bench.solo.run_block("mg")
    bench.orders(1, {"a": (ASK, 300, 9_000)})
    assert bench.view("mg", "open_intervals") == (0, 1)
    assert [bench.view("mg", "interval", k) for k in range(3)] == ["final", "open", "future"]
    bench.solo.advance_to(market.opening_at(2) + 1)
    bench.orders(2, {"a": (ASK, 300, 9_000)})
    assert bench.view("mg", "open_intervals") == (0, 1, 2)
    bench.drain()
    bench.check()


def test_intervals_are_forgotten_and_the_state_does_not_grow():
    bench = MarketBench({"mg": None}, {"mg": HOMES}, market_of(intervals=30, intervals_kept=3))
    sizes = []
    for interval in range(30):
        bench.solo.advance_to(bench.market.opening_at(interval))
        bench.orders(interval, {"a": (BID, 300, 9_000), "b": (ASK, 200, 5_000)})
        bench.solo.advance_to(bench.market.gate_at(interval, 0))
        entries = [key for key, _ in bench.solo.chains["mg"].state.entries() if key[0] == "auction"]
        sizes.append(len(entries))
    assert len(set(sizes[5:])) == 1, sizes
    bench.drain()
    oldest = 30 - 3 - 1
    assert [bench.view("mg", "interval", k) for k in (oldest, oldest + 1)] == ["forgotten", "closed"]
    assert bench.clearing("mg", oldest) is None and bench.share("a", oldest) is None
    assert bench.clearing("mg", oldest + 1) is not None
    assert code_of(bench.order("a", 0, ASK, 5, 9_000)) == "late"


def test_parents_and_residuals_are_forgotten_too():
    bench = MarketBench(
        {"mg": "region", "next": "region", "region": None},
        {"mg": HOMES, "next": ("e",)},
        market_of(2, intervals=12, intervals_kept=2, rounds=1),
    )
    sizes = []
    for interval in range(12):
        bench.solo.advance_to(bench.market.opening_at(interval))
        bench.orders(interval, {"a": (BID, 300, 9_000), "e": (ASK, 200, 8_000)})
        bench.solo.advance_to(bench.market.gate_at(interval, 1) + MINUTE)
        assert bench.view("region", "round", interval, 10) is not None
        states = [bench.solo.chains[chain].state for chain in ("mg", "region")]
        sizes.append([len([key for key, _ in state.entries() if key[0] == "auction"]) for state in states])
    assert sizes[5:] == [sizes[5]] * 7, sizes


def test_shares_are_provable_against_the_state():
    bench = alone()
    bench.orders(0, {"a": (BID, 300, 9_000), "b": (ASK, 200, 5_000)})
    bench.drain()
    state = bench.solo.chains["mg"].state
    key = ("share", 0, "a")
    assert verify_proof(state.root, "auction", key, bench.share("a").plain, state.prove("auction", *key))


def test_a_hierarchy_that_is_no_tree_is_refused_with_all_its_problems():
    home = (Home("a", 10),)
    cases = {
        "the parent of mg is nobody": ({"mg": "nobody"}, {"mg": home}),
        "the homes of other have no chain": ({"mg": None}, {"mg": home, "other": home}),
        "mg has 0 homes and 0 children": ({"mg": None}, {}),
        "top has 1 homes and 1 children": ({"mg": "top", "top": None}, {"mg": home, "top": home}),
        "one is above itself": ({"one": "two", "two": "one"}, {}),
        "different names expected": ({"mg": None}, {"mg": (*home, *home)}),
        "the connection of a is 0 Wh, 1 to 1000000000": ({"mg": None}, {"mg": (Home("a", 0),)}),
        "the connection of a is 1000000001 Wh": ({"mg": None}, {"mg": (Home("a", 10**9 + 1),)}),
        "mg has 501 participants, at most 500": ({"mg": None}, {"mg": tuple(Home(f"h{i}", 1) for i in range(501))}),
        "top has 501 participants": (
            {**{f"c{i}": "top" for i in range(501)}, "top": None},
            {f"c{i}": home for i in range(501)},
        ),
        "none of them utility": ({"mg": None}, {"mg": (Home("utility", 10),)}),
    }
    for problem, (parents, homes) in cases.items():
        with pytest.raises(Rejected, match=problem) as caught:
            market_places(parents, homes)
        assert caught.value.code == "bad_hierarchy"


def test_a_place_at_the_bounds_is_one():
    homes = tuple(Home(f"h{i}", 10**9) for i in range(500))
    assert market_places({"mg": None}, {"mg": homes})["mg"].homes == homes


def test_the_largest_clearing_fits_into_the_state():
    homes = tuple(f"{'h' * 60}{i}" for i in range(500))
    bench = MarketBench({"mg": None}, {"mg": homes}, market_of(rounds=1))
    for home in homes:
        bench.solo.submit(
            "mg", bench.solo.sign("mg", home, "auction", "submit_order", 0, ASK, CONNECTION, 18_000, nonce=0)
        )
    bench.drain()
    assert len(bench.clearing("mg").fills) == 500


def test_every_level_needs_a_gate():
    places = market_places({"mg": "top", "top": None}, {"mg": (Home("a", 1),)})
    for place in places.values():
        assert Auction(market_of(2), place).name == "auction"
        with pytest.raises(AssertionError, match="every level has a gate"):
            Auction(market_of(1), place)


def test_the_level_of_a_chain_is_its_height():
    places = market_places(
        {"top": None, "mg1": "mid", "mid": "top", "mg2": "top"}, {"mg1": (Home("a", 1),), "mg2": (Home("b", 1),)}
    )
    assert {chain: (place.level, place.parent_level) for chain, place in places.items()} == {
        "top": (2, 0),
        "mg1": (0, 1),
        "mid": (1, 2),
        "mg2": (0, 2),
    }
    assert places["top"].children == ("mid", "mg2")
