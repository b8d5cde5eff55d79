from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest

from ledger.kernel.rejection import Rejected
from node.hardware import OPERATIONS, hardware_profile, read_hardware
from node.shipped import shipped

LAPTOP = shipped("hardware", "laptop.toml").read_text()


def test_costs_are_whole_picoseconds_per_unit_and_per_byte():
    profile = hardware_profile("laptop")
    assert {operation: profile.costs[operation] for operation in ("sign", "hash", "gas")} == {
        "sign": 28_500_000,
        "hash": 3_760,
        "gas": 1_900,
    }
    assert (profile.name, profile.fsync, profile.bandwidth) == ("laptop", 1_000, 1_000_000_000)


@pytest.mark.parametrize("name", ["cloud-core", "laptop", "raspberry-pi-4"])
def test_every_number_of_a_shipped_profile_has_a_source(name: str):
    profile = hardware_profile(name)
    assert set(profile.costs) == set(OPERATIONS)
    assert set(profile.sources) == {*OPERATIONS, "bandwidth", "fsync", "disk", "hashing"}
    assert all(profile.sources.values())


def test_what_the_raspberry_pi_is_scaled_by_is_what_its_sources_say():
    laptop, raspberry = hardware_profile("laptop"), hardware_profile("raspberry-pi-4")
    factors = {}
    for operation in OPERATIONS:
        scaled = re.match(r"scaled: laptop x ([0-9.]+), ", raspberry.sources[operation])
        if scaled:
            factors[operation] = Decimal(scaled[1])
            assert raspberry.costs[operation] == int(laptop.costs[operation] * factors[operation]), operation
    assert set(OPERATIONS) - set(factors) == {"sign", "verify"}


@pytest.mark.parametrize(
    ("damage", "detail"),
    [
        (("sign = {", "sing = {"), "sing is not an operation or a device"),
        (("us = 28.5", "us = 0"), 'sign: { us = a number, source = "..." } expected, not 0'),
        (("us = 28.5", 'us = "fast"'), 'sign: { us = a number, source = "..." } expected'),
        (("us_per_kb = 0.035", "us = 0.035"), 'encode: { us_per_kb = a number, source = "..." } expected'),
        (("us = 28.5, source", "us = 28.5, sauce"), 'sign: { us = a number, source = "..." } expected'),
        (("sign = {", "sign = "), "Invalid value"),
    ],
)
def test_a_bad_profile_is_refused_with_the_file_and_the_field(tmp_path: Path, damage: tuple[str, str], detail: str):
    path = tmp_path / "mine.toml"
    path.write_text(LAPTOP.replace(*damage))
    with pytest.raises(Rejected) as refusal:
        read_hardware(path)
    assert refusal.value.code == "bad_hardware_profile"
    assert str(path) in refusal.value.detail or "Invalid" in detail
    assert detail in refusal.value.detail


def test_an_unknown_profile_is_refused_with_the_known_ones():
    with pytest.raises(Rejected, match="known are cloud-core, laptop, raspberry-pi-4"):
        hardware_profile("abacus")
