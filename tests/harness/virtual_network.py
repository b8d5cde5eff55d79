"""Automata on a network that belongs to an adversary, or to a stopwatch.

``VirtualNetwork``: one message per crank. The adversary picks which pending message is delivered next and runs the faulty
nodes; it may not drop or forge what correct nodes say to each other. ``TimedNetwork``: every link has the same delay, so
that closed forms can be asserted as equalities of integers.

Both loop a node's copy of its own message back first, encode and decode every message, let ``answers`` stand for the
owners (an output that is a need has inputs for an answer), and fail at once when a correct node accuses a correct node.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from ledger.kernel.automaton import Automaton, Fault, NodeId, Path, Step
from ledger.kernel.encoding import Codec
from ledger.kernel.instant import Duration, Instant, earliest
from ledger.kernel.rng import stream

Answers = Callable[[NodeId, Any], Iterable[Any]]
"""What the owner of a node says to an output of it."""


class Pending(msgspec.Struct, frozen=True):
    """A message on its way, encoded."""

    sender: NodeId
    recipient: NodeId
    path: Path
    message: Any
    data: bytes


class Adversary(Protocol):
    """Orders the messages."""

    def choose(self, pending: Sequence[Pending]) -> int:
        """The place of the message that is delivered next."""
        ...


class RandomOrder:
    """Any message may be next."""

    def __init__(self, seed: int) -> None:
        self._rng = stream(seed, "virtual network")

    def choose(self, pending: Sequence[Pending]) -> int:
        return int(self._rng.random() * len(pending))


class LatestFirst:
    """What was sent last comes first."""

    def choose(self, pending: Sequence[Pending]) -> int:
        return len(pending) - 1


class OldestFirst:
    """What was sent first comes first."""

    def choose(self, pending: Sequence[Pending]) -> int:
        return 0


class Starving:
    """In random order, but what a predicate holds back only comes when nothing else is pending."""

    def __init__(self, seed: int, held_back: Callable[[Pending], bool]) -> None:
        self._rng = stream(seed, "starving network")
        self._held_back = held_back

    def choose(self, pending: Sequence[Pending]) -> int:
        for _ in range(8):
            place = int(self._rng.random() * len(pending))
            if not self._held_back(pending[place]):
                return place
        return next((place for place, item in enumerate(pending) if not self._held_back(item)), place)


def partition(seed: int, group: Iterable[NodeId]) -> Starving:
    """Messages between the group and the others come last."""
    inside = frozenset(group)
    return Starving(seed, lambda item: (item.sender in inside) != (item.recipient in inside))


def slow_recipients(seed: int, group: Iterable[NodeId]) -> Starving:
    """What is for these nodes comes last."""
    inside = frozenset(group)
    return Starving(seed, lambda item: item.recipient in inside)


class Accusation(AssertionError):
    """A correct node accused a correct node."""


class _Network:
    """What both networks do with a step."""

    def __init__(
        self,
        nodes: Mapping[NodeId, Automaton[Any, Any, Any]],
        codec: Codec[Any],
        faulty: Iterable[NodeId] = (),
        answers: Answers | None = None,
    ) -> None:
        self.nodes = dict(nodes)
        self.faulty = frozenset(faulty)
        self.outputs: dict[NodeId, list[tuple[Instant, Any]]] = {node: [] for node in nodes}
        self.faults: list[tuple[NodeId, Fault]] = []
        self.records: dict[NodeId, list[Any]] = {node: [] for node in nodes}
        self.sent: Counter[str] = Counter()
        self.now: Instant = 0
        self._codec = codec
        self._answers = answers
        self._decoded: dict[bytes, Any] = {}

    @property
    def correct(self) -> tuple[NodeId, ...]:
        return tuple(node for node in self.nodes if node not in self.faulty)

    def outputs_of(self, node: NodeId, *kinds: type) -> list[Any]:
        """What the node has output, of these kinds or of all."""
        return [output for _, output in self.outputs[node] if not kinds or isinstance(output, kinds)]

    def give(self, node: NodeId, input: Any) -> None:
        """The owner of the node says something."""
        self._take(node, self.nodes[node].handle_input(input, self.now))

    def _deliver(self, item: Pending) -> None:
        message = self._codec.decode(item.data)
        assert message == item.message
        self._take(item.recipient, self.nodes[item.recipient].handle_message(item.sender, item.path, message, self.now))

    def _take(self, node: NodeId, step: Step[Any]) -> None:
        """Carry out a step: own copies first, then the answers of the owner."""
        own: deque[Step[Any]] = deque([step])
        needs: deque[Any] = deque()
        while own or needs:
            if not own:
                own.append(self.nodes[node].handle_input(needs.popleft(), self.now))
            step = own.popleft()
            self.records[node].extend(step.records)
            for fault in step.faults:
                if node not in self.faulty and fault.accused not in self.faulty:
                    raise Accusation(f"{node} accuses {fault}")
                self.faults.append((node, fault))
            for output in step.outputs:
                self.outputs[node].append((self.now, output))
                if self._answers is not None:
                    needs.extend(self._answers(node, output))
            for envelope in step.messages:
                data = self._codec.encode(envelope.message)
                for recipient in envelope.recipients:
                    if recipient not in self.nodes:
                        continue  # the test speaks for this one
                    if recipient == node:
                        own.append(self.nodes[node].handle_message(node, envelope.path, envelope.message, self.now))
                    else:
                        self.sent[type(envelope.message).__name__] += 1
                        self._send(Pending(node, recipient, envelope.path, envelope.message, data))

    def _pass_deadlines(self) -> None:
        """All timers that are due."""
        for node, automaton in self.nodes.items():
            if automaton.deadline is not None and automaton.deadline <= self.now:
                self._take(node, automaton.handle_timer(self.now))

    def _send(self, item: Pending) -> None:
        raise NotImplementedError


class VirtualNetwork(_Network):
    """The adversary's network."""

    def __init__(
        self,
        nodes: Mapping[NodeId, Automaton[Any, Any, Any]],
        codec: Codec[Any],
        adversary: Adversary,
        faulty: Iterable[NodeId] = (),
        answers: Answers | None = None,
    ) -> None:
        super().__init__(nodes, codec, faulty, answers)
        self.pending: list[Pending] = []
        self.cranks = 0
        self._adversary = adversary

    def crank(self) -> bool:
        """Deliver one message, or pass to the next deadline; false when there is neither."""
        if not self.pending:
            return self._pass_to_deadline()
        item = self.pending.pop(self._adversary.choose(self.pending))
        self.cranks += 1
        self._deliver(item)
        return True

    def run(self, cranks_max: int = 1_000_000, until: Callable[[], bool] | None = None) -> None:
        """Crank until nothing is left to do, or the condition holds."""
        while not (until is not None and until()) and self.crank():
            assert self.cranks < cranks_max, f"no end after {cranks_max} cranks: {self.status()}"

    def status(self) -> dict[NodeId, Any]:
        """Why the nodes wait."""
        return {node: getattr(automaton, "status", None) for node, automaton in self.nodes.items()}

    def _send(self, item: Pending) -> None:
        self.pending.append(item)

    def _pass_to_deadline(self) -> bool:
        deadline = earliest(*(automaton.deadline for automaton in self.nodes.values()))
        if deadline is None:
            return False
        self.now = max(self.now, deadline)
        self._pass_deadlines()
        return True


class TimedNetwork(_Network):
    """Every message takes the same time; handling it takes none."""

    def __init__(
        self,
        nodes: Mapping[NodeId, Automaton[Any, Any, Any]],
        codec: Codec[Any],
        delay: Duration,
        faulty: Iterable[NodeId] = (),
        answers: Answers | None = None,
    ) -> None:
        super().__init__(nodes, codec, faulty, answers)
        self._delay = delay
        self._arrivals: deque[tuple[Instant, Pending]] = deque()

    def run(self, until: Instant | None = None) -> None:
        """Deliver messages in the order of their arrival, up to and including this instant; deadlines come after them."""
        while (instant := self._next_instant()) is not None and (until is None or instant <= until):
            self.now = max(self.now, instant)
            while self._arrivals and self._arrivals[0][0] == self.now:
                self._deliver(self._arrivals.popleft()[1])
            self._pass_deadlines()

    def _next_instant(self) -> Instant | None:
        arrival = self._arrivals[0][0] if self._arrivals else None
        return earliest(arrival, *(automaton.deadline for automaton in self.nodes.values()))

    def _send(self, item: Pending) -> None:
        self._arrivals.append((self.now + self._delay, item))
