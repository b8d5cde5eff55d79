"""The results of a sweep as figures need them: its cells, with their latencies, by parameters.

A cell's silent members are told by their kind, *silence*: "none", "f" (as many as the committee survives), or "k silent".
What differs between cells besides protocol, nodes, silence, map, CPU, rate and seed is their *setting*; a figure shows one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ledger.kernel.encoding import Frozen
from node.configuration import ConfigurationError, NetworkSection
from node.experiments.committee_cells import COUNT_COLUMNS, PARAMETERS
from node.experiments.committee_recorder import PHASES
from node.experiments.results import read_parquet
from node.experiments.summary import percentile
from node.experiments.sweep_folder import TABLE
from node.experiments.sweep_table import SWEEP_COLUMNS
from node.simulated.delay_tables import delay_table

SETTING = ("timers", "crypto", "blocks", "batch", "payload")


class CellRecord(Frozen):
    """What is known of one cell."""

    point: Mapping[str, Any]
    faulty_max: int
    seed: int
    outcome: str
    spans: tuple[Mapping[str, int | None], ...]
    """Per block and node: microseconds of each phase."""
    rounds: tuple[tuple[int, ...], ...]
    """Per block: of every agreement."""
    counts: Mapping[str, Any]

    @property
    def protocol(self) -> str:
        """How the committee agrees."""
        return str(self.point["protocol"])

    @property
    def nodes(self) -> int:
        """Members of the committee."""
        return int(self.point["nodes"])

    @property
    def silence(self) -> str:
        """The kind of its silent members."""
        silent = self.point["silent"]
        return "none" if not silent else "f" if silent == self.faulty_max else f"{silent} silent"

    @property
    def machine(self) -> str:
        """Its hardware profile, or "off"."""
        return str(self.point["cpu"])

    @property
    def map(self) -> str:
        """Its network, by the study's name."""
        return str(self.point["map"])

    @property
    def rate(self) -> float | None:
        """Requests offered per second; none: every proposal is full."""
        rate: float | None = self.point["rate"]
        return rate

    @property
    def setting(self) -> tuple[tuple[str, Any], ...]:
        """All that makes its latencies another experiment's."""
        return tuple((name, self.point[name]) for name in SETTING)


class SweepData:
    """The records of a sweep, and its manifest."""

    def __init__(self, manifest: Mapping[str, Any], records: Sequence[CellRecord], maps: Mapping[str, int]) -> None:
        self.manifest = manifest
        self.records = tuple(records)
        self.constant_delays = maps
        """Of the maps in which all links have one delay: microseconds."""

    def where(self, **wanted: Any) -> SweepData:
        """Only the records with these properties; of a tuple, any value of it."""

        def matches(record: CellRecord) -> bool:
            return all(
                getattr(record, name) in (value if isinstance(value, tuple) else (value,))
                for name, value in wanted.items()
            )

        return SweepData(self.manifest, list(filter(matches, self.records)), self.constant_delays)

    def values(self, name: str) -> list[Any]:
        """The values of a property, in the order of the study."""
        return list(dict.fromkeys(getattr(record, name) for record in self.records))

    @property
    def machines(self) -> list[str]:
        """The hardware profiles, without "off"."""
        return [machine for machine in self.values("machine") if machine != "off"]

    def title(self, name: str) -> str:
        """A map in a few words."""
        if name in self.constant_delays:
            return f"{name}: {self.constant_delays[name] / 1000:g} ms between any two"
        section = self.manifest["maps"].get(name)
        if section is None or section["model"] != "matrix":
            return name
        regions = len(section["placement"])
        return f"{name}: {regions} regions of {section['matrix']}" if regions else f"{name}: {section['matrix']}"

    @property
    def source(self) -> str:
        """Where the numbers come from, in a line below a figure."""
        seeds = sorted({record.seed for record in self.records})
        told = f"seeds {seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else f"seed {seeds[0]}" if seeds else "no seeds"
        machines = f", CPU {' and '.join(self.values('machine'))}"
        version = self.manifest["versions"]["tanglegrid"]
        return (
            f"tanglegrid {version}, study {self.manifest['study']['name']}, {told}{machines}, "
            f"digest {self.manifest['digest'][:12]}"
        )


def read_sweep(folder: Path, manifest: Mapping[str, Any]) -> SweepData:
    """The data of a sweep's folder, without the cells that have failed.

    Errors: ``ConfigurationError``.
    """
    if manifest.get("state") != "complete":
        raise ConfigurationError(
            [f"{folder}: the sweep is not complete: tanglegrid sweep ... --resume goes on with it"]
        )
    try:
        table = read_parquet(folder / TABLE, "cells", SWEEP_COLUMNS)
    except (OSError, ValueError) as error:
        raise ConfigurationError([str(error)]) from None
    rows = (dict(zip(SWEEP_COLUMNS, row, strict=True)) for row in table.rows)
    records = [record for record in _records(rows) if record.outcome == "done"]
    return SweepData(manifest, records, dict(_constant_delays(manifest)))


def _records(rows: Iterable[Mapping[str, Any]]) -> Iterator[CellRecord]:
    """One for each cell; a cell's rows follow each other."""
    gathered: list[Mapping[str, Any]] = []
    for row in rows:
        if gathered and gathered[0]["cell"] != row["cell"]:
            yield _record(gathered)
            gathered = []
        gathered.append(row)
    if gathered:
        yield _record(gathered)


def _record(rows: Sequence[Mapping[str, Any]]) -> CellRecord:
    first = rows[0]
    blocks = {row["block"]: row["agreement_rounds"] or "" for row in rows if row["block"] is not None}
    return CellRecord(
        {name: first[name] for name in PARAMETERS},
        first["faulty_max"],
        first["seed"],
        first["outcome"],
        tuple({phase: row[f"{phase}_us"] for phase in PHASES} for row in rows if row["block"] is not None),
        tuple(tuple(map(int, rounds.split())) for rounds in blocks.values()),
        {name: first[name] for name in COUNT_COLUMNS},
    )


def _constant_delays(manifest: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    for name, fields in manifest["maps"].items():
        section = NetworkSection.model_validate(fields)
        if section.model == "constant":
            yield name, section.delay
        elif section.model == "matrix" and section.matrix in ("lan",) and not section.jitter:
            yield name, delay_table(section.matrix).delays[0][0]


# ------------------------------------------------------------------------------------------------------------ statistics


class Summary(Frozen):
    """Percentiles, in microseconds."""

    p50: int
    p95: int
    p99: int


def spans_of(records: Iterable[CellRecord], phase: str) -> list[int]:
    """All times of a phase, in rising order."""
    return sorted(span for record in records for row in record.spans if (span := row[phase]) is not None)


def summary_of(ordered: Sequence[int]) -> Summary | None:
    """Their percentiles; none of nothing."""
    if not ordered:
        return None
    return Summary(*(percentile(ordered, per_cent) or 0 for per_cent in (50, 95, 99)))


def by_size(records: Iterable[CellRecord]) -> dict[int, list[CellRecord]]:
    """The records of each size, in rising order."""
    sizes: dict[int, list[CellRecord]] = {}
    for record in records:
        sizes.setdefault(record.nodes, []).append(record)
    return dict(sorted(sizes.items()))


def mean(values: Iterable[float]) -> float | None:
    """Their mean; none of nothing."""
    known = list(values)
    return sum(known) / len(known) if known else None
