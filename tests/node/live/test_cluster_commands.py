"""A cluster of real processes, brought up once: nodes and links fail, the chain says why it is stuck, and goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from node.cli import main
from node.live.cluster import Cluster
from node.live.node_process import identity_of
from tests.harness.live_street import STREET_NODES, init_street

PATIENCE = 60.0
"""Seconds until a condition that should come soon is given up."""


class Street:
    """A running cluster, and its commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def told(self, *words: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(main, ["cluster", words[0], str(self.folder), *words[1:]])
        return result.exit_code, result.stdout, result.stderr

    def answer(self, *words: str) -> Any:
        code, output, errors = self.told(*words, "--json")
        assert code == 0, errors
        return json.loads(output)

    @property
    def chain(self) -> Any:
        return self.answer("status")["chains"][0]

    def pids(self) -> dict[str, int]:
        return {node["name"]: node["pid"] for node in self.answer("status")["nodes"]}

    def eventually(self, condition: Callable[[], bool]) -> None:
        give_up = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < give_up, self.told("status")
            time.sleep(0.1)

    def grows(self) -> None:
        """Wait until a further chain block is confirmed."""
        height = self.chain["confirmed"]
        self.eventually(lambda: self.chain["confirmed"] > height)


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    """Up and trading. No process is left behind."""
    street = Street(init_street(tmp_path_factory.mktemp("cluster")))
    try:
        document = street.answer("up")
        assert document["is_trading"] and document["started"] == list(STREET_NODES)
        assert [node["state"] for node in document["nodes"]] == ["running"] * 5
        yield street
    finally:
        pids = [pid for pid in street.pids().values() if pid]
        street.told("down", "--grace", "30")
        assert [pid for pid in pids if identity_of(pid) is not None] == []


def test_a_second_up_does_no_harm(street):
    before = street.pids()
    code, output, _ = street.told("up")
    assert code == 0
    assert "trading: 0 nodes started" in output
    assert f"tanglegrid cluster down {street.folder}" in output
    assert street.pids() == before


def test_with_one_member_killed_the_others_trade_and_up_starts_it_again(street):
    before = street.pids()
    assert street.answer("kill", "a4") == {"killed": ["a4"]}
    assert identity_of(before["a4"]) is None
    chain = street.chain
    assert (chain["up"], chain["down"], chain["stuck"]) == (3, ["a4"], None)
    assert street.answer("up")["started"] == ["a4"]
    after = street.pids()
    assert after.pop("a4") != before.pop("a4")
    assert after == before
    assert street.answer("kill", "a4", "a3")["killed"] == ["a4", "a3"]
    assert street.chain["stuck"].startswith("2 of 4 members are up, 3 are needed: a3 (down), a4 (down)")
    assert street.answer("restart", "a4", "a3")["started"] == ["a4", "a3"]
    street.eventually(lambda: street.chain["stuck"] is None)


def test_a_member_that_died_is_told_as_such(street):
    os.kill(street.pids()["a2"], signal.SIGKILL)
    street.eventually(lambda: "died" in [node["state"] for node in street.answer("status")["nodes"]])
    assert "a2: it ended without being told to: " in street.told("status")[1]
    assert street.answer("restart", "a2")["started"] == ["a2"]


def test_a_paused_member_is_told_and_goes_on(street):
    assert street.answer("pause", "a1", "a2") == {"paused": ["a1", "a2"]}
    chain = street.chain
    assert (chain["up"], chain["down"]) == (2, ["a1", "a2"])
    assert "a1 (paused), a2 (paused)" in chain["stuck"]
    assert street.answer("resume", "street") == {"resumed": ["a1", "a2"]}
    street.eventually(lambda: street.chain["stuck"] is None)
    street.grows()


def test_a_partition_makes_the_chain_stuck_until_it_heals_also_for_a_member_that_was_restarted_meanwhile(street):
    document = street.answer("partition", "a1,a2 | a3,a4")
    assert document == {"links": ["4 links are cut"], "untold": []}
    street.eventually(lambda: "lacks a quorum" in (street.chain["stuck"] or ""))
    street.answer("restart", "a1")
    status = street.answer("status")
    assert (status["faults"], status["chains"][0]["up"]) == (["4 links are cut"], 4)
    street.eventually(lambda: "lacks a quorum" in (street.chain["stuck"] or ""))
    assert street.answer("delay", "5ms")["links"] == ["4 links are cut", "10 links are delayed by 5ms"]
    assert "1 link is losing 0.1 of the frames" in street.answer("loss", "0.1", "a1", "a2")["links"]
    assert street.answer("heal") == {"untold": []}
    street.eventually(lambda: street.chain["stuck"] is None)
    street.grows()
    lines = (street.folder / "faults.jsonl").read_text().splitlines()
    assert [json.loads(line)["fault"] for line in lines][-5:] == ["partition", "restart", "delay", "loss", "heal"]


def test_without_layer_1_nothing_is_confirmed(street):
    street.answer("kill", "tangle1")
    assert street.chain["stuck"] == "no layer-1 node is up: nothing is confirmed"
    assert street.answer("restart", "tangle1")["started"] == ["tangle1"]
    assert street.chain["stuck"] is None


def test_all_are_stopped_and_what_was_confirmed_is_there_when_they_come_back(street):
    height = street.chain["confirmed"]
    pids = street.pids()
    assert street.answer("down") == {"stopped": list(STREET_NODES), "killed": []}
    assert [pid for pid in pids.values() if identity_of(pid) is not None] == []
    assert street.answer("down") == {"stopped": [], "killed": []}
    assert Cluster(street.folder).files.has_run
    document = street.answer("up")
    assert document["is_trading"]
    assert document["chains"][0]["confirmed"] >= height


def test_a_node_that_can_not_run_takes_those_with_it_that_were_started_with_it(tmp_path):
    street = Street(init_street(tmp_path))
    store = street.folder / "nodes" / "a1" / "store.db"
    store.write_bytes(b"nothing of the kind" * 500)
    code, output, errors = street.told("up")
    assert (code, output) == (1, "")
    assert f"error: a1 has ended: {store}: " in errors
    assert [node["state"] for node in street.answer("status")["nodes"]] == ["down"] * 5


def test_of_a_disposable_cluster_that_is_interrupted_nothing_is_left(tmp_path):
    folder = init_street(tmp_path)
    command = [sys.executable, "-m", "node", "cluster", "up", "-d", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as up:
        try:
            files = [folder / "nodes" / node / "pid" for node in STREET_NODES]
            while not all(path.exists() for path in files):
                assert up.poll() is None
                time.sleep(0.05)
            pids = [json.loads(path.read_text())["pid"] for path in files]
            up.send_signal(signal.SIGINT)
            output, errors = up.communicate(timeout=PATIENCE)
        finally:
            up.kill()
    assert (up.returncode, output) == (130, "")
    assert errors.endswith("error: interrupted; 0 nodes run\n")
    assert [pid for pid in pids if identity_of(pid) is not None] == []
    assert not folder.exists()
