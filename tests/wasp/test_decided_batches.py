"""What a member does with a decided batch, from what it knows of the base."""

import pytest

from ledger.kernel.encoding import digest
from ledger.kernel.instant import SECOND
from ledger.output import OutputId
from tests.harness.chain_network import CHAIN, NETWORK, ChainNetwork
from wasp.anchoring import Anchor, anchor_essence
from wasp.chain_interface import ChainBlockExecutionNeeded, ExecutionCompleted
from wasp.chain_view import BasesNeeded
from wasp.consensus.batch_proposal import AnchorReference, Batch
from wasp.consensus.consensus_interface import BatchExecuted, ExecutionNeeded, SuccessorKnown
from wasp.decided_batches import DecidedBatches
from wasp.vm.execution import execute

ENTROPY = digest("entropy")


class Setting:
    """A committee of one, whose chain has one block: its anchor is signed on genesis."""

    def __init__(self):
        self.network = ChainNetwork(1)
        self.network.run(SECOND)
        self.view = self.network.chains["m0"].view
        self.anchors = self.view.anchors
        self.batches = DecidedBatches(CHAIN, NETWORK, self.anchors, self.view.states)
        self.request = self.network.request(0, 0)

    def batch(self, base=None, time=5 * SECOND):
        return Batch(base or self.anchors.tip.reference, time, (self.request.id,), (0,))

    def need(self, batch):
        return ExecutionNeeded(7, batch, (self.request,), ENTROPY)

    def anchor_a_block(self):
        self.network.submit("m0", self.network.request(0, 0))
        self.network.run_until(lambda: self.network.count("m0") == 1)
        return self.anchors.tip

    def execution(self, need):
        return execute(
            self.network.program,
            need.state,
            need.previous,
            need.base,
            need.log_index,
            need.timestamp,
            need.requests,
            need.entropy,
        )


@pytest.fixture
def setting():
    return Setting()


def test_a_batch_is_executed_once_on_the_state_after_its_base(setting):
    batch = setting.batch()
    assert setting.batches.add(7, batch) is None
    network = setting.network
    needed = ChainBlockExecutionNeeded(
        CHAIN,
        7,
        network.genesis_state,
        network.genesis_block,
        batch.base.output_id,
        5 * SECOND,
        (setting.request,),
        ENTROPY,
    )
    assert setting.batches.want(setting.need(batch)) == needed
    assert setting.batches.next_step(7) is None


@pytest.mark.parametrize(("proposed", "timestamp"), [(-5, 1), (0, 1), (1, 1), (2, 2)])
def test_the_timestamp_is_the_proposed_time_raised_to_later_than_the_block_before(setting, proposed, timestamp):
    assert setting.network.genesis_block.timestamp == 0
    batch = setting.batch(time=proposed)
    setting.batches.add(7, batch)
    assert setting.batches.want(setting.need(batch)).timestamp == timestamp


def test_the_index_of_a_request_is_the_one_whose_batch_names_it(setting):
    other = setting.network.request(0, 1)
    setting.batches.add(7, setting.batch())
    assert [setting.batches.index_of(request.id) for request in (setting.request, other)] == [7, None]
    setting.batches.forget(7)
    assert setting.batches.index_of(setting.request.id) is None


def test_an_executed_batch_becomes_an_essence(setting):
    batch = setting.batch()
    setting.batches.add(7, batch)
    execution = setting.execution(setting.batches.want(setting.need(batch)))
    essence = anchor_essence(NETWORK, setting.anchors.tip, execution.block, execution.funds, (), ())
    assert setting.batches.executed(ExecutionCompleted(7, execution)) == BatchExecuted(essence)
    assert setting.batches.executed(ExecutionCompleted(7, None)) == BatchExecuted(None)
    assert setting.batches.executed(ExecutionCompleted(8, execution)) is None


def test_a_signed_successor_goes_out_instead_of_an_execution(setting):
    base = setting.anchors.tip.reference
    tip = setting.anchor_a_block()
    assert setting.batches.add(7, setting.batch(base)) == SuccessorKnown(tip.transaction)


def test_a_successor_that_is_learned_during_the_execution_goes_out_instead_of_a_share(setting):
    batch = setting.batch()
    setting.batches.add(7, batch)
    execution = setting.execution(setting.batches.want(setting.need(batch)))
    tip = setting.anchor_a_block()
    assert setting.batches.next_step(7) == SuccessorKnown(tip.transaction)
    assert setting.batches.executed(ExecutionCompleted(7, execution)) == SuccessorKnown(tip.transaction)


def rival_confirmed(setting):
    """Layer 1 confirms an anchor that nobody here has signed."""
    rival = Anchor(OutputId(digest("rival"), 0), setting.anchor_a_block().output, digest("rival block"))
    setting.anchors._successors.clear()
    setting.anchors._signed.clear()
    setting.anchors.confirm(rival)


def test_nothing_is_executed_on_a_spent_base(setting):
    batch = setting.batch()
    rival_confirmed(setting)
    assert setting.batches.add(7, batch) == BatchExecuted(None)
    assert setting.batches.next_step(7) is None


def test_no_essence_is_made_when_the_base_was_spent_during_the_execution(setting):
    batch = setting.batch()
    setting.batches.add(7, batch)
    execution = setting.execution(setting.batches.want(setting.need(batch)))
    rival_confirmed(setting)
    assert setting.batches.executed(ExecutionCompleted(7, execution)) == BatchExecuted(None)


def test_no_essence_is_made_when_the_base_was_undone_during_the_execution(setting):
    tip = setting.anchor_a_block()
    setting.request = setting.network.request(0, 1)
    batch = setting.batch()
    setting.batches.add(7, batch)
    execution = setting.execution(setting.batches.want(setting.need(batch)))
    setting.anchors.reject(tip.id.transaction)
    assert setting.batches.executed(ExecutionCompleted(7, execution)) == BatchExecuted(None)


def test_what_a_batch_waits_for_is_sought(setting):
    unknown = AnchorReference(OutputId(digest("unknown"), 0), 1)
    batch = setting.batch(unknown)
    setting.batches.add(7, batch)
    assert setting.batches.want(setting.need(batch)) is None
    assert setting.batches.bases() == BasesNeeded((), (unknown.output_id,))
    assert setting.batches.status == {7: "the base anchor is unknown here"}
    setting.batches.add(8, setting.batch())
    assert setting.batches.bases() == BasesNeeded((setting.anchors.tip.block,), (unknown.output_id,))
    setting.batches.forget(7)
    setting.batches.forget(8)
    assert setting.batches.bases() == BasesNeeded()
