"""What the schema finds wrong with a document, in this project's words, and what of the document is good in spite of it.

So that what is wrong *between* the fields can be told together with what is wrong with a field alone, a wrong field is
replaced by a stand-in, and the document is checked again. A problem that rests upon a field with a stand-in isn't told: it
may be gone when that field is right.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple, get_args

from pydantic import ValidationError

from node.configuration import (
    NAME_EXPECTED,
    ChainSection,
    Configuration,
    FaultSection,
    FieldPath,
    FieldProblem,
    HomeSection,
    Section,
)  # fmt: skip

_ELEMENTS: dict[str, type[Section]] = {"chains": ChainSection, "homes": HomeSection, "faults": FaultSection}
"""What the lists of tables hold."""
_SECTIONS = {
    "scenario": '[scenario] with name = "..."',
    "data": '[data] with file = "..."',
    "market": "[market] with grid_charges = ... and grid_pays = ...",
    "chains": '[[chains]] with name = "..." and homes = [...]',
    "study": '[study] with name = "..."',
    "sweep": "[sweep] with a list of values for each field that varies",
}
"""The sections that must be there, and what they must have."""
_ROUNDS_MAX = 8
"""Replacing a field can bring out what was wrong behind it; a document in which that goes on is given up."""


class Reading(NamedTuple):
    """A document as far as it is good."""

    configuration: Configuration | None
    """With stand-ins for the wrong fields; none when not even that can be made."""
    problems: list[FieldProblem]
    wrong: frozenset[FieldPath]

    def is_sound(self, problem: FieldProblem) -> bool:
        """Whether the problem rests upon no wrong field."""
        return not any(
            part[: len(wrong)] == wrong[: len(part)]
            for part in (problem.field, *problem.rests_on)
            for wrong in self.wrong
        )


def read_document(document: dict[str, Any]) -> Reading:
    """Check a document against the schema."""
    good = copy.deepcopy(document)
    problems: list[FieldProblem] = []
    wrong: set[FieldPath] = set()
    for _ in range(_ROUNDS_MAX):
        try:
            return Reading(Configuration.model_validate(good), problems, frozenset(wrong))
        except ValidationError as error:
            items = error.errors()
        if not wrong:
            problems = told_problems(items)
            wrong |= _meant_fields(items)
        for field in dict.fromkeys(_whole(tuple(item["loc"])) for item in items):
            wrong.add(field)
            _stand_in(good, field)
    return Reading(None, problems, frozenset(wrong))


def told_problems(items: Sequence[Any], root: type[Section] = Configuration) -> list[FieldProblem]:
    """The problems, without what only follows: too short for wrong elements, missing where one is misspelt."""
    around = {tuple(item["loc"])[:i] for item in items for i in range(len(item["loc"]))}
    follows = {"too_short": around, "missing": _meant_fields(items, root)}
    return [problem_of(item, root) for item in items if tuple(item["loc"]) not in follows.get(item["type"], ())]


def _meant_fields(items: Sequence[Any], root: type[Section] = Configuration) -> set[FieldPath]:
    """What the unknown fields were probably meant to be."""
    unknown = [tuple(item["loc"]) for item in items if item["type"] == "extra_forbidden"]
    meant: set[FieldPath] = set()
    for field in unknown:
        meant.update((*field[:-1], name) for name in _close_to(str(field[-1]), _fields_beside(field, root)))
    return meant


def problem_of(item: Any, root: type[Section] = Configuration) -> FieldProblem:
    """The field and the problem of an error of the schema, in this project's words; ``root``: of the whole file."""
    field: FieldPath = tuple(item["loc"])
    given = item.get("input")
    shown = f", not {given!r}" if isinstance(given, str | int | float) else f", not a {_kind(given)}"
    limits = item.get("ctx", {})
    match item["type"]:
        case "missing" if len(field) == 1 and field[0] in _SECTIONS:
            return FieldProblem((), f"{_SECTIONS[str(field[0])]} is missing")
        case "missing":
            return FieldProblem(field, "is missing: expected a value")
        case "extra_forbidden":
            return FieldProblem(field, f"is no field: {_meant(str(field[-1]), _fields_beside(field, root))}")
        case "value_error":
            return FieldProblem(field, str(item["msg"]).removeprefix("Value error, "))
        case "string_pattern_mismatch":
            return FieldProblem(field, f"expected {NAME_EXPECTED}{shown}")
        case "too_short":
            return FieldProblem(field, f"expected at least {limits['min_length']}, not {limits['actual_length']}")
        case "string_too_short":
            return FieldProblem(field, f"expected at least {limits['min_length']} characters{shown}")
        case "int_parsing" | "int_type" | "int_from_float":
            return FieldProblem(field, f"expected a whole number{shown}")
        case "tuple_type":
            return FieldProblem(field, f"expected a list in brackets{shown}")
        case "model_type":
            return FieldProblem(field, f"expected a table of fields{shown}")
        case "greater_than_equal":
            return FieldProblem(field, f"expected at least {limits['ge']:g}{shown}")
        case "greater_than":
            return FieldProblem(field, f"expected more than {limits['gt']:g}{shown}")
        case "less_than_equal":
            return FieldProblem(field, f"expected at most {limits['le']:g}{shown}")
    return FieldProblem(field, str(item["msg"]).replace("Input should be", "expected") + shown)


def _kind(given: object) -> str:
    return {dict: "table", list: "list", type(None): "missing value"}.get(type(given), type(given).__name__)


def _meant(name: str, known: Sequence[str]) -> str:
    close = _close_to(name, known)
    return f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(known)}"


def _close_to(name: str, known: Sequence[str]) -> list[str]:
    return get_close_matches(name, known, n=1)


def _fields_beside(field: FieldPath, root: type[Section] = Configuration) -> list[str]:
    """The fields that the table around this field may have."""
    section = root
    for part in field[:-1]:
        if isinstance(part, str) and part in section.model_fields:
            section = _section_in(section.model_fields[part].annotation)
    return list(section.model_fields)


def _section_in(annotation: Any) -> type[Section]:
    """The section that a field is, or of which it has a list or named ones."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next(_section_in(part) for part in reversed(get_args(annotation)) if part is not ...)


# ------------------------------------------------------------------------------------------------------------- stand-ins


def _whole(field: FieldPath) -> FieldPath:
    """The field, or the list of plain values that it stands in: only tables are replaced one by one."""
    for i, part in enumerate(field):
        if isinstance(part, int) and field[i - 1] not in _ELEMENTS:
            return field[:i]
    return field


def _stand_in(document: dict[str, Any], field: FieldPath) -> None:
    """Take the field out of the document; where there must be one, leave something that is valid."""
    place: Any = document
    for i, part in enumerate(field[:-1]):
        if not isinstance(place[part], dict | list):  # a home's name alone, for one
            field = field[: i + 1]
            break
        place = place[part]
    last = field[-1]
    if isinstance(last, int):
        place[last] = _element(str(field[-2]), f"unknown-{'-'.join(map(str, field))}"[:32])
        return
    place.pop(last, None)
    required: dict[str, Any] = {
        "scenario": {"name": "unknown"},
        "market": {"grid_charges": 2, "grid_pays": 1},
        "data": {"file": "unknown"} if len(field) == 1 else "unknown",
        "chains": [_element("chains", "unknown")],
        "name": f"unknown-{'-'.join(map(str, field))}"[:32],
        "file": "unknown",
        "grid_charges": 10**6,
        "grid_pays": 0,
        "at": "0s",
        "kind": "heal",
    }
    if str(last) in required:
        place[last] = required[str(last)]


def _element(of: str, name: str) -> Any:
    return {"chains": {"name": name}, "homes": name, "faults": {"at": "0s", "kind": "heal"}}[of]
