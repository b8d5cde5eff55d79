"""A configuration that can't be used is refused with file, line, field and expectation, everything at once."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.configuration import ConfigurationError, FieldProblem
from node.configuration_checks import RESERVED
from node.configuration_file import load_configuration, open_configuration
from node.experiments.scenario import SimulatedScenario
from tests.harness.small_run import HOMES, write_small

GOOD = """\
[scenario]
name = "example"

[data]
file = "readings.csv"

[market]
grid_charges = 18.9
grid_pays = 3.2

[[chains]]
name = "north"
parent = "town"
homes = ["a1", "a2", "a3", "a4"]

[[chains]]
name = "south"
parent = "town"
homes = [
    "b1",
    { name = "b2", data = "x" },
]

[[chains]]
name = "town"

[ledger]
nodes = 3

[network]
delay = "25ms"

[[faults]]
at = "1h"
kind = "crash"
nodes = ["a1", "tangle3"]
"""


@pytest.fixture
def problems_of(tmp_path):
    """What is told about a text, without the folder."""

    def problems(text, *overrides, seed=None):
        path = tmp_path / "x.toml"
        path.write_text(text)
        with pytest.raises(ConfigurationError) as raised:
            load_configuration(path, overrides, seed)
        return [str(problem).replace(f"{tmp_path}/", "") for problem in raised.value.problems]

    return problems


@pytest.fixture
def loaded(tmp_path):
    """The configuration of the good text under overrides."""

    def load(*overrides, seed=None, text=GOOD):
        path = tmp_path / "x.toml"
        path.write_text(text)
        return load_configuration(path, overrides, seed)

    return load


def test_the_good_text_is_read(loaded):
    configuration = loaded()
    assert [chain.name for chain in configuration.chains] == ["north", "south", "town"]
    assert configuration.network.delay == 25_000


def test_a_byte_order_mark_is_no_problem(loaded):
    assert loaded(text="\ufeff" + GOOD) == loaded()


# Each: what is replaced, by what, and all that is told about it.
FIELD_ERRORS = [
    ('name = "example"', "", ["x.toml:1: scenario.name: is missing: expected a value"]),
    ('name = "example"', 'name = "2 words"', [
        "x.toml:2: scenario.name: expected a name: a letter, then letters, digits, - or _, at most 32, not '2 words'"]),
    ('[data]\nfile = "readings.csv"', "", ['x.toml:1: [data] with file = "..." is missing']),
    ("nodes = 3", 'nodes = "many"', [
        "x.toml:28: ledger.nodes: expected a whole number, not 'many'",]),
    ("nodes = 3", "nodes = 0", ["x.toml:28: ledger.nodes: expected at least 1, not 0"]),
    ("nodes = 3", "nodes = 3\nnode = 4", [
        "x.toml:29: ledger.node: is no field: did you mean 'nodes'?"]),
    ('parent = "town"\nhomes = ["a1"', 'above = "town"\nhomes = ["a1"', [
        ("x.toml:13: chains[0].above: is no field: expected one of name, parent, homes, generation_shift, committee_size, "
        "offline")]),
    ('data = "x" }', 'dat = "x" }', [
        "x.toml:21: chains[1].homes[1].dat: is no field: did you mean 'data'?"]),
    ('"b1"', "17", [
        'x.toml:20: chains[1].homes[0]: expected a home\'s name or { name = "...", data = "..." }, not 17']),
    ('"25ms"', '"25"', [
        ("x.toml:31: network.delay: expected a duration such as \"90s\", \"1h30m\" or \"25ms\", not '25' "
        "(add a unit: d, h, m, s, ms or us)")]),
    ('"25ms"', '"100 ms"', [
        ("x.toml:31: network.delay: expected a duration such as \"90s\", \"1h30m\" or \"25ms\", not '100 ms' "
        "(no blanks: \"100ms\")")]),
    ("[network]", '[network]\ngrid = "0s"', ["x.toml:31: network.grid: expected a duration above zero, not '0s'"]),
    ("[network]", "[network]\nloss = 1.5", ["x.toml:31: network.loss: expected at most 1, not 1.5"]),
    ("[network]", "[network]\nloss = nan", ["x.toml:31: network.loss: expected at most 1, not nan"]),
    ("grid_charges = 18.9", 'grid_charges = "dear"', [
        "x.toml:8: market.grid_charges: expected a price in p/kWh such as 18.9; 'dear' is not a decimal number of p/kWh"]),
    ("nodes = 3", 'topology = "star"', [
        "x.toml:28: ledger.topology: expected 'complete', 'ring', 'watts-strogatz' or 'given', not 'star'"]),
    ('homes = ["a1", "a2", "a3", "a4"]', 'homes = "a1"', [
        "x.toml:14: chains[0].homes: expected a list in brackets, not 'a1'"]),
    ('file = "readings.csv"', 'file = "readings.csv"\nload_column = "load"', [
        "x.toml:6: data.load_column: expected a column name with \"{home}\" in it, not 'load'"]),
]  # fmt: skip

# The same for what holds between fields.
RELATION_ERRORS = [
    ("grid_pays = 3.2", "grid_pays = 18.899", [
        "x.toml:9: market.grid_pays: expected at least 0.002 p/kWh less than grid_charges, 18.9, not 18.899"]),
    ("grid_pays = 3.2", 'grid_pays = 3.2\ninterval = "40m"', [
        "x.toml:10: market.interval: expected a whole fraction of data.step, 1h, not 40m"]),
    ('data = "x" }', 'data = "x", generation_shift = "90m" }', [
        "x.toml:21: chains[1].homes[1].generation_shift: expected a multiple of data.step, 1h, not 1h30m"]),
    ('file = "readings.csv"', 'file = "readings.csv"\nstep = "1d"\nforecast = "persistence"\n[market]\ninterval = "1d"', [
        "x.toml:7: data.forecast: persistence: expected at least two intervals per day"]),
    ('parent = "town"\nhomes = ["a1"', 'parent = "city"\nhomes = ["a1"', [
        "x.toml:13: chains[0].parent: 'city' is no chain: expected one of south, town"]),
    ('"a2"', '"a1"', ["x.toml:14: chains[0].homes[1]: 'a1' is used twice: expected a name that no other chain or host has"]),
    ('"a2"', '"north"', [
        "x.toml:14: chains[0].homes[1]: 'north' is used twice: expected a name that no other chain or host has"]),
    ('"a2"', '"tangle3"', [
        "x.toml:14: chains[0].homes[1]: 'tangle3' is used twice: expected a name that no other chain or host has"]),
    ('"a2"', '"utility"', [
        ("x.toml:14: chains[0].homes[1]: 'utility' has another meaning: expected none of access, accounts, auction, "
         "blocklog, governance, outbox, root, tangle, utility")]),
    ('name = "town"\n', 'name = "town"\nparent = "north"\n', [
        "x.toml:13: chains[0].parent: 'north' is its own ancestor: expected a chain above it, or none"]),
    ('name = "south"\nparent = "town"', 'name = "south"\nparent = "north"', [
        "x.toml:11: chains[0]: 'north' has both homes and child chains: expected exactly one of them"]),
    ('name = "town"\n', 'name = "town"\n[[chains]]\nname = "empty"\n', [
        "x.toml:26: chains[3]: 'empty' has neither homes nor child chains: expected exactly one of them"]),
    ('homes = ["a1"', 'committee_size = 3\nhomes = ["a1"', [
        ("x.toml:14: chains[0].committee_size: expected 4, or no size: all homes of a microgrid are members of its "
        "committee")]),
    ("nodes = 3", 'nodes = 3\nprofile = "mainnet"', [
        "x.toml:29: ledger.profile: no profile is named 'mainnet': expected one of goshimmer-0.8"]),
    ("nodes = 3", "nodes = 3\nlinks = [[1, 2]]", [
        'x.toml:27: ledger.topology: expected links with the topology "given", and only with it']),
    ("nodes = 3", 'nodes = 3\ntopology = "given"\nlinks = [[1, 2], [2, 4], [3, 3]]', [
        "x.toml:30: ledger.links[1]: expected two different nodes from 1 to 3, not [2, 4]",
        "x.toml:30: ledger.links[2]: expected two different nodes from 1 to 3, not [3, 3]"]),
    ('delay = "25ms"', 'matrix = "lan"', [
        'x.toml:31: network.matrix: expected only with model = "matrix", not with "normal"']),
    ('"tangle3"]', '"tangle4", "c1"]', [
        "x.toml:36: faults[0].nodes[1]: 'tangle4' is no host: expected a home, or tangle1 to tangle3",
        "x.toml:36: faults[0].nodes[2]: 'c1' is no host: expected a home, or tangle1 to tangle3"]),
    ('nodes = ["a1", "tangle3"]', "", [
        'x.toml:33: faults[0].nodes: is missing: expected with kind = "crash"']),
    ('kind = "crash"', 'kind = "crash"\nduration = "3s"', [
        'x.toml:36: faults[0].duration: has no meaning: expected none with kind = "crash"']),
    ('kind = "crash"', 'kind = "slow"\none_way = true', [
        'x.toml:33: faults[0].per_cent: is missing: expected with kind = "slow"',
        'x.toml:36: faults[0].one_way: has no meaning: expected none with kind = "slow"']),
    ('kind = "crash"', 'kind = "skew"\ndisk_loss = "all"', [
        'x.toml:36: faults[0].disk_loss: has no meaning: expected none with kind = "skew"',
        'x.toml:33: faults[0].offset: is missing: expected with kind = "skew"']),
    ('kind = "crash"\nnodes', 'kind = "link"\nloss = 0.5\nsenders = ["c1"]\nrecipients = ["a1", "c2"]\nnodes', [
        "x.toml:37: faults[0].senders[0]: 'c1' is no host: expected a home, or tangle1 to tangle3",
        "x.toml:38: faults[0].recipients[1]: 'c2' is no host: expected a home, or tangle1 to tangle3",
        'x.toml:39: faults[0].nodes: has no meaning: expected none with kind = "link"']),
    ('kind = "crash"\nnodes = ["a1", "tangle3"]', 'kind = "heal"\nloss = 0.5', [
        'x.toml:36: faults[0].loss: has no meaning: expected none with kind = "heal"']),
    ('kind = "crash"\nnodes = ["a1", "tangle3"]', 'kind = "partition"\ngroups = [["a1"]]', [
        "x.toml:36: faults[0].groups: expected two groups or more"]),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "told"), FIELD_ERRORS + RELATION_ERRORS)
def test_an_error_names_file_line_field_and_expectation(problems_of, old, new, told):
    assert GOOD.count(old) >= 1
    text = GOOD.replace(old, new, 1)
    if "[market]" in new:
        text = text.replace("\n\n[market]\ngrid", "\ngrid", 1)
    assert problems_of(text) == told


def test_all_errors_are_told_at_once(problems_of):
    text = GOOD.replace("nodes = 3", "nodes = 0").replace('"25ms"', "25").replace('parent = "town"', 'parent = "x"')
    assert problems_of(text, "market.rounds=0", "colour=red", "x") == [
        "--set x: expected key=value, such as market.rounds=5",
        "--set market.rounds: expected at least 1, not 0",
        "x.toml:28: ledger.nodes: expected at least 1, not 0",
        (
            'x.toml:31: network.delay: expected a duration such as "90s", "1h30m" or "25ms", not 25 '
            "(add a unit: d, h, m, s, ms or us)"
        ),
        (
            "--set colour: is no field: expected one of scenario, data, market, chains, ledger, consensus, network, "
            "hardware, faults"
        ),
        "x.toml:13: chains[0].parent: 'x' is no chain: expected one of south, town",
        "x.toml:18: chains[1].parent: 'x' is no chain: expected one of north, town",
    ]


# Each: what is replaced, by what; all that is told is what is wrong by itself.
TOGETHER = [
    ([("nodes = 3", "nodes = 0"), ('"a1", "tangle3"]', '"a9", "tangle3"]')],
     ["x.toml:28: ledger.nodes: expected at least 1, not 0"]),
    ([("nodes = 3", 'nodes = 3\npow = "x"'), ('"a1", "tangle3"]', '"a9", "tangle3"]')], [
        "x.toml:29: ledger.pow: expected 'sampled' or 'ground', not 'x'",
        "x.toml:37: faults[0].nodes[0]: 'a9' is no host: expected a home, or tangle1 to tangle3"]),
    ([('homes = ["a1"', 'home = ["a1"')], ["x.toml:14: chains[0].home: is no field: did you mean 'homes'?"]),
    ([('data = "x" }', 'data = "x", generation_shift = 3 }'), ('"a1", "tangle3"]', '"a9", "tangle3"]')], [
        ("x.toml:21: chains[1].homes[1].generation_shift: expected a duration such as \"90s\", \"1h30m\" or \"25ms\", not 3 "
        "(add a unit: d, h, m, s, ms or us)"),
        "x.toml:36: faults[0].nodes[0]: 'a9' is no host: expected a home, or tangle1 to tangle3"]),
    ([('"a1", "a2"', '"a 1", "a2"'), ('"a1", "tangle3"]', '"a9", "tangle3"]')], [
        ("x.toml:14: chains[0].homes[0].name: expected a name: a letter, then letters, digits, - or _, at most 32, "
        "not 'a 1'")]),
    ([('homes = ["a1", "a2", "a3", "a4"]', 'homes = "a1"')], [
        "x.toml:14: chains[0].homes: expected a list in brackets, not 'a1'"]),
    ([('name = "town"', 'name = "my town"')], [
        "x.toml:25: chains[2].name: expected a name: a letter, then letters, digits, - or _, at most 32, not 'my town'"]),
    ([('"a1", "a2"', '"a 1", "a2"'), ('parent = "town"\nhomes = [\n', 'parent = "city"\nhomes = [\n')], [
        "x.toml:14: chains[0].homes[0].name: expected a name: a letter, then letters, digits, - or _, at most 32, not 'a 1'",
        "x.toml:18: chains[1].parent: 'city' is no chain: expected one of north, town"]),
    ([("grid_charges = 18.9", "grid_charges = -1"), ("grid_pays = 3.2", "grid_pays = 18.9")], [
        ("x.toml:8: market.grid_charges: expected a price in p/kWh such as 18.9; "
        "-1 p/kWh, between 0 and 1000000000000 expected")]),
    ([('kind = "crash"', 'kind = "crush"')], [
        ("x.toml:35: faults[0].kind: expected 'crash', 'restart', 'pause', 'slow', 'skew', 'link', 'partition' or 'heal', "
        "not 'crush'")]),
    ([("grid_charges = 18.9", "grid_charge = 18.9")], [
        "x.toml:8: market.grid_charge: is no field: did you mean 'grid_charges'?"]),
    ([("[network]", "[networks]")], ["x.toml:30: networks: is no field: did you mean 'network'?"]),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "told"), TOGETHER)
def test_what_only_follows_from_a_wrong_field_is_not_told_and_everything_else_is(problems_of, changes, told):
    text = GOOD
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    assert problems_of(text) == told


@pytest.mark.parametrize("chains", ['["mg1"]', "[3]", '[{name = "2 x"}]'])
def test_a_wrong_chain_does_not_make_the_list_too_short(problems_of, chains):
    (problem,) = problems_of(GOOD, f"chains={chains}", "faults=[]")
    assert problem.startswith("--set chains: chains[0]")


def test_a_list_without_chains_is_too_short(problems_of):
    assert problems_of(GOOD, "chains=[]", "faults=[]") == ["--set chains: expected at least 1, not 0"]


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["chains", "faults", "chains.0", "chains.0.homes", "chains.1.homes.0", "faults.0.nodes", "data",
                             "faults.0", "market.rounds", "ledger.links", "scenario", "chains.0.parent", "chains.2.name"]),
            st.sampled_from(["3", "[]", "[3]", '["a"]', "{}", "{x=1}", '[{name="a"}]', "[[1,2]]", "[[]]", "a b", '""']),
        ),
        max_size=4,
    )
)  # fmt: skip
def test_whatever_is_wrong_is_told_in_lines(tmp_path_factory, overrides):
    path = tmp_path_factory.mktemp("x") / "x.toml"
    path.write_text(GOOD)
    try:
        load_configuration(path, [f"{key}={value}" for key, value in overrides])
    except ConfigurationError as error:
        assert error.problems and all(
            isinstance(problem, str) and "unknown-" not in problem for problem in error.problems
        )


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_no_chain_and_no_home_has_the_name_of_what_every_chain_has(problems_of, name):
    expected = f"{name!r} has another meaning: expected none of {', '.join(sorted(RESERVED))}"
    root = GOOD.replace('"town"', f'"{name}"')
    assert problems_of(root) == [f"x.toml:25: chains[2].name: {expected}"]
    child = GOOD.replace('name = "north"', f'name = "{name}"')
    assert problems_of(child) == [f"x.toml:12: chains[0].name: {expected}"]
    home = GOOD.replace('"b2"', f'"{name}"')
    assert problems_of(home) == [f"x.toml:21: chains[1].homes[1]: {expected}"]


def test_every_account_of_a_chain_that_no_configuration_names_is_reserved(tmp_path):
    scenario = SimulatedScenario(load_configuration(write_small(tmp_path)), tmp_path)
    named = {*scenario.chains, *HOMES}
    for setup in scenario.chains.values():
        accounts = {key[2] for key, _ in setup.state.entries() if key[:2] == ("accounts", "balance")}
        assert accounts - named <= RESERVED
        assert set(setup.program.contracts) <= RESERVED


def test_a_tree_is_at_most_sixteen_chains_high(problems_of):
    chains = "".join(f'[[chains]]\nname = "c{i}"\nparent = "c{i + 1}"\n' for i in range(1, 16))
    text = GOOD.split("[[chains]]", maxsplit=1)[0] + '[[chains]]\nname = "c0"\nparent = "c1"\nhomes = ["a1"]\n' + chains
    assert problems_of(text + '[[chains]]\nname = "c16"\n') == [
        "x.toml:13: chains[0].parent: 16 chains above each other: expected less than 16"
    ]


# ---------------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", ["scenario", "data", "market", "chains"]),
        (b"a = = 1", [":1:5: expected TOML: Invalid value"]),
        (b"\n[x]\nb = 1\nb = 2\n", [":4:6: expected TOML: Cannot overwrite a value"]),
        (b"x = [", ["expected TOML: "]),
        (b"\x00\xff\xfe" * 10, ["expected UTF-8 text, byte 1 is none"]),
        (b"\x00\x01\x02", [":1:1: expected TOML: Invalid statement"]),
        (b"x = " + b"[" * 5000, [":1: expected TOML: too many brackets within each other"]),
    ],
)
def test_a_file_that_is_none_is_told(tmp_path, content, told):
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError) as raised:
        load_configuration(path)
    assert len(raised.value.problems) == len(told)
    for problem, part in zip(raised.value.problems, told, strict=True):
        assert str(problem).startswith(f"{path}:") and part in str(problem)


def test_a_file_that_is_not_there_is_told(tmp_path):
    for path, why in ((tmp_path / "none.toml", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(ConfigurationError) as raised:
            load_configuration(path)
        assert raised.value.problems == (f"{path}: can't be read: {why}",)


# ------------------------------------------------------------------------------------------------------------ overrides


def test_overrides_lie_over_the_file_and_the_seed_over_all(loaded):
    configuration = loaded(
        "scenario.seed=5", "market.rounds=7", "network.delay=80ms", 'data.file="other file.csv"', "network.loss=0.25",
        "chains.1.homes.0=c1", "chains.0.generation_shift=12h", 'faults=[{at="1s", kind="heal"}]', "consensus.batch_delay=0s",
        seed=9,
    )  # fmt: skip
    assert (configuration.scenario.seed, configuration.market.rounds, configuration.network.delay) == (9, 7, 80_000)
    assert (configuration.data.file, configuration.network.loss) == ("other file.csv", 0.25)
    assert [home.name for home in configuration.chains[1].homes] == ["c1", "b2"]
    assert configuration.chains[0].generation_shift == 12 * 3_600_000_000
    assert [fault.kind for fault in configuration.faults] == ["heal"]
    assert configuration.consensus.batch_delay == 0


def test_the_last_of_two_overrides_counts(loaded):
    assert loaded("market.rounds=7", "market.rounds=8").market.rounds == 8


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("market.rounds", "--set market.rounds: expected key=value, such as market.rounds=5"),
        ("=5", "--set =5: expected key=value, such as market.rounds=5"),
        ("market..rounds=5", "--set market..rounds=5: expected key=value, such as market.rounds=5"),
        ("ledger.nodes.x=5", "--set ledger.nodes.x=5: ledger.nodes is no table: expected no further keys"),
        ("chains.3.name=x", "--set chains.3.name=x: '3' is no place in chains, which has 3 from 0"),
        ("chains.-1.name=x", "--set chains.-1.name=x: '-1' is no place in chains, which has 3 from 0"),
        ("chains.²=x", "--set chains.²=x: '²' is no place in chains, which has 3 from 0"),
        ("market.deep.er=1", "--set market.deep.er: market.deep: is no field: expected one of grid_charges, "),
        ("market.rounds=[1", "--set market.rounds: expected a whole number, not '[1'"),
        ("scenario=3", "--set scenario: expected a table of fields, not 3"),
        ("market.rounds=5\nnodes=3", "--set market.rounds: expected a whole number, "),
    ],
)
def test_a_wrong_override_is_told_by_itself(problems_of, override, told):
    problems = problems_of(GOOD, override)
    assert len(problems) == 1
    assert problems[0].startswith(told)


def test_a_seed_for_a_file_without_a_place_for_it_is_told(problems_of):
    told = "--set scenario.seed=4: scenario is no table: expected no further keys"
    assert problems_of("scenario = 3\n" + GOOD.partition("[data]")[2].join(["[data]", ""]), seed=4)[0] == told


def test_what_shows_later_is_placed_too(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text(GOOD)
    file = open_configuration(path, ["hardware.profile=mainframe"])
    later = ConfigurationError(
        [FieldProblem(("ledger", "nodes"), "a"), FieldProblem(("hardware", "profile"), "b"), "other.csv:3: c"]
    )
    assert file.placed(later).problems == (
        f"{path}:28: ledger.nodes: a",
        "--set hardware.profile: b",
        "other.csv:3: c",
    )
