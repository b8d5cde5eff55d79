"""How needs are answered that take time: an effect handler per type of need.

A need is an output, its answer an input (``PowNeeded`` -> ``PowFound``). When a need is released, the handler with its type
says what the answer will be, how long it takes, and whether the work occupies the host's mining core, on which one thing
is done at a time. The answer is lost when the host crashes before.

Proof of work, sampled: the number of hashes until the first success, with probability 2^-difficulty each, is geometric;
the handler draws it by inversion and divides by the hash rate, rounding up to the microsecond.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil, log, log1p
from typing import Any, Protocol, TypeAlias

from ledger.kernel.automaton import NodeId
from ledger.kernel.encoding import Frozen
from ledger.kernel.instant import SECOND, Duration
from ledger.kernel.rng import Stream
from node.hardware import Operation

DIFFICULTY_MAX = 256
"""No hash has more leading zero bits."""


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


def sampled_attempts(difficulty: int, stream: Stream) -> int:
    """How many hashes it takes until one has this many leading zero bits: geometric with p = 2^-difficulty."""
    assert 0 <= difficulty <= DIFFICULTY_MAX
    if difficulty == 0:
        return 1
    return max(1, ceil(log(1.0 - stream.random()) / log1p(-(2.0**-difficulty))))


class SampledProofOfWork:
    """Answers a need for proof of work without grinding.

    ``difficulty_of(need)`` are its bits, ``answer_of(need)`` is the answer: its nonce is one that the model of proof of
    work accepts.
    """

    def __init__(self, hash_rate: int, difficulty_of: Callable[[Any], int], answer_of: Callable[[Any], Any]) -> None:
        self._hash_rate = hash_rate
        self._difficulty_of = difficulty_of
        self._answer_of = answer_of

    def __call__(self, node: NodeId, need: Any, stream: Stream) -> Effect:
        attempts = sampled_attempts(self._difficulty_of(need), stream)
        return Effect(self._answer_of(need), hashing_time(attempts, self._hash_rate), mines=True)


class GroundProofOfWork:
    """Answers a need for proof of work by really grinding: ``grind(need)`` gives the answer and how many hashes it took."""

    def __init__(self, hash_rate: int, grind: Callable[[Any], tuple[Any, int]]) -> None:
        self._hash_rate = hash_rate
        self._grind = grind

    def __call__(self, node: NodeId, need: Any, stream: Stream) -> Effect:
        answer, attempts = self._grind(need)
        return Effect(answer, hashing_time(attempts, self._hash_rate), mines=True)


def hashing_time(attempts: int, hash_rate: int) -> Duration:
    """Microseconds that so many hashes take, rounded up."""
    return -(-attempts * SECOND // hash_rate)
