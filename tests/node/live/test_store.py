"""A store as its node sees it: what it keeps, in which order, for whom."""

import sqlite3
import subprocess
import sys
import threading
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.kernel.automaton import NodeId, Record
from node.live.store import Store, used_log_indices
from node.live.store_errors import StoreBusy, StoreFailed, StoreForeign, StoreMissing
from node.record_places import unsuperseded
from tests.harness.store_writer import NETWORK, NODE, numbers, opened, ping, pong
from tests.harness.toys import ToyMessage
from wasp.committee_log import LogIndexUsed


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store.db"


def reopened(store):
    store.close()
    return opened(store.path)


def test_what_was_committed_is_there_when_it_is_opened_again_in_order(path):
    store = opened(path)
    assert (store.records, len(store)) == ((), 0)
    groups = [[ping(0), ping(1)], [], [ping(2)], [pong(3, path=("other", 7))]]
    for group in groups:
        store.commit(group)
    written = tuple(record for group in groups for record in group)
    assert store.records == written
    store = reopened(store)
    assert (store.records, len(store)) == (written, 4)
    store.commit([ping(4)])
    assert numbers(reopened(store).records) == [0, 1, 2, 3, 4]


def test_a_store_that_was_closed_is_one_file_and_its_lock(path):
    store = opened(path)
    store.commit([ping(1)])
    assert store.size_bytes > path.stat().st_size
    store.close()
    assert sorted(file.name for file in path.parent.iterdir()) == ["store.db", "store.db.lock"]


def test_a_store_that_was_not_closed_is_complete_all_the_same(path):
    store = opened(path)
    store.commit([ping(1)])
    copy = path.with_name("copy.db")
    for end in ("", "-wal"):
        copy.with_name(copy.name + end).write_bytes(path.with_name(path.name + end).read_bytes())
    assert opened(copy).records == (ping(1),)


def test_incarnations_rise_with_the_clock_and_without_it(path):
    seen = []
    for seconds in (1_000, 1_000, 1_000, 2_000, 5, 5):
        store = opened(path, wall_s=lambda seconds=seconds: seconds + 0.9)
        seen.append(store.incarnation)
        store.close()
    assert seen == [1_000, 1_001, 1_002, 2_000, 2_001, 2_002]


def test_a_store_that_is_founded_anew_is_a_later_life_than_the_lost_one(path):
    before = opened(path)
    before.close()
    path.unlink()
    assert opened(path, wall_s=lambda: before.incarnation + 1).incarnation > before.incarnation


def test_a_store_that_was_founded_must_not_be_missing(path):
    with pytest.raises(StoreMissing, match=r"missing.*highest log index"):
        opened(path, founded=True)
    Store.found(path, NETWORK, NODE)
    assert opened(path, founded=True).records == ()


def test_a_node_that_lost_its_store_begins_with_the_log_indices_that_it_must_not_use(path):
    used = used_log_indices({"mg1": 57, "community": 8})
    assert [record.value for record in used] == [LogIndexUsed(57), LogIndexUsed(8)]
    Store.found(path, NETWORK, NODE, used)
    assert sorted(file.name for file in path.parent.iterdir()) == ["store.db"]
    store = Store.open(path, NETWORK, NODE, founded=True)
    assert store.records == used
    opened_next = Record(("mg1", "log"), LogIndexUsed(58), (("mg1", "log"),))
    store.commit([opened_next])
    assert store.records == (used[1], opened_next)


def test_a_file_is_never_replaced_by_a_new_one(path):
    opened(path).close()
    before = path.read_bytes()
    with pytest.raises(StoreFailed, match="there is a file already"):
        Store.found(path, NETWORK, NODE)
    assert path.read_bytes() == before


def test_a_founding_that_was_interrupted_is_begun_again(path):
    path.with_name("store.db.new").write_bytes(b"half")
    path.with_name("store.db.new-wal").write_bytes(b"half")
    store = opened(path)
    store.commit([ping(1)])
    assert reopened(store).records == (ping(1),)


def test_where_it_can_not_be_written_the_store_says_so(tmp_path):
    with pytest.raises(StoreFailed, match=r"nowhere/store\.db: No such file or directory"):
        opened(tmp_path / "nowhere" / "store.db")
    (tmp_path / "store.db").mkdir()
    with pytest.raises(StoreFailed):
        opened(tmp_path / "store.db")


# ---------------------------------------------------------------------------------------------------------- for whom


def test_a_store_that_is_in_use_is_refused_in_the_same_process_and_in_another(path):
    store = opened(path)
    store.commit([ping(1)])
    with pytest.raises(StoreBusy, match=r"in use by process [0-9]+\. One node has one process"):
        opened(path)
    program = (
        "import sys; from pathlib import Path; from tests.harness.store_writer import opened\n"
        "try: opened(Path(sys.argv[1]))\n"
        "except Exception as error: print(type(error).__name__)"
    )
    said = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert said.stdout == "StoreBusy\n"
    store.commit([ping(2)])
    assert reopened(store).records == (ping(1), ping(2))


def test_a_store_that_another_program_reads_is_busy_too(path):
    opened(path).close()
    reader = sqlite3.connect(path)
    reader.execute("SELECT * FROM records").fetchall()
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM records").fetchall()
    with pytest.raises(StoreBusy, match="another program"):
        opened(path)
    reader.close()
    opened(path)


@pytest.mark.parametrize(
    ("network", "node", "said"),
    [
        ("othernet", NODE, "store of home1 in network testnet, and home1 in othernet was expected"),
        (NETWORK, NodeId("home2"), "store of home1 in network testnet, and home2 in testnet was expected"),
    ],
)
def test_the_store_of_another_node_or_network_is_refused_and_left_alone(path, network, node, said):
    opened(path).close()
    before = path.read_bytes()
    with pytest.raises(StoreForeign, match=said):
        Store.open(path, network, node, kinds=ToyMessage)
    assert path.read_bytes() == before
    opened(path)


def test_a_file_of_another_format_or_of_another_program_is_refused(path):
    opened(path).close()
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 2")
    other.close()
    with pytest.raises(StoreForeign, match="format 2, and this version of tanglegrid reads and writes format 1"):
        opened(path)
    with sqlite3.connect(path.with_name("songs.db")) as other:
        other.execute("CREATE TABLE songs (name TEXT)")
    other.close()
    with pytest.raises(StoreForeign, match="an SQLite file, but not a store"):
        opened(path.with_name("songs.db"))


def test_a_record_of_a_kind_that_is_not_known_here_is_told_apart_from_damage(path):
    store = opened(path)
    store.commit([ping(1)])
    store.close()
    with pytest.raises(StoreForeign, match="record 1 is intact, but this version can't read it"):
        Store.open(path, NETWORK, NODE)


def test_commits_may_come_from_a_thread_of_their_own(path):
    store = opened(path)
    worker = threading.Thread(target=lambda: [store.commit([ping(number)]) for number in range(20)])
    worker.start()
    worker.join()
    assert numbers(reopened(store).records) == list(range(20))


# -------------------------------------------------------------------------------------------------------- superseding


def test_what_a_record_supersedes_is_gone_with_the_same_commit(path):
    log, state = ("mg1", "log"), ("mg1", "state")
    store = opened(path)
    store.commit([pong(1, path=log), pong(2, path=state), pong(3, path=(*state, 0)), pong(4, path=log)])
    store.commit([pong(5, log, path=log), pong(6, path=state)])
    assert numbers(store.records) == [2, 3, 5, 6]
    store.commit([pong(7, state, path=("mg1",)), pong(8, path=(*state, 1))])
    assert numbers(store.records) == [5, 7, 8]
    store = reopened(store)
    assert (numbers(store.records), len(store)) == ([5, 7, 8], 3)
    store.commit([pong(9, ("mg1",), path=("mg1",))])
    assert numbers(reopened(store).records) == [9]


def test_a_path_that_only_begins_with_the_same_letters_is_not_below(path):
    store = opened(path)
    store.commit([pong(1, path=("mg1",)), pong(2, path=("mg10",)), pong(3, ("mg1",), path=("mg2",))])
    assert numbers(reopened(store).records) == [2, 3]


PATHS = st.sampled_from([("a",), ("a", 1), ("a", 1, "x"), ("a", 2), ("b",), ("b", 1)])
GROUPS = st.lists(st.lists(st.tuples(PATHS, st.lists(PATHS, max_size=2)), max_size=5), max_size=8)


@settings(max_examples=25, deadline=None)
@given(groups=GROUPS, openings=st.sets(st.integers(0, 8)))
def test_a_store_holds_what_none_of_the_later_records_supersedes(tmp_path_factory, groups, openings):
    store = opened(tmp_path_factory.mktemp("store") / "store.db")
    written = []
    for place, group in enumerate(groups):
        records = [pong(len(written) + i, *supersedes, path=path) for i, (path, supersedes) in enumerate(group)]
        store.commit(records)
        written += records
        if place in openings:
            store = reopened(store)
    assert store.records == tuple(unsuperseded(written))
    store = reopened(store)
    assert store.records == tuple(unsuperseded(written))
    store.close()


def test_a_file_does_not_grow_when_records_take_the_place_of_others(path):
    store = opened(path)
    sizes = []
    for number in range(40):
        store.commit([Record(ping(number).path, ping(4 * number + 3).value, (ping(0).path,))])
        if number % 10 == 9:
            store = reopened(store)
            sizes.append(path.stat().st_size)
    assert len(set(sizes)) == 1
    assert all(earlier <= later for earlier, later in pairwise(sizes))
