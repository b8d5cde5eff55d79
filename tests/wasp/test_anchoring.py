from ledger.kernel.encoding import digest, encode
from ledger.output import AnchorOutput, KeyAddress, OutputId, chain_id
from ledger.transaction import Essence, SignatureUnlock, Transaction
from wasp.anchoring import SETTLED_MAX, Anchor, AnchorView, anchor_essence, anchor_made_by, anchor_of
from wasp.chain_block import ChainBlock, StateCommitment, state_metadata_of
from wasp.consensus.batch_proposal import AnchorReference
from wasp.state import EMPTY_STATE

CHAIN = chain_id("net", "mg1")
CONTROLLER = KeyAddress(bytes(32))


def output_of(index, label, chain=CHAIN):
    commitment = StateCommitment(digest("root", label), digest("block", label))
    return AnchorOutput(100, chain, index, encode(commitment), CONTROLLER)


GENESIS = anchor_of(OutputId(digest("genesis"), 0), output_of(0, "genesis"))


def successor(base, label):
    """A signed anchor on another one."""
    essence = Essence("net", base.index + 1, (base.id,), (output_of(base.index + 1, label),))
    anchor = anchor_made_by(Transaction(essence, (SignatureUnlock(bytes(64)),)), CHAIN)
    assert anchor is not None
    return anchor


def line(view, count, base=GENESIS, label="a"):
    anchors = []
    for place in range(count):
        base = successor(base, f"{label}{place}")
        assert view.sign(base)
        anchors.append(base)
    return anchors


def confirmed(anchor):
    """As layer 1 tells it."""
    return Anchor(anchor.id, anchor.output, anchor.block)


def test_the_tip_of_signed_anchors_is_the_base_and_each_is_the_successor_of_the_one_before():
    view = AnchorView(GENESIS, 32)
    assert view.base == GENESIS.reference
    first, second = line(view, 2)
    assert (view.tip, view.base) == (second, AnchorReference(second.id, 2))
    assert view.successor(GENESIS.id) == first.transaction
    assert view.successor(first.id) == second.transaction
    assert view.successor(second.id) is None


def test_at_most_so_many_anchors_may_wait_for_confirmation():
    for limit in (1, 2, 32):
        view = AnchorView(GENESIS, limit)
        anchors = line(view, limit - 1)
        assert view.base == view.tip.reference
        anchors += line(view, 1, view.tip, "last")
        assert view.base is None
        view.confirm(confirmed(anchors[0]))
        assert view.base == anchors[-1].reference


def test_a_confirmation_trims_the_view_and_keeps_what_builds_on_it():
    view = AnchorView(GENESIS, 32)
    anchors = line(view, 4)
    assert view.confirm(confirmed(anchors[1])) == ()
    assert (view.confirmed, view.unconfirmed()) == (anchors[1], tuple(anchors[2:]))
    assert view.successor(GENESIS.id) == anchors[0].transaction


def test_an_older_confirmation_is_no_news():
    view = AnchorView(GENESIS, 32)
    anchors = line(view, 3)
    view.confirm(confirmed(anchors[2]))
    assert view.confirm(confirmed(anchors[0])) == ()
    assert view.confirm(confirmed(anchors[2])) == ()
    assert view.confirmed == anchors[2]


def test_a_conflicting_confirmation_undoes_what_does_not_build_on_it():
    view = AnchorView(GENESIS, 32)
    anchors = line(view, 3)
    rival = successor(GENESIS, "rival")
    assert view.confirm(confirmed(rival)) == tuple(anchors)
    assert (view.tip.id, view.base) == (rival.id, AnchorReference(rival.id, 1))
    assert view.successor(GENESIS.id) is None
    assert [view.sign(anchor) for anchor in anchors] == [False] * 3
    assert view.tip.id == rival.id


def test_two_signed_anchors_on_one_base_stand_side_by_side_until_one_is_confirmed():
    view = AnchorView(GENESIS, 32)
    [first] = line(view, 1, label="a")
    [second] = line(view, 1, label="b")
    assert (view.tip, view.successor(GENESIS.id)) == (first, first.transaction)
    third = successor(second, "c")
    view.sign(third)
    assert view.tip == third
    assert view.confirm(confirmed(second)) == (first,)
    assert view.unconfirmed() == (third,)


def test_a_rejected_anchor_takes_what_builds_on_it_along_and_gives_its_place_to_its_rival():
    view = AnchorView(GENESIS, 32)
    anchors = line(view, 3, label="a")
    [rival] = line(view, 1, label="b")
    assert view.reject(anchors[0].id.transaction) == tuple(anchors)
    assert (view.tip, view.successor(GENESIS.id)) == (rival, rival.transaction)
    assert view.is_spent(anchors[1].reference)
    assert not view.is_spent(rival.reference)
    assert view.reject(digest("unknown")) == ()


def test_nothing_is_built_below_or_beside_the_confirmed_anchor():
    view = AnchorView(GENESIS, 32)
    anchors = line(view, 3)
    view.confirm(confirmed(anchors[1]))
    assert view.is_spent(GENESIS.reference)
    assert view.is_spent(AnchorReference(OutputId(digest("other"), 0), 2))
    assert not view.is_spent(anchors[1].reference)
    assert not view.is_spent(AnchorReference(OutputId(digest("unknown"), 0), 3))


def test_an_anchor_may_be_known_before_its_base():
    view = AnchorView(GENESIS, 32)
    missed = successor(GENESIS, "missed")
    known = successor(missed, "known")
    assert view.sign(known)
    assert view.tip == known
    assert view.confirm(confirmed(missed)) == ()
    assert view.unconfirmed() == (known,)
    assert view.confirm(confirmed(known)) == ()


def test_an_orphan_that_turns_out_to_stand_beside_the_confirmed_anchor_is_undone():
    view = AnchorView(GENESIS, 32)
    orphan = successor(successor(GENESIS, "lost"), "orphan")
    view.sign(orphan)
    rival = successor(GENESIS, "rival")
    assert view.confirm(confirmed(rival)) == (orphan,)


def test_what_is_remembered_of_settled_anchors_is_bounded():
    view = AnchorView(GENESIS, 2)
    base = GENESIS
    for place in range(SETTLED_MAX + 10):
        base = successor(base, str(place))
        view.sign(base)
        view.sign(successor(view.confirmed, f"rival {place}"))
        view.confirm(confirmed(base))
    assert len(view._successors) <= SETTLED_MAX + 2
    assert len(view._undone) <= SETTLED_MAX


def test_what_makes_no_anchor_of_the_chain_is_none():
    foreign = Essence("net", 1, (GENESIS.id,), (output_of(1, "x", chain_id("net", "mg2")),))
    assert anchor_made_by(Transaction(foreign, (SignatureUnlock(bytes(64)),)), CHAIN) is None
    garbled = AnchorOutput(1, CHAIN, 1, b"?", KeyAddress(bytes(32)))
    assert (
        anchor_made_by(Transaction(Essence("net", 1, (GENESIS.id,), (garbled,)), (SignatureUnlock(bytes(64)),)), CHAIN)
        is None
    )


def test_an_anchor_takes_the_base_and_the_consumed_outputs_and_makes_the_next_anchor():
    block = ChainBlock("mg1", 1, GENESIS.block, GENESIS.id, 77, 5, (), (), EMPTY_STATE.root)
    consumed = (OutputId(digest("in"), 3),)
    essence = anchor_essence("net", GENESIS, block, 90, consumed, ())
    anchor = AnchorOutput(90, CHAIN, 1, state_metadata_of(block), CONTROLLER)
    assert essence == Essence("net", 77, (GENESIS.id, *consumed), (anchor,))
