"""What is dealt can be checked from its public part alone, and adds up to one key."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.kernel.encoding import Codec, encode
from ledger.kernel.group import IDENTITY, ORDER, base_times, evaluate, lagrange, random_polynomial, scalar_bytes
from ledger.kernel.key_dealing import KeyDealing, check_dealing, join_dealings, make_dealing, open_share
from ledger.kernel.rng import stream

POLYNOMIAL = random_polynomial(stream(1, "polynomial"), 2)
DEALING = make_dealing(POLYNOMIAL, b"context")


def test_a_dealing_is_right_for_its_threshold_and_context_only():
    assert check_dealing(DEALING, 3, b"context")
    assert not any(check_dealing(DEALING, threshold, b"context") for threshold in (0, 1, 2, 4))
    assert not check_dealing(DEALING, 3, b"another context")
    assert Codec(KeyDealing).decode(encode(DEALING)) == DEALING


def test_a_constant_that_the_dealer_does_not_know_is_no_dealing():
    """As one would be that cancels the others' out."""
    other = make_dealing(random_polynomial(stream(2, "polynomial"), 2), b"context")
    assert not check_dealing(KeyDealing(other.commitments, DEALING.proof), 3, b"context")
    assert not check_dealing(KeyDealing((other.commitments[0], *DEALING.commitments[1:]), DEALING.proof), 3, b"context")


def test_a_commitment_that_is_no_point_or_the_neutral_one_is_none():
    for place in range(3):
        for bad in (IDENTITY, bytes(32), b"\xff" * 32):
            commitments = list(DEALING.commitments)
            commitments[place] = bad
            assert not check_dealing(KeyDealing(tuple(commitments), DEALING.proof), 3, b"context")
    assert not check_dealing(make_dealing((0, 1, 2), b"context"), 3, b"context")


def test_a_share_is_the_members_only():
    shares = [evaluate(POLYNOMIAL, member) for member in range(5)]
    for member, share in enumerate(shares):
        opened = [open_share(DEALING, other, scalar_bytes(share)) for other in range(5)]
        assert opened == [share if other == member else None for other in range(5)]
    assert open_share(DEALING, 0, (shares[0] + ORDER).to_bytes(32, "little")) is None


@settings(max_examples=60)
@given(st.lists(st.binary(max_size=40), max_size=4), st.binary(max_size=70), st.binary(max_size=40), st.integers(1, 9))
def test_any_bytes_are_judged_without_an_exception(commitments, proof, share, threshold):
    assert check_dealing(KeyDealing(tuple(commitments), proof), threshold, b"context") is False
    assert open_share(DEALING, threshold, share) is None


@pytest.mark.parametrize("dealers", [1, 2, 5])
def test_the_sum_of_dealings_is_one_key(dealers):
    polynomials = [random_polynomial(stream(dealer, "polynomial"), 2) for dealer in range(dealers)]
    dealings = [make_dealing(polynomial, b"context") for polynomial in polynomials]
    keys = [
        join_dealings(dealings, [evaluate(polynomial, member) for polynomial in polynomials], 5) for member in range(5)
    ]
    secret = sum(polynomial[0] for polynomial in polynomials) % ORDER
    assert {(key.public_shares, key.group_key, key.threshold) for key in keys} == {
        (tuple(base_times(key.secret) for key in keys), base_times(secret), 3)
    }
    for group in ((0, 1, 2), (1, 3, 4)):
        assert sum(lagrange(group, member) * keys[member].secret for member in group) % ORDER == secret
