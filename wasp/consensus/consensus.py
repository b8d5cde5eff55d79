"""One instance of the committee's consensus: from the members' proposals to the signed anchor of one log index.

1. at the opening: prepare the signature
2. on the own batch proposal, and when that is prepared: propose both to the committee protocol
3. on the decided proposals: aggregate them; no batch: the index is skipped
4. want the bodies of the decided requests; release the share of the entropy, named by log index and base anchor
5. with the bodies and the entropy: want the batch executed
6. on the essence of the anchor transaction that this member computed: sign its id; nothing was executed: skip
7. on the committee's signature: the anchor transaction is signed, the instance has ended
8. instead of line 6, a member that holds a signed successor of the decided base multicasts that
9. on a valid signed successor of the decided base: the instance has ended with it; multicast it, unless that was done
10. when the protocol says so, or on entropy from f + 1 before line 3: others have proposed; tell the owner, once

How the anchor is signed goes with the protocol: ``wasp`` deals nonces in every instance, as the real one, and signs with
partial Schnorr signatures; all others sign by FROST with nonces committed to in the proposals.

The bodies, the entropy and the state are known to nobody before the batch is decided, so no member can choose requests by
the order in which they will run. Line 9 forwards, because the sender may have told nobody else, and a member that has ended
this way is missing from the signature for which others still wait, in its later attempts even if it gave a share for the
first. Line 10 is for a member that holds its proposal back and has no timer: where votes go to leaders only, a faulty one can
leave it out, and it hears nothing but these shares.

Deciding is not terminating: an ended instance goes on answering, as long as its owner keeps it. It ends exactly once, with
``AnchorSigned`` or ``IndexSkipped``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from ledger.kernel.automaton import NOTHING, Automaton, Envelope, Fault, NodeId, Path, Step, StepBuilder
from ledger.kernel.encoding import Digest, Value, encode, pack
from ledger.kernel.identity import Signer, Verifier
from ledger.kernel.instant import Instant, earliest
from ledger.kernel.rng import Stream
from ledger.kernel.threshold import MemberKeys
from ledger.transaction import Essence, Transaction
from wasp.committee import Committee
from wasp.consensus.batch_proposal import (
    REQUESTS_MAX,
    Batch,
    BatchProposal,
    MemberProposal,
    NoBatch,
    aggregate,
    decode_proposals,
)
from wasp.consensus.committee_protocol import (
    Membership,
    ProposalsDecided,
    ProposalsSeen,
    Propose,
    ProtocolOutput,
)
from wasp.consensus.common_coin import CoinShare, CoinTossed, CommonCoin, ReleaseShare
from wasp.consensus.consensus_interface import (
    AnchorSigned,
    BatchDecided,
    BatchExecuted,
    ConsensusInput,
    ConsensusOutput,
    ExecutionNeeded,
    IndexSkipped,
    OpenInstance,
    OthersProposed,
    ProposeBatch,
    RequestsDelivered,
    RequestsNeeded,
    SuccessorKnown,
)
from wasp.consensus.protocol_times import ProtocolTimes
from wasp.consensus.protocols import PROTOCOLS, SIGNATURES, AnchorSignatureMessage, ProtocolMessage
from wasp.consensus.signing.anchor_signature import (
    MessageSigned,
    PrepareSignature,
    SignatureOutput,
    SignaturePrepared,
    SignMessage,
)
from wasp.request import Request
from wasp.signed_anchor import anchor_transaction, is_signed_anchor


class SignedAnchor(Value):
    """The sender holds this signed successor of the decided base anchor."""

    transaction: Transaction


ConsensusMessage: TypeAlias = ProtocolMessage | AnchorSignatureMessage | CoinShare | SignedAnchor


class Consensus(Automaton[ConsensusInput, ConsensusMessage, ConsensusOutput]):
    """One member's part in one log index."""

    def __init__(
        self,
        path: tuple[str, int],
        committee: Committee,
        me: NodeId,
        signer: Signer,
        verifier: Verifier,
        keys: MemberKeys,
        rng: Stream,
        protocol: str,
        times: ProtocolTimes,
    ) -> None:
        assert keys.signing.group_key == keys.nonces.group_key == committee.group_key, "keys of another committee"
        self._log_index = path[1]
        self._committee = committee
        self._verifier = verifier
        membership = Membership(path, committee, me, signer, verifier, keys, rng, times)
        self.protocol = PROTOCOLS[protocol](membership)
        self.signature = SIGNATURES[protocol](membership)
        self._entropy_path: Path = (*path, "entropy")
        self._anchor_path: Path = (*path, "anchor")
        self._entropy = CommonCoin(self._entropy_path, committee, keys.coin)
        self._proposal: BatchProposal | None = None
        self._preparation: bytes | None = None
        self._preparations: tuple[tuple[int, bytes], ...] = ()
        self._join_quorum = committee.some_correct
        self._deciders = 0
        self._accompanied = False
        self._batch: Batch | None = None
        self._requests: tuple[Request, ...] | None = None
        self._entropy_value: Digest | None = None
        self._essence: Essence | None = None
        self._early_anchors: dict[NodeId, Transaction] = {}
        self._anchor_sent = False
        self.proposed = False
        self.proposed_at: Instant | None = None
        """When this member's proposal went to the protocol."""
        self.ended = False

    @property
    def terminated(self) -> bool:
        """Whether this member will start nothing more here by itself."""
        return self.ended and self.protocol.terminated

    @property
    def batch(self) -> Batch | None:
        """The decided batch."""
        return self._batch

    @property
    def proposal(self) -> BatchProposal | None:
        """What this member proposes, or waits to propose."""
        return self._proposal

    @property
    def status(self) -> dict[str, Any]:
        """Why it waits."""
        if self.ended:
            return {"phase": "ended", "terminated": self.terminated}
        if self._batch is None:
            if self._preparation is None:
                return {"phase": "nonces", "proposed": self.proposed, "signature": self.signature.status}
            return {"phase": "agreement", "proposed": self.proposed, "protocol": self.protocol.status}
        if self._requests is None or self._entropy_value is None:
            return {"phase": "preparation", "requests": self._requests is not None, "entropy": self._entropy.status}
        return {"phase": "signature" if self._essence else "execution", "signature": self.signature.status}

    @property
    def deadline(self) -> Instant | None:
        if self.ended:
            return self.protocol.deadline
        return earliest(self.protocol.deadline, self.signature.deadline)

    def handle_timer(self, now: Instant) -> Step[ConsensusOutput]:
        step: StepBuilder[ConsensusOutput] = StepBuilder()
        if _is_due(self.protocol.deadline, now):
            self._absorb_protocol(step, self.protocol.handle_timer(now), now)
        if not self.ended and _is_due(self.signature.deadline, now):
            self._absorb_signature(step, self.signature.handle_timer(now), now)
        return step.build()

    def handle_input(self, input: ConsensusInput, now: Instant) -> Step[ConsensusOutput]:
        if self.ended and not isinstance(input, ProposeBatch):
            return NOTHING
        step: StepBuilder[ConsensusOutput] = StepBuilder()
        match input:
            case OpenInstance():
                self._absorb_signature(step, self.signature.handle_input(PrepareSignature(), now), now)
            case ProposeBatch():
                self._handle_propose_batch(step, input, now)
            case RequestsDelivered():
                self._handle_requests_delivered(step, input)
            case BatchExecuted():
                self._handle_batch_executed(step, input, now)
            case SuccessorKnown():
                self._handle_successor_known(step, input)
        return step.build()

    def handle_message(self, sender: NodeId, path: Path, message: Value, now: Instant) -> Step[ConsensusOutput]:
        if sender not in self._committee.index:
            return Step(faults=(Fault(sender, "not_a_member", path),))
        leaf = path[2] if len(path) > 2 else None
        automaton: Automaton[Any, Any, Any]
        absorb: Callable[[StepBuilder[ConsensusOutput], Step[Any], Instant], None]
        if leaf == "signature":
            automaton, absorb = self.signature, self._absorb_signature
        elif path == self._entropy_path and self._batch is None:
            return self._handle_early_entropy(sender, message, now)
        elif path == self._entropy_path:
            automaton, absorb = self._entropy, self._absorb_entropy
        elif path == self._anchor_path:
            return self._handle_anchor_message(sender, message)
        else:
            automaton, absorb = self.protocol, self._absorb_protocol
        child: Step[Any] = automaton.handle_message(sender, path, message, now)
        if not child.outputs:
            return child
        step: StepBuilder[ConsensusOutput] = StepBuilder()
        absorb(step, child, now)
        return step.build()

    def _handle_propose_batch(self, step: StepBuilder[ConsensusOutput], input: ProposeBatch, now: Instant) -> None:
        assert not self.proposed, "a member proposes once"
        assert len(input.proposal.requests) <= REQUESTS_MAX, "others could not decode it"
        self.proposed = True
        self._proposal = input.proposal
        self._maybe_propose(step, now)

    def _maybe_propose(self, step: StepBuilder[ConsensusOutput], now: Instant) -> None:
        """Line 2."""
        if self._proposal is not None and self._preparation is not None:
            self.proposed_at = now
            payload = encode(MemberProposal(self._proposal, self._preparation))
            self._absorb_protocol(step, self.protocol.handle_input(Propose(payload), now), now)

    def _absorb_protocol(self, step: StepBuilder[ConsensusOutput], child: Step[ProtocolOutput], now: Instant) -> None:
        for output in step.add(child):
            match output:
                case ProposalsSeen():
                    self._note_others_proposed(step)
                case ProposalsDecided():
                    self._handle_proposals_decided(step, output, now)

    def _handle_proposals_decided(
        self, step: StepBuilder[ConsensusOutput], decided: ProposalsDecided, now: Instant
    ) -> None:
        """Lines 3 and 4."""
        proposals = decode_proposals(decided.proposals)
        self._preparations = tuple(
            [(member, proposals[member].preparation if member in proposals else b"") for member, _ in decided.proposals]
        )
        batch = aggregate({member: proposal.batch for member, proposal in proposals.items()}, self._committee.f)
        if isinstance(batch, NoBatch):
            self._end_with(step, IndexSkipped(self._log_index, batch.reason))
            return
        self._batch = batch
        step.outputs.append(BatchDecided(self._log_index, batch))
        if batch.requests:
            step.outputs.append(RequestsNeeded(self._log_index, batch.requests))
        else:
            self._requests = ()
        purpose = pack((self._log_index, encode(batch.base)))
        self._absorb_entropy(step, self._entropy.handle_input(ReleaseShare(purpose), now), now)
        for sender, transaction in self._early_anchors.items():
            self._handle_signed_anchor(step, sender, SignedAnchor(transaction))
        self._early_anchors.clear()

    def _handle_early_entropy(self, sender: NodeId, message: Value, now: Instant) -> Step[ConsensusOutput]:
        """Line 10: who releases a share has decided."""
        step: StepBuilder[ConsensusOutput] = StepBuilder()
        self._deciders |= self._committee.bit[sender]
        if self._deciders.bit_count() == self._join_quorum:
            self._note_others_proposed(step)
        step.add(self._entropy.handle_message(sender, self._entropy_path, message, now))
        return step.build()

    def _note_others_proposed(self, step: StepBuilder[ConsensusOutput]) -> None:
        """Line 10."""
        if not self._accompanied:
            self._accompanied = True
            step.outputs.append(OthersProposed(self._log_index))

    def _absorb_entropy(self, step: StepBuilder[ConsensusOutput], child: Step[CoinTossed], now: Instant) -> None:
        for tossed in step.add(child):
            self._entropy_value = tossed.value
            self._maybe_want_execution(step)

    def _handle_requests_delivered(self, step: StepBuilder[ConsensusOutput], input: RequestsDelivered) -> None:
        assert self._batch is not None and self._requests is None, "requests are delivered when they are wanted"
        assert tuple(request.id for request in input.requests) == self._batch.requests
        self._requests = input.requests
        self._maybe_want_execution(step)

    def _maybe_want_execution(self, step: StepBuilder[ConsensusOutput]) -> None:
        """Line 5."""
        if self._batch is None or self._requests is None or self._entropy_value is None or self.ended:
            return
        step.outputs.append(ExecutionNeeded(self._log_index, self._batch, self._requests, self._entropy_value))

    def _handle_batch_executed(self, step: StepBuilder[ConsensusOutput], input: BatchExecuted, now: Instant) -> None:
        """Line 6."""
        assert self._batch is not None and self._essence is None, "a batch is executed once, when that is wanted"
        if input.essence is None:
            self._end_with(step, IndexSkipped(self._log_index, "nothing executed"))
            return
        assert input.essence.inputs[0] == self._batch.base.output_id, "the anchor builds on the decided base"
        self._essence = input.essence
        sign = SignMessage(input.essence.id, self._preparations)
        self._absorb_signature(step, self.signature.handle_input(sign, now), now)

    def _absorb_signature(self, step: StepBuilder[ConsensusOutput], child: Step[SignatureOutput], now: Instant) -> None:
        """Lines 2 and 7."""
        for output in step.add(child):
            match output:
                case SignaturePrepared():
                    self._preparation = output.preparation
                    self._maybe_propose(step, now)
                case MessageSigned() if not self.ended:
                    assert self._essence is not None
                    transaction = anchor_transaction(self._essence, output.signature)
                    self._end_with(step, AnchorSigned(self._log_index, transaction))

    def _handle_successor_known(self, step: StepBuilder[ConsensusOutput], input: SuccessorKnown) -> None:
        """Line 8."""
        assert self._is_signed_successor(input.transaction), "the member checked what it holds"
        self._send_anchor(step, input.transaction)
        self._end_with(step, AnchorSigned(self._log_index, input.transaction))

    def _handle_anchor_message(self, sender: NodeId, message: Value) -> Step[ConsensusOutput]:
        step: StepBuilder[ConsensusOutput] = StepBuilder()
        if isinstance(message, SignedAnchor):
            self._handle_signed_anchor(step, sender, message)
        else:
            step.faults.append(Fault(sender, "unexpected_message", self._anchor_path, type(message).__name__))
        return step.build()

    def _handle_signed_anchor(self, step: StepBuilder[ConsensusOutput], sender: NodeId, message: SignedAnchor) -> None:
        """Line 9. One that comes before the batch is decided waits, one per member."""
        if self.ended:
            return
        if self._batch is None:
            if self._early_anchors.setdefault(sender, message.transaction) != message.transaction:
                step.faults.append(Fault(sender, "equivocation", self._anchor_path, "two signed anchors"))
            return
        if not self._is_signed_successor(message.transaction):
            step.faults.append(Fault(sender, "bad_anchor", self._anchor_path, "no signed successor of the base"))
            return
        self._send_anchor(step, message.transaction)
        self._end_with(step, AnchorSigned(self._log_index, message.transaction))

    def _send_anchor(self, step: StepBuilder[ConsensusOutput], transaction: Transaction) -> None:
        if not self._anchor_sent:
            self._anchor_sent = True
            envelope = Envelope(self._committee.members, self._anchor_path, SignedAnchor(transaction))
            step.messages.append(envelope)

    def _is_signed_successor(self, transaction: Transaction) -> bool:
        assert self._batch is not None, "successors of an undecided base wait"
        return is_signed_anchor(transaction, self._batch.base.output_id, self._committee, self._verifier)

    def _end_with(self, step: StepBuilder[ConsensusOutput], output: AnchorSigned | IndexSkipped) -> None:
        if not self.ended:
            self.ended = True
            step.outputs.append(output)


def _is_due(deadline: Instant | None, now: Instant) -> bool:
    return deadline is not None and deadline <= now
