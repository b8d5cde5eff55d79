"""Tip selection."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from ledger.dag import BlockEntry
from ledger.kernel.rng import stream
from ledger.tips import Demand, RestrictedUniform, TipPool, TipPools
from ledger.utxo import TransactionEntry
from tests.harness.payments import GENESIS_OF_COINS, coins, payment


def entry(number: int, time: int = 0, payload: bool = False) -> BlockEntry:
    block = BlockEntry(number.to_bytes(32, "big"), None, time, number)
    if payload:
        block.payload = TransactionEntry(payment([GENESIS_OF_COINS.output_id(0)], coins(100)), ())
    return block


def pools(strong: int, weak: int = 0) -> TipPools:
    filled = TipPools()
    for number in range(strong):
        filled.strong.add(entry(number))
    for number in range(weak):
        filled.weak.add(entry(1_000 + number, payload=True))
    return filled


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 15))))
def test_a_pool_is_a_set_whatever_is_added_and_removed(changes):
    pool, model, entries = TipPool(), set(), [entry(number) for number in range(16)]
    for add, number in changes:
        (pool.add if add else pool.discard)(entries[number])
        (model.add if add else model.discard)(number)
        assert {tip.place for tip in pool.tips} == model
        assert len(pool) == len(model)
        assert all((e in pool) == (e.place in model) for e in entries)


def test_strong_tips_are_drawn_uniformly_and_without_repetition():
    rng, drawn, filled = stream(3, "tips"), Counter(), pools(10)
    for _ in range(5_000):
        strong, weak = RestrictedUniform().select(filled, Demand(4, 2, 2), 0, rng)
        assert len({tip.id for tip in strong}) == 2
        assert weak == []
        drawn.update(tip.place for tip in strong)
    expected = 1_000
    assert len(drawn) == 10
    assert sum((count - expected) ** 2 / expected for count in drawn.values()) < 21.7  # 9 degrees, 1 %


def test_weak_tips_are_drawn_uniformly_beside_strong_ones():
    rng, drawn, filled = stream(4, "tips"), Counter(), pools(4, 8)
    for _ in range(4_000):
        strong, weak = RestrictedUniform().select(filled, Demand(4, 2, 2), 0, rng)
        assert len(strong) >= 1
        assert len(strong) <= 2
        assert len(weak) <= 2
        drawn.update(tip.place for tip in weak)
    expected = drawn.total() / 8
    assert expected > 500
    assert sum((count - expected) ** 2 / expected for count in drawn.values()) < 18.5  # 7 degrees, 1 %


@given(st.integers(0, 12), st.integers(0, 12), st.integers(1, 8), st.data())
def test_a_demand_is_met_as_far_as_there_are_tips(strong, weak, total, data):
    demand = Demand(total, data.draw(st.integers(1, total)), data.draw(st.integers(0, total - 1)))
    chosen = RestrictedUniform().select(pools(strong, weak), demand, 0, stream(1, "tips"))
    if strong == 0:
        assert chosen == ([], [])
        return
    assert 1 <= len(chosen[0]) <= min(demand.strong_max, strong)
    assert len(chosen[1]) <= min(demand.weak_max, weak)
    assert len(chosen[0]) + len(chosen[1]) <= total
    if weak == 0:
        assert len(chosen[0]) == min(demand.strong_max, strong)


def test_tips_that_are_too_old_are_not_drawn_and_leave():
    filled = TipPools()
    old, fresh = entry(1, time=9), entry(2, time=10)
    filled.strong.add(old)
    filled.strong.add(fresh)
    assert RestrictedUniform().select(filled, Demand(8, 8, 2), 10, stream(1, "tips")) == ([fresh], [])
    assert filled.strong.tips == (fresh,)


def test_a_weak_tip_whose_payload_is_settled_leaves():
    filled = pools(1, 1)
    (tip,) = filled.weak.tips
    assert RestrictedUniform().select(filled, Demand(8, 8, 2), 0, stream(1, "tips"))[1] == [tip]
    assert tip.payload is not None
    tip.payload.standing = type(tip.payload.standing).CONFIRMED
    assert RestrictedUniform().select(filled, Demand(8, 8, 2), 0, stream(1, "tips"))[1] == []
