"""Whole instances in both kinds of crypto: what members decide and sign, and how many bytes it takes, is the same.

``model`` computes the true values of the coin, the entropy and the committee's key, and dummies of the true length for what
only proves or hides something. So the same batch is decided, in the same rounds, its requests run in the same order, and the
anchor's transaction has the same id; only its signature is another one, and in the real kind it is an ordinary Ed25519 one.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
from nacl.signing import VerifyKey

from ledger.kernel.automaton import NodeId
from ledger.kernel.identity import CryptoKind
from ledger.transaction import SignatureUnlock
from node.experiments.committee_options import CommitteeOptions
from node.experiments.committee_run import run_committee
from tests.harness.closed_forms import D
from tests.harness.committee import DealtCommittee
from tests.harness.consensus_instances import CONSENSUS_CODEC, Owner, propose, take_part
from tests.harness.virtual_network import Pending, TimedNetwork
from wasp.consensus.consensus_interface import AnchorSigned, BatchDecided, ExecutionNeeded
from wasp.consensus.protocols import PROTOCOLS


class WeighingNetwork(TimedNetwork):
    """Counts bytes too."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.weights: Counter[str] = Counter()

    def _send(self, item: Pending) -> None:
        self.weights[type(item.message).__name__] += len(item.data)
        super()._send(item)


@dataclass
class Facts:
    """What must be the same."""

    decided: dict[NodeId, list[BatchDecided]]
    executed: dict[NodeId, list[ExecutionNeeded]]
    anchored: dict[NodeId, list[bytes]]
    instants: dict[NodeId, list[int]]
    rounds: dict[NodeId, tuple[int, ...]]
    messages: Counter[str]
    bytes: Counter[str]


def facts(protocol: str, n: int, log_index: int, kind: CryptoKind) -> Facts:
    """Of one instance; in the real kind Ed25519 accepts its signature."""
    dealt = DealtCommittee(n, kind=kind)
    nodes = {me: dealt.consensus(me, log_index, protocol) for me in dealt.members}
    network = WeighingNetwork(nodes, CONSENSUS_CODEC, D, (), Owner())
    for place, me in enumerate(dealt.members):
        take_part(network, me, propose(time=1_000 + place, requests=4 + place % 3))
    network.run()
    anchors = {me: network.outputs_of(me, AnchorSigned) for me in dealt.members}
    for signed in anchors.values():
        (unlock,) = signed[0].transaction.unlocks
        assert isinstance(unlock, SignatureUnlock)
        if kind == "real":
            VerifyKey(dealt.committee.group_key).verify(signed[0].transaction.essence.id, unlock.signature)
    return Facts(
        {me: network.outputs_of(me, BatchDecided) for me in dealt.members},
        {me: network.outputs_of(me, ExecutionNeeded) for me in dealt.members},
        {me: [fact.transaction.id for fact in signed] for me, signed in anchors.items()},
        {me: [at for at, _ in network.outputs[me]] for me in dealt.members},
        {me: nodes[me].protocol.rounds for me in dealt.members},
        network.sent,
        network.weights,
    )


@pytest.mark.parametrize(("n", "log_index"), [(4, 1), (4, 2), (4, 7), (7, 1), (7, 5)])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_members_decide_the_same_and_say_as_much_in_both_kinds_of_crypto(protocol: str, n: int, log_index: int):
    model, real = (facts(protocol, n, log_index, kind) for kind in ("model", "real"))
    assert model == real
    assert {len(found) for each in (real.decided, real.executed, real.anchored) for found in each.values()} == {1}
    assert len(real.decided[NodeId("m0")][0].batch.requests) >= 4


@pytest.mark.parametrize("n", [4, 7])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_blocks_weigh_the_same_in_both_kinds_of_crypto(protocol: str, n: int):
    """Frames, paths and records too, through the runtime."""
    model, real = (
        run_committee(CommitteeOptions(protocol=protocol, nodes=n, blocks=3, batch=5, crypto=kind)).summary
        for kind in ("model", "real")
    )
    for key in ("bytes_per_block", "messages_by_kind", "frames_per_block", "decided_us", "anchored_us", "rounds"):
        assert model[key] == real[key]
    assert (real["blocks_anchored"], real["requests_decided"]) == (3, 15)
