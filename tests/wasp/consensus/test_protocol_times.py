"""How timeouts grow, and what is off."""

from typing import Any

import msgspec
import pytest

from ledger.kernel.automaton import NodeId
from ledger.kernel.instant import MINUTE, SECOND
from tests.harness.committee import DealtCommittee
from tests.harness.leader_checks import CODECS
from tests.harness.virtual_network import TimedNetwork
from wasp.consensus.byzantine.lying import Lying, silent
from wasp.consensus.committee_protocol import Membership, ProposalsDecided, Propose
from wasp.consensus.leaders.leadership import LeaderProtocol
from wasp.consensus.leaders.tendermint import Precommit, Prevote, Tendermint
from wasp.consensus.protocol_times import ProtocolTimes
from wasp.consensus.signing.anchor_signature import PrepareSignature, SignMessage
from wasp.consensus.signing.frost_signature import FrostSignature

D = 25_000
OFF = ProtocolTimes(view_timeout=None, attempt_timeout=None)
PROTOCOLS = [protocol for protocol in CODECS if protocol.name != "sequencer"]


def test_timeouts_double_up_to_a_minute_and_never_fall():
    times = ProtocolTimes(view_timeout=SECOND, attempt_timeout=3 * SECOND)
    assert [times.timeout_of_view(view) // SECOND for view in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert [times.timeout_of_attempt(attempt) // SECOND for attempt in range(6)] == [3, 6, 12, 24, 48, 60]
    assert times.timeout_of_view(10**6) == MINUTE
    assert [ProtocolTimes(5 * MINUTE).timeout_of_view(view) for view in range(3)] == [5 * MINUTE] * 3


def test_what_is_off_has_no_end():
    assert [OFF.timeout_of_view(view) for view in (0, 1, 100)] == [None] * 3
    assert [OFF.timeout_of_attempt(attempt) for attempt in (0, 1, 100)] == [None] * 3


def run(protocol: type[LeaderProtocol], times: ProtocolTimes) -> TimedNetwork:
    """Four members, of whom the first leader, m1, is silent."""
    dealt = DealtCommittee(4)

    def member(place: Membership) -> LeaderProtocol:
        return protocol(msgspec.structs.replace(place, times=times))

    nodes: dict[NodeId, Any] = dealt.each(member)
    leader = dealt.members[1]
    nodes[leader] = Lying(nodes[leader], leader, silent)
    network = TimedNetwork(nodes, CODECS[protocol], D, (leader,))
    for me in dealt.members:
        network.give(me, Propose(me.encode()))
    network.run()
    return network


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_with_timers_off_a_silent_leader_is_waited_for_for_ever_and_no_timer_runs(protocol):
    network = run(protocol, OFF)
    assert network.now == D  # the proposals' way to the leader
    assert not any(network.outputs_of(me, ProposalsDecided) for me in network.correct)
    for me in network.correct:
        node = network.nodes[me]
        assert (node.deadline, node.decided, node.view) == (None, False, 0)
        assert node.status["leader"] == "m1" and node.status["timers"] == {}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_time_of_a_view_is_what_the_owner_says(protocol):
    slow, quick = (run(protocol, ProtocolTimes(view_timeout=timeout)) for timeout in (5 * SECOND, SECOND))
    for network in (slow, quick):
        assert all(network.nodes[me].decided for me in network.correct)
    assert slow.now - quick.now == 4 * SECOND


def test_with_timers_off_an_attempt_without_its_signers_goes_on_for_ever():
    dealt = DealtCommittee(4)
    place = msgspec.structs.replace(dealt.membership(dealt.members[0]), times=OFF)
    signature = FrostSignature(place)
    (prepared,) = signature.handle_input(PrepareSignature(), 0).outputs
    preparations = tuple((index, prepared.preparation) for index in range(4))
    signature.handle_input(SignMessage(bytes(32), preparations), 0)
    assert (signature.started, signature.attempts, signature.deadline) == (True, 1, None)


@pytest.mark.parametrize(("times", "timers"), [(OFF, set()), (ProtocolTimes(), {"prevote", "precommit", "round"})])
def test_votes_that_disagree_start_the_timers_of_a_tendermint_round_unless_they_are_off(times, timers):
    dealt = DealtCommittee(4)
    nodes = dealt.each(lambda place: Tendermint(msgspec.structs.replace(place, times=times)))
    me, leader = nodes[dealt.members[0]], nodes[dealt.members[1]]
    offers = [(name, nodes[name].handle_input(Propose(b""), 0).messages[0]) for name in dealt.members]
    told = [leader.handle_message(name, offer.path, offer.message, D) for name, offer in offers]
    (proposal,) = [envelope for step in told for envelope in step.messages]
    me.handle_message(dealt.members[1], proposal.path, proposal.message, 2 * D)
    for kind in (Prevote, Precommit):
        for place, name in enumerate(dealt.members[1:]):
            vote = nodes[name]._notary.vote(kind, 0, bytes([place]) * 32)
            me.handle_message(name, proposal.path, vote, 3 * D)
    assert (me.decided, me.view, set(me.status["timers"])) == (False, 0, timers)
