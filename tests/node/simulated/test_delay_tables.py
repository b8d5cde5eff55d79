from __future__ import annotations

from pathlib import Path

import pytest

from ledger.kernel.automaton import NodeId
from ledger.kernel.rejection import Rejected
from node.simulated.delay_tables import delay_table, read_delay_table

AWS = """
             NVa Can NCa Lon Ore Ire Fra SPa Tok Mum Syd Seo Sin
N_Virginia     0   7  30  38  39  33  44  58  73  93  98  87 105
Canada         7   0  38  39  29  35  46  63  70  94  97  85 103
N_California  30  39   0  68  10  68  75  88  54 116  69  67  86
London        38  39  68   0  63   5   8  94 104  56 131 118  82
Oregon        39  29  10  63   0  59  68  88  49 109  69  63  84
Ireland       33  35  68   5  59   0  13  88 100  61 127 114  90
Frankfurt     44  46  75   8  68  13   0 101 111  60 143 109  77
S_Paulo       58  63  88  94  88  89 101   0 128 151 155 142 161
Tokyo         73  70  54 104  49 100 111 128   0  60  57  16  39
Mumbai        93  94 116  56 109  61  60 151  60   0  76  57  27
Sydney        98  97  69 131  69 127 143 155  57  76   0  69  45
Seoul         87  84  67 118  63 114 109 142  17  57  69   0  36
Singapore    105 103  86  82  81  90  77 161  39  27  45  36   0
"""
"""As published with the end-to-end tests of CometBFT v1.x, in milliseconds."""


def nodes(n: int) -> list[NodeId]:
    return [NodeId(f"n{place}") for place in range(n)]


def test_the_regions_of_aws_have_the_published_delays():
    _, *rows = [line.split() for line in AWS.strip().splitlines()]
    table = delay_table("aws-regions")
    assert table.regions == tuple(row[0] for row in rows)
    assert table.delays == tuple(tuple(int(delay) * 1_000 for delay in row[1:]) for row in rows)
    assert (table.widths, table.bandwidths) == ((), ())


def test_the_other_shipped_networks():
    assert delay_table("lan").delays == ((500,),)
    microgrid = delay_table("microgrid")
    assert (microgrid.delays, microgrid.widths, microgrid.bandwidths) == (((5_000,),), ((15_000,),), (150_000,))
    assert microgrid.bandwidths_of(nodes(2)) == {NodeId("n0"): 150_000, NodeId("n1"): 150_000}


def test_nodes_without_a_placement_take_the_regions_in_turn():
    table = delay_table("aws-regions")
    n = nodes(15)
    assert table.place(n).regions == (*range(13), 0, 1)
    assert table.place(n[:2], {n[0]: "Tokyo", n[1]: "London"}).regions == (8, 3)
    assert table.bandwidths_of(n) == {}
    with pytest.raises(Rejected, match="n0 is in 'Atlantis'; one of N_Virginia, "):
        table.place(n[:1], {n[0]: "Atlantis"})


def test_a_table_of_ones_own_has_fractions_ranges_and_bandwidths(tmp_path: Path):
    (tmp_path / "mine.csv").write_text(
        "# two streets\nto, a, b, bits_per_second\na, 0.5, 1-2.5, 9600\nb, 3, 0, 19200\n"
    )
    table = delay_table("mine.csv", tmp_path)
    assert table.regions == ("a", "b")
    assert table.delays == ((500, 1_000), (3_000, 0))
    assert table.widths == ((0, 1_500), (0, 0))
    assert table.bandwidths_of(nodes(3)) == dict(zip(nodes(3), (9_600, 19_200, 9_600), strict=True))
    assert table.place(nodes(3)).widths == table.widths


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("", ": a header row and a row per region expected"),
        ("x\nx\n", ":1: a first cell, then the names of different regions expected"),
        ("x;a\na;0\n", ":1: a first cell, then the names of different regions expected"),
        ("x,a,a\na,0,1\na,1,0\n", ":1: a first cell, then the names of different regions expected"),
        ("x,a,\na,0,1\n,1,0\n", ":1: a first cell, then the names of different regions expected"),
        ("x,a,b\na,0,1\nc,1,0\n", ": the first column must name the regions of the header row, in its order: a, b"),
        ("x,a,b\na,0,1\n", ": the first column must name the regions of the header row, in its order: a, b"),
        ("# comment\nx,a,b\na,0,1\nb,1\n", ":4: 2 columns, 3 expected"),
        ("x,a,b\na,0,fast\nb,1,0\n", ":2: column b: milliseconds, or a range such as 5-20, expected, not 'fast'"),
        ("x,a,b\na,0,1\n\nb,-1,0\n", ":4: column a: milliseconds, or a range such as 5-20, expected, not '-1'"),
        ("x,a,b\na,0,nan\nb,1,0\n", ":2: column b: milliseconds, or a range such as 5-20, expected, not 'nan'"),
        ("x,a,b\na,0,2-1\nb,1,0\n", ":2: column b: milliseconds, or a range such as 5-20, expected, not '2-1'"),
        ("x,a,b\na,0,1e9\nb,1,0\n", ":2: column b: milliseconds, or a range such as 5-20, expected, not '1e9'"),
        ("x,a,bits_per_second\na,1,0\n", ":2: column bits_per_second: bits per second expected, not '0'"),
        ("x,a,bits_per_second\na,1,many\n", ":2: column bits_per_second: bits per second expected, not 'many'"),
        (b"x,\xff\n", ": no CSV file in UTF-8: "),
    ],
)
def test_a_bad_table_is_refused_with_line_and_column(tmp_path: Path, text: str | bytes, detail: str):
    path = tmp_path / "mine.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(Rejected) as refusal:
        read_delay_table(path)
    assert (refusal.value.code, refusal.value.detail[: len(f"{path}{detail}")]) == (
        "bad_delay_table",
        f"{path}{detail}",
    )


def test_an_unknown_table_is_refused_with_the_known_ones_and_a_missing_file_by_its_path(tmp_path: Path):
    with pytest.raises(Rejected, match=r"known are aws-regions, lan, microgrid, and files that end in \.csv"):
        delay_table("moon", tmp_path)
    with pytest.raises(Rejected, match=r"mine.csv: can't be read: No such file or directory"):
        delay_table("mine.csv", tmp_path)
