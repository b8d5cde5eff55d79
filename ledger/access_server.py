"""The layer-1 side of access: who follows which chains here, and what they are told.

It stands beside the Tangle of a layer-1 host, reads its ledger, and is told of its outputs. See the module on access
for the protocol. A session costs its chains' names and a number; it is lost with the host, and the client then starts
another.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from ledger.access import (
    ACCESS_PATH,
    AccessMessage,
    Alive,
    AnchorConfirmed,
    ChainSynced,
    KeepAlive,
    LedgerUpdate,
    LedgerUpdates,
    OutputConfirmed,
    OutputSpent,
    Publish,
    Subscribe,
    TransactionAccepted,
    TransactionConfirmed,
    TransactionRejected,
    TransactionSeen,
)
from ledger.issuing import SubmitTransaction
from ledger.kernel.automaton import NOTHING, Automaton, Envelope, Fault, NodeId, Path, Step, StepBuilder
from ledger.kernel.instant import Instant
from ledger.output import AnchorOutput, ChainId, TransactionId
from ledger.tangle import LedgerReplaced, TangleOutput
from ledger.utxo import Standing, TransactionEntry, UtxoLedger, chains_of

SESSIONS_MAX = 1_000
"""Clients of one layer-1 host."""
CHAINS_MAX = 64
"""Chains of one client: its own, and its parents up the tree."""
WATCHED_MAX = 10_000
"""Published transactions whose publishers are remembered."""

ServerInput: TypeAlias = TangleOutput


class _Session:
    __slots__ = ("chains", "id", "next_number")

    def __init__(self, id: Instant, chains: frozenset[ChainId]) -> None:
        self.id = id
        self.chains = chains
        self.next_number = 0


class LedgerServer(Automaton[ServerInput, AccessMessage, SubmitTransaction]):
    """Serves clients from one Tangle's ledger. Its inputs are all outputs of that Tangle, its outputs are inputs for it."""

    def __init__(self, me: NodeId, ledger: UtxoLedger) -> None:
        self.me = me
        self._ledger = ledger
        self._sessions: dict[NodeId, _Session] = {}
        self._publishers: dict[TransactionId, dict[NodeId, None]] = {}

    @property
    def status(self) -> str:
        """Whom it serves."""
        return f"{len(self._sessions)} sessions"

    def handle_input(self, input: ServerInput, now: Instant) -> Step[SubmitTransaction]:
        match input:
            case TransactionSeen() | TransactionAccepted():
                return self._tell(self._interested(input.transaction_id), (input,))
            case TransactionConfirmed():
                return self._handle_confirmed(input)
            case TransactionRejected():
                step = self._tell(self._interested(input.transaction_id), (input,))
                self._publishers.pop(input.transaction_id, None)
                return step
            case LedgerReplaced():
                ended = [(client, session.id) for client, session in self._sessions.items()]
                self._sessions.clear()
                return Step(messages=[Envelope((client,), ACCESS_PATH, Alive(id, None)) for client, id in ended])
            case _:
                return NOTHING

    def handle_message(
        self, sender: NodeId, path: Path, message: AccessMessage, now: Instant
    ) -> Step[SubmitTransaction]:
        match message:
            case Subscribe():
                return self._handle_subscribe(sender, message)
            case KeepAlive():
                session = self._sessions.get(sender)
                number = session.next_number if session is not None and session.id == message.session else None
                return Step(messages=(Envelope((sender,), ACCESS_PATH, Alive(message.session, number)),))
            case Publish():
                return self._handle_publish(sender, message)
            case _:
                return Step(faults=(Fault(sender, "unexpected_message", ACCESS_PATH, type(message).__name__),))

    # --------------------------------------------------------------------------------------------------------- sessions

    def _handle_subscribe(self, sender: NodeId, message: Subscribe) -> Step[SubmitTransaction]:
        current = self._sessions.get(sender)
        if current is not None and current.id >= message.session:
            return NOTHING
        known = [self._ledger.anchor_of(chain) is not None for chain in message.chains]
        if len(message.chains) > CHAINS_MAX or not all(known):
            return Step(faults=(Fault(sender, "bad_subscription", ACCESS_PATH, "too many chains, or an unknown one"),))
        if current is None and len(self._sessions) >= SESSIONS_MAX:
            return Step(faults=(Fault(sender, "too_many_sessions", ACCESS_PATH, f"at most {SESSIONS_MAX}"),))
        self._sessions[sender] = _Session(message.session, frozenset(message.chains))
        updates: list[LedgerUpdate] = []
        for chain in message.chains:
            anchor = self._ledger.anchor_of(chain)
            assert anchor is not None
            updates.append(ChainSynced(chain, anchor[0], anchor[1], tuple(self._ledger.outputs_of(chain).items())))
        for entry in self._ledger.transactions.values():
            if entry.open and not self._chains_moved(entry).isdisjoint(message.chains):
                updates.append(TransactionSeen(entry.id))
                if entry.standing is Standing.ACCEPTED:
                    updates.append(TransactionAccepted(entry.id))
        return self._tell((sender,), tuple(updates))

    # ------------------------------------------------------------------------------------------------------- publishing

    def _handle_publish(self, sender: NodeId, message: Publish) -> Step[SubmitTransaction]:
        transaction = message.transaction
        standing = self._ledger.standing(transaction.id)
        if standing is Standing.CONFIRMED or transaction.id in self._ledger.past:
            return self._tell((sender,), (TransactionConfirmed(transaction.id),))
        if standing is Standing.REJECTED:
            return self._tell((sender,), (TransactionRejected(transaction.id, "conflict_lost", "rejected before"),))
        self._publishers.setdefault(transaction.id, {})[sender] = None
        while len(self._publishers) > WATCHED_MAX:
            del self._publishers[next(iter(self._publishers))]
        builder: StepBuilder[SubmitTransaction] = StepBuilder()
        builder.outputs.append(SubmitTransaction(transaction))
        if standing is not None:
            updates: tuple[LedgerUpdate, ...] = (TransactionSeen(transaction.id),)
            if standing is Standing.ACCEPTED:
                updates += (TransactionAccepted(transaction.id),)
            builder.add(self._tell((sender,), updates))
        return builder.build()

    # ---------------------------------------------------------------------------------------------------------- telling

    def _handle_confirmed(self, fact: TransactionConfirmed) -> Step[SubmitTransaction]:
        entry = self._ledger.transactions[fact.transaction_id]
        interested = dict.fromkeys(self._interested(fact.transaction_id))
        builder: StepBuilder[SubmitTransaction] = StepBuilder()
        for client, session in self._sessions.items():
            updates: list[LedgerUpdate] = []
            for chain in sorted(session.chains):
                updates += _changes(chain, entry)
            if client in interested:
                updates.append(fact)
            if updates:
                builder.add(self._tell((client,), tuple(updates)))
        self._publishers.pop(fact.transaction_id, None)
        return builder.build()

    def _interested(self, transaction: TransactionId) -> list[NodeId]:
        """Who published the transaction, or follows a chain whose anchor it moves."""
        entry = self._ledger.transactions.get(transaction)
        moved = frozenset() if entry is None else self._chains_moved(entry)
        publishers = self._publishers.get(transaction, {})
        return [
            client
            for client, session in self._sessions.items()
            if client in publishers or not session.chains.isdisjoint(moved)
        ]

    def _chains_moved(self, entry: TransactionEntry) -> frozenset[ChainId]:
        outputs = entry.transaction.essence.outputs
        return frozenset(output.chain for output in outputs if isinstance(output, AnchorOutput))

    def _tell(self, clients: Iterable[NodeId], updates: tuple[LedgerUpdate, ...]) -> Step[SubmitTransaction]:
        messages = []
        for client in clients:
            session = self._sessions.get(client)
            if session is not None:
                message = LedgerUpdates(session.id, session.next_number, updates)
                session.next_number += 1
                messages.append(Envelope((client,), ACCESS_PATH, message))
        return Step(messages=messages) if messages else NOTHING


def _changes(chain: ChainId, entry: TransactionEntry) -> list[LedgerUpdate]:
    """What the confirmed transaction changed for the chain."""
    transaction = entry.transaction
    changes: list[LedgerUpdate] = []
    spent = None
    for source in entry.inputs:
        if isinstance(source.output, AnchorOutput):
            spent = source.id if source.output.chain == chain else spent
        elif chain in chains_of(source.output):
            changes.append(OutputSpent(chain, source.id, entry.id))
    for index, output in enumerate(transaction.essence.outputs):
        if isinstance(output, AnchorOutput):
            if output.chain == chain:
                assert spent is not None
                changes.append(AnchorConfirmed(chain, transaction.output_id(index), output, entry.id, spent))
        elif chain in chains_of(output):
            changes.append(OutputConfirmed(chain, transaction.output_id(index), output))
    return changes
