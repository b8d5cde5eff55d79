"""What acts cost, the limits of gas, and what a priced policy takes from whom."""

import msgspec
import pytest

from ledger.kernel.encoding import digest, encode
from ledger.kernel.instant import HOUR, MINUTE
from ledger.kernel.rejection import Rejected
from ledger.output import BasicOutput, ChainAddress, OutputId, SenderFeature, chain_id
from tests.harness.probe import Probe
from tests.harness.solo import NETWORK, Solo
from wasp.core_contracts.governance import GOVERNANCE
from wasp.request import CrossChainMessage, MessageId, OnLedgerRequest, call
from wasp.vm import gas as costs
from wasp.vm.gas import GasMeter, GasPolicy
from wasp.vm.program import Limits


def solo(**kwargs) -> Solo:
    balances = {"mg1": {"home1": 1_000_000, "home2": 3}, "region": {"utility": 10}}
    users = {"mg1": ("home1", "home2"), "region": ("home1",)}
    return Solo({"mg1": {"probe": Probe()}, "region": {"probe": Probe()}}, users, balances, **kwargs)


def priced(tokens: int = 1, gas: int = 100) -> Solo:
    here = solo(owner="home1")
    assert here.post("mg1", "home1", "governance", "set_gas_policy", tokens, gas).succeeded
    return here


def test_a_meter_counts_up_to_its_limit_and_stays_exhausted():
    meter = GasMeter(10)
    meter.burn(10)
    assert not meter.exhausted
    for gas in (1, 0):
        with pytest.raises(Rejected, match="gas"):
            meter.burn(gas)
    assert (meter.used, meter.exhausted) == (11, True)


def test_every_act_costs_what_the_table_says():
    here = solo()
    entry = costs.GAS_CALL

    def cost(entry_point: str, *parameters, allowance: int = 0) -> int:
        receipt = here.post("mg1", "home1", "probe", entry_point, *parameters, allowance=allowance)
        size = len(call("probe", entry_point, *parameters).parameters)
        return receipt.gas - entry - size * costs.GAS_PARAMETER_BYTE

    assert cost("burn", 30_000) == 30_000
    assert cost("write", "k", b"12345") == costs.GAS_WRITE + costs.GAS_WRITE_BYTE * 7 + costs.GAS_READ
    assert cost("write", "k", None) == costs.GAS_WRITE + costs.GAS_READ
    assert cost("take", 5, allowance=5) == costs.GAS_TRANSFER
    assert cost("pay", "home2", 5) == costs.GAS_TRANSFER
    assert cost("emit", "event", 0) == costs.GAS_EVENT + costs.GAS_WRITE_BYTE * 2
    assert cost("draw", "a") == costs.GAS_DRAW
    sending = costs.GAS_SEND + costs.GAS_WRITE_BYTE * len(call("probe", "take", 1).parameters)
    assert cost("send", "region", "take", 1, 2, allowance=2) == costs.GAS_TRANSFER + 2 * sending
    here.result("mg1", "home1", "accounts", "grant", "probe")
    assert cost("collect", "home1", 1) == costs.GAS_TRANSFER


def test_the_smallest_request_is_charged_the_minimum_and_a_budget_below_it_fails():
    here = solo()
    assert here.post("mg1", "home1", "probe", "seen").gas == 10_000
    for budget, code in ((9_999, "gas"), (10_000, None), (0, "gas")):
        here.submit("mg1", here.sign("mg1", "home1", "probe", "seen", gas_budget=budget))
        execution = here.run_block("mg1")
        assert execution is not None
        assert [(receipt.code, receipt.gas) for receipt in execution.receipts] == [(code, 10_000)]


def test_a_request_that_needs_more_than_its_budget_fails_and_is_charged_the_budget():
    here = solo()
    free = 20_000 - costs.GAS_CALL - len(call("probe", "burn", 14_000).parameters) * costs.GAS_PARAMETER_BYTE
    for burned, code, charged in ((free, None, 20_000), (free + 1, "gas", 20_000)):
        here.submit("mg1", here.sign("mg1", "home1", "probe", "burn", burned, gas_budget=20_000))
        execution = here.run_block("mg1")
        assert execution is not None
        assert [(receipt.code, receipt.gas) for receipt in execution.receipts] == [(code, charged)]


def test_what_does_not_fit_into_the_gas_of_the_block_is_skipped_without_a_trace_and_runs_in_the_next():
    here = solo(limits=Limits(gas_block_max=250_000))
    requests = [here.sign("mg1", "home1", "probe", "burn", 100_000, nonce=n) for n in range(3)]
    here.submit("mg1", *requests)
    first = here.run_block("mg1")
    assert first is not None
    assert (len(first.receipts), first.skipped) == (2, (requests[2].id,))
    assert first.gas <= 250_000
    second = here.run_block("mg1")
    assert second is not None
    assert [receipt.code for receipt in second.receipts] == [None]


def test_a_request_whose_own_budget_ends_where_the_gas_of_the_block_ends_fails_and_is_not_skipped():
    here = solo(limits=Limits(gas_block_max=120_000))
    here.submit("mg1", here.sign("mg1", "home1", "probe", "burn", 200_000, gas_budget=120_000))
    execution = here.run_block("mg1")
    assert execution is not None
    assert [receipt.code for receipt in execution.receipts] == ["gas"]


def test_a_request_that_does_not_fit_ends_the_block_so_that_no_more_work_is_thrown_away():
    outcomes = set()
    for seed in range(8):
        here = solo(limits=Limits(gas_block_max=100_000), seed=seed)
        first = here.sign("mg1", "home1", "probe", "burn", 50_000, gas_budget=70_000)
        large = here.sign("mg1", "home1", "probe", "burn", 60_000, nonce=1, gas_budget=70_000)
        small = here.sign("mg1", "home2", "probe", "seen")
        here.submit("mg1", first, large, small)
        execution = here.run_block("mg1")
        assert execution is not None
        outcomes.add(tuple(sorted(name_of((first, large, small), request) for request in execution.block.requests)))
    assert outcomes == {("first",), ("first", "small")}


def name_of(requests, request) -> str:
    return ("first", "large", "small")[requests.index(request)]


@pytest.mark.parametrize(("gas_block_max", "executed"), [(25_000, 2), (20_000, 2), (19_999, 1)])
def test_a_request_without_room_for_the_smallest_charge_waits(gas_block_max, executed):
    here = solo(limits=Limits(gas_block_max=gas_block_max))
    here.submit("mg1", *[here.sign("mg1", "home1", "probe", "seen", nonce=n) for n in range(3)])
    execution = here.run_block("mg1")
    assert execution is not None
    assert [receipt.code for receipt in execution.receipts] == [None] * executed
    assert len(execution.skipped) == 3 - executed


def test_a_request_that_needs_more_than_a_whole_block_fails_and_is_not_skipped_for_ever():
    here = solo(limits=Limits(gas_block_max=30_000))
    here.submit("mg1", here.sign("mg1", "home1", "probe", "burn", 40_000))
    execution = here.run_block("mg1")
    assert execution is not None
    assert [(receipt.code, receipt.gas) for receipt in execution.receipts] == [("gas", 30_000)]


def test_the_gas_of_a_block_is_the_sum_of_its_receipts():
    here = solo()
    here.submit("mg1", *[here.sign("mg1", "home1", "probe", "burn", n * 30_000, nonce=n) for n in range(4)])
    execution = here.run_block("mg1")
    assert execution is not None
    assert execution.gas == sum(receipt.gas for receipt in execution.receipts)


# ----------------------------------------------------------------------------------------------------------------- fees


def test_gas_is_free_unless_governance_sets_a_price():
    here = solo()
    receipt = here.post("mg1", "home1", "probe", "burn", 5_000_000)
    assert (receipt.fee, here.balance("mg1", GOVERNANCE)) == (0, 0)


@pytest.mark.parametrize(
    ("policy", "gas", "fee"), [((1, 100), 10_099, 100), ((3, 7), 10_000, 4_285), ((0, 1), 10**9, 0)]
)
def test_a_fee_is_rounded_down(policy, gas, fee):
    assert GasPolicy(*policy).fee(gas) == fee


def test_a_priced_policy_takes_the_fee_from_the_account_that_asked_also_when_it_fails():
    here = priced()
    for entry_point, parameters in (("burn", (500_000,)), ("stumble", (None,))):
        before = here.balance("mg1", "home1"), here.balance("mg1", GOVERNANCE)
        receipt = here.post("mg1", "home1", "probe", entry_point, *parameters)
        assert receipt.fee == receipt.gas // 100 > 0
        after = here.balance("mg1", "home1"), here.balance("mg1", GOVERNANCE)
        assert after == (before[0] - receipt.fee, before[1] + receipt.fee)


def test_an_account_that_cannot_pay_the_fee_pays_what_it_has():
    here = priced()
    receipt = here.post("mg1", "home2", "probe", "seen")
    assert (receipt.code, receipt.fee, here.balance("mg1", "home2")) == (None, 3, 0)


def test_governance_earns_its_fees_for_the_owner():
    here = priced()
    here.post("mg1", "home1", "probe", "burn", 5_000_000)
    earned = here.balance("mg1", GOVERNANCE)
    assert earned > 50_000
    assert here.post("mg1", "home2", "governance", "withdraw", "home2", 1).code == "owner"
    assert here.post("mg1", "home1", "governance", "withdraw", "home1", earned).succeeded


@pytest.mark.parametrize(("tokens", "returned"), [(1, 1), (60, 1), (5_000, None)])
def test_a_failed_message_pays_its_fee_of_what_came_and_at_least_one_token_goes_back(tokens, returned):
    here = priced()
    region, mine = chain_id(NETWORK, "region"), chain_id(NETWORK, "mg1")
    message = CrossChainMessage(MessageId("region", "probe", 0), call("probe", "missing"))
    output = BasicOutput(tokens, ChainAddress(mine), sender=SenderFeature(region, "probe"), metadata=encode(message))
    here.submit("mg1", OnLedgerRequest(OutputId(digest("outside"), 0), output))
    execution = here.run_block("mg1")
    assert execution is not None
    (receipt,) = execution.receipts
    assert execution.outgoing[0].amount == tokens - receipt.fee == (returned or tokens - receipt.gas // 100)
    assert here.balance("mg1", "region") == 0


def test_a_message_that_comes_back_to_its_sender_is_charged_to_nobody():
    here = priced()
    here.offline = {"region"}
    here.post("mg1", "home1", "probe", "send", "region", "take", 25, 1, 10 * MINUTE, allowance=25)
    here.advance(HOUR)
    receipt = here.chains["mg1"].receipts[-1]
    assert (receipt.account, receipt.code, receipt.fee) == ("probe", None, 0)
    assert here.balance("mg1", "probe") == 25


def test_the_defaults_are_wasps():
    limits = Limits()
    assert msgspec.structs.asdict(limits) == {
        "gas_block_max": 1_000_000_000,
        "gas_request_max": 50_000_000,
        "gas_request_min": 10_000,
        "requests_max": 1_000,
        "inputs_max": 100,
        "outputs_max": 100,
        "outputs_of_request_max": 4,
        "outbox_max": 256,
        "transitions_max": 100,
        "expiry_guard": MINUTE,
        "blocks_kept": 10_000,
        "receipts_kept": 1_000,
    }
