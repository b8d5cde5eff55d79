"""Nodes as processes: they agree, stop when they are told to, and say in a sentence why they can't run."""

import json
import socket
from functools import partial
from pathlib import Path
from time import time_ns

import pytest
from click.testing import CliRunner

from ledger.kernel.instant import MINUTE
from node.cli import main
from node.live.cluster_files import init_cluster
from tests.harness.processes import running

STREET = """\
[scenario]
name = "street"
crypto = "real"
intervals = 1

[data]
file = "readings.csv"

[market]
grid_charges = 18.9
grid_pays = 3.2

[[chains]]
name = "street"
homes = ["a1", "a2", "a3", "a4"]

[ledger]
nodes = 1
pow = "ground"
pow_difficulty = 6
"""
READINGS = """\
a1.load_wh,a1.generation_wh,a2.load_wh,a2.generation_wh,a3.load_wh,a3.generation_wh,a4.load_wh,a4.generation_wh
200,3200,500,0,300,900,450,0
"""
HOMES = ("a1", "a2", "a3", "a4")
OPENED: int = 41 * MINUTE
"""The first market of an hour opens 20 minutes before delivery."""


@pytest.fixture
def nodes(tmp_path: Path) -> Path:
    """The nodes' folder of a cluster whose first market is open."""
    (tmp_path / "readings.csv").write_text(READINGS)
    path = tmp_path / "street.toml"
    path.write_text(STREET)
    return init_cluster(tmp_path / "demo", path, now_us=time_ns() // 1_000 - OPENED).folder / "nodes"


def test_four_homes_and_a_layer_1_node_confirm_their_first_anchor_stop_and_start_again(nodes: Path):
    with running(*(nodes / name for name in ("tangle1", *HOMES))) as processes:
        for process in processes[1:]:
            process.wait_for(partial(process.events, "chain_block_confirmed"))
        assert {process.events("chain_block_confirmed")[0]["index"] for process in processes[1:]} == {1}
        assert sum(process.events("chain_block_anchored")[0]["requests"] for process in processes[1:]) > 0
        assert not [fault for process in processes for fault in process.events("fault")]
        for process in processes:
            process.terminate()
        assert [process.ended() for process in processes] == [(0, "", "")] * 5
    with running(nodes / "a1") as (again,):
        again.wait_for(lambda: len(again.events("running")) == 2)
        first, second = again.events("running")
        assert second["incarnation"] > first["incarnation"]
        assert (first["records"], second["records"] > 0) == (0, True)
        again.terminate()
        assert again.ended() == (0, "", "")
    assert len(again.events("stopped")) == 2


def test_a_second_process_of_a_node_is_refused_and_the_first_goes_on(nodes: Path):
    with running(nodes / "a1") as (first,):
        first.wait_for(lambda: bool(first.events("running")))
        with running(nodes / "a1") as (second,):
            code, output, errors = second.ended()
        assert (code, output, errors.count("\n")) == (2, "", 1)
        assert errors.startswith(f"error: {nodes / 'a1' / 'store.db'}: the store is in use by ")
        first.terminate()
        assert first.ended() == (0, "", "")


@pytest.mark.parametrize(("field", "what"), [("api", "the API"), ("listen", "peering")])
def test_an_address_that_is_taken_is_told(nodes: Path, field: str, what: str):
    path = nodes / "a1" / "node.toml"
    address = next(line for line in path.read_text().splitlines() if line.startswith(f"{field} = ")).split('"')[1]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(address.rpartition(":")[2])))
        taken.listen()
        with running(nodes / "a1") as (process,):
            code, output, errors = process.ended()
    assert (code, output, errors.count("\n")) == (1, "", 1)
    assert errors.startswith(f"error: {address}: {what} can't listen there: ")
    assert process.events("down")[0]["code"] == 1


def test_a_node_waits_for_the_epoch_and_can_be_stopped_meanwhile(nodes: Path):
    cluster = nodes.parent / "cluster.toml"
    cluster.write_text('scenario = "scenario.toml"\nepoch = 2999-01-01T00:00:00Z\n')
    with running(nodes / "a1") as (process,):
        process.wait_for(lambda: bool(process.events("waiting_for_epoch")))
        process.terminate()
        assert process.ended() == (0, "", "")
    assert not process.events("running")


def refused(folder: Path) -> str:
    """What ``tanglegrid node`` says when it does not start, with code 2, in this process."""
    result = CliRunner().invoke(main, ["node", "--config", str(folder / "node.toml")])
    assert (result.exit_code, result.stdout) == (2, "")
    return result.stderr


def test_files_that_can_not_be_used_are_told(nodes: Path):
    folder = nodes / "a1"
    assert refused(nodes / "a9") == f"error: {nodes / 'a9' / 'node.toml'}: can't be read: No such file or directory\n"
    (folder / "node.toml").write_text((folder / "node.toml").read_text().replace('api = "127', 'api = "here 127'))
    assert refused(folder).startswith(f"error: {folder / 'node.toml'}:6: api: expected an address and a port")


def test_a_damaged_a_foreign_and_a_missing_store_are_told_with_what_to_do(nodes: Path):
    folder = nodes / "a1"
    store = folder / "store.db"
    store.write_bytes(b"nothing of the kind" * 500)
    assert refused(folder).startswith(f"error: {store}: ")
    assert "found a new store" in refused(folder)
    store.unlink()
    (folder / "store.db.founded").touch()
    assert refused(folder).startswith(f"error: {store}: the node's store is missing. Put it back")
    (down,) = [
        line
        for line in map(json.loads, (folder / "log.jsonl").read_text().splitlines()[-1:])
        if line["event"] == "down"
    ]
    assert (down["code"], down["why"].startswith(str(store))) == (2, True)


def test_a_log_that_can_not_be_opened_is_told(nodes: Path):
    (nodes / "a1" / "log.jsonl").mkdir()
    assert refused(nodes / "a1") == f"error: {nodes / 'a1' / 'log.jsonl'}: the log can't be written: Is a directory\n"


def test_the_command_line_knows_nodes_by_their_files_only():
    result = CliRunner().invoke(main, ["node"])
    assert result.exit_code == 2 and "Missing option '--config'" in result.stderr
