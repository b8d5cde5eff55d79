"""The page on results names every table and column that a run leaves behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.experiments.sweep_table import SWEEP_COLUMNS
from node.experiments.tables import Tables

PAGE = Path(__file__).parents[3] / "docs" / "results.md"


@pytest.mark.parametrize("table", list(Tables()), ids=lambda table: table.name)
def test_the_page_explains_every_column_of_the_table(table):
    _, found, section = PAGE.read_text(encoding="utf-8").partition(f"**{table.name}**")
    section = section.split("\n**")[0]
    assert found
    assert [column for column in table.columns if f"`{column}`" not in section] == []


def test_the_page_explains_every_column_of_a_sweeps_table():
    _, found, section = PAGE.read_text(encoding="utf-8").partition("**cells**")
    assert found
    assert [column for column in SWEEP_COLUMNS if f"`{column}`" not in section] == []
