"""Times and message counts of Wasp's signature, as equalities of integers.

Every link takes the same delay d, a member's copy to itself takes none, handling takes none, all start at 0.

- Sharing of one nonce: its broadcast 3d, who has opened its share says so, who has heard n - f of these is ready: 5d. The
  dealer multicasts an initial; each member an echo, a ready of the broadcast, an ok and a ready of the sharing:
  (n - 1) + 4 n (n - 1) = (n - 1)(4n + 1) messages.
- With wrong shares for f members: they implicate the dealer at 3d, the others reveal their shares at 4d, which come at 5d as
  the readies do: 5d. The f oks become f implications, and the n - f others multicast once more.
- Prepared: n dealers at once: 5d; n (n - 1)(4n + 1) messages. With f silent n - f members speak, about n - f dealings: 5d.
- Signed: one multicast of everybody after the digest is known: 1d; n (n - 1) messages.
"""

from __future__ import annotations

from typing import Any

import pytest

from ledger.kernel.automaton import NodeId
from ledger.kernel.rng import stream
from tests.harness.committee import CHAIN, DealtCommittee
from tests.harness.nonce_checks import MESSAGE, NONCE_SIGNATURE_CODEC, SHARING_CODEC, WrongDealer
from tests.harness.virtual_network import TimedNetwork
from wasp.consensus.byzantine.lying import Lying, silent
from wasp.consensus.signing.anchor_signature import MessageSigned, PrepareSignature, SignaturePrepared, SignMessage
from wasp.consensus.signing.nonce_sharing import DealNonce, NonceShared, NonceSharing
from wasp.consensus.signing.nonce_signature import NonceSignature

D = 25_000
SIZES = (4, 7, 10, 16)


def times(network: TimedNetwork, kind: type) -> set[tuple[NodeId, int]]:
    """Who had this output, and when."""
    return {(me, at) for me in network.correct for at, output in network.outputs[me] if isinstance(output, kind)}


def at(network: TimedNetwork, time: int) -> set[tuple[NodeId, int]]:
    """All correct members, at this time."""
    return {(me, time) for me in network.correct}


@pytest.mark.parametrize("n", [*SIZES, 5, 6, 31])
def test_a_nonce_is_shared_after_5d_with_n_minus_1_times_4n_plus_1_messages(n: int):
    dealt = DealtCommittee(n)
    nodes = {
        me: NonceSharing((CHAIN, 1, "signature", 0), dealt.committee, 0, dealt.keys[me].nonces) for me in dealt.members
    }
    network = TimedNetwork(nodes, SHARING_CODEC, D)
    network.give(dealt.members[0], DealNonce(stream(1, "dealer's")))
    network.run()
    assert times(network, NonceShared) == at(network, 5 * D)
    assert network.sent.total() == (n - 1) * (4 * n + 1)


@pytest.mark.parametrize("n", [*SIZES, 5, 6])
def test_wrong_shares_for_f_members_cost_no_delay_and_a_multicast_of_each_other_member(n: int):
    dealt = DealtCommittee(n)
    f, path = dealt.committee.f, (CHAIN, 1, "signature", 0)
    nodes = {me: NonceSharing(path, dealt.committee, 0, dealt.keys[me].nonces) for me in dealt.members}
    wrong: Any = WrongDealer(dealt.keys[dealt.members[0]].nonces, n, range(1, f + 1))
    nodes[dealt.members[0]] = NonceSharing(path, dealt.committee, 0, wrong)
    network = TimedNetwork(nodes, SHARING_CODEC, D, faulty=dealt.members[:1])
    network.give(dealt.members[0], DealNonce(stream(1, "dealer's")))
    network.run()
    assert times(network, NonceShared) == at(network, 5 * D)
    assert network.sent["SharingOk"] == (n - f) * (n - 1)
    assert network.sent["Implicate"] == f * (n - 1)
    assert network.sent["Recover"] == (n - f) * (n - 1)
    assert network.sent.total() == (n - 1) * (4 * n + 1) + (n - f) * (n - 1)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("silenced", [False, True])
def test_a_signature_is_prepared_after_5d_and_signed_1d_after_the_digest_is_known(n: int, silenced: bool):
    dealt = DealtCommittee(n)
    nodes: dict[NodeId, Any] = dealt.each(NonceSignature)
    mute = dealt.members[n - dealt.committee.f :] if silenced else ()
    nodes.update({me: Lying(nodes[me], me, silent) for me in mute})
    speaking = n - len(mute)
    network = TimedNetwork(nodes, NONCE_SIGNATURE_CODEC, D, faulty=mute)
    for me in dealt.members:
        network.give(me, PrepareSignature())
    network.run()
    assert times(network, SignaturePrepared) == at(network, 5 * D)
    assert network.sent.total() == speaking * (n - 1) * (4 * speaking + 1)
    prepared = [network.outputs_of(me, SignaturePrepared)[0].preparation for me in network.correct]
    network.now, before = 7 * D, network.sent.total()
    for me in dealt.members:
        network.give(me, SignMessage(MESSAGE, tuple(enumerate(prepared))))
    network.run()
    assert times(network, MessageSigned) == at(network, 8 * D)
    assert network.sent.total() - before == speaking * (n - 1)
