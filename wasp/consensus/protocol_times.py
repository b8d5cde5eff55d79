"""How long a member waits for another before it goes on without it.

Two waits give somebody up, and each can be switched off, so that latency is that of messages alone: a view's, for its leader,
and an attempt's at the committee's signature, for its signers. Both double each time, so that a network or a machine which
is slower than they are is still lived with; each costs its timeouts before. With a timer off, whoever is silent in that
place stops the instance for ever.

Two others give nobody up, and are never off: a leader's patience, after which it tells members that hold their proposals
back that others have proposed, without which a committee where only f + 1 have work would not begin; and the time between
questions for a list, of which each is put to other members. Neither is in the way of anything: they add messages, no delay.
"""

from __future__ import annotations

from ledger.kernel.encoding import Frozen
from ledger.kernel.instant import MILLISECOND, MINUTE, SECOND, Duration

VIEW_TIMEOUT: Duration = 2 * SECOND
"""Three delays around the world, and the proposals before them, take less than one second."""
ATTEMPT_TIMEOUT: Duration = 2 * SECOND
"""More than a delay of the slowest network, and the differences in when members have the digest."""
TIMEOUT_MAX: Duration = MINUTE
"""No network that works at all is slower; f silent members in a row would be waited for for ever."""
PATIENCE: Duration = 50 * MILLISECOND
"""As long as delays within a continent differ."""
LIST_RETRY: Duration = 500 * MILLISECOND
"""Longer than an answer takes."""
DOUBLINGS_MAX = 32
"""From a microsecond to more than an hour."""


class ProtocolTimes(Frozen):
    """The same at all members, but nothing breaks when they differ."""

    view_timeout: Duration | None = VIEW_TIMEOUT
    """Of the first view; none: nobody ever leaves a view by itself."""
    attempt_timeout: Duration | None = ATTEMPT_TIMEOUT
    """Of the first attempt at the committee's signature; none: an attempt is given up only for what is wrong in it."""
    patience: Duration = PATIENCE
    """A leader's, for proposals that are on their way."""
    list_retry: Duration = LIST_RETRY
    """Between the first two questions for a list."""

    def timeout_of_view(self, view: int) -> Duration | None:
        """How long this view may take; none: for ever."""
        return _doubled(self.view_timeout, view)

    def timeout_of_attempt(self, attempt: int) -> Duration | None:
        """How long this attempt may take; none: for ever."""
        return _doubled(self.attempt_timeout, attempt)


def _doubled(first: Duration | None, times: int) -> Duration | None:
    return None if first is None else min(first << min(times, DOUBLINGS_MAX), max(first, TIMEOUT_MAX))
