"""Studies: what a file says, in which order it is run, how often; and all that is wrong with it, told at once."""

import re
from pathlib import Path

import pytest

from node.configuration import ConfigurationError
from node.experiments.committee_cells import PARAMETERS, cells_of, expected_work
from node.experiments.study import meets
from node.experiments.study_file import open_study
from node.shipped import shipped
from node.simulated.delay_tables import delay_table
from wasp.consensus.protocols import PROTOCOLS

GOOD = """\
[study]
name = "good"
seeds = 3

[fixed]
blocks = 1
map = "near"

[sweep]
protocol = ["wasp", "pbft"]
nodes = [4, 7]
silent = [0, "f"]

[maps.near]
model = "constant"
delay = "5ms"
"""


@pytest.fixture
def study(tmp_path):
    """Opens a study with this text; overrides as of --set."""

    def opened(text, *overrides):
        (tmp_path / "study.toml").write_text(text)
        return open_study(tmp_path / "study.toml", overrides)

    return opened


@pytest.fixture
def problems(study, tmp_path):
    """What is told of a text that is no good study, without the folder."""

    def found(text, *overrides):
        with pytest.raises(ConfigurationError) as error:
            study(text, *overrides)
        return [str(problem).removeprefix(f"{tmp_path}/") for problem in error.value.problems]

    return found


def told(cells):
    return [(cell.options.protocol, cell.options.nodes, cell.options.silent, cell.options.seed) for cell in cells]


def test_cells_are_the_cross_product_in_the_order_of_the_file_with_the_seed_varying_fastest(study):
    cells = cells_of(study(GOOD), Path())
    assert [cell.number for cell in cells] == list(range(24))
    assert told(cells) == [
        (protocol, nodes, silent, seed)
        for protocol in ("wasp", "pbft")
        for nodes, f in ((4, 1), (7, 2))
        for silent in (0, f)
        for seed in (1, 2, 3)
    ]
    assert {cell.options.network.delay for cell in cells} == {5_000}
    assert len({cell.digest for cell in cells}) == 24


def test_a_cell_knows_every_parameter_by_its_value(study):
    cell = cells_of(study(GOOD, "fixed.rate=20", "fixed.cpu=laptop", "fixed.disk=false"), Path())[3]
    assert cell.point == {
        "protocol": "wasp", "nodes": 4, "silent": 1, "map": "near", "cpu": "laptop", "disk": "off", "timers": "2s",
        "crypto": "model", "blocks": 1, "batch": 100, "payload": 50, "rate": 20.0,
    }  # fmt: skip
    assert cell.options.hardware.cpu and not cell.options.hardware.has_disk


@pytest.mark.parametrize(
    ("when", "seeds", "runs"),
    [
        ('{ nodes = ">= 7" }', 1, {(4, 0): 3, (4, 1): 3, (7, 0): 1, (7, 2): 1}),
        ("{ nodes = 7, silent = 0 }", 2, {(4, 0): 3, (4, 1): 3, (7, 0): 2, (7, 2): 3}),
        ('{ silent = "f" }', 0, {(4, 0): 3, (7, 0): 3}),
        ('{ nodes = ["< 5", 7] }', 1, {(4, 0): 1, (4, 1): 1, (7, 0): 1, (7, 2): 1}),
        ("{ nodes = [4, 7] }", 9, {(4, 0): 3, (4, 1): 3, (7, 0): 3, (7, 2): 3}),
    ],
)
def test_a_limit_takes_away_runs_where_all_its_conditions_hold(study, when, seeds, runs):
    limited = study(f"{GOOD}\n[[limits]]\nwhen = {when}\nseeds = {seeds}\n", "sweep.protocol=['pbft']")
    cells = cells_of(limited, Path())
    assert {key: sum((n, k) == key for _, n, k, _ in told(cells)) for key in runs} == runs
    assert len(cells) == sum(runs.values())


def test_of_two_limits_the_smaller_one_counts_whatever_their_order(study):
    limits = ["[[limits]]\nwhen = { nodes = 7 }\nseeds = 1\n", '[[limits]]\nwhen = { nodes = "> 4" }\nseeds = 2\n']
    for text in (limits, limits[::-1]):
        cells = cells_of(study(GOOD + "".join(text)), Path())
        assert sum(cell.options.nodes == 7 for cell in cells) == 4


@pytest.mark.parametrize(
    ("value", "condition", "holds"),
    [(31, "> 31", False), (32, "> 31", True), (31, ">=31", True), (31, "<= 31", True), (31, "< 31", False),
     ("f", "> 1", False), ("f", "f", True), (4, [7, 4], True), (4, [7], False), (4, 5, False), (0.5, "< 1.5", True)],
)  # fmt: skip
def test_conditions(value, condition, holds):
    assert meets(value, condition) is holds


def test_equal_cells_are_run_once(study):
    text = GOOD.replace('silent = [0, "f"]', 'silent = [1, "f"]')
    assert told(cells_of(study(text), Path()))[:6] == [
        ("wasp", 4, 1, 1), ("wasp", 4, 1, 2), ("wasp", 4, 1, 3), ("wasp", 7, 1, 1), ("wasp", 7, 1, 2), ("wasp", 7, 1, 3)
    ]  # fmt: skip


def test_a_cell_is_another_one_when_the_file_of_its_machine_says_something_else(study, tmp_path):
    profile = tmp_path / "mine.toml"
    profile.write_text(shipped("hardware", "laptop.toml").read_text())
    digests = []
    for _ in range(2):
        digests.append({cell.digest for cell in cells_of(study(GOOD, "fixed.cpu=mine.toml"), tmp_path)})
        profile.write_text(profile.read_text().replace("sign = { us = ", "sign = { us = 1"))
    assert not digests[0] & digests[1]


def test_protocols_with_and_without_a_leader_are_expected_to_take_work_of_their_own_power(study):
    work = {
        (cell.options.protocol, cell.options.nodes): expected_work(cell.options)
        for cell in cells_of(study(GOOD), Path())
    }
    large = study(GOOD, "sweep.nodes=[8,16]", "sweep.silent=[0]")
    work = {
        (cell.options.protocol, cell.options.nodes): expected_work(cell.options) for cell in cells_of(large, Path())
    }
    assert work["wasp", 16] == 8 * work["wasp", 8]
    assert work["pbft", 16] == 4 * work["pbft", 8]
    assert work["pbft", 8] < work["wasp", 8]


# ---------------------------------------------------------------------------------------------------------- what is wrong


def test_all_that_is_wrong_with_values_is_told_at_once_with_its_line(problems):
    text = """\
[study]
name = "bad"

[fixed]
map = "mars"
silent = "half"
disk = "yes"
seed = 4

[sweep]
protocol = ["wasp", "dice"]
nodes = [4,
         0, 4]
map = ["near"]
cpu = ["abacus", 3]
rate = [true]
blocks = []

[maps.near]
model = "matrix"
matrix = "nowhere"

[[limits]]
when = { nodes = "few", batch = 3 }
seeds = 1
"""
    given = "map, silent, disk, seed, protocol, nodes, cpu, rate, blocks"
    profiles = "cloud-core, laptop, raspberry-pi-4, and files that end in .toml"
    tables = "aws-regions, lan, microgrid, and files that end in .csv"
    assert problems(text) == [
        f"study.toml:8: fixed.seed: is no parameter: expected one of {', '.join(PARAMETERS)}",
        "study.toml:13: sweep.nodes[2]: 4 stands twice",
        "study.toml:14: sweep.map: is fixed already: expected in one of [fixed] and [sweep]",
        "study.toml:17: sweep.blocks: expected a list with at least one value",
        f"study.toml:24: limits[0].when.batch: is not given: expected one of {given}",
        "study.toml:5: fixed.map: expected the name of a table [maps.NAME] (near), not 'mars'",
        "study.toml:6: fixed.silent: expected a number, or \"f\", not 'half'",
        "study.toml:7: fixed.disk: expected true or false, not 'yes'",
        f"study.toml:11: sweep.protocol[1]: expected one of {', '.join(PROTOCOLS)}, not 'dice'",
        "study.toml:13: sweep.nodes[1]: expected at least 1, not 0",
        f"study.toml:15: sweep.cpu[0]: no profile is named 'abacus'; known are {profiles}",
        'study.toml:15: sweep.cpu[1]: expected "off" or a hardware profile, not 3',
        "study.toml:16: sweep.rate[0]: expected a valid number, not True",
        "study.toml:24: limits[0].when.nodes: expected a whole number, not 'few'",
        f"study.toml:21: maps.near.matrix: no table is named 'nowhere'; known are {tables}",
    ]  # fmt: skip


def test_all_that_is_wrong_with_tables_is_told_at_once_with_its_line(problems):
    text = """\
[study]
seeds = 0
kind = "weather"

[sweep]
nodes = 4

[maps.near]
dealy = "5ms"

[[limits]]
when = { nodes = 4 }

[more]
"""
    assert problems(text) == [
        "study.toml:1: study.name: is missing: expected a value",
        "study.toml:3: study.kind: expected 'consensus', not 'weather'",
        "study.toml:2: study.seeds: expected at least 1, not 0",
        "study.toml:6: sweep.nodes: expected a list in brackets, not 4",
        "study.toml:9: maps.near.dealy: is no field: did you mean 'delay'?",
        "study.toml:11: limits[0].seeds: is missing: expected a value",
        "study.toml:14: more: is no field: expected one of study, fixed, sweep, maps, limits",
    ]


def test_values_are_looked_at_although_another_table_is_wrong(problems):
    text = '[study]\nnmae = "x"\n[sweep]\nnodes = [0]\n'
    assert problems(text) == [
        "study.toml:2: study.nmae: is no field: did you mean 'name'?",
        "study.toml:4: sweep.nodes[0]: expected at least 1, not 0",
    ]


def test_a_study_needs_its_name(problems):
    assert problems("[sweep]\nnodes = [4]\n") == ['study.toml:1: [study] with name = "..." is missing']


def test_what_does_not_fit_together_is_told_once_where_it_stands(problems):
    assert problems(GOOD.replace('silent = [0, "f"]', "silent = [0, 4]")) == [
        "study.toml:12: sweep.silent: expected fewer than the 4 nodes, not 4"
    ]
    assert problems(GOOD, "fixed.rate=5", "fixed.batch=0") == [
        "--set fixed.batch: expected at least 1 with a rate, not 0: no request would ever be decided"
    ]


def test_a_study_of_nothing_is_refused(problems):
    assert problems(GOOD + '[[limits]]\nwhen = { nodes = "> 1" }\nseeds = 0\n') == [
        "study.toml:17: limits[0]: the limits leave nothing to run"
    ]


def test_a_placement_is_checked_for_the_largest_committee(problems):
    text = (
        GOOD
        + '[maps.far]\nmodel = "matrix"\nmatrix = "aws-regions"\nplacement = ["Tokyo", "Seoul", "Mumbai", "Paris"]\n'
    )
    regions = ", ".join(delay_table("aws-regions").regions)
    assert problems(text) == [f"study.toml:20: maps.far.placement: n3 is in 'Paris'; one of {regions} expected"]


def test_overrides_are_laid_over_the_file(study, problems):
    assert study(GOOD, "sweep.nodes=[10]", "study.seeds=1").sweep["nodes"] == (10,)
    assert problems(GOOD, "sweep.nodes=[0]") == ["--set sweep.nodes: sweep.nodes[0]: expected at least 1, not 0"]
    assert problems(GOOD, "nodes") == ["--set nodes: expected key=value, such as market.rounds=5"]


# ---------------------------------------------------------------------------------------------------------- what comes along


@pytest.mark.parametrize("path", sorted(shipped("studies").glob("*.toml")), ids=lambda path: path.stem)
def test_every_study_that_comes_along_can_be_run(path):
    study = open_study(path)
    assert study.study.name == path.stem
    assert cells_of(study, path.parent)


def test_the_study_that_the_front_page_shows_can_be_run(study):
    readme = (Path(__file__).parents[3] / "README.md").read_text()
    (text,) = [block for block in re.findall("```toml\n(.*?)```", readme, re.DOTALL) if "[study]" in block]
    cells = cells_of(study(text), Path())
    assert len(cells) == 2 * 2 * 2 * 2 * (10 + 10 + 3)


def test_the_study_of_latency_against_size_covers_what_it_is_about():
    cells = cells_of(open_study(shipped("studies", "latency-vs-committee-size.toml")), Path())
    points = {(cell.options.nodes, cell.point["map"], cell.options.silent > 0, cell.point["cpu"]) for cell in cells}
    sizes = (4, 7, 10, 13, 16, 22, 31, 64, 100)
    assert points == {
        (nodes, name, silent, cpu)
        for nodes in sizes
        for name in ("lan", "europe-us", "world")
        for silent in (False, True)
        for cpu in ("cloud-core", "off")
    }
    assert {cell.options.blocks for cell in cells} == {2}
    main = [cell for cell in cells if cell.point["map"] == "world" and cell.point["cpu"] == "cloud-core"]
    seeds = {nodes: sum(key[:3] == ("wasp", nodes, 0) for key in told(main)) for nodes in sizes}
    assert seeds == {nodes: 3 if nodes >= 64 else 10 for nodes in sizes}
