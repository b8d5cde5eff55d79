"""The committee log: which log index a committee works on, and when it gives one up (Wasp's `cmt_log`, hardened).

Every consensus instance has a *log index*, and an index is used once: nonces and shares of an instance must never be made
twice. Members agree on indices by votes alone, without a leader. A vote names an index and a cause, and supports every
index up to it; a member's latest vote is all that counts.

::

     1  at boot                               vote (used + 1, recover)
     2  index i ended here (skips included)   vote (i + 1, done)
     3  proposed in i, not ended in time      vote (i + 1, recover)
     4  voted for i, not opened in time       vote (i, recover) again; the time doubles up to a cap
     5  f + 1 voted for i or higher           vote (i, joined)
     6  n - f voted for i or higher, or
        f + 1 did because of started, recover open i:
     7      used := i, durably
     8      vote (i, started); the instance begins
     9  reconnected with a peer, or it asks   send it the latest vote

Invariants:

- An index that was opened is durable before the first message of its instance (line 7), and ``used`` only grows. So a
  restarted member never takes part in the last index of its former life.
- What n - f votes open at one correct member opens at all: they hold f + 1 correct ones, and those are joined by everybody.
  What f + 1 urgent votes open may stay alone, when liars told only one member; line 3 gives it up.
- An instance that waits for work has no timer, so an idle committee sends nothing.

Departures: Wasp counts four causes apart, each with its own quorum; here the two causes by which a member *needs* others
(started, recover) count for f + 1, and every vote counts for n - f. The timeout grows while indices fail and falls
back when one ends, so that a network slower than the timeout is still lived with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias

import msgspec

from ledger.kernel.automaton import NOTHING, Automaton, Envelope, Fault, NodeId, Path, PeerReconnected, Record, Step
from ledger.kernel.encoding import Frozen, Value
from ledger.kernel.instant import SECOND, Duration, Instant, earliest
from wasp.committee import Committee

LogIndex = Annotated[int, msgspec.Meta(ge=1)]
Cause: TypeAlias = Literal["done", "joined", "recover", "started"]

_URGENT = ("recover", "started")
"""Causes by which the voter can't go on, or has already begun: f + 1 of them hold a correct member that needs company."""
_DOUBLINGS_MAX = 32
"""More doublings than any cap allows."""


class NextIndexVote(Value):
    """I support every log index up to this one, and this is why."""

    index: LogIndex
    cause: Cause


class LogIndexUsed(Value):
    """Record: this index was opened here. Neither it nor a lower one must ever be opened again."""

    index: LogIndex


CommitteeLogMessage: TypeAlias = NextIndexVote


class IndexProposed(Frozen):
    """Input: this member has proposed in the index's instance, so it now waits for others."""

    log_index: int


class IndexEnded(Frozen):
    """Input: the index's instance has ended here, with an anchor or skipped."""

    log_index: int


class IndexOpened(Frozen):
    """Output: the instance of this index begins."""

    log_index: int


CommitteeLogInput: TypeAlias = IndexProposed | IndexEnded | PeerReconnected


class RecoveryTimes(Frozen):
    """How long a member waits before it gives an index up: doubled after each time, up to the cap."""

    timeout: Duration = 20 * SECOND
    timeout_max: Duration = 300 * SECOND


class CommitteeLog(Automaton[CommitteeLogInput, CommitteeLogMessage, IndexOpened]):
    """One member's part in the log of one committee. ``used`` is the last durable index, 0 in a first life."""

    def __init__(self, path: Path, committee: Committee, me: NodeId, times: RecoveryTimes, used: int = 0) -> None:
        self.path = path
        self.committee = committee
        self.me = me
        self.times = times
        self.used = used
        self.open = False
        """Whether the instance of ``used`` was opened in this life."""
        self.vote: NextIndexVote | None = None
        """The latest vote of this member."""
        self._highest = [0] * committee.n
        """By member: the highest index voted for, of any cause."""
        self._urgent = [0] * committee.n
        """By member: the highest index voted for because of started or recover."""
        self._doublings = 0
        self._give_up: Instant | None = None
        """When the proposed instance has not ended in time (line 3)."""
        self._repeat: Instant | None = 0
        """When the index voted for has not opened in time (line 4); at first: at once, for the vote at boot (line 1)."""

    def handle_input(self, input: CommitteeLogInput, now: Instant) -> Step[IndexOpened]:
        match input:
            case IndexProposed():
                return self._handle_proposed(input.log_index, now)
            case IndexEnded():
                return self._handle_ended(input.log_index, now)
            case PeerReconnected():
                return self._answer(input.peer)

    def handle_message(
        self, sender: NodeId, path: Path, message: CommitteeLogMessage, now: Instant
    ) -> Step[IndexOpened]:
        """Lines 5 to 9."""
        voter = self.committee.index.get(sender)
        if voter is None:
            return Step(faults=(Fault(sender, "not_a_member", self.path, "voted for a log index"),))
        if message.cause in _URGENT and message.index > self._urgent[voter]:
            self._urgent[voter] = message.index
        elif message.index <= self._highest[voter]:
            return self._answer(sender) if self._is_behind(message) else NOTHING
        self._highest[voter] = max(self._highest[voter], message.index)
        messages = list(self._answer(sender).messages) if self._is_behind(message) else []
        return self._count(messages, now)

    def handle_timer(self, now: Instant) -> Step[IndexOpened]:
        if self.vote is None:
            return Step(messages=[self._cast(NextIndexVote(self.used + 1, "recover"), now)])
        if self._repeat is not None and now >= self._repeat:
            self._doublings = min(self._doublings + 1, _DOUBLINGS_MAX)
            return Step(messages=[self._cast(NextIndexVote(self.vote.index, "recover"), now)])
        if self._give_up is not None and now >= self._give_up:
            self._give_up = None
            self._doublings = min(self._doublings + 1, _DOUBLINGS_MAX)
            index = max(self.used + 1, self.vote.index)
            return Step(messages=[self._cast(NextIndexVote(index, "recover"), now)])
        return NOTHING

    @property
    def deadline(self) -> Instant | None:
        return earliest(self._give_up, self._repeat)

    @property
    def status(self) -> str:
        """What the log waits for."""
        place = f"index {self.used}" if self.open else f"no index yet (used up to {self.used})"
        waits = "" if self._repeat is None else f", waits for votes: {self._highest} (urgent {self._urgent})"
        mine = "none" if self.vote is None else f"{self.vote.index} ({self.vote.cause})"
        return f"{place}, own vote {mine}{waits}"

    def _handle_proposed(self, log_index: int, now: Instant) -> Step[IndexOpened]:
        """Line 3 is armed."""
        if self.open and log_index == self.used:
            self._give_up = now + self._timeout
        return NOTHING

    def _handle_ended(self, log_index: int, now: Instant) -> Step[IndexOpened]:
        """Line 2."""
        if not self.open or log_index != self.used:
            return NOTHING
        self._give_up = None
        self._doublings = 0
        assert self.vote is not None, "an index opens after the vote for it"
        if self.vote.index > log_index:
            return NOTHING
        return Step(messages=[self._cast(NextIndexVote(log_index + 1, "done"), now)])

    def _count(self, messages: list[Envelope], now: Instant) -> Step[IndexOpened]:
        """Lines 5 to 8."""
        records: list[Record] = []
        outputs: list[IndexOpened] = []
        opening = max(
            _place(self._highest, self.committee.waiting),
            _place(self._urgent, self.committee.some_correct),
        )
        if opening > self.used:
            self.used, self.open = opening, True
            self._give_up = None
            records.append(Record(self.path, LogIndexUsed(opening), (self.path,)))
            if self.vote is None or self.vote.index <= opening:
                messages.append(self._cast(NextIndexVote(opening, "started"), now))
            outputs.append(IndexOpened(opening))
        joining = _place(self._highest, self.committee.some_correct)
        if joining > max(self.used, 0 if self.vote is None else self.vote.index):
            messages.append(self._cast(NextIndexVote(joining, "joined"), now))
        if not (records or messages):
            return NOTHING
        return Step(records, messages, outputs)

    def _cast(self, vote: NextIndexVote, now: Instant) -> Envelope:
        self.vote = vote
        waits = vote.index > self.used or not self.open
        self._repeat = now + self._timeout if waits else None
        return Envelope(self.committee.members, self.path, vote)

    def _is_behind(self, vote: NextIndexVote) -> bool:
        """Line 9: the voter asks for an index that this member has passed, or has asked for in a calmer way."""
        if vote.cause != "recover" or self.vote is None:
            return False
        return vote.index < self.vote.index or (vote.index == self.vote.index and self.vote.cause != "recover")

    def _answer(self, peer: NodeId) -> Step[IndexOpened]:
        if self.vote is None or peer == self.me or peer not in self.committee:
            return NOTHING
        return Step(messages=(Envelope((peer,), self.path, self.vote),))

    @property
    def _timeout(self) -> Duration:
        return min(self.times.timeout << self._doublings, self.times.timeout_max)


def _place(votes: Sequence[int], quorum: int) -> int:
    """The highest index that at least ``quorum`` of the voters support."""
    return sorted(votes, reverse=True)[quorum - 1]
