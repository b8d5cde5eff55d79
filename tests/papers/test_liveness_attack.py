"""What a scheduler and one Byzantine member can do to agreement, form by form: it is never broken, but is it ever reached?

The scheduler is ``tests.harness.liveness_attack``'s; docs/consensus.md tells the attack step by step. n = 4, f = 1. A form is
when the share of a real coin is released, and which rounds have one:

====================  ==================  ===========================================================================
share released        coins               under the attack
====================  ==================  ===========================================================================
after the votes       real                divided for ever (``mmr14``; MacBrough 2018, Tholoniat and Gramoli 2019)
when confirmed        1, 0, real          ends: each real coin ends it with a chance of a half (``hbbft``)
at the round's start  1, 1, 0, 0, real    divided for ever (``wasp``), even without a Byzantine member that says anything
after the votes       1, 1, 0, 0, real    divided for ever
when confirmed        1, 1, 0, 0, real    ends
====================  ==================  ===========================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.harness.liveness_attack import (
    Scheduler,
    divide_before_the_third_votes,
    divide_by_a_guess,
    divide_knowing_the_coin,
    divide_without_a_liar,
    keep_divided,
)
from wasp.consensus.binary_agreement import ROUNDS_MAX
from wasp.consensus.common_coin import REAL_SCHEDULE, WASP_SCHEDULE, CoinSchedule
from wasp.consensus.common_subset import CommonSubset
from wasp.consensus.hbbft import HBBFT_SCHEDULE, HoneyBadger
from wasp.consensus.late_coin_agreement import LateCoinAgreement
from wasp.consensus.mmr14 import Mmr14

ROUNDS = 150
"""For how long a form that can be stalled is stalled: as long as one likes."""
SEEDS = range(1, 301)


def unconfirmed(membership: Any) -> CommonSubset:
    """Wasp's coins, released after the votes."""
    return CommonSubset(membership, WASP_SCHEDULE, make_agreement=partial(LateCoinAgreement, confirming=False))


def confirmed(membership: Any) -> CommonSubset:
    """Wasp's coins, released when confirmed."""
    return CommonSubset(membership, WASP_SCHEDULE, make_agreement=LateCoinAgreement)


def divide_with_the_early_coin(scheduler: Scheduler, round: int) -> None:
    """The shares are out before the votes: a real coin is no better than a fixed one."""
    divide_knowing_the_coin(scheduler, round, scheduler.coin(round))


def divide_with_the_early_coin_and_no_liar(scheduler: Scheduler, round: int) -> None:
    divide_without_a_liar(scheduler, round, scheduler.coin(round))


STALLED = [
    (Mmr14, True, REAL_SCHEDULE, divide_knowing_the_coin, divide_before_the_third_votes),
    (CommonSubset, True, WASP_SCHEDULE, divide_knowing_the_coin, divide_with_the_early_coin),
    (CommonSubset, False, WASP_SCHEDULE, divide_without_a_liar, divide_with_the_early_coin_and_no_liar),
    (unconfirmed, True, WASP_SCHEDULE, divide_knowing_the_coin, divide_before_the_third_votes),
]
IDS = ["mmr14", "wasp", "wasp-without-a-liar", "wasp-released-after-the-votes"]


@pytest.mark.parametrize(("make", "byzantine", "schedule", "divide", "divide_real"), STALLED, ids=IDS)
@pytest.mark.parametrize("log_index", [1, 2, 3])
def test_members_stay_divided_for_as_long_as_the_scheduler_likes_and_agree_as_soon_as_it_lets_go(
    make: Any, byzantine: bool, schedule: CoinSchedule, divide: Any, divide_real: Any, log_index: int
):
    scheduler = Scheduler(make, log_index, byzantine)
    assert keep_divided(scheduler, schedule, divide, divide_real, ROUNDS) == ROUNDS
    assert scheduler.rounds() == {0}, "nobody has decided"
    assert set(scheduler.estimates(ROUNDS).values()) == {False, True}
    assert all(not outputs for outputs in scheduler.decided().values())
    scheduler.let_go()
    decided = scheduler.decided()
    assert {len(outputs) for outputs in decided.values()} == {1}
    assert len({outputs[0] for outputs in decided.values()}) == 1


@pytest.mark.parametrize(("make", "byzantine", "schedule", "divide", "divide_real"), STALLED[:2], ids=IDS[:2])
def test_divided_up_to_the_last_round_it_stands_still(
    make: Any, byzantine: bool, schedule: CoinSchedule, divide: Any, divide_real: Any
):
    """What ends this is the committee's next log index."""
    scheduler = Scheduler(make, 1, byzantine)
    assert keep_divided(scheduler, schedule, divide, divide_real, ROUNDS_MAX) == ROUNDS_MAX
    scheduler.let_go()
    assert scheduler.rounds() == {0}
    assert all("out of rounds" in node.status["leaves"]["agreement/3"] for node in scheduler.nodes.values())


@pytest.mark.parametrize(
    ("make", "schedule"), [(HoneyBadger, HBBFT_SCHEDULE), (confirmed, WASP_SCHEDULE)], ids=["hbbft", "wasp-confirmed"]
)
def test_confirmed_coins_end_it_each_with_a_chance_of_a_half(make: Any, schedule: CoinSchedule):
    """``hbbft`` decides in every run, after a number of real coins that is geometric with mean 2."""
    real_coins: list[int] = []
    for seed in SEEDS:
        scheduler = Scheduler(make, seed)
        rounds = keep_divided(scheduler, schedule, divide_knowing_the_coin, divide_by_a_guess, ROUNDS_MAX)
        scheduler.let_go()
        real_coins.append(sum(schedule.fixed(round) is None for round in range(rounds + 1)))
        decided = scheduler.decided()
        assert {len(outputs) for outputs in decided.values()} == {1}
        assert len({outputs[0] for outputs in decided.values()}) == 1
        assert max(scheduler.rounds()) <= rounds + 1 + len(schedule.rounds), (
            "all agree now: the next coin that fits decides"
        )
    assert max(real_coins) <= 20, "2^-20 for each of them"
    assert is_geometric_mean(sum(real_coins), len(real_coins))


def test_who_cannot_read_the_shares_and_has_no_liar_fails_with_a_chance_of_a_half_at_each_real_coin_of_wasp():
    real_coins: list[int] = []
    for seed in SEEDS:
        scheduler = Scheduler(CommonSubset, seed, byzantine=False)
        rounds = keep_divided(scheduler, WASP_SCHEDULE, divide_without_a_liar, divide_guessing_and_no_liar, ROUNDS_MAX)
        scheduler.let_go()
        real_coins.append((rounds + 1) // len(WASP_SCHEDULE.rounds))
        assert {len(outputs) for outputs in scheduler.decided().values()} == {1}
    assert is_geometric_mean(sum(real_coins), len(real_coins))


def divide_guessing_and_no_liar(scheduler: Scheduler, round: int) -> bool:
    coin = scheduler.coin(round)  # for the verdict, not for the strategy
    divide_without_a_liar(scheduler, round, True)
    return coin


def is_geometric_mean(total: int, count: int) -> bool:
    """Whether the sum of so many geometric draws with a chance of 1/2 (mean 2, variance 2) is in its 99 % interval."""
    return abs(total - 2 * count) <= 2.576 * (2 * count) ** 0.5


@pytest.mark.parametrize(("make", "round"), [(Mmr14, 0), (CommonSubset, 4)], ids=["mmr14", "wasp"])
def test_the_scheduler_knows_a_coin_only_when_a_correct_member_has_released_its_share(
    make: Callable[[Any], Any], round: int
):
    scheduler = Scheduler(make, 1)
    for fixed in range(round):
        coin = WASP_SCHEDULE.fixed(fixed)
        assert coin is not None
        with pytest.raises(AssertionError, match="the coin is not known yet"):
            scheduler.coin(round)
        divide_knowing_the_coin(scheduler, fixed, coin)
    if make is Mmr14:  # released after the votes: nobody has voted yet
        with pytest.raises(AssertionError, match="the coin is not known yet"):
            scheduler.coin(round)
    else:  # released at the start: nobody has voted yet, and it is known
        assert scheduler.coin(round) in {False, True}
