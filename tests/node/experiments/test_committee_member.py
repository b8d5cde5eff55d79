"""A member of one committee without a Tangle: which instances it keeps, and what it does with requests and nonsense."""

import pytest

from ledger.kernel.automaton import Envelope, NodeId
from ledger.kernel.encoding import digest
from ledger.kernel.identity import deal_signer
from ledger.output import AnchorOutput, KeyAddress, OutputId, chain_id
from node.experiments.committee_interface import BeginIndex, BeginningNeeded, BlockDecided, BlockEnded
from node.experiments.committee_member import CommitteeMember
from node.experiments.request_sources import BATCHES_KEPT, FullBatches, RequestMaker, WaitingRequests
from node.simulated.cpu import CpuMeter
from tests.harness.committee import CHAIN, DealtCommittee
from wasp.mempool import SharedRequest, SubmitRequest
from wasp.request import OffLedgerRequest, call, sign_request

DEALT = DealtCommittee(4)
GENESIS = (OutputId(digest("genesis"), 0), AnchorOutput(1, chain_id("test", CHAIN), 0, b"", KeyAddress(bytes(32))))
CLIENT = deal_signer("model", 1, "client")
REQUESTS = [sign_request(CLIENT, CHAIN, nonce, call("load", "write", nonce)) for nonce in range(5)]
PATH = (CHAIN, "mempool")


class Members:
    """Members whose messages arrive in the order in which they were sent, those for the held ones when they are let go."""

    def __init__(self, blocks=3, batch=2):
        self.members = {
            me: CommitteeMember(
                CHAIN, DEALT.committee, me, lambda index, me=me: DEALT.consensus(me, index), WaitingRequests(batch), GENESIS,
                blocks, DEALT.members, CpuMeter(None), DEALT.verifier,
            )
            for me in DEALT.members
        }  # fmt: skip
        self.outputs = {me: [] for me in DEALT.members}
        self.faults = []
        self.held = set()
        self.under_way = []

    def give(self, me, input):
        self._absorb(me, self.members[me].handle_input(input, 0))

    def begin(self, index=1):
        for me in DEALT.members:
            self.give(me, BeginIndex(index))

    def run(self):
        while waiting := [item for item in self.under_way if item[1] not in self.held]:
            item = waiting[0]
            self.under_way.remove(item)
            sender, recipient, path, message = item
            self._absorb(recipient, self.members[recipient].handle_message(sender, path, message, 0))

    def ended(self, me):
        return [output.log_index for output in self.outputs[me] if isinstance(output, BlockEnded)]

    def _absorb(self, me, step):
        self.outputs[me].extend(step.outputs)
        self.faults.extend(step.faults)
        self.under_way.extend(
            (me, to, envelope.path, envelope.message) for envelope in step.messages for to in envelope.recipients
        )


def test_an_ended_index_goes_on_answering_until_all_have_been_heard_in_a_later_one():
    network = Members()
    network.begin()
    network.give(DEALT.members[0], SubmitRequest(REQUESTS[0]))
    network.run()
    assert {tuple(network.ended(me)) for me in DEALT.members} == {(1,)}
    late, *others = reversed(DEALT.members)
    network.held = {late}
    for me in others:
        network.give(me, BeginIndex(2))
    network.give(others[0], SubmitRequest(REQUESTS[1]))
    network.run()
    assert all(network.members[me].instances.find(1) is not None for me in others)
    network.held = set()
    network.give(late, BeginIndex(2))
    network.run()
    assert network.ended(late) == [1, 2]
    assert all(network.members[me].instances.find(1) is None for me in DEALT.members)
    assert all(network.members[me].instances.find(2) is not None for me in DEALT.members)
    assert network.faults == []


def test_what_came_for_an_index_before_it_began_is_not_lost():
    network = Members()
    late, *others = reversed(DEALT.members)
    for me in others:
        network.give(me, BeginIndex(1))
    network.give(others[0], SubmitRequest(REQUESTS[0]))
    network.run()
    assert network.ended(late) == []
    network.give(late, BeginIndex(1))
    network.run()
    assert network.ended(late) == [1]
    assert len({network.outputs[me][-2].anchor for me in DEALT.members}) == 1


def test_the_next_index_is_wanted_after_each_but_the_last():
    network = Members(blocks=2)
    for index in (1, 2):
        network.begin(index)
        network.give(DEALT.members[0], SubmitRequest(REQUESTS[index]))
        network.run()
    wanted = [output for output in network.outputs[DEALT.members[1]] if isinstance(output, BeginningNeeded)]
    assert wanted == [BeginningNeeded(2)]


def test_nothing_is_proposed_before_there_is_a_request_and_requests_are_decided_once():
    network = Members(batch=2)
    network.begin()
    network.run()
    assert network.under_way == [] and network.ended(DEALT.members[0]) == []
    for request in REQUESTS[:3]:
        network.give(DEALT.members[1], SubmitRequest(request))
    network.run()
    network.begin(2)
    network.run()
    batches = [
        output.batch.requests for output in network.outputs[DEALT.members[2]] if isinstance(output, BlockDecided)
    ]
    assert sorted(request for batch in batches for request in batch) == sorted(request.id for request in REQUESTS[:3])
    assert max(len(batch) for batch in batches) <= 2


def test_who_has_no_request_joins_when_f_plus_1_others_have_proposed():
    network = Members()
    network.begin()
    network.give(DEALT.members[0], SubmitRequest(REQUESTS[0]))
    last = DEALT.members[3]
    network.under_way = [
        item for item in network.under_way if item[1] != last
    ]  # the request gets lost on its way to it
    network.run()
    assert network.members[last].instances.find(1).consensus.proposed
    assert network.ended(last) == [] and network.members[last].status["requests"] is False
    network.under_way.append((DEALT.members[0], last, PATH, SharedRequest(REQUESTS[0])))
    network.run()
    assert network.ended(last) == [1]


def test_a_request_that_is_heard_of_after_it_was_executed_is_not_kept():
    source = WaitingRequests(2)
    source.keep(REQUESTS[0])
    source.forget([REQUESTS[0].id, REQUESTS[1].id])
    source.keep(REQUESTS[1])
    assert source.proposal(1) is None
    source.keep(REQUESTS[2])
    assert source.proposal(1) == (REQUESTS[2].id,)
    assert source.find(1, [REQUESTS[2].id]) == (REQUESTS[2],)
    assert source.find(1, [REQUESTS[2].id, REQUESTS[3].id]) is None


def test_full_batches_are_the_same_again_when_they_were_forgotten():
    source = FullBatches(RequestMaker("model", 1, CHAIN, 9), 3)
    first = source.proposal(1)
    assert len(set(first)) == 3
    others = [source.proposal(index) for index in range(2, BATCHES_KEPT + 3)]
    assert all(set(first).isdisjoint(other) for other in others)
    assert source.proposal(1) == first
    assert [request.id for request in source.find(1, first[::-1])] == list(first[::-1])


def test_a_request_that_nobody_signed_is_a_fault_and_is_not_kept():
    network = Members()
    member = network.members[DEALT.members[0]]
    forged = SharedRequest(OffLedgerRequest(REQUESTS[0].essence, bytes(64)))
    step = member.handle_message(DEALT.members[1], PATH, forged, 0)
    assert [(fault.accused, fault.kind) for fault in step.faults] == [(DEALT.members[1], "bad_signature")]
    network.begin()
    network.run()
    assert network.ended(DEALT.members[0]) == []


@pytest.mark.parametrize(
    "path",
    [
        (),
        (CHAIN,),
        (CHAIN, "log"),
        (CHAIN, 1),
        (CHAIN, -1),
        (CHAIN, 1, "mempool"),
        ("mempool",),
        (1, 1, 1),
        (CHAIN, 2**70),
    ],
)
@pytest.mark.parametrize("begun", [False, True])
def test_nonsense_is_a_fault_or_nothing(path, begun):
    network = Members()
    if begun:
        network.begin()
    message = SharedRequest(REQUESTS[0])
    for sender in (DEALT.members[1], NodeId("stranger")):
        step = network.members[DEALT.members[0]].handle_message(sender, path, message, 0)
        assert not step.messages and not step.outputs
        assert all(fault.accused == sender for fault in step.faults)
        assert step.faults or sender != "stranger"


def test_a_message_is_counted_for_every_other_member_that_it_goes_to():
    network = Members()
    member = network.members[DEALT.members[0]]
    member._count([Envelope(DEALT.members, (CHAIN, 1, "broadcast", 0), REQUESTS[0])])
    member._count([Envelope(DEALT.members[1:3], (CHAIN, 2, "broadcast", 1), REQUESTS[0])])
    member._count([Envelope(DEALT.members, PATH, REQUESTS[0])])
    assert member.sent == {(1, "broadcast"): 3, (2, "broadcast"): 2}
