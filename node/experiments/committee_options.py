"""What one committee is run with: the options of ``tanglegrid consensus``, and one point of a sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from ledger.kernel.automaton import NodeId
from ledger.kernel.quorum import max_faulty
from ledger.kernel.rejection import Rejected
from node.configuration import ConfigurationError, FieldProblem, HardwareSection, NetworkSection, Section, Timeout
from node.configuration_schema import problem_of
from node.hardware import hardware_profile
from node.simulated.conditions import Conditions, conditions, hardware_section, network_parameters, network_section
from wasp.consensus.batch_proposal import REQUESTS_MAX
from wasp.consensus.protocol_times import VIEW_TIMEOUT, ProtocolTimes
from wasp.consensus.protocols import PROTOCOLS

NODES_MAX = 256
"""A block of a protocol of cubic cost then takes half an hour; frames and proposals are far from their limits."""
PAYLOAD_MAX = 60_000
"""Bytes of a request's parameters, so that with what is around them they are below the limit of parameters."""
BLOCKS_MAX = 100_000
"""Their latencies are all kept."""
RATE_MAX = 1_000_000
"""Requests per second: one per microsecond, which is the step of the clock."""


class CommitteeOptions(Section):
    """One committee and its conditions. Pickles; equal options give equal results."""

    protocol: str = "wasp"
    nodes: int = Field(default=4, ge=1, le=NODES_MAX)
    silent: int = Field(default=0, ge=0)
    """So many of the nodes, the last ones, say nothing."""
    blocks: int = Field(default=10, ge=1, le=BLOCKS_MAX)
    batch: int = Field(default=100, ge=0, le=REQUESTS_MAX)
    """Requests in a proposal; with a rate at most."""
    payload: int = Field(default=50, ge=0, le=PAYLOAD_MAX)
    """Bytes of a request's parameters."""
    rate: float | None = Field(default=None, gt=0, le=RATE_MAX)
    """Requests per second that are offered to the whole committee; none: every proposal is full."""
    timers: Timeout = VIEW_TIMEOUT
    """How long a leader, and the signers of an anchor, have before others take their place, doubling; "off": for ever."""
    crypto: Literal["model", "real"] = "model"
    seed: int = Field(default=1, ge=0, lt=2**63)
    network: NetworkSection = network_section()
    hardware: HardwareSection = hardware_section()

    @property
    def names(self) -> tuple[NodeId, ...]:
        """The nodes' names, by member index."""
        return tuple(NodeId(f"n{place}") for place in range(self.nodes))

    @property
    def speaking(self) -> tuple[NodeId, ...]:
        """Those that are not silent."""
        return self.names[: self.nodes - self.silent]

    @property
    def faulty_max(self) -> int:
        """How many faulty members the protocols survive: f."""
        return max_faulty(self.nodes)

    @property
    def times(self) -> ProtocolTimes:
        """The timers of the protocol and of its signature."""
        return ProtocolTimes(view_timeout=self.timers, attempt_timeout=self.timers)

    def conditions(self, folder: Path) -> Conditions:
        """What surrounds the nodes; files of one's own are looked for in the folder.

        Errors: ``Rejected``, as of ``conditions``.
        """
        return conditions(self.network, self.hardware, self.names, folder)

    @field_validator("protocol")
    @classmethod
    def _is_protocol(cls, protocol: str) -> str:
        if protocol not in PROTOCOLS:
            raise ValueError(f"expected one of {', '.join(PROTOCOLS)}, not {protocol!r}")
        return protocol

    @model_validator(mode="after")
    def _fits_together(self) -> CommitteeOptions:
        if self.silent >= self.nodes:
            raise ValueError(f"silent: expected fewer than the {self.nodes} nodes, not {self.silent}")
        if self.rate is not None and self.batch == 0:
            raise ValueError("batch: expected at least 1 with a rate, not 0: no request would ever be decided")
        return self


def read_options(
    fields: Mapping[str, str | None], network: Mapping[str, Any], hardware: Mapping[str, Any], folder: Path
) -> CommitteeOptions:
    """The options of a command line; ``network`` and ``hardware`` in the words of the functions that make the sections.

    Errors: ``ConfigurationError`` with one line for each problem.
    """
    problems: list[str] = []
    given: dict[str, Any] = {name: value for name, value in fields.items() if value is not None}
    given["hardware"] = hardware_section(**hardware)
    try:
        given["network"] = network_section(**network)
    except Rejected as rejected:
        problems.append(rejected.detail)
    try:
        options = CommitteeOptions.model_validate(given)
        names = options.names
    except ValidationError as error:
        problems += [_told(problem_of(item)) for item in error.errors()]
        names = (NodeId("n0"),)
    problems += _problems_of_conditions(given.get("network"), given["hardware"], names, folder)
    if problems:
        raise ConfigurationError(problems)
    return options


def _told(problem: FieldProblem) -> str:
    """A problem of one field, or of what does not fit together, which names its field itself."""
    return f"--{problem.field[0]}: {problem.message}" if problem.field else f"--{problem.message}"


def _problems_of_conditions(
    network: NetworkSection | None, hardware: HardwareSection, names: Sequence[NodeId], folder: Path
) -> list[str]:
    """What is wrong with the files and names in them: the hardware's profile, the matrix and the placement in it."""
    problems: list[str] = []
    try:
        hardware_profile(hardware.profile, folder)
    except Rejected as rejected:
        problems.append(f"--cpu: {rejected.detail}")
    try:
        if network is not None:
            network_parameters(network, names, folder, None)
    except Rejected as rejected:
        option = {"bad_placement": "placement", "bad_delay": "jitter"}.get(rejected.code, "matrix")
        problems.append(f"--{option}: {rejected.detail}")
    return problems
