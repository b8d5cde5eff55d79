"""Set-up of simulated runs of toy hosts, and what every run of the runtime must satisfy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ledger.kernel.automaton import NodeId
from node.hardware import OPERATIONS, HardwareProfile
from node.hosting import Boot
from node.simulated.network import NetworkParameters, constant_network
from node.simulated.runtime import SimulatedRuntime
from node.wire import Wire
from tests.harness.toys import Log, Talker, ToyMessage, names

D = 25_000
TOY_WIRE = Wire(ToyMessage)
FOREVER = 10**12


def toy_profile(**costs: int) -> HardwareProfile:
    """A machine on which only the named operations cost, in picoseconds."""
    return HardwareProfile("toy", {operation: costs.get(operation, 0) for operation in OPERATIONS}, 1, 1, 1, 1, {})


def talker(me: NodeId, boot: Boot) -> Talker:
    return Talker(me, boot.records)


def simulate(
    n: int,
    host: Callable[[NodeId, Boot], Any] = talker,
    network: NetworkParameters | None = None,
    seed: int = 1,
    **parameters: Any,
) -> tuple[SimulatedRuntime, Log]:
    """A runtime with n toy hosts, and the observer that logs what they put out."""

    def factory(me: NodeId) -> Callable[[Boot], Any]:
        return lambda boot: host(me, boot)

    log = Log()
    hosts = {me: factory(me) for me in names(n)}
    runtime = SimulatedRuntime(seed, hosts, network or constant_network(D), TOY_WIRE, observer=log, **parameters)
    return runtime, log


def assert_frames_add_up(runtime: SimulatedRuntime) -> None:
    """What was sent, or doubled on its way, was handled, or dropped for a reason, or is under way."""
    network = runtime.network
    came_out = runtime.counters.delivered + sum(network.dropped.values()) + runtime.frames_under_way()
    assert network.sent + network.duplicated == came_out
    assert network.sent == runtime.counters.frames
