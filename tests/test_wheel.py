"""What is published: the wheel, built from the source distribution, holds all that it needs and nothing else.

It is installed into an environment of its own, which borrows the dependencies of this one but not the checkout.
"""

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("node", "ledger", "wasp", "market")

IMPORT_EVERYTHING = """
import importlib, json, pkgutil
packages = [importlib.import_module(name) for name in ("node", "ledger", "wasp", "market")]
names = [module.name for package in packages for module in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
for name in names:
    importlib.import_module(name)
print(json.dumps({"places": [package.__file__ for package in packages], "modules": len(names)}))
"""


def said(*command: str | Path, cwd: Path) -> str:
    """What the command printed; its errors are shown when it fails."""
    ran = subprocess.run(
        command, cwd=cwd, env=os.environ | {"PYTHONPATH": ""}, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as it would be for publishing: the source distribution first, then the wheel from that."""
    folder = tmp_path_factory.mktemp("dist")
    said(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    assert len(list(folder.glob("tanglegrid-*.tar.gz"))) == 1
    return next(folder.glob("tanglegrid-*.whl"))


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the executables of a clean environment in which the wheel is installed."""
    folder = tmp_path_factory.mktemp("installed") / "environment"
    said(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    python = folder / "bin" / "python"
    site = next((folder / "lib").glob("python*/site-packages"))
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index", "--no-deps")
    said(*pip, "--ignore-installed", wheel, cwd=folder.parent)
    return folder / "bin"


def test_the_wheel_holds_the_four_packages_and_the_scenarios_and_no_tests(wheel: Path):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == set(PACKAGES)
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(names)
    assert {"node/_configs/data/fontana-2016-2017.csv", "node/_configs/data/LICENSE.citylearn"} <= set(names)
    assert {name.rsplit("/", 1)[1] for name in names if "/licenses/" in name} >= {"LICENSE"}


def test_every_module_of_the_installed_wheel_can_be_imported(environment: Path, tmp_path: Path):
    found = json.loads(said(environment / "python", "-I", "-c", IMPORT_EVERYTHING, cwd=tmp_path))
    assert [Path(place).is_relative_to(environment.parent) for place in found["places"]] == [True] * 4
    assert found["modules"] > 10


def test_the_installed_command_says_its_version(environment: Path, tmp_path: Path):
    assert "0.1.0" in said(environment / "tanglegrid", "--version", cwd=tmp_path)
