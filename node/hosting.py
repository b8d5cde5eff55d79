"""What a runtime owes a host, and what it tells: the same whether time is simulated or real.

A runtime builds its hosts by a ``HostFactory`` from what a ``Boot`` tells, at the first start and at every restart. What
hosts put out that nobody in the host takes, an ``Observer`` sees.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from ledger.kernel.automaton import Automaton, Fault, NodeId, Record
from ledger.kernel.encoding import Frozen
from ledger.kernel.instant import Instant
from node.simulated.cpu import CpuMeter


class Boot(Frozen):
    """What a host is built from."""

    records: tuple[Record, ...]
    """What its disk holds: empty at the first start."""
    now: Instant
    """What its clock shows."""
    incarnation: int
    """Greater at each start; in the simulation 1 at the first, and one more at each restart."""
    meter: CpuMeter
    """Wraps signers, verifiers and threshold keys so that their work is charged, and takes charges for gas; where the CPU
    is a real one, nothing is wrapped and nothing charged."""


HostFactory: TypeAlias = Callable[[Boot], Automaton[Any, Any, Any]]


class Observer(Protocol):
    """Sees what hosts put out; it may inject inputs, and must not change hosts."""

    def observe(self, now: Instant, node: NodeId, outputs: Sequence[Any], faults: Sequence[Fault]) -> None:
        """These were released at this instant."""
        ...
