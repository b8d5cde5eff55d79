"""What ``hbbft`` and ``mmr14`` promise under adversarial orders and up to f Byzantine members, for committees of four to nine."""

from __future__ import annotations

import pytest

from tests.harness.honey_badger_checks import (
    LIARS,
    SCHEDULES,
    Liars,
    Variant,
    check_avid,
    check_late_coin,
    check_protocol,
)

SIZES = (4, 5, 6, 7, 8, 9)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("liars", LIARS)
def test_a_broadcast_by_shards_keeps_agreement_totality_and_validity(n: int, liars: Liars):
    for seed in range(30):
        check_avid(n, liars, seed)


@pytest.mark.parametrize("variant", SCHEDULES)
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("liars", ["silent", "lying", "flooding", "gossiping"])
def test_an_agreement_keeps_agreement_validity_and_ends(n: int, variant: Variant, liars: Liars):
    for seed in range(3 if liars == "flooding" else 20):
        check_late_coin(n, variant, liars, seed)


@pytest.mark.parametrize("variant", SCHEDULES)
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("value", [False, True])
def test_a_unanimous_vote_is_decided_whatever_liars_say(n: int, variant: Variant, value: bool):
    for seed in range(10):
        check_late_coin(n, variant, "gossiping", seed, unanimous=value)


@pytest.mark.parametrize("variant", SCHEDULES)
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("liars", LIARS)
def test_the_proposals_are_the_same_everywhere(n: int, variant: Variant, liars: Liars):
    for seed in range(2):
        check_protocol(n, variant, liars, seed)
