"""Peering: one authenticated, sealed connection to every peer that can be reached, and a reliable link over it.

::

    send -> PeerLink: Link (held until acknowledged) -> Connection: queue -> sealed -> websocket
    receiver <- PeerLink: Link (each frame once) <- Connection: rate limit <- opened, decoded <- websocket

1. Every node listens (``door``) and dials (``dialling``): whoever can reach the other does. Both prove who they are
   (``handshake``), and of two connections of a pair the same one stays at both ends (``peer_link``).
2. Only configured peers are talked to. What strangers can take is bounded: connections, time, bytes, processor, log lines.
3. What a peer can take is bounded too: frames and bytes per second, and what is held for it while it is away.
4. A peer that breaks the rules is a fault that is reported, and is suspended; what somebody else may have done is a
   refusal. All are counted by kind, the latest are kept, and of a flood a part is reported.
5. Sending never blocks: what can't be sent now is held by the link.

The rules of peering that a correct peer never breaks, by the kind of fault: ``undecodable_frame``, ``no_header``,
``wrong_session``, ``flooding``. An error of this program in one of its tasks goes to the loop's exception handler.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Mapping, Sequence
from time import monotonic_ns, time_ns
from typing import Any

import aiohttp
from aiohttp import web

from ledger.kernel.automaton import NodeId
from ledger.kernel.encoding import Frozen
from ledger.kernel.identity import Signer
from ledger.kernel.instant import SECOND, Instant
from ledger.kernel.rejection import Rejected, require
from node.live.connection import Connection, PeerFault
from node.live.dialling import BackOff, Peer, dial, wait_until
from node.live.door import Door
from node.live.handshake import ConnectionKeys, DiallerHandshake, Identity, ResponderHandshake
from node.live.link_fault import NO_FAULT, LinkFault
from node.live.peer_link import PeerLink, PeerStatus
from node.live.peering_limits import PeeringLimits
from node.live.refusals import Refusal, Refusals
from node.live.surroundings import Receiver
from node.wire import Wire

USUAL = frozenset({"already_connected", "cut", "left", "stopping", "suspended"})
"""Kinds of refusals that mean no harm, or follow from one that was told already: they are counted."""


class PeeringStatus(Frozen):
    """What is known of the port and of all peers."""

    peers: tuple[PeerStatus, ...]
    accepted: int
    """Connections that were accepted."""
    newcomers: int
    """Of these, how many have not proved anything yet."""
    newcomers_most: int
    refused: Mapping[str, int]
    """By kind, refusals and faults."""
    latest: tuple[Refusal, ...]
    unreported: int


class Peering:
    """A node's transport: see ``node.live.surroundings``."""

    def __init__(
        self,
        me: NodeId,
        signer: Signer,
        network: str,
        session: int,
        peers: Sequence[Peer],
        listen: tuple[str, int],
        limits: PeeringLimits,
        receiver: Receiver,
        wire: Wire | None = None,
    ) -> None:
        """``session``: the node's incarnation; it must rise with every start. ``listen``: address and port, 0 for a free
        one.
        """
        self._peers = tuple(peer for peer in peers if peer.node != me)
        self._identity = Identity(me, signer, network, session, {peer.node: peer.public_key for peer in self._peers})
        self._listen = listen
        self._limits = limits
        self._receiver = receiver
        self._wire = wire or Wire()
        self._refusals = Refusals(limits, now())
        self._door = Door(self._identity, limits, now, self._admit, self._serve_dialler, self._refuse)
        self._links = {
            peer.node: PeerLink(me, peer.node, peer.address, session, limits, receiver, now) for peer in self._peers
        }
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    @property
    def port(self) -> int:
        """Where it listens, after the start."""
        return self._door.port

    @property
    def status(self) -> PeeringStatus:
        """What is known now."""
        return PeeringStatus(
            peers=tuple(link.status for link in self._links.values()),
            accepted=self._door.accepted,
            newcomers=len(self._door.newcomers),
            newcomers_most=self._door.newcomers.most,
            refused=dict(self._refusals.counts),
            latest=tuple(self._refusals.latest),
            unreported=self._refusals.unreported,
        )

    async def start(self) -> None:
        """Listen, and begin to dial.

        Errors: ``OSError``.
        """
        self._door.start(*self._listen)
        loop = asyncio.get_running_loop()
        for peer in self._peers:
            task = loop.create_task(self._keep_connected(peer, self._links[peer.node]))
            task.add_done_callback(tell_failure)
            self._tasks.append(task)

    async def stop(self) -> None:
        """Write what is queued, as far as that goes in a moment, and close everything."""
        self._stopping = True
        try:
            async with asyncio.timeout(self._limits.closing_timeout / SECOND):
                await asyncio.gather(*[link.close() for link in self._links.values()])
        except TimeoutError:  # a peer that does not read: the links' next life sends it again
            pass
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._door.stop()

    def send(self, peer: NodeId, packets: tuple[bytes, ...]) -> None:
        """Encoded packets, not longer than one frame, for one peer. Never blocks, never raises."""
        link = self._links.get(peer)
        if link is None:
            self._refuse(
                peer, Rejected("no_such_peer", f"{self._identity.me} has packets for {peer}, which it does not know")
            )
        else:
            link.send(packets)

    def set_fault(self, peer: NodeId, fault: LinkFault = NO_FAULT) -> None:
        """Inject a fault of the link to one peer, in the place of the one before; without one the link is good again."""
        self._links[peer].set_fault(fault)

    @property
    def faults(self) -> Mapping[NodeId, LinkFault]:
        """The injected faults, of the peers that have some."""
        return {peer: link.fault for peer, link in self._links.items() if link.fault is not NO_FAULT}

    # ------------------------------------------------------------------------------------------------------ connections

    async def _keep_connected(self, peer: Peer, link: PeerLink) -> None:
        """Dial while there is no connection."""
        back_off = BackOff(self._limits, random.SystemRandom())
        wait = self._limits.head_start if self._identity.me > peer.node else 0
        while True:
            await link.absent.wait()
            await wait_until(link.urged, now(), max(now() + wait, link.suspended_until))
            if link.urged.is_set():
                back_off.start_over()
                link.urged.clear()
            if link.absent.is_set():
                try:
                    await dial(self._identity, peer, self._limits, self._serve_responder)
                except Rejected as rejected:
                    link.last_error = str(rejected)
            wait, link.lasted = back_off.wait(link.lasted), 0

    def _admit(self, handshake: ResponderHandshake) -> None:
        require(not self._stopping, "stopping", f"{self._identity.me} is about to stop")
        self._links[handshake.peer].admit(handshake.peer_session, dialled_by_me=False)

    async def _serve_dialler(
        self,
        handshake: ResponderHandshake,
        keys: ConnectionKeys,
        websocket: web.WebSocketResponse,
        raw_socket: socket.socket,
    ) -> None:
        """Serve a connection that the peer dialled."""
        connection = Connection(websocket, raw_socket, keys, handshake.peer_session, False, self._wire, self._limits)
        await self._serve(self._links[handshake.peer], connection)

    async def _serve_responder(
        self, handshake: DiallerHandshake, websocket: aiohttp.ClientWebSocketResponse[Any], raw_socket: socket.socket
    ) -> None:
        """Serve a connection that this node dialled."""
        assert handshake.keys is not None, "the responder has answered"
        connection = Connection(
            websocket, raw_socket, handshake.keys, handshake.peer_session, True, self._wire, self._limits
        )
        await self._serve(self._links[handshake.responder], connection)

    async def _serve(self, link: PeerLink, connection: Connection) -> None:
        try:
            await link.serve(connection)
        except PeerFault as fault:
            link.suspend()
            link.last_error = f"{fault.kind}: {fault.detail}"
            self._refuse(link.peer, Rejected(fault.kind, fault.detail))
        except Rejected as rejected:  # nobody knows whose doing it is: all that is known is where it came from
            link.last_error = str(rejected)
            self._refuse(link.address, rejected)

    def _refuse(self, who: str, rejected: Rejected) -> None:
        if rejected.code in USUAL:
            self._refusals.counts[rejected.code] += 1
        elif self._refusals.note(who, rejected, time_ns() // 1000, now()):
            self._receiver.peer_fault(who, rejected.code, rejected.detail)


def now() -> Instant:
    """The present of links and limits: microseconds of the monotonic clock."""
    return monotonic_ns() // 1000


def tell_failure(task: asyncio.Task[None]) -> None:
    """An error of this program is not to stay unseen in a task."""
    if not task.cancelled() and (error := task.exception()) is not None:
        task.get_loop().call_exception_handler({"message": "peering failed", "exception": error, "task": task})
