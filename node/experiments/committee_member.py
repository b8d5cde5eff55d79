"""A member of one committee without a Tangle: one log index after another, each on the anchor that the one before signed.

1. told to begin the next index: it is durable, its instance opens, what was held back for it is handled
2. propose what the source of requests says; nothing yet: when it has something, or when f + 1 others have proposed
3. the decided requests are wanted: deliver them, at once or when the last of them has come
4. execution is wanted: the anchor's essence, on the anchor before, committing to the requests and the entropy
5. the anchor is signed, or the index skipped: want to begin the next index, if one is left
6. a request is submitted: share it with the committee; shared: check its signature, keep it

Beginning an index is an event of its own (``BeginningNeeded``, answered by ``BeginIndex``), so that with a CPU model what it
costs counts for the index that begins, and not for the one that has ended.

Departures from a chain: members don't vote for indices, because all run the same ones; there is no state, so execution
is a hash; nothing is confirmed, so every anchor is built on at once; links are reliable, so what is missing comes by itself.

An instance that has ended goes on answering until every member that speaks at all has been heard in a later index (then
it has ended there too), at most ``INSTANCES_KEPT_MAX`` of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from ledger.kernel.automaton import NOTHING, Automaton, Envelope, Fault, NodeId, Path, Record, Step, StepBuilder
from ledger.kernel.encoding import DIGEST_SIZE, Digest, Value, digest
from ledger.kernel.identity import Verifier
from ledger.kernel.instant import Instant, earliest
from ledger.output import AnchorOutput, OutputId
from ledger.transaction import Essence, Transaction
from node.experiments.committee_interface import (
    BeginIndex,
    BeginningNeeded,
    BlockDecided,
    BlockEnded,
    BlockReady,
    ExecutedHere,
    MemberInput,
    MemberOutput,
    RequestSource,
)
from node.simulated.cpu import CpuMeter
from wasp.committee import Committee
from wasp.committee_log import LogIndexUsed
from wasp.consensus.batch_proposal import AnchorReference, Batch, BatchProposal
from wasp.consensus.consensus import Consensus
from wasp.consensus.consensus_interface import (
    AnchorSigned,
    BatchDecided,
    BatchExecuted,
    ConsensusOutput,
    ExecutionNeeded,
    IndexSkipped,
    OpenInstance,
    OthersProposed,
    ProposeBatch,
    RequestsDelivered,
    RequestsNeeded,
)
from wasp.consensus.leaders.leadership import LeaderProtocol
from wasp.instances import Instance, Instances
from wasp.mempool import SharedRequest, SubmitRequest
from wasp.request import OffLedgerRequest, RequestId

INSTANCES_KEPT_MAX = 16
"""A member that is further behind than that is left behind: it is slower than the others, and not only late."""
INSTANCES_AHEAD_MAX = 16
"""What the others send to a member that is so far behind is held back for it."""


class CommitteeMember(Automaton[MemberInput, Value, MemberOutput]):
    """One member. ``speaking``: those who say anything, this member among them. ``blocks``: how many indices there are."""

    def __init__(
        self,
        chain: str,
        committee: Committee,
        me: NodeId,
        open_instance: Callable[[int], Consensus],
        source: RequestSource,
        genesis: tuple[OutputId, AnchorOutput],
        blocks: int,
        speaking: Sequence[NodeId],
        meter: CpuMeter,
        verifier: Verifier,
    ) -> None:
        self.committee = committee
        self.me = me
        self.instances = Instances(committee, INSTANCES_KEPT_MAX, INSTANCES_AHEAD_MAX)
        self.sent: Counter[tuple[int, str]] = Counter()
        """Copies of messages sent to others, by log index and the first word of the leaf."""
        self._chain = chain
        self._sharing_path: Path = (chain, "mempool")
        self._open_instance = open_instance
        self._source = source
        self._anchor_id, self._anchor = genesis
        self._blocks = blocks
        self._heard = dict.fromkeys(committee.members, 0)
        """By member: the highest index that it has spoken in."""
        self._speaking = tuple(speaking)
        self._meter = meter
        self._verifier = verifier
        self._began_at: dict[int, Instant] = {}
        self._wanted: dict[int, tuple[RequestId, ...]] = {}
        """By log index: decided requests that have not all come."""
        self._deadline: Instant | None = None

    @property
    def deadline(self) -> Instant | None:
        return self._deadline

    @property
    def status(self) -> dict[str, Any]:
        """Why it waits."""
        current = self.instances.current
        if current is None:
            return {"phase": "not begun"}
        return {"log_index": current.log_index, **current.consensus.status}

    def handle_input(self, input: MemberInput, now: Instant) -> Step[MemberOutput]:
        step: StepBuilder[MemberOutput] = StepBuilder()
        match input:
            case BeginIndex():
                self._handle_begin_index(step, input.log_index, now)
            case SubmitRequest():
                self._handle_submit_request(step, input)
        return self._conclude(step)

    def handle_message(self, sender: NodeId, path: Path, message: Value, now: Instant) -> Step[MemberOutput]:
        """The one lookup: which leaf a message is for, and whether it may reach it."""
        if sender not in self._heard:
            return _fault(sender, "not_a_member", path)
        place = path[1] if len(path) > 1 else ""
        if not isinstance(place, int):
            if not isinstance(message, SharedRequest) or path != self._sharing_path:
                return _fault(sender, "no_such_leaf", path)
            step: StepBuilder[MemberOutput] = StepBuilder()
            self._handle_shared_request(step, sender, message, now)
            return self._conclude(step)
        if place > self._heard[sender]:
            self._note_heard(sender, place)
        instance = self.instances.find(place)
        if instance is None:
            held = self.instances.hold(sender, place, path, message)
            return NOTHING if held else _fault(sender, "too_many_messages", path)
        child = instance.consensus.handle_message(sender, path, message, now)
        if not child.outputs and instance.consensus.deadline == instance.deadline:
            if child.messages:
                self._count(child.messages)
            return child  # type: ignore[return-value] # a step without outputs is a step of any automaton
        step = StepBuilder()
        self._absorb(step, instance, child, now)
        return self._conclude(step)

    def handle_timer(self, now: Instant) -> Step[MemberOutput]:
        step: StepBuilder[MemberOutput] = StepBuilder()
        for instance in list(self.instances):
            if instance.deadline is not None and instance.deadline <= now:
                self._absorb(step, instance, instance.consensus.handle_timer(now), now)
        return self._conclude(step)

    def _conclude(self, step: StepBuilder[MemberOutput]) -> Step[MemberOutput]:
        self._deadline = earliest(*[instance.deadline for instance in self.instances])
        self._count(step.messages)
        return step.build()

    def _count(self, messages: Sequence[Envelope]) -> None:
        for envelope in messages:
            path, recipients = envelope.path, envelope.recipients
            if isinstance(path[1], int):
                self.sent[path[1], str(path[2])] += len(recipients) - (self.me in recipients)

    def _note_heard(self, sender: NodeId, log_index: int) -> None:
        """The sender has ended what comes before; what all have ended is not needed any more."""
        self._heard[sender] = log_index
        needed = min(self._heard[member] for member in self._speaking)
        for ended in [instance.log_index for instance in self.instances if instance.log_index < needed]:
            self.instances.drop(ended)

    def _handle_begin_index(self, step: StepBuilder[MemberOutput], log_index: int, now: Instant) -> None:
        """Lines 1 and 2."""
        self._began_at[log_index] = now
        step.records.append(Record((self._chain, "log"), LogIndexUsed(log_index)))
        self.instances.open(log_index, self._open_instance(log_index))
        instance = self.instances.find(log_index)
        assert instance is not None
        self._absorb(step, instance, instance.consensus.handle_input(OpenInstance(), now), now)
        self._maybe_propose(step, instance, now)
        for sender, path, message in self.instances.release(log_index):
            self._absorb(step, instance, instance.consensus.handle_message(sender, path, message, now), now)

    def _maybe_propose(self, step: StepBuilder[MemberOutput], instance: Instance, now: Instant) -> None:
        """Line 2."""
        consensus = instance.consensus
        if consensus.proposed or consensus.ended:
            return
        requests = self._source.proposal(instance.log_index)
        if requests is None and not instance.accompanied:
            return
        proposal = BatchProposal(AnchorReference(self._anchor_id, self._anchor.state_index), now, requests or ())
        self._absorb(step, instance, consensus.handle_input(ProposeBatch(proposal), now), now)

    def _absorb(
        self, step: StepBuilder[MemberOutput], instance: Instance, child: Step[ConsensusOutput], now: Instant
    ) -> None:
        """Carry out what an instance wants."""
        instance.deadline = instance.consensus.deadline
        for output in step.add(child):
            match output:
                case OthersProposed():
                    instance.accompanied = True
                    self._maybe_propose(step, instance, now)
                case BatchDecided():
                    step.outputs.append(_decided(instance, output.batch))
                case RequestsNeeded():
                    self._wanted[instance.log_index] = output.requests
                    self._maybe_deliver(step, instance, now)
                case ExecutionNeeded():
                    self._handle_execution_needed(step, instance, output, now)
                case AnchorSigned():
                    self._handle_ended(step, instance, output.transaction)
                case IndexSkipped():
                    self._handle_ended(step, instance, None)

    def _maybe_deliver(self, step: StepBuilder[MemberOutput], instance: Instance, now: Instant) -> None:
        """Line 3."""
        requests = self._source.find(instance.log_index, self._wanted[instance.log_index])
        if requests is not None:
            del self._wanted[instance.log_index]
            self._absorb(step, instance, instance.consensus.handle_input(RequestsDelivered(requests), now), now)

    def _handle_execution_needed(
        self, step: StepBuilder[MemberOutput], instance: Instance, need: ExecutionNeeded, now: Instant
    ) -> None:
        """Line 4."""
        step.outputs.append(BlockReady(need.log_index))
        size = sum(
            len(request.essence.call.parameters) for request in need.requests if isinstance(request, OffLedgerRequest)
        )
        self._meter.charge("hash", size + DIGEST_SIZE * len(need.requests))
        commitment = digest("executed", need.entropy, *[request.id for request in need.requests])
        essence = Essence(
            self._chain,
            need.batch.timestamp_proposed,
            (need.batch.base.output_id,),
            (_successor(self._anchor, commitment),),
        )
        step.records.append(Record((self._chain, "state"), ExecutedHere(need.log_index, essence)))
        self._absorb(step, instance, instance.consensus.handle_input(BatchExecuted(essence), now), now)

    def _handle_ended(
        self, step: StepBuilder[MemberOutput], instance: Instance, transaction: Transaction | None
    ) -> None:
        """Line 5."""
        log_index, consensus = instance.log_index, instance.consensus
        began_at = self._began_at.pop(log_index)
        self._wanted.pop(log_index, None)
        signed = None if transaction is None else transaction.essence.id
        attempts = consensus.signature.attempts
        step.outputs.append(BlockEnded(log_index, began_at, consensus.proposed_at, signed, attempts))
        if transaction is not None:
            assert consensus.batch is not None
            self._source.forget(consensus.batch.requests)
            anchor = transaction.essence.outputs[0]
            assert isinstance(anchor, AnchorOutput)
            self._anchor_id, self._anchor = OutputId(transaction.essence.id, 0), anchor
        if log_index < self._blocks:
            step.outputs.append(BeginningNeeded(log_index + 1))

    def _handle_submit_request(self, step: StepBuilder[MemberOutput], input: SubmitRequest) -> None:
        """Line 6, its first half."""
        shared = SharedRequest(input.request)
        step.messages.append(Envelope(self.committee.members, self._sharing_path, shared))

    def _handle_shared_request(
        self, step: StepBuilder[MemberOutput], sender: NodeId, message: SharedRequest, now: Instant
    ) -> None:
        """Line 6, its second half; and lines 2 and 3 for those who waited for it."""
        if not message.request.verify(self._verifier):
            step.faults.append(Fault(sender, "bad_signature", self._sharing_path))
            return
        self._source.keep(message.request)
        for log_index in list(self._wanted):
            instance = self.instances.find(log_index)
            if instance is not None:
                self._maybe_deliver(step, instance, now)
        if self.instances.current is not None:
            self._maybe_propose(step, self.instances.current, now)


class SilentMember(Automaton[Any, Any, Any]):
    """Says nothing, and so need not think either."""

    def handle_input(self, input: Any, now: Instant) -> Step[Any]:
        return NOTHING

    def handle_message(self, sender: NodeId, path: Path, message: Any, now: Instant) -> Step[Any]:
        return NOTHING


def _decided(instance: Instance, batch: Batch) -> BlockDecided:
    protocol, proposed_at = instance.consensus.protocol, instance.consensus.proposed_at
    led, listed_at, view_changed = False, None, False
    if isinstance(protocol, LeaderProtocol):
        led, listed_at, view_changed = True, protocol.proposed_at, protocol.view_changed
    return BlockDecided(instance.log_index, batch, proposed_at, listed_at, led, view_changed, protocol.rounds)


def _successor(anchor: AnchorOutput, commitment: Digest) -> AnchorOutput:
    return AnchorOutput(anchor.amount, anchor.chain, anchor.state_index + 1, commitment, anchor.state_controller)


def _fault(accused: NodeId, kind: str, path: Path) -> Step[Any]:
    return Step(faults=(Fault(accused, kind, path),))
