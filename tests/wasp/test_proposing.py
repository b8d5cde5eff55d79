"""When a member joins the others, and what it proposes while it does not know enough for more."""

from __future__ import annotations

from typing import Any

import msgspec

from ledger.kernel.automaton import NOTHING
from ledger.kernel.instant import SECOND
from tests.harness.chain_network import QUICK, ChainNetwork
from wasp.consensus.batch_proposal import PROPOSAL_CODEC, BatchProposal
from wasp.consensus.reliable_broadcast import Initial


def booted(**keywords: Any) -> ChainNetwork:
    network = ChainNetwork(4, **keywords)
    network.run(SECOND)
    return network


def proposals(network: ChainNetwork, member: str) -> list[BatchProposal]:
    """What the member has proposed, in order."""
    payloads = {
        envelope.path: envelope.message.payload
        for _, sender, envelope in network.messages
        if sender == member and isinstance(envelope.message, Initial) and envelope.path[2] == "broadcast"
    }
    return [PROPOSAL_CODEC.decode(payload).batch for payload in payloads.values()]


def all_count(network: ChainNetwork, amount: int) -> Any:
    return lambda: all(network.count(name) == amount for name in network.members)


def test_the_empty_proposal_of_a_member_at_its_limit_is_one_of_the_three_that_four_need():
    """One layer-1 host has not told m3 of the confirmation, and m0 is dead: without m3 nothing is decided."""
    network = booted(parameters=msgspec.structs.replace(QUICK, unconfirmed_anchors_max=1))
    network.submit("m0", network.request(0, 0))
    network.run_until(all_count(network, 1))
    blind = network.chains["m3"]
    original = blind.handle_input
    blind.handle_input = lambda input, now: NOTHING if hasattr(input, "anchor_id") else original(input, now)  # type: ignore[method-assign]
    network.run(10 * SECOND)
    network.kill("m0")
    network.submit("m1", network.request(0, 1))
    network.run_until(all_count(network, 2), 10 * SECOND)
    last = proposals(network, "m3")[-1]
    assert last == BatchProposal(None, last.time, ())


def test_a_member_whose_layer_1_is_silent_joins_with_no_base():
    """It might have been away for so long that its last signed anchor is nobody's base any more."""
    network = booted()
    network.submit("m0", network.request(0, 0))
    network.run_until(all_count(network, 1))
    network.run(5 * SECOND)
    network._sync = lambda name, life: None  # type: ignore[method-assign]
    network.restart("m3")
    network.messages.clear()
    for nonce in (1, 2):  # it takes part from the next log index on
        network.submit("m0", network.request(0, nonce))
        network.run_until(all_count(network, nonce + 1), 60 * SECOND)
        network.run(5 * SECOND)
    made = proposals(network, "m3")
    assert made and {(proposal.base, proposal.requests) for proposal in made} == {(None, ())}


def test_a_member_without_the_tips_state_names_the_tip_and_no_request():
    """It could bring back what was executed meanwhile."""
    network = booted()
    network.kill("m3")
    network.submit("m0", network.request(0, 0))
    network.run_until(all_count(network, 1))
    network.run(5 * SECOND)
    network.drop = lambda sender, receiver, envelope: receiver == "m3" and envelope.path[-1] == "state"
    network.start("m3")
    network.submit(
        "m0", network.request(1, 0)
    )  # m3 was away when the nonces of this index were dealt: it can't propose
    network.run_until(lambda: network.chains["m0"].active_block.index == 2)
    network.run(5 * SECOND)
    assert network.chains["m3"].active_block.index == 0
    tip = network.chains["m0"].view.anchors.base
    network.submit("m0", network.request(2, 0))
    network.run_until(lambda: bool(proposals(network, "m3")), 60 * SECOND)
    made = proposals(network, "m3")[0]
    assert made == BatchProposal(tip, made.time, ())
