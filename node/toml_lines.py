"""Where in a TOML file a field stands.

``tomllib`` gives lines only for syntax errors. This finds the line of every field by its path, such as
``("chains", 2, "homes", 0)``, so that an error about a *value* can name the line too. The text is known to be valid TOML, so
only its structure is followed: headers, keys, arrays and inline tables; strings and comments are stepped over.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_BLANK = re.compile(r"(?:\s|#[^\n]*)*")
_STRING = re.compile(r'"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'', re.DOTALL)
_PLAIN = re.compile(r"[^,\]}\n#]+")
_KEY_PART = re.compile(r'\s*("(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|[A-Za-z0-9_-]+)[ \t]*')

Field = tuple[str | int, ...]


def line_of(text: str, field: Sequence[str | int]) -> int:
    """The line, counted from 1, where the field or the nearest thing around it stands."""
    lines = _Scanner(text).lines
    path = tuple(field)
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


class _Scanner:
    """Walks through the text once; ``lines`` has the line of every field."""

    def __init__(self, text: str) -> None:
        self.lines: dict[Field, int] = {}
        self._text = text
        self._position = 0
        self._places: dict[Field, int] = {}
        """The latest element of every array of tables."""
        table: Field = ()
        while self._at() is not None:
            if self._at() == "[":
                table = self._header()
            else:
                self._entry(table)

    def _at(self) -> str | None:
        """The next character that is neither blank nor in a comment; none at the end."""
        blank = _BLANK.match(self._text, self._position)
        assert blank is not None
        self._position = blank.end()
        return self._text[self._position] if self._position < len(self._text) else None

    def _note(self, path: Field) -> None:
        self.lines.setdefault(path, self._text.count("\n", 0, self._position) + 1)

    def _header(self) -> Field:
        is_array = self._text.startswith("[[", self._position)
        start = self._position
        self._position += 1 + is_array
        parts = self._key()
        path: Field = ()
        for i, part in enumerate(parts):
            path = (*path, part)
            if is_array and i == len(parts) - 1:
                self._places[path] = self._places.get(path, -1) + 1
            if path in self._places:
                path = (*path, self._places[path])
        end, self._position = self._position + 1 + is_array, start
        self._note(path)
        self._position = end
        return path

    def _key(self) -> Field:
        """A key, dotted or not; what follows it is next."""
        parts: list[str] = []
        while part := _KEY_PART.match(self._text, self._position):
            parts.append(part[1].strip("\"'"))
            self._position = part.end()
            if not self._text.startswith(".", self._position):
                break
            self._position += 1
        return tuple(parts)

    def _entry(self, table: Field) -> None:
        """``key = value``."""
        start = self._position
        parts = self._key()
        end, self._position = self._position + 1, start
        for i in range(len(parts)):
            self._note((*table, *parts[: i + 1]))
        self._position = end
        self._value((*table, *parts))

    def _value(self, path: Field) -> None:
        opening = self._at()
        if opening not in ("[", "{"):
            end = _STRING.match(self._text, self._position) or _PLAIN.match(self._text, self._position)
            self._position = end.end() if end else len(self._text)
            return
        self._position += 1
        place = 0
        while self._at() not in ("]", "}", None):
            if self._at() == ",":
                place += 1
                self._position += 1
            elif opening == "[":
                self._note((*path, place))
                self._value((*path, place))
            else:
                self._entry(path)
        self._position += 1
