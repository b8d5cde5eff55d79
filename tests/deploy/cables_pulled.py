"""What the test of a cluster across network namespaces runs beside its nodes: it pulls cables, and tells how things stand.

Needs nothing but Python. Writes one JSON object; a condition that does not come about ends it with what was waited for.
"""

import json
import os
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

CLUSTER = Path(os.environ["CLUSTER"])
HOMES = ("home1", "home2", "home3", "home4")
CHAIN = "mg1"
PATIENCE = 120
"""Seconds that a condition has to come about."""


def asked(node: str, path: str) -> Any:
    """What the node's API answers; nothing, when it does not."""
    home = CLUSTER / "nodes" / node
    address = tomllib.loads((home / "node.toml").read_text())["api"]
    token = json.loads((home / "secret.json").read_text())["api_token"]
    question = urllib.request.Request(f"http://{address}{path}", headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(question, timeout=5) as answer:
            return json.load(answer)
    except OSError:
        return None


def chain(node: str) -> Any:
    """How the chain stands, by this node."""
    return asked(node, f"/v1/chains/{CHAIN}")


def confirmed(node: str) -> int:
    """The index of the last chain block that the node knows to be confirmed; -1 when it does not answer."""
    stands = chain(node)
    return -1 if stands is None else int(stands["confirmed"]["stateIndex"])


def connected(node: str) -> int:
    """So many members of the chain this one has connections to, itself included."""
    committee = asked(node, f"/v1/chains/{CHAIN}/committee")
    return -1 if committee is None else int(committee["connected"])


def starts(node: str) -> int:
    """How often the node was started, by its log."""
    log = (CLUSTER / "nodes" / node / "log.jsonl").read_text()
    return sum(json.loads(line)["event"] == "running" for line in log.splitlines())


def wait_for(what: str, holds: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > until:
            stands = {node: chain(node) for node in HOMES}
            sys.exit(f"{what}: has not come about; {json.dumps(stands)}")
        time.sleep(0.2)


def wait_for_height(nodes: tuple[str, ...], height: int) -> None:
    wait_for(f"{nodes} confirm chain block {height}", lambda: all(confirmed(node) >= height for node in nodes))


def cluster(*words: str) -> None:
    subprocess.run(["cluster.sh", *words], check=True)


def main() -> None:
    told: dict[str, Any] = {}
    wait_for_height(HOMES, 1)

    cluster("unplug", "home4", "tangle4")
    height = confirmed("home1")
    wait_for_height(("home1", "home2", "home3"), height + 3)
    told["unplugged, from outside"] = chain("home4")
    cluster("heal")
    wait_for_height(("home4",), height + 3)

    cluster("partition", "home1", "home2")
    wait_for("two members miss the others", lambda: connected("home3") == 2)
    parted = chain("home3")["active"]["stateIndex"]
    wait_for("home3 says why its chain is stuck", lambda: chain("home3")["stuck"] is not None)
    told["stuck"] = chain("home3")["stuck"]
    told["blocks while parted"] = chain("home3")["active"]["stateIndex"] - parted
    cluster("heal")
    wait_for_height(HOMES, parted + 2)

    cluster("kill", "home2")
    height = confirmed("home1")
    wait_for_height(("home1", "home3", "home4"), height + 2)
    cluster("start", "home2")
    wait_for_height(("home2",), height + 2)

    blocks = [
        [asked(node, f"/v1/chains/{CHAIN}/core/blocklog/blocks/{i}") for i in range(1, height + 3)] for node in HOMES
    ]
    told["height"] = height + 2
    told["the same blocks"] = all(block == blocks[0] and None not in block for block in blocks)
    told["starts"] = [starts(node) for node in HOMES]
    sys.stdout.write(json.dumps(told))


main()
