from __future__ import annotations

from statistics import NormalDist, fmean, median, pstdev

import pytest

from ledger.kernel.rng import stream
from node.simulated.delays import (
    ConstantDelay,
    LogNormalDelay,
    MatrixDelay,
    NormalDelay,
    UniformDelay,
)

GRID = 100
DRAWS = 20_000


def draws(model, grid: int = GRID) -> list[int]:
    return model.delays(0, [1] * DRAWS, grid, stream(1, "delays"))


def test_a_constant_delay_is_exact_whatever_the_grid():
    assert ConstantDelay(12_345).delays(0, [1, 2], GRID, stream(1)) == [12_345, 12_345]
    assert ConstantDelay(12_345).constant == 12_345


@pytest.mark.parametrize("model", [UniformDelay(100, 300), NormalDelay(1000, 100), LogNormalDelay(1000, 0.2)])
def test_drawn_delays_lie_on_the_grid(model):
    assert model.constant is None
    assert {delay % GRID for delay in draws(model)} == {0}
    assert {delay % 7 for delay in draws(model, grid=1)} == set(range(7))


def test_uniform_delays_take_every_grid_point_equally_often_both_ends_included():
    delays = draws(UniformDelay(1_000, 1_300))
    counts = [delays.count(delay) for delay in (1_000, 1_100, 1_200, 1_300)]
    assert sum(counts) == DRAWS
    # A multinomial with 4 cells: five standard deviations around the mean.
    deviation = (DRAWS * 0.25 * 0.75) ** 0.5
    assert all(abs(count - DRAWS / 4) < 5 * deviation for count in counts)


def test_normal_delays_have_their_mean_and_deviation_and_are_cut_off_below():
    delays = draws(NormalDelay(25_000, 5_000, low=15_000))
    assert abs(fmean(delays) - 25_000) < 200
    assert min(delays) == 15_000
    share = NormalDist(25_000, 5_000).cdf(15_050)
    assert abs(delays.count(15_000) / DRAWS - share) < 5 * (share / DRAWS) ** 0.5
    assert abs(pstdev(draws(NormalDelay(25_000, 5_000))) - 5_000) < 150


def test_log_normal_delays_have_their_median_and_a_long_tail():
    delays = sorted(draws(LogNormalDelay(20_000, 0.5)))
    assert abs(median(delays) - 20_000) < 400
    tail = 20_000 * 2.718281828 ** (0.5 * NormalDist().inv_cdf(0.99))
    assert abs(delays[DRAWS * 99 // 100] - tail) < 0.08 * tail


def test_a_matrix_gives_the_delay_from_the_senders_row_and_the_recipients_column():
    model = MatrixDelay(((0, 10), (20, 0)), regions=(0, 1, 1))
    assert model.delays(0, (1, 2), GRID, stream(1)) == [10, 10]
    assert model.delays(2, (0, 1), GRID, stream(1)) == [20, 0]


def test_the_jitter_of_a_matrix_is_in_proportion_to_the_delay():
    model = MatrixDelay(((0, 100_000),), regions=(0, 1), jitter=50_000)
    delays = model.delays(0, [1] * DRAWS, GRID, stream(1, "jitter"))
    assert abs(fmean(delays) - 100_000) < 200
    assert abs(pstdev(delays) - 5_000) < 150


def test_a_range_of_a_matrix_draws_every_grid_point_equally_often_and_only_there():
    model = MatrixDelay(((1_000, 7_000),), regions=(0, 1), widths=((300, 0),))
    delays = [model.delays(0, (0, 1), GRID, stream(1, "range", number)) for number in range(4_000)]
    counts = [sum(to_self == delay for to_self, _ in delays) for delay in (1_000, 1_100, 1_200, 1_300)]
    assert sum(counts) == 4_000
    assert all(abs(count - 1_000) < 5 * (4_000 * 0.25 * 0.75) ** 0.5 for count in counts)
    assert {away for _, away in delays} == {7_000}


def test_the_longest_usual_delay_is_two_deviations_above_the_mean_and_of_the_regions_that_are_used():
    assert ConstantDelay(7).usual_max == 7
    assert UniformDelay(5, 9).usual_max == 9
    assert NormalDelay(100, 10).usual_max == 120
    assert LogNormalDelay(1_000, 0.25).usual_max == 1_649  # e^(1/2)
    table = ((0, 30, 99), (40, 0, 99), (99, 99, 0))
    assert MatrixDelay(table, (0, 1, 0)).usual_max == 40
    assert MatrixDelay(table, (0, 1, 2), jitter=50_000).usual_max == 108
    assert MatrixDelay(table, (0, 1), widths=((0, 20, 0), (5, 0, 0), (0, 0, 0))).usual_max == 50
