"""The image: what it is built from is there and is enough, what runs in it is said in words, and it tells its health."""

import importlib.metadata
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.harness.deployment import (
    CONTAINERFILE,
    KUBERNETES,
    ROOT,
    copied_from_context,
    documents,
    exec_form,
    instructions,
    said,
    stages,
)

INSTRUCTIONS = instructions(CONTAINERFILE.read_text())
LAST_STAGE = stages(INSTRUCTIONS)[-1]
PACKAGES = ("ledger", "market", "node", "wasp")
IMPORT_EVERYTHING = """
import importlib, pkgutil
for name in ("node", "ledger", "wasp", "market"):
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        importlib.import_module(module.name)
"""


# -------------------------------------------------------------------------------------------------------- how it reads


def test_instructions_are_read_without_comments_and_with_their_continued_lines():
    text = '# first\nFROM a AS b\nRUN one && \\\n    # why\n    two\n\nCMD ["c"]\n'
    assert instructions(text) == [("FROM", "a AS b"), ("RUN", "one && two"), ("CMD", '["c"]')]


def test_all_that_runs_in_the_image_is_said_in_words_without_a_shell():
    assert exec_form(LAST_STAGE, "ENTRYPOINT") == ["tanglegrid"]
    assert exec_form(LAST_STAGE, "CMD")[:2] == ["node", "--config"]
    assert exec_form(LAST_STAGE, "HEALTHCHECK")[0] == "python"


def test_it_runs_as_a_number_that_is_not_root():
    user = [rest for word, rest in LAST_STAGE if word == "USER"]
    assert [re.fullmatch(r"([1-9]\d*):([1-9]\d*)", name) is not None for name in user] == [True]


def test_the_last_stage_takes_the_installed_environment_and_no_source():
    assert copied_from_context(LAST_STAGE) == []
    assert [rest for word, rest in LAST_STAGE if word == "COPY"] == ["--from=build /opt/tanglegrid /opt/tanglegrid"]
    assert [rest for word, rest in LAST_STAGE if word in ("RUN", "ADD")] == []


def test_both_stages_have_the_same_python_for_the_environment_is_bound_to_it():
    images = [rest.split()[0] for word, rest in INSTRUCTIONS if word == "FROM"]
    assert images[1] == images[2] == "python:${PYTHON_VERSION}-slim-bookworm"


def unchecked_installs(runs: list[str]) -> list[str]:
    """Commands of uv that would let in what no hash names; the project's own wheel needs none."""
    commands = [command.strip() for run in runs for command in run.split("&&")]
    return [
        command
        for command in commands
        if re.search(r"\buv (pip (install|sync)|build)\b|\bpip install\b", command)
        and "--require-hashes" not in command
        and "--no-deps --no-index /dist/" not in command
    ]


def test_nothing_is_installed_that_the_lock_does_not_name_by_its_hash():
    runs = [rest for word, rest in INSTRUCTIONS if word == "RUN"]
    assert len([run for run in runs if "--require-hashes" in run]) == 2
    assert unchecked_installs(runs) == []
    assert unchecked_installs(["a && uv pip install b", "uv build --wheel", "pip install c"]) == [
        "uv pip install b",
        "uv build --wheel",
        "pip install c",
    ]


def test_the_ports_are_those_of_the_manifests():
    (exposed,) = (rest.split() for word, rest in LAST_STAGE if word == "EXPOSE")
    sets = [manifest for manifest in documents(*KUBERNETES.glob("*.yaml")) if manifest.get("kind") == "StatefulSet"]
    ports = {
        tuple(str(port["containerPort"]) for port in container["ports"])
        for manifest in sets
        for container in manifest["spec"]["template"]["spec"]["containers"]
    }
    assert ports == {tuple(exposed)}


# --------------------------------------------------------------------------------------------------- what it is made of


def context_rules() -> list[tuple[bool, str]]:
    """Whether a path is let in, and which, in the order of the file: the last that matches holds."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return [(line.startswith("!"), line.removeprefix("!")) for line in lines if line and not line.startswith("#")]


def lets_in(name: str) -> bool:
    """Whether the file ``.dockerignore`` lets this path of the top folder into the context."""
    allowed = True
    for let_in, pattern in context_rules():
        if pattern in ("*", name):
            allowed = let_in
    return allowed


def test_what_is_copied_is_there_and_is_let_into_the_context_and_nothing_else_is():
    copied = copied_from_context(INSTRUCTIONS)
    assert [path for path in copied if not (ROOT / path).exists()] == []
    tracked = said("git", "ls-files", cwd=ROOT).splitlines()
    top = {path.split("/")[0] for path in tracked} | {".venv", ".git", "runs"}
    assert {name for name in top if lets_in(name)} == set(copied)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as in the image, from what is copied there, by the same backend."""
    folder = tmp_path_factory.mktemp("image")
    for name in copied_from_context(INSTRUCTIONS):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)
    said(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder / "dist", folder, cwd=folder)
    return next((folder / "dist").glob("tanglegrid-*.whl"))


def test_the_wheel_that_is_built_from_what_is_copied_lacks_nothing(wheel: Path):
    names = set(zipfile.ZipFile(wheel).namelist())
    tracked = said("git", "ls-files", *PACKAGES, "configs", cwd=ROOT).splitlines()
    expected = {re.sub("^configs/", "node/_configs/", path) for path in tracked if (ROOT / path).exists()}
    assert expected - names == set()


def runtime_distributions() -> list[importlib.metadata.Distribution]:
    """What an installation of tanglegrid without extras brings along."""
    waiting = [
        Requirement(text) for text in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    ]
    found: dict[str, importlib.metadata.Distribution] = {}
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        if name in found or (wanted.marker is not None and not wanted.marker.evaluate({"extra": ""})):
            continue
        found[name] = importlib.metadata.distribution(name)
        waiting += [Requirement(text) for text in found[name].requires or ()]
    return list(found.values())


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the executables of an environment with the wheel and with what it depends on, but no more."""
    folder = tmp_path_factory.mktemp("installed") / "environment"
    said(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    python = folder / "bin" / "python"
    site = next((folder / "lib").glob("python*/site-packages"))
    for distribution in runtime_distributions():
        for top in sorted({file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}):
            if not (site / top).exists():
                (site / top).symlink_to(Path(str(distribution.locate_file(top))))
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index", "--no-deps")
    said(*pip, wheel, cwd=folder.parent)
    return folder / "bin"


def test_no_tool_of_development_is_needed(environment: Path, tmp_path: Path):
    missing = subprocess.run([environment / "python", "-I", "-c", "import pytest"], capture_output=True, check=False)
    assert missing.returncode == 1
    said(environment / "python", "-I", "-c", IMPORT_EVERYTHING, cwd=tmp_path)


def test_what_the_image_runs_is_a_command_of_the_installed_wheel(environment: Path, tmp_path: Path):
    (program,), (command, option, _) = exec_form(LAST_STAGE, "ENTRYPOINT"), exec_form(LAST_STAGE, "CMD")
    assert option in said(environment / program, command, "--help", cwd=tmp_path)


# ------------------------------------------------------------------------------------------------------------- health


@pytest.fixture
def health() -> Iterator[tuple[int, list[int]]]:
    """A port on which GET /health is answered with the one code of the list."""
    codes = [200]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(codes[0] if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port, codes
    server.shutdown()
    thread.join()
    server.server_close()


def healthcheck(port: int) -> int:
    """How the command of the image's health check ends for an API at this port."""
    words = [word.replace(":9090/", f":{port}/") for word in exec_form(LAST_STAGE, "HEALTHCHECK")]
    assert str(port) in words[-1]
    return subprocess.run([sys.executable, *words[1:]], capture_output=True, check=False).returncode


def test_the_health_check_follows_the_api(health: tuple[int, list[int]]):
    port, codes = health
    assert healthcheck(port) == 0
    codes[0] = 503
    assert healthcheck(port) == 1


def test_the_health_check_of_a_node_that_does_not_listen_fails():
    assert healthcheck(1) == 1
