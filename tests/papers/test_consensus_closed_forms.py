"""Times and message counts of the committee's protocols, as equalities of integers.

Every link takes the same delay d, a member's copy to itself takes none, handling takes none, all start at 0.

- Bracha 1987, reliable broadcast: initial, echo, ready: 3d; (n - 1) + 2 n (n - 1) messages.
- Mostefaoui, Moumen, Raynal 2014, one round with a coin known ahead: votes and auxiliary votes: 2d; estimates that differ
  cost one more d, for the relayed votes.
- Common subset, no faults: 3d for the broadcasts, all agreements start with 1, the coin of round 0 is 1: 3d + 2d = 5d.
  Up to then a member has multicast an initial, n echoes, n readies, and for each of n agreements a vote and an auxiliary vote
  of round 0, a vote of round 1 (rounds follow each other at once) and one announcement that it has decided:
  n (n - 1)(5n + 1) messages, and n^2 (n - 1) announcements.
- Common subset, f silent: the n - f agreements of the others decide at 5d; then the f others start with 0, whose first
  fitting coin is that of round 2: 5d + 3 * 2d = 11d. n - f members speak, about n - f broadcasts and n agreements.
- Common subset with a real coin in every round, its shares released at the start of the round: the coin is there at 1d, so a
  round takes 2d all the same, and agreement j ends with its first round r whose coin is 1: 3d + 2d max (r + 1).
- Terminated: the second decision, in round 1 by the coins 1, 1: 3d + 4d = 7d.
"""

from __future__ import annotations

from typing import Any

import pytest

from ledger.kernel.automaton import NodeId
from ledger.kernel.encoding import pack
from tests.harness.committee import CHAIN, DealtCommittee
from tests.harness.consensus_checks import AGREEMENT_CODEC, BROADCAST_CODEC, SUBSET_CODEC
from tests.harness.virtual_network import TimedNetwork
from wasp.consensus.binary_agreement import BinaryAgreement, BitDecided, VoteGiven
from wasp.consensus.byzantine.lying import Lying, silent
from wasp.consensus.committee_protocol import ProposalsDecided, Propose
from wasp.consensus.common_coin import REAL_SCHEDULE, WASP_SCHEDULE
from wasp.consensus.common_subset import CommonSubset
from wasp.consensus.reliable_broadcast import BroadcastPayload, PayloadDelivered, ReliableBroadcast

D = 25_000
SIZES = (4, 7, 10, 16, 31)


def terminated(network: TimedNetwork) -> set[bool]:
    """Whether members have terminated."""
    nodes: dict[NodeId, Any] = network.nodes
    return {node.terminated for node in nodes.values()}


def silence(dealt: DealtCommittee, nodes: dict[NodeId, Any]) -> tuple[NodeId, ...]:
    """The last f members say nothing."""
    mute = dealt.members[dealt.committee.n - dealt.committee.f :]
    nodes.update({me: Lying(nodes[me], me, silent) for me in mute})
    return mute


def times(network: TimedNetwork, kind: type) -> set[int]:
    """When correct members had this output."""
    return {at for me in network.correct for at, output in network.outputs[me] if isinstance(output, kind)}


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("mute", [False, True])
def test_a_broadcast_is_delivered_at_3d(n: int, mute: bool):
    dealt = DealtCommittee(n)
    path = (CHAIN, 1, "broadcast", 0)
    nodes = dealt.each(lambda membership: ReliableBroadcast(path, membership.committee, 0))
    faulty = silence(dealt, nodes) if mute else ()
    network = TimedNetwork(nodes, BROADCAST_CODEC, D, faulty)
    network.give(dealt.members[0], BroadcastPayload(b"payload"))
    network.run()
    assert times(network, PayloadDelivered) == {3 * D}
    speakers = n - len(faulty)
    assert network.sent == {"Initial": n - 1, "Echo": speakers * (n - 1), "Ready": speakers * (n - 1)}


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize(("value", "rounds"), [(True, 1), (False, 3)])
def test_a_unanimous_agreement_takes_2d_a_round_until_the_coin_fits(n: int, value: bool, rounds: int):
    dealt = DealtCommittee(n)
    path = (CHAIN, 1, "agreement", 0)
    nodes = dealt.each(lambda membership: BinaryAgreement(path, membership.committee, WASP_SCHEDULE))
    network = TimedNetwork(nodes, AGREEMENT_CODEC, D)
    for me in dealt.members:
        network.give(me, VoteGiven(value))
    network.run()
    assert times(network, BitDecided) == {rounds * 2 * D}
    assert {node.decision for node in nodes.values()} == {value}
    assert {node.terminated for node in nodes.values()} == {True}


@pytest.mark.parametrize("n", SIZES[1:])  # with n = 4 the own relayed vote completes the majority at once
def test_votes_that_differ_cost_one_delay_more(n: int):
    dealt = DealtCommittee(n)
    path = (CHAIN, 1, "agreement", 0)
    nodes = dealt.each(lambda membership: BinaryAgreement(path, membership.committee, WASP_SCHEDULE))
    network = TimedNetwork(nodes, AGREEMENT_CODEC, D)
    for place, me in enumerate(dealt.members):
        network.give(me, VoteGiven(place >= dealt.committee.f + 1))
    # Votes of f + 1 for 0 and of 2f for 1 are relayed at 1d and accepted at 2d; the auxiliary votes then come at 3d.
    network.run(until=3 * D - 1)
    assert {node.round for node in nodes.values()} == {0}
    network.run(until=3 * D)
    assert {node.round for node in nodes.values()} == {1}
    network.run()
    assert {node.decision for node in nodes.values()} == {True}


@pytest.mark.parametrize("n", SIZES)
def test_the_subset_is_decided_at_5d_and_its_messages_are_counted(n: int):
    dealt = DealtCommittee(n)
    network = TimedNetwork(dealt.each(CommonSubset), SUBSET_CODEC, D)
    for me in dealt.members:
        network.give(me, Propose(me.encode()))
    network.run(until=5 * D)
    assert times(network, ProposalsDecided) == {5 * D}
    proposals = tuple((place, me.encode()) for place, me in enumerate(dealt.members))
    assert {network.outputs_of(me, ProposalsDecided)[0] for me in dealt.members} == {ProposalsDecided(proposals)}
    announcements = network.sent.pop("Done")
    assert announcements == n**2 * (n - 1)
    assert sum(network.sent.values()) == n * (n - 1) * (5 * n + 1)


@pytest.mark.parametrize("n", SIZES)
def test_the_subset_is_terminated_at_7d(n: int):
    dealt = DealtCommittee(n)
    network = TimedNetwork(dealt.each(CommonSubset), SUBSET_CODEC, D)
    for me in dealt.members:
        network.give(me, Propose(me.encode()))
    network.run(until=7 * D - 1)
    assert terminated(network) == {False}
    network.run(until=7 * D)
    assert terminated(network) == {True}
    sent = network.sent.total()
    network.run()
    assert network.sent.total() == sent == n * (n - 1) * (2 * n + 1) + 5 * n**2 * (n - 1)


@pytest.mark.parametrize("n", SIZES)
def test_with_f_silent_members_the_subset_is_decided_at_11d(n: int):
    dealt = DealtCommittee(n)
    nodes = dealt.each(CommonSubset)
    faulty = silence(dealt, nodes)
    network = TimedNetwork(nodes, SUBSET_CODEC, D, faulty)
    for me in dealt.members:
        network.give(me, Propose(me.encode()))
    network.run(until=11 * D)
    assert times(network, ProposalsDecided) == {11 * D}
    speakers = n - len(faulty)
    assert {len(network.outputs_of(me, ProposalsDecided)[0].proposals) for me in network.correct} == {speakers}
    spoken = {
        "Initial": speakers,
        "Echo": speakers**2,
        "Ready": speakers**2,
        "BVal": speakers * (2 * speakers + 4 * len(faulty)),
        "Aux": speakers * (2 * speakers + 3 * len(faulty)),
        "Done": speakers * n,
    }
    assert network.sent == {kind: count * (n - 1) for kind, count in spoken.items()}


@pytest.mark.parametrize("n", SIZES[:-1])
@pytest.mark.parametrize("log_index", [1, 2, 3])
def test_with_real_coins_the_subset_waits_for_the_last_agreement_whose_coin_fits(n: int, log_index: int):
    dealt = DealtCommittee(n)
    key = dealt.keys[dealt.members[0]].coin
    shares = dict.fromkeys(range(key.threshold), b"")

    def coin(proposer: int, round: int) -> int:
        return key.combine(pack(((CHAIN, log_index, "coin", proposer, round), b"")), shares)[0] & 1

    def first_fitting_round(proposer: int) -> int:
        return next(round for round in range(100) if coin(proposer, round))

    expected = 3 * D + 2 * D * max(first_fitting_round(proposer) + 1 for proposer in range(n))
    nodes = {me: CommonSubset(dealt.membership(me, log_index), REAL_SCHEDULE) for me in dealt.members}
    network = TimedNetwork(nodes, SUBSET_CODEC, D)
    for me in dealt.members:
        network.give(me, Propose(me.encode()))
    network.run()
    assert times(network, ProposalsDecided) == {expected}


def test_with_fair_coins_agreements_take_two_rounds_in_the_mean_and_the_last_of_n_as_long_as_the_maximum_of_n_draws():
    """Unanimous votes: each round is the last with a chance of 1/2. Inside the 99 % interval of so many independent draws."""
    n, instances = 4, 600
    rounds: list[int] = []
    last: list[int] = []
    for log_index in range(1, instances + 1):
        dealt = DealtCommittee(n)
        nodes = {me: CommonSubset(dealt.membership(me, log_index), REAL_SCHEDULE) for me in dealt.members}
        network = TimedNetwork(nodes, SUBSET_CODEC, D)
        for me in dealt.members:
            network.give(me, Propose(b""))
        network.run()
        (taken,) = {node.rounds for node in nodes.values()}
        assert times(network, ProposalsDecided) == {3 * D + 2 * D * max(taken)}
        rounds += taken
        last.append(max(taken))
    assert len(rounds) == 2_400
    assert abs(sum(rounds) - 2 * len(rounds)) <= 2.576 * (2 * len(rounds)) ** 0.5
    exceeding = [1 - (1 - 0.5**k) ** n for k in range(200)]  # the chance that the maximum is above k
    mean = sum(exceeding)
    variance = sum((2 * k + 1) * chance for k, chance in enumerate(exceeding)) - mean**2
    assert round(mean, 3) == 3.505
    assert abs(sum(last) - mean * instances) <= 2.576 * (variance * instances) ** 0.5
