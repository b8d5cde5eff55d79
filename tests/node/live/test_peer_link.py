from __future__ import annotations

from typing import Any, cast

import pytest

from ledger.kernel.automaton import NodeId
from ledger.kernel.instant import SECOND
from ledger.kernel.rejection import Rejected
from node.link import LinkHeader
from node.live.connection import Connection
from node.live.link_fault import NO_FAULT, LinkFault
from node.live.peer_link import PeerLink
from tests.harness.peers import LIMITS, Notes, changed, note


class ConnectionInPlace:
    """As much of a connection as admission looks at."""

    def __init__(self, session: int, dialled_by_me: bool, silent_checks: int) -> None:
        self.peer_session = session
        self.dialled_by_me = dialled_by_me
        self.silent_checks = silent_checks
        self.ended: str | None = None
        self.queue: list[Any] = []
        self.put_frames: list[Any] = []

    def end(self, reason: str) -> None:
        self.ended = reason

    def put(self, *frame: Any) -> bool:
        self.put_frames.append(frame)
        return True


class Clock:
    now = 1_000 * SECOND


async def link_of(me: str, peer: str, clock: type[Clock] = Clock, **limits: int) -> PeerLink:
    return PeerLink(NodeId(me), NodeId(peer), "x:1", 1, changed(**limits), Notes(), lambda: clock.now)


def code(link: PeerLink, session: int, dialled_by_me: bool) -> str | None:
    try:
        link.admit(session, dialled_by_me)
    except Rejected as rejected:
        return rejected.code
    return None


@pytest.mark.parametrize("me", ["a", "c"])
@pytest.mark.parametrize("present_is_mine", [True, False], ids=["dialled by me", "dialled by the peer"])
@pytest.mark.parametrize("new_is_mine", [True, False], ids=["another by me", "another by the peer"])
async def test_of_two_connections_the_later_of_one_side_stays_or_that_of_the_smaller_name(
    me: str, present_is_mine: bool, new_is_mine: bool
):
    link = await link_of(me, "b")
    link.connection = cast(Connection, ConnectionInPlace(5, present_is_mine, 0))
    smaller_dialled = new_is_mine == (me < "b")
    expected = None if present_is_mine == new_is_mine or smaller_dialled else "already_connected"
    assert code(link, 5, new_is_mine) == expected
    assert code(link, 6, new_is_mine) is None  # the peer's later session always stays


@pytest.mark.parametrize(("silent_checks", "expected"), [(0, "already_connected"), (1, "already_connected"), (2, None)])
async def test_a_connection_that_was_silent_for_two_keep_alives_gives_way(silent_checks: int, expected: str | None):
    link = await link_of("a", "b")
    link.connection = cast(Connection, ConnectionInPlace(5, True, silent_checks))
    assert code(link, 5, False) == expected


async def test_a_suspended_peer_is_refused_until_its_time_is_over():
    class Passing(Clock):
        pass

    link = await link_of("a", "b", Passing)
    link.suspend()
    Passing.now += LIMITS.suspension - 1
    assert code(link, 1, True) == "suspended"
    Passing.now += 1
    assert code(link, 1, True) is None


async def test_a_cut_link_admits_nobody_and_is_wanted_again_when_healed():
    link = await link_of("a", "b")
    present = ConnectionInPlace(1, True, 0)
    link.connection = cast(Connection, present)
    link.absent.clear()
    link.set_fault(LinkFault(cut=True))
    assert (present.ended, link.connection, link.absent.is_set()) == ("cut by an injected fault", None, False)
    assert (code(link, 1, True), code(link, 9, False)) == ("cut", "cut")
    link.set_fault(NO_FAULT)
    assert (code(link, 1, True), link.absent.is_set(), link.urged.is_set()) == (None, True, True)


async def test_the_bytes_that_are_held_stay_within_their_limit_and_the_last_frame_is_always_held():
    link = await link_of("a", "b", queue_bytes_max=10_000)
    size = len(note(1, 1000))
    for number in range(30):
        link.send((note(number, 1000),))
        assert link.status.queued * size <= 10_000
    assert link.status.queued * size > 10_000 * 3 // 4
    assert link.status.queued + link.status.lost == 30
    link.send((note(1, 50_000),))
    assert link.status.queued == 1


async def test_nothing_is_sent_again_while_a_connection_is_behind():
    class Passing(Clock):
        pass

    link = await link_of("a", "b", Passing)
    connection = ConnectionInPlace(1, True, 0)
    link.connection = cast(Connection, connection)
    link._heard = True
    link.send((note(1),))
    assert len(connection.put_frames) == 1
    Passing.now += 10 * SECOND
    connection.queue = [None] * 64
    link._handle_timer()
    assert len(connection.put_frames) == 1
    connection.queue = [None] * 63
    link._handle_timer()
    assert len(connection.put_frames) == 2
    assert link._timer is not None
    link._timer.cancel()


@pytest.mark.parametrize("fault", [{"loss": 1.01}, {"loss": -0.01}, {"delay": -1}])
def test_a_fault_that_can_not_be_is_none(fault: dict[str, Any]):
    with pytest.raises(AssertionError):
        LinkFault(**fault)


async def test_what_is_held_is_sent_when_the_peer_is_first_heard_over_a_new_connection_and_not_before():
    link = await link_of("a", "b")
    link.send((note(1),))
    connection = ConnectionInPlace(1, True, 0)
    link.connection = cast(Connection, connection)
    link.send((note(2),))
    assert connection.put_frames == []
    acknowledgement = LinkHeader(1, 0, 1, 0, 0)
    link.frame_came(acknowledgement, (), 0, Clock.now)
    assert [packets for _, packets, _ in connection.put_frames] == [(note(1),), (note(2),)]
    link.frame_came(acknowledgement, (), 0, Clock.now)
    assert len(connection.put_frames) == 2
    assert link._timer is not None
    link._timer.cancel()
