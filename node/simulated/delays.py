"""Delay models: how long a frame is under way from one node to another.

Constant delays are exact. Drawn ones lie on a grid (100 microseconds by default): frames then coincide at their
recipients, which handle them in one go; a simulation with jitter runs about twice as fast, and no result depends on tenths
of a millisecond. A grid of 1 draws every microsecond. Normal and log-normal delays are drawn from a table of 2^13 equally
likely quantiles: fast, and cut off where one draw in 8,192 would be (3.8 deviations).

Nodes are named by their index in the network. Each sender draws from a stream of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from math import exp
from statistics import NormalDist
from typing import Protocol

from ledger.kernel.encoding import Frozen
from ledger.kernel.instant import Duration
from ledger.kernel.rng import Stream

PARTS_PER_MILLION = 1_000_000
QUANTILE_BITS = 13
USUAL_DEVIATIONS = 2
"""Above which one delay in forty is."""
DISTRIBUTIONS_MAX = 256
"""Tables kept: one per pair of 13 regions, and some more; 64 kB each."""


class DelayModel(Protocol):
    """Draws the delays of one frame to several recipients."""

    @property
    def constant(self) -> Duration | None:
        """The one delay of all links at all times, if there is one."""
        ...

    @property
    def usual_max(self) -> Duration:
        """The longest usual delay between any two nodes: two deviations above the mean, where there is no end."""
        ...

    def delays(self, sender: int, recipients: Sequence[int], grid: Duration, stream: Stream) -> list[Duration]:
        """One delay per recipient."""
        ...


class ConstantDelay(Frozen):
    """The same delay always."""

    delay: Duration

    @property
    def constant(self) -> Duration | None:
        return self.delay

    @property
    def usual_max(self) -> Duration:
        return self.delay

    def delays(self, sender: int, recipients: Sequence[int], grid: Duration, stream: Stream) -> list[Duration]:
        return [self.delay] * len(recipients)


class UniformDelay(Frozen):
    """Every grid point from ``low`` to ``high`` (both included) is as likely as any other."""

    low: Duration
    high: Duration

    @property
    def constant(self) -> Duration | None:
        return None

    @property
    def usual_max(self) -> Duration:
        return self.high

    def delays(self, sender: int, recipients: Sequence[int], grid: Duration, stream: Stream) -> list[Duration]:
        points, draw = _grid_points(self.low, self.high, grid), stream.random
        count = len(points)
        return [points[int(draw() * count)] for _ in recipients]


class NormalDelay(Frozen):
    """Normally distributed, cut off below at ``low``."""

    mean: Duration
    deviation: Duration
    low: Duration = 0

    @property
    def constant(self) -> Duration | None:
        return None

    @property
    def usual_max(self) -> Duration:
        return self.mean + USUAL_DEVIATIONS * self.deviation

    def delays(self, sender: int, recipients: Sequence[int], grid: Duration, stream: Stream) -> list[Duration]:
        table, bits = _normal_table(self.mean, self.deviation, self.low, grid), stream.getrandbits
        return [table[bits(QUANTILE_BITS)] for _ in recipients]


class LogNormalDelay(Frozen):
    """Log-normally distributed: the usual shape of round trips over the Internet, with a long tail."""

    median: Duration
    sigma: float
    """Standard deviation of the logarithm: 0.25 spreads by about a quarter."""

    @property
    def constant(self) -> Duration | None:
        return None

    @property
    def usual_max(self) -> Duration:
        return round(self.median * exp(USUAL_DEVIATIONS * self.sigma))

    def delays(self, sender: int, recipients: Sequence[int], grid: Duration, stream: Stream) -> list[Duration]:
        table, bits = _log_normal_table(self.median, self.sigma, grid), stream.getrandbits
        return [table[bits(QUANTILE_BITS)] for _ in recipients]


class MatrixDelay(Frozen):
    """A table of one-way delays by the region of sender and recipient; with jitter, normal in proportion to the delay."""

    table: tuple[tuple[Duration, ...], ...]
    """Row: the sender's region. Column: the recipient's. Of a range: its low end."""
    regions: tuple[int, ...]
    """The region of every node, by its index."""
    jitter: int = 0
    """Standard deviation in millionths of the delay (CometBFT's test networks: 50,000)."""
    widths: tuple[tuple[Duration, ...], ...] = ()
    """How wide each range is, in which delays are drawn as ``UniformDelay`` draws them; none: the table has no ranges."""

    @property
    def constant(self) -> Duration | None:
        return None

    @property
    def usual_max(self) -> Duration:
        longest = max(
            row[recipient] + (self.widths[sender][recipient] if self.widths else 0)
            for sender, row in enumerate(self.table)
            for recipient in self.regions
            if sender in self.regions
        )
        return longest * (PARTS_PER_MILLION + USUAL_DEVIATIONS * self.jitter) // PARTS_PER_MILLION

    def delays(self, sender: int, recipients: Sequence[int], grid: Duration, stream: Stream) -> list[Duration]:
        region, regions = self.regions[sender], self.regions
        row = self.table[region]
        means = [row[regions[recipient]] for recipient in recipients]
        if self.widths:
            widths, draw = self.widths[region], stream.random
            steps = [widths[regions[recipient]] // grid + 1 for recipient in recipients]
            means = [mean + int(draw() * step) * grid for mean, step in zip(means, steps, strict=True)]
        if not self.jitter:
            return means
        jitter, bits = self.jitter, stream.getrandbits
        return [_normal_table(mean, mean * jitter // PARTS_PER_MILLION, 0, grid)[bits(QUANTILE_BITS)] for mean in means]


def _on_grid(delay: float, low: Duration, grid: Duration) -> Duration:
    return max(low, (int(delay) + grid // 2) // grid * grid)


@cache
def _deviations() -> tuple[float, ...]:
    """The standard normal distribution's quantiles, at the middle of each of 2^13 equal parts."""
    count, normal = 1 << QUANTILE_BITS, NormalDist()
    return tuple(normal.inv_cdf((place + 0.5) / count) for place in range(count))


@lru_cache(maxsize=DISTRIBUTIONS_MAX)
def _grid_points(low: Duration, high: Duration, grid: Duration) -> tuple[Duration, ...]:
    return tuple(range(low, high + 1, grid))


@lru_cache(maxsize=DISTRIBUTIONS_MAX)
def _normal_table(mean: Duration, deviation: Duration, low: Duration, grid: Duration) -> tuple[Duration, ...]:
    return tuple([_on_grid(mean + deviation * z, low, grid) for z in _deviations()])


@lru_cache(maxsize=DISTRIBUTIONS_MAX)
def _log_normal_table(median: Duration, sigma: float, grid: Duration) -> tuple[Duration, ...]:
    return tuple([_on_grid(median * exp(sigma * z), 0, grid) for z in _deviations()])
