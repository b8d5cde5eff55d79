"""Residuals up, results down: several chains, from a microgrid to the root."""

from __future__ import annotations

import pytest

from ledger.kernel.instant import HOUR, MINUTE
from ledger.output import ChainAddress
from market.bidders.favourable import FavourableBidder
from market.book import RoutesRow, ShareRow
from market.orders import ASK, BID, Order
from market.rounds import delegated_rounds
from tests.harness.market_bench import FUNDS, TARIFF, MarketBench, market_of

TWO = {"mg1": "region", "mg2": "region", "region": None}
TWO_HOMES = {"mg1": ("a", "b"), "mg2": ("c", "d")}
DEEP = {"mg1": "east", "mg2": "east", "mg3": "west", "east": "region", "west": "region", "region": None}
DEEP_HOMES = {"mg1": ("a", "b"), "mg2": ("c",), "mg3": ("e", "f")}


def two(**changes):
    return MarketBench(TWO, TWO_HOMES, market_of(2, **changes))


def deep(**changes):
    return MarketBench(DEEP, DEEP_HOMES, market_of(3, **changes))


def test_what_one_microgrid_lacks_the_other_sells_it_through_their_parent():
    bench = two()
    bench.orders(0, {"a": (BID, 500, 9_000), "b": (ASK, 200, 5_000), "c": (ASK, 700, 8_000), "d": (BID, 100, 10_000)})
    bench.drain()
    bench.check()
    top, left, right = (bench.clearing(chain) for chain in ("region", "mg1", "mg2"))
    assert (top.supply, top.demand, top.matched) == (600, 300, 300)
    cost = 200 * left.price + 300 * top.price
    assert bench.share("a") == ShareRow(BID, 500, 200, ((1, 300),), 0, -cost, left.price)
    assert bench.share("b") == ShareRow(ASK, 200, 200, (), 0, 200 * left.price, left.price)
    earned = 100 * right.price + 300 * top.price + 300 * TARIFF.sell_price
    assert bench.share("c") == ShareRow(ASK, 700, 100, ((1, 300),), 300, earned, right.price)
    assert bench.routes("mg1") == RoutesRow(200, ((1, 300, 0),), 0, 0, left.price)
    assert bench.routes("mg2") == RoutesRow(100, ((1, 0, 300),), 0, 300, right.price)


def test_the_uniform_price_correction_shares_the_parents_price_with_everybody_on_the_long_side():
    bench = two()
    bench.orders(0, {"a": (BID, 600, 9_000), "b": (BID, 300, 5_000), "c": (ASK, 450, 8_000)})
    bench.drain()
    bench.check()
    top = bench.clearing("region")
    cost = 450 * top.price + 450 * TARIFF.buy_price
    assert bench.share("a") == ShareRow(BID, 600, 0, ((1, 300),), 300, -cost * 2 // 3, None)
    assert bench.share("b") == ShareRow(BID, 300, 0, ((1, 150),), 150, -cost // 3, None)


def test_a_deficit_travels_with_its_escrow_and_a_surplus_with_one_token_of_the_utility():
    bench = two()
    bench.orders(0, {"a": (BID, 500, 9_000), "c": (ASK, 700, 8_000)})
    bench.to_gate()
    found = {output.address: (output.amount, output.expiration.instant) for _, _, output in bench.solo.under_way}
    region = ChainAddress(bench.solo.chains["region"].program.id)
    expiry = bench.market.gate_at(0, 1) + 2 * MINUTE
    amounts = sorted(output.amount for _, _, output in bench.solo.under_way)
    assert amounts == [1, 500 * TARIFF.buy_price]
    assert {address: instant for address, (_, instant) in found.items()} == {region: expiry}
    assert bench.solo.balance("mg2", "utility") == FUNDS - 1
    assert bench.view("mg1", "interval", 0) == "cleared"
    assert bench.view("mg1", "residuals", 0) == ((BID, 500, 500, 0, ()),)
    assert bench.view("mg1", "unsettled") == ((0, BID, 500),)
    bench.drain()
    bench.check()
    assert bench.solo.balance("mg2", "utility") == FUNDS - 200 * TARIFF.sell_price
    assert bench.view("mg2", "residuals", 0) == ((ASK, 700, 0, 200, ((1, 500, bench.clearing("region").price),)),)


def test_nothing_is_sent_when_supply_meets_demand():
    bench = two()
    bench.orders(0, {"a": (BID, 500, 9_000), "b": (ASK, 500, 8_000)})
    bench.to_gate()
    assert bench.solo.quiet
    assert bench.view("mg1", "residuals", 0) == ()


def test_a_parent_with_one_side_passes_up_without_a_price_and_the_root_refunds_at_once():
    bench = two()
    bench.orders(0, {"a": (BID, 500, 9_000), "c": (BID, 700, 8_000)})
    bench.to_gate(level=1)
    region = bench.clearing("region")
    assert (region.price, region.matched, region.demand) == (None, 0, 1_200)
    assert bench.view("region", "interval", 0) == "closed"
    bench.drain()
    bench.check()
    assert bench.routes("mg1") == RoutesRow(0, (), 500, 0, None)
    assert bench.missed("mg1") == (0, 0), "a refund is no missed gate"


def test_three_levels_deep_each_route_has_its_level_and_its_price():
    bench = deep()
    bench.orders(0, {"a": (BID, 900, 9_000), "b": (ASK, 100, 5_000), "c": (ASK, 300, 6_000), "e": (ASK, 400, 7_000)})
    bench.drain()
    bench.check()
    local, east, region = bench.clearing("mg1"), bench.clearing("east"), bench.clearing("region")
    assert bench.routes("mg1") == RoutesRow(100, ((1, 300, 0), (2, 400, 0)), 100, 0, local.price)
    assert bench.routes("mg2") == RoutesRow(0, ((1, 0, 300),), 0, 0, None)
    assert bench.routes("mg3") == RoutesRow(0, ((2, 0, 400),), 0, 0, None)
    assert (east.supply, east.demand, east.matched) == (300, 800, 300)
    assert (region.supply, region.demand, region.matched) == (400, 500, 400)
    cost = 100 * local.price + 300 * east.price + 400 * region.price + 100 * TARIFF.buy_price
    assert bench.share("a").money == -cost
    assert bench.share("e").money == 400 * region.price


def test_own_matches_are_answered_before_the_next_level_has_cleared():
    bench = deep()
    bench.orders(0, {"a": (BID, 900, 9_000), "c": (ASK, 300, 6_000), "e": (ASK, 400, 7_000)})
    bench.solo.advance_to(bench.market.gate_at(0, 2) - 1)
    east = bench.clearing("east")
    assert bench.view("mg1", "residuals", 0) == ((BID, 900, 600, 0, ((1, 300, east.price),)),)
    assert bench.view("mg1", "interval", 0) == "cleared"
    assert bench.view("mg2", "interval", 0) == "final"
    assert bench.view("east", "requests", 0) == (("mg1", BID, 900, 600, 1), ("mg2", ASK, 300, 0, 1))
    assert bench.view("east", "interval", 0) == "cleared", "one child is answered, the other is not"
    assert bench.solo.chains["east"].events == []
    bench.to_gate(level=2)
    bench.solo.advance(MINUTE)
    assert bench.view("east", "requests", 0) == (("mg1", BID, 900, 0, 2), ("mg2", ASK, 300, 0, 1))
    assert [event.name for event in bench.solo.chains["east"].events] == ["interval_final"]
    bench.drain()
    bench.check()


def test_what_comes_down_is_shared_by_what_each_child_still_lacks():
    bench = deep()
    bench.orders(0, {"a": (BID, 600, 9_000), "c": (BID, 300, 8_000), "e": (ASK, 450, 7_000)})
    bench.drain()
    bench.check()
    assert [bench.routes(chain).levels for chain in ("mg1", "mg2", "mg3")] == [
        ((2, 300, 0),),
        ((2, 150, 0),),
        ((2, 0, 450),),
    ]
    assert [bench.routes(chain).grid_bought for chain in ("mg1", "mg2")] == [300, 150]


def test_a_refund_is_shared_by_what_the_lots_of_the_same_result_left_open():
    """One Wh comes down for two children that lack one each; the other Wh is refunded to the one that got none."""
    bench = deep(intervals=2)
    for interval, lucky, other in ((0, "mg1", "mg2"), (1, "mg2", "mg1")):
        bench.solo.advance_to(bench.market.opening_at(interval))
        bench.orders(interval, {"a": (BID, 1, 9_000), "c": (BID, 1, 8_000), "e": (ASK, 1, 7_000)})
        bench.solo.advance_to(bench.market.delivery(interval))
        price = bench.clearing("region", interval).price
        assert bench.routes(lucky, interval) == RoutesRow(0, ((2, 1, 0),), 0, 0, None)
        assert bench.routes(other, interval) == RoutesRow(0, (), 1, 0, None)
        assert bench.view(lucky, "residuals", interval) == ((BID, 1, 0, 0, ((2, 1, price),)),)
    bench.drain()
    bench.check()


def test_a_result_with_several_lots_is_shared_from_the_lowest_level_up():
    bench = deep()
    bench.orders(0, {"a": (BID, 2, 9_000), "c": (BID, 1, 8_000)})
    bench.to_gate(level=1)
    bench.solo.offline.add("region")
    lots, money = ((2, 1, PRICE), (3, 2, PRICE - 1)), 3 * GAIN + 2
    assert bench.inject("region", "auction", "east", "receive_result", (0, BID, 0, lots, 0), money) is None
    bench.solo.advance(MINUTE)
    assert bench.routes("mg1").levels == ((2, 1, 0), (3, 1, 0))
    assert bench.routes("mg2").levels == ((3, 1, 0),)


def test_a_child_for_which_nothing_came_is_not_answered():
    """An answer needs money to travel with, and its number would be spent."""
    bench = deep()
    bench.orders(0, {"a": (BID, 1, 9_000), "c": (BID, 1, 8_000)})
    bench.to_gate(level=1)
    bench.solo.offline.add("region")
    for number in (0, 1):
        parameters = (0, BID, number, ((2 + number, 1, PRICE),), 0)
        assert bench.inject("region", "auction", "east", "receive_result", parameters, GAIN) is None
        bench.solo.advance(MINUTE)
        answered = (("mg1", BID, 1, 0, 1), ("mg2", BID, 1, 1 - number, number))
        assert bench.view("east", "requests", 0) == answered
    assert [bench.routes(chain).levels for chain in ("mg1", "mg2")] == [((2, 1, 0),), ((3, 1, 0),)]


def test_a_parent_with_one_child_passes_up_without_a_price():
    bench = MarketBench(
        {"mg1": "east", "east": "region", "mg2": "region", "region": None},
        {"mg1": ("a",), "mg2": ("c",)},
        market_of(3),
    )
    bench.orders(0, {"a": (BID, 600, 9_000), "c": (ASK, 500, 8_000)})
    bench.drain()
    bench.check()
    assert bench.clearing("east").price is None
    assert bench.routes("mg1").levels == ((2, 500, 0),)
    assert bench.routes("mg2").levels == ((2, 0, 500),), "the level is that of the chain that matched"


def test_delegated_rounds_are_those_of_the_market_in_the_contracts_seed():
    bench = two(delegated_rounds=5)
    bench.orders(0, {"a": (BID, 500, 9_000), "c": (ASK, 700, 8_000)})
    bench.drain()
    market = bench.market
    expected = delegated_rounds(
        market.session("region", 0),
        (Order("mg1", BID, 500, 0), Order("mg2", ASK, 700, 0)),
        market.bidder,
        market.mechanism,
        5,
        market.tolerance,
    )
    assert bench.clearing("region").orders == expected.orders
    assert bench.clearing("region").price == expected.clearing.price
    published = [bench.view("region", "round", 0, number) for number in range(1, 7)]
    assert [row and row[:5] for row in published] == [
        *((held.number, held.price, 700, 500, ("mg1", "mg2")) for held in expected.rounds), None,
    ]  # fmt: skip
    assert [row[5] for row in published[:5]] == [False] * 5
    assert bench.view("region", "round", 0, 0) == published[4]


def test_delegated_rounds_are_published_up_to_the_one_in_which_prices_agree():
    bench = two(bidder=FavourableBidder())
    bench.orders(0, {"a": (BID, 500, 9_000), "c": (ASK, 700, 8_000)})
    bench.drain()
    bench.check()
    rounds = [bench.view("region", "round", 0, number) for number in (1, 2, 3)]
    parties = (700, 500, ("mg1", "mg2"))
    assert rounds == [(1, 11_050, *parties, False), (2, 11_050, *parties, True), None]


def test_a_parent_with_one_side_holds_no_round():
    bench = two()
    bench.orders(0, {"a": (BID, 500, 9_000), "c": (BID, 700, 8_000)})
    bench.drain()
    assert [bench.view("region", "round", 0, number) for number in (0, 1)] == [None, None]


def test_a_residual_that_reaches_its_parent_after_the_gate_is_refused_traded_with_the_grid_and_counted():
    bench = MarketBench(TWO, TWO_HOMES, market_of(2), delay=2 * MINUTE)
    bench.orders(0, {"a": (BID, 500, 9_000), "c": (ASK, 700, 8_000)})
    bench.drain()
    bench.check()
    assert [receipt.code for receipt in bench.solo.chains["region"].receipts] == ["late", "late"]
    assert bench.routes("mg1") == RoutesRow(0, (), 500, 0, None)
    assert bench.routes("mg2") == RoutesRow(0, (), 0, 700, None)
    assert [bench.missed(chain) for chain in ("mg1", "mg2", "region")] == [(0, 1), (0, 1), (0, 0)]


def test_a_residual_just_before_the_gate_is_taken():
    bench = MarketBench(TWO, TWO_HOMES, market_of(2), delay=2 * MINUTE - 10)
    bench.orders(0, {"a": (BID, 500, 9_000), "c": (ASK, 700, 8_000)})
    bench.drain()
    bench.check()
    assert bench.routes("mg1").levels == ((1, 500, 0),)


def test_a_residual_that_nobody_takes_expires_comes_back_and_is_traded_with_the_grid():
    bench = two()
    bench.orders(0, {"a": (BID, 500, 9_000), "b": (ASK, 100, 9_000), "c": (ASK, 700, 8_000)})
    bench.solo.offline.add("region")
    bench.to_gate()
    bench.solo.advance_to(bench.market.gate_at(0, 1) + 2 * MINUTE - 1)
    assert bench.view("mg1", "interval", 0) == "cleared"
    bench.solo.advance_to(bench.market.gate_at(0, 1) + 2 * MINUTE)
    bench.solo.advance(1)
    assert bench.view("mg1", "interval", 0) == "final"
    assert [bench.missed(chain) for chain in ("mg1", "mg2")] == [(0, 1), (0, 1)]
    assert bench.routes("mg1") == RoutesRow(100, (), 400, 0, bench.clearing("mg1").price)
    bench.restart_at("region", 2 * HOUR)
    bench.drain()
    bench.check()
    assert bench.solo.balance("mg2", "utility") == FUNDS - 700 * TARIFF.sell_price


def test_a_chain_that_was_down_over_its_parents_gate_keeps_its_residual():
    for late, missed in ((-1, (0, 0)), (0, (0, 1))):
        bench = two(rounds=1)
        bench.orders(0, {"a": (BID, 500, 9_000)})
        bench.solo.offline.add("mg1")
        gate = bench.market.gate_at(0, 1)
        bench.solo.advance_to(gate + late)
        bench.solo.run_block("mg1", gate + late)
        bench.solo.offline.clear()
        assert bench.missed("mg1") == missed
        assert (bench.view("mg1", "residuals", 0) == ()) == (late == 0)
        bench.drain()
        bench.check()
        assert bench.routes("mg1").grid_bought == 500
        assert bench.missed("mg1") == (0, 1)


def test_a_parent_that_was_down_over_its_parents_gate_refunds_its_children_at_once():
    bench = deep()
    bench.orders(0, {"a": (BID, 500, 9_000), "c": (ASK, 200, 8_000)})
    bench.solo.advance_to(bench.market.gate_at(0, 1) - 1)
    bench.solo.offline.add("east")
    bench.restart_at("east", bench.market.gate_at(0, 2))
    bench.drain()
    bench.check()
    assert bench.missed("east") == (0, 1)
    assert bench.routes("mg1") == RoutesRow(0, ((1, 200, 0),), 300, 0, None)


def test_a_parent_without_a_token_to_lend_refunds_its_children_at_once():
    bench = MarketBench(DEEP, DEEP_HOMES, market_of(3), without_mandate=("west",))
    bench.orders(0, {"e": (ASK, 500, 9_000), "c": (BID, 200, 8_000)})
    bench.solo.advance_to(bench.market.gate_at(0, 2) - 1)
    assert bench.view("west", "residuals", 0) == ()
    assert bench.view("west", "interval", 0) == "closed"
    assert bench.missed("west") == (0, 0)


def test_at_a_parent_too_supply_may_meet_demand():
    bench = deep()
    bench.orders(0, {"a": (BID, 300, 9_000), "c": (ASK, 300, 6_000), "e": (ASK, 400, 7_000)})
    bench.to_gate(level=1)
    assert bench.view("east", "residuals", 0) == ()
    assert bench.view("east", "interval", 0) == "closed"
    bench.drain()
    bench.check()
    assert bench.routes("mg1") == RoutesRow(0, ((1, 300, 0),), 0, 0, None)


def test_in_the_middle_a_residual_that_comes_back_is_refunded_to_the_children():
    bench = deep()
    bench.orders(0, {"a": (BID, 900, 9_000), "c": (ASK, 300, 6_000), "e": (ASK, 400, 7_000)})
    bench.solo.offline.add("region")
    bench.solo.advance_to(bench.market.gate_at(0, 2) + 5 * MINUTE)
    bench.restart_at("region", 2 * HOUR)
    bench.drain()
    bench.check()
    assert bench.missed("east") == bench.missed("west") == (0, 1)
    assert bench.missed("mg1") == (0, 0)
    assert bench.routes("mg1") == RoutesRow(0, ((1, 300, 0),), 600, 0, None)
    assert bench.routes("mg3") == RoutesRow(0, (), 0, 400, None)


def test_a_parent_that_dies_after_taking_an_order_leaves_exactly_that_unsettled():
    bench = deep()
    bench.orders(0, {"a": (BID, 900, 9_000), "c": (ASK, 300, 6_000), "e": (ASK, 400, 7_000)})
    bench.solo.advance_to(bench.market.gate_at(0, 2) - 1)
    bench.solo.offline.add("region")
    bench.drain()
    assert {chain: bench.view(chain, "unsettled") for chain in bench.places} == {
        "mg1": ((0, BID, 600),),
        "mg2": (),
        "mg3": ((0, ASK, 400),),
        "east": ((0, BID, 600),),
        "west": ((0, ASK, 400),),
        "region": (),
    }
    assert bench.view("mg1", "open_intervals") == (0,)
    assert bench.metered("a").assumed, "metering does not wait for the market"
    bench.restart_at("region", bench.solo.now)
    bench.drain()
    bench.solo.advance(HOUR)
    bench.check()


def test_an_interval_that_is_open_is_not_forgotten_however_old():
    bench = two(intervals=8, intervals_kept=1)
    bench.orders(0, {"a": (BID, 500, 9_000), "c": (ASK, 700, 8_000)})
    bench.solo.advance_to(bench.market.gate_at(0, 1) - 1)
    bench.solo.offline.add("region")
    bench.solo.advance_to(bench.market.metering_at(5))
    assert [bench.view("mg1", "interval", k) for k in (0, 1)] == ["cleared", "closed"]
    assert bench.view("mg1", "unsettled") == ((0, BID, 500),)
    bench.restart_at("region", bench.solo.now)
    bench.drain()
    assert bench.routes("mg1", 0) is None, "settled, and soon forgotten"
    assert bench.view("mg1", "unsettled") == bench.view("mg2", "unsettled") == ()
    price = bench.solo.balance("mg1", "a") - FUNDS
    assert -500 * TARIFF.buy_price < price < -500 * TARIFF.sell_price


def test_without_a_token_to_lend_a_surplus_goes_to_the_grid_and_the_grid_owes_it():
    bench = MarketBench(TWO, TWO_HOMES, market_of(2), utility_funds={"mg1": 0, "mg2": 0, "region": 1})
    bench.orders(0, {"c": (ASK, 700, 8_000)})
    bench.drain()
    assert bench.view("mg2", "residuals", 0) == ()
    assert bench.routes("mg2") == RoutesRow(0, (), 0, 700, None)
    assert bench.view("mg2", "debts") == (("c", -700 * TARIFF.sell_price),)
    bench.check()


# ---------------------------------------------------------------------------------------- messages out of the ordinary


class Answers:
    """A bench whose region takes orders and never answers by itself: the test does."""

    def __init__(self):
        self.bench = two()
        self.bench.orders(0, {"a": (BID, 500, 9_000), "c": (ASK, 700, 8_000)})
        self.bench.to_gate()
        self.bench.solo.offline.add("region")
        self.bench.solo.advance(1)

    def send(self, chain, number, lots, refunded, money, side=BID, contract="auction", k=0):
        """Let a result of the region arrive, and apply it; the code of its receipt."""
        parameters = (k, side, number, lots, refunded)
        code = self.bench.inject("region", contract, chain, "receive_result", parameters, money)
        self.bench.solo.advance(2)
        return code

    def residual(self, chain="mg1"):
        return self.bench.view(chain, "residuals", 0)[0]


PRICE = 10_000
GAIN = TARIFF.buy_price - PRICE


def test_results_that_come_out_of_order_wait_for_their_turn():
    answers = Answers()
    assert answers.send("mg1", 1, ((2, 100, PRICE),), 200, 100 * GAIN + 200 * TARIFF.buy_price) is None
    assert answers.residual() == (BID, 500, 500, 0, ())
    assert answers.send("mg1", 0, ((1, 200, PRICE),), 0, 200 * GAIN) is None
    assert answers.residual() == (BID, 500, 0, 200, ((1, 200, PRICE), (2, 100, PRICE)))
    assert answers.bench.view("mg1", "interval", 0) == "final"
    assert answers.bench.solo.balance("mg1", "auction") == 0
    assert answers.bench.share("a").money == -300 * PRICE - 200 * TARIFF.buy_price


def test_a_result_is_applied_once():
    answers = Answers()
    for code in (None, "duplicate"):
        assert answers.send("mg1", 0, ((1, 200, PRICE),), 0, 200 * GAIN) == code
    assert answers.residual() == (BID, 500, 300, 0, ((1, 200, PRICE),))
    assert answers.send("mg1", 2, ((2, 100, PRICE),), 0, 100 * GAIN) is None
    assert answers.send("mg1", 2, ((2, 100, PRICE),), 0, 100 * GAIN) == "duplicate", "also one that waits"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"side": ASK}, "unknown"),
        ({"k": 1}, "unknown"),
        ({"k": -1}, "parameters"),
        ({"contract": "accounts"}, "stranger"),
        ({"number": 16}, "duplicate"),
        ({"lots": ((1, 0, PRICE),)}, "parameters"),
        ({"lots": ((1, 10),)}, "parameters"),
        ({"lots": ((1, 10, -1),)}, "parameters"),
        ({"lots": (1,)}, "parameters"),
        ({"lots": 1}, "parameters"),
        ({"lots": (("1", 10, PRICE),)}, "parameters"),
        ({"refunded": -1}, "parameters"),
        ({"side": "both"}, "parameters"),
    ],
)
def test_a_result_that_nobody_waits_for_fails_and_its_money_stays_with_the_contract(changes, code):
    answers = Answers()
    ordinary = {"number": 0, "lots": ((1, 10, PRICE),), "refunded": 0, "money": 10 * GAIN}
    assert answers.send("mg1", **{**ordinary, **changes}) == code
    assert answers.residual() == (BID, 500, 500, 0, ())
    expected = 10 * GAIN
    assert answers.bench.solo.balance("mg1", "auction") == expected
    assert answers.bench.solo.balance("mg1", "region") == 0


@pytest.mark.parametrize(
    ("lots", "refunded", "money"),
    [
        (((1, 501, PRICE),), 0, 501 * GAIN),
        (((1, 500, PRICE),), 1, 500 * GAIN + TARIFF.buy_price),
        (((1, 200, PRICE),), 0, 200 * GAIN - 1),
        (((1, 200, PRICE),), 0, 200 * GAIN + 1),
        (((2, 200, PRICE), (1, 200, PRICE)), 0, 400 * GAIN),
        (((1, 200, PRICE), (1, 200, PRICE)), 0, 400 * GAIN),
        (((0, 200, PRICE),), 0, 200 * GAIN),
    ],
)
def test_a_result_that_does_not_fit_the_request_is_noted_and_not_applied(lots, refunded, money):
    answers = Answers()
    assert answers.send("mg1", 0, lots, refunded, money) is None
    assert answers.residual() == (BID, 500, 500, 0, ())
    assert [event.name for event in answers.bench.solo.chains["mg1"].events][-1] == "result_unfit"
    assert answers.send("mg1", 1, ((1, 500, PRICE),), 0, 500 * GAIN) is None
    assert answers.residual() == (BID, 500, 0, 0, ((1, 500, PRICE),)), "the next number is still applied"


def test_the_smallest_lots_are_taken():
    answers = Answers()
    assert answers.send("mg1", 0, ((1, 1, 0), (2, 1, PRICE)), 0, TARIFF.buy_price + GAIN) is None
    assert answers.residual() == (BID, 500, 498, 0, ((1, 1, 0), (2, 1, PRICE)))


def test_levels_rise_from_result_to_result():
    answers = Answers()
    assert answers.send("mg1", 0, ((2, 100, PRICE),), 0, 100 * GAIN) is None
    assert answers.send("mg1", 1, ((2, 100, PRICE),), 0, 100 * GAIN) is None
    assert answers.residual() == (BID, 500, 400, 0, ((2, 100, PRICE),))


def test_the_lent_token_comes_back_with_the_result_that_closes_a_surplus():
    answers = Answers()
    lent = answers.bench.solo.balance("mg2", "utility")
    assert lent == FUNDS - 1
    assert answers.send("mg2", 0, ((1, 200, PRICE),), 0, 200 * PRICE, side=ASK) is None
    assert answers.bench.solo.balance("mg2", "utility") == lent
    assert answers.send("mg2", 1, ((2, 500, PRICE),), 0, 500 * PRICE + 1, side=ASK) is None
    assert answers.bench.solo.balance("mg2", "utility") == FUNDS
    assert answers.bench.solo.balance("mg2", "c") == FUNDS + 700 * PRICE
    assert answers.bench.solo.balance("mg2", "auction") == 0


def test_a_residual_is_taken_from_the_auction_of_a_child_once_with_its_escrow():
    bench = MarketBench({**DEEP, "mg4": "west"}, {**DEEP_HOMES, "mg4": ("g",)}, market_of(3))

    def inject(sender, contract, parameters, money):
        return bench.inject(sender, contract, "west", "submit_residual", parameters, money)

    assert inject("mg1", "auction", (0, ASK, 5), 1) == "stranger"
    assert inject("mg3", "accounts", (0, ASK, 5), 1) == "stranger"
    assert inject("mg3", "auction", (0, ASK, 5), 1) is None
    assert inject("mg3", "auction", (0, ASK, 5), 1) == "duplicate"
    assert inject("mg4", "auction", (0, ASK, 0), 1) == "bad_energy"
    assert inject("mg4", "auction", (0, ASK, 10**12 + 1), 1) == "bad_energy"
    assert inject("mg4", "auction", (0, ASK, 5), 2) == "escrow"
    assert inject("mg4", "auction", (0, BID, 5), 5 * TARIFF.buy_price - 1) == "escrow"
    assert inject("mg4", "auction", (0, BID, 5), 5 * TARIFF.buy_price) is None
    assert bench.view("west", "requests", 0) == (("mg3", ASK, 5, 5, 0), ("mg4", BID, 5, 5, 0))
    assert bench.solo.balance("west", "auction") == 1 + 5 * TARIFF.buy_price


def test_the_smallest_and_the_largest_residual_are_taken():
    bench = MarketBench({**DEEP, "mg4": "west"}, {**DEEP_HOMES, "mg4": ("g",)}, market_of(3))
    assert bench.inject("mg3", "auction", "west", "submit_residual", (0, ASK, 1), 1) is None
    assert bench.inject("mg4", "auction", "west", "submit_residual", (0, ASK, 10**12), 1) is None


def test_a_message_that_was_never_sent_cannot_come_back():
    bench = two()
    bench.orders(0, {"a": (BID, 500, 9_000)})
    for counter, code in ((0, "stranger"), (-1, "parameters"), ("0", "parameters")):
        bench.to_gate()
        receipt = bench.solo.post("mg1", "b", "auction", "returned", counter, "submit_residual", b"")
        assert receipt.code == code
    under_way, never_sent = (0, "submit_residual", b""), (7, "submit_residual", b"")
    assert bench.inject("region", "auction", "mg1", "returned", never_sent, 1) == "unknown"
    assert bench.inject("region", "accounts", "mg1", "returned", under_way, 1) == "stranger"
    assert bench.inject("mg2", "auction", "mg1", "returned", under_way, 1) == "stranger"
    assert bench.missed("mg1") == (0, 0)
    assert bench.view("mg1", "residuals", 0) == ((BID, 500, 500, 0, ()),)


def test_the_fee_of_a_refusal_is_borne_by_the_utility():
    bench = two()
    bench.orders(0, {"a": (BID, 500, 9_000)})
    bench.solo.offline.add("region")
    bench.to_gate()
    money = 500 * TARIFF.buy_price - 1
    assert bench.inject("region", "auction", "mg1", "returned", (0, "submit_residual", b""), money) is None
    bench.solo.advance(2)
    assert bench.view("mg1", "interval", 0) == "final"
    assert bench.solo.balance("mg1", "utility") == FUNDS + 500 * TARIFF.buy_price - 1
    assert bench.solo.balance("mg1", "auction") == 0


def test_a_message_comes_back_once():
    bench = two()
    bench.orders(0, {"a": (BID, 500, 9_000)})
    bench.solo.offline.add("region")
    bench.solo.advance_to(bench.market.gate_at(0, 1) + 5 * MINUTE)
    assert bench.view("mg1", "interval", 0) == "final"
    assert bench.inject("region", "auction", "mg1", "returned", (0, "submit_residual", b""), 1) == "unknown"
    assert bench.missed("mg1") == (0, 1)


def test_parents_take_no_orders_and_microgrids_no_residuals():
    bench = two()
    doors = {chain: set(bench.solo.chains[chain].program.contracts["auction"].entry_points) for chain in TWO}
    answers = {"receive_result", "returned"}
    assert doors["mg1"] == {"submit_order", "submit_reading", *answers}
    assert doors["region"] == {"submit_residual", *answers}
