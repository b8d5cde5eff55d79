"""The command ``tanglegrid``.

Results go to standard output, progress and errors to standard error. Exit codes: 0 done, 1 a run that failed or broke an
invariant, 2 a command or configuration that can't be used. Everything heavy is imported inside the commands, for a command
line answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

import click


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(version("tanglegrid"), prog_name="tanglegrid")
def main() -> None:
    """Settle peer-to-peer energy trading on a simulated two-layer ledger, and measure what it costs."""


@main.command()
@click.argument("configuration", type=click.Path(path_type=Path))
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Run with this seed instead of the configuration's.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a field, e.g. market.rounds=5.")
@click.option("--out", type=click.Path(path_type=Path), help="Where to leave tables, manifest and report.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object, and nothing else.")
@click.option("--report/--no-report", default=True, help="Draw the HTML report into the run folder.")
def run(
    configuration: Path, seed: int | None, overrides: tuple[str, ...], out: Path | None, as_json: bool, report: bool
) -> None:
    """Run the scenario of a CONFIGURATION file in the deterministic simulation."""
    from node.configuration import ConfigurationError
    from node.experiments.run import run_to_folder

    try:
        outcome = run_to_folder(configuration, overrides, seed, out, report=report, quiet=as_json)
    except ConfigurationError as error:
        _stop(error.problems, 2)
    except OSError as error:
        _stop([f"{error.filename}: {error.strerror}"], 1)
    click.echo(outcome.summary_json() if as_json else outcome.summary_text())
    if outcome.violations:
        _stop([f"an invariant is broken: {violation}" for violation in outcome.violations], 1)


def _stop(problems: Sequence[str], code: int) -> NoReturn:
    for problem in problems:
        click.echo(f"error: {problem}", err=True)
    sys.exit(code)
