from __future__ import annotations

from statistics import fmean

import pytest

from ledger.kernel.automaton import NodeId
from ledger.kernel.encoding import Frozen
from ledger.kernel.rng import stream
from ledger.pow import ModelGrinder, RealGrinder
from node.simulated.effects import Effect, ProofOfWork, hashing_time

A = NodeId("a")


class GrindingNeeded(Frozen):
    data: bytes
    difficulty: int


def handler(kind, hash_rate: int = 1_000_000) -> ProofOfWork:
    return ProofOfWork(kind, hash_rate, lambda need: (need.data, need.difficulty), lambda need, work: work)


def test_hashing_takes_its_time_rounded_up():
    assert [hashing_time(hashes, 3_000_000) for hashes in (0, 1, 3, 4)] == [0, 1, 1, 2]


def test_work_is_really_ground_and_takes_as_long_as_its_hashes():
    work_of = handler("real", 1_000)
    effect = work_of(A, GrindingNeeded(b"data", 8), stream(1))
    assert effect is not None
    assert RealGrinder().zero_bits(b"data", effect.answer.nonce) >= 8
    assert effect == Effect(effect.answer, effect.answer.hashes * 1_000, mines=True)
    assert work_of.hashes == effect.answer.hashes


@pytest.mark.parametrize("difficulty", [0, 1, 6, 20])
def test_modelled_work_takes_two_to_the_difficulty_hashes_on_average(difficulty: int):
    work_of, draws, count = handler("model"), stream(7, difficulty), 2_000
    durations = []
    for _ in range(count):
        effect = work_of(A, GrindingNeeded(b"data", difficulty), draws)
        assert effect is not None
        durations.append(effect.duration)
    mean = 2**difficulty
    assert abs(fmean(durations) - mean) <= 5 * mean / count**0.5
    assert ModelGrinder(draws).zero_bits(b"data", effect.answer.nonce) == difficulty
