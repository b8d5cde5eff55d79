"""What is remembered of the chain, and what is forgotten when."""

from hypothesis import given
from hypothesis import strategies as st

from ledger.kernel.encoding import PLAIN_SIZE_MAX, digest, pack
from tests.harness.probe import Probe
from tests.harness.solo import Solo
from wasp.core_contracts.blocklog import (
    BlockInfo,
    Receipt,
    block_info,
    prove_receipt,
    receipt_of,
    timestamp_of,
    verify_receipt,
    write_block,
    write_receipt,
)
from wasp.state import EMPTY_STATE
from wasp.vm.draft import Draft
from wasp.vm.program import Limits


def solo(**limits: int) -> Solo:
    return Solo({"mg1": {"probe": Probe()}}, ("home1",), {"mg1": {"home1": 9}}, limits=Limits(**limits))


def test_a_receipt_says_all_that_became_of_a_request():
    here = solo()
    receipt = here.post("mg1", "home1", "probe", "echo", ("x", 5))
    expected = Receipt(receipt.request_id, 1, here.now, "home1", None, "", 10_000, 0, pack(("x", 5)))
    assert receipt == expected
    assert here.chains["mg1"].executions[0].receipts == (expected,)
    entry = here.view("mg1", "blocklog", "receipt", receipt.request_id)
    assert entry == (1, here.now, "home1", None, "", 10_000, 0, pack(("x", 5)))


def test_the_detail_of_an_error_is_cut_to_a_sentence():
    here = solo()
    receipt = here.post("mg1", "home1", "probe", "pay", "n" * 900, 0)
    assert (receipt.code, len(receipt.detail)) == ("account", 200)


def test_a_block_is_remembered_with_its_time_its_predecessor_and_its_requests():
    here = solo()
    first = here.chains["mg1"].block
    receipts = [here.post("mg1", "home1", "probe", "emit", "e", n) for n in range(2)]
    state, runs = here.chains["mg1"].state, here.chains["mg1"].executions
    blocks = [run.block for run in runs]
    assert block_info(state, 1) == BlockInfo(blocks[0].timestamp, first.digest, (receipts[0].request_id,), 1)
    assert block_info(state, 2) == BlockInfo(blocks[1].timestamp, blocks[0].digest, (receipts[1].request_id,), 1)
    assert block_info(state, 3) is None
    assert timestamp_of(state) == blocks[1].timestamp
    assert here.view("mg1", "blocklog", "block", 2) == (
        blocks[1].timestamp,
        blocks[0].digest,
        (receipts[1].request_id,),
        1,
    )


def test_what_is_too_old_is_forgotten_block_by_block():
    here = solo(blocks_kept=4, receipts_kept=2)
    receipts = [here.post("mg1", "home1", "probe", "emit", "e", n) for n in range(7)]
    state = here.chains["mg1"].state
    assert [index for index in range(9) if block_info(state, index) is not None] == [4, 5, 6, 7]
    remembered = [receipt.block_index for receipt in receipts if receipt_of(state, receipt.request_id) is not None]
    assert remembered == [6, 7]
    events = [index for index in range(9) if state.read("blocklog", "event", index, 0) is not None]
    assert events == [6, 7]


def test_the_state_of_a_chain_that_forgets_does_not_grow():
    here = solo(blocks_kept=3, receipts_kept=2)
    sizes = []
    for n in range(9):
        here.post("mg1", "home1", "probe", "emit", "e", n)
        sizes.append(len(list(here.chains["mg1"].state.entries())))
    assert len(set(sizes[4:])) == 1


def test_a_forgotten_receipt_is_proven_absent():
    here = solo(blocks_kept=3, receipts_kept=1)
    old = here.post("mg1", "home1", "probe", "echo", 1)
    new = here.post("mg1", "home1", "probe", "echo", 2)
    state = here.chains["mg1"].state
    assert not verify_receipt(state.root, old, prove_receipt(state, old.request_id))
    assert verify_receipt(state.root, new, prove_receipt(state, new.request_id))


def test_the_log_of_the_fullest_block_fits_into_an_entry():
    ids = tuple(digest("request", n) for n in range(Limits().requests_max))
    draft = Draft(EMPTY_STATE)
    write_block(draft, 2**60, BlockInfo(2**60, digest("previous"), ids, 2**60), ())
    assert len(draft.written[("blocklog", "block", 2**60)][1] or b"") < PLAIN_SIZE_MAX


@given(
    st.text(max_size=64), st.one_of(st.none(), st.text(max_size=9)), st.text(max_size=200), st.binary(max_size=4_096)
)
def test_a_receipt_is_read_as_it_was_written(account, code, detail, result):
    receipt = Receipt(digest("id"), 3, 5, account, code, detail, 10_000, 7, result)
    draft = Draft(EMPTY_STATE)
    write_receipt(draft, receipt)
    assert receipt_of(draft, digest("id")) == receipt
    state, _ = EMPTY_STATE.write(draft.written)
    assert verify_receipt(state.root, receipt, prove_receipt(state, digest("id")))
    assert receipt.succeeded == (code is None)
