"""The one shape of every protocol participant, from a reliable broadcast to a whole host.

Lynch and Tuttle's I/O automaton (1989), with the effects of an event returned as a value. An automaton is told three
things: an input of its owner, a message of a peer, or that its deadline has come. It answers with a ``Step``:

- ``records``  must be durable before anything else of this step leaves the node,
- ``messages`` go to peers,
- ``outputs``  go to the owner: results, and needs (each ``...Needed`` names the one input that answers it),
- ``faults``   are evidence against peers.

Rules:

1. A handler is total. Nonsense from a peer is a fault, never an exception. Misuse by the owner is an ``assert``.
2. A multicast includes oneself: the host loops the own copy back before anything else, so no automaton special-cases it.
3. Children are held, not inherited, and addressed, not wrapped. A leaf gets its *path* in its constructor and stamps its
   envelopes with it; a composite finds the leaf of a path with one lookup, and handles its outputs.
4. A Step is never dropped. A composite adds the steps of its children to a ``StepBuilder``.
5. Deadlines, not ticks: an idle automaton costs nothing.
6. Durability is data: a restarted automaton is rebuilt from its records alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, NewType, TypeAlias, TypeVar

from ledger.kernel.encoding import Frozen, Value
from ledger.kernel.instant import Instant

NodeId = NewType("NodeId", str)
"""The name of a machine in the configuration; the transport authenticates it."""

Path: TypeAlias = tuple[str | int, ...]
"""The address of a leaf below its host, such as ("mg1", 17, "broadcast", 3). Its signatures bind it."""

Input = TypeVar("Input")
Message = TypeVar("Message")
Output = TypeVar("Output")


class Envelope(Frozen):
    """A message for peers. A multicast is one envelope, and names its sender among the recipients."""

    recipients: tuple[NodeId, ...]
    path: Path
    message: Value


class Record(Frozen):
    """What must survive a crash, stamped with the path of the automaton that will be restored from it.

    A record that takes the place of earlier ones says so: those at these paths and below are needed no more, and a disk
    forgets them with the same write that makes this one durable. A record is durable whole or not at all, the records of
    a step are not: so whatever is still needed of the earlier ones must be in this one.
    """

    path: Path
    value: Value
    supersedes: tuple[Path, ...] = ()


class Fault(Frozen):
    """Evidence that a peer broke the protocol at the leaf with this path."""

    accused: NodeId
    kind: str
    path: Path
    detail: str = ""
    evidence: tuple[Value, ...] = ()
    """Signed messages that prove it to anybody, where there are such; without, it is the word of this node."""


class PeerReconnected(Frozen):
    """Input of every host, from its runtime: messages to this peer may have been lost until now.

    The peer has begun a new session (what its former life had received is gone), or was out of reach for too long.
    """

    peer: NodeId


class Step(Frozen, Generic[Output]):
    """What one event made an automaton do."""

    records: Sequence[Record] = ()
    messages: Sequence[Envelope] = ()
    outputs: Sequence[Output] = ()
    faults: Sequence[Fault] = ()


NOTHING: Step[Any] = Step()
"""What most messages change: one shared value. Who returns it has the same deadline as before."""
SILENT: Step[Any] = Step()
"""Nothing to tell, though something changed inside, the deadline perhaps."""


class StepBuilder(Generic[Output]):
    """Collects what one event made a composite and its children do, in order."""

    __slots__ = ("faults", "messages", "outputs", "records")

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.messages: list[Envelope] = []
        self.outputs: list[Output] = []
        self.faults: list[Fault] = []

    def add(self, step: Step[Any]) -> Sequence[Any]:
        """Take over a child's records, messages and faults; its outputs are returned, for the composite to handle."""
        if step is NOTHING:
            return ()
        self.records.extend(step.records)
        self.messages.extend(step.messages)
        self.faults.extend(step.faults)
        return step.outputs

    def build(self) -> Step[Output]:
        """The step so far; the builder must not be used again."""
        if not (self.records or self.messages or self.outputs or self.faults):
            return SILENT
        return Step(self.records, self.messages, self.outputs, self.faults)


class Automaton(ABC, Generic[Input, Message, Output]):
    """A deterministic state machine: events in, steps out. It holds no clock, no socket, no file and no logger."""

    __slots__ = ()

    @abstractmethod
    def handle_input(self, input: Input, now: Instant) -> Step[Output]:
        """The owner says something: a command, a fact, or the answer to a need."""

    @abstractmethod
    def handle_message(self, sender: NodeId, path: Path, message: Message, now: Instant) -> Step[Output]:
        """A peer's message for the leaf at this path has come. The sender is authenticated, the content is not trusted."""

    def handle_timer(self, now: Instant) -> Step[Output]:
        """The deadline has come (or has passed: timers may be late, never early)."""
        return NOTHING

    @property
    def deadline(self) -> Instant | None:
        """When ``handle_timer`` wants to be called; it changes only while an event is handled."""
        return None
