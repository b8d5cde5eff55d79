"""Whole instances of the consensus under an adversary or a stopwatch, with a stand-in for what the chain answers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ledger.kernel.automaton import NodeId
from ledger.kernel.encoding import Codec, digest, encode
from ledger.kernel.identity import deal_signer
from ledger.kernel.rng import stream
from ledger.output import AnchorOutput, KeyAddress, OutputId, chain_id
from ledger.transaction import Essence
from tests.harness.closed_forms import D
from tests.harness.committee import CHAIN, DealtCommittee
from tests.harness.consensus_checks import LIES, Liars, adversary, faulty_members
from tests.harness.virtual_network import TimedNetwork, VirtualNetwork
from wasp.consensus import batch_proposal
from wasp.consensus.batch_proposal import Aggregate, AnchorReference, Batch, BatchProposal, MemberProposal
from wasp.consensus.byzantine.lying import Gossiping, Lying, silent
from wasp.consensus.common_coin import CoinShare
from wasp.consensus.consensus import ConsensusMessage
from wasp.consensus.consensus_interface import (
    AnchorSigned,
    BatchExecuted,
    ExecutionNeeded,
    IndexSkipped,
    OpenInstance,
    OthersProposed,
    ProposeBatch,
    RequestsDelivered,
    RequestsNeeded,
)
from wasp.consensus.reliable_broadcast import Initial
from wasp.request import OffLedgerRequest, RequestId, call, sign_request
from wasp.signed_anchor import is_signed_anchor

CONSENSUS_CODEC: Codec[Any] = Codec(ConsensusMessage)
BASE = AnchorReference(OutputId(digest("base"), 0), 7)

REQUESTS: tuple[OffLedgerRequest, ...] = tuple(
    sign_request(deal_signer("model", 1, "user"), CHAIN, nonce, call("auction", "order", nonce)) for nonce in range(6)
)


def essence_of(batch: Batch, entropy: bytes, inputs: int = 1) -> Essence:
    """The anchor transaction that execution makes of a batch; here its state is the entropy."""
    chain = chain_id("test", CHAIN)
    anchor = AnchorOutput(100, chain, batch.base.state_index + 1, entropy, KeyAddress(digest("controller")))
    consumed = (batch.base.output_id, *(OutputId(digest("input"), place) for place in range(inputs - 1)))
    return Essence("test", batch.timestamp_proposed, consumed, (anchor,))


class Owner:
    """Answers the needs of instances: delivers known requests, executes by ``essence_of``."""

    def __init__(self, requests: Iterable[OffLedgerRequest] = REQUESTS) -> None:
        self._requests: Mapping[RequestId, OffLedgerRequest] = {request.id: request for request in requests}

    def __call__(self, node: NodeId, output: Any) -> Iterable[Any]:
        match output:
            case RequestsNeeded():
                yield RequestsDelivered(tuple(self._requests[request] for request in output.requests))
            case ExecutionNeeded():
                yield BatchExecuted(essence_of(output.batch, output.entropy))


def propose(time: int = 1_000, base: AnchorReference | None = BASE, requests: int = 2) -> ProposeBatch:
    """A proposal of the first few requests."""
    return ProposeBatch(BatchProposal(base, time, tuple(request.id for request in REQUESTS[:requests])))


def take_part(network: VirtualNetwork | TimedNetwork, me: NodeId, proposal: ProposeBatch) -> None:
    """The member opens the instance, and proposes."""
    network.give(me, OpenInstance())
    network.give(me, proposal)


def timed_instance(
    dealt: DealtCommittee, protocol: str, mute: Collection[int] = (), log_index: int = 1
) -> TimedNetwork:
    """An instance of this protocol by the stopwatch, run to its end; the members with these indices are silent."""
    nodes: dict[NodeId, Any] = {me: dealt.consensus(me, log_index, protocol) for me in dealt.members}
    faulty = [dealt.members[place] for place in mute]
    nodes |= {me: Lying(nodes[me], me, silent) for me in faulty}
    network = TimedNetwork(nodes, CONSENSUS_CODEC, D, faulty, Owner())
    for me in dealt.members:
        take_part(network, me, propose())
    network.run()
    return network


def check_instance(n: int, liars: Liars, seed: int) -> None:
    """All correct members end with one anchor, signed by n - f members, whatever the faulty ones do."""
    dealt = DealtCommittee(n)
    faulty = faulty_members(dealt, seed)
    nodes: dict[NodeId, Any] = {me: dealt.consensus(me) for me in dealt.members}
    for me in faulty:
        if liars == "gossiping":
            own = (CHAIN, 1, "broadcast", dealt.committee.index[me])
            nodes[me] = Gossiping(me, dealt.members, stream(seed, "gossip", me), (own,))
        else:
            nodes[me] = Lying(nodes[me], me, *LIES[liars])
    network = VirtualNetwork(nodes, CONSENSUS_CODEC, adversary(dealt.members, seed), faulty, Owner())
    for place, me in enumerate(dealt.members):
        take_part(network, me, propose(time=1_000 * place))
    network.run()
    ends = {me: network.outputs_of(me, AnchorSigned, IndexSkipped) for me in network.correct}
    assert all(len(end) == 1 and isinstance(end[0], AnchorSigned) for end in ends.values()), f"termination: {ends}"
    transactions = [end[0].transaction for end in ends.values()]
    assert len({transaction.id for transaction in transactions}) == 1, f"agreement: {ends}"
    for transaction in transactions:
        assert is_signed_anchor(transaction, BASE.output_id, dealt.committee, dealt.verifier), "signatures: valid"


def check_joining() -> None:
    """A member that holds its proposal back is told when f + 1 others have proposed, not before."""
    for n in (4, 5, 6, 7, 8, 9):
        dealt = DealtCommittee(n)
        instance = dealt.consensus(dealt.members[0])
        own = instance.handle_message(dealt.members[0], (CHAIN, 1, "broadcast", 0), Initial(b"proposal"), 0)
        assert not own.outputs, "too early: the own proposal is nobody else's"
        for place in range(1, dealt.committee.f + 2):
            path = (CHAIN, 1, "broadcast", place)
            step = instance.handle_message(dealt.members[place], path, Initial(b"proposal"), 0)
            told = OthersProposed(1) in step.outputs
            assert place > dealt.committee.f or not told, "too early: f proposals may be lies"
            assert place <= dealt.committee.f or told, "too late: one of f + 1 is correct"


def check_joining_deciders() -> None:
    """A member that a faulty leader left out is told when f + 1 others release their shares of the entropy, not before."""
    for n in (4, 5, 6, 7, 8, 9):
        dealt = DealtCommittee(n)
        instance = dealt.consensus(dealt.members[0], protocol="jolteon")
        told: list[OthersProposed] = []
        for count, sender in enumerate(dealt.members[1:], 1):
            step = instance.handle_message(sender, (CHAIN, 1, "entropy"), CoinShare(b"share"), 0)
            told.extend(output for output in step.outputs if isinstance(output, OthersProposed))
            assert count > dealt.committee.f or not told, "too early: f shares may be lies"
            assert count <= dealt.committee.f or told, "too late: one of f + 1 is correct"
        assert told == [OthersProposed(1)]


def decided(*proposals: BatchProposal | bytes) -> tuple[tuple[int, bytes], ...]:
    """The proposals as the subset decides them, by members 0, 1, ..."""
    return tuple(
        (member, proposal if isinstance(proposal, bytes) else encode(MemberProposal(proposal, b"")))
        for member, proposal in enumerate(proposals)
    )


def aggregate_of(payloads: Iterable[tuple[int, bytes]], f: int) -> Aggregate:
    """What a member makes of decided payloads."""
    proposals = batch_proposal.decode_proposals(tuple(payloads))
    return batch_proposal.aggregate({member: proposal.batch for member, proposal in proposals.items()}, f)


def check_aggregation() -> None:
    """Each quorum of the aggregation, from both sides, for a committee of four with one liar."""
    first, second = REQUESTS[0].id, REQUESTS[1].id
    lie = AnchorReference(OutputId(digest("lie"), 0), 99)

    def batch_of(*proposals: BatchProposal | bytes) -> Batch | None:
        aggregate = aggregate_of(decided(*proposals), 1)
        return aggregate if isinstance(aggregate, Batch) else None

    honest = BatchProposal(BASE, 20, (first,))
    empty = BatchProposal(None, 20, ())
    batch = batch_of(honest, honest, honest, BatchProposal(lie, 20, (first,)))
    assert batch is not None and batch.base == BASE, "a base that only liars know is not taken"
    ahead = AnchorReference(OutputId(digest("ahead"), 0), 8)
    batch = batch_of(honest, honest, BatchProposal(ahead, 20, ()), BatchProposal(ahead, 20, ()))
    assert batch is not None and batch.base == ahead, (
        "a base that a correct member knows is taken when it is the highest"
    )
    batch = batch_of(honest, honest, honest, BatchProposal(BASE, 20, (first, second)))
    assert batch is not None and batch.requests != tuple(sorted((first, second))), (
        "a request that only liars name is left"
    )
    batch = batch_of(honest, honest, BatchProposal(BASE, 20, ()), BatchProposal(BASE, 20, ()))
    assert batch is not None and batch.requests == (first,), "a request that a correct member names is taken"
    assert batch_of(honest, honest, honest, empty) is not None, "as many empty ones as liars are no reason to skip"
    assert batch_of(honest, honest, empty, empty) is None, "more empty ones than liars are a reason to skip"
    for count in (3, 4):
        times = [BatchProposal(BASE, 10 * place, ()) for place in range(1, count + 1)]
        batch = batch_of(*times)
        assert batch is not None and batch.timestamp_proposed == 10 * (count - 1), "time: the second latest of them"
