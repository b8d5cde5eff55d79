"""Twins (Bano and others, *Twins: BFT systems made robust*, 2020): a faulty member leads two lives, each of them honest.

The perfect equivocator of any protocol, because it knows none: each life runs the honest code with the member's keys and
randomness, has its own owner, and talks with one side of the committee. No correct member ever hears two stories; only who
compares what the two sides heard finds out.

The lives of several faulty members that are on one side talk with each other: a mark before the path says for whom a message
is. f twins must not be able to harm; f + 1 of n = 3f + 1 make two committees of it, each of n - f members who do their part.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from ledger.kernel.automaton import NOTHING, Automaton, Envelope, NodeId, Path, Step
from ledger.kernel.encoding import Frozen
from ledger.kernel.instant import Instant, earliest

SIDES = (0, 1)


class OfLife(Frozen):
    """An input for one life, or an output of it."""

    side: int
    fact: Any


class Twins(Automaton[OfLife, Any, OfLife]):
    """One faulty member: the lives by side, and the correct members on each side."""

    def __init__(
        self, me: NodeId, lives: Sequence[Automaton[Any, Any, Any]], sides: Sequence[Collection[NodeId]]
    ) -> None:
        self._me = me
        self._lives = lives
        self._sides = sides

    @property
    def deadline(self) -> Instant | None:
        return earliest(*(life.deadline for life in self._lives))

    def handle_input(self, input: OfLife, now: Instant) -> Step[OfLife]:
        return self._speak(input.side, self._lives[input.side].handle_input(input.fact, now))

    def handle_message(self, sender: NodeId, path: Path, message: Any, now: Instant) -> Step[OfLife]:
        for side in SIDES:
            if sender in self._sides[side]:
                return self._speak(side, self._lives[side].handle_message(sender, path, message, now))
            if path[:2] == ("life", side):
                return self._speak(side, self._lives[side].handle_message(sender, path[2:], message, now))
        return NOTHING

    def handle_timer(self, now: Instant) -> Step[OfLife]:
        steps = [
            self._speak(side, self._lives[side].handle_timer(now))
            for side in SIDES
            if (deadline := self._lives[side].deadline) is not None and deadline <= now
        ]
        return Step(
            [record for step in steps for record in step.records],
            [envelope for step in steps for envelope in step.messages],
            [output for step in steps for output in step.outputs],
        )

    def _speak(self, side: int, step: Step[Any]) -> Step[OfLife]:
        """To the correct members of this side as they are used to, to the lives on this side, its own too, with the mark."""
        correct = [member for members in self._sides for member in members]
        said: list[Envelope] = []
        for envelope in step.messages:
            plain = tuple(member for member in envelope.recipients if member in self._sides[side])
            marked = tuple(member for member in envelope.recipients if member not in correct)
            if marked:
                said.append(Envelope(marked, ("life", side, *envelope.path), envelope.message))
            if plain:
                said.append(Envelope(plain, envelope.path, envelope.message))
        return Step(step.records, said, [OfLife(side, output) for output in step.outputs])
