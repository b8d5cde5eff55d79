from ledger.kernel.automaton import NOTHING, Step
from ledger.kernel.encoding import digest, encode
from ledger.kernel.instant import SECOND
from ledger.output import AnchorOutput, KeyAddress, OutputId, chain_id
from ledger.transaction import Essence, SignatureUnlock, Transaction
from wasp.anchoring import anchor_made_by
from wasp.chain_block import StateCommitment
from wasp.publishing import PublicationNeeded, PublicationTimes, Publisher

CHAIN = chain_id("net", "mg1")
TIMES = PublicationTimes(publish_delay=2 * SECOND, reattach_after=20 * SECOND)


def anchor(index):
    output = AnchorOutput(1, CHAIN, index, encode(StateCommitment(bytes(32), bytes(32))), KeyAddress(bytes(32)))
    essence = Essence("net", index, (OutputId(digest("base", index), 0),), (output,))
    made = anchor_made_by(Transaction(essence, (SignatureUnlock(bytes(64)),)), CHAIN)
    assert made is not None
    return made


def published(*anchors):
    return Step(outputs=[PublicationNeeded(anchor.transaction) for anchor in anchors])


def test_the_rank_turns_with_the_state_index():
    for index in range(8):
        deadlines = []
        for member in range(4):
            publisher = Publisher(member, 4, TIMES)
            step = publisher.follow([anchor(index)], 0)
            deadlines.append(0 if step == published(anchor(index)) else publisher.deadline)
        assert deadlines == [(member - index) % 4 * 2 * SECOND for member in range(4)]


def test_the_first_publishes_at_once_and_again_when_it_is_not_accepted_in_time():
    publisher = Publisher(1, 4, TIMES)
    assert publisher.follow([anchor(1)], 5) == published(anchor(1))
    assert publisher.follow([anchor(1)], 6) == NOTHING
    assert publisher.handle_timer(5 + 20 * SECOND - 1) == NOTHING
    assert publisher.handle_timer(5 + 20 * SECOND) == published(anchor(1))


def test_a_later_rank_waits_its_turn_and_is_silent_when_the_transaction_is_seen():
    publisher = Publisher(3, 4, TIMES)
    publisher.follow([anchor(1)], 0)
    assert publisher.handle_timer(4 * SECOND - 1) == NOTHING
    publisher.handle_seen(anchor(1).id.transaction, 1 * SECOND)
    assert publisher.handle_timer(4 * SECOND) == NOTHING
    assert publisher.deadline == (1 + 20 + 4) * SECOND
    assert publisher.handle_timer(25 * SECOND) == published(anchor(1))


def test_an_unseen_transaction_is_published_at_its_turn():
    publisher = Publisher(3, 4, TIMES)
    publisher.follow([anchor(1)], 0)
    assert publisher.handle_timer(4 * SECOND) == published(anchor(1))


def test_an_accepted_transaction_is_not_published_again_unless_layer_1_was_out_of_sight():
    publisher = Publisher(1, 4, TIMES)
    publisher.follow([anchor(1)], 0)
    publisher.handle_accepted(anchor(1).id.transaction)
    publisher.handle_seen(anchor(1).id.transaction, SECOND)
    assert publisher.deadline is None
    publisher.begin_session(100 * SECOND)
    assert publisher.deadline == 120 * SECOND


def test_a_settled_anchor_needs_nothing_any_more():
    publisher = Publisher(2, 4, TIMES)
    publisher.follow([anchor(1), anchor(2)], 0)
    publisher.follow([anchor(2)], 1)
    publisher.handle_accepted(anchor(2).id.transaction)
    assert (publisher.deadline, publisher.status) == (None, "0 of 1 signed anchors not yet accepted")
    publisher.handle_seen(digest("unknown"), 2)
