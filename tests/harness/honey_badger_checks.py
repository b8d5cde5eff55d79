"""What ``hbbft`` and ``mmr14`` promise, and the broadcasts and agreements they are made of, as checks under an adversary.

As in ``consensus_checks``: a check runs one committee once, by its seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Literal

from ledger.kernel.automaton import Automaton, Envelope, NodeId, Path
from ledger.kernel.encoding import Codec
from ledger.kernel.rng import stream
from tests.harness.committee import CHAIN, DealtCommittee
from tests.harness.consensus_checks import (
    adversary,
    faulty_members,
    keeps_agreement_promises,
    keeps_broadcast_promises,
    keeps_subset_promises,
)
from tests.harness.virtual_network import RandomOrder, Starving, VirtualNetwork
from wasp.consensus.avid_broadcast import AvidBroadcast, RootReady, ShardEcho
from wasp.consensus.binary_agreement import Aux, BitDecided, BVal, CoinLearned, CoinNeeded, VoteGiven
from wasp.consensus.byzantine.honey_badger import (
    GossipingHoneyBadger,
    bad_decryption_shares,
    codeless_proposer,
    equivocating_avid_proposer,
    future_flood,
    lying_confirmer,
    lying_shard_echoer,
    replaying,
    vals_of_payload,
    wrong_branches,
)
from wasp.consensus.byzantine.lying import (
    Lie,
    Lying,
    bad_shares,
    equivocating_proposer,
    lying_echoer,
    lying_voter,
    silent,
)
from wasp.consensus.committee_protocol import Membership, ProposalsDecided, Propose
from wasp.consensus.common_coin import REAL_SCHEDULE, CoinSchedule
from wasp.consensus.hbbft import HBBFT_SCHEDULE, DecryptionShares, HoneyBadger, HoneyBadgerMessage
from wasp.consensus.late_coin_agreement import Conf, LateCoinAgreement, Term
from wasp.consensus.mmr14 import Mmr14, Mmr14Message
from wasp.consensus.reliable_broadcast import BroadcastPayload, PayloadDelivered

CODEC: Codec[Any] = Codec(HoneyBadgerMessage | Mmr14Message)

Liars = Literal["silent", "lying", "codeless", "wrong branches", "bad shares", "flooding", "gossiping"]
LIES: dict[Liars, Sequence[Lie]] = {
    "silent": (silent,),
    "lying": (
        equivocating_avid_proposer,
        equivocating_proposer,
        lying_shard_echoer,
        lying_echoer,
        lying_voter,
        lying_confirmer,
    ),
    "codeless": (codeless_proposer,),
    "wrong branches": (wrong_branches,),
    "bad shares": (bad_shares, bad_decryption_shares),
    "flooding": (future_flood, replaying),
}
LIARS: tuple[Liars, ...] = (*LIES, "gossiping")

Variant = Literal["hbbft", "mmr14"]
SCHEDULES: dict[Variant, CoinSchedule] = {"hbbft": HBBFT_SCHEDULE, "mmr14": REAL_SCHEDULE}
PROTOCOLS: dict[Variant, Callable[[Membership], Any]] = {"hbbft": HoneyBadger, "mmr14": Mmr14}


def with_liars(
    dealt: DealtCommittee,
    liars: Liars,
    seed: int,
    honest: Callable[[NodeId], Automaton[Any, Any, Any]],
    faulty: Iterable[NodeId],
    own_broadcasts: Callable[[NodeId], Sequence[Path]],
) -> dict[NodeId, Automaton[Any, Any, Any]]:
    """The committee's automata, the faulty ones as liars of this kind."""
    nodes = {me: honest(me) for me in dealt.members}
    for me in faulty:
        if liars == "gossiping":
            nodes[me] = GossipingHoneyBadger(me, dealt.members, stream(seed, "gossip", me), own_broadcasts(me))
        else:
            nodes[me] = Lying(nodes[me], me, *LIES[liars])
    return nodes


def check_avid(n: int, liars: Liars, seed: int) -> None:
    """Agreement, totality, and validity when the proposer is correct."""
    dealt = DealtCommittee(n)
    faulty = faulty_members(dealt, seed)
    proposer = stream(seed, "proposer").choice(faulty) if seed % 4 else dealt.members[0]
    place = dealt.committee.index[proposer]
    path = (CHAIN, 1, "broadcast", place)
    nodes = with_liars(
        dealt, liars, seed, lambda me: AvidBroadcast(path, dealt.committee, place, me=me), faulty, lambda me: (path,)
    )
    network = VirtualNetwork(nodes, CODEC, adversary(dealt.members, seed), faulty)
    network.give(proposer, BroadcastPayload(b"payload"))
    network.run()
    keeps_broadcast_promises(network, proposer)


def check_late_coin(n: int, variant: Variant, liars: Liars, seed: int, unanimous: bool | None = None) -> None:
    """Agreement, validity and the decision of all."""
    dealt = DealtCommittee(n)
    faulty = faulty_members(dealt, seed)
    path = (CHAIN, 1, "agreement", 0)
    coins = [stream(seed, "coin", round).random() < 0.5 for round in range(200)]

    def toss(node: NodeId, output: Any) -> Iterable[Any]:
        if isinstance(output, CoinNeeded):
            yield CoinLearned(output.round, coins[output.round])

    make = partial(LateCoinAgreement, path, dealt.committee, SCHEDULES[variant], confirming=variant == "hbbft")
    nodes = with_liars(dealt, liars, seed, lambda me: make(), faulty, lambda me: ())
    network = VirtualNetwork(nodes, CODEC, adversary(dealt.members, seed), faulty, toss)
    rng = stream(seed, "votes")
    votes = {me: rng.random() < 0.5 if unanimous is None else unanimous for me in dealt.members}
    for me in dealt.members:
        network.give(me, VoteGiven(votes[me]))
    network.run()
    keeps_agreement_promises(network, votes)


def check_protocol(n: int, variant: Variant, liars: Liars, seed: int) -> None:
    """The same proposals everywhere, of at least n - 2f members (``mmr14``: n - f), true where the member is correct."""
    dealt = DealtCommittee(n)
    faulty = faulty_members(dealt, seed)
    nodes = with_liars(
        dealt,
        liars,
        seed,
        lambda me: PROTOCOLS[variant](dealt.membership(me)),
        faulty,
        lambda me: ((CHAIN, 1, "broadcast", dealt.committee.index[me]),),
    )
    network = VirtualNetwork(nodes, CODEC, adversary(dealt.members, seed), faulty)
    for me in dealt.members:
        network.give(me, Propose(me.encode()))
    network.run()
    size = dealt.committee.waiting - (dealt.committee.f if variant == "hbbft" else 0)
    keeps_subset_promises(network, dealt, size)


def check_confirmations() -> None:
    """The share of a real coin is released when n - f members have confirmed, not before."""
    for n in (4, 5, 6, 7, 8, 9):
        dealt = DealtCommittee(n)
        path: Path = (CHAIN, 1, "agreement", 0)
        agreement = LateCoinAgreement(path, dealt.committee, REAL_SCHEDULE)
        steps = [agreement.handle_input(VoteGiven(True), 0)]
        for vote in (BVal(0, True), Aux(0, True)):
            steps += [agreement.handle_message(sender, path, vote, 0) for sender in dealt.members]
        assert not any(step.outputs for step in steps), "too early: nobody has confirmed"
        for count, sender in enumerate(dealt.members, 1):
            step = agreement.handle_message(sender, path, Conf(0, 2), 0)
            released = CoinNeeded(0) in step.outputs
            assert count >= dealt.committee.waiting or not released, f"too early: {count} of {n}"
            assert count != dealt.committee.waiting or released, f"too late: {count} of {n}"


def check_ends() -> None:
    """Who hears from f + 1 that they have ended in rounds behind ends with them, not with f."""
    for n in (4, 5, 6, 7, 8, 9):
        dealt = DealtCommittee(n)
        path: Path = (CHAIN, 1, "agreement", 0)
        agreement = LateCoinAgreement(path, dealt.committee, HBBFT_SCHEDULE)
        steps = [agreement.handle_input(VoteGiven(False), 0)]
        for vote in (BVal(0, False), Aux(0, False)):  # the coin is 1: nothing is decided in round 0
            steps += [agreement.handle_message(sender, path, vote, 0) for sender in dealt.members]
        assert agreement.round == 1
        for count, sender in enumerate(dealt.members[: dealt.committee.f + 1], 1):
            steps.append(agreement.handle_message(sender, path, Term(0, False), 0))
            decided = BitDecided(False) in steps[-1].outputs
            assert count > dealt.committee.f or not decided, f"too early: {count} of {n}"
            assert count <= dealt.committee.f or decided, f"too late: {count} of {n}"
        assert Envelope(dealt.members, path, Term(0, False)) in steps[-1].messages


def check_late_shards() -> None:
    """Who hears of readiness before shards delivers with n - 2f of them, not with fewer."""
    for n in (4, 5, 6, 7, 8, 9):
        dealt = DealtCommittee(n)
        path: Path = (CHAIN, 1, "broadcast", 0)
        vals = vals_of_payload(b"payload", n)
        broadcast = AvidBroadcast(path, dealt.committee, 0, me=dealt.members[0])
        steps = [broadcast.handle_message(sender, path, RootReady(vals[0].root), 0) for sender in dealt.members]
        assert not any(step.outputs for step in steps)
        for count, (sender, val) in enumerate(zip(dealt.members, vals, strict=True), 1):
            step = broadcast.handle_message(sender, path, ShardEcho(val.root, val.branch, val.shard), 0)
            delivered = PayloadDelivered(b"payload") in step.outputs
            assert not step.faults, f"too early: {count} shards of {n} were decoded"
            assert count != n - 2 * dealt.committee.f or delivered, f"too late: {count} of {n}"


def run_without_codeword(n: int, seed: int) -> VirtualNetwork:
    """A broadcast of shards that are no payload's, with branches that are valid."""
    dealt = DealtCommittee(n)
    proposer = dealt.members[0]
    path: Path = (CHAIN, 1, "broadcast", 0)
    nodes: dict[NodeId, Any] = {me: AvidBroadcast(path, dealt.committee, 0, me=me) for me in dealt.members}
    nodes[proposer] = Lying(nodes[proposer], proposer, codeless_proposer)
    network = VirtualNetwork(nodes, CODEC, RandomOrder(seed), (proposer,))
    network.give(proposer, BroadcastPayload(b"payload"))
    network.run()
    return network


def check_opening() -> None:
    """With the shares of f + 1 members the ciphertexts are open, with those of f they are not."""
    for n in (4, 5, 6, 7):
        dealt = DealtCommittee(n)
        order = Starving(n, lambda item: isinstance(item.message, DecryptionShares))
        network = VirtualNetwork(dealt.each(HoneyBadger), CODEC, order)
        for me in dealt.members:
            network.give(me, Propose(me.encode()))
        while any(not isinstance(item.message, DecryptionShares) for item in network.pending):
            assert network.crank()
        while network.crank():
            for me in dealt.members:
                heard = n - sum(item.recipient == me for item in network.pending)
                opened = bool(network.outputs_of(me, ProposalsDecided))
                assert heard > dealt.committee.f or not opened, f"too early: {heard} of {n}"
                assert heard <= dealt.committee.f or opened, f"too late: {heard} of {n}"
