"""The progress bar: on a terminal only, and never on standard output."""

import io
import sys

from node.experiments.committee_options import CommitteeOptions
from node.experiments.committee_run import run_committee
from node.experiments.progress import block_bar, progress_bar

HOUR = 3_600_000_000


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Counters:
    messages = 123_456


class Runtime:
    counters = Counters()


def test_where_nobody_would_see_it_there_is_none(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress_bar(quiet=False) as report:
        assert report is None
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress_bar(quiet=True) as report:
        assert report is None


def test_on_a_terminal_it_tells_simulated_time_and_rates(monkeypatch, capsys):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("TERM", "xterm")
    with progress_bar(quiet=False) as report:
        assert report is not None
        report(HOUR, 2 * HOUR, Runtime())  # type: ignore[arg-type]
        report(3 * HOUR, 2 * HOUR, Runtime())  # type: ignore[arg-type]
    written = terminal.getvalue()
    assert "trading" in written or "draining" in written
    assert "3.0 h simulated" in written and "messages per CPU second" in written
    assert capsys.readouterr().out == ""


def test_one_committee_has_a_bar_of_its_own(monkeypatch, capsys):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with block_bar(quiet=True) as report:
        assert report is None
    with block_bar(quiet=False) as report:
        outcome = run_committee(CommitteeOptions(blocks=1, batch=1), progress=report)
    assert outcome.failures == []
    assert "deciding" in terminal.getvalue() and capsys.readouterr().out == ""
