"""A home's smart meter: what it measures in every delivery interval, and what it expects of the next.

Load and generation of an interval are whole Wh. What a home generates while it consumes it uses itself first, so it has one
*net* reading, generation less load: above zero it has a surplus to sell, below zero a deficit to buy, never both.

Forecasts are made before the interval, of its net:

- ``PerfectForecast``: what will be measured,
- ``PersistenceForecast``: what was measured ``lag`` intervals before (the same hour of the day before, with hourly readings),
- ``NoisyForecast``: what will be measured x (1 + error), the error drawn for each interval from a stream named by home and
  interval. It is the sum of twelve even draws, in integers: close to a normal error, and the same on every machine.

What is simplified: the error of ``NoisyForecast`` is relative to the net, so where a home's net is zero (at sunrise its
panels just meet its load) it forecasts zero, and it never errs about the side. An error beyond -100 % is cut off there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ledger.kernel.encoding import Frozen
from ledger.kernel.rejection import require
from ledger.kernel.rng import stream
from market.units import WattHours

MILLION = 1_000_000
_DRAWS = 12
"""Even draws that are added up: twelve have the variance 1 when each is one wide."""


class Reading(Frozen):
    """What a meter measured in an interval; ``net`` = ``generation`` - ``load``."""

    net: int
    load: WattHours
    generation: WattHours


class Forecast(Protocol):
    """A way to expect the net reading of an interval."""

    def net(self, meter: Meter, interval: int) -> int:
        """The expected net reading in Wh. What it may know of the meter is what its docstring says."""
        ...


class PerfectForecast(Frozen):
    """Knows what will be measured."""

    def net(self, meter: Meter, interval: int) -> int:
        return meter.reading(interval).net


class PersistenceForecast(Frozen):
    """Knows what was measured; where ``lag`` intervals before there was nothing yet, it expects nothing."""

    lag: int

    def __post_init__(self) -> None:
        require(
            self.lag >= 2,
            "bad_forecast",
            f"lag is {self.lag}, at least 2 expected: later ones come too late",
        )

    def net(self, meter: Meter, interval: int) -> int:
        return meter.reading(interval - self.lag).net if interval >= self.lag else 0


class NoisyForecast(Frozen):
    """Knows what will be measured, and errs: ``deviation`` is the standard deviation of the relative error, in millionths."""

    deviation: int
    seed: bytes

    def __post_init__(self) -> None:
        require(self.deviation >= 0, "bad_forecast", f"deviation is {self.deviation} millionths, at least 0 expected")

    def net(self, meter: Meter, interval: int) -> int:
        draws = stream(self.seed, "forecast", meter.home, interval)
        spread = sum(draws.randint(0, MILLION) for _ in range(_DRAWS)) - _DRAWS * MILLION // 2
        error = max(-MILLION, self.deviation * spread // MILLION)
        net = meter.reading(interval).net
        size = abs(net) * (MILLION + error) // MILLION
        return size if net > 0 else -size


class Meter:
    """The meter of one home.

    ``load`` and ``generation`` are the Wh of interval 0, 1, ... Errors: ``Rejected("bad_readings", ...)`` for series that
    differ in length, have a value below 0, or a net beyond the registered connection.
    """

    def __init__(
        self,
        home: str,
        connection: WattHours,
        load: Sequence[WattHours],
        generation: Sequence[WattHours],
        forecast: Forecast,
    ) -> None:
        require(
            len(load) == len(generation),
            "bad_readings",
            f"{home} has {len(load)} loads and {len(generation)} generations",
        )
        for interval, (used, made) in enumerate(zip(load, generation, strict=True)):
            require(
                used >= 0 and made >= 0 and abs(made - used) <= connection,
                "bad_readings",
                f"{home} has load {used} and generation {made} in interval {interval}, at least 0 and a net of at most "
                f"{connection} expected",
            )
        self.home = home
        self.connection = connection
        self._load = tuple(load)
        self._generation = tuple(generation)
        self._forecast = forecast

    @property
    def intervals(self) -> int:
        """How many intervals there are readings for."""
        return len(self._load)

    def reading(self, interval: int) -> Reading:
        """What was measured, once the interval is over."""
        load, generation = self._load[interval], self._generation[interval]
        return Reading(generation - load, load, generation)

    def forecast(self, interval: int) -> int:
        """The expected net reading, within the registered connection."""
        return max(-self.connection, min(self._forecast.net(self, interval), self.connection))
