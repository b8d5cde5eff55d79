"""The figures of a run or a sweep as files: those for which there is data, and for the others the reason why not.

What a sweep's figures are, in order: latency against committee size, the agreement alone and the whole instance, for each
kind of silence; latency by stage, for each map; traffic with its powers; distributions of latency; rounds of agreements;
latency against throughput. ``figures.md`` beside them has the captions, what one should know of the
cells, and tables of the medians.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ledger.kernel.encoding import Frozen
from node.configuration import ConfigurationError
from node.experiments.distribution_figures import distribution_figure, rounds_figure, rounds_of
from node.experiments.drawing import Drawing
from node.experiments.load_figure import load_figure
from node.experiments.report import drawings_of
from node.experiments.results import read_parquet
from node.experiments.size_figure import MEASURES, size_figure
from node.experiments.stage_figure import stage_figure
from node.experiments.sweep_data import SweepData, read_sweep, spans_of, summary_of
from node.experiments.sweep_folder import read_manifest
from node.experiments.tables import Tables
from node.experiments.traffic_figure import traffic_figure

FORMATS = ("svg", "png", "pdf")


class LeftOut(Frozen):
    """A figure that can't be drawn."""

    name: str
    why: str


Drawn = Drawing | LeftOut


def write_figures(folder: Path, out: Path | None, kind: str) -> list[str]:
    """Draw what a folder has figures for, into files of this kind. Returns what was done, a line for each figure.

    Errors: ``ConfigurationError`` when the folder holds no results; ``OSError``.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        raise ConfigurationError([f"{folder}: holds neither a run nor a sweep: no manifest.json in it"])
    place = out if out is not None else folder / "figures"
    place.mkdir(parents=True, exist_ok=True)
    data = read_sweep(folder, manifest) if "study" in manifest else None
    drawn = list(_of_run(folder, manifest) if data is None else _of_sweep(data))
    told: list[str] = []
    for drawing in drawn:
        if isinstance(drawing, LeftOut):
            told.append(f"left out: {drawing.name}: {drawing.why}")
        else:
            path = place / f"{drawing.name}.{kind}"
            drawing.save(path)
            told.append(str(path))
    drawings = [drawing for drawing in drawn if isinstance(drawing, Drawing)]
    notes = [] if data is None else list(notes_of(data))
    page = place / "figures.md"
    page.write_text(_page(drawings, kind, notes, [] if data is None else list(tables_of(data))), encoding="utf-8")
    return [*told, str(page), *(f"note: {note}" for note in notes)]


# --------------------------------------------------------------------------------------------------------------- a sweep


def _of_sweep(data: SweepData) -> Iterator[Drawn]:
    """Of the cells without a rate, in the first setting, and of those with one."""
    if not data.records:
        yield LeftOut("all figures", "every cell has failed")
        return
    sized, loaded = _apart(data)
    settings = sized.values("setting")
    machine = (sized.machines or ["off"])[0]
    if settings:
        shown = sized.where(setting=(settings[0],))
        yield from _of_setting(shown, machine)
        for setting in settings[1:]:
            yield LeftOut(
                "cells with " + _setting_text(setting, settings[0]), "one setting is drawn; give each a study"
            )
        for other in sized.machines[1:]:
            yield LeftOut(f"cells with CPU {other}", "one machine is drawn, beside CPU off; give each a study")
    else:
        yield LeftOut("latency against committee size", "the study has no cells without a rate")
    if loaded.records:
        yield load_figure(loaded, (loaded.machines or ["off"])[0])
    else:
        yield LeftOut("latency against throughput", "the study has no rates")


def _apart(data: SweepData) -> tuple[SweepData, SweepData]:
    """Cells without and with an offered load."""
    return data.where(rate=None), data.where(rate=tuple(rate for rate in data.values("rate") if rate is not None))


def _of_setting(data: SweepData, machine: str) -> Iterator[Drawn]:
    sizes = sorted(data.values("nodes"))
    if len(sizes) > 1:
        for phase in MEASURES:
            for silence in data.values("silence"):
                yield size_figure(data, phase, machine, silence)
    else:
        yield LeftOut("latency against committee size, traffic", "the study has one size only")
    faultless = data.where(silence="none")
    if not faultless.records:
        yield LeftOut("stages, traffic, distribution", "the study has no cells without silent members")
        return
    for name in faultless.where(machine=machine).values("map"):
        yield stage_figure(data, name, machine)
    if len(sizes) > 1:
        yield traffic_figure(data)
    yield distribution_figure(data, machine, sizes[len(sizes) // 2])
    if rounds_of(data):
        yield rounds_figure(data)
    else:
        yield LeftOut("rounds of agreements", "no protocol of the study has agreements in rounds")


def _setting_text(setting: Sequence[tuple[str, Any]], first: Sequence[tuple[str, Any]]) -> str:
    return ", ".join(
        f"{name} {value}" for (name, value), (_, other) in zip(setting, first, strict=True) if value != other
    )


def notes_of(data: SweepData) -> Iterator[str]:
    """What a reader of the figures should know."""
    failed = len(data.manifest["failed"])
    if failed:
        yield f"{failed:,} of {data.manifest['cells']:,} cells have failed and are not drawn; the manifest has the reasons."
    timed = [record for record in data.records if record.counts["views_changed"] or record.counts["signers_changed"]]
    if timed:
        where = ", ".join(dict.fromkeys(f"{record.protocol} with {record.nodes}" for record in timed))
        yield f"In {len(timed):,} cells timers have replaced leaders or signers, so latencies have timeouts in them: {where}."


def tables_of(data: SweepData) -> Iterator[str]:
    """Medians of what figures draw of latency against size, as Markdown: one table per map and silence."""
    sized, _ = _apart(data)
    machine = (sized.machines or ["off"])[0]
    setting = sized.values("setting")[:1]
    for name in sized.values("map"):
        for silence in sized.values("silence"):
            some = sized.where(map=name, silence=silence, setting=tuple(setting))
            if some.records:
                yield _table(some, machine, f"{name}, silent members: {silence}")


def _table(data: SweepData, machine: str, title: str) -> str:
    sizes = sorted(data.values("nodes"))
    lines = [f"**{title}**", "", "| | " + " | ".join(map(str, sizes)) + " |", "|---" * (len(sizes) + 1) + "|"]
    for protocol in data.values("protocol"):
        for costs in dict.fromkeys((machine, "off")):
            for phase in MEASURES:
                some = data.where(protocol=protocol, machine=costs)
                cells = [_median(some.where(nodes=nodes), phase) for nodes in sizes]
                if any(cells):
                    lines.append(f"| {protocol}, {phase}, CPU {costs} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _median(data: SweepData, phase: str) -> str:
    summary = summary_of(spans_of(data.records, phase))
    return "" if summary is None else f"{summary.p50 / 1000:,.1f}"


# ----------------------------------------------------------------------------------------------------------------- a run


def _of_run(folder: Path, manifest: Mapping[str, Any]) -> Iterator[Drawn]:
    """The figures of its report."""
    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        tables = Tables()
        for table in tables:
            table.rows = read_parquet(folder / f"{table.name}.parquet", table.name, table.columns).rows
    except (OSError, ValueError) as error:
        raise ConfigurationError([str(error)]) from None
    yield from drawings_of(tables, summary, manifest)


# ------------------------------------------------------------------------------------------------------------ their page


def _page(drawings: Sequence[Drawing], kind: str, notes: Sequence[str], tables: Sequence[str]) -> str:
    """Captions, notes, and tables of milliseconds, as Markdown."""
    parts = [f"![{drawing.alternative}]({drawing.name}.{kind})\n\n{drawing.caption}" for drawing in drawings]
    parts += notes
    if tables:
        parts.append("Medians, in milliseconds, by number of members:")
    return "\n\n".join([*parts, *tables]) + "\n"
