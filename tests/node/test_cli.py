"""The command: exit codes, what goes where, and what it says when something is in its way."""

import json
import os
import subprocess
import sys
from pathlib import Path

import click.testing
import pytest

from ledger.tangle import Tangle
from node import cli
from node.experiments import run as run_module
from node.experiments.invariants import Invariants
from tests.harness.small_run import HOMES, crash, write_small

ROOT = Path(__file__).parents[2]
KEYS = {
    "digest", "seed", "energy_wh", "money_micropence", "latency_us", "chains", "missed_gates", "unsettled", "invariants",
    "violations",
}  # fmt: skip
ENERGY = {
    "demand", "generation", "self_consumed", "local", "between_microgrids", "grid_bought", "grid_sold", "imbalance_bought",
    "imbalance_sold",
}  # fmt: skip


@pytest.fixture
def tanglegrid():
    """Runs the command within this process."""

    def run(*arguments):
        return click.testing.CliRunner().invoke(cli.main, [str(argument) for argument in arguments])

    return run


@pytest.fixture
def instant_run(monkeypatch):
    """A run whose simulation ends at once: for what is around it."""
    monkeypatch.setattr(run_module, "is_drained", lambda *_: True)
    real = run_module.SimulatedScenario

    class Short(real):  # type: ignore[valid-type,misc]
        end = 60_000_000

    monkeypatch.setattr(run_module, "SimulatedScenario", Short)


def below(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


# ------------------------------------------------------------------------------------------------------ what it prints


def test_json_is_one_object_with_all_keys_and_nothing_else(tmp_path, tanglegrid):
    done = tanglegrid("run", write_small(tmp_path), "--json", "--seed", 5, "--set", "market.rounds=1")
    assert (done.exit_code, done.stderr) == (0, "")
    summary = json.loads(done.stdout)
    assert summary.keys() >= KEYS
    assert summary["energy_wh"].keys() == ENERGY
    assert summary["money_micropence"].keys() == {"before", "after"}
    assert summary["missed_gates"].keys() == {"home", "chain"}
    assert set(summary["latency_us"]["confirmed"]) == {"p50", "p95", "p99"}
    assert summary["chains"]["town"].keys() >= {"blocks", "anchors_confirmed"}
    assert summary["seed"] == 5
    assert below(tmp_path) == ["readings.csv", "small.toml"]


def test_a_run_leaves_its_folder_and_prints_its_summary(tmp_path, tanglegrid):
    path, out = write_small(tmp_path), tmp_path / "runs" / "first"
    done = tanglegrid("run", path, "--out", out)
    assert (done.exit_code, done.stderr) == (0, "")
    summary = json.loads((out / "summary.json").read_text())
    manifest = json.loads((out / "manifest.json").read_text())
    assert summary["digest"] == manifest["digest"]
    assert f"digest: {summary['digest']}" in done.stdout
    assert {"report.html", "trades.parquet", "blocks.parquet"} <= set(below(out))
    again = tanglegrid("run", path, "--out", out, "--no-report")
    assert again.exit_code == 0 and "report.html" not in below(out)
    assert json.loads((out / "summary.json").read_text()) == summary


def test_warnings_go_to_standard_error_before_the_run_and_into_the_summary(tmp_path, tanglegrid, instant_run):
    done = tanglegrid("run", write_small(tmp_path, crash("90h", "a1")), "--json")
    warning = "faults[0]: crash at 3d18h is after the end of the run: expected before 1m"
    assert (done.exit_code, done.stderr) == (0, f"warning: {warning}\n")
    assert json.loads(done.stdout)["warnings"] == [warning]


def test_a_check_prints_the_plan_and_the_warnings_and_runs_nothing(tmp_path, tanglegrid, monkeypatch):
    monkeypatch.setattr(run_module, "run_scenario", None)
    path = write_small(tmp_path, crash("90h", "a1"))
    done = tanglegrid("check", path, "--set", "scenario.intervals=2")
    assert done.exit_code == 0 and done.stdout.startswith(
        "small: 2 delivery intervals of 1h, 8 homes on 3 chains, 4 layer"
    )
    assert done.stderr == "warning: faults[0]: crash at 3d18h is after the end of the run: expected before 3h15m\n"
    refused = tanglegrid("check", path, "--set", "market.round=2")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr == "error: --set market.round: is no field: did you mean 'rounds'?\n"
    assert below(tmp_path) == ["readings.csv", "small.toml"]


def test_help_says_what_the_command_does(tanglegrid):
    text = tanglegrid("run", "--help").stdout
    for part in ("CONFIGURATION", "--set KEY=VALUE", "market.rounds=5", "--seed", "--out", "--json", "Exit codes"):
        assert part in text
    assert "tanglegrid, version" in tanglegrid("--version").stdout


# ------------------------------------------------------------------------------------------------------- what is refused


def files_in_the_way(folder):
    (folder / "empty.toml").write_text("")
    (folder / "binary.toml").write_bytes(bytes(range(256)))
    return [
        (folder / "none.toml", "can't be read: No such file or directory"),
        (folder, "can't be read: Is a directory"),
        (folder / "empty.toml", ':1: [scenario] with name = "..." is missing'),
        (folder / "binary.toml", "expected"),
    ]


@pytest.mark.parametrize("case", range(4))
def test_a_configuration_that_is_none_is_told_in_a_line(tmp_path, tanglegrid, case):
    path, told = files_in_the_way(tmp_path)[case]
    done = tanglegrid("run", path, "--out", tmp_path / "out")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {path}:") and told in done.stderr
    assert not (tmp_path / "out").exists()


LATER = [
    ("data.file=none.csv", "{folder}/none.csv: can't be read: No such file or directory"),
    (
        "data.first_row=4",
        "--set data.first_row: {folder}/readings.csv has 4 rows of data; rows 4 to 4 are",
    ),
    (
        "data.load_column={home}.up",
        "{folder}/readings.csv:1: column 'a1.up' is missing\n",
    ),
    (
        "market.connection=2999",
        "--set market.connection: a1 has a net of 3000 Wh in interval 0, at most 2999 expected: raise ",
    ),
    ("market.gate=1m", "--set market.gate: market: the last gate is 2m after delivery begins, not after it expected\n"),
    (
        "market.gate=2h",
        "--set market.gate: market: opening is 20m before delivery, at least 2h2m expected: 2 rounds of 1m before the gate ",
    ),
    (
        "hardware.profile=mainframe",
        "--set hardware.profile: no profile is named 'mainframe'; known are",
    ),
    ("hardware.profile=mine.toml", "--set hardware.profile: {folder}/mine.toml: "),
    ("network={model='matrix', matrix='moon'}", "--set network: no table is named 'moon'; known are"),
    ("network={model='matrix', placement=['moon']}", "--set network: tangle1 is in 'moon'; one of"),
    (
        "ledger={topology='given', links=[[1,2],[3,4]]}",
        "--set ledger: ledger.links: expected links that connect all nodes",
    ),
    ("ledger={pow_rate=1.0}", "--set ledger: goshimmer-0.8 with "),
]


@pytest.mark.parametrize("command", ["run", "check"])
@pytest.mark.parametrize(("override", "told"), LATER)
def test_what_shows_when_parts_are_put_together_is_told_in_the_same_way(tmp_path, tanglegrid, override, told, command):
    done = tanglegrid(command, write_small(tmp_path), "--set", override)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {told.replace('{folder}', str(tmp_path))}")
    assert "Traceback" not in done.stderr


def test_wrong_options_are_told(tmp_path, tanglegrid):
    path = write_small(tmp_path)
    for arguments in (["run"], ["run", path, "--seed", "-1"], ["run", path, "--colour"], ["walk"]):
        done = tanglegrid(*arguments)
        assert done.exit_code == 2 and "Usage:" in done.stderr


def refused(*_arguments, **_keywords):
    raise OSError(30, "Read-only file system")


@pytest.mark.parametrize("kind", ["file", "other folder", "below a file", "read-only folder"])
def test_a_place_that_can_t_be_used_is_told_before_the_run(tmp_path, tanglegrid, monkeypatch, kind):
    path, out = write_small(tmp_path), tmp_path / "out"
    if kind == "file":
        out.write_text("x")
    elif kind == "other folder":
        out.mkdir()
        (out / "photo").write_text("x")
    elif kind == "below a file":
        (tmp_path / "taken").write_text("x")
        out = tmp_path / "taken" / "out"
    else:
        monkeypatch.setattr(Path, "mkdir", refused)
    monkeypatch.setattr(run_module, "run_scenario", None)
    before = below(tmp_path)
    done = tanglegrid("run", path, "--out", out)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: --out {out}: ") and done.stderr.count("\n") == 1
    assert below(tmp_path) == before


# ---------------------------------------------------------------------------------------------------------- what breaks


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, tanglegrid, monkeypatch, instant_run):
    def full(*_arguments, **_keywords):
        raise OSError(28, "No space left on device")

    path = write_small(tmp_path)
    monkeypatch.setattr(Path, "write_text", full)
    before = below(tmp_path)
    done = tanglegrid("run", path, "--out", tmp_path / "deep" / "out", "--no-report")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == f"error: {tmp_path}/deep/out: No space left on device\n"
    assert below(tmp_path) == before


def test_an_error_of_the_program_says_how_to_see_it_again(tmp_path, tanglegrid, monkeypatch):
    def stumble(*_):
        raise LookupError("stumbled")

    monkeypatch.setattr(Tangle, "handle_timer", stumble)
    path = write_small(tmp_path)
    done = tanglegrid("run", path, "--out", tmp_path / "out")
    assert (done.exit_code, done.stdout) == (1, "")
    first, second, third = done.stderr.splitlines()
    assert first.startswith("error: tangle1 (incarnation 1) failed at ") and "seed 1" in first
    assert second == "error: this is an error of tanglegrid: LookupError: stumbled"
    assert "--traceback" in third
    assert not (tmp_path / "out").exists()
    shown = tanglegrid("run", path, "--traceback")
    assert shown.exit_code == 1 and isinstance(shown.exception.__cause__, LookupError)


def test_a_broken_invariant_fails_the_command_and_keeps_the_results(tmp_path, tanglegrid, monkeypatch, instant_run):
    def wrong(self, name, holds, place):
        self.checked[name] += 1
        self.violations[:] = ["supply: somewhere"]

    monkeypatch.setattr(Invariants, "check", wrong)
    done = tanglegrid("run", write_small(tmp_path), "--out", tmp_path / "out", "--json", "--no-report")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["violations"] == ["supply: somewhere"]
    assert done.stderr == "error: an invariant is broken: supply: somewhere\n"
    assert (tmp_path / "out" / "summary.json").is_file()


def test_what_is_unsettled_is_no_failure(tmp_path, tanglegrid):
    path = write_small(tmp_path, crash("48m30s", *HOMES))
    done = tanglegrid("run", path, "--set", "scenario.drain_max=1m")
    assert done.exit_code == 0
    assert "unsettled: 2\n  what order, chain town, interval 0, account north, side ask, energy_wh 2689" in done.stdout


INTERRUPTED_RUN = """
import os, signal, sys
from node.cli import main
from node.simulated.runtime import SimulatedRuntime

run_until = SimulatedRuntime.run_until

def interrupted(self, instant):
    run_until(self, instant)
    os.kill(os.getpid(), signal.SIGINT)

SimulatedRuntime.run_until = interrupted
main(sys.argv[1:])
"""


def test_an_interruption_ends_with_a_line_and_leaves_nothing(tmp_path):
    command = [sys.executable, "-c", INTERRUPTED_RUN, "run", str(write_small(tmp_path)), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "error: interrupted; nothing was written\n"
    assert below(tmp_path) == ["readings.csv", "small.toml"]


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path):
    code = "import sys; from node.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, "run", str(write_small(tmp_path))]
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(command, cwd=ROOT, stdout=write_end, stderr=subprocess.PIPE, text=True)
    os.close(write_end)
    assert (done.returncode, done.stderr) == (0, "")
