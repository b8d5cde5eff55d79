"""The command ``tanglegrid``.

Results go to standard output, progress and errors to standard error. Exit codes: 0 done, 1 a run that failed or broke an
invariant, 2 a command or configuration that can't be used, 130 interrupted. Everything heavy is imported inside the
commands, for a command line answers at once.
"""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from node.live.cluster_commands import RUNNING_COMMANDS
from node.live.commands import cluster, node
from node.terminal import (
    FAILED,
    INTERRUPTED,
    overrides_option,
    problems_told,
    stop,
    tell_result,
    tell_step,
    traceback_option,
    warn,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(version("tanglegrid"), prog_name="tanglegrid")
def main() -> None:
    """Settle peer-to-peer energy trading on a simulated two-layer ledger, and measure what it costs."""


main.add_command(cluster)
for command in RUNNING_COMMANDS:
    cluster.add_command(command)
main.add_command(node)

_configuration = click.argument("configuration", type=click.Path(path_type=Path))
_seed = click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), help="Run with this seed instead of the configuration's."
)


@main.command(
    epilog="Exit codes: 0 done; 1 the run failed or an invariant is broken; 2 the command or configuration is unusable."
)
@_configuration
@_seed
@overrides_option
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder for manifest, tables (Parquet) and report; an earlier run in it is replaced. Without it nothing is kept.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object, and nothing else.")
@click.option("--report/--no-report", default=True, help="Draw the HTML report into the folder, or leave it out.")
@traceback_option
def run(
    configuration: Path,
    seed: int | None,
    overrides: tuple[str, ...],
    out: Path | None,
    as_json: bool,
    report: bool,
    traceback: bool,
) -> None:
    """Run a scenario in the deterministic simulation, and print its summary.

    CONFIGURATION is a TOML file such as configs/three-microgrids.toml. The same file, overrides and seed give the same
    results, on any machine: compare the digest.
    """
    with problems_told(traceback):
        from node.experiments.run import run_to_folder

        outcome = run_to_folder(configuration, overrides, seed, out, report=report, quiet=as_json, warn=warn)
        tell_result(outcome.summary_json() if as_json else outcome.summary_text())
        if outcome.violations:
            stop([f"an invariant is broken: {violation}" for violation in outcome.violations], FAILED)


@main.command(epilog="Exit codes: 0 the configuration can be run; 2 the command or configuration is unusable.")
@_configuration
@_seed
@overrides_option
@traceback_option
def check(configuration: Path, seed: int | None, overrides: tuple[str, ...], traceback: bool) -> None:
    """Check a scenario without running it, and print its plan: chains, committees, timetable, hosts.

    CONFIGURATION is a TOML file such as configs/three-microgrids.toml.
    """
    with problems_told(traceback):
        from node.experiments.check import check_file, plan_text

        scenario = check_file(configuration, overrides, seed)
        for warning in scenario.warnings:
            warn(warning)
        tell_result(plan_text(scenario))


@main.command(
    epilog="Exit codes: 0 done; 1 blocks were not decided, or agreement is broken; 2 the command is unusable. "
    "Times in the results are whole microseconds of virtual time."
)
@click.option("--protocol", metavar="NAME", help="How the committee agrees [wasp].")
@click.option("--nodes", metavar="N", help="Members of the committee [4].")
@click.option("--silent", metavar="K", help="So many of them, the last ones, say nothing [0].")
@click.option("--delay", metavar="TIME", help="One-way delay of every link, such as 25ms, which it is without.")
@click.option("--jitter", metavar="TIME", help="Delays are uniform within this of the delay.")
@click.option("--matrix", metavar="NAME|FILE", help="One-way delays by region: a shipped table, or a CSV file.")
@click.option("--placement", metavar="REGION,...", help="The nodes' regions [all of the matrix, in turn].")
@click.option(
    "--cpu", metavar="off|PROFILE", default="off", help="Costs of a machine, which bring its card and disk [off]."
)
@click.option(
    "--bandwidth", metavar="RATE", help="Bits per second of every node's network card, such as 100M, or unlimited."
)
@click.option("--disk/--no-disk", default=None, help="Whether what must be durable takes time [as the CPU].")
@click.option(
    "--frames/--no-frames", default=True, help="Whether messages to one node at one moment share a frame [yes]."
)
@click.option(
    "--timers",
    metavar="off|TIME",
    help="How long a leader, and the signers of an anchor, have before others replace them, at first; it doubles. Take "
    "more for machines on which a block takes longer: their leaders would be replaced for no reason [2s].",
)
@click.option("--crypto", metavar="model|real", help="Honest bytes without the maths, or the maths [model].")
@click.option("--blocks", metavar="B", help="How many blocks are decided, one after another [10].")
@click.option("--batch", metavar="B", help="Requests in a proposal [100].")
@click.option("--payload", metavar="BYTES", help="Size of a request's parameters [50].")
@click.option(
    "--rate",
    metavar="R",
    help="Requests per second, offered to the whole committee, open loop [every proposal is full].",
)
@click.option("--seed", metavar="S", help="The seed of all that is drawn [1].")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write the results, as --json prints them, into this file."
)
@click.option("--json", "as_json", is_flag=True, help="Print the results as one JSON object, and nothing else.")
@traceback_option
def consensus(
    delay: str | None,
    jitter: str | None,
    matrix: str | None,
    placement: str | None,
    cpu: str,
    bandwidth: str | None,
    disk: bool | None,
    frames: bool,
    out: Path | None,
    as_json: bool,
    traceback: bool,
    **fields: str | None,
) -> None:
    """Run one committee without a Tangle, and print how long its blocks take.

    Every member proposes a batch, the committee agrees on one, and signs the anchor that commits to it. Then the next.
    """
    with problems_told(traceback):
        from node.configuration import ConfigurationError
        from node.experiments.committee_options import read_options
        from node.experiments.committee_run import run_committee
        from node.experiments.progress import block_bar

        network: dict[str, Any] = {"delay": delay, "jitter": jitter, "matrix": matrix, "placement": placement}
        network |= {"bandwidth": bandwidth, "frames": frames}
        options = read_options(fields, network, {"cpu": cpu, "disk": disk}, Path())
        if out is not None and (out.is_dir() or not out.parent.is_dir()):
            raise ConfigurationError([f"--out {out}: expected a file in a folder that exists"])
        with block_bar(as_json) as progress:
            result = run_committee(options, progress=progress)
        if out is not None:
            out.write_text(result.json() + "\n", encoding="utf-8")
        tell_result(result.json() if as_json else result.text())
        if result.failures:
            stop(result.failures, FAILED)


@main.command(
    epilog="Exit codes: 0 done; 1 cells failed, or the disk is full; 2 the command or study is unusable; 130 interrupted."
)
@click.argument("study", type=click.Path(path_type=Path))
@click.option("--jobs", type=click.IntRange(1, 4096), help="So many processes of this machine [its processors].")
@click.option("--scheduler", metavar="ADDRESS", help="The workers of a Dask cluster instead, such as tcp://host:8786.")
@click.option("--resume", is_flag=True, help="Go on with a sweep that was killed.")
@click.option("--overwrite", is_flag=True, help="Begin anew where an earlier sweep left its results.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the results [runs/NAME].")
@overrides_option
@traceback_option
def sweep(
    study: Path,
    jobs: int | None,
    scheduler: str | None,
    resume: bool,
    overwrite: bool,
    out: Path | None,
    overrides: tuple[str, ...],
    traceback: bool,
) -> None:
    """Run all combinations of a study's parameters, with several seeds each.

    STUDY is a TOML file such as configs/studies/latency-vs-committee-size.toml. Every finished run is kept at once; in the
    end there are one table and one manifest, the same whatever the number of processes.
    """
    with problems_told(traceback):
        from node.configuration import ConfigurationError
        from node.experiments.sweep import SweepInterrupted, run_sweep
        from node.experiments.sweep_workers import DaskWorkers, LocalWorkers, Workers, cores

        exclusive = {"--jobs and --scheduler": jobs and scheduler, "--resume and --overwrite": resume and overwrite}
        problems = [f"{options}: expected one of them" for options, both in exclusive.items() if both]
        if problems:
            raise ConfigurationError(problems)
        workers: Workers = LocalWorkers(jobs or cores()) if scheduler is None else DaskWorkers(scheduler)
        try:
            outcome = run_sweep(study, overrides, out, workers, resume=resume, overwrite=overwrite, warn=warn)
        except SweepInterrupted as interrupted:
            stop([str(interrupted)], INTERRUPTED)
        tell_result(outcome.text())
        if outcome.failures:
            stop(outcome.failures, FAILED)


@main.command(epilog="Exit codes: 0 done; 1 the disk failed; 2 there are no results in the folder.")
@click.argument("results", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder for the figures [figures, in the results' folder]."
)
@click.option("--format", "kind", type=click.Choice(["svg", "png", "pdf"]), default="svg", show_default=True)
@traceback_option
def figures(results: Path, out: Path | None, kind: str, traceback: bool) -> None:
    """Draw the figures of a run or a sweep as files, with a page of their captions.

    RESULTS is the folder that run --out or sweep has left. Prints each file, and what could not be drawn and why.
    """
    with problems_told(traceback):
        from node.experiments.figure_files import write_figures

        tell_result("\n".join(write_figures(results, out, kind)))


@main.command(epilog="Exit codes: 0 done; 1 the disk failed; 2 the command is unusable.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Write the hardware profile into this file, such as mine.toml; an earlier one is replaced.",
)
@click.option(
    "--bandwidth",
    metavar="RATE",
    default="1G",
    help="Bits per second of the network card, which is not measured, such as 100M [1G].",
)
@click.option("--json", "as_json", is_flag=True, help="Print the results as one JSON object, and nothing else.")
@traceback_option
def calibrate(out: Path | None, bandwidth: str, as_json: bool, traceback: bool) -> None:
    """Measure what work costs on this machine: about fifteen seconds.

    The profile is for --cpu of the other commands, and for [hardware] profile of a configuration. The disk is measured in
    the folder of the profile, or in the present one.
    """
    with problems_told(traceback):
        from node.experiments.calibration import calibrate as calibrated

        calibration = calibrated(out, bandwidth, datetime.now(UTC), tell_step)
        tell_result(calibration.json() if as_json else calibration.text())
