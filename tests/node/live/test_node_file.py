"""What people write into node.toml and cluster.toml, and what they are told when it is wrong."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from node.configuration import ConfigurationError
from node.live.node_file import Address, NodeFile, read_cluster_file, read_node_file

NODE = """\
name = "home1"
listen = "127.0.0.1:4000"
api = "[::1]:0"
log_size_max = 65536

[peers]
home2 = "mg1-1.mg1:4000"
"""


def test_a_nodes_file_is_read(tmp_path: Path):
    path = tmp_path / "node.toml"
    path.write_text(NODE)
    assert read_node_file(path) == NodeFile(
        name="home1",
        listen=Address("127.0.0.1", 4000),
        api=Address("::1", 0),
        cluster="../..",
        secrets="secret.json",
        store="store.db",
        log="log.jsonl",
        log_size_max=65_536,
        peers={"home2": Address("mg1-1.mg1", 4000)},
    )


@pytest.mark.parametrize("text", ["127.0.0.1:4000", "[fe80::1]:65535", "localhost:0", "mg1-0.mg1:1"])
def test_an_address_is_shown_as_it_is_written(text):
    file = NodeFile.model_validate({"name": "a", "listen": text, "api": text})
    assert str(file.listen) == text and file.model_dump(mode="json")["api"] == text


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [
        ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True),
        ("0.0.0.0", False), ("10.77.0.10", False), ("::", False), ("home1", False),
    ],
)  # fmt: skip
def test_only_this_machine_reaches_a_loopback(host, is_loopback):
    assert Address(host, 1).is_loopback == is_loopback


def test_all_that_is_wrong_is_told_with_line_and_field(tmp_path: Path):
    path = tmp_path / "node.toml"
    path.write_text(
        'name = "1"\nlisten = "127.0.0.1"\napi = "x:65536"\nstor = "a"\nlog_size_max = 65535\n[peers]\nb = "b:0"\n'
    )
    with pytest.raises(ConfigurationError) as caught:
        read_node_file(path)
    expected = 'expected an address and a port from 0 to 65535, such as "127.0.0.1:4000", not '
    assert caught.value.problems == (
        f"{path}:1: name: expected a name: a letter, then letters, digits, - or _, at most 32, not '1'",
        f"{path}:2: listen: {expected}'127.0.0.1'",
        f"{path}:3: api: {expected}'x:65536'",
        f"{path}:5: log_size_max: expected at least 65536, not 65535",
        f"{path}:7: peers.b: expected the port at which the peer listens, not 'b:0'",
        f"{path}:4: stor: is no field: did you mean 'store'?",
    )


@pytest.mark.parametrize(
    ("text", "epoch_us"),
    [("2026-11-23T00:00:00.000005Z", 1_795_392_000_000_005), ("2026-11-23T02:00:00+02:00", 1_795_392_000_000_000)],
)
def test_the_epoch_is_a_moment_of_unix_time_to_the_microsecond(tmp_path: Path, text, epoch_us):
    path = tmp_path / "cluster.toml"
    path.write_text(f"epoch = {text}\n")
    file = read_cluster_file(path)
    assert (file.scenario, file.epoch_us, file.epoch.tzinfo) == ("scenario.toml", epoch_us, UTC)
    assert file.epoch == datetime.fromisoformat(text)


@pytest.mark.parametrize("given", ["2026-11-23T00:00:00", '"2026-11-23T00:00:00Z"', "5"])
def test_a_moment_that_depends_on_where_one_is_is_refused(tmp_path: Path, given):
    path = tmp_path / "cluster.toml"
    path.write_text(f"epoch = {given}\n")
    with pytest.raises(ConfigurationError, match=r"cluster\.toml:1: epoch: expected a moment of UTC such as 2026-"):
        read_cluster_file(path)


@pytest.mark.parametrize("part_of_second", [0, 499_999, 500_000, 999_999])
def test_the_epoch_is_kept_to_the_microsecond(tmp_path: Path, part_of_second: int):
    path = tmp_path / "cluster.toml"
    path.write_text(f"epoch = 2026-11-23T00:00:00.{part_of_second:06}Z\n")
    assert read_cluster_file(path).epoch_us == 1_795_392_000_000_000 + part_of_second
