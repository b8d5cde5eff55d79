"""The cells of a study of committees: from a point's parameters to the options of one run, and to its results.

==============  =====================================================================================================
``protocol``, ``nodes``, ``blocks``, ``batch``, ``payload``, ``rate``, ``timers``, ``crypto``   as of ``tanglegrid consensus``
``silent``      how many nodes say nothing, or "f": as many as the protocols survive
``map``         the name of one of the study's networks; none given: constant delays of 25 ms
``cpu``         a hardware profile, or "off", which takes disk and bandwidth with it
``disk``        true or false: whatever the CPU
==============  =====================================================================================================

A point at which a cell can't be made is refused before anything runs; a cell that fails is a result, with its reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import msgspec
from pydantic import ValidationError

from ledger.kernel.automaton import NodeId
from ledger.kernel.encoding import Frozen
from ledger.kernel.quorum import max_faulty
from ledger.kernel.rejection import Rejected
from node.configuration import FieldPath, FieldProblem, NetworkSection
from node.configuration_schema import problem_of
from node.experiments.committee_options import NODES_MAX, CommitteeOptions
from node.experiments.committee_run import run_committee
from node.experiments.committee_summary import peak_memory
from node.experiments.study import ParameterValue, Point, Study, compared
from node.hardware import hardware_profile
from node.simulated.conditions import hardware_section, network_parameters, network_section
from node.simulated.delay_tables import delay_table
from wasp.consensus.leaders.leadership import LeaderProtocol
from wasp.consensus.protocols import PROTOCOLS

PARAMETERS: Mapping[str, str] = {
    "protocol": "string", "nodes": "int64", "silent": "int64", "map": "string", "cpu": "string", "disk": "string",
    "timers": "string", "crypto": "string", "blocks": "int64", "batch": "int64", "payload": "int64", "rate": "double",
}  # fmt: skip
"""And how they are kept in a table."""
DEFAULT_MAP = "25ms"
OPTIONS = ("protocol", "nodes", "silent", "timers", "crypto", "blocks", "batch", "payload", "rate")
"""The parameters that are options of a committee as they stand."""
SIGNING = ("entropy", "signature")
"""The leaves of an instance that are not the agreement's."""
DIGEST_SIZE = 16


@dataclass(frozen=True, slots=True)
class Cell:
    """One run of a study. Pickles."""

    number: int
    """Its place in the order of the study, from 0."""
    point: dict[str, ParameterValue]
    """Every parameter, the ones that the study leaves alone too."""
    options: CommitteeOptions
    folder: Path
    """Where files of one's own are."""
    digest: str
    """Of all that its result depends on but the program."""

    @property
    def text(self) -> str:
        """The cell for people."""
        point = ", ".join(f"{name} {value}" for name, value in self.point.items() if value not in ("", None))
        return f"{point}, seed {self.options.seed}"


class CellResult(Frozen):
    """What came of a cell."""

    outcome: str
    """"done"; "stalled": blocks were not decided; "broken": agreement was; "crashed": no result at all."""
    problem: str = ""
    rows: tuple[tuple[int | str | None, ...], ...] = ()
    """As ``rows_of`` of the committee's summary gives them."""
    agreement_rounds: tuple[tuple[int, ...], ...] = ()
    """Per block, of every agreement."""
    counts: dict[str, int | float | None] = msgspec.field(default_factory=dict)
    """Under ``COUNT_COLUMNS``."""
    digest: str = ""
    """Of the run's own results."""
    seconds: float = 0.0
    """Of the wall clock."""
    cpu_seconds: float = 0.0
    peak_memory: int = 0
    """Bytes that the process which ran it had at most, so far."""


COUNT_COLUMNS: Mapping[str, str] = {
    "messages_per_block": "double", "agreement_messages_per_block": "double", "bytes_per_block": "double",
    "frames_per_block": "double", "views_changed": "int64", "signers_changed": "int64", "events": "int64",
    "simulated_us": "int64", "requests_decided": "int64", "requests_per_second": "double", "requests_sent": "int64",
    "requests_anchored": "int64", "requests_waiting": "int64", "requests_refused": "int64",
    "request_decided_p50_us": "int64", "request_anchored_p50_us": "int64", "request_anchored_p95_us": "int64",
    "request_anchored_p99_us": "int64",
}  # fmt: skip
"""What is counted of a whole cell; those of requests are empty without a rate."""


# -------------------------------------------------------------------------------------------------------------- checking


def value_problems(study: Study, known_maps: set[str], folder: Path) -> list[FieldProblem]:
    """What is wrong with each value of a study's parameters by itself, and with its networks."""
    problems = [
        FieldProblem(place, found)
        for place, name, value in _values(study)
        if name in PARAMETERS and (found := _value_problem(name, value, known_maps, folder)) is not None
    ]
    nodes = [value for value in study.values.get("nodes", (4,)) if isinstance(value, int) and 0 < value <= NODES_MAX]
    for name, section in study.maps.items():
        problems += _map_problems(name, section, max(nodes, default=4), folder)
    return problems


def _values(study: Study) -> Iterator[tuple[FieldPath, str, Any]]:
    """Every value of a parameter in the study: where it stands, of what, and the value."""
    yield from ((("fixed", name), name, value) for name, value in study.fixed.items())
    for name, values in study.sweep.items():
        yield from ((("sweep", name, place), name, value) for place, value in enumerate(values))
    for place, limit in enumerate(study.limits):
        for name, condition in limit.when.items():
            parts = condition if isinstance(condition, list) else [condition]
            yield from ((("limits", place, "when", name), name, part) for part in parts if compared(part) is None)


def _value_problem(name: str, value: object, known_maps: set[str], folder: Path) -> str | None:
    match name:
        case "map":
            known = ", ".join(sorted(known_maps)) or "none"
            return None if value in known_maps else f"expected the name of a table [maps.NAME] ({known}), not {value!r}"
        case "disk":
            return None if isinstance(value, bool) else f"expected true or false, not {value!r}"
        case "cpu":
            return _profile_problem(value, folder)
        case "silent" if isinstance(value, str):
            return None if value == "f" else f'expected a number, or "f", not {value!r}'
    try:
        CommitteeOptions.model_validate({name: value}, strict=True)
    except ValidationError as error:
        # What does not fit to another field's default is looked at with that field's values.
        return next((problem_of(item).message for item in error.errors() if item["loc"]), None)
    return None


def _profile_problem(profile: object, folder: Path) -> str | None:
    if not isinstance(profile, str):
        return f'expected "off" or a hardware profile, not {profile!r}'
    try:
        if profile != "off":
            hardware_profile(profile, folder)
    except Rejected as rejected:
        return rejected.detail
    return None


def _map_problems(name: str, section: NetworkSection, nodes: int, folder: Path) -> list[FieldProblem]:
    try:
        network_parameters(section, _names(nodes), folder, None)
    except Rejected as rejected:
        field = {"bad_placement": "placement", "bad_delay": "jitter"}.get(rejected.code, "matrix")
        return [FieldProblem(("maps", name, field), rejected.detail)]
    return []


def point_problems(study: Study) -> Iterator[FieldProblem]:
    """What does not fit together in a study of sound values, once for each reason."""
    told: set[str] = set()
    runs = 0
    for point, seeds in study.points():
        runs += seeds
        try:
            if seeds:
                options_of(point, 1, study.maps)
        except ValidationError as error:
            for item in error.errors():
                message = problem_of(item).message
                name = message.partition(":")[0]
                if message not in told:
                    told.add(message)
                    yield FieldProblem(("sweep" if name in study.sweep else "fixed", name), message.partition(": ")[2])
    if not runs:
        yield FieldProblem(("limits", 0), "the limits leave nothing to run")


# ------------------------------------------------------------------------------------------------------------- the cells


def cells_of(study: Study, folder: Path) -> list[Cell]:
    """The cells of a sound study, in its order, the seed varying fastest; equal ones once."""
    cells: list[Cell] = []
    known: set[str] = set()
    inputs = inputs_of(study, folder)
    for point, seeds in study.points():
        for seed in range(1, seeds + 1):
            options = options_of(point, seed, study.maps)
            files = [inputs.get(f"cpu {point.get('cpu')}"), inputs.get(f"map {point.get('map')}")]
            digest = digest_of([options.model_dump(mode="json"), files])
            if digest not in known:
                known.add(digest)
                cells.append(Cell(len(cells), _whole(point, options), options, folder.resolve(), digest))
    return cells


def options_of(point: Point, seed: int, maps: Mapping[str, NetworkSection]) -> CommitteeOptions:
    """The options of one run.

    Errors: ``ValidationError``.
    """
    given: dict[str, Any] = {name: point[name] for name in OPTIONS if name in point}
    if given.get("silent") == "f":
        given["silent"] = max_faulty(given.get("nodes", CommitteeOptions.model_fields["nodes"].default))
    disk = point.get("disk")
    given["network"] = maps[str(point["map"])] if "map" in point else network_section()
    given["hardware"] = hardware_section(str(point.get("cpu", "off")), disk if isinstance(disk, bool) else None)
    return CommitteeOptions.model_validate({**given, "seed": seed})


def inputs_of(study: Study, folder: Path) -> dict[str, str]:
    """Digests of what hardware profiles and tables of delays say, by parameter and value: files may change."""
    profiles = [profile for profile in study.values.get("cpu", ()) if profile != "off"]
    found = {
        f"cpu {profile}": digest_of(msgspec.to_builtins(hardware_profile(profile, folder))) for profile in profiles
    }
    for name, section in study.maps.items():
        if section.model == "matrix":
            table = delay_table(section.matrix or "aws-regions", folder)
            found[f"map {name}"] = digest_of(msgspec.to_builtins(table))
    return found


def digest_of(content: Any) -> str:
    """Of anything that JSON has a form for."""
    return blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=DIGEST_SIZE).hexdigest()


def expected_work(options: CommitteeOptions) -> float:
    """How much there is to do, in any unit: to tell long cells from short ones before anything was measured.

    A protocol without a leader has n broadcasts and n agreements, each with n^2 messages; with a leader there are n^2 in all.
    """
    votes = (options.nodes - options.silent) * options.nodes
    protocol = PROTOCOLS[options.protocol]
    led = isinstance(protocol, type) and issubclass(protocol, LeaderProtocol)
    each = 4 if led else 5 * options.nodes
    return float(options.blocks * votes * each)


def _whole(point: Point, options: CommitteeOptions) -> dict[str, ParameterValue]:
    """The point with all parameters, those by default too, as they stand in the table."""
    fields = options.model_dump(mode="json", include=set(OPTIONS))
    cpu = options.hardware.profile if options.hardware.cpu else "off"
    surroundings = {
        "map": point.get("map", DEFAULT_MAP),
        "cpu": cpu,
        "disk": "on" if options.hardware.has_disk else "off",
    }
    return {name: {**fields, **surroundings}[name] for name in PARAMETERS}


def _names(nodes: int) -> tuple[NodeId, ...]:
    return tuple(NodeId(f"n{place}") for place in range(nodes))


# --------------------------------------------------------------------------------------------------------------- running


def run_cell(cell: Cell) -> CellResult:
    """Run a cell. Whatever goes wrong in it is its result: the others don't depend on it."""
    began, cpu_began = perf_counter(), process_time()
    try:
        result = _result_of(cell)
    except Exception as error:  # noqa: BLE001 - a study of thousands of cells does not end with one of them
        result = CellResult("crashed", f"{type(error).__name__}: {error}")
    return msgspec.structs.replace(
        result,
        seconds=round(perf_counter() - began, 3),
        cpu_seconds=round(process_time() - cpu_began, 3),
        peak_memory=peak_memory(),
    )


def _result_of(cell: Cell) -> CellResult:
    outcome = run_committee(cell.options, cell.folder)
    summary = outcome.summary
    ended = "broken" if summary["violations"] else "stalled" if summary["stalled"] else "done"
    return CellResult(
        ended,
        "; ".join(outcome.failures),
        outcome.rows,
        tuple(tuple(rounds) for rounds in summary["agreement_rounds"]),
        dict(_counts(summary)),
        summary["digest"],
    )


def _counts(summary: Mapping[str, Any]) -> Iterator[tuple[str, int | float | None]]:
    yield from ((name, summary[name]) for name in COUNT_COLUMNS if name in summary)
    blocks = summary["blocks_anchored"]
    agreement = sum(copies for leaf, copies in summary["messages_by_leaf"].items() if leaf not in SIGNING)
    yield "agreement_messages_per_block", agreement / blocks if blocks else None
    requests = summary["requests"]
    if requests is not None:
        yield from ((f"requests_{name}", requests[name]) for name in ("sent", "anchored", "waiting", "refused"))
        yield "request_decided_p50_us", requests["decided_us"]["p50"]
        for share in ("p50", "p95", "p99"):
            yield f"request_anchored_{share}_us", requests["anchored_us"][share]
