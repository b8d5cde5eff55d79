"""A cluster that does not run: names, groups and links, ports, logs, its lock, and what is removed."""

import json
import os
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from ledger.kernel.automaton import NodeId
from node.cli import main
from node.configuration import ConfigurationError
from node.live import cluster as cluster_module
from node.live.cluster import Cluster, ClusterFailed
from node.live.cluster_clean import clean_cluster
from node.live.cluster_links import GOOD, Links, LinkWish, groups_of, pairs_between, read_links, write_links
from node.live.cluster_logs import log_lines
from node.live.cluster_ports import replace_taken_ports
from tests.harness.live_street import STREET_HOMES, STREET_NODES, init_street

A1, A2, A3, A4, TANGLE = map(NodeId, (*STREET_HOMES, "tangle1"))


@pytest.fixture
def street(tmp_path: Path) -> Cluster:
    return Cluster(init_street(tmp_path))


def told(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["cluster", *words])
    return result.exit_code, result.stdout, result.stderr


# ------------------------------------------------------------------------------------------------------ names, groups


def test_nodes_are_named_by_their_names_or_their_chain(street):
    assert street.names == STREET_NODES
    assert street.named(["a3", "street", "a3"]) == [A3, A1, A2, A4]
    with pytest.raises(ConfigurationError) as caught:
        street.named(["a9", "a1", "b1"])
    assert [str(problem).split(":")[0] for problem in caught.value.problems] == ["a9", "b1"]


@pytest.mark.parametrize(
    "words",
    [["a1,a2 | a3,a4"], ["a1,a2", "a3,a4"], ["a1 , a2|a3,a4"], ["a1,", "a2", "|", "a3,a4"], ["a1,a2|", "a3,a4"]],
)
def test_groups_stand_between_bars_or_are_arguments(street, words):
    assert groups_of(street, words) == [[A1, A2], [A3, A4]]


def test_one_group_is_parted_from_all_others_and_none_means_all_links(street):
    assert groups_of(street, ["a1,a2"]) == [[A1, A2], [TANGLE, A3, A4]]
    assert len(list(pairs_between(street, groups_of(street, ["a1,a2"])))) == 12
    assert groups_of(street, []) == []
    pairs = list(pairs_between(street, []))
    assert len(pairs) == len(set(pairs)) == 20
    with pytest.raises(ConfigurationError, match="one group only"):
        groups_of(street, ["a1,a2", "a2,a3"])


def test_only_links_that_are_there_are_changed_in_both_directions(street):
    assert list(pairs_between(street, [[A1], [A2], [A3]])) == [
        (A1, A2), (A2, A1), (A1, A3), (A3, A1), (A2, A3), (A3, A2),
    ]  # fmt: skip


# -------------------------------------------------------------------------------------------------------------- links


def test_a_new_wish_of_a_kind_takes_the_place_of_the_former_one_and_leaves_the_others(street):
    links = Links({(A1, A2): LinkWish(cut=True, delay=5), (A2, A3): LinkWish(cut=True)})
    import msgspec

    changed = links.changed([(A3, A4)], lambda wish, chosen: msgspec.structs.replace(wish, cut=chosen))
    assert changed.wishes == {(A1, A2): LinkWish(delay=5), (A3, A4): LinkWish(cut=True)}
    assert changed.of(A1) == {"links": {"a2": {"cut": False, "delayUs": 5, "loss": 0.0}}}
    assert changed.of(A4) == {"links": {}}
    assert links.changed([], lambda wish, chosen: GOOD).wishes == {}


def test_what_is_wanted_of_links_survives_in_a_file_that_is_gone_when_all_are_good(street):
    assert read_links(street).wishes == {}
    links = Links({(A1, A2): LinkWish(True, 3, 0.5), (A2, A1): LinkWish(True, 3, 0.5)})
    write_links(street, links)
    assert read_links(street).wishes == links.wishes
    assert links.told() == ("1 link is cut", "1 link is delayed by 3us", "1 link is losing 0.5 of the frames")
    write_links(street, Links({}))
    assert not (street.folder / "links.json").exists()
    (street.folder / "links.json").write_text("[[1]]")
    with pytest.raises(ConfigurationError, match="heal"):
        read_links(street)


def test_a_fault_is_written_down_with_its_moment(street):
    street.record_fault("kill", [A1])
    street.record_fault("loss", [A1, A2], loss=0.25)
    first, second = map(json.loads, (street.folder / "faults.jsonl").read_text().splitlines())
    assert second["time_unix_us"] - second["at_us"] == street.files.epoch_us
    assert first["time_unix_us"] <= second["time_unix_us"]
    assert (first["fault"], first["nodes"]) == ("kill", ["a1"])
    assert (second["fault"], second["nodes"], second["loss"]) == ("loss", ["a1", "a2"], 0.25)


# --------------------------------------------------------------------------------------------------------- ports, lock


def test_a_port_that_somebody_has_taken_is_replaced_in_all_files_and_their_comments_stay(street):
    path = street.files.node_path(A1)
    path.write_text(path.read_text() + "# mine\n")
    before = dict(street.files.nodes)
    assert replace_taken_ports(street.files) == []
    with socket.socket() as taken:
        taken.bind(before[A1].listen)
        taken.listen()
        (note,) = replace_taken_ports(street.files)
        assert replace_taken_ports(street.files) == []
    assert note.endswith(f"{before[A1].listen} is in use")
    after = Cluster(street.folder).files.nodes
    assert after == street.files.nodes
    assert after[A1].listen != before[A1].listen
    assert after[A1].api == before[A1].api
    assert {after[node].peers["a1"] for node in STREET_NODES if node != "a1"} == {after[A1].listen}
    assert path.read_text().endswith("# mine\n")


def test_only_one_command_at_a_time_changes_a_cluster(street, monkeypatch):
    monkeypatch.setattr(cluster_module, "LOCK_WAIT", 0.1)
    with street.locked(), pytest.raises(ClusterFailed, match="another command"), Cluster(street.folder).locked():
        pass
    with street.locked():
        pass


# --------------------------------------------------------------------------------------------------------------- logs


def log(street: Cluster, node: str, *events: tuple[str, str], mode: str = "a") -> None:
    with street.log_path(NodeId(node)).open(mode) as file:
        for moment, event in events:
            file.write(json.dumps({"node": node, "event": event, "level": "info", "timestamp": moment, "k": 1}) + "\n")


def test_logs_are_merged_by_time_with_the_last_lines_of_each(street):
    log(street, "a1", ("2026-01-01T00:00:01.000000Z", "x"), ("2026-01-01T00:00:03.000000Z", "y"))
    log(street, "a2", ("2026-01-01T00:00:02.000000Z", "z"))
    lines = list(log_lines({node: street.log_path(node) for node in street.names}, 20, follow=False))
    assert [(line.node, json.loads(line.text)["event"]) for line in lines] == [("a1", "x"), ("a2", "z"), ("a1", "y")]
    code, output, _ = told("logs", str(street.folder), "a1", "-n", "1")
    assert (code, output) == (0, "00:00:03.000  a1  y  k=1\n")
    code, output, _ = told("logs", str(street.folder), "a2", "--json")
    assert json.loads(output)["event"] == "z"


def test_logs_are_followed_over_a_file_that_was_put_aside_and_a_torn_line(street):
    path = street.log_path(A1)
    log(street, "a1", ("2026-01-01T00:00:01.000000Z", "first"))
    lines = log_lines({A1: path}, 1, follow=True)
    assert "first" in next(lines).text
    log(street, "a1", ("2026-01-01T00:00:02.000000Z", "second"))
    assert "second" in next(lines).text
    path.rename(path.with_name("log.jsonl.1"))
    path.write_text("torn\n")
    assert next(lines).told() == "a1  torn"
    log(street, "a1", ("2026-01-01T00:00:03.000000Z", "third"))
    assert "third" in next(lines).text


def test_of_a_long_log_only_whole_lines_from_its_end_are_shown(street):
    path = street.log_path(A1)
    path.write_text("".join(f'{{"event": "{number:010}", "timestamp": "t"}}\n' for number in range(20_000)))
    lines = list(log_lines({A1: path}, 100_000, follow=False))
    assert [json.loads(line.text)["event"] for line in lines][-1] == "0000019999"
    assert len(lines) < 20_000


# ------------------------------------------------------------------------------------------------------ clean, refusals


def test_clean_removes_what_nodes_have_written_and_all_of_it_if_wanted_but_nothing_else(street):
    before = sorted(path for path in street.folder.rglob("*"))
    home = street.node_folder(A1)
    for name in ("store.db", "store.db-wal", "store.db.founded", "log.jsonl", "log.jsonl.1", "pid", "output.txt"):
        (home / name).touch()
    street.record_fault("kill", [A1])
    assert len(clean_cluster(street, everything=False)) == 8
    assert sorted(path for path in street.folder.rglob("*") if path.name != ".lock") == before
    (home / "notes.txt").write_text("mine")
    code, output, _ = told("clean", str(street.folder), "--all", "--json")
    assert code == 0 and "nodes/a1/secret.json" in json.loads(output)["removed"]
    assert [path for path in street.folder.rglob("*") if path.is_file()] == [home / "notes.txt"]


def test_nothing_is_left_of_a_folder_that_is_removed(street):
    clean_cluster(street, everything=True)
    assert not street.folder.exists()


def test_a_cluster_that_runs_is_not_cleaned(street):
    from node.live.node_process import identity_of

    identity = identity_of(os.getpid())
    assert identity is not None
    (street.node_folder(A1) / "pid").write_text(json.dumps({"pid": identity.pid, "begun": identity.begun}))
    code, _, errors = told("clean", str(street.folder))
    assert (code, errors) == (1, f"error: a1 run: tanglegrid cluster down {street.folder} comes first\n")
    (street.node_folder(A1) / "pid").unlink()


def test_commands_that_can_not_be_used_are_told_with_code_2(street, tmp_path):
    folder = str(street.folder)
    nowhere = told("status", str(tmp_path / "no"))
    assert nowhere[0] == 2 and nowhere[2].endswith(f"tanglegrid cluster init {tmp_path / 'no'} makes one\n")
    for words in (
        ["kill", folder, "a7"],
        ["kill", folder],
        ["partition", folder],
        ["partition", folder, "a1|a1"],
        ["delay", folder, "3"],
        ["delay", folder, "11m"],
        ["loss", folder, "1.5"],
        ["logs", folder, "x"],
    ):
        code, output, errors = told(*words)
        assert (code, output) == (2, ""), words
        assert "rror: " in errors


def test_a_cluster_that_is_down_tells_who_is_missing(street):
    code, output, errors = told("status", str(street.folder))
    assert (code, errors) == (0, "")
    assert "0 of 4 members are up, 3 are needed: a1 (down), a2 (down), a3 (down), a4 (down)" in output
    code, output, _ = told("status", str(street.folder), "--json")
    document = json.loads(output)
    assert not document["is_trading"]
    assert document["chains"][0] | {"stuck": ""} == {
        "name": "street", "height": None, "confirmed": None, "lag": None, "members": 4, "quorum": 3, "up": 0,
        "down": list(STREET_HOMES), "stuck": "",
    }  # fmt: skip
    assert [node["state"] for node in document["nodes"]] == ["down"] * 5
