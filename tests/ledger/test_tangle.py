"""Whole layer-1 nodes over a network that reorders."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ledger.access import (
    AnchorConfirmed,
    ChainSynced,
    KeepAlive,
    OutputConfirmed,
    PublishTransaction,
    TransactionAccepted,
    TransactionConfirmed,
    TransactionRejected,
    TransactionSeen,
)
from ledger.kernel.automaton import NOTHING, Fault, NodeId, Step
from ledger.kernel.instant import MILLISECOND, MINUTE, SECOND
from ledger.kernel.rng import stream
from ledger.snapshot import LedgerSnapshot, take_snapshot
from ledger.synchronisation import SyncPart
from ledger.tangle import SNAPSHOT_INTERVAL, LedgerReplaced
from ledger.transaction import Transaction
from ledger.utxo import Standing
from tests.harness.payments import (
    BOB,
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


def views(network: TangleNetwork) -> set[Any]:
    return {frozenset(host.tangle.ledger.unspent()) for host in network.hosts.values()}


def pay_on(network: TangleNetwork, source, count: int, pause: int = 3 * SECOND) -> list[Any]:
    """A line of payments, each of the one before, submitted all around."""
    made, names = [], [name for name in network.names if name in network.hosts][:3]
    for index in range(count):
        transaction = payment([source], coins(100), network.now, note=b"%d" % index)
        network.submit(names[index % len(names)], transaction)
        network.run(pause)
        source = transaction.output_id(0)
        made.append(transaction)
    return made


def test_around_a_ring_that_loses_a_third_of_all_messages_everything_is_confirmed_everywhere():
    def lossy(_sender, _recipient):
        return None if network.rng.random() < 1 / 3 else 1 + network.rng.randrange(100 * MILLISECOND)

    network = TangleNetwork(6, GENESIS, neighbours=lambda i: ((i - 1) % 6, (i + 1) % 6), seed=5)
    network.delay = lossy
    made = pay_on(network, GENESIS.output_id(0), 10)
    network.run_until(lambda: settled(network, *made))
    assert len(views(network)) == 1


def test_after_a_partition_the_smaller_part_catches_up():
    parted = []

    def delay(sender, recipient):
        return None if parted and ((sender == "t3") != (recipient == "t3")) else 20 * MILLISECOND

    network = TangleNetwork(4, GENESIS, delay=delay)
    network.run(10 * SECOND)
    parted.append(True)
    made = pay_on(network, GENESIS.output_id(0), 60)
    assert network.hosts["t3"].tangle.ledger.standing(made[0].id) is None
    alone = payment([GENESIS.output_id(1)], coins(200))
    network.submit("t3", alone)
    network.run(60 * SECOND)
    assert network.hosts["t3"].tangle.ledger.standing(alone.id) is Standing.PENDING
    parted.clear()
    network.run_until(lambda: settled(network, alone, made[-1]))
    assert len(views(network)) == 1
    assert network.hosts["t0"].tangle.ledger.standing(alone.id) is Standing.CONFIRMED


def test_nothing_is_confirmed_without_a_majority_and_nothing_is_lost():
    parted = [True]

    def delay(sender, recipient):
        return None if parted and (sender in ("t0", "t1")) != (recipient in ("t0", "t1")) else 20 * MILLISECOND

    network = TangleNetwork(4, GENESIS, delay=delay)
    network.run(10 * SECOND)
    one, other = (payment([GENESIS.output_id(0)], coins(100), note=note) for note in (b"one", b"other"))
    network.submit("t0", one)
    network.submit("t3", other)
    network.run(45 * MINUTE)
    for host in network.hosts.values():
        assert host.tangle.ledger.supply == 2_300
        assert host.tangle.ledger.open_count == 1
    parted.clear()
    network.run_until(lambda: settled(network, one, other))
    assert len(views(network)) == 1


def test_a_node_that_restarts_from_its_records_has_not_forgotten_what_it_confirmed():
    network = TangleNetwork(4, GENESIS)
    network.run(10 * SECOND)
    made = pay_on(network, GENESIS.output_id(0), 5)
    network.run(10 * SECOND)
    before = frozenset(network.hosts["t2"].tangle.ledger.unspent())
    network.stop("t2")
    more = pay_on(network, made[-1].output_id(0), 5)
    network.start("t2", with_records=True)
    assert frozenset(network.hosts["t2"].tangle.ledger.unspent()) == before
    assert not network.hosts["t2"].tangle.synchronised
    network.run_until(lambda: settled(network, *made, *more))
    assert network.hosts["t2"].tangle.synchronised
    network.run(5 * SECOND)
    assert len(views(network)) == 1
    assert network.hosts["t2"].tangle.status == "0 transactions unconfirmed"
    last = pay_on(network, more[-1].output_id(0), 3)
    network.run_until(lambda: settled(network, *last))


def test_when_all_nodes_restart_at_once_they_agree_again():
    network = TangleNetwork(4, GENESIS)
    network.run(10 * SECOND)
    made = pay_on(network, GENESIS.output_id(0), 8, pause=350 * MILLISECOND)
    confirmed = {name: {o.transaction_id for o in network.told(name, TransactionConfirmed)} for name in network.names}
    assert any(len(ids) < 8 for ids in confirmed.values()), "some are under way"
    for name in network.names:
        network.stop(name)
    network.run(MINUTE)
    for name in network.names:
        network.start(name, with_records=True)
        ledger = network.hosts[name].tangle.ledger
        assert {id for id, entry in ledger.transactions.items() if entry.standing is Standing.CONFIRMED} >= confirmed[
            name
        ]
    network.run(5 * SECOND)
    for transaction in made:
        network.submit("t1", transaction)
        network.run(SECOND)
    network.run_until(lambda: settled(network, *made))
    assert len(views(network)) == 1


def test_a_node_without_records_takes_a_snapshot_when_the_past_is_pruned():
    network = TangleNetwork(4, GENESIS, codec=False)
    network.run(10 * SECOND)
    made = pay_on(network, GENESIS.output_id(0), 100, pause=40 * SECOND)
    network.stop("t3")
    network.start("t3")
    network.run(20 * SECOND)
    assert len(views(network)) == 1
    more = pay_on(network, made[-1].output_id(0), 3)
    network.run_until(lambda: settled(network, *more))
    assert len(views(network)) == 1
    network.stop("t3")
    network.run(SECOND)
    network.start("t3", with_records=True)
    assert len(views(network)) == 1, "the snapshot is in its records"
    assert sum(isinstance(record.value, LedgerSnapshot) for record in network.records["t3"]) == 1


def test_the_hourly_snapshot_takes_the_place_of_all_records_before_it():
    network = TangleNetwork(2, GENESIS, codec=False)
    network.run(10 * SECOND)
    made, lengths = [], []
    for _ in range(4):
        made += pay_on(network, made[-1].output_id(0) if made else GENESIS.output_id(0), 3)
        network.run(SNAPSHOT_INTERVAL // 2)
        lengths.append(len(network.records["t0"]))
    kinds = [type(record.value) for record in network.records["t0"]]
    assert kinds.index(LedgerSnapshot) == 0 and kinds.count(LedgerSnapshot) == 1
    assert lengths[3] < lengths[0] + lengths[1]
    network.stop("t0")
    network.start("t0", with_records=True)
    assert len(views(network)) == 1


def test_a_snapshot_whose_tokens_do_not_add_up_is_a_fault_and_ignored():
    network = TangleNetwork(2, GENESIS)
    tangle = network.hosts["t0"].tangle
    (envelope,) = tangle.handle_timer(0).messages
    forged = LedgerSnapshot(((GENESIS.output_id(0), coins(1)[0]),), (), ())
    answer = SyncPart(envelope.message.question, 0, True, forged, ())
    step = tangle.handle_message("t1", ("tangle",), answer, 0)
    assert [fault.kind for fault in step.faults] == ["bad_snapshot"]
    assert tangle.ledger.supply == 2_300


def test_a_snapshot_after_blocks_is_a_fault_and_takes_nothing_away():
    network = TangleNetwork(2, GENESIS)
    tangle = network.hosts["t0"].tangle
    (envelope,) = tangle.handle_timer(0).messages
    first = SyncPart(envelope.message.question, 0, False, None, ())
    assert tangle.handle_message("t1", ("tangle",), first, 0) == NOTHING
    dag, ledger = tangle.dag, tangle.ledger
    snapshot, _ = take_snapshot(dag, ledger, tangle.finality)
    second = SyncPart(envelope.message.question, 1, True, snapshot, ())
    step = tangle.handle_message("t1", ("tangle",), second, 0)
    assert [(fault.accused, fault.kind) for fault in step.faults] == [("t1", "late_snapshot")]
    assert [output for output in step.outputs if isinstance(output, LedgerReplaced)] == []


def test_a_message_that_is_not_of_the_tangle_is_a_fault():
    network = TangleNetwork(2, GENESIS)
    step = network.hosts["t0"].tangle.handle_message("t1", ("tangle",), KeepAlive(1), 0)
    assert step == Step(faults=(Fault(NodeId("t1"), "unexpected_message", ("tangle",), "KeepAlive"),))


def test_memory_stays_flat_over_hours():
    network = TangleNetwork(4, GENESIS, codec=False)
    network.run(10 * SECOND)
    source, sizes = GENESIS.output_id(0), []
    for _ in range(6):
        source = pay_on(network, source, 30, pause=MINUTE)[-1].output_id(0)
        tangle = network.hosts["t0"].tangle
        sizes.append((len(tangle.dag.entries), len(tangle.ledger.outputs), len(tangle.ledger.transactions)))
        assert len(tangle.dag.unconfirmed) < 30
    for size, early in zip(sizes[-1], sizes[1], strict=True):
        assert size < early * 1.3


def test_activity_sleeps_while_there_is_nothing_to_confirm_and_wakes_with_a_payload():
    network = TangleNetwork(4, GENESIS, codec=False)
    network.run(2 * MINUTE)
    tangle = network.hosts["t0"].tangle
    idle = len(tangle.dag.entries)
    network.run(10 * MINUTE)
    assert 38 <= len(tangle.dag.entries) - idle <= 42
    transaction = payment([GENESIS.output_id(0)], coins(100))
    begun = network.now
    network.submit("t0", transaction)
    network.run_until(lambda: settled(network, transaction))
    assert network.now - begun < network.profile.confirmation_expected


def test_a_stuck_payload_is_attached_again_when_it_is_submitted_again_and_not_before():
    network = TangleNetwork(4, GENESIS, delay=lambda sender, _: None if sender == "t0" else 20 * MILLISECOND)
    network.run(20 * SECOND)
    transaction = payment([GENESIS.output_id(0)], coins(100))
    network.submit("t0", transaction)
    network.run(2 * SECOND)
    attachments = network.hosts["t0"].tangle.dag.attachments
    network.submit("t0", transaction)
    network.run(2 * SECOND)
    assert len(attachments[transaction.id]) == 1
    network.run(10 * SECOND)
    network.submit("t0", transaction)
    network.run(2 * SECOND)
    assert len(attachments[transaction.id]) == 2


def test_a_transaction_that_can_never_be_valid_is_rejected_to_its_submitter_without_work():
    network = TangleNetwork(4, GENESIS)
    network.run(10 * SECOND)
    spent = payment([GENESIS.output_id(0)], coins(100))
    network.submit("t0", spent)
    network.run_until(lambda: settled(network, spent))
    cases = {
        "amount_mismatch": payment([GENESIS.output_id(1)], coins(1)),
        "wrong_network": payment([GENESIS.output_id(1)], coins(200)),
        "bad_signature": payment([GENESIS.output_id(1)], coins(200), owner=BOB),
        "conflict_lost": payment([GENESIS.output_id(0)], coins(100), note=b"again"),
    }
    essence = msgspec.structs.replace(cases["wrong_network"].essence, network="other")
    cases["wrong_network"] = Transaction(essence, cases["wrong_network"].unlocks)
    for code, transaction in cases.items():
        network.outputs["t1"].clear()
        network.submit("t1", transaction)
        (rejected,) = network.outputs["t1"]
        assert (type(rejected), rejected.transaction_id, rejected.code) == (TransactionRejected, transaction.id, code)


def test_a_transaction_of_the_near_future_waits_for_its_time():
    network = TangleNetwork(4, GENESIS)
    network.run(10 * SECOND)
    transaction = payment([GENESIS.output_id(0)], coins(100), network.now + 30 * SECOND)
    network.submit("t0", transaction)
    network.run(25 * SECOND)
    assert network.hosts["t0"].tangle.ledger.standing(transaction.id) is None
    assert "1 submissions wait" in network.hosts["t0"].tangle.status
    network.run_until(lambda: settled(network, transaction))
    assert all(
        entry.block.essence.issuing_time >= transaction.essence.timestamp
        for host in network.hosts.values()
        for entry in host.tangle.dag.attachments[transaction.id]
    )


def test_the_same_seed_gives_the_same_run():
    def run(seed):
        network = TangleNetwork(4, GENESIS, seed=seed)
        network.run(5 * SECOND)
        pay_on(network, GENESIS.output_id(0), 5)
        return network.messages, [list(host.tangle.dag.entries) for host in network.hosts.values()]

    assert run(1) == run(1)
    assert run(1) != run(2)


def a_scramble(network: TangleNetwork, seed: int) -> list[Any]:
    """Two or three rivals and what spends from them, submitted anywhere within a moment."""
    rng, made = stream(seed, "scramble"), []
    for rival in range(rng.choice([2, 3])):
        transaction = payment([GENESIS.output_id(0)], coins(60, 40), note=b"%d" % rival)
        name = network.names[rng.randrange(len(network.names))]
        network.submit(name, transaction)
        made.append(transaction)
        network.run(rng.randrange(200 * MILLISECOND))
        if rng.random() < 0.5:
            made.append(payment([transaction.output_id(0)], coins(60)))
            network.submit(name, made[-1])
    made.append(payment([GENESIS.output_id(1)], coins(200)))
    network.submit(network.names[rng.randrange(len(network.names))], made[-1])
    return made


@pytest.mark.parametrize("validators", [4, 5, 6, 7])
def test_rivals_and_what_spends_from_them_end_alike_at_all_nodes(validators):
    for seed in range(40):
        network = TangleNetwork(validators, GENESIS, seed=seed, codec=False)
        network.run(3 * SECOND + seed * 40 * MILLISECOND)
        made = a_scramble(network, seed)
        network.run(60 * SECOND)
        confirmed = [
            {t.id for t in made if host.tangle.ledger.standing(t.id) is Standing.CONFIRMED}
            for host in network.hosts.values()
        ]
        assert confirmed == [confirmed[0]] * validators, f"seed {seed}"
        assert made[-1].id in confirmed[0], f"seed {seed}"
        assert len(confirmed[0]) >= 2, f"seed {seed}: one of the rivals"
        assert all(host.tangle.ledger.open_count == 0 for host in network.hosts.values()), f"seed {seed}"


def test_a_node_does_not_vote_for_a_rival_of_what_it_likes_by_attaching_it():
    network = TangleNetwork(4, GENESIS)
    network.run(10 * SECOND)
    one, other = (payment([GENESIS.output_id(0)], coins(100), note=note) for note in (b"one", b"other"))
    network.submit("t0", one)
    network.run(500 * MILLISECOND)
    network.submit("t1", other)
    network.run_until(lambda: settled_at(network, "t1", one))
    network.run(SECOND)
    assert [(o.transaction_id, o.code) for o in network.told("t1", TransactionRejected)] == [
        (other.id, "conflict_lost")
    ]
    assert all(other.id not in host.tangle.ledger.transactions for host in network.hosts.values())


def settled_at(network: TangleNetwork, name: str, transaction) -> bool:
    return network.hosts[NodeId(name)].tangle.ledger.standing(transaction.id) is Standing.CONFIRMED
