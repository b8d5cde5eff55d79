"""One turn of a live node: the handling of all that has arrived, in one go, at one reading of the clock.

1. Every message and input, in the order of arrival, and then the deadline if it has come, is an event for the automaton.
2. The step's messages to the node itself are handled at once, before the next event, in order.
3. What the steps of the turn want is collected: records, packets for peers, outputs, faults. A packet is encoded once for all
   its recipients, and those for one peer are in the order of the steps.

These are the turns of ``node.simulated.machine``, which charges a virtual CPU, opens simulated frames and routes to simulated
machines in between, and is laid out for speed; the two share their meaning and not their lines. A test runs both on the same
events and compares all that comes of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from ledger.kernel.automaton import NOTHING, Automaton, Fault, NodeId, Record, Step
from ledger.kernel.instant import Instant
from node.live.counters import LiveCounters
from node.wire import Packet, Wire

Arrival: TypeAlias = tuple[NodeId | None, Any]
"""A peer and its packets; or None and an input."""


class LiveTurn:
    """What one turn made the host want."""

    __slots__ = ("faults", "outputs", "packets", "records", "size")

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.packets: dict[NodeId, list[bytes]] = {}
        """By recipient."""
        self.outputs: list[Any] = []
        self.faults: list[Fault] = []
        self.size = 0
        """Bytes of the packets, each counted once."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing came of it."""
        return not (self.records or self.packets or self.outputs or self.faults)


class Turns:
    """Takes a host through its turns."""

    def __init__(self, node: NodeId, host: Automaton[Any, Any, Any], wire: Wire, counters: LiveCounters) -> None:
        self._node = node
        self._host = host
        self._wire = wire
        self._counters = counters
        self.due: Instant | None = host.deadline
        """The host's deadline after the last turn."""
        self.event: Any = None
        """What is being handled, for the report when it fails."""

    def turn(self, arrivals: Sequence[Arrival], now: Instant) -> LiveTurn:
        """Handle all that has arrived, and the deadline if it has come (1)."""
        host, counters, turn = self._host, self._counters, LiveTurn()
        for sender, content in arrivals:
            if sender is None:
                counters.inputs += 1
                self.event = content
                self._absorb(host.handle_input(content, now), now, turn)
                continue
            counters.messages += len(content)
            for path, message in content:
                self.event = message
                step = host.handle_message(sender, path, message, now)
                if step is not NOTHING:
                    self._absorb(step, now, turn)
        due = host.deadline
        if due is not None and due <= now:
            counters.timers += 1
            self.event = "the deadline"
            self._absorb(host.handle_timer(now), now, turn)
            due = host.deadline
        self.due = due
        counters.turns += 1
        return turn

    def _absorb(self, step: Step[Any], now: Instant, turn: LiveTurn) -> None:
        """Collect what a step wants, and what the node's messages to itself lead to (2)."""
        own: list[Packet] = []
        self._collect(step, turn, own)
        for path, message in own:  # which grows on the way
            self._counters.own_messages += 1
            self.event = message
            step = self._host.handle_message(self._node, path, message, now)
            if step is not NOTHING:
                self._collect(step, turn, own)

    def _collect(self, step: Step[Any], turn: LiveTurn, own: list[Packet]) -> None:
        """Collect what a step wants (3); its messages to the node itself come behind the others in ``own``."""
        turn.records.extend(step.records)
        turn.outputs.extend(step.outputs)
        turn.faults.extend(step.faults)
        for envelope in step.messages:
            path, message, copies, packet = envelope.path, envelope.message, 0, b""
            for recipient in envelope.recipients:
                if recipient == self._node:
                    own.append((path, message))
                    continue
                packet = packet or self._wire.packet(path, message)
                turn.packets.setdefault(recipient, []).append(packet)
                copies += 1
            if copies:
                turn.size += len(packet)
                kind = self._counters.kinds[type(message)]
                kind[0] += copies
                kind[1] += copies * len(packet)
