"""Rates of the committee's protocols: messages handled per CPU second, counted as copies received from another member.

The loop is the barest that the automata allow: constant delay, all that arrives in an instant at once, own copies first,
no codec, model crypto. What a runtime adds comes on top.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ledger.kernel.automaton import Envelope, NodeId, Step
from tests.benchmarks.rate import Benchmark
from tests.harness.committee import DealtCommittee
from wasp.consensus.committee_protocol import Propose
from wasp.consensus.common_subset import CommonSubset


def common_subsets(n: int) -> Callable[[], int]:
    """Runs common subsets of n members, one after another."""
    dealt, log_index = DealtCommittee(n), 0

    def work() -> int:
        nonlocal log_index
        log_index += 1
        return _run_subset(dealt, log_index)

    return work


def _run_subset(dealt: DealtCommittee, log_index: int) -> int:
    nodes = {me: CommonSubset(dealt.membership(me, log_index)) for me in dealt.members}
    handlers = {me: node.handle_message for me, node in nodes.items()}
    count = now = 0
    arriving: list[tuple[NodeId, Envelope]] = []

    def take(node: NodeId, step: Step[Any]) -> None:
        steps = [step]
        for step in steps:
            for envelope in step.messages:
                arriving.append((node, envelope))
                own = handlers[node](node, envelope.path, envelope.message, now)
                if own.messages:
                    steps.append(own)

    for me, node in nodes.items():
        take(me, node.handle_input(Propose(me.encode() * 50), now))
    while arriving:
        now += 1_000
        arrived, arriving = arriving, []
        for sender, envelope in arrived:
            path, message = envelope.path, envelope.message
            for recipient in envelope.recipients:
                if recipient != sender:
                    step = handlers[recipient](sender, path, message, now)
                    if step.messages:
                        take(recipient, step)
            count += len(envelope.recipients) - 1
    assert all(node.terminated for node in nodes.values())
    return count


BENCHMARKS = (
    Benchmark("common subset of 4", "messages", lambda: common_subsets(4)),
    Benchmark("common subset of 16", "messages", lambda: common_subsets(16)),
    Benchmark("common subset of 64", "messages", lambda: common_subsets(64)),
)
