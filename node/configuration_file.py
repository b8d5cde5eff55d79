"""Reads the configuration of a scenario from a TOML file, and says where in it a field stands.

Precedence: defaults, then the file, then ``--set key=value`` and ``--seed``. All errors are reported at once, each with the
file, the line, the field, and what was expected.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from node.configuration import Configuration, ConfigurationError, FieldPath, FieldProblem
from node.configuration_checks import field_problems
from node.configuration_schema import read_document
from node.toml_lines import line_of

Way = tuple[str, ...]
"""The keys of an override, from the outside in."""
_SYNTAX_PLACE = re.compile(r" \(at line (\d+), column (\d+)\)$")


class ConfigurationFile:
    """A checked configuration, and where it came from."""

    def __init__(self, path: Path, text: str, overridden: Sequence[Way], configuration: Configuration) -> None:
        self.path = path
        self.configuration = configuration
        self._text = text
        self._overridden = tuple(overridden)

    def placed(self, error: ConfigurationError) -> ConfigurationError:
        """The error, with file and line for every field."""
        return _placed(self.path, self._text, self._overridden, error.problems)


def open_configuration(path: Path, overrides: Sequence[str] = (), seed: int | None = None) -> ConfigurationFile:
    """The checked configuration of a file, with overrides such as ``market.rounds=5`` laid over it.

    Errors: ``ConfigurationError`` with one line for each problem.
    """
    text, document = _read(path)
    overridden: list[Way] = []
    problems: list[str | FieldProblem] = []
    for override in [*overrides, *([] if seed is None else [f"scenario.seed={seed}"])]:
        try:
            overridden.append(_override(document, override))
        except ValueError as error:
            problems.append(f"--set {override}: {error}")
    reading = read_document(document)
    problems += reading.problems
    if reading.configuration is not None:
        problems += [problem for problem in field_problems(reading.configuration) if reading.is_sound(problem)]
    if problems or reading.configuration is None:
        raise _placed(path, text, overridden, problems)
    return ConfigurationFile(path, text, overridden, reading.configuration)


def load_configuration(path: Path, overrides: Sequence[str] = (), seed: int | None = None) -> Configuration:
    """The configuration of a file alone; as ``open_configuration``."""
    return open_configuration(path, overrides, seed).configuration


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigurationError([f"{path}: can't be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        raise ConfigurationError([f"{path}: expected UTF-8 text, byte {error.start} is none"]) from None
    try:
        return text, tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        place = _SYNTAX_PLACE.search(message)
        where = f"{place[1]}:{place[2]}" if place else str(text.count("\n") + 1)
        raise ConfigurationError([f"{path}:{where}: expected TOML: {_SYNTAX_PLACE.sub('', message)}"]) from None
    except RecursionError:
        raise ConfigurationError([f"{path}:1: expected TOML: too many brackets within each other"]) from None


def _placed(
    path: Path, text: str, overridden: Sequence[Way], problems: Sequence[str | FieldProblem]
) -> ConfigurationError:
    return ConfigurationError(
        [
            problem if isinstance(problem, str) else _describe(path, text, overridden, problem.field, problem.message)
            for problem in problems
        ]
    )


def _describe(path: Path, text: str, overridden: Sequence[Way], field: FieldPath, message: str) -> str:
    """The problem of a field in one line, with file and line, or with the override that it came by."""
    dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in field).lstrip(".")
    texts = tuple(str(part) for part in field)
    by = [way for way in overridden if texts and way[: len(texts)] == texts[: len(way)]]
    place = f"--set {'.'.join(by[-1])}" if by else f"{path}:{line_of(text, field)}"
    named = field and not (by and by[-1] == texts)
    return f"{place}: {dotted}: {message}" if named else f"{place}: {message}"


def _override(document: dict[str, Any], override: str) -> Way:
    """Lay one override over the document.

    Errors: ``ValueError`` that says what was expected.
    """
    key, equals, value = override.partition("=")
    way = tuple(part.strip() for part in key.split("."))
    if not equals or not all(way):
        raise ValueError("expected key=value, such as market.rounds=5")
    try:
        parsed = tomllib.loads(f"value = {value}")
    except (tomllib.TOMLDecodeError, RecursionError):
        parsed = {}
    return _set(document, way, parsed["value"] if len(parsed) == 1 else value.strip())


def _set(document: dict[str, Any], way: Way, value: Any) -> Way:
    place: Any = document
    for i, part in enumerate(way):
        last = i == len(way) - 1
        if isinstance(place, list):
            if not part.isdecimal() or int(part) >= len(place):
                raise ValueError(f"{part!r} is no place in {'.'.join(way[:i])}, which has {len(place)} from 0")
            if last:
                place[int(part)] = value
            else:
                place = place[int(part)]
        elif not isinstance(place, dict):
            raise ValueError(f"{'.'.join(way[:i])} is no table: expected no further keys")
        elif last:
            place[part] = value
        else:
            place = place.setdefault(part, {})
    return way
