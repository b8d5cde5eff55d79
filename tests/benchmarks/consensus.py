"""Rates of the committee's protocols: messages handled per CPU second, counted as copies received from another member.

The loop is the barest that the automata allow: constant delay, all that arrives in an instant at once, own copies first,
no codec, model crypto. What a runtime adds comes on top.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ledger.kernel.automaton import NOTHING, Automaton, Envelope, NodeId, Step
from ledger.kernel.instant import MILLISECOND
from tests.benchmarks.rate import Benchmark
from tests.harness.committee import DealtCommittee
from tests.harness.consensus_instances import Owner, propose
from tests.harness.virtual_network import Answers
from wasp.consensus.committee_protocol import CommitteeProtocol, Membership, Propose
from wasp.consensus.common_subset import CommonSubset
from wasp.consensus.consensus_interface import OpenInstance
from wasp.consensus.leaders.pbft import Pbft


def decisions(protocol: Callable[[Membership], CommitteeProtocol], n: int) -> Callable[[], int]:
    """Runs a protocol among n members, one instance after another."""
    dealt, log_index = DealtCommittee(n), 0

    def work() -> int:
        nonlocal log_index
        log_index += 1
        nodes = {me: protocol(dealt.membership(me, log_index)) for me in dealt.members}
        count = run(nodes, lambda me: (Propose(me.encode() * 50),), lambda node, output: ())
        assert all(node.terminated for node in nodes.values())
        return count

    return work


def instances(n: int) -> Callable[[], int]:
    """Runs whole instances, up to the signed anchor, of n members."""
    dealt, log_index, owner = DealtCommittee(n), 0, Owner()

    def work() -> int:
        nonlocal log_index
        log_index += 1
        nodes = {me: dealt.consensus(me, log_index) for me in dealt.members}
        count = run(nodes, lambda me: (OpenInstance(), propose(requests=6)), owner)
        assert all(node.terminated for node in nodes.values())
        return count

    return work


def run(
    nodes: Mapping[NodeId, Automaton[Any, Any, Any]], first: Callable[[NodeId], Iterable[Any]], answers: Answers
) -> int:
    """Let all begin with their first inputs, and deliver all messages; how many there were."""
    handlers = {me: node.handle_message for me, node in nodes.items()}
    count = now = 0
    arriving: list[tuple[NodeId, Envelope]] = []

    def take(node: NodeId, step: Step[Any]) -> None:
        steps = [step]
        for step in steps:
            for output in step.outputs:
                steps.extend(nodes[node].handle_input(answer, now) for answer in answers(node, output))
            for envelope in step.messages:
                arriving.append((node, envelope))
                if node in envelope.recipients:
                    own = handlers[node](node, envelope.path, envelope.message, now)
                    if own != NOTHING:
                        steps.append(own)

    for me, node in nodes.items():
        for input in first(me):
            take(me, node.handle_input(input, now))
    while arriving:
        now += MILLISECOND
        arrived, arriving = arriving, []
        for sender, envelope in arrived:
            path, message = envelope.path, envelope.message
            for recipient in envelope.recipients:
                if recipient != sender:
                    count += 1
                    step = handlers[recipient](sender, path, message, now)
                    if step != NOTHING:
                        take(recipient, step)
    return count


BENCHMARKS = (
    Benchmark("common subset of 4", "messages", lambda: decisions(CommonSubset, 4)),
    Benchmark("common subset of 16", "messages", lambda: decisions(CommonSubset, 16)),
    Benchmark("common subset of 40", "messages", lambda: decisions(CommonSubset, 40)),
    Benchmark("PBFT of 16", "messages", lambda: decisions(Pbft, 16)),
    Benchmark("PBFT of 128", "messages", lambda: decisions(Pbft, 128)),
    Benchmark("instance of 4, to the signed anchor", "messages", lambda: instances(4)),
    Benchmark("instance of 16, to the signed anchor", "messages", lambda: instances(16)),
)
