"""The line of every field of a TOML file."""

import tomllib
from typing import Any

import pytest

from node.toml_lines import line_of

TEXT = '''\
# a comment = 1
top = 1
"quoted key" = 2
dotted.key.name = 3

[scenario]   # [not.this]
name = "a = b # c"
text = """
[chains]
fake = 1
"""
literal = \'\'\'
[[faults]]
\'\'\'

[[chains]]
name = "first"
homes = [
    "h1",
    { name = "h2", data = "x" }, "h3",   # two on a line
    # "h4",
    [1, 2],
    [3, 4]
]
after = 5

[[chains]]
when = 1979-05-27 07:32:00
name = "second"

[chains.deep]
value = true

[[chains.sub]]
a = 1
[[chains.sub]]
a = 2
'''

PLACES = [
    (("top",), 2),
    (("quoted key",), 3),
    (("dotted", "key"), 4),
    (("dotted", "key", "name"), 4),
    (("scenario",), 6),
    (("scenario", "name"), 7),
    (("scenario", "text"), 8),
    (("scenario", "literal"), 12),
    (("chains", 0), 16),
    (("chains", 0, "homes"), 18),
    (("chains", 0, "homes", 0), 19),
    (("chains", 0, "homes", 1), 20),
    (("chains", 0, "homes", 1, "data"), 20),
    (("chains", 0, "homes", 2), 20),
    (("chains", 0, "homes", 3), 22),
    (("chains", 0, "homes", 4), 23),
    (("chains", 0, "homes", 4, 1), 23),
    (("chains", 0, "after"), 25),
    (("chains", 1), 27),
    (("chains", 1, "when"), 28),
    (("chains", 1, "name"), 29),
    (("chains", 1, "deep", "value"), 32),
    (("chains", 1, "sub", 0, "a"), 35),
    (("chains", 1, "sub", 1, "a"), 37),
]


def test_the_example_is_what_its_parser_says():
    document = tomllib.loads(TEXT)
    for path, _ in PLACES:
        place: Any = document
        for part in path:
            place = place[part]


@pytest.mark.parametrize(("path", "line"), PLACES)
def test_a_field_stands_on_its_line(path, line):
    assert line_of(TEXT, path) == line


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("scenario", "missing"), 6),
        (("chains", 1, "missing"), 27),
        (("chains", 0, "homes", 1, "missing"), 20),
        (("missing",), 1),
        ((), 1),
    ],
)
def test_what_is_missing_stands_where_it_should_have_been(path, line):
    assert line_of(TEXT, path) == line


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment", 'a = "no newline at the end"', "a = []", "a = {}"])
def test_small_texts_have_lines_too(text):
    assert line_of(text, ("a",)) == 1
