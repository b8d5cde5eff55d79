"""The folder of a cluster: whole or not there, readable by its nodes, editable, and checked as one."""

import json
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from ledger.kernel.automaton import NodeId
from ledger.kernel.instant import SECOND
from node.configuration import ConfigurationError
from node.configuration_file import load_configuration
from node.identities import deal_identities
from node.live import live_scenario
from node.live.cluster_files import ClusterFolder, init_cluster
from node.live.live_scenario import bearable_difficulty, made_live
from node.live.node_file import Address
from node.live.node_setup import read_setup
from node.live.placement import PORTS, free_ports, placements
from node.plan import plan_of
from node.shipped import shipped
from tests.harness.small_run import HOMES, NORTH, write_small

NOW = 1_795_392_000_000_000
LEDGER_NODES = ("tangle1", "tangle2", "tangle3", "tangle4")
REAL = ["scenario.crypto=real", "ledger.pow=ground", "ledger.pow_difficulty=4"]
A1 = NodeId("a1")


def init_small(tmp_path: Path, *overrides: str, **options: Any) -> Path:
    """A cluster of the small scenario; its folder."""
    path = write_small(tmp_path)
    return init_cluster(tmp_path / "demo", path, [*REAL, *overrides], now_us=NOW, **options).folder


def problems_of(action) -> tuple[Any, ...]:
    with pytest.raises(ConfigurationError) as caught:
        action()
    return caught.value.problems


def edited(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert text.count(before) == 1
    path.write_text(text.replace(before, after))


def node_file(folder: Path, node: str) -> Path:
    return folder / "nodes" / node / "node.toml"


def test_a_cluster_has_its_files_and_no_others(tmp_path):
    folder = init_small(tmp_path)
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {
        "cluster.toml", "scenario.toml", "public.json", "data/readings.csv",
        *(f"nodes/{node}/{name}" for node in (*LEDGER_NODES, *HOMES) for name in ("node.toml", "secret.json")),
    }  # fmt: skip
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.glob("nodes/*/secret.json")} == {0o600}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo", "readings.csv", "small.toml"]


def test_the_resolved_scenario_is_the_one_that_was_asked_for(tmp_path):
    folder = init_small(tmp_path, "market.rounds=3", "chains.1.homes=['b1', {name = 'b2', data = 'a2'}, 'b3', 'b4']")
    asked = load_configuration(tmp_path / "small.toml", [*REAL, "market.rounds=3", "data.file=data/readings.csv",
        "chains.1.homes=['b1', {name = 'b2', data = 'a2'}, 'b3', 'b4']"])  # fmt: skip
    assert load_configuration(folder / "scenario.toml") == asked


def test_files_that_come_with_the_project_are_not_copied(tmp_path):
    folder = init_cluster(tmp_path / "demo", now_us=NOW).folder
    assert load_configuration(folder / "scenario.toml") == load_configuration(shipped("live.toml"))
    assert not (folder / "data").exists()


def test_every_node_can_start_from_its_file_alone(tmp_path):
    folder = init_small(tmp_path, starts_in=5 * SECOND)
    setups = {node: read_setup(node_file(folder, node)) for node in (*LEDGER_NODES, *HOMES)}
    assert {setup.network for setup in setups.values()} == {setups["a1"].network}
    assert {setup.epoch_us for setup in setups.values()} == {NOW + 5 * SECOND}
    assert len({setup.token for setup in setups.values()}) == len(setups)
    assert [peer.node for peer in setups["a2"].peers] == [*LEDGER_NODES, "a1", "a3", "a4", "b1", "b2", "b3", "b4"]
    assert [peer.node for peer in setups["tangle2"].peers] == ["tangle1", "tangle3", "tangle4", *HOMES]
    listens = {node: setup.file.listen for node, setup in setups.items()}
    assert all(Address(peer.host, peer.port) == listens[peer.node] for setup in setups.values() for peer in setup.peers)


def test_a_household_that_is_on_its_microgrids_committee_alone_knows_no_others(tmp_path):
    folder = init_small(tmp_path, "chains.2.committee_size=4")
    peers = [peer.node for peer in read_setup(node_file(folder, "a4")).peers]
    assert peers == [*LEDGER_NODES, "a1", "a2", "a3"]


def test_keys_are_nobodys_to_guess_unless_a_seed_is_given(tmp_path):
    plan = plan_of(load_configuration(write_small(tmp_path)))
    dealt = json.dumps({host: key.hex() for host, key in deal_identities(1, plan)[0].hosts.items()})
    path = tmp_path / "small.toml"
    made = {
        name: init_cluster(tmp_path / name, path, REAL, seed=seed, now_us=NOW).folder
        for name, seed in {"entropy": None, "again": None, "seeded": 1}.items()
    }
    hosts = {
        name: json.dumps(json.loads((folder / "public.json").read_text())["hosts"]) for name, folder in made.items()
    }
    assert hosts["seeded"] == dealt
    assert len(set(hosts.values())) == 3
    tokens = {json.loads(path.read_text())["api_token"] for path in tmp_path.glob("seeded/nodes/*/secret.json")}
    assert len(tokens) == len(plan.hosts)


# -------------------------------------------------------------------------------------------------- where it is written


def test_a_folder_with_something_in_it_is_left_alone_and_an_empty_one_is_taken(tmp_path):
    (tmp_path / "demo").mkdir()
    folder = init_small(tmp_path)
    before = (folder / "public.json").read_text()
    expected = "expected a folder that is not there yet, or empty"
    assert problems_of(lambda: init_small(tmp_path)) == (f"{folder}: there is a cluster already: {expected}",)
    assert (folder / "public.json").read_text() == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine").touch()
    (tmp_path / "file").touch()
    for name, what in {"other": "has mine in it", "file": "is a file"}.items():
        place = tmp_path / name
        assert problems_of(lambda: init_cluster(place, now_us=NOW)) == (f"{place}: {what}: {expected}",)  # noqa: B023


def test_what_breaks_leaves_nothing_behind(tmp_path, monkeypatch):
    write_small(tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("node.live.cluster_files.write_secrets", full)
    with pytest.raises(OSError, match="No space"):
        init_small(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["readings.csv", "small.toml"]


def test_the_epoch_can_be_set_until_a_node_has_run_and_comments_stay(tmp_path):
    cluster = ClusterFolder(init_small(tmp_path))
    edited(cluster.folder / "cluster.toml", "scenario = ", "# mine\nscenario = ")
    cluster.set_epoch(NOW + 7)
    again = ClusterFolder(cluster.folder)
    assert (cluster.epoch_us, again.epoch_us, again.has_run) == (NOW + 7, NOW + 7, False)
    assert "# mine" in (cluster.folder / "cluster.toml").read_text()
    (cluster.node_path(A1).parent / "store.db").touch()
    assert again.has_run
    with pytest.raises(AssertionError):
        again.set_epoch(NOW)


# ---------------------------------------------------------------------------------------------------- what must fit


def test_nodes_tell_networks_apart_by_what_all_must_have_alike(tmp_path):
    folder = init_small(tmp_path)
    path = node_file(folder, "a1")
    network = read_setup(path).network
    scenario, cluster = folder / "scenario.toml", folder / "cluster.toml"
    for file, before, after, changes in (
        (scenario, "rounds = 2", "rounds = 3", True),
        (scenario, "rounds = 2", "rounds = 2\nround_length = '1m'", False),
        (scenario, "pow_difficulty = 4", "pow_difficulty = 5", True),
        (scenario, "[ledger]", "[hardware]\ncpu = false\n[ledger]", False),
        (scenario, "[ledger]", '[consensus]\nprotocol = "pbft"\n[ledger]', True),
        (scenario, "[ledger]", '[consensus]\nbatch_delay = "1s"\n[ledger]', False),
        (cluster, "epoch = 2026", "epoch = 2025", True),
    ):
        text = file.read_text()
        edited(file, before, after)
        assert (read_setup(path).network != network) == changes, (before, after)
        file.write_text(text)
    assert read_setup(path).network == network


MODEL = (
    'scenario.toml:6: scenario.crypto: expected "real": live nodes refuse "model", whose signatures anybody can make'
)
SAMPLED = 'scenario.toml:33: ledger.pow: expected "ground": live nodes refuse "sampled", which is no work'
MEMBERS = "public.json: chains.north.members: expected those of the scenario, a2, a1, a3, a4"
NO_HOST = (
    "nodes/a1/node.toml: name: 'a9' is no host of the scenario: expected one of tangle1, tangle2, tangle3, tangle4, "
)
NO_PEER = "nodes/a1/node.toml: peers.a9: is no other host of the scenario"
LEFT_OUT = "nodes/a1/node.toml: peers.a2: is missing: a1 talks to it"


@pytest.mark.parametrize(
    ("file", "before", "after", "told"),
    [
        ("scenario.toml", 'crypto = "real"', 'crypto = "model"', MODEL),
        ("scenario.toml", 'pow = "ground"', 'pow = "sampled"', SAMPLED),
        ("scenario.toml", '"a1", "a2"', '"a2", "a1"', MEMBERS),
        ("scenario.toml", '"a4"', '"a4", "a5"', "public.json: hosts.a5: is missing: the scenario has it"),
        ("nodes/a1/node.toml", 'name = "a1"', 'name = "a9"', NO_HOST + "a1, a2, a3, a4, b1, b2, b3, b4"),
        ("nodes/a1/node.toml", "a2 = ", "a9 = ", NO_PEER),
        ("nodes/a1/node.toml", "a2 = ", "a9 = ", LEFT_OUT),
        ("cluster.toml", '"scenario.toml"', '"none.toml"', "none.toml: can't be read: No such file or directory"),
    ],
)
def test_what_does_not_fit_is_told_with_its_file(tmp_path, file, before, after, told):
    folder = init_small(tmp_path)
    edited(folder / file, before, after)
    problems = problems_of(lambda: read_setup(node_file(folder, "a1")))
    assert f"{folder}/{told}" in [problem.replace("/nodes/a1/../..", "") for problem in problems]


def test_the_secrets_of_another_node_are_refused(tmp_path):
    folder = init_small(tmp_path)
    (folder / "nodes/a2/secret.json").replace(folder / "nodes/a1/secret.json")
    secrets = f"{folder}/nodes/a1/secret.json"
    told = f"{secrets}: host: these are the secrets of a2, {node_file(folder, 'a1')} is that of a1"
    assert problems_of(lambda: read_setup(node_file(folder, "a1"))) == (told,)


def test_data_that_give_another_genesis_are_refused(tmp_path):
    folder = init_small(tmp_path)
    edited(folder / "data/readings.csv", "200,3200", "200,3300")
    (problem,) = problems_of(lambda: read_setup(node_file(folder, "a1")))
    assert "public.json: genesis: is " in problem and "so one of these files was changed" in problem


def test_problems_of_several_files_are_told_at_once(tmp_path):
    folder = init_small(tmp_path)
    edited(folder / "scenario.toml", "rounds = 2", "rounds = 0")
    (folder / "public.json").write_text("{}")
    problems = problems_of(lambda: read_setup(node_file(folder, "a1")))
    assert [problem.rpartition("/")[2].split(":")[0] for problem in problems] == ["public.json", "scenario.toml"]


# ------------------------------------------------------------------------------------------------- sizes, made live


def test_microgrids_are_made_smaller_or_take_homes_with_the_readings_of_others_in_turn(tmp_path):
    for members, homes in {
        3: [("a1", "a1"), ("a2", "a2"), ("a3", "a3")],
        6: [*((home, home) for home in NORTH), ("north-5", "a1"), ("north-6", "a2")],
    }.items():
        configuration, _ = made_live(load_configuration(write_small(tmp_path), REAL), members)
        assert [(home.name, home.data) for home in configuration.chains[0].homes] == homes
        assert configuration.chains[2].homes == ()
    taken = made_live(load_configuration(tmp_path / "small.toml", [*REAL, "chains.2.name=north-5", "chains.0.parent=north-5",
        "chains.1.parent=north-5"]), 5)[0]  # fmt: skip
    assert taken.chains[0].homes[4].name == "north-6"


def test_a_scenario_is_made_live_and_what_was_changed_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(live_scenario, "hash_rate", lambda: 640_000.0)
    path = write_small(tmp_path, '\n[[faults]]\nat = "1m"\nkind = "heal"\n')
    configuration, notes = made_live(load_configuration(path))
    assert (configuration.scenario.crypto, configuration.ledger.pow, configuration.ledger.pow_difficulty) == (
        "real", "ground", 12,
    )  # fmt: skip
    assert configuration.faults == ()
    assert [note.split()[0] for note in notes[:3]] == ["scenario.crypto", "ledger.pow", "ledger.pow_difficulty"]
    assert len(notes) == 4
    assert made_live(load_configuration(path, [*REAL, "faults=[]"])) == (
        load_configuration(path, [*REAL, "faults=[]"]),
        [],
    )


@pytest.mark.parametrize(
    ("rate", "nodes", "difficulty"),
    [(655_360, 1, 15), (655_359, 1, 14), (655_360, 4, 13), (655_359, 4, 12), (20, 1, 0), (19, 1, 0)],
)
def test_the_base_difficulty_takes_at_most_a_tenth_of_a_core(rate, nodes, difficulty):
    assert bearable_difficulty(rate, nodes) == difficulty


# ------------------------------------------------------------------------------------------------------- placements


def test_local_ports_are_free_all_different_and_not_those_of_outgoing_connections():
    ports = free_ports(40)
    assert len(set(ports)) == 40 and all(port in PORTS for port in ports)
    for port in ports:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))


def test_a_port_that_is_taken_is_not_chosen(monkeypatch):
    first, second = free_ports(2)
    while second != first + 1:
        first, second = free_ports(2)
    monkeypatch.setattr("node.live.placement.PORTS", range(first, second + 1))
    assert sorted(free_ports(2)) == [first, second]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first))
        assert free_ports(1) == [second]
        told = problems_of(lambda: free_ports(2))
    assert told == (f"2 free ports are needed from {first} to {second}: 1 are free",)


def test_each_surrounding_has_its_addresses(tmp_path):
    plan = plan_of(load_configuration(write_small(tmp_path)))
    placed = {kind: placements(kind, plan) for kind in ("local", "netns", "compose", "kubernetes")}  # type: ignore[arg-type]
    reached = {kind: [str(places[host].reached) for host in ("tangle2", "b1")] for kind, places in placed.items()}
    del reached["local"]
    assert reached == {
        "netns": ["10.77.0.11:4000", "10.77.0.18:4000"],
        "compose": ["tangle2:4000", "b1:4000"],
        "kubernetes": ["tangle-1.tangle:4000", "south-0.south:4000"],
    }
    for kind, host in {"netns": "10.77.0.14", "compose": "0.0.0.0", "kubernetes": "0.0.0.0"}.items():
        assert (placed[kind]["a1"].listen, placed[kind]["a1"].api) == (Address(host, 4000), Address(host, 9090))
    assert all(place.listen == place.reached and place.api.is_loopback for place in placed["local"].values())
