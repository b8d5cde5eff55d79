"""What travels in a simulation: the packets of one turn, bundled into frames.

1. Every packet of the turn is encoded once, for all its recipients.
2. Peers that are to have the same packets share one bundle of them; the usual turn has one bundle.
3. A bundle that is too large for a frame is several.
4. Without link headers the recipients of a bundle share one frame as well.

Where bundling is switched off each packet has a bundle of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ledger.kernel.automaton import NodeId
from node.link import LinkHeader
from node.wire import PACKETS_SIZE_MAX, Packet, Wire, cut, frame_size

if TYPE_CHECKING:
    from node.simulated.machine import Machine

ROUTES_MAX = 4096
"""Sets of recipients remembered per machine: gossip to changing neighbours must not fill the memory."""


class Bundle:
    """What goes to some peers together: packets, their bytes, their size as a frame without header."""

    __slots__ = ("encoded", "packets", "size")

    def __init__(self, packets: tuple[Packet, ...], encoded: tuple[bytes, ...]) -> None:
        self.packets = packets
        self.encoded = encoded
        self.size = frame_size(None, encoded)


class SimulatedFrame:
    """A frame under way; recipients share it when it carries no link header."""

    __slots__ = ("bundle", "header", "packets", "sample", "sender", "size")

    def __init__(self, sender: NodeId, bundle: Bundle, header: LinkHeader | None, sample: bool) -> None:
        self.sender = sender
        self.bundle = bundle
        self.packets = bundle.packets
        self.header = header
        self.size = bundle.size if header is None else frame_size(header, bundle.encoded)
        self.sample = sample


EMPTY_BUNDLE = Bundle((), ())


class Route:
    """The recipients of an envelope, as seen from one machine."""

    __slots__ = ("includes_self", "machines", "places")

    def __init__(self, machines: tuple[Machine, ...], includes_self: bool) -> None:
        self.machines = machines
        self.places = tuple(machine.place for machine in machines)
        self.includes_self = includes_self


class Routes(dict[tuple[NodeId, ...], Route]):
    """The routes that one machine has used, by recipients."""

    def __init__(self, me: NodeId, machines: Mapping[NodeId, Machine]) -> None:
        super().__init__()
        self._me = me
        self._machines = machines

    def __missing__(self, recipients: tuple[NodeId, ...]) -> Route:
        if len(self) >= ROUTES_MAX:
            self.clear()
        others = tuple(self._machines[node] for node in recipients if node != self._me)
        route = self[recipients] = Route(others, self._me in recipients)
        return route


def bundled(
    routes: Sequence[Route], packets: Sequence[Packet], wire: Wire, bundling: bool = True
) -> tuple[list[tuple[Sequence[Machine], Sequence[int], Bundle]], int]:
    """Who gets what, in the order of the first packet for each, and how many bytes were encoded (1-3).

    Each packet goes the way of the route at its place.
    """
    encoded = tuple([wire.packet(path, message) for path, message in packets])
    size, usual = sum(map(len, encoded)), routes[0]
    if size <= PACKETS_SIZE_MAX and (len(routes) == 1 or (bundling and routes.count(usual) == len(routes))):
        return [(usual.machines, usual.places, Bundle(tuple(packets), encoded))], size
    bundles: list[tuple[Sequence[Machine], Sequence[int], Bundle]] = []
    for indices, peers in _groups(routes, bundling).items():
        places = [peer.place for peer in peers]
        for part in _parts(indices, encoded):
            contents = tuple([packets[index] for index in part])
            bundles.append((peers, places, Bundle(contents, tuple([encoded[index] for index in part]))))
    return bundles, size


def _groups(routes: Sequence[Route], bundling: bool) -> Mapping[tuple[int, ...], Sequence[Machine]]:
    """The indices of packets that go together, and to whom."""
    if not bundling:
        return {(index,): route.machines for index, route in enumerate(routes)}
    chosen: dict[Machine, list[int]] = {}
    for index, route in enumerate(routes):
        for peer in route.machines:
            chosen.setdefault(peer, []).append(index)
    groups: dict[tuple[int, ...], list[Machine]] = {}
    for peer, wanted in chosen.items():
        groups.setdefault(tuple(wanted), []).append(peer)
    return groups


def _parts(indices: tuple[int, ...], encoded: Sequence[bytes]) -> list[tuple[int, ...]]:
    """The indices of the packets of one frame, or of several when they are too many bytes for one."""
    return [indices[part] for part in cut([len(encoded[index]) for index in indices])]
