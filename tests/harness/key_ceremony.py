"""Ceremonies of distributed key generation on a network with clocks, and what they promise."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations, count
from typing import Any

import msgspec

from ledger.kernel.automaton import Automaton, NodeId, Path, Step, StepBuilder
from ledger.kernel.encoding import Codec, encode
from ledger.kernel.group import base_times, lagrange
from ledger.kernel.instant import Duration, Instant
from ledger.kernel.key_share import KeyShare
from ledger.kernel.rng import stream
from tests.harness.committee import CHAIN, DealtCommittee
from tests.harness.consensus_checks import faulty_members
from tests.harness.virtual_network import Pending, _Network
from wasp.consensus.byzantine.lying import Lying, equivocating_proposer, lying_echoer, lying_voter, silent
from wasp.consensus.committee_protocol import CommitteeProtocol, ProposalsDecided, Propose
from wasp.consensus.dealer_case import RevealedShares
from wasp.consensus.distributed_key import (
    DistributedKey,
    DistributedKeyMessage,
    GenerateKeys,
    GenerationFailed,
    KeysGenerated,
    key_thresholds,
)
from wasp.consensus.leaders.pbft import Pbft, PbftMessage
from wasp.consensus.protocol_times import ProtocolTimes

D: Duration = 1_000
"""The longest delay that the ceremony counts on."""
VIEW_TIMEOUT: Duration = 10 * D
NEVER: Instant = 2**60
PATH: Path = (CHAIN, "keys")
CODEC: Codec[Any] = Codec(DistributedKeyMessage | PbftMessage)
Delays = Callable[[Pending], Duration | None]
"""How long a message takes; None: it is lost."""


class ClockedNetwork(_Network):
    """Messages take as long as a function says; deadlines and starts come at their time, before messages of the instant."""

    def __init__(
        self,
        nodes: Mapping[NodeId, Automaton[Any, Any, Any]],
        starts: Mapping[NodeId, Instant],
        delays: Delays,
        faulty: Iterable[NodeId],
    ) -> None:
        super().__init__(nodes, CODEC, faulty)
        self._starts = sorted((instant, node) for node, instant in starts.items())
        self._delays = delays
        self._order = count()
        self._arrivals: list[tuple[Instant, int, Pending]] = []
        self._places = {node: place for place, node in enumerate(nodes)}
        self._deadlines = [(NEVER, node) for node in nodes]

    def run(self) -> None:
        while True:
            start = self._starts[0][0] if self._starts else NEVER
            deadline, timed = min(self._deadlines)
            arrival = self._arrivals[0][0] if self._arrivals else NEVER
            if (instant := min(start, deadline, arrival)) == NEVER:
                return
            self.now = max(self.now, instant)
            if start <= self.now:
                self.give(self._starts.pop(0)[1], GenerateKeys())
            elif deadline <= self.now:
                self._take(timed, self.nodes[timed].handle_timer(self.now))
            else:
                self._deliver(heapq.heappop(self._arrivals)[2])

    def _take(self, node: NodeId, step: Any) -> None:
        super()._take(node, step)
        deadline = self.nodes[node].deadline
        self._deadlines[self._places[node]] = (NEVER if deadline is None else deadline, node)

    def _send(self, item: Pending) -> None:
        delay = self._delays(item)
        if delay is not None:
            heapq.heappush(self._arrivals, (self.now + delay, next(self._order), item))


class BadDealer(DistributedKey):
    """Tells some members wrong shares of some keys, and answers some complaints, rightly or wrongly."""

    cheated: Mapping[int, int] = {}
    """Member and key."""
    answering = "rightly"

    def _shares_of(self, member: int) -> tuple[bytes, ...]:
        shares = list(super()._shares_of(member))
        if member in self.cheated and not (self._due_answer and self.answering == "rightly"):
            shares[self.cheated[member]] = bytes(32)
        return tuple(shares)

    @property
    def _due_answer(self) -> bool:
        return len(self._due) < 3

    def _answer(self, whole: StepBuilder[Any], now: Instant) -> None:
        if self.answering != "not at all":
            super()._answer(whole, now)


class Accuser(DistributedKey):
    """Complains about all others, and finds none of them good."""

    accused: Sequence[int] | None = None

    def _complain(self, whole: StepBuilder[Any], now: Instant) -> None:
        others = [dealer for dealer in range(len(self._members)) if dealer != self._me]
        self._broadcast(whole, "complaints", self._mask(others if self.accused is None else self.accused), now)

    def _propose(self, whole: StepBuilder[Any], now: Instant) -> None:
        self._conclude(whole, self._agreement.handle_input(Propose(b""), now))


class Boaster(DistributedKey):
    """Deals nothing, and finds everybody good, itself above all."""

    def _broadcast(self, whole: StepBuilder[Any], kind: str, payload: bytes, now: Instant) -> None:
        pass

    def _shares_of(self, member: int) -> tuple[bytes, ...]:
        return ()

    def _propose(self, whole: StepBuilder[Any], now: Instant) -> None:
        self._conclude(whole, self._agreement.handle_input(Propose(b"\xff" * 32), now))


LIARS = ("silent", "bad dealers", "accusing", "boasting", "lying")


def member(
    dealt: DealtCommittee, me: NodeId, seed: int = 1, kind: type[DistributedKey] = DistributedKey
) -> DistributedKey:
    """A member's part in the ceremony; they agree by PBFT, which needs no keys but the signers'."""
    no_keys: Any = None
    place = msgspec.structs.replace(dealt.membership(me), keys=no_keys, times=ProtocolTimes(VIEW_TIMEOUT))
    agreement = Pbft(place)
    rng = stream(seed, "ceremony", me)
    return kind(PATH, dealt.committee, me, key_thresholds(dealt.committee), D, agreement, rng)


def liar(dealt: DealtCommittee, me: NodeId, kind: str, seed: int) -> Automaton[Any, Any, Any]:
    """A faulty member."""
    rng = stream(seed, "liar", me)
    match kind:
        case "silent":
            return Lying(member(dealt, me, seed), me, silent)
        case "bad dealers":
            bad = member(dealt, me, seed, BadDealer)
            assert isinstance(bad, BadDealer)
            victims = rng.sample(range(dealt.committee.n), rng.randint(1, dealt.committee.f + 1))
            bad.cheated = {victim: rng.randrange(3) for victim in victims}
            bad.answering = rng.choice(("rightly", "wrongly", "not at all"))
            return bad
        case "accusing":
            return member(dealt, me, seed, Accuser)
        case "boasting":
            return member(dealt, me, seed, Boaster)
        case _:
            return Lying(member(dealt, me, seed), me, equivocating_proposer, lying_echoer, lying_voter)


def check_key_generation(n: int, liars: str, seed: int) -> tuple[int, ...]:
    """With delays and starts within what is assumed: keys for all correct members, dealt by all of them at least."""
    dealt = DealtCommittee(n)
    faulty = faulty_members(dealt, seed)
    nodes = {me: liar(dealt, me, liars, seed) if me in faulty else member(dealt, me, seed) for me in dealt.members}
    rng = stream(seed, "delays")
    slow = rng.choice(dealt.members) if seed % 2 else None
    choices = (0, 1, D // 2, D - 1)

    def delays(item: Pending) -> Duration:
        if item.sender in faulty and liars != "bad dealers":
            return rng.choice((*choices, 2 * D, 5 * D))
        return D - 1 if slow in (item.sender, item.recipient) else rng.choice(choices)

    starts = {me: rng.choice((0, D - 1)) for me in dealt.members}
    network = ClockedNetwork(nodes, starts, delays, faulty)
    network.run()
    return check_keys(dealt, network)


def check_keys(dealt: DealtCommittee, network: ClockedNetwork) -> tuple[int, ...]:
    """What holds when what is assumed of time holds; who has qualified."""
    outputs = {me: network.outputs_of(me, KeysGenerated, GenerationFailed) for me in network.correct}
    assert all(len(said) == 1 for said in outputs.values()), f"termination: {outputs} {statuses(network)}"
    generated: dict[NodeId, KeysGenerated] = {}
    for me, [said] in outputs.items():
        assert isinstance(said, KeysGenerated), f"validity: {said}"
        generated[me] = said
    [qualified] = {said.qualified for said in generated.values()}
    correct = {dealt.committee.index[me] for me in network.correct}
    assert correct <= set(qualified), f"validity: a correct dealer is not among {qualified}"
    for place, threshold in enumerate(key_thresholds(dealt.committee)):
        check_key({dealt.committee.index[me]: said.keys[place] for me, said in generated.items()}, threshold)
    for me in network.correct:
        node = network.nodes[me]
        assert isinstance(node, DistributedKey)
        for dealer in correct:
            revealed = node._cases[dealer]._answered
            assert revealed.bit_count() <= dealt.committee.f, "secrecy: more than f shares revealed"
            assert not any(revealed >> other & 1 for other in correct), "secrecy: a correct member's share revealed"
    return qualified


def check_key(keys: Mapping[int, KeyShare], threshold: int) -> None:
    """The members hold shares of one key, which fewer than the threshold of them do not make up."""
    assert {key.threshold for key in keys.values()} == {threshold}
    [(public_shares, group_key)] = {(key.public_shares, key.group_key) for key in keys.values()}
    for holder, key in keys.items():
        assert base_times(key.secret) == public_shares[holder], "consistency: a share of another key"
    groups = list(combinations(sorted(keys), threshold))

    def secret(group: Sequence[int]) -> int:
        return sum(lagrange(group, holder) * keys[holder].secret for holder in group)

    for group in (groups[0], groups[-1]):
        assert base_times(secret(group)) == group_key, "consistency: shares that do not make up the key"
        assert threshold == 1 or base_times(secret(group[1:])) != group_key, "secrecy: too few shares make up the key"


def statuses(network: ClockedNetwork) -> dict[NodeId, Any]:
    return {me: getattr(node, "status", None) for me, node in network.nodes.items()}


class FixedAgreement(CommitteeProtocol):
    """Decides what the test says, when the member proposes."""

    terminated = True
    rounds = ()
    status: dict[str, Any] = {}  # noqa: RUF012 # a property of the interface

    def __init__(self, masks: Sequence[int]) -> None:
        self._decided = ProposalsDecided(tuple((place, mask.to_bytes(2, "little")) for place, mask in enumerate(masks)))

    def handle_input(self, input: Propose, now: Instant) -> Any:
        return Step(outputs=(self._decided,))

    def handle_message(self, sender: NodeId, path: Path, message: Any, now: Instant) -> Any:
        raise NotImplementedError


def check_good_quorum() -> None:
    """Whom only liars find good does not qualify, whom one correct member finds good does."""
    for n in range(4, 10):
        f = DealtCommittee(n).committee.f
        for finding in (f, f + 1):
            qualified, _ = _agreed(n, [0b1000] * finding + [0] * (n - f - finding))
            assert finding > f or qualified == (), f"termination: {finding} of {n} find a dealer good"
            assert finding <= f or qualified == (3,), f"validity: {finding} of {n} find a dealer good"


def check_qualified_min() -> None:
    """Keys of f dealers may be known to the faulty ones, those of f + 1 are not."""
    for n in range(4, 10):
        f = DealtCommittee(n).committee.f
        for qualified in (f, f + 1):
            _, failed = _agreed(n, [(1 << qualified) - 1] * (n - f))
            assert qualified > f or failed, f"secrecy: {qualified} dealers of {n}"
            assert qualified <= f or not failed, f"liveness: {qualified} dealers of {n}"


def _agreed(n: int, masks: Sequence[int]) -> tuple[tuple[int, ...] | None, bool]:
    """Who qualifies by these masks, and whether that is too few."""
    dealt = DealtCommittee(n)
    agreement = FixedAgreement(masks)
    lone = DistributedKey(PATH, dealt.committee, dealt.members[0], (2,), D, agreement, stream(1, "lone"))
    lone.handle_input(GenerateKeys(), 0)
    outputs = lone.handle_timer(15 * D).outputs
    return lone._qualified, any(isinstance(output, GenerationFailed) for output in outputs)


def check_complaints_max() -> None:
    """A dealer of whom more than f complain reveals nothing, and is not good, even if it answered."""
    for n in (4, 5, 7):
        dealt = DealtCommittee(n)
        f = dealt.committee.f
        for complaining in (f, f + 1):
            answers = _revealed_to(dealt, complaining)
            assert complaining <= f or answers is None, f"secrecy: f + 1 of {n} shares revealed"
            assert complaining > f or (answers is not None and len(answers.answers) == f), "liveness: f complaints"


def _revealed_to(dealt: DealtCommittee, complaining: int) -> RevealedShares | None:
    """What the first member answers to so many complaints."""
    dealer = member(dealt, dealt.members[0])
    dealer.handle_input(GenerateKeys(), 0)
    dealer.handle_timer(4 * D)
    dealer._cases[0].complaints = (1 << complaining) - 1
    step: Any = dealer.handle_timer(11 * D)
    said = [envelope.message for envelope in step.messages if envelope.path[-2] == "answers"]
    if not said:
        return None
    revealed = Codec[RevealedShares](RevealedShares).decode(said[0].payload)
    assert encode(revealed) == said[0].payload
    return revealed
