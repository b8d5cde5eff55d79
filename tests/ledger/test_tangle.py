"""Whole layer-1 nodes over a network that reorders."""

from __future__ import annotations

import pytest

from ledger.access import (
    AnchorConfirmed,
    ChainSynced,
    OutputConfirmed,
    PublishTransaction,
    TransactionAccepted,
    TransactionConfirmed,
    TransactionRejected,
    TransactionSeen,
)
from ledger.kernel.instant import MILLISECOND, SECOND
from ledger.utxo import Standing
from tests.harness.payments import (
    CHAINS,
    anchors,
    coins,
    genesis,
    move,
    payment,
    successor_of,
    to_chain,
)
from tests.harness.tangle_network import TangleNetwork

GENESIS = genesis(*coins(100, 200), *anchors())


def settled(network: TangleNetwork, *transactions) -> bool:
    return all(
        (entry := host.tangle.ledger.transactions.get(t.id)) is not None and entry.settled
        for host in network.hosts.values()
        for t in transactions
    )


def test_a_payment_submitted_at_one_node_is_confirmed_at_all_of_them():
    network = TangleNetwork(4, GENESIS)
    network.run(10 * SECOND)
    transaction = payment([GENESIS.output_id(0)], coins(40, 60))
    network.submit("t0", transaction)
    network.run_until(lambda: settled(network, transaction))
    for name in network.names:
        facts = [o for o in network.outputs[name] if getattr(o, "transaction_id", None) == transaction.id]
        kinds = [type(o) for o in facts if type(o).__name__ != "TransactionAttached"]
        assert kinds == [TransactionSeen, TransactionAccepted, TransactionConfirmed]
        assert network.hosts[name].tangle.ledger.supply == 2_300
    assert network.now < 10 * SECOND + network.profile.confirmation_expected


@pytest.mark.parametrize("seed", range(12))
def test_of_two_rival_anchors_all_nodes_confirm_the_same_one_and_reject_the_other(seed):
    network = TangleNetwork(4, GENESIS, seed=seed)
    network.run(5 * SECOND + seed * 130 * MILLISECOND)
    one, other = (move(GENESIS.output_id(2), anchors()[0], note=note) for note in (b"one", b"other"))
    network.submit("t0", one)
    network.submit("t1", other)
    network.run_until(lambda: settled(network, one, other))
    standings = {
        (host.tangle.ledger.standing(one.id), host.tangle.ledger.standing(other.id)) for host in network.hosts.values()
    }
    assert len(standings) == 1
    assert set(standings.pop()) == {Standing.CONFIRMED, Standing.REJECTED}
    loser = next(t for t in (one, other) if network.hosts["t0"].tangle.ledger.standing(t.id) is Standing.REJECTED)
    for name in network.names:
        assert [(o.transaction_id, o.code) for o in network.told(name, TransactionRejected)] == [
            (loser.id, "conflict_lost")
        ]


def test_a_chain_of_unconfirmed_anchors_is_confirmed_in_order():
    network = TangleNetwork(4, GENESIS)
    network.run(5 * SECOND)
    anchor_id, anchor, transactions = GENESIS.output_id(2), anchors()[0], []
    for index in range(10):
        transaction = move(anchor_id, anchor, note=b"%d" % index)
        network.submit(f"t{index % 4}", transaction)
        network.run(20 * MILLISECOND)
        transactions.append(transaction)
        anchor_id, anchor = successor_of(transaction)
    network.run_until(lambda: settled(network, *transactions))
    for name in network.names:
        confirmed = [o.transaction_id for o in network.told(name, TransactionConfirmed)]
        assert confirmed == [t.id for t in transactions]


def test_a_client_follows_its_chain_through_its_own_host():
    network = TangleNetwork(4, GENESIS)
    network.add_client("home1", "t0", (CHAINS[0],))
    network.add_client("home2", "t1", (CHAINS[1],))
    network.run(5 * SECOND)
    anchor = anchors()[0]
    assert network.outputs["home1"] == [ChainSynced(CHAINS[0], GENESIS.output_id(2), anchor, ())]
    sent = to_chain(30, CHAINS[1])
    transaction = move(GENESIS.output_id(2), anchor, sent=[sent])
    network.publish("home1", PublishTransaction(transaction))
    network.run_until(lambda: settled(network, transaction))
    network.run(SECOND)
    moved = successor_of(transaction)
    assert network.outputs["home1"][1:] == [
        TransactionSeen(transaction.id),
        TransactionAccepted(transaction.id),
        AnchorConfirmed(CHAINS[0], *moved, transaction.id, GENESIS.output_id(2)),
        TransactionConfirmed(transaction.id),
    ]
    assert network.outputs["home2"][1:] == [OutputConfirmed(CHAINS[1], transaction.output_id(1), sent)]
    assert network.clients["home1"].status == "synced; 0 transactions published and not settled"
