"""One member of HotStuff or Jolteon, told by a script what others signed; and its thresholds and rules, from both sides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.harness.leader_scripts import A_LIST, SIZES, Script
from wasp.consensus.leaders.certified_phases import CertifiedPhases, ViewProposal
from wasp.consensus.leaders.hotstuff import HotStuff, PreCommitted, PreCommitVote, Prepared, PrepareVote, Wish
from wasp.consensus.leaders.jolteon import FirstVote, Jolteon
from wasp.consensus.leaders.proposal_list import ProposalList
from wasp.consensus.leaders.view_change import ViewChange, ViewChangeMark, claim_of
from wasp.consensus.leaders.vote import Certificate, Vote


class PhaseScript(Script):
    """A script that knows proposals of views."""

    def __init__(self, protocol: type[CertifiedPhases], n: int, place: int) -> None:
        super().__init__(protocol, n, place)
        self.phases = protocol.phases
        self.quorum = self.committee.intersecting

    def leader(self, view: int) -> int:
        """Who leads this view."""
        return (1 + view) % len(self.members)

    def view_proposal(
        self,
        proposals: ProposalList,
        view: int = 0,
        prepared: Certificate | None = None,
        marks: Iterable[ViewChangeMark] = (),
    ) -> ViewProposal:
        """What the leader of this view proposes."""
        vote = self.vote(self.leader(view), self.phases[0].vote, view, proposals.digest)
        return ViewProposal(view, proposals, vote.signature, prepared, tuple(marks))

    def show(self, place: int, certificate: Certificate) -> None:
        """The leader shows a certificate of the phase at this place."""
        self.tell(self.leader(certificate.view), self.phases[place].message(certificate))

    def marks_of(self, view: int, changes: dict[int, Certificate | None]) -> tuple[ViewChangeMark, ...]:
        """What these members claim when they leave for a view."""
        return tuple(
            ViewChangeMark(member, view, *claim_of(prepared), self.view_change(member, view, prepared).signature)
            for member, prepared in sorted(changes.items())
        )

    def come_to(self, view: int) -> None:
        """f + 1 others leave for the view, and so does the member."""
        for member in self.others[: self.committee.f + 1]:
            self.tell(member, Wish(view) if isinstance(self.node, HotStuff) else self.view_change(member, view))
        assert self.node.view == view

    @property
    def votes(self) -> list[Vote]:
        """What the member has voted."""
        return self.said_of(Vote)


def check_phase_certificates(protocol: type[CertifiedPhases]) -> None:
    """A member goes on, in the end decides, on an intersecting quorum's votes; not on one less, for which it blames."""
    for n in SIZES:
        for place, phase in enumerate(protocol.phases):
            for missing in (1, 0):
                member = PhaseScript(protocol, n, 0)
                signers = range(member.quorum - missing)
                member.show(place, member.certificate(phase.vote, 0, A_LIST, signers))
                went_on = bool(member.votes) or member.node.decided
                assert went_on == (not missing), "certificates: of an intersecting quorum"
                assert [fault.kind for fault in member.faults] == ["bad_certificate"] * missing, "certificates: blame"


def check_phase_votes(protocol: type[CertifiedPhases]) -> None:
    """A leader shows a certificate when an intersecting quorum has voted, itself among them, not before."""
    for n in SIZES:
        leader = PhaseScript(protocol, n, 1)
        leader.propose()
        for other in leader.others:
            leader.tell(other, leader.proposal(other))
        [proposal] = leader.said_of(ViewProposal)
        for place, phase in enumerate(protocol.phases):
            for count, sender in enumerate(leader.others[: leader.quorum - 1], 2):
                shown = leader.said_of(phase.message)  # type: ignore[arg-type] # a class of messages
                assert not shown, "votes: an intersecting quorum before a certificate is shown"
                leader.tell(sender, leader.vote(sender, phase.vote, 0, proposal.proposals.digest))
                reached = count == leader.quorum
                shown = leader.said_of(phase.message)  # type: ignore[arg-type]
                assert bool(shown) == reached, "votes: an intersecting quorum is enough to show a certificate"
            assert leader.node.decided == (place == len(protocol.phases) - 1)


def check_locks() -> None:
    """A locked member of HotStuff votes for another list only with a certificate of a later view than its lock's."""
    for n in SIZES:
        for told, safe in (("nothing", False), ("earlier", False), ("same list", True), ("later", True)):
            member = PhaseScript(HotStuff, n, 3)
            locked, other = member.good_list(b"locked"), member.good_list(b"other")
            member.come_to(1)
            member.show(1, member.certificate(PreCommitVote, 1, locked.digest, range(member.quorum)))
            member.come_to(3)
            before = len(member.votes)
            signers = range(member.quorum)
            proposals, prepared = {
                "nothing": (member.list_of(*_with(member, 3), payload=b"other"), None),
                "earlier": (other, member.certificate(PrepareVote, 0, other.digest, signers)),
                "same list": (locked, member.certificate(PrepareVote, 0, locked.digest, signers)),
                "later": (other, member.certificate(PrepareVote, 2, other.digest, signers)),
            }[told]
            member.tell(member.leader(3), member.view_proposal(proposals, 3, prepared))
            assert member.faults == [], "a proposal that one may not accept is no lie"
            assert (len(member.votes) > before) == safe, f"lock: {told}"


def check_when_locks_begin() -> None:
    """HotStuff locks on what was pre-committed, not on what was prepared only."""
    for n in SIZES:
        for kind, message, safe in ((PrepareVote, Prepared, True), (PreCommitVote, PreCommitted, False)):
            member = PhaseScript(HotStuff, n, 0)
            member.tell(1, message(member.certificate(kind, 0, A_LIST, range(member.quorum))))
            member.come_to(1)
            before = len(member.votes)
            member.tell(2, member.view_proposal(member.good_list(), 1))
            assert (len(member.votes) > before) == safe, "lock: on what was pre-committed"


def check_latest_claim() -> None:
    """A member of Jolteon votes for the list of the latest claim in a proposal's marks, and for no other."""
    for n in SIZES:
        member = PhaseScript(Jolteon, n, 0)
        first, second = member.good_list(b"first"), member.good_list(b"second")
        early, late = (
            member.certificate(FirstVote, view, proposals.digest, range(member.quorum))
            for view, proposals in ((0, first), (1, second))
        )
        marks = member.marks_of(2, {**dict.fromkeys(range(member.committee.waiting)), 0: early, 1: late})
        leader = member.leader(2)
        for proposals, prepared in ((member.list_of(*_with(member, 2)), None), (first, early)):
            member.tell(leader, member.view_proposal(proposals, 2, prepared, marks))
            assert not member.votes and member.node.view == 0, "claims: only the latest may be proposed"
        assert [fault.kind for fault in member.faults] == ["bad_proposal"] * 2, "claims: blame"
        for few in (marks[:-1], marks[:1] * len(marks)):
            member.tell(leader, member.view_proposal(second, 2, late, few))
            assert not member.votes, "claims: of n - f members"
        member.tell(leader, member.view_proposal(second, 2, late, marks))
        assert [(vote.view, vote.digest) for vote in member.votes] == [(2, second.digest)], "claims: the latest"
        assert member.node.view == 2, "claims: they show that the view has begun"


def _with(script: PhaseScript, view: int) -> Sequence[int]:
    """n - f members, the leader of the view among them."""
    leader = script.leader(view)
    others = [place for place in range(len(script.members)) if place != leader]
    return sorted([leader, *others[: script.committee.waiting - 1]])


def check_new_views() -> None:
    """A leader of a later view proposes on n - f view changes, what the latest certificate among them demands."""
    for protocol in (HotStuff, Jolteon):
        for n in SIZES:
            leader = PhaseScript(protocol, n, 2)
            proposals = leader.good_list()
            leader.tell(1, leader.view_proposal(proposals))
            prepared = leader.certificate(protocol.claimed, 0, proposals.digest, range(leader.quorum))
            for count, sender in enumerate(leader.others, 1):
                claim = prepared if count == 1 else None
                leader.tell(sender, leader.view_change(sender, 1, claim))
                left = count + bool(leader.said_of(ViewChange))
                led = leader.said_of(ViewProposal)
                assert bool(led) == (left >= leader.committee.waiting), "leading: with n - f view changes"
            assert [proposal.prepared for proposal in led] == [prepared]
