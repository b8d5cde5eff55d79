"""The UTXO ledger of one node: outputs, who spends them, and rivals kept side by side.

Nothing is dropped because it conflicts (Müller et al., *Tangle 2.0*, 2022, section IV; GoShimmer's reality-based
ledger). An output lists all of its spenders; two of them are *rivals*. Each transaction carries its *conflicts*: those
transactions with rivals that it is or depends on. A set of transactions without rivals among them is a possible
world; weight, counted elsewhere, picks one.

1.  book(T): link T as a spender of its inputs; T's conflicts = the union of those of the makers of its inputs.
2.      if an input has other spenders: T and they are rivals, and each is its own conflict.
3.      if an input is spent for good, or its maker is rejected: T is rejected at once.
4.  confirm(T): its inputs are spent for good, its outputs belong to the confirmed ledger.
5.  reject(T): so is all that spends its outputs.

Invariants: a confirmed output has at most one confirmed spender; the tokens of the confirmed unspent outputs always add
up to the genesis' tokens; a transaction is confirmed only after the makers of its inputs.

Two *chained* ways of one chain's anchor are rivals like any other; each state index may have several candidates until
one is confirmed. What is settled is kept for a while, so that late rivals are recognised, then pruned.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from types import MappingProxyType

from ledger.kernel.encoding import Digest, Value, digest
from ledger.kernel.instant import Instant
from ledger.output import AnchorOutput, BasicOutput, ChainAddress, ChainId, Output, OutputId, TransactionId
from ledger.transaction import Transaction

NO_CONFLICTS: frozenset[TransactionId] = frozenset()


class GenesisLedger(Value):
    """What exists from the beginning, on every node: the outputs with ids ``output_id(place)``."""

    network: str
    outputs: tuple[Output, ...]

    def output_id(self, place: int) -> OutputId:
        """The id of the output at this place."""
        return OutputId(genesis_transaction_id(self.network), place)


def genesis_transaction_id(network: str) -> TransactionId:
    """The name under which the genesis' outputs stand in the ledger."""
    return digest("genesis", network)


class Standing(Enum):
    """How far a transaction has come. Accepted may be undone; confirmed and rejected are for good."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    CONFIRMED = "confirmed"
    REJECTED = "rejected"


class OutputEntry:
    """An output, the transaction that makes it (none for a confirmed past) and all the transactions that spend it."""

    __slots__ = ("id", "maker", "output", "spenders")

    def __init__(self, id: OutputId, output: Output, maker: TransactionEntry | None) -> None:
        self.id = id
        self.output = output
        self.maker = maker
        self.spenders: list[TransactionEntry] = []


class TransactionEntry:
    """A booked transaction."""

    __slots__ = ("carried", "conflicts", "id", "inputs", "standing", "transaction", "won")

    def __init__(self, transaction: Transaction, inputs: tuple[OutputEntry, ...]) -> None:
        self.transaction = transaction
        self.id: TransactionId = transaction.id
        self.inputs = inputs
        self.conflicts: frozenset[TransactionId] = NO_CONFLICTS
        self.standing = Standing.PENDING
        self.won = False
        """It has won over its rivals."""
        self.carried = False
        """A confirmed block carries it."""

    @property
    def settled(self) -> bool:
        """Whether nothing will ever change for it."""
        return self.standing is Standing.CONFIRMED or self.standing is Standing.REJECTED

    @property
    def open(self) -> bool:
        """Pending or accepted."""
        return not self.settled


class UtxoLedger:
    """All outputs and transactions that this node knows and has not pruned."""

    def __init__(self, genesis: GenesisLedger) -> None:
        self.network = genesis.network
        self.outputs: dict[OutputId, OutputEntry] = {}
        self.transactions: dict[TransactionId, TransactionEntry] = {}
        self.open_count = 0
        self.past: dict[TransactionId, None] = {}
        """Transactions that were confirmed before a snapshot was taken: blocks may still carry them."""
        self._anchors: dict[ChainId, tuple[OutputId, AnchorOutput]] = {}
        self._chain_outputs: dict[ChainId, dict[OutputId, BasicOutput]] = {}
        self._settled: deque[tuple[Instant, TransactionEntry]] = deque()
        self._add_confirmed((genesis.output_id(place), output) for place, output in enumerate(genesis.outputs))

    # ------------------------------------------------------------------------------------------------------- reading

    def standing(self, transaction: TransactionId) -> Standing | None:
        """How far the transaction has come; none if it is unknown or long settled."""
        entry = self.transactions.get(transaction)
        return None if entry is None else entry.standing

    def missing(self, transaction: Transaction) -> tuple[OutputId, ...]:
        """The inputs that this node does not know."""
        return tuple(id for id in transaction.essence.inputs if id not in self.outputs)

    def consumed(self, transaction: Transaction) -> tuple[Output, ...]:
        """The outputs that its inputs name; none of them may be missing."""
        return tuple(self.outputs[id].output for id in transaction.essence.inputs)

    def rivals(self, entry: TransactionEntry) -> list[TransactionEntry]:
        """The other transactions that spend one of its inputs, in the order of their booking per input."""
        found: dict[TransactionId, TransactionEntry] = {}
        for source in entry.inputs:
            for spender in source.spenders:
                if spender is not entry:
                    found[spender.id] = spender
        return list(found.values())

    def spenders(self, entry: TransactionEntry) -> Iterator[TransactionEntry]:
        """The transactions that spend an output of this one."""
        for index in range(len(entry.transaction.essence.outputs)):
            made = self.outputs.get(entry.transaction.output_id(index))
            if made is not None:
                yield from made.spenders

    def descendants(self, entry: TransactionEntry) -> list[TransactionEntry]:
        """This transaction and all that depends on it, makers before spenders as far as there is a choice."""
        found = {entry.id: entry}
        stack = [entry]
        while stack:
            for spender in self.spenders(stack.pop()):
                if spender.id not in found:
                    found[spender.id] = spender
                    stack.append(spender)
        return list(found.values())

    def anchor_of(self, chain: ChainId) -> tuple[OutputId, AnchorOutput] | None:
        """The confirmed anchor of a chain."""
        return self._anchors.get(chain)

    def outputs_of(self, chain: ChainId) -> Mapping[OutputId, BasicOutput]:
        """The confirmed unspent outputs whose address or return address is this chain, oldest first."""
        return MappingProxyType(self._chain_outputs.get(chain, {}))

    def unspent(self) -> Iterator[tuple[OutputId, Output]]:
        """The confirmed ledger: every confirmed output that no confirmed transaction spends."""
        for entry in self.outputs.values():
            exists = entry.maker is None or entry.maker.standing is Standing.CONFIRMED
            if exists and not any(spender.standing is Standing.CONFIRMED for spender in entry.spenders):
                yield entry.id, entry.output

    @property
    def supply(self) -> int:
        """Tokens of the confirmed ledger."""
        return sum(output.amount for _, output in self.unspent())

    # ------------------------------------------------------------------------------------------------------- booking

    def book(self, transaction: Transaction, now: Instant) -> tuple[TransactionEntry, list[TransactionEntry]]:
        """Book a valid transaction that is unknown so far and misses no input.

        Returns its entry, and those older transactions that have just got their first rival.
        """
        assert transaction.id not in self.transactions, "a transaction is booked once"
        inputs = tuple(self.outputs[id] for id in transaction.essence.inputs)
        entry = TransactionEntry(transaction, inputs)
        forked: dict[TransactionId, TransactionEntry] = {}
        conflicts: set[TransactionId] = set()
        hopeless = False
        for source in inputs:
            if source.maker is not None:
                conflicts |= source.maker.conflicts
                hopeless |= source.maker.standing is Standing.REJECTED
            for rival in source.spenders:
                hopeless |= rival.won or rival.standing is Standing.CONFIRMED
                if rival.open:
                    conflicts.add(entry.id)
                    if rival.id not in rival.conflicts:
                        forked[rival.id] = rival
            source.spenders.append(entry)
        self.transactions[entry.id] = entry
        self.open_count += 1
        if conflicts:
            entry.conflicts = frozenset(conflicts)
        for index, output in enumerate(transaction.essence.outputs):
            id = transaction.output_id(index)
            self.outputs[id] = OutputEntry(id, output, entry)
        if hopeless:
            entry.conflicts |= {entry.id}
            self._settle(entry, Standing.REJECTED, now)
            return entry, []
        return entry, list(forked.values())

    def confirm(self, entry: TransactionEntry, now: Instant) -> None:
        """The transaction is confirmed: its inputs are spent for good."""
        assert entry.open and not any(source.maker is not None and source.maker.open for source in entry.inputs)
        self._settle(entry, Standing.CONFIRMED, now)
        for source in entry.inputs:
            self._forget_confirmed(source)
        transaction = entry.transaction
        self._index((transaction.output_id(i), output) for i, output in enumerate(transaction.essence.outputs))

    def reject(self, entry: TransactionEntry, now: Instant) -> list[TransactionEntry]:
        """The transaction lost: it and all that depends on it are rejected. Returns those that were not before."""
        lost = [descendant for descendant in self.descendants(entry) if descendant.open]
        for descendant in lost:
            self._settle(descendant, Standing.REJECTED, now)
        return lost

    def forget(self, entry: TransactionEntry) -> list[TransactionEntry]:
        """Nobody carries this pending transaction any more: unbook it and what depends on it, as if never seen."""
        gone = [descendant for descendant in self.descendants(entry) if descendant.open]
        for descendant in reversed(gone):
            self.open_count -= 1
            self._unlink(descendant)
        return gone

    def prune(self, before: Instant) -> None:
        """Drop what was settled before this instant: outputs spent for good, and the outputs of the rejected."""
        while self._settled and self._settled[0][0] < before:
            _, entry = self._settled.popleft()
            if entry.standing is Standing.CONFIRMED:
                for source in entry.inputs:
                    self.outputs.pop(source.id, None)
                del self.transactions[entry.id]
            else:
                self._unlink(entry)
            entry.inputs = ()

    def _settle(self, entry: TransactionEntry, standing: Standing, now: Instant) -> None:
        entry.standing = standing
        self.open_count -= 1
        self._settled.append((now, entry))

    def _unlink(self, entry: TransactionEntry) -> None:
        for source in entry.inputs:
            if entry in source.spenders:
                source.spenders.remove(entry)
        for index in range(len(entry.transaction.essence.outputs)):
            self.outputs.pop(entry.transaction.output_id(index), None)
        del self.transactions[entry.id]

    # ---------------------------------------------------------------------------------------------- the confirmed view

    def load(self, outputs: Iterable[tuple[OutputId, Output]], past: Iterable[TransactionId]) -> None:
        """Replace everything by this confirmed ledger."""
        self.past = dict.fromkeys(past)
        self.outputs.clear()
        self.transactions.clear()
        self._settled.clear()
        self._anchors.clear()
        self._chain_outputs.clear()
        self.open_count = 0
        self._add_confirmed(outputs)

    def _add_confirmed(self, outputs: Iterable[tuple[OutputId, Output]]) -> None:
        for id, output in outputs:
            self.outputs[id] = OutputEntry(id, output, None)
            self._index(((id, output),))

    def _index(self, outputs: Iterable[tuple[OutputId, Output]]) -> None:
        for id, output in outputs:
            if isinstance(output, AnchorOutput):
                self._anchors[output.chain] = (id, output)
            else:
                for chain in chains_of(output):
                    self._chain_outputs.setdefault(chain, {})[id] = output

    def _forget_confirmed(self, source: OutputEntry) -> None:
        output = source.output
        if isinstance(output, BasicOutput):
            for chain in chains_of(output):
                self._chain_outputs[chain].pop(source.id, None)


def chains_of(output: BasicOutput) -> tuple[Digest, ...]:
    """The chains that an output concerns: its address, and who gets it when it expires."""
    found: list[Digest] = []
    if isinstance(output.address, ChainAddress):
        found.append(output.address.chain)
    if output.expiration is not None:
        back = output.expiration.return_address
        if isinstance(back, ChainAddress) and back.chain not in found:
            found.append(back.chain)
    return tuple(found)
