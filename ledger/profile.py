"""Named sets of layer-1 parameters.

``goshimmer-0.8`` follows GoShimmer 0.8.x (November 2021) where this project models it:

===============================  ==================  ===================================================================
parameter                        value               origin
===============================  ==================  ===================================================================
``strong_parents``               2, weak up to 2     the message factory's default
``activity_parents``             8                   the activity plugin
``activity_interval``            2 s                 the activity plugin from 0.8.0 on
``accepted_percent``             45                  grade of finality *medium*
``confirmed_percent``            67                  grade of finality *high*, which GoShimmer calls confirmed
``parent_age_max``               30 min              the parents' age check
``tip_age_max``                  29 min              the tips' grace period
``pow_difficulty``               21 bits             deployed in 0.8.0 to 0.9.0
``pow_rate_thousandths``         100                 the research specification's lowest suggestion; deployed was 0
``pow_window``                   10 s                the specification's lower end
===============================  ==================  ===================================================================

Departures: proof of work adapts to the issuer's rate, as specified and never deployed (a rate of 0 is what was);
activity blocks go at ``activity_interval`` only while the issuer sees an unconfirmed payload, else at
``idle_interval``; a node that has voted changes its mind only after ``settling`` (see the module on finality); the
grade *low* (25 %) is not told.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from ledger.block import PARENTS_MAX
from ledger.kernel.encoding import Frozen
from ledger.kernel.instant import MINUTE, SECOND, Duration
from ledger.pow import DIFFICULTY_MAX, required_difficulty


class Profile(Frozen):
    """The parameters on which all nodes of a Tangle agree.

    Errors: ``ValueError`` that names the field, for parameters that can't work together.
    """

    name: str
    strong_parents: int = 2
    """Strong parents of a block with a payload."""
    weak_parents: int = 2
    """Weak parents of any block, at most."""
    activity_parents: int = 8
    """Strong and weak parents of an activity block."""
    activity_interval: Duration = 2 * SECOND
    """Between a validator's blocks while it sees an unconfirmed payload."""
    idle_interval: Duration = MINUTE
    """Between a validator's blocks while it sees none."""
    accepted_percent: int = 45
    """Of the validators' weight: accepted."""
    confirmed_percent: int = 67
    """Of the validators' weight: confirmed, for good."""
    parent_age_max: Duration = 30 * MINUTE
    """How much older than its child a parent may be."""
    tip_age_max: Duration = 29 * MINUTE
    """How old a tip is still selected: parents keep some room to their own limit."""
    pow_difficulty: int = 21
    """Zero bits of any block's proof of work."""
    pow_rate_thousandths: int = 100
    """gamma: bits more per block of the issuer in its last window, in thousandths."""
    pow_window: Duration = 10 * SECOND
    """w: over which an issuer's blocks are counted."""
    settling: Duration = 5 * SECOND
    """How long a rival must have been ahead before a node changes its mind: longer than two network delays, each with a
    lost message that is asked for again."""
    skew_max: Duration = 2 * SECOND
    """Blocks further ahead of a node's clock wait."""
    reattach_after: Duration = 10 * SECOND
    """A payload submitted again is attached again if its last block is older."""
    confirmation_expected: Duration = 5 * SECOND
    """From attaching to confirmed at rest: an activity interval of every validator, its proof of work, and delays."""

    def __post_init__(self) -> None:
        _check(self.strong_parents >= 1, "strong_parents", "at least 1")
        _check(self.weak_parents >= 0, "weak_parents", "at least 0")
        _check(self.strong_parents + self.weak_parents <= PARENTS_MAX, "weak_parents", f"{PARENTS_MAX} parents at most")
        _check(1 <= self.activity_parents <= PARENTS_MAX, "activity_parents", f"1 to {PARENTS_MAX}")
        _check(0 < self.activity_interval <= self.idle_interval, "activity_interval", "above 0, at most idle_interval")
        _check(50 < self.confirmed_percent <= 100, "confirmed_percent", "above 50, so that rivals exclude each other")
        _check(0 < self.accepted_percent <= self.confirmed_percent, "accepted_percent", "at most confirmed_percent")
        _check(self.idle_interval < self.tip_age_max < self.parent_age_max, "tip_age_max", "between the others")
        _check(0 <= self.pow_rate_thousandths <= 1_000, "pow_rate_thousandths", "0 to 1000")
        _check(0 <= self.pow_difficulty <= DIFFICULTY_MAX, "pow_difficulty", f"0 to {DIFFICULTY_MAX} bits")
        _check(self.pow_window > 0, "pow_window", "above 0")
        _check(self.settling >= 0 and self.skew_max >= 0, "settling", "at least 0")
        raised = required_difficulty(0, self.pow_rate_thousandths, self.pow_window // self.activity_interval)
        _check(
            raised <= 1,
            "pow_rate_thousandths",
            f"activity blocks alone may raise the difficulty by 1 bit, these raise it by {raised}",
        )


def _check(condition: bool, field: str, expected: str) -> None:
    if not condition:
        raise ValueError(f"{field}: {expected}")


GOSHIMMER_08 = Profile("goshimmer-0.8")

PROFILES: Mapping[str, Profile] = MappingProxyType({GOSHIMMER_08.name: GOSHIMMER_08})
"""The profiles by name."""


def adapted(profile: Profile, **parameters: int) -> Profile:
    """The profile with some of its parameters replaced; its name says so.

    Errors: ``ValueError`` for parameters that can't work together, ``TypeError`` for unknown ones.
    """
    if not parameters:
        return profile
    name = profile.name if profile.name.endswith("*") else f"{profile.name}*"
    return msgspec.structs.replace(profile, name=name, **parameters)
