"""Proof of work: the formula, real nonces, the true distribution."""

from __future__ import annotations

from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.kernel.instant import SECOND
from ledger.kernel.rng import stream
from ledger.pow import IssueRates, ModelGrinder, RealGrinder, geometric, required_difficulty


@pytest.mark.parametrize(
    ("rate", "blocks", "difficulty"),
    [
        (0, 1_000, 21),
        (100, 0, 21),
        (100, 9, 21),
        (100, 10, 22),
        (100, 19, 22),
        (1_000, 3, 24),
        (333, 3, 21),
        (334, 3, 22),
    ],
)
def test_the_difficulty_is_the_base_and_the_floor_of_rate_times_own_blocks(rate, blocks, difficulty):
    assert required_difficulty(21, rate, blocks) == difficulty


def test_the_window_is_closed_at_both_ends_and_is_the_issuers_own():
    rates = IssueRates(10 * SECOND)
    for time in (0, 1, 10, 10):
        rates.note(b"a", time * SECOND)
    rates.note(b"b", 5 * SECOND)
    counts = [rates.count(b"a", time) for time in (0, 10 * SECOND, 10 * SECOND + 1, 11 * SECOND + 1, 20 * SECOND + 1)]
    assert counts == [1, 4, 3, 2, 0]
    assert rates.count(b"b", 10 * SECOND) == 1
    assert rates.count(b"c", 10 * SECOND) == 0


def test_a_late_older_block_counts_for_later_ones():
    rates = IssueRates(10 * SECOND)
    rates.note(b"a", 9 * SECOND)
    rates.note(b"a", 3 * SECOND)
    assert rates.count(b"a", 10 * SECOND) == 2
    assert rates.count(b"a", 5 * SECOND) == 1


def test_issuers_that_fell_silent_are_forgotten():
    rates = IssueRates(10 * SECOND)
    rates.note(b"a", 1)
    rates.note(b"b", 9)
    rates.forget_before(5)
    assert list(rates._times) == [b"b"]


@given(st.binary(max_size=40), st.integers(0, 9))
def test_a_ground_nonce_verifies_and_is_the_first_that_does(data, difficulty):
    work = RealGrinder().grind(data, difficulty)
    assert RealGrinder().zero_bits(data, work.nonce) >= difficulty
    assert work.hashes == work.nonce + 1
    assert all(RealGrinder().zero_bits(data, nonce) < difficulty for nonce in range(work.nonce))


def test_zero_bits_are_leading_bits_of_blake2b_512():
    for nonce in range(200):
        hashed = blake2b(b"data" + nonce.to_bytes(8, "little")).digest()
        bits = "".join(f"{byte:08b}" for byte in hashed)
        assert RealGrinder().zero_bits(b"data", nonce) == len(bits) - len(bits.lstrip("0"))


@given(st.binary(max_size=40), st.integers(0, 60))
def test_a_model_nonce_yields_the_bits_it_was_made_for_and_only_for_its_data(data, difficulty):
    grinder = ModelGrinder(stream(0, "pow"))
    nonce = grinder.grind(data, difficulty).nonce
    assert grinder.zero_bits(data, nonce) == difficulty
    assert grinder.zero_bits(data + b"x", nonce) == 0
    assert grinder.zero_bits(data, nonce ^ 1) == 0
    assert nonce < 2**64


def chi_square(counts: list[int], expected: list[float]) -> float:
    return sum((count - e) ** 2 / e for count, e in zip(counts, expected, strict=True))


def bins(hashes: list[int], difficulty: int) -> tuple[list[int], list[float]]:
    """Ten classes of equal width, of about the expected number of hashes in all, and the rest."""
    p, width = 2.0**-difficulty, 2**difficulty // 4
    counts = [sum(i * width < h <= (i + 1) * width for h in hashes) for i in range(10)]
    expected = [len(hashes) * ((1 - p) ** (i * width) - (1 - p) ** ((i + 1) * width)) for i in range(10)]
    return [*counts, len(hashes) - sum(counts)], [*expected, len(hashes) * (1 - p) ** (10 * width)]


CHI_SQUARE_10_DEGREES_1_PERCENT = 23.2


def test_drawn_hashes_have_the_true_distribution():
    rng = stream(7, "draws")
    hashes = [geometric(rng, 6) for _ in range(20_000)]
    assert chi_square(*bins(hashes, 6)) < CHI_SQUARE_10_DEGREES_1_PERCENT
    assert min(hashes) == 1


def test_ground_hashes_have_the_same_distribution():
    hashes = [RealGrinder().grind(b"block %d" % i, 6).hashes for i in range(1_500)]
    assert chi_square(*bins(hashes, 6)) < CHI_SQUARE_10_DEGREES_1_PERCENT


def test_a_distribution_of_one_bit_more_would_be_noticed():
    rng = stream(7, "draws")
    assert chi_square(*bins([geometric(rng, 7) for _ in range(1_500)], 6)) > CHI_SQUARE_10_DEGREES_1_PERCENT


def test_no_difficulty_takes_one_hash():
    assert {geometric(stream(1, "draws"), 0) for _ in range(10)} == {1}
