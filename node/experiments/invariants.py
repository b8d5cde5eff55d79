"""What must be true in every run, checked while it runs, on what the hosts put out.

``MEANINGS`` says what is checked, each time.

A violation is told once, with its place; the run goes on, and the command fails.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ledger.kernel.automaton import Fault, NodeId
from ledger.kernel.instant import Instant
from ledger.output import Output, OutputId, TransactionId
from ledger.transaction import Transaction
from market.orders import BID
from node.configuration import UTILITY
from node.scenario import Scenario
from wasp.chain_block import ChainBlock
from wasp.core_contracts.accounts import balance_of
from wasp.core_contracts.blocklog import prove_receipt, receipt_of, verify_receipt
from wasp.state import State

VIOLATIONS_MAX = 100
"""Violations that are told: a broken run breaks everything after it."""
MEANINGS: Mapping[str, str] = {
    "agreement": "a chain block that a member sees confirmed is the one that every other member sees at that index",
    "succession": "a confirmed chain block builds on the confirmed one before: its digest, its anchor, its index plus one",
    "commitment": "the confirmed state's root is the one that the chain block claims",
    "receipt": "a request of a confirmed chain block has a receipt that verifies against the anchored root",
    "once": "no request is in two confirmed chain blocks of a chain",
    "funds": "the accounts of a chain, outbox included, add up to its funds on layer 1",
    "supply": "the confirmed unspent outputs of a layer-1 node add up to all tokens there are, and nothing is spent twice",
    "clearing": "the short side trades in full, and both sides trade the same energy",
    "home_energy": "what a home had ordered at the gate = local + between microgrids + grid, and nobody else has a share",
    "home_reading": "load, generation and net as measured; metered - ordered = imbalance, at the main grid's price",
    "home_money": "a home's account = genesis funds + what its intervals brought + its debt - what its bids lock",
    "interval_energy": "between microgrids, what is bought on a level is what is sold on it",
    "interval_money": "what homes gained over the main grid's prices = (buy - sell price) x energy traded between peers",
    "no_fault": "no host found evidence against another, whatever it told: all are honest here",
}
"""Name: what must be true."""
NAMES = tuple(MEANINGS)


class Invariants:
    """Counts checks, and keeps what failed."""

    def __init__(self, scenario: Scenario) -> None:
        self.checked: dict[str, int] = dict.fromkeys(NAMES, 0)
        self.violations: list[str] = []
        self._scenario = scenario
        self._digests: dict[str, dict[int, bytes]] = {name: {} for name in scenario.chains}
        self._last: dict[str, tuple[ChainBlock, OutputId]] = {
            name: (setup.block, setup.anchor[0]) for name, setup in scenario.chains.items()
        }
        self._executed: dict[str, set[bytes]] = {name: set() for name in scenario.chains}
        genesis = scenario.genesis_ledger
        first = {genesis.output_id(i): output for i, output in enumerate(genesis.outputs)}
        self.unspent: dict[NodeId, dict[OutputId, Output]] = {node: dict(first) for node in scenario.plan.ledger_nodes}
        """The confirmed unspent outputs of every layer-1 node, followed from what it tells."""
        self._confirmed: dict[NodeId, set[TransactionId]] = {node: set() for node in scenario.plan.ledger_nodes}
        self.transactions: dict[TransactionId, Transaction] = {}
        """All that were booked somewhere."""
        self._amounts: dict[NodeId, int] = dict.fromkeys(scenario.plan.ledger_nodes, scenario.supply)
        self._orders: dict[tuple[str, int], dict[str, tuple[str, int]]] = {}
        """Side and Wh that each participant had ordered at the gate, by chain and interval."""
        self._between: dict[int, dict[tuple[int, str], int]] = {}
        self._gains: dict[int, list[int]] = {}
        self._leaves = sum(1 for chain in scenario.plan.chains.values() if chain.homes and not chain.offline)

    def check(self, name: str, holds: bool, place: str) -> None:
        """One check."""
        self.checked[name] += 1
        if not holds and len(self.violations) < VIOLATIONS_MAX:
            self.violations.append(f"{name}: {place}")

    # ------------------------------------------------------------------------------------------------ chains, layer 1

    def chain_block_confirmed(
        self, now: Instant, node: NodeId, chain: str, block: ChainBlock, anchor: OutputId
    ) -> None:
        """A member saw this chain block confirmed."""
        agreed = self._digests[chain].setdefault(block.index, block.digest)
        self.check("agreement", agreed == block.digest, f"{node} at {now}: {chain} has two chain blocks {block.index}")

    def state_confirmed(self, now: Instant, chain: str, block: ChainBlock, state: State, anchor: OutputId) -> None:
        """A chain's next confirmed state, seen for the first time."""
        place = f"{chain}, chain block {block.index}"
        last, last_anchor = self._last[chain]
        follows = block.index == last.index + 1 and block.previous == last.digest and block.base == last_anchor
        self.check("succession", follows and block.timestamp > last.timestamp, place)
        self._last[chain] = (block, anchor)
        self.check("commitment", state.root == block.state_root, place)
        executed = self._executed[chain]
        for request in block.requests:
            self.check("once", request.id not in executed, f"{place}: request {request.id.hex()}")
            executed.add(request.id)
            receipt = receipt_of(state, request.id)
            proven = receipt is not None and verify_receipt(block.state_root, receipt, prove_receipt(state, request.id))
            self.check("receipt", proven, f"{place}: request {request.id.hex()}")
        names = (*self._scenario.chains[chain].program.accounts, UTILITY)
        accounts = sum(balance_of(state, account) for account in names)
        output = self._transaction_output(anchor)
        self.check("funds", output is not None and accounts == output.amount, place)

    def _transaction_output(self, output_id: OutputId) -> Output | None:
        transaction = self.transactions.get(output_id.transaction)
        return None if transaction is None else transaction.essence.outputs[output_id.index]

    def outgoing_outputs(self, transaction_id: TransactionId) -> int | None:
        """How many outputs an anchor transaction made besides the anchor; none if it never reached layer 1."""
        transaction = self.transactions.get(transaction_id)
        return None if transaction is None else len(transaction.essence.outputs) - 1

    def transaction_booked(self, transaction: Transaction) -> None:
        """A transaction is known."""
        self.transactions.setdefault(transaction.id, transaction)

    def transaction_confirmed(self, now: Instant, node: NodeId, transaction_id: TransactionId) -> None:
        """A layer-1 node confirmed a transaction."""
        confirmed = self._confirmed[node]
        if transaction_id in confirmed:
            return
        confirmed.add(transaction_id)
        place = f"{node} at {now}: transaction {transaction_id.hex()}"
        transaction, unspent = self.transactions.get(transaction_id), self.unspent[node]
        if transaction is None:
            self.check("supply", False, f"{place} was never booked")
            return
        spent = [unspent.pop(input_id, None) for input_id in transaction.essence.inputs]
        total = self._amounts[node] - sum(output.amount for output in spent if output is not None)
        for index, output in enumerate(transaction.essence.outputs):
            unspent[transaction.output_id(index)] = output
            total += output.amount
        self._amounts[node] = total
        holds = None not in spent and total == self._scenario.supply
        self.check("supply", holds, place)

    def newest_unspent(self) -> dict[OutputId, Output]:
        """The confirmed unspent outputs of the layer-1 node that has confirmed most: others may be down or behind."""
        return self.unspent[max(self.unspent, key=lambda node: len(self._confirmed[node]))]

    def faults_told(self, now: Instant, node: NodeId, faults: Sequence[Fault]) -> None:
        """What a host put out has these accusations in it."""
        told = [f"{fault.accused}: {fault.kind} {fault.path} {fault.detail}" for fault in faults]
        self.check("no_fault", not told, f"{node} at {now} accuses {'; '.join(told)}")

    # ------------------------------------------------------------------------------------------------------- the market

    def cleared(self, chain: str, interval: int, clearing: Any) -> None:
        """A gate closed."""
        price, supply, demand, matched, fills = clearing
        bought = sum(filled for _, side, _, _, filled in fills if side == BID)
        sold = sum(filled for _, side, _, _, filled in fills if side != BID)
        both = min(supply, demand)
        holds = bought == sold == matched == both and (price is not None) == (matched > 0)
        self.check("clearing", holds, f"{chain}, interval {interval}: {clearing[:4]}")
        self._orders[chain, interval] = {name: (side, energy) for name, side, energy, _, _ in fills}

    def settled(self, chain: str, interval: int, shares: dict[str, Any], routes: Any) -> None:
        """A microgrid's interval became final."""
        tariff = self._scenario.market.tariff
        gained = traded = 0
        between = self._between.setdefault(interval, {})
        orders = self._orders.pop((chain, interval), {})
        for home in sorted(orders.keys() - shares.keys()):
            self.check("home_energy", False, f"{chain}, interval {interval}, {home} has no share")
        for home, (side, ordered, local, levels, grid, money, _) in shares.items():
            whole = local + sum(energy for _, energy in levels) + grid
            holds = orders.get(home) == (side, whole) and whole == ordered
            self.check("home_energy", holds, f"{chain}, interval {interval}, {home}: {whole} Wh")
            alternative = -ordered * tariff.buy_price if side == BID else ordered * tariff.sell_price
            gained += money - alternative
            for level, energy in levels:
                between[level, side] = between.get((level, side), 0) + energy
            if side == BID:
                traded += ordered - grid
        gains = self._gains.setdefault(interval, [0, 0, 0])
        gains[0] += 1
        gains[1] += gained
        gains[2] += traded
        if gains[0] == self._leaves:
            self._whole_interval(interval, between, gains[1], gains[2])

    def _whole_interval(self, interval: int, between: dict[tuple[int, str], int], gained: int, traded: int) -> None:
        tariff = self._scenario.market.tariff
        for level in sorted({level for level, _ in between}):
            sides = [energy for (of, _), energy in sorted(between.items()) if of == level]
            holds = (len(sides) == 2 and sides[0] == sides[1]) or not any(sides)
            self.check("interval_energy", holds, f"interval {interval}, level {level}: {sides}")
        spread = (tariff.buy_price - tariff.sell_price) * traded
        self.check("interval_money", gained == spread, f"interval {interval}: gained {gained}, expected {spread}")
        del self._between[interval], self._gains[interval]

    def metered(self, chain: str, interval: int, home: str, share: Any, metered: Any) -> None:
        """A home's interval was metered."""
        tariff, series = self._scenario.market.tariff, self._scenario.series[home]
        net, imbalance, money, assumed = metered
        ordered = 0 if share is None else share[1] if share[0] != BID else -share[1]
        measured = series.generation[interval] - series.load[interval]
        price = tariff.sell_price if imbalance > 0 else tariff.buy_price
        holds = net - ordered == imbalance and money == imbalance * price and net == (ordered if assumed else measured)
        self.check("home_reading", holds, f"{chain}, interval {interval}, {home}: {metered}")
