"""``tanglegrid calibrate``: measures this machine, and makes a hardware profile of it.

Every operation is repeated for some milliseconds of CPU time, in several rounds of all of them, so that a moment in which
the machine is slow touches one sample of each; its cost is the median. What is counted is CPU time, and for the disk time on
the wall: fsync by small writes, its rate by a large one, in the folder of the profile or the present one. The network card
is not measured, it is what the user says.

What threshold operations cost follows from those of the group (``node.work``). For some of them the table shows what they
really take beside what the formula says, so that one can see how good that is.
"""

from __future__ import annotations

import json
import os
import platform
import tempfile
from collections.abc import Callable, Mapping
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

from ledger.kernel.encoding import Frozen
from ledger.kernel.key_dealer import deal_member_keys
from ledger.kernel.quorum import max_faulty
from ledger.kernel.rng import stream
from ledger.kernel.threshold import MemberKeys
from node.configuration import ConfigurationError, parse_bandwidth
from node.experiments.calibration_work import MESSAGE, Work, cpu_work, frame_cost, hashing_work
from node.hardware import OPERATIONS, PER_KILOBYTE, Operation
from node.work import key_work

REPETITIONS = 9
REPETITION_SECONDS = 0.03
"""Of CPU time: long against the clock's tick; with all operations it is some ten seconds."""
FRAME_SECONDS = 0.1
HASHING_SECONDS = 0.5
SYNCS = 30
SYNC_SIZE = 512
DISK_SIZE = 32_000_000
DIGITS = 3
"""Of a measured number: the next ones change from run to run."""
SIZES = (4, 16, 64)
"""Committees for which the table shows the derived costs."""
CHECKED = 16
"""The committee whose keys are really used, to compare."""

Progress = Callable[[str], None]
Document = dict[str, dict[str, Any]]
"""A profile as its file holds it: for every field a number with its unit, and a source."""


class Calibration(Frozen):
    """What was measured."""

    profile: Document
    keys: dict[str, float]
    """Microseconds that some operations of the real keys of a committee of ``CHECKED`` took."""

    def json(self) -> str:
        """For programs: the profile, what the operations of keys cost by the formulas, and what some of them took."""
        derived = {str(n): key_costs(self.profile, n) for n in SIZES}
        return json.dumps({"profile": self.profile, "keys_us": derived, "keys_measured_us": {str(CHECKED): self.keys}})

    def text(self) -> str:
        """For people."""
        return table_text(self.profile, self.keys)


def calibrate(out: Path | None, bandwidth: str, now: datetime, progress: Progress) -> Calibration:
    """Measure this machine, its disk where the profile is to be, and write the profile if it is to be somewhere.

    Errors: ``ConfigurationError``, ``OSError`` of the disk.
    """
    problems = []
    if out is not None and (out.suffix != ".toml" or out.is_dir() or not out.parent.is_dir()):
        problems.append(f"--out {out}: expected a file that ends in .toml, in a folder that exists")
    try:
        rate = parse_bandwidth(bandwidth)
        if rate == "unlimited":
            raise ValueError(f"expected bits per second, not {bandwidth!r}")
    except ValueError as error:
        problems.append(f"--bandwidth: {error}")
    if problems:
        raise ConfigurationError(problems)
    assert isinstance(rate, int)
    profile = measured_profile(out.parent if out is not None else Path(), rate, now, progress)
    progress("operations of keys")
    calibration = Calibration(profile, measured_key_costs())
    if out is not None:
        write_profile(out, profile)
    return calibration


def measured_profile(folder: Path, bandwidth: int, now: datetime, progress: Progress) -> Document:
    """Measure everything; the disk in this folder.

    Errors: ``OSError`` of the disk.
    """
    source = f"measured on {machine_name()}, {now:%Y-%m-%d}"
    document: Document = {}
    costs = cpu_costs(progress)
    for operation in OPERATIONS:
        unit = "us_per_kb" if operation in PER_KILOBYTE else "us"
        document[operation] = {unit: rounded(costs[operation]), "source": source}
    document["bandwidth"] = {"bits_per_second": bandwidth, "source": "given to tanglegrid calibrate, not measured"}
    progress("disk")
    syncs, size = f"{SYNCS} writes of {SYNC_SIZE} B, the median", f"{DISK_SIZE // 1_000_000} MB"
    document["fsync"] = {"us": max(1, round(fsync_us(folder))), "source": f"{source}; {syncs}, on the wall"}
    rate = round(rounded(disk_rate(folder)))
    document["disk"] = {"bytes_per_second": rate, "source": f"{source}; {size} written and synced, on the wall"}
    progress("proof of work")
    rate = round(rounded(hash_rate()))
    document["hashing"] = {"hashes_per_second": rate, "source": f"{source}; one core, BLAKE2b-512"}
    return document


def cpu_costs(progress: Progress) -> dict[Operation, float]:
    """CPU microseconds per unit of each operation."""
    progress("making ready")
    work = {operation: prepare() for operation, prepare in cpu_work().items()}
    for act in work.values():
        act()
    samples: dict[Operation, list[float]] = {operation: [] for operation in (*work, "frame")}
    for repetition in range(REPETITIONS):
        progress(f"operations, {repetition + 1} of {REPETITIONS}")
        for operation, act in work.items():
            samples[operation].append(_repetition(act, REPETITION_SECONDS))
        samples["frame"].append(frame_cost(FRAME_SECONDS))
    return {operation: median(costs) for operation, costs in samples.items()}


def machine_name() -> str:
    """Processor, Python and the libraries that do the work."""
    return f"{processor()}, {platform.python_implementation()} {platform.python_version()}, PyNaCl {version('pynacl')}"


def processor() -> str:
    """The name of this machine's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def rounded(value: float) -> float:
    """The number to ``DIGITS`` significant digits."""
    return float(f"{value:.{DIGITS}g}")


# ------------------------------------------------------------------------------------------------------------- measuring


def _repetition(work: Work, seconds: float) -> float:
    begin = process_time()
    units = work()
    while (spent := process_time() - begin) < seconds:
        units += work()
    return spent / units * 1_000_000


def hash_rate() -> float:
    """Hashes per CPU second."""
    return 1_000_000 / _repetition(hashing_work(), HASHING_SECONDS)


def fsync_us(folder: Path) -> float:
    """Microseconds on the wall until a small write is durable."""
    spent = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(SYNCS):
            begin = perf_counter()
            file.write(bytes(SYNC_SIZE))
            file.flush()
            os.fsync(file.fileno())
            spent.append(perf_counter() - begin)
    return median(spent) * 1_000_000


def disk_rate(folder: Path) -> float:
    """Bytes per second on the wall of a large write."""
    data = os.urandom(1_000_000)
    with tempfile.TemporaryFile(dir=folder) as file:
        begin = perf_counter()
        for _ in range(DISK_SIZE // len(data)):
            file.write(data)
        file.flush()
        os.fsync(file.fileno())
        return DISK_SIZE / (perf_counter() - begin)


# -------------------------------------------------------------------------------------------------------------- the file


def profile_text(document: Document) -> str:
    """The profile's file."""
    lines = [
        "# Microseconds per operation (us_per_kb: per 1,000 bytes), each with its source. Written by tanglegrid calibrate.",
        "",
    ]
    for field, entry in document.items():
        (unit, number), source = next(iter(entry.items())), json.dumps(entry["source"], ensure_ascii=False)
        lines.append(f"{field} = {{ {unit} = {number}, source = {source} }}")
    return "\n".join(lines) + "\n"


def write_profile(path: Path, document: Document) -> None:
    """Write the file whole or not at all.

    Errors: ``OSError``.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_text(profile_text(document), encoding="utf-8")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


# ------------------------------------------------------------------------------------------------------------- the table


def key_costs(document: Document, n: int) -> dict[str, float]:
    """Microseconds of each operation of a member's keys in a committee of n, by the formulas."""
    costs = {field: entry["us"] for field, entry in document.items() if "us" in entry}
    work = key_work(n, max_faulty(n))
    return {name: sum(costs[kind] * amount for kind, amount in made_of.items()) for name, made_of in work.items()}


def measured_key_costs() -> dict[str, float]:
    """Microseconds that some operations of the real keys of a committee of ``CHECKED`` take."""
    keys = deal_member_keys("real", 1, "calibration", CHECKED, max_faulty(CHECKED))
    checks = {name: _unit(act) for name, act in _checks(keys).items()}
    rounds = [
        {name: _repetition(work, REPETITION_SECONDS) for name, work in checks.items()} for _ in range(REPETITIONS)
    ]
    return {name: median(costs[name] for costs in rounds) for name in checks}


def _checks(keys: tuple[MemberKeys, ...]) -> Mapping[str, Callable[[], object]]:
    rng, me = stream(1, "calibration"), keys[0]
    coin = {member: key.coin.share(MESSAGE) for member, key in enumerate(keys)}
    dealing = me.nonces.deal(MESSAGE, rng)
    return {
        "coin share": lambda: me.coin.share(MESSAGE),
        "coin verify share": lambda: me.coin.verify_share(1, MESSAGE, coin[1]),
        "coin combine": lambda: me.coin.combine(MESSAGE, coin),
        "signing make nonces": lambda: me.signing.make_nonces(rng),
        "nonces deal": lambda: me.nonces.deal(MESSAGE, rng),
        "nonces open": lambda: me.nonces.open(MESSAGE, dealing),
    }


def _unit(act: Callable[[], object]) -> Work:
    def work() -> float:
        act()
        return 1

    return work


def table_text(document: Document, measured: Mapping[str, float]) -> str:
    """The profile and what follows from it, for people."""
    lines = ["operation             cost"]
    for field, entry in document.items():
        unit, number = next(iter(entry.items()))
        lines.append(f"  {field:<16} {number:>12,} {_UNITS[unit]}")
    heads = "".join(f"{f'n = {n}':>10}" for n in SIZES)
    lines += ["", f"keys of a committee, us      {heads}{f'measured, {CHECKED}':>16}"]
    columns = [key_costs(document, n) for n in SIZES]
    for name in columns[0]:
        told = f"{measured[name]:>16,.0f}" if name in measured else ""
        lines.append(f"  {name:<26} " + "".join(f"{costs[name]:>10,.0f}" for costs in columns) + told)
    return "\n".join(lines)


_UNITS = {
    "us": "us",
    "us_per_kb": "us per kB",
    "bits_per_second": "bits per second",
    "bytes_per_second": "bytes per second",
    "hashes_per_second": "hashes per second",
}
