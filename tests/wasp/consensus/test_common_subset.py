"""One member's part in a common subset: its leaves, and what stays when members are slow."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.kernel.automaton import Path
from tests.harness.committee import CHAIN, DealtCommittee
from tests.harness.consensus_checks import SUBSET_CODEC
from tests.harness.virtual_network import RandomOrder, VirtualNetwork, slow_recipients
from wasp.consensus.binary_agreement import Aux, BVal
from wasp.consensus.committee_protocol import ProposalsDecided, ProposalsSeen, Propose
from wasp.consensus.common_coin import REAL_SCHEDULE, CoinShare
from wasp.consensus.common_subset import CommonSubset
from wasp.consensus.reliable_broadcast import Initial

DEALT = DealtCommittee(4)
M0, M1, M2, M3 = DEALT.members

NOWHERE: list[Path] = [
    (),
    (CHAIN, 1),
    (CHAIN, 2, "broadcast", 0),
    ("mg2", 1, "broadcast", 0),
    (CHAIN, 1, "broadcast", 4),
    (CHAIN, 1, "broadcast", -1),
    (CHAIN, 1, "broadcast", "0"),
    (CHAIN, 1, "broadcast", 0, 0),
    (CHAIN, 1, "gossip", 0),
    (CHAIN, 1, "coin", 0),
    (CHAIN, 1, "coin", 0, 3),
    (CHAIN, 1, "coin", 0, -1),
    (CHAIN, 1, "coin", 0, 10_004),
]


@pytest.mark.parametrize("path", NOWHERE)
def test_a_message_for_no_leaf_is_a_fault_and_makes_none(path: Path):
    subset = CommonSubset(DEALT.membership(M0))
    step = subset.handle_message(M1, path, CoinShare(b"share"), 0)
    assert [(fault.accused, fault.kind, fault.path) for fault in step.faults] == [(M1, "no_such_leaf", path)]
    assert subset.status["leaves"] == {}


def test_a_leaf_is_made_by_the_first_message_for_it():
    subset = CommonSubset(DEALT.membership(M0))
    assert subset.handle_message(M1, (CHAIN, 1, "broadcast", 1), Initial(b"v"), 0).outputs == []
    subset.handle_message(M1, (CHAIN, 1, "agreement", 2), BVal(0, True), 0)
    subset.handle_message(M1, (CHAIN, 1, "coin", 2, 4), CoinShare(b"share"), 0)
    assert list(subset.status["leaves"]) == ["broadcast/1", "agreement/2", "coin/2/4"]


def test_the_proposals_of_f_plus_one_others_are_told_once():
    subset = CommonSubset(DEALT.membership(M0))
    subset.handle_input(Propose(b"own"), 0)
    told = [
        list(subset.handle_message(me, (CHAIN, 1, "broadcast", place), Initial(b"v"), 0).outputs)
        for place, me in enumerate(DEALT.members)
    ]
    assert told == [[], [], [ProposalsSeen()], []]


def test_an_agreement_may_say_yes_before_the_broadcast_is_delivered():
    subset = CommonSubset(DEALT.membership(M0))
    subset.handle_input(Propose(b"own"), 0)
    outputs: list[Any] = []
    # Agreement 3 gets its input as 0, 1 and 2 decide yes; it decides yes by the votes of others, before its broadcast came.
    for kind in (BVal, Aux):
        for proposer in (3, 0, 1, 2):
            for sender in (M1, M2, M3):
                path: Path = (CHAIN, 1, "agreement", proposer)
                outputs += subset.handle_message(sender, path, kind(0, True), 0).outputs
    assert outputs == []
    assert subset.status["delivered"] == []


@pytest.mark.parametrize("seed", range(10))
def test_who_hears_everything_last_decides_the_same(seed: int):
    network = VirtualNetwork(DEALT.each(CommonSubset), SUBSET_CODEC, slow_recipients(seed, [M3]))
    for me in DEALT.members:
        network.give(me, Propose(me.encode()))
    network.run()
    assert len({network.outputs_of(me, ProposalsDecided)[0] for me in DEALT.members}) == 1


@pytest.mark.parametrize("seed", range(10))
def test_with_real_coins_only_all_decide_the_same_too(seed: int):
    nodes = DEALT.each(lambda membership: CommonSubset(membership, REAL_SCHEDULE))
    network = VirtualNetwork(nodes, SUBSET_CODEC, RandomOrder(seed))
    for me in DEALT.members:
        network.give(me, Propose(me.encode()))
    network.run()
    assert len({network.outputs_of(me, ProposalsDecided)[0] for me in DEALT.members}) == 1
    assert max(max(node.rounds) for node in nodes.values()) > 1


def test_members_without_a_proposal_of_their_own_take_part():
    network = VirtualNetwork(DEALT.each(CommonSubset), SUBSET_CODEC, RandomOrder(1))
    for me in (M0, M1, M2):
        network.give(me, Propose(me.encode()))
    network.run()
    expected = ProposalsDecided(tuple((place, f"m{place}".encode()) for place in range(3)))
    assert [network.outputs_of(me, ProposalsDecided) for me in DEALT.members] == [[expected]] * 4
