"""The simulated runtime with a committee on it: messages handled per CPU second.

Counted are copies received from another node. Each figure is of one run of two million messages or more, of instances one
after another: a member proposes in the next one when it has decided. Model crypto, all checks on, the default grid, every
256th frame encoded and decoded. Every run has a process of its own, so that the peak of its memory is its own:

    python -m tests.benchmarks.runtime pbft "jitter of 10 ms" 64

``all to all`` is a toy in which everybody votes in rounds: what the runtime costs by itself when every frame brings one small
message. ``wasp`` is the common subset, whose messages share frames.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from ledger.kernel.automaton import NOTHING, Automaton, NodeId, Path, Step, StepBuilder
from ledger.kernel.encoding import Frozen
from ledger.kernel.instant import DAY, MILLISECOND, Instant
from ledger.kernel.rng import stream
from node.hosting import HostFactory
from node.simulated.delays import UniformDelay
from node.simulated.garbage import seldom_collected
from node.simulated.network import NetworkParameters, constant_network
from node.simulated.runtime import SimulatedRuntime
from node.wire import Wire
from tests.benchmarks.rate import Result
from tests.harness.committee import DealtCommittee
from tests.harness.toys import Rounds, ToyMessage, names
from wasp.consensus.committee_protocol import CommitteeProtocol, ProposalsDecided, Propose
from wasp.consensus.protocols import PROTOCOLS, ProtocolMessage

MESSAGES_MIN = 2_000_000
SIZES = (16, 64, 128)
INSTANCES_KEPT = 3
"""Instances that still answer: members are at most two apart when each waits for n - f."""
MEGABYTE = 1_000_000

MEASURED = ("all to all", "wasp", "pbft")
NETWORKS = {
    "constant delay": constant_network(25 * MILLISECOND),
    "jitter of 10 ms": NetworkParameters(UniformDelay(15 * MILLISECOND, 35 * MILLISECOND)),
}
"""Both with a mean of 25 ms; jitter is uniform, so much to both sides, as the command ``tanglegrid consensus`` has it."""


class Succession(Automaton[Any, Any, Any]):
    """A host that runs instances of one protocol one after another, as long as ``goes_on`` with their number."""

    def __init__(
        self, me: NodeId, instance: Callable[[int], CommitteeProtocol], goes_on: Callable[[int], bool]
    ) -> None:
        self._payload = me.encode() * 50
        self._instance = instance
        self._goes_on = goes_on
        self._instances: dict[int, CommitteeProtocol] = {}
        self._current = 0
        self._latest: CommitteeProtocol | None = None

    def handle_input(self, input: Any, now: Instant) -> Step[Any]:
        return self._propose_next(now)

    def handle_message(self, sender: NodeId, path: Path, message: Any, now: Instant) -> Step[Any]:
        number: Any = path[1]
        instance = self._instances.get(number) or self._open(number)
        if instance is None:
            return NOTHING
        step = instance.handle_message(sender, path, message, now)
        if step == NOTHING or not step.outputs:
            return step
        return self._conclude(step, number, now)

    def handle_timer(self, now: Instant) -> Step[Any]:
        return self._conclude(self._instances[self._current].handle_timer(now), self._current, now)

    @property
    def deadline(self) -> Instant | None:
        return self._latest.deadline if self._latest is not None else None

    def _conclude(self, step: Step[Any], number: int, now: Instant) -> Step[Any]:
        whole: StepBuilder[Any] = StepBuilder()
        for output in whole.add(step):
            if isinstance(output, ProposalsDecided) and number == self._current and self._goes_on(number + 1):
                for fact in whole.add(self._propose_next(now)):
                    whole.outputs.append(fact)
        return whole.build()

    def _propose_next(self, now: Instant) -> Step[Any]:
        self._current += 1
        instance = self._latest = self._instances.get(self._current) or self._open(self._current)
        self._instances.pop(self._current - INSTANCES_KEPT, None)
        assert instance is not None
        return instance.handle_input(Propose(self._payload), now)

    def _open(self, number: int) -> CommitteeProtocol | None:
        """The instance with this number; none when it is over."""
        if number <= self._current - INSTANCES_KEPT:
            return None
        instance = self._instances[number] = self._instance(number)
        return instance


class Run(Frozen):
    """What a run did, and what it took."""

    messages: int
    cpu_seconds: float
    peak_megabytes: int
    """Of the whole process, its modules included."""

    @property
    def rate(self) -> float:
        return self.messages / self.cpu_seconds


def run(protocol: str, network: str, n: int, messages_min: int = MESSAGES_MIN) -> Run:
    """Run a protocol until its members have handled so many messages."""
    runtime: SimulatedRuntime
    last = 1

    def goes_on(number: int) -> bool:
        """What one member has begun before there were enough messages is ended by all."""
        nonlocal last
        if runtime.counters.messages < messages_min:
            last = max(last, number)
        return number <= last

    hosts, wire = _toys(n, messages_min) if protocol == "all to all" else _committee(protocol, n, goes_on)
    begin = time.process_time()
    runtime = SimulatedRuntime(1, hosts, NETWORKS[network], wire, codec="sample")
    for me in hosts:
        runtime.inject(me, "start")
    with seldom_collected():
        assert runtime.run_until_idle(DAY)
    spent = time.process_time() - begin
    assert runtime.counters.messages >= messages_min
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Run(runtime.counters.messages, spent, peak // MEGABYTE)


def _toys(n: int, messages_min: int) -> tuple[dict[NodeId, HostFactory], Wire]:
    members, rounds = names(n), messages_min // (n * (n - 1)) + 1

    def factory(me: NodeId) -> HostFactory:
        return lambda boot: Rounds(me, members, rounds)

    return {me: factory(me) for me in members}, Wire(ToyMessage)


def _committee(protocol: str, n: int, goes_on: Callable[[int], bool]) -> tuple[dict[NodeId, HostFactory], Wire]:
    dealt, make = DealtCommittee(n), PROTOCOLS[protocol]

    def factory(me: NodeId) -> HostFactory:
        rng = stream(1, "benchmark", me)
        return lambda boot: Succession(me, lambda number: make(dealt.membership(me, number, rng)), goes_on)

    return {me: factory(me) for me in dealt.members}, Wire(ProtocolMessage)


def results() -> Iterator[Result]:
    """All runs, and how the rate at the largest size compares with that at the smallest."""
    for protocol in MEASURED:
        for network in NETWORKS:
            rates = []
            for n in SIZES:
                command = [sys.executable, "-m", "tests.benchmarks.runtime", protocol, network, str(n)]
                figures = Run(**json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
                rates.append(figures.rate)
                yield Result(f"{protocol} of {n}, {network}", figures.rate, "messages", figures.peak_megabytes)
            yield Result(
                f"{protocol}, {network}: {SIZES[-1]} against {SIZES[0]}", 100 * rates[-1] / rates[0], "per cent"
            )


if __name__ == "__main__":
    measured = run(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    print(json.dumps({field: getattr(measured, field) for field in measured.__struct_fields__}))
