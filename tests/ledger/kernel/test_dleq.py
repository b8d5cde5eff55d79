"""Proofs of equal discrete logarithms: what they are bound to."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ledger.kernel.dleq import PROOF_SIZE, _challenge, prove_equal, verify_equal
from ledger.kernel.group import IDENTITY, ORDER, base_times, hash_to_point, plus, scalar_bytes, times

SECRET, BASE, CONTEXT = 12345, hash_to_point(b"base"), b"context"
KEY = base_times(SECRET)
IMAGE, PROOF = prove_equal(SECRET, BASE, CONTEXT)
ORDER_2 = scalar_bytes(2**255 - 20)


def test_a_proof_is_of_its_key_base_image_and_context_only():
    assert times(SECRET, BASE) == IMAGE and verify_equal(KEY, BASE, IMAGE, PROOF, CONTEXT)
    assert not verify_equal(base_times(SECRET + 1), BASE, IMAGE, PROOF, CONTEXT)
    assert not verify_equal(KEY, hash_to_point(b"other"), IMAGE, PROOF, CONTEXT)
    assert not verify_equal(KEY, BASE, times(SECRET + 1, BASE), PROOF, CONTEXT)
    assert not verify_equal(KEY, BASE, IMAGE, PROOF, CONTEXT + b"\0")


def test_an_image_with_another_logarithm_has_no_proof_by_who_knows_the_key():
    for wrong in (KEY, times(SECRET + 1, BASE), IDENTITY, plus(IMAGE, ORDER_2)):
        assert not verify_equal(KEY, BASE, wrong, PROOF, CONTEXT)


def test_nothing_that_is_proven_can_be_chosen_after_the_challenge():
    """Each of these would be a proof of what is not so, if one of the five points were not hashed."""
    k, other, c = 77, 99, 0

    def fits(response: int, key: bytes = KEY, base: bytes = BASE, image: bytes = IMAGE) -> bool:
        return verify_equal(key, base, image, scalar_bytes(c) + scalar_bytes(response % ORDER), CONTEXT)

    wrong, left, right = times(other, BASE), base_times(k), times(k, BASE)
    c = _challenge(CONTEXT, BASE, KEY, wrong, left, right)
    assert not fits(k + c * other, image=wrong), "the commitment to G"
    assert not fits(k + c * SECRET, image=wrong), "the commitment to H"
    c = _challenge(CONTEXT, BASE, KEY, IMAGE, left, times(other, BASE))
    z, inverse = k + c * SECRET, pow(c, -1, ORDER)
    assert not fits(z, image=times((z - other) * inverse, BASE)), "the image"
    assert not fits(z, base=times(pow(z, -1, ORDER), plus(times(other, BASE), times(c, IMAGE)))), "the base"
    c = _challenge(CONTEXT, BASE, KEY, IMAGE, base_times(other), right)
    z, inverse = k + c * SECRET, pow(c, -1, ORDER)
    assert not fits(z, key=base_times((z - other) * inverse)), "the key"


def test_scalars_of_a_proof_have_one_encoding():
    for start in (0, 32):
        shifted = (int.from_bytes(PROOF[start : start + 32], "little") + ORDER).to_bytes(32, "little")
        assert not verify_equal(KEY, BASE, IMAGE, PROOF[:start] + shifted + PROOF[start + 32 :], CONTEXT)


def test_two_contexts_or_bases_never_share_a_nonce():
    """k = z - c x is another one for each, else the secret would follow from two proofs."""
    proofs = [prove_equal(SECRET, base, context)[1] for base in (BASE, KEY) for context in (b"", b"a", b"b")]
    nonces = {
        (int.from_bytes(proof[32:], "little") - int.from_bytes(proof[:32], "little") * SECRET) % ORDER
        for proof in proofs
    }
    assert len(nonces) == 6


@given(st.binary(max_size=100), st.one_of(st.binary(max_size=80), st.binary(min_size=PROOF_SIZE, max_size=PROOF_SIZE)))
def test_any_bytes_are_judged_without_an_exception(image: bytes, proof: bytes):
    assert not verify_equal(KEY, BASE, image, PROOF, CONTEXT)
    assert not verify_equal(KEY, BASE, IMAGE, proof, CONTEXT)
