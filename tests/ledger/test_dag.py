"""The block DAG: cones, and what is forgotten."""

from __future__ import annotations

from ledger.block import Block
from ledger.dag import Dag
from ledger.utxo import NO_CONFLICTS
from tests.harness.lone_tangle import LoneTangle
from tests.harness.payments import NETWORK, coins, genesis

NODE = LoneTangle(genesis(*coins(1)))


def grown(kept: int = 10) -> tuple[Dag, list[Block]]:
    """A diamond on the genesis, and one block on it: times 0, 1, 1, 2, 3."""
    dag = Dag(NETWORK, kept)
    bottom = NODE.block(0, time=0)
    left, right = NODE.block(1, bottom, time=1), NODE.block(2, bottom, time=1)
    top = NODE.block(3, left, right, time=2)
    last = NODE.block(0, top, weak=(left,), time=3)
    blocks = [bottom, left, right, top, last]
    for block in blocks:
        dag.add(block, NO_CONFLICTS, None)
    return dag, blocks


def test_the_cones_of_a_block_are_its_strong_ancestors_and_descendants_in_booking_order():
    dag, (bottom, left, right, top, last) = grown()
    future = [entry.id for entry in dag.future_cone([dag.entries[left.id]])]
    past = [entry.id for entry in dag.past_cone([dag.entries[top.id]])]
    assert future == [left.id, top.id, last.id]
    assert past == [bottom.id, left.id, right.id, top.id]


def test_a_confirmed_block_ends_the_cones():
    dag, (bottom, left, right, top, _last) = grown()
    dag.confirm(dag.entries[bottom.id])
    assert [entry.id for entry in dag.past_cone([dag.entries[top.id]])] == [left.id, right.id, top.id]
    assert dag.entries[bottom.id].children == []


def test_blocks_are_forgotten_when_the_newest_confirmed_one_is_more_than_what_is_kept_ahead():
    dag, (bottom, left, *_rest) = grown(kept=10)
    assert dag.prune() == []
    newest = NODE.block(0, time=10)
    dag.confirm(dag.add(newest, NO_CONFLICTS, None))
    assert dag.prune() == []
    newest = NODE.block(0, time=11)
    dag.confirm(dag.add(newest, NO_CONFLICTS, None))
    assert [entry.id for entry in dag.prune()] == [bottom.id]
    assert dag.entries[left.id].strong == ()
    assert dag.pruned_before == 1
    assert dag.genesis.id in dag.entries


def test_the_missing_parents_of_a_block_are_those_not_booked():
    dag, (bottom, *_rest) = grown()
    unknown, weak = NODE.block(0, time=7), NODE.block(2, time=8)
    assert dag.missing(NODE.block(1, bottom, unknown, weak=(weak,))) == [unknown.id, weak.id]


def test_the_newest_blocks_are_told_page_by_page():
    dag, (bottom, left, right, top, last) = grown(kept=1)
    assert [entry.id for entry in dag.newest(2)] == [last.id, top.id]
    [last_of_page] = dag.newest(2)[1:]
    assert [entry.id for entry in dag.newest(10, last_of_page.place)] == [right.id, left.id, bottom.id]
    dag.confirm(dag.entries[last.id])
    dag.prune()
    assert [entry.id for entry in dag.newest(10)] == [last.id, top.id]
    assert dag.newest(10, last_of_page.place) == dag.newest(10, 0) == []
    assert [entry.id for entry in dag.newest(10, 10**30)] == [last.id, top.id]
    assert Dag(NETWORK, 1).newest(10) == []
