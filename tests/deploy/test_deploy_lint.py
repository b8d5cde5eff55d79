"""Every file of deploy/ passes the tools of its kind; and each tool finds what is planted."""

from pathlib import Path

import pytest

from tests.harness.deployment import (
    COMPOSE,
    CONTAINERFILE,
    DEPLOY,
    KUBERNETES,
    NETNS,
    Linter,
    compose_schema,
    hadolint,
    kubernetes_schema,
    shellcheck,
    yamllint,
)

YAML_FILES = sorted(DEPLOY.rglob("*.yaml"))
MANIFESTS = [path for path in sorted(KUBERNETES.glob("*.yaml")) if path.name != "kustomization.yaml"]
CHECKED = [
    (hadolint, CONTAINERFILE),
    (compose_schema, COMPOSE),
    *((kubernetes_schema, path) for path in MANIFESTS),
    *((yamllint, path) for path in YAML_FILES),
    (shellcheck, NETNS),
]


def named(value: object) -> str:
    return value.name if isinstance(value, Path) else getattr(value, "__name__", "")


def test_no_file_is_forgotten():
    unchecked = {"README.md", ".yamllint"}
    assert {path for path in DEPLOY.rglob("*") if path.is_file()} - {path for _, path in CHECKED} == {
        DEPLOY / name for name in unchecked
    }


@pytest.mark.parametrize(("linter", "path"), CHECKED, ids=named)
def test_the_file_passes(linter: Linter, path: Path):
    assert linter(path) == ""


PLANTED = [
    (hadolint, CONTAINERFILE, "FROM ghcr.io/astral-sh/uv:0.13.9", "FROM ghcr.io/astral-sh/uv:latest", "DL3007"),
    (hadolint, CONTAINERFILE, "WORKDIR /build", "WORKDIR build", "DL3000"),
    (hadolint, CONTAINERFILE, 'ENTRYPOINT ["tanglegrid"]', "ENTRYPOINT tanglegrid", "DL3025"),
    (hadolint, CONTAINERFILE, "EXPOSE 4000 9090", "EXPOSE 4000 90900", "DL3011"),
    (hadolint, CONTAINERFILE, 'CMD ["node"', 'CMD ["nobody"]\nCMD ["node"', "DL4003"),
    (compose_schema, COMPOSE, "command: [node", "command: [1, node", "command"),
    (compose_schema, COMPOSE, "read_only:", "readonly:", "readonly"),
    (kubernetes_schema, KUBERNETES / "mg1.yaml", "replicas: 4", 'replicas: "4"', "replicas"),
    (kubernetes_schema, KUBERNETES / "mg1.yaml", "readinessProbe:", "readynessProbe:", "readynessProbe"),
    (kubernetes_schema, KUBERNETES / "disruption.yaml", "maxUnavailable: 1", "maxUnavailabel: 1", "maxUnavailabel"),
    (kubernetes_schema, KUBERNETES / "network-policy.yaml", "policyTypes:", "policies:", "policies"),
    (yamllint, COMPOSE, "services:", "services: # a service", "comments"),
    (yamllint, COMPOSE, "services:", "services:\n  tangle1: {}\n  tangle1: {}\n", "duplication"),
    (shellcheck, NETNS, 'cat "/run/nodes/$1.cable"', "cat /run/nodes/$1.cable", "SC2086"),
]


@pytest.mark.parametrize(("linter", "path", "good", "bad", "finding"), PLANTED, ids=named)
def test_a_planted_error_is_found(linter: Linter, path: Path, good: str, bad: str, finding: str, tmp_path: Path):
    text = path.read_text()
    assert good in text
    planted = tmp_path / path.name
    planted.write_text(text.replace(good, bad, 1))
    assert finding in linter(planted)
    assert linter(path) == ""


def test_every_tool_is_shown_to_find_something():
    assert {linter for linter, *_ in PLANTED} == {linter for linter, _ in CHECKED}
