"""The terminal: results go to standard output, progress, warnings and errors to standard error.

Whatever goes wrong in a command ends it with a line and an exit code: 0 done, 1 failed, 2 unusable, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

import click

FAILED, UNUSABLE, INTERRUPTED = 1, 2, 130

overrides_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a field, as often as you like; the value as in TOML, text also without quotes: "
    "market.rounds=5, network.delay=80ms, chains.0.generation_shift=12h.",
)
traceback_option = click.option("--traceback", is_flag=True, help="When the program itself fails, show where.")


@contextmanager
def problems_told(traceback: bool) -> Iterator[None]:
    """Whatever goes wrong inside ends the command with a line on standard error and its exit code."""
    from node.configuration import ConfigurationError

    try:
        yield
    except ConfigurationError as error:
        stop([str(problem) for problem in error.problems], UNUSABLE)
    except OSError as error:
        stop([f"{error.filename}: {error.strerror}" if error.filename else str(error)], FAILED)
    except KeyboardInterrupt:
        stop(["interrupted; nothing was written"], INTERRUPTED)
    except Exception as error:
        if traceback:
            raise
        cause = error.__cause__ or error
        told = [str(error)] if error.__cause__ else []
        why = f"this is an error of tanglegrid: {type(cause).__name__}: {cause}"
        stop([*told, why, "the same command with --traceback fails in the same way and shows where"], FAILED)


def tell_result(text: str) -> None:
    """Print to standard output; whoever has closed it, such as ``head``, has seen enough."""
    try:
        click.echo(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def tell_step(step: str) -> None:
    """Say what is being measured."""
    click.echo(f"measuring: {step}", err=True)


def warn(warning: str) -> None:
    """Say what is legal and probably not meant."""
    click.echo(f"warning: {warning}", err=True)


def stop(problems: Sequence[str], code: int) -> NoReturn:
    """Say what is wrong, and end with the code."""
    for problem in problems:
        click.echo(f"error: {problem}", err=True)
    sys.exit(code)
