"""Under which conditions a simulation runs: delays, bandwidth, frames, CPU and disk, each switched by itself.

One place makes them, from the sections ``[network]`` and ``[hardware]`` of a configuration; the command line's options
become the same sections.

=========  ==============================================================================================================
delays     ``model``: *constant*; *uniform* in [delay - jitter, delay + jitter], every grid point as likely as any other;
           *normal* with the deviation jitter, cut at the grid's first step; *lognormal* with the median delay, of whose
           logarithm jitter / delay is the deviation; *matrix*: a table by regions, with the relative jitter jitter / delay
bandwidth  a number of bits per second, ``"unlimited"``, or none given: that of the hardware or of the matrix, the smaller;
           without CPU none
frames     whether what goes to a peer at one moment shares a frame; if not each message has its own
CPU        a hardware profile, or no time at all
disk       that of the profile, or durable at once; none given: as the CPU
=========  ==============================================================================================================

So "CPU off" takes bandwidth and disk with it, unless they are named. Timers are the protocols' own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ledger.kernel.automaton import NodeId
from ledger.kernel.encoding import Frozen
from ledger.kernel.instant import format_duration
from ledger.kernel.rejection import Rejected, require
from node.configuration import HardwareSection, NetworkSection, parse_bandwidth, parse_duration
from node.hardware import HardwareProfile, hardware_profile
from node.simulated.delay_tables import DelayTable, delay_table
from node.simulated.delays import (
    PARTS_PER_MILLION,
    ConstantDelay,
    DelayModel,
    LogNormalDelay,
    NormalDelay,
    UniformDelay,
)
from node.simulated.disk import DiskParameters, disk_of
from node.simulated.network import NetworkParameters


class Conditions(Frozen):
    """What surrounds the hosts of a simulation."""

    network: NetworkParameters
    cpu: HardwareProfile | None
    """None: the CPU takes no time."""
    disk: DiskParameters | None
    """None: what is written is durable at once."""


def conditions(network: NetworkSection, hardware: HardwareSection, nodes: Sequence[NodeId], folder: Path) -> Conditions:
    """The conditions for these nodes; files of one's own are looked for in the folder.

    Errors: ``Rejected`` with the code ``bad_delay``, ``bad_delay_table``, ``bad_placement`` or ``bad_hardware_profile``.
    """
    profile = hardware_profile(hardware.profile, folder)
    return Conditions(
        network_parameters(network, nodes, folder, profile if hardware.cpu else None),
        profile if hardware.cpu else None,
        disk_of(profile) if hardware.has_disk else None,
    )


def network_parameters(
    section: NetworkSection, nodes: Sequence[NodeId], folder: Path, hardware: HardwareProfile | None
) -> NetworkParameters:
    """The links between these nodes, on such machines; ``hardware`` none: without CPU.

    Errors: as ``conditions``.
    """
    placement: Mapping[NodeId, str] = {}
    table: DelayTable | None = None
    if section.model == "matrix":
        table = delay_table(section.matrix or "aws-regions", folder)
        regions = section.placement or table.regions
        placement = {node: regions[i % len(regions)] for i, node in enumerate(nodes)}
        delay: DelayModel = table.place(nodes, placement, section.jitter * PARTS_PER_MILLION // max(1, section.delay))
    else:
        delay = _drawn_delay(section)
    bandwidth, bandwidths = None, {}
    if section.bandwidth is None and hardware is not None:
        bandwidth = hardware.bandwidth
        limits = table.bandwidths_of(nodes, placement) if table is not None else {}
        bandwidths = {node: min(limit, bandwidth) for node, limit in limits.items()}
    elif isinstance(section.bandwidth, int):
        bandwidth = section.bandwidth
    return NetworkParameters(
        delay,
        loss=section.loss,
        duplication=section.duplication,
        bandwidth=bandwidth,
        bandwidths=bandwidths,
        grid=section.grid,
        bundling=section.frames,
    )


def _drawn_delay(section: NetworkSection) -> DelayModel:
    delay, jitter = section.delay, section.jitter
    match section.model:
        case "uniform":
            spans = format_duration(jitter), format_duration(delay)
            require(jitter <= delay, "bad_delay", "a jitter of at most the delay expected, not {} of {}".format(*spans))
            return UniformDelay(delay - jitter, delay + jitter)
        case "normal":
            return NormalDelay(delay, jitter, section.grid)
        case "lognormal":
            return LogNormalDelay(delay, jitter / max(1, delay))
        case _:
            return ConstantDelay(delay)


# ------------------------------------------------------------------------------------------- from the command line's words


def network_section(
    delay: str | None = None,
    jitter: str | None = None,
    matrix: str | None = None,
    placement: str | None = None,
    bandwidth: str | None = None,
    frames: bool = True,
) -> NetworkSection:
    """``--delay 25ms [--jitter 10ms] | --matrix NAME|FILE [--placement a,b,c]``, and ``--bandwidth 100M|unlimited``.

    A delay alone is constant (25 ms when nothing is said); with jitter it is uniform in [delay - jitter, delay + jitter].

    Errors: ``Rejected("bad_option", ...)``.
    """
    if matrix is not None and (delay is not None or jitter is not None):
        raise Rejected("bad_option", "--matrix has delays of its own: expected without --delay and --jitter")
    if placement is not None and matrix is None:
        raise Rejected("bad_option", "--placement names regions of a matrix: expected with --matrix")
    _refuse_wrong("--delay", parse_duration, delay)
    _refuse_wrong("--jitter", parse_duration, jitter)
    _refuse_wrong("--bandwidth", parse_bandwidth, bandwidth)
    regions = () if placement is None else tuple(region.strip() for region in placement.split(","))
    return NetworkSection.model_validate(
        {
            "model": "matrix" if matrix is not None else "uniform" if jitter is not None else "constant",
            "delay": delay or "25ms",
            "jitter": jitter or "0s",
            "matrix": matrix,
            "placement": regions,
            "bandwidth": bandwidth,
            "frames": frames,
        }
    )


def hardware_section(cpu: str = "off", disk: bool | None = None) -> HardwareSection:
    """``--cpu off|PROFILE``, and ``--disk/--no-disk``; a disk that is not named goes with the CPU.

    The disk of a machine whose CPU is off is that of the default profile.
    """
    return HardwareSection(cpu=False, disk=disk) if cpu == "off" else HardwareSection(profile=cpu, disk=disk)


def _refuse_wrong(option: str, parse: Callable[[str], object], value: str | None) -> None:
    try:
        if value is not None:
            parse(value)
    except ValueError as error:
        raise Rejected("bad_option", f"{option}: {error}") from None
