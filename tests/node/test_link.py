from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.kernel.instant import MILLISECOND, SECOND
from node.link import Link, LinkHeader, LinkParameters

PARAMETERS = LinkParameters()
D = 10 * MILLISECOND


def test_a_new_frame_is_handed_over_once_however_often_it_comes():
    sender: Link[str] = Link(1, PARAMETERS)
    receiver: Link[str] = Link(1, PARAMETERS)
    header = sender.send("a", 0)
    assert header == LinkHeader(1, 1, 1, 0, 0, b"")
    assert [receiver.receive(header, D), receiver.receive(header, D), receiver.receive(header, 2 * D)] == [
        True,
        False,
        False,
    ]


def test_an_acknowledgement_rides_on_the_next_frame_to_the_peer():
    one: Link[str] = Link(1, PARAMETERS)
    other: Link[str] = Link(7, PARAMETERS)
    other.receive(one.send("a", 0), D)
    header = other.send("b", D)
    assert header == LinkHeader(7, 1, 1, 1, 1, b"")
    assert other.deadline == D + PARAMETERS.resend_initial  # nothing left to acknowledge, only its own frame waits
    assert one.receive(header, 2 * D)
    assert one.unacknowledged == 0


def test_an_acknowledgement_that_finds_no_frame_goes_alone_and_is_not_acknowledged():
    one: Link[str] = Link(1, PARAMETERS)
    other: Link[str] = Link(1, PARAMETERS)
    other.receive(one.send("a", 0), D)
    assert other.deadline == D + PARAMETERS.acknowledge_after
    assert other.handle_timer(D + PARAMETERS.acknowledge_after - 1) == []
    ((header, payload),) = other.handle_timer(D + PARAMETERS.acknowledge_after)
    assert (header.sequence, header.acknowledged, payload) == (0, 1, None)
    assert not one.receive(header, 2 * D)
    assert (one.deadline, other.deadline, one.unacknowledged) == (None, None, 0)


def test_what_is_not_acknowledged_is_sent_again_after_twice_the_time_each_time():
    link: Link[str] = Link(1, PARAMETERS)
    link.send("a", 0)
    instants = []
    for _ in range(4):
        due = link.deadline
        assert due is not None
        instants.append(due)
        assert [payload for _, payload in link.handle_timer(due)] == ["a"]
    assert instants == [1 * SECOND, 3 * SECOND, 5 * SECOND, 7 * SECOND]  # 1 s, then 2 s, the most
    assert link.resent == 4


def test_the_time_to_send_again_follows_the_round_trip_once_it_is_known():
    one: Link[str] = Link(1, PARAMETERS)
    other: Link[str] = Link(1, PARAMETERS)
    other.receive(one.send("a", 0), D)
    one.receive(other.send("b", D), 2 * D)
    one.send("c", 2 * D)
    # RFC 6298: round trip 20 ms, deviation 10 ms; and the peer may wait before it acknowledges.
    assert one.deadline == 2 * D + 20 * MILLISECOND + 4 * 10 * MILLISECOND + PARAMETERS.acknowledge_after


def test_frames_that_came_out_of_order_are_acknowledged_singly():
    one: Link[str] = Link(1, PARAMETERS)
    other: Link[str] = Link(1, PARAMETERS)
    headers = [one.send(text, 0) for text in "abcdef"]
    for place in (0, 2, 5):
        assert other.receive(headers[place], D)
    header = other.send("z", D)
    assert (header.acknowledged, header.acknowledged_more) == (1, bytes([0b1001]))  # 3 = 1 + 2, and 6 = 1 + 2 + 3
    one.receive(header, 2 * D)
    one_second = [payload for _, payload in one.handle_timer(10 * SECOND)]
    assert one_second == ["b", "d", "e"]


def test_a_restarted_sender_starts_anew_and_frames_of_its_former_life_are_stale():
    former: Link[str] = Link(1, PARAMETERS)
    stale, later = former.send("a", 0), former.send("b", 0)
    receiver: Link[str] = Link(1, PARAMETERS)
    assert receiver.receive(stale, D)
    restarted: Link[str] = Link(2, PARAMETERS)
    assert receiver.receive(restarted.send("c", 0), D)
    assert not receiver.receive(later, D)
    assert receiver.send("x", D).acknowledged_session == 2


def test_a_restarted_receiver_starts_where_the_sender_still_holds_frames():
    sender: Link[str] = Link(1, PARAMETERS)
    former: Link[str] = Link(1, PARAMETERS)
    former.receive(sender.send("a", 0), D)
    sender.receive(former.send("ack", D), 2 * D)
    header = sender.send("b", 2 * D)
    assert header.oldest == 2
    restarted: Link[str] = Link(2, PARAMETERS)
    assert restarted.receive(header, 3 * D)
    assert restarted.send("c", 3 * D).acknowledged == 2


def test_an_acknowledgement_of_a_former_life_releases_nothing():
    former: Link[str] = Link(1, PARAMETERS)
    receiver: Link[str] = Link(1, PARAMETERS)
    receiver.receive(former.send("a", 0), D)
    acknowledgement = receiver.send("x", D)
    restarted: Link[str] = Link(2, PARAMETERS)
    restarted.send("b", D)
    assert restarted.receive(acknowledgement, 2 * D)
    assert restarted.unacknowledged == 1


def test_a_frame_that_was_sent_twice_tells_nothing_of_the_round_trip():
    one: Link[str] = Link(1, PARAMETERS)
    other: Link[str] = Link(1, PARAMETERS)
    header = one.send("a", 0)
    one.handle_timer(SECOND)
    other.receive(header, SECOND + D)
    one.receive(other.send("b", SECOND + D), SECOND + 2 * D)
    one.send("c", 2 * SECOND)
    assert one.deadline == 2 * SECOND + PARAMETERS.resend_initial


def test_the_oldest_frame_is_given_up_when_too_many_wait_and_the_receiver_does_not_wait_for_it():
    sender: Link[int] = Link(1, LinkParameters(unacknowledged_max=3))
    headers = [sender.send(number, 0) for number in range(4)]
    assert (sender.lost, sender.unacknowledged) == (1, 3)
    receiver: Link[int] = Link(1, PARAMETERS)
    for header in headers[1:]:
        assert receiver.receive(header, D)
    assert receiver.send(0, D).acknowledged == 4


def test_at_most_a_burst_is_sent_again_at_once_and_the_rest_follows_the_acknowledgements():
    sender: Link[int] = Link(1, LinkParameters(resend_burst_max=2))
    for number in range(5):
        sender.send(number, 0)
    burst = sender.handle_timer(SECOND)
    assert [payload for _, payload in burst] == [0, 1]
    receiver: Link[int] = Link(1, PARAMETERS)
    for header, _ in burst:
        receiver.receive(header, SECOND + D)
    sender.receive(receiver.send(0, SECOND + D), SECOND + 2 * D)
    assert sender.deadline is not None
    assert sender.deadline <= SECOND + 2 * D
    assert [payload for _, payload in sender.handle_timer(SECOND + 2 * D)] == [2, 3]


def test_a_silent_peer_is_asked_with_one_frame_and_gets_the_rest_when_it_is_heard_of():
    sender: Link[int] = Link(1, LinkParameters(silent_after=2))
    for number in range(3):
        sender.send(number, 0)
    sent = []
    for _ in range(4):
        assert sender.deadline is not None
        now = sender.deadline
        sent.append([payload for _, payload in sender.handle_timer(now)])
    assert sent == [[0, 1, 2], [0, 1, 2], [0], [0]]
    back: Link[int] = Link(2, PARAMETERS)
    assert sender.receive(back.send(9, now), now + D)
    assert sender.deadline is not None
    assert {payload for _, payload in sender.handle_timer(sender.deadline + SECOND)} >= {1, 2}


def test_a_new_session_of_a_known_peer_is_a_reconnection_and_its_first_session_is_none():
    receiver: Link[str] = Link(1, PARAMETERS)
    told = []
    for session in (3, 3, 4, 4, 3):
        header = Link[str](session, PARAMETERS).send("a", 0)
        told.append((receiver.receive(header, D), receiver.reconnected))
    assert told == [(True, False), (False, False), (True, True), (False, False), (False, False)]


def test_a_peer_for_whom_frames_were_given_up_reconnects_when_it_is_heard_again():
    one: Link[int] = Link(1, LinkParameters(unacknowledged_max=2))
    other: Link[int] = Link(1, PARAMETERS)
    for number, lost in ((1, False), (2, False), (3, True)):
        one.send(number, 0)
        assert one.receive(other.send(0, 0), D)
        assert one.reconnected is lost
    assert one.receive(other.send(0, 0), D)
    assert not one.reconnected


@given(st.builds(LinkHeader, *[st.integers(0, 2**70)] * 5, st.binary(max_size=2000)))
def test_any_header_is_taken_without_complaint(header: LinkHeader):
    link: Link[str] = Link(1, PARAMETERS)
    link.send("a", 0)
    assert link.receive(header, D) in (True, False)
    link.send("b", D)


@pytest.mark.parametrize("loss", [0.0, 0.2, 0.6])
@given(seed=st.integers(0, 2**32), count=st.integers(1, 60))
def test_everything_arrives_exactly_once_through_loss_duplication_and_reordering(loss: float, seed: int, count: int):
    rng = random.Random(seed)
    ends: list[Link[int]] = [Link(1, PARAMETERS), Link(1, PARAMETERS)]
    arrived: list[list[int]] = [[], []]
    under_way: list[tuple[int, int, LinkHeader, int | None]] = []  # arrival, to, header, payload

    def put(to: int, header: LinkHeader, payload: int | None, now: int) -> None:
        copies = sum(rng.random() >= loss for _ in range(rng.choice((1, 1, 2))))
        under_way.extend((now + rng.randrange(1, 5 * D), to, header, payload) for _ in range(copies))

    for number in range(count):
        put(number % 2, ends[1 - number % 2].send(number, number), number, number)
    now = count
    for _ in range(100_000):
        deadlines = [deadline for end in ends if (deadline := end.deadline) is not None]
        instants = deadlines + [frame[0] for frame in under_way]
        if not instants:
            break
        now = max(now, min(instants))
        for place, end in enumerate(ends):
            for header, payload in end.handle_timer(now):
                put(1 - place, header, payload, now)
        for frame in [frame for frame in under_way if frame[0] <= now]:
            under_way.remove(frame)
            _, to, header, payload = frame
            if ends[to].receive(header, now):
                assert payload is not None
                arrived[to].append(payload)
    assert [sorted(numbers) for numbers in arrived] == [
        [number for number in range(count) if number % 2 == place] for place in (0, 1)
    ]
    assert [end.unacknowledged for end in ends] == [0, 0]


def test_all_that_is_held_is_sent_again_over_a_new_connection_and_acknowledged_as_if_nothing_had_been():
    one: Link[str] = Link(1, PARAMETERS)
    other: Link[str] = Link(1, PARAMETERS)
    headers = [one.send(text, 0) for text in "abc"]
    other.receive(headers[1], D)
    assert not one.receive(other.acknowledgement(), 2 * D)
    again = one.resend_all(SECOND)
    assert [(header.sequence, text) for header, text in again] == [(1, "a"), (3, "c")]
    assert [other.receive(header, SECOND) for header, _ in again] == [True, True]
    one.receive(other.acknowledgement(), SECOND + D)
    assert (one.unacknowledged, [*one.held()], one.resent) == (0, [], 2)


def test_sending_all_again_ends_the_doubling():
    link: Link[str] = Link(1, PARAMETERS)
    link.send("a", 0)
    for _ in range(3):
        assert link.deadline is not None
        link.handle_timer(link.deadline)
    link.resend_all(10 * SECOND)
    assert link.deadline == 10 * SECOND + PARAMETERS.resend_initial


def test_an_acknowledgement_alone_ends_the_wait_to_acknowledge():
    one: Link[str] = Link(1, PARAMETERS)
    other: Link[str] = Link(7, PARAMETERS)
    other.receive(one.send("a", 0), D)
    assert other.deadline == D + PARAMETERS.acknowledge_after
    assert other.acknowledgement() == LinkHeader(7, 0, 1, 1, 1, b"")
    assert other.deadline is None


def test_a_frame_that_the_owner_gives_up_is_lost_and_the_peer_is_told_as_reconnected():
    one: Link[str] = Link(1, PARAMETERS)
    other: Link[str] = Link(1, PARAMETERS)
    for text in "ab":
        one.send(text, 0)
    one.give_up_oldest()
    assert (one.lost, [*one.held()]) == (1, ["b"])
    assert one.receive(other.send("c", 0), D)
    assert one.reconnected


def test_the_round_trip_is_known_when_a_frame_was_acknowledged():
    one: Link[str] = Link(1, PARAMETERS)
    other: Link[str] = Link(1, PARAMETERS)
    assert one.round_trip is None
    other.receive(one.send("a", 0), D)
    one.receive(other.send("b", D), 2 * D)
    assert one.round_trip == 2 * D
