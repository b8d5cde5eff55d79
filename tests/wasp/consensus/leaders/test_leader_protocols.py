"""Protocols with a leader: what they promise under an adversary, what they accuse whom of, and how members catch up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from ledger.kernel.automaton import NOTHING, Envelope, NodeId
from ledger.kernel.encoding import Value, encode
from ledger.kernel.instant import SECOND
from ledger.kernel.rng import stream
from tests.harness.committee import DealtCommittee
from tests.harness.leader_checks import CODECS, LEADER_LIARS, LeaderLiars, check_leader
from tests.harness.leader_scripts import A_LIST, ANOTHER, SCRIPTS, Script
from tests.harness.virtual_network import OldestFirst, Pending, RandomOrder, VirtualNetwork
from wasp.consensus.committee_protocol import ProposalsDecided, ProposalsSeen, Propose
from wasp.consensus.leaders.known_lists import ListWanted
from wasp.consensus.leaders.leadership import (
    VIEWS_AHEAD_MAX,
    Decision,
    LeaderProtocol,
    ProposalsWanted,
)
from wasp.consensus.leaders.pbft import Commit, NewView, Pbft, Prepare, PrePrepare
from wasp.consensus.leaders.proposal_list import ProposalList, SignedProposal
from wasp.consensus.leaders.sequencer import Sequenced, Sequencer
from wasp.consensus.leaders.tendermint import Precommit, Prevote, RoundProposal, Tendermint
from wasp.consensus.leaders.view_change import ViewChange, ViewChangeMark, claim_of
from wasp.consensus.leaders.vote import NO_VALUE, Certificate
from wasp.consensus.protocol_times import LIST_RETRY, PATIENCE, VIEW_TIMEOUT

PROTOCOLS: tuple[type[LeaderProtocol], ...] = (Pbft, Tendermint, Sequencer)
VOTING = (Pbft, Tendermint)
SIZES = (4, 5, 6, 7, 8, 9)


def decided(proposals: ProposalList) -> ProposalsDecided:
    """What is output for a list."""
    return ProposalsDecided(tuple((proposal.member, proposal.payload) for proposal in proposals.proposals))


def accusations(script: Script) -> list[tuple[NodeId, str]]:
    """Who is accused of what."""
    return [(fault.accused, fault.kind) for fault in script.faults]


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("liars", LEADER_LIARS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_all_correct_members_decide_one_list_whatever_f_liars_do(
    protocol: type[LeaderProtocol], liars: LeaderLiars, n: int
):
    for seed in range(12):
        check_leader(protocol, n, liars, seed)


@pytest.mark.parametrize("script", SCRIPTS)
def test_thresholds_are_where_they_should_be(script: Callable[[], None]):
    script()


@pytest.mark.parametrize("n", [4, 7, 10])
@pytest.mark.parametrize("protocol", VOTING)
def test_one_equivocator_more_than_the_committee_survives_breaks_agreement(protocol: type[LeaderProtocol], n: int):
    """f + 1 members, the leader among them, tell two halves two stories; each half decides its own."""
    dealt = DealtCommittee(n)
    liars = range(1, 2 + dealt.committee.f)
    correct = [index for index in range(n) if index not in liars]
    halves = (correct[: len(correct) // 2], correct[len(correct) // 2 :])
    for half, payload in zip(halves, (b"one", b"other"), strict=True):
        script = Script(protocol, n, 0)
        proposals = script.good_list(payload)
        kinds = (Prepare, Commit) if protocol is Pbft else (Prevote, Precommit)
        say = script.pre_prepare if protocol is Pbft else script.round_proposal
        said: list[tuple[int, Value]] = [(1, say(proposals))]
        said += [(liar, script.vote(liar, kind, 0, proposals.digest)) for liar in liars for kind in kinds]
        nodes = {dealt.members[index]: protocol(dealt.membership(dealt.members[index])) for index in half}
        network = VirtualNetwork(nodes, CODECS[protocol], RandomOrder(n))
        network.pending = [
            Pending(dealt.members[liar], me, script.path, message, encode(message))
            for me in nodes
            for liar, message in said
        ]
        network.run()
        assert {me: network.outputs_of(me, ProposalsDecided) for me in nodes} == {
            me: [decided(proposals)] for me in nodes
        }


@pytest.mark.parametrize("protocol", VOTING)
def test_a_leader_with_two_lists_is_accused_with_both_signatures(protocol: type[LeaderProtocol]):
    script = Script(protocol, 4, 0)
    lists = [script.good_list(payload) for payload in (b"one", b"other", b"third")]
    say = script.pre_prepare if protocol is Pbft else script.round_proposal
    messages: list[Any] = [say(proposals) for proposals in lists]
    for message in (messages[0], messages[0], messages[1]):
        script.tell(1, message)
    assert accusations(script) == [(script.members[1], "equivocation")]
    votes = tuple(message.vote for message in messages[:2])
    assert script.faults[0].evidence == votes
    assert all(script.notaries[2].is_vote(script.members[1], vote) for vote in votes)


@pytest.mark.parametrize(
    ("protocol", "kind"), [(Pbft, Prepare), (Pbft, Commit), (Tendermint, Prevote), (Tendermint, Precommit)]
)
def test_a_voter_with_two_votes_is_accused_once_with_both(protocol: type[LeaderProtocol], kind: Any):
    script = Script(protocol, 4, 0)
    first, second = (script.vote(2, kind, 0, digest) for digest in (A_LIST, ANOTHER))
    for vote in (first, first, second, second):
        script.tell(2, vote)
    assert accusations(script) == [(script.members[2], "equivocation")]
    assert script.faults[0].evidence == (first, second)


def test_two_view_changes_of_one_member_to_one_view_are_equivocation():
    script = Script(Pbft, 4, 0)
    prepared = script.certificate(Prepare, 0, A_LIST, (0, 1, 2))
    script.tell(3, script.view_change(3, 1))
    script.tell(3, script.view_change(3, 1, prepared))
    assert accusations(script) == [(script.members[3], "equivocation")]
    assert len(script.faults[0].evidence) == 2


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_member_with_two_proposals_is_accused_with_both_marks(protocol: type[LeaderProtocol]):
    script = Script(protocol, 4, 0 if protocol is Sequencer else 1)
    one, other = script.proposal(2, b"one"), script.proposal(2, b"other")
    for proposal in (one, one, other):
        script.tell(2, proposal)
    assert accusations(script) == [(script.members[2], "equivocation")]
    assert script.faults[0].evidence == (one.mark, other.mark)


def bad_lists(script: Script) -> list[ProposalList]:
    """Lists that member 1 must not propose."""
    good, forged = script.good_list(), msgspec.structs.replace(script.proposal(0), payload=b"forged")
    return [
        ProposalList(()),
        ProposalList(good.proposals[:-1]),
        ProposalList(tuple(reversed(good.proposals))),
        ProposalList((good.proposals[0],) * 3),
        script.list_of(0, 2, 3),
        ProposalList((forged, *good.proposals[1:])),
        ProposalList((*good.proposals[:-1], msgspec.structs.replace(good.proposals[-1], member=4))),
        ProposalList((script.proposal(0, bytes(70_000)), *good.proposals[1:])),
    ]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("place", range(8))
def test_a_bad_list_is_refused_and_evidence_against_its_leader(protocol: type[LeaderProtocol], place: int):
    script = Script(protocol, 4, 0 if protocol is not Sequencer else 1)
    script.propose()
    proposals = bad_lists(script)[place]
    message: Any
    if protocol is Sequencer:
        leader = 0
        proposals = script.list_of(1, 2, 3) if place == 4 else proposals
        message = Sequenced(proposals, script.notaries[0].sign("Sequenced", proposals.digest))
    else:
        leader = 1
        message = (script.pre_prepare if protocol is Pbft else script.round_proposal)(proposals)
    script.tell(leader, message)
    assert accusations(script) == [(script.members[leader], "bad_list")]
    assert script.faults[0].evidence == (message,)
    assert script.said_of(Prepare) == script.said_of(Prevote) == script.outputs == []


def test_what_is_not_signed_by_its_sender_is_a_fault():
    for protocol, place in ((Pbft, 0), (Tendermint, 0), (Sequencer, 1)):
        script = Script(protocol, 4, place)
        good = script.good_list()
        for message in (
            script.vote(3, Prepare if protocol is Pbft else Prevote, 0, A_LIST),
            script.vote(3, Commit if protocol is Pbft else Precommit, 0, A_LIST),
            script.proposal(2),
            script.view_change(3, 1),
            msgspec.structs.replace(script.pre_prepare(good), signature=bytes(64)),
            msgspec.structs.replace(script.round_proposal(good), vote=script.vote(3, Prevote, 0, good.digest)),
            Sequenced(good, bytes(64)),
        ):
            sender = (
                1 if isinstance(message, PrePrepare | RoundProposal) else 0 if isinstance(message, Sequenced) else 2
            )
            if isinstance(message, SignedProposal):
                message = msgspec.structs.replace(message, signature=bytes(64))
            script.tell(sender, message)
        assert len(script.faults) == 7
        assert {kind for _, kind in accusations(script)} <= {"bad_signature", "unexpected_message"}
        assert script.outputs == []


@pytest.mark.parametrize("protocol", VOTING)
def test_what_is_about_views_far_ahead_takes_no_room_and_is_answered_by_a_decision(protocol: type[LeaderProtocol]):
    """It accuses nobody: correct members may be there, if this one was cut off from them for long."""
    script = Script(protocol, 4, 0)
    kind = Commit if protocol is Pbft else Precommit
    status = script.node.status
    for view in (VIEWS_AHEAD_MAX + 1, 2**63 - 1):
        script.tell(2, script.vote(2, kind, view, A_LIST))
        script.tell(3, script.view_change(3, view) if protocol is Pbft else script.vote(3, Prevote, view, A_LIST))
    assert (script.node.status, script.faults, script.said) == (status, [], [])
    decision = Decision(script.certificate(kind, 0, A_LIST, range(1, 4)))
    script.tell(1, decision)
    for member in (2, 3):
        assert Envelope((script.members[member],), script.path, decision) in script.said


def test_messages_for_other_leaves_and_of_other_protocols_are_faults():
    for protocol in PROTOCOLS:
        script = Script(protocol, 4, 0)
        vote = script.vote(2, Prepare, 0, A_LIST)
        [fault] = script.node.handle_message(script.members[2], (*script.path[:2], "gossip"), vote, 0).faults
        assert (fault.accused, fault.kind) == (script.members[2], "no_such_leaf")
        other = (
            script.round_proposal(script.good_list()) if protocol is Pbft else script.pre_prepare(script.good_list())
        )
        script.tell(1, other)
        assert accusations(script) == [(script.members[1], "unexpected_message")]


def test_only_the_leader_of_a_view_proposes_in_it():
    script = Script(Pbft, 4, 0)
    script.tell(2, script.pre_prepare(script.good_list()))
    script.tell(1, script.pre_prepare(script.good_list(), view=1))
    script.tell(3, NewView((), None, script.pre_prepare(script.good_list(), view=1)))
    kinds = ["not_the_leader", "unexpected_message", "not_the_leader"]
    assert [kind for _, kind in accusations(script)] == kinds
    script = Script(Tendermint, 4, 0)
    script.tell(2, script.round_proposal(script.good_list()))
    assert accusations(script) == [(script.members[2], "not_the_leader")]


@pytest.mark.parametrize("protocol", VOTING)
def test_a_late_list_is_voted_for_by_nobody_who_left_its_view(protocol: type[LeaderProtocol]):
    script = Script(protocol, 4, 0)
    script.propose()
    script.expire()
    said = len(script.said)
    script.tell(
        1, script.pre_prepare(script.good_list()) if protocol is Pbft else script.round_proposal(script.good_list())
    )
    assert script.said[said:] == []
    assert script.faults == []


@pytest.mark.parametrize("protocol", VOTING)
def test_who_knows_a_decision_by_its_votes_asks_for_the_list_until_it_comes(protocol: type[LeaderProtocol]):
    script = Script(protocol, 4, 0)
    proposals = script.good_list()
    for voter in (1, 2, 3):
        script.tell(voter, script.vote(voter, Commit if protocol is Pbft else Precommit, 0, proposals.digest))
    assert script.said_of(ListWanted) == [ListWanted(proposals.digest)]
    assert ProposalsDecided not in map(type, script.outputs)
    assert script.node.deadline == LIST_RETRY
    script.expire()
    assert script.said_of(ListWanted) == [ListWanted(proposals.digest)] * 2
    script.tell(2, script.good_list(b"another"))
    script.tell(2, proposals)
    script.tell(3, proposals)
    assert script.outputs == [ProposalsSeen(), decided(proposals)]
    assert script.faults == []
    assert script.node.status["timers"] == {}
    assert script.node.terminated


@pytest.mark.parametrize("protocol", VOTING)
def test_a_decided_member_shows_the_votes_to_who_is_in_a_later_view_and_sends_the_list_once(
    protocol: type[LeaderProtocol],
):
    kind = Commit if protocol is Pbft else Precommit
    script = Script(protocol, 4, 0)
    proposals = script.good_list()
    later = [
        script.view_change(3, view) if protocol is Pbft else script.vote(3, Prevote, view, NO_VALUE) for view in (1, 2)
    ]
    script.tell(3, later[0])
    script.tell(1, script.pre_prepare(proposals) if protocol is Pbft else script.round_proposal(proposals))
    for voter in (1, 2, 3):
        script.tell(voter, script.vote(voter, kind, 0, proposals.digest))
    script.tell(3, later[1])
    decision = Decision(script.certificate(kind, 0, proposals.digest, (1, 2, 3)))
    assert script.said_of(Decision) == [decision], "once, when it is known, though the member asked before"
    for _ in range(2):
        script.tell(3, ListWanted(proposals.digest))
    script.tell(3, ListWanted(A_LIST))
    assert script.said_of(ProposalList) == [proposals]

    behind = Script(protocol, 4, 3)
    behind.tell(0, decision)
    behind.tell(0, proposals)
    assert behind.outputs == [ProposalsSeen(), decided(proposals)]


@pytest.mark.parametrize("protocol", VOTING)
def test_a_decision_without_a_quorum_is_none(protocol: type[LeaderProtocol]):
    kind = Commit if protocol is Pbft else Precommit
    script = Script(protocol, 4, 0)
    good = script.certificate(kind, 0, A_LIST, (1, 2, 3))
    for bad in (
        script.certificate(kind, 0, A_LIST, (1, 2)),
        script.certificate(kind, 0, A_LIST, (2, 2, 3)),
        script.certificate(Prepare if protocol is Pbft else Prevote, 0, A_LIST, (1, 2, 3)),
        msgspec.structs.replace(good, signers=(0, 1, 2)),
        msgspec.structs.replace(good, signers=(1, 2, 4)),
        msgspec.structs.replace(good, view=1),
        msgspec.structs.replace(good, signatures=good.signatures[:2]),
        Certificate(0, A_LIST, (), ()),
    ):
        script.tell(2, Decision(bad))
    assert accusations(script) == [(script.members[2], "bad_certificate")] * 8
    assert not script.node.decided
    sequencer = Script(Sequencer, 4, 1)
    sequencer.tell(2, Decision(good))
    assert accusations(sequencer) == [(sequencer.members[2], "unexpected_message")]


def mark_of(member: int, change: ViewChange) -> ViewChangeMark:
    """What a view change signs."""
    return ViewChangeMark(member, change.view, *claim_of(change.prepared), change.signature)


def new_views(script: Script) -> dict[str, NewView]:
    """What member 2 may say as the leader of view 1, and what it may not, when member 0 has prepared a list in view 0."""
    prepared = script.good_list(b"prepared")
    certificate = script.certificate(Prepare, 0, prepared.digest, (0, 1, 3))
    marks = {
        (member, claims): mark_of(member, script.view_change(member, 1, certificate if claims else None))
        for member in range(4)
        for claims in (False, True)
    }
    claimed = (marks[0, True], marks[1, False], marks[3, False])
    nothing = (marks[1, False], marks[2, False], marks[3, False])
    again, fresh = script.pre_prepare(prepared, 1), script.pre_prepare(script.good_list(b"fresh"), 1)
    forged = msgspec.structs.replace(marks[0, True], prepared_in=None, digest=NO_VALUE)
    return {
        "repeats what was prepared": NewView(claimed, certificate, again),
        "begins anew": NewView(nothing, None, fresh),
        "hides a claim": NewView(claimed, None, fresh),
        "forges a mark": NewView((forged, *claimed[1:]), None, fresh),
        "another list than claimed": NewView(claimed, certificate, fresh),
        "a certificate that nobody claimed": NewView(nothing, certificate, again),
        "too few marks": NewView(nothing[1:], None, fresh),
        "too many marks": NewView((marks[0, False], *nothing), None, fresh),
        "one member twice": NewView((nothing[0], *nothing[:2]), None, fresh),
        "a bad certificate": NewView(claimed, msgspec.structs.replace(certificate, signers=(0, 1, 2)), again),
    }


def test_a_new_view_must_follow_from_what_was_prepared():
    for name, message in new_views(Script(Pbft, 4, 0)).items():
        member = Script(Pbft, 4, 0)
        member.propose()
        member.tell(2, message)
        good = name in ("repeats what was prepared", "begins anew")
        votes = [member.vote(0, Prepare, 1, message.pre_prepare.proposals.digest)] if good else []
        assert member.said_of(Prepare) == votes, name
        assert [kind for _, kind in accusations(member)] == ([] if good else ["bad_new_view"]), name
        assert member.node.view == int(good), name


def test_a_new_leader_asks_for_the_list_that_it_must_repeat():
    leader = Script(Pbft, 4, 2)
    proposals = leader.good_list()
    certificate = leader.certificate(Prepare, 0, proposals.digest, (0, 1, 3))
    leader.propose()
    leader.tell(0, leader.view_change(0, 1, certificate))
    leader.tell(3, leader.view_change(3, 1))
    assert leader.said_of(NewView) == []
    assert leader.said_of(ListWanted) == [ListWanted(proposals.digest)]
    leader.tell(0, proposals)
    [new_view] = leader.said_of(NewView)
    assert (new_view.prepared, new_view.pre_prepare) == (certificate, leader.pre_prepare(proposals, 1))


def test_a_locked_member_prevotes_another_list_only_after_a_later_polka():
    for polka_in, accepts in ((None, False), (0, True)):
        script = Script(Tendermint, 4, 0)
        one, other = script.good_list(b"one"), script.good_list(b"other")
        script.propose()
        script.tell(1, script.round_proposal(one))
        for voter in (1, 2):
            script.tell(voter, script.vote(voter, Prevote, 0, one.digest))
        assert script.said_of(Precommit) == [script.vote(0, Precommit, 0, one.digest)]
        for voter in (1, 2, 3):
            script.tell(voter, script.vote(voter, Precommit, 1, NO_VALUE))
        assert script.node.view == 2
        polka = None if polka_in is None else script.certificate(Prevote, 1, other.digest, (1, 2, 3))
        leader = 3
        message = script.round_proposal(script.list_of(1, 2, 3, payload=b"other") if polka is None else other, 2, polka)
        script.tell(leader, message)
        expected = message.vote.digest if accepts else NO_VALUE
        assert script.said_of(Prevote)[-1] == script.vote(0, Prevote, 2, expected)
        assert script.faults == []


def test_the_polka_of_a_repeated_value_is_checked():
    for polka_of in ("too few", "a later round", "another list"):
        script = Script(Tendermint, 4, 0)
        proposals = script.good_list()
        polka = {
            "too few": script.certificate(Prevote, 0, proposals.digest, (1, 2)),
            "a later round": script.certificate(Prevote, 1, proposals.digest, (1, 2, 3)),
            "another list": script.certificate(Prevote, 0, A_LIST, (1, 2, 3)),
        }[polka_of]
        script.tell(2, script.round_proposal(proposals, 1, polka))
        assert accusations(script) == [(script.members[2], "bad_list")], polka_of


def test_a_proposer_repeats_its_valid_value_with_its_polka():
    script = Script(Tendermint, 4, 2)
    proposals = script.good_list()
    script.propose()
    script.tell(1, script.round_proposal(proposals))
    for voter in (0, 1):
        script.tell(voter, script.vote(voter, Prevote, 0, proposals.digest))
    for voter in (0, 1, 3):
        script.tell(voter, script.vote(voter, Precommit, 0, NO_VALUE))
    [message] = script.said_of(RoundProposal)
    assert message == script.round_proposal(proposals, 1, script.certificate(Prevote, 0, proposals.digest, (0, 1, 2)))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_instance_without_a_proposal_of_its_own_has_no_timer(protocol: type[LeaderProtocol]):
    script = Script(protocol, 4, 0)
    assert script.node.deadline is None
    script.propose()
    assert script.node.deadline == (None if protocol is Sequencer else VIEW_TIMEOUT)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_members_that_wait_for_work_join_when_f_plus_one_have_some(protocol: type[LeaderProtocol]):
    dealt = DealtCommittee(7)

    def owner(node: NodeId, output: Any) -> list[Propose]:
        return [Propose(b"empty")] if isinstance(output, ProposalsSeen) else []

    for leader_works in (False, True):
        leader = 0 if protocol is Sequencer else 1
        at_work = [leader, 5, 6] if leader_works else [4, 5, 6]
        network = VirtualNetwork(dealt.each(protocol), CODECS[protocol], OldestFirst(), answers=owner)
        for index in at_work:
            network.give(dealt.members[index], Propose(b"work"))
        network.run()
        assert network.sent["ProposalsWanted"] == 6
        assert network.now == PATIENCE
        for me in dealt.members:
            assert [type(output) for output in network.outputs_of(me, ProposalsDecided)] == [ProposalsDecided]


def test_votes_of_f_plus_one_members_make_a_member_join_whatever_they_are_for():
    """A faulty proposer may show its list to one of them alone; then they are not enough to end the round without others."""
    script = Script(Tendermint, 7, 0)
    for member, digest in ((4, A_LIST), (5, NO_VALUE)):
        script.tell(member, script.vote(member, Prevote, 0, digest))
    assert script.outputs == []
    script.tell(6, script.vote(6, Prevote, 0, NO_VALUE))
    assert script.outputs == [ProposalsSeen()]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_f_members_with_work_start_nothing(protocol: type[LeaderProtocol]):
    dealt = DealtCommittee(7)
    network = VirtualNetwork(dealt.each(protocol), CODECS[protocol], OldestFirst())
    for index in (5, 6):
        network.give(dealt.members[index], Propose(b"work"))
    network.run(until=lambda: network.now > 1000 * SECOND)
    assert all(network.outputs[me] == [] for me in dealt.members)
    assert network.sent["ProposalsWanted"] == 0
    votes = {kind: count for kind, count in network.sent.items() if kind != "SignedProposal"}
    expected = {Pbft: {"ViewChange": 12}, Tendermint: {"Prevote": 12}, Sequencer: {}}[protocol]
    assert votes == expected, "each says once that the leader is silent"


def test_a_sequencer_that_tells_two_lists_is_found_out_by_who_hears_both():
    script = Script(Sequencer, 4, 1)
    said = [
        Sequenced(proposals, script.notaries[0].sign("Sequenced", proposals.digest))
        for proposals in (script.good_list(b"one"), script.good_list(b"other"))
    ]
    for message in (*said, said[0]):
        script.tell(0, message)
    assert script.outputs == [ProposalsSeen(), decided(said[0].proposals)]
    assert accusations(script) == [(script.members[0], "equivocation")]
    assert script.faults[0].evidence == tuple(said)
    script.tell(2, said[0])
    assert accusations(script)[1:] == [(script.members[2], "not_the_leader")]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_any_message_bent_out_of_shape_is_survived(protocol: type[LeaderProtocol]):
    """Every message that a committee sends, with a field from another one: no handler raises."""
    rng = stream(1, "bent", protocol.name)
    for seed in range(20):
        dealt = DealtCommittee(4)
        network = VirtualNetwork(dealt.each(protocol), CODECS[protocol], RandomOrder(seed), dealt.members)
        for me in dealt.members:
            network.give(me, Propose(me.encode()))
        heard: list[Any] = [Decision(Certificate(0, A_LIST, (0, 1, 2), (bytes(64),) * 3)), ListWanted(A_LIST)]
        heard += [ProposalsWanted(()), ProposalList(())]
        while network.crank():
            if not network.pending:
                break
            heard.append(rng.choice(network.pending).message)
            bent = _bent(rng, rng.choice(heard), heard)
            sender, recipient = rng.sample(list(dealt.members), 2)
            step = network.nodes[recipient].handle_message(
                sender, (*dealt.membership(sender).path, protocol.name), bent, 0
            )
            assert step == NOTHING or step is not None


def _bent(rng: Any, message: Any, heard: list[Any]) -> Any:
    fields = message.__struct_fields__
    name = rng.choice(fields)
    value = getattr(message, name)
    if isinstance(value, int):
        return msgspec.structs.replace(message, **{name: rng.choice((0, 1, 2, 3, 4, 31, 32, 33, 2**62))})
    if isinstance(value, tuple):
        return msgspec.structs.replace(message, **{name: rng.choice((value[1:], value[::-1], value * 2, ()))})
    if isinstance(value, bytes):
        return msgspec.structs.replace(message, **{name: rng.randbytes(len(value))})
    if value is None:
        return msgspec.structs.replace(message, **{name: Certificate(0, A_LIST, (0, 1, 2), (bytes(64),) * 3)})
    return msgspec.structs.replace(message, **{name: _bent(rng, value, heard)})


def test_view_changes_come_from_somewhere():
    script = Script(Pbft, 4, 2)
    script.tell(0, ViewChange(0, None, script.notaries[0].sign("ViewChange", 0, None, NO_VALUE)))
    script.tell(0, script.view_change(0, 1, script.certificate(Prepare, 1, A_LIST, (0, 1, 3))))
    assert accusations(script) == [(script.members[0], "bad_view_change")]
    assert script.node.view == 0
