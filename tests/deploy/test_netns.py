"""Nodes in network namespaces of their own: addresses, pulled cables, partitions; and nothing is left behind.

Here a node is a program that only says that it is ready: what is under test is the ground that nodes stand on.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.deployment import NETNS, needs_namespaces

NODE = """#!{python}
import http.server, sys, tomllib

with open(sys.argv[sys.argv.index("--config") + 1], "rb") as file:
    node = tomllib.load(file)
if node.get("broken"):
    sys.exit("the disk is on fire")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503 if node.get("waiting") else 200 if self.path == "/ready" else 404)
        self.end_headers()

    def log_message(self, *_): ...


address, _, port = node["api"].partition(":")
http.server.ThreadingHTTPServer((address, int(port)), Handler).serve_forever()
"""

REACH = """
import socket, sys
from concurrent.futures import ThreadPoolExecutor

def reached(address):
    try:
        socket.create_connection((address, 9090), timeout=1.5).close()
    except OSError:
        return False
    return True

others = dict(pair.split("=") for pair in sys.argv[2:])
with ThreadPoolExecutor() as pool:
    found = [name for name, there in zip(others, pool.map(reached, others.values())) if there]
print(sys.argv[1], "reaches", *found, flush=True)
"""
"""Prints which of the others it can connect to: ``a reaches b c``."""

ADDRESSES = {"a": "10.231.0.2", "b": "10.231.0.3", "c": "10.231.0.4"}


REASON = needs_namespaces()
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON)


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    """The folder of a cluster of three nodes, and beside it the program that is a node."""
    program = tmp_path / "node.py"
    program.write_text(NODE.format(python=sys.executable))
    program.chmod(0o755)
    for name, address in ADDRESSES.items():
        home = tmp_path / "cluster" / "nodes" / name
        home.mkdir(parents=True)
        (home / "node.toml").write_text(f'name = "{name}"\nlisten = "{address}:4000"\napi = "{address}:9090"\n')
    return tmp_path / "cluster"


def environment(cluster: Path) -> dict[str, str]:
    return os.environ | {"TANGLEGRID": str(cluster.parent / "node.py"), "READY_WITHIN": "60"}


def run(cluster: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run the command beside the nodes."""
    return subprocess.run(
        [NETNS, cluster, *command], env=environment(cluster), capture_output=True, text=True, check=False, timeout=120
    )


def reach(*nodes: str) -> str:
    """A shell's command that prints whom each of the nodes reaches, all asked at once."""
    others = {name: " ".join(f"{n}={a}" for n, a in ADDRESSES.items() if n != name) for name in nodes}
    asked = [f"ip netns exec {name} {sys.executable} -c '{REACH}' {name} {others[name]}" for name in nodes]
    return f"({' & '.join(asked)} & wait) | sort"


def processes_of(cluster: Path) -> list[int]:
    """The processes whose command line names the cluster or its program."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(cluster.parent) in words:
            found.append(int(place.name))
    return found


def traces() -> tuple[str, ...]:
    """What a script of this kind could leave: interfaces, folders where namespaces are named, mounts."""
    interfaces, named = Path("/sys/class/net"), Path("/run")
    places = [*interfaces.iterdir(), *named.iterdir(), *named.glob("netns/*")]
    return (*sorted(map(str, places)), Path("/proc/mounts").read_text())


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait for a condition, not for ever."""
    for _ in range(600):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError("it has not come about")


# ------------------------------------------------------------------------------------------------------ what it is for


def test_every_node_has_an_address_of_its_own_and_reaches_the_others(cluster: Path):
    """Also the command reaches them, from the switch."""
    here = f"{sys.executable} -c '{REACH}' here " + " ".join(f"{n}={a}" for n, a in ADDRESSES.items())
    ran = run(cluster, "bash", "-c", f"{reach('a', 'b', 'c')}; {here}")
    assert ran.stdout.splitlines() == ["a reaches b c", "b reaches a c", "c reaches a b", "here reaches a b c"], (
        ran.stderr
    )


def test_a_partition_parts_two_sides_until_it_is_healed(cluster: Path):
    parted = f"cluster.sh partition a b; {reach('a', 'b', 'c')}"
    ran = run(
        cluster, "bash", "-c", f"{parted}; cluster.sh partition a; {reach('b')}; cluster.sh heal; {reach('a', 'c')}"
    )
    assert ran.stdout.splitlines() == [
        "a reaches b",
        "b reaches a",
        "c reaches",
        "b reaches c",
        "a reaches b c",
        "c reaches a b",
    ], ran.stderr


def test_an_unplugged_node_reaches_nobody_until_it_is_plugged_in(cluster: Path):
    """It is told nothing: the connections of the others just fall silent."""
    ran = run(cluster, "bash", "-c", f"cluster.sh unplug b; {reach('a', 'b')}; cluster.sh plug b; {reach('a', 'b')}")
    assert ran.stdout.splitlines() == ["a reaches c", "b reaches", "a reaches b c", "b reaches a c"], ran.stderr


def test_healing_plugs_in_whatever_was_unplugged(cluster: Path):
    ran = run(cluster, "bash", "-c", f"cluster.sh unplug a b; cluster.sh heal; {reach('c')}")
    assert ran.stdout.splitlines() == ["c reaches a b"], ran.stderr


def test_a_killed_node_is_away_and_can_be_started_again(cluster: Path):
    ready = "until (exec 3<>/dev/tcp/10.231.0.3/9090) 2>/dev/null; do sleep 0.1; done"
    ran = run(cluster, "bash", "-c", f"cluster.sh kill b; {reach('a')}; cluster.sh start b; {ready}; {reach('a')}")
    assert ran.stdout.splitlines() == ["a reaches c", "a reaches b c"], ran.stderr


# -------------------------------------------------------------------------------------------------------- how it ends


def test_the_command_s_exit_code_is_the_script_s_and_nothing_is_left(cluster: Path):
    before = traces()
    ran = run(cluster, "bash", "-c", "exit 7")
    assert (ran.returncode, processes_of(cluster), traces()) == (7, [], before)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL, signal.SIGHUP])
def test_whatever_ends_the_script_nothing_is_left(cluster: Path, how: signal.Signals):
    before = traces()
    script = subprocess.Popen(
        [NETNS, cluster, "bash", "-c", "echo up; sleep 600"],
        env=environment(cluster),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert script.stdout is not None
    assert script.stdout.readline() == "up\n"
    assert len(processes_of(cluster)) > len(ADDRESSES)
    script.send_signal(how)
    assert script.wait(timeout=60) == -how
    wait_until(lambda: not processes_of(cluster))
    script.stdout.close()
    assert traces() == before


@pytest.mark.parametrize("waiting", [True, False], ids=["while nodes are not ready", "while the command runs"])
def test_an_interrupt_of_the_terminal_ends_it_and_nothing_is_left(cluster: Path, waiting: bool):
    """The terminal sends it to the script and to all that it has started."""
    for name in ADDRESSES:
        with (cluster / "nodes" / name / "node.toml").open("a") as file:
            file.write(f"waiting = {str(waiting).lower()}\n")
    script = subprocess.Popen(
        [NETNS, cluster, "bash", "-c", "echo up; sleep 600"],
        env=environment(cluster),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert script.stdout is not None
    if waiting:
        wait_until(lambda: len(processes_of(cluster)) > len(ADDRESSES))
    else:
        assert script.stdout.readline() == "up\n"
    os.killpg(script.pid, signal.SIGINT)
    assert script.wait(timeout=60) == 130
    wait_until(lambda: not processes_of(cluster))
    script.stdout.close()


def test_a_node_that_stops_is_told_with_its_last_words(cluster: Path):
    with (cluster / "nodes" / "b" / "node.toml").open("a") as file:
        file.write("broken = true\n")
    ran = run(cluster, "true")
    assert ran.returncode == 2
    assert ran.stderr.splitlines()[-1] == "error: b has stopped: the disk is on fire"


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("cluster.sh unplug d", "error: d: no such node here; there are: a b c"),
        ("cluster.sh partition", "error: expected the names of the nodes on one side"),
        ("cluster.sh start a", "error: a is running"),
        ("cluster.sh kill a; cluster.sh kill a", "error: a is not running"),
    ],
)
def test_what_can_t_be_done_is_told(cluster: Path, command: str, told: str):
    ran = run(cluster, "bash", "-c", command)
    assert (ran.returncode, ran.stderr.splitlines()[-1]) == (2, told)


def test_a_folder_that_can_t_be_used_is_told(cluster: Path, tmp_path: Path):
    """Without nodes; with addresses that all share; and a cable that is pulled where there is none."""
    outside = run(tmp_path, "true")
    assert (outside.returncode, "there is no folder nodes in it" in outside.stderr) == (2, True)
    (cluster / "nodes" / "a" / "node.toml").write_text('listen = "127.0.0.1:4000"\n')
    loopback = run(cluster, "true")
    assert (loopback.returncode, "with an address of its own" in loopback.stderr) == (2, True)
    nowhere = subprocess.run([NETNS, "heal"], capture_output=True, text=True, check=False)
    assert (nowhere.returncode, "for the command that runs beside the nodes" in nowhere.stderr) == (2, True)
