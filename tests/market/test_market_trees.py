"""Random trees: whatever the shape, the books and the parents that never answer, energy and money add up."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.kernel.instant import HOUR, MINUTE
from market.orders import ASK, BID, opposite
from market.sharing import share
from tests.harness.market_bench import CONNECTION, TARIFF, MarketBench, market_of

CHAINS_MAX = 12
"""Enough for four levels and for six children, few enough for many examples."""


@st.composite
def trees(draw):
    """The parents of chains (the root last), and the homes of the microgrids: 0 to 4 levels above them, 1 to 6 children."""
    parents = {"top": None}
    leaves, grown = ["top"], draw(st.integers(0, 6))
    depth = {"top": 0}
    for _ in range(grown):
        growing = [chain for chain in leaves if depth[chain] < 4]
        count = min(draw(st.integers(1, 6)), CHAINS_MAX - len(parents))
        if not growing or not count:
            break
        chain = draw(st.sampled_from(growing[-2:]))
        leaves.remove(chain)
        for number in range(count):
            child = f"{chain}.{number}"
            parents[child], depth[child] = chain, depth[chain] + 1
            leaves.append(child)
    homes = {chain: tuple(f"{chain}/{number}" for number in range(draw(st.integers(1, 3)))) for chain in leaves}
    return dict(reversed(parents.items())), homes


@st.composite
def orders_of(draw, homes):
    """Orders of most homes; microgrids that only sell, that only buy, that do both, and sometimes all of the same kind."""
    energy = st.one_of(st.integers(1, 9), st.sampled_from([100, CONNECTION]))
    price = st.integers(TARIFF.lowest_price, TARIFF.highest_price)
    kinds = draw(st.sampled_from([((BID,),), ((ASK,),), ((BID,), (ASK,), (BID, ASK)), ((BID,), (ASK,), (BID, ASK))]))
    orders = {}
    for members in homes.values():
        sides = draw(st.sampled_from(kinds))
        for home in members:
            if draw(st.integers(0, 4)):
                orders[home] = (draw(st.sampled_from(sides)), draw(energy), draw(price))
    return orders


def expected_routes(bench, orders, offline, interval):
    """Who trades how much by which route, from the rules alone: (local, {level: (bought, sold)}, bought, sold) by chain."""
    places = bench.places
    by_level = sorted(places.values(), key=lambda place: place.level)
    residuals, fills, local = {}, {}, {}
    for place in by_level:
        if place.homes:
            book = {home.account: orders[home.account] for home in place.homes if home.account in orders}
            wanted = {name: (order[0], order[1]) for name, order in book.items()}
        elif place.chain in offline:
            wanted = {}
        else:
            wanted = {child: residuals[child] for child in place.children if residuals[child] is not None}
        sums = {side: sum(energy for s, energy in wanted.values() if s == side) for side in (BID, ASK)}
        matched = min(sums.values())
        long_side = BID if sums[BID] > sums[ASK] else ASK
        fills[place.chain] = {name: energy for name, (side, energy) in wanted.items() if side != long_side and matched}
        fills[place.chain] |= share(matched, {n: e for n, (side, e) in wanted.items() if side == long_side}, interval)
        left = sums[long_side] - matched
        residuals[place.chain] = (long_side, left) if left else None
        local[place.chain] = matched
    lots = {place.chain: [] for place in by_level}
    for place in reversed(by_level):
        if not place.children or place.chain in offline:
            continue
        lacking = {}
        for child in place.children:
            if residuals[child] is not None:
                fill = fills[place.chain][child]
                if fill:
                    lots[child].append((place.level, fill))
                if residuals[place.chain] and residuals[child][0] == residuals[place.chain][0]:
                    lacking[child] = residuals[child][1] - fill
        for level, energy in lots[place.chain]:
            for child, portion in share(energy, lacking, interval).items():
                lacking[child] -= portion
                if portion:
                    lots[child].append((level, portion))
    routes = {}
    for place in by_level:
        if place.homes:
            side, energy = residuals[place.chain] or (BID, 0)
            levels = {level: {side: portion, opposite(side): 0} for level, portion in lots[place.chain]}
            grid = {side: energy - sum(portion for _, portion in lots[place.chain]), opposite(side): 0}
            rows = tuple((level, found[BID], found[ASK]) for level, found in sorted(levels.items()))
            routes[place.chain] = (local[place.chain], rows, grid[BID], grid[ASK])
    return routes


@settings(max_examples=60)
@given(st.data())
def test_energy_and_money_add_up_over_random_trees_and_nothing_is_left_unsettled(data):
    parents, homes = data.draw(trees())
    names = [home for members in homes.values() for home in members]
    levels = 5
    market = market_of(levels, intervals=2, delegated_rounds=data.draw(st.integers(1, 4)))
    bench = MarketBench(parents, homes, market, seed=data.draw(st.integers(0, 3)))
    inner = [chain for chain in parents if chain not in homes]
    dead = st.lists(st.sampled_from(inner), unique=True, max_size=3) if inner else st.just([])
    offline = set(data.draw(st.one_of(st.just([]), st.just([]), dead)))
    orders = {k: data.draw(orders_of(homes)) for k in range(2)}
    bench.solo.offline |= offline
    for interval in range(2):
        bench.solo.advance_to(market.opening_at(interval))
        bench.orders(interval, orders[interval])
    bench.solo.advance_to(market.readings_from(0))
    for home, net in data.draw(st.dictionaries(st.sampled_from(names), st.integers(-20, 20))).items():
        assert bench.reading(home, 0, net).succeeded
    bench.solo.advance_to(market.delivery(1) + 10 * MINUTE)
    bench.solo.offline.clear()
    bench.solo.advance_to(max(bench.solo.now, market.delivery(2)))
    bench.drain()
    bench.solo.advance(HOUR)
    bench.check()
    for interval in range(2):
        expected = expected_routes(bench, orders[interval], offline, interval)
        found = {chain: bench.routes(chain, interval) for chain in expected}
        assert {c: (r.local, r.levels, r.grid_bought, r.grid_sold) for c, r in found.items()} == expected
    prices = [bench.clearing(chain, k).price for chain in parents for k in range(2)]
    assert all(price is None or TARIFF.lowest_price <= price <= TARIFF.highest_price for price in prices)


@settings(max_examples=15)
@given(st.data())
def test_nobody_on_either_side_of_a_microgrid_loses_by_the_hierarchy(data):
    """The short side gains nothing by it, and the long side loses nothing, but for one unit of rounding."""
    parents, homes = data.draw(trees())
    orders = data.draw(orders_of(homes))
    together = MarketBench(parents, homes, market_of(5))
    alone = MarketBench(dict.fromkeys(homes), homes, market_of(5))
    for bench in (together, alone):
        bench.orders(0, orders)
        bench.drain()
        bench.check()
    for home in orders:
        with_hierarchy, without = together.share(home), alone.share(home)
        clearing = alone.clearing(alone.homes[home])
        if (clearing.supply if without.side == ASK else clearing.demand) == clearing.matched:
            assert with_hierarchy == without
        assert with_hierarchy.money >= without.money - 1
