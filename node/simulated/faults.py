"""The fault schedule: what goes wrong in a run, and when; data, carried out by a process on the virtual clock.

Faults of one instant take effect in the order of the schedule, before anything that arrives at that instant.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, TypeAlias

import simpy

from ledger.kernel.automaton import NodeId
from ledger.kernel.encoding import Frozen
from ledger.kernel.instant import Duration, Instant
from node.simulated.clock import SkewedClock, VirtualClock
from node.simulated.disk import DiskLoss
from node.simulated.network import LinkQuality, Network


class Crash(Frozen):
    """The node stops; its volatile state, what waits for its CPU, and of its disk what ``loss`` says, are gone."""

    at: Instant
    node: NodeId
    loss: DiskLoss = "unsynced"


class Restart(Frozen):
    """The node boots from the records that are on its disk."""

    at: Instant
    node: NodeId


class Pause(Frozen):
    """The node's process stands still (a garbage collection, a suspended machine); what arrives waits.

    What it had finished before still leaves.
    """

    at: Instant
    node: NodeId
    duration: Duration


class SlowCpu(Frozen):
    """The node's CPU takes this many per cent of its profile's time from now on."""

    at: Instant
    node: NodeId
    per_cent: int


class Partition(Frozen):
    """Nodes of different groups no longer reach each other; with ``one_way`` only later groups can't reach earlier ones.

    Nodes in no group reach all. A new partition adds to the old ones, until ``Heal``.
    """

    at: Instant
    groups: tuple[tuple[NodeId, ...], ...]
    one_way: bool = False


class Heal(Frozen):
    """All partitions end."""

    at: Instant


class LinkChange(Frozen):
    """From now on the links from the senders to the recipients (empty: all) have this quality. Probabilities in [0, 1]."""

    at: Instant
    senders: tuple[NodeId, ...] = ()
    recipients: tuple[NodeId, ...] = ()
    loss: float = 0.0
    duplication: float = 0.0
    extra_delay: Duration = 0


class ClockSkew(Frozen):
    """From now on the node's clock is off by the offset, and drifts by parts per million from here."""

    at: Instant
    node: NodeId
    offset: Duration
    drift: int = 0


ScheduledFault: TypeAlias = Crash | Restart | Pause | SlowCpu | Partition | Heal | LinkChange | ClockSkew


class FaultTarget(Protocol):
    """What the faults happen to: a simulated runtime."""

    network: Network

    def crash(self, node: NodeId, loss: DiskLoss) -> None: ...

    def restart(self, node: NodeId) -> None: ...

    def pause(self, node: NodeId, duration: Duration) -> None: ...

    def slow(self, node: NodeId, per_cent: int) -> None: ...

    def skew(self, node: NodeId, clock: SkewedClock) -> None: ...


def fault_process(
    clock: VirtualClock, schedule: Sequence[ScheduledFault], target: FaultTarget
) -> Iterator[simpy.Event]:
    """Carries out the schedule; a generator for ``clock.process``."""
    for fault in sorted(schedule, key=lambda fault: fault.at):
        if fault.at > clock.now:
            yield clock.timeout(fault.at - clock.now)
        apply(fault, target, clock.now)


def apply(fault: ScheduledFault, target: FaultTarget, now: Instant) -> None:
    """The fault takes effect."""
    match fault:
        case Crash():
            target.crash(fault.node, fault.loss)
        case Restart():
            target.restart(fault.node)
        case Pause():
            target.pause(fault.node, fault.duration)
        case SlowCpu():
            target.slow(fault.node, fault.per_cent)
        case ClockSkew():
            target.skew(fault.node, SkewedClock(fault.offset, fault.drift, now))
        case Partition():
            target.network.partition(fault.groups, fault.one_way)
        case Heal():
            target.network.heal()
        case LinkChange():
            quality = LinkQuality(fault.loss, fault.duplication, fault.extra_delay)
            target.network.change(fault.senders, fault.recipients, quality)


def loses_frames(schedule: Sequence[ScheduledFault]) -> bool:
    """Whether frames can get lost by this schedule, so that hosts need reliable links."""
    return any(isinstance(fault, Crash | Restart | Partition | LinkChange) for fault in schedule)
