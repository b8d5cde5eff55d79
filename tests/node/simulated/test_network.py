from __future__ import annotations

from typing import Any

import pytest

from node.simulated.clock import Arrivals, VirtualClock, pairs
from node.simulated.delays import ConstantDelay, UniformDelay
from node.simulated.network import LinkQuality, Network, NetworkParameters
from tests.harness.toys import names

D = 25_000
NODES = names(4)
FRAME = "a frame"


class Cable:
    """A network whose arrivals are written down as (instant, recipient, frame)."""

    def __init__(self, seed: int = 1, **parameters: Any) -> None:
        self.arrived: list[tuple[int, int, Any]] = []
        self.clock = VirtualClock(0, self._handle)
        self.network = Network(NODES, NetworkParameters(**{"delay": ConstantDelay(D), **parameters}), self.clock, seed)

    def _handle(self, now: int, arrivals: Arrivals) -> None:
        self.arrived.extend((now, receiver, item) for receiver, item in pairs(arrivals))

    def send(self, sender: int, *recipients: int, frame: Any = FRAME, size: int = 100) -> None:
        self.network.send(sender, recipients, recipients, frame, size)

    def run(self) -> list[tuple[int, int, Any]]:
        self.clock.run_events(10**12)
        return self.arrived


def test_a_multicast_over_constant_links_arrives_everywhere_after_the_delay():
    cable = Cable()
    cable.send(0, 1, 2, 3)
    assert cable.run() == [(D, 1, FRAME), (D, 2, FRAME), (D, 3, FRAME)]


def test_jitter_reorders_frames_unless_the_links_are_ordered():
    def order(ordered: bool) -> list[int]:
        cable = Cable(delay=UniformDelay(10_000, 40_000), ordered=ordered)
        for number in range(50):
            cable.send(0, 1, frame=number)
            cable.clock.run_through(cable.clock.now + 1_000)
        return [frame for _, _, frame in cable.run()]

    assert order(ordered=True) == list(range(50))
    jittered = order(ordered=False)
    assert sorted(jittered) == list(range(50))
    assert jittered != list(range(50))


def test_a_card_sends_one_copy_after_another_and_rounds_only_the_instant_of_leaving():
    # 8 * (100 + 20) = 960 bits at 300,000 bits per second are 3,200 us each.
    cable = Cable(bandwidth=300_000, overhead=20)
    cable.send(0, 1, 2, 3)
    assert cable.run() == [(D + 3_200, 1, FRAME), (D + 6_400, 2, FRAME), (D + 9_600, 3, FRAME)]


def test_parts_of_a_microsecond_add_up_on_the_card():
    # 8 bits at 3,000,000 bits per second are 2 2/3 us: copies leave at 2 2/3, 5 1/3, 8, each rounded up.
    cable = Cable(bandwidth=3_000_000, overhead=0)
    cable.send(0, 1, 2, 3, size=1)
    assert [at - D for at, _, _ in cable.run()] == [3, 6, 8]


def test_a_card_that_was_idle_starts_at_once_and_cards_do_not_wait_for_each_other():
    cable = Cable(bandwidth=1_000_000, overhead=0)
    cable.send(0, 1, size=125)  # 1,000 us
    cable.clock.run_through(5_000)
    cable.send(0, 1, size=125)
    cable.send(2, 1, size=125)
    assert [at - D for at, _, _ in cable.run()] == [1_000, 6_000, 6_000]


def test_a_node_may_have_a_card_of_its_own():
    cable = Cable(bandwidths={NODES[1]: 1_000_000}, overhead=0)
    cable.send(0, 2, size=125)
    cable.send(1, 2, size=125)
    assert cable.run() == [(D, 2, FRAME), (D + 1_000, 2, FRAME)]


def test_a_partition_cuts_between_groups_and_heals():
    cable = Cable()
    cable.network.partition([NODES[:2], NODES[2:3]])
    cable.send(0, 1, 2, 3)
    cable.send(2, 0, 1, 3)
    assert cable.run() == [(D, 1, FRAME), (D, 3, FRAME), (D, 3, FRAME)]
    assert cable.network.dropped == {"partition": 3}
    cable.network.heal()
    cable.arrived.clear()
    cable.send(2, 0, 1)
    assert cable.run() == [(2 * D, 0, FRAME), (2 * D, 1, FRAME)]


def test_a_one_way_partition_lets_the_other_way_pass():
    cable = Cable()
    cable.network.partition([NODES[:1], NODES[1:2]], one_way=True)
    cable.send(0, 1)
    cable.send(1, 0)
    assert cable.run() == [(D, 1, FRAME)]


@pytest.mark.parametrize("probability", [0.05, 0.5])
def test_loss_and_duplication_happen_as_often_as_said(probability: float):
    cable = Cable(loss=probability, duplication=probability)
    for _ in range(1_500):
        cable.send(0, 1, 2)
    sent, network = 3_000, cable.network
    deviation = (sent * probability * (1 - probability)) ** 0.5
    assert abs(network.dropped["loss"] - sent * probability) < 5 * deviation
    kept = sent - network.dropped["loss"]
    assert abs(network.duplicated - kept * probability) < 5 * deviation
    assert network.under_way(str) == kept + network.duplicated
    assert len(cable.run()) == kept + network.duplicated
    assert network.sent == sent


def test_single_links_can_be_made_slower_and_worse():
    cable = Cable()
    cable.network.change(NODES[:1], NODES[1:2], LinkQuality(extra_delay=5_000))
    cable.network.change(NODES[:1], NODES[2:3], LinkQuality(loss=1.0))
    cable.send(0, 1, 2, 3)
    cable.send(1, 0)
    assert cable.run() == [(D, 3, FRAME), (D, 0, FRAME), (D + 5_000, 1, FRAME)]
    cable.network.change((), (), LinkQuality())
    cable.arrived.clear()
    cable.send(0, 1, 2)
    assert cable.run() == [(2 * D + 5_000, 1, FRAME), (2 * D + 5_000, 2, FRAME)]


def test_senders_draw_from_streams_of_their_own():
    def delays(*senders: int) -> list[int]:
        cable = Cable(delay=UniformDelay(0, 10**6))
        for sender in senders:
            cable.send(sender, 3, frame=sender)
        return sorted(at for at, _, sender in cable.run() if sender == 0)

    assert delays(0, 0) == delays(1, 0, 1, 2, 0)
