"""Who owns a chain, and what only the owner may do."""

import pytest

from tests.harness.probe import Probe
from tests.harness.solo import NETWORK, Solo
from wasp.core_contracts.governance import gas_policy
from wasp.vm.gas import FREE, GasPolicy
from wasp.vm.genesis import genesis
from wasp.vm.program import Limits, Program
from wasp.vm.sandbox import call_view


def solo(owner: str | None = "home1") -> Solo:
    balances = {"mg1": {"home1": 10, "governance": 5}}
    return Solo({"mg1": {"probe": Probe()}}, ("home1", "home2"), balances, owner=owner)


def test_the_state_tells_owner_committee_limits_and_policy():
    limits = Limits(inputs_max=7)
    program = Program(NETWORK, "mg1", {}, bytes(32), {}, {}, limits, "utility", ("a", "b"), GasPolicy(1, 100))
    state = genesis(program, {"utility": 1})
    assert call_view(program, state, "governance", "owner") == "utility"
    assert call_view(program, state, "governance", "committee") == ("a", "b")
    assert call_view(program, state, "governance", "gas_policy") == (1, 100)
    told = call_view(program, state, "governance", "limits")
    assert isinstance(told, tuple)
    assert ("inputs_max", 7) in told
    assert gas_policy(state) == GasPolicy(1, 100)


def test_gas_is_free_by_default():
    assert gas_policy(solo().chains["mg1"].state) == FREE


@pytest.mark.parametrize(
    ("entry_point", "parameters"), [("set_owner", ("home2",)), ("set_gas_policy", (1, 1)), ("withdraw", ("home2", 1))]
)
def test_only_the_owner_may_change_anything(entry_point, parameters):
    here = solo()
    assert here.post("mg1", "home2", "governance", entry_point, *parameters).code == "owner"
    assert here.post("mg1", "home1", "governance", entry_point, *parameters).succeeded


def test_a_chain_without_an_owner_stays_as_its_genesis_made_it():
    here = solo(owner=None)
    assert here.post("mg1", "home1", "governance", "set_gas_policy", 1, 1).code == "owner"


def test_a_new_owner_takes_the_place_of_the_old_one():
    here = solo()
    here.result("mg1", "home1", "governance", "set_owner", "home2")
    assert here.view("mg1", "governance", "owner") == "home2"
    assert here.post("mg1", "home1", "governance", "withdraw", "home1", 1).code == "owner"
    assert here.post("mg1", "home2", "governance", "withdraw", "home2", 5).succeeded
    assert here.balance("mg1", "home2") == 5


@pytest.mark.parametrize(
    ("entry_point", "parameters"),
    [
        ("set_owner", (1,)),
        ("set_gas_policy", (-1, 1)),
        ("set_gas_policy", (1, 0)),
        ("set_gas_policy", ("1", 1)),
        ("withdraw", (1, 1)),
        ("withdraw", ("home1", -1)),
    ],
)
def test_nonsense_of_the_owner_is_refused(entry_point, parameters):
    assert solo().post("mg1", "home1", "governance", entry_point, *parameters).code == "parameters"
