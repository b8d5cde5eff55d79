"""One member's chain: the composite that makes chain blocks of requests, time and confirmed outputs.

::

    requests, outputs -> mempool --+                                     +-> publisher -> layer 1
    due moments, outbox -----------+-> proposal -> instance -> execution -+-> anchor view <- layer 1
    votes -> committee log --------+   (one per log index)               +-> active state -> mempool

1.  The log opens an index; its instance begins, with what was held back for it.
2.  Propose when there is work on the tip of the view: a runnable request, something due by now, or a message in the outbox;
    not before ``batch_delay`` after the last proposal, and not while the view is full.
3.  Propose also when f + 1 others have proposed: on the tip, or *empty* while the view is full or unknown.
4.  A batch is decided: send the signed successor of its base, if this member holds one; else find the requests.
5.  It can be executed: on the state after its base, at the proposed time, raised to later than the block before.
6.  Executed: the block becomes durable, then the anchor's essence is signed. Nothing to do, or a spent base: skip.
7.  The anchor is signed: it joins the view and is published by rank; the active state moves, the next index is voted for.
8.  Layer 1 confirms or rejects: the view moves, undone blocks give their requests back, missing blocks are fetched.

All work is judged on the active state, so there is none while the tip's state is missing. Due moments and time locks are
deadlines, so an idle chain sends nothing.

Invariants: one essence is signed per log index, after its block is durable; the active state is the state of a signed
or confirmed anchor; a log index ends once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ledger.kernel.automaton import NOTHING, Automaton, Fault, NodeId, Path, PeerReconnected, Record, Step, StepBuilder
from ledger.kernel.encoding import Value
from ledger.kernel.identity import Signer, Verifier
from ledger.kernel.instant import Instant, earliest
from ledger.kernel.rng import Stream
from ledger.kernel.threshold import MemberKeys
from ledger.output import AnchorOutput, OutputId, chain_id
from wasp.anchor_search import AnchorAnswer, AnchorQuery, AnchorSearch
from wasp.anchoring import AnchorView, anchor_of
from wasp.chain_block import ChainBlock
from wasp.chain_interface import (
    BatchProposed,
    ChainBlockExecutionNeeded,
    ChainInput,
    ChainOutput,
    ChainParameters,
    ExecutionCompleted,
)
from wasp.chain_view import (
    BlockExecuted,
    ChainView,
    ChainViewOutput,
    OutputsArrived,
    SignedAnchorLearned,
    ViewChanged,
)
from wasp.committee import Committee
from wasp.committee_log import (
    CommitteeLog,
    IndexEnded,
    IndexOpened,
    IndexProposed,
    LogIndexUsed,
    NextIndexVote,
)
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
    SuccessorKnown,
)
from wasp.crosschain import Inbox
from wasp.decided_batches import BatchStep, DecidedBatches
from wasp.instances import Instance, Instances
from wasp.mempool import (
    ActiveStateMoved,
    FindRequests,
    ForgetRequests,
    InboxGrew,
    Mempool,
    MempoolOutput,
    RequestAnswer,
    RequestQuery,
    RequestsFound,
    SharedRequest,
    SubmitRequest,
)
from wasp.off_ledger_pool import StateOfRequests
from wasp.proposing import Proposer
from wasp.publishing import Publisher
from wasp.state import State
from wasp.state_manager import ChainBlockAnswer, ChainBlockQuery, StateManager
from wasp.vm.program import Program

_MESSAGES: dict[str | int, tuple[type[Value], ...]] = {
    "log": (NextIndexVote,),
    "mempool": (SharedRequest, RequestQuery, RequestAnswer),
    "state": (ChainBlockQuery, ChainBlockAnswer),
    "anchors": (AnchorQuery, AnchorAnswer),
}


class Chain(Automaton[ChainInput, Value, ChainOutput]):
    """One member's part in one chain. Its first deadline is at once: it votes for its first log index."""

    def __init__(
        self,
        name: str,
        network: str,
        committee: Committee,
        me: NodeId,
        signer: Signer,
        verifier: Verifier,
        keys: MemberKeys,
        program: Program,
        genesis_block: ChainBlock,
        genesis_state: State,
        genesis_anchor: tuple[OutputId, AnchorOutput],
        parameters: ChainParameters,
        rng: Stream,
        used: int = 0,
    ) -> None:
        self.name = name
        self.id = chain_id(network, name)
        self.committee = committee
        self.me = me
        self.program = program
        self.parameters = parameters
        inbox = Inbox(self.id, program.limits.expiry_guard)
        self.log = CommitteeLog((name, "log"), committee, me, parameters.recovery, used)
        path, state = (name, "mempool"), StateOfRequests(genesis_state)
        pool, sharing = parameters.pool, parameters.sharing
        self.mempool = Mempool(path, committee, me, verifier, inbox, state, pool, sharing, rng)
        states = StateManager((name, "state"), committee, me, genesis_block, genesis_state, parameters.fetching, rng)
        anchors = AnchorView(anchor_of(*genesis_anchor), parameters.unconfirmed_anchors_max)
        search = AnchorSearch((name, "anchors"), committee, me, verifier, anchors, parameters.fetching, rng)
        publisher = Publisher(committee.index[me], committee.n, parameters.publication)
        self.view = ChainView(name, anchors, states, search, inbox, publisher, genesis_block)
        self.instances = Instances(committee, parameters.instances_kept, parameters.instances_ahead_max, used)
        self.batches = DecidedBatches(name, network, anchors, states)
        self.proposer = Proposer(
            program, self.view, self.mempool, parameters.policy, parameters.batch_delay, parameters.gather_delay
        )
        self._keys = (signer, verifier, keys, rng)
        self._deadline: Instant | None = self.log.deadline

    @classmethod
    def restore(cls, records: Iterable[Record], *arguments: Any, **keywords: Any) -> Chain:
        """The chain of a restarted member, of its records and the arguments of its first life."""
        values = [record.value for record in records]
        keywords["used"] = max([value.index for value in values if isinstance(value, LogIndexUsed)], default=0)
        chain = cls(*arguments, **keywords)
        chain.view.restore(values)
        active = StateOfRequests(chain.view.active_state)
        moved = chain.mempool.handle_input(ActiveStateMoved(active, ()), 0)
        assert moved == NOTHING, "an empty mempool has nothing to tell"
        chain.proposer.note_active_state()
        return chain

    def handle_input(self, input: ChainInput, now: Instant) -> Step[ChainOutput]:
        step: StepBuilder[ChainOutput] = StepBuilder()
        match input:
            case SubmitRequest():
                self._absorb_mempool(step, self.mempool.handle_input(input, now), now)
            case ExecutionCompleted():
                self._handle_executed(step, input, now)
            case PeerReconnected():
                self._absorb_log(step, self.log.handle_input(input, now), now)
            case _:
                self._absorb_view(step, self.view.handle_input(input, now), now)
        return self._conclude(step, now)

    def handle_message(self, sender: NodeId, path: Path, message: Value, now: Instant) -> Step[ChainOutput]:
        """The one lookup: which leaf a message is for, and whether it may reach it."""
        if sender not in self.committee:
            return _fault(sender, "not_a_member", path, type(message).__name__)
        place = path[1] if len(path) > 1 else ""
        if isinstance(place, int):
            return self._handle_instance_message(sender, place, path, message, now)
        if not isinstance(message, _MESSAGES.get(place, ())) or len(path) != 2:
            return _fault(sender, "no_such_leaf", path, type(message).__name__)
        step: StepBuilder[ChainOutput] = StepBuilder()
        match message:
            case NextIndexVote():
                self._absorb_log(step, self.log.handle_message(sender, path, message, now), now)
            case SharedRequest() | RequestQuery() | RequestAnswer():
                self._absorb_mempool(step, self.mempool.handle_message(sender, path, message, now), now)
            case ChainBlockQuery() | ChainBlockAnswer() | AnchorQuery() | AnchorAnswer():
                self._absorb_view(step, self.view.handle_message(sender, path, message, now), now)
        return self._conclude(step, now)

    def handle_timer(self, now: Instant) -> Step[ChainOutput]:
        step: StepBuilder[ChainOutput] = StepBuilder()
        if _is_due(self.log.deadline, now):
            self._absorb_log(step, self.log.handle_timer(now), now)
        if _is_due(self.mempool.deadline, now):
            self._absorb_mempool(step, self.mempool.handle_timer(now), now)
        if _is_due(self.view.deadline, now):
            self._absorb_view(step, self.view.handle_timer(now), now)
        for instance in list(self.instances):
            if _is_due(instance.deadline, now):
                self._absorb_instance(step, instance, instance.consensus.handle_timer(now), now)
        return self._conclude(step, now)

    @property
    def deadline(self) -> Instant | None:
        return self._deadline

    def _conclude(self, step: StepBuilder[ChainOutput], now: Instant) -> Step[ChainOutput]:
        self._maybe_propose(step, now)
        self._absorb_view(step, self.view.handle_input(self.batches.bases(), now), now)
        self._deadline = earliest(
            self.log.deadline,
            self.mempool.deadline,
            self.view.deadline,
            self.proposer.deadline,
            *[instance.deadline for instance in self.instances],
        )
        return step.build()

    @property
    def active_block(self) -> ChainBlock:
        """The newest chain block with a signed anchor."""
        return self.view.active

    @property
    def active_state(self) -> State:
        """The state after it."""
        return self.view.active_state

    @property
    def confirmed_block(self) -> ChainBlock:
        """The newest chain block whose anchor layer 1 has confirmed."""
        return self.view.confirmed

    @property
    def confirmed_state(self) -> State:
        """The state after it."""
        return self.view.confirmed_state

    @property
    def status(self) -> dict[str, Any]:
        """Why it waits."""
        current = self.instances.current
        return {
            "chain": self.name,
            "log": self.log.status,
            "instance": None if current is None else current.consensus.status,
            "proposal": self.proposer.status,
            "batches": self.batches.status,
            "mempool": self.mempool.status,
            **self.view.status,
        }

    def _absorb_log(self, step: StepBuilder[ChainOutput], child: Step[IndexOpened], now: Instant) -> None:
        """Line 1."""
        for opened in step.add(child):
            index = opened.log_index
            place, protocol, times = (self.name, index), self.parameters.protocol, self.parameters.times
            consensus = Consensus(place, self.committee, self.me, *self._keys, protocol, times)
            for dropped in self.instances.open(index, consensus):
                self._forget(step, dropped, now)
            instance = self.instances.find(index)
            assert instance is not None
            self._absorb_instance(step, instance, consensus.handle_input(OpenInstance(), now), now)
            for sender, path, message in self.instances.release(index):
                self._absorb_instance(step, instance, consensus.handle_message(sender, path, message, now), now)

    def _maybe_propose(self, step: StepBuilder[ChainOutput], now: Instant) -> None:
        """Lines 2 and 3."""
        instance = self.instances.current
        if instance is None or instance.consensus.proposed or instance.consensus.ended:
            self.proposer.rest()
            return
        proposal = self.proposer.proposal(instance.accompanied, now)
        if proposal is not None:
            step.outputs.append(BatchProposed(instance.log_index, proposal.requests))
            self._absorb_log(step, self.log.handle_input(IndexProposed(instance.log_index), now), now)
            self._absorb_instance(step, instance, instance.consensus.handle_input(ProposeBatch(proposal), now), now)

    def _handle_instance_message(
        self, sender: NodeId, log_index: int, path: Path, message: Value, now: Instant
    ) -> Step[ChainOutput]:
        instance = self.instances.find(log_index)
        if instance is None:
            if self.instances.hold(sender, log_index, path, message):
                return NOTHING
            return _fault(sender, "too_many_messages", path, "for log indices that are not open")
        child = instance.consensus.handle_message(sender, path, message, now)
        if not child.outputs and instance.consensus.deadline == instance.deadline:
            return child  # type: ignore[return-value] # a step without outputs is a step of any automaton
        step: StepBuilder[ChainOutput] = StepBuilder()
        self._absorb_instance(step, instance, child, now)
        return self._conclude(step, now)

    def _absorb_instance(
        self, step: StepBuilder[ChainOutput], instance: Instance, child: Step[ConsensusOutput], now: Instant
    ) -> None:
        instance.deadline = instance.consensus.deadline
        for output in step.add(child):
            match output:
                case BatchDecided():
                    step.outputs.append(output)
                    self._carry_out(step, instance, self.batches.add(output.log_index, output.batch), now)
                case RequestsNeeded():
                    if not instance.consensus.ended:
                        find = FindRequests(output.log_index, output.requests)
                        self._absorb_mempool(step, self.mempool.handle_input(find, now), now)
                case ExecutionNeeded():
                    self._carry_out(step, instance, self.batches.want(output), now)
                case OthersProposed():
                    instance.accompanied = True
                case IndexSkipped():
                    step.outputs.append(output)
                    self.proposer.note_skipped(now)
                    self._handle_ended(step, instance, now)
                case AnchorSigned():
                    self.proposer.note_anchored()
                    learned = SignedAnchorLearned(output.transaction)
                    self._absorb_view(step, self.view.handle_input(learned, now), now)
                    self._handle_ended(step, instance, now)

    def _carry_out(
        self, step: StepBuilder[ChainOutput], instance: Instance, next_step: BatchStep | None, now: Instant
    ) -> None:
        """Lines 4 to 6."""
        match next_step:
            case None:
                return
            case ChainBlockExecutionNeeded():
                step.outputs.append(next_step)
            case SuccessorKnown() | BatchExecuted():
                self._absorb_instance(step, instance, instance.consensus.handle_input(next_step, now), now)

    def _handle_executed(self, step: StepBuilder[ChainOutput], input: ExecutionCompleted, now: Instant) -> None:
        """Line 6."""
        execution = input.execution
        if execution is not None and self.view.states.state(execution.block.previous) is not None:
            held = BlockExecuted(execution.block, execution.state)
            self._absorb_view(step, self.view.handle_input(held, now), now)
        instance = self.instances.find(input.log_index)
        if instance is not None:
            self._carry_out(step, instance, self.batches.executed(input), now)

    def _handle_ended(self, step: StepBuilder[ChainOutput], instance: Instance, now: Instant) -> None:
        self._forget(step, instance.log_index, now)
        self._absorb_log(step, self.log.handle_input(IndexEnded(instance.log_index), now), now)

    def _forget(self, step: StepBuilder[ChainOutput], log_index: int, now: Instant) -> None:
        """The index needs nothing any more."""
        self.batches.forget(log_index)
        self._absorb_mempool(step, self.mempool.handle_input(ForgetRequests(log_index), now), now)

    def _absorb_view(self, step: StepBuilder[ChainOutput], child: Step[ChainViewOutput], now: Instant) -> None:
        for output in step.add(child):
            match output:
                case ViewChanged():
                    self._handle_view_changed(step, output, now)
                case OutputsArrived():
                    self._absorb_mempool(step, self.mempool.handle_input(InboxGrew(), now), now)
                case _:
                    step.outputs.append(output)

    def _handle_view_changed(self, step: StepBuilder[ChainOutput], changed: ViewChanged, now: Instant) -> None:
        if changed.moved:
            self.proposer.note_active_state()
            active = StateOfRequests(self.view.active_state)
            moved = ActiveStateMoved(active, changed.executed, changed.undone)
            self._absorb_mempool(step, self.mempool.handle_input(moved, now), now)
        for log_index in self.batches.log_indices():
            instance = self.instances.find(log_index)
            if instance is not None and not instance.consensus.ended:
                self._carry_out(step, instance, self.batches.next_step(log_index), now)

    def _absorb_mempool(self, step: StepBuilder[ChainOutput], child: Step[MempoolOutput], now: Instant) -> None:
        for output in step.add(child):
            if not isinstance(output, RequestsFound):
                step.outputs.append(output)
                continue
            instance = self.instances.find(output.log_index)
            if instance is not None and not instance.consensus.ended:
                delivered = RequestsDelivered(output.requests)
                self._absorb_instance(step, instance, instance.consensus.handle_input(delivered, now), now)


def _is_due(deadline: Instant | None, now: Instant) -> bool:
    return deadline is not None and now >= deadline


def _fault(accused: NodeId, kind: str, path: Path, detail: str) -> Step[Any]:
    return Step(faults=(Fault(accused, kind, path, detail),))
