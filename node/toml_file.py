"""A TOML file that somebody has written by hand: its tables, what is laid over them, and where in it a field stands.

Precedence: the file, then ``key=value`` overrides of the command line. A problem is told with file, line and field, or with
the override that the field came by.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from node.configuration import ConfigurationError, FieldPath, FieldProblem
from node.toml_lines import line_of

Way = tuple[str, ...]
"""The keys of an override, from the outside in."""
_SYNTAX_PLACE = re.compile(r" \(at line (\d+), column (\d+)\)$")


class TomlFile:
    """The tables of a file, with overrides such as ``market.rounds=5`` laid over them.

    Errors: ``ConfigurationError`` when it can't be read. Overrides that can't be laid over it are ``problems``.
    """

    def __init__(self, path: Path, overrides: Sequence[str] = ()) -> None:
        self.path = path
        self._text, self.document = _read(path)
        self.problems: list[str] = []
        self._overridden: list[Way] = []
        for override in overrides:
            try:
                self._overridden.append(_override(self.document, override))
            except ValueError as error:
                self.problems.append(f"--set {override}: {error}")

    def placed(self, problems: Sequence[str | FieldProblem]) -> ConfigurationError:
        """An error of these problems, with file and line for every field."""
        return ConfigurationError(
            [
                problem if isinstance(problem, str) else self._described(problem.field, problem.message)
                for problem in problems
            ]
        )

    def _described(self, field: FieldPath, message: str) -> str:
        """The problem of a field in one line, with file and line, or with the override that it came by."""
        dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in field).lstrip(".")
        texts = tuple(str(part) for part in field)
        by = [way for way in self._overridden if texts and way[: len(texts)] == texts[: len(way)]]
        place = f"--set {'.'.join(by[-1])}" if by else f"{self.path}:{line_of(self._text, field)}"
        named = field and not (by and by[-1] == texts)
        return f"{place}: {dotted}: {message}" if named else f"{place}: {message}"


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
