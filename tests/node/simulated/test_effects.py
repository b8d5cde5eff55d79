from __future__ import annotations

from statistics import fmean

import pytest

from ledger.issuing import PowFound, PowNeeded
from ledger.kernel.automaton import NodeId
from ledger.kernel.encoding import ZERO_DIGEST
from ledger.kernel.rng import stream
from ledger.pow import ModelGrinder, RealGrinder
from node.simulated.effects import Effect, ProofOfWork, hashing_time

A = NodeId("a")


def test_hashing_takes_its_time_rounded_up():
    assert [hashing_time(hashes, 3_000_000) for hashes in (0, 1, 3, 4)] == [0, 1, 1, 2]


def test_work_is_really_ground_and_takes_as_long_as_its_hashes():
    work_of = ProofOfWork("real", hash_rate=1_000)
    effect = work_of(A, PowNeeded(ZERO_DIGEST, 8, b"data"), stream(1))
    nonce = effect.answer.nonce
    assert RealGrinder().zero_bits(b"data", nonce) >= 8
    assert effect == Effect(PowFound(ZERO_DIGEST, nonce), work_of.hashes * 1_000, mines=True)
    assert work_of.hashes == nonce + 1


@pytest.mark.parametrize("difficulty", [0, 1, 6, 20])
def test_modelled_work_takes_two_to_the_difficulty_hashes_on_average(difficulty: int):
    work_of, draws, count = ProofOfWork("model", hash_rate=1_000_000), stream(7, difficulty), 2_000
    need = PowNeeded(ZERO_DIGEST, difficulty, b"data")
    effects = [work_of(A, need, draws) for _ in range(count)]
    mean = 2**difficulty
    assert abs(fmean(effect.duration for effect in effects) - mean) <= 5 * mean / count**0.5
    assert work_of.hashes == sum(effect.duration for effect in effects)
    assert all(effect.mines for effect in effects)
    assert ModelGrinder(draws).zero_bits(b"data", effects[0].answer.nonce) == difficulty
