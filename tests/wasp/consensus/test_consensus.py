"""One instance of the consensus: its ways to end, and what it keeps answering."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from ledger.kernel.automaton import NOTHING, NodeId, Path
from ledger.kernel.encoding import digest
from ledger.output import OutputId
from ledger.transaction import SignatureUnlock, Transaction
from tests.harness.committee import CHAIN, DealtCommittee
from tests.harness.consensus_instances import BASE, CONSENSUS_CODEC, REQUESTS, Owner, essence_of, propose, take_part
from tests.harness.virtual_network import Pending, RandomOrder, VirtualNetwork, slow_recipients
from wasp.consensus.batch_proposal import AnchorReference, Batch
from wasp.consensus.byzantine.lying import Lying, silent
from wasp.consensus.consensus import SignedAnchor
from wasp.consensus.consensus_interface import (
    AnchorSigned,
    BatchDecided,
    BatchExecuted,
    ExecutionNeeded,
    IndexSkipped,
    OthersProposed,
    RequestsDelivered,
    RequestsNeeded,
    SuccessorKnown,
)
from wasp.consensus.signing.nonce_signature import PartialNonceSignature
from wasp.signed_anchor import anchor_transaction, is_signed_anchor

DEALT = DealtCommittee(4)
M0, M1, M2, M3 = MEMBERS = DEALT.members
ANCHOR_PATH: Path = (CHAIN, 1, "anchor")


class DuplicatingNetwork(VirtualNetwork):
    """Every message comes twice."""

    def _send(self, item: Pending) -> None:
        self.pending += [item, item]


def network_of(answers: Callable[[NodeId, Any], Iterable[Any]], faulty: tuple[NodeId, ...] = ()) -> VirtualNetwork:
    nodes: dict[NodeId, Any] = {me: DEALT.consensus(me) for me in MEMBERS}
    nodes.update({me: Lying(nodes[me], me, silent) for me in faulty})
    return VirtualNetwork(nodes, CONSENSUS_CODEC, RandomOrder(1), faulty, answers)


def successor(label: str = "successor") -> Transaction:
    """A signed successor of the base, from an earlier log index."""
    essence = essence_of(Batch(BASE, 5, (), (0, 1, 2)), digest(label), inputs=2)
    return anchor_transaction(essence, DEALT.signature(essence.id))


def ends(network: VirtualNetwork) -> list[list[Any]]:
    return [network.outputs_of(me, AnchorSigned, IndexSkipped) for me in network.correct]


def test_an_instance_from_proposals_to_the_signed_anchor():
    network = network_of(Owner())
    for place, me in enumerate(MEMBERS):
        take_part(network, me, propose(time=1_000 * place))
    network.run()
    requests = tuple(sorted(request.id for request in REQUESTS[:2]))
    kinds = [OthersProposed, BatchDecided, RequestsNeeded, ExecutionNeeded, AnchorSigned]
    transactions = set()
    for me in MEMBERS:
        outputs = network.outputs_of(me)
        assert [type(output) for output in outputs] == kinds
        _, decided, needed, execution, signed = outputs
        batch = decided.batch
        assert (batch.base, batch.requests) == (BASE, requests)
        assert len(batch.proposers) >= 3
        assert needed == RequestsNeeded(1, requests)
        assert (execution.batch, tuple(request.id for request in execution.requests)) == (batch, requests)
        assert signed.transaction.essence == essence_of(batch, execution.entropy)
        assert is_signed_anchor(signed.transaction, BASE.output_id, DEALT.committee, DEALT.verifier)
        transactions.add(signed.transaction.id)
    assert len(transactions) == 1
    assert all(network.nodes[me].status["phase"] == "ended" for me in MEMBERS)  # type: ignore[attr-defined]


def test_the_entropy_is_another_for_another_base_and_the_same_for_the_same():
    drawn = []
    for base in (BASE, BASE, AnchorReference(OutputId(digest("other base"), 0), 7)):
        network = network_of(Owner())
        for me in MEMBERS:
            take_part(network, me, propose(base=base))
        network.run()
        drawn.append({network.outputs_of(me, ExecutionNeeded)[0].entropy for me in MEMBERS})
    assert [len(entropies) for entropies in drawn] == [1, 1, 1]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_batch_without_requests_wants_none():
    network = network_of(Owner())
    for me in MEMBERS:
        take_part(network, me, propose(requests=0))
    network.run()
    assert network.outputs_of(M0, RequestsNeeded) == []
    assert [type(end) for [end] in ends(network)] == [AnchorSigned] * 4


def test_members_without_a_common_base_skip_the_index():
    network = network_of(Owner())
    for place, me in enumerate(MEMBERS):
        take_part(network, me, propose(base=AnchorReference(OutputId(digest("own", place), 0), 1)))
    network.run()
    assert ends(network) == [[IndexSkipped(1, "no base anchor")]] * 4
    assert network.outputs_of(M0, BatchDecided) == []


def test_more_empty_proposals_than_liars_skip_the_index():
    network = network_of(Owner())
    for place, me in enumerate(MEMBERS):
        take_part(network, me, propose(base=BASE if place < 2 else None))
    network.run()
    outcomes = {repr(end) for end in ends(network)}
    assert len(outcomes) == 1
    assert "IndexSkipped" in outcomes.pop()


def test_a_batch_of_which_nothing_was_executed_skips_the_index():
    def answers(node: NodeId, output: Any) -> Iterable[Any]:
        match output:
            case RequestsNeeded():
                yield RequestsDelivered(tuple(sorted(REQUESTS[:2], key=lambda request: request.id)))
            case ExecutionNeeded():
                yield BatchExecuted(None)

    network = network_of(answers)
    for me in MEMBERS:
        take_part(network, me, propose())
    network.run()
    assert ends(network) == [[IndexSkipped(1, "nothing executed")]] * 4


@pytest.mark.parametrize("mute", [(), (M3,)])
def test_one_member_that_holds_a_signed_successor_ends_the_instance_of_all(mute: tuple[NodeId, ...]):
    def answers(node: NodeId, output: Any) -> Iterable[Any]:
        if isinstance(output, ExecutionNeeded) and node == M0:
            yield SuccessorKnown(successor())

    network = network_of(answers, mute)
    for me in MEMBERS:
        take_part(network, me, propose(requests=0))
    network.run()
    assert ends(network) == [[AnchorSigned(1, successor())]] * len(network.correct)
    assert network.sent["PartialNonceSignature"] == 0


def test_a_successor_that_only_one_member_was_told_of_reaches_all():
    """Its sender is faulty and tells M0 alone; M0 then gives no signature, and with M3 silent the others lack one."""

    def answers(node: NodeId, output: Any) -> Iterable[Any]:
        if isinstance(output, ExecutionNeeded) and node != M0:
            yield BatchExecuted(essence_of(output.batch, output.entropy))

    network = network_of(answers, (M3,))
    for me in MEMBERS:
        take_part(network, me, propose(requests=0))
    step = network.nodes[M0].handle_message(M3, ANCHOR_PATH, SignedAnchor(successor()), 0)
    assert step == NOTHING, "one that comes before the batch is decided waits"
    network.run()
    assert ends(network) == [[AnchorSigned(1, successor())]] * 3


def test_a_successor_reaches_who_waits_for_a_signature_of_which_an_attempt_has_failed():
    """M3 gives no share, and tells M0 and M1 alone, which have given theirs; M2 waits for others in the next attempt."""
    nodes: dict[NodeId, Any] = {me: DEALT.consensus(me, 3, "pbft") for me in MEMBERS}
    nodes[M3] = Lying(nodes[M3], M3, lambda envelope: () if envelope.path[2] == "signature" else (envelope,))
    network = VirtualNetwork(nodes, CONSENSUS_CODEC, RandomOrder(1), (M3,), Owner())
    for me in MEMBERS:
        take_part(network, me, propose(requests=0))
    network.run(until=lambda: not network.pending and all(nodes[me].signature.started for me in network.correct))
    assert ends(network) == [[]] * 3, "the first leader is a signer of the first attempt"
    told = SignedAnchor(successor())
    network.pending += [Pending(M3, me, (CHAIN, 3, "anchor"), told, CONSENSUS_CODEC.encode(told)) for me in (M0, M1)]
    network.run()
    assert ends(network) == [[AnchorSigned(3, successor())]] * 3


def test_a_bad_successor_is_a_fault_and_ends_nothing():
    base_of_another = essence_of(Batch(AnchorReference(OutputId(digest("x"), 0), 7), 5, (), ()), digest("y"))
    unlock = successor().unlocks[0]
    assert isinstance(unlock, SignatureUnlock)
    network = network_of(lambda node, output: (), (M3,))
    for me in MEMBERS:
        take_part(network, me, propose(requests=0))
    network.run()
    for bad in (Transaction(successor().essence, (unlock,)), anchor_transaction(base_of_another, unlock.signature)):
        step = network.nodes[M0].handle_message(M3, ANCHOR_PATH, SignedAnchor(bad), 0)
        assert [(fault.accused, fault.kind) for fault in step.faults] == [(M3, "bad_anchor")]
        assert step.outputs == []
    assert ends(network) == [[]] * 3


def test_two_early_successors_of_one_member_are_equivocation():
    instance = DEALT.consensus(M0)
    assert instance.handle_message(M1, ANCHOR_PATH, SignedAnchor(successor()), 0) == NOTHING
    step = instance.handle_message(M1, ANCHOR_PATH, SignedAnchor(successor("other")), 0)
    assert [fault.kind for fault in step.faults] == ["equivocation"]


def test_strangers_and_messages_for_no_leaf_are_faults():
    instance = DEALT.consensus(M0)
    message = PartialNonceSignature(digest("message"), bytes(32))
    for sender, path, kind in (
        (NodeId("stranger"), ANCHOR_PATH, "not_a_member"),
        (M1, (CHAIN, 1, "seal"), "no_such_leaf"),
        (M1, (CHAIN, 2, "signature"), "no_such_leaf"),
        (M1, (CHAIN, 1), "no_such_leaf"),
        (M1, (), "no_such_leaf"),
        (M1, (CHAIN, 1, "entropy"), "unexpected_message"),
    ):
        step = instance.handle_message(sender, path, message, 0)
        assert [(fault.accused, fault.kind) for fault in step.faults] == [(sender, kind)]


def test_an_ended_instance_goes_on_answering():
    """The last member hears nothing until all others have ended, and then ends the same way."""
    nodes = {me: DEALT.consensus(me) for me in MEMBERS}
    network = VirtualNetwork(nodes, CONSENSUS_CODEC, slow_recipients(1, [M3]), answers=Owner())
    for me in MEMBERS:
        take_part(network, me, propose())
    network.run(until=lambda: all(item.recipient == M3 for item in network.pending))
    assert [nodes[me].ended for me in MEMBERS] == [True, True, True, False]
    network.run()
    assert len({end[0].transaction.id for end in ends(network)}) == 1
    assert all(node.terminated for node in nodes.values())


def test_answers_that_come_after_the_end_change_nothing():
    network = network_of(lambda node, output: ())
    for me in MEMBERS:
        take_part(network, me, propose(requests=0))
    network.run()
    for me in MEMBERS:
        network.give(me, SuccessorKnown(successor()))
    batch = network.outputs_of(M0, BatchDecided)[0].batch
    assert network.nodes[M0].handle_input(BatchExecuted(essence_of(batch, digest("entropy"))), 0) == NOTHING
    assert network.nodes[M0].handle_input(BatchExecuted(None), 0) == NOTHING
    assert network.nodes[M0].handle_input(SuccessorKnown(successor()), 0) == NOTHING
    network.run()
    assert ends(network) == [[AnchorSigned(1, successor())]] * 4


def test_instances_tell_why_they_wait():
    instance = DEALT.consensus(M0)
    assert instance.status["phase"] == "nonces"
    assert not instance.status["proposed"]
    assert instance.proposal is None
    network = network_of(lambda node, output: ())
    for me in MEMBERS:
        take_part(network, me, propose())
    assert network.status()[M0]["proposed"]
    assert network.nodes[M0].proposal == propose().proposal
    network.run()
    assert network.status()[M0] == {"phase": "preparation", "requests": False, "entropy": "tossed"}
    network.give(M0, RequestsDelivered(tuple(sorted(REQUESTS[:2], key=lambda request: request.id))))
    execution = network.outputs_of(M0, ExecutionNeeded)[0]
    assert network.status()[M0]["phase"] == "execution"
    network.give(M0, BatchExecuted(essence_of(execution.batch, execution.entropy)))
    assert network.status()[M0] == {"phase": "signature", "signature": network.nodes[M0].signature.status}


def test_messages_that_come_twice_accuse_nobody_and_change_nothing():
    nodes: dict[NodeId, Any] = {me: DEALT.consensus(me) for me in MEMBERS}
    network = DuplicatingNetwork(nodes, CONSENSUS_CODEC, RandomOrder(2), answers=Owner())
    for me in MEMBERS:
        take_part(network, me, propose())
    network.run()
    assert [type(end) for [end] in ends(network)] == [AnchorSigned] * 4
    assert network.faults == []
