"""What a call sees, draws, tells and is told."""

import pytest

from ledger.kernel.encoding import ZERO_DIGEST, pack
from ledger.kernel.rejection import Rejected
from ledger.kernel.rng import stream
from tests.harness.probe import Probe, SecondProbe
from tests.harness.solo import Solo
from wasp.core_contracts.blocklog import Event
from wasp.vm.sandbox import contract_stream


def solo(**kwargs) -> Solo:
    contracts = {"probe": Probe(), "second": SecondProbe()}
    return Solo({"mg1": contracts, "b": contracts}, ("home1",), {"mg1": {"home1": 100}, "b": {"home1": 100}}, **kwargs)


def test_an_off_ledger_call_sees_its_chain_contract_caller_and_time():
    here = solo(start=500)
    assert here.result("mg1", "home1", "probe", "seen") == ("mg1", "probe", "home1", 0, None, 500, True)
    assert here.result("b", "home1", "second", "seen") == ("b", "second", "home1", 0, None, 500, True)


def test_contracts_do_not_see_each_others_keys():
    here = solo()
    here.result("mg1", "home1", "probe", "write", "key", 1)
    assert here.result("mg1", "home1", "second", "write", "other", 2) == 2
    assert here.view("mg1", "second", "value", "key") is None
    assert here.view("mg1", "probe", "value", "key") == 1


def test_draws_depend_on_the_contract_seed_the_chain_and_the_label_only():
    expected = stream(bytes(32), "mg1", "label").randrange(10**9)
    assert contract_stream(bytes(32), "mg1", "label").randrange(10**9) == expected
    for seed in (0, 1):
        here = solo(seed=seed)
        assert here.result("mg1", "home1", "probe", "draw", "label") == expected
        assert here.result("mg1", "home1", "second", "draw", "label") == expected
        others = {
            here.result("mg1", "home1", "probe", "draw", "other"),
            here.result("b", "home1", "probe", "draw", "label"),
            solo(contract_seed=b"x" * 32).result("mg1", "home1", "probe", "draw", "label"),
        }
        assert expected not in others
        assert len(others) == 3


def test_events_of_successful_calls_stand_in_the_block_log_in_order():
    here = solo()
    here.submit("mg1", *[here.sign("mg1", "home1", "probe", "emit", f"event{n}", n, nonce=n) for n in range(3)])
    execution = here.run_block("mg1")
    assert execution is not None
    assert execution.events == tuple(Event("probe", f"event{n}", pack((n,))) for n in range(3))
    assert here.view("mg1", "blocklog", "event", 1, 2) == ("probe", "event2", pack((2,)))
    assert here.view("mg1", "blocklog", "event", 1, 3) is None


@pytest.mark.parametrize(
    ("event", "field", "code"),
    [("e" * 64, 0, None), ("e" * 65, 0, "event"), ("e", b"x" * 4_092, None), ("e", b"x" * 4_093, "event")],
)
def test_an_event_has_a_largest_size(event, field, code):
    assert solo().post("mg1", "home1", "probe", "emit", event, field).code == code


def test_a_view_tells_the_time_of_the_block_and_changes_nothing():
    here = solo()
    assert here.view("mg1", "probe", "now") == 0
    here.post("mg1", "home1", "probe", "seen")
    root = here.chains["mg1"].state.root
    assert here.view("mg1", "probe", "now") == here.chains["mg1"].block.timestamp
    assert here.chains["mg1"].state.root == root


@pytest.mark.parametrize(
    ("contract", "view", "parameters", "code"),
    [
        ("probe", "nothing", (), "view"),
        ("nobody", "value", (), "view"),
        ("probe", "value", (), "parameters"),
        ("probe", "value", (ZERO_DIGEST,), "key"),
        ("accounts", "balance", (1,), "parameters"),
        ("blocklog", "block", ("x",), "parameters"),
        ("blocklog", "receipt", ("x",), "parameters"),
        ("root", "contract", (1,), "parameters"),
    ],
)
def test_a_view_that_is_asked_nonsense_rejects_it(contract, view, parameters, code):
    with pytest.raises(Rejected) as caught:
        solo().view("mg1", contract, view, *parameters)
    assert caught.value.code == code


def test_sending_parameters_that_would_not_fit_into_an_output_when_they_come_back_is_refused():
    here = solo()
    fits = 6_144 - len(pack((b"x" * 300,))) + 300
    for size, code in ((fits, None), (fits + 1, "parameters")):
        receipt = here.post("mg1", "home1", "probe", "forward", "b", b"x" * size, allowance=1)
        assert receipt.code == code


def test_a_contract_cannot_take_beyond_the_allowance_in_parts():
    here = solo()
    assert here.post("mg1", "home1", "probe", "take_twice", 5, allowance=9).code == "allowance"
    assert here.post("mg1", "home1", "probe", "take_twice", 5, allowance=10).succeeded
    assert here.balance("mg1", "probe") == 10
