"""Records that others took the place of are gone, and nobody notices."""

import msgspec
import pytest

from ledger.kernel.automaton import Record
from ledger.kernel.identity import ModelVerifier
from ledger.kernel.instant import MILLISECOND, SECOND
from ledger.kernel.rng import stream
from node.record_places import unsuperseded
from tests.harness.chain_network import CHAIN, NETWORK, QUICK, ChainNetwork
from wasp import chain_view, state_manager
from wasp.chain import Chain
from wasp.chain_interface import AnchorKept, ConfirmationKept
from wasp.committee_log import LogIndexUsed
from wasp.state_manager import StateSnapshot

MANY = 12
"""Requests, each of which makes a block of its own."""


@pytest.fixture(autouse=True)
def _short_intervals(monkeypatch):
    monkeypatch.setattr(state_manager, "BLOCKS_KEPT", 3)
    monkeypatch.setattr(state_manager, "SNAPSHOT_INTERVAL", 2)
    monkeypatch.setattr(chain_view, "CONFIRMATIONS_RECORDED_MAX", 2)


def busy(seed=0, restarts=()):
    """A committee that makes many blocks; after some of them members are restarted."""
    network = ChainNetwork(4, QUICK, seed=seed)
    network.run(SECOND)
    for nonce in range(MANY):
        network.submit(f"m{nonce % 4}", network.request(0, nonce))
        network.run(700 * MILLISECOND)
        for name in dict(restarts).get(nonce, ()):
            network.restart(name)
    network.run(60 * SECOND)
    return network


def place_of(chain):
    """Where a chain stands: its log, its blocks, its anchors."""
    view = chain.view
    return {
        "used": chain.log.used,
        "active": (view.active, view.active_state.root),
        "confirmed": (view.confirmed, view.confirmed_state.root),
        "anchor": view.anchors.confirmed.id,
        "signed": [anchor.id for anchor in view.anchors.unconfirmed()],
        "by height": [anchor.id for anchor in view.anchors.by_height()],
        "states": sorted(view.states._states),
    }


def restored(network, name, records):
    return Chain.restore(
        records,
        CHAIN,
        NETWORK,
        network.committee,
        name,
        network.signers[name],
        ModelVerifier(),
        network.keys[network.committee.index[name]],
        network.program,
        network.genesis_block,
        network.genesis_state,
        network.genesis_anchor,
        network.parameters,
        stream(0, "restored"),
    )


def never_superseding(record):
    """As records were before one could take the place of others."""
    return Record(record.path, record.value)


def test_a_disk_holds_a_bounded_number_of_records():
    network = busy()
    for name in network.members:
        assert network.chains[name].confirmed_block.index == MANY
        kinds = [type(record.value) for record in network.disks[name]]
        assert kinds.count(LogIndexUsed) == kinds.count(StateSnapshot) == 1
        assert kinds.count(ConfirmationKept) <= 3 and kinds.count(AnchorKept) <= 4
        assert len(kinds) <= 20 < len(network.written[name]) // 2


@pytest.mark.parametrize("seed", range(3))
def test_a_member_restored_from_what_is_left_stands_where_it_would_with_all_its_records(seed):
    """After every single record of its life, as when the disk loses what came behind it."""
    network = busy(seed)
    for name in ("m0", "m3"):
        written = network.written[name]
        for end in range(len(written) + 1):
            everything = [never_superseding(record) for record in written[:end]]
            assert place_of(restored(network, name, unsuperseded(written[:end]))) == place_of(
                restored(network, name, everything)
            ), (name, end)


@pytest.mark.parametrize("seed", range(3))
def test_members_that_are_restarted_on_pruned_disks_go_on_and_use_no_log_index_twice(seed):
    restarts = {2: ("m1",), 4: ("m0", "m2"), 6: ("m3",), 8: ("m0", "m1", "m2", "m3"), 10: ("m2",)}
    network = busy(seed, restarts)
    nonce = network.chains["m0"].active_state.read("accounts", "nonce", "user0")
    for place in range(nonce, MANY):  # what was only in the memory of those that were killed
        network.submit("m0", network.request(0, place))
        network.run(10 * SECOND)
    for name in network.members:
        indices = [record.value.index for record in network.written[name] if isinstance(record.value, LogIndexUsed)]
        assert indices == sorted(set(indices))
        assert network.count(name) == MANY
        assert network.chains[name].confirmed_block == network.chains["m0"].active_block
    assert network.faults == []


def test_signed_anchors_survive_that_a_confirmation_takes_the_place_of_their_records():
    """Layer 1 confirms a few anchors and then nothing more; all members are killed and still know the ones that wait."""
    network = ChainNetwork(4, msgspec.structs.replace(QUICK, batch_delay=0), seed=1)
    network.run(SECOND)
    for nonce in range(8):
        network.submit("m0", network.request(0, nonce))
        network.run(400 * MILLISECOND)
    network.ledger.deaf = True
    waiting = {name: network.chains[name].view.anchors.unconfirmed() for name in network.members}
    assert all(len(anchors) > 1 for anchors in waiting.values())
    assert any(record.value.signed for record in network.disks["m0"] if isinstance(record.value, ConfirmationKept))
    for name in list(network.members):
        network.restart(name)
    for name in network.members:
        assert [anchor.id for anchor in network.chains[name].view.anchors.unconfirmed()] == [
            anchor.id for anchor in waiting[name]
        ]
