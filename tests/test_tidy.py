"""How the code reads, as far as a machine can tell; and that each of these checks can fail."""

import ast
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.harness import tidy

ROOT = Path(__file__).parents[1]
MACHINE_PATH_EXEMPT = {"tests/harness/tidy.py", "tests/test_tidy.py"}
"""They spell out what is looked for."""


@cache
def sources() -> tuple[tuple[str, str], ...]:
    """Name and text of every module of the four packages."""
    paths = sorted(path for package in tidy.PACKAGES for path in (ROOT / package).rglob("*.py"))
    return tuple((path.relative_to(ROOT).as_posix(), path.read_text()) for path in paths)


@cache
def modules() -> tuple[tuple[str, ast.Module], ...]:
    return tuple((name, ast.parse(text)) for name, text in sources())


@cache
def tracked_texts() -> tuple[tuple[str, str], ...]:
    """Name and text of every text file that git knows or would add."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    texts = []
    for name in listing.splitlines():
        try:
            texts.append((name, (ROOT / name).read_text()))
        except (UnicodeDecodeError, FileNotFoundError):
            continue
    return tuple(texts)


def test_there_is_something_to_check():
    assert {"ledger/kernel/automaton.py", "node/__init__.py"} <= {name for name, _ in sources()}
    assert "pyproject.toml" in {name for name, _ in tracked_texts()}


@pytest.mark.parametrize("check", tidy.CHECKS, ids=lambda check: check.__name__)
def test_the_code_passes(check):
    assert [finding for name, module in modules() for finding in check(name, module)] == []


def test_no_module_is_too_long_for_one_sitting():
    assert tidy.long_modules(sources()) == []


def test_no_two_values_share_a_name():
    assert tidy.repeated_value_names(modules()) == []


def test_no_file_names_a_folder_of_the_machine_that_it_was_written_on():
    texts = [(name, text) for name, text in tracked_texts() if name not in MACHINE_PATH_EXEMPT]
    assert [finding for name, text in texts for finding in tidy.machine_paths(name, text)] == []


def test_the_lock_names_no_index():
    assert tidy.addresses((ROOT / "requirements.lock").read_text()) == []


# ---------------------------------------------------------------------------------------------- each check can fail

LONG_FUNCTION = "def walk():\n" + "    step()\n" * tidy.FUNCTION_LINES_MAX

BAD = [
    (tidy.dropped_steps, "wasp/chain.py", "child.handle_input(1, now)"),
    (tidy.dropped_steps, "wasp/chain.py", "def run():\n    self.parts[3].handle_message(a, b, c, now)"),
    (tidy.dropped_steps, "wasp/chain.py", "while True:\n    x().handle_timer(now)"),
    (tidy.relative_imports, "wasp/chain.py", "from . import request"),
    (tidy.relative_imports, "wasp/chain.py", "from ..ledger import block"),
    (tidy.logic_in_package_files, "wasp/__init__.py", '"""Text."""\nfrom wasp.chain import Chain'),
    (tidy.logic_in_package_files, "wasp/__init__.py", "LIMIT = 3"),
    (tidy.missing_docstrings, "wasp/chain.py", "LIMIT = 3"),
    (tidy.missing_docstrings, "wasp/__init__.py", ""),
    (tidy.empty_module_names, "wasp/utils.py", ""),
    (tidy.empty_module_names, "wasp/common/chain.py", ""),
    (tidy.empty_module_names, "wasp/manager.py", ""),
    (tidy.empty_module_names, "wasp/base.py", ""),
    (tidy.empty_module_names, "wasp/helpers.py", ""),
    (tidy.empty_function_names, "wasp/chain.py", "def get_block(): ..."),
    (tidy.empty_function_names, "wasp/chain.py", "class A:\n    def _do_it(self): ..."),
    (tidy.empty_function_names, "wasp/chain.py", "async def process_block(): ..."),
    (tidy.empty_function_names, "wasp/chain.py", "def manage_all(): ..."),
    (tidy.long_functions, "wasp/chain.py", LONG_FUNCTION),
    (tidy.unordered_iteration, "wasp/chain.py", "for x in {1, 2}: ..."),
    (tidy.unordered_iteration, "wasp/chain.py", "for x in set(y): ..."),
    (tidy.unordered_iteration, "wasp/chain.py", "a = [x for x in {z.id for z in y}]"),
    (tidy.unordered_iteration, "wasp/chain.py", "a = {x: 1 for x in frozenset(y)}"),
    (tidy.unordered_iteration, "wasp/chain.py", "for x in set(a) - b: ..."),
    (tidy.unordered_iteration, "wasp/chain.py", "a = tuple(set(y))"),
    (tidy.unordered_iteration, "wasp/chain.py", "a = [*set(y)]"),
    (tidy.unordered_iteration, "wasp/chain.py", "a = ', '.join({str(x) for x in y})"),
    (tidy.unordered_iteration, "wasp/chain.py", "a = dict.fromkeys(set(y))"),
]

GOOD = [
    (tidy.dropped_steps, "wasp/chain.py", "step = child.handle_input(1, now)\nbuilder.add(child.handle_timer(now))"),
    (tidy.relative_imports, "wasp/chain.py", "from ledger import block"),
    (tidy.logic_in_package_files, "wasp/__init__.py", '"""Text."""'),
    (tidy.logic_in_package_files, "wasp/chain.py", "LIMIT = 3"),
    (tidy.missing_docstrings, "wasp/chain.py", '"""Text."""\nLIMIT = 3'),
    (tidy.empty_module_names, "wasp/base_anchor.py", ""),
    (tidy.empty_function_names, "wasp/chain.py", "def handle_input(): ...\ndef donate(): ...\ndef target(): ..."),
    (tidy.long_functions, "wasp/chain.py", LONG_FUNCTION.removesuffix("    step()\n")),
    (tidy.unordered_iteration, "wasp/chain.py", "for x in sorted(set(y)): ...\nfor x in [1, 2]: ...\nn = len(set(y))"),
]


def test_every_check_is_shown_to_fail():
    assert {check for check, _, _ in BAD} == set(tidy.CHECKS) == {check for check, _, _ in GOOD}


@pytest.mark.parametrize(("check", "name", "text"), BAD)
def test_a_bad_module_is_found(check, name, text):
    assert len(check(name, ast.parse(text))) == 1


@pytest.mark.parametrize(("check", "name", "text"), GOOD)
def test_a_good_module_is_left_alone(check, name, text):
    assert check(name, ast.parse(text)) == []


def test_a_module_of_the_longest_length_passes_and_one_line_more_does_not():
    assert tidy.long_modules([("a.py", "x\n" * tidy.MODULE_LINES_MAX)]) == []
    assert tidy.long_modules([("a.py", "x\n" * (tidy.MODULE_LINES_MAX + 1))]) == [
        "a.py: 401 lines, at most 400 expected"
    ]


def test_two_values_of_one_name_are_found_and_other_classes_may_share_one():
    first = ast.parse("class Vote(Value): ...\nclass Signed(Vote): ...\nclass State: ...")
    second = ast.parse("class Signed(encoding.Value): ...\nclass State: ...\nclass Other(Value): ...")
    assert tidy.repeated_value_names([("a.py", first), ("b.py", second)]) == ["Signed is defined at a.py:2 and b.py:1"]


@pytest.mark.parametrize("path", [f"{tidy.CHECKOUT}/x", "/home/alice/code", f"'{tidy.CHECKOUT}'"])
def test_a_path_of_a_machine_is_found(path):
    assert len(tidy.machine_paths("a.md", f"first\n{path}\nlast")) == 1


@pytest.mark.parametrize("path", ["docs/Users/x", "$HOME/x", "runs/demo", "homework/home"])
def test_a_path_that_holds_everywhere_is_left_alone(path):
    assert tidy.machine_paths("a.md", path) == []


@pytest.mark.parametrize("line", ["--index-url https://pypi.example/simple", "a @ file:x", "# from http://mirror"])
def test_an_address_in_a_lock_is_found(line):
    assert len(tidy.addresses(f"click==8.1.0 \\\n{line}\n")) == 1
