"""Times and message counts of the protocols with a leader, as equalities of integers.

Every link takes the same delay d, a member's copy to itself takes none, handling takes none, all propose at 0.

- Gathering: all send their proposals to the leader: d, n - 1 messages; counted apart from what follows.
- Castro and Liskov 1999: pre-prepare, prepare, commit: 3d from the leader's pre-prepare, which stands for its prepare:
  (n - 1) + (n - 1)^2 + n(n - 1) = 2n(n - 1) messages. f silent members that don't lead change nothing but who speaks.
- Dead leaders, k in a row. PBFT: the timer of view v runs for 2^v T from the n - f-th view change, which takes d, so the last
  view begins at (2^k - 1)T + (k - 1)d; then view change, new view, prepare, commit: (2^k - 1)T + (k + 3)d; with one: T + 4d.
- Buchman, Kwon, Milosevic 2018: proposal, prevote, precommit: 3d; (n - 1) + 2n(n - 1) = (n - 1)(2n + 1) messages.
- Dead proposers, k in a row, CometBFT's form: each costs its timeout, prevotes and precommits for nil: (2^k - 1)T + 2kd; then
  3d. The next proposer gets the proposals with the prevotes for nil, so gathering costs nothing.
- Sequencer: it decides when it proposes, the others d later; n - 1 messages.
"""

from __future__ import annotations

from typing import Any

import pytest

from ledger.kernel.automaton import NodeId
from tests.harness.committee import DealtCommittee
from tests.harness.leader_checks import CODECS
from tests.harness.virtual_network import TimedNetwork
from wasp.consensus.byzantine.lying import Lying, silent
from wasp.consensus.committee_protocol import ProposalsDecided, Propose
from wasp.consensus.leaders.leadership import LeaderProtocol
from wasp.consensus.leaders.pbft import Pbft
from wasp.consensus.leaders.sequencer import Sequencer
from wasp.consensus.leaders.tendermint import Tendermint
from wasp.consensus.protocol_times import VIEW_TIMEOUT

D = 25_000
T = VIEW_TIMEOUT
SIZES = (4, 7, 10, 16, 31)


def run(protocol: type[LeaderProtocol], n: int, mute: slice) -> TimedNetwork:
    """An instance in which members 1, 2, ... lead one view after another; those of the slice are silent."""
    dealt = DealtCommittee(n)
    nodes: dict[NodeId, Any] = dealt.each(protocol)
    faulty = dealt.members[mute]
    nodes.update({me: Lying(nodes[me], me, silent) for me in faulty})
    network = TimedNetwork(nodes, CODECS[protocol], D, faulty)
    for me in dealt.members:
        network.give(me, Propose(me.encode()))
    network.run(until=200 * T)
    assert network.faults == []
    return network


def decided(network: TimedNetwork) -> dict[int, int]:
    """How many correct members decided at each instant, in one view."""
    times: dict[int, int] = {}
    for me in network.correct:
        [(at, output)] = [(at, output) for at, output in network.outputs[me] if isinstance(output, ProposalsDecided)]
        times[at] = times.get(at, 0) + 1
        assert output == network.outputs_of(network.correct[0], ProposalsDecided)[0]
    return times


def proposed(network: TimedNetwork) -> list[int]:
    """When lists were proposed, by those who did."""
    nodes: dict[NodeId, Any] = network.nodes
    return [nodes[me].proposed_at for me in network.correct if nodes[me].proposed_at is not None]


def rounds(network: TimedNetwork) -> set[tuple[int, ...]]:
    """How many views there were."""
    nodes: dict[NodeId, Any] = network.nodes
    return {nodes[me].rounds for me in network.correct}


@pytest.mark.parametrize("n", SIZES)
def test_pbft_decides_at_3d_with_2n_times_n_minus_1_messages(n: int):
    network = run(Pbft, n, slice(0))
    assert (proposed(network), decided(network), rounds(network)) == ([D], {D + 3 * D: n}, {(1,)})
    assert network.sent.pop("SignedProposal") == n - 1
    assert network.sent == {"PrePrepare": n - 1, "Prepare": (n - 1) ** 2, "Commit": n * (n - 1)}
    assert network.sent.total() == 2 * n * (n - 1)


@pytest.mark.parametrize("n", SIZES)
def test_pbft_decides_at_3d_with_f_silent_members(n: int):
    f = DealtCommittee(n).committee.f
    network = run(Pbft, n, slice(n - f, n))
    speakers = n - f
    assert (proposed(network), decided(network), rounds(network)) == ([D], {D + 3 * D: speakers}, {(1,)})
    assert network.sent == {
        "SignedProposal": speakers - 1,
        "PrePrepare": n - 1,
        "Prepare": (speakers - 1) * (n - 1),
        "Commit": speakers * (n - 1),
    }


@pytest.mark.parametrize("n", SIZES)
def test_pbft_decides_at_t_plus_4d_when_its_leader_is_dead(n: int):
    network = run(Pbft, n, slice(1, 2))
    assert (proposed(network), decided(network), rounds(network)) == ([T + D], {T + 4 * D: n - 1}, {(2,)})
    alive = n - 1
    assert network.sent == {
        "SignedProposal": alive + (alive - 1),
        "ViewChange": alive * (n - 1),
        "NewView": n - 1,
        "Prepare": (alive - 1) * (n - 1),
        "Commit": alive * (n - 1),
    }


@pytest.mark.parametrize("n", SIZES[1:])
def test_timeouts_of_pbft_double_with_every_dead_leader(n: int):
    for dead in range(2, min(DealtCommittee(n).committee.f, 4) + 1):
        network = run(Pbft, n, slice(1, 1 + dead))
        end = (2**dead - 1) * T + (dead + 3) * D
        assert (proposed(network), decided(network), rounds(network)) == ([end - 3 * D], {end: n - dead}, {(dead + 1,)})


@pytest.mark.parametrize("n", SIZES)
def test_tendermint_decides_at_3d_and_its_messages_are_counted(n: int):
    network = run(Tendermint, n, slice(0))
    assert (proposed(network), decided(network), rounds(network)) == ([D], {D + 3 * D: n}, {(1,)})
    assert network.sent.pop("SignedProposal") == n - 1
    assert network.sent == {"RoundProposal": n - 1, "Prevote": n * (n - 1), "Precommit": n * (n - 1)}
    assert network.sent.total() == (n - 1) * (2 * n + 1)


@pytest.mark.parametrize("n", SIZES)
def test_tendermint_decides_at_3d_with_f_silent_members(n: int):
    f = DealtCommittee(n).committee.f
    network = run(Tendermint, n, slice(n - f, n))
    speakers = n - f
    assert (proposed(network), decided(network), rounds(network)) == ([D], {D + 3 * D: speakers}, {(1,)})
    votes = speakers * (n - 1)
    assert network.sent == {
        "SignedProposal": speakers - 1,
        "RoundProposal": n - 1,
        "Prevote": votes,
        "Precommit": votes,
    }


@pytest.mark.parametrize("n", SIZES)
def test_a_dead_proposer_costs_tendermint_its_timeout_and_2d(n: int):
    for dead in range(1, min(DealtCommittee(n).committee.f, 4) + 1):
        network = run(Tendermint, n, slice(1, 1 + dead))
        end = (2**dead - 1) * T + 2 * dead * D + 3 * D
        assert (proposed(network), decided(network), rounds(network)) == ([end - 3 * D], {end: n - dead}, {(dead + 1,)})
        votes = (dead + 1) * (n - dead) * (n - 1)
        offers = (dead + 1) * (n - dead) - 1
        assert network.sent == {
            "SignedProposal": offers,
            "RoundProposal": n - 1,
            "Prevote": votes,
            "Precommit": votes,
        }


@pytest.mark.parametrize("n", [1, 2, 3, *SIZES])
def test_a_sequencer_decides_at_once_and_the_others_a_delay_later(n: int):
    network = run(Sequencer, n, slice(0))
    begin = D if n > 1 else 0
    times = {begin: 1, begin + D: n - 1} if n > 1 else {begin: 1}
    assert (proposed(network), decided(network), rounds(network)) == ([begin], times, {(1,)})
    assert network.sent == ({"SignedProposal": n - 1, "Sequenced": n - 1} if n > 1 else {})
