"""Who may import whom: the contracts of pyproject.toml hold, and each of them finds what it is there to find."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("node", "ledger", "wasp", "market")


def lint(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What import-linter says of the packages in this folder."""
    program = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
    return subprocess.run(
        [sys.executable, "-c", program, "--no-cache", "--no-logo", "--config", "pyproject.toml", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_contract_is_kept():
    said = lint(ROOT)
    assert (said.returncode, "0 broken" in said.stdout) == (0, True), said.stdout + said.stderr


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("contract", "module", "line"),
    [
        ("floors", "ledger/output.py", "import market"),
        ("floors", "ledger/kernel/quorum.py", "import wasp"),
        ("floors", "wasp/request.py", "import market"),
        ("floors", "market/units.py", "import node"),
        ("kernel", "ledger/kernel/quorum.py", "import ledger.output"),
        ("kernel", "ledger/kernel/encoding.py", "def f() -> None:\n    import ledger.transaction"),
        ("arithmetic", "market/units.py", "import market.rounds"),
        ("arithmetic", "market/clearing.py", "import market.bidders"),
        ("arithmetic-alone", "market/clearing.py", "import ledger.output"),
        ("arithmetic-alone", "market/sharing.py", "import wasp.request"),
        ("pure", "ledger/kernel/quorum.py", "import random"),
        ("pure", "ledger/output.py", "import asyncio"),
        ("pure", "wasp/request.py", "from time import time"),
        ("pure", "wasp/request.py", "import logging"),
        ("pure", "market/units.py", "from pathlib import Path"),
        ("pure", "market/orders.py", "import simpy"),
        ("pure", "market/learning.py", "def f() -> None:\n    import socket"),
    ],
)
def test_a_forbidden_import_breaks_its_contract(copy: Path, contract: str, module: str, line: str):
    path = copy / module
    path.write_text(f"{path.read_text()}\n{line}\n")
    said = lint(copy, "--contract", contract)
    assert (said.returncode, "1 broken" in said.stdout) == (1, True), said.stdout + said.stderr


@pytest.mark.parametrize(("package", "contract"), [("ledger", "kernel"), ("market", "arithmetic")])
def test_a_new_module_must_take_its_place_in_the_layers(copy: Path, package: str, contract: str):
    (copy / package / "newcomer.py").write_text('"""Nobody said where it stands."""\n')
    said = lint(copy, "--contract", contract)
    assert (said.returncode, "newcomer" in said.stdout) == (1, True), said.stdout + said.stderr
