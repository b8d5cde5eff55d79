"""What ``hbbft`` and ``mmr14`` promise with f Byzantine members, under adversarial orders, in committees of four to nine."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.kernel.automaton import NodeId
from ledger.kernel.encoding import encode
from tests.harness.committee import CHAIN, DealtCommittee
from tests.harness.honey_badger_checks import (
    CODEC,
    LIARS,
    SCHEDULES,
    Liars,
    Variant,
    check_avid,
    check_late_coin,
    check_protocol,
)
from tests.harness.virtual_network import Pending, RandomOrder, VirtualNetwork
from wasp.consensus.avid_broadcast import AvidBroadcast, RootReady, ShardEcho
from wasp.consensus.byzantine.honey_badger import vals_of_payload
from wasp.consensus.reliable_broadcast import PayloadDelivered

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


@pytest.mark.parametrize("n", [4, 7, 10])
def test_one_equivocator_more_than_the_committee_survives_breaks_agreement(n: int):
    """The positive control."""
    dealt = DealtCommittee(n)
    liars, correct = dealt.members[: dealt.committee.f + 1], dealt.members[dealt.committee.f + 1 :]
    path = (CHAIN, 1, "broadcast", 0)
    for half, payload in ((correct[: len(correct) // 2], b"one"), (correct[len(correct) // 2 :], b"other")):
        nodes = {me: AvidBroadcast(path, dealt.committee, 0, me=me) for me in half}
        network = VirtualNetwork(nodes, CODEC, RandomOrder(n), liars)
        vals = vals_of_payload(payload, n)
        for me in half:
            lies: list[tuple[NodeId, Any]] = [(liars[0], vals[dealt.committee.index[me]])]
            lies += [(liar, ShardEcho(val.root, val.branch, val.shard)) for liar, val in zip(liars, vals, strict=False)]
            lies += [(liar, RootReady(vals[0].root)) for liar in liars]
            network.pending += [Pending(liar, me, path, message, encode(message)) for liar, message in lies]
        network.run()
        assert {me: network.outputs_of(me, PayloadDelivered) for me in half} == {
            me: [PayloadDelivered(payload)] for me in half
        }
