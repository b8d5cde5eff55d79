"""What the protocols promise, under adversarial orders and up to f Byzantine members, for committees of four to nine."""

from __future__ import annotations

import pytest

from ledger.kernel.encoding import encode
from tests.harness.committee import CHAIN, DealtCommittee
from tests.harness.consensus_checks import BROADCAST_CODEC, LIARS, Liars, check_agreement, check_broadcast, check_subset
from tests.harness.consensus_instances import check_instance
from tests.harness.virtual_network import Pending, RandomOrder, VirtualNetwork
from wasp.consensus.reliable_broadcast import Echo, Initial, PayloadDelivered, Ready, ReliableBroadcast

SIZES = (4, 5, 6, 7, 8, 9)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("liars", LIARS)
def test_a_broadcast_keeps_agreement_totality_and_validity(n: int, liars: Liars):
    for seed in range(100):
        check_broadcast(n, liars, seed)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("liars", LIARS)
def test_a_binary_agreement_keeps_agreement_validity_and_ends(n: int, liars: Liars):
    for seed in range(40):
        check_agreement(n, liars, seed)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("value", [False, True])
def test_a_unanimous_vote_is_decided_whatever_liars_say(n: int, value: bool):
    for seed in range(30):
        check_agreement(n, "gossiping", seed, unanimous=value)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("liars", LIARS)
def test_a_common_subset_is_the_same_everywhere(n: int, liars: Liars):
    for seed in range(5):
        check_subset(n, liars, seed)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("liars", LIARS)
def test_an_instance_ends_with_one_signed_anchor(n: int, liars: Liars):
    for seed in range(3):
        check_instance(n, liars, seed)


@pytest.mark.parametrize("n", [4, 7, 10])
def test_one_equivocator_more_than_the_committee_survives_breaks_agreement(n: int):
    dealt = DealtCommittee(n)
    liars, correct = dealt.members[: dealt.committee.f + 1], dealt.members[dealt.committee.f + 1 :]
    path = (CHAIN, 1, "broadcast", 0)
    nodes = {me: ReliableBroadcast(path, dealt.committee, 0) for me in correct}
    for half, payload in ((correct[: len(correct) // 2], b"one"), (correct[len(correct) // 2 :], b"other")):
        network = VirtualNetwork({me: nodes[me] for me in half}, BROADCAST_CODEC, RandomOrder(n))
        lies = [(liars[0], Initial(payload)), *((liar, lie(payload)) for lie in (Echo, Ready) for liar in liars)]
        network.pending = [Pending(liar, me, path, message, encode(message)) for me in half for liar, message in lies]
        network.run()
        assert {me: network.outputs_of(me, PayloadDelivered) for me in half} == {
            me: [PayloadDelivered(payload)] for me in half
        }
