"""Whole instances of every protocol with Byzantine members of every kind, as checks: ``AssertionError`` for a broken promise.

A check runs one committee once, by its seed: who is faulty (the first leaders, or any), what they say and propose, who holds
its proposal back, the order of messages, and which timers expire before messages that are on their way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import msgspec

from ledger.kernel.automaton import Automaton, NodeId
from ledger.kernel.encoding import digest
from ledger.kernel.rng import Stream, stream
from ledger.output import OutputId
from tests.harness.committee import CHAIN, DealtCommittee
from tests.harness.consensus_checks import adversary
from tests.harness.consensus_instances import BASE, CONSENSUS_CODEC, REQUESTS, Owner, essence_of, propose
from tests.harness.instance_lies import IllPrepared, Replaying, flooding
from tests.harness.leader_checks import HastyNetwork
from tests.harness.nonce_checks import WrongDealer, hasty
from tests.harness.signature_checks import RememberingKey, lying_coordinator, two_faced, unhelpful, unresponsive
from tests.harness.virtual_network import Pending, Starving, VirtualNetwork
from wasp.consensus.batch_proposal import AnchorReference, BatchProposal
from wasp.consensus.byzantine.honey_badger import (
    GossipingHoneyBadger,
    bad_decryption_shares,
    codeless_proposer,
    equivocating_avid_proposer,
    lying_confirmer,
    lying_shard_echoer,
    wrong_branches,
)
from wasp.consensus.byzantine.leaders import TwoFaced, bad_signatures, withholding_leader
from wasp.consensus.byzantine.lying import (
    Gossiping,
    Lie,
    Lying,
    bad_shares,
    equivocating_proposer,
    false_implicator,
    lying_echoer,
    lying_voter,
    silent,
)
from wasp.consensus.byzantine.phases import Conspiracy, Conspirator
from wasp.consensus.byzantine.twins import SIDES, OfLife, Twins
from wasp.consensus.committee_protocol import Membership
from wasp.consensus.consensus import Consensus
from wasp.consensus.consensus_interface import (
    AnchorSigned,
    BatchDecided,
    BatchExecuted,
    ExecutionNeeded,
    IndexSkipped,
    OpenInstance,
    OthersProposed,
    ProposeBatch,
)
from wasp.consensus.leaders.certified_phases import CertifiedPhases
from wasp.consensus.leaders.leadership import LeaderProtocol
from wasp.consensus.leaders.vote import Notary
from wasp.consensus.protocols import PROTOCOLS
from wasp.signed_anchor import is_signed_anchor

InstanceLiars = Literal[
    "silent", "twins", "equivocating", "lying", "bad shares", "wrong proofs", "signing", "replaying", "flooding", "tempting"
]  # fmt: skip
INSTANCE_LIARS: tuple[InstanceLiars, ...] = (
    "silent",
    "twins",
    "equivocating",
    "lying",
    "bad shares",
    "wrong proofs",
    "signing",
    "replaying",
    "flooding",
    "tempting",
)
TIMES = range(1_000, 2_000)
"""What the clocks of correct members show."""


@dataclass(frozen=True)
class Scene:
    """A committee in one log index, and who of it is faulty in which way."""

    protocol: str
    dealt: DealtCommittee
    liars: InstanceLiars
    seed: int
    faulty: tuple[NodeId, ...]

    @property
    def log_index(self) -> int:
        return self.seed % self.dealt.committee.n + 1

    @property
    def led(self) -> bool:
        return isinstance(PROTOCOLS[self.protocol](self.membership(self.dealt.members[0])), LeaderProtocol)

    def rng(self, *label: str) -> Stream:
        return stream(self.seed, "liars", *label)

    @cached_property
    def correct(self) -> tuple[NodeId, ...]:
        return tuple(me for me in self.dealt.members if me not in self.faulty)

    @cached_property
    def sides(self) -> tuple[tuple[NodeId, ...], tuple[NodeId, ...]]:
        """Two halves of the correct members."""
        mixed = self.rng("sides").sample(self.correct, len(self.correct))
        return tuple(mixed[: len(mixed) // 2]), tuple(mixed[len(mixed) // 2 :])

    def is_across(self, item: Pending) -> bool:
        """Whether a message is from one half to the other."""
        first, second = self.sides
        return (item.sender in first and item.recipient in second) or (
            item.sender in second and item.recipient in first
        )

    @cached_property
    def conspiracy(self) -> Conspiracy:
        protocol = PROTOCOLS[self.protocol]
        assert isinstance(protocol, type) and issubclass(protocol, CertifiedPhases)
        return Conspiracy(protocol, [self.membership(me) for me in self.faulty], self.rng("conspiracy"))

    @cached_property
    def signed(self) -> dict[bytes, Any]:
        """What nonces of correct members have signed."""
        return {}

    def membership(self, me: NodeId) -> Membership:
        """A member's place."""
        return self.dealt.membership(me, self.log_index)

    def instance(self, me: NodeId, **keys: Any) -> Consensus:
        """The honest code, with some keys replaced."""
        place = self.membership(me)
        own = msgspec.structs.replace(place.keys, **keys)
        path, committee = (CHAIN, self.log_index), self.dealt.committee
        signer, verifier = place.signer, place.verifier
        return Consensus(path, committee, me, signer, verifier, own, place.rng, self.protocol, place.times)

    def member(self, me: NodeId) -> Automaton[Any, Any, Any]:
        """A correct one, whose nonces must not sign twice, or a liar."""
        if me in self.faulty:
            return LIARS[self.liars](self, me)
        signing: Any = RememberingKey(self.dealt.keys[me].signing, self.signed)
        return self.instance(me, signing=signing)


def _twins(scene: Scene, me: NodeId) -> Automaton[Any, Any, Any]:
    return Twins(me, [scene.instance(me) for _ in SIDES], scene.sides)


def _equivocating(scene: Scene, me: NodeId) -> Automaton[Any, Any, Any]:
    """Two proposals, and in protocols with a leader two lists and two votes as well."""
    instance: Any = scene.instance(me)
    if scene.led:
        instance.protocol = TwoFaced(instance.protocol, scene.membership(me), scene.rng("two-faced", me))
    return Lying(instance, me, equivocating_proposer, equivocating_avid_proposer)


def _lying(scene: Scene, me: NodeId) -> Automaton[Any, Any, Any]:
    lies = (lying_echoer, lying_voter, lying_shard_echoer, lying_confirmer, false_implicator, withholding_leader)
    return Lying(scene.instance(me), me, *lies)


def _with_bad_shares(scene: Scene, me: NodeId) -> Automaton[Any, Any, Any]:
    return Lying(scene.instance(me), me, bad_shares, bad_decryption_shares)


def _with_wrong_proofs(scene: Scene, me: NodeId) -> Automaton[Any, Any, Any]:
    """Branches that prove nothing or no payload, dealings with wrong shares, signatures that are none, ill preparations."""
    rng = scene.rng("proofs", me)
    cheated = rng.sample(range(scene.dealt.committee.n), rng.randrange(scene.dealt.committee.n + 1))
    dealer: Any = WrongDealer(scene.dealt.keys[me].nonces, scene.dealt.committee.n, cheated)
    instance: Any = scene.instance(me, nonces=dealer)
    if rng.random() < 0.5:
        preparation = rng.choice((b"", bytes(64), rng.randbytes(64), rng.randbytes(1)))
        instance.signature = IllPrepared(instance.signature, preparation)
    branches = codeless_proposer if rng.random() < 0.5 else wrong_branches
    return Lying(instance, me, bad_signatures, branches, hasty(rng))


def _signing(scene: Scene, me: NodeId) -> Automaton[Any, Any, Any]:
    """Honest until the batch is executed (some sign another anchor: see ``Owners``), then no longer."""
    rng = scene.rng("signing", me)
    spoilt: Any = RememberingKey(scene.dealt.keys[me].signing, {})
    spoilt.spoilt = rng.random() < 0.7
    lie: Lie = rng.choice((two_faced, unresponsive, lying_coordinator(rng), bad_shares))
    return Lying(scene.instance(me, signing=spoilt), me, unhelpful, lie)


def _replaying(scene: Scene, me: NodeId) -> Automaton[Any, Any, Any]:
    others = [member for member in scene.dealt.members if member != me]
    return Replaying(scene.instance(me), me, others, scene.rng("replaying", me))


def _flooding(scene: Scene, me: NodeId) -> Automaton[Any, Any, Any]:
    notary = None
    if scene.led:
        notary = Notary(scene.membership(me), (CHAIN, scene.log_index, scene.protocol))
    return Lying(scene.instance(me), me, flooding(notary))


def _tempting(scene: Scene, me: NodeId) -> Automaton[Any, Any, Any]:
    """Whatever may make honest members go wrong: gossips, conspirators, faces and bad shares."""
    rng, members = scene.rng("tempting", me), scene.dealt.members
    own = [(CHAIN, scene.log_index, leaf, scene.dealt.committee.index[me]) for leaf in ("broadcast", "signature")]
    if scene.protocol == "wasp":
        return Gossiping(me, members, rng, own)
    if not scene.led:
        return GossipingHoneyBadger(me, members, rng, own[:1])
    instance: Any = scene.instance(me)
    if isinstance(instance.protocol, CertifiedPhases):
        instance.protocol = Conspirator(me, scene.conspiracy)
    else:
        instance.protocol = TwoFaced(instance.protocol, scene.membership(me), rng)
    return Lying(instance, me, two_faced, lying_coordinator(rng))


LIARS: Mapping[InstanceLiars, Callable[[Scene, NodeId], Automaton[Any, Any, Any]]] = {
    "silent": lambda scene, me: Lying(scene.instance(me), me, silent),
    "twins": _twins,
    "equivocating": _equivocating,
    "lying": _lying,
    "bad shares": _with_bad_shares,
    "wrong proofs": _with_wrong_proofs,
    "signing": _signing,
    "replaying": _replaying,
    "flooding": _flooding,
    "tempting": _tempting,
}


class Owners:
    """Members' chains: they propose, some when others have; liars propose what they like, some execute what they like."""

    def __init__(self, scene: Scene) -> None:
        rng = scene.rng("owners")
        self._scene = scene
        self._answers = Owner()
        f = scene.dealt.committee.f
        self._waiting = set(rng.sample(scene.correct, f if scene.seed % 3 and len(scene.faulty) <= f else 0))
        self._times = {me: rng.choice(TIMES) for me in scene.dealt.members}
        self._divergent = {me for me in scene.faulty if scene.liars == "signing" and rng.random() < 0.5}

    def begin(self, network: VirtualNetwork) -> None:
        """All take part."""
        for me in self._scene.dealt.members:
            if isinstance(network.nodes[me], Twins):
                for side in SIDES:
                    network.give(me, OfLife(side, OpenInstance()))
                    network.give(me, OfLife(side, self.proposal(me, side)))
            else:
                network.give(me, OpenInstance())
                if me not in self._waiting:
                    network.give(me, self.proposal(me))

    def proposal(self, me: NodeId, life: int = 0) -> ProposeBatch:
        honest = propose(self._times[me] + life, requests=3)
        if me not in self._scene.faulty or self._scene.liars == "twins":
            return honest
        rng = self._scene.rng("proposal", me)
        requests = tuple(request.id for request in REQUESTS)
        lies = (
            BatchProposal(None, self._times[me], ()),
            BatchProposal(AnchorReference(OutputId(digest("lie"), 0), 99), 0, requests),
            BatchProposal(BASE, 2**62, requests),
            BatchProposal(BASE, 0, ()),
        )
        return ProposeBatch(rng.choice(lies)) if rng.random() < 0.7 else honest

    def __call__(self, node: NodeId, output: Any) -> Iterable[Any]:
        if isinstance(output, OfLife):
            yield from (OfLife(output.side, answer) for answer in self(node, output.fact))
        elif isinstance(output, OthersProposed) and node in self._waiting:
            self._waiting.remove(node)
            yield self.proposal(node)
        elif isinstance(output, ExecutionNeeded) and node in self._divergent:
            yield BatchExecuted(essence_of(output.batch, digest("another")))
        else:
            yield from self._answers(node, output)


def scene_of(protocol: str, n: int, liars: InstanceLiars, seed: int, beyond: int = 0) -> Scene:
    """As many liars as the committee survives, or more; the sequencer is trusted, unless there are more."""
    dealt = DealtCommittee(n)
    count = dealt.committee.f + beyond
    rng = stream(seed, "faulty")
    log_index = seed % n + 1
    first = tuple(dealt.members[(log_index + view) % n] for view in range(count))
    if protocol == "sequencer":
        faulty = dealt.members[:count] if beyond else tuple(rng.sample(dealt.members[1:], count))
    else:
        faulty = first if seed % 2 or beyond else tuple(rng.sample(dealt.members, count))
    return Scene(protocol, dealt, liars, seed, faulty)


def network_of(scene: Scene) -> HastyNetwork:
    """The committee at its beginning."""
    divided = scene.liars == "twins" and scene.seed % 2 == 0
    order = Starving(scene.seed, scene.is_across) if divided else adversary(scene.dealt.members, scene.seed)
    owners = Owners(scene)
    nodes = {me: scene.member(me) for me in scene.dealt.members}
    network = HastyNetwork(scene.seed, nodes, CONSENSUS_CODEC, order, scene.faulty, owners)
    owners.begin(network)
    return network


def check_liars(protocol: str, n: int, liars: InstanceLiars, seed: int) -> None:
    """One batch, one anchor, signed by the committee, known to every correct member, whatever f members do."""
    scene = scene_of(protocol, n, liars, seed)
    network = network_of(scene)
    instances: dict[NodeId, Any] = {me: network.nodes[me] for me in network.correct}
    network.run(200_000, until=lambda: not network.pending and all(each.ended for each in instances.values()))
    decided = {me: network.outputs_of(me, BatchDecided) for me in network.correct}
    ends = {me: network.outputs_of(me, AnchorSigned, IndexSkipped) for me in network.correct}
    assert len({output for outputs in decided.values() for output in outputs}) == 1, f"agreement: {decided}"
    assert all(len(end) == 1 and isinstance(end[0], AnchorSigned) for end in ends.values()), f"totality: {ends}"
    transactions = [end[0].transaction for end in ends.values()]
    assert len({transaction.id for transaction in transactions}) == 1, f"agreement: {ends}"
    for transaction in transactions:
        signed = is_signed_anchor(transaction, BASE.output_id, scene.dealt.committee, scene.dealt.verifier)
        assert signed, f"signature: {transaction}"
    batch = decided[network.correct[0]][0].batch
    assert batch.base == BASE and batch.timestamp_proposed in TIMES, f"validity: {batch}"
    assert set(batch.requests) == {request.id for request in REQUESTS[:3]}, f"validity: {batch}"


def anchors_beyond(protocol: str, n: int, seed: int) -> set[Any]:
    """The ids of the anchors that the committee has signed on one base, while two halves hear from f + 1 twins alone."""
    scene = scene_of(protocol, n, "twins", seed, beyond=1)
    nodes = {me: scene.member(me) for me in scene.dealt.members}
    owners = Owners(scene)
    network = VirtualNetwork(nodes, CONSENSUS_CODEC, Starving(seed, scene.is_across), scene.faulty, owners)
    owners.begin(network)
    network.run(until=lambda: all(scene.is_across(item) for item in network.pending))
    ends = [end for me in network.correct for end in network.outputs_of(me, AnchorSigned)]
    for end in ends:
        assert is_signed_anchor(end.transaction, BASE.output_id, scene.dealt.committee, scene.dealt.verifier)
    return {end.transaction.id for end in ends}
