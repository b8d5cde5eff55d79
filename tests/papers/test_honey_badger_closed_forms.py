"""Times, message counts and rounds of ``hbbft`` and ``mmr14``, as equalities of integers, or inside a 99 % interval.

Every link takes the same delay d, a member's copy to itself takes none, handling takes none, all start at 0.

- Miller et al. 2016, broadcast by shards: val, echo, ready: 3d; (n - 1) + 2 n (n - 1) messages.
- One round of agreement. Fixed coin: votes and auxiliary votes: 2d. Real coin, released when the own votes are fixed: 3d;
  when they are confirmed: 4d. Estimates that differ cost one d more, for the relayed votes. A phase is n (n - 1) messages.
- Unanimous votes with real coins: nothing is decided before a coin fits, and then everywhere, so the number of rounds is
  geometric with a chance of 1/2: mean 2, variance 2; 6d in the mean, 8d confirming.
- ``hbbft``, no faults: 3d + 2d = 5d for the subset, one for the shares: 6d. A member multicasts its val, n echoes, n readies,
  n votes, n auxiliary votes, n ends and its shares: n (n - 1)(5n + 2) messages, and nothing after that.
- ``hbbft``, f silent: the n - f agreements of the others decide at 5d; the f others start with 0, which the coin of round 1
  fits: 5d + 2 * 2d + 1d = 10d.
- ``mmr14``: 3d + 3d max (r + 1), r the first round of an agreement whose coin is 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ledger.kernel.automaton import NodeId, Path
from ledger.kernel.encoding import pack
from tests.harness.agreement_with_coins import AgreementWithCoins
from tests.harness.committee import CHAIN, DealtCommittee
from tests.harness.honey_badger_checks import CODEC
from tests.harness.virtual_network import TimedNetwork
from wasp.consensus.avid_broadcast import AvidBroadcast
from wasp.consensus.binary_agreement import BitDecided, VoteGiven
from wasp.consensus.byzantine.lying import Lying, silent
from wasp.consensus.committee_protocol import ProposalsDecided, Propose
from wasp.consensus.common_coin import REAL_SCHEDULE, CoinSchedule
from wasp.consensus.hbbft import HBBFT_SCHEDULE, HoneyBadger
from wasp.consensus.late_coin_agreement import LateCoinAgreement
from wasp.consensus.mmr14 import Mmr14
from wasp.consensus.reliable_broadcast import BroadcastPayload, PayloadDelivered

D = 25_000
SIZES = (4, 7, 10, 16)
EVERY_SIZE = (4, 5, 6, 7, 8, 9, 10, 16, 31)


def silence(dealt: DealtCommittee, nodes: dict[NodeId, Any]) -> tuple[NodeId, ...]:
    """The last f members say nothing."""
    mute = dealt.members[dealt.committee.n - dealt.committee.f :]
    nodes.update({me: Lying(nodes[me], me, silent) for me in mute})
    return mute


def times(network: TimedNetwork, kind: type) -> set[int]:
    """When correct members had this output."""
    return {at for me in network.correct for at, output in network.outputs[me] if isinstance(output, kind)}


@pytest.mark.parametrize("n", EVERY_SIZE)
@pytest.mark.parametrize("mute", [False, True])
def test_a_broadcast_by_shards_is_delivered_at_3d(n: int, mute: bool):
    dealt = DealtCommittee(n)
    path = (CHAIN, 1, "broadcast", 0)
    nodes: dict[NodeId, Any] = {me: AvidBroadcast(path, dealt.committee, 0, me=me) for me in dealt.members}
    faulty = silence(dealt, nodes) if mute else ()
    network = TimedNetwork(nodes, CODEC, D, faulty)
    network.give(dealt.members[0], BroadcastPayload(b"payload"))
    network.run()
    assert times(network, PayloadDelivered) == {3 * D}
    speakers = n - len(faulty)
    assert network.sent == {"Val": n - 1, "ShardEcho": speakers * (n - 1), "RootReady": speakers * (n - 1)}


def agreements(
    dealt: DealtCommittee, schedule: CoinSchedule, confirming: bool, votes: Callable[[int], bool], log_index: int = 1
) -> TimedNetwork:
    """One agreement of members who vote by their place; nothing is delivered yet."""

    def make(path: Path) -> LateCoinAgreement:
        return LateCoinAgreement(path, dealt.committee, schedule, confirming=confirming)

    nodes = {me: AgreementWithCoins(dealt, me, make, log_index) for me in dealt.members}
    network = TimedNetwork(nodes, CODEC, D)
    for place, me in enumerate(dealt.members):
        network.give(me, VoteGiven(votes(place)))
    return network


def rounds(network: TimedNetwork) -> set[int]:
    """The rounds that members are in."""
    nodes: dict[NodeId, Any] = network.nodes
    return {node.agreement.round for node in nodes.values()}


def coin(dealt: DealtCommittee, path: Path) -> bool:
    """What the members will toss at this path."""
    keys = [dealt.keys[me].coin for me in dealt.members]
    name = pack((path, b""))
    return bool(keys[0].combine(name, {place: key.share(name) for place, key in enumerate(keys)})[0] & 1)


@pytest.mark.parametrize("n", EVERY_SIZE)
@pytest.mark.parametrize(("value", "decided"), [(True, 2), (False, 4)])
def test_a_round_with_a_fixed_coin_takes_2d(n: int, value: bool, decided: int):
    network = agreements(DealtCommittee(n), HBBFT_SCHEDULE, True, lambda place: value)
    network.run()
    assert times(network, BitDecided) == {decided * D}
    messages = n * (n - 1)
    assert network.sent == {"BVal": decided // 2 * messages, "Aux": decided // 2 * messages, "Term": messages}


@pytest.mark.parametrize("n", EVERY_SIZE)
@pytest.mark.parametrize(("confirming", "round"), [(False, 3), (True, 4)])
def test_a_round_with_a_real_coin_takes_3d_and_4d_confirming(n: int, confirming: bool, round: int):
    dealt = DealtCommittee(n)
    expected = next(count for count in range(1, 100) if coin(dealt, (CHAIN, 1, "coin", 0, count - 1)))
    network = agreements(dealt, REAL_SCHEDULE, confirming, lambda place: True)
    network.run()
    assert times(network, BitDecided) == {expected * round * D}
    phases = {"BVal", "Aux", "CoinShare"} | ({"Conf"} if confirming else set())
    messages = n * (n - 1)
    assert network.sent == {**dict.fromkeys(phases, expected * messages), "Term": messages}


@pytest.mark.parametrize("n", SIZES[1:])  # with n = 4 the own relayed vote completes the majority at once
@pytest.mark.parametrize(
    ("schedule", "confirming", "round"),
    [(HBBFT_SCHEDULE, True, 2), (REAL_SCHEDULE, False, 3), (REAL_SCHEDULE, True, 4)],
)
def test_votes_that_differ_cost_one_delay_more(n: int, schedule: CoinSchedule, confirming: bool, round: int):
    dealt = DealtCommittee(n)
    network = agreements(dealt, schedule, confirming, lambda place: place >= dealt.committee.f + 1)
    network.run(until=(round + 1) * D - 1)
    assert rounds(network) == {0}
    assert times(network, BitDecided) == set()
    network.run(until=(round + 1) * D)
    assert times(network, BitDecided) or rounds(network) == {1}


@pytest.mark.parametrize(("confirming", "count", "round"), [(False, 2_000, 3), (True, 2_000, 4)])
def test_unanimous_votes_take_a_geometric_number_of_rounds(confirming: bool, count: int, round: int):
    dealt = DealtCommittee(4)
    taken: list[int] = []
    for log_index in range(1, count + 1):
        network = agreements(dealt, REAL_SCHEDULE, confirming, lambda place: True, log_index)
        network.run()
        (decided,) = times(network, BitDecided)
        assert decided % (round * D) == 0
        taken.append(decided // (round * D))
    assert abs(sum(taken) - 2 * count) <= 2.576 * (2 * count) ** 0.5, "the mean of 2, in its 99 % interval"
    for rounds in (1, 2, 3):
        chance = 0.5**rounds
        expected, deviation = count * chance, (count * chance * (1 - chance)) ** 0.5
        assert abs(taken.count(rounds) - expected) <= 2.576 * deviation


@pytest.mark.parametrize("n", EVERY_SIZE)
def test_hbbft_is_decided_at_6d_and_its_messages_are_counted(n: int):
    dealt = DealtCommittee(n)
    network = TimedNetwork(dealt.each(HoneyBadger), CODEC, D)
    for me in dealt.members:
        network.give(me, Propose(me.encode()))
    network.run()
    assert times(network, ProposalsDecided) == {6 * D}
    proposals = tuple((place, me.encode()) for place, me in enumerate(dealt.members))
    assert {network.outputs_of(me, ProposalsDecided)[0] for me in dealt.members} == {ProposalsDecided(proposals)}
    assert network.sent == {
        "Val": n * (n - 1),
        **dict.fromkeys(("ShardEcho", "RootReady", "BVal", "Aux", "Term"), n * n * (n - 1)),
        "DecryptionShares": n * (n - 1),
    }
    assert network.sent.total() == n * (n - 1) * (5 * n + 2)
    assert network.now == 6 * D, "nothing comes after"


@pytest.mark.parametrize("n", EVERY_SIZE)
def test_with_f_silent_members_hbbft_is_decided_at_10d(n: int):
    dealt = DealtCommittee(n)
    nodes = dealt.each(HoneyBadger)
    faulty = silence(dealt, nodes)
    network = TimedNetwork(nodes, CODEC, D, faulty)
    for me in dealt.members:
        network.give(me, Propose(me.encode()))
    network.run()
    assert times(network, ProposalsDecided) == {10 * D}
    speakers, f = n - len(faulty), len(faulty)
    spoken = {
        "Val": speakers,
        "ShardEcho": speakers**2,
        "RootReady": speakers**2,
        "BVal": speakers * (speakers + 2 * f),
        "Aux": speakers * (speakers + 2 * f),
        "Term": speakers * n,
        "DecryptionShares": speakers,
    }
    assert network.sent == {kind: count * (n - 1) for kind, count in spoken.items()}


@pytest.mark.parametrize("n", SIZES[:3])
@pytest.mark.parametrize("log_index", [1, 2, 3])
def test_mmr14_waits_for_the_last_agreement_whose_coin_fits(n: int, log_index: int):
    dealt = DealtCommittee(n)
    nodes = {me: Mmr14(dealt.membership(me, log_index)) for me in dealt.members}
    network = TimedNetwork(nodes, CODEC, D)
    for me in dealt.members:
        network.give(me, Propose(me.encode()))
    network.run()
    taken = [
        next(count for count in range(1, 100) if coin(dealt, (CHAIN, log_index, "coin", place, count - 1)))
        for place in range(n)
    ]
    assert times(network, ProposalsDecided) == {3 * D + 3 * D * max(taken)}
    assert {node.rounds for node in nodes.values()} == {tuple(taken)}
