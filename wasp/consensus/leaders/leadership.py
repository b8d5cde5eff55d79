"""What all protocols with a leader share: signed proposals gathered into a list, views and their timers, catching up.

A leader's proposal is a list of n - f signed proposals of distinct members, its own among them: so a leader can choose whom
to leave out, but neither forge nor outvote. The list is what the committee votes on, by its digest, and what it decides.
The leader of view v in log index L is member (L + v) mod n.

1. on the own proposal: sign it, send it to the leader; the view's timer starts
2. leader, on proposals of n - f members, the own among them: ``_lead``: the protocol multicasts the list
3. leader, with proposals of f + 1 but not of n - f members after its ``patience``: multicast ``ProposalsWanted`` with proof
4. on proof that f + 1 others have proposed (line 3, a list, votes): tell the owner, who then proposes as well
5. when a view's timer expires: ``_handle_expiry``: the protocol goes to the next view, and ``_offer``s the own proposal there
6. on a decision: output the list; ask for it, if it is not known, until somebody sends it
7. decided, and a member is known that is still in a view: send it the proof of the decision, once

A member that holds its proposal back has no timer, and an instance that waits for work sends nothing. It does not wait for
ever: where a correct member decides, n - 2f correct ones at least have voted, and line 4 makes everybody propose.

Line 1 costs one delay and n - 1 messages before any protocol begins; they are counted apart. Deciding is not terminating
(line 7): the proof is transferable, because its votes are signed.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, TypeAlias

from ledger.kernel.automaton import Envelope, Fault, NodeId, Step, StepBuilder
from ledger.kernel.encoding import FRAME_SIZE_MAX, Digest, Value, digest_of_bytes
from ledger.kernel.instant import Instant
from wasp.consensus.committee_protocol import (
    CommitteeProtocol,
    Membership,
    ProposalsDecided,
    ProposalsSeen,
    Propose,
    ProtocolOutput,
)
from wasp.consensus.leaders.known_lists import KnownLists, ListWanted
from wasp.consensus.leaders.proposal_list import Gathering, ProposalList, ProposalMark, SignedProposal
from wasp.consensus.leaders.vote import Ballot, Certificate, Kind, Notary, Vote
from wasp.consensus.reliable_broadcast import PAYLOAD_SIZE_MAX

VIEWS_AHEAD_MAX = 32
"""What is about later views is dropped: who is so far ahead has waited for half an hour, and this instance is given up."""


class ProposalsWanted(Value):
    """The leader has proposals of f + 1 members, named here, and needs more."""

    marks: tuple[ProposalMark, ...]


class Decision(Value):
    """A quorum's votes of the last phase: this list is decided, and no other can be."""

    certificate: Certificate


LeadershipMessage: TypeAlias = SignedProposal | ProposalList | ProposalsWanted | ListWanted | Decision


class LeaderProtocol(CommitteeProtocol):
    """One member's part in one instance of a protocol with a leader; a protocol fills in what its votes mean.

    Its one leaf is (chain, log index, name of the protocol). A handler collects in a ``StepBuilder`` and ends with
    ``_conclude``; timers have names, and expire at their instants unless they are taken away. Slotted, for Python looks up
    what belongs to an object with more than 30 fields the slow way.
    """

    __slots__ = ("_announced", "_answered", "_behind", "_committee", "_deadline", "_decision", "_decision_quorum",
                 "_gathering", "_join_quorum", "_joined", "_lists", "_log_index", "_me", "_members", "_notary",
                 "_offered", "_output", "_own", "_path", "_payload_size_max", "_proof", "_timers", "_times",
                 "_want_quorum", "_wanted_in", "proposed_at", "view", "view_changed")  # fmt: skip

    name: ClassVar[str]
    decisive: ClassVar[Kind | None] = None
    """The kind of vote of which an intersecting quorum decides, in protocols that show a ``Decision`` to others."""

    def __init__(self, membership: Membership) -> None:
        committee = membership.committee
        self._path = (*membership.path, self.name)
        self._committee = committee
        self._members = committee.members
        self._log_index = int(membership.path[-1])
        self._me = committee.index[membership.me]
        self._payload_size_max = min(PAYLOAD_SIZE_MAX, FRAME_SIZE_MAX // committee.waiting - 256)
        self._times = membership.times
        self._notary = Notary(membership, self._path)
        self._gathering = Gathering(self._notary, committee, self._payload_size_max)
        self._want_quorum = committee.some_correct
        self._join_quorum = committee.some_correct
        self._decision_quorum = committee.intersecting
        self._own: SignedProposal | None = None
        self._offered: set[NodeId] = set()
        self._wanted_in = -1
        self._joined = False
        others = self._members[: self._me] + self._members[self._me + 1 :]
        self._lists = KnownLists(self._path, others, self._times.list_retry, membership.rng)
        self._decision: Digest | None = None
        self._proof: Callable[[], Value] | None = None
        self._behind: dict[NodeId, int] = {}
        self._announced = 0
        """The last view that this member told the others to be in."""
        self._answered: set[NodeId] = set()
        self._output = False
        self._timers: dict[str, Instant] = {}
        self._deadline: Instant | None = None
        self.view = 0
        """Where this member is; where the decision fell, when there is one."""
        self.view_changed = False
        """Once it has decided: whether this member had left the first view, or the decision fell in a later one."""
        self.proposed_at: Instant | None = None
        """When this member, as a leader, first proposed a list."""

    @property
    def decided(self) -> bool:
        """Whether this member knows what is decided, though perhaps not yet the list."""
        return self._decision is not None

    @property
    def terminated(self) -> bool:
        return self._output

    @property
    def rounds(self) -> tuple[int, ...]:
        return (self.view + 1,)

    @property
    def status(self) -> dict[str, Any]:
        return {
            "decided": self.decided,
            "view": self.view,
            "leader": self.leader_of(self.view),
            "proposed": self._own is not None,
            "heard": sorted(self._gathering.heard),
            "missing": self._lists.missing is not None,
            "timers": dict(self._timers),
        }

    @property
    def deadline(self) -> Instant | None:
        return self._deadline

    def leader_of(self, view: int) -> NodeId:
        """Who leads a view."""
        return self._members[(self._log_index + view) % len(self._members)]

    def handle_input(self, input: Propose, now: Instant) -> Step[ProtocolOutput]:
        """Line 1."""
        assert self._own is None, "a member proposes once"
        assert len(input.payload) <= self._payload_size_max, "the proposer keeps its payload below the limit"
        payload = digest_of_bytes(input.payload)
        self._own = SignedProposal(self._me, input.payload, self._notary.sign("proposal", self._me, payload))
        step: StepBuilder[ProtocolOutput] = StepBuilder()
        if not self.decided:
            self._offer(step, self.view)
            self._handle_proposed(step, now)
        return self._conclude(step)

    def handle_timer(self, now: Instant) -> Step[ProtocolOutput]:
        step: StepBuilder[ProtocolOutput] = StepBuilder()
        for name in [name for name, at in self._timers.items() if at <= now]:
            if self._timers.get(name, now + 1) > now:
                continue
            del self._timers[name]
            match name:
                case "patience":
                    self._want_proposals(step)
                case "list":
                    self._ask(step, self._lists.ask(now))
                case _:
                    self._handle_expiry(step, name, now)
        return self._conclude(step)

    @abstractmethod
    def _handle_proposed(self, step: StepBuilder[ProtocolOutput], now: Instant) -> None:
        """The owner has proposed: the timer of the view may start."""

    @abstractmethod
    def _handle_expiry(self, step: StepBuilder[ProtocolOutput], name: str, now: Instant) -> None:
        """A timer of the protocol has expired."""

    @abstractmethod
    def _lead(self, step: StepBuilder[ProtocolOutput], now: Instant) -> None:
        """Something has come that a leader may have waited for: a proposal, or a list."""

    def _handle_leadership(
        self, step: StepBuilder[ProtocolOutput], sender: NodeId, message: Value, now: Instant
    ) -> None:
        """The messages that all these protocols have."""
        match message:
            case SignedProposal():
                self._handle_signed_proposal(step, sender, message, now)
            case ProposalsWanted():
                self._handle_proposals_wanted(step, sender, message)
            case ListWanted():
                step.messages.extend(self._lists.answer(sender, message.digest))
            case ProposalList():
                self._handle_proposal_list(step, sender, message, now)
            case Decision() if self.decisive is not None:
                self._handle_decision(step, sender, message, self.decisive, now)
            case _:
                self._blame(step, sender, "unexpected_message", type(message).__name__)

    def _handle_signed_proposal(
        self, step: StepBuilder[ProtocolOutput], sender: NodeId, message: SignedProposal, now: Instant
    ) -> None:
        """Lines 2 to 4, for a leader."""
        if self.decided:
            return
        if (fault := self._gathering.add(sender, message)) is not None:
            step.faults.append(fault)
            return
        heard = self._gathering.heard
        if len(heard) - (self._me in heard) >= self._join_quorum:
            self._join(step)
        self._gather(step, now)

    def _gather(self, step: StepBuilder[ProtocolOutput], now: Instant) -> None:
        """Lines 2 and 3: lead, or wait for proposals, if this member leads the view."""
        if self.decided or self._members[self._me] != self.leader_of(self.view):
            return
        heard = self._gathering.heard
        if len(heard) >= self._want_quorum and self._wanted_in < self.view:
            self._timers.setdefault("patience", now + self._times.patience)
        if self._gathering.is_enough_for(self._me):
            self._timers.pop("patience", None)
            self._wanted_in = self.view
        self._lead(step, now)

    def _want_proposals(self, step: StepBuilder[ProtocolOutput]) -> None:
        """Line 3."""
        if not self.decided and self._members[self._me] == self.leader_of(self.view):
            self._wanted_in = self.view
            marks = [self._gathering.heard[place].mark for place in sorted(self._gathering.heard)]
            self._multicast(step, ProposalsWanted(tuple(marks)))

    def _handle_proposals_wanted(
        self, step: StepBuilder[ProtocolOutput], sender: NodeId, message: ProposalsWanted
    ) -> None:
        """Line 4. Proof is asked of the leader, so that one liar alone can't make an idle committee work."""
        if self._own is not None or self._joined or self.decided:
            return
        if self._gathering.are_marks(message.marks, self._me):
            self._join(step)
        else:
            self._blame(step, sender, "bad_marks", "not the marks of f + 1 proposals")

    def _join(self, step: StepBuilder[ProtocolOutput]) -> None:
        """Line 4: f + 1 others have proposed."""
        if self._own is None and not self._joined:
            self._joined = True
            step.outputs.append(ProposalsSeen())

    def _offer(self, step: StepBuilder[ProtocolOutput], view: int) -> None:
        """Send the own proposal to the leader of a view, unless it has it."""
        leader = self.leader_of(view)
        if self._own is not None and leader not in self._offered:
            self._offered.add(leader)
            step.messages.append(Envelope((leader,), self._path, self._own))

    def _accept_list(self, step: StepBuilder[ProtocolOutput], proposals: ProposalList, now: Instant) -> None:
        """A good list is known: its proposals are those of f + 1 others at least."""
        self._lists.add(proposals)
        self._join(step)
        if self._lists.missing is None:
            self._timers.pop("list", None)
        if self.decided:
            self._maybe_output(step, now)

    def _propose_list(self, step: StepBuilder[ProtocolOutput], message: Value, now: Instant) -> None:
        """Multicast what proposes a list, as the leader."""
        if self.proposed_at is None:
            self.proposed_at = now
        self._multicast(step, message)

    def _ask(self, step: StepBuilder[ProtocolOutput], questions: tuple[Envelope, ...]) -> None:
        """Ask for a list that is sought, and set the timer for asking again."""
        step.messages.extend(questions)
        if (deadline := self._lists.deadline) is not None:
            self._timers["list"] = deadline

    def _handle_proposal_list(
        self, step: StepBuilder[ProtocolOutput], sender: NodeId, message: ProposalList, now: Instant
    ) -> None:
        """The answer to a question: a quorum vouches for its digest."""
        if message.digest == self._lists.missing:
            self._accept_list(step, message, now)
            self._gather(step, now)

    def _handle_decision(
        self, step: StepBuilder[ProtocolOutput], sender: NodeId, message: Decision, kind: Kind, now: Instant
    ) -> None:
        """Line 7, at the member that was behind."""
        certificate = message.certificate
        if self.decided:
            return
        if self._notary.is_certified(kind, certificate, self._decision_quorum):
            self._decide(step, certificate.digest, certificate.view, lambda: message, now)
        else:
            self._blame(step, sender, "bad_certificate", "a decision that is none")

    def _maybe_decide(self, step: StepBuilder[ProtocolOutput], ballot: Ballot, vote: Vote, now: Instant) -> None:
        """Line 6: a vote of the last phase was counted. The certificate is made when somebody must be shown it."""

        def decision() -> Decision:
            certificate = ballot.certificate(vote.digest)
            assert certificate is not None, "a quorum decided"
            return Decision(certificate)

        if ballot.count(vote.digest) >= self._decision_quorum:
            self._decide(step, vote.digest, vote.view, decision, now)

    def _decide(
        self, step: StepBuilder[ProtocolOutput], digest: Digest, view: int, proof: Callable[[], Value], now: Instant
    ) -> None:
        """Line 6, and line 7 for members that are known to be behind.

        In the view of the decision, members may wait in vain to hear that this one is there as well, if a certificate brought
        it there, or it never came: a faulty leader may have shown them nothing, and without n - f they start no timer.
        """
        if self.decided:
            return
        self._decision, self._proof = digest, proof
        self.view_changed = max(self.view, view) > 0
        self.view = view
        self._timers.clear()
        self._lists.missing = None
        self._maybe_output(step, now)
        for member, at in self._behind.items():
            if at > min(view, self._announced):
                self._answer(step, member, at)

    def _maybe_output(self, step: StepBuilder[ProtocolOutput], now: Instant) -> None:
        """Line 6."""
        assert self._decision is not None
        decided = self._lists.get(self._decision)
        if decided is None:
            self._ask(step, self._lists.want(self._decision, now))
        elif not self._output:
            self._output = True
            step.outputs.append(ProposalsDecided(decided.payloads))

    def _answer(self, step: StepBuilder[ProtocolOutput], member: NodeId, view: int) -> None:
        """Line 7: the member is in this view; it is told the decision, now or when one falls in an earlier view."""
        if self._proof is None:
            self._behind[member] = max(view, self._behind.get(member, view))
        elif member not in self._answered and member != self._members[self._me]:
            self._answered.add(member)
            step.messages.append(Envelope((member,), self._path, self._proof()))

    def _is_ahead(self, step: StepBuilder[ProtocolOutput], sender: NodeId, view: int) -> bool:
        """Whether a message is about a view that is too far ahead. Then it is dropped, but a decision answers it.

        It is no fault: so far ahead of a member that was cut off for long, or that decided early, may be correct ones.
        """
        if view <= self.view + VIEWS_AHEAD_MAX:
            return False
        self._answer(step, sender, view)
        return True

    def _start_timer(self, name: str, now: Instant, halves: int = 2) -> None:
        """One of the present view, in halves of the view's timeout; none when these timers are off."""
        timeout = self._times.timeout_of_view(self.view)
        if timeout is not None:
            self._timers[name] = now + halves * timeout // 2

    def _multicast(self, step: StepBuilder[ProtocolOutput], message: Value) -> None:
        step.messages.append(Envelope(self._members, self._path, message))

    def _blame(self, step: StepBuilder[ProtocolOutput], sender: NodeId, kind: str, detail: str) -> None:
        step.faults.append(Fault(sender, kind, self._path, detail))

    def _conclude(self, step: StepBuilder[ProtocolOutput]) -> Step[ProtocolOutput]:
        self._deadline = min(self._timers.values()) if self._timers else None
        return step.build()
