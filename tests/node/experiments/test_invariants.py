"""Every invariant of a run can fail: by what hosts could tell, and by what the stack could do wrong."""

import pytest
from msgspec.structs import replace

import market.microgrid
import market.purse
import market.sharing
import wasp.vm.block_run
from ledger.kernel.automaton import Fault, NodeId
from ledger.output import BasicOutput, ChainAddress
from ledger.transaction import Essence, Transaction
from market.orders import ASK, BID
from node.configuration_file import load_configuration
from node.experiments.invariants import NAMES, VIOLATIONS_MAX, Invariants
from node.experiments.recorder import Recorder
from node.experiments.scenario import SimulatedScenario
from tests.harness.small_run import run_small, write_small
from wasp.request import call, sign_request
from wasp.state import Mutation

A, B = NodeId("a1"), NodeId("b1")


@pytest.fixture(scope="module")
def scenario(tmp_path_factory):
    path = write_small(tmp_path_factory.mktemp("small"))
    return SimulatedScenario(load_configuration(path), path.parent)


@pytest.fixture
def invariants(scenario):
    return Invariants(scenario)


def violated(invariants):
    """The names of what was violated, and that each was counted."""
    names = {violation.partition(":")[0] for violation in invariants.violations}
    assert all(invariants.checked[name] for name in names)
    return names


def test_nothing_is_checked_or_violated_before_the_run(invariants):
    assert (invariants.violations, invariants.checked) == ([], dict.fromkeys(NAMES, 0))


def test_violations_that_are_told_are_limited_and_checks_go_on(invariants):
    for i in range(VIOLATIONS_MAX + 5):
        invariants.check("supply", False, str(i))
    assert len(invariants.violations) == VIOLATIONS_MAX
    assert invariants.checked["supply"] == VIOLATIONS_MAX + 5


# -------------------------------------------------------------------------------------- chain blocks and states (told)


@pytest.fixture
def next_block(scenario):
    """A chain block that may follow genesis, with nothing in it, and its state."""
    setup = scenario.chains["north"]
    block = replace(
        setup.block,
        index=1,
        log_index=1,
        timestamp=setup.block.timestamp + 1,
        previous=setup.block.digest,
        base=setup.anchor[0],
    )
    return block, setup.state


def confirm(invariants, scenario, block, state, amount=None):
    """Tell the invariants of a confirmed chain block, whose anchor holds what genesis held."""
    anchor = replace(scenario.chains["north"].anchor[1], state_index=block.index)
    if amount is not None:
        anchor = replace(anchor, amount=amount)
    transaction = Transaction(Essence("small", block.timestamp, (block.base,), (anchor,)), ())
    invariants.transaction_booked(transaction)
    invariants.state_confirmed(5, "north", block, state, transaction.output_id(0))


def test_a_good_successor_violates_nothing(invariants, scenario, next_block):
    confirm(invariants, scenario, *next_block)
    invariants.chain_block_confirmed(5, A, "north", next_block[0], scenario.chains["north"].anchor[0])
    invariants.chain_block_confirmed(6, B, "north", next_block[0], scenario.chains["north"].anchor[0])
    assert violated(invariants) == set()
    assert invariants.checked["agreement"] == 2


def test_two_members_with_different_chain_blocks_break_agreement(invariants, scenario, next_block):
    anchor = scenario.chains["north"].anchor[0]
    invariants.chain_block_confirmed(5, A, "north", next_block[0], anchor)
    invariants.chain_block_confirmed(6, B, "north", replace(next_block[0], log_index=2), anchor)
    assert violated(invariants) == {"agreement"}


@pytest.mark.parametrize("field", ["index", "timestamp", "previous", "base"])
def test_a_chain_block_that_does_not_follow_breaks_succession(invariants, scenario, next_block, field):
    block, state = next_block
    genesis = scenario.chains["north"].block
    wrong = {
        "index": 2,
        "timestamp": genesis.timestamp,
        "previous": bytes(32),
        "base": scenario.chains["south"].anchor[0],
    }
    confirm(invariants, scenario, replace(block, **{field: wrong[field]}), state)
    assert violated(invariants) == {"succession"}


def test_a_state_with_another_root_breaks_the_commitment(invariants, scenario, next_block):
    block, state = next_block
    confirm(invariants, scenario, replace(block, state_root=bytes(32)), state)
    assert violated(invariants) == {"commitment"}


def test_an_account_with_more_than_the_anchor_holds_breaks_the_funds(invariants, scenario, next_block):
    block, state = next_block
    held = scenario.chains["north"].anchor[1].amount
    confirm(invariants, scenario, block, state, amount=held - 1)
    assert violated(invariants) == {"funds"}


def request_of(scenario):
    """Some request; only its id matters."""
    return sign_request(scenario.identities.signer(A), "north", 0, call("auction", "submit_order"))


def test_a_request_without_a_receipt_is_told(invariants, scenario, next_block):
    block, state = next_block
    confirm(invariants, scenario, replace(block, requests=(request_of(scenario),)), state)
    assert violated(invariants) == {"receipt"}


def test_a_request_in_two_chain_blocks_is_told(invariants, scenario, next_block):
    block, state = next_block
    request = request_of(scenario)
    confirm(invariants, scenario, replace(block, requests=(request, request)), state)
    assert violated(invariants) == {"receipt", "once"}
    assert sum(violation.startswith("once") for violation in invariants.violations) == 1


# -------------------------------------------------------------------------------------------------- layer 1 (told)


def payment(scenario, chain="north", more=0, timestamp=1):
    """A transaction that splits a chain's genesis anchor."""
    output_id, anchor = scenario.chains[chain].anchor
    sent = BasicOutput(10, ChainAddress(anchor.chain))
    outputs = (replace(anchor, amount=anchor.amount - 10 + more), sent)
    return Transaction(Essence("small", timestamp, (output_id,), outputs), ())


def test_transactions_that_only_move_tokens_keep_the_supply(invariants, scenario):
    for chain in ("north", "south"):
        invariants.transaction_booked(payment(scenario, chain))
        invariants.transaction_confirmed(1, "tangle1", payment(scenario, chain).id)
        invariants.transaction_confirmed(2, "tangle1", payment(scenario, chain).id)
    assert violated(invariants) == set()
    assert invariants.checked["supply"] == 2
    assert sum(output.amount for output in invariants.newest_unspent().values()) == scenario.supply
    assert len(invariants.newest_unspent()) == 5 and len(invariants.unspent["tangle2"]) == 3


@pytest.mark.parametrize("more", [-1, 1])
def test_tokens_that_are_made_or_lost_break_the_supply(invariants, scenario, more):
    transaction = payment(scenario, more=more)
    invariants.transaction_booked(transaction)
    invariants.transaction_confirmed(1, "tangle1", transaction.id)
    assert violated(invariants) == {"supply"}


def test_an_output_that_is_spent_twice_breaks_the_supply(invariants, scenario):
    for timestamp in (1, 2):
        transaction = payment(scenario, timestamp=timestamp)
        invariants.transaction_booked(transaction)
        invariants.transaction_confirmed(1, "tangle1", transaction.id)
    assert violated(invariants) == {"supply"}


def test_an_output_that_never_was_breaks_the_supply_even_when_no_tokens_come_of_it(invariants, scenario):
    output_id, anchor = scenario.chains["north"].anchor
    essence = Essence("small", 1, (output_id, payment(scenario).output_id(1)), (anchor,))
    invariants.transaction_booked(Transaction(essence, ()))
    invariants.transaction_confirmed(1, "tangle1", Transaction(essence, ()).id)
    assert violated(invariants) == {"supply"}


def test_a_confirmed_transaction_that_nobody_booked_breaks_the_supply(invariants, scenario):
    invariants.transaction_confirmed(1, "tangle1", payment(scenario).id)
    assert violated(invariants) == {"supply"}


def test_every_accusation_is_told(invariants):
    invariants.faults_told(1, A, [])
    assert violated(invariants) == set()
    invariants.faults_told(1, A, [Fault(B, "too_many_messages", ("north",), "x")])
    assert violated(invariants) == {"no_fault"}
    assert invariants.checked["no_fault"] == 2


# ------------------------------------------------------------------------------------------------- the market (told)

# Participants: a1 sells 5 Wh, a2 buys 3 Wh.
FILLS = (("a1", ASK, 5, 7_000, 3), ("a2", BID, 3, 9_000, 3))


@pytest.mark.parametrize(
    "clearing",
    [
        (8_000, 5, 3, 2, FILLS),
        (8_000, 5, 3, 3, (FILLS[0], ("a2", BID, 3, 9_000, 2))),
        (8_000, 5, 3, 3, (("a1", ASK, 5, 7_000, 4), FILLS[1])),
        (None, 5, 3, 3, FILLS),
        (8_000, 5, 0, 0, ()),
        (8_000, 5, 3, 2, (("a1", ASK, 5, 7_000, 2), ("a2", BID, 3, 9_000, 2))),
    ],
)
def test_a_clearing_that_does_not_add_up_is_told(invariants, clearing):
    invariants.cleared("north", 0, clearing)
    assert violated(invariants) == {"clearing"}


SHARES = {
    "a1": (ASK, 5, 3, ((1, 1),), 1, 3 * 8_000 + 1 * 6_000 + 1 * 3_200, 8_000),
    "a2": (BID, 3, 3, (), 0, -3 * 8_000, 8_000),
}
BOUGHT_ABOVE = {"b1": (BID, 1, 0, ((1, 1),), 0, -6_000, None)}


def settle(invariants, north, south=BOUGHT_ABOVE):
    """Both microgrids' interval 0: what was ordered at the gate is as in SHARES, but for the changes."""
    invariants.cleared("north", 0, (8_000, 5, 3, 3, FILLS))
    invariants.cleared("south", 0, (None, 0, 1, 0, (("b1", BID, 1, 9_000, 0),)))
    invariants.settled("north", 0, north, None)
    invariants.settled("south", 0, south, None)


def test_shares_that_add_up_violate_nothing(invariants):
    settle(invariants, SHARES)
    assert violated(invariants) == set()
    counted = {name: invariants.checked[name] for name in ("home_energy", "interval_energy", "interval_money")}
    assert counted == {"home_energy": 3, "interval_energy": 1, "interval_money": 1}


@pytest.mark.parametrize(
    ("shares", "names"),
    [
        ({**SHARES, "a1": (ASK, 5, 3, ((1, 1),), 0, 33_200, 8_000)}, {"home_energy"}),
        ({**SHARES, "a1": (ASK, 4, 3, ((1, 1),), 0, 30_000, 8_000)}, {"home_energy"}),
        ({**SHARES, "a1": (ASK, 4, *SHARES["a1"][2:])}, {"home_energy", "interval_money"}),
        ({"a1": SHARES["a1"]}, {"home_energy", "interval_money"}),
        ({**SHARES, "a4": (BID, 1, 0, (), 1, -18_900, None)}, {"home_energy"}),
        ({**SHARES, "a1": (ASK, 5, 3, ((1, 2),), 0, 33_200 + 2_800, 8_000)}, {"interval_energy", "interval_money"}),
        ({**SHARES, "a1": (ASK, 5, 3, ((2, 1),), 1, 33_200, 8_000)}, {"interval_energy"}),
        ({**SHARES, "a1": (*SHARES["a1"][:5], 33_201, 8_000)}, {"interval_money"}),
        ({**SHARES, "a2": (*SHARES["a2"][:5], -23_999, 8_000)}, {"interval_money"}),
    ],
)
def test_shares_that_do_not_add_up_are_told(invariants, shares, names):
    settle(invariants, shares)
    assert violated(invariants) == names


def test_readings_and_imbalances_that_do_not_add_up_are_told(invariants, scenario):
    series = scenario.series["a1"]
    net = series.generation[0] - series.load[0]
    share = (ASK, net + 10, net + 10, (), 0, 0, 8_000)
    good = [
        (share, (net, -10, -10 * 18_900, False)),
        (None, (net, net, net * 3_200, False)),
        (share, (net + 10, 0, 0, True)),
    ]
    for shares, metered in good:
        invariants.metered("north", 0, "a1", shares, metered)
    assert violated(invariants) == set()
    for shares, metered in [
        (share, (net, -10, -10 * 3_200, False)),
        (share, (net, -9, -9 * 18_900, False)),
        (share, (net + 1, -9, -9 * 18_900, False)),
        (share, (net, -10, -10 * 18_900, True)),
        (None, (net, net, net * 18_900, False)),
    ]:
        before = len(invariants.violations)
        invariants.metered("north", 0, "a1", shares, metered)
        assert len(invariants.violations) == before + 1
    assert violated(invariants) == {"home_reading"}


# ------------------------------------------------------------------------------------------------- the stack gone wrong


def losing_a_unit(monkeypatch):
    """Whoever shares energy out drops the last Wh of a route."""
    right = market.sharing.route_shares

    def wrong(ordered, routes, interval):
        shares = right(ordered, routes, interval)
        return [
            {**portion, name: portion[name] - 1} if portion[name := min(portion)] else portion for portion in shares
        ]

    monkeypatch.setattr(market.sharing, "route_shares", wrong)


def forgetting_receipts(monkeypatch):
    """A chain does not keep the receipts of what a2 asks."""
    right = wasp.vm.block_run.write_receipt

    def wrong(draft, receipt):
        if receipt.account != "a2":
            right(draft, receipt)

    monkeypatch.setattr(wasp.vm.block_run, "write_receipt", wrong)


def metering_in_favour(monkeypatch):
    """The contract pays one home a micro-pence too much."""
    right = market.microgrid.settle_metering

    def wrong(homes, orders, readings, tariff):
        settled = right(homes, orders, readings, tariff)
        (name, row), *others = settled.metered
        return replace(settled, metered=((name, replace(row, money=row.money + 1)), *others))

    monkeypatch.setattr(market.microgrid, "settle_metering", wrong)


def paying_another(monkeypatch):
    """The contract pays a2's credits to a1."""
    right = market.purse.Purse.credit
    monkeypatch.setattr(
        market.purse.Purse, "credit", lambda self, home, amount: right(self, "a1" if home == "a2" else home, amount)
    )


def state_beside(monkeypatch):
    """What members report as the state has an entry that the chain block does not know."""
    right = Recorder._advance

    def wrong(self, now, transaction_id):
        fact = self._anchored.get(transaction_id)
        if fact is not None:
            self._anchored[transaction_id] = replace(fact, state=fact.state.apply([Mutation(("x", "y"), b"\x01")]))
        right(self, now, transaction_id)

    monkeypatch.setattr(Recorder, "_advance", wrong)


@pytest.mark.parametrize(
    ("mutation", "names"),
    [
        (losing_a_unit, {"home_energy"}),
        (paying_another, {"home_money"}),
        (forgetting_receipts, {"receipt"}),
        (metering_in_favour, {"home_reading"}),
        (state_beside, {"commitment"}),
    ],
)
def test_a_run_finds_what_the_stack_does_wrong(tmp_path, monkeypatch, mutation, names):
    mutation(monkeypatch)
    outcome = run_small(tmp_path, "scenario.drain_max=5m")
    assert names <= {violation.partition(":")[0] for violation in outcome.violations}
