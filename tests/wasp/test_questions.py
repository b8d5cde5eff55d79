"""Whom a member asks for what is missing, and when it asks again."""

from __future__ import annotations

from ledger.kernel.instant import SECOND
from ledger.kernel.rng import stream
from wasp.questions import Questions

OTHERS = ("m1", "m2", "m3", "m4")


def questions(others=OTHERS):
    return Questions(others, SECOND, 2, stream(0, "questions"))


def intervals(asking, count):
    return [asking.deadline - now for now in range(count) if asking.ask(now)]


def test_the_interval_doubles_six_times_and_no_more():
    assert intervals(questions(), 9) == [SECOND << doublings for doublings in (0, 1, 2, 3, 4, 5, 6, 6, 6)]


def test_an_answer_begins_the_intervals_anew():
    asking = questions()
    intervals(asking, 5)
    asking.begin_anew()
    assert intervals(asking, 2) == [SECOND, 2 * SECOND]


def test_some_of_the_others_are_asked_and_not_always_the_same():
    asking = questions()
    asked = [asking.ask(now) for now in range(30)]
    assert {len(set(members)) for members in asked} == {2}
    assert {member for members in asked for member in members} == set(OTHERS)


def test_who_is_alone_asks_nobody_and_never_again():
    asking = questions(())
    assert (asking.ask(0), asking.deadline) == ((), None)


def test_who_rests_has_no_deadline():
    asking = questions()
    asking.ask(0)
    asking.rest()
    assert asking.deadline is None
