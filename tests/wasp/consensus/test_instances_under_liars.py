"""Whole instances of every protocol, to the signed anchor: f members that lie in every way harm nobody, f + 1 do.

What the kinds of liar say is in ``tests.harness.instance_liars``. Each protocol is run with each kind at every size at which
quorums differ in another way, with other members faulty, other orders of messages and other early timers by each seed.
"""

from __future__ import annotations

import pytest

from tests.harness.instance_liars import INSTANCE_LIARS, InstanceLiars, anchors_beyond, check_liars
from wasp.consensus.protocols import PROTOCOLS

SIZES = (4, 5, 6, 7, 8, 9)
SEEDS = {4: 4, 5: 3, 6: 2, 7: 1, 8: 1, 9: 1}
"""Runs of each kind, by the size of the committee: large ones are slow."""


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("liars", INSTANCE_LIARS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_one_anchor_is_signed_and_known_to_all_whatever_f_liars_do(protocol: str, liars: InstanceLiars, n: int):
    for seed in range(SEEDS[n]):
        check_liars(protocol, n, liars, seed + n)


@pytest.mark.parametrize("n", [4, 7])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_one_equivocator_more_makes_two_anchors_of_one_base(protocol: str, n: int):
    """n = 3f + 1: with f + 1 twins each half of the others is n - f members who all do their part."""
    assert len(anchors_beyond(protocol, n, seed=1)) == 2


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("protocol", ["hotstuff", "jolteon"])
def test_a_member_without_work_that_a_faulty_leader_leaves_out_catches_up(protocol: str, seed: int):
    """Votes go to the leader alone: the member hears of the decision by the others' shares of the entropy, and proposes."""
    check_liars(protocol, 4, "twins", 3 * seed + 1)
