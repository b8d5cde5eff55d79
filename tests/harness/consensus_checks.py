"""What a committee's protocols promise, as checks under an adversary: ``AssertionError`` when a promise is broken.

A check runs one committee once, by its seed: the order of messages, the inputs and what the liars say are drawn from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from ledger.kernel.automaton import Automaton, NodeId, Path
from ledger.kernel.encoding import Codec
from ledger.kernel.rng import stream
from tests.harness.committee import CHAIN, DealtCommittee
from tests.harness.virtual_network import (
    Adversary,
    LatestFirst,
    RandomOrder,
    VirtualNetwork,
    partition,
    slow_recipients,
)
from wasp.consensus.binary_agreement import (
    AgreementMessage,
    Aux,
    BinaryAgreement,
    BitDecided,
    BVal,
    CoinLearned,
    CoinNeeded,
    Done,
    VoteGiven,
)
from wasp.consensus.byzantine.lying import (
    Gossiping,
    Lie,
    Lying,
    bad_shares,
    equivocating_proposer,
    lying_echoer,
    lying_voter,
    silent,
)
from wasp.consensus.committee_protocol import ProposalsDecided, Propose
from wasp.consensus.common_coin import WASP_SCHEDULE, CoinShare, CoinTossed, CommonCoin, ReleaseShare
from wasp.consensus.common_subset import CommonSubset, SubsetMessage
from wasp.consensus.reliable_broadcast import BroadcastMessage, BroadcastPayload, PayloadDelivered, ReliableBroadcast

BROADCAST_CODEC: Codec[Any] = Codec(BroadcastMessage)
AGREEMENT_CODEC: Codec[Any] = Codec(AgreementMessage)
SUBSET_CODEC: Codec[Any] = Codec(SubsetMessage)

Liars = Literal["silent", "lying", "gossiping", "bad shares"]
LIARS: tuple[Liars, ...] = ("silent", "lying", "gossiping", "bad shares")
LIES: dict[Liars, Sequence[Lie]] = {
    "silent": (silent,),
    "lying": (equivocating_proposer, lying_echoer, lying_voter),
    "bad shares": (bad_shares,),
}


def adversary(members: Sequence[NodeId], seed: int) -> Adversary:
    """One of the orders, with its parts drawn by the seed."""
    rng = stream(seed, "adversary")
    group = rng.sample(list(members), max(1, len(members) // 2))
    kinds: tuple[Callable[[], Adversary], ...] = (
        lambda: RandomOrder(seed),
        lambda: RandomOrder(seed),
        LatestFirst,
        lambda: partition(seed, group),
        lambda: slow_recipients(seed, group[:1]),
    )
    return kinds[seed % len(kinds)]()


def faulty_members(dealt: DealtCommittee, seed: int, beyond: int = 0) -> tuple[NodeId, ...]:
    """As many members as the committee survives, or more."""
    return tuple(stream(seed, "faulty").sample(list(dealt.members), dealt.committee.f + beyond))


def with_liars(
    dealt: DealtCommittee,
    liars: Liars,
    seed: int,
    honest: Callable[[NodeId], Automaton[Any, Any, Any]],
    faulty: Iterable[NodeId],
    own_broadcasts: Callable[[NodeId], Sequence[Path]],
) -> dict[NodeId, Automaton[Any, Any, Any]]:
    """The committee's automata, the faulty ones as liars of this kind."""
    nodes: dict[NodeId, Automaton[Any, Any, Any]] = {me: honest(me) for me in dealt.members}
    for me in faulty:
        if liars == "gossiping":
            nodes[me] = Gossiping(me, dealt.members, stream(seed, "gossip", me), own_broadcasts(me))
        else:
            nodes[me] = Lying(nodes[me], me, *LIES[liars])
    return nodes


def check_broadcast(n: int, liars: Liars, seed: int, beyond: int = 0) -> None:
    """Agreement, totality, and validity when the proposer is correct."""
    dealt = DealtCommittee(n)
    faulty = faulty_members(dealt, seed, beyond)
    proposer = stream(seed, "proposer").choice(faulty or dealt.members) if seed % 4 else dealt.members[0]
    path = (CHAIN, 1, "broadcast", dealt.committee.index[proposer])
    nodes = with_liars(
        dealt,
        liars,
        seed,
        lambda me: ReliableBroadcast(path, dealt.committee, dealt.committee.index[proposer]),
        faulty,
        lambda me: (path,),
    )
    network = VirtualNetwork(nodes, BROADCAST_CODEC, adversary(dealt.members, seed), faulty)
    network.give(proposer, BroadcastPayload(b"payload"))
    network.run()
    keeps_broadcast_promises(network, proposer)


def keeps_broadcast_promises(network: VirtualNetwork, proposer: NodeId) -> None:
    """Agreement, totality, and validity when the proposer, who proposed ``b"payload"``, is correct."""
    delivered = {me: network.outputs_of(me, PayloadDelivered) for me in network.correct}
    first = delivered[network.correct[0]]
    values = {output.payload for outputs in delivered.values() for output in outputs}
    assert len(values) <= 1, f"agreement: {delivered}"
    assert all(outputs == first for outputs in delivered.values()), f"totality: {delivered}"
    if proposer in network.correct:
        assert first == [PayloadDelivered(b"payload")], f"validity: {first}"


def check_agreement(n: int, liars: Liars, seed: int, unanimous: bool | None = None) -> None:
    """Agreement, validity and the decision of all."""
    dealt = DealtCommittee(n)
    faulty = faulty_members(dealt, seed)
    path = (CHAIN, 1, "agreement", 0)
    coins = [stream(seed, "coin", round).random() < 0.5 for round in range(200)]

    def toss(node: NodeId, output: Any) -> Iterable[Any]:
        if isinstance(output, CoinNeeded):
            yield CoinLearned(output.round, coins[output.round])

    nodes = with_liars(
        dealt, liars, seed, lambda me: BinaryAgreement(path, dealt.committee, WASP_SCHEDULE), faulty, lambda me: ()
    )
    network = VirtualNetwork(nodes, AGREEMENT_CODEC, adversary(dealt.members, seed), faulty, toss)
    rng = stream(seed, "votes")
    votes = {me: rng.random() < 0.5 if unanimous is None else unanimous for me in dealt.members}
    for me in dealt.members:
        network.give(me, VoteGiven(votes[me]))
    network.run()
    keeps_agreement_promises(network, votes)


def keeps_agreement_promises(network: VirtualNetwork, votes: Mapping[NodeId, bool]) -> None:
    """Agreement, validity and the decision of all."""
    decisions = {me: network.outputs_of(me, BitDecided) for me in network.correct}
    first = decisions[network.correct[0]]
    assert first, f"termination: {network.status()}"
    assert len({bit.value for bits in decisions.values() for bit in bits}) == 1, f"agreement: {decisions}"
    assert all(bits == first for bits in decisions.values()), f"termination: {decisions} {network.status()}"
    assert first[0].value in {votes[me] for me in network.correct}, "validity: the vote of a correct member"


def check_subset(n: int, liars: Liars, seed: int) -> None:
    """The same proposals everywhere, of at least n - f members, true where the member is correct."""
    dealt = DealtCommittee(n)
    faulty = faulty_members(dealt, seed)
    nodes = with_liars(
        dealt,
        liars,
        seed,
        lambda me: CommonSubset(dealt.membership(me)),
        faulty,
        lambda me: ((CHAIN, 1, "broadcast", dealt.committee.index[me]),),
    )
    network = VirtualNetwork(nodes, SUBSET_CODEC, adversary(dealt.members, seed), faulty)
    for me in dealt.members:
        network.give(me, Propose(me.encode()))
    network.run()
    keeps_subset_promises(network, dealt, dealt.committee.waiting)


def keeps_subset_promises(network: VirtualNetwork, dealt: DealtCommittee, size: int) -> None:
    """The same proposals everywhere, of so many members at least, true where the member is correct."""
    decided = {me: network.outputs_of(me, ProposalsDecided) for me in network.correct}
    first = decided[network.correct[0]]
    assert first, f"termination: {network.status()}"
    assert len({output for outputs in decided.values() for output in outputs}) == 1, f"agreement: {decided}"
    assert all(outputs == first for outputs in decided.values()), f"termination: {network.status()}"
    proposals = dict(first[0].proposals)
    assert len(proposals) >= size, f"size: {sorted(proposals)}"
    for me in network.correct:
        assert proposals.get(dealt.committee.index[me], me.encode()) == me.encode(), f"validity: {proposals}"


def check_latecomer_terminates() -> None:
    """Who decides after f + 1 others needs no further round; after f, one more is needed."""
    dealt = DealtCommittee(4)
    path: Path = (CHAIN, 1, "agreement", 0)
    m0, m1, m2, m3 = dealt.members
    for done, expected in (((m1,), False), ((m1, m2), True)):
        agreement = BinaryAgreement(path, dealt.committee, WASP_SCHEDULE)
        messages: list[tuple[NodeId, Any]] = [(sender, Done(0)) for sender in done]
        messages += [(sender, BVal(0, True)) for sender in (m0, m1, m2)]
        messages += [(sender, BVal(0, False)) for sender in (m1, m2, m3)]
        messages += [(m0, Aux(0, True)), (m1, Aux(0, True)), (m2, Aux(0, False))]
        messages += [(sender, vote(1, True)) for vote in (BVal, Aux) for sender in (m0, m1, m2)]
        steps = [agreement.handle_input(VoteGiven(True), 0)]
        steps += [agreement.handle_message(sender, path, message, 0) for sender, message in messages]
        assert [output for step in steps for output in step.outputs] == [BitDecided(True)]
        assert agreement.terminated == expected, f"termination: {len(done)} done before, {agreement.status}"


def check_coin() -> None:
    """With f + 1 members who release their shares the value is known to all of them, with f it is not."""
    for n in (4, 5, 6, 7):
        dealt = DealtCommittee(n)
        path: Path = (CHAIN, 1, "coin", 0, 4)
        for releasing in (dealt.committee.f, dealt.committee.f + 1):
            coins = {me: CommonCoin(path, dealt.committee, dealt.keys[me].coin) for me in dealt.members}
            network = VirtualNetwork(coins, Codec(CoinShare), RandomOrder(n))
            for me in dealt.members[:releasing]:
                network.give(me, ReleaseShare())
            network.run()
            tossed = [output for me in dealt.members for output in network.outputs_of(me, CoinTossed)]
            assert releasing > dealt.committee.f or not tossed, "secrecy: f shares must not tell the coin"
            assert releasing <= dealt.committee.f or len(tossed) == releasing, "liveness: f + 1 shares tell the coin"
            assert len(set(tossed)) <= 1
