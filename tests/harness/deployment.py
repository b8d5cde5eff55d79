"""The files of ``deploy/``: what is read out of them, and the tools that check them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CONTAINERFILE = DEPLOY / "Containerfile"
COMPOSE = DEPLOY / "compose.yaml"
KUBERNETES = DEPLOY / "kubernetes"
NETNS = DEPLOY / "netns" / "cluster.sh"

# ------------------------------------------------------------------------------------------------------------- linters


def said(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    """What the command printed; its errors are shown when it fails."""
    ran = subprocess.run(command, cwd=cwd, env=os.environ | (env or {}), capture_output=True, text=True, check=False)
    assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout


def _complaint(tool: str, *arguments: str | Path) -> str:
    """What a tool of this environment says against its arguments: nothing when it ends with 0."""
    command = [Path(sys.executable).with_name(tool), *arguments]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return (ran.stdout + ran.stderr).strip() if ran.returncode else ""


def hadolint(path: Path) -> str:
    return _complaint("hadolint", "--no-color", path)


def compose_schema(path: Path) -> str:
    return _complaint("check-jsonschema", "--builtin-schema", "vendor.compose-spec", path)


def kubernetes_schema(path: Path) -> str:
    return _complaint("kubernetes-validate", "--strict", path)


def yamllint(path: Path) -> str:
    return _complaint("yamllint", "--strict", "--config-file", DEPLOY / ".yamllint", path)


def shellcheck(path: Path) -> str:
    return _complaint("shellcheck", "--enable=avoid-nullary-conditions,deprecate-which,require-double-brackets", path)


Linter = Callable[[Path], str]

# -------------------------------------------------------------------------------------------------- network namespaces


def needs_namespaces() -> str:
    """Why there can be no namespaces here, or nothing."""
    enter = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = [
        "unshare",
        *enter,
        "--net",
        "--mount",
        "--pid",
        "--fork",
        "ip",
        "link",
        "add",
        "switch",
        "type",
        "bridge",
    ]
    try:
        tried = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        return f"{error.filename} is not installed"
    return f"no network namespaces for this user: {tried.stderr.strip()}" if tried.returncode else ""


# ------------------------------------------------------------------------------------------------------- Containerfile

Instruction = tuple[str, str]


def instructions(text: str) -> list[Instruction]:
    """The instructions of a Containerfile, with what follows the word; continued lines are joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def stages(found: Sequence[Instruction]) -> list[list[Instruction]]:
    """The instructions from each FROM to the next."""
    starts = [place for place, (word, _) in enumerate(found) if word == "FROM"]
    return [list(found[start:end]) for start, end in zip(starts, [*starts[1:], len(found)], strict=True)]


def copied_from_context(found: Sequence[Instruction]) -> list[str]:
    """What COPY takes from the folder in which the image is built."""
    copies = [rest.split() for word, rest in found if word == "COPY" and "--from=" not in rest]
    return [source for *sources, _target in copies for source in sources]


def exec_form(found: Sequence[Instruction], word: str) -> list[str]:
    """The last such instruction as a list of words. A shell's form is no JSON, and raises."""
    rest = [rest for name, rest in found if name == word][-1]
    return [str(part) for part in json.loads(rest[rest.index("[") :])]


# ---------------------------------------------------------------------------------------------------------------- YAML


Manifest = dict[str, Any]


def documents(*paths: Path) -> list[Manifest]:
    """All YAML documents of the files."""
    return [document for path in paths for document in yaml.safe_load_all(path.read_text()) if document]


KUSTOMIZATION: Manifest = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())


def manifests(kind: str) -> dict[str, Manifest]:
    """The Kubernetes resources of a kind, by name."""
    found = documents(*(KUBERNETES / name for name in KUSTOMIZATION["resources"]))
    return {manifest["metadata"]["name"]: manifest for manifest in found if manifest["kind"] == kind}


def generated(generator: str) -> dict[str, dict[str, str]]:
    """What kustomize makes of files: for every ConfigMap or Secret its keys, and the file of each."""
    return {entry["name"]: dict(map(_key_and_file, entry["files"])) for entry in KUSTOMIZATION[generator]}


def _key_and_file(given: str) -> tuple[str, str]:
    """``key=path``, or a path alone, whose last part is the key."""
    key, _, file = given.rpartition("=")
    return key or Path(file).name, file
