"""What protocols with a leader promise, as checks under an adversary: ``AssertionError`` when a promise is broken.

A check runs one committee once, by its seed: who is faulty (the first leader mostly), what the liars say, who holds its
proposal back, the order of messages, and which timers expire before messages that are still on their way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from ledger.kernel.automaton import NodeId
from ledger.kernel.encoding import Codec
from ledger.kernel.instant import HOUR
from ledger.kernel.rng import stream
from tests.harness.committee import DealtCommittee
from tests.harness.consensus_checks import adversary
from tests.harness.virtual_network import VirtualNetwork
from wasp.consensus.byzantine.leaders import TwoFaced, bad_signatures, flooding, replaying, withholding_leader
from wasp.consensus.byzantine.lying import Lie, Lying, silent
from wasp.consensus.committee_protocol import ProposalsDecided, ProposalsSeen, Propose
from wasp.consensus.leaders.hotstuff import HotStuff, HotStuffMessage
from wasp.consensus.leaders.jolteon import Jolteon, JolteonMessage
from wasp.consensus.leaders.leadership import LeaderProtocol
from wasp.consensus.leaders.pbft import Pbft, PbftMessage
from wasp.consensus.leaders.sequencer import Sequencer, SequencerMessage
from wasp.consensus.leaders.tendermint import Tendermint, TendermintMessage

CODECS: Mapping[type[LeaderProtocol], Codec[Any]] = {
    Pbft: Codec(PbftMessage),
    Tendermint: Codec(TendermintMessage),
    HotStuff: Codec(HotStuffMessage),
    Jolteon: Codec(JolteonMessage),
    Sequencer: Codec(SequencerMessage),
}
LeaderLiars = Literal["silent", "two-faced", "withholding", "bad signatures", "replaying", "flooding"]
LEADER_LIARS: tuple[LeaderLiars, ...] = (
    "silent",
    "two-faced",
    "withholding",
    "bad signatures",
    "replaying",
    "flooding",
)
LEADER_LIES: Mapping[LeaderLiars, Lie] = {
    "silent": silent,
    "withholding": withholding_leader,
    "bad signatures": bad_signatures,
    "replaying": replaying,
    "flooding": flooding,
}
EARLY_EXPIRIES = 8
"""Deadlines that pass while messages are on their way: timeouts double, so not for ever."""
HOPELESS = 2 * HOUR
"""Of failing views, after which nobody will ever decide."""


class HastyNetwork(VirtualNetwork):
    """The adversary's network, on which some deadlines pass early."""

    def __init__(self, seed: int, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._rng = stream(seed, "early expiries")
        self._left = self._rng.randrange(EARLY_EXPIRIES)

    def crank(self) -> bool:
        assert self.now < HOPELESS, f"no end: {self.status()}"
        if self._left and self._rng.random() < 0.02:
            self._left -= 1
            if self._pass_to_deadline():
                return True
        return super().crank()


def faulty_leaders(dealt: DealtCommittee, protocol: type[LeaderProtocol], seed: int) -> tuple[NodeId, ...]:
    """As many members as the committee survives: the first leaders, or any; the sequencer is trusted."""
    rng, f = stream(seed, "faulty leaders"), dealt.committee.f
    if protocol is Sequencer:
        return tuple(rng.sample(dealt.members[1:], f))
    return dealt.members[1 : 1 + f] if seed % 2 else tuple(rng.sample(dealt.members, f))


def leader_network(
    protocol: type[LeaderProtocol], dealt: DealtCommittee, liars: LeaderLiars, seed: int, faulty: tuple[NodeId, ...]
) -> HastyNetwork:
    """A committee with liars, whose owners propose when f + 1 others have."""
    nodes: dict[NodeId, Any] = dealt.each(protocol)
    for me in faulty:
        if liars == "two-faced":
            nodes[me] = TwoFaced(nodes[me], dealt.membership(me), stream(seed, "two-faced", me))
        else:
            nodes[me] = Lying(nodes[me], me, LEADER_LIES[liars])
    proposed: set[NodeId] = set()

    def owners(node: NodeId, output: Any) -> Iterable[Any]:
        if isinstance(output, ProposalsSeen) and node not in proposed:
            proposed.add(node)
            yield Propose(node.encode())

    network = HastyNetwork(seed, nodes, CODECS[protocol], adversary(dealt.members, seed), faulty, owners)
    holding_back = stream(seed, "holding back").sample(list(network.correct), dealt.committee.f if seed % 3 else 0)
    for me in dealt.members:
        if me not in holding_back:
            proposed.add(me)
            network.give(me, Propose(me.encode()))
    return network


def check_leader(protocol: type[LeaderProtocol], n: int, liars: LeaderLiars, seed: int) -> None:
    """The same n - f proposals everywhere, true where the member is correct, whatever up to f members do."""
    dealt = DealtCommittee(n)
    network = leader_network(protocol, dealt, liars, seed, faulty_leaders(dealt, protocol, seed))
    network.run(60_000, until=lambda: not network.pending and all(_is_at_rest(network, me) for me in network.correct))
    decided = {me: network.outputs_of(me, ProposalsDecided) for me in network.correct}
    lists = {output for outputs in decided.values() for output in outputs}
    assert len(lists) <= 1, f"agreement: {decided}"
    assert all(len(outputs) == 1 for outputs in decided.values()), f"termination: {network.status()}"
    proposals = dict(lists.pop().proposals)
    assert len(proposals) == dealt.committee.waiting, f"size: {sorted(proposals)}"
    for me in network.correct:
        assert proposals.get(dealt.committee.index[me], me.encode()) == me.encode(), f"validity: {proposals}"
        assert network.nodes[me].terminated, "terminated"  # type: ignore[attr-defined]


def _is_at_rest(network: VirtualNetwork, me: NodeId) -> bool:
    node: Any = network.nodes[me]
    return bool(node.terminated)
