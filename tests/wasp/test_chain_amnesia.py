"""A member that comes back with an empty disk in the middle of an index: one of the f, but no reason to fail."""

import msgspec
import pytest

from ledger.kernel.instant import MILLISECOND, SECOND
from tests.harness.chain_network import QUICK, ChainNetwork
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
