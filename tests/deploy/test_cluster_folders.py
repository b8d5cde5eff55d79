"""What ``tanglegrid cluster init --for`` writes is what the manifests, the compose file and the script take."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from node.configuration_file import load_configuration
from node.live.cluster_files import init_cluster
from node.live.node_file import NodeFile, read_node_file
from node.live.node_setup import NodeSetup, read_setup
from node.live.placement import Surrounding
from node.plan import plan_of
from tests.harness.deployment import COMPOSE, NETNS, ROOT, generated, manifests

LIVE = ROOT / "configs" / "live.toml"
HOSTS = plan_of(load_configuration(LIVE)).hosts
SETS = manifests("StatefulSet")
CONFIG_MAPS, SECRETS = generated("configMapGenerator"), generated("secretGenerator")
COMPOSED = yaml.safe_load(COMPOSE.read_text())
SERVICES, CONFIGS = COMPOSED["services"], COMPOSED["configs"]


def written(tmp_path_factory: pytest.TempPathFactory, surrounding: Surrounding) -> Path:
    folder = tmp_path_factory.mktemp(surrounding) / "cluster"
    init_cluster(folder, LIVE, surrounding=surrounding, now_us=1_795_000_000_000_000)
    return folder


def node_files(folder: Path) -> dict[str, NodeFile]:
    """Every node's file, by its name."""
    return {path.parent.name: read_node_file(path) for path in folder.glob("nodes/*/node.toml")}


# --------------------------------------------------------------------------------------------------------- Kubernetes


@pytest.fixture(scope="module")
def for_kubernetes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory, "kubernetes")


def host_of(group: str, place: int) -> str:
    """The host that a pod runs."""
    return SECRETS[group][f"{group}-{place}.json"].split("/")[2]


PODS = {host_of(group, place): (group, place) for group in SETS for place in range(SETS[group]["spec"]["replicas"])}


def test_every_file_of_the_kustomization_is_written(for_kubernetes: Path):
    files = {file for maps in (CONFIG_MAPS, SECRETS) for keys in maps.values() for file in keys.values()}
    assert [file for file in sorted(files) if not (for_kubernetes.parent / file).is_file()] == []
    assert sorted(PODS) == sorted(HOSTS)


def test_peers_are_called_as_the_headless_services_name_their_pods(for_kubernetes: Path):
    names = {host: f"{group}-{place}.{SETS[group]['spec']['serviceName']}" for host, (group, place) in PODS.items()}
    for host, file in node_files(for_kubernetes).items():
        ports = {
            port["name"]: port["containerPort"]
            for port in SETS[PODS[host][0]]["spec"]["template"]["spec"]["containers"][0]["ports"]
        }
        assert {"peering": file.listen.port, "api": file.api.port} == ports
        assert {peer: str(address) for peer, address in file.peers.items()} == {
            peer: f"{names[peer]}:{ports['peering']}" for peer in file.peers
        }


def laid_out(pod: tuple[str, int], folder: Path, target: Path) -> None:
    """Lay the files of a pod out below a folder, as its mounts say."""
    group, place = pod
    spec = SETS[group]["spec"]["template"]["spec"]
    volumes: dict[str, dict[str, Any]] = {volume["name"]: volume for volume in spec["volumes"]}
    mounts = sorted(spec["containers"][0]["volumeMounts"], key=lambda mount: len(mount["mountPath"]))
    for mount in mounts:
        path = target / mount["mountPath"].removeprefix("/")
        volume = volumes.get(mount["name"], {})
        key = mount.get("subPath") or mount.get("subPathExpr", "").replace("$(POD_NAME)", f"{group}-{place}")
        if not key:
            path.mkdir(parents=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        keys = (
            CONFIG_MAPS[volume["configMap"]["name"]]
            if "configMap" in volume
            else SECRETS[volume["secret"]["secretName"]]
        )
        path.write_bytes((folder.parent / keys[key]).read_bytes())
        path.chmod(volume["secret"]["defaultMode"] if "secret" in volume else 0o644)


@pytest.mark.parametrize("host", ["tangle4", "home1", "home9", "home16"])
def test_a_pod_finds_all_that_its_node_needs(for_kubernetes: Path, tmp_path: Path, host: str):
    pod = PODS[host]
    laid_out(pod, for_kubernetes, tmp_path)
    program, option, path = SETS[pod[0]]["spec"]["template"]["spec"]["containers"][0]["args"]
    assert (program, option) == ("node", "--config")
    assert read_setup(tmp_path / path.removeprefix("/")).name == host


# ------------------------------------------------------------------------------------------------------------ compose


@pytest.fixture(scope="module")
def for_compose(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory, "compose")


def test_peers_are_called_as_the_services_are(for_compose: Path):
    files = node_files(for_compose)
    assert sorted(files) == sorted(SERVICES)
    for host, file in files.items():
        assert SERVICES[host]["ports"][0].endswith(f":{file.api.port}")
        assert {peer: address.host for peer, address in file.peers.items()} == {peer: peer for peer in file.peers}
        assert {files[peer].listen.port for peer in file.peers} == {address.port for address in file.peers.values()}


def read_in_container(host: str, folder: Path, target: Path) -> NodeSetup:
    """The node's setup, from what its container sees, laid out below a folder."""
    service = SERVICES[host]
    mounts = [volume.split(":") for volume in service["volumes"]]
    mounts += [[CONFIGS[config["source"]]["file"], config["target"]] for config in service["configs"]]
    for source, inside in mounts:
        given, place = folder / source.partition("}/")[2], target / inside.removeprefix("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if given.is_dir():
            shutil.copytree(given, place)
        else:
            shutil.copy(given, place)
    return read_setup(target / service["command"][2].removeprefix("/"))


@pytest.mark.parametrize("host", ["tangle1", "home13"])
def test_a_container_finds_all_that_its_node_needs(for_compose: Path, tmp_path: Path, host: str):
    assert read_in_container(host, for_compose, tmp_path).name == host


# -------------------------------------------------------------------------------------------------- network namespaces


def test_the_script_takes_the_addresses_of_the_nodes_files(tmp_path_factory: pytest.TempPathFactory):
    folder = written(tmp_path_factory, "netns")
    function = 'source <(sed -n "/^fail()/,/^}/p; /^endpoint()/,/^}/p" "$1"); CLUSTER=$2; '
    function += 'endpoint "$3" listen; endpoint "$3" api'
    for host, file in node_files(folder).items():
        ran = subprocess.run(
            ["bash", "-c", function, "-", NETNS, folder, host], capture_output=True, text=True, check=False
        )
        assert ran.stdout.split() == [str(file.listen), str(file.api)], ran.stderr
        assert file.listen.host == file.api.host
