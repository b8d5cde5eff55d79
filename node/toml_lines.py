"""Where in a TOML file a field stands.

``tomllib`` gives lines only for syntax errors. This finds the line of a field by its path, such as
``("chains", 2, "homes", 0)``, so that an error about a *value* can name the line too. It reads the line structure that
configurations have (headers and ``key = value``), and answers with the nearest enclosing line where it can't tell.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"^\s*([A-Za-z0-9_\-\"'. ]+?)\s*=")

Field = tuple[str | int, ...]


def line_of(text: str, field: Sequence[str | int]) -> int:
    """The line, counted from 1, where the field or the nearest thing around it stands."""
    lines = _lines_of_fields(text)
    path = tuple(field)
    while path:
        if path in lines:
            return lines[path]
        path = path[:-1]
    return 1


def _lines_of_fields(text: str) -> dict[Field, int]:
    lines: dict[Field, int] = {}
    counts: dict[Field, int] = {}
    table: Field = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            table = _resolve(_parts(header[2]), counts)
            if header[1] == "[[":
                place = counts.get(table, -1) + 1
                counts[table] = place
                table = (*table, place)
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            lines.setdefault((*table, *_parts(key[1])), number)
    return lines


def _parts(dotted: str) -> Field:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def _resolve(parts: Field, counts: dict[Field, int]) -> Field:
    """The path with the index of the latest element behind the name of every array but the last."""
    path: Field = ()
    for i, part in enumerate(parts):
        path = (*path, part)
        if i < len(parts) - 1 and path in counts:
            path = (*path, counts[path])
    return path
