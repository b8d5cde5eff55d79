"""Signatures of both kinds: what is signed verifies, everything else does not, and nothing raises."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.kernel.identity import ModelVerifier, RealSigner, RealVerifier, deal_signer, verifier

KINDS = ("real", "model")
kinds = st.sampled_from(KINDS)


@given(kinds, st.binary(max_size=200))
def test_a_signature_verifies_for_its_key_and_message(kind, message):
    signer = deal_signer(kind, 1, "home1")
    signature = signer.sign(message)
    assert (len(signer.public_key), len(signature)) == (32, 64)
    assert verifier(kind).verify(signer.public_key, message, signature) is True


@settings(max_examples=50)
@given(kinds, st.data())
def test_a_changed_message_key_or_signature_does_not_verify(kind, data):
    signer, message = deal_signer(kind, 1, "home1"), b"a bid of 420 Wh"
    triple = [signer.public_key, message, signer.sign(message)]
    which = data.draw(st.integers(0, 2))
    changed = bytearray(triple[which])
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    triple[which] = bytes(changed)
    assert verifier(kind).verify(*triple) is False


@given(kinds, st.binary(max_size=130), st.binary(max_size=20), st.binary(max_size=130))
def test_malformed_keys_and_signatures_are_not_valid_and_raise_nothing(kind, key, message, signature):
    assert verifier(kind).verify(key, message, signature) is False


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [0, 31, 33, 64, 65])
def test_a_key_of_another_length_is_not_a_key(kind, size):
    signature = deal_signer(kind, 1, "home1").sign(b"")
    assert verifier(kind).verify(bytes(size), b"", signature) is False


@pytest.mark.parametrize("kind", KINDS)
def test_dealt_keys_are_the_same_for_the_same_label_and_seed_and_differ_otherwise(kind):
    keys = [
        deal_signer(kind, seed, *label).public_key
        for seed, label in [(1, ("home1",)), (2, ("home1",)), (1, ("home2",)), (1, ("home", 1)), (b"1", ("home1",))]
    ]
    assert len(set(keys)) == 5
    assert deal_signer(kind, 1, "home1").public_key == keys[0]


@given(st.integers(0, 2**64 - 1), st.text(max_size=9))
def test_the_two_kinds_have_the_same_keys(seed, label):
    assert deal_signer("real", seed, label).public_key == deal_signer("model", seed, label).public_key


def test_the_two_kinds_do_not_verify_each_other():
    real, model = deal_signer("real", 1, "home1"), deal_signer("model", 1, "home1")
    assert RealVerifier().verify(model.public_key, b"m", model.sign(b"m")) is False
    assert ModelVerifier().verify(real.public_key, b"m", real.sign(b"m")) is False


def test_the_real_kind_is_ed25519_by_the_first_vector_of_rfc_8032():
    signer = RealSigner(bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))
    assert signer.public_key.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert signer.sign(b"").hex() == (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b"
    )
