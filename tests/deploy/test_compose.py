"""The compose file: a container for every host of configs/live.toml, each with its own folder and no other's."""

import yaml

from node.configuration_file import load_configuration
from node.plan import plan_of
from tests.harness.deployment import COMPOSE, CONTAINERFILE, ROOT, instructions

DOCUMENT = yaml.safe_load(COMPOSE.read_text())
SERVICES = DOCUMENT["services"]


def test_there_is_a_service_for_every_host_of_the_scenario():
    plan = plan_of(load_configuration(ROOT / "configs" / "live.toml"))
    assert sorted(SERVICES) == sorted(plan.hosts)


def test_a_node_has_its_own_folder_and_no_other_s():
    folders = {name: service["volumes"] for name, service in SERVICES.items()}
    assert folders == {name: [f"${{CLUSTER}}/nodes/{name}:/cluster/nodes/{name}"] for name in SERVICES}
    commands = {name: service["command"] for name, service in SERVICES.items()}
    assert commands == {name: ["node", "--config", f"/cluster/nodes/{name}/node.toml"] for name in SERVICES}


def test_every_node_has_the_files_that_all_may_know():
    files = {config["source"]: config["target"] for config in DOCUMENT["x-node"]["configs"]}
    assert {name: service["configs"] for name, service in SERVICES.items()} == dict.fromkeys(
        SERVICES, DOCUMENT["x-node"]["configs"]
    )
    public = ("cluster.toml", "scenario.toml", "public.json")
    assert sorted(files.values()) == sorted(f"/cluster/{file}" for file in public)
    assert {name: entry["file"].rpartition("/")[2] for name, entry in DOCUMENT["configs"].items()} == {
        name: target.removeprefix("/cluster/") for name, target in files.items()
    }


def test_the_apis_are_published_on_loopback_at_ports_of_their_own():
    published = [service["ports"][0].split(":") for service in SERVICES.values()]
    assert {address for address, _, _ in published} == {"127.0.0.1"}
    assert len({port for _, port, _ in published}) == len(SERVICES)
    (exposed,) = (rest.split() for word, rest in instructions(CONTAINERFILE.read_text()) if word == "EXPOSE")
    assert {port for _, _, port in published} == {exposed[1]}


def test_a_container_may_write_into_its_folder_only():
    limits = {key: DOCUMENT["x-node"][key] for key in ("read_only", "cap_drop", "security_opt")}
    assert limits == {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}
    assert {name: {key: service[key] for key in limits} for name, service in SERVICES.items()} == dict.fromkeys(
        SERVICES, limits
    )


def test_the_image_is_that_of_the_project():
    (image,) = {service["image"] for service in SERVICES.values()}
    assert f"--tag {image} " in CONTAINERFILE.read_text()
