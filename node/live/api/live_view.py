"""A live node, as its API sees it: the runtime with its host, and the peering."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ledger.kernel.automaton import NodeId
from ledger.kernel.instant import Instant
from ledger.kernel.rejection import Rejected, require
from node.host import Household, LedgerHost
from node.live.api.node_view import FaultView, Host, OwnerInput
from node.live.counters import Latency
from node.live.link_fault import NO_FAULT, LinkFault
from node.live.peer_link import PeerStatus
from node.live.peering import Peering
from node.live.runtime import InboxFull, LiveRuntime


class LiveNodeView:
    """A ``NodeView`` over what makes a live node; ``stop`` is how its process ends gracefully."""

    def __init__(
        self, network: str, epoch_us: int, runtime: LiveRuntime, peering: Peering, stop: Callable[[], None]
    ) -> None:
        self.name: NodeId = runtime.node
        self.network = network
        self.epoch_us = epoch_us
        self.started_at: Instant = runtime.now
        self._runtime = runtime
        self._peering = peering
        self._stop = stop

    @property
    def incarnation(self) -> int:
        return self._runtime.incarnation

    @property
    def now(self) -> Instant:
        return self._runtime.now

    @property
    def host(self) -> Host:
        host = self._runtime.host
        assert isinstance(host, LedgerHost | Household), "a node runs one of the two kinds of host"
        return host

    @property
    def stopping(self) -> bool:
        return self._runtime.is_stopping

    @property
    def waits(self) -> Sequence[str]:
        return self._runtime.waits

    @property
    def peers(self) -> Sequence[PeerStatus]:
        return self._peering.status.peers

    @property
    def faults(self) -> Sequence[FaultView]:
        return [FaultView(at, fault.accused, fault.kind, fault.detail) for at, fault in self._runtime.faults]

    @property
    def counters(self) -> Mapping[str, int]:
        return self._runtime.counters.as_dict()

    @property
    def latencies(self) -> Mapping[str, Latency]:
        return {"turn": self._runtime.turn_latency, "commit": self._runtime.commits.latency}

    @property
    def link_faults(self) -> Mapping[NodeId, LinkFault]:
        return self._peering.faults

    async def durable(self) -> None:
        await self._runtime.durable()

    def submit(self, input: OwnerInput) -> None:
        try:
            self._runtime.inject(input)
        except InboxFull as full:
            raise Rejected("busy", str(full)) from None

    def change_links(self, faults: Mapping[NodeId, LinkFault]) -> None:
        known = [peer.node for peer in self.peers]
        unknown = [peer for peer in faults if peer not in known]
        require(not unknown, "unknown_peer", f"{self.name} has no peer {', '.join(map(repr, unknown))}")
        for peer in known:
            self._peering.set_fault(peer, faults.get(peer, NO_FAULT))

    def stop(self) -> None:
        self._stop()
