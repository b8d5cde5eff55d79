"""A member that comes back with an empty disk in the middle of an index: one of the f, but no reason to fail."""

import msgspec
import pytest

from ledger.kernel.instant import MILLISECOND, SECOND
from node.live.store import used_log_indices
from tests.harness.chain_network import CHAIN, QUICK, ChainNetwork
from wasp.committee_log import LogIndexUsed
from wasp.consensus.protocols import PROTOCOLS


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
def test_a_member_that_has_forgotten_all_neither_fails_nor_holds_up_the_others(protocol):
    """It may find what its former life proposed, with nonces that nobody has any more, among what is decided."""
    for moment in range(0, 200, 10):
        network = ChainNetwork(4, msgspec.structs.replace(QUICK, protocol=protocol), seed=moment)
        network.run(2 * SECOND)
        network.submit("m0", network.request(0, 0))
        network.run(moment * MILLISECOND)
        network.kill("m1")
        network.disks["m1"].clear()
        network.restart("m1")
        network.run(20 * SECOND)
        network.submit("m2", network.request(0, 1))
        network.run(20 * SECOND)
        assert [network.count(name) for name in ("m0", "m2", "m3")] == [2, 2, 2], moment


def opened_by(network, name):
    return [record.value.index for record in network.written[name] if isinstance(record.value, LogIndexUsed)]


@pytest.mark.parametrize("n", [4, 5])
def test_one_that_begins_behind_what_the_others_know_takes_part_in_no_log_index_twice(n):
    """Also with others that were restarted meanwhile. It is told the index after the highest that another has opened."""
    for moment in range(0, 600, 60):
        network = ChainNetwork(n, QUICK, seed=moment)
        network.run(2 * SECOND)
        network.submit("m0", network.request(0, 0))
        network.run(moment * MILLISECOND)
        network.kill("m1")
        former = opened_by(network, "m1")
        network.restart("m2")
        highest = max(chain.log.used for chain in network.chains.values())
        network.disks["m1"] = list(used_log_indices({CHAIN: highest + 1}))
        network.restart("m1")
        for nonce in range(4):
            network.submit("m0", network.request(0, nonce))
            network.run(15 * SECOND)
        indices = opened_by(network, "m1")
        assert indices == sorted(set(indices)), moment
        assert len(indices) > len(former), "it takes part again"
        assert [network.count(name) for name in network.members if name != "m1"] == [4] * (n - 1), moment
        assert network.chains["m1"].active_block == network.chains["m0"].active_block


@pytest.mark.parametrize("behind", [0, 1])
def test_the_index_behind_the_highest_is_taken_out_too(behind):
    """m3 is away and the last votes of m1 reach nobody: m1 alone sees enough votes, and opens an index before the others."""
    network = ChainNetwork(4, QUICK)
    network.run(2 * SECOND)
    network.kill("m3")
    network.drop = lambda sender, receiver, envelope: sender == "m1" and envelope.path == (CHAIN, "log")
    network.submit("m0", network.request(0, 0))
    network.run_until(lambda: network.chains["m1"].log.used > network.chains["m0"].log.used)
    former = opened_by(network, "m1")
    network.kill("m1")
    highest = max(chain.log.used for chain in network.chains.values())
    assert former[-1] == highest + 1
    network.drop = lambda *arguments: False
    network.disks["m1"] = list(used_log_indices({CHAIN: highest + behind}))
    network.restart("m1")
    network.run(20 * SECOND)
    network.start("m3")
    network.submit("m2", network.request(0, 1))
    network.run(60 * SECOND)
    indices = opened_by(network, "m1")
    assert (indices == sorted(set(indices))) == (behind == 1)
    assert [network.count(name) for name in ("m0", "m2", "m3")] == [2, 2, 2]


def test_more_than_f_that_have_forgotten_all_begin_far_behind_every_index_and_the_others_follow():
    network = ChainNetwork(4, QUICK)
    network.run(2 * SECOND)
    network.submit("m0", network.request(0, 0))
    network.run(20 * SECOND)
    far = 1_000_000
    for name in ("m1", "m2"):
        network.kill(name)
        network.disks[name] = list(used_log_indices({CHAIN: far}))
    for name in ("m1", "m2"):
        network.start(name)
    network.submit("m3", network.request(0, 1))
    network.run(60 * SECOND)
    assert [network.count(name) for name in ("m0", "m3")] == [2, 2]
    assert len({chain.confirmed_block for chain in network.chains.values()}) == 1
    assert all(chain.log.used > far for chain in network.chains.values())
    assert network.faults == []
