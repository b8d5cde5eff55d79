"""``tanglegrid consensus``: what it prints, what it leaves, how it ends."""

import json
import os
import subprocess
import sys
from pathlib import Path

import click.testing
import pytest

from node import cli
from node.experiments import committee_run

ROOT = Path(__file__).parents[2]
MEASURED = ("events_per_cpu_second", "cpu_seconds", "peak_memory_bytes")


@pytest.fixture
def consensus():
    """Runs the command within this process."""

    def run(*arguments):
        return click.testing.CliRunner().invoke(cli.main, ["consensus", *[str(argument) for argument in arguments]])

    return run


def test_json_is_one_object_with_the_exact_latencies_and_nothing_else(consensus):
    done = consensus("--protocol", "wasp", "--nodes", 4, "--delay", "25ms", "--cpu", "off", "--blocks", 2, "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    summary = json.loads(done.stdout)
    assert summary["decided_us"] == [dict.fromkeys(("n0", "n1", "n2", "n3"), 125_000)] * 2
    assert (summary["protocol"], summary["nodes"], summary["rounds"]) == ("wasp", 4, [1, 1])
    assert summary["events_per_cpu_second"] > 0 and summary["peak_memory_bytes"] > 10_000_000


def test_the_table_is_readable_and_no_line_is_too_wide(consensus):
    done = consensus("--nodes", 7, "--silent", 2, "--blocks", 2, "--rate", 20, "--matrix", "aws-regions")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0].startswith("wasp, 7 nodes, 2 of them silent, seed 1: 2 blocks in ")
    for words in (
        "latency, ms",
        "first proposal to decided",
        "request: sent to anchored",
        "per block: ",
        "rounds of",
        "digest: ",
    ):
        assert any(words in line for line in lines)
    assert max(map(len, lines)) <= 100


def test_results_are_written_to_a_file(consensus, tmp_path):
    done = consensus("--blocks", 1, "--out", tmp_path / "result.json", "--json")
    assert done.exit_code == 0
    assert json.loads((tmp_path / "result.json").read_text()) == json.loads(done.stdout)
    refused = consensus("--blocks", 1, "--out", tmp_path / "nowhere" / "result.json")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr.endswith("expected a file in a folder that exists\n")


def test_more_than_f_silent_nodes_end_it_with_1_and_the_reason(consensus):
    done = consensus("--nodes", 4, "--silent", 2, "--blocks", 2, "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["decided_us"] == [{}, {}]
    problems = done.stderr.splitlines()
    assert problems[0] == "error: 0 of 2 blocks were decided; nobody got any further"
    assert problems[1] == "error: 2 of 4 nodes are silent, at most 1 may be"


@pytest.mark.parametrize(
    "arguments",
    [("--silent",), ("--nodes", 0), ("--matrix", "atlantis"), ("--matrix", "aws-regions", "--placement", "Mars"),
     ("--matrix", "aws-regions", "--jitter", "1ms"), ("--protocol", "dice"), ("--cpu", "abacus"), ("--nodes", "few")],
)  # fmt: skip
def test_an_unusable_option_ends_it_with_2_before_anything_runs(consensus, monkeypatch, arguments):
    monkeypatch.setattr(committee_run, "run_committee", None)
    refused = consensus(*arguments)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert arguments[-2 if len(arguments) > 1 else 0] in refused.stderr


def test_a_matrix_of_ones_own_places_the_nodes(consensus, tmp_path):
    (tmp_path / "two.csv").write_text("from,here,there\nhere,1,40\nthere,40,1\n")
    done = consensus(
        "--protocol", "pbft", "--blocks", 1, "--matrix", tmp_path / "two.csv", "--placement", "here,here,here,there", "--json"
    )  # fmt: skip
    assert done.exit_code == 0
    (decided,) = json.loads(done.stdout)["decided_us"]
    assert decided["n3"] > decided["n0"] == decided["n1"]


def test_two_hash_seeds_give_one_result():
    outputs = []
    for hash_seed in ("1", "2"):
        command = [
            sys.executable,
            "-c",
            "from node.cli import main; main()",
            "consensus",
            "--jitter",
            "10ms",
            "--rate",
            "60",
        ]
        done = subprocess.run(
            [*command, "--nodes", "5", "--silent", "1", "--blocks", "3", "--json"],
            cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": hash_seed}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        outputs.append(json.loads(done.stdout))
    first, second = ({key: value for key, value in output.items() if key not in MEASURED} for output in outputs)
    assert first == second
