"""What surrounds a live runtime: a store, a transport, effects. The runtime knows them by these few methods alone.

A transport owns the links to the peers: it authenticates, acknowledges, sends again, reconnects. What arrives it gives to a
``Receiver``, on the loop, and it awaits the receiver's ``room`` before it reads the next frame of any peer: a node that falls
behind slows its peers down, it drops nothing.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from ledger.kernel.automaton import NodeId, Record
from node.wire import Packet


class Receiver(Protocol):
    """Takes what a transport receives."""

    def frame_received(self, peer: NodeId, packets: Sequence[Packet]) -> None:
        """An authenticated peer's packets, which have not come before."""
        ...

    def peer_reconnected(self, peer: NodeId) -> None:
        """What was sent to the peer may have been lost until now; told before the packets of its new session."""
        ...

    def peer_fault(self, peer: str, kind: str, detail: str) -> None:
        """A peer, or somebody at an address, broke the protocol below the packets."""
        ...

    async def room(self) -> None:
        """Returns when another frame may be read; never, once the node is stopping."""
        ...


class Transport(Protocol):
    """Exchanges frames with the peers."""

    async def start(self) -> None:
        """Listen and connect; returns when it listens.

        Errors: ``OSError`` when that is impossible.
        """
        ...

    async def stop(self) -> None:
        """Send what is queued, as far as that goes in a moment, and close."""
        ...

    def send(self, peer: NodeId, packets: tuple[bytes, ...]) -> None:
        """Encoded packets, not longer than one frame, for one peer. Never blocks, never raises."""
        ...


TransportFactory: TypeAlias = Callable[[Receiver], Transport]


class RecordStore(Protocol):
    """Keeps records on a disk."""

    @property
    def records(self) -> tuple[Record, ...]:
        """What was durable when it was opened, in the order in which it was written."""
        ...

    @property
    def incarnation(self) -> int:
        """Durably greater at each opening; that of a new store is greater than those of a lost one."""
        ...

    def commit(self, records: Sequence[Record]) -> None:
        """Make the records durable: they are when it returns, all of them. Blocks; called from one worker thread.

        Errors: ``StoreFailed``. If it ``may_retry``, none of them is, and the same group is tried again.
        """
        ...

    def close(self) -> None:
        """Called from the worker thread, after the last commit."""
        ...


class LiveEffects(Protocol):
    """Answers needs that take time."""

    def start(self, need: Any) -> Future[Any] | None:
        """Begin what an output asks for; its answer is an input for the host. None for what is no need that is answered here.

        A future that fails stops the node.
        """
        ...

    async def close(self) -> None:
        """Stop what is under way: it is never answered."""
        ...
