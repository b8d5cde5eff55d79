"""One member's part in Wasp's signature."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from ledger.kernel.automaton import NodeId, Path, Step
from ledger.kernel.encoding import Value, digest
from ledger.kernel.identity import CryptoKind, model_signature
from tests.harness.committee import CHAIN, DealtCommittee
from tests.harness.nonce_checks import (
    MESSAGE,
    NONCE_LIARS,
    NONCE_SIGNATURE_CODEC,
    NonceLiars,
    check_dealers,
    check_nonce_signature,
)
from tests.harness.virtual_network import Pending, RandomOrder, TimedNetwork, VirtualNetwork, slow_recipients
from wasp.consensus.binary_agreement import Done
from wasp.consensus.signing.anchor_signature import MessageSigned, PrepareSignature, SignaturePrepared, SignMessage
from wasp.consensus.signing.nonce_sharing import SharingOk, SharingReady
from wasp.consensus.signing.nonce_signature import NonceSignature, PartialNonceSignature, dealers_named, encode_dealers

DEALT = DealtCommittee(5)
M0, M1, M2, M3, M4 = DEALT.members
PATH: Path = (CHAIN, 1, "signature")
OTHER = digest("other")
DECIDED = tuple((member, encode_dealers(range(4), 5)) for member in range(4))


class Weighed(TimedNetwork):
    """Adds up the bytes of what is sent, by type."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.weight: Counter[str] = Counter()

    def _send(self, item: Pending) -> None:
        self.weight[type(item.message).__name__] += len(item.data)
        super()._send(item)


def prepared(*late: NodeId) -> tuple[VirtualNetwork, dict[NodeId, NonceSignature]]:
    """All members have dealt, and all but the late ones have all dealings."""
    nodes: dict[NodeId, Any] = DEALT.each(NonceSignature)
    network = VirtualNetwork(nodes, NONCE_SIGNATURE_CODEC, slow_recipients(1, late))
    for me in DEALT.members:
        network.give(me, PrepareSignature())
    network.run(until=lambda: all(item.recipient in late for item in network.pending))
    return network, nodes


def partial(signature: NonceSignature, message: bytes = MESSAGE) -> PartialNonceSignature:
    """What this member says when it signs this digest."""
    [envelope] = signature.handle_input(SignMessage(message, DECIDED), 0).messages
    assert (envelope.recipients, envelope.path) == (DEALT.members, PATH)
    assert isinstance(envelope.message, PartialNonceSignature)
    return envelope.message


def tell(signature: NonceSignature, sender: NodeId, message: Value, path: Path = PATH) -> Step[Any]:
    return signature.handle_message(sender, path, message, 0)


def faults(*steps: Step[Any]) -> list[tuple[NodeId, str]]:
    return [(fault.accused, fault.kind) for step in steps for fault in step.faults]


def test_a_member_is_prepared_when_the_dealings_of_n_minus_f_have_been_output():
    network, nodes = prepared()
    for me in DEALT.members:
        [output] = network.outputs_of(me, SignaturePrepared)
        assert dealers_named(output.preparation, 5, 1).bit_count() == 4
        assert not nodes[me].started


def test_who_has_not_dealt_is_not_prepared_though_the_others_dealings_have_been_output():
    nodes: dict[NodeId, Any] = DEALT.each(NonceSignature)
    network = VirtualNetwork(nodes, NONCE_SIGNATURE_CODEC, RandomOrder(1))
    for me in (M0, M1, M2, M3):
        network.give(me, PrepareSignature())
    network.run()
    assert network.outputs_of(M4, SignaturePrepared) == []
    network.give(M4, PrepareSignature())
    assert network.outputs_of(M4, SignaturePrepared) == [SignaturePrepared(encode_dealers(range(4), 5))]


def test_n_minus_f_partial_signatures_make_the_signature():
    _, nodes = prepared()
    partials = {me: partial(nodes[me]) for me in DEALT.members}
    assert all(nodes[me].started for me in DEALT.members)
    steps = [tell(nodes[M0], me, partials[me]) for me in (M0, M3, M3, M1, M4, M2)]
    signed = MessageSigned(model_signature(DEALT.keys[M0].nonces.group_key, MESSAGE))
    assert [tuple(step.outputs) for step in steps] == [(), (), (), (), (signed,), ()]


@pytest.mark.parametrize("early", [True, False])
def test_bad_and_divergent_partial_signatures_are_faults_and_do_not_count(early: bool):
    _, nodes = prepared()
    m0 = nodes[M0]
    forged, divergent = partial(nodes[M1]), partial(nodes[M2], OTHER)
    steps = [] if early else [m0.handle_input(SignMessage(MESSAGE, DECIDED), 0)]
    steps += [tell(m0, M3, forged), tell(m0, M2, divergent)]
    steps += [m0.handle_input(SignMessage(MESSAGE, DECIDED), 0)] if early else []
    assert faults(*steps) == [(M3, "bad_signature"), (M2, "divergent")]
    assert m0.status == "signed by me True, dealings missing [], partial signatures 0/4"


def test_a_digest_waits_for_the_dealings_that_were_decided():
    network, nodes = prepared(M4)
    assert not network.outputs_of(M4, SignaturePrepared)
    early = [tell(nodes[M4], me, partial(nodes[me])) for me in (M0, M1, M2, M3)]
    assert faults(*early) == [] and not any(step.outputs for step in early)
    network.give(M4, SignMessage(MESSAGE, DECIDED))
    assert not nodes[M4].started and "dealings missing [0, 1, 2, 3]" in nodes[M4].status
    network.run()
    assert nodes[M4].started
    assert network.outputs_of(M4, MessageSigned) == [
        MessageSigned(model_signature(DEALT.keys[M4].nonces.group_key, MESSAGE))
    ]


def test_two_different_early_partial_signatures_are_equivocation():
    _, nodes = prepared()
    said, also = PartialNonceSignature(MESSAGE, bytes(32)), PartialNonceSignature(OTHER, bytes(32))
    assert faults(*(tell(nodes[M0], M1, message) for message in (said, said, also))) == [(M1, "equivocation")]


@pytest.mark.parametrize(
    "path",
    [
        (),
        (CHAIN,),
        PATH[:2],
        (*PATH, 5),
        (*PATH, -1),
        (*PATH, "0"),
        (*PATH, True),
        (*PATH, 0, 0),
        (CHAIN, 2, "signature", 0),
    ],
)
def test_leaves_that_are_no_members_are_a_fault(path: Path):
    signature = NonceSignature(DEALT.membership(M0))
    assert faults(tell(signature, M1, SharingOk(), path)) == [(M1, "no_such_leaf")]


def test_messages_at_the_wrong_leaf_are_a_fault():
    signature = NonceSignature(DEALT.membership(M0))
    step = tell(signature, M1, SharingReady()), tell(signature, M1, Done(0), (*PATH, 0))
    assert faults(*step) == [(M1, "unexpected_message"), (M1, "unexpected_message")]


def test_a_preparation_that_no_correct_member_has_made_counts_as_naming_all():
    for lie in (b"", b"\x01", b"\x3f", b"\x00\x0f", encode_dealers(range(3), 5)):
        assert dealers_named(lie, 5, 1) == 0b11111
    assert dealers_named(encode_dealers((0, 2, 3, 4), 5), 5, 1) == 0b11101
    assert dealers_named(encode_dealers(range(100), 100), 100, 33) == (1 << 100) - 1
    assert len(encode_dealers(range(100), 100)) == 13


def test_the_dealers_are_named_by_some_correct_member_and_one_of_them_is_correct():
    check_dealers()


@pytest.mark.parametrize("n", [4, 5, 7])
def test_both_kinds_of_crypto_prepare_and_sign_the_same_at_the_same_times_with_the_same_bytes(n: int):
    def run(kind: CryptoKind) -> tuple[Any, ...]:
        dealt = DealtCommittee(n, kind=kind)
        network = Weighed(dealt.each(NonceSignature), NONCE_SIGNATURE_CODEC, 10)
        for me in dealt.members:
            network.give(me, PrepareSignature())
        network.run()
        prepared = [output for me in dealt.members for output in network.outputs[me]]
        preparations = tuple((member, output.preparation) for member, (_, output) in enumerate(prepared))
        for me in dealt.members:
            network.give(me, SignMessage(MESSAGE, preparations))
        network.run()
        signed = {(at, type(output).__name__) for me in dealt.members for at, output in network.outputs[me]}
        return prepared, signed, network.sent, network.weight

    assert run("model") == run("real")


@pytest.mark.parametrize("n", [4, 5, 6, 7, 8, 9])
@pytest.mark.parametrize("liars", NONCE_LIARS)
def test_all_correct_members_end_with_the_same_signature(n: int, liars: NonceLiars):
    for seed in range(10):
        check_nonce_signature(n, liars, seed)


@pytest.mark.parametrize("n", [4, 7])
@pytest.mark.parametrize("liars", NONCE_LIARS)
def test_the_same_holds_with_real_cryptography_and_an_ordinary_verifier(n: int, liars: NonceLiars):
    for seed in range(3):
        check_nonce_signature(n, liars, seed, "real")


def test_of_each_member_one_partial_signature_is_checked():
    _, nodes = prepared()
    m0, right = nodes[M0], partial(nodes[M1])
    m0.handle_input(SignMessage(MESSAGE, DECIDED), 0)
    lies = [PartialNonceSignature(digest("lie", number), bytes(32)) for number in range(3)]
    assert faults(*(tell(m0, M1, message) for message in (*lies, right))) == [(M1, "bad_signature")]
    assert m0.status.endswith("partial signatures 0/4")
