"""The manifests: they fit together, they are the hosts of configs/live.toml, and nothing in them waits for itself."""

from pathlib import Path

import pytest
import yaml

from node.configuration_file import load_configuration
from node.plan import plan_of
from tests.harness.deployment import (
    CONTAINERFILE,
    KUBERNETES,
    KUSTOMIZATION,
    ROOT,
    Manifest,
    generated,
    instructions,
    manifests,
)

MICROGRIDS = ("mg1", "mg2", "mg3")


def matches(selector: Manifest, labels: dict[str, str]) -> bool:
    return selector["matchLabels"].items() <= labels.items()


SETS = manifests("StatefulSet")


@pytest.fixture(params=sorted(SETS))
def stateful_set(request: pytest.FixtureRequest) -> Manifest:
    return SETS[request.param]


def pod(stateful_set: Manifest) -> Manifest:
    return stateful_set["spec"]["template"]["spec"]


def container(stateful_set: Manifest) -> Manifest:
    (only,) = pod(stateful_set)["containers"]
    return only


def test_every_manifest_is_a_resource_of_the_kustomization():
    files = {path.name for path in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml"}
    assert sorted(files) == sorted(KUSTOMIZATION["resources"])


def test_the_microgrids_differ_in_their_names_only():
    first, *others = ((KUBERNETES / f"{name}.yaml").read_text() for name in MICROGRIDS)
    assert others == [first.replace("mg1", name) for name in MICROGRIDS[1:]]


def test_layer_1_differs_from_a_microgrid_in_its_names_only():
    layer_1, mg1 = (yaml.safe_load_all((KUBERNETES / name).read_text()) for name in ("layer-1.yaml", "mg1.yaml"))
    renamed = yaml.safe_dump_all(mg1).replace("mg1", "tangle").replace("household", "layer-1")
    assert yaml.safe_dump_all(layer_1) == renamed


# --------------------------------------------------------------------------------------------- the scenario's hosts


def hosts_by_group() -> dict[str, list[str]]:
    plan = plan_of(load_configuration(ROOT / "configs" / "live.toml"))
    homes = {name: [home.name for home in chain.homes] for name, chain in plan.chains.items() if chain.homes}
    return {"tangle": list(plan.ledger_nodes), **homes}


def test_there_is_a_pod_for_every_host_of_the_scenario():
    assert {name: manifest["spec"]["replicas"] for name, manifest in SETS.items()} == {
        group: len(hosts) for group, hosts in hosts_by_group().items()
    }


@pytest.mark.parametrize(
    ("kind", "suffix", "file"),
    [("configMapGenerator", "toml", "node.toml"), ("secretGenerator", "json", "secret.json")],
)
def test_every_pod_has_the_files_of_its_host(kind: str, suffix: str, file: str):
    files = generated(kind)
    assert {group: files[group] for group in SETS} == {
        group: {f"{group}-{i}.{suffix}": f"cluster/nodes/{host}/{file}" for i, host in enumerate(hosts)}
        for group, hosts in hosts_by_group().items()
    }


# -------------------------------------------------------------------------------------------------- they fit together


def test_a_selector_finds_its_own_pods_and_no_others(stateful_set: Manifest):
    name = stateful_set["metadata"]["name"]
    selectors = {
        "set": stateful_set["spec"]["selector"],
        "service": {"matchLabels": manifests("Service")[stateful_set["spec"]["serviceName"]]["spec"]["selector"]},
        "spread": pod(stateful_set)["topologySpreadConstraints"][0]["labelSelector"],
    }
    found = {
        what: [
            other for other, each in SETS.items() if matches(selector, each["spec"]["template"]["metadata"]["labels"])
        ]
        for what, selector in selectors.items()
    }
    assert found == {what: [name] for what in selectors}


def test_a_service_gives_every_pod_a_name_before_it_is_ready(stateful_set: Manifest):
    """Peers are found by name, and a node is ready only when it has found enough of them."""
    service = manifests("Service")[stateful_set["spec"]["serviceName"]]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    ports = {port["name"]: port["containerPort"] for port in container(stateful_set)["ports"]}
    assert {port["targetPort"]: port["port"] for port in service["spec"]["ports"]} == ports


def test_no_pod_waits_for_another_to_be_ready(stateful_set: Manifest):
    assert stateful_set["spec"]["podManagementPolicy"] == "Parallel"


def test_what_is_mounted_is_there_and_all_volumes_are_used(stateful_set: Manifest):
    spec = pod(stateful_set)
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    claims = {claim["metadata"]["name"] for claim in stateful_set["spec"]["volumeClaimTemplates"]}
    assert {mount["name"] for mount in container(stateful_set)["volumeMounts"]} == {*volumes, *claims}
    config_maps = {volume["configMap"]["name"] for volume in volumes.values() if "configMap" in volume}
    secrets = {volume["secret"]["secretName"] for volume in volumes.values() if "secret" in volume}
    assert config_maps == {"public", stateful_set["metadata"]["name"]}
    assert secrets == {stateful_set["metadata"]["name"]}


def test_of_its_group_s_files_a_container_sees_its_own_only(stateful_set: Manifest):
    (name,) = (entry["name"] for entry in container(stateful_set)["env"] if entry["valueFrom"]["fieldRef"])
    expected = {"configuration": f"$({name}).toml", "secrets": f"$({name}).json"}
    mounts = [mount for mount in container(stateful_set)["volumeMounts"] if mount["name"] in expected]
    assert {mount["name"]: mount["subPathExpr"] for mount in mounts} == expected
    assert [mount["readOnly"] for mount in mounts] == [True, True]


def test_files_of_the_cluster_lie_as_in_its_folder(stateful_set: Manifest):
    """Beside one another as ``cluster init`` has written them; the node's own folder is ``nodes/self``."""
    paths = {mount["mountPath"] for mount in container(stateful_set)["volumeMounts"]} - {"/tmp"}
    own = {"/cluster/nodes/self", "/cluster/nodes/self/node.toml", "/cluster/nodes/self/secret.json"}
    assert paths == own | {f"/{file}" for file in generated("configMapGenerator")["public"].values()}
    assert container(stateful_set)["args"] == ["node", "--config", "/cluster/nodes/self/node.toml"]


# ----------------------------------------------------------------------------------------------------- health, safety


def test_the_probes_ask_the_api(stateful_set: Manifest):
    found = {
        probe: container(stateful_set)[probe]["httpGet"]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert found == {
        "startupProbe": {"path": "/health", "port": "api"},
        "livenessProbe": {"path": "/health", "port": "api"},
        "readinessProbe": {"path": "/ready", "port": "api"},
    }


def test_a_pod_is_what_the_restricted_standard_asks_for(stateful_set: Manifest):
    """And the same user as in the image."""
    (user,) = (rest for word, rest in instructions(CONTAINERFILE.read_text()) if word == "USER")
    context = pod(stateful_set)["securityContext"]
    assert f"{context['runAsUser']}:{context['runAsGroup']}" == user
    assert (context["runAsNonRoot"], context["seccompProfile"]) == (True, {"type": "RuntimeDefault"})
    assert pod(stateful_set)["automountServiceAccountToken"] is False
    assert container(stateful_set)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    namespace = manifests("Namespace")[KUSTOMIZATION["namespace"]]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_memory_is_limited_and_processors_are_not(stateful_set: Manifest):
    resources = container(stateful_set)["resources"]
    assert set(resources["requests"]) == {"cpu", "memory"}
    assert set(resources["limits"]) == {"memory"}


def test_every_pod_is_in_one_disruption_budget_of_one():
    """Two that match one pod would forbid every eviction."""
    budgets = manifests("PodDisruptionBudget")
    covered = {
        name: [
            budget["spec"]["maxUnavailable"]
            for budget in budgets.values()
            if matches(budget["spec"]["selector"], manifest["spec"]["template"]["metadata"]["labels"])
        ]
        for name, manifest in SETS.items()
    }
    assert covered == {name: [1] for name in SETS}


def test_the_network_policy_is_for_every_pod_and_opens_its_two_ports():
    (policy,) = manifests("NetworkPolicy").values()
    labels = {name: manifest["spec"]["template"]["metadata"]["labels"] for name, manifest in SETS.items()}
    assert [name for name, each in labels.items() if not matches(policy["spec"]["podSelector"], each)] == []
    ports = {port["containerPort"] for manifest in SETS.values() for port in container(manifest)["ports"]}
    assert {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]} == ports
    assert set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"}


def test_the_image_is_that_of_the_project(stateful_set: Manifest):
    (image,) = KUSTOMIZATION["images"]
    assert container(stateful_set)["image"] == f"{image['name']}:{image['newTag']}"
    assert f"--tag {container(stateful_set)['image']} " in CONTAINERFILE.read_text()


def test_keys_of_a_cluster_are_not_tracked():
    assert "deploy/kubernetes/cluster/" in Path(ROOT / ".gitignore").read_text().splitlines()
