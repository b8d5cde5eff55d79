"""The page on costs shows the numbers of the profiles and what follows from them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ledger.kernel.quorum import max_faulty
from node.hardware import OPERATIONS, PER_KILOBYTE, PICOSECONDS, HardwareProfile, hardware_profile
from node.work import key_work

PAGE = (Path(__file__).parents[2] / "docs" / "cost-model.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("|")]
LAPTOP, RASPBERRY = hardware_profile("laptop"), hardware_profile("raspberry-pi-4")


def cost(profile: HardwareProfile, n: int, name: str) -> str:
    work = key_work(n, max_faulty(n))[name]
    return f"{sum(profile.costs[kind] * amount for kind, amount in work.items()) / PICOSECONDS:,.0f}"


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_stands_there_with_its_costs(operation):
    (row,) = [row for row in ROWS if row[0] == f"`{operation}`"]
    per = 1000 if operation in PER_KILOBYTE else 1
    assert row[2:] == [f"{profile.costs[operation] * per / PICOSECONDS:g}" for profile in (LAPTOP, RASPBERRY)]


@pytest.mark.parametrize("name", key_work(4, 1))
def test_every_operation_of_keys_stands_there_with_what_follows(name):
    (row,) = [row for row in ROWS if row[0] == name]
    assert row[3:] == [*(cost(LAPTOP, n, name) for n in (4, 16, 64)), cost(RASPBERRY, 16, name)]


@pytest.mark.parametrize("name", key_work(4, 1))
def test_the_formulas_on_the_page_are_those_that_are_charged(name):
    """Each term is a factor in n, f and k, and the letter of an operation."""
    letters = {"B": "base_multiply", "M": "point_multiply", "A": "point_add", "C": "point_check", "P": "hash_to_point",
               "S": "hash_to_scalar", "L": "lagrange", "E": "polynomial"}  # fmt: skip
    (row,) = [row for row in ROWS if row[0] == name]
    for n in (4, 7, 10, 16):
        f = max_faulty(n)
        k = n - f if "k = n - f" in row[1] else f + 1
        work = {kind: amount for kind, amount in key_work(n, f)[name].items() if amount}
        if row[2] == "1 verification":
            assert work == {"verify": 1}
            continue
        formula = row[2]
        for letter, operation in letters.items():
            formula = formula.replace(letter, f"×{operation}")
        assert {kind: _factor(formula, kind, n, f, k) for kind in work} == work
        assert sum(f"×{kind}" in formula for kind in letters.values()) == len(work)


def _factor(formula: str, kind: str, n: int, f: int, k: int) -> int:
    """The number before an operation in a formula such as ``(f + 1)×point_multiply + k²×lagrange``."""
    before = formula.partition(f"×{kind}")[0]
    depth, start = 0, 0
    for place, character in enumerate(before):
        depth += (character == "(") - (character == ")")
        if character == "+" and depth == 0:
            start = place + 1
    text = before[start:].strip() or "1"
    python = re.sub(r"([0-9n])(?=[(k])", r"\1*", text.replace("²", "**2"))
    return int(eval(python, {"n": n, "f": f, "k": k}))
