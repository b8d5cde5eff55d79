"""The test vector of FROST(Ed25519, SHA-512): RFC 9591, appendix E.1, with every intermediate value.

Members 0 and 2 of three sign, of whom two are needed; the RFC counts from 1.
"""

from __future__ import annotations

import nacl.signing
import pytest

from ledger.kernel import frost
from ledger.kernel.group import (
    IDENTITY,
    ORDER,
    base_times,
    commitments_of,
    evaluate,
    evaluate_commitments,
    lagrange,
    plus,
    scalar_of,
)

SIGNERS = (0, 2)
MESSAGE = bytes.fromhex("74657374")
GROUP_SECRET_KEY = "7b1c33d3f5291d85de664833beb1ad469f7fb6025a0ec78b3a790c6e13a98304"
GROUP_PUBLIC_KEY = bytes.fromhex("15d21ccd7ee42959562fc8aa63224c8851fb3ec85a3faf66040d380fb9738673")
SHARE_POLYNOMIAL_COEFFICIENT = "178199860edd8c62f5212ee91eff1295d0d670ab4ed4506866bae57e7030b204"
PARTICIPANT_SHARES = (
    "929dcc590407aae7d388761cddb0c0db6f5627aea8e217f4a033f2ec83d93509",
    "a91e66e012e4364ac9aaa405fcafd370402d9859f7b6685c07eed76bf409e80d",
    "d3cb090a075eb154e82fdb4b3cb507f110040905468bb9c46da8bdea643a9a02",
)
HIDING_RANDOMNESS = {
    0: "0fd2e39e111cdc266f6c0f4d0fd45c947761f1f5d3cb583dfcb9bbaf8d4c9fec",
    2: "86d64a260059e495d0fb4fcc17ea3da7452391baa494d4b00321098ed2a0062f",
}
BINDING_RANDOMNESS = {
    0: "69cd85f631d5f7f2721ed5e40519b1366f340a87c2f6856363dbdcda348a7501",
    2: "13e6b25afb2eba51716a9a7d44130c0dbae0004a9ef8d7b5550c8a0e07c61775",
}
HIDING_NONCE = {
    0: "812d6104142944d5a55924de6d49940956206909f2acaeedecda2b726e630407",
    2: "c256de65476204095ebdc01bd11dc10e57b36bc96284595b8215222374f99c0e",
}
BINDING_NONCE = {
    0: "b1110165fc2334149750b28dd813a39244f315cff14d4e89e6142f262ed83301",
    2: "243d71944d929063bc51205714ae3c2218bd3451d0214dfb5aeec2a90c35180d",
}
HIDING_COMMITMENT = {
    0: "b5aa8ab305882a6fc69cbee9327e5a45e54c08af61ae77cb8207be3d2ce13de3",
    2: "cfbdb165bd8aad6eb79deb8d287bcc0ab6658ae57fdcc98ed12c0669e90aec91",
}
BINDING_COMMITMENT = {
    0: "67e98ab55aa310c3120418e5050c9cf76cf387cb20ac9e4b6fdb6f82a469f932",
    2: "7487bc41a6e712eea2f2af24681b58b1cf1da278ea11fe4e8b78398965f13552",
}
BINDING_FACTOR_INPUT_PREFIX = (
    "15d21ccd7ee42959562fc8aa63224c8851fb3ec85a3faf66040d380fb9738673"
    "504df914fa965023fb75c25ded4bb260f417de6d32e5c442c6ba313791cc9a49"
    "48d6273e8d3511f93348ea7a708a9b862bc73ba2a79cfdfe07729a193751cbc9"
    "73af46d8ac3440e518d4ce440a0e7d4ad5f62ca8940f32de6d8dc00fc12c660b"
    "817d587d82f856d277ce6473cae6d2f5763f7da2e8b4d799a3f3e725d4522ec7"
)
BINDING_FACTOR_INPUT = {
    0: BINDING_FACTOR_INPUT_PREFIX + "0100000000000000000000000000000000000000000000000000000000000000",
    2: BINDING_FACTOR_INPUT_PREFIX + "0300000000000000000000000000000000000000000000000000000000000000",
}
BINDING_FACTOR = {
    0: "f2cb9d7dd9beff688da6fcc83fa89046b3479417f47f55600b106760eb3b5603",
    2: "b087686bf35a13f3dc78e780a34b0fe8a77fef1b9938c563f5573d71d8d7890f",
}
SIGNATURE_SHARE = {
    0: "001719ab5a53ee1a12095cd088fd149702c0720ce5fd2f29dbecf24b7281b603",
    2: "bd86125de990acc5e1f13781d8e32c03a9bbd4c53539bbc106058bfd14326007",
}
SIGNATURE = bytes.fromhex(
    "36282629c383bb820a88b71cae937d41f2f2adfcc3d02e55507e2fb9e2dd3cbe"
    "bd9d2b0844e49ae0f3fa935161e1419aab7b47d21a37ebeae1f17d4987b3160b"
)


def scalar(text: str) -> int:
    """A scalar of the vector."""
    value = scalar_of(bytes.fromhex(text))
    assert value is not None
    return value


POLYNOMIAL = (scalar(GROUP_SECRET_KEY), scalar(SHARE_POLYNOMIAL_COEFFICIENT))
NONCES = {member: frost.Nonces(scalar(HIDING_NONCE[member]), scalar(BINDING_NONCE[member])) for member in SIGNERS}
COMMITMENTS = tuple(
    (member, bytes.fromhex(HIDING_COMMITMENT[member] + BINDING_COMMITMENT[member])) for member in SIGNERS
)
PACKAGE = frost.signing_package(GROUP_PUBLIC_KEY, MESSAGE, COMMITMENTS)


def test_the_group_key_and_the_shares_are_those_of_the_polynomial():
    assert base_times(POLYNOMIAL[0]) == GROUP_PUBLIC_KEY
    assert tuple(evaluate(POLYNOMIAL, member) for member in range(3)) == tuple(map(scalar, PARTICIPANT_SHARES))
    assert [evaluate_commitments(commitments_of(POLYNOMIAL), member) for member in range(3)] == [
        base_times(scalar(share)) for share in PARTICIPANT_SHARES
    ]


@pytest.mark.parametrize("member", SIGNERS)
def test_round_one(member: int):
    secret = scalar(PARTICIPANT_SHARES[member])
    hiding = frost.nonce_generate(bytes.fromhex(HIDING_RANDOMNESS[member]), secret)
    binding = frost.nonce_generate(bytes.fromhex(BINDING_RANDOMNESS[member]), secret)
    assert frost.Nonces(hiding, binding) == NONCES[member]
    assert frost.commit(NONCES[member]) == dict(COMMITMENTS)[member]
    assert frost.is_commitment(dict(COMMITMENTS)[member])


def test_the_binding_factors_and_what_is_hashed_to_them():
    inputs = frost.binding_factor_inputs(GROUP_PUBLIC_KEY, MESSAGE, COMMITMENTS)
    assert {member: hashed.hex() for member, hashed in inputs.items()} == BINDING_FACTOR_INPUT
    assert PACKAGE.binding_factors == {member: scalar(factor) for member, factor in BINDING_FACTOR.items()}


@pytest.mark.parametrize("member", SIGNERS)
def test_round_two(member: int):
    secret, share = scalar(PARTICIPANT_SHARES[member]), bytes.fromhex(SIGNATURE_SHARE[member])
    assert frost.sign_share(PACKAGE, member, secret, NONCES[member]) == scalar_of(share)
    assert frost.verify_share(PACKAGE, member, base_times(secret), share)


def test_the_signature_is_the_vectors_and_an_ordinary_verifier_accepts_it():
    assert frost.aggregate(PACKAGE, map(scalar, SIGNATURE_SHARE.values())) == SIGNATURE
    assert PACKAGE.group_commitment == SIGNATURE[:32]
    assert nacl.signing.VerifyKey(GROUP_PUBLIC_KEY).verify(MESSAGE, SIGNATURE) == MESSAGE


def test_the_secret_is_interpolated_from_the_signers_shares():
    """Section 4.2, with the identifiers 1 and 3: weights 3/2 and -1/2."""
    shares = {member: scalar(PARTICIPANT_SHARES[member]) for member in SIGNERS}
    weights = {member: lagrange(SIGNERS, member) for member in SIGNERS}
    assert (2 * weights[0] - 3) % ORDER == (2 * weights[2] + 1) % ORDER == 0
    assert sum(weights[member] * shares[member] for member in SIGNERS) % ORDER == POLYNOMIAL[0]


OF_SMALL_ORDER = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
"""A point of order 8."""


def test_commitments_that_are_the_neutral_element_or_out_of_the_prime_order_group_are_refused():
    """Section 3.1, DeserializeElement; section 6.1 for this group."""
    good = bytes.fromhex(HIDING_COMMITMENT[0])
    of_mixed_order = plus(good, OF_SMALL_ORDER)
    not_canonical = b"\xee" + b"\xff" * 30 + b"\x7f"  # y = p + 1, which is the neutral element's 1
    not_on_the_curve = b"\x02" + bytes(31)
    assert frost.is_commitment(good + good)
    for bad in (IDENTITY, OF_SMALL_ORDER, of_mixed_order, not_canonical, not_on_the_curve, bytes(32), b"\xff" * 32):
        assert not frost.is_commitment(bad + good), bad.hex()
        assert not frost.is_commitment(good + bad), bad.hex()
    assert not frost.is_commitment(good)
    assert not frost.is_commitment(good * 3)
