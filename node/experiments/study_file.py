"""Reads a study from its file. All that is wrong is told at once, each with file, line, field, and what was expected."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from node.configuration import FieldProblem
from node.configuration_schema import told_problems
from node.experiments.committee_cells import PARAMETERS, point_problems, value_problems
from node.experiments.study import Study
from node.toml_file import TomlFile


def open_study(path: Path, overrides: Sequence[str] = ()) -> Study:
    """The checked study of a file, with overrides such as ``sweep.nodes=[4,7]`` laid over it.

    Errors: ``ConfigurationError`` with one line for each problem.
    """
    file = TomlFile(path, overrides)
    study, found = _read(file.document)
    problems: list[str | FieldProblem] = [*file.problems, *found]
    if study is not None:
        maps = file.document.get("maps")
        known_maps = set(maps) if isinstance(maps, dict) else set()
        problems += study.problems(PARAMETERS)
        problems += value_problems(study, known_maps, path.parent)
        problems += [] if problems else point_problems(study)
    if problems or study is None:
        raise file.placed(problems)
    return study


def _read(document: dict[str, Any]) -> tuple[Study | None, list[FieldProblem]]:
    """The study, and what is wrong with its tables: they are left out of it, but for what must be there."""
    try:
        return Study.model_validate(document), []
    except ValidationError as error:
        items = error.errors()
    problems = told_problems(items, Study)
    wrong = {item["loc"][0] for item in items}
    good = {name: table for name, table in document.items() if name not in wrong} | {
        name: table for name, table in (("study", {"name": "unknown"}),) if name in wrong
    }
    return (None if wrong & {"fixed", "sweep"} else Study.model_validate(good)), problems
