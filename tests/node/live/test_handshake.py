from __future__ import annotations

from typing import Any

import msgspec
import nacl.bindings
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.kernel.automaton import NodeId
from ledger.kernel.encoding import encode
from ledger.kernel.identity import RealSigner, Signer
from ledger.kernel.rejection import Rejected
from node.live.handshake import (
    HANDSHAKE_SIZE_MAX,
    DiallerHandshake,
    Identity,
    PeerAnswer,
    PeerHello,
    PeerProof,
    ResponderHandshake,
    check_version,
    shown,
)
from node.live.sealing import Opener, Sealer

A, B, C = NodeId("a"), NodeId("b"), NodeId("c")
SIGNERS: dict[str, Signer] = {name: RealSigner(name.encode() * 32) for name in "abcx"}


def identity(me: str, network: str = "net", key: str | None = None, session: int = 7) -> Identity:
    """Of one of three nodes that know each other, or of somebody with another's key."""
    peers = {NodeId(name): SIGNERS[name].public_key for name in "abc" if name != me}
    return Identity(NodeId(me), SIGNERS[key or me], network, session, peers)


def refusal(act: Any) -> str:
    with pytest.raises(Rejected) as caught:
        act()
    return caught.value.code


def test_both_sides_know_each_other_and_have_the_same_keys_the_other_way_round():
    dialler = DiallerHandshake(identity("a", session=3), B)
    responder = ResponderHandshake(identity("b", session=9), dialler.hello)
    proof = dialler.handle_answer(responder.answer)
    keys = responder.handle_proof(proof)
    assert dialler.keys is not None
    assert (dialler.keys.sending, dialler.keys.receiving) == (keys.receiving, keys.sending)
    assert keys.sending != keys.receiving
    assert (responder.peer, responder.peer_session, dialler.peer_session) == (A, 3, 9)


def test_the_keys_open_what_the_other_side_seals_and_nothing_that_oneself_sealed():
    dialler = DiallerHandshake(identity("a"), B)
    responder = ResponderHandshake(identity("b"), dialler.hello)
    theirs = responder.handle_proof(dialler.handle_answer(responder.answer))
    mine = dialler.keys
    assert mine is not None
    sealed = Sealer(mine.sending).seal(b"frame")
    assert Opener(theirs.receiving).open(sealed) == b"frame"
    assert refusal(lambda: Opener(mine.receiving).open(sealed)) == "tampered"


def test_two_handshakes_of_the_same_nodes_have_nothing_in_common():
    keys = []
    for _ in range(2):
        dialler = DiallerHandshake(identity("a"), B)
        responder = ResponderHandshake(identity("b"), dialler.hello)
        dialler.handle_answer(responder.answer)
        keys.append(dialler.keys)
    assert keys[0] is not None
    assert keys[1] is not None
    assert len({keys[0].sending, keys[0].receiving, keys[1].sending, keys[1].receiving}) == 4


@pytest.mark.parametrize(
    ("told", "detail"),
    [
        ("2", "peering of version '2' meets a node of version 1: one of them is to be updated"),
        ("", "peering of version '' meets a node of version 1: one of them is to be updated"),
        ("01", "peering of version '01' meets a node of version 1: one of them is to be updated"),
    ],
)
def test_another_version_is_refused_by_name(told: str, detail: str):
    with pytest.raises(Rejected) as caught:
        check_version(told)
    assert (caught.value.code, caught.value.detail) == ("wrong_version", detail)


@pytest.mark.parametrize(
    ("dialler", "called", "code"),
    [
        (identity("a", network="other"), B, "wrong_network"),
        (identity("a"), C, "wrong_name"),
        (identity("b"), B, "reflected"),
        (Identity(NodeId("x"), SIGNERS["x"], "net", 1, {B: SIGNERS["b"].public_key}), B, "unknown_peer"),
        (Identity(NodeId("x"), SIGNERS["x"], "other", 1, {B: SIGNERS["b"].public_key}), C, "wrong_network"),
    ],
    ids=["another network", "another's name", "its own name", "an unknown name", "the network is looked at first"],
)
def test_a_hello_that_is_not_for_this_node_from_one_of_its_peers_is_refused(
    dialler: Identity, called: NodeId, code: str
):
    peers = {**dialler.peers, called: SIGNERS[called].public_key}
    hello = DiallerHandshake(Identity(dialler.me, dialler.signer, dialler.network, 1, peers), called).hello
    assert refusal(lambda: ResponderHandshake(identity("b"), hello)) == code


def test_who_has_not_the_key_of_the_name_is_refused():
    dialler = DiallerHandshake(identity("a", key="x"), B)
    responder = ResponderHandshake(identity("b"), dialler.hello)
    # The thief knows its own key only, so even the responder's answer is signed for somebody else.
    assert refusal(lambda: dialler.handle_answer(responder.answer)) == "bad_signature"
    transcript_is_not_looked_at = encode(PeerProof(SIGNERS["x"].sign(b"anything")))
    assert refusal(lambda: responder.handle_proof(transcript_is_not_looked_at)) == "bad_signature"


def test_a_responder_without_the_key_of_its_name_is_refused():
    dialler = DiallerHandshake(identity("a"), B)
    impostor = ResponderHandshake(identity("b", key="x"), dialler.hello)
    assert refusal(lambda: dialler.handle_answer(impostor.answer)) == "bad_signature"


def test_an_answer_to_an_earlier_hello_is_refused():
    earlier, later = DiallerHandshake(identity("a"), B), DiallerHandshake(identity("a"), B)
    responder = ResponderHandshake(identity("b"), earlier.hello)
    assert refusal(lambda: later.handle_answer(responder.answer)) == "bad_signature"


def test_a_proof_of_an_earlier_handshake_is_refused_though_its_hello_is_repeated():
    dialler = DiallerHandshake(identity("a"), B)
    first = ResponderHandshake(identity("b"), dialler.hello)
    proof = dialler.handle_answer(first.answer)
    second = ResponderHandshake(identity("b"), dialler.hello)
    assert refusal(lambda: second.handle_proof(proof)) == "bad_signature"


def test_a_responder_s_signature_is_no_proof_of_a_dialler_even_of_one_that_was_given_the_same_key():
    """Who dials as a has b's own answer, and sends its signature back."""
    twins = Identity(B, SIGNERS["b"], "net", 7, {A: SIGNERS["b"].public_key})
    responder = ResponderHandshake(twins, DiallerHandshake(identity("a", key="b"), B).hello)
    reflected = encode(PeerProof(decoded_answer(responder.answer).signature))
    assert refusal(lambda: responder.handle_proof(reflected)) == "bad_signature"


def test_a_handshake_that_a_peer_relays_to_a_third_node_is_refused_there():
    """b is a peer, and wants to be taken for a by c: it repeats a's hello to c, which is meant for b."""
    dialler = DiallerHandshake(identity("a"), B)
    assert refusal(lambda: ResponderHandshake(identity("c"), dialler.hello)) == "wrong_name"
    # With the responder's name changed on the way, a's proof covers another hello than c's.
    hello = decoded_hello(dialler.hello)
    changed = PeerHello(hello.network, "a", "c", hello.session, hello.nonce, hello.ephemeral_key)
    third = ResponderHandshake(identity("c"), encode(changed))
    assert refusal(lambda: dialler.handle_answer(third.answer)) == "bad_signature"


@pytest.mark.parametrize("field", ["network", "session", "nonce", "ephemeral_key"])
def test_a_hello_that_was_changed_on_the_way_ends_the_handshake(field: str):
    dialler = DiallerHandshake(identity("a"), B)
    hello = decoded_hello(dialler.hello)
    changes = {
        "network": "net",
        "session": 8,
        "nonce": bytes(32),
        "ephemeral_key": DiallerHandshake(identity("a"), B).hello,
    }
    changes["ephemeral_key"] = decoded_hello(changes["ephemeral_key"]).ephemeral_key  # type: ignore[arg-type]
    fields = {name: getattr(hello, name) for name in PeerHello.__struct_fields__}
    if field == "network":  # both ends of the relay speak of networks that their victims accept
        responder_of = identity("b", network="other")
        changed = PeerHello(**{**fields, "network": "other"})
    else:
        responder_of = identity("b")
        changed = PeerHello(**{**fields, field: changes[field]})
    responder = ResponderHandshake(responder_of, encode(changed))
    assert refusal(lambda: dialler.handle_answer(responder.answer)) == "bad_signature"


@pytest.mark.parametrize("field", ["session", "nonce", "ephemeral_key"])
def test_a_challenge_that_was_changed_on_the_way_ends_the_handshake(field: str):
    dialler = DiallerHandshake(identity("a"), B)
    responder = ResponderHandshake(identity("b"), dialler.hello)
    answer = decoded_answer(responder.answer)
    fields = {name: getattr(answer.challenge, name) for name in type(answer.challenge).__struct_fields__}
    changes = {"session": 8, "nonce": bytes(32), "ephemeral_key": nacl.bindings.crypto_kx_keypair()[0]}
    changed = PeerAnswer(type(answer.challenge)(**{**fields, field: changes[field]}), answer.signature)
    assert refusal(lambda: dialler.handle_answer(encode(changed))) == "bad_signature"


def test_an_ephemeral_key_that_gives_everybody_the_same_secret_is_refused():
    """A peer that does so lets everybody read: zero is a point of low order."""
    dialler = DiallerHandshake(identity("a"), B)
    hello = decoded_hello(dialler.hello)
    weak = PeerHello(hello.network, "a", "b", hello.session, hello.nonce, bytes(32))
    dialler.hello = encode(weak)
    responder = ResponderHandshake(identity("b"), dialler.hello)
    assert refusal(lambda: responder.handle_proof(dialler.handle_answer(responder.answer))) == "bad_key"


@given(st.binary(max_size=2 * HANDSHAKE_SIZE_MAX))
def test_any_bytes_are_refused_as_undecodable(data: bytes):
    dialler = DiallerHandshake(identity("a"), B)
    responder = ResponderHandshake(identity("b"), dialler.hello)
    assert refusal(lambda: ResponderHandshake(identity("b"), data)) == "undecodable"
    assert refusal(lambda: dialler.handle_answer(data)) == "undecodable"
    assert refusal(lambda: responder.handle_proof(data)) == "undecodable"


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_any_byte_that_was_changed_ends_the_handshake(place: int, by: int):
    dialler = DiallerHandshake(identity("a"), B)
    responder = ResponderHandshake(identity("b"), dialler.hello)
    answer = bytearray(responder.answer)
    answer[place % len(answer)] ^= by
    assert refusal(lambda: dialler.handle_answer(bytes(answer))) in ("bad_signature", "undecodable")
    proof = bytearray(dialler.handle_answer(responder.answer))
    proof[place % len(proof)] ^= by
    assert refusal(lambda: responder.handle_proof(bytes(proof))) in ("bad_signature", "undecodable")


def test_a_stranger_s_text_is_shown_without_what_a_terminal_would_obey():
    assert shown("\x1b[2Jm\u00fcg\n" + "x" * 100) == ascii("\x1b[2Jm\u00fcg\n" + "x" * 56)
    assert shown("a" * 100) == "'" + "a" * 64 + "'"


def decoded_hello(data: Any) -> PeerHello:
    return msgspec.msgpack.decode(data, type=PeerHello)


def decoded_answer(data: bytes) -> PeerAnswer:
    return msgspec.msgpack.decode(data, type=PeerAnswer)
