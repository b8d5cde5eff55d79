"""Balances, mandates, nonces, and tokens that go to another chain and perhaps come back."""

import pytest

from ledger.kernel.encoding import digest, encode
from ledger.kernel.identity import deal_signer
from ledger.kernel.instant import HOUR, MINUTE
from ledger.kernel.rejection import Rejected
from ledger.output import BasicOutput, ChainAddress, OutputId, SenderFeature, chain_id
from tests.harness.probe import Probe
from tests.harness.solo import NETWORK, Solo
from wasp.core_contracts.accounts import balance_of, credit, debit, is_account, move, open_account, user_of
from wasp.request import CrossChainMessage, MessageId, OnLedgerRequest, call
from wasp.state import EMPTY_STATE
from wasp.vm.draft import Draft
from wasp.vm.genesis import genesis
from wasp.vm.program import Program


def solo() -> Solo:
    balances = {"mg1": {"home1": 100, "utility": 7}, "mg2": {"home2": 50}, "mg3": {"home1": 1}}
    contracts = {"probe": Probe()}
    chains = {"mg1": contracts, "mg2": contracts, "mg3": contracts}
    return Solo(chains, ("home1", "home2"), balances, {"mg1": {"utility": ("probe",)}})


def draft_with(**balances: int) -> Draft:
    draft = Draft(EMPTY_STATE)
    for account, amount in balances.items():
        open_account(draft, account, amount)
    return draft


def test_moving_tokens_keeps_their_sum():
    draft = draft_with(a=10, b=0)
    move(draft, "a", "b", 4)
    move(draft, "b", "b", 4)
    assert (balance_of(draft, "a"), balance_of(draft, "b")) == (6, 4)


@pytest.mark.parametrize(
    ("payer", "payee", "amount", "code"),
    [
        ("a", "b", 11, "funds"),
        ("a", "a", 11, "funds"),
        ("a", "c", 1, "account"),
        ("a", "c", 0, "account"),
        ("c", "a", 1, "funds"),
    ],
)
def test_tokens_that_are_not_there_or_have_nowhere_to_go_are_not_moved(payer, payee, amount, code):
    draft = draft_with(a=10, b=0)
    with pytest.raises(Rejected) as caught:
        move(draft, payer, payee, amount)
    assert caught.value.code == code


def test_an_account_is_debited_down_to_nothing_but_not_further():
    draft = draft_with(a=10)
    debit(draft, "a", 10)
    assert (balance_of(draft, "a"), is_account(draft, "a")) == (0, True)
    with pytest.raises(Rejected, match="funds"):
        debit(draft, "a", 1)
    with pytest.raises(Rejected, match="account"):
        credit(draft, "b", 1)


def test_genesis_opens_an_account_for_every_user_contract_chain_and_named_balance():
    state = solo().chains["mg1"].state
    names = {key[2] for key, _ in state.entries() if key[:2] == ("accounts", "balance")}
    core = {"accounts", "blocklog", "governance", "root"}
    assert names == {*core, "probe", "home1", "home2", "utility", "mg2", "mg3", "outbox"}
    assert state.read("accounts", "total") == 107


def test_the_genesis_state_is_the_same_whatever_the_order_of_its_names():
    keys = {user: deal_signer("model", 0, user).public_key for user in ("home1", "home2")}

    def root(names: tuple[str, ...]) -> bytes:
        users = {keys[name]: name for name in names}
        program = Program(NETWORK, "mg1", {"probe": Probe()}, bytes(32), {}, users)
        return genesis(program, dict.fromkeys(names, 5), dict.fromkeys(names, ("probe",))).root

    assert root(("home1", "home2")) == root(("home2", "home1"))


@pytest.mark.parametrize(
    ("users", "chains"),
    [(("probe",), ()), (("mg2",), ("mg2",)), (("outbox",), ()), (("mg1",), ()), (("accounts",), ()), (("n" * 65,), ())],
)
def test_names_that_mean_two_things_are_refused(users, chains):
    keys = {deal_signer("model", 0, user).public_key: user for user in users}
    with pytest.raises(AssertionError):
        Program(NETWORK, "mg1", {"probe": Probe()}, bytes(32), {name: name.encode().ljust(32) for name in chains}, keys)


def test_a_users_key_is_registered_and_a_strangers_is_not():
    here = solo()
    state = here.chains["mg1"].state
    assert user_of(state, here.signer("home1").public_key) == "home1"
    assert user_of(state, bytes(32)) is None


def test_a_transfer_moves_tokens_between_accounts():
    here = solo()
    assert here.post("mg1", "home1", "accounts", "transfer", "home2", 30, allowance=30).succeeded
    assert (here.balance("mg1", "home1"), here.balance("mg1", "home2")) == (70, 30)
    assert here.balance("mg1", "accounts") == 0


@pytest.mark.parametrize(
    ("payee", "amount", "allowance", "code"),
    [
        ("home2", 31, 30, "allowance"),
        ("home2", 101, 200, "funds"),
        ("nobody", 1, 1, "account"),
        (5, 1, 1, "parameters"),
        ("home2", "1", 1, "parameters"),
    ],
)
def test_a_transfer_that_cannot_be_made_changes_nothing(payee, amount, allowance, code):
    here = solo()
    assert here.post("mg1", "home1", "accounts", "transfer", payee, amount, allowance=allowance).code == code
    assert (here.balance("mg1", "home1"), here.balance("mg1", "home2")) == (100, 0)


def test_a_mandate_lets_a_contract_collect_until_it_is_revoked():
    here = solo()
    assert here.post("mg1", "home2", "probe", "collect", "utility", 3).succeeded
    assert here.post("mg1", "home2", "probe", "collect", "home1", 3).code == "mandate"
    here.result("mg1", "home1", "accounts", "grant", "probe")
    assert here.view("mg1", "accounts", "mandate", "home1", "probe") is True
    assert here.post("mg1", "home2", "probe", "collect", "home1", 3).succeeded
    assert here.post("mg1", "home2", "probe", "collect", "home1", 98).code == "funds"
    here.result("mg1", "home1", "accounts", "revoke", "probe")
    assert here.post("mg1", "home2", "probe", "collect", "home1", 3).code == "mandate"
    assert here.view("mg1", "accounts", "mandate", "home1", "probe") is False
    assert here.balance("mg1", "probe") == 6


def test_the_views_tell_balance_nonce_and_total():
    here = solo()
    here.post("mg1", "home1", "probe", "seen")
    assert here.view("mg1", "accounts", "nonce", "home1") == 1
    assert here.view("mg1", "accounts", "nonce", "home2") == 0
    assert here.view("mg1", "accounts", "balance", "nobody") == 0
    assert here.view("mg1", "accounts", "total") == 107


def test_tokens_reach_an_account_of_another_chain():
    here = solo()
    assert here.result("mg1", "home1", "accounts", "transfer_to_chain", "mg2", "home2", 20, None, allowance=20) == 0
    assert (here.balance("mg1", "home1"), here.chains["mg1"].funds) == (80, 87)
    here.advance(MINUTE)
    assert (here.balance("mg2", "home2"), here.chains["mg2"].funds, here.quiet) == (70, 70, True)
    assert here.chains["mg1"].state.read("accounts", "sent", 0) == ("home1", "mg2")


def test_tokens_for_an_account_that_is_not_there_come_back_to_the_account_that_they_were_taken_from():
    here = solo()
    here.result("mg1", "home1", "accounts", "transfer_to_chain", "mg2", "nobody", 20, None, allowance=20)
    here.advance(MINUTE)
    assert (here.balance("mg1", "home1"), here.chains["mg2"].funds, here.quiet) == (100, 50, True)
    assert here.chains["mg1"].state.read("accounts", "sent", 0) is None


def test_tokens_that_expire_come_back_too():
    here = solo()
    here.offline = {"mg2"}
    here.result("mg1", "home1", "accounts", "transfer_to_chain", "mg2", "home2", 20, 10 * MINUTE, allowance=20)
    here.advance(HOUR)
    assert (here.balance("mg1", "home1"), here.quiet) == (100, True)


def test_nobody_can_pretend_that_a_transfer_came_back():
    here = solo()
    here.result("mg1", "home1", "accounts", "transfer_to_chain", "mg2", "home2", 20, None, allowance=20)
    assert here.post("mg1", "home1", "accounts", "returned", 0, "deposit", b"").code == "sender"
    assert here.post("mg1", "home1", "accounts", "returned", 5, "deposit", b"").code == "parameters"
    for place, (chain, contract) in enumerate((("mg3", "accounts"), ("mg2", "probe"))):
        message = CrossChainMessage(MessageId(chain, contract, 0), call("accounts", "returned", 0, "deposit", b""))
        sender = SenderFeature(chain_id(NETWORK, chain), contract)
        output = BasicOutput(1, ChainAddress(chain_id(NETWORK, "mg1")), sender=sender, metadata=encode(message))
        here.submit("mg1", OnLedgerRequest(OutputId(digest("liar"), place), output))
        here.run_block("mg1")
        assert here.chains["mg1"].receipts[-1].code == "sender"
    assert here.balance("mg1", "home1") == 80
