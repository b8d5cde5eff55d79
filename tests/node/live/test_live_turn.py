from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ledger.kernel.automaton import NOTHING, Automaton, Envelope, Fault, NodeId, Path, Record, Step
from ledger.kernel.instant import Instant
from node.live.counters import LiveCounters
from node.live.turn import LiveTurn, Turns
from node.simulated.clock import VirtualClock
from node.simulated.cpu import CpuMeter
from node.simulated.disk import DiskParameters, SimulatedDisk
from node.simulated.frames import Bundle, SimulatedFrame
from node.simulated.machine import Counters, GivenInput, Machine, Turn
from tests.harness.simulation import TOY_WIRE
from tests.harness.toys import PATH, Heard, ToyPing, names

NODES = names(4)
ME = NODES[0]
EVENTS_MAX = 6


class Scripted(Automaton[Any, Any, Any]):
    """Event k, as an input or a message, makes it do what stands at place k of its script; so does each deadline."""

    def __init__(self, script: list[Step[Any]], deadlines: list[tuple[Instant, int]]) -> None:
        self._script = script
        self._deadlines = list(deadlines)

    def handle_input(self, input: Any, now: Instant) -> Step[Any]:
        return self._step(input, ("input", input), now)

    def handle_message(self, sender: NodeId, path: Path, message: Any, now: Instant) -> Step[Any]:
        return self._step(message.number, (sender, path, message.number), now)

    def handle_timer(self, now: Instant) -> Step[Any]:
        due, place = self._deadlines.pop(0)
        return self._step(place, ("timer", due), now)

    @property
    def deadline(self) -> Instant | None:
        return self._deadlines[0][0] if self._deadlines else None

    def _step(self, place: int, event: Any, now: Instant) -> Step[Any]:
        step = self._script[place]
        if step is NOTHING:
            return NOTHING
        return Step(step.records, step.messages, (*step.outputs, Heard(ME, event, now)), step.faults)


@st.composite
def scripts(draw: st.DrawFn) -> list[Step[Any]]:
    """What a step sends to its own node leads to places further down, so it ends."""
    script: list[Step[Any]] = []
    for place in range(EVENTS_MAX):
        if draw(st.booleans()):
            script.append(NOTHING)
            continue
        later = st.integers(place + 1, EVENTS_MAX)
        recipients = st.lists(st.sampled_from(NODES), min_size=1, max_size=4, unique=True).map(tuple)
        envelopes = st.builds(lambda to, number: Envelope(to, (*PATH, number), ToyPing(number)), recipients, later)
        records = [Record(PATH, ToyPing(place))] * draw(st.integers(0, 2))
        faults = [Fault(NODES[1], "odd", (), str(place))] * draw(st.integers(0, 1))
        script.append(Step(records, draw(st.lists(envelopes, max_size=3)), (f"output {place}",), faults))
    return [*script, NOTHING]


places = st.integers(0, EVENTS_MAX)
frames = st.tuples(st.sampled_from(NODES[1:]), st.lists(places, max_size=3))
arrivals = st.lists(st.one_of(st.tuples(st.none(), places), frames), max_size=5)


def live_turn(host: Scripted, arrived: list[Any], now: Instant) -> tuple[LiveTurn, LiveCounters]:
    counters = LiveCounters()
    turns = Turns(ME, host, TOY_WIRE, counters)
    inbox = [(sender, content if sender is None else packets(content)) for sender, content in arrived]
    return turns.turn(inbox, now), counters


def simulated_turn(host: Scripted, arrived: list[Any], now: Instant) -> tuple[Turn, Counters]:
    counters = Counters()
    machines: dict[NodeId, Machine] = {}
    disk = SimulatedDisk(DiskParameters(), VirtualClock(0, lambda now, arrivals: None))
    for place, node in enumerate(NODES):
        machines[node] = Machine(
            node, place, lambda boot: host, CpuMeter(None), disk, machines, TOY_WIRE, None, counters, 1
        )
    machine = machines[ME]
    machine.boot(0)
    for sender, content in arrived:
        if sender is None:
            machine.inbox.append(GivenInput(content, None))
        else:
            bundle = Bundle(packets(content), tuple(TOY_WIRE.packet(*packet) for packet in packets(content)))
            machine.inbox.append(SimulatedFrame(sender, bundle, None, True))
    return machine.turn(now) or Turn(), counters


def packets(numbers: list[int]) -> tuple[tuple[Path, ToyPing], ...]:
    return tuple((PATH, ToyPing(number)) for number in numbers)


@given(
    script=scripts(),
    arrived=arrivals,
    deadlines=st.lists(st.tuples(st.integers(90, 110), places), max_size=2).map(sorted),
)
def test_a_live_turn_is_a_simulated_turn(
    script: list[Step[Any]], arrived: list[Any], deadlines: list[tuple[Instant, int]]
):
    live, live_counters = live_turn(Scripted(script, deadlines), arrived, 100)
    simulated, counters = simulated_turn(Scripted(script, deadlines), arrived, 100)
    wanted: dict[NodeId, list[bytes]] = {}
    for route, packet in zip(simulated.routes, simulated.packets, strict=True):
        for machine in route.machines:
            wanted.setdefault(machine.node, []).append(TOY_WIRE.packet(*packet))
    assert (live.records, live.outputs, live.faults) == (simulated.records, simulated.outputs, simulated.faults)
    assert list(live.packets.items()) == list(wanted.items())
    assert live.size == sum(len(TOY_WIRE.packet(*packet)) for packet in simulated.packets)
    for name in ("turns", "messages", "own_messages", "inputs", "timers"):
        assert getattr(live_counters, name) == getattr(counters, name)
