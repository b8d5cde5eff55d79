"""The UTXO ledger: conservation, no double spend, rivals side by side."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ledger.kernel.identity import verifier
from ledger.output import ChainAddress, Expiration
from ledger.utxo import Standing, UtxoLedger
from ledger.validation import check_form, validate
from tests.harness.payments import (
    CHAINS,
    NETWORK,
    anchors,
    coins,
    genesis,
    move,
    payment,
    successor_of,
    to_chain,
)

GENESIS = genesis(*coins(100, 100, 100), *anchors())
VERIFIER = verifier("model")


def book(ledger, transaction, now=0):
    check_form(transaction, NETWORK)
    assert ledger.missing(transaction) == ()
    validate(transaction, ledger.consumed(transaction), VERIFIER)
    return ledger.book(transaction, now)


def spend(place, note=b"", ledger_id=GENESIS.output_id):
    return payment([ledger_id(place)], coins(60, 40), note=note)


def test_two_spenders_of_an_output_are_rivals_side_by_side():
    ledger = UtxoLedger(GENESIS)
    one, forked = book(ledger, spend(0, b"one"))
    assert (one.conflicts, forked) == (frozenset(), [])
    other, forked = book(ledger, spend(0, b"other"))
    assert forked == [one]
    assert other.conflicts == {other.id}
    assert ledger.rivals(one) == [other]
    assert ledger.rivals(other) == [one]
    assert one.open
    assert other.open


def test_a_third_rival_forks_nobody_again():
    ledger = UtxoLedger(GENESIS)
    one, _ = book(ledger, spend(0, b"one"))
    other, forked = book(ledger, spend(0, b"other"))
    one.conflicts |= {one.id}
    third, forked = book(ledger, spend(0, b"third"))
    assert forked == []
    assert ledger.rivals(third) == [one, other]


def test_what_spends_from_a_rival_shares_its_conflict():
    ledger = UtxoLedger(GENESIS)
    book(ledger, spend(0, b"one"))
    other, _ = book(ledger, spend(0, b"other"))
    child, _ = book(ledger, payment([other.transaction.output_id(0)], coins(60)))
    assert child.conflicts == {other.id}


def test_a_rejected_transaction_takes_along_what_spends_from_it():
    ledger = UtxoLedger(GENESIS)
    one, _ = book(ledger, spend(0, b"one"))
    other, _ = book(ledger, spend(0, b"other"))
    child, _ = book(ledger, payment([other.transaction.output_id(0), GENESIS.output_id(1)], coins(160)))
    late_child = payment([other.transaction.output_id(1)], coins(40))
    ledger.confirm(one, 5)
    assert ledger.reject(other, 5) == [other, child]
    assert ledger.reject(other, 5) == []
    entry, _ = book(ledger, late_child)
    assert entry.standing is Standing.REJECTED
    assert ledger.supply == 2_300


def test_a_late_rival_of_a_confirmed_spender_is_rejected_at_once():
    ledger = UtxoLedger(GENESIS)
    one, _ = book(ledger, spend(0, b"one"))
    ledger.confirm(one, 5)
    other, forked = book(ledger, spend(0, b"other"))
    assert (other.standing, forked) == (Standing.REJECTED, [])


def test_the_confirmed_view_of_a_chain_follows_its_anchor_and_outputs():
    ledger = UtxoLedger(GENESIS)
    chain, other = CHAINS
    sent = to_chain(10, other, expiration=Expiration(50, ChainAddress(chain)))
    moving = move(GENESIS.output_id(3), anchors()[0], sent=[sent])
    entry, _ = book(ledger, moving)
    assert ledger.outputs_of(chain) == {}
    ledger.confirm(entry, 1)
    assert ledger.anchor_of(chain) == successor_of(moving)
    assert ledger.outputs_of(chain) == ledger.outputs_of(other) == {moving.output_id(1): sent}
    taking = move(GENESIS.output_id(4), anchors()[1], received=[(moving.output_id(1), sent)])
    entry, _ = book(ledger, taking)
    ledger.confirm(entry, 2)
    assert ledger.outputs_of(chain) == ledger.outputs_of(other) == {}


def test_pruning_forgets_what_was_settled_before_and_nothing_else():
    ledger = UtxoLedger(GENESIS)
    one, _ = book(ledger, spend(0, b"one"))
    other, _ = book(ledger, spend(0, b"other"))
    ledger.confirm(one, 5)
    ledger.reject(other, 5)
    ledger.prune(5)
    assert set(ledger.transactions) == {one.id, other.id}
    ledger.prune(6)
    assert ledger.transactions == {}
    assert dict(ledger.unspent()).keys() == ledger.outputs.keys()
    assert ledger.supply == 2_300


def test_a_forgotten_transaction_can_be_booked_again():
    ledger = UtxoLedger(GENESIS)
    one = spend(0, b"one")
    entry, _ = book(ledger, one)
    child, _ = book(ledger, payment([one.output_id(0)], coins(60)))
    assert ledger.forget(entry) == [entry, child]
    assert (ledger.open_count, ledger.transactions) == (0, {})
    book(ledger, one)
    assert ledger.open_count == 1


class Ledger(RuleBasedStateMachine):
    """Books random payments, some of them rivals, and settles them in any order that a Tangle may choose."""

    @initialize()
    def begin(self):
        self.ledger = UtxoLedger(GENESIS)
        self.now = 0
        self.confirmed = []

    def spendable(self):
        return [id for id in self.ledger.outputs if self.ledger.outputs[id].output in coins(*range(1, 301))]

    @rule(data=st.data(), note=st.binary(max_size=2))
    def book_payment(self, data, note):
        ids = data.draw(
            st.lists(
                st.sampled_from(sorted(self.spendable(), key=lambda i: (i.transaction, i.index))),
                min_size=1,
                max_size=3,
                unique=True,
            )
        )
        total = sum(self.ledger.outputs[id].output.amount for id in ids)
        share = data.draw(st.integers(0, total - 1))
        transaction = payment(ids, coins(*([share] if share else []), total - share), note=note)
        if total > 300 or transaction.id in self.ledger.transactions:
            return
        entry, forked = book(self.ledger, transaction, self.now)
        for older in forked:
            for dependent in self.ledger.descendants(older):
                dependent.conflicts |= {older.id}
        hopeless = any(rival.standing is Standing.CONFIRMED for rival in self.ledger.rivals(entry)) or any(
            source.maker is not None and source.maker.standing is Standing.REJECTED for source in entry.inputs
        )
        assert (entry.standing is Standing.REJECTED) == hopeless
        if not hopeless:
            assert (entry.id in entry.conflicts) == any(rival.open for rival in self.ledger.rivals(entry))

    def ready(self):
        return [
            e
            for e in self.ledger.transactions.values()
            if e.open and not any(s.maker is not None and s.maker.open for s in e.inputs)
        ]

    @precondition(lambda self: self.ready())
    @rule(data=st.data())
    def confirm(self, data):
        entry = data.draw(st.sampled_from(sorted(self.ready(), key=lambda e: e.id)))
        self.now += 1
        self.ledger.confirm(entry, self.now)
        self.confirmed.append(entry)
        for rival in self.ledger.rivals(entry):
            self.ledger.reject(rival, self.now)

    @rule(age=st.integers(0, 5))
    def prune(self, age):
        self.ledger.prune(self.now - age)

    @invariant()
    def tokens_are_conserved(self):
        if hasattr(self, "ledger"):
            assert self.ledger.supply == 2_300

    @invariant()
    def no_output_is_spent_twice_by_confirmed_transactions(self):
        if hasattr(self, "ledger"):
            spent = [id for entry in self.confirmed for id in entry.transaction.essence.inputs]
            assert len(spent) == len(set(spent))

    @invariant()
    def what_is_open_is_counted(self):
        if hasattr(self, "ledger"):
            assert self.ledger.open_count == sum(entry.open for entry in self.ledger.transactions.values())


Ledger.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
test_the_ledger_keeps_its_invariants_whatever_is_booked_and_settled = Ledger.TestCase
