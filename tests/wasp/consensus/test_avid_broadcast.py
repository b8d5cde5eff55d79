"""One member's part in a broadcast by shards, and what binds its proposer."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.kernel.automaton import NOTHING, Envelope, Fault, NodeId, Path, Step
from ledger.kernel.encoding import digest, encode
from ledger.kernel.merkle import Branch
from tests.harness.committee import CHAIN, DealtCommittee
from tests.harness.honey_badger_checks import run_without_codeword
from wasp.consensus.avid_broadcast import AvidBroadcast, RootReady, ShardEcho, Val
from wasp.consensus.binary_agreement import Done
from wasp.consensus.byzantine.honey_badger import vals_of_none, vals_of_payload
from wasp.consensus.reliable_broadcast import BroadcastPayload, PayloadDelivered, PayloadProposed

DEALT = DealtCommittee(7)
PATH: Path = (CHAIN, 1, "broadcast", 0)
MEMBERS = DEALT.members
VALS = vals_of_payload(b"payload", 7)
OTHERS = vals_of_payload(b"another", 7)
ROOT = VALS[0].root


def member(place: int = 0) -> AvidBroadcast:
    return AvidBroadcast(PATH, DEALT.committee, 0, payload_size_max=20, me=MEMBERS[place])


def tell(broadcast: AvidBroadcast, sender: NodeId, message: Any) -> Step[Any]:
    return broadcast.handle_message(sender, PATH, message, 0)


def multicast(message: Any) -> tuple[Envelope, ...]:
    return (Envelope(MEMBERS, PATH, message),)


def echo(val: Val) -> ShardEcho:
    return ShardEcho(val.root, val.branch, val.shard)


def kinds(step: Step[Any]) -> list[str]:
    return [fault.kind for fault in step.faults]


def test_the_proposer_tells_each_member_its_shard():
    step = member().handle_input(BroadcastPayload(b"payload"), 0)
    assert step == Step(messages=[Envelope((me,), PATH, val) for me, val in zip(MEMBERS, VALS, strict=True)])
    assert sum(len(val.shard) for val in VALS) == 7 * 4, "a third of four bytes of length and seven of payload"


def test_the_first_shard_is_echoed_once():
    broadcast = member(3)
    expected: Step[Any] = Step(messages=multicast(echo(VALS[3])), outputs=(PayloadProposed(),))
    assert tell(broadcast, MEMBERS[0], VALS[3]) == expected
    assert tell(broadcast, MEMBERS[0], VALS[3]) == NOTHING
    assert kinds(tell(broadcast, MEMBERS[0], OTHERS[3])) == ["equivocation"]


def test_only_the_proposer_may_propose_and_to_each_its_own_shard():
    assert kinds(tell(member(1), MEMBERS[1], VALS[1])) == ["not_the_proposer"]
    assert kinds(tell(member(1), MEMBERS[0], VALS[2])) == ["wrong_branch"]


def test_n_minus_f_echoes_make_ready_and_further_ones_nothing():
    broadcast = member()
    steps = [tell(broadcast, sender, echo(val)) for sender, val in zip(MEMBERS, VALS, strict=True)]
    assert [step.messages for step in steps] == [(), (), (), (), [*multicast(RootReady(ROOT))], (), ()]


def test_some_readies_are_joined_and_a_correct_majority_delivers_with_the_shards_that_are_there():
    broadcast = member()
    for sender, val in zip(MEMBERS[4:], VALS[4:], strict=True):
        assert tell(broadcast, sender, echo(val)) == NOTHING
    steps = [tell(broadcast, sender, RootReady(ROOT)) for sender in MEMBERS]
    assert [list(step.messages) for step in steps] == [[], [], [*multicast(RootReady(ROOT))], [], [], [], []]
    assert [list(step.outputs) for step in steps] == [[], [], [], [], [PayloadDelivered(b"payload")], [], []]


def test_after_delivery_shards_are_not_kept_and_a_second_echo_is_still_known():
    broadcast = member()
    for sender, val in zip(MEMBERS[:6], VALS, strict=False):
        tell(broadcast, sender, echo(val))
        tell(broadcast, sender, RootReady(ROOT))
    assert "delivered True" in broadcast.status
    assert tell(broadcast, MEMBERS[0], echo(VALS[0])) == NOTHING
    assert kinds(tell(broadcast, MEMBERS[0], echo(OTHERS[0]))) == ["equivocation"]
    assert tell(broadcast, MEMBERS[6], echo(VALS[6])) == NOTHING
    assert tell(broadcast, MEMBERS[6], RootReady(ROOT)) == NOTHING


def test_votes_for_other_roots_are_counted_apart():
    broadcast = member()
    for place, me in enumerate(MEMBERS):
        vals = (VALS, OTHERS)[place % 2]
        assert tell(broadcast, me, echo(vals[place])) == NOTHING
        assert list(tell(broadcast, me, RootReady(vals[0].root)).outputs) == []


@pytest.mark.parametrize(
    "wrong",
    [
        echo(VALS[2]),  # another's
        ShardEcho(ROOT, VALS[1].branch, VALS[2].shard),
        ShardEcho(ROOT, VALS[1].branch, b""),
        ShardEcho(OTHERS[0].root, VALS[1].branch, VALS[1].shard),
        ShardEcho(ROOT, Branch(1, 8, VALS[1].branch.siblings), VALS[1].shard),
        ShardEcho(ROOT, Branch(1, 7, VALS[1].branch.siblings[:-1]), VALS[1].shard),
        ShardEcho(ROOT, Branch(1, 7, (*VALS[1].branch.siblings, digest("one more"))), VALS[1].shard),
        ShardEcho(ROOT, Branch(-6, 7, VALS[1].branch.siblings), VALS[1].shard),
    ],
)
def test_an_echo_counts_only_with_the_branch_of_its_sender(wrong: ShardEcho):
    broadcast = member()
    assert kinds(tell(broadcast, MEMBERS[1], wrong)) == ["wrong_branch"]
    assert tell(broadcast, MEMBERS[1], echo(VALS[1])) == NOTHING, "the first that is right counts"
    assert "echoes 1/5" in broadcast.status


def test_an_oversized_shard_is_a_fault_and_not_counted():
    shard = bytes(9)  # 20 bytes and their length in three shards are 8 each
    step = tell(member(), MEMBERS[1], ShardEcho(ROOT, VALS[1].branch, shard))
    assert step.faults == (Fault(MEMBERS[1], "oversized", PATH, "a shard of 9 bytes"),)


@pytest.mark.parametrize("messages", [(echo(VALS[1]), echo(OTHERS[1])), (RootReady(ROOT), RootReady(OTHERS[0].root))])
def test_a_repeated_message_is_no_fault_but_a_second_root_is(messages: tuple[Any, Any]):
    broadcast = member()
    assert tell(broadcast, MEMBERS[1], messages[0]) == NOTHING
    assert tell(broadcast, MEMBERS[1], messages[0]) == NOTHING
    assert kinds(tell(broadcast, MEMBERS[1], messages[1])) == ["equivocation"]


def test_a_message_of_another_protocol_is_a_fault():
    assert kinds(tell(member(), MEMBERS[1], Done(0))) == ["unexpected_message"]


def test_shards_that_are_no_payload_s_make_nobody_ready():
    broadcast = AvidBroadcast(PATH, DEALT.committee, 0, me=MEMBERS[0])
    vals = vals_of_none(7)
    steps = [tell(broadcast, sender, echo(val)) for sender, val in zip(MEMBERS, vals, strict=True)]
    assert [list(step.messages) for step in steps] == [[]] * 7
    assert [kinds(step) for step in steps] == [[], [], [], [], ["no_codeword"], [], []]
    assert steps[4].faults[0].accused == MEMBERS[0]


@pytest.mark.parametrize("n", [4, 5, 6, 7, 8, 9])
def test_nobody_delivers_what_is_no_payload_s_and_all_blame_the_proposer(n: int):
    for seed in range(20):
        network = run_without_codeword(n, seed)
        assert not any(network.outputs_of(me, PayloadDelivered) for me in network.correct)
        found = {(me, fault.accused, fault.kind) for me, fault in network.faults}
        assert found >= {(me, "m0", "no_codeword") for me in network.correct}


@pytest.mark.parametrize("n", [4, 5, 6, 7, 8, 9])
def test_without_encoding_again_members_deliver_different_payloads(n: int, monkeypatch: pytest.MonkeyPatch):
    """The positive control of the check."""
    monkeypatch.setattr(AvidBroadcast, "_is_root_of", lambda self, payload, root: True)
    delivered = [
        {output.payload for me in network.correct for output in network.outputs_of(me, PayloadDelivered)}
        for network in (run_without_codeword(n, seed) for seed in range(20))
    ]
    assert max(map(len, delivered)) > 1


def test_a_proof_that_was_checked_does_not_travel():
    before = encode(VALS[1])
    assert VALS[1].proven
    assert encode(VALS[1]) == before
    assert Val(VALS[1].root, VALS[1].branch, VALS[1].shard) == VALS[1]
