"""One run: a scenario through the simulated runtime, drained, summed up, and left in a folder.

After the last interval is metered the run goes on until nothing is open: intervals, outboxes, messages under way,
unconfirmed anchors; at most ``drain_max``. What is open then is told as unsettled.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from time import process_time
from typing import Any

from ledger.kernel.instant import MINUTE, Duration, Instant
from node.configuration import Configuration, ConfigurationError
from node.configuration_file import open_configuration
from node.experiments.drain import is_drained
from node.experiments.recorder import Recorder
from node.experiments.report import render_report
from node.experiments.results import FolderTaken, check_place, digest_of_results, versions, write_folder
from node.experiments.scenario import SimulatedScenario
from node.experiments.summary import summarise, summary_text
from node.experiments.tables import Tables
from node.simulated.garbage import seldom_collected
from node.simulated.runtime import SimulatedRuntime

STEP: Duration = 5 * MINUTE
"""Simulated time between two looks at the progress."""

Progress = Callable[[Instant, Instant, SimulatedRuntime], None]
Warn = Callable[[str], None]


class Outcome:
    """What came of a run."""

    def __init__(
        self, scenario: SimulatedScenario, tables: Tables, summary: dict[str, Any], cpu_seconds: float
    ) -> None:
        self.scenario = scenario
        self.tables = tables
        self.summary = summary
        self.cpu_seconds = cpu_seconds

    @property
    def violations(self) -> list[str]:
        """Invariants that did not hold."""
        return list(self.summary["violations"])

    @property
    def manifest(self) -> dict[str, Any]:
        """What the run was, so that it can be run again."""
        return {
            "scenario": self.scenario.network,
            "seed": self.scenario.seed,
            "digest": self.summary["digest"],
            "first_delivery_us": self.scenario.market.first_delivery,
            "interval_us": self.scenario.market.interval_length,
            "weight_percent": {
                "accepted": self.scenario.profile.accepted_percent,
                "confirmed": self.scenario.profile.confirmed_percent,
            },
            "configuration": self.scenario.configuration.model_dump(mode="json"),
            "versions": versions(),
            "tables": {table.name: len(table.rows) for table in self.tables},
        }

    def summary_json(self) -> str:
        """The summary as one JSON object."""
        return json.dumps(self.summary, indent=2)

    def summary_text(self) -> str:
        """The summary for people."""
        return summary_text(self.summary)


def run_scenario(
    configuration: Configuration, folder: Path, progress: Progress | None = None, warn: Warn | None = None
) -> Outcome:
    """Run a scenario to its end and through its drain phase. ``folder``: where its files are looked for.

    ``warn`` is told before the run what is legal and probably not meant.
    """
    began = process_time()
    scenario = SimulatedScenario(configuration, folder)
    if warn is not None:
        for warning in scenario.warnings:
            warn(warning)
    recorder = Recorder(scenario)
    runtime = scenario.runtime(recorder)
    last = scenario.end + configuration.scenario.drain_max
    with seldom_collected():
        while runtime.now < last and (runtime.now < scenario.end or not is_drained(scenario, recorder, runtime)):
            runtime.run_until(min(runtime.now + STEP, last if runtime.now >= scenario.end else scenario.end))
            if progress is not None:
                progress(runtime.now, scenario.end, runtime)
    tables = recorder.finish(runtime.counters)
    summary = summarise(scenario, recorder, runtime)
    digest = digest_of_results(list(tables), summary)
    return Outcome(scenario, tables, {"digest": digest, **summary}, process_time() - began)


def run_to_folder(
    path: Path,
    overrides: Sequence[str],
    seed: int | None,
    out: Path | None,
    *,
    report: bool,
    quiet: bool,
    warn: Warn | None = None,
) -> Outcome:
    """Run a configuration file; with ``out``, leave the run folder there.

    Errors: ``ConfigurationError``; ``OSError`` when the folder can't be written.
    """
    from node.experiments.progress import progress_bar

    file = open_configuration(path, overrides, seed)
    if out is not None:
        try:
            check_place(out)
        except FolderTaken as error:
            raise ConfigurationError([f"--out {error}"]) from None
    with progress_bar(quiet) as progress:
        try:
            outcome = run_scenario(file.configuration, path.parent, progress, warn)
        except ConfigurationError as error:
            raise file.placed(error) from None
    if out is not None:
        files = {}
        if report:
            files["report.html"] = render_report(outcome.tables, outcome.summary, outcome.manifest)
        write_folder(out, list(outcome.tables), outcome.manifest, outcome.summary, files)
    return outcome
