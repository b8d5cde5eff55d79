"""Lies that fit around any protocol: saying again what was heard, preparing nonsense, speaking about what nobody will see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ledger.kernel.automaton import Automaton, Envelope, NodeId, Path, Step
from ledger.kernel.instant import Instant
from ledger.kernel.rng import Stream
from wasp.consensus.byzantine.honey_badger import future_flood
from wasp.consensus.byzantine.lying import Lie
from wasp.consensus.leaders.view_change import ViewChange
from wasp.consensus.leaders.vote import NO_VALUE, Notary, Vote
from wasp.consensus.signing.anchor_signature import SignaturePrepared


class Replaying(Automaton[Any, Any, Any]):
    """The inner automaton, which also says again, to some, what it has heard or said itself, there or at another leaf."""

    replays_max = 60

    def __init__(self, inner: Automaton[Any, Any, Any], me: NodeId, others: Sequence[NodeId], rng: Stream) -> None:
        self._inner = inner
        self._me = me
        self._others = others
        self._rng = rng
        self._heard: list[tuple[Path, Any]] = []
        self._replays = 0

    @property
    def deadline(self) -> Instant | None:
        return self._inner.deadline

    def handle_input(self, input: Any, now: Instant) -> Step[Any]:
        return self._replay(self._inner.handle_input(input, now))

    def handle_timer(self, now: Instant) -> Step[Any]:
        return self._replay(self._inner.handle_timer(now))

    def handle_message(self, sender: NodeId, path: Path, message: Any, now: Instant) -> Step[Any]:
        self._heard.append((path, message))
        return self._replay(self._inner.handle_message(sender, path, message, now))

    def _replay(self, step: Step[Any]) -> Step[Any]:
        if not self._heard or self._replays >= self.replays_max or self._rng.random() < 0.5:
            return step
        self._replays += 1
        path, message = self._rng.choice(self._heard)
        if self._rng.random() < 0.3:
            path, _ = self._rng.choice(self._heard)
        told = tuple(other for other in self._others if self._rng.random() < 0.7)
        return Step(step.records, [*step.messages, Envelope(told, path, message)], step.outputs, step.faults)


class IllPrepared(Automaton[Any, Any, Any]):
    """A way to sign that prepares nonsense."""

    def __init__(self, inner: Any, preparation: bytes) -> None:
        self._inner = inner
        self._preparation = preparation

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @property
    def deadline(self) -> Instant | None:
        deadline: Instant | None = self._inner.deadline
        return deadline

    def handle_input(self, input: Any, now: Instant) -> Step[Any]:
        return self._spoil(self._inner.handle_input(input, now))

    def handle_message(self, sender: NodeId, path: Path, message: Any, now: Instant) -> Step[Any]:
        return self._spoil(self._inner.handle_message(sender, path, message, now))

    def handle_timer(self, now: Instant) -> Step[Any]:
        return self._spoil(self._inner.handle_timer(now))

    def _spoil(self, step: Step[Any]) -> Step[Any]:
        lie = SignaturePrepared(self._preparation)
        outputs = [lie if isinstance(output, SignaturePrepared) else output for output in step.outputs]
        return Step(step.records, step.messages, outputs, step.faults)


NUMBERS = frozenset(("round", "view", "attempt", "session"))
"""Fields that say how far the sender is."""


FLOODS_MAX = 15
"""Of one member: what honest members keep for such numbers, or refuse, they know by then."""


def flooding(notary: Notary | None) -> Lie:
    """Speaks besides about rounds, views, attempts and sessions that nobody will ever see; signs it if it can."""
    floods: list[Envelope] = []

    def lie(envelope: Envelope) -> Sequence[Envelope]:
        message: Any = envelope.message
        numbers = NUMBERS.intersection(message.__struct_fields__)
        if not numbers or len(floods) >= FLOODS_MAX:
            return (envelope,)
        floods.append(envelope)
        said = list(future_flood(envelope))
        for name in sorted(numbers):
            for ahead in (1, 2, 32, 33, 199, 10_000, 2**40):
                number = getattr(message, name) + ahead
                match message:
                    case Vote() if notary is not None:
                        later: Any = notary.vote(type(message), number, message.digest)
                    case ViewChange() if notary is not None:
                        later = ViewChange(number, None, notary.sign("ViewChange", number, None, NO_VALUE))
                    case _:
                        later = msgspec.structs.replace(message, **{name: number})
                said.append(Envelope(envelope.recipients, envelope.path, later))
        return said

    return lie
