import pytest

from ledger.kernel.instant import SECOND
from tests.harness.chain_network import ChainNetwork


@pytest.mark.parametrize("n", [1, 4, 5, 7])
def test_a_request_is_executed_once_at_all_members(n):
    network = ChainNetwork(n)
    network.run(SECOND)
    network.submit("m0", network.request(0, 0, "add", 5))
    network.run(20 * SECOND)
    assert [network.count(name) for name in network.members] == [5] * n
    assert [chain.confirmed_block.index for chain in network.chains.values()] == [1] * n
    assert network.faults == []
