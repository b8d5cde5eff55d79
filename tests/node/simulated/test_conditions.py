"""Delays, bandwidth, frames, CPU and disk are switched one by one, in a configuration and by the command line's options."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.kernel.automaton import NodeId
from ledger.kernel.rejection import Rejected
from node.configuration import HardwareSection, NetworkSection
from node.hardware import hardware_profile
from node.simulated.conditions import Conditions, conditions, hardware_section, network_section
from node.simulated.delay_tables import delay_table
from node.simulated.delays import ConstantDelay, DelayModel, LogNormalDelay, NormalDelay, UniformDelay
from node.simulated.disk import disk_of

NODES = [NodeId(f"n{place}") for place in range(3)]
LAPTOP = hardware_profile("laptop")
DISK = disk_of(LAPTOP)
GIGABIT = LAPTOP.bandwidth


def conditions_of(network: NetworkSection, hardware: HardwareSection, folder: Path = Path()) -> Conditions:
    return conditions(network, hardware, NODES, folder)


@pytest.mark.parametrize(
    ("fields", "model"),
    [
        ({"model": "constant"}, ConstantDelay(25_000)),
        ({"model": "uniform"}, UniformDelay(20_000, 30_000)),
        ({"model": "uniform", "jitter": "25ms"}, UniformDelay(0, 50_000)),
        ({"model": "normal"}, NormalDelay(25_000, 5_000, low=100)),
        ({"model": "lognormal"}, LogNormalDelay(25_000, 0.2)),
        ({"model": "matrix"}, delay_table("aws-regions").place(NODES, jitter=200_000)),
        (
            {"model": "matrix", "matrix": "lan", "jitter": "0s", "placement": ["lan"]},
            delay_table("lan").place(NODES),
        ),
    ],
)
def test_every_delay_model_has_a_name(fields: dict[str, object], model: DelayModel):
    network = conditions_of(NetworkSection.model_validate(fields), HardwareSection()).network
    assert network.delay == model


def test_the_jitter_of_uniform_delays_is_at_most_the_delay():
    section = NetworkSection(model="uniform", delay="25ms", jitter="26ms")  # type: ignore[arg-type]
    with pytest.raises(Rejected, match="a jitter of at most the delay expected, not 26ms of 25ms"):
        conditions_of(section, HardwareSection())


@pytest.mark.parametrize(
    ("hardware", "bandwidth", "expected"),
    [
        ({}, None, (LAPTOP, DISK, GIGABIT)),
        ({"cpu": False}, None, (None, None, None)),
        ({"cpu": False, "disk": True}, None, (None, DISK, None)),
        ({"cpu": False}, 1_000_000, (None, None, 1_000_000)),
        ({"disk": False}, None, (LAPTOP, None, GIGABIT)),
        ({}, "unlimited", (LAPTOP, DISK, None)),
        ({}, "20M", (LAPTOP, DISK, 20_000_000)),
    ],
)
def test_cpu_disk_and_bandwidth_are_switched_one_by_one_and_without_cpu_the_others_are_off_unless_named(
    hardware: dict[str, object], bandwidth: object, expected: tuple[object, ...]
):
    network = NetworkSection.model_validate({"bandwidth": bandwidth})
    made = conditions_of(network, HardwareSection.model_validate(hardware))
    assert (made.cpu, made.disk, made.network.bandwidth) == expected


@pytest.mark.parametrize(
    ("cpu", "bandwidth", "each", "others"),
    [
        (True, None, 150_000, GIGABIT),
        (True, "1M", None, 1_000_000),
        (False, None, None, None),
        (False, "1M", None, 1_000_000),
    ],
)
def test_a_matrix_with_bandwidths_limits_the_hardware_unless_a_bandwidth_is_named(
    cpu: bool, bandwidth: str | None, each: int | None, others: int | None
):
    network = network_section(matrix="microgrid", bandwidth=bandwidth)
    made = conditions_of(network, HardwareSection(cpu=cpu)).network
    assert made.bandwidth == others
    assert made.bandwidths == ({} if each is None else dict.fromkeys(NODES, each))


def test_a_matrix_faster_than_the_network_card_does_not_speed_it_up(tmp_path: Path):
    (tmp_path / "fast.csv").write_text("x,a,bits_per_second\na,1,2000000000\n")
    made = conditions_of(network_section(matrix="fast.csv"), HardwareSection(), tmp_path)
    assert made.network.bandwidths == dict.fromkeys(NODES, GIGABIT)


def test_frames_are_shared_unless_that_is_switched_off():
    assert [conditions_of(network_section(frames=on), HardwareSection()).network.bundling for on in (True, False)] == [
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("options", "model"),
    [
        ({}, ConstantDelay(25_000)),
        ({"delay": "40ms"}, ConstantDelay(40_000)),
        ({"delay": "25ms", "jitter": "10ms"}, UniformDelay(15_000, 35_000)),
        ({"jitter": "10ms"}, UniformDelay(15_000, 35_000)),
        ({"matrix": "aws-regions"}, delay_table("aws-regions").place(NODES)),
        (
            {"matrix": "aws-regions", "placement": "Tokyo, London"},
            delay_table("aws-regions").place(NODES, dict(zip(NODES, ("Tokyo", "London", "Tokyo"), strict=True))),
        ),
    ],
)
def test_options_name_a_delay_model(options: dict[str, str], model: DelayModel):
    assert conditions_of(network_section(**options), hardware_section()).network.delay == model  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "detail"),
    [
        ({"delay": "25"}, "--delay: expected a duration such as"),
        ({"jitter": "soon"}, "--jitter: expected a duration such as"),
        ({"bandwidth": "fast"}, "--bandwidth: expected bits per second from 1000 to 1000000000000000, such as"),
        ({"matrix": "lan", "delay": "25ms"}, "--matrix has delays of its own: expected without --delay and --jitter"),
        ({"matrix": "lan", "jitter": "25ms"}, "--matrix has delays of its own: expected without --delay and --jitter"),
        ({"placement": "Tokyo"}, "--placement names regions of a matrix: expected with --matrix"),
    ],
)
def test_options_that_make_no_network_are_refused(options: dict[str, str], detail: str):
    with pytest.raises(Rejected) as refusal:
        network_section(**options)  # type: ignore[arg-type]
    assert (refusal.value.code, refusal.value.detail[: len(detail)]) == ("bad_option", detail)


@pytest.mark.parametrize(
    ("network", "hardware", "code"),
    [
        (network_section(matrix="moon"), hardware_section(), "bad_delay_table"),
        (network_section(matrix="lan", placement="moon"), hardware_section(), "bad_placement"),
        (network_section(matrix="lan", placement=""), hardware_section(), "bad_placement"),
        (network_section(delay="1ms", jitter="2ms"), hardware_section(), "bad_delay"),
        (network_section(), hardware_section("abacus"), "bad_hardware_profile"),
    ],
)
def test_what_is_named_and_does_not_exist_is_refused(network: NetworkSection, hardware: HardwareSection, code: str):
    with pytest.raises(Rejected) as refusal:
        conditions_of(network, hardware)
    assert refusal.value.code == code


def test_options_name_the_machine():
    assert hardware_section() == HardwareSection(cpu=False)
    assert hardware_section("off", disk=True) == HardwareSection(cpu=False, disk=True)
    assert hardware_section("raspberry-pi-4", disk=False) == HardwareSection(profile="raspberry-pi-4", disk=False)
