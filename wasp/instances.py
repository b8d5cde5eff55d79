"""The consensus instances of a chain: which of them a message reaches is decided here, in one place.

By log index, relative to the last one that was opened (*current*)::

    closed     below what is kept, never opened here, or of a former life    ignored: the sender may be late
    kept       opened in this life, one of the last ``kept``                 handled, also when it has ended
    future     at most ``ahead_max`` above current                           held back until it is opened
    too far    higher                                                        ignored: this member may be late itself

A future message must not be handled before its index is durable here; what is held back is bounded per sender, so no
sender can take the place of another.
"""

from __future__ import annotations

from collections.abc import Iterator

from ledger.kernel.automaton import NodeId, Path
from ledger.kernel.encoding import Value
from wasp.committee import Committee
from wasp.consensus.consensus import Consensus

MESSAGES_PER_MEMBER = 64
"""Messages of one member in one instance, per member: its part in a broadcast takes 3, in an agreement 5 a round."""


class Held:
    """Messages for one index that is not open yet."""

    __slots__ = ("messages",)

    def __init__(self) -> None:
        self.messages: list[tuple[NodeId, Path, Value]] = []


class Instance:
    """An opened index: its consensus, whether f + 1 others have proposed in it, and its deadline, if it has one."""

    __slots__ = ("accompanied", "consensus", "deadline", "log_index")

    def __init__(self, log_index: int, consensus: Consensus) -> None:
        self.log_index = log_index
        self.consensus = consensus
        self.accompanied = False
        self.deadline = consensus.deadline


class Instances:
    """The window of instances of one member."""

    def __init__(self, committee: Committee, kept: int, ahead_max: int, used: int = 0) -> None:
        assert kept >= 1 and ahead_max >= 1
        self.committee = committee
        self.kept = kept
        self.ahead_max = ahead_max
        self.current: Instance | None = None
        self._last = used
        """The last index that was opened, or used in a former life."""
        self._instances: dict[int, Instance] = {}
        self._held: dict[int, Held] = {}
        self._held_count: dict[NodeId, int] = {}

    def __iter__(self) -> Iterator[Instance]:
        """Oldest first."""
        return iter(self._instances.values())

    def find(self, log_index: int) -> Instance | None:
        """The kept instance of this index."""
        return self._instances.get(log_index)

    def open(self, log_index: int, consensus: Consensus) -> tuple[int, ...]:
        """The index is durable: its instance begins, and is the current one. The indices that are no longer kept."""
        assert log_index > self._last, "a log index is used once"
        self._last = log_index
        self.current = self._instances[log_index] = Instance(log_index, consensus)
        dropped = tuple([index for index in self._instances if index <= log_index - self.kept])
        for index in dropped:
            del self._instances[index]
        return dropped

    def drop(self, log_index: int) -> None:
        """The instance of an index before the current one is not needed any more."""
        assert self.current is not None and log_index < self.current.log_index
        del self._instances[log_index]

    def release(self, log_index: int) -> list[tuple[NodeId, Path, Value]]:
        """What was held back for the index that was opened; what was for lower ones is forgotten."""
        released: list[tuple[NodeId, Path, Value]] = []
        for index in sorted(index for index in self._held if index <= log_index):
            held = self._held.pop(index)
            for sender, _, _ in held.messages:
                self._held_count[sender] -= 1
            if index == log_index:
                released = held.messages
        return released

    def hold(self, sender: NodeId, log_index: int, path: Path, message: Value) -> bool:
        """Hold a message back if its index is a future one. False: the sender has sent too many."""
        if not self._last < log_index <= self._last + self.ahead_max:
            return True
        count = self._held_count.get(sender, 0)
        if count >= self.held_max:
            return False
        self._held_count[sender] = count + 1
        self._held.setdefault(log_index, Held()).messages.append((sender, path, message))
        return True

    @property
    def held_max(self) -> int:
        """Messages held back per sender: all that a correct one sends in that many instances."""
        return self.ahead_max * MESSAGES_PER_MEMBER * (self.committee.n + 1)
