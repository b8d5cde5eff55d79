"""The runtime that ``tanglegrid consensus`` runs measures the closed forms exactly: constant delay, CPU off, timers off.

The forms are those of ``tests.harness.closed_forms``; what is measured counts the agreement from the first proposal, the
leader's list where there is one. Timers are on where dead leaders must be replaced.
"""

from __future__ import annotations

from typing import Any

import pytest

from ledger.kernel.key_dealer import deal_member_keys
from ledger.kernel.quorum import max_faulty
from node.experiments.committee_options import CommitteeOptions
from node.experiments.committee_run import CHAIN, run_committee
from node.simulated.conditions import hardware_section, network_section
from tests.harness.closed_forms import FORMS, D, Instants, Speech, coin_of
from wasp.consensus.protocols import PROTOCOLS

SEED = 3
LED = [name for name in PROTOCOLS if FORMS[name].change]


def measured(protocol: str, n: int, silent: int = 0, blocks: int = 1, timers: str = "off") -> dict[str, Any]:
    """The summary of a run."""
    options = CommitteeOptions.model_validate(
        {
            "protocol": protocol,
            "nodes": n,
            "silent": silent,
            "blocks": blocks,
            "batch": 3,
            "timers": timers,
            "seed": SEED,
            "network": network_section("25ms"),
            "hardware": hardware_section("off"),
        }
    )
    outcome = run_committee(options)
    assert outcome.failures == []
    return outcome.summary


def check_block(summary: dict[str, Any], block: int, dead: int = 0) -> None:
    """The block with this number; so many of the silent nodes lead its first views."""
    n, form = summary["nodes"], FORMS[summary["protocol"]]
    speech = Speech(n, n - summary["silent"], dead)
    coin = coin_of(deal_member_keys("model", SEED, CHAIN, n, max_faulty(n))[0].coin, (CHAIN, block))
    leader = form.leader(block, speech)

    def of_all(instants: Instants) -> dict[str, int]:
        return {f"n{place}": instants.leader if place == leader else instants.others for place in range(speech.s)}

    agreed = form.agreed(speech, coin)
    assert summary["decided_us"][block - 1] == of_all(Instants(agreed.leader * D, agreed.others * D))
    assert summary["anchored_us"][block - 1] == of_all(form.anchored(speech, coin))
    if summary["blocks"] == 1:
        counts = {kind: found["messages"] for kind, found in summary["messages_by_kind"].items()}
        assert counts == form.sent(speech, coin)


@pytest.mark.parametrize("n", [4, 7, 10])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_block_is_decided_and_anchored_when_it_must_be(protocol: str, n: int):
    check_block(measured(protocol, n), 1)


@pytest.mark.parametrize("n", [4, 7, 10])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_block_is_decided_and_anchored_when_it_must_be_with_f_silent(protocol: str, n: int):
    check_block(measured(protocol, n, max_faulty(n)), 1)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_seven_blocks_in_a_row_with_two_silent_of_seven(protocol: str):
    """With f > 1 all members are done at the same instant, so that blocks begin together. The silent two lead views of
    blocks 5 and 6, if anybody does: two dead leaders in a row, then one."""
    summary = measured(protocol, 7, silent=2, blocks=7, timers="2s")
    for block, dead in enumerate((0, 0, 0, 0, 2, 1, 0), 1):
        check_block(summary, block, dead if protocol in LED else 0)
