"""Byzantine members of protocols with a leader: they hold keys, so they can sign whatever they like.

``TwoFaced`` runs the honest code, tells each other member by chance the truth, something else that it signs as well, or
nothing, and votes in every view that it hears of for whatever is about. As a leader it proposes two lists, both of them good;
as a voter it votes for both; changing views it hides what it prepared. What honest code may do wrong by a threshold that is
one too low shows up under it. The lies below it each do one thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ledger.kernel.automaton import Automaton, Envelope, Path, Step
from ledger.kernel.encoding import Digest, Value, digest_of_bytes
from ledger.kernel.instant import Instant
from ledger.kernel.rng import Stream
from wasp.consensus.byzantine.lying import forged
from wasp.consensus.committee_protocol import Membership
from wasp.consensus.leaders.certified_phases import Certified, ViewProposal
from wasp.consensus.leaders.hotstuff import CommitVote, PreCommitVote, PrepareVote, Wish
from wasp.consensus.leaders.jolteon import FirstVote, SecondVote
from wasp.consensus.leaders.leadership import VIEWS_AHEAD_MAX, Decision, LeaderProtocol
from wasp.consensus.leaders.pbft import Commit, NewView, Prepare, PrePrepare
from wasp.consensus.leaders.proposal_list import ProposalList, SignedProposal
from wasp.consensus.leaders.sequencer import Sequenced
from wasp.consensus.leaders.tendermint import Precommit, Prevote, Proposed, RoundProposal
from wasp.consensus.leaders.view_change import ViewChange
from wasp.consensus.leaders.vote import NO_VALUE, Kind, Notary, Vote

VOTES: dict[str, tuple[Kind, ...]] = {
    "pbft": (Prepare, Commit),
    "tendermint": (Prevote, Precommit),
    "hotstuff": (PrepareVote, PreCommitVote, CommitVote),
    "jolteon": (FirstVote, SecondVote),
    "sequencer": (),
}
"""The kinds of vote of each protocol."""
LISTS = (PrePrepare, NewView, RoundProposal, ViewProposal, Sequenced)
"""What proposes lists."""


class TwoFaced(Automaton[Any, Any, Any]):
    """The inner protocol, lying to others by draws of its stream. About each view it speaks unasked at most a few times."""

    tellings_max = 4

    def __init__(self, inner: LeaderProtocol, membership: Membership, rng: Stream) -> None:
        self._inner = inner
        self._me = membership.me
        self._others = tuple(member for member in membership.committee.members if member != membership.me)
        self._member = membership.committee.index[membership.me]
        self._path: Path = (*membership.path, inner.name)
        self._notary = Notary(membership, self._path)
        self._kinds = VOTES[inner.name]
        self._rng = rng
        self._digests: list[Digest] = [NO_VALUE] if inner.name == "tendermint" else []
        self._tellings: dict[int, int] = {}

    @property
    def deadline(self) -> Instant | None:
        return self._inner.deadline

    def handle_input(self, input: Any, now: Instant) -> Step[Any]:
        return self._lie(self._inner.handle_input(input, now), ())

    def handle_timer(self, now: Instant) -> Step[Any]:
        return self._lie(self._inner.handle_timer(now), ())

    def handle_message(self, sender: Any, path: Path, message: Any, now: Instant) -> Step[Any]:
        unasked = self._votes_about(message) if sender != self._me else ()
        return self._lie(self._inner.handle_message(sender, path, message, now), unasked)

    def _lie(self, step: Step[Any], unasked: Sequence[Envelope]) -> Step[Any]:
        said: list[Envelope] = []
        for envelope in step.messages:
            other = self._other(envelope.message)
            for recipient in envelope.recipients:
                chance = self._rng.random()
                if recipient == self._me or chance < 0.45:
                    said.append(Envelope((recipient,), envelope.path, envelope.message))
                elif chance < 0.9:
                    said.append(Envelope((recipient,), envelope.path, other))
        said.extend(unasked)
        return Step(step.records, said, step.outputs, step.faults)

    def _votes_about(self, message: Any) -> Sequence[Envelope]:
        match message:
            case Vote():
                view, digest = message.view, message.digest
            case PrePrepare() | RoundProposal() | NewView():
                vote = message.pre_prepare.vote if isinstance(message, NewView) else message.vote
                view, digest = vote.view, vote.digest
            case ViewProposal():
                view, digest = message.view, message.proposals.digest
            case _:
                return ()
        self._learn(digest)
        told = self._tellings.get(view, 0)
        if told >= self.tellings_max:
            return ()
        self._tellings[view] = told + 1
        return [
            Envelope((other,), self._path, self._notary.vote(kind, view, self._rng.choice(self._digests)))
            for other in self._others
            for kind in self._kinds
            if self._rng.random() < 0.5
        ]

    def _learn(self, digest: Digest) -> None:
        if digest not in self._digests:
            self._digests.append(digest)

    def _other(self, message: Value) -> Value:
        """Something else in the place of a message, signed as that is."""
        match message:
            case Vote() if self._digests:
                return self._notary.vote(type(message), message.view, self._rng.choice(self._digests))
            case PrePrepare():
                return self._other_pre_prepare(message)
            case NewView():
                return NewView(message.marks, message.prepared, self._other_pre_prepare(message.pre_prepare))
            case RoundProposal():
                proposals = self._other_list(message.proposals)
                return RoundProposal(self._vote_for(Proposed, message.vote.view, proposals), proposals, None)
            case ViewProposal():
                return self._other_view_proposal(message)
            case ViewChange():
                return ViewChange(message.view, None, self._notary.sign("ViewChange", message.view, None, NO_VALUE))
            case SignedProposal():
                return self._other_proposal(message.payload)
            case ProposalList():
                return self._other_list(message)
            case _:
                return message

    def _vote_for(self, kind: Any, view: int, proposals: ProposalList) -> Any:
        self._learn(proposals.digest)
        return self._notary.vote(kind, view, proposals.digest)

    def _other_pre_prepare(self, message: PrePrepare) -> PrePrepare:
        proposals = self._other_list(message.proposals)
        return PrePrepare(message.view, proposals, self._vote_for(Prepare, message.view, proposals).signature)

    def _other_view_proposal(self, message: ViewProposal) -> ViewProposal:
        proposals = self._other_list(message.proposals)
        signature = self._vote_for(self._kinds[0], message.view, proposals).signature
        return ViewProposal(message.view, proposals, signature, None, message.marks)

    def _other_proposal(self, payload: bytes) -> SignedProposal:
        payload = forged(payload)
        signature = self._notary.sign("proposal", self._member, digest_of_bytes(payload))
        return SignedProposal(self._member, payload, signature)

    def _other_list(self, proposals: ProposalList) -> ProposalList:
        """The list with another proposal of this member, if it has one."""
        return ProposalList(
            tuple(
                self._other_proposal(proposal.payload) if proposal.member == self._member else proposal
                for proposal in proposals.proposals
            )
        )


def withholding_leader(envelope: Envelope) -> Sequence[Envelope]:
    """Proposes its lists to the first half of the others only, and sends no list to who asks for it."""
    if not isinstance(envelope.message, (*LISTS, ProposalList)):
        return (envelope,)
    half = envelope.recipients[: len(envelope.recipients) // 2]
    return (Envelope(half, envelope.path, envelope.message),) if half else ()


def bad_signatures(envelope: Envelope) -> Sequence[Envelope]:
    """Signs nothing rightly."""
    message: Any = envelope.message
    lie: Any
    match message:
        case Vote() | ViewChange() | SignedProposal() | PrePrepare() | ViewProposal() | Sequenced():
            lie = msgspec.structs.replace(message, signature=_flipped(message.signature))
        case RoundProposal():
            vote = msgspec.structs.replace(message.vote, signature=_flipped(message.vote.signature))
            lie = msgspec.structs.replace(message, vote=vote)
        case NewView():
            signature = _flipped(message.pre_prepare.signature)
            lie = msgspec.structs.replace(
                message, pre_prepare=msgspec.structs.replace(message.pre_prepare, signature=signature)
            )
        case Decision() | Certified():
            signatures = tuple(_flipped(signature) for signature in message.certificate.signatures)
            certificate = msgspec.structs.replace(message.certificate, signatures=signatures)
            lie = msgspec.structs.replace(message, certificate=certificate)
        case _:
            lie = message
    return (Envelope(envelope.recipients, envelope.path, lie),)


def replaying(envelope: Envelope) -> Sequence[Envelope]:
    """Says everything twice, and once more in the name of the next view."""
    message: Any = envelope.message
    said = [envelope, envelope]
    if isinstance(message, Vote | ViewChange | Wish):
        later = msgspec.structs.replace(message, view=message.view + 1)
        said.append(Envelope(envelope.recipients, envelope.path, later))
    return said


def flooding(envelope: Envelope) -> Sequence[Envelope]:
    """Speaks about views that nobody will ever see, besides."""
    message: Any = envelope.message
    said = [envelope]
    if isinstance(message, Vote | ViewChange | Wish):
        for ahead in (1, VIEWS_AHEAD_MAX, VIEWS_AHEAD_MAX + 1, 2**40):
            later = msgspec.structs.replace(message, view=message.view + ahead)
            said.append(Envelope(envelope.recipients, envelope.path, later))
    return said


def _flipped(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]
