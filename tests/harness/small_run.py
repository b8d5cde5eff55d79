"""A small scenario: two microgrids of four homes and their parent chain, a few rows of made-up readings, one interval."""

from pathlib import Path

from node.configuration_file import load_configuration
from node.experiments.run import Outcome, run_scenario

SMALL = """\
[scenario]
name = "small"
seed = 1
intervals = 1

[data]
file = "readings.csv"
forecast_error = 0.1

[market]
grid_charges = 18.9
grid_pays = 3.2
rounds = 2

[[chains]]
name = "north"
parent = "town"
homes = ["a1", "a2", "a3", "a4"]

[[chains]]
name = "south"
parent = "town"
homes = ["b1", "b2", "b3", "b4"]

[[chains]]
name = "town"

[ledger]
nodes = 4
"""
HOMES = ("a1", "a2", "a3", "a4", "b1", "b2", "b3", "b4")
READINGS = """\
a1.load_wh,a1.generation_wh,a2.load_wh,a2.generation_wh,a3.load_wh,a3.generation_wh,a4.load_wh,a4.generation_wh,\
b1.load_wh,b1.generation_wh,b2.load_wh,b2.generation_wh,b3.load_wh,b3.generation_wh,b4.load_wh,b4.generation_wh
200,3200,500,0,300,900,450,0,900,0,400,650,700,0,1600,0
250,2900,480,20,310,800,500,0,950,0,420,600,720,30,1500,0
300,100,510,10,350,50,520,0,880,0,430,20,690,10,1400,2100
280,90,530,0,340,30,490,0,910,10,410,10,680,0,1450,2500
"""
NORTH, SOUTH = HOMES[:4], HOMES[4:]


def write_small(folder: Path, more: str = "") -> Path:
    """The configuration's path; ``more`` is appended to it."""
    (folder / "readings.csv").write_text(READINGS)
    path = folder / "small.toml"
    path.write_text(SMALL + more)
    return path


def run_small(folder: Path, *overrides: str, more: str = "", seed: int | None = None) -> Outcome:
    """The scenario with some fields overridden, run to its end."""
    path = write_small(folder, more)
    return run_scenario(load_configuration(path, overrides, seed), path.parent)


def crash(at: str, *nodes: str) -> str:
    """Some TOML: hosts that stop."""
    return _fault(at, "crash", nodes)


def restart(at: str, *nodes: str) -> str:
    """Some TOML: hosts that start again."""
    return _fault(at, "restart", nodes)


def _fault(at: str, kind: str, nodes: tuple[str, ...]) -> str:
    return f'\n[[faults]]\nat = "{at}"\nkind = "{kind}"\nnodes = {list(nodes)}\n'
