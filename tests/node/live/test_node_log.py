"""What a live node logs: what changes a standing, in a file of bounded size, at a bounded rate."""

import json
from io import FileIO
from pathlib import Path
from typing import Any

import pytest
import structlog

from ledger.kernel.automaton import Fault, NodeId
from ledger.kernel.instant import SECOND
from node.host import ChainFact
from node.live.node_log import (
    DETAIL_MAX,
    LINES_BURST_MAX,
    LINES_PER_SECOND_MAX,
    LogFile,
    NodeLog,
    Observers,
    configure_log,
)
from wasp.chain_interface import BatchProposed
from wasp.consensus.consensus_interface import IndexSkipped

ME, LIAR = NodeId("a1"), NodeId("a2")
SKIPPED = ChainFact("north", IndexSkipped(7, "no base"))


@pytest.fixture
def file(tmp_path: Path):
    made = LogFile(tmp_path / "log.jsonl", 10**6)
    yield made
    made.close()
    structlog.reset_defaults()


@pytest.fixture
def log(file: LogFile) -> NodeLog:
    return NodeLog(configure_log(file, ME), file)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def events(path: Path) -> list[dict[str, Any]]:
    """The lines, without what every line has."""
    told = lines(path)
    for line in told:
        assert (line.pop("node"), line.pop("level")) == ("a1", "info")
        assert line.pop("timestamp").endswith("Z")
    return told


def test_events_and_faults_are_told_and_what_happens_all_the_time_is_not(file, log):
    log.observe(5, ME, (SKIPPED, ChainFact("north", BatchProposed(8, ())), "what else"), ())
    log.observe(7, ME, (), (Fault(LIAR, "bad_vote", ("north", 3), "x" * 1_000),))
    assert events(file.path) == [
        {"event": "index_skipped", "at_us": 5, "chain": "north", "log_index": 7, "reason": "no base"},
        {
            "event": "fault", "at_us": 7, "accused": "a2", "kind": "bad_vote", "path": ["north", 3],
            "detail": "x" * DETAIL_MAX,
        },
    ]  # fmt: skip


def test_a_line_begins_with_when_where_and_what(file, log):
    log.observe(5, ME, (SKIPPED,), ())
    assert list(lines(file.path)[0]) == ["timestamp", "level", "node", "event", "at_us", "chain", "log_index", "reason"]


def test_a_flood_is_logged_at_a_rate_and_what_is_left_out_is_counted(file, log):
    flood = (Fault(LIAR, "flood", (), ""),) * (LINES_BURST_MAX + 10)
    log.observe(0, ME, (), flood)
    assert len(lines(file.path)) == LINES_BURST_MAX
    log.observe(SECOND, ME, (), flood)
    told = lines(file.path)
    assert len(told) == LINES_BURST_MAX + LINES_PER_SECOND_MAX
    assert [line.get("left_out") for line in told[LINES_BURST_MAX - 1 :]] == [
        None,
        10,
        *[None] * (LINES_PER_SECOND_MAX - 1),
    ]


def test_a_log_that_is_full_is_put_aside_and_the_latest_two_files_are_kept(tmp_path):
    path = tmp_path / "log.jsonl"
    file = LogFile(path, 100)
    for number in range(5):
        file.write(f"{number}" * 50)
        file.flush()
    aside = tmp_path / "log.jsonl.1"
    assert (aside.read_text(), path.read_text()) == ("2" * 50 + "3" * 50, "4" * 50)
    file.close()
    again = LogFile(path, 100)
    again.write("5" * 51)
    again.close()
    assert (aside.read_text(), path.read_text()) == ("4" * 50, "5" * 51)
    assert sorted(found.name for found in tmp_path.iterdir()) == ["log.jsonl", "log.jsonl.1"]


def test_a_line_that_can_not_be_written_is_counted_and_stops_nothing(file, log):
    whole, file._file = file._file, FileIO("/dev/full", "wb")
    log.observe(1, ME, (SKIPPED,), ())
    assert file.lost == 1
    file._file.close()
    file._file = whole
    log.observe(2, ME, (SKIPPED,), ())
    log.observe(3, ME, (SKIPPED,), ())
    assert [(line["at_us"], line.get("lost")) for line in lines(file.path)] == [(2, 1), (3, None)]


def test_a_line_that_was_written_in_part_is_counted_and_the_next_is_whole(file):
    class Torn:
        def write(self, data: bytes) -> int:
            return whole.write(data[:3])

    whole, file._file = file._file, Torn()
    file.write("first\n")
    file._file = whole
    file.write("second\n")
    assert (file.path.read_text(), file.lost) == ("fir\nsecond\n", 1)


def test_a_log_that_could_not_be_put_aside_goes_on_when_it_can(tmp_path):
    path = tmp_path / "log.jsonl"
    file = LogFile(path, 10)
    file.write("0123456789")
    aside = tmp_path / "log.jsonl.1"
    aside.mkdir()
    file.write("lost")
    aside.rmdir()
    file.write("kept")
    file.close()
    assert (path.read_text(), file.lost) == ("0123456789kept", 1)


def test_all_observers_see_the_same():
    class Seen:
        def __init__(self) -> None:
            self.seen: list[Any] = []

        def observe(self, *what) -> None:
            self.seen.append(what)

    one, other = Seen(), Seen()
    Observers(one, other).observe(1, ME, ("output",), ())
    assert one.seen == other.seen == [(1, ME, ("output",), ())]
