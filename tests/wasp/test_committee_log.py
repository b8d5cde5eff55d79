import pytest

from ledger.kernel.automaton import NOTHING, Envelope, Fault, NodeId, PeerReconnected, Record, Step
from ledger.kernel.identity import deal_signer
from ledger.kernel.instant import SECOND
from wasp.committee import Committee
from wasp.committee_log import (
    CommitteeLog,
    IndexEnded,
    IndexOpened,
    IndexProposed,
    LogIndexUsed,
    NextIndexVote,
    RecoveryTimes,
)

PATH = ("mg1", "log")
TIMES = RecoveryTimes(timeout=10 * SECOND, timeout_max=35 * SECOND)


def committee_of(n):
    names = [NodeId(f"m{place}") for place in range(n)]
    return Committee(names, [deal_signer("model", 0, name).public_key for name in names], bytes(32))


def log_of(n=4, used=0):
    committee = committee_of(n)
    return CommitteeLog(PATH, committee, NodeId("m0"), TIMES, used)


def cast(log, index, cause):
    return Envelope(log.committee.members, PATH, NextIndexVote(index, cause))


def hear(log, member, index, cause, now=0):
    return log.handle_message(NodeId(f"m{member}"), PATH, NextIndexVote(index, cause), now)


def opened(n=4):
    """A log in which index 1 is open; the vote of m0 is started(1)."""
    log = log_of(n)
    log.handle_timer(0)
    for member in range(log.committee.some_correct):
        step = hear(log, member, 1, "recover")
    assert step.outputs == [IndexOpened(1)]
    hear(log, 0, 1, "started")
    return log


def test_at_boot_a_member_votes_to_recover_the_index_after_the_last_durable_one():
    log = log_of(used=7)
    assert log.deadline == 0
    assert log.handle_timer(0) == Step(messages=[cast(log, 8, "recover")])


def test_an_index_is_durable_in_the_step_that_opens_it_and_starts_its_instance():
    log = log_of()
    log.handle_timer(0)
    hear(log, 0, 1, "recover")
    step = hear(log, 1, 1, "recover")
    assert step == Step([Record(PATH, LogIndexUsed(1), (PATH,))], [cast(log, 1, "started")], [IndexOpened(1)])


@pytest.mark.parametrize("n", [4, 5, 6, 7, 8, 9, 10])
@pytest.mark.parametrize("cause", ["recover", "started"])
def test_f_plus_1_urgent_votes_open_an_index_and_f_do_not(n, cause):
    log = log_of(n)
    for member in range(1, 1 + log.committee.f):
        assert hear(log, member, 3, cause).outputs == ()
    assert hear(log, log.committee.f + 1, 3, cause).outputs == [IndexOpened(3)]


@pytest.mark.parametrize("n", [4, 5, 6, 7, 8, 9, 10])
@pytest.mark.parametrize("cause", ["done", "joined"])
def test_n_minus_f_votes_of_any_cause_open_an_index_and_fewer_do_not(n, cause):
    log = log_of(n)
    for member in range(1, n - log.committee.f):
        assert not hear(log, member, 3, cause).outputs
    assert hear(log, 0, 3, cause).outputs == [IndexOpened(3)]


@pytest.mark.parametrize("n", [4, 5, 6, 7, 8, 9, 10])
def test_f_plus_1_higher_votes_are_joined_and_f_are_not(n):
    log = log_of(n)
    for member in range(1, 1 + log.committee.f):
        assert hear(log, member, 3, "done") == NOTHING
    assert hear(log, log.committee.f + 1, 3, "done") == Step([], [cast(log, 3, "joined")], [])


def test_a_vote_supports_lower_indices_too():
    log = log_of()
    hear(log, 1, 9, "done")
    hear(log, 2, 5, "done")
    step = hear(log, 3, 4, "done")
    assert step.outputs == [IndexOpened(4)]
    assert [envelope.message for envelope in step.messages] == []
    assert log.vote == NextIndexVote(5, "joined")


def test_an_older_or_repeated_vote_changes_nothing():
    log = log_of()
    hear(log, 1, 5, "done")
    assert hear(log, 1, 5, "done") == NOTHING
    assert hear(log, 1, 4, "joined") == NOTHING


def test_a_weak_vote_for_a_higher_index_does_not_take_back_an_urgent_one():
    log = log_of()
    hear(log, 1, 3, "started")
    hear(log, 1, 4, "done")
    assert hear(log, 2, 3, "recover").outputs == [IndexOpened(3)]


def test_a_restarted_member_does_not_take_part_in_its_last_durable_index():
    log = log_of(used=6)
    for member in (1, 2, 3):
        step = hear(log, member, 6, "started")
        assert not step.outputs
    for member in (1, 2):
        step = hear(log, member, 7, "started")
    assert step.outputs == [IndexOpened(7)]


def test_an_ended_index_is_voted_done_once_and_a_late_end_is_no_news():
    log = opened()
    assert log.handle_input(IndexEnded(1), 5) == Step(messages=[cast(log, 2, "done")])
    assert log.handle_input(IndexEnded(1), 6) == NOTHING
    assert log.handle_input(IndexEnded(0), 6) == NOTHING


def test_an_instance_that_waits_for_work_has_no_timer():
    assert opened().deadline is None


def test_a_proposed_index_that_does_not_end_in_time_is_recovered_from_and_again():
    log = opened()
    log.handle_input(IndexProposed(1), 0)
    assert log.deadline == 10 * SECOND
    assert log.handle_timer(10 * SECOND - 1) == NOTHING
    assert log.handle_timer(10 * SECOND) == Step(messages=[cast(log, 2, "recover")])
    assert log.deadline == 30 * SECOND
    assert log.handle_timer(30 * SECOND) == Step(messages=[cast(log, 2, "recover")])
    assert log.deadline == 65 * SECOND
    assert log.handle_timer(65 * SECOND) == Step(messages=[cast(log, 2, "recover")])
    assert log.deadline == 100 * SECOND


def test_the_timeout_grows_over_indices_that_fail_and_falls_back_when_one_ends():
    log = opened()
    log.handle_input(IndexProposed(1), 0)
    log.handle_timer(10 * SECOND)
    hear(log, 1, 2, "started", 10 * SECOND)
    assert hear(log, 2, 2, "started", 10 * SECOND).outputs == [IndexOpened(2)]
    assert log.deadline is None
    log.handle_input(IndexProposed(2), 10 * SECOND)
    assert log.deadline == 30 * SECOND
    log.handle_input(IndexEnded(2), 12 * SECOND)
    assert log.deadline == 22 * SECOND


def test_a_vote_that_opens_nothing_becomes_a_recovery():
    log = opened()
    log.handle_input(IndexEnded(1), 0)
    assert log.handle_timer(10 * SECOND) == Step(messages=[cast(log, 2, "recover")])


def test_an_index_that_ended_needs_no_recovery():
    log = opened()
    log.handle_input(IndexProposed(1), 0)
    log.handle_input(IndexEnded(1), 1)
    assert log.deadline == 10 * SECOND + 1, "only the vote for the next index has a timer"
    for member in (1, 2, 3):
        hear(log, member, 2, "done", 2)
    assert (log.used, log.deadline) == (2, None)


def test_on_reconnection_the_latest_vote_is_sent_to_that_peer():
    log = opened()
    latest = Envelope((NodeId("m2"),), PATH, NextIndexVote(1, "started"))
    assert log.handle_input(PeerReconnected(NodeId("m2")), 5) == Step(messages=(latest,))
    assert log.handle_input(PeerReconnected(NodeId("stranger")), 5) == NOTHING
    assert log_of().handle_input(PeerReconnected(NodeId("m2")), 5) == NOTHING


def test_a_recovery_for_an_index_that_is_open_here_is_answered_with_the_own_vote():
    log = opened()
    answer = Envelope((NodeId("m3"),), PATH, NextIndexVote(1, "started"))
    assert hear(log, 3, 1, "recover").messages == [answer]
    assert hear(log, 3, 1, "recover").messages == (answer,)


def test_two_members_that_recover_the_same_index_do_not_answer_each_other_for_ever():
    log = log_of(7)
    log.handle_timer(0)
    assert hear(log, 1, 1, "recover") == NOTHING


def test_who_is_no_member_has_no_vote():
    log = log_of()
    fault = Fault(NodeId("stranger"), "not_a_member", PATH, "voted for a log index")
    assert log.handle_message(NodeId("stranger"), PATH, NextIndexVote(9, "started"), 0) == Step(faults=(fault,))


def test_a_committee_of_one_opens_on_its_own_vote():
    log = log_of(1)
    log.handle_timer(0)
    assert hear(log, 0, 1, "recover").outputs == [IndexOpened(1)]


def test_the_status_tells_what_is_waited_for():
    log = log_of()
    log.handle_timer(0)
    assert log.status == (
        "no index yet (used up to 0), own vote 1 (recover), waits for votes: [0, 0, 0, 0] (urgent [0, 0, 0, 0])"
    )
