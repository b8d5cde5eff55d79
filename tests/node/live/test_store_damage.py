"""Whatever happens to a store's file, opening it finds out, says where, and says what to do."""

import shutil
import sqlite3
from contextlib import closing

import pytest

from ledger.kernel.automaton import NodeId
from ledger.kernel.rng import stream
from node.live.store import Store
from node.live.store_errors import FOUND_ANEW, StoreDamaged, StoreError
from node.live.store_journal import FRAME_HEADER_SIZE, HEADER_SIZE, journal_damage, journal_of
from tests.harness.store_writer import NETWORK, numbers, opened, ping, pong
from tests.harness.toys import ToyMessage

PAGE_SIZE = 4096
FRAME_SIZE = FRAME_HEADER_SIZE + PAGE_SIZE


@pytest.fixture
def path(tmp_path):
    """A closed store of ten records at the places 1 to 10, two of which are gone."""
    path = tmp_path / "store.db"
    store = opened(path)
    store.commit([pong(1), pong(2), pong(3), pong(4, path=("other",)), pong(5, path=("other", 1)), pong(6)])
    store.commit([pong(7), pong(8, ("other",)), pong(9), pong(10)])
    assert numbers(store.records) == [1, 2, 3, 6, 7, 8, 9, 10]
    store.close()
    return path


@pytest.fixture
def left(tmp_path):
    """A store of nine groups that was left without being closed: file and journal."""
    store = opened(tmp_path / "before.db")
    for number in range(9):
        store.commit([ping(4 * number + 1)])
    path = tmp_path / "store.db"
    shutil.copy(store.path, path)
    shutil.copy(journal_of(store.path), journal_of(path))
    store.close()
    assert held(copied(path)) == [4 * number + 1 for number in range(9)]
    return path


def copied(path, name="copy.db"):
    copy = path.with_name(name)
    shutil.copy(path, copy)
    if journal_of(path).exists():
        shutil.copy(journal_of(path), journal_of(copy))
    return copy


def held(path):
    """The numbers of the records in this store."""
    store = opened(path)
    try:
        assert len(store) == len(store.records)
        return numbers(store.records)
    finally:
        store.close()


OTHER = "(SELECT {} FROM records AS other WHERE other.place = 5 - records.place)"
SWAP = [
    f"UPDATE records SET {', '.join(f'{column} = {OTHER.format(column)}' for column in columns)} WHERE place IN (2, 3)"
    for columns in (("content",), ("content", "checksum", "link"))
]
COPY = "INSERT INTO records SELECT {place}, content, checksum, link FROM records WHERE place = 3"


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        (["DELETE FROM records WHERE place = 1"], "records are lost between 0 and 2"),
        (["DELETE FROM records WHERE place = 3"], "records are lost between 2 and 6"),
        (["DELETE FROM records WHERE place IN (6, 7)"], "records are lost between 3 and 8"),
        (
            ["DELETE FROM records WHERE place = 10"],
            "8 records were written, the last is 10; 7 are found, the last is 9",
        ),
        (["DELETE FROM records"], "8 records were written, the last is 10; 0 are found, the last is 0"),
        (["UPDATE records SET content = substr(content, 1, 5) WHERE place = 7"], r"record 7 \(number 5 of the file\)"),
        (["UPDATE records SET content = 'text' WHERE place = 7"], "record 7 .* is not what was written"),
        (["UPDATE records SET content = NULL WHERE place = 7"], "record 7 .* is not what was written"),
        (["UPDATE records SET checksum = x'00' WHERE place = 7"], "record 7 .* is not what was written"),
        (["UPDATE records SET link = x'00' WHERE place = 7"], "records are lost between 6 and 7"),
        ([SWAP[0]], "record 2 .* is not what was written"),
        ([SWAP[1]], "record 2 .* is not what was written"),
        ([COPY.format(place=4)], "record 4 .* is not what was written"),
        ([COPY.format(place=11)], "record 11 .* is not what was written"),
        ([COPY.format(place=-1)], "record -1 .* is not what was written"),
        (["UPDATE records SET place = 4 WHERE place = 3"], "record 4 .* is not what was written"),
        (["UPDATE end SET count = 7"], "its list's end is not what was written"),
        (["UPDATE end SET place = 11"], "its list's end is not what was written"),
        (["UPDATE end SET last = 'text'"], "its list's end is not what was written"),
        (["DELETE FROM end"], "0 rows are found where one was written"),
        (["UPDATE identity SET incarnation = 1"], "its head .* is not what was written"),
        (["UPDATE identity SET open = 1.5"], "its head .* is not what was written"),
        (["UPDATE identity SET node = 'home2'"], "its head .* is not what was written"),
        (["UPDATE identity SET network = NULL"], "its head .* is not what was written"),
        (["INSERT INTO identity SELECT * FROM identity"], "2 rows are found where one was written"),
        (["DROP TABLE records"], "its pages are not what was written"),
    ],
)
def test_what_is_not_as_it_was_written_is_named_by_its_place(path, statements, said):
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    with pytest.raises(StoreDamaged, match=said) as raised:
        opened(path)
    assert str(raised.value) == f"{path}: {raised.value.what}. {FOUND_ANEW}."
    with pytest.raises(StoreDamaged, match=said):
        opened(path)


def test_records_of_another_node_or_of_another_past_do_not_fit(path, tmp_path):
    other = Store.open(tmp_path / "other.db", NETWORK, NodeId("home2"), kinds=ToyMessage)
    other.commit([pong(number) for number in range(1, 11)])
    other.close()
    past = opened(tmp_path / "past.db")
    past.commit([pong(number) for number in range(100, 110)])
    past.close()
    for name, said in (("other.db", "record 7 .* is not what was written"), ("past.db", "are lost between 6 and 7")):
        copy = copied(path)
        with closing(sqlite3.connect(copy)) as connection:
            connection.execute("ATTACH ? AS source", (str(tmp_path / name),))
            connection.execute("DELETE FROM records WHERE place >= 7")
            connection.execute("INSERT INTO records SELECT * FROM source.records WHERE place >= 7")
            connection.commit()
        with pytest.raises(StoreDamaged, match=said):
            opened(copy)


@pytest.mark.parametrize("size", [0, 1, 99, 100, 4096, 10_000])
def test_a_file_that_was_cut_off_is_damaged(path, size):
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(StoreDamaged):
        opened(path)


def test_a_file_that_is_something_else_is_damaged(path):
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreDamaged, match=r"its pages are not what was written \(file is not a database\)"):
        opened(path)


def test_any_changed_byte_of_the_file_is_found_or_means_nothing(path):
    store = opened(path)
    store.commit([ping(number) for number in range(9)])
    store.close()
    data, rng, found = path.read_bytes(), stream(1, "bytes"), 0
    expected = held(copied(path))
    for _ in range(100):
        copy = path.with_name("changed.db")
        changed = bytearray(data)
        changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        copy.write_bytes(changed)
        try:
            kept = held(copy)
        except StoreError:
            found += 1
        else:
            assert kept == expected
    assert 50 < found < 100


# ------------------------------------------------------------------------------------------------------- the journal


def test_a_journal_that_a_crash_left_is_intact(left):
    assert journal_damage(left) == ""
    journal = journal_of(left)
    assert journal.stat().st_size % FRAME_SIZE == HEADER_SIZE


def test_a_missing_journal_is_noticed_in_a_store_that_was_not_closed(left):
    journal_of(left).unlink()
    for _ in range(2):
        with pytest.raises(StoreDamaged, match=r"its journal store\.db-wal is missing, with what was written last"):
            opened(left)


def test_any_changed_byte_of_the_journal_is_found_or_costs_no_more_than_the_last_group(left):
    data, rng = journal_of(left).read_bytes(), stream(1, "journal")
    whole = [4 * number + 1 for number in range(9)]
    seen = set()
    offsets = [*range(HEADER_SIZE), *(rng.randrange(len(data)) for _ in range(100)), len(data) - 1]
    for offset in offsets:
        copy = copied(left)
        changed = bytearray(data)
        changed[offset] ^= 1 << rng.randrange(8)
        journal_of(copy).write_bytes(changed)
        try:
            kept = held(copy)
        except StoreDamaged as damaged:
            seen.add("frame" if "frame" in damaged.what else "head")
        else:
            assert kept in (whole, whole[:-1]), offset
            seen.add(len(kept))
    assert seen == {"frame", "head", 8}


def test_a_damaged_journal_is_named_by_frame_and_bytes_and_not_touched(left):
    journal = journal_of(left)
    changed = bytearray(journal.read_bytes())
    changed[HEADER_SIZE + FRAME_SIZE + 1000] ^= 1
    journal.write_bytes(changed)
    first, last = HEADER_SIZE + FRAME_SIZE, HEADER_SIZE + 2 * FRAME_SIZE - 1
    for _ in range(2):
        with pytest.raises(StoreDamaged, match=rf"frame 2 of its journal store\.db-wal .*bytes {first} to {last}\)"):
            opened(left)
    assert journal.read_bytes() == bytes(changed)


def test_a_transaction_that_was_torn_when_the_power_failed_is_not_damage(left):
    data = journal_of(left).read_bytes()
    for cut in (1, FRAME_SIZE - 1, FRAME_SIZE):
        copy = copied(left)
        journal_of(copy).write_bytes(data[:-cut])
        assert held(copy) == [4 * number + 1 for number in range(8)]
    zeros = copied(left)
    journal_of(zeros).write_bytes(data[: -2 * FRAME_SIZE] + bytes(FRAME_SIZE) + data[-FRAME_SIZE:])
    assert held(zeros) == [4 * number + 1 for number in range(8)]


def test_frames_of_an_earlier_journal_are_leftovers_and_no_damage(tmp_path):
    store = opened(tmp_path / "store.db")
    for number in range(20):
        store.commit([ping(4 * number + 3)])
    store._file.connection.execute("PRAGMA wal_checkpoint(RESTART)")
    store.commit([ping(1)])
    copy = copied(store.path)
    assert journal_of(copy).stat().st_size > 20 * 20_000
    assert journal_damage(copy) == ""
    assert len(held(copy)) == 21
