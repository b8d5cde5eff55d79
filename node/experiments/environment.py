"""What surrounds the simulated hosts of a scenario: machines, network, faults.

Pure functions of the configuration. Errors are ``ConfigurationError`` with the field that is to blame.
"""

from __future__ import annotations

from pathlib import Path

from ledger.kernel.automaton import NodeId
from node.configuration import Configuration, FaultSection
from node.environment import blaming
from node.simulated.conditions import Conditions, conditions
from node.simulated.faults import (
    ClockSkew,
    Crash,
    Heal,
    LinkChange,
    Partition,
    Pause,
    Restart,
    ScheduledFault,
    SlowCpu,
)


def conditions_of(configuration: Configuration, hosts: tuple[NodeId, ...], folder: Path) -> Conditions:
    """Links, CPUs and disks of all hosts."""
    with blaming("network"):
        return conditions(configuration.network, configuration.hardware, hosts, folder)


def scheduled_faults(configuration: Configuration) -> tuple[ScheduledFault, ...]:
    """What goes wrong, and when."""
    faults: list[ScheduledFault] = []
    for section in configuration.faults:
        nodes = [NodeId(node) for node in section.nodes]
        match section.kind:
            case "crash":
                faults += [Crash(section.at, node, section.disk_loss or "unsynced") for node in nodes]
            case "restart":
                faults += [Restart(section.at, node) for node in nodes]
            case "pause":
                faults += [Pause(section.at, node, section.duration) for node in nodes]
            case "slow":
                faults += [SlowCpu(section.at, node, section.per_cent or 100) for node in nodes]
            case "skew":
                faults += [ClockSkew(section.at, node, section.offset or 0) for node in nodes]
            case "link":
                faults.append(_link_change(section))
            case "partition":
                groups = tuple(tuple(map(NodeId, group)) for group in section.groups)
                faults.append(Partition(section.at, groups, section.one_way))
            case "heal":
                faults.append(Heal(section.at))
    return tuple(faults)


def _link_change(section: FaultSection) -> LinkChange:
    return LinkChange(
        section.at,
        tuple(map(NodeId, section.senders)),
        tuple(map(NodeId, section.recipients)),
        section.loss,
        section.duplication,
        section.extra_delay,
    )
