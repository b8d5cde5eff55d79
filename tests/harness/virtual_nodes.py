"""Nodes for the API, in virtual time: the hosts of the small scenario, simulated, each seen as a live node is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

from ledger.kernel.automaton import Fault, NodeId
from ledger.kernel.instant import MILLISECOND, SECOND, Duration, Instant
from ledger.kernel.rejection import Rejected, require
from node.configuration_file import load_configuration
from node.experiments.scenario import SimulatedScenario
from node.live.api.door import ApiLimits, ApiSettings
from node.live.api.events import NodeEvents
from node.live.api.metrics import NodeMetrics
from node.live.api.node_view import FaultView, OwnerInput
from node.live.api.server import ApiServer
from node.live.counters import Latency
from node.live.link_fault import NO_FAULT, LinkFault
from node.live.peer_link import PeerStatus
from tests.harness.live import PATIENCE
from tests.harness.small_run import write_small
from wasp.core_contracts.accounts import next_nonce
from wasp.request import OffLedgerRequest, call, sign_request

TOKEN = "open-sesame-open-sesame"
A1, A2, A3, A4 = (NodeId(f"a{k}") for k in (1, 2, 3, 4))
TANGLE1 = NodeId("tangle1")
STEP = 100 * MILLISECOND
"""How far time goes on at once."""
TURN = 10 * MILLISECOND
"""How far time goes on for an input."""


class VirtualCluster:
    """All hosts of the small scenario."""

    def __init__(self, folder: Path, more: str = "") -> None:
        path = write_small(folder, more)
        self.scenario = SimulatedScenario(load_configuration(path), path.parent)
        self.nodes: dict[NodeId, VirtualNode] = {}
        self.runtime = self.scenario.runtime(self)

    def observe(self, now: Instant, node: NodeId, outputs: Sequence[Any], faults: Sequence[Fault]) -> None:
        if node in self.nodes:
            self.nodes[node].events.observe(now, node, outputs, faults)

    def node(self, name: NodeId) -> VirtualNode:
        """The node of this name, as its API sees it; a new one each time, with events of its own."""
        self.nodes[name] = VirtualNode(self, name)
        return self.nodes[name]

    def run(self, duration: Duration) -> None:
        """Let time go on."""
        self.runtime.run_until(self.runtime.now + duration)

    def request(
        self, home: NodeId, *parameters: Any, ahead: int = 0, entry_point: str = "submit_order"
    ) -> OffLedgerRequest:
        """A request of a home to its auction contract, with its next nonce or one so far ahead."""
        chain = self.runtime.host(home).chains["north"]
        nonce = next_nonce(chain.active_state, home) + ahead
        return sign_request(
            self.scenario.identities.signer(home), "north", nonce, call("auction", entry_point, *parameters)
        )


class VirtualNode:
    """One of them: a ``NodeView``."""

    def __init__(self, cluster: VirtualCluster, name: NodeId) -> None:
        self.cluster = cluster
        self.name = name
        self.events = NodeEvents(NodeMetrics())
        self.network = cluster.scenario.network
        self.epoch_us = 1_700_000_000_000_000
        self.started_at: Instant = 0
        self.stopping = False
        self.busy = False
        self.away: set[NodeId] = set()
        self.link_faults: Mapping[NodeId, LinkFault] = {}
        self.waits: list[str] = []
        self.turns = Latency()
        self.commit = asyncio.Event()
        self.commit.set()

    @property
    def incarnation(self) -> int:
        return self.cluster.runtime.machines[self.name].incarnation

    @property
    def now(self) -> Instant:
        return self.cluster.runtime.now

    @property
    def host(self) -> Any:
        return self.cluster.runtime.host(self.name)

    @property
    def peers(self) -> Sequence[PeerStatus]:
        return [peer_status(peer, peer not in self.away) for peer in self.cluster.runtime.machines if peer != self.name]

    @property
    def faults(self) -> Sequence[FaultView]:
        return [FaultView(k, "a2", "bad_signature", f"number {k}") for k in range(3)]

    @property
    def counters(self) -> Mapping[str, int]:
        return {"turns": self.cluster.runtime.counters.turns}

    @property
    def latencies(self) -> Mapping[str, Latency]:
        return {"turn": self.turns}

    async def durable(self) -> None:
        await self.commit.wait()

    def submit(self, input: OwnerInput) -> None:
        """The input is handled while the event loop goes on: time does, too."""
        if self.busy:
            raise Rejected("busy", "4096 wait already")
        self.cluster.runtime.inject(self.name, input)
        asyncio.get_running_loop().call_soon(self.cluster.run, TURN)

    def change_links(self, faults: Mapping[NodeId, LinkFault]) -> None:
        known = [peer.node for peer in self.peers]
        require(all(peer in known for peer in faults), "unknown_peer", "no such peer")
        self.link_faults = {peer: fault for peer, fault in faults.items() if fault != NO_FAULT}

    def stop(self) -> None:
        self.stopping = True


def peer_status(peer: NodeId, connected: bool) -> PeerStatus:
    """What peering would tell of a peer."""
    return PeerStatus(
        node=peer,
        address="127.0.0.1:4000",
        connected=connected,
        since_us=1,
        dialled_by_me=True,
        session=1,
        connections=1,
        queued=2,
        sent_frames=3,
        sent_bytes=4,
        received_frames=5,
        received_bytes=6,
        duplicates=7,
        resent=8,
        lost=9,
        dropped=10,
        throttled_us=11,
        round_trip_us=12,
        suspended=False,
        fault=NO_FAULT,
        last_error="",
    )


class Client:
    """Asks an API."""

    def __init__(self, server: ApiServer, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.session = session

    async def ask(self, path: str, status: int = 200, token: str | None = None) -> Any:
        """What a GET answers, which must have this status."""
        return await self._answer("GET", path, status, token)

    async def post(self, path: str, body: Any, status: int = 200, token: str | None = None) -> Any:
        """What a POST answers, which must have this status."""
        return await self._answer("POST", path, status, token, json=body)

    async def _answer(self, method: str, path: str, status: int, token: str | None, **more: Any) -> Any:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        async with self.session.request(method, self.server.url + path, headers=headers, **more) as response:
            text = await response.text()
            assert response.status == status, f"{method} {path}: {response.status} {text}"
            return await response.json() if response.content_type == "application/json" else text


@asynccontextmanager
async def serving(
    node: VirtualNode, token: str | None = None, host: str = "127.0.0.1", **limits: int
) -> AsyncIterator[Client]:
    """The API of a node, and a client of it."""
    server = ApiServer(node, node.events, ApiSettings(host, token=token, limits=ApiLimits(**limits)))
    await server.start()
    try:
        async with aiohttp.ClientSession() as session:
            yield Client(server, session)
    finally:
        await server.stop()


async def going_on(cluster: VirtualCluster, seconds: int = 60) -> None:
    """Let virtual time go on, while others on the loop have their turns."""
    for _ in range(seconds * SECOND // STEP):
        cluster.run(STEP)
        await asyncio.sleep(0)


@asynccontextmanager
async def connection(
    client: Client, limit: int = 65536
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection without a client's manners."""
    reader, writer = await asyncio.open_connection(*client.server.address, limit=limit)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def all_of(reader: asyncio.StreamReader) -> bytes:
    """What comes until the other side closes, in whatever way."""
    received = bytearray()
    with suppress(ConnectionError):
        async with asyncio.timeout(PATIENCE):
            while data := await reader.read(65536):
                received += data
    return bytes(received)
