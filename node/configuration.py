"""The configuration of a scenario: its sections, their fields, defaults and bounds.

Durations are text with units ("90s", "1h30m", "25ms"), prices are p/kWh with at most three decimals, energy is Wh. What a
field alone can't tell is in ``node.configuration_checks``, how a file is read in ``node.configuration_file``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    field_validator,
    model_validator,
)  # fmt: skip

from ledger.kernel.instant import Duration as Microseconds
from ledger.kernel.instant import format_duration
from ledger.kernel.rejection import Rejected
from market.units import price_of

_UNITS = {"d": 86_400_000_000, "h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000, "ms": 1_000, "us": 1}
_DURATION = re.compile(r"(?:[0-9]{1,18}(?:us|ms|s|m|h|d))+")
_NUMBER = re.compile(r"[0-9]{1,18}(?:\.[0-9]+)?")
_DURATION_PART = re.compile(r"([0-9]+)(us|ms|s|m|h|d)")
DURATION_MAX: Microseconds = 3660 * _UNITS["d"]
"""Ten years: longer than any series of readings, and instants stay far from the bounds of their encoding."""
_BANDWIDTH = re.compile(r"([0-9]{1,16})([kMG]?)")
_PREFIXES = {"": 1, "k": 1_000, "M": 1_000_000, "G": 1_000_000_000}
BANDWIDTH_MIN = 1_000
"""Slower than any link that a committee could agree over."""
BANDWIDTH_MAX = 10**15
"""Far above any network card; the card's time stays exact."""
FieldPath = tuple[str | int, ...]
UTILITY = "utility"
"""The account of the main grid's supplier on every chain."""
NAME_EXPECTED = "a name: a letter, then letters, digits, - or _, at most 32"
_NAME = r"^[A-Za-z][A-Za-z0-9_-]{0,31}$"


class FieldProblem(NamedTuple):
    """What is wrong with a field; where it stands is added by whoever has the file."""

    field: FieldPath
    message: str
    rests_on: tuple[FieldPath, ...] = ()
    """Other fields that were looked at: when one of them is wrong by itself, this is no problem yet."""


class ConfigurationError(Exception):
    """The configuration, or a file that it names, can't be used. ``problems`` has one line, or one field, per problem."""

    def __init__(self, problems: Sequence[str | FieldProblem]) -> None:
        super().__init__("\n".join(problem if isinstance(problem, str) else str(problem[:2]) for problem in problems))
        self.problems = tuple(problems)


def parse_duration(text: object) -> Microseconds:
    """Microseconds of a duration such as "1h30m".

    Errors: ``ValueError`` that says what was expected.
    """
    if isinstance(text, str) and _DURATION.fullmatch(text.strip()):
        duration = sum(int(number) * _UNITS[unit] for number, unit in _DURATION_PART.findall(text))
        if duration > DURATION_MAX:
            raise ValueError(f"expected a duration of at most {format_duration(DURATION_MAX)}, not {text!r}")
        return duration
    hint = ""
    if isinstance(text, str) and _DURATION.fullmatch("".join(text.split())):
        hint = f' (no blanks: "{"".join(text.split())}")'
    elif _NUMBER.fullmatch(str(text).strip()):
        hint = " (add a unit: d, h, m, s, ms or us)"
    raise ValueError(f'expected a duration such as "90s", "1h30m" or "25ms", not {text!r}{hint}')


def _parse_positive(text: object) -> Microseconds:
    duration = parse_duration(text)
    if duration == 0:
        raise ValueError(f"expected a duration above zero, not {text!r}")
    return duration


def _parse_timeout(text: object) -> Microseconds | None:
    try:
        return None if text == "off" else _parse_positive(text)
    except ValueError as error:
        raise ValueError(f'expected "off", or {str(error).removeprefix("expected ")}') from None


def _format_timeout(timeout: Microseconds | None) -> str:
    return "off" if timeout is None else format_duration(timeout)


def _parse_signed(text: object) -> Microseconds:
    if isinstance(text, str) and text.strip().startswith("-"):
        return -parse_duration(text.strip()[1:])
    return parse_duration(text)


def _parse_price(value: object) -> Decimal:
    """A price in p/kWh; floats of TOML are taken by their shortest decimal form."""
    if isinstance(value, int | float | str | Decimal) and not isinstance(value, bool):
        try:
            price_of(str(value))
            return Decimal(str(value))
        except Rejected as rejected:
            raise ValueError(f"expected a price in p/kWh such as 18.9; {rejected.detail}") from None
    raise ValueError(f"expected a price in p/kWh such as 18.9, not {value!r}")


def parse_bandwidth(value: object) -> int | Literal["unlimited"]:
    """Bits per second: a whole number, or one with a prefix such as "100M", or "unlimited".

    Errors: ``ValueError`` that says what was expected.
    """
    if value == "unlimited":
        return "unlimited"
    parts = _BANDWIDTH.fullmatch(str(value).strip()) if isinstance(value, int | str) else None
    rate = int(parts[1]) * _PREFIXES[parts[2]] if parts else 0
    if not BANDWIDTH_MIN <= rate <= BANDWIDTH_MAX:
        expected = f"bits per second from {BANDWIDTH_MIN} to {BANDWIDTH_MAX}"
        raise ValueError(f'expected {expected}, such as 150_000 or "100M", or "unlimited", not {value!r}')
    return rate


Bandwidth = Annotated[int | Literal["unlimited"], BeforeValidator(parse_bandwidth)]
Duration = Annotated[int, BeforeValidator(parse_duration), PlainSerializer(format_duration, return_type=str)]
Positive = Annotated[int, BeforeValidator(_parse_positive), PlainSerializer(format_duration, return_type=str)]
Timeout = Annotated[int | None, BeforeValidator(_parse_timeout), PlainSerializer(_format_timeout, return_type=str)]
SignedDuration = Annotated[int, BeforeValidator(_parse_signed), PlainSerializer(format_duration, return_type=str)]
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
    speed_up: int = Field(default=1, ge=1, le=1_000_000)
    """So much shorter is a delivery interval than ``market.interval``, with the energy of the whole: the data's clock runs
    faster. All else, the market before delivery, readings, consensus, layer 1, takes its time, and must fit.
    """
    drain_max: Duration = 4 * _UNITS["h"]


class DataSection(Section):
    """The households' energy: one CSV file, a row per step, two columns per home."""

    file: str
    step: Positive = _UNITS["h"]
    """The time of one row."""
    first_row: int = Field(default=0, ge=0)
    unit: Literal["Wh", "kWh"] = "Wh"
    load_column: str = "{home}.load_wh"
    generation_column: str = "{home}.generation_wh"
    forecast: Literal["noisy", "perfect", "persistence"] = "noisy"
    """What meters expect of an interval: the reading with an error, the reading, or that of the day before."""
    forecast_error: float = Field(default=0.1, ge=0.0, le=2.0)
    """Of noisy forecasts: the standard deviation, relative to the reading."""

    @field_validator("load_column", "generation_column")
    @classmethod
    def _column_names_the_home(cls, column: str) -> str:
        if "{home}" not in column:
            raise ValueError(f'expected a column name with "{{home}}" in it, not {column!r}')
        return column


class MarketSection(Section):
    """The market of one delivery interval; times are counted back from the start of delivery."""

    grid_charges: Price
    """What the main grid charges, p/kWh."""
    grid_pays: Price
    """What the main grid pays, p/kWh."""
    interval: Positive = _UNITS["h"]
    opening: Duration = 20 * _UNITS["m"]
    gate: Duration = 12 * _UNITS["m"]
    """Gate closure of the microgrids."""
    gate_step: Duration = 3 * _UNITS["m"]
    """How much later each next level closes."""
    rounds: int = Field(default=4, ge=1, le=20)
    round_length: Positive = 1 * _UNITS["m"]
    """The last round ends at the gate."""
    delegated_rounds: int = Field(default=10, ge=1, le=20)
    """Rounds that a parent chain's contract runs on behalf of its children."""
    reading_grace: Positive = 15 * _UNITS["m"]
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


class HomeSection(Section):
    """A household. A name alone stands for a home that is named as its data is."""

    name: Name
    data: str
    """What stands for ``{home}`` in the column names."""
    generation_shift: Duration = 0

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, home: Any) -> Any:
        if isinstance(home, str):
            return {"name": home, "data": home}
        if not isinstance(home, dict | HomeSection):
            raise ValueError(f'expected a home\'s name or {{ name = "...", data = "..." }}, not {home!r}')
        return home


class ChainSection(Section):
    """A committee chain: of a microgrid (with homes) or of a parent (named as such by other chains)."""

    name: Name
    parent: Name | None = None
    homes: tuple[HomeSection, ...] = ()
    generation_shift: Duration = 0
    """The homes' generation is that of so much earlier in the data."""
    committee_size: int | None = Field(default=None, ge=1, le=100)
    """Members of a parent chain's committee, where the usual number is not wanted."""
    offline: bool = False
    """No member of it ever runs: what is sent to it comes back."""


class LedgerSection(Section):
    """Layer 1."""

    nodes: int = Field(default=4, ge=1, le=200)
    profile: str = "goshimmer-0.8"
    topology: Literal["complete", "ring", "watts-strogatz", "given"] = "complete"
    links: tuple[tuple[int, int], ...] = ()
    """Of a given topology: pairs of nodes, counted from 1."""
    neighbours: int = Field(default=4, ge=2)
    """Watts-Strogatz: neighbours of each node before rewiring."""
    rewiring: Probability = 0.3
    pow: Literal["sampled", "ground"] = "sampled"
    pow_difficulty: int | None = Field(default=None, ge=0, le=40)
    pow_rate: float | None = Field(default=None, ge=0.0, le=1.0)
    pow_window: Duration | None = None


class ConsensusSection(Section):
    """The committees."""

    protocol: Literal["wasp", "hbbft", "mmr14", "pbft", "tendermint", "hotstuff", "jolteon", "sequencer"] = "wasp"
    batch_delay: Duration = 500 * _UNITS["ms"]
    """At least between two proposals of a member."""
    gather_delay: Duration = 100 * _UNITS["ms"]
    """How long the first requests of a chain at rest wait, so that the whole committee has them."""
    publish_delay: Duration = 5 * _UNITS["s"]
    """Between two members publishing the same anchor: longer than proof of work and a block's way."""
    reattach_after: Positive = 20 * _UNITS["s"]
    recovery_timeout: Positive = 20 * _UNITS["s"]
    view_timeout: Timeout = 2 * _UNITS["s"]
    """How long a leader has for the first view before it is replaced, doubling up to a minute; "off": it never is, and a dead
    leader is waited for until the index is given up, after ``recovery_timeout``.
    """
    attempt_timeout: Timeout = 2 * _UNITS["s"]
    """How long the signers of an anchor have before others sign instead, likewise; "off": nobody does. Not with ``wasp``."""
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
    bandwidth: Bandwidth | None = None
    """What each host's link takes, such as 100_000_000 or "100M" bits per second, or "unlimited"; none: what the hardware
    profile or the matrix says, the smaller, and unlimited without CPU.
    """
    frames: bool = True
    """Whether what a host sends to another at one moment shares a frame; if not, each message has its own."""
    grid: Positive = 100


class HardwareSection(Section):
    """The machines."""

    profile: str = "laptop"
    cpu: bool = True
    disk: bool | None = None
    """None given: as ``cpu``."""
    clock_skew: Duration = 0
    """Hosts' clocks are off by up to so much."""

    @property
    def has_disk(self) -> bool:
        """Whether disks take time."""
        return self.cpu if self.disk is None else self.disk


class FaultSection(Section):
    """One fault at one moment. Hosts are homes by their name, and the layer-1 nodes tangle1, tangle2, ..."""

    at: Duration
    kind: Literal["crash", "restart", "pause", "slow", "skew", "link", "partition", "heal"]
    nodes: tuple[Name, ...] = ()
    """crash, restart, pause, slow, skew: the hosts."""
    disk_loss: Literal["unsynced", "torn", "last", "all"] | None = None
    """crash: what the disk loses. What was not yet synced (none given: this); that, but for the first records of the write
    under way; that, and the last synced write too; everything.
    """
    duration: Duration = 0
    """pause: how long the host stands still."""
    per_cent: int | None = Field(default=None, ge=1, le=1_000_000)
    """slow: the CPU takes so much of its usual time from now on; 100 is as usual, 400 four times as slow."""
    offset: SignedDuration | None = None
    """skew: the clock is ahead of the others by so much from now on, or behind ("-2s")."""
    groups: tuple[tuple[Name, ...], ...] = ()
    """partition: hosts of different groups don't reach each other, until all partitions heal."""
    one_way: bool = False
    """partition: only the later groups don't reach the earlier ones."""
    senders: tuple[Name, ...] = ()
    recipients: tuple[Name, ...] = ()
    """link: from which hosts to which; none given: all. With none of the fields below such a link is perfect from now on."""
    loss: Probability = 0.0
    duplication: Probability = 0.0
    extra_delay: Duration = 0


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
