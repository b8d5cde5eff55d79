"""Calibration: every operation can be measured, and what is written can be read as a hardware profile."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from node.cli import main
from node.configuration import ConfigurationError
from node.experiments import calibration
from node.experiments.calibration import Calibration, Document, calibrate, key_costs, rounded, write_profile
from node.experiments.calibration_work import cpu_work, frame_cost, hashing_work
from node.hardware import DEVICES, OPERATIONS, PER_KILOBYTE, PICOSECONDS, hardware_profile

NOW = datetime(2031, 5, 4, tzinfo=UTC)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """One repetition, as short as can be."""
    for name, value in (("REPETITIONS", 1), ("REPETITION_SECONDS", 1e-9), ("FRAME_SECONDS", 1e-9),
                        ("HASHING_SECONDS", 1e-9), ("SYNCS", 2), ("DISK_SIZE", 1_000_000)):  # fmt: skip
        monkeypatch.setattr(calibration, name, value)


def unit_document() -> Document:
    """A profile on which everything costs a microsecond."""
    return {operation: {"us": 1.0, "source": "x"} for operation in OPERATIONS}


def test_there_is_work_for_every_operation_and_it_tells_how_much_it_was():
    work = cpu_work()
    assert {*work, "frame"} == set(OPERATIONS)
    units = {operation: prepare()() for operation, prepare in work.items()}
    assert all(amount > 0 for amount in units.values())
    assert {operation: units[operation] for operation in ("sign", "digest", "lagrange", "hash", "encode", "cipher")} == {
        "sign": 1, "digest": 1, "lagrange": 33, "hash": 1, "encode": 100, "cipher": 100,
    }  # fmt: skip
    # Per member a broadcast, Initial, Echo and Ready, and an agreement of two rounds: BVal and Aux twice, Done.
    assert units["message"] == 16 * (16 + 2 * 16**2) + 16 * 5 * 16**2
    assert frame_cost(1e-9) > 0
    assert hashing_work()() >= 1


@pytest.mark.usefixtures("quick")
def test_a_calibration_is_a_hardware_profile_that_names_the_machine_and_the_day(tmp_path: Path):
    told: list[str] = []
    made = calibrate(tmp_path / "mine.toml", "100M", NOW, told.append)
    assert list(tmp_path.iterdir()) == [tmp_path / "mine.toml"]
    assert list(made.profile) == [*OPERATIONS, *DEVICES]
    profile = hardware_profile("mine.toml", tmp_path)
    for operation in OPERATIONS:
        unit = "us_per_kb" if operation in PER_KILOBYTE else "us"
        picoseconds = made.profile[operation][unit] * PICOSECONDS / (1000 if operation in PER_KILOBYTE else 1)
        assert profile.costs[operation] == pytest.approx(picoseconds, abs=1)
        assert profile.sources[operation].startswith("measured on ")
        assert profile.sources[operation].endswith(", 2031-05-04")
        assert "PyNaCl" in profile.sources[operation]
    assert profile.bandwidth == 100_000_000
    assert profile.sources["bandwidth"] == "given to tanglegrid calibrate, not measured"
    assert profile.fsync == made.profile["fsync"]["us"]
    assert told[0] == "making ready"


@pytest.mark.usefixtures("quick")
def test_without_a_file_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    calibrate(None, "1G", NOW, lambda step: None)
    assert list(tmp_path.iterdir()) == []


def test_a_profile_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "mine.toml"
    path.write_text("before")

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fail)
        with pytest.raises(OSError, match="No space left"):
            write_profile(path, unit_document())
    assert (path.read_text(), list(tmp_path.iterdir())) == ("before", [path])
    write_profile(path, unit_document())
    assert path.read_text().startswith("# ") and 'sign = { us = 1.0, source = "x" }' in path.read_text()


@pytest.mark.parametrize(
    ("out", "bandwidth", "problems"),
    [
        ("mine.txt", "1G", ["--out mine.txt: expected a file that ends in .toml, in a folder that exists"]),
        (
            "nowhere/mine.toml",
            "1G",
            ["--out nowhere/mine.toml: expected a file that ends in .toml, in a folder that exists"],
        ),
        (None, "unlimited", ["--bandwidth: expected bits per second, not 'unlimited'"]),
        ("x", "fast", ["--out x: expected a file", "--bandwidth: expected bits per second from 1000 to"]),
    ],
)
def test_what_cannot_be_used_is_told_before_anything_is_measured(out: str | None, bandwidth: str, problems: list[str]):
    with pytest.raises(ConfigurationError) as refusal:
        calibrate(None if out is None else Path(out), bandwidth, NOW, lambda step: pytest.fail("measured"))
    assert [
        str(told)[: len(expected)] for told, expected in zip(refusal.value.problems, problems, strict=True)
    ] == problems


def test_costs_of_keys_follow_from_the_profile():
    document = unit_document()
    document["point_multiply"]["us"] = 100.0
    # n = 4: f + 1 = 2 points times weights, one sum, 2 x 2 factors.
    assert key_costs(document, 4)["coin combine"] == 205.0


def test_measured_numbers_have_three_digits():
    assert [rounded(value) for value in (0.0123456, 1.23456, 123_456)] == [0.0123, 1.23, 123_000]


def test_the_table_shows_what_was_measured_beside_the_formula():
    text = Calibration(
        {**unit_document(), "hashing": {"hashes_per_second": 5, "source": "x"}}, {"coin share": 7.0}
    ).text()
    assert "  sign                      1.0 us\n" in text
    assert "  hashing                     5 hashes per second\n" in text
    assert "  coin share                          7         7         7               7\n" in text


@pytest.mark.usefixtures("quick")
def test_the_command_prints_one_object_and_tells_its_progress_apart(tmp_path: Path):
    result = CliRunner().invoke(main, ["calibrate", "--json", "--out", str(tmp_path / "mine.toml")])
    assert result.exit_code == 0
    printed = json.loads(result.stdout)
    assert sorted(printed) == ["keys_measured_us", "keys_us", "profile"]
    assert sorted(printed["keys_us"], key=int) == ["4", "16", "64"]
    assert printed["keys_measured_us"]["16"].keys() <= printed["keys_us"]["16"].keys()
    assert result.stderr.startswith("measuring: making ready\n")


def test_the_command_refuses_what_it_cannot_use():
    result = CliRunner().invoke(main, ["calibrate", "--bandwidth", "0"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: --bandwidth: expected bits per second from 1000 to")
