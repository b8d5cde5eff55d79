"""One member's part in HoneyBadgerBFT: what is opened, when, and what is left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from ledger.kernel.automaton import NOTHING, Envelope, Path
from ledger.kernel.encoding import encode, pack
from ledger.kernel.rng import stream
from tests.harness.committee import CHAIN, DealtCommittee
from tests.harness.honey_badger_checks import CODEC
from tests.harness.virtual_network import Adversary, OldestFirst, RandomOrder, Starving, VirtualNetwork, slow_recipients
from wasp.consensus.avid_broadcast import Val
from wasp.consensus.binary_agreement import BVal
from wasp.consensus.byzantine.honey_badger import bad_decryption_shares, vals_of_payload
from wasp.consensus.byzantine.lying import Lie, Lying
from wasp.consensus.committee_protocol import ProposalsDecided, ProposalsSeen, Propose
from wasp.consensus.hbbft import DecryptionShares, HoneyBadger

DEALT = DealtCommittee(4)
M0, M1, M2, M3 = DEALT.members
SHARES: Path = (CHAIN, 1, "decryption", "shares")


def decided(network: VirtualNetwork) -> list[list[Any]]:
    return [network.outputs_of(me, ProposalsDecided) for me in network.correct]


def label(proposer: int) -> bytes:
    return pack((CHAIN, 1, "decryption", proposer))


def encrypted(proposer: int, payload: bytes) -> bytes:
    return DEALT.keys[M3].decryption.encrypt(label(proposer), payload, stream(1, "test", proposer))


def proposing(ciphertext: bytes) -> Lie:
    """Gives this to the subset, in the place of the own proposal."""

    def lie(envelope: Envelope) -> Sequence[Envelope]:
        if not isinstance(envelope.message, Val):
            return (envelope,)
        val = vals_of_payload(ciphertext, 4)[envelope.message.branch.index]
        return (Envelope(envelope.recipients, envelope.path, val),)

    return lie


def run(adversary: Adversary, lie: Lie | None = None) -> VirtualNetwork:
    """A committee whose last member may lie."""
    nodes = DEALT.each(HoneyBadger)
    if lie is not None:
        nodes[M3] = Lying(nodes[M3], M3, lie)
    network = VirtualNetwork(nodes, CODEC, adversary, () if lie is None else (M3,))
    for me in DEALT.members:
        network.give(me, Propose(me.encode()))
    network.run()
    return network


def proposals(*places: int) -> ProposalsDecided:
    return ProposalsDecided(tuple((place, f"m{place}".encode()) for place in places))


def test_nobody_but_the_proposer_sees_a_proposal_before_it_is_decided():
    member = HoneyBadger(DEALT.membership(M0))
    step = member.handle_input(Propose(b"a proposal of some length"), 0)
    assert b"a proposal of some length" not in b"".join(encode(envelope.message) for envelope in step.messages)


def test_all_output_what_all_proposed():
    network = run(OldestFirst())
    assert decided(network) == [[proposals(0, 1, 2, 3)]] * 4
    assert all(network.outputs_of(me, ProposalsSeen) for me in DEALT.members)
    assert all(node.terminated and node.rounds == (1, 1, 1, 1) for node in network.nodes.values())


@pytest.mark.parametrize("seed", range(5))
def test_shares_that_come_before_the_own_subset_is_decided_wait(seed: int):
    """The last member hears everything last, but shares first."""
    network = VirtualNetwork(DEALT.each(HoneyBadger), CODEC, slow_recipients(seed, [M3]))
    for me in DEALT.members:
        network.give(me, Propose(me.encode()))
    network.run(until=lambda: all(network.outputs_of(me, ProposalsDecided) for me in (M0, M1, M2)))
    shares = [item for item in network.pending if item.recipient == M3 and isinstance(item.message, DecryptionShares)]
    for item in shares:
        assert network.nodes[M3].handle_message(item.sender, item.path, item.message, 0) == NOTHING
        network.pending.remove(item)
    network.run()
    assert {len(outputs) for outputs in decided(network)} == {1}
    assert len({outputs[0] for outputs in decided(network)}) == 1


@pytest.mark.parametrize(
    "ciphertext",
    [b"", b"nonsense", bytes(200), encrypted(0, b"for another label"), encrypted(3, b"payload")[:-1] + b"?"],
)
def test_what_is_no_ciphertext_of_its_proposer_is_left_out_by_all(ciphertext: bytes):
    network = run(OldestFirst(), proposing(ciphertext))
    assert decided(network) == [[proposals(0, 1, 2)]] * 3


def test_what_a_byzantine_member_encrypts_is_opened_like_any_other():
    network = run(OldestFirst(), proposing(encrypted(3, b"payload")))
    expected = ProposalsDecided((*proposals(0, 1, 2).proposals, (3, b"payload")))
    assert decided(network) == [[expected]] * 3


@pytest.mark.parametrize("seed", range(5))
def test_bad_shares_are_faults_and_the_others_are_enough(seed: int):
    network = run(RandomOrder(seed), bad_decryption_shares)
    assert len({outputs[0] for outputs in decided(network)}) == 1
    assert {(fault.accused, fault.kind, fault.path) for _, fault in network.faults} <= {(M3, "bad_share", SHARES)}


def decided_subset() -> tuple[HoneyBadger, list[Any]]:
    """A member whose subset is decided, and that has heard no shares but its own; and those that the others sent."""
    held = Starving(1, lambda item: isinstance(item.message, DecryptionShares))
    network = VirtualNetwork(DEALT.each(HoneyBadger), CODEC, held)
    for me in DEALT.members:
        network.give(me, Propose(me.encode()))
    while any(not isinstance(item.message, DecryptionShares) for item in network.pending):
        assert network.crank()
    return network.nodes[M0], [item.message for item in network.pending if item.recipient == M0]  # type: ignore[return-value]


def test_shares_that_are_wrong_are_faults_once_it_is_known_of_what():
    member, (good, *_) = decided_subset()
    assert "shares" in member.status
    wrong = DecryptionShares(good.shares[:-1])
    assert [fault.kind for fault in member.handle_message(M1, SHARES, wrong, 0).faults] == ["bad_share"]
    assert [fault.kind for fault in member.handle_message(M1, SHARES, good, 0).faults] == ["equivocation"]
    assert member.handle_message(M1, SHARES, wrong, 0) == NOTHING
    flipped = DecryptionShares((bytes(96), *good.shares[1:]))
    step = member.handle_message(M2, SHARES, flipped, 0)
    assert [(fault.accused, fault.kind) for fault in step.faults] == [(M2, "bad_share")]
    assert member.status["shares"] == {0: 1, **dict.fromkeys((1, 2, 3), 2)}


def test_another_message_at_the_shares_path_is_a_fault_and_so_is_another_path():
    member = HoneyBadger(DEALT.membership(M0))
    assert [fault.kind for fault in member.handle_message(M1, SHARES, BVal(0, True), 0).faults] == [
        "unexpected_message"
    ]
    shares = DecryptionShares(())
    for path in ((CHAIN, 1, "decryption", 0), (CHAIN, 2, "decryption", "shares"), (CHAIN, 1, "broadcast", 0)):
        assert len(member.handle_message(M1, path, shares, 0).faults) == 1


def test_what_members_can_make_one_keep_before_its_subset_is_decided_is_one_message_each():
    member = HoneyBadger(DEALT.membership(M0))
    for count in range(10):
        step = member.handle_message(M1, SHARES, DecryptionShares((bytes(96),) * count), 0)
        assert [fault.kind for fault in step.faults] == (["equivocation"] if count else [])


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_committee_too_small_for_a_faulty_member_decides_too(n: int):
    dealt = DealtCommittee(n)
    network = VirtualNetwork(dealt.each(HoneyBadger), CODEC, RandomOrder(n))
    for me in dealt.members:
        network.give(me, Propose(me.encode()))
    network.run()
    assert decided(network) == [[proposals(*range(n))]] * n
