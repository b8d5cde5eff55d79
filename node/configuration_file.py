"""Reads the configuration of a scenario from a TOML file, and says where in it a field stands.

Precedence: defaults, then the file, then ``--set key=value`` and ``--seed``. All errors are reported at once, each with the
file, the line, the field, and what was expected.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from node.configuration import Configuration, ConfigurationError, FieldProblem
from node.configuration_checks import field_problems
from node.configuration_schema import read_document
from node.toml_file import TomlFile


class ConfigurationFile:
    """A checked configuration, and where it came from."""

    def __init__(self, file: TomlFile, configuration: Configuration) -> None:
        self.path = file.path
        self.configuration = configuration
        self._file = file

    def placed(self, error: ConfigurationError) -> ConfigurationError:
        """The error, with file and line for every field."""
        return self._file.placed(error.problems)


def open_configuration(path: Path, overrides: Sequence[str] = (), seed: int | None = None) -> ConfigurationFile:
    """The checked configuration of a file, with overrides such as ``market.rounds=5`` laid over it.

    Errors: ``ConfigurationError`` with one line for each problem.
    """
    file = TomlFile(path, [*overrides, *([] if seed is None else [f"scenario.seed={seed}"])])
    reading = read_document(file.document)
    problems: list[str | FieldProblem] = [*file.problems, *reading.problems]
    if reading.configuration is not None:
        problems += [problem for problem in field_problems(reading.configuration) if reading.is_sound(problem)]
    if problems or reading.configuration is None:
        raise file.placed(problems)
    return ConfigurationFile(file, reading.configuration)


def load_configuration(path: Path, overrides: Sequence[str] = (), seed: int | None = None) -> Configuration:
    """The configuration of a file alone; as ``open_configuration``."""
    return open_configuration(path, overrides, seed).configuration
