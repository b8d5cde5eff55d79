"""Toy automata for tests and benchmarks of the runtimes."""

from __future__ import annotations

from typing import Any

from ledger.kernel.automaton import NOTHING, Automaton, Envelope, NodeId, Path, PeerReconnected, Record, Step
from ledger.kernel.encoding import Frozen, Value
from ledger.kernel.instant import Instant

PATH: Path = ("toy",)


def names(n: int) -> tuple[NodeId, ...]:
    return tuple(NodeId(f"node{i}") for i in range(n))


class ToyVote(Value):
    round: int
    voter: int


class ToyPing(Value):
    number: int
    content: bytes = b""


class ToyPong(Value):
    number: int


ToyMessage = ToyVote | ToyPing | ToyPong


class Heard(Frozen):
    """A fact: a message was handled."""

    sender: NodeId
    message: Any
    now: Instant


class Say(Frozen):
    """An input: send a message, with a record first if told so."""

    recipients: tuple[NodeId, ...]
    message: Any
    record: bool = False


class Rounds(Automaton[Any, Any, Any]):
    """All to all: a vote per round, and the next round when all have voted. It votes once and never stops before ``last``."""

    def __init__(self, me: NodeId, members: tuple[NodeId, ...], last: int) -> None:
        self._index = members.index(me)
        self._members = members
        self._last = last
        self._round = 0
        self._masks: dict[int, int] = {}
        self._all = (1 << len(members)) - 1

    def handle_input(self, input: Any, now: Instant) -> Step[Any]:
        return NOTHING if isinstance(input, PeerReconnected) else self._vote()

    def handle_message(self, sender: NodeId, path: Path, message: Any, now: Instant) -> Step[Any]:
        match message:
            case ToyVote():
                number = message.round
                if number < self._round:
                    return NOTHING
                mask = self._masks.get(number, 0) | 1 << message.voter
                self._masks[number] = mask
                if mask != self._all or number != self._round:
                    return NOTHING
                del self._masks[number]
                self._round += 1
                return self._vote() if self._round < self._last else Step(outputs=(Heard(sender, message, now),))
        return NOTHING

    def _vote(self) -> Step[Any]:
        return Step(messages=(Envelope(self._members, PATH, ToyVote(self._round, self._index)),))


class Talker(Automaton[Any, Any, Any]):
    """Says what it is told to, tells what it hears, answers pings."""

    def __init__(self, me: NodeId, records: tuple[Record, ...] = ()) -> None:
        self.me = me
        self.records = records

    def handle_input(self, input: Any, now: Instant) -> Step[Any]:
        if not isinstance(input, Say):
            return Step(outputs=(Heard(self.me, input, now),))
        records = (Record(PATH, input.message),) if input.record else ()
        return Step(records, (Envelope(input.recipients, PATH, input.message),), (Heard(self.me, "said", now),))

    def handle_message(self, sender: NodeId, path: Path, message: Any, now: Instant) -> Step[Any]:
        heard = (Heard(sender, message, now),)
        if isinstance(message, ToyPing):
            return Step(messages=(Envelope((sender,), PATH, ToyPong(message.number)),), outputs=heard)
        return Step(outputs=heard)


class Alarm(Automaton[Any, Any, Any]):
    """Wakes at its deadlines, and tells when it did; an input sets the next one."""

    def __init__(self, me: NodeId, *deadlines: Instant) -> None:
        self._me = me
        self._deadlines = list(deadlines)

    def handle_input(self, input: Any, now: Instant) -> Step[Any]:
        if not isinstance(input, PeerReconnected):
            self._deadlines = [input]
        return NOTHING

    def handle_message(self, sender: NodeId, path: Path, message: Any, now: Instant) -> Step[Any]:
        return Step(outputs=(Heard(sender, message, now),))

    def handle_timer(self, now: Instant) -> Step[Any]:
        due = self._deadlines.pop(0)
        return Step(outputs=(Heard(self._me, ("alarm", due), now),))

    @property
    def deadline(self) -> Instant | None:
        return self._deadlines[0] if self._deadlines else None


class Log:
    """An observer that keeps everything: (instant, node, output)."""

    def __init__(self) -> None:
        self.entries: list[tuple[Instant, NodeId, Any]] = []
        self.faults: list[Any] = []

    def observe(self, now: Instant, node: NodeId, outputs: Any, faults: Any) -> None:
        self.entries.extend((now, node, output) for output in outputs)
        self.faults.extend(faults)

    def heard(self, node: NodeId) -> list[tuple[Instant, Any]]:
        return [(now, output.message) for now, at, output in self.entries if at == node and isinstance(output, Heard)]
