"""What a meter measures and what it expects."""

from __future__ import annotations

import pytest

from ledger.kernel.rejection import Rejected
from market.meter import Meter, NoisyForecast, PerfectForecast, PersistenceForecast, Reading

SEED = b"seed"


def meter(load, generation, forecast=None, connection=1_000, home="home"):
    return Meter(home, connection, load, generation, forecast or PerfectForecast())


def test_a_reading_is_generation_less_load():
    assert meter([300, 0], [100, 50]).reading(0) == Reading(-200, 300, 100)
    assert meter([300, 0], [100, 50]).reading(1) == Reading(50, 0, 50)
    assert meter([300, 0], [100, 50]).intervals == 2


def test_a_perfect_forecast_is_the_reading():
    assert [meter([300, 0], [100, 50]).forecast(interval) for interval in (0, 1)] == [-200, 50]


def test_persistence_expects_what_was_and_nothing_before_there_was_anything():
    home = meter([1, 2, 3, 4], [0, 0, 0, 9], PersistenceForecast(2))
    assert [home.forecast(interval) for interval in range(4)] == [0, 0, -1, -2]
    with pytest.raises(Rejected, match="lag is 1, at least 2"):
        PersistenceForecast(1)


def test_noise_is_relative_unbiased_and_as_wide_as_asked():
    count = 4_000
    home = meter([0] * count, [10_000] * count, NoisyForecast(100_000, SEED), connection=100_000)
    errors = [home.forecast(interval) - 10_000 for interval in range(count)]
    mean = sum(errors) / count
    deviation = (sum(error**2 for error in errors) / count) ** 0.5
    assert abs(mean) < 50 and 950 < deviation < 1_050


def test_noise_keeps_zero_and_the_side_and_the_connection():
    nets = [0, 500, -500] * 200
    noisy = meter([max(0, -net) for net in nets], [max(0, net) for net in nets], NoisyForecast(2_000_000, SEED), 600)
    for interval, net in enumerate(nets):
        found = noisy.forecast(interval)
        assert found == 0 if net == 0 else 0 <= found * (1 if net > 0 else -1) <= 600
    found = {noisy.forecast(interval) for interval in range(600)}
    assert {0, 600, -600} <= found, "cut off at -100 % and at the connection"


def test_noise_is_drawn_by_home_and_interval_whatever_was_asked_before():
    one, other = (meter([500] * 9, [0] * 9, NoisyForecast(200_000, SEED), home=home) for home in ("one", "other"))
    series = [one.forecast(interval) for interval in range(9)]
    assert [one.forecast(interval) for interval in reversed(range(9))] == series[::-1]
    assert series != [other.forecast(interval) for interval in range(9)]
    assert len(set(series)) > 5
    another = meter([500] * 9, [0] * 9, NoisyForecast(200_000, b"another"), home="one")
    assert series != [another.forecast(interval) for interval in range(9)]


def test_an_error_is_mirrored_for_buyers():
    seller, buyer = meter([0], [777], NoisyForecast(300_000, SEED)), meter([777], [0], NoisyForecast(300_000, SEED))
    assert seller.forecast(0) == -buyer.forecast(0)


@pytest.mark.parametrize(
    ("load", "generation"), [([1], [1, 2]), ([-1], [0]), ([0], [-1]), ([1_001], [0]), ([0], [1_001])]
)
def test_a_series_that_no_meter_measures_is_refused(load, generation):
    with pytest.raises(Rejected) as caught:
        meter(load, generation)
    assert caught.value.code == "bad_readings"


def test_a_series_at_the_connection_is_fine():
    assert meter([1_000, 0], [0, 1_000]).intervals == 2
    with pytest.raises(Rejected, match="deviation is -1"):
        NoisyForecast(-1, SEED)
