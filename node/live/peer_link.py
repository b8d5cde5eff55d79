"""One peer as this node sees it: the link to it, the connection when there is one, and what is known of both.

1. What is sent is held by the ``Link`` until the peer has acknowledged it, over any number of connections; when too much is
   held, in frames or bytes, the oldest is given up and counted.
2. There is one connection at a time. Of two, that of the peer's later session stays; then one that replaces a connection
   that has been silent for two keep-alives, or was dialled by the same side (which had lost the former one); else the
   one that was dialled by the node with the smaller name. Both ends decide alike.
3. A connection begins with an acknowledgement from either side. When the peer's has come, all that is still held is sent.
4. The link's timers run while there is a connection that takes what it is given.
5. Injected faults: frames to the peer are lost or leave later; a cut ends the connection and refuses others.
6. A peer that broke the rules of peering is suspended: no connection for a while.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from time import time_ns

from ledger.kernel.automaton import NodeId
from ledger.kernel.encoding import Frozen
from ledger.kernel.instant import MILLISECOND, SECOND, Duration, Instant
from ledger.kernel.rejection import Rejected, require
from node.link import Link, LinkHeader
from node.live.connection import Connection
from node.live.link_fault import NO_FAULT, LinkFault
from node.live.peering_limits import PeeringLimits
from node.live.surroundings import Receiver
from node.wire import PACKETS_SIZE_MAX, Packet

BEHIND = 64
"""Frames in a connection's queue from which on nothing is sent again: it would only wait behind them."""


class PeerStatus(Frozen):
    """What is known of a peer and of the link to it. Counts are since the start of this node."""

    node: NodeId
    address: str
    connected: bool
    since_us: int | None
    """When the present connection, or its absence, began: microseconds of Unix time; None: never connected."""
    dialled_by_me: bool | None
    session: int | None
    """The peer's incarnation, when it was connected last."""
    connections: int
    queued: int
    """Frames that the peer has not acknowledged."""
    sent_frames: int
    sent_bytes: int
    received_frames: int
    received_bytes: int
    duplicates: int
    resent: int
    """Frames sent again, over the same connection or another; what waited for a connection counts as well."""
    lost: int
    """Frames given up because too many were held."""
    dropped: int
    """Frames that an injected loss took."""
    throttled_us: Duration
    """How long reading waited because the peer was at its rate limit."""
    round_trip_us: Duration | None
    suspended: bool
    fault: LinkFault
    last_error: str
    """Why the last connection, or the last attempt at one, ended."""


class PeerLink:
    """Serves as the owner of the peer's connection."""

    def __init__(
        self,
        me: NodeId,
        peer: NodeId,
        address: str,
        session: int,
        limits: PeeringLimits,
        receiver: Receiver,
        now: Callable[[], Instant],
    ) -> None:
        self.peer = peer
        self.now = now
        self.room = receiver.room
        self.connection: Connection | None = None
        self.fault = NO_FAULT
        self.suspended_until: Instant = 0
        self.last_error = ""
        self.lasted: Duration = 0
        """How long the last connection did, for whoever dials again."""
        self.absent = asyncio.Event()
        """Set while a connection is wanted and there is none."""
        self.absent.set()
        self.urged = asyncio.Event()
        """Set when dialling should not wait any longer."""
        self._me = me
        self.address = address
        self._limits = limits
        self._receiver = receiver
        self._link: Link[tuple[bytes, ...]] = Link(session, limits.link_parameters())
        self._heard = False
        self._held_bytes = 0
        self._delayed: deque[tuple[Instant, LinkHeader, tuple[bytes, ...]]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: Instant = 0
        self._peer_session: int | None = None
        self._began: Instant = 0
        self._since_us: int | None = None
        self._connections = self._received_frames = self._received_bytes = self._duplicates = 0
        self._sent_frames = self._sent_bytes = self._dropped = 0
        self._throttled: Duration = 0

    # ------------------------------------------------------------------------------------------------------- sending

    def send(self, packets: tuple[bytes, ...]) -> None:
        """Hold the packets until the peer has them, and send them if there is a connection (1)."""
        size = sum(map(len, packets))
        assert size <= PACKETS_SIZE_MAX, "the packets of a frame fit into one"
        now = self.now()
        header = self._link.send(packets, now)
        self._held_bytes += size
        if self._held_bytes > self._limits.queue_bytes_max:
            self._give_up()
        if self._heard:
            self._put(header, packets, size, now)
            self._arm()

    def _give_up(self) -> None:
        """Hold less. What was counted is at least what is held; it is only counted again when it seems too much."""
        limit = self._limits.queue_bytes_max
        sizes = [sum(map(len, packets)) for packets in self._link.held()]
        self._held_bytes = sum(sizes)
        for size in sizes[:-1]:
            if self._held_bytes <= limit - limit // 8:
                break
            self._link.give_up_oldest()
            self._held_bytes -= size

    def _put(self, header: LinkHeader, packets: tuple[bytes, ...], size: int, now: Instant) -> None:
        """Send a frame, the way it goes now (5); without room for it, the link sends it again later."""
        fault = self.fault
        if fault is not NO_FAULT or self._delayed:
            if random.random() < fault.loss:
                self._dropped += 1
                return
            if fault.delay or self._delayed:
                if len(self._delayed) < self._limits.queue_max:
                    self._delayed.append((now + fault.delay, header, packets))
                return
        if self.connection is not None:
            self.connection.put(header, packets, size)

    def keep_alive(self) -> None:
        self._put(self._link.acknowledgement(), (), 0, self.now())
        self._arm()

    # ----------------------------------------------------------------------------------------------------- receiving

    def frame_came(self, header: LinkHeader, packets: tuple[Packet, ...], size: int, now: Instant) -> None:
        link = self._link
        self._received_frames += 1
        self._received_bytes += size
        fresh = link.receive(header, now)
        if link.reconnected:
            self._receiver.peer_reconnected(self.peer)
        if not self._heard:
            self._heard = True
            for held_header, held in link.resend_all(now):
                self._put(held_header, held, sum(map(len, held)), now)
        if fresh:
            self._receiver.frame_received(self.peer, packets)
        elif header.sequence:
            self._duplicates += 1
        self._arm()

    def throttled(self, wait: Duration) -> None:
        self._throttled += wait

    # -------------------------------------------------------------------------------------------------------- timers

    def _arm(self) -> None:
        """Have the timer come when something is due; it may come earlier, then it is armed again."""
        due = self._link.deadline if self._heard else None
        if self._delayed and (due is None or self._delayed[0][0] < due):
            due = self._delayed[0][0]
        if due is not None and (self._timer is None or due < self._timer_at):
            self._wake_at(due)

    def _wake_at(self, due: Instant) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = due
        wait = -(-max(0, due - self.now()) // MILLISECOND) * MILLISECOND  # event loops count in whole ones
        self._timer = asyncio.get_running_loop().call_later(wait / SECOND, self._handle_timer)

    def _handle_timer(self) -> None:
        """What is due goes to the connection, unless that is behind (4)."""
        self._timer = None
        connection, now = self.connection, self.now()
        if connection is None:
            return
        while self._delayed and self._delayed[0][0] <= now:
            _, header, packets = self._delayed.popleft()
            connection.put(header, packets, sum(map(len, packets)))
        if len(connection.queue) >= BEHIND:
            self._wake_at(now + self._limits.acknowledge_after)
            return
        if self._heard and self._link.deadline is not None and self._link.deadline <= now:
            for header, held in self._link.handle_timer(now):
                packets = held or ()
                self._put(header, packets, sum(map(len, packets)), now)
        self._arm()

    # --------------------------------------------------------------------------------------------------- connections

    def admit(self, session: int, dialled_by_me: bool) -> None:
        """Refuse a connection with a peer of this session that is not wanted now (2, 5, 6).

        Errors: ``Rejected``.
        """
        require(not self.fault.cut, "cut", f"{self._me} is cut off from {self.peer} by an injected fault")
        require(
            self.suspended_until <= self.now(),
            "suspended",
            f"{self.peer} broke the rules of peering with {self._me}, and may come back later",
        )
        known = self._peer_session or 0
        require(
            session >= known,
            "stale_session",
            f"{self.peer} comes with session {session} after {known}: it runs twice, or on an older copy of its store",
        )
        present = self.connection
        if present is None or session > present.peer_session or present.silent_checks >= 2:
            return
        if present.dialled_by_me != dialled_by_me:
            mine_wins = self._me < self.peer
            require(
                dialled_by_me == mine_wins, "already_connected", f"{self._me} and {self.peer} are connected already"
            )

    async def serve(self, connection: Connection) -> None:
        """Use this connection, in the place of the present one, until it ends.

        Errors: ``Rejected`` when it is not wanted.
        """
        try:
            self.admit(connection.peer_session, connection.dialled_by_me)
        except Rejected as rejected:
            await connection.close(str(rejected))
            raise
        if self.connection is not None:
            self._detach("another connection took its place")
        self.connection, self._heard = connection, False
        self._peer_session = connection.peer_session
        self._connections += 1
        self._began = self.now()
        self._since_us = time_ns() // 1000
        self.absent.clear()
        self.keep_alive()
        try:
            self._note_end(connection, await connection.run(self))
        finally:
            self._sent_frames += connection.sent_frames
            self._sent_bytes += connection.sent_bytes
            connection.sent_frames = connection.sent_bytes = 0
            if self.connection is connection:
                self._detach("it ended")

    def _detach(self, reason: str) -> None:
        assert self.connection is not None
        self.connection.end(reason)
        self.lasted = self.now() - self._began
        self.connection, self._heard = None, False
        self._since_us = time_ns() // 1000
        self._delayed.clear()
        if not self.fault.cut:
            self.absent.set()

    def _note_end(self, connection: Connection, reason: str) -> None:
        if self.connection is connection or self.connection is None:
            self.last_error = reason

    def suspend(self) -> None:
        """Have nothing to do with the peer for a while (6)."""
        self.suspended_until = self.now() + self._limits.suspension

    def set_fault(self, fault: LinkFault) -> None:
        """Inject a fault, in the place of the one before (5)."""
        self.fault = NO_FAULT if fault == NO_FAULT else fault
        if fault.cut:
            self.absent.clear()
            if self.connection is not None:
                self._detach("cut by an injected fault")
        elif self.connection is None:
            self.absent.set()
            self.urged.set()

    async def close(self) -> None:
        """Write what is queued, then end the connection."""
        if self._timer is not None:
            self._timer.cancel()
        connection = self.connection
        if connection is not None:
            await connection.flush()
            connection.end("the node stops")
            await connection.closed.wait()

    @property
    def status(self) -> PeerStatus:
        """What is known now."""
        connection, link = self.connection, self._link
        return PeerStatus(
            node=self.peer,
            address=self.address,
            connected=connection is not None,
            since_us=self._since_us,
            dialled_by_me=None if connection is None else connection.dialled_by_me,
            session=self._peer_session,
            connections=self._connections,
            queued=link.unacknowledged,
            sent_frames=self._sent_frames + (0 if connection is None else connection.sent_frames),
            sent_bytes=self._sent_bytes + (0 if connection is None else connection.sent_bytes),
            received_frames=self._received_frames,
            received_bytes=self._received_bytes,
            duplicates=self._duplicates,
            resent=link.resent,
            lost=link.lost,
            dropped=self._dropped,
            throttled_us=self._throttled,
            round_trip_us=link.round_trip,
            suspended=self.suspended_until > self.now(),
            fault=self.fault,
            last_error=self.last_error,
        )
