"""One member of a protocol with a leader, told by a script what others signed; and its thresholds, from both sides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ledger.kernel.automaton import Envelope, Fault, Path, Step
from ledger.kernel.encoding import Digest, Value, digest, digest_of_bytes
from tests.harness.committee import DealtCommittee
from wasp.consensus.committee_protocol import ProposalsSeen, Propose
from wasp.consensus.leaders.leadership import LeaderProtocol, ProposalsWanted
from wasp.consensus.leaders.pbft import Commit, NewView, Pbft, Prepare, PrePrepare
from wasp.consensus.leaders.proposal_list import ProposalList, SignedProposal
from wasp.consensus.leaders.tendermint import Precommit, Prevote, Proposed, RoundProposal, Tendermint
from wasp.consensus.leaders.view_change import ViewChange, claim_of
from wasp.consensus.leaders.vote import Certificate, Kind, Notary

SIZES = (4, 5, 6, 7, 8, 9)
A_LIST, ANOTHER = digest("a list"), digest("another list")


class Script:
    """The committee of n members; the one at this place is the real code, in log index 1: member 1 leads view 0."""

    def __init__(self, protocol: type[LeaderProtocol], n: int, place: int) -> None:
        self.dealt = DealtCommittee(n)
        self.members, self.committee = self.dealt.members, self.dealt.committee
        self.me = self.members[place]
        self.node = protocol(self.dealt.membership(self.me))
        self.path: Path = (*self.dealt.membership(self.me).path, protocol.name)
        self.notaries = [Notary(self.dealt.membership(member), self.path) for member in self.members]
        self.others = [index for index in range(n) if index != place]
        self.outputs: list[Any] = []
        self.faults: list[Fault] = []
        self.said: list[Envelope] = []

    def propose(self, now: int = 0) -> None:
        """The owner proposes."""
        self._take(self.node.handle_input(Propose(self.me.encode()), now), now)

    def tell(self, sender: int, message: Value, now: int = 0) -> None:
        """A member says this."""
        self._take(self.node.handle_message(self.members[sender], self.path, message, now), now)

    def expire(self) -> None:
        """The deadline comes."""
        assert self.node.deadline is not None, "nothing is timed"
        self._take(self.node.handle_timer(self.node.deadline), self.node.deadline)

    def _take(self, step: Step[Any], now: int) -> None:
        self.outputs.extend(step.outputs)
        self.faults.extend(step.faults)
        for envelope in step.messages:
            self.said.append(envelope)
            if self.me in envelope.recipients:
                self._take(self.node.handle_message(self.me, envelope.path, envelope.message, now), now)

    def said_of(self, kind: type) -> list[Any]:
        """What the member has said, of this kind."""
        return [envelope.message for envelope in self.said if isinstance(envelope.message, kind)]

    @property
    def timers(self) -> Any:
        """The timers that run, by name."""
        return self.node.status["timers"]

    def proposal(self, member: int, payload: bytes = b"payload") -> SignedProposal:
        """What this member proposes."""
        return SignedProposal(member, payload, self.notaries[member].sign("proposal", member, digest_of_bytes(payload)))

    def list_of(self, *members: int, payload: bytes = b"payload") -> ProposalList:
        """A list of these members' proposals."""
        return ProposalList(tuple(self.proposal(member, payload) for member in members))

    def good_list(self, payload: bytes = b"payload") -> ProposalList:
        """A list of n - f members, member 1 and 2 among them: either may lead with it."""
        return self.list_of(*range(self.committee.waiting), payload=payload)

    def vote(self, member: int, kind: Kind, view: int, digest: Digest) -> Any:
        """What this member votes."""
        return self.notaries[member].vote(kind, view, digest)

    def pre_prepare(self, proposals: ProposalList, view: int = 0) -> PrePrepare:
        """What the leader of this view says about a list."""
        leader = (1 + view) % len(self.members)
        return PrePrepare(view, proposals, self.vote(leader, Prepare, view, proposals.digest).signature)

    def round_proposal(self, proposals: ProposalList, view: int = 0, polka: Certificate | None = None) -> RoundProposal:
        """What the proposer of this round says about a list."""
        leader = (1 + view) % len(self.members)
        return RoundProposal(self.vote(leader, Proposed, view, proposals.digest), proposals, polka)

    def certificate(self, kind: Kind, view: int, digest: Digest, signers: Sequence[int]) -> Certificate:
        """These members' votes."""
        votes = [self.vote(signer, kind, view, digest).signature for signer in signers]
        return Certificate(view, digest, tuple(signers), tuple(votes))

    def view_change(self, member: int, view: int, prepared: Certificate | None = None) -> ViewChange:
        """This member leaves for a view."""
        return ViewChange(view, prepared, self.notaries[member].sign("ViewChange", view, *claim_of(prepared)))


def check_asking() -> None:
    """A leader asks for proposals when it has f + 1 of them, not before; members join for f + 1 signed marks, not for f."""
    for n in SIZES:
        leader = Script(Pbft, n, 1)
        for count, sender in enumerate(leader.others[: leader.committee.f + 1], 1):
            leader.tell(sender, leader.proposal(sender))
            assert ("patience" in leader.timers) == (count > leader.committee.f), "asking: with f + 1 proposals"
            assert (ProposalsSeen() in leader.outputs) == (count > leader.committee.f), "joining: f + 1 others"
        leader.expire()
        [wanted] = leader.said_of(ProposalsWanted)
        for count in (leader.committee.f, leader.committee.f + 1):
            member = Script(Pbft, n, n - 1)
            member.tell(1, ProposalsWanted(wanted.marks[:count]))
            enough = count > leader.committee.f
            assert (member.outputs == [ProposalsSeen()]) == enough, "marks: of f + 1 members"
            assert ([fault.kind for fault in member.faults] == []) == enough, "marks: of f + 1 members"


def check_voters_are_joined() -> None:
    """A member that holds its proposal back learns from f + 1 votes that others have proposed."""
    for protocol, kinds in ((Pbft, (Prepare, Commit)), (Tendermint, (Prevote, Precommit))):
        for n in SIZES:
            for kind in kinds:
                member = Script(protocol, n, 0)
                for count, sender in enumerate(member.others, 1):
                    member.tell(sender, member.vote(sender, kind, 0, A_LIST))
                    assert (ProposalsSeen() in member.outputs) == (count > member.committee.f), "joining: f + 1 votes"


def check_phases() -> None:
    """An intersecting quorum of votes for a list makes a member go on to the next phase, and decide; no vote less does."""
    for n in SIZES:
        for protocol, first, last in ((Pbft, Prepare, Commit), (Tendermint, Prevote, Precommit)):
            member = Script(protocol, n, 0)
            proposals = member.good_list()
            member.propose()
            member.tell(1, member.pre_prepare(proposals) if protocol is Pbft else member.round_proposal(proposals))
            voted = 2 if protocol is Pbft else 1
            for votes, sender in enumerate(member.others[voted - 1 :], voted + 1):
                assert (member.said_of(last) != []) == (votes > member.committee.intersecting), "phases: a quorum"
                member.tell(sender, member.vote(sender, first, 0, proposals.digest))
            for votes, sender in enumerate(member.others, 2):
                member.tell(sender, member.vote(sender, last, 0, proposals.digest))
                assert member.node.decided == (votes >= member.committee.intersecting), "deciding: a quorum"


def check_view_changes() -> None:
    """f + 1 members are followed into their view, n - f begin it and make its leader propose."""
    for n in SIZES:
        leader = Script(Pbft, n, 2)
        leader.propose()
        for other in leader.others:
            leader.tell(other, leader.proposal(other))
        for count, sender in enumerate(leader.others, 1):
            leader.tell(sender, leader.view_change(sender, 1))
            assert leader.node.view == (count > leader.committee.f), "following: f + 1 others"
            left = count + (count > leader.committee.f)
            begun = left >= leader.committee.waiting
            assert (leader.said_of(NewView) != []) == begun, "leading: with n - f view changes"
            assert ("view" in leader.timers) == (begun or leader.node.view == 0), "beginning: n - f members are there"


def check_certificates() -> None:
    """A claim needs an intersecting quorum's votes; so does what a new leader shows."""
    for n in SIZES:
        quorum = DealtCommittee(n).committee.intersecting
        for count in (quorum - 1, quorum):
            leader = Script(Pbft, n, 2)
            proposals = leader.good_list()
            certificate = leader.certificate(Prepare, 0, proposals.digest, range(count))
            leader.tell(0, leader.view_change(0, 1, certificate))
            expected = [] if count == quorum else ["bad_certificate"]
            assert [fault.kind for fault in leader.faults] == expected, "certificates: of an intersecting quorum"


def check_rounds() -> None:
    """Tendermint: f + 1 later members are followed; a quorum of whatever times a step; f + 1 others in a round its end."""
    for n in SIZES:
        f, quorum = DealtCommittee(n).committee.f, DealtCommittee(n).committee.intersecting
        member = Script(Tendermint, n, 0)
        for count, sender in enumerate(member.others, 1):
            member.tell(sender, member.vote(sender, Prevote, 1, A_LIST))
            assert member.node.view == (count > f), "following: f + 1 others"
        for kind, name in ((Prevote, "prevote"), (Precommit, "precommit")):
            member = Script(Tendermint, n, 0)
            member.propose()
            member.expire()
            own = int(kind is Prevote)
            for count, sender in enumerate(member.others[: quorum - own], 1 + own):
                member.tell(sender, member.vote(sender, kind, 0, (A_LIST, ANOTHER)[count % 2]))
                assert (name in member.timers) == (count >= quorum), "timing: a quorum of votes for whatever"
                if kind is Prevote:
                    assert ("round" in member.timers) == (count > f + 1), "company: f + 1 others in the round"


SCRIPTS: tuple[Callable[[], None], ...] = (
    check_asking,
    check_voters_are_joined,
    check_phases,
    check_view_changes,
    check_certificates,
    check_rounds,
)
