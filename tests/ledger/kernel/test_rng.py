"""Named streams: independent of each other, the same everywhere."""

import os
import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from ledger.kernel.rng import stream

ROOT = Path(__file__).parents[3]
RECORDED = [199, 180, 579, 448, 194]
"""The first five draws of stream(1, "network").randrange(1000): a change would change every run of every seed."""


def first_draws(*arguments) -> list[int]:
    source = stream(*arguments)
    return [source.getrandbits(64) for _ in range(4)]


def test_a_stream_is_the_same_whenever_it_is_derived():
    assert first_draws(1, "network", "mg1") == first_draws(1, "network", "mg1")


def test_a_recorded_stream_draws_today_what_it_drew_when_it_was_recorded():
    source = stream(1, "network")
    assert [source.randrange(1000) for _ in range(5)] == RECORDED


@given(st.integers(0, 2**32), st.integers(0, 2**32), st.text(max_size=5), st.text(max_size=5))
def test_two_streams_draw_alike_only_when_seed_and_label_are_the_same(seed, other_seed, label, other_label):
    same = (seed, label) == (other_seed, other_label)
    assert (first_draws(seed, label) == first_draws(other_seed, other_label)) is same


def test_labels_do_not_run_into_each_other():
    streams = [first_draws(1, "a", "bc"), first_draws(1, "ab", "c"), first_draws(1, "abc"), first_draws(1, "a", b"bc")]
    assert len({tuple(draws) for draws in streams}) == 4


def test_draws_of_one_stream_do_not_shift_another():
    alone = first_draws(1, "second")
    first, second = stream(1, "first"), stream(1, "second")
    mixed = []
    for _ in range(4):
        first.random()
        mixed.append(second.getrandbits(64))
    assert mixed == alone


def test_streams_of_neighbouring_seeds_are_not_correlated():
    bits = [stream(seed, "x").getrandbits(64) ^ stream(seed + 1, "x").getrandbits(64) for seed in range(500)]
    ones = sum(number.bit_count() for number in bits)
    assert 15_500 < ones < 16_500  # of 32,000 bits; the standard deviation is 89


def test_a_stream_does_not_depend_on_the_hash_seed_of_the_process():
    program = "from ledger.kernel.rng import stream; print(stream(5, 'a', (1, b'x')).sample(range(1000), 20))"
    printed = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for hash_seed in ("0", "1", "4711")
    }
    assert len(printed) == 1
