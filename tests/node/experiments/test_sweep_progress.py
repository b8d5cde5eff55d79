"""How long a sweep will take, from what was measured; told on a terminal, and seldom elsewhere."""

import io
import sys
from pathlib import Path

import pytest

from node.experiments import sweep_progress as progress
from node.experiments.committee_cells import CellResult, cells_of
from node.experiments.study import Study
from node.experiments.sweep_progress import TimeLeft, in_words


def cells(**sweep):
    study = Study.model_validate({"study": {"name": "some", "seeds": 2}, "sweep": sweep})
    return cells_of(study, Path())


def test_nothing_is_known_before_anything_was_measured():
    left = TimeLeft(cells(nodes=[4]), 1)
    assert (left.count, left.seconds) == (2, None)


def test_a_cell_takes_what_its_point_took():
    some = cells(nodes=[4, 8])
    left = TimeLeft(some, 1)
    left.note(some[0], 3.0)
    left.note(some[2], 5.0)
    assert (left.of(some[1]), left.of(some[3]), left.seconds, left.count) == (3.0, 5.0, 8.0, 2)


def test_another_size_takes_its_work_at_the_pace_of_its_protocol_and_another_protocol_at_the_pace_of_all():
    some = {
        (cell.options.protocol, cell.options.nodes): cell for cell in cells(protocol=["wasp", "pbft"], nodes=[8, 16])
    }
    left = TimeLeft(list(some.values()), 1)
    left.note(some["wasp", 8], 10.0)
    assert left.of(some["wasp", 16]) == pytest.approx(80.0)
    assert left.of(some["pbft", 8]) == pytest.approx(10.0 * 4 / (5 * 8))
    left.note(some["pbft", 8], 4.0)
    assert left.of(some["pbft", 16]) == pytest.approx(16.0)
    assert left.of(some["wasp", 16]) == pytest.approx(80.0)


def test_even_the_smallest_cell_takes_some_time():
    some = cells(protocol=["sequencer", "wasp"], nodes=[4])
    left = TimeLeft(some, 1)
    left.note(some[2], 0.0)
    assert left.of(some[0]) == progress.SECONDS_OF_ANY


def test_many_work_at_once_but_the_longest_cell_is_not_shared():
    some = cells(nodes=[4, 8])
    left = TimeLeft(some, 4)
    left.note(some[0], 2.0)
    left.note(some[2], 16.0)
    assert left.seconds == 16.0
    few = TimeLeft(some, 2)
    few.note(some[0], 10.0)
    few.note(some[2], 12.0)
    assert few.seconds == 12.0
    one = TimeLeft(some, 1)
    one.note(some[0], 10.0)
    one.note(some[2], 12.0)
    assert one.seconds == 22.0


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1s"), (59.6, "1m"), (119, "1m59s"), (121, "2m"), (4000, "1h7m"), (90_000, "1d1h")]
)
def test_times_in_words(seconds, words):
    assert in_words(seconds) == words


def test_elsewhere_a_line_is_written_once_in_a_while(monkeypatch):
    written, now = io.StringIO(), [0.0]
    monkeypatch.setattr(sys, "stderr", written)
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    some = cells(nodes=[4, 8])
    with progress.sweep_progress("some", some, 1) as note:
        for cell, at in zip(some, (59.0, 60.0, 61.0, 200.0), strict=True):
            now[0] = at
            note(cell, CellResult("done", seconds=30.0))
    assert written.getvalue() == "some: 2 of 4 cells (about 8m left)\nsome: 4 of 4 cells\n"


def test_on_a_terminal_there_is_a_bar_with_the_time_left(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    some = cells(nodes=[4])
    with progress.sweep_progress("some", some, 1) as note:
        note(some[0], CellResult("done", seconds=30.0))
    assert "1/2" in terminal.getvalue() and "about 30s left" in terminal.getvalue()
