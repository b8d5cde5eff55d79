"""Byzantine members of HotStuff and Jolteon, in league: they share what they know, and vote for whatever one of them wants.

In these protocols nobody sees votes but a leader, so a liar alone is weak, and a leader with accomplices is strong. By draws
of their stream the conspirators deal one list or two, in later views without, or against, the certificate that the view
demands; make certificates of the votes they have and their own, with one too few if that may do; show them to no more members
than needed, and a decision to one; vote for other lists than their leader's; and hide what was prepared when views change.
One more of them than the committee survives, a threshold that is one too low, or a rule left out, and it decides twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ledger.kernel.automaton import Automaton, Envelope, NodeId, Path, Step
from ledger.kernel.encoding import Digest, Value, digest_of_bytes
from ledger.kernel.identity import Signature
from ledger.kernel.instant import Instant
from ledger.kernel.rng import Stream
from wasp.consensus.byzantine.lying import forged
from wasp.consensus.committee_protocol import Membership, Propose
from wasp.consensus.leaders.certified_phases import Certified, CertifiedPhases, ViewProposal
from wasp.consensus.leaders.hotstuff import HotStuff, Wish
from wasp.consensus.leaders.proposal_list import ProposalList, SignedProposal
from wasp.consensus.leaders.view_change import ViewChange, ViewChangeMark, claim_of, highest_claim
from wasp.consensus.leaders.vote import NO_VALUE, Certificate, Kind, Notary, Vote


class Conspiracy:
    """What the conspirators know together: the votes, claims, lists and certificates that one of them has seen."""

    def __init__(self, protocol: type[CertifiedPhases], memberships: Sequence[Membership], rng: Stream) -> None:
        place = memberships[0]
        self.protocol = protocol
        self.path: Path = (*place.path, protocol.name)
        self.committee = place.committee
        self.log_index = int(place.path[-1])
        self.rng = rng
        index = place.committee.index
        self.notaries = {index[membership.me]: Notary(membership, self.path) for membership in memberships}
        self.correct = tuple(me for me in place.committee.members if index[me] not in self.notaries)
        self.proposals: dict[int, SignedProposal] = {}
        self.lists: dict[Digest, ProposalList] = {}
        self.votes: dict[tuple[Kind, int, Digest], dict[int, Signature]] = {}
        self.prepared: dict[Digest, Certificate] = {}
        self.marks: dict[int, dict[int, ViewChangeMark]] = {}
        self.dealt: dict[tuple[int, Digest], Sequence[NodeId]] = {}
        self.sparing: dict[int, bool] = {}
        self.told: set[NodeId] = set()
        """Correct members that know a decision; what these say should better come late."""

    def propose(self, member: int, payload: bytes) -> SignedProposal:
        """A conspirator's proposal, one of many."""
        signature = self.notaries[member].sign("proposal", member, digest_of_bytes(payload))
        return SignedProposal(member, payload, signature)

    def leads(self, member: int, view: int) -> bool:
        """Whether this conspirator leads the view."""
        return (self.log_index + view) % self.committee.n == member

    def list_of(self, leader: int, payload: bytes) -> ProposalList:
        """A good list of this leader, with this payload as its own proposal."""
        others = [place for place in self.proposals if place != leader][: self.committee.waiting - 1]
        chosen = {place: self.proposals[place] for place in others} | {leader: self.propose(leader, payload)}
        proposals = ProposalList(tuple(chosen[place] for place in sorted(chosen)))
        self.lists[proposals.digest] = proposals
        return proposals

    def certificate(self, kind: Kind, view: int, digest: Digest) -> Certificate:
        """Of all votes that were seen, and all that the conspirators can cast."""
        votes = dict(self.votes.get((kind, view, digest), {}))
        for member, notary in self.notaries.items():
            votes[member] = notary.vote(kind, view, digest).signature
        signers = tuple(sorted(votes))
        return Certificate(view, digest, signers, tuple(votes[place] for place in signers))

    def change(self, member: int, view: int) -> ViewChange:
        """A conspirator's view change: it claims something that is certified, or nothing."""
        claims = [known for known in self.prepared.values() if known.view < view]
        prepared = self.rng.choice(claims) if claims and self.rng.random() < 0.5 else None
        signature = self.notaries[member].sign("ViewChange", view, *claim_of(prepared))
        self.marks.setdefault(view, {})[member] = ViewChangeMark(member, view, *claim_of(prepared), signature)
        return ViewChange(view, prepared, signature)

    def low_marks(self, view: int) -> tuple[ViewChangeMark, ...]:
        """n - f marks of a view, of those who claim least, the conspirators claiming nothing."""
        marks = dict(self.marks.get(view, {}))
        for member, notary in self.notaries.items():
            signature = notary.sign("ViewChange", view, None, NO_VALUE)
            marks[member] = ViewChangeMark(member, view, None, NO_VALUE, signature)
        low = sorted(marks.values(), key=lambda mark: -1 if mark.prepared_in is None else mark.prepared_in)
        return tuple(sorted(low[: self.committee.waiting], key=lambda mark: mark.member))


class Conspirator(Automaton[Any, Any, Any]):
    """One of them. It knows no timers: it goes where correct members go."""

    def __init__(self, me: NodeId, conspiracy: Conspiracy) -> None:
        self._us = conspiracy
        self._member = conspiracy.committee.index[me]
        self._notary = conspiracy.notaries[self._member]
        self._rng = conspiracy.rng
        self._kinds = tuple(phase.vote for phase in conspiracy.protocol.phases)
        self._changed: set[int] = set()

    def handle_input(self, input: Propose, now: Instant) -> Step[Any]:
        own = self._us.proposals[self._member] = self._us.propose(self._member, input.payload)
        leader = self._us.committee.members[self._us.log_index % self._us.committee.n]
        return Step(messages=[self._to((leader,), own), *self._maybe_lead(0)])

    def handle_message(self, sender: NodeId, path: Path, message: Any, now: Instant) -> Step[Any]:
        place = self._us.committee.index[sender]
        said: list[Envelope] = []
        match message:
            case SignedProposal():
                self._us.proposals.setdefault(place, message)
                for view in (0, *self._us.marks):
                    said.extend(self._maybe_lead(view))
            case Vote():
                self._us.votes.setdefault((type(message), message.view, message.digest), {})[place] = message.signature
                said.extend(self._show(type(message), message.view, message.digest))
            case ViewChange():
                mark = ViewChangeMark(place, message.view, *claim_of(message.prepared), message.signature)
                self._us.marks.setdefault(message.view, {})[place] = mark
                self._learn(message.prepared)
                said.extend(self._change(message.view))
            case Wish():
                said.extend(self._change(message.view))
            case ViewProposal():
                self._us.lists[message.proposals.digest] = message.proposals
                self._learn(message.prepared)
                said.extend(self._cast(sender, self._kinds[0], message.view, message.proposals.digest))
            case Certified():
                certificate = message.certificate
                kinds = [phase.message for phase in self._us.protocol.phases]
                phase = kinds.index(type(message))
                if phase == 0:
                    self._learn(certificate)
                said.extend(self._cast(sender, self._kinds[phase + 1], certificate.view, certificate.digest))
        return Step(messages=said)

    def _learn(self, prepared: Certificate | None) -> None:
        if prepared is not None:
            self._us.prepared[prepared.digest] = prepared

    def _cast(self, leader: NodeId, kind: Kind, view: int, digest: Digest) -> Iterable[Envelope]:
        """A vote, for this or for any list that is about, or none."""
        chance = self._rng.random()
        if chance < 0.3 and self._us.lists:
            digest = self._rng.choice(list(self._us.lists))
        if chance < 0.85:
            yield self._to((leader,), self._notary.vote(kind, view, digest))

    def _change(self, view: int) -> Iterable[Envelope]:
        """Go to this view once, or stay away; lead it, if it is its turn."""
        if view not in self._changed:
            self._changed.add(view)
            change = self._us.change(self._member, view)
            told = tuple(me for me in self._us.correct if self._rng.random() < 0.7)
            if told:
                yield self._to(told, change)
                if self._us.protocol is HotStuff:
                    yield self._to(told, Wish(view))
        yield from self._maybe_lead(view)

    def _maybe_lead(self, view: int) -> Iterable[Envelope]:
        """Deal one list or two, once there are n - f proposals and, where they are shown, n - f marks."""
        us = self._us
        known = {**us.proposals, self._member: None}
        if not us.leads(self._member, view) or view in us.sparing or len(known) < us.committee.waiting:
            return
        marks = us.low_marks(view) if view and us.protocol is not HotStuff else ()
        if marks and (
            len(marks) < us.committee.waiting
            or (highest_claim(marks).prepared_in is not None and self._rng.random() < 0.7)
        ):
            return
        audience = self._rng.sample([me for me in us.correct if me not in us.told], len(us.correct) - len(us.told))
        cut = len(audience) // 2 if self._rng.random() < 0.35 and not us.told else 0
        us.sparing[view] = not cut and not us.told and self._rng.random() < 0.9
        true = us.committee.members[self._member].encode()
        for members, payload in ((audience[:cut], true), (audience[cut:], forged(true))):
            if members:
                proposal = self._deal(view, payload, marks)
                us.dealt[view, proposal.proposals.digest] = members
                yield self._to(members, proposal)

    def _deal(self, view: int, payload: bytes, marks: tuple[ViewChangeMark, ...]) -> ViewProposal:
        """A proposal: of the list that is demanded, of another certified one, or of one of its own, whatever is certified."""
        us = self._us
        certified = [known for digest, known in us.prepared.items() if known.view < view and digest in us.lists]
        demanded = [known for known in certified if marks and claim_of(known) == highest_claim(marks)]
        chance = self._rng.random()
        prepared = None
        if certified and chance < 0.3:
            prepared = self._rng.choice(demanded if demanded and chance < 0.2 else certified)
        proposals = us.lists[prepared.digest] if prepared else us.list_of(self._member, payload)
        signature = self._notary.vote(self._kinds[0], view, proposals.digest).signature
        return ViewProposal(view, proposals, signature, prepared, marks)

    def _show(self, kind: Kind, view: int, digest: Digest) -> Iterable[Envelope]:
        """A certificate when there are enough votes, or one is missing: to all who had the list, or as few as needed."""
        us, quorum = self._us, self._us.committee.intersecting
        certificate, audience = us.certificate(kind, view, digest), us.dealt.get((view, digest), ())
        missing = quorum - len(certificate.signers)
        if not audience or missing not in (0, 1) or (missing and self._rng.random() < 0.4):
            return
        phase = self._kinds.index(kind)
        if phase == 0:
            self._learn(certificate)
        if us.sparing[view]:
            needed = quorum - len(us.notaries)
            if kind is us.protocol.decisive:
                needed = 1
                audience = [us.committee.members[place] for place in us.votes[kind, view, digest]]
            elif kind is self._kinds[-2] and needed > 1 and self._rng.random() < 0.4:
                needed -= 1
            audience = self._rng.sample(audience, min(needed, len(audience)))
        if kind is us.protocol.decisive:
            us.told.update(audience)
        yield self._to(audience, us.protocol.phases[phase].message(certificate))

    def _to(self, recipients: Sequence[NodeId], message: Value) -> Envelope:
        return Envelope(tuple(recipients), self._us.path, message)
