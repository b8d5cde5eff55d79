"""What is legal in a scenario and probably not meant: faults that change nothing, work that never ends, hasty timers.

Warnings stand in the summary, which is in the digest: nothing here may depend on the machine that runs the scenario.
"""

from __future__ import annotations

from collections.abc import Iterator

from ledger.kernel.instant import Duration, Instant, format_duration
from ledger.profile import Profile
from node.configuration import Configuration

GRINDING_RATE = 1_000_000
"""Hashes per second that one core grinds, about; measured with this project's grinder on a machine of 2024."""
GRINDING_SECONDS_MAX = 10
"""Longer for one block, and a run of some thousands takes a day."""

VIEW_DELAYS = {"pbft": 4, "tendermint": 4, "hotstuff": 8, "jolteon": 6}
"""Delays from the members' proposals to the decision of the last of them, in the first view."""


def doubts(configuration: Configuration, profile: Profile, end: Instant, delay: Duration) -> tuple[str, ...]:
    """Warnings; ``end``: when the last interval is metered; ``delay``: the longest usual one between two hosts."""
    return (
        *_fault_doubts(configuration, end),
        *_grinding_doubts(configuration, profile),
        *_timer_doubts(configuration, delay),
    )


def _fault_doubts(configuration: Configuration, end: Instant) -> Iterator[str]:
    down: set[str] = set()
    for i, fault in sorted(enumerate(configuration.faults), key=lambda entry: entry[1].at):
        at = format_duration(fault.at)
        if fault.at > end:
            yield f"faults[{i}]: {fault.kind} at {at} is after the end of the run: expected before {format_duration(end)}"
        match fault.kind:
            case "crash":
                down.update(fault.nodes)
            case "restart":
                for node in fault.nodes:
                    if node not in down:
                        yield f"faults[{i}]: restart of {node} at {at} does nothing: it has not crashed before"
                down.difference_update(fault.nodes)


def _grinding_doubts(configuration: Configuration, profile: Profile) -> Iterator[str]:
    hashes = 2**profile.pow_difficulty
    if configuration.ledger.pow == "ground" and hashes > GRINDING_SECONDS_MAX * GRINDING_RATE:
        yield (
            f'ledger.pow = "ground" at difficulty {profile.pow_difficulty}: {hashes:,} hashes are expected for each block, '
            f'{hashes // GRINDING_RATE:,} seconds of a core; lower ledger.pow_difficulty, or take pow = "sampled"'
        )


def _timer_doubts(configuration: Configuration, delay: Duration) -> Iterator[str]:
    """Without what the work of a view takes, which depends on the machine and on the size of the committee."""
    section = configuration.consensus
    delays = VIEW_DELAYS.get(section.protocol, 0)
    if section.view_timeout is not None and section.view_timeout < delays * delay:
        yield (
            f"consensus.view_timeout is {format_duration(section.view_timeout)}: a view of {section.protocol} takes {delays} "
            f"delays of up to {format_duration(delay)}, {format_duration(delays * delay)} before any work; leaders will be "
            "replaced for no reason"
        )
