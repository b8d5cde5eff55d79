"""How needs are answered that take time: an effect handler per type of need.

A need is an output, its answer an input (``PowNeeded`` -> ``PowFound``). When a need is released, the handler of its type
says what the answer will be, how long it takes, and whether the work occupies the host's mining core, on which one thing
is done at a time. The answer is lost when the host crashes before.

Proof of work: a grinder of the ledger finds the nonce, really or by the model, and tells how many hashes it took; divided
by the hash rate and rounded up to the microsecond, that is how long it takes here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol, TypeAlias

from ledger.issuing import PowFound, PowNeeded
from ledger.kernel.automaton import NodeId
from ledger.kernel.encoding import Frozen
from ledger.kernel.instant import SECOND, Duration
from ledger.kernel.rng import Stream
from ledger.pow import Grinder, ModelGrinder, RealGrinder
from node.hardware import Operation

PowKind: TypeAlias = Literal["real", "model"]


class Effect(Frozen):
    """What answers a need, and when."""

    answer: Any
    duration: Duration = 0
    mines: bool = False
    """Whether it takes the host's mining core for the duration; else it only takes time."""
    operations: tuple[tuple[Operation, int], ...] = ()
    """What is charged to the host's CPU when the answer is handled."""


class EffectHandler(Protocol):
    """Starts the work that a need asks for."""

    def __call__(self, node: NodeId, need: Any, stream: Stream) -> Effect | None:
        """The effect; None when nobody is going to answer. The stream is the node's own, for effects."""
        ...


Effects: TypeAlias = Mapping[type, EffectHandler]


class ProofOfWork:
    """Answers ``PowNeeded`` with ``PowFound``, at so many hashes per second of every node's mining core."""

    def __init__(self, kind: PowKind, hash_rate: int) -> None:
        self._kind = kind
        self._hash_rate = hash_rate
        self.hashes = 0
        """By all nodes together, for reports of energy."""

    def __call__(self, node: NodeId, need: PowNeeded, stream: Stream) -> Effect:
        grinder: Grinder = RealGrinder() if self._kind == "real" else ModelGrinder(stream)
        work = grinder.grind(need.data, need.difficulty)
        self.hashes += work.hashes
        return Effect(PowFound(need.id, work.nonce), hashing_time(work.hashes, self._hash_rate), mines=True)


def hashing_time(hashes: int, hash_rate: int) -> Duration:
    """Microseconds that so many hashes take, rounded up."""
    return -(-hashes * SECOND // hash_rate)
