"""The hosts: what they pass on between their automata that no test of a single one would miss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ledger.kernel.automaton import Envelope, NodeId, PeerReconnected
from ledger.kernel.instant import SECOND
from node.configuration_file import load_configuration
from node.experiments.scenario import SimulatedScenario
from node.host import Household
from node.hosting import Boot
from node.simulated.cpu import CpuMeter
from tests.harness.small_run import crash, restart, write_small
from wasp.committee_log import NextIndexVote
from wasp.mempool import SubmitRequest
from wasp.request import call, sign_request

A1, A2, B1 = NodeId("a1"), NodeId("a2"), NodeId("b1")


class Silent:
    """An observer that keeps nothing."""

    def observe(self, now: Any, node: Any, outputs: Any, faults: Any) -> None: ...


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> SimulatedScenario:
    path = write_small(tmp_path_factory.mktemp("small"))
    return SimulatedScenario(load_configuration(path), path.parent)


def test_a_household_sends_a_reconnected_peer_the_latest_votes_of_the_chains_that_they_share(
    scenario: SimulatedScenario,
):
    household = scenario.hosts()[A1](Boot((), 0, 1, CpuMeter(None)))
    assert isinstance(household, Household)
    assert list(household.chains) == ["north", "town"]
    votes = [envelope for envelope in household.handle_timer(0).messages if isinstance(envelope.message, NextIndexVote)]
    assert [(vote.path, vote.message) for vote in votes] == [
        (("north", "log"), NextIndexVote(1, "recover")),
        (("town", "log"), NextIndexVote(1, "recover")),
    ]
    for peer, shared in ((A2, ("north", "town")), (B1, ("town",))):
        step = household.handle_input(PeerReconnected(peer), 1)
        assert list(step.messages) == [
            Envelope((peer,), (chain, "log"), NextIndexVote(1, "recover")) for chain in shared
        ]


def test_the_others_send_a_restarted_member_their_latest_votes_again(tmp_path: Path):
    path = write_small(tmp_path, crash("10s", A1) + restart("11s", A1))
    scenario = SimulatedScenario(load_configuration(path), path.parent)
    runtime = scenario.runtime(Silent())
    heard: list[tuple[NodeId, Any]] = []
    machine = runtime.machines[A1]
    build = machine.factory

    def spied(boot: Boot) -> Any:
        host = build(boot)
        handle_message = host.handle_message

        def handle_and_note(sender: NodeId, path: Any, message: Any, now: int) -> Any:
            if path == ("north", "log"):
                heard.append((sender, message))
            return handle_message(sender, path, message, now)

        host.handle_message = handle_and_note  # type: ignore[method-assign]
        return host

    machine.factory = spied
    runtime.run_until(10 * SECOND - 1)
    others = [member for member in scenario.chains["north"].committee.members if member != A1]
    latest = {(member, runtime.host(member).chains["north"].log.vote) for member in others}
    assert {vote for _, vote in latest} == {NextIndexVote(1, "started")}
    heard.clear()
    runtime.run_until(12 * SECOND)
    assert {(sender, message) for sender, message in heard if sender != A1} == latest


def test_a_request_goes_to_the_chain_that_it_names_and_to_the_own_one_when_that_is_none(scenario: SimulatedScenario):
    household = scenario.hosts()[A1](Boot((), 0, 1, CpuMeter(None)))
    refusals = []
    for chain in ("north", "town", "south"):
        request = sign_request(scenario.identities.signer(B1), chain, 0, call("auction", "submit_order"))
        refusals += [(fact.chain, fact.fact.code) for fact in household.handle_input(SubmitRequest(request), 0).outputs]
    assert refusals == [("north", "unknown_sender"), ("town", "unknown_sender"), ("north", "wrong_chain")]
