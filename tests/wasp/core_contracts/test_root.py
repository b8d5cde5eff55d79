"""The registry of contracts."""

from tests.harness.probe import Probe, SecondProbe
from tests.harness.solo import Solo


def test_the_registry_names_every_contract_with_its_version_and_its_doors():
    here = Solo({"mg1": {"second": SecondProbe(), "probe": Probe()}}, balances={"mg1": {"utility": 1}})
    names = ("accounts", "blocklog", "governance", "probe", "root", "second")
    assert here.view("mg1", "root", "contracts") == names
    assert here.view("mg1", "root", "contract", "root") == (1, (), ("contract", "contracts"))
    doors = ("deposit", "grant", "returned", "revoke", "transfer", "transfer_to_chain")
    assert here.view("mg1", "root", "contract", "accounts") == (1, doors, ("balance", "mandate", "nonce", "total"))
    assert here.view("mg1", "root", "contract", "nobody") is None
