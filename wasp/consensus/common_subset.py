"""Common subset (Ben-Or, Kelmer, Rabin 1994, as in HoneyBadgerBFT, Miller et al. 2016, figure 4): the protocol ``wasp``.

Made of other broadcasts and agreements, which the constructor is given, it is what ``hbbft`` and ``mmr14`` are built on.

Every member proposes, all correct members decide the same proposals of at least n - f members.

1. on the own proposal v: broadcast it with the broadcast of the own index
2. on delivery of broadcast j: give 1 to agreement j, unless it has its input
3. when n - f agreements have decided 1: give 0 to every agreement without input
4. when all n agreements have decided: wait for the delivery of each broadcast j whose agreement decided 1
5. output those proposals by index

Leaves are addressed (chain, log index, "broadcast" | "agreement", j) and (chain, log index, "coin", j, round), and made when
the first message for them comes: one look-up decides whether a leaf exists, may exist, or does not (a fault).

Invariants: the output has at least n - f proposals, so at least n - 2f of correct members; it is the same everywhere. With
constant delay d it comes at 5d, after n (n - 1)(5n + 1) messages that are not ``Done``; with f silent members at 11d.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from ledger.kernel.automaton import Fault, NodeId, Path, Step, StepBuilder
from ledger.kernel.instant import Instant
from wasp.committee import Committee
from wasp.consensus.avid_broadcast import AvidBroadcast
from wasp.consensus.binary_agreement import (
    ROUNDS_MAX,
    AgreementMessage,
    BinaryAgreement,
    BitDecided,
    CoinLearned,
    CoinNeeded,
    VoteGiven,
)
from wasp.consensus.committee_protocol import (
    CommitteeProtocol,
    Membership,
    ProposalsDecided,
    ProposalsSeen,
    Propose,
    ProtocolOutput,
)
from wasp.consensus.common_coin import WASP_SCHEDULE, CoinSchedule, CoinShare, CoinTossed, CommonCoin, ReleaseShare
from wasp.consensus.late_coin_agreement import LateCoinAgreement
from wasp.consensus.reliable_broadcast import (
    PAYLOAD_SIZE_MAX,
    BroadcastMessage,
    BroadcastPayload,
    PayloadDelivered,
    PayloadProposed,
    ReliableBroadcast,
)

SubsetMessage: TypeAlias = BroadcastMessage | AgreementMessage | CoinShare
Broadcast: TypeAlias = ReliableBroadcast | AvidBroadcast
Agreement: TypeAlias = BinaryAgreement | LateCoinAgreement
Leaf: TypeAlias = Broadcast | Agreement | CommonCoin

LEAF_PATHS_KEPT = 4096
"""Of all instances: the leaves of some at a time among 128 members."""

MakeBroadcast: TypeAlias = Callable[[Path, Committee, int, int], Broadcast]
"""The broadcast at this path, of the proposer with this index, of payloads up to this size."""
MakeAgreement: TypeAlias = Callable[[Path, Committee, CoinSchedule, int], Agreement]
"""The agreement at this path, with these coins, for at most so many rounds."""


@lru_cache(maxsize=LEAF_PATHS_KEPT)
def _leaf_path(instance: Path, *leaf: str | int) -> Path:
    """The address of a leaf; the same object for all who ask, so that looking it up touches no other memory than its own."""
    return (*instance, *leaf)


class CommonSubset(CommitteeProtocol):
    """One member's part in one common subset."""

    def __init__(
        self,
        membership: Membership,
        schedule: CoinSchedule = WASP_SCHEDULE,
        payload_size_max: int = PAYLOAD_SIZE_MAX,
        rounds_max: int = ROUNDS_MAX,
        make_broadcast: MakeBroadcast = ReliableBroadcast,
        make_agreement: MakeAgreement = BinaryAgreement,
    ) -> None:
        self._path = membership.path
        self._committee = membership.committee
        self._me = membership.committee.index[membership.me]
        self._key = membership.keys.coin
        self._schedule = schedule
        self._payload_size_max = payload_size_max
        self._rounds_max = rounds_max
        self._make_broadcast = make_broadcast
        self._make_agreement = make_agreement
        self._subset_quorum = membership.committee.waiting
        self._leaves: dict[Path, Leaf] = {}
        self._payloads: dict[int, bytes] = {}
        self._decisions: dict[int, bool] = {}
        self._accepted = 0
        self._others_proposed = 0
        self._join_quorum = membership.committee.some_correct
        self._proposed = False
        self._output = False

    @property
    def terminated(self) -> bool:
        return self._output and all(self._agreement(j).terminated for j in range(self._committee.n))

    @property
    def rounds(self) -> tuple[int, ...]:
        """How many rounds each agreement took until this member decided in it; 0 before."""
        leaves = (self._leaves.get(_leaf_path(self._path, "agreement", j)) for j in range(self._committee.n))
        return tuple(leaf.rounds_taken if isinstance(leaf, Agreement) else 0 for leaf in leaves)

    @property
    def status(self) -> dict[str, Any]:
        if self._output:
            return {"decided": True, "terminated": self.terminated}
        return {
            "decided": False,
            "delivered": sorted(self._payloads),
            "agreed": dict(sorted(self._decisions.items())),
            "leaves": {"/".join(map(str, path[2:])): leaf.status for path, leaf in self._leaves.items()},
        }

    def handle_input(self, input: Propose, now: Instant) -> Step[ProtocolOutput]:
        """Line 1."""
        assert not self._proposed, "a member proposes once"
        self._proposed = True
        path = _leaf_path(self._path, "broadcast", self._me)
        return self._conclude(path, self._broadcast(self._me).handle_input(BroadcastPayload(input.payload), now), now)

    def handle_message(self, sender: NodeId, path: Path, message: Any, now: Instant) -> Step[ProtocolOutput]:
        leaf = self._leaves.get(path) or self._open(path)
        if leaf is None:
            return Step(faults=(Fault(sender, "no_such_leaf", path),))
        step = leaf.handle_message(sender, path, message, now)
        if not step.outputs:
            return step  # type: ignore[return-value] # a step without outputs is a step of any automaton
        return self._conclude(path, step, now)

    def _conclude(self, path: Path, step: Step[Any], now: Instant) -> Step[ProtocolOutput]:
        whole: StepBuilder[ProtocolOutput] = StepBuilder()
        self._absorb(whole, path, step, now)
        return whole.build()

    def _absorb(self, whole: StepBuilder[ProtocolOutput], path: Path, step: Step[Any], now: Instant) -> None:
        """Carry out what the outputs of the leaf at this path mean for the others."""
        outputs: Sequence[Any] = whole.add(step)
        for output in outputs:
            proposer = path[3]
            assert isinstance(proposer, int)
            match output:
                case PayloadProposed():
                    self._handle_payload_proposed(whole, proposer)
                case PayloadDelivered():
                    self._handle_payload_delivered(whole, proposer, output, now)
                case BitDecided():
                    self._handle_bit_decided(whole, proposer, output, now)
                case CoinNeeded():
                    coin_path = _leaf_path(self._path, "coin", proposer, output.round)
                    coin = self._leaves.get(coin_path) or self._open(coin_path)
                    assert isinstance(coin, CommonCoin)
                    self._absorb(whole, coin_path, coin.handle_input(ReleaseShare(), now), now)
                case CoinTossed():
                    learned = CoinLearned(int(path[4]), output.bit)
                    step = self._agreement(proposer).handle_input(learned, now)
                    self._absorb(whole, _leaf_path(self._path, "agreement", proposer), step, now)

    def _handle_payload_proposed(self, whole: StepBuilder[ProtocolOutput], proposer: int) -> None:
        if proposer == self._me:
            return
        self._others_proposed += 1
        if self._others_proposed == self._join_quorum:
            whole.outputs.append(ProposalsSeen())

    def _handle_payload_delivered(
        self, whole: StepBuilder[ProtocolOutput], proposer: int, output: PayloadDelivered, now: Instant
    ) -> None:
        """Lines 2 and 4."""
        self._payloads[proposer] = output.payload
        self._vote(whole, proposer, True, now)
        self._maybe_output(whole)

    def _handle_bit_decided(
        self, whole: StepBuilder[ProtocolOutput], proposer: int, output: BitDecided, now: Instant
    ) -> None:
        """Lines 3 and 4."""
        self._decisions[proposer] = output.value
        self._accepted += output.value
        if output.value and self._accepted == self._subset_quorum:
            for other in range(self._committee.n):
                self._vote(whole, other, False, now)
        self._maybe_output(whole)

    def _vote(self, whole: StepBuilder[ProtocolOutput], proposer: int, value: bool, now: Instant) -> None:
        agreement = self._agreement(proposer)
        if not agreement.started:
            step = agreement.handle_input(VoteGiven(value), now)
            self._absorb(whole, _leaf_path(self._path, "agreement", proposer), step, now)

    def _maybe_output(self, whole: StepBuilder[ProtocolOutput]) -> None:
        """Lines 4 and 5."""
        if self._output or len(self._decisions) < self._committee.n:
            return
        chosen = [j for j in range(self._committee.n) if self._decisions[j]]
        if all(j in self._payloads for j in chosen):
            self._output = True
            whole.outputs.append(ProposalsDecided(tuple((j, self._payloads[j]) for j in chosen)))

    def _open(self, path: Path) -> Leaf | None:
        """The leaf of a path that has not been heard of, if there may be one."""
        if len(path) < 4 or path[:2] != self._path:
            return None
        kind, proposer = path[2], path[3]
        if type(proposer) is not int or not 0 <= proposer < self._committee.n:
            return None
        path = _leaf_path(self._path, *path[2:])
        leaf: Leaf
        if len(path) == 4 and kind == "broadcast":
            leaf = self._make_broadcast(path, self._committee, proposer, self._payload_size_max)
        elif len(path) == 4 and kind == "agreement":
            leaf = self._make_agreement(path, self._committee, self._schedule, self._rounds_max)
        elif len(path) == 5 and kind == "coin" and self._tossed_in(path[4]):
            leaf = CommonCoin(path, self._committee, self._key)
        else:
            return None
        self._leaves[path] = leaf
        return leaf

    def _tossed_in(self, round: object) -> bool:
        return type(round) is int and 0 <= round < self._rounds_max and self._schedule.fixed(round) is None

    def _agreement(self, proposer: int) -> Agreement:
        path = _leaf_path(self._path, "agreement", proposer)
        leaf = self._leaves.get(path) or self._open(path)
        assert isinstance(leaf, Agreement)
        return leaf

    def _broadcast(self, proposer: int) -> Broadcast:
        path = _leaf_path(self._path, "broadcast", proposer)
        leaf = self._leaves.get(path) or self._open(path)
        assert isinstance(leaf, Broadcast)
        return leaf
