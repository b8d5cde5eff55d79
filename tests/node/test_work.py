"""What messages cost beyond their handling is what their handlers do: their calls are counted."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from ledger.kernel import merkle
from ledger.kernel.automaton import Envelope, NodeId, Step
from ledger.kernel.encoding import Codec, digest, encode
from ledger.kernel.erasure import encode_shards
from node.simulated.cpu import CpuMeter
from node.work import MESSAGE_WORK, key_work
from tests.harness.committee import DealtCommittee
from tests.harness.simulation import toy_profile
from wasp.consensus import avid_broadcast
from wasp.consensus.avid_broadcast import AvidBroadcast, AvidMessage
from wasp.consensus.reliable_broadcast import BroadcastPayload

CODEC: Codec[Any] = Codec(AvidMessage)
PAYLOAD = bytes(1_000)
HANDLING = ("frame", "packet", "message")


@pytest.mark.parametrize("n", [1, 4, 5, 7, 10])
def test_members_of_a_broadcast_with_an_erasure_code_are_charged_with_what_they_hash_and_code(
    n: int, monkeypatch: pytest.MonkeyPatch
):
    """Every copy is decoded for its recipient, so that nobody profits from what another has checked."""
    done: Counter[str] = Counter()

    def counted_digest(*parts: Any) -> bytes:
        done["digest"] += 1
        done["hash"] += len(parts[1]) if parts[0] == "leaf" else 0
        return digest(*parts)

    def counted_encode(payload: bytes, k: int, size: int) -> tuple[bytes, ...]:
        shards = encode_shards(payload, k, size)
        done["erasure"] += sum(map(len, shards))
        return shards

    monkeypatch.setattr(merkle, "digest", counted_digest)
    monkeypatch.setattr(avid_broadcast, "encode_shards", counted_encode)
    dealt, meter = DealtCommittee(n), CpuMeter(toy_profile())
    nodes = {me: AvidBroadcast(("mg1", 1, "broadcast", 0), dealt.committee, 0, me=me) for me in dealt.members}
    sent: list[tuple[NodeId, Envelope]] = []

    def send(sender: NodeId, step: Step[Any]) -> None:
        sent.extend((sender, envelope) for envelope in step.messages)

    send(dealt.members[0], nodes[dealt.members[0]].handle_input(BroadcastPayload(PAYLOAD), 0))
    for sender, envelope in sent:
        for recipient in envelope.recipients:
            message = CODEC.decode(encode(envelope.message))
            if recipient == sender:
                meter.charge_own_message(message)
            else:
                meter.charge_frame(0, [(envelope.path, message)])
            send(recipient, nodes[recipient].handle_message(sender, envelope.path, message, 0))
    charged = {kind: amount for kind, amount in meter.charged.items() if amount and kind not in HANDLING}
    assert charged == done
    assert meter.charged["message"] == n + 2 * n * n


def test_messages_of_other_kinds_cost_their_handling_alone():
    assert set(MESSAGE_WORK) == {avid_broadcast.Val, avid_broadcast.ShardEcho}


def test_the_work_of_a_committees_keys_grows_as_its_formulas_say():
    """One value of each, by hand, for n = 7 and f = 2: k is 3 for the coin and 5 for signatures."""
    work = key_work(7, 2)
    assert work["coin combine"] == {"point_multiply": 3, "point_add": 2, "lagrange": 9}
    assert work["signing package"] == {"point_multiply": 5, "point_add": 9, "hash_to_scalar": 6}
    assert work["nonces deal"] == {"base_multiply": 5, "point_multiply": 9, "hash_to_scalar": 6, "polynomial": 21}
