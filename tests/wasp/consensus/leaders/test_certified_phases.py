"""HotStuff and Jolteon: what they promise against liars alone and in league, and what one member does."""

from __future__ import annotations

import pytest

from ledger.kernel.automaton import Envelope, Fault
from ledger.kernel.encoding import Value, digest
from ledger.kernel.rng import stream
from tests.harness.committee import DealtCommittee
from tests.harness.conspiracy_checks import check_conspiracy, conspiracy_network, disagree
from tests.harness.leader_checks import LEADER_LIARS, LeaderLiars, check_leader
from tests.harness.leader_scripts import A_LIST, ANOTHER
from tests.harness.phase_scripts import PhaseScript, check_new_views, check_phase_certificates, check_phase_votes
from tests.harness.virtual_network import Pending
from wasp.consensus.committee_protocol import ProposalsDecided, ProposalsSeen
from wasp.consensus.leaders.certified_phases import CertifiedPhases, ViewProposal, later
from wasp.consensus.leaders.hotstuff import HotStuff, Prepared, PrepareVote, Wish
from wasp.consensus.leaders.jolteon import FirstCertified, FirstVote, Jolteon, SecondVote
from wasp.consensus.leaders.known_lists import ListWanted
from wasp.consensus.leaders.leadership import VIEWS_AHEAD_MAX, Decision
from wasp.consensus.leaders.pbft import Prepare
from wasp.consensus.leaders.view_change import ViewChange
from wasp.consensus.leaders.vote import Certificate, Vote
from wasp.consensus.protocol_times import VIEW_TIMEOUT

SIZES = (4, 5, 6, 7, 8, 9)
PROTOCOLS = (HotStuff, Jolteon)
Phased = type[CertifiedPhases]

both = pytest.mark.parametrize("protocol", PROTOCOLS)


def kinds(script: PhaseScript) -> list[str]:
    """Of what the member blames others for."""
    return [fault.kind for fault in script.faults]


def in_view_1(script: PhaseScript, member: int) -> Value:
    """What this member says when it leaves for view 1."""
    return Wish(1) if isinstance(script.node, HotStuff) else script.view_change(member, 1)


# ------------------------------------------------------------------------------------------------------------ committees


@both
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("liars", LEADER_LIARS)
def test_all_decide_one_list_whatever_f_liars_do(protocol: Phased, n: int, liars: LeaderLiars):
    for seed in range(20):
        check_leader(protocol, n, liars, seed)


@both
@pytest.mark.parametrize("n", SIZES)
def test_all_decide_one_list_whatever_f_members_in_league_do(protocol: Phased, n: int):
    for seed in range(60):
        check_conspiracy(protocol, n, seed)


@both
@pytest.mark.parametrize("n", [4, 7, 10])
def test_f_and_one_in_league_break_agreement(protocol: Phased, n: int):
    assert any(disagree(protocol, n, seed) for seed in range(100))


@both
def test_thresholds_of_members_and_leaders(protocol: Phased):
    check_phase_certificates(protocol)
    check_phase_votes(protocol)


def test_thresholds_of_leaders_of_later_views():
    check_new_views()


@both
@pytest.mark.parametrize("seed", range(5))
def test_whatever_was_said_elsewhere_or_to_others_makes_no_member_fail(protocol: Phased, seed: int):
    said = [item for other in PROTOCOLS for item in overheard(other, seed)]
    rng = stream(seed, "order")
    rng.shuffle(said)
    member = PhaseScript(protocol, 4, rng.randrange(4))
    member.propose()
    for item in said:
        member.tell(member.committee.index[item.sender], item.message)
    assert len(said) > 20 and member.node.view <= VIEWS_AHEAD_MAX


def overheard(protocol: Phased, seed: int) -> list[Pending]:
    """All that members of another committee have told each other."""
    network = conspiracy_network(protocol, DealtCommittee(4), seed)
    said: list[Pending] = []
    while network.pending:
        said.append(network.pending[-1])
        network.crank()
    return said


# ---------------------------------------------------------------------------------------------------------------- voting


@both
def test_a_proposal_is_voted_on_once_and_certificates_after_it_in_their_order(protocol: Phased):
    member = PhaseScript(protocol, 4, 0)
    proposals = member.good_list()
    for _ in range(2):
        member.tell(1, member.view_proposal(proposals))
        for place, phase in enumerate(protocol.phases[:-1]):
            member.show(place, member.certificate(phase.vote, 0, proposals.digest, range(3)))
    assert member.votes == [member.vote(0, phase.vote, 0, proposals.digest) for phase in protocol.phases]
    assert {envelope.recipients for envelope in member.said if isinstance(envelope.message, Vote)} == {("m1",)}
    assert member.faults == []


@both
def test_a_certificate_needs_no_list_and_earlier_votes_don_t_follow_it(protocol: Phased):
    member = PhaseScript(protocol, 4, 0)
    proposals, last = member.good_list(), len(protocol.phases) - 2
    kind = protocol.phases[last].vote
    member.show(last, member.certificate(kind, 0, proposals.digest, range(3)))
    member.tell(1, member.view_proposal(proposals))
    assert member.votes == [member.vote(0, protocol.phases[last + 1].vote, 0, proposals.digest)]


@both
def test_nothing_is_voted_in_a_view_that_is_left(protocol: Phased):
    member = PhaseScript(protocol, 4, 0)
    member.come_to(1)
    proposals = member.good_list()
    member.tell(1, member.view_proposal(proposals))
    member.show(0, member.certificate(protocol.claimed, 0, proposals.digest, range(3)))
    assert member.votes == [] and member.faults == []
    assert member.node.status["prepared_in"] == 0


@both
def test_a_certificate_of_a_later_view_takes_a_member_there_and_times_it(protocol: Phased):
    member = PhaseScript(protocol, 4, 0)
    member.propose()
    member.show(0, member.certificate(protocol.claimed, 2, A_LIST, range(3)))
    assert member.votes == [member.vote(0, protocol.phases[1].vote, 2, A_LIST)]
    assert (member.node.view, member.timers) == (2, {"view": 4 * VIEW_TIMEOUT})


@both
def test_a_member_that_holds_back_joins_when_it_sees_a_list_or_a_certificate(protocol: Phased):
    for told in (0, 1):
        member = PhaseScript(protocol, 4, 0)
        if told:
            member.show(0, member.certificate(protocol.claimed, 0, A_LIST, range(3)))
        else:
            member.tell(1, member.view_proposal(member.good_list()))
        assert member.outputs == [ProposalsSeen()]


@both
def test_a_leader_votes_by_its_proposal_and_one_signature(protocol: Phased):
    leader = PhaseScript(protocol, 4, 1)
    leader.propose()
    for other in leader.others[:2]:
        leader.tell(other, leader.proposal(other))
    [proposal], own = leader.said_of(ViewProposal), leader.votes
    assert own == [proposal.vote(protocol.claimed)]
    assert [envelope.recipients for envelope in leader.said if envelope.message in own] == [("m1",)]


@both
def test_late_votes_of_the_last_phase_still_decide(protocol: Phased):
    for place, decides in enumerate([False] * (len(protocol.phases) - 1) + [True]):
        leader = PhaseScript(protocol, 4, 1)
        leader.propose()
        for other in leader.others[:2]:
            leader.tell(other, leader.proposal(other))
        [proposal] = leader.said_of(ViewProposal)
        leader.come_to(1)
        phase = protocol.phases[place]
        for other in leader.others:
            leader.tell(other, leader.vote(other, phase.vote, 0, proposal.proposals.digest))
        shown = [envelope for envelope in leader.said if isinstance(envelope.message, phase.message)]  # type: ignore[arg-type]
        assert (bool(shown), leader.node.decided) == (decides, decides)


# --------------------------------------------------------------------------------------------------------------- liars


@both
def test_two_lists_of_a_leader_are_found_out_with_both_signatures(protocol: Phased):
    member = PhaseScript(protocol, 4, 0)
    proposals = [member.view_proposal(member.good_list(payload)) for payload in (b"one", b"other", b"other")]
    for proposal in proposals:
        member.tell(1, proposal)
    votes = tuple(proposal.vote(protocol.claimed) for proposal in proposals[:2])
    fault = Fault(member.members[1], "equivocation", member.path, "two lists in view 0", votes)
    assert member.faults == [fault, fault]
    assert [vote.digest for vote in member.votes] == [proposals[0].proposals.digest]


@both
def test_two_votes_of_a_member_are_found_out_with_both_signatures(protocol: Phased):
    leader = PhaseScript(protocol, 4, 1)
    leader.propose()
    for other in leader.others[:2]:
        leader.tell(other, leader.proposal(other))
    votes = tuple(leader.vote(0, protocol.claimed, 0, value) for value in (A_LIST, ANOTHER))
    for vote in votes:
        leader.tell(0, vote)
    detail = f"two votes {protocol.claimed.__name__} in view 0"
    assert leader.faults == [Fault(leader.members[0], "equivocation", leader.path, detail, votes)]


@both
def test_what_a_bad_list_s_leader_signed_is_evidence_in_view_0(protocol: Phased):
    member = PhaseScript(protocol, 4, 0)
    proposal = member.view_proposal(member.list_of(0, 2, 3))
    member.tell(1, proposal)
    detail = "the leader's own proposal is missing, or there is one of no member"
    assert member.faults == [Fault(member.members[1], "bad_list", member.path, detail, (proposal,))]
    assert member.votes == []


@both
def test_what_is_wrong_with_proposals(protocol: Phased):
    member = PhaseScript(protocol, 4, 0)
    proposals, signers = member.good_list(), range(3)
    good = member.view_proposal(proposals)
    certificates = (
        member.certificate(protocol.claimed, 0, digest("other"), signers),
        member.certificate(protocol.claimed, 1, proposals.digest, signers),
        member.certificate(protocol.claimed, 0, proposals.digest, signers[1:]),
        member.certificate(protocol.phases[1].vote, 0, proposals.digest, signers),
        Certificate(0, proposals.digest, (), ()),
    )
    marks = member.marks_of(1, dict.fromkeys(range(3)))
    shown = marks if protocol is Jolteon else ()
    forged = ViewProposal(0, proposals, bytes(64), None, ())
    for sender, message, kind in (
        (2, good, "not_the_leader"),
        (1, forged, "bad_signature"),
        (1, member.view_proposal(proposals, 0, None, marks), "bad_proposal"),
        *((2, member.view_proposal(proposals, 1, prepared, shown), "bad_list") for prepared in certificates),
        (2, member.view_proposal(proposals, 1, None, () if shown else marks), "bad_proposal"),
    ):
        member.faults.clear()
        member.tell(sender, message)
        assert kinds(member) == [kind], message
    assert member.votes == [] and member.node.view == 0


@both
def test_votes_to_who_proposed_nothing_are_blamed_but_not_those_of_long_ago(protocol: Phased):
    member = PhaseScript(protocol, 4, 0)
    for view in (0, 3, 10**9):
        member.tell(1, member.vote(1, protocol.claimed, view, A_LIST))
    member.tell(1, member.vote(1, Prepare, 0, A_LIST))
    assert kinds(member) == ["unexpected_message"] * 4
    member.show(0, member.certificate(protocol.claimed, VIEWS_AHEAD_MAX, A_LIST, range(3)))
    member.show(0, member.certificate(protocol.claimed, VIEWS_AHEAD_MAX + 1, A_LIST, range(3)))
    member.tell(1, member.vote(1, protocol.claimed, 0, A_LIST))
    assert kinds(member) == ["unexpected_message"] * 4


@both
def test_what_is_far_ahead_or_of_another_protocol_is_dropped(protocol: Phased):
    member = PhaseScript(protocol, 4, 0)
    other = FirstCertified if protocol is HotStuff else Prepared
    kind = FirstVote if protocol is HotStuff else PrepareVote
    member.tell(1, other(member.certificate(kind, 0, A_LIST, range(3))))
    member.show(0, member.certificate(protocol.claimed, VIEWS_AHEAD_MAX + 1, A_LIST, range(3)))
    member.tell(1, member.view_change(1, VIEWS_AHEAD_MAX + 1))
    member.tell(2, member.view_proposal(member.good_list(), VIEWS_AHEAD_MAX + 1))
    assert kinds(member) == ["unexpected_message"] and member.node.view == 0
    step = member.node.handle_message(member.members[1], (*member.path, "x"), Wish(1), 0)
    assert step.faults == (Fault(member.members[1], "no_such_leaf", (*member.path, "x")),)


# ------------------------------------------------------------------------------------------------------------- deciding


@both
def test_a_decision_is_passed_on_to_who_is_in_a_later_view_and_a_list_that_is_missing_is_asked_for(protocol: Phased):
    member = PhaseScript(protocol, 4, 0)
    proposals = member.good_list()
    assert protocol.decisive is not None
    decision = Decision(member.certificate(protocol.decisive, 0, proposals.digest, range(3)))
    member.tell(3, decision)
    assert (member.node.decided, member.node.terminated, member.outputs) == (True, False, [])
    assert [type(message) for message in (envelope.message for envelope in member.said)] == [ListWanted]
    member.tell(2, proposals)
    assert member.outputs == [
        ProposalsSeen(),
        ProposalsDecided(tuple((place, b"payload") for place in range(3))),
    ]
    member.said.clear()
    for _ in range(2):
        member.tell(2, in_view_1(member, 2))
    assert member.said == [Envelope((member.members[2],), member.path, decision)]
    assert member.node.rounds == (1,)


def test_who_is_behind_is_told_when_a_decision_falls():
    for protocol in PROTOCOLS:
        member = PhaseScript(protocol, 4, 0)
        member.tell(2, in_view_1(member, 2))
        assert protocol.decisive is not None
        decision = Decision(member.certificate(protocol.decisive, 0, A_LIST, range(3)))
        member.tell(1, decision)
        assert Envelope((member.members[2],), member.path, decision) in member.said


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_who_is_in_the_view_of_a_decision_is_told_by_those_who_have_not_said_that_they_are_there(protocol: Phased):
    """It may wait for them: it starts no timer before n - f are there, and the leader may have left it out."""
    for announced in (False, True):
        member = PhaseScript(protocol, 4, 0)
        if announced:
            member.come_to(1)
        else:
            member.tell(1, in_view_1(member, 1))
        assert protocol.decisive is not None
        decision = Decision(member.certificate(protocol.decisive, 1, A_LIST, range(1, 4)))
        member.tell(2, decision)
        assert (Envelope((member.members[1],), member.path, decision) in member.said) == (not announced)


def test_the_later_certificate_is_kept():
    first, second, other = (
        Certificate(view, value, (), ()) for view, value in ((1, A_LIST), (2, A_LIST), (2, ANOTHER))
    )
    assert later(None, first) is first
    assert later(first, second) is second
    assert later(second, first) is second
    assert later(second, other) is second


# ------------------------------------------------------------------------------------------------------------- two views


def test_hotstuff_s_view_changes_go_to_the_next_leader_and_a_wish_to_the_others():
    member = PhaseScript(HotStuff, 4, 0)
    member.propose()
    prepared = member.certificate(PrepareVote, 0, A_LIST, range(3))
    member.show(0, prepared)
    member.said.clear()
    member.expire()
    m0, m1, m2, m3 = member.members
    assert member.said[:2] == [
        Envelope((m2,), member.path, member.view_change(0, 1, prepared)),
        Envelope((m0, m1, m3), member.path, Wish(1)),
    ]


def test_jolteon_s_view_changes_go_to_all():
    member = PhaseScript(Jolteon, 4, 0)
    member.propose()
    prepared = member.certificate(FirstVote, 0, A_LIST, range(3))
    member.show(0, prepared)
    member.said.clear()
    member.expire()
    assert member.said[0] == Envelope(member.members, member.path, member.view_change(0, 1, prepared))


def test_a_proposal_that_comes_before_its_view_is_kept_by_hotstuff_until_the_member_goes_there():
    member = PhaseScript(HotStuff, 4, 0)
    proposals = member.good_list()
    member.tell(2, member.view_proposal(proposals, 1))
    assert (member.votes, member.node.view) == ([], 0)
    member.come_to(1)
    assert member.votes == [member.vote(0, PrepareVote, 1, proposals.digest)]


def test_a_certificate_in_a_proposal_takes_a_member_of_hotstuff_to_its_view_and_no_further():
    member = PhaseScript(HotStuff, 4, 0)
    proposals = member.good_list()
    prepared = member.certificate(PrepareVote, 1, proposals.digest, range(3))
    member.tell(1, member.view_proposal(proposals, 4, prepared))
    assert (member.votes, member.node.view) == ([], 1)
    member.come_to(2)
    assert member.node.status["prepared_in"] == 1 and member.faults == []


def test_jolteon_s_leader_shows_the_marks_and_the_latest_claim():
    leader = PhaseScript(Jolteon, 4, 2)
    proposals = leader.good_list()
    leader.tell(1, leader.view_proposal(proposals))
    prepared = leader.certificate(FirstVote, 0, proposals.digest, range(3))
    changes = {0: prepared, 1: None, 3: None}
    for sender, claim in changes.items():
        leader.tell(sender, leader.view_change(sender, 1, claim))
    [proposal] = leader.said_of(ViewProposal)
    marks = leader.marks_of(1, {0: prepared, 1: None, 2: None})
    assert proposal == leader.view_proposal(proposals, 1, prepared, marks)
    assert leader.said_of(ViewChange) == [leader.view_change(2, 1)]


def test_a_certificate_that_comes_with_a_proposal_is_claimed_afterwards():
    member = PhaseScript(Jolteon, 4, 0)
    proposals = member.good_list()
    prepared = member.certificate(FirstVote, 0, proposals.digest, range(3))
    member.tell(2, member.view_proposal(proposals, 1, prepared, member.marks_of(1, {0: None, 1: prepared, 3: None})))
    assert member.votes == [member.vote(0, FirstVote, 1, proposals.digest)]
    member.come_to(2)
    assert member.said_of(ViewChange) == [member.view_change(0, 2, prepared)]
    member.show(0, member.certificate(FirstVote, 2, proposals.digest, range(3)))
    assert member.votes[-1] == member.vote(0, SecondVote, 2, proposals.digest)
