"""What HotStuff and Jolteon promise against members in league, as checks under an adversary: see ``leader_checks``."""

from __future__ import annotations

from typing import Any

from ledger.kernel.automaton import NodeId
from ledger.kernel.rng import stream
from tests.harness.committee import DealtCommittee
from tests.harness.consensus_checks import adversary
from tests.harness.leader_checks import CODECS, HastyNetwork
from tests.harness.virtual_network import Starving
from wasp.consensus.byzantine.phases import Conspiracy, Conspirator
from wasp.consensus.committee_protocol import ProposalsDecided, Propose
from wasp.consensus.leaders.certified_phases import CertifiedPhases


def conspiracy_network(
    protocol: type[CertifiedPhases], dealt: DealtCommittee, seed: int, beyond: int = 0
) -> HastyNetwork:
    """A committee whose first leaders, or any members, are in league: as many as it survives, or more."""
    count = dealt.committee.f + beyond
    faulty = dealt.members[1 : 1 + count]
    if seed % 6 == 0:
        faulty = tuple(stream(seed, "faulty").sample(list(dealt.members), count))
    conspiracy = Conspiracy(protocol, [dealt.membership(me) for me in faulty], stream(seed, "conspiracy"))
    nodes: dict[NodeId, Any] = dealt.each(protocol)
    nodes.update({me: Conspirator(me, conspiracy) for me in faulty})

    orders = Starving(seed, lambda item: item.sender in conspiracy.told) if seed % 4 else adversary(dealt.members, seed)
    network = HastyNetwork(seed, nodes, CODECS[protocol], orders, faulty)
    for me in dealt.members:
        network.give(me, Propose(me.encode()))
    return network


def decisions(network: HastyNetwork) -> dict[NodeId, list[ProposalsDecided]]:
    """What correct members have decided."""
    return {me: network.outputs_of(me, ProposalsDecided) for me in network.correct}


def check_conspiracy(protocol: type[CertifiedPhases], n: int, seed: int) -> None:
    """The same list everywhere, whatever f members in league do."""
    network = conspiracy_network(protocol, DealtCommittee(n), seed)
    network.run(60_000)
    decided = decisions(network)
    assert len({output for outputs in decided.values() for output in outputs}) <= 1, f"agreement: {decided}"
    assert all(len(outputs) == 1 for outputs in decided.values()), f"termination: {network.status()}"


def disagree(protocol: type[CertifiedPhases], n: int, seed: int) -> bool:
    """Whether f + 1 members in league make the others decide two lists."""
    network = conspiracy_network(protocol, DealtCommittee(n), seed, beyond=1)
    network.run(until=lambda: network.cranks > 20 * n * n)
    return len({output for outputs in decisions(network).values() for output in outputs}) > 1
