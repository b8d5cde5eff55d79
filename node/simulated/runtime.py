"""The simulated runtime: runs hosts in virtual time, deterministically.

One seed is one run, byte for byte: every draw comes from a named stream, everything that happens has its place in an order
that depends on nothing else, and a running digest (the *transcript*) of what every machine handled and sent says so.

What happens to a machine:

1. All that arrives for it at an instant, or waits because its CPU was busy or it was paused, is handled in one *turn*.
2. The packets of the turn are bundled into one frame per peer; what equals for several peers is shared by them.
3. The turn costs CPU time by the machine's profile: opening the frames, what the meter was charged, encoding each packet
   once, sending a frame to each peer. At the end of that time its results leave, and the next turn may begin.
4. Records go to the disk first. Packets and outputs of the turn are released when they are durable, turns in order.
5. On release the observer sees outputs and faults, needs with an effect handler are started, frames leave.
6. The deadline is read after each turn; the timer is handled at the first instant at which the node's own clock shows it,
   after what arrived at that instant.

A host that raises stops the run with ``HostFailed``, which says where to look and how to see it again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from hashlib import blake2b
from struct import pack
from typing import Any, TypeAlias

from ledger.kernel.automaton import NodeId
from ledger.kernel.instant import Duration, Instant
from node.hardware import HardwareProfile
from node.hosting import HostFactory, Observer
from node.link import LinkHeader, LinkParameters
from node.simulated.clock import Arrivals, SkewedClock, VirtualClock
from node.simulated.cpu import CpuMeter
from node.simulated.disk import DiskLoss, DiskParameters, SimulatedDisk
from node.simulated.effects import Effects
from node.simulated.faults import ScheduledFault, fault_process, loses_frames
from node.simulated.frames import EMPTY_BUNDLE, Bundle, SimulatedFrame, bundled
from node.simulated.machine import (
    WAKE,
    CodecUse,
    Counters,
    GivenInput,
    HostFailed,
    Machine,
    Turn,
)
from node.simulated.network import Network, NetworkParameters
from node.wire import Wire

SAMPLE_EVERY = 256
"""With ``codec="sample"`` every frame with this stride is encoded and decoded: under a per cent of the time."""
ROUNDS_PER_INSTANT_MAX = 10_000
"""When so much follows upon each other without time passing, some host is in a loop."""
ORDER_KEPT_MAX = 4096
"""Entries of the order of events that are digested together: singly, digesting would cost as much as handling."""


Bundles: TypeAlias = Sequence[tuple[Sequence[Machine], Sequence[int], Bundle]]
"""Peers, their places, and what goes to each of them."""


class SimulatedRuntime:
    """Runs one automaton per node."""

    def __init__(
        self,
        seed: bytes | int,
        hosts: Mapping[NodeId, HostFactory],
        network: NetworkParameters,
        wire: Wire,
        *,
        hardware: HardwareProfile | Mapping[NodeId, HardwareProfile] | None = None,
        disk: DiskParameters | Mapping[NodeId, DiskParameters] | None = None,
        effects: Effects | None = None,
        observer: Observer | None = None,
        faults: Sequence[ScheduledFault] = (),
        skews: Mapping[NodeId, SkewedClock] | None = None,
        link: LinkParameters | None = None,
        codec: CodecUse = "all",
        start: Instant = 0,
        expects_nonsense: bool = False,
    ) -> None:
        """Build the machines and boot their hosts at ``start``.

        ``hardware`` none: the CPU takes no time. ``disk`` none: what is written is durable at once. ``link`` none: links are
        reliable only where frames can't get lost; with a lossy network or such faults the usual parameters are taken.
        """
        self.clock = VirtualClock(start, self._handle_arrivals)
        self.network = Network(tuple(hosts), network, self.clock, seed)
        self.counters = Counters()
        self._seed = seed
        self._wire = wire
        self._bundling = network.bundling
        self._effects: Effects = effects or {}
        self._observer = observer
        self._sample_every = 1 if codec == "all" else SAMPLE_EVERY
        self._frames_made = 0
        lossy = network.loses_frames or loses_frames(faults)
        self._link = link or (LinkParameters() if lossy else None)
        self._transcript = blake2b(digest_size=32)
        self._instant, self._rounds_at_instant = start, 0
        self._order: list[int] = []
        self.machines: dict[NodeId, Machine] = {}
        for place, (node, factory) in enumerate(hosts.items()):
            profile = hardware.get(node) if isinstance(hardware, Mapping) else hardware
            storage = disk.get(node) if isinstance(disk, Mapping) else disk
            simulated_disk = SimulatedDisk(storage or DiskParameters(), self.clock)
            cpu = CpuMeter(profile)
            machine = Machine(
                node, place, factory, cpu, simulated_disk, self.machines, wire, self._link, self.counters, seed
            )
            machine.clock = (skews or {}).get(node, machine.clock)
            machine.expects_nonsense = expects_nonsense
            self.machines[node] = machine
        for machine in self.machines.values():
            self._boot(machine)
        if faults:
            self.clock.process(fault_process(self.clock, faults, self))  # type: ignore[arg-type]

    @property
    def now(self) -> Instant:
        """The present instant of virtual time."""
        return self.clock.now

    @property
    def transcript(self) -> bytes:
        """The digest of all that the machines handled and sent so far, in order."""
        so_far = self._transcript.copy()
        so_far.update(self._packed_order())
        return so_far.digest()

    def host(self, node: NodeId) -> Any:
        """The automaton that runs at this node; None while the node is down."""
        return self.machines[node].host

    def run_until(self, instant: Instant) -> None:
        """Run everything up to this instant, what happens at it included."""
        self.clock.run_through(instant)

    def run_until_idle(self, limit: Instant) -> bool:
        """Run until nothing is going to happen any more, at most through the instant ``limit``; whether it is idle."""
        return self.clock.run_events(limit)

    def frames_under_way(self) -> int:
        """Copies of frames that were sent and neither handled nor dropped, counted one by one."""
        waiting = sum(type(item) is SimulatedFrame for machine in self.machines.values() for item in machine.inbox)
        return self.network.under_way(SimulatedFrame) + waiting

    def inject(self, node: NodeId, input: Any, at: Instant | None = None) -> None:
        """Give a host an input, at an instant or now; it is lost when the host is down then."""
        self.clock.arrive(self.machines[node], GivenInput(input, None), self.clock.now if at is None else at)

    def crash(self, node: NodeId, loss: DiskLoss = "unsynced") -> None:
        """The node stops; what is not durable is lost, and of the disk what the kind of loss says."""
        machine = self.machines[node]
        machine.disk.crash(loss, machine.crash_stream)
        machine.host = None
        machine.links = {}
        machine.wakes_at = None
        machine.mining_until = self.now
        machine.meter.settle()
        self._discard(machine)

    def restart(self, node: NodeId) -> None:
        """The node boots from what is on its disk, if it is down."""
        if self.machines[node].host is None:
            self._boot(self.machines[node])

    def pause(self, node: NodeId, duration: Duration) -> None:
        """The node handles nothing for so long."""
        machine = self.machines[node]
        machine.free_at = max(machine.free_at, self.now + duration)
        self._wake(machine, machine.free_at)

    def skew(self, node: NodeId, clock: SkewedClock) -> None:
        """The node's clock is this one from now on."""
        machine = self.machines[node]
        machine.clock = clock
        self._wake(machine, self.now)

    def slow(self, node: NodeId, per_cent: int) -> None:
        """The node's CPU takes this many per cent of its profile's time from now on."""
        self.machines[node].meter.slowness = per_cent

    def _boot(self, machine: Machine) -> None:
        try:
            machine.event = "the boot"
            machine.boot(self.now)
            self._schedule(machine)
        except Exception as error:
            raise self._failed(machine) from error

    def _failed(self, machine: Machine) -> HostFailed:
        events = self.counters.events
        return HostFailed(machine.node, machine.incarnation, self.now, machine.event, self._seed, events)

    def _discard(self, machine: Machine) -> None:
        """What arrives at a machine that is down is lost."""
        for item in machine.inbox:
            if type(item) is SimulatedFrame:
                self.network.dropped["down"] += 1
            elif type(item) is GivenInput:
                self.counters.lost_inputs += 1
        machine.inbox = []

    def _handle_arrivals(self, now: Instant, arrivals: Arrivals) -> None:
        """Everything of one instant (1)."""
        touched: list[Machine] = []
        alternating = iter(arrivals)
        for receiver, item in zip(alternating, alternating):  # noqa: B905 # as ``pairs`` does, but for one call
            if receiver is None:
                item()
            else:
                inbox = receiver.inbox
                if not inbox or item is WAKE:
                    touched.append(receiver)
                inbox.append(item)
        if now == self._instant:
            self._rounds_at_instant += 1
            assert self._rounds_at_instant < ROUNDS_PER_INSTANT_MAX, f"time stands still at {now}: {touched[0].node}"
        else:
            self._instant = now
            self._rounds_at_instant = 0
        order = self._order
        order.append(now)
        for machine in touched:
            if machine.host is None:
                self._discard(machine)
            elif machine.free_at > now:
                self._wake(machine, machine.free_at)
            elif waiting := len(machine.inbox):  # nothing waits when it was touched twice
                order.append(machine.mark | waiting)
                try:
                    turn = machine.turn(now)
                except Exception as error:
                    raise self._failed(machine) from error
                if turn is not None or machine.metered or machine.links:
                    self._conclude(machine, turn, now)
                due, wakes_at = machine.due, machine.wakes_at
                if machine.links or (
                    due is not None and (due != machine.scheduled or wakes_at is None or wakes_at <= now)
                ):
                    self._schedule(machine)
        if len(order) > ORDER_KEPT_MAX:
            self._transcript.update(self._packed_order())
            order.clear()

    def _packed_order(self) -> bytes:
        return pack(f"<{len(self._order)}q", *self._order)

    def _conclude(self, machine: Machine, turn: Turn | None, now: Instant) -> None:
        """Lines 2 to 4: what becomes of a turn, and what it costs."""
        bundles: Bundles = ()
        if turn is not None and turn.packets:
            try:
                bundles = self._bundles(machine, turn)
            except Exception as error:
                raise self._failed(machine) from error
        if machine.links:
            self._service_links(machine, now)
        duration = machine.meter.settle() if machine.metered else 0
        if duration:
            machine.free_at = now + duration
            if turn is not None:
                self.clock.call_at(now + duration, partial(self._finish, machine, machine.incarnation, turn, bundles))
        elif turn is not None:
            self._finish(machine, machine.incarnation, turn, bundles)

    def _bundles(self, machine: Machine, turn: Turn) -> Bundles:
        """Line 2; encoding and sending are charged."""
        bundles, size = bundled(turn.routes, turn.packets, self._wire, self._bundling)
        for peers, _, bundle in bundles:
            self.counters.note_sent(bundle, len(peers))
        if machine.metered:
            machine.meter.charge("packet", len(turn.packets))
            machine.meter.charge("encode", size)
            machine.meter.charge("frame", sum(len(peers) for peers, _, _ in bundles))
        return bundles

    def _finish(self, machine: Machine, incarnation: int, turn: Turn, bundles: Bundles) -> None:
        """The turn's CPU time is over: records to the disk, the rest when they are durable (4)."""
        if machine.host is None or machine.incarnation != incarnation:
            return
        if turn.records or machine.disk.busy:
            self.counters.records += len(turn.records)
            machine.disk.commit(turn.records, partial(self._release, machine, turn, bundles))
        else:
            self._release(machine, turn, bundles)

    def _release(self, machine: Machine, turn: Turn, bundles: Bundles) -> None:
        """Line 5."""
        if turn.outputs or turn.faults:
            self.counters.outputs += len(turn.outputs)
            self.counters.faults += len(turn.faults)
            for output in turn.outputs:
                if type(output) in self._effects:
                    self._start_effect(machine, output)
            if self._observer is not None:
                self._observer.observe(self.clock.now, machine.node, turn.outputs, turn.faults)
        for peers, places, bundle in bundles:
            self._transcript.update(b"".join(bundle.encoded))
            if self._link is None:
                self._send(machine, peers, places, bundle, None)
            else:
                for peer in peers:
                    header = machine.link_to(peer.node, self._link).send(bundle, self.clock.now)
                    self._send(machine, (peer,), (peer.place,), bundle, header)
        if self._link is not None and bundles:
            self._schedule(machine)

    def _send(
        self,
        machine: Machine,
        peers: Sequence[Machine],
        places: Sequence[int],
        bundle: Bundle,
        header: LinkHeader | None,
    ) -> None:
        self._frames_made += 1
        frame = SimulatedFrame(machine.node, bundle, header, self._frames_made % self._sample_every == 0)
        self.counters.frames += len(peers)
        self.counters.bytes += frame.size * len(peers)
        self.network.send(machine.place, peers, places, frame, frame.size)

    def _service_links(self, machine: Machine, now: Instant) -> None:
        """Send again what was not acknowledged in time, and acknowledgements that found no frame to ride on."""
        for node, link in machine.links.items():
            due = link.deadline
            if due is None or due > now:
                continue
            peer = self.machines[node]
            resent = link.resent
            for header, bundle in link.handle_timer(now):
                machine.meter.charge("frame")
                self._send(machine, (peer,), (peer.place,), bundle or EMPTY_BUNDLE, header)
            self.counters.resent += link.resent - resent

    def _start_effect(self, machine: Machine, need: Any) -> None:
        effect = self._effects[type(need)](machine.node, need, machine.effect_stream)
        if effect is None:
            return
        begins = self.now
        if effect.mines:
            begins = max(begins, machine.mining_until)
            machine.mining_until = begins + effect.duration
        answer = GivenInput(effect.answer, machine.incarnation, effect.operations)
        self.clock.arrive(machine, answer, begins + effect.duration)

    def _schedule(self, machine: Machine) -> None:
        """Line 6."""
        machine.scheduled = machine.due
        deadline = machine.deadline()
        if deadline is not None:
            self._wake(machine, max(deadline, machine.free_at, self.clock.now))

    def _wake(self, machine: Machine, at: Instant) -> None:
        if machine.wakes_at is None or at < machine.wakes_at or machine.wakes_at <= self.clock.now:
            machine.wakes_at = at
            self.clock.arrive(machine, WAKE, at)
