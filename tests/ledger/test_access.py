"""Following the ledger from a host off layer 1."""

from __future__ import annotations

from typing import Any

from ledger import access
from ledger.access import (
    Alive,
    AnchorConfirmed,
    ChainSynced,
    KeepAlive,
    LedgerClient,
    LedgerUpdates,
    OutputConfirmed,
    OutputSpent,
    Publish,
    PublishTransaction,
    Subscribe,
    TransactionAccepted,
    TransactionConfirmed,
    TransactionRejected,
    TransactionSeen,
)
from ledger.access_server import LedgerServer
from ledger.issuing import SubmitTransaction
from ledger.kernel.automaton import NOTHING, NodeId
from ledger.kernel.instant import MILLISECOND, SECOND
from ledger.output import ChainAddress, Expiration
from ledger.utxo import Standing, UtxoLedger
from tests.harness.payments import ALICE, BOB, CHAINS, anchors, coins, genesis, move, payment, successor_of, to_chain
from tests.harness.tangle_network import TangleNetwork

GENESIS = genesis(*coins(100, 200), *anchors())
PATH = access.ACCESS_PATH
ME, SERVER = NodeId("home1"), NodeId("t0")


def client() -> LedgerClient:
    return LedgerClient(ME, (SERVER,), CHAINS[:1])


def sent(step) -> list[Any]:
    return [(envelope.recipients, envelope.path, envelope.message) for envelope in step.messages]


def to_server(*messages) -> list[Any]:
    return [((SERVER,), PATH, message) for message in messages]


def synced(chain=CHAINS[0]) -> ChainSynced:
    return ChainSynced(chain, GENESIS.output_id(2), anchors()[0], ())


def test_a_client_subscribes_at_once_and_again_until_it_is_answered():
    one = client()
    assert one.deadline == 0
    assert sent(one.handle_timer(5)) == to_server(Subscribe(5, CHAINS[:1]))
    assert one.deadline == 5 + access.RETRY
    assert sent(one.handle_timer(5 + access.RETRY)) == to_server(Subscribe(5 + access.RETRY, CHAINS[:1]))
    late = one.handle_message(SERVER, PATH, LedgerUpdates(5, 0, (synced(),)), 6 + access.RETRY)
    assert late == NOTHING, "an answer to a session that was given up"
    step = one.handle_message(SERVER, PATH, LedgerUpdates(5 + access.RETRY, 0, (synced(),)), 6 + access.RETRY)
    assert step.outputs == [synced()]
    assert one.deadline == 6 + access.RETRY + access.KEEP_ALIVE


def test_an_answer_that_takes_longer_than_the_first_pauses_is_taken_all_the_same():
    one, answers, synced_at = client(), [], None
    while synced_at is None and one.deadline < 600 * SECOND:
        now = min([one.deadline, *(at for at, _ in answers)])
        for at, session in list(answers):
            if at == now:
                answers.remove((at, session))
                one.handle_message(SERVER, PATH, LedgerUpdates(session, 0, (synced(),)), now)
                synced_at = now if one.synced else None
        if synced_at is None and one.deadline == now:
            answers += [(now + 20 * SECOND, message.session) for _, _, message in sent(one.handle_timer(now))]
    assert synced_at == (2 + 4 + 8 + 16 + 20) * SECOND
    one.handle_message(SERVER, PATH, Alive(30 * SECOND, None), 51 * SECOND)
    assert one.deadline == 51 * SECOND + access.RETRY, "the pauses begin again"


def test_a_server_that_does_not_answer_is_left_for_the_next_one_and_after_the_last_comes_the_first():
    other = NodeId("t1")
    one = LedgerClient(ME, (SERVER, other), CHAINS[:1])
    steps = [(one.deadline, sent(one.handle_timer(one.deadline))) for _ in range(5)]
    assert steps[:3] == [(at * SECOND, to_server(Subscribe(at * SECOND, CHAINS[:1]))) for at in (0, 2, 6)]
    end, begin = Subscribe(14 * SECOND, ()), Subscribe(14 * SECOND + 1, CHAINS[:1])
    assert steps[3] == (14 * SECOND, [((SERVER,), PATH, end), ((other,), PATH, begin)])
    assert steps[4][1][1] == ((SERVER,), PATH, Subscribe(30 * SECOND + 1, CHAINS[:1]))


def test_a_server_that_falls_silent_is_left_and_what_it_still_says_is_of_no_interest():
    other = NodeId("t1")
    one = LedgerClient(ME, (SERVER, other), CHAINS[:1])
    one.handle_timer(0)
    one.handle_message(SERVER, PATH, LedgerUpdates(0, 0, (synced(),)), 0)
    transaction = payment([GENESIS.output_id(0)], coins(100))
    one.handle_input(PublishTransaction(transaction), 1)
    one.handle_message(SERVER, PATH, LedgerUpdates(0, 1, (TransactionSeen(transaction.id),)), 2)
    asked = [message for _ in range(3) for message in sent(one.handle_timer(one.deadline))]
    begun = 60 * SECOND + 1
    end = ((SERVER,), PATH, Subscribe(60 * SECOND, ()))
    assert asked[-2:] == [end, ((other,), PATH, Subscribe(begun, CHAINS[:1]))]
    assert one.handle_message(SERVER, PATH, LedgerUpdates(0, 2, (synced(),)), begun) == NOTHING
    assert one.handle_message(SERVER, PATH, Alive(0, 9), begun) == NOTHING
    step = one.handle_message(other, PATH, LedgerUpdates(begun, 0, (synced(),)), begun)
    assert (step.outputs, sent(step)) == ([synced()], [((other,), PATH, Publish(transaction))])


def test_a_subscription_to_nothing_ends_the_one_before():
    server = LedgerServer(SERVER, UtxoLedger(GENESIS))
    server.handle_message(ME, PATH, Subscribe(1, CHAINS[:1]), 0)
    server.handle_message(ME, PATH, Subscribe(2, ()), 0)
    assert sent(server.handle_message(ME, PATH, KeepAlive(1), 0)) == [((ME,), PATH, Alive(1, None))]


def subscribed(now=0) -> LedgerClient:
    one = client()
    one.handle_timer(now)
    one.handle_message(SERVER, PATH, LedgerUpdates(now, 0, (synced(),)), now)
    return one


def test_a_gap_in_the_updates_begins_a_new_session():
    one = subscribed()
    assert one.handle_message(SERVER, PATH, LedgerUpdates(0, 0, (synced(),)), 7) == NOTHING
    assert sent(one.handle_message(SERVER, PATH, LedgerUpdates(0, 2, ()), 7)) == to_server(Subscribe(7, CHAINS[:1]))


def test_a_lost_last_update_is_noticed_by_the_sign_of_life():
    one = subscribed()
    assert sent(one.handle_timer(access.KEEP_ALIVE)) == to_server(KeepAlive(0))
    assert one.handle_message(SERVER, PATH, Alive(0, 1), access.KEEP_ALIVE) == NOTHING
    for number in (2, None):
        one = subscribed()
        step = one.handle_message(SERVER, PATH, Alive(0, number), 9)
        assert sent(step) == to_server(Subscribe(9, CHAINS[:1]))


def test_a_silent_server_is_asked_for_a_new_session():
    one = subscribed()
    asked = []
    for _ in range(4):
        now = one.deadline
        asked += [message for _, _, message in sent(one.handle_timer(now))]
    assert asked == [KeepAlive(0), KeepAlive(0), Subscribe(60 * SECOND, CHAINS[:1]), Subscribe(62 * SECOND, CHAINS[:1])]


def test_a_publication_is_repeated_with_growing_pauses_until_it_is_seen():
    one = subscribed()
    transaction = payment([GENESIS.output_id(0)], coins(100))
    assert sent(one.handle_input(PublishTransaction(transaction), 0)) == to_server(Publish(transaction))
    times = []
    while (now := one.deadline) is not None and now < 60 * SECOND:
        one.handle_message(SERVER, PATH, Alive(0, 1), now)
        repeated = [message for _, _, message in sent(one.handle_timer(now)) if isinstance(message, Publish)]
        times += [now // SECOND for message in repeated if message == Publish(transaction)]
    assert times == [2, 6, 14, 30], "and then every 30 s"
    one.handle_message(SERVER, PATH, LedgerUpdates(0, 1, (TransactionSeen(transaction.id),)), 61 * SECOND)
    assert one.deadline == 60 * SECOND, "the next sign of life"
    assert "1 transactions published" in one.status
    one.handle_message(SERVER, PATH, LedgerUpdates(0, 2, (TransactionConfirmed(transaction.id),)), 62 * SECOND)
    assert "0 transactions published" in one.status


def test_a_client_trusts_nobody_but_its_server():
    step = subscribed().handle_message(NodeId("t9"), PATH, Alive(0, None), 1)
    assert [(fault.accused, fault.kind) for fault in step.faults] == [("t9", "not_my_server")]
    step = subscribed().handle_message(SERVER, PATH, KeepAlive(0), 1)
    assert [(fault.accused, fault.kind) for fault in step.faults] == [("t0", "unexpected_message")]


def test_unsettled_publications_are_remembered_within_limits(monkeypatch):
    monkeypatch.setattr(access, "PUBLISHED_MAX", 3)
    one = subscribed()
    for i in range(5):
        one.handle_input(PublishTransaction(payment([GENESIS.output_id(0)], coins(100), note=b"%d" % i)), 0)
    assert "3 transactions published" in one.status


def test_a_server_refuses_chains_that_do_not_exist():
    server = LedgerServer(SERVER, UtxoLedger(GENESIS))
    step = server.handle_message(ME, PATH, Subscribe(1, (bytes(32),)), 0)
    assert [(fault.accused, fault.kind) for fault in step.faults] == [("home1", "bad_subscription")]
    assert sent(server.handle_message(ME, PATH, KeepAlive(1), 0)) == [((ME,), PATH, Alive(1, None))]


def test_a_server_tells_the_fate_of_what_is_known_and_passes_on_what_is_not_settled():
    ledger = UtxoLedger(GENESIS)
    server = LedgerServer(SERVER, ledger)
    server.handle_message(ME, PATH, Subscribe(1, CHAINS[:1]), 0)
    transaction = payment([GENESIS.output_id(0)], coins(100))
    told = []

    def publish():
        step = server.handle_message(ME, PATH, Publish(transaction), 0)
        told.append((list(step.outputs), [update for _, _, m in sent(step) for update in m.updates]))

    publish()
    entry, _ = ledger.book(transaction, 0)
    publish()
    entry.standing = Standing.ACCEPTED
    publish()
    ledger.confirm(entry, 0)
    publish()
    rival, _ = ledger.book(payment([GENESIS.output_id(0)], coins(100), note=b"rival"), 0)
    transaction = rival.transaction
    publish()
    submit = [SubmitTransaction(entry.transaction)]
    assert told == [
        (submit, []),
        (submit, [TransactionSeen(entry.id)]),
        (submit, [TransactionSeen(entry.id), TransactionAccepted(entry.id)]),
        ([], [TransactionConfirmed(entry.id)]),
        ([], [TransactionRejected(rival.id, "conflict_lost", "rejected before")]),
    ]


def followed() -> TangleNetwork:
    network = TangleNetwork(4, GENESIS)
    network.add_client("home1", "t0", CHAINS[:1])
    network.add_client("home2", "t0", CHAINS[1:])
    network.run(5 * SECOND)
    network.outputs[NodeId("home1")].clear()
    network.outputs[NodeId("home2")].clear()
    return network


def test_both_ends_of_a_crossing_output_are_told_of_it_until_it_is_spent():
    network = followed()
    crossing = to_chain(30, CHAINS[1], expiration=Expiration(10**12, ChainAddress(CHAINS[0])))
    sending = move(GENESIS.output_id(2), anchors()[0], sent=[crossing])
    network.publish("home1", PublishTransaction(sending))
    network.run(10 * SECOND)
    taking = move(GENESIS.output_id(3), anchors()[1], received=[(sending.output_id(1), crossing)])
    network.publish("home2", PublishTransaction(taking))
    network.run(10 * SECOND)
    moved = AnchorConfirmed(CHAINS[0], *successor_of(sending), sending.id, GENESIS.output_id(2))
    assert [o for o in network.outputs["home1"] if not isinstance(o, TransactionSeen | TransactionAccepted)] == [
        moved,
        OutputConfirmed(CHAINS[0], sending.output_id(1), crossing),
        TransactionConfirmed(sending.id),
        OutputSpent(CHAINS[0], sending.output_id(1), taking.id),
    ]
    assert [o for o in network.outputs["home2"] if not isinstance(o, TransactionSeen | TransactionAccepted)] == [
        OutputConfirmed(CHAINS[1], sending.output_id(1), crossing),
        OutputSpent(CHAINS[1], sending.output_id(1), taking.id),
        AnchorConfirmed(CHAINS[1], *successor_of(taking), taking.id, GENESIS.output_id(3)),
        TransactionConfirmed(taking.id),
    ]


def test_a_members_anchor_that_a_colleague_published_elsewhere_is_seen():
    network = followed()
    anchor = move(GENESIS.output_id(2), anchors()[0])
    network.submit("t3", anchor)
    network.run(10 * SECOND)
    assert TransactionSeen(anchor.id) in network.outputs["home1"]
    assert TransactionSeen(anchor.id) not in network.outputs["home2"]


def test_a_client_catches_up_when_its_server_restarts():
    network = followed()
    network.run(20 * SECOND)
    network.stop("t0")
    anchor = move(GENESIS.output_id(2), anchors()[0])
    network.publish("home1", PublishTransaction(anchor))
    network.submit("t1", anchor)
    network.run(30 * SECOND)
    assert network.outputs["home1"] == []
    network.start("t0", with_records=True)
    network.run(90 * SECOND)
    told = network.outputs["home1"]
    assert ChainSynced(CHAINS[0], *successor_of(anchor), ()) in told or (
        AnchorConfirmed(CHAINS[0], *successor_of(anchor), anchor.id, GENESIS.output_id(2)) in told
    )
    assert network.clients["home1"].status == "synced; 0 transactions published and not settled"


def test_over_a_lossy_connection_the_client_ends_up_with_the_confirmed_view():
    network = followed()
    inner = network.delay
    network.delay = lambda s, r: None if network.rng.random() < 0.2 else inner(s, r)
    anchor_id, anchor = GENESIS.output_id(2), anchors()[0]
    for index in range(8):
        transaction = move(anchor_id, anchor, note=b"%d" % index)
        network.publish("home1", PublishTransaction(transaction))
        network.run(20 * SECOND)
        anchor_id, anchor = successor_of(transaction)
    network.delay = inner
    network.run(120 * SECOND)
    known = [o for o in network.outputs["home1"] if isinstance(o, AnchorConfirmed | ChainSynced)]
    assert (known[-1].anchor_id, known[-1].anchor) == (anchor_id, anchor)


def test_a_rejected_publication_is_told_with_its_reason():
    network = followed()
    wrong = payment([GENESIS.output_id(0)], coins(100), owner=BOB)
    network.publish("home1", PublishTransaction(wrong))
    network.run(SECOND)
    (rejected,) = network.outputs["home1"]
    assert (rejected.transaction_id, rejected.code) == (wrong.id, "bad_signature")
    assert ALICE.public_key != BOB.public_key
    assert network.now >= 100 * MILLISECOND
