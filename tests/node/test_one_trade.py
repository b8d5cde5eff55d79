"""One trade, walked through the table of the design: from a meter's forecast to a receipt with a proof.

Two microgrids of four homes and their parent chain trade one hour. The home that is followed sells; its own microgrid takes
a part, the other microgrid takes another part by way of the parent chain.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ledger.access import TransactionConfirmed
from ledger.booking import BlockBooked
from ledger.kernel.automaton import Fault, NodeId
from ledger.kernel.encoding import unpack
from ledger.kernel.instant import MINUTE, Instant
from ledger.transaction import SignatureUnlock, Transaction
from market.bidders.bidder import Seat
from market.hierarchy import AUCTION
from market.meter import Meter, NoisyForecast
from market.orders import ASK
from market.prosumer import RequestToSubmit
from node.configuration import Configuration
from node.experiments.scenario import SimulatedScenario
from node.host import ChainFact
from wasp.chain_interface import BatchProposed, ChainBlockAnchored, ChainBlockConfirmed
from wasp.consensus.consensus_interface import BatchDecided
from wasp.core_contracts.accounts import balance_of
from wasp.core_contracts.blocklog import prove_receipt, receipt_of, verify_receipt
from wasp.mempool import RequestPooled
from wasp.request import MESSAGE_CODEC, OnLedgerRequest
from wasp.vm.sandbox import call_view

SELLER, HOME_CHAIN, OTHER_CHAIN, PARENT = NodeId("a1"), "here", "there", "community"
LOAD = {"a1": 200, "a2": 500, "a3": 300, "a4": 100, "b1": 900, "b2": 400, "b3": 700, "b4": 600}
GENERATION = {"a1": 2_200, "a2": 0, "a3": 0, "a4": 0, "b1": 0, "b2": 0, "b3": 0, "b4": 0}


class Witness:
    """Keeps all that the hosts put out."""

    def __init__(self) -> None:
        self.seen: list[tuple[Instant, NodeId, str | None, Any]] = []
        self.faults: list[Fault] = []

    def observe(self, now: Instant, node: NodeId, outputs: Sequence[Any], faults: Sequence[Fault]) -> None:
        for output in outputs:
            chain, fact = (output.chain, output.fact) if isinstance(output, ChainFact) else (None, output)
            self.seen.append((now, node, chain, fact))
        self.faults += faults

    def all(self, kind: type, chain: str | None = None) -> list[tuple[Instant, NodeId, Any]]:
        """When and where something of this kind was put out."""
        return [(now, node, fact) for now, node, of, fact in self.seen if isinstance(fact, kind) and of == chain]


class Walk:
    """The run, once for all steps."""

    def __init__(self, folder: Path) -> None:
        self.scenario = SimulatedScenario(_configuration(folder), folder)
        self.witness = Witness()
        self.runtime = self.scenario.runtime(self.witness)
        self.runtime.run_until(self.scenario.end + 5 * MINUTE)
        orders = [
            (now, fact)
            for now, node, fact in self.witness.all(RequestToSubmit)
            if node == SELLER and fact.entry_point == "submit_order"
        ]
        self.submitted, self.order = orders[0]
        self.request = self.order.request

    def chain(self, name: str, member: NodeId) -> Any:
        return self.runtime.host(member).chains[name]

    def members(self, name: str) -> tuple[NodeId, ...]:
        return self.scenario.chains[name].committee.members

    def view(self, chain: str, view: str, *parameters: Any) -> Any:
        state = self.chain(chain, self.members(chain)[0]).confirmed_state
        return call_view(self.scenario.chains[chain].program, state, AUCTION, view, *parameters)

    def anchor_of(self, block: Any, chain: str) -> Transaction:
        """The transaction that anchored a chain block."""
        ids = {fact.transaction_id for _, _, fact in self.witness.all(ChainBlockAnchored, chain) if fact.block == block}
        (booked,) = {
            fact.block.essence.payload.id: fact.block.essence.payload
            for _, _, fact in self.witness.all(BlockBooked)
            if fact.block.essence.payload is not None and fact.block.essence.payload.id in ids
        }.values()
        return booked

    def block_with(self, chain: str, request_id: bytes) -> Any:
        """The confirmed chain block with this request."""
        (block,) = {
            fact.block.index: fact.block
            for _, _, fact in self.witness.all(ChainBlockConfirmed, chain)
            if request_id in [request.id for request in fact.block.requests]
        }.values()
        return block

    def on_ledger(self, chain: str, entry_point: str) -> tuple[Any, OnLedgerRequest, Any]:
        """The chain block, request and message of the first on-ledger call of this entry point."""
        return next(
            (fact.block, request, message)
            for _, _, fact in self.witness.all(ChainBlockConfirmed, chain)
            for request in fact.block.requests
            if isinstance(request, OnLedgerRequest)
            and (message := MESSAGE_CODEC.decode(request.output.metadata)).call.entry_point == entry_point
        )


def _configuration(folder: Path) -> Configuration:
    homes = list(LOAD)
    with (folder / "data.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([f"{home}.{kind}" for home in homes for kind in ("load_wh", "generation_wh")])
        writer.writerow([str(value) for home in homes for value in (LOAD[home], GENERATION[home])])
    return Configuration.model_validate(
        {
            "scenario": {"name": "one-trade", "seed": 3, "intervals": 1},
            "data": {"file": "data.csv", "forecast_error": 0.05},
            "market": {"grid_charges": 18.9, "grid_pays": 3.2},
            "chains": [
                {"name": HOME_CHAIN, "parent": PARENT, "homes": ["a1", "a2", "a3", "a4"]},
                {"name": OTHER_CHAIN, "parent": PARENT, "homes": ["b1", "b2", "b3", "b4"]},
                {"name": PARENT},
            ],
        }
    )


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    return Walk(tmp_path_factory.mktemp("walk"))


def test_nobody_is_accused(walk: Walk) -> None:
    assert walk.witness.faults == []


def test_step_1_the_meter_forecasts_the_excess_of_the_next_delivery_interval(walk: Walk) -> None:
    forecast = NoisyForecast(50_000, _forecast_seed(walk))
    meter = Meter(SELLER, 25_000, [LOAD["a1"]], [GENERATION["a1"]], forecast)
    assert meter.forecast(0) != 2_000, "the forecast errs"
    assert _order(walk)[2] == meter.forecast(0)


def test_step_2_the_bidder_quotes_what_its_seat_draws(walk: Walk) -> None:
    seat = Seat(walk.scenario.market.session(HOME_CHAIN, 0), SELLER, ASK)
    assert _order(walk) == (0, ASK, _order(walk)[2], walk.scenario.market.bidder.first_quote(seat).price)
    assert walk.submitted >= walk.scenario.market.opening_at(0)


def test_step_3_the_order_is_a_signed_off_ledger_request(walk: Walk) -> None:
    assert walk.request.essence.chain == HOME_CHAIN
    assert walk.request.essence.sender == walk.scenario.identities.signer(SELLER).public_key
    assert walk.request.verify(walk.scenario.identities.verifier)


def test_step_4_every_member_of_the_committee_pools_it(walk: Walk) -> None:
    told = walk.witness.all(RequestPooled, HOME_CHAIN)
    pooled = [node for _, node, fact in told if fact.request_id == walk.request.id]
    assert sorted(pooled) == sorted(walk.members(HOME_CHAIN))


def test_step_5_members_propose_it_for_a_log_index(walk: Walk) -> None:
    proposals = [
        (node, fact.log_index)
        for _, node, fact in walk.witness.all(BatchProposed, HOME_CHAIN)
        if walk.request.id in fact.requests
    ]
    committee = walk.scenario.chains[HOME_CHAIN].committee
    decided = _decided_index(walk)
    assert len([node for node, index in proposals if index == decided]) >= committee.some_correct


def test_step_6_all_members_decide_the_same_batch_with_it(walk: Walk) -> None:
    decided = _decided_index(walk)
    batches = [fact for _, _, fact in walk.witness.all(BatchDecided, HOME_CHAIN) if fact.log_index == decided]
    assert len(batches) == len(walk.members(HOME_CHAIN))
    assert len({fact.batch for fact in batches}) == 1


def test_step_7_it_is_executed_and_at_the_gate_the_contract_clears_the_market(walk: Walk) -> None:
    block = walk.block_with(HOME_CHAIN, walk.request.id)
    state = walk.chain(HOME_CHAIN, SELLER).confirmed_state
    receipt = receipt_of(state, walk.request.id)
    assert receipt is not None and receipt.succeeded and unpack(receipt.result) == "accepted"
    assert receipt.block_index == block.index
    price, supply, demand, matched, _ = walk.view(HOME_CHAIN, "clearing", 0)
    assert price is not None and supply > demand == matched


def test_step_8_what_is_left_goes_to_the_parent_chain(walk: Walk) -> None:
    _, supply, demand, _, _ = walk.view(HOME_CHAIN, "clearing", 0)
    _, request, message = _residual(walk)
    assert unpack(message.call.parameters) == (0, ASK, supply - demand)
    assert request.output.address.chain == walk.scenario.chains[PARENT].program.id  # type: ignore[union-attr]


def test_step_9_the_members_sign_the_anchor_that_carries_it(walk: Walk) -> None:
    transaction = _carrier(walk)
    committee, unlock = walk.scenario.chains[HOME_CHAIN].committee, transaction.unlocks[0]
    assert isinstance(unlock, SignatureUnlock)
    assert walk.scenario.identities.verifier.verify(committee.group_key, transaction.id, unlock.signature)


def test_step_10_a_block_carries_it_to_every_layer_1_node(walk: Walk) -> None:
    transaction = _carrier(walk)
    booked = {node for _, node, fact in walk.witness.all(BlockBooked) if fact.block.essence.payload == transaction}
    assert booked == set(walk.scenario.plan.ledger_nodes)


def test_step_11_it_is_confirmed_everywhere(walk: Walk) -> None:
    transaction = _carrier(walk)
    confirmed = {
        node
        for _, node, fact in walk.witness.all(TransactionConfirmed)
        if fact.transaction_id == transaction.id and node in walk.scenario.plan.ledger_nodes
    }
    assert confirmed == set(walk.scenario.plan.ledger_nodes)


def test_step_12_the_chain_moves_to_the_new_anchor(walk: Walk) -> None:
    transaction = _carrier(walk)
    moved = [
        node
        for _, node, fact in walk.witness.all(ChainBlockConfirmed, HOME_CHAIN)
        if fact.anchor_id.transaction == transaction.id
    ]
    assert sorted(moved) == sorted(walk.members(HOME_CHAIN))


def test_step_13_the_parent_chain_takes_the_output_as_a_request(walk: Walk) -> None:
    block, request, message = _residual(walk)
    assert (message.id.chain, message.id.contract) == (HOME_CHAIN, AUCTION)
    assert request.output_id.transaction == _carrier(walk).id
    assert request.output_id in walk.anchor_of(block, PARENT).essence.inputs


def test_step_14_the_result_comes_back_and_corrects_the_price(walk: Walk) -> None:
    _, request, _ = walk.on_ledger(HOME_CHAIN, "receive_result")
    assert receipt_of(walk.chain(HOME_CHAIN, SELLER).confirmed_state, request.id).succeeded  # type: ignore[union-attr]
    side, ordered, local, levels, grid, money, price = walk.view(HOME_CHAIN, "settlement", 0, SELLER)[0]
    ((level, between),) = levels
    assert side == ASK and local > 0 and level == 1 and between > 0
    assert ordered == _order(walk)[2] == local + between + grid
    (lot,) = walk.view(HOME_CHAIN, "residuals", 0)[0][4]
    assert money == local * price + between * lot[2] + grid * walk.scenario.market.tariff.sell_price


def test_step_15_meters_meet_trades_balances_move_and_there_is_a_receipt_with_a_proof(walk: Walk) -> None:
    share, metered = walk.view(HOME_CHAIN, "settlement", 0, SELLER)
    net, imbalance, correction, assumed = metered
    assert (net, assumed) == (2_000, False)
    assert imbalance == 2_000 - share[1]
    state, setup = walk.chain(HOME_CHAIN, SELLER).confirmed_state, walk.scenario.chains[HOME_CHAIN]
    assert balance_of(state, SELLER) - balance_of(setup.state, SELLER) == share[5] + correction
    receipt = receipt_of(state, walk.request.id)
    assert receipt is not None
    assert verify_receipt(state.root, receipt, prove_receipt(state, walk.request.id))


def _forecast_seed(walk: Walk) -> bytes:
    from ledger.kernel.encoding import digest

    return digest("forecasts", walk.scenario.seed)


def _order(walk: Walk) -> Any:
    return unpack(walk.request.essence.call.parameters)


def _decided_index(walk: Walk) -> int:
    return walk.block_with(HOME_CHAIN, walk.request.id).log_index  # type: ignore[no-any-return]


def _residual(walk: Walk) -> tuple[Any, OnLedgerRequest, Any]:
    """The parent's chain block that took the seller's microgrid's residual."""
    return next(
        (fact.block, request, message)
        for _, _, fact in walk.witness.all(ChainBlockConfirmed, PARENT)
        for request in fact.block.requests
        if isinstance(request, OnLedgerRequest)
        and (message := MESSAGE_CODEC.decode(request.output.metadata)).id.chain == HOME_CHAIN
    )


def _carrier(walk: Walk) -> Transaction:
    """The seller's chain's anchor transaction that made the output with the residual."""
    _, request, _ = _residual(walk)
    return next(
        fact.block.essence.payload
        for _, _, fact in walk.witness.all(BlockBooked)
        if fact.block.essence.payload is not None and fact.block.essence.payload.id == request.output_id.transaction
    )
