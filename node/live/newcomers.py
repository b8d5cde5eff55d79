"""Connections that have not proved anything yet: how many there may be, in all and from one address, and who must go.

When there are too many, the one that has shown least, and of those the oldest, makes room: of the same address when that
has too many. So who holds connections open, or opens many, is in the way of nobody who completes a handshake in the time
that the port takes to accept as many as there may be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from socket import SHUT_RDWR, socket

from ledger.kernel.rejection import Rejected
from node.live.handshake import ResponderHandshake
from node.live.peering_limits import PeeringLimits

LEFT = Rejected("left", "the connection was closed before it proved anything")
EVICTED = Rejected("crowded_out", "there were too many connections that had not proved anything")
TIMED_OUT = Rejected("handshake_timeout", "the handshake was not completed in time")


class Newcomer:
    """One connection."""

    __slots__ = ("address", "handshake", "proved", "reason", "socket")

    def __init__(self, address: str, socket: socket) -> None:
        self.address = address
        self.socket = socket
        self.handshake: ResponderHandshake | None = None
        """After a good hello."""
        self.reason = LEFT
        """Why it goes, if it goes."""
        self.proved = False
        """Whether it has become a peer's connection."""

    def close(self) -> None:
        """Close the socket, whatever waits to be read or written."""
        close_socket(self.socket)


class Newcomers:
    """All of one node; ``gone`` is told of each that left without having become a peer's connection."""

    def __init__(self, limits: PeeringLimits, gone: Callable[[Newcomer], None]) -> None:
        self._limits = limits
        self._gone = gone
        self._present: dict[Newcomer, None] = {}
        self._by_address: Counter[str] = Counter()
        self.most = 0
        """The most there were at one time."""

    def __len__(self) -> int:
        return len(self._present)

    def enter(self, newcomer: Newcomer) -> None:
        """Take one in; another may have to go."""
        if self._by_address[newcomer.address] >= self._limits.newcomers_per_address_max:
            self.send_away(self._least(newcomer.address), EVICTED)
        elif len(self._present) >= self._limits.newcomers_max:
            self.send_away(self._least(None), EVICTED)
        self._present[newcomer] = None
        self._by_address[newcomer.address] += 1
        self.most = max(self.most, len(self._present))

    def send_away(self, newcomer: Newcomer, reason: Rejected) -> None:
        """Close a connection, if it is still one of these."""
        if newcomer in self._present:
            newcomer.reason = reason
            self.leave(newcomer)
            newcomer.close()

    def leave(self, newcomer: Newcomer) -> None:
        """It is none of these any more: its connection has ended, or has become a peer's."""
        if newcomer not in self._present:
            return
        del self._present[newcomer]
        self._by_address[newcomer.address] -= 1
        if not self._by_address[newcomer.address]:
            del self._by_address[newcomer.address]
        if not newcomer.proved:
            self._gone(newcomer)

    def _least(self, address: str | None) -> Newcomer:
        """Of all, or of those from an address, the oldest without a good hello; else the oldest."""
        present = [newcomer for newcomer in self._present if address in (None, newcomer.address)]
        return next((newcomer for newcomer in present if newcomer.handshake is None), present[0])


def close_socket(socket: socket) -> None:
    """End the connection at once, also under a transport that still has something to write: that then fails."""
    with suppress(OSError):  # it is closed already
        socket.shutdown(SHUT_RDWR)
