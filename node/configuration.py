"""The configuration of a scenario: a TOML file, checked whole before anything starts.

Precedence: the defaults below, then the file, then ``--set key=value`` and ``--seed``. All errors are reported at once, each
with the file, the line, the field, and what was expected. Durations are text with units ("90s", "1h30m", "25ms"),
prices are p/kWh with at most three decimals, energy is Wh.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError, model_validator

from ledger.kernel.instant import Duration as Microseconds
from node.toml_lines import line_of

_UNITS = {"us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_DURATION = re.compile(r"(?:\d+(?:us|ms|s|m|h|d))+")
_DURATION_PART = re.compile(r"(\d+)(us|ms|s|m|h|d)")
FieldPath = tuple[str | int, ...]
UTILITY = "utility"
"""The account of the main grid's supplier on every chain; no home or chain may have this name."""
_NAME = r"^[A-Za-z][A-Za-z0-9_-]{0,31}$"


class ConfigurationError(Exception):
    """The configuration can't be used. ``problems`` has one line per problem."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def parse_duration(text: object) -> Microseconds:
    """Microseconds of a duration such as "1h30m".

    Errors: ``ValueError`` that says what was expected.
    """
    if isinstance(text, str) and _DURATION.fullmatch(text.strip()):
        return sum(int(number) * _UNITS[unit] for number, unit in _DURATION_PART.findall(text))
    raise ValueError(f'expected a duration such as "90s", "1h30m" or "25ms", not {text!r}')


def format_duration(duration: Microseconds) -> str:
    """The shortest text that ``parse_duration`` reads back as this duration."""
    parts, rest = [], duration
    for unit in ("d", "h", "m", "s", "ms", "us"):
        number, rest = divmod(rest, _UNITS[unit])
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts) or "0s"


def _parse_price(value: object) -> Decimal:
    """A price in p/kWh; floats of TOML are taken by their shortest decimal form."""
    if isinstance(value, int | float | str | Decimal) and not isinstance(value, bool):
        try:
            return Decimal(str(value))
        except ArithmeticError:
            pass
    raise ValueError(f"expected a price in p/kWh such as 18.9, not {value!r}")


Duration = Annotated[int, BeforeValidator(parse_duration), PlainSerializer(format_duration, return_type=str)]
Price = Annotated[Decimal, BeforeValidator(_parse_price), PlainSerializer(str, return_type=str)]
Name = Annotated[str, Field(pattern=_NAME)]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]


class Section(BaseModel):
    """A table of the configuration: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class ScenarioSection(Section):
    """What is run, and how long."""

    name: Name
    seed: int = Field(default=1, ge=0, lt=2**63)
    crypto: Literal["model", "real"] = "model"
    intervals: int = Field(default=24, ge=1, le=100_000)
    drain_max: Duration = 4 * _UNITS["h"]


class DataSection(Section):
    """The households' energy: one CSV file, a row per step, two columns per home."""

    file: str
    step: Duration = _UNITS["h"]
    first_row: int = Field(default=0, ge=0)
    unit: Literal["Wh", "kWh"] = "Wh"
    load_column: str = "{home}.load_wh"
    generation_column: str = "{home}.generation_wh"
    forecast_error: float = Field(default=0.1, ge=0.0, le=2.0)

    @model_validator(mode="after")
    def _columns_name_the_home(self) -> DataSection:
        for field in ("load_column", "generation_column"):
            if "{home}" not in getattr(self, field):
                raise ValueError(f'{field}: expected a column name with "{{home}}" in it')
        return self


class MarketSection(Section):
    """The market of one delivery interval; times are counted back from the start of delivery."""

    grid_buy_price: Price
    """What the main grid charges, p/kWh."""
    grid_sell_price: Price
    """What the main grid pays, p/kWh."""
    interval: Duration = _UNITS["h"]
    opening: Duration = 20 * _UNITS["m"]
    gate: Duration = 12 * _UNITS["m"]
    """Gate closure of the microgrids."""
    gate_step: Duration = 3 * _UNITS["m"]
    """How much later each next level closes."""
    rounds: int = Field(default=4, ge=1, le=20)
    round_length: Duration = 1 * _UNITS["m"]
    """The last round ends at the gate."""
    delegated_rounds: int = Field(default=10, ge=1, le=20)
    """Rounds that a parent chain's contract runs on behalf of its children."""
    reading_grace: Duration = 15 * _UNITS["m"]
    mechanism: Literal["full_match"] = "full_match"
    price_rule: Literal["competitive", "marginal_pair"] = "competitive"
    bidder: Literal["paper", "favourable"] = "paper"
    equations: Literal["corrected", "as_printed"] = "corrected"
    learning: Literal["corrected", "as_printed"] = "corrected"
    connection: int = Field(default=25_000, ge=1)
    """The largest energy of one order, Wh."""
    price_tolerance: int = Field(default=0, ge=0)
    """Price consensus: the tentative price moved by at most this, micro-pence per Wh."""
    funds_days: int = Field(default=400, ge=1)
    """Genesis funds of an account: so many days at the data's worst day."""
    debt_max: int = Field(default=10_000_000_000, ge=0)
    """Micro-pence owed to the utility above which new orders are refused."""


class HomeTable(Section):
    """A household, where its name is not that of its data."""

    name: Name
    data: str
    generation_shift: Duration = 0


class ChainSection(Section):
    """A committee chain: of a microgrid (with homes) or of a parent (named as such by other chains)."""

    name: Name
    parent: Name | None = None
    homes: tuple[Name | HomeTable, ...] = ()
    generation_shift: Duration = 0
    """The homes' generation is that of so much earlier in the data."""
    committee_size: int | None = Field(default=None, ge=1, le=100)
    offline: bool = False
    """No member of it ever runs: what is sent to it comes back."""


class LedgerSection(Section):
    """Layer 1."""

    nodes: int = Field(default=4, ge=1, le=200)
    profile: str = "goshimmer-0.8"
    topology: Literal["complete", "ring", "watts-strogatz"] | tuple[tuple[int, int], ...] = "complete"
    neighbours: int = Field(default=4, ge=2)
    """Watts-Strogatz: neighbours of each node before rewiring."""
    rewiring: Probability = 0.3
    pow: Literal["sampled", "ground"] = "sampled"
    pow_difficulty: int | None = Field(default=None, ge=0, le=40)
    pow_rate: float | None = Field(default=None, ge=0.0, le=1.0)
    pow_window: Duration | None = None


class ConsensusSection(Section):
    """The committees."""

    protocol: Literal["wasp"] = "wasp"
    batch_delay: Duration = 500 * _UNITS["ms"]
    publish_delay: Duration = 2 * _UNITS["s"]
    reattach_after: Duration = 20 * _UNITS["s"]
    recovery_timeout: Duration = 20 * _UNITS["s"]
    unconfirmed_anchors_max: int = Field(default=32, ge=1)


class NetworkSection(Section):
    """Every link between two hosts."""

    model: Literal["constant", "uniform", "normal", "lognormal", "matrix"] = "normal"
    delay: Duration = 25 * _UNITS["ms"]
    jitter: Duration = 5 * _UNITS["ms"]
    matrix: str | None = None
    """A CSV file of one-way milliseconds with a header row and a name column."""
    placement: tuple[str, ...] = ()
    """Regions of the hosts, round robin."""
    loss: Probability = 0.0
    duplication: Probability = 0.0
    bandwidth: int | None = Field(default=None, ge=1_000)
    """Bits per second of each host's link; none: the hardware profile's."""
    grid: Duration = 100


class HardwareSection(Section):
    """The machines."""

    profile: str = "laptop"
    cpu: bool = True
    disk: bool = True
    clock_skew: Duration = 0
    """Hosts' clocks are off by up to so much."""


class FaultSection(Section):
    """One fault at one moment."""

    at: Duration
    kind: Literal["crash", "restart", "pause", "partition", "heal"]
    nodes: tuple[Name, ...] = ()
    """Hosts that crash, restart or pause."""
    duration: Duration = 0
    """Of a pause."""
    groups: tuple[tuple[Name, ...], ...] = ()
    """Of a partition: hosts of different groups don't reach each other."""


class Configuration(Section):
    """A whole scenario."""

    scenario: ScenarioSection
    data: DataSection
    market: MarketSection
    chains: tuple[ChainSection, ...] = Field(min_length=1)
    ledger: LedgerSection = LedgerSection()
    consensus: ConsensusSection = ConsensusSection()
    network: NetworkSection = NetworkSection()
    hardware: HardwareSection = HardwareSection()
    faults: tuple[FaultSection, ...] = ()


def home_name(home: str | HomeTable) -> str:
    """The name of a home's host and account."""
    return home if isinstance(home, str) else home.name


def _chain_problems(chains: Sequence[ChainSection]) -> list[tuple[FieldPath, str]]:
    """What is wrong with the tree of chains as a whole: each with the field that is to blame."""
    parents = {chain.name: chain.parent for chain in chains}
    problems: list[tuple[FieldPath, str]] = []
    taken: set[str] = {UTILITY}
    for i, chain in enumerate(chains):
        place: FieldPath = ("chains", i)
        names: list[tuple[FieldPath, str]] = [((*place, "name"), chain.name)]
        names += [((*place, "homes", j), home_name(home)) for j, home in enumerate(chain.homes)]
        for field, name in names:
            if name in taken:
                problems.append((field, f"{name!r} is used twice: expected a name that no other chain or home has"))
            taken.add(name)
        if chain.parent is not None and chain.parent not in parents:
            problems.append(((*place, "parent"), f"{chain.parent!r} is not among the chains"))
        is_parent = chain.name in parents.values()
        if bool(chain.homes) == is_parent:
            what = "both homes and child chains" if is_parent else "neither homes nor child chains"
            problems.append((place, f"{chain.name!r} has {what}: expected exactly one of them"))
        if _above(chain.name, parents) is None:
            problems.append(((*place, "parent"), f"{chain.name!r} is its own ancestor"))
    return problems


def _above(name: str, parents: dict[str, str | None]) -> list[str] | None:
    """The chains above this one, from its parent up; none when they go in a circle."""
    way: list[str] = []
    parent = parents.get(name)
    while parent is not None:
        if parent in way or parent == name:
            return None
        way.append(parent)
        parent = parents.get(parent)
    return way


def load_configuration(path: Path, overrides: Sequence[str] = (), seed: int | None = None) -> Configuration:
    """The checked configuration of a file, with overrides such as ``market.rounds=5`` laid over it.

    Errors: ``ConfigurationError`` with one line for each problem.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError([f"{path}: can't be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        raise ConfigurationError([f"{path}: not UTF-8 text at byte {error.start}"]) from None
    try:
        document: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError([f"{path}: not valid TOML: {error}"]) from None
    overridden = [_override(document, override) for override in overrides]
    if seed is not None:
        overridden.append(_set(document, ("scenario", "seed"), seed))
    problems: list[tuple[FieldPath, str]]
    try:
        configuration = Configuration.model_validate(document)
        problems = _chain_problems(configuration.chains)
    except ValidationError as error:
        problems = [_problem(item) for item in error.errors()]
    if problems:
        source = ConfigurationSource(path, text, tuple(overridden))
        raise ConfigurationError([source.describe(field, message) for field, message in problems])
    return configuration


class ConfigurationSource:
    """Where the fields of a configuration stand."""

    def __init__(self, path: Path, text: str, overridden: tuple[tuple[str, ...], ...]) -> None:
        self._path = path
        self._text = text
        self._overridden = overridden

    def describe(self, field: FieldPath, message: str) -> str:
        """The problem of a field in one line, with file and line."""
        dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in field).lstrip(".")
        texts = tuple(str(part) for part in field)
        inside_override = any(texts[: len(way)] == way for way in self._overridden)
        place = "--set" if inside_override else f"{self._path}:{line_of(self._text, field)}"
        return f"{place}: {dotted + ': ' if dotted else ''}{message}"


def _problem(item: Any) -> tuple[FieldPath, str]:
    """The field and the problem of an error of the schema."""
    field = tuple(part for part in item["loc"] if part not in ("HomeTable", "constrained-str"))
    message = str(item["msg"]).removeprefix("Value error, ")
    message = message.replace("Extra inputs are not permitted", "unknown field")
    given = item.get("input")
    shown = f" (got {given!r})" if isinstance(given, str | int | float) and "not " not in message else ""
    return field, message + shown


def _override(document: dict[str, Any], override: str) -> tuple[str, ...]:
    key, equals, value = override.partition("=")
    way = tuple(key.strip().split("."))
    if not equals or not all(way):
        raise ConfigurationError([f"--set {override}: expected key=value, such as market.rounds=5"])
    try:
        parsed: Any = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    return _set(document, way, parsed)


def _set(document: dict[str, Any], way: tuple[str, ...], value: Any) -> tuple[str, ...]:
    place: Any = document
    for i, part in enumerate(way):
        last = i == len(way) - 1
        if isinstance(place, list):
            if not part.isdigit() or int(part) >= len(place):
                raise ConfigurationError([f"--set {'.'.join(way)}: {part!r} is no place in a list of {len(place)}"])
            if last:
                place[int(part)] = value
            else:
                place = place[int(part)]
        elif not isinstance(place, dict):
            raise ConfigurationError([f"--set {'.'.join(way)}: {'.'.join(way[:i])} is not a table"])
        elif last:
            place[part] = value
        else:
            place = place.setdefault(part, {})
    return way
