"""The lock covers what pyproject.toml asks for, and every file that it lets in is named by its hash."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PIN = re.compile(r"^([a-z0-9.-]+)==([^ ;\\]+)")


def pins(text: str) -> dict[str, list[str]]:
    """The locked versions of each distribution: several where they differ by version of Python."""
    versions: dict[str, list[str]] = {}
    for line in text.splitlines():
        if found := PIN.match(line):
            versions.setdefault(found[1], []).append(found[2])
    return versions


def unmet(requirements: list[str], locked: dict[str, list[str]]) -> list[str]:
    """The requirements that the lock leaves out or contradicts."""
    return [
        text
        for text in requirements
        for wanted in (Requirement(text),)
        if not (versions := locked.get(canonicalize_name(wanted.name)))
        or not all(wanted.specifier.contains(version) for version in versions)
    ]


def test_the_lock_meets_every_requirement_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    assert unmet(wanted, pins((ROOT / "requirements.lock").read_text())) == [], "make lock"


def test_an_unmet_requirement_is_found():
    text = """
click==8.1.0 \\
numpy==2.0.0 ; python_full_version < '3.12' \\
numpy==2.5.0 ; python_full_version >= '3.12' \\
"""
    locked = pins(text)
    assert unmet(["click>=8.2", "Click>=8", "numpy>=2.1", "rich"], locked) == ["click>=8.2", "numpy>=2.1", "rich"]


def test_every_locked_version_has_a_hash():
    text = (ROOT / "requirements.lock").read_text()
    entries = re.split(r"\n(?=[a-z0-9])", text)
    assert [entry.split()[0] for entry in entries if PIN.match(entry) and "--hash=sha256:" not in entry] == []
