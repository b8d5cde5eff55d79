"""How a host off layer 1 follows the ledger: a subscription at one layer-1 host at a time, and publishing through it.

The *client* (here) names the chains that it cares about; the *server*, beside the Tangle of the layer-1 host, answers
with the whole confirmed view of each chain, then with every change.

1.  client -> server: Subscribe(session, chains); a new session with growing pauses until an update of the last one comes.
2.  server -> client: LedgerUpdates(session, 0, ChainSynced of each chain, and what is pending there),
3.      then LedgerUpdates(session, 1, ...), 2, ... as things happen.
4.  client: an update out of order means loss: start a new session (line 1).
5.  client -> server: KeepAlive(session) every ``KEEP_ALIVE``; server -> client: Alive(session, next number).
6.  client: Alive with another next number than expected, or for no session: new session. Silence for ``SILENCE_MAX``, or
    no answer to a subscription for ``PATIENCE``: new session at the next server, and Subscribe to nothing at the last one.
7.  client -> server: Publish(transaction), again with growing pauses until it is seen, accepted, confirmed or rejected.
8.  A published transaction is remembered until it is settled, and published again in every new session.

So either side may crash, restart, or lose messages: the client ends up with the confirmed view of a live server. That may
be behind the last one's; what is confirmed only grows, so whoever reads the view passes over what is old news.
Sessions are named by the instant of their start. What the servers say is trusted: the client was given them, nearest first.
"""

from __future__ import annotations

from typing import TypeAlias

from ledger.kernel.automaton import NOTHING, Automaton, Envelope, Fault, NodeId, Path, Step, StepBuilder
from ledger.kernel.encoding import Frozen, Natural, Value
from ledger.kernel.instant import SECOND, Duration, Instant, earliest
from ledger.output import AnchorOutput, BasicOutput, ChainId, OutputId, TransactionId
from ledger.transaction import Transaction

ACCESS_PATH: Path = ("access",)
RETRY: Duration = 2 * SECOND
"""Before the first repetition of a subscription or a publication."""
RETRY_MAX: Duration = 30 * SECOND
"""Between repetitions, at most. They must grow beyond the way to the server and back, or no answer comes in time."""
KEEP_ALIVE: Duration = 20 * SECOND
"""Between signs of life."""
SILENCE_MAX: Duration = 50 * SECOND
"""Two signs of life and their answers may get lost before a server counts as dead."""
PATIENCE: Duration = 10 * SECOND
"""How long a server may take for a subscription, where there is another: some repetitions, and a restart."""
PUBLISHED_MAX = 1_000
"""Unsettled transactions that a client remembers: far more than the unconfirmed anchors of all its chains."""


# ------------------------------------------------------------------------------------------ what a client is told


class TransactionSeen(Value):
    """A block with the transaction was booked at the layer-1 host."""

    transaction_id: TransactionId


class TransactionAccepted(Value):
    """The transaction has the weight to be accepted; that may still be undone."""

    transaction_id: TransactionId


class TransactionConfirmed(Value):
    """The transaction is confirmed, for good."""

    transaction_id: TransactionId


class TransactionRejected(Value):
    """The transaction is invalid, or a rival won over it or over what it spends from."""

    transaction_id: TransactionId
    code: str
    detail: str


class ChainSynced(Value):
    """The whole confirmed view of a chain: it replaces what was known. Its outputs are those that concern the chain."""

    chain: ChainId
    anchor_id: OutputId
    anchor: AnchorOutput
    outputs: tuple[tuple[OutputId, BasicOutput], ...]


class AnchorConfirmed(Value):
    """A confirmed transaction moved the chain's anchor; ``spent`` is the one before."""

    chain: ChainId
    anchor_id: OutputId
    anchor: AnchorOutput
    transaction_id: TransactionId
    spent: OutputId


class OutputConfirmed(Value):
    """A confirmed output has the chain as its address, or as its return address."""

    chain: ChainId
    output_id: OutputId
    output: BasicOutput


class OutputSpent(Value):
    """A confirmed transaction spent an output that concerns the chain."""

    chain: ChainId
    output_id: OutputId
    transaction_id: TransactionId


LedgerUpdate: TypeAlias = (
    ChainSynced
    | AnchorConfirmed
    | OutputConfirmed
    | OutputSpent
    | TransactionSeen
    | TransactionAccepted
    | TransactionConfirmed
    | TransactionRejected
)


# ---------------------------------------------------------------------------------------------------------- messages


class Subscribe(Value):
    """Send me the confirmed view of these chains, and what changes."""

    session: Instant
    chains: tuple[ChainId, ...]


class LedgerUpdates(Value):
    """Updates number ``number`` of the session, in their order."""

    session: Instant
    number: Natural
    updates: tuple[LedgerUpdate, ...]


class KeepAlive(Value):
    """Is the session still there?"""

    session: Instant


class Alive(Value):
    """``next_number`` is what the session's next updates will have; None: there is no such session."""

    session: Instant
    next_number: Natural | None


class Publish(Value):
    """Attach this transaction to the Tangle, and tell me what becomes of it."""

    transaction: Transaction


AccessMessage: TypeAlias = Subscribe | LedgerUpdates | KeepAlive | Alive | Publish


# ------------------------------------------------------------------------------------------------------------- client


class PublishTransaction(Frozen):
    """Publish a transaction; again for one that is pending: attach it once more if it got stuck."""

    transaction: Transaction


class _Publication:
    __slots__ = ("pause", "retry_at", "transaction")

    def __init__(self, transaction: Transaction, now: Instant) -> None:
        self.transaction = transaction
        self.pause = RETRY
        self.retry_at: Instant | None = now + RETRY


class LedgerClient(Automaton[PublishTransaction, AccessMessage, LedgerUpdate]):
    """Follows some chains through one of several layer-1 hosts. Its first deadline is at once: it subscribes."""

    def __init__(self, me: NodeId, servers: tuple[NodeId, ...], chains: tuple[ChainId, ...]) -> None:
        self.me = me
        self.servers = servers
        self.server = servers[0]
        self.chains = chains
        self.synced = False
        """Whether the current session has begun to arrive."""
        self._session: Instant = -1
        self._next_number = 0
        self._heard: Instant = 0
        self._pause = RETRY
        """Until the next subscription, if this one is not answered."""
        self._leave_at: Instant | None = None
        """While not synced: when the next server is tried."""
        self._next_call: Instant = 0
        self._published: dict[TransactionId, _Publication] = {}

    @property
    def deadline(self) -> Instant | None:
        retries = [publication.retry_at for publication in self._published.values()]
        return earliest(self._next_call, *retries)

    @property
    def status(self) -> str:
        """Why it waits."""
        session = "synced" if self.synced else f"waiting for {self.server} to answer the subscription"
        return f"{session}; {len(self._published)} transactions published and not settled"

    def handle_input(self, input: PublishTransaction, now: Instant) -> Step[LedgerUpdate]:
        transaction = input.transaction
        if transaction.id not in self._published and len(self._published) >= PUBLISHED_MAX:
            self._published.pop(next(iter(self._published)))
        self._published[transaction.id] = _Publication(transaction, now)
        return Step(messages=(self._to_server(Publish(transaction)),))

    def handle_message(self, sender: NodeId, path: Path, message: AccessMessage, now: Instant) -> Step[LedgerUpdate]:
        if sender not in self.servers:
            return Step(faults=(Fault(sender, "not_my_server", ACCESS_PATH, type(message).__name__),))
        match message:
            case LedgerUpdates() | Alive() if sender != self.server:
                return NOTHING  # of a session that was given up
            case LedgerUpdates():
                return self._handle_updates(message, now)
            case Alive():
                return self._handle_alive(message, now)
            case _:
                return Step(faults=(Fault(sender, "unexpected_message", ACCESS_PATH, type(message).__name__),))

    def handle_timer(self, now: Instant) -> Step[LedgerUpdate]:
        builder: StepBuilder[LedgerUpdate] = StepBuilder()
        if now >= self._next_call:
            if self.synced and now < self._heard + SILENCE_MAX:
                self._next_call = now + KEEP_ALIVE
                builder.messages.append(self._to_server(KeepAlive(self._session)))
            else:
                if self.synced or (self._leave_at is not None and now >= self._leave_at):
                    builder.messages.extend(self._leave(now))
                builder.add(self._begin_session(now))
        for publication in self._published.values():
            if publication.retry_at is not None and now >= publication.retry_at:
                publication.pause = min(2 * publication.pause, RETRY_MAX)
                publication.retry_at = now + publication.pause
                builder.messages.append(self._to_server(Publish(publication.transaction)))
        return builder.build()

    def _handle_updates(self, message: LedgerUpdates, now: Instant) -> Step[LedgerUpdate]:
        if message.session != self._session or message.number < self._next_number:
            return NOTHING
        if message.number > self._next_number:
            return self._begin_session(now)
        self._next_number += 1
        self._heard = now
        builder: StepBuilder[LedgerUpdate] = StepBuilder()
        if not self.synced:
            self.synced = True
            self._leave_at, self._pause = None, RETRY
            self._next_call = now + KEEP_ALIVE
            builder.messages.extend(self._to_server(Publish(known.transaction)) for known in self._published.values())
        for update in message.updates:
            self._note(update)
            builder.outputs.append(update)
        return builder.build()

    def _handle_alive(self, message: Alive, now: Instant) -> Step[LedgerUpdate]:
        if message.session != self._session or not self.synced:
            return NOTHING
        self._heard = now
        return NOTHING if message.next_number == self._next_number else self._begin_session(now)

    def _begin_session(self, now: Instant) -> Step[LedgerUpdate]:
        self.synced = False
        self._session = max(now, self._session + 1)
        self._next_number = 0
        self._next_call = now + self._pause
        self._pause = min(2 * self._pause, RETRY_MAX)
        if self._leave_at is None:
            self._leave_at = now + PATIENCE
        return Step(messages=(self._to_server(Subscribe(self._session, self.chains)),))

    def _leave(self, now: Instant) -> list[Envelope]:
        """Line 6: turn to the next server, the first after the last; the one that is left need not tell anything more."""
        self._leave_at = None
        left, place = self.server, self.servers.index(self.server) + 1
        self.server = self.servers[place % len(self.servers)]
        if self.server == left:
            return []
        self._session = max(now, self._session + 1)
        return [Envelope((left,), ACCESS_PATH, Subscribe(self._session, ()))]

    def _note(self, update: LedgerUpdate) -> None:
        match update:
            case TransactionSeen() | TransactionAccepted():
                known = self._published.get(update.transaction_id)
                if known is not None:
                    known.retry_at = None
            case TransactionConfirmed() | TransactionRejected():
                self._published.pop(update.transaction_id, None)
            case _:
                pass

    def _to_server(self, message: Value) -> Envelope:
        return Envelope((self.server,), ACCESS_PATH, message)
