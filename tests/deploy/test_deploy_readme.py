"""The commands of deploy/README.md are true: those of tanglegrid run, and the files and ports in the others are there."""

import re
import sys
from pathlib import Path

import pytest
import yaml

from tests.harness.deployment import COMPOSE, DEPLOY, ROOT, said

TEXT = (DEPLOY / "README.md").read_text()
COMMANDS = [line for block in re.findall(r"```\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]


def test_there_are_commands_for_every_surrounding():
    assert re.findall(r"--for (\w+)", "\n".join(COMMANDS)) == ["netns", "compose", "kubernetes"]


@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith("tanglegrid ")])
def test_a_command_of_tanglegrid_does_what_it_is_there_for(command: str, tmp_path: Path):
    program, *words = command.split()
    (tmp_path / "deploy" / "kubernetes").mkdir(parents=True)
    said(Path(sys.executable).with_name(program), *words, cwd=tmp_path)
    assert (tmp_path / words[2] / "nodes" / "home1" / "node.toml").exists()


def test_every_file_that_is_named_is_there():
    named = set(re.findall(r"\b(?:deploy|configs)/[\w./-]*\w", TEXT)) - {"deploy/kubernetes/cluster"}
    assert len(named) > 4
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_the_port_that_is_asked_is_that_of_the_home_that_is_named():
    ((port, home),) = re.findall(r"127\.0\.0\.1:(\d+)/ready +# (\w+)", TEXT)
    assert yaml.safe_load(COMPOSE.read_text())["services"][home]["ports"] == [f"127.0.0.1:{port}:9090"]
