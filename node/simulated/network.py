"""The simulated network: delay, jitter, loss, duplication, bandwidth and partitions of the links between hosts.

The way of a frame to each of its recipients:

1. With a bandwidth, the sender's network card sends one copy after another: a copy leaves when the card has sent all before
   it, and its own ``8 * (size + overhead) / bandwidth`` seconds have passed. The card's time is kept as a whole number of
   bits and microseconds together (time x bandwidth), so that nothing is rounded but the instant of leaving.
2. A copy on a link that is cut by a partition is dropped, as is one that the link's loss takes.
3. It arrives after the delay that the model draws plus the link's extra delay; with ``ordered`` not before an earlier one.
4. With the link's duplication it arrives once more, after a delay of its own.

Conservation: sent + duplicated = handled + dropped (by reason) + under way, in copies of frames, at any time.
What is not modelled: the recipient's card, queues within the network, packets below the size of a frame.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ledger.kernel.automaton import NodeId
from ledger.kernel.encoding import Frozen
from ledger.kernel.instant import MILLISECOND, SECOND, Duration, Instant
from ledger.kernel.rng import stream
from node.simulated.clock import VirtualClock
from node.simulated.delays import ConstantDelay, DelayModel

FRAME_OVERHEAD = 96
"""Bytes around a frame on the cable: Ethernet 24 with preamble and gap, IPv4 20, TCP 32 with timestamps, encryption 20."""
GRID: Duration = MILLISECOND // 10


class LinkQuality(Frozen):
    """What a link does to frames besides delaying them."""

    loss: float = 0.0
    """The probability that a copy is lost."""
    duplication: float = 0.0
    """The probability that a copy comes twice."""
    extra_delay: Duration = 0


PERFECT = LinkQuality()


class NetworkParameters(Frozen):
    """A network."""

    delay: DelayModel
    loss: float = 0.0
    duplication: float = 0.0
    bandwidth: int | None = None
    """Bits per second of every node's network card; none: no limit."""
    bandwidths: Mapping[NodeId, int] = {}
    """Of single nodes."""
    grid: Duration = GRID
    ordered: bool = False
    """Whether copies on one link arrive in the order in which they left."""
    overhead: int = FRAME_OVERHEAD
    bundling: bool = True
    """Whether what a host sends to another at one moment shares a frame; if not, each message has its own."""

    @property
    def loses_frames(self) -> bool:
        """Whether frames can get lost or doubled, so that hosts need reliable links."""
        return bool(self.loss or self.duplication)


def constant_network(delay: Duration) -> NetworkParameters:
    """The network of the closed forms: one delay, nothing else."""
    return NetworkParameters(ConstantDelay(delay))


class Network:
    """All links among the nodes."""

    def __init__(
        self, nodes: Sequence[NodeId], parameters: NetworkParameters, clock: VirtualClock, seed: bytes | int
    ) -> None:
        self._places = {node: place for place, node in enumerate(nodes)}
        self._parameters = parameters
        self._clock = clock
        self._delay_streams = [stream(seed, "network delay", node) for node in nodes]
        self._fate_streams = [stream(seed, "network fate", node) for node in nodes]
        self._bandwidths = [parameters.bandwidths.get(node, parameters.bandwidth) for node in nodes]
        self._cards = [0] * len(nodes)
        self._usual = LinkQuality(parameters.loss, parameters.duplication)
        self._qualities: dict[tuple[int, int], LinkQuality] = {}
        self._cut: set[tuple[int, int]] = set()
        self._latest: dict[tuple[int, int], Instant] = {}
        self.sent = 0
        self.duplicated = 0
        self.dropped: Counter[str] = Counter()
        self._settle()

    def send(self, sender: int, receivers: Sequence[Any], places: Sequence[int], frame: Any, size: int) -> None:
        """Send a copy of a frame of this size to each receiver; ``places`` are their indices."""
        self.sent += len(receivers)
        if not self._plain or self._bandwidths[sender] is not None:
            self._send_over_links(sender, receivers, places, frame, size)
        elif self._constant is not None:
            self._clock.arrive_together(receivers, frame, self._clock.now + self._constant)
        else:
            parameters = self._parameters
            delays = parameters.delay.delays(sender, places, parameters.grid, self._delay_streams[sender])
            self._clock.arrive_after(receivers, frame, delays)

    def partition(self, groups: Sequence[Iterable[NodeId]], one_way: bool = False) -> None:
        """Cut the links between different groups; ``one_way``: only those from later groups to earlier ones."""
        sets = [[self._places[node] for node in group] for group in groups]
        for i, recipients in enumerate(sets):
            for j, senders in enumerate(sets):
                if j > i or (j < i and not one_way):
                    self._cut.update((sender, recipient) for sender in senders for recipient in recipients)
        self._settle()

    def heal(self) -> None:
        """End all partitions."""
        self._cut.clear()
        self._settle()

    def change(self, senders: Iterable[NodeId], recipients: Iterable[NodeId], quality: LinkQuality) -> None:
        """Give the links from these senders to these recipients (empty: all) a quality."""
        for sender in [self._places[node] for node in senders] or range(len(self._places)):
            for recipient in [self._places[node] for node in recipients] or range(len(self._places)):
                self._qualities[sender, recipient] = quality
        self._settle()

    def under_way(self, frame_type: type) -> int:
        """How many copies have left and not arrived, counted one by one."""
        return sum(1 for receiver, item in self._clock.arrivals() if receiver is not None and type(item) is frame_type)

    def _settle(self) -> None:
        perfect = self._usual == PERFECT and all(quality == PERFECT for quality in self._qualities.values())
        self._plain = perfect and not self._cut and not self._parameters.ordered
        self._constant = self._parameters.delay.constant

    def _send_over_links(
        self, sender: int, receivers: Sequence[Any], places: Sequence[int], frame: Any, size: int
    ) -> None:
        parameters, clock, fate = self._parameters, self._clock, self._fate_streams[sender].random
        for receiver, place in zip(receivers, places, strict=True):
            link = (sender, place)
            leaves = self._leave(sender, size)
            if link in self._cut:
                self.dropped["partition"] += 1
                continue
            quality = self._qualities.get(link, self._usual)
            if quality.loss and fate() < quality.loss:
                self.dropped["loss"] += 1
                continue
            copies = 2 if quality.duplication and fate() < quality.duplication else 1
            self.duplicated += copies - 1
            draws = parameters.delay.delays(sender, (place,) * copies, parameters.grid, self._delay_streams[sender])
            for delay in draws:
                arrives = leaves + delay + quality.extra_delay
                if parameters.ordered:
                    arrives = self._latest[link] = max(arrives, self._latest.get(link, arrives))
                clock.arrive(receiver, frame, arrives)

    def _leave(self, sender: int, size: int) -> Instant:
        """Line 1: when a copy has left the sender's card."""
        now, bandwidth = self._clock.now, self._bandwidths[sender]
        if bandwidth is None:
            return now
        bits = 8 * (size + self._parameters.overhead)
        self._cards[sender] = max(self._cards[sender], now * bandwidth) + bits * SECOND
        return -(-self._cards[sender] // bandwidth)
