"""Tables, their digest, and the folder that is written whole or not at all."""

import json
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from node.experiments import results
from node.experiments.results import FolderTaken, Table, check_place, digest_of_results, versions, write_folder

MANIFEST, SUMMARY = {"seed": 1}, {"digest": "ab"}


def table(name="trades", rows=(("a", 1), ("b", None))):
    made = Table(name, {"home": "string", "wh": "int64"})
    for row in rows:
        made.add(*row)
    return made


def snapshot(folder):
    """Every file below a folder with its bytes, and every folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")
    }


# -------------------------------------------------------------------------------------------------------------- digest


def test_a_table_gives_its_columns():
    assert table().column("wh") == [1, None]
    assert table().select("wh", "home") == [(1, "a"), (None, "b")]


def test_the_digest_is_the_same_for_the_same_results_in_any_order_of_tables():
    one, other = table(), table("orders")
    digest = digest_of_results([one, other], SUMMARY)
    assert digest == digest_of_results([table("orders"), table()], dict(SUMMARY))
    assert len(bytes.fromhex(digest)) == 32


@pytest.mark.parametrize(
    "other",
    [
        [table(rows=(("a", 2), ("b", None)))],
        [table(rows=(("a", 1), ("b", 0)))],
        [table(rows=(("a", 1), ("c", None)))],
        [table(rows=(("b", None), ("a", 1)))],
        [table(rows=(("a", 1),))],
        [table(rows=())],
        [table("orders")],
        [table(), table("orders", rows=())],
        [],
    ],
)
def test_the_digest_covers_every_cell_row_and_name(other):
    assert digest_of_results(other, SUMMARY) != digest_of_results([table()], SUMMARY)


def test_the_digest_covers_columns_and_summary():
    renamed = Table("trades", {"home": "string", "energy": "int64"})
    renamed.rows = table().rows
    assert digest_of_results([renamed], SUMMARY) != digest_of_results([table()], SUMMARY)
    assert digest_of_results([table()], {"digest": "ac"}) != digest_of_results([table()], SUMMARY)


def test_versions_name_what_the_run_was_made_with():
    found = versions()
    assert {"tanglegrid", "python", "simpy", "msgspec"} <= set(found)
    assert found["simpy"] == "4.1.2"


# -------------------------------------------------------------------------------------------------------------- folder


def test_a_folder_has_manifest_summary_tables_and_files(tmp_path):
    write_folder(tmp_path / "a" / "b", [table()], MANIFEST, SUMMARY, {"report.html": "<p>é"})
    folder = tmp_path / "a" / "b"
    assert sorted(path.name for path in folder.iterdir()) == [
        "manifest.json", "report.html", "summary.json", "trades.parquet",
    ]  # fmt: skip
    assert json.loads((folder / "manifest.json").read_text()) == MANIFEST
    assert json.loads((folder / "summary.json").read_text()) == SUMMARY
    assert (folder / "report.html").read_text(encoding="utf-8") == "<p>é"
    assert pq.read_table(folder / "trades.parquet").to_pylist() == [{"home": "a", "wh": 1}, {"home": "b", "wh": None}]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["b"]


def test_a_table_without_rows_keeps_its_columns(tmp_path):
    write_folder(tmp_path / "x", [table(rows=())], MANIFEST, SUMMARY, {})
    read = pq.read_table(tmp_path / "x" / "trades.parquet")
    assert (read.num_rows, read.schema.names) == (0, ["home", "wh"])


def test_an_earlier_run_is_replaced_whole(tmp_path):
    folder = tmp_path / "x"
    write_folder(folder, [table(), table("orders")], MANIFEST, SUMMARY, {"report.html": "old"})
    write_folder(folder, [table()], {"seed": 2}, SUMMARY, {})
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "summary.json", "trades.parquet"]
    assert json.loads((folder / "manifest.json").read_text()) == {"seed": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_an_empty_folder_may_become_a_run_and_a_link_is_followed(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    for _ in range(2):
        write_folder(tmp_path / "link", [], MANIFEST, SUMMARY, {})
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "empty" / "manifest.json").is_file()


def full_disk(*_arguments, **_keywords):
    raise OSError(28, "No space left on device", "x")


def interrupt(*_arguments, **_keywords):
    raise KeyboardInterrupt


@pytest.mark.parametrize("failure", [full_disk, interrupt])
@pytest.mark.parametrize("place", ["new", "deep/er/new", "run"])
@pytest.mark.parametrize("moment", ["write_parquet", "_move", "rename"])
def test_what_fails_while_it_is_written_leaves_everything_as_it_was(tmp_path, monkeypatch, failure, place, moment):
    write_folder(tmp_path / "run", [table()], MANIFEST, SUMMARY, {"report.html": "old"})
    before = snapshot(tmp_path)
    if moment == "rename":
        real, times = os.rename, []

        def rename_once(source, target, *arguments, **keywords):
            times.append(target)
            if not str(target).endswith(".earlier") and len(times) <= 2:
                failure()
            real(source, target, *arguments, **keywords)

        monkeypatch.setattr(os, "rename", rename_once)
    else:
        monkeypatch.setattr(results, moment, failure)
    with pytest.raises((OSError, KeyboardInterrupt)):
        write_folder(tmp_path / place, [table()], {"seed": 3}, SUMMARY, {})
    assert snapshot(tmp_path) == before


def test_what_is_no_run_is_never_replaced(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("x")
    (tmp_path / "file").write_text("x")
    before = snapshot(tmp_path)
    for name, why in (
        ("photos", "is not empty and holds no earlier run"),
        ("file", "is a file"),
        ("file/below", "is a file; expected a folder"),
    ):
        with pytest.raises(FolderTaken, match=why):
            check_place(tmp_path / name)
        with pytest.raises(FolderTaken, match=why):
            write_folder(tmp_path / name, [], MANIFEST, SUMMARY, {})
    assert snapshot(tmp_path) == before


def test_a_place_that_can_t_be_written_is_refused_before_the_run(tmp_path, monkeypatch):
    mkdir = Path.mkdir

    def made(path):
        if path.parent == tmp_path:
            raise OSError(30, "Read-only file system")
        mkdir(path)

    (tmp_path / "c").mkdir()
    monkeypatch.setattr(Path, "mkdir", made)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FolderTaken, match=r"^a/b: can't be written: Read-only file system$"):
        check_place(Path("a/b"))
    check_place(Path("c/b"))
    assert list((tmp_path / "c").iterdir()) == []
