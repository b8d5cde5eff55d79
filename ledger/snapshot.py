"""A snapshot: the confirmed ledger at one moment, and the names of the settled blocks that new ones may approve.

It is what a node writes down from time to time in the place of all its old records, and what a node that was away for
longer than blocks are kept (or is new) gets from a neighbour. The live, unconfirmed blocks follow it as blocks.

Trust: a snapshot is believed, as the operator who chose the neighbours does (so it is in Hornet); what can be checked
is that the tokens add up to the genesis' tokens.
"""

from __future__ import annotations

from ledger.block import Block, BlockId
from ledger.dag import Dag
from ledger.finality import Finality
from ledger.kernel.encoding import Value
from ledger.kernel.instant import Instant
from ledger.output import Output, OutputId, TransactionId
from ledger.utxo import Standing, UtxoLedger


class LedgerSnapshot(Value):
    """The confirmed outputs, the settled blocks' names and times, and the recently confirmed transactions."""

    outputs: tuple[tuple[OutputId, Output], ...]
    roots: tuple[tuple[BlockId, Instant], ...]
    confirmed: tuple[TransactionId, ...]

    @property
    def supply(self) -> int:
        """Tokens of the outputs."""
        return sum(output.amount for _, output in self.outputs)


def take_snapshot(dag: Dag, ledger: UtxoLedger, finality: Finality) -> tuple[LedgerSnapshot, tuple[Block, ...]]:
    """The snapshot, and the live blocks that follow it, parents first."""
    roots, live = [], []
    for entry in dag.entries.values():
        if entry is dag.genesis:
            continue
        if entry.confirmed or entry.block is None or finality.is_lost(entry.branch):
            roots.append((entry.id, entry.time))
        else:
            live.append(entry)
    live.sort(key=lambda entry: entry.place)
    confirmed = [entry.id for entry in ledger.transactions.values() if entry.standing is Standing.CONFIRMED]
    snapshot = LedgerSnapshot(tuple(ledger.unspent()), tuple(roots), (*ledger.past, *confirmed))
    return snapshot, tuple(entry.block for entry in live if entry.block is not None)
