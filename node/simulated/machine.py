"""One simulated machine: a host's automaton with what surrounds it: inbox, CPU, disk, links, clock.

A *turn* is the handling of all that waits in the inbox, in one go, at one reading of the clock:

1. Frames are opened: the link drops what came before, the codec decodes (all frames, or a sample). The host is told of a
   peer that may have missed what was sent to it, before it handles the peer's messages.
2. Every message, input, and then the deadline if it has come, is an event for the automaton.
3. The step's messages to the machine itself are handled at once, before the next event, in order.
4. What the steps of the turn want is collected: records, packets for peers, outputs, faults.

The runtime decides when a turn begins and what becomes of the turn's results.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from ledger.kernel.automaton import NOTHING, SILENT, Automaton, Fault, NodeId, PeerReconnected, Record, Step
from ledger.kernel.encoding import Value
from ledger.kernel.instant import Instant, earliest
from ledger.kernel.rejection import Rejected
from ledger.kernel.rng import stream
from node.hardware import Operation
from node.hosting import Boot, HostFactory
from node.link import Link, LinkParameters
from node.simulated.clock import SkewedClock
from node.simulated.cpu import CpuMeter
from node.simulated.disk import SimulatedDisk
from node.simulated.frames import Bundle, Route, Routes, SimulatedFrame
from node.wire import Packet, Wire

CodecUse: TypeAlias = Literal["all", "sample"]


class GivenInput:
    """An input for the host, of its owner or in answer to a need."""

    __slots__ = ("incarnation", "input", "operations")

    def __init__(self, input: Any, incarnation: int | None, operations: Sequence[tuple[Operation, int]] = ()) -> None:
        self.input = input
        self.incarnation = incarnation
        self.operations = operations


WAKE = object()
"""An item that only makes a machine look at its deadline and its inbox."""
TRUE_CLOCK = SkewedClock()
"""The clock of a machine that is told of no other: it shows the virtual time."""


class Turn:
    """What one turn of a machine made its host want."""

    __slots__ = ("faults", "outputs", "packets", "records", "routes")

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.packets: list[Packet] = []
        self.routes: list[Route] = []
        """Where each packet goes."""
        self.outputs: list[Any] = []
        self.faults: list[Fault] = []


class Counters:
    """What happened in a run."""

    __slots__ = ("bytes", "delivered", "duplicates", "faults", "frames", "inputs", "kinds", "lost_inputs", "messages",
                 "outputs", "own_messages", "records", "resent", "timers", "turns")  # fmt: skip

    def __init__(self) -> None:
        self.messages = 0
        """Copies received from another node, whatever frame they came in."""
        self.own_messages = 0
        self.inputs = 0
        self.lost_inputs = 0
        """Inputs for a host that was down."""
        self.timers = 0
        self.turns = 0
        self.frames = 0
        """Copies of frames sent."""
        self.bytes = 0
        """Of these."""
        self.delivered = 0
        """Copies of frames handled."""
        self.duplicates = 0
        """Frames that a link recognised as already received."""
        self.resent = 0
        self.records = 0
        self.outputs = 0
        self.faults = 0
        self.kinds: defaultdict[type[Value], list[int]] = defaultdict(lambda: [0, 0])
        """By type of message: copies sent to other nodes, and their bytes without frames."""

    def note_sent(self, bundle: Bundle, copies: int) -> None:
        """Copies of the messages of a bundle were sent."""
        kinds = self.kinds
        for (_, message), size in zip(bundle.packets, map(len, bundle.encoded)):  # noqa: B905 # twice as slow when strict
            kind = kinds[type(message)]
            kind[0] += copies
            kind[1] += copies * size

    def as_dict(self) -> dict[str, int]:
        """All counters by name, without those by kind."""
        names = [name for name in self.__slots__ if name != "kinds"]
        return {"events": self.events, **{name: getattr(self, name) for name in names}}

    @property
    def events(self) -> int:
        """Messages, inputs and timers handled."""
        return self.messages + self.own_messages + self.inputs + self.timers


class HostFailed(Exception):
    """A host raised: an error of this program. The run can be seen again from its configuration and seed."""

    def __init__(
        self, node: NodeId, incarnation: int, now: Instant, event: Any, seed: bytes | int, events: int
    ) -> None:
        super().__init__(node, incarnation, now, event, seed, events)
        self.node = node
        self.incarnation = incarnation
        self.now = now
        self.event = event
        self.seed = seed
        self.events = events

    def __str__(self) -> str:
        return (
            f"{self.node} (incarnation {self.incarnation}) failed at {self.now} us while it handled "
            f"{repr(self.event)[:500]}; to see it again: seed {self.seed!r}, after {self.events} events"
        )


class Machine:
    """A node's machine; its host is None while it is down."""

    def __init__(
        self,
        node: NodeId,
        place: int,
        factory: HostFactory,
        meter: CpuMeter,
        disk: SimulatedDisk,
        machines: Mapping[NodeId, Machine],
        wire: Wire,
        link: LinkParameters | None,
        counters: Counters,
        seed: bytes | int,
    ) -> None:
        self.node = node
        self.place = place
        self.mark = place << 32
        """Its place, in a number that leaves room for how much it handles in a turn: for the transcript."""
        self.factory = factory
        self.meter = meter
        self.metered = meter.runs
        self.disk = disk
        self.clock = TRUE_CLOCK
        self.host: Automaton[Any, Any, Any] | None = None
        self.incarnation = 0
        self.inbox: list[Any] = []
        self.timed = False
        """Whether the host has deadlines at all: one that has none is not asked."""
        self.due: Instant | None = None
        """The host's deadline after the last turn, by the node's own clock."""
        self.scheduled: Instant | None = None
        """The deadline for which the machine was last told to wake."""
        self._wire = wire
        self._link = link
        self._counters = counters
        self._blank = Turn()
        self.free_at: Instant = 0
        """When the next turn may begin: the CPU is free and the machine is not paused. Of no meaning while it is down."""
        self.mining_until: Instant = 0
        self.wakes_at: Instant | None = None
        self.links: dict[NodeId, Link[Bundle]] = {}
        self.routes = Routes(node, machines)
        self.expects_nonsense = False
        """Whether some host is made to send what can't be decoded; else that is an error of this program."""
        self.event: Any = None
        """What is being handled, for the report when it fails."""
        self.effect_stream = stream(seed, "effect", node)
        self.crash_stream = stream(seed, "crash", node)

    def boot(self, now: Instant) -> None:
        """Build the host from what is on the disk."""
        self.incarnation += 1
        self.host = self.factory(Boot(self.disk.records, self.clock.local(now), self.incarnation, self.meter))
        self.timed = type(self.host).deadline is not Automaton.deadline
        self.due = self.host.deadline
        self.free_at = now + self.meter.settle()

    def turn(self, now: Instant) -> Turn | None:
        """Handle all that waits, and the deadline if it has come; None when nothing came of it."""
        host, turn, link, counters = self.host, self._blank, self._link, self._counters
        assert host is not None
        inbox, self.inbox = self.inbox, []
        local = now if self.clock is TRUE_CLOCK else self.clock.local(now)
        handle_message = host.handle_message
        others = messages = 0
        quiet, sampled = link is None, False
        for item in inbox:
            if item.__class__ is SimulatedFrame:
                if link is not None and not self._fresh(item, link, now, turn):
                    continue
                packets = item.packets
                if item.sample:
                    sampled = True
                    packets = self._decoded(item, turn)
                if self.metered:
                    self.meter.charge_frame(item.size, packets)
                messages += len(packets)
                for path, message in packets:
                    self.event = message
                    step = handle_message(item.sender, path, message, local)
                    if step is not NOTHING:
                        quiet = False
                        if step is not SILENT:
                            self._absorb(step, local, turn)
                continue
            others += 1
            if item is not WAKE and item.incarnation in (None, self.incarnation):
                quiet = False
                counters.inputs += 1
                for operation, amount in item.operations:
                    self.meter.charge(operation, amount)
                self.event = item.input
                self._absorb(host.handle_input(item.input, local), local, turn)
        if self.timed:
            due = self.due if quiet else host.deadline
            assert not sampled or due == host.deadline, "a deadline has changed, and it is said that nothing has"
            if due is not None and due <= local:
                quiet = False
                counters.timers += 1
                self.event = "the deadline"
                self._absorb(host.handle_timer(local), local, turn)
                due = host.deadline
            self.due = due
        counters.delivered += len(inbox) - others
        counters.messages += messages
        counters.turns += 1
        if not (turn.faults or (not quiet and (turn.packets or turn.outputs or turn.records))):
            return None
        self._blank = Turn()
        return turn

    def deadline(self) -> Instant | None:
        """The instant of virtual time at which this machine must act without being told to."""
        due = None if self.due is None else self.clock.when(self.due)
        if not self.links:
            return due
        return earliest(due, *[link.deadline for link in self.links.values()])

    def _absorb(self, step: Step[Any], local: Instant, turn: Turn) -> None:
        """Collect what a step wants, and what the machine's messages to itself lead to (3)."""
        handle_message, node = self.host.handle_message, self.node  # type: ignore[union-attr]
        own: list[Packet] = []
        self._collect(step, turn, own)
        for path, message in own:  # which grows on the way
            self._counters.own_messages += 1
            if self.metered:
                self.meter.charge_own_message(message)
            self.event = message
            step = handle_message(node, path, message, local)
            if step is not NOTHING:
                self._collect(step, turn, own)

    def _collect(self, step: Step[Any], turn: Turn, own: list[Packet]) -> None:
        """Collect what a step wants; its messages to the machine itself come behind the others in ``own``."""
        if step.records:
            turn.records.extend(step.records)
        if step.outputs:
            turn.outputs.extend(step.outputs)
        if step.faults:
            turn.faults.extend(step.faults)
        for envelope in step.messages:
            route, packet = self.routes[envelope.recipients], (envelope.path, envelope.message)
            if route.machines:
                turn.routes.append(route)
                turn.packets.append(packet)
            if route.includes_self:
                own.append(packet)

    def _decoded(self, frame: SimulatedFrame, turn: Turn) -> tuple[Packet, ...]:
        """The packets of a frame from its bytes; none, and a fault, when they are not those of any frame."""
        self.event = frame.bundle.packets
        try:
            packets = self._wire.decode(self._wire.frame(frame.header, frame.bundle.encoded))[1]
        except Rejected as rejected:
            if not self.expects_nonsense:
                raise
            turn.faults.append(Fault(frame.sender, "undecodable_frame", (), rejected.detail))
            return ()
        assert packets == frame.bundle.packets, "a message is not what its encoding says"
        return packets

    def _fresh(self, frame: SimulatedFrame, parameters: LinkParameters, now: Instant, turn: Turn) -> bool:
        """Whether a frame brings packets that have not come before (1)."""
        assert frame.header is not None and self.host is not None
        link = self.link_to(frame.sender, parameters)
        fresh = link.receive(frame.header, now)
        if link.reconnected:
            local = self.clock.local(now)
            self.event = PeerReconnected(frame.sender)
            self._absorb(self.host.handle_input(self.event, local), local, turn)
        if fresh:
            return True
        self.meter.charge("frame")
        if frame.header.sequence:
            self._counters.duplicates += 1
        return False

    def link_to(self, peer: NodeId, parameters: LinkParameters) -> Link[Bundle]:
        """The link of this incarnation to the peer."""
        link = self.links.get(peer)
        if link is None:
            link = self.links[peer] = Link(self.incarnation, parameters)
        return link
