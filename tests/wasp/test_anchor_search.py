from ledger.kernel.automaton import NOTHING, Envelope, NodeId, Step
from ledger.kernel.encoding import digest, encode
from ledger.kernel.identity import ModelVerifier, deal_signer
from ledger.kernel.instant import MILLISECOND
from ledger.kernel.rng import stream
from ledger.output import AnchorOutput, OutputId, chain_id
from ledger.transaction import Essence
from wasp.anchor_search import AnchorAnswer, AnchorFound, AnchorQuery, AnchorSearch, SeekAnchors
from wasp.anchoring import AnchorView, anchor_made_by, anchor_of
from wasp.chain_block import StateCommitment
from wasp.committee import Committee
from wasp.signed_anchor import anchor_transaction, committee_address
from wasp.state_manager import FetchTimes

PATH = ("mg1", "anchors")
CHAIN = chain_id("net", "mg1")
NAMES = [NodeId(f"m{place}") for place in range(4)]
ME, PEER = NAMES[0], NAMES[1]
SIGNERS = [deal_signer("model", 0, name) for name in NAMES]
GROUP = deal_signer("model", 0, "group")
COMMITTEE = Committee(NAMES, [signer.public_key for signer in SIGNERS], GROUP.public_key)


def output(index):
    return AnchorOutput(
        1, CHAIN, index, encode(StateCommitment(bytes(32), digest("block", index))), committee_address(COMMITTEE)
    )


GENESIS = anchor_of(OutputId(digest("genesis"), 0), output(0))


def signed(signer=GROUP):
    essence = Essence("net", 1, (GENESIS.id,), (output(1),))
    return anchor_transaction(essence, signer.sign(essence.id))


WANTED = signed().output_id(0)


def search():
    view = AnchorView(GENESIS, 32)
    return AnchorSearch(PATH, COMMITTEE, ME, ModelVerifier(), view, FetchTimes(), stream(0, "search"))


def test_an_unknown_base_is_asked_for_until_it_comes():
    one = search()
    [question] = one.handle_input(SeekAnchors((WANTED,)), 0).messages
    assert question.message == AnchorQuery(WANTED)
    assert (len(question.recipients), ME in question.recipients) == (2, False)
    assert one.handle_input(SeekAnchors((WANTED,)), 0) == NOTHING
    assert one.deadline == 500 * MILLISECOND
    assert one.handle_timer(one.deadline).messages
    assert one.deadline == 1500 * MILLISECOND
    answer = AnchorAnswer(signed())
    assert one.handle_message(PEER, PATH, answer, 0) == Step(outputs=(AnchorFound(signed()),))
    one.handle_input(SeekAnchors(()), 0)
    assert one.deadline is None
    assert one.handle_message(PEER, PATH, answer, 0) == NOTHING


def test_an_answer_that_too_few_members_signed_is_a_fault():
    one = search()
    one.handle_input(SeekAnchors((WANTED,)), 0)
    step = one.handle_message(PEER, PATH, AnchorAnswer(signed(SIGNERS[0])), 0)
    assert [fault.kind for fault in step.faults] == ["bad_anchor"]
    assert list(step.outputs) == []


def test_who_knows_the_anchor_answers_with_its_transaction():
    one = search()
    assert one.handle_message(PEER, PATH, AnchorQuery(WANTED), 0) == NOTHING
    one.anchors.sign(anchor_made_by(signed(), CHAIN))
    answer = Envelope((PEER,), PATH, AnchorAnswer(signed()))
    assert one.handle_message(PEER, PATH, AnchorQuery(WANTED), 0) == Step(messages=(answer,))
    assert one.handle_message(PEER, PATH, AnchorQuery(GENESIS.id), 0) == NOTHING
    assert [fault.kind for fault in one.handle_message(NodeId("x"), PATH, AnchorQuery(WANTED), 0).faults] == [
        "not_a_member"
    ]
