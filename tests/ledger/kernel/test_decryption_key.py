"""A ciphertext is bound to its label, opens with f + 1 shares, and not with fewer."""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.kernel.decryption_key import CIPHERTEXT_OVERHEAD, deal_decryption_keys
from ledger.kernel.key_share import POINT_SHARE_SIZE
from ledger.kernel.quorum import max_faulty
from ledger.kernel.rng import stream

KINDS = pytest.mark.parametrize("kind", ["real", "model"])
DEALT = {kind: deal_decryption_keys(kind, 1, "mg1", 4, 2) for kind in ("real", "model")}
PLAIN = b"proposal of m1"
CIPHERTEXTS = {kind: keys[1].encrypt(b"label", PLAIN, stream(1, "encrypt")) for kind, keys in DEALT.items()}


@KINDS
@pytest.mark.parametrize("n", range(4, 10))
def test_any_f_plus_1_shares_open_it_and_f_do_not(kind, n):
    threshold = max_faulty(n) + 1
    keys = deal_decryption_keys(kind, 1, "mg1", n, threshold)
    assert {key.threshold for key in keys} == {threshold}
    ciphertext = keys[0].encrypt(b"label", PLAIN, stream(1, "encrypt"))
    assert keys[-1].is_ciphertext(b"label", ciphertext)
    shares = {member: key.share(ciphertext) for member, key in enumerate(keys)}
    assert all(keys[0].verify_share(member, ciphertext, share) for member, share in shares.items())
    for group in combinations(range(n), threshold):
        assert keys[0].combine(ciphertext, {member: shares[member] for member in group}) == PLAIN
    assert keys[0].combine(ciphertext, shares) == PLAIN
    with pytest.raises(AssertionError, match="too few shares"):
        keys[0].combine(ciphertext, {member: shares[member] for member in range(threshold - 1)})


@KINDS
@given(plaintext=st.binary(max_size=300), label=st.binary(max_size=40), seed=st.integers(0, 9))
@settings(max_examples=30)
def test_what_is_encrypted_comes_out_and_does_not_show(kind, plaintext, label, seed):
    keys = DEALT[kind]
    ciphertext = keys[0].encrypt(label, plaintext, stream(seed, "encrypt"))
    assert len(ciphertext) == CIPHERTEXT_OVERHEAD + len(plaintext) == 128 + len(plaintext)
    assert keys[2].is_ciphertext(label, ciphertext)
    assert keys[2].combine(ciphertext, {member: keys[member].share(ciphertext) for member in (1, 3)}) == plaintext
    assert len(plaintext) < 4 or plaintext not in ciphertext


@KINDS
def test_two_encryptions_of_the_same_differ(kind):
    rng = stream(1, "encrypt")
    assert len({DEALT[kind][0].encrypt(b"label", PLAIN, rng)[CIPHERTEXT_OVERHEAD:] for _ in range(3)}) == 3


@KINDS
def test_it_is_bound_to_its_label_and_its_committee(kind):
    ciphertext = CIPHERTEXTS[kind]
    keys = DEALT[kind]
    assert keys[0].is_ciphertext(b"label", ciphertext)
    assert not keys[0].is_ciphertext(b"another label", ciphertext)
    head, masked = ciphertext[:CIPHERTEXT_OVERHEAD], ciphertext[CIPHERTEXT_OVERHEAD:]
    assert not keys[0].is_ciphertext(b"labe", head + b"l" + masked)
    assert not keys[0].is_ciphertext(b"label" + masked[:1], head + masked[1:])
    other = deal_decryption_keys(kind, 1, "mg2", 4, 2)
    shares = {member: other[member].share(ciphertext) for member in (0, 1)}
    assert not any(keys[0].verify_share(member, ciphertext, share) for member, share in shares.items())
    assert other[0].combine(ciphertext, shares) != PLAIN


@KINDS
@given(place=st.integers(0, CIPHERTEXT_OVERHEAD + len(PLAIN) - 1), bit=st.integers(0, 7))
@settings(max_examples=60)
def test_an_altered_ciphertext_is_none(kind, place, bit):
    altered = bytearray(CIPHERTEXTS[kind])
    altered[place] ^= 1 << bit
    assert DEALT[kind][0].is_ciphertext(b"label", bytes(altered)) is False


@KINDS
def test_a_cut_or_lengthened_ciphertext_is_none(kind):
    ciphertext = CIPHERTEXTS[kind]
    for other in (ciphertext[:-1], ciphertext + b"\0", ciphertext[: CIPHERTEXT_OVERHEAD - 1], ciphertext[1:]):
        assert DEALT[kind][0].is_ciphertext(b"label", other) is False


@KINDS
def test_a_share_is_right_for_its_member_and_its_ciphertext_only(kind):
    keys, ciphertext = DEALT[kind], CIPHERTEXTS[kind]
    another = keys[1].encrypt(b"label", PLAIN, stream(2, "encrypt"))
    share = keys[2].share(ciphertext)
    assert len(share) == POINT_SHARE_SIZE
    right = [
        (member, what)
        for member in range(-1, 5)
        for what in (ciphertext, another)
        if keys[0].verify_share(member, what, share)
    ]
    assert right == [(2, ciphertext)]


@KINDS
@given(
    member=st.integers(-(2**63), 2**64 - 1) | st.integers(0, 3),
    label=st.binary(max_size=20),
    nonsense=st.binary(max_size=300) | st.binary(min_size=96, max_size=96),
)
def test_any_bytes_are_judged_without_an_exception(kind, member, label, nonsense):
    assert DEALT[kind][0].is_ciphertext(label, nonsense) is False
    assert DEALT[kind][0].verify_share(member, CIPHERTEXTS[kind], nonsense) is False


def test_both_kinds_draw_as_much_from_the_stream():
    streams = {kind: stream(1, "encrypt") for kind in DEALT}
    for kind, keys in DEALT.items():
        keys[0].encrypt(b"label", PLAIN, streams[kind])
    assert streams["real"].getstate() == streams["model"].getstate()
