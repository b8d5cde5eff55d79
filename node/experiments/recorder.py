"""Observes a run: fills the tables, and hands every confirmed state to the checks.

A stage of a request is taken at the host of the household that submitted it. Of everything that several hosts see (a chain
block anchored, a chain block confirmed), the table has the first time; agreement is checked on all. A chain's state is
confirmed when the first layer-1 node has confirmed its anchor: also when no member is up that could say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ledger.access import TransactionConfirmed
from ledger.booking import BlockBooked
from ledger.finality import BlockAccepted, BlockConfirmed
from ledger.issuing import PowNeeded
from ledger.kernel.automaton import Fault, NodeId
from ledger.kernel.encoding import pack, unpack
from ledger.kernel.instant import Instant
from ledger.kernel.rejection import Rejected
from ledger.output import OutputId, TransactionId
from ledger.transaction import Transaction
from market.microgrid import LATE
from market.prosumer import RequestToSubmit
from node.experiments.invariants import Invariants
from node.experiments.market_recorder import MarketRecorder
from node.experiments.results import TableCell
from node.experiments.tables import Tables
from node.host import ChainFact
from node.scenario import Scenario
from node.simulated.machine import Counters
from wasp.chain_interface import BatchProposed, ChainBlockAnchored, ChainBlockConfirmed, ChainBlocksUndone
from wasp.consensus.consensus_interface import BatchDecided
from wasp.core_contracts.blocklog import Receipt
from wasp.mempool import RequestRefused
from wasp.request import MESSAGE_CODEC, OffLedgerRequest, OnLedgerRequest
from wasp.state import State

Row = dict[str, TableCell]
_LATE_RESULT = pack(LATE)


class Recorder:
    """What happened, in tables."""

    def __init__(self, scenario: Scenario) -> None:
        self.tables = Tables()
        self.invariants = Invariants(scenario)
        self.market = MarketRecorder(scenario, self.tables, self.invariants)
        self.confirmed: dict[str, int] = dict.fromkeys(scenario.chains, 0)
        """State index of the newest confirmed chain block, by chain."""
        self.confirmed_states: dict[str, State] = {name: setup.state for name, setup in scenario.chains.items()}
        self.gas = 0
        """Of the requests in confirmed chain blocks."""
        self.faults: list[tuple[Instant, NodeId, Fault]] = []
        self._requests: dict[bytes, Row] = {}
        self._homes = {home.name: home.chain for home in scenario.plan.homes}
        self._issuers = {scenario.identities.public_key(host): host for host in scenario.plan.hosts}
        self._chain_blocks: dict[bytes, Row] = {}
        self._decided: dict[tuple[str, int], Instant] = {}
        """When the first member saw the batch of a log index decided."""
        self._anchored: dict[TransactionId, ChainBlockAnchored] = {}
        """By its anchor's transaction: each chain block that is not confirmed."""
        self._difficulties: dict[bytes, int] = {}
        """Of blocks that are not booked yet, by what the work is done for."""
        self._blocks: dict[bytes, Row] = {}

    def observe(self, now: Instant, node: NodeId, outputs: Sequence[Any], faults: Sequence[Fault]) -> None:
        """These were released at this instant of virtual time."""
        for output in outputs:
            match output:
                case ChainFact():
                    self._observe_chain(now, node, output.chain, output.fact)
                case BlockBooked():
                    self._note_block(now, node, output)
                case BlockAccepted():
                    self._stamp(self._blocks.get(output.block_id), "accepted_us", now)
                case BlockConfirmed():
                    self._stamp(self._blocks.get(output.block_id), "confirmed_us", now)
                case TransactionConfirmed():
                    self.invariants.transaction_confirmed(now, node, output.transaction_id)
                    self._advance(now, output.transaction_id)
                case PowNeeded():
                    self._difficulties[output.id] = output.difficulty
                case RequestToSubmit():
                    self._note_request(now, node, output)
                case _:
                    pass
        self.faults += [(now, node, fault) for fault in faults]
        self.invariants.faults_told(now, node, faults)

    def finish(self, counters: Counters) -> Tables:
        """Close the tables: everything that was kept open becomes rows."""
        self.market.finish()
        for kind, (messages, size) in sorted(counters.kinds.items(), key=lambda item: item[0].__name__):
            self.tables.messages.add(kind.__name__, messages, size)
        for row in self._requests.values():
            self.tables.requests.add(*(row.get(column) for column in self.tables.requests.columns))
        for row in self._chain_blocks.values():
            row["outputs"] = self.invariants.outgoing_outputs(bytes.fromhex(str(row["transaction"])))
            self.tables.chain_blocks.add(*(row.get(column) for column in self.tables.chain_blocks.columns))
        for row in self._blocks.values():
            self.tables.blocks.add(*(row.get(column) for column in self.tables.blocks.columns))
        return self.tables

    # -------------------------------------------------------------------------------------------------------- requests

    def _note_request(self, now: Instant, node: NodeId, output: RequestToSubmit) -> None:
        request = output.request
        if request.id in self._requests:
            return
        chain = self._homes[node]
        self._requests[request.id] = {
            "request": request.id.hex(),
            "chain": chain,
            "kind": output.entry_point,
            "account": node,
            "interval": output.interval,
            "submitted_us": now,
            "outcome": "unanswered",
        }
        if output.entry_point == "submit_order":
            self.market.order_submitted(now, chain, node, request)

    def _note_message(self, chain: str, request: OnLedgerRequest) -> None:
        """A message of another chain, or one that came back. No household submitted it: its stages are the first member's."""
        try:
            message = MESSAGE_CODEC.decode(request.output.metadata)
            parameters = unpack(message.call.parameters)
        except Rejected:
            return
        interval = parameters[0] if type(parameters) is tuple and parameters else None
        row: Row = {
            "request": request.id.hex(),
            "chain": chain,
            "kind": "returned" if message.id.chain == chain else message.call.entry_point,
            "account": message.id.chain,
            "interval": interval if type(interval) is int else None,
            "outcome": "unanswered",
        }
        self._requests.setdefault(request.id, row)

    def _stamp(self, row: Row | None, stage: str, now: Instant) -> None:
        if row is not None:
            row.setdefault(stage, now)

    def _observe_chain(self, now: Instant, node: NodeId, chain: str, fact: Any) -> None:
        match fact:
            case BatchProposed():
                self._stamp_own(now, node, fact.requests, "in_batch_us")
            case BatchDecided():
                self._decided.setdefault((chain, fact.log_index), now)
                self._stamp_own(now, node, fact.batch.requests, "decided_us")
            case ChainBlockAnchored():
                self._note_anchored(now, node, fact)
            case ChainBlockConfirmed():
                self._note_confirmed(now, node, fact)
            case ChainBlocksUndone():
                self._note_undone(node, fact)
            case RequestRefused():
                row = self._requests.get(fact.request_id)
                if row is not None and row["account"] == node and row["outcome"] == "unanswered":
                    row["outcome"] = fact.code
            case _:
                pass

    def _stamp_own(self, now: Instant, node: NodeId, requests: Sequence[bytes], stage: str) -> None:
        for request in requests:
            row = self._requests.get(request)
            if row is not None and row["account"] == node:
                row.setdefault(stage, now)

    # ---------------------------------------------------------------------------------------------------- chain blocks

    def _note_anchored(self, now: Instant, node: NodeId, fact: ChainBlockAnchored) -> None:
        block = fact.block
        if block.digest not in self._chain_blocks:
            self._anchored[fact.transaction_id] = fact
            self._chain_blocks[block.digest] = {
                "chain": fact.chain,
                "index": block.index,
                "log_index": block.log_index,
                "timestamp_us": block.timestamp,
                "decided_us": self._decided.get((fact.chain, block.log_index)),
                "anchored_us": now,
                "requests": len(block.requests),
                "transaction": fact.transaction_id.hex(),
                "outcome": "open",
            }
        elif self._chain_blocks[block.digest]["outcome"] == "undone":
            self._chain_blocks[block.digest]["outcome"] = "open"
        for request in block.requests:
            if isinstance(request, OffLedgerRequest):
                self._stamp_own(now, node, (request.id,), "anchored_us")
            else:
                self._note_message(fact.chain, request)
                self._stamp(self._requests.get(request.id), "anchored_us", now)
        for receipt in fact.receipts:
            row = self._requests.get(receipt.request_id)
            if row is not None:
                row["outcome"] = _outcome(row, receipt)

    def _note_confirmed(self, now: Instant, node: NodeId, fact: ChainBlockConfirmed) -> None:
        block = fact.block
        row = self._chain_blocks.get(block.digest)
        self._stamp(row, "confirmed_us", now)
        for request in block.requests:
            if type(request) is OffLedgerRequest:
                self._stamp_own(now, node, (request.id,), "confirmed_us")
            else:
                self._stamp(self._requests.get(request.id), "confirmed_us", now)
        self.invariants.chain_block_confirmed(now, node, fact.chain, block, fact.anchor_id)

    def _advance(self, now: Instant, transaction_id: TransactionId) -> None:
        """Layer 1 has confirmed a transaction: if it is an anchor, its chain has a new confirmed state."""
        fact = self._anchored.pop(transaction_id, None)
        if fact is None:
            return
        chain, block, state = fact.chain, fact.block, fact.state
        row = self._chain_blocks[block.digest]
        row["outcome"] = "confirmed"
        row["outputs"] = len(self.invariants.transactions[transaction_id].essence.outputs) - 1
        self.confirmed[chain] = block.index
        self.confirmed_states[chain] = state
        self.gas += sum(receipt.gas for receipt in fact.receipts)
        for receipt in fact.receipts:
            order = self._requests.get(receipt.request_id)
            if order is not None and order["kind"] == "submit_order" and _outcome(order, receipt) == LATE:
                self.market.order_was_late(int(order["interval"] or 0), int(order["submitted_us"] or 0))
        self.invariants.state_confirmed(now, chain, block, state, OutputId(transaction_id, 0))
        self.market.state_confirmed(now, chain, block, state)

    def _note_undone(self, node: NodeId, fact: ChainBlocksUndone) -> None:
        for block in fact.blocks:
            row = self._chain_blocks.get(block.digest)
            if row is not None and row["outcome"] != "confirmed":
                row["outcome"] = "undone"
            for request in block.requests:
                own = self._requests.get(request.id)
                if own is not None and own["account"] == node:
                    own.pop("anchored_us", None)

    # --------------------------------------------------------------------------------------------------------- layer 1

    def _note_block(self, now: Instant, node: NodeId, fact: BlockBooked) -> None:
        block = fact.block
        if block.id in self._blocks:
            return
        essence, payload = block.essence, block.essence.payload
        if isinstance(payload, Transaction):
            self.invariants.transaction_booked(payload)
        self._blocks[block.id] = {
            "block": block.id.hex(),
            "issuer": self._issuers.get(essence.issuer, ""),
            "issued_us": essence.issuing_time,
            "payload": "" if payload is None else payload.id.hex(),
            "difficulty": self._difficulties.pop(essence.work_data, None),
            "strong_parents": " ".join(parent.hex() for parent in essence.strong),
            "weak_parents": " ".join(parent.hex() for parent in essence.weak),
        }


def _outcome(row: Row, receipt: Receipt) -> str:
    """What became of a request: an order that came after its gate is no failed request, and was not taken either."""
    late = row["kind"] == "submit_order" and receipt.result == _LATE_RESULT
    return receipt.code or (LATE if late else "ok")
