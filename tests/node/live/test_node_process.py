"""Processes known by a file: none is taken for another, none is left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from node.live.node_process import NodeProcess, end_processes, identity_of, kill_processes, pause_processes

NEVER_ENDS = "import signal; signal.pause()"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"


@contextmanager
def adopted(folder: Path, program: str = NEVER_ENDS) -> Iterator[NodeProcess]:
    """Some other program, written down as the process of the folder's node."""
    child = subprocess.Popen([sys.executable, "-c", f"print('on', flush=True)\n{program}"], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    if program == DEAF:
        child.stdout.readline()
    identity = identity_of(child.pid)
    assert identity is not None
    (folder / "pid").write_text(json.dumps({"pid": identity.pid, "begun": identity.begun}))
    try:
        yield NodeProcess(folder, folder / "node.toml")
    finally:
        child.kill()
        child.communicate()


def test_who_was_never_started_is_down(tmp_path):
    process = NodeProcess(tmp_path, tmp_path / "node.toml")
    assert (process.state, process.is_alive, process.pid, process.memory, process.last_words) == (
        "down", False, None, None, "",
    )  # fmt: skip
    assert not process.send(signal.SIGTERM)
    end_processes([process], 0.0)
    assert process.state == "down"


def test_a_process_is_paused_goes_on_and_ends_and_then_it_is_forgotten(tmp_path):
    with adopted(tmp_path) as process:
        assert process.state == "running"
        assert process.memory is not None and process.memory > 1_000_000
        assert pause_processes([process]) == [process]
        assert (process.state, process.is_alive) == ("paused", True)
        assert pause_processes([process]) == []
        process.send(signal.SIGCONT)
        while process.state == "paused":
            time.sleep(0.01)
        assert pause_processes([process]) == [process]
        assert end_processes([process], 30.0) == []
        assert process.state == "down"
        assert list(tmp_path.iterdir()) == []


def test_who_does_not_stop_is_killed(tmp_path):
    with adopted(tmp_path, DEAF) as process:
        assert end_processes([process], 0.1) == [process]
        assert process.state == "down"


def test_what_ended_without_being_told_to_has_died_also_while_nobody_has_collected_it(tmp_path):
    with adopted(tmp_path) as process:
        pid = process.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # it has ended, and is not collected
        assert process.state == "died"
        assert not process.send(signal.SIGTERM)


def test_a_later_process_with_the_same_pid_is_not_ours_and_gets_no_signal(tmp_path):
    identity = identity_of(os.getpid())
    assert identity is not None and identity == identity_of(os.getpid())
    (tmp_path / "pid").write_text(json.dumps({"pid": identity.pid, "begun": f"{identity.begun}0"}))
    process = NodeProcess(tmp_path, tmp_path / "node.toml")
    assert (process.state, process.pid) == ("died", None)
    kill_processes([process])
    assert process.state == "down"


@pytest.mark.parametrize("torn", ["", "{", '{"pid": 3}', "[]", '{"pid": "x", "begun": ""}'])
def test_a_torn_file_is_no_process(tmp_path, torn):
    (tmp_path / "pid").write_text(torn)
    assert NodeProcess(tmp_path, tmp_path / "node.toml").state == "down"


def test_a_node_that_can_not_run_leaves_its_last_words(tmp_path):
    process = NodeProcess(tmp_path, tmp_path / "node.toml")
    process.start()
    pid = json.loads((tmp_path / "pid").read_text())["pid"]
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert process.state == "died"
    assert process.last_words == f"error: {tmp_path / 'node.toml'}: can't be read: No such file or directory"
