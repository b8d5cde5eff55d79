"""Protocol time: integer microseconds since the scenario's epoch.

No protocol object reads a clock. The present enters every handler as the argument ``now``, and what a protocol
decides about time is computed from integers only, so that all nodes agree on it to the microsecond.
"""

Instant = int
"""Microseconds since the scenario's epoch."""

Duration = int
"""A span of time in microseconds."""

MICROSECOND: Duration = 1
MILLISECOND: Duration = 1_000
SECOND: Duration = 1_000_000
MINUTE: Duration = 60 * SECOND
HOUR: Duration = 60 * MINUTE
DAY: Duration = 24 * HOUR

_UNITS = {"d": DAY, "h": HOUR, "m": MINUTE, "s": SECOND, "ms": MILLISECOND, "us": MICROSECOND}


def format_duration(duration: Duration) -> str:
    """The duration for people, in the largest units: "1h30m"."""
    parts, rest = [], abs(duration)
    for unit, size in _UNITS.items():
        number, rest = divmod(rest, size)
        if number:
            parts.append(f"{number}{unit}")
    return ("-" if duration < 0 else "") + ("".join(parts) or "0s")


def earliest(*instants: Instant | None) -> Instant | None:
    """The earliest of the instants that exist; none when none does (a parent's deadline is this of its children's)."""
    present = [instant for instant in instants if instant is not None]
    return min(present) if present else None
