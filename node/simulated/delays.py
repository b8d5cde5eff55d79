"""Delay models: how long a frame is under way from one node to another.

Constant delays are exact. Drawn ones lie on a grid (100 microseconds by default): frames then coincide at their
recipients, which handle them in one go; a simulation with jitter runs about twice as fast, and no result depends on tenths
of a millisecond. A grid of 1 draws every microsecond. Normal and log-normal delays are drawn from a table of 2^13 equally
likely quantiles: fast, and cut off where one draw in 8,192 would be (3.8 deviations).

Nodes are named by their index in the network. Each sender draws from a stream of its own.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from math import exp
from pathlib import Path
from statistics import NormalDist
from typing import Protocol

from ledger.kernel.automaton import NodeId
from ledger.kernel.encoding import Frozen
from ledger.kernel.instant import MILLISECOND, Duration
from ledger.kernel.rejection import Rejected
from ledger.kernel.rng import Stream
from node.shipped import shipped

PARTS_PER_MILLION = 1_000_000
QUANTILE_BITS = 13
DISTRIBUTIONS_MAX = 256
"""Tables kept: one per pair of 13 regions, and some more; 64 kB each."""


class DelayModel(Protocol):
    """Draws the delays of one frame to several recipients."""

    @property
    def constant(self) -> Duration | None:
        """The one delay of all links at all times, if there is one."""
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

    def delays(self, sender: int, recipients: Sequence[int], grid: Duration, stream: Stream) -> list[Duration]:
        return [self.delay] * len(recipients)


class UniformDelay(Frozen):
    """Every grid point from ``low`` to ``high`` (both included) is as likely as any other."""

    low: Duration
    high: Duration

    @property
    def constant(self) -> Duration | None:
        return None

    def delays(self, sender: int, recipients: Sequence[int], grid: Duration, stream: Stream) -> list[Duration]:
        low, steps, draw = self.low, (self.high - self.low) // grid + 1, stream.random
        return [low + int(draw() * steps) * grid for _ in recipients]


class NormalDelay(Frozen):
    """Normally distributed, cut off below at ``low``."""

    mean: Duration
    deviation: Duration
    low: Duration = 0

    @property
    def constant(self) -> Duration | None:
        return None

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

    def delays(self, sender: int, recipients: Sequence[int], grid: Duration, stream: Stream) -> list[Duration]:
        table, bits = _log_normal_table(self.median, self.sigma, grid), stream.getrandbits
        return [table[bits(QUANTILE_BITS)] for _ in recipients]


class MatrixDelay(Frozen):
    """A table of one-way delays by the region of sender and recipient; with jitter, normal in proportion to the delay."""

    table: tuple[tuple[Duration, ...], ...]
    """Row: the sender's region. Column: the recipient's."""
    regions: tuple[int, ...]
    """The region of every node, by its index."""
    jitter: int = 0
    """Standard deviation in millionths of the delay (CometBFT's test networks: 50,000)."""

    @property
    def constant(self) -> Duration | None:
        return None

    def delays(self, sender: int, recipients: Sequence[int], grid: Duration, stream: Stream) -> list[Duration]:
        row, regions = self.table[self.regions[sender]], self.regions
        means = [row[regions[recipient]] for recipient in recipients]
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
def _normal_table(mean: Duration, deviation: Duration, low: Duration, grid: Duration) -> tuple[Duration, ...]:
    return tuple([_on_grid(mean + deviation * z, low, grid) for z in _deviations()])


@lru_cache(maxsize=DISTRIBUTIONS_MAX)
def _log_normal_table(median: Duration, sigma: float, grid: Duration) -> tuple[Duration, ...]:
    return tuple([_on_grid(median * exp(sigma * z), 0, grid) for z in _deviations()])


class DelayTable(Frozen):
    """One-way delays among named regions."""

    regions: tuple[str, ...]
    delays: tuple[tuple[Duration, ...], ...]

    def place(
        self, nodes: Sequence[NodeId], placement: Mapping[NodeId, str] | None = None, jitter: int = 0
    ) -> MatrixDelay:
        """The delay model of nodes in these regions; without a placement they take the regions in turn.

        Errors: ``Rejected("bad_placement", ...)``.
        """
        places = placement or {node: self.regions[i % len(self.regions)] for i, node in enumerate(nodes)}
        for node in nodes:
            if places.get(node) not in self.regions:
                known = ", ".join(self.regions)
                raise Rejected("bad_placement", f"{node} is in {places.get(node)!r}; one of {known} expected")
        return MatrixDelay(self.delays, tuple(self.regions.index(places[node]) for node in nodes), jitter)


def read_delay_table(path: Path) -> DelayTable:
    """A CSV file of one-way milliseconds: a header row of regions, a column of the same names; lines with # are comments.

    Errors: ``Rejected("bad_delay_table", ...)`` that names file, line and column.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Rejected("bad_delay_table", f"{path}: {error}") from None
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip() and not line.startswith("#")]
    rows = list(csv.reader(line for _, line in numbered))
    if len(rows) < 2:
        raise Rejected("bad_delay_table", f"{path}: a header row and a row per region expected")
    regions = tuple(cell.strip() for cell in rows[0][1:])
    if len(set(regions)) != len(regions) or [row[0].strip() for row in rows[1:]] != list(regions):
        raise Rejected(
            "bad_delay_table", f"{path}: the first column must name the regions of the header row in its order"
        )
    delays = []
    for (number, _), row in zip(numbered[1:], rows[1:], strict=True):
        if len(row) != len(regions) + 1:
            raise Rejected("bad_delay_table", f"{path}:{number}: {len(row)} columns, {len(regions) + 1} expected")
        delays.append(
            tuple(_milliseconds(path, number, region, cell) for region, cell in zip(regions, row[1:], strict=True))
        )
    return DelayTable(regions, tuple(delays))


def shipped_delay_table(name: str) -> DelayTable:
    """The shipped table with this name."""
    known = sorted(path.stem for path in shipped("networks").glob("*.csv"))
    if name not in known:
        raise Rejected("bad_delay_table", f"no table is named {name!r}; known are {', '.join(known)}")
    return read_delay_table(shipped("networks", f"{name}.csv"))


def _milliseconds(path: Path, line: int, region: str, cell: str) -> Duration:
    try:
        delay = round(float(cell) * MILLISECOND)
    except (ValueError, OverflowError):
        delay = -1
    if delay < 0:
        raise Rejected("bad_delay_table", f"{path}:{line}: column {region}: milliseconds expected, not {cell!r}")
    return delay
