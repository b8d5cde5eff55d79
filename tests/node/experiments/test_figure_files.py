"""Figures as files: which there are for which data, what is fitted and laid over; the same sweep gives the same ones."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from ledger.kernel.rng import stream
from node import cli
from node.configuration import ConfigurationError
from node.experiments.closed_forms import CLOSED_FORMS, delays_of, longest
from node.experiments.distribution_figures import rounds_of, within_99
from node.experiments.figure_files import tables_of, write_figures
from node.experiments.load_figure import loads_of
from node.experiments.results import Table, write_parquet
from node.experiments.run import run_to_folder
from node.experiments.size_figure import curve_of, knee_of
from node.experiments.stage_figure import chosen, stages_of
from node.experiments.sweep import run_sweep
from node.experiments.sweep_data import read_sweep
from node.experiments.sweep_folder import read_manifest
from node.experiments.sweep_workers import LocalWorkers
from node.experiments.traffic_figure import in_thousands, means_of, power_of
from tests.harness.closed_forms import FORMS, Speech
from tests.harness.small_run import write_small
from wasp.consensus.protocols import PROTOCOLS

STUDY = """\
[study]
name = "drawn"
seeds = 2

[fixed]
blocks = 2
batch = 3

[sweep]
protocol = ["wasp", "mmr14", "hotstuff"]
nodes = [4, 7, 10]
silent = [0, "f"]
map = ["near", "world"]
cpu = ["laptop", "off"]
rate = [1]

[maps.near]
model = "constant"
delay = "1ms"

[maps.world]
model = "matrix"
matrix = "aws-regions"
delay = "100ms"
jitter = "5ms"

[[limits]]
when = { map = "world", nodes = "> 4" }
seeds = 0

[[limits]]
when = { silent = "f" }
seeds = 1
"""


def swept(folder, text):
    folder.mkdir(exist_ok=True)
    (folder / "study.toml").write_text(text)
    run_sweep(folder / "study.toml", [], folder / "out", LocalWorkers(2), warn=print)
    return folder / "out"


def data_of(folder):
    return read_sweep(folder, read_manifest(folder))


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Without a rate: every proposal is full."""
    return swept(tmp_path_factory.mktemp("sweep"), STUDY.replace("rate = [1]\n", ""))


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """One committee under three loads, the last of which it can't take."""
    text = """\
[study]
name = "loaded"
seeds = 1
[fixed]
blocks = 12
batch = 20
cpu = "laptop"
[sweep]
protocol = ["pbft"]
nodes = [4]
rate = [5, 20, 400]
"""
    return swept(tmp_path_factory.mktemp("loaded"), text)


# ------------------------------------------------------------------------------------------------------------- the files


def test_a_sweep_has_the_figures_that_its_data_allow(sweep, tmp_path):
    told = write_figures(sweep, tmp_path / "figures", "svg")
    names = [Path(line).name for line in told if not line.startswith("left out")]
    assert names == [
        "latency-decided.svg", "latency-decided-f-silent.svg", "latency-anchored.svg", "latency-anchored-f-silent.svg",
        "stages-near.svg", "stages-world.svg", "traffic.svg", "distribution.svg", "rounds.svg", "figures.md",
    ]  # fmt: skip
    assert [line for line in told if line.startswith("left out")] == [
        "left out: latency against throughput: the study has no rates"
    ]
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == sorted(names)
    page = (tmp_path / "figures" / "figures.md").read_text()
    assert all(f"]({name})" in page for name in names[:-1])


def test_an_offered_load_has_its_own_figure_and_no_other(loaded):
    told = write_figures(loaded, None, "svg")
    assert told == [
        "left out: latency against committee size: the study has no cells without a rate",
        f"{loaded}/figures/throughput.svg",
        f"{loaded}/figures/figures.md",
    ]


def test_the_same_sweep_gives_the_same_bytes(loaded, tmp_path):
    for place in ("first", "second"):
        write_figures(loaded, tmp_path / place, "svg")
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()


@pytest.mark.parametrize(("kind", "magic"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_figures_come_in_three_formats(loaded, tmp_path, kind, magic):
    write_figures(loaded, tmp_path, kind)
    assert (tmp_path / f"throughput.{kind}").read_bytes().startswith(magic)


def test_every_figure_names_its_study_its_seeds_its_machines_and_the_digest(sweep):
    digest = json.loads((sweep / "manifest.json").read_text())["digest"]
    assert data_of(sweep).source == (
        f"tanglegrid 0.1.0, study drawn, seeds 1 to 2, CPU laptop and off, digest {digest[:12]}"
    )


def test_a_run_has_the_figures_of_its_report(tmp_path):
    run_to_folder(write_small(tmp_path), [], None, tmp_path / "run", report=False, quiet=True)
    told = write_figures(tmp_path / "run", None, "svg")
    names = ["net-energy", "routes", "prices", "latency", "tangle"]
    assert told == [
        str(tmp_path / "run" / "figures" / name) for name in [*(f"{name}.svg" for name in names), "figures.md"]
    ]


def test_folders_without_results_are_refused(sweep, tmp_path):
    with pytest.raises(ConfigurationError, match=re.escape("holds neither a run nor a sweep: no manifest.json in it")):
        write_figures(tmp_path, None, "svg")
    manifest = json.loads((sweep / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ConfigurationError, match=re.escape("cells.parquet")):
        write_figures(tmp_path, None, "svg")
    write_parquet(tmp_path / "cells.parquet", Table("cells", {"cell": "int64"}))
    with pytest.raises(ConfigurationError, match=r"lacks the columns protocol, .* another version of tanglegrid"):
        write_figures(tmp_path, None, "svg")
    (tmp_path / "manifest.json").write_text(json.dumps({**manifest, "state": "unfinished"}))
    with pytest.raises(ConfigurationError, match="the sweep is not complete"):
        write_figures(tmp_path, None, "svg")
    (tmp_path / "manifest.json").write_text("{")
    refused = CliRunner().invoke(cli.main, ["figures", str(tmp_path)])
    assert (refused.exit_code, refused.stdout) == (2, "")


def test_the_command_prints_what_it_has_written_and_what_not(loaded, tmp_path):
    done = CliRunner().invoke(cli.main, ["figures", str(loaded), "--out", str(tmp_path), "--format", "png"])
    assert done.exit_code == 0
    assert done.stdout.splitlines()[1] == f"{tmp_path}/throughput.png"


def test_a_second_setting_is_told_and_not_mixed_in(tmp_path):
    text = '[study]\nname = "two"\nseeds = 1\n[fixed]\nblocks = 1\nprotocol = "pbft"\n[sweep]\nnodes = [4]\nbatch = [2, 5]\n'
    told = write_figures(swept(tmp_path / "two", text), None, "svg")
    assert [line for line in told if line.startswith("left out")] == [
        "left out: latency against committee size, traffic: the study has one size only",
        "left out: rounds of agreements: no protocol of the study has agreements in rounds",
        "left out: cells with batch 5: one setting is drawn; give each a study",
        "left out: latency against throughput: the study has no rates",
    ]


def test_where_every_cell_has_failed_there_is_nothing_to_draw(tmp_path):
    text = (
        '[study]\nname = "mute"\nseeds = 1\n[fixed]\nblocks = 1\nprotocol = "pbft"\nsilent = 2\n[sweep]\nnodes = [4]\n'
    )
    told = write_figures(swept(tmp_path / "mute", text), None, "svg")
    assert told[0] == "left out: all figures: every cell has failed"
    assert told[-1] == "note: 1 of 1 cells have failed and are not drawn; the manifest has the reasons."


def test_latencies_with_timeouts_in_them_are_noted(tmp_path):
    text = """\
[study]
name = "hasty"
seeds = 1
[fixed]
blocks = 1
timers = "60ms"
silent = 0
[sweep]
protocol = ["pbft", "wasp"]
nodes = [4]
"""
    told = write_figures(swept(tmp_path / "hasty", text), None, "svg")
    note = "In 1 cells timers have replaced leaders or signers, so latencies have timeouts in them: pbft with 4."
    assert told[-1] == f"note: {note}"
    assert note in (tmp_path / "hasty" / "out" / "figures" / "figures.md").read_text()


# ------------------------------------------------------------------------------------------------- what is laid over them


@pytest.mark.parametrize("protocol", sorted(CLOSED_FORMS))
@pytest.mark.parametrize("n", [4, 7, 10, 31])
@pytest.mark.parametrize("f_silent", [False, True])
def test_closed_forms_are_those_that_the_protocols_are_held_against(protocol, n, f_silent):
    speech = Speech(n, n - (n - 1) // 3 if f_silent else n)
    form = FORMS[protocol]
    unit = form.anchored(speech, lambda proposer, round: True).others / delays_of(protocol, n, f_silent, True)
    assert unit == 25_000
    assert form.agreed(speech, lambda proposer, round: True).others == delays_of(protocol, n, f_silent, False)


def test_every_protocol_has_a_closed_form_and_an_unknown_one_has_none():
    assert {protocol for protocol in PROTOCOLS if delays_of(protocol, 4, False, False) is None} == set()
    assert delays_of("dice", 4, False, False) is None


def test_the_expected_longest_of_geometric_agreements():
    expected = {1: 2.0, 4: 3.505, 7: 4.241, 10: 4.726, 31: 6.310, 100: 7.984}
    assert {count: round(longest(count), 3) for count in expected} == expected
    assert longest(0) == 0
    assert delays_of("mmr14", 4, False, False) == pytest.approx(3 + 3 * 3.505, abs=0.002)
    assert delays_of("mmr14", 4, True, True) == pytest.approx(3 + 3 * (longest(3) + 2) + 2)


def test_without_cpu_and_with_one_delay_medians_are_the_closed_forms(sweep):
    near = data_of(sweep).where(map="near", machine="off")
    for protocol in ("wasp", "hotstuff"):
        for silence in ("none", "f"):
            for phase in ("decided", "anchored"):
                curve = curve_of(near.where(protocol=protocol, silence=silence), phase)
                delays = [delays_of(protocol, nodes, silence == "f", phase == "anchored") for nodes in (4, 7, 10)]
                assert curve == list(zip((4, 7, 10), delays, strict=True))


def test_maps_with_one_delay_are_known(sweep):
    data = data_of(sweep)
    assert data.constant_delays == {"near": 1000}
    assert data.title("near") == "near: 1 ms between any two" and data.title("world") == "world: aws-regions"


def test_the_power_of_a_power_law_is_found_over_the_larger_sizes_alone():
    points = [(nodes, 3.0 * nodes**2.5) for nodes in (7, 10, 16, 31)]
    exponent, factor = power_of([(4, 1.0), *points])
    assert (exponent, factor) == (pytest.approx(2.5), pytest.approx(3.0))
    assert power_of([(4, 1.0), (7, 5.0)]) is None
    assert power_of([(4, 1.0), (7, 1.0), (14, 8.0)]) == (pytest.approx(3.0), pytest.approx(7**-3))


def test_messages_grow_with_the_third_power_without_and_the_first_with_a_leader(sweep):
    near = data_of(sweep).where(map="near", silence="none")
    assert means_of(near.where(protocol="hotstuff"), "agreement_messages_per_block") == [
        (n, 8 * (n - 1)) for n in (4, 7, 10)
    ]
    wasp = means_of(near.where(protocol="wasp"), "agreement_messages_per_block")
    assert wasp == [(n, n * (n - 1) * (2 * n + 1) + 5 * n * n * (n - 1)) for n in (4, 7, 10)]
    assert round(power_of(wasp)[0]) == 3


@pytest.mark.parametrize(("number", "text"), [(5, "5"), (1000, "1 k"), (20_000, "20 k"), (3e6, "3 M"), (1e10, "10 G")])
def test_large_numbers_are_short(number, text):
    assert in_thousands(number) == text


def test_the_knee_is_where_machines_have_doubled_the_latency():
    reference = [(4, 10.0), (8, 10.0), (16, 10.0)]
    knee = knee_of([(4, 10.0), (8, 10.0), (16, 40.0)], reference)
    assert knee == (pytest.approx(8 * 2**0.5), pytest.approx(20.0))
    assert knee_of([(4, 10.0), (8, 20.0), (16, 40.0)], reference) == (pytest.approx(8.0), pytest.approx(20.0))
    assert knee_of([(4, 10.0), (8, 12.0), (16, 19.0)], reference) is None
    assert knee_of([(4, 30.0), (8, 40.0)], reference) is None
    assert knee_of([(5, 10.0), (9, 40.0)], reference) is None


def test_the_stages_of_a_block_add_up_to_the_whole(sweep):
    for protocol in ("wasp", "hotstuff"):
        records = data_of(sweep).where(protocol=protocol, map="world", machine="laptop", silence="none").records
        spans = [row["anchored"] for record in records for row in record.spans]
        assert sum(stages_of(records).values()) == pytest.approx(sum(spans) / len(spans) / 1000, rel=0.02)
        assert (stages_of(records)["gathered"] > 0) == (protocol == "hotstuff")
        assert (stages_of(records)["prepared"] > 1) == (protocol == "wasp")


def test_of_many_sizes_some_are_chosen_with_both_ends():
    assert chosen([4, 7, 10, 13, 16, 22, 31, 64, 100], 4) == [4, 13, 31, 100]
    assert chosen([4, 7], 4) == [4, 7]


def test_rounds_are_counted_once_for_each_coin(sweep):
    found = rounds_of(data_of(sweep))
    assert found["wasp"] == Counter({1: 2 * 2 * 10})
    assert found["mmr14"].total() == 2 * 2 * 10 and max(found["mmr14"]) > 2
    assert "hotstuff" not in found


def test_99_of_100_binomial_samples_are_inside():
    draw = stream(1, "samples")
    for total, share in ((64, 0.5), (64, 0.125), (320, 0.01)):
        low, high = within_99(total, share)
        samples = [sum(draw.random() < share for _ in range(total)) for _ in range(400)]
        assert 0.97 <= sum(low <= sample <= high for sample in samples) / len(samples) <= 1
        assert low < total * share < high
    assert within_99(10, 0.0) == (0, 0)


def test_a_saturated_committee_decides_what_it_can_and_latency_grows(loaded):
    slow, middle, fast = loads_of(data_of(loaded))
    assert slow[0] < middle[0] < fast[0] < 400
    assert fast[1] > 2 * slow[1] and all(high >= p50 for _, p50, high in (slow, middle, fast))


def test_the_page_has_a_table_of_medians_for_each_map_and_silence(sweep):
    tables = list(tables_of(data_of(sweep)))
    assert [table.splitlines()[0] for table in tables] == [
        f"**{name}, silent members: {silence}**" for name in ("near", "world") for silence in ("none", "f")
    ]
    lines = tables[0].splitlines()
    assert lines[2:4] == ["| | 4 | 7 | 10 |", "|---|---|---|---|"]
    assert "| wasp, anchored, CPU off | 12.0 | 12.0 | 12.0 |" in lines
