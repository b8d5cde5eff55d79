"""HoneyBadgerBFT (Miller, Xia, Croman, Shi, Song, *The Honey Badger of BFT Protocols*, 2016): the protocol ``hbbft``.

A common subset of encrypted proposals: who delays messages doesn't know which proposal to delay. Broadcasts are by shards
(``avid_broadcast``), agreements confirm before a real coin (``late_coin_agreement``), the coins are POA's: 1, 0, real.

1. on the own proposal v: propose c := v, encrypted to the committee under the label of the own broadcast
2. on the output of the subset: leave out each c that is no ciphertext with the label of its broadcast
3. multicast this member's shares of opening the others, in one message, in the order of their proposers
4. on valid shares of c from f + 1: open it. Shares that come before line 2 wait, one message per member
5. when all are open: output them by index

A label names chain, log index and proposer, so nobody can propose a copy of another's ciphertext without knowing what is in
it. What is left out is left out by all: the output has all proposals of correct members in the subset, at least n - 2f, and
fewer than n - f only when some of its members proposed nonsense.

Departures. A member's proposal is not drawn at random from the front of its queue: requests are taken when f + 1 members
propose them, see ``batch_proposal``. Shares travel in one message to each member, where the paper's figure 4 has one per
accepted proposal.

With constant delay d it is decided at 6d, the subset's 5d and one for the shares, after n (n - 1)(5n + 2) messages, the ends
of agreements among them; with f silent members at 10d.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, TypeAlias

import msgspec

from ledger.kernel.automaton import NOTHING, Envelope, Fault, NodeId, Path, Step, StepBuilder
from ledger.kernel.decryption_key import CIPHERTEXT_OVERHEAD
from ledger.kernel.encoding import Value, pack
from ledger.kernel.erasure import SHARDS_MAX
from ledger.kernel.instant import Instant
from ledger.kernel.key_share import POINT_SHARE_SIZE
from wasp.consensus.avid_broadcast import AvidBroadcast, AvidMessage
from wasp.consensus.binary_agreement import ROUNDS_MAX
from wasp.consensus.committee_protocol import (
    CommitteeProtocol,
    Membership,
    ProposalsDecided,
    ProposalsSeen,
    Propose,
    ProtocolOutput,
)
from wasp.consensus.common_coin import CoinSchedule, CoinShare
from wasp.consensus.common_subset import CommonSubset
from wasp.consensus.late_coin_agreement import LateCoinAgreement, LateCoinMessage
from wasp.consensus.reliable_broadcast import PAYLOAD_SIZE_MAX

HBBFT_SCHEDULE = CoinSchedule((True, False, None))


class DecryptionShares(Value):
    """The sender's shares of opening the subset's ciphertexts, in the order of their proposers."""

    shares: Annotated[
        tuple[Annotated[bytes, msgspec.Meta(max_length=POINT_SHARE_SIZE)], ...], msgspec.Meta(max_length=SHARDS_MAX)
    ]


HoneyBadgerMessage: TypeAlias = AvidMessage | LateCoinMessage | CoinShare | DecryptionShares


class HoneyBadger(CommitteeProtocol):
    """One member's part in one instance."""

    def __init__(
        self, membership: Membership, payload_size_max: int = PAYLOAD_SIZE_MAX, rounds_max: int = ROUNDS_MAX
    ) -> None:
        self._path = membership.path
        self._shares_path: Path = (*membership.path, "decryption", "shares")
        self._members = membership.committee.members
        self._index = membership.committee.index
        self._me = membership.me
        self._key = membership.keys.decryption
        self._threshold = membership.keys.decryption.threshold
        self._rng = membership.rng
        self._payload_size_max = payload_size_max
        self._subset = CommonSubset(
            membership,
            HBBFT_SCHEDULE,
            payload_size_max + CIPHERTEXT_OVERHEAD,
            rounds_max,
            partial(AvidBroadcast, me=membership.me),
            LateCoinAgreement,
        )
        self._heard: dict[NodeId, DecryptionShares] = {}
        self._ciphertexts: dict[int, bytes] | None = None
        self._shares: dict[int, dict[int, bytes]] = {}
        self._plaintexts: dict[int, bytes] = {}
        self._output = False

    @property
    def terminated(self) -> bool:
        return self._output and self._subset.terminated

    @property
    def rounds(self) -> tuple[int, ...]:
        return self._subset.rounds

    @property
    def status(self) -> dict[str, Any]:
        if self._output:
            return {"decided": True, "terminated": self.terminated}
        if self._ciphertexts is None:
            return self._subset.status
        counts = {proposer: len(shares) for proposer, shares in self._shares.items()}
        return {"decided": False, "shares": counts, "needed": self._threshold}

    def handle_input(self, input: Propose, now: Instant) -> Step[ProtocolOutput]:
        """Line 1."""
        assert len(input.payload) <= self._payload_size_max, "the proposer keeps its payload below the limit"
        ciphertext = self._key.encrypt(self._label(self._index[self._me]), input.payload, self._rng)
        return self._absorb(self._subset.handle_input(Propose(ciphertext), now))

    def handle_message(self, sender: NodeId, path: Path, message: Any, now: Instant) -> Step[ProtocolOutput]:
        if path != self._shares_path:
            step = self._subset.handle_message(sender, path, message, now)
            return self._absorb(step) if step.outputs else step
        if not isinstance(message, DecryptionShares):
            return Step(faults=(Fault(sender, "unexpected_message", path, type(message).__name__),))
        return self._handle_shares(sender, message)

    def _absorb(self, step: Step[ProtocolOutput]) -> Step[ProtocolOutput]:
        whole: StepBuilder[ProtocolOutput] = StepBuilder()
        for output in whole.add(step):
            match output:
                case ProposalsSeen():
                    whole.outputs.append(output)
                case ProposalsDecided():
                    self._handle_ciphertexts_decided(whole, output)
        return whole.build()

    def _handle_ciphertexts_decided(self, whole: StepBuilder[ProtocolOutput], decided: ProposalsDecided) -> None:
        """Lines 2 and 3, and line 4 for the shares that came before."""
        ciphertexts = {
            proposer: ciphertext
            for proposer, ciphertext in decided.proposals
            if self._key.is_ciphertext(self._label(proposer), ciphertext)
        }
        self._ciphertexts = ciphertexts
        self._shares = {proposer: {} for proposer in ciphertexts}
        own = DecryptionShares(tuple(self._key.share(ciphertext) for ciphertext in ciphertexts.values()))
        whole.messages.append(Envelope(self._members, self._shares_path, own))
        for sender, message in self._heard.items():
            self._open(whole, sender, message, ciphertexts)
        self._maybe_output(whole)

    def _handle_shares(self, sender: NodeId, message: DecryptionShares) -> Step[ProtocolOutput]:
        """Line 4."""
        if self._output:
            return NOTHING
        if sender in self._heard:
            known = self._heard[sender] == message
            return (
                NOTHING if known else Step(faults=(Fault(sender, "equivocation", self._shares_path, "two messages"),))
            )
        self._heard[sender] = message
        if self._ciphertexts is None:
            return NOTHING
        whole: StepBuilder[ProtocolOutput] = StepBuilder()
        self._open(whole, sender, message, self._ciphertexts)
        self._maybe_output(whole)
        return whole.build()

    def _open(
        self,
        whole: StepBuilder[ProtocolOutput],
        sender: NodeId,
        message: DecryptionShares,
        ciphertexts: dict[int, bytes],
    ) -> None:
        if len(message.shares) != len(ciphertexts):
            detail = f"{len(message.shares)} shares of {len(ciphertexts)} ciphertexts"
            whole.faults.append(Fault(sender, "bad_share", self._shares_path, detail))
            return
        member = self._index[sender]
        for (proposer, ciphertext), share in zip(ciphertexts.items(), message.shares, strict=True):
            if proposer in self._plaintexts:
                continue
            if not self._key.verify_share(member, ciphertext, share):
                whole.faults.append(Fault(sender, "bad_share", self._shares_path, f"of the ciphertext of {proposer}"))
                continue
            shares = self._shares[proposer]
            shares[member] = share
            if len(shares) >= self._threshold:
                self._plaintexts[proposer] = self._key.combine(ciphertext, shares)

    def _maybe_output(self, whole: StepBuilder[ProtocolOutput]) -> None:
        """Line 5."""
        assert self._ciphertexts is not None, "shares are counted when it is known of what"
        if not self._output and len(self._plaintexts) == len(self._ciphertexts):
            self._output = True
            whole.outputs.append(ProposalsDecided(tuple(sorted(self._plaintexts.items()))))
            for kept in (self._heard, self._ciphertexts, self._shares, self._plaintexts):
                kept.clear()

    def _label(self, proposer: int) -> bytes:
        return pack((*self._path, "decryption", proposer))
