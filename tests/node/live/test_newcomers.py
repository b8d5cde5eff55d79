from __future__ import annotations

import socket
from typing import Any, cast

from ledger.kernel.rejection import Rejected
from node.live.newcomers import EVICTED, LEFT, Newcomer, Newcomers
from tests.harness.peers import changed

LIMITS = changed(newcomers_max=4, newcomers_per_address_max=2)


class Closed(Exception):
    """What the sockets here raise when they are closed a second time; it is caught by nobody."""


class SocketThatIsClosedOnce:
    def __init__(self) -> None:
        self.open = True

    def shutdown(self, how: int) -> None:
        assert how == socket.SHUT_RDWR
        if not self.open:
            raise Closed
        self.open = False


def newcomer(address: str, shown: bool = False) -> Newcomer:
    made = Newcomer(address, cast(socket.socket, SocketThatIsClosedOnce()))
    made.handshake = cast(Any, object()) if shown else None
    return made


def test_from_an_address_that_has_too_many_the_oldest_goes():
    gone: list[Newcomer] = []
    newcomers = Newcomers(LIMITS, gone.append)
    first, second, other, third = newcomer("one"), newcomer("one"), newcomer("other"), newcomer("one")
    for each in (first, second, other, third):
        newcomers.enter(each)
    assert (gone, first.reason, len(newcomers), newcomers.most) == ([first], EVICTED, 3, 3)


def test_of_all_when_there_are_too_many_the_oldest_goes():
    gone: list[Newcomer] = []
    newcomers = Newcomers(LIMITS, gone.append)
    all_of_them = [newcomer(str(number)) for number in range(6)]
    for each in all_of_them:
        newcomers.enter(each)
    assert gone == all_of_them[:2]
    assert (len(newcomers), newcomers.most) == (4, 4)


def test_who_has_shown_a_good_hello_stays_longer_than_who_has_shown_nothing():
    gone: list[Newcomer] = []
    newcomers = Newcomers(LIMITS, gone.append)
    shown = [newcomer(str(number), shown=True) for number in range(2)]
    silent = [newcomer(str(number)) for number in range(2, 5)]
    for each in (*shown, *silent):
        newcomers.enter(each)
    assert gone == [silent[0]]
    more = [newcomer(str(number), shown=True) for number in range(5, 8)]
    for each in more:
        newcomers.enter(each)
    assert gone == [*silent, shown[0]]


def test_who_has_become_a_peer_s_connection_is_not_gone_and_counts_no_longer():
    gone: list[Newcomer] = []
    newcomers = Newcomers(LIMITS, gone.append)
    proved, left = newcomer("one"), newcomer("one")
    newcomers.enter(proved)
    newcomers.enter(left)
    proved.proved = True
    newcomers.leave(proved)
    newcomers.leave(left)
    newcomers.leave(left)
    assert (gone, left.reason, len(newcomers)) == ([left], LEFT, 0)
    newcomers.send_away(proved, Rejected("late", "nobody is there any more"))
    assert proved.reason == LEFT
