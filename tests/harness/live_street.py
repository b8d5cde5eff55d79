"""The files of a small live cluster: one microgrid of four homes, one layer-1 node, a market that opens every minute."""

from __future__ import annotations

from pathlib import Path
from time import time_ns

from node.live.cluster_files import init_cluster

STREET = """\
[scenario]
name = "street"
crypto = "real"
intervals = 500
speed_up = 60

[data]
file = "readings.csv"

[market]
grid_charges = 18.9
grid_pays = 3.2
opening = "50s"
gate = "30s"
gate_step = "15s"
round_length = "5s"
rounds = 3
reading_grace = "15s"

[[chains]]
name = "street"
homes = ["a1", "a2", "a3", "a4"]

[ledger]
nodes = 1
pow = "ground"
pow_difficulty = 4
"""
_HEAD = (
    "a1.load_wh,a1.generation_wh,a2.load_wh,a2.generation_wh,a3.load_wh,a3.generation_wh,a4.load_wh,a4.generation_wh"
)
STREET_HOMES = ("a1", "a2", "a3", "a4")
STREET_NODES = ("tangle1", *STREET_HOMES)


def init_street(folder: Path) -> Path:
    """The cluster's folder, in this one."""
    (folder / "readings.csv").write_text(_HEAD + "\n200,3200,500,0,300,900,450,0" * 500 + "\n")
    path = folder / "street.toml"
    path.write_text(STREET)
    return init_cluster(folder / "demo", path, now_us=time_ns() // 1_000).folder
