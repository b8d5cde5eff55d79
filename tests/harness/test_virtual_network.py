"""The networks of the tests keep their own promises: a check that runs on them means something."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from ledger.kernel.automaton import NOTHING, Automaton, Envelope, Fault, NodeId, Path, Step
from ledger.kernel.encoding import Codec, Value
from ledger.kernel.instant import Instant
from tests.harness.virtual_network import (
    Accusation,
    Adversary,
    LatestFirst,
    OldestFirst,
    RandomOrder,
    TimedNetwork,
    VirtualNetwork,
    partition,
    slow_recipients,
)

A, B, C = NodeId("a"), NodeId("b"), NodeId("c")
PATH: Path = ("toy",)


class Rumour(Value):
    """A message of the toy."""

    number: int


class Toy(Automaton[int, Rumour, Any]):
    """Tells a number to all; outputs what it hears; 13 is a fault, 7 is passed on as 8."""

    def __init__(self, me: NodeId) -> None:
        self._me = me
        self._deadline: Instant | None = None

    def handle_input(self, input: int, now: Instant) -> Step[Any]:
        if input < 0:
            self._deadline = now - input
            return NOTHING
        return Step(messages=(Envelope((A, B, C), PATH, Rumour(input)),))

    def handle_message(self, sender: NodeId, path: Path, message: Rumour, now: Instant) -> Step[Any]:
        if message.number == 13 and sender != self._me:
            return Step(faults=(Fault(sender, "unlucky", path),))
        passed_on = (Envelope((C,), PATH, Rumour(8)),) if message.number == 7 and self._me == B else ()
        return Step(messages=passed_on, outputs=((sender, message.number),))

    def handle_timer(self, now: Instant) -> Step[Any]:
        self._deadline = None
        return Step(outputs=(("timer", now),))

    @property
    def deadline(self) -> Instant | None:
        return self._deadline


def toys(adversary: Adversary, **named: Any) -> VirtualNetwork:
    return VirtualNetwork({me: Toy(me) for me in (A, B, C)}, Codec(Rumour), adversary, **named)


def heard(network: VirtualNetwork | TimedNetwork, me: NodeId) -> list[Any]:
    return network.outputs_of(me)


def test_own_copies_come_first_and_each_crank_delivers_one_message():
    network = toys(OldestFirst())
    network.give(A, 1)
    assert heard(network, A) == [(A, 1)]
    assert network.crank()
    assert (heard(network, B), heard(network, C)) == ([(A, 1)], [])
    assert network.crank()
    assert not network.crank()
    assert network.sent == Counter(Rumour=2)


def test_a_fault_against_a_correct_node_fails_the_test_and_one_against_a_faulty_node_is_kept():
    network = toys(OldestFirst())
    network.give(A, 13)
    with pytest.raises(Accusation):
        network.run()
    network = toys(OldestFirst(), faulty=(A,))
    network.give(A, 13)
    network.run()
    assert network.faults == [(me, Fault(A, "unlucky", PATH)) for me in (B, C)]


def test_what_faulty_nodes_say_about_others_fails_nothing():
    network = toys(OldestFirst(), faulty=(B, C))
    network.give(A, 13)
    network.run()
    assert {accuser for accuser, _ in network.faults} == {B, C}


def test_adversaries_order_messages_and_drop_none():
    orders = {}
    for name, adversary in {
        "oldest": OldestFirst(),
        "latest": LatestFirst(),
        "random": RandomOrder(4),
        "partition": partition(1, [A, B]),
        "slow": slow_recipients(1, [B]),
    }.items():
        network = toys(adversary)
        for number in range(10, 13):
            network.give(A, number)
        network.run()
        assert sorted(heard(network, B)) == sorted(heard(network, C)) == [(A, 10), (A, 11), (A, 12)]
        orders[name] = [number for _, number in heard(network, B)]
    assert orders["oldest"] == [10, 11, 12]
    assert orders["latest"] == [12, 11, 10]


def test_a_partition_is_crossed_last_and_a_slow_node_hears_last():
    network = toys(partition(1, [A, B]))
    network.give(A, 1)
    network.run(until=lambda: heard(network, C) != [])
    assert heard(network, B) == [(A, 1)]
    network = toys(slow_recipients(1, [B]))
    network.give(A, 1)
    network.crank()
    assert (heard(network, B), heard(network, C)) == ([], [(A, 1)])


def test_owners_answer_what_a_node_needs():
    network = toys(OldestFirst(), answers=lambda node, output: [2] if output == (A, 1) and node == B else [])
    network.give(A, 1)
    network.run()
    assert heard(network, C) == [(A, 1), (B, 2)]


def test_time_passes_to_the_next_deadline_when_nothing_else_is_left():
    network = toys(OldestFirst())
    network.give(A, -50)
    network.give(B, -20)
    network.run()
    assert (heard(network, A), heard(network, B)) == ([("timer", 50)], [("timer", 20)])


def test_on_the_timed_network_every_hop_takes_the_same_time_and_own_copies_none():
    network = TimedNetwork({me: Toy(me) for me in (A, B, C)}, Codec(Rumour), 1_000)
    network.give(A, 7)
    network.run()
    assert network.outputs == {
        A: [(0, (A, 7))],
        B: [(1_000, (A, 7))],
        C: [(1_000, (A, 7)), (2_000, (B, 8))],
    }


def test_on_the_timed_network_a_deadline_comes_after_what_arrives_at_its_instant():
    network = TimedNetwork({me: Toy(me) for me in (A, B, C)}, Codec(Rumour), 1_000)
    for node, input in ((A, 1), (B, -1_000), (C, -1_500), (A, -2_500)):
        network.give(node, input)
    network.run(until=1_500)
    assert network.outputs == {
        A: [(0, (A, 1))],
        B: [(1_000, (A, 1)), (1_000, ("timer", 1_000))],
        C: [(1_000, (A, 1)), (1_500, ("timer", 1_500))],
    }
    network.run()
    assert network.outputs[A] == [(0, (A, 1)), (2_500, ("timer", 2_500))]


def test_a_message_that_its_codec_does_not_know_fails_the_test():
    class Whisper(Value):
        number: int

    class Whisperer(Toy):
        def handle_input(self, input: int, now: Instant) -> Step[Any]:
            return Step(messages=(Envelope((B,), PATH, Whisper(input)),))

    network = VirtualNetwork({A: Whisperer(A), B: Toy(B)}, Codec(Rumour), OldestFirst())
    network.give(A, 1)
    with pytest.raises(Exception, match="undecodable"):
        network.run()
