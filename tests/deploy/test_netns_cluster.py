"""A real cluster, every node in a network namespace of its own, through pulled cables, a partition and a kill.

What happens beside the nodes is in ``cables_pulled.py``; its conditions are that all four members come as far.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from time import time_ns

import pytest

from ledger.kernel.instant import SECOND
from node.live.cluster_files import ClusterFolder, init_cluster
from tests.harness.deployment import NETNS, needs_namespaces

HERE = Path(__file__).parent
REASON = needs_namespaces()


@pytest.mark.skipif(bool(REASON), reason=REASON)
def test_a_chain_goes_on_without_one_member_stops_without_two_and_all_have_the_same_blocks_in_the_end(tmp_path: Path):
    folder = tmp_path / "cluster"
    now_us = time_ns() // 1_000
    init_cluster(folder, HERE / "namespaces.toml", surrounding="netns", now_us=now_us)
    ClusterFolder(folder).set_epoch(now_us - 56 * SECOND)  # the first market opens at once, not in a minute
    ran = subprocess.run(
        [NETNS, folder, sys.executable, HERE / "cables_pulled.py"],
        env=os.environ | {"TANGLEGRID": str(Path(sys.executable).with_name("tanglegrid"))},
        capture_output=True,
        text=True,
        check=False,
    )
    output = {path.parent.name: path.read_text() for path in folder.glob("nodes/*/output.txt")}
    assert ran.returncode == 0, f"{ran.stderr}\n{output}"
    told = json.loads(ran.stdout)
    assert told["height"] > 5
    assert told == {
        "unplugged, from outside": None,
        "stuck": "the committee lacks a quorum: 2 of 4 members are there, 3 are needed, home1, home2 missing",
        "blocks while parted": 0,
        "the same blocks": True,
        "starts": [1, 2, 1, 1],
        "height": told["height"],
    }
    assert set(output.values()) == {""}
