"""Whole instances of every protocol, from opening to signed anchor: times and message counts as equalities of integers.

The forms and their derivations are in ``tests.harness.closed_forms``. Here they meet what members do: fault-free; with the
last f members silent, none of whom leads; with the leaders of the first k views dead. Every member's instants are compared,
and the copies of every kind of message.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.harness.closed_forms import FORMS, Instants, Speech, coin_of
from tests.harness.committee import CHAIN, DealtCommittee
from tests.harness.consensus_instances import timed_instance
from tests.harness.virtual_network import TimedNetwork
from wasp.consensus.consensus_interface import AnchorSigned, BatchDecided, ExecutionNeeded
from wasp.consensus.protocols import PROTOCOLS

SIZES = (4, 5, 6, 7, 10, 16, 31)
LOG_INDEX = 1
LED = [name for name in PROTOCOLS if FORMS[name].change]


def times(network: TimedNetwork, kind: type) -> dict[str, list[int]]:
    """When each correct member had this output."""
    return {me: [at for at, output in network.outputs[me] if isinstance(output, kind)] for me in network.correct}


def check_forms(protocol: str, n: int, mute: Sequence[int], dead: int = 0) -> None:
    """The members with these indices are silent; ``dead`` of them lead the first views."""
    form, speech = FORMS[protocol], Speech(n, n - len(mute), dead)
    dealt = DealtCommittee(n)
    coin = coin_of(dealt.keys[dealt.members[0]].coin, (CHAIN, LOG_INDEX))
    leader = form.leader(LOG_INDEX, speech)
    network = timed_instance(dealt, protocol, mute, LOG_INDEX)

    def of_all(instants: Instants) -> dict[str, list[int]]:
        places = [place for place in range(n) if place not in mute]
        return {dealt.members[place]: [instants.leader if place == leader else instants.others] for place in places}

    assert times(network, BatchDecided) == of_all(form.decided(speech, coin))
    assert times(network, ExecutionNeeded) == of_all(form.tossed(speech, coin))
    assert times(network, AnchorSigned) == of_all(form.anchored(speech, coin))
    assert network.sent == form.sent(speech, coin)


def test_every_protocol_has_its_forms():
    assert set(FORMS) == set(PROTOCOLS)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_instance_without_faults(protocol: str, n: int):
    check_forms(protocol, n, ())


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_instance_with_f_silent_members_that_do_not_lead(protocol: str, n: int):
    f = (n - 1) // 3
    check_forms(protocol, n, range(n - f, n))


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("protocol", LED)
def test_an_instance_whose_first_leader_is_dead(protocol: str, n: int):
    check_forms(protocol, n, [LOG_INDEX], dead=1)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("protocol", LED)
def test_an_instance_whose_first_f_leaders_are_dead(protocol: str, n: int):
    f = (n - 1) // 3
    check_forms(protocol, n, range(LOG_INDEX, LOG_INDEX + f), dead=f)


@pytest.mark.parametrize("n", SIZES)
def test_nobody_decides_without_the_sequencer(n: int):
    dealt = DealtCommittee(n)
    network = timed_instance(dealt, "sequencer", [0], LOG_INDEX)
    assert set(map(tuple, times(network, BatchDecided).values())) == {()}
    assert network.sent == {"SignedProposal": n - 1}
