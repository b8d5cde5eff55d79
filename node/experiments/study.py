"""What a study is: parameters, the values that they take, and how often each combination of them is run.

A study file is a TOML file with these tables:

==============  =====================================================================================================
``[study]``     ``name``; ``kind``, what is run: "consensus", one committee without a Tangle; ``seeds``: so many runs of
                each point, with the seeds 1, 2, 3, ...
``[fixed]``     parameters with one value
``[sweep]``     parameters with a list of values; each combination of them is a *point*
``[maps.NAME]`` networks by name, with the fields of ``[network]`` of a scenario; the parameter ``map`` names one
``[[limits]]``  ``when``: conditions on parameters, a value, a list of values, or text such as "> 31"; ``seeds``: where all
                of them hold, at most so many runs, and none at all if that is 0. The smallest limit that holds counts.
==============  =====================================================================================================

A *cell* is one run: a point and a seed. What the parameters mean is said by the kind (``node.experiments.committee_cells``).
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any, Literal, TypeAlias

from pydantic import Field

from node.configuration import FieldProblem, Name, NetworkSection, Section

SEEDS_MAX = 10_000
"""More repetitions than any interval needs."""
ParameterValue: TypeAlias = str | int | float | bool
Point: TypeAlias = Mapping[str, ParameterValue]
_COMPARISON = re.compile(r"\s*(<=|>=|<|>)\s*([0-9]{1,18}(?:\.[0-9]+)?)\s*")
_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class StudySection(Section):
    """What is run, and how often."""

    name: Name
    kind: Literal["consensus"] = "consensus"
    seeds: int = Field(default=10, ge=1, le=SEEDS_MAX)


class LimitSection(Section):
    """Fewer runs of some points."""

    when: dict[str, Any] = Field(min_length=1)
    seeds: int = Field(ge=0, le=SEEDS_MAX)

    def holds(self, point: Point) -> bool:
        """Whether the point meets all conditions."""
        return all(name in point and meets(point[name], condition) for name, condition in self.when.items())


class Study(Section):
    """A whole study file."""

    study: StudySection
    fixed: dict[str, Any] = Field(default_factory=dict)
    sweep: dict[str, tuple[Any, ...]] = Field(default_factory=dict)
    maps: dict[Name, NetworkSection] = Field(default_factory=dict)
    limits: tuple[LimitSection, ...] = ()

    @property
    def values(self) -> dict[str, tuple[Any, ...]]:
        """Every parameter that is given, with its values: one of those that are fixed."""
        return {**{name: (value,) for name, value in self.fixed.items()}, **self.sweep}

    def points(self) -> Iterator[tuple[Point, int]]:
        """Every point, in the order of the file, the last parameter varying fastest; with how many seeds it is run."""
        values = self.values
        for combination in product(*values.values()):
            point = dict(zip(values, combination, strict=True))
            yield point, min([self.study.seeds, *[limit.seeds for limit in self.limits if limit.holds(point)]])

    def problems(self, parameters: Mapping[str, str]) -> list[FieldProblem]:
        """What is wrong with names and lists; the values are the kind's business. ``parameters``: its names."""
        problems: list[FieldProblem] = []
        for table in ("fixed", "sweep"):
            unknown = [name for name in getattr(self, table) if name not in parameters]
            expected = f"expected one of {', '.join(parameters)}"
            problems += [FieldProblem((table, name), f"is no parameter: {expected}") for name in unknown]
        for name, values in self.sweep.items():
            if name in self.fixed:
                problems.append(
                    FieldProblem(("sweep", name), "is fixed already: expected in one of [fixed] and [sweep]")
                )
            if not values:
                problems.append(FieldProblem(("sweep", name), "expected a list with at least one value"))
            twice = [place for place, value in enumerate(values) if value in values[:place]]
            problems += [FieldProblem(("sweep", name, place), f"{values[place]!r} stands twice") for place in twice]
        given = f"expected one of {', '.join(self.values)}"
        for place, limit in enumerate(self.limits):
            unknown = [name for name in limit.when if name not in self.values]
            problems += [FieldProblem(("limits", place, "when", name), f"is not given: {given}") for name in unknown]
        return problems


def compared(condition: object) -> tuple[Callable[[Any, Any], bool], float] | None:
    """How a condition such as "> 31" compares; none when it names a value."""
    comparison = _COMPARISON.fullmatch(condition) if isinstance(condition, str) else None
    return None if comparison is None else (_OPERATORS[comparison[1]], float(comparison[2]))


def meets(value: object, condition: object) -> bool:
    """Whether a value is the one that is asked for, or in the list, or compares so."""
    if isinstance(condition, list):
        return any(meets(value, part) for part in condition)
    comparison = compared(condition)
    if comparison is not None:
        return isinstance(value, int | float) and comparison[0](value, comparison[1])
    return value == condition
