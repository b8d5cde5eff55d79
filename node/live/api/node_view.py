"""What the API reads of a node, and the few things that it asks for.

The API knows a node by this protocol alone, so it serves a live node as well as one in virtual time. A host is read between
two turns, on the loop that runs them: what one answer tells is of one moment. It is never changed: what a user wants goes
in as an input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias

from ledger.issuing import SubmitTransaction
from ledger.kernel.automaton import NodeId
from ledger.kernel.encoding import Frozen
from ledger.kernel.instant import Instant
from node.host import Household, LedgerHost
from node.live.counters import Latency
from node.live.link_fault import LinkFault
from node.live.peer_link import PeerStatus
from wasp.mempool import SubmitRequest

Host: TypeAlias = LedgerHost | Household
OwnerInput: TypeAlias = SubmitRequest | SubmitTransaction


class FaultView(Frozen):
    """A peer broke the protocol."""

    at: Instant
    accused: str
    kind: str
    detail: str


class NodeView(Protocol):
    """A running node."""

    @property
    def name(self) -> NodeId:
        """Its name in the configuration."""
        ...

    @property
    def network(self) -> str:
        """The name of its network."""
        ...

    @property
    def epoch_us(self) -> int:
        """Instant 0, in microseconds of Unix time."""
        ...

    @property
    def incarnation(self) -> int:
        """Rises with every start."""
        ...

    @property
    def started_at(self) -> Instant:
        """When this incarnation began."""
        ...

    @property
    def now(self) -> Instant:
        """The node's clock."""
        ...

    @property
    def host(self) -> Host | None:
        """The automaton that runs; none before it runs."""
        ...

    @property
    def stopping(self) -> bool:
        """Whether the node takes nothing more."""
        ...

    @property
    def waits(self) -> Sequence[str]:
        """What the runtime waits for, when it is not simply idle: the disk, room."""
        ...

    @property
    def peers(self) -> Sequence[PeerStatus]:
        """All peers that it may talk to, in the order of the configuration."""
        ...

    @property
    def faults(self) -> Sequence[FaultView]:
        """The newest faults, oldest first, as many as are kept."""
        ...

    @property
    def counters(self) -> Mapping[str, int]:
        """What the runtime counted, by name."""
        ...

    @property
    def latencies(self) -> Mapping[str, Latency]:
        """What the runtime measured, by name: a turn, a commit."""
        ...

    @property
    def link_faults(self) -> Mapping[NodeId, LinkFault]:
        """What is done on purpose to the links to these peers now."""
        ...

    async def durable(self) -> None:
        """Returns when all that the host has done until now is durable: nobody is told what a crash could take back."""
        ...

    def submit(self, input: OwnerInput) -> None:
        """Give the host an input; what comes of it is seen by observers.

        Errors: ``Rejected("busy", ...)`` when too much waits already.
        """
        ...

    def change_links(self, faults: Mapping[NodeId, LinkFault]) -> None:
        """From now on this, and nothing else, is done to the links: those to peers that are not named are good.

        Errors: ``Rejected("unknown_peer", ...)``.
        """
        ...

    def stop(self) -> None:
        """Stop the node gracefully, soon: this call returns first."""
        ...
