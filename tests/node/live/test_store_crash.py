"""Killed processes, full disks, disks that fail: what was acknowledged is there, in order, and nothing half-written."""

import os
import resource
from contextlib import closing, contextmanager
from multiprocessing import get_context
from pathlib import Path
from time import sleep

import pytest

from ledger.kernel.instant import SECOND
from ledger.kernel.rng import stream
from node.live.store import Store
from node.live.store_errors import StoreFailed
from node.live.store_journal import journal_damage, journal_of
from tests.harness.store_writer import NETWORK, NODE, numbers, opened, ping, pong, write_until_killed

KILLS = 50


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store.db"


@contextmanager
def file_size_max(size):
    """No file of this process may become longer: the system refuses the write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def file_replaced(file, device):
    """What this process writes to the file goes to a device instead, by the descriptor that it has open."""
    [descriptor] = [int(link.name) for link in Path("/proc/self/fd").iterdir() if link.resolve() == file.resolve()]
    kept, other = os.dup(descriptor), os.open(device, os.O_RDWR)
    os.dup2(other, descriptor)
    try:
        yield
    finally:
        os.dup2(kept, descriptor)
        os.close(kept)
        os.close(other)


def held(path):
    with closing(opened(path)) as store:
        return numbers(store.records)


def left_by_a_crash(store, path):
    """A copy of an open store, as a crash would leave it."""
    path.write_bytes(store.path.read_bytes())
    journal_of(path).write_bytes(journal_of(store.path).read_bytes())
    return path


def test_every_acknowledged_record_survives_kills_at_random_moments_in_order(path):
    """The writer is killed some moment after it has acknowledged up to ten groups: in the middle of one of the next."""
    context, rng, acknowledged = get_context("forkserver"), stream(1, "kills"), 0
    context.set_forkserver_preload(["tests.harness.store_writer"])
    journals = lives = 0
    for _ in range(KILLS):
        ours, theirs = context.Pipe(duplex=False)
        writer = context.Process(target=write_until_killed, args=(path, theirs), daemon=True)
        writer.start()
        theirs.close()
        assert ours.recv() >= acknowledged
        for _ in range(rng.randrange(10)):
            acknowledged = ours.recv()
        sleep(rng.randrange(3_000) / SECOND)
        writer.kill()
        writer.join()
        try:
            while True:
                acknowledged = ours.recv()
        except EOFError:
            ours.close()
        journals += journal_of(path).stat().st_size > 0
        with closing(opened(path)) as store:
            assert store.records == tuple(ping(number) for number in range(len(store)))
            assert len(store) >= acknowledged
            lives = max(lives, store.incarnation)
            acknowledged = len(store)
    assert journals > KILLS // 2
    assert acknowledged > KILLS
    assert opened(path).incarnation > lives


# -------------------------------------------------------------------------------------------------------- full disks


def test_a_group_that_a_full_disk_refuses_leaves_nothing_and_is_taken_when_there_is_room(path):
    store = opened(path)
    store.commit([pong(1, path=("log",)), ping(3)])
    superseding = [pong(2, ("log",), path=("log",)), ping(7), ping(11)]
    pages = store._file.connection.execute("PRAGMA page_count").fetchone()[0]
    for room in range(3):
        store._file.connection.execute(f"PRAGMA max_page_count = {pages + room}")
        with pytest.raises(StoreFailed, match="database or disk is full") as raised:
            store.commit(superseding)
        assert raised.value.may_retry
        assert str(raised.value).startswith(f"{path}: database or disk is full (SQLITE_FULL). Nothing of it was kept")
        assert (numbers(store.records), len(store)) == ([1, 3], 2)
    store._file.connection.execute("PRAGMA max_page_count = 1000000")
    store.commit(superseding)
    assert numbers(store.records) == [3, 2, 7, 11]
    store.close()
    assert held(path) == [3, 2, 7, 11]


@pytest.mark.parametrize("room", [0, 1, 5_000, 30_000])
def test_a_file_that_may_not_grow_keeps_what_it_has_and_goes_on_when_it_may(path, room):
    store = opened(path)
    store.commit([ping(1)])
    group = [ping(number) for number in range(2, 12)]
    with (
        file_size_max(journal_of(path).stat().st_size + room),
        pytest.raises(StoreFailed, match="disk I/O error") as raised,
    ):
        store.commit(group)
    assert raised.value.may_retry
    copy = left_by_a_crash(store, path.with_name("copy.db"))
    assert held(copy) == [1]
    store.commit([ping(100)])
    store.commit(group)
    store.close()
    assert held(path) == [1, 100, *range(2, 12)]


def test_what_was_half_written_of_a_long_group_is_no_damage_behind_a_short_one(path):
    store = opened(path)
    store.commit([ping(1)])
    with file_size_max(journal_of(path).stat().st_size + 100_000), pytest.raises(StoreFailed):
        store.commit([ping(3) for _ in range(20)])
    store.commit([ping(2)])
    copy = left_by_a_crash(store, path.with_name("copy.db"))
    assert journal_damage(copy) == ""
    assert held(copy) == [1, 2]


def test_without_room_for_a_new_life_the_store_does_not_open_and_loses_nothing(path):
    with closing(opened(path)) as store:
        store.commit([ping(1)])
        incarnation = store.incarnation
    with file_size_max(4_096):
        for _ in range(2):
            with pytest.raises(StoreFailed, match="disk I/O error") as raised:
                opened(path)
            assert raised.value.may_retry
    with closing(opened(path)) as store:
        assert store.records == (ping(1),)
        assert store.incarnation > incarnation


def test_a_crashed_store_that_finds_no_room_at_its_next_opening_loses_nothing(path, tmp_path):
    with closing(opened(tmp_path / "before.db")) as store:
        store.commit([ping(2), ping(6)])
        left_by_a_crash(store, path)
    for size in (10, 4_096, 8_000):
        with file_size_max(size), pytest.raises(StoreFailed):
            opened(path)
    assert held(path) == [2, 6]


def test_a_store_that_finds_no_room_when_it_is_closed_opens_again(path):
    for room in (0, 1, 5_000):
        store = opened(path)
        store.commit([ping(3)])
        with file_size_max(max(path.stat().st_size, journal_of(path).stat().st_size + room)):
            store.close()
    assert held(path) == [3, 3, 3]


def test_without_room_no_store_is_founded_and_none_is_left(path):
    with file_size_max(4_096), pytest.raises(StoreFailed):
        Store.found(path, NETWORK, NODE)
    assert not path.exists()
    Store.found(path, NETWORK, NODE)
    assert held(path) == []


# ----------------------------------------------------------------------------------------------------- failing disks


def test_after_a_sync_that_failed_the_store_refuses_everything_until_it_is_opened_again(path):
    store = opened(path)
    store.commit([ping(1)])
    with file_replaced(journal_of(path), "/dev/null"), pytest.raises(StoreFailed, match="FSYNC") as raised:
        store.commit([ping(2)])
    assert not raised.value.may_retry
    assert "What the disk holds is not known" in str(raised.value)
    for _ in range(2):
        with pytest.raises(StoreFailed, match="FSYNC"):
            store.commit([ping(3)])
    store.close()
    with closing(opened(path)) as again:
        assert again.records == (ping(1),)
        again.commit([ping(2)])
    assert held(path) == [1, 2]
