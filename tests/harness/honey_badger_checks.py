"""What ``hbbft`` and ``mmr14`` promise, and the broadcasts and agreements they are made of, as checks under an adversary.

As in ``consensus_checks``: a check runs one committee once, by its seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Literal

from ledger.kernel.automaton import Automaton, NodeId, Path
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
from tests.harness.virtual_network import VirtualNetwork
from wasp.consensus.avid_broadcast import AvidBroadcast
from wasp.consensus.binary_agreement import CoinLearned, CoinNeeded, VoteGiven
from wasp.consensus.byzantine import Lie, Lying, bad_shares, equivocating_proposer, lying_echoer, lying_voter, silent
from wasp.consensus.byzantine_honey_badger import (
    GossipingHoneyBadger,
    bad_decryption_shares,
    codeless_proposer,
    equivocating_avid_proposer,
    future_flood,
    lying_confirmer,
    lying_shard_echoer,
    replaying,
    wrong_branches,
)
from wasp.consensus.committee_protocol import Membership, Propose
from wasp.consensus.common_coin import REAL_SCHEDULE, CoinSchedule
from wasp.consensus.hbbft import HBBFT_SCHEDULE, HoneyBadger, HoneyBadgerMessage
from wasp.consensus.late_coin_agreement import LateCoinAgreement
from wasp.consensus.mmr14 import Mmr14, Mmr14Message
from wasp.consensus.reliable_broadcast import BroadcastPayload

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
