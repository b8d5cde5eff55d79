"""Peerings on the loopback device, as tests want them: named by letters, with a receiver that writes down what it is told."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from ledger.kernel.automaton import NodeId
from ledger.kernel.encoding import Natural, Value
from ledger.kernel.identity import RealSigner, Signer
from ledger.kernel.instant import MILLISECOND
from node.live.dialling import Peer, dial
from node.live.handshake import DiallerHandshake, Identity
from node.live.peering import Peering
from node.live.peering_limits import PeeringLimits
from node.wire import Packet, Wire

PATIENCE = 60
"""Seconds for what should take milliseconds: a busy machine fails no test."""
LOOPBACK = "127.0.0.1"
NETWORK = "test-network"


class PeeringNote(Value):
    """What peers tell each other in tests."""

    number: Natural
    text: bytes = b""


WIRE = Wire(PeeringNote)
LIMITS = PeeringLimits(back_off_first=10 * MILLISECOND, back_off_max=100 * MILLISECOND, head_start=10 * MILLISECOND)


def signer_of(name: str) -> Signer:
    return RealSigner(name.encode().ljust(32, b"-"))


def note(number: int, size: int = 0) -> bytes:
    """A packet."""
    return WIRE.packet(("note", number), PeeringNote(number, bytes(size)))


class Notes:
    """A receiver."""

    def __init__(self) -> None:
        self.frames: list[tuple[NodeId, tuple[Packet, ...]]] = []
        self.reconnected: list[NodeId] = []
        self.faults: list[tuple[str, str]] = []
        self.has_room = asyncio.Event()
        self.has_room.set()

    def frame_received(self, peer: NodeId, packets: Sequence[Packet]) -> None:
        self.frames.append((peer, tuple(packets)))

    def peer_reconnected(self, peer: NodeId) -> None:
        self.reconnected.append(peer)

    def peer_fault(self, peer: str, kind: str, detail: str) -> None:
        self.faults.append((peer, kind))

    async def room(self) -> None:
        await self.has_room.wait()

    def numbers(self, peer: str) -> list[int]:
        """Of the notes that came from the peer, in the order of their coming."""
        return [message.number for sender, packets in self.frames if sender == peer for _, message in packets]  # type: ignore[attr-defined]


class Neighbourhood:
    """Nodes that know each other, and have ports, whether they run or not."""

    def __init__(self, names: str) -> None:
        self._reserved = {name: socket.socket() for name in names}
        for reserved in self._reserved.values():
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            reserved.bind((LOOPBACK, 0))
        self.ports = {name: reserved.getsockname()[1] for name, reserved in self._reserved.items()}
        self.notes: dict[str, Notes] = {}
        self.running: dict[str, Peering] = {}

    def peers(self, elsewhere: dict[str, int] | None = None) -> list[Peer]:
        """All nodes; some of them said to listen at other ports."""
        ports = {**self.ports, **(elsewhere or {})}
        return [Peer(NodeId(name), signer_of(name).public_key, LOOPBACK, port) for name, port in ports.items()]

    async def start(
        self,
        name: str,
        session: int = 1,
        limits: PeeringLimits = LIMITS,
        elsewhere: dict[str, int] | None = None,
    ) -> Peering:
        notes = self.notes[name] = Notes()
        peering = Peering(
            NodeId(name),
            signer_of(name),
            NETWORK,
            session,
            self.peers(elsewhere),
            (LOOPBACK, self.ports[name]),
            limits,
            notes,
            WIRE,
        )
        await peering.start()
        self.running[name] = peering
        return peering

    async def stop(self, name: str) -> None:
        await self.running.pop(name).stop()

    async def close(self) -> None:
        for name in [*self.running]:
            await self.stop(name)
        for reserved in self._reserved.values():
            reserved.close()

    def status(self, name: str, peer: str) -> Any:
        """What a node knows of a peer."""
        return next(status for status in self.running[name].status.peers if status.node == peer)

    async def connected(self, *pairs: str) -> None:
        """Returns when these pairs ("ab") see each other, at both ends where both run."""
        ends = [(pair[i], pair[1 - i]) for pair in pairs for i in (0, 1) if pair[i] in self.running]
        await until(lambda: all(self.status(name, peer).connected for name, peer in ends))

    def identity(self, name: str, signer: Signer | None = None, network: str = NETWORK, session: int = 1) -> Identity:
        """Of a node, or of somebody who claims to be it."""
        peers = {peer.node: peer.public_key for peer in self.peers() if peer.node != name}
        return Identity(NodeId(name), signer or signer_of(name), network, session, peers)

    async def dial(
        self, identity: Identity, name: str, act: Callable[[DiallerHandshake, Any], Any], port: int | None = None
    ) -> None:
        """Dial a node as somebody, and do something with the open websocket."""
        peer = Peer(NodeId(name), signer_of(name).public_key, LOOPBACK, port or self.ports[name])

        async def serve(handshake: DiallerHandshake, websocket: Any, raw_socket: socket.socket) -> None:
            await act(handshake, websocket)
            await websocket.close()

        await dial(identity, peer, LIMITS, serve)


@asynccontextmanager
async def neighbourhood(names: str, running: str | None = None, **limits: int) -> AsyncIterator[Neighbourhood]:
    """Nodes by these names, of which some run, and all of these are connected."""
    nodes = Neighbourhood(names)
    running = names if running is None else running
    try:
        for name in running:
            await nodes.start(name, limits=LIMITS if not limits else changed(**limits))
        pairs = [one + other for one in running for other in running if one < other]
        await nodes.connected(*pairs)
        yield nodes
    finally:
        await nodes.close()


def changed(**limits: int) -> PeeringLimits:
    """The limits of tests, but for these."""
    return PeeringLimits(**{**{name: getattr(LIMITS, name) for name in LIMITS.__struct_fields__}, **limits})


async def until(condition: Callable[[], bool]) -> None:
    """Returns when the condition holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.002)


async def never(handshake: DiallerHandshake, websocket: Any) -> None:
    """What is done with a websocket that is not expected to open."""
    raise AssertionError("no websocket is opened")


class Relay:
    """Somebody in the middle, who passes on what goes to a port, or does not, or changes it."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self.silent = False
        """Whether it keeps all for itself."""
        self.change: Callable[[bytes], bytes] = lambda data: data
        """What becomes of what the dialler says."""
        self.change_back: Callable[[bytes], bytes] = lambda data: data
        """What becomes of what is answered."""

    async def __aenter__(self) -> Relay:
        self._server = await asyncio.start_server(self._relay, LOOPBACK, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.hang_up()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def hang_up(self) -> None:
        """Break all connections."""
        for writer in self._writers:
            writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            their_reader, their_writer = await asyncio.open_connection(LOOPBACK, self._to)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, their_writer}
        await asyncio.gather(
            self._pass_on(reader, their_writer, self._changed),
            self._pass_on(their_reader, writer, self._changed_back),
        )
        self._writers -= {writer, their_writer}

    def _changed(self, data: bytes) -> bytes:
        return self.change(data)

    def _changed_back(self, data: bytes) -> bytes:
        return self.change_back(data)

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, change: Callable[[bytes], bytes]
    ) -> None:
        try:
            while data := await reader.read(65536):
                if not self.silent:
                    writer.write(change(data))
                    await writer.drain()
        except OSError:
            pass
        writer.transport.abort()
