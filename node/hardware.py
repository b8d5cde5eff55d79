"""Hardware profiles: what an operation costs on a named machine.

A profile is a TOML file: for every operation its cost in microseconds (``us``; per unit, or per kB where it says so) and a
``source`` that tells where the number comes from, or what it was scaled from and by what; the same for the network card,
the disk and the hash rate. What the operations of threshold keys cost is not in a profile, it follows from the operations
of the group (``node.work``). Costs are kept as whole picoseconds, so that sums are exact and equal on every machine.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from ledger.kernel.encoding import Frozen
from ledger.kernel.instant import Duration
from ledger.kernel.rejection import Rejected
from node.shipped import shipped

Operation: TypeAlias = Literal[
    "sign",  # one Ed25519 signature
    "verify",  # one Ed25519 signature checked
    "hash",  # per kB
    "digest",  # one hash of a few bytes
    "encode",  # per kB
    "decode",  # per kB
    "base_multiply",  # the base point of Ed25519's group times a scalar
    "point_multiply",  # another point times a scalar
    "point_add",  # the sum or difference of two points
    "point_check",  # whether bytes encode a point of the group
    "hash_to_point",
    "hash_to_scalar",
    "lagrange",  # one member's factor of a Lagrange weight
    "polynomial",  # one coefficient of a polynomial's value
    "cipher",  # per kB that is masked or unmasked
    "erasure",  # per kB of shards decoded and coded again
    "gas",  # per unit of gas
    "packet",  # one message encoded or decoded, besides its bytes
    "message",  # one message handled: what the protocol's own code takes
    "frame",  # one frame sent or received: system call, authenticated encryption
]
OPERATIONS: tuple[Operation, ...] = get_args(Operation)
PER_KILOBYTE: frozenset[Operation] = frozenset({"hash", "encode", "decode", "cipher", "erasure"})
PICOSECONDS = 1_000_000
"""Picoseconds of a microsecond."""
DEVICES = ("bandwidth", "fsync", "disk", "hashing")
_UNITS = {"bandwidth": "bits_per_second", "fsync": "us", "disk": "bytes_per_second", "hashing": "hashes_per_second"}


class HardwareProfile(Frozen):
    """The costs of one kind of machine."""

    name: str
    costs: Mapping[Operation, int]
    """Picoseconds per unit: an operation, a share, a unit of gas, a byte."""
    bandwidth: int
    """Bits per second that the network card sends."""
    fsync: Duration
    """Until a small write is durable."""
    disk_rate: int
    """Bytes per second that the disk writes."""
    hash_rate: int
    """Hashes per second of proof of work on one core."""
    sources: Mapping[str, str]
    """Where each number comes from."""


def hardware_profile(name: str, folder: Path = Path()) -> HardwareProfile:
    """The shipped profile with this name, or that of a file of one's own, ``.toml``, in this folder.

    Errors: ``Rejected("bad_hardware_profile", ...)``.
    """
    known = sorted(path.stem for path in shipped("hardware").glob("*.toml"))
    if name in known:
        return read_hardware(shipped("hardware", f"{name}.toml"))
    if not name.endswith(".toml"):
        expected = f"known are {', '.join(known)}, and files that end in .toml"
        raise Rejected("bad_hardware_profile", f"no profile is named {name!r}; {expected}")
    return read_hardware(folder / name)


def read_hardware(path: Path) -> HardwareProfile:
    """The profile in this file.

    Errors: ``Rejected("bad_hardware_profile", ...)`` that names the file, the field and what was expected.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, InvalidOperation) as error:
        raise Rejected("bad_hardware_profile", f"{path}: {error}") from None
    unknown = sorted(set(table) - {*OPERATIONS, *DEVICES})
    if unknown:
        raise Rejected("bad_hardware_profile", f"{path}: {unknown[0]} is not an operation or a device")
    sources: dict[str, str] = {}
    costs: dict[Operation, int] = {}
    for operation in OPERATIONS:
        unit = "us_per_kb" if operation in PER_KILOBYTE else "us"
        cost = _number(path, table, operation, unit, sources) * PICOSECONDS
        costs[operation] = int(cost / 1000 if operation in PER_KILOBYTE else cost)
    devices = {device: int(_number(path, table, device, _UNITS[device], sources)) for device in DEVICES}
    return HardwareProfile(
        path.stem, costs, devices["bandwidth"], devices["fsync"], devices["disk"], devices["hashing"], sources
    )


def _number(path: Path, table: Mapping[str, Any], field: str, unit: str, sources: dict[str, str]) -> Decimal:
    entry = table.get(field)
    expected = f'{path}: {field}: {{ {unit} = a number, source = "..." }} expected'
    if not isinstance(entry, dict) or set(entry) != {unit, "source"} or not isinstance(entry["source"], str):
        raise Rejected("bad_hardware_profile", expected)
    number = entry[unit]
    if isinstance(number, bool) or not isinstance(number, (int, Decimal)) or not 0 < number < 10**18:
        raise Rejected("bad_hardware_profile", f"{expected}, not {number!r}")
    sources[field] = entry["source"]
    return Decimal(number)
