"""A handler is total: whatever decodes may come from anybody, at any path, at any time, and at most a fault comes of it."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.access import ACCESS_PATH
from ledger.kernel.automaton import NOTHING, Automaton, NodeId, Path
from ledger.kernel.identity import deal_signer
from ledger.kernel.instant import MINUTE, Instant
from node.configuration_file import load_configuration
from node.experiments.scenario import SimulatedScenario
from node.hosting import Boot
from node.simulated.cpu import CpuMeter
from tests.harness.nonsense import Nonsense
from tests.harness.small_run import write_small

HOUSEHOLD, LEDGER_HOST = NodeId("a1"), NodeId("tangle1")
STRANGER = NodeId("stranger")
LIARS = ("a2", "tangle2")
END: Instant = 49 * MINUTE
"""By then the homes have ordered and chain blocks are confirmed."""
Event = tuple[str, tuple[Any, ...]]
"""A handler's name, and its arguments."""


class Silent:
    """An observer that keeps nothing."""

    def observe(self, now: Any, node: Any, outputs: Any, faults: Any) -> None: ...


class Life:
    """All that one host was told in a real run."""

    def __init__(self, scenario: SimulatedScenario, node: NodeId) -> None:
        self.node = node
        self.peers = [*scenario.hosts(), STRANGER]
        self.server = scenario.plan.ledger_nodes[0] if node == HOUSEHOLD else None
        self.signers = [deal_signer("model", scenario.seed, "host", name) for name in LIARS]
        self.bits = scenario.profile.pow_difficulty
        self.events: list[Event] = []
        self._factory: Callable[[Boot], Any] = scenario.hosts()[node]
        runtime = scenario.runtime(Silent())
        host = runtime.host(node)
        for name in ("handle_message", "handle_input", "handle_timer"):
            setattr(host, name, self._noting(name, getattr(host, name)))
        runtime.run_until(END)
        self.messages = [arguments[:3] for name, arguments in self.events if name == "handle_message"]

    def boot(self) -> Automaton[Any, Any, Any]:
        """The host in its first moment."""
        host: Automaton[Any, Any, Any] = self._factory(Boot((), 0, 1, CpuMeter(None)))
        return host

    def _noting(self, name: str, handler: Callable[..., Any]) -> Callable[..., Any]:
        def noting(*arguments: Any) -> Any:
            self.events.append((name, arguments))
            return handler(*arguments)

        return noting


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> dict[NodeId, Life]:
    path = write_small(tmp_path_factory.mktemp("small"))
    scenario = SimulatedScenario(load_configuration(path), path.parent)
    return {node: Life(scenario, node) for node in (HOUSEHOLD, LEDGER_HOST)}


def live(life: Life, rng: Random, density: float) -> int:
    """Live the life again, with nonsense in between; how many steps said something about the nonsense."""
    host, nonsense, answers = life.boot(), Nonsense(rng, life.messages, life.signers, life.bits), 0
    told = 0
    for name, arguments in life.events:
        now: Instant = arguments[-1]
        while rng.random() < density:
            sent = nonsense.packet(told)
            if sent is None:
                continue
            sender, packet = sent
            if rng.random() < 0.4:
                sender = rng.choice(life.peers)
            if sender == life.server and packet[0] == ACCESS_PATH:
                continue  # a household trusts its own layer-1 host
            answers += handle(host, life.node, sender, *packet, now)
        told += name == "handle_message"
        if name != "handle_message" or rng.random() > density / 8:
            step = getattr(host, name)(*arguments)
            assert step == NOTHING or step.messages is not None
        if host.deadline is not None and host.deadline <= now:
            host.handle_timer(now)
    return answers


def handle(host: Automaton[Any, Any, Any], me: NodeId, sender: NodeId, path: Path, message: Any, now: Instant) -> bool:
    """Whether anything came of the message; what the host tells itself is handled as well."""
    step = host.handle_message(sender, path, message, now)
    for envelope in step.messages:
        if me in envelope.recipients:
            handle(host, me, me, envelope.path, envelope.message, now)
    return step != NOTHING


@pytest.mark.parametrize("node", [HOUSEHOLD, LEDGER_HOST])
@settings(max_examples=20)
@given(seed=st.integers(0, 2**64), density=st.sampled_from([0.05, 0.2, 0.5]))
def test_no_exception_leaves_a_host_whatever_anybody_sends(lives, node: NodeId, seed: int, density: float):
    assert live(lives[node], Random(seed), density) > 0
