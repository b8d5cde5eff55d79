"""Every message of the consensus survives its encoding; nothing else gets through the door."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.kernel.encoding import digest, encode
from ledger.kernel.merkle import Branch
from ledger.kernel.rejection import Rejected
from tests.harness.consensus_instances import BASE, CONSENSUS_CODEC, essence_of
from wasp.consensus.avid_broadcast import RootReady, ShardEcho, Val
from wasp.consensus.batch_proposal import Batch
from wasp.consensus.binary_agreement import Aux, BVal, Done
from wasp.consensus.common_coin import COIN_SHARE_SIZE_MAX, CoinShare
from wasp.consensus.consensus import SignedAnchor
from wasp.consensus.hbbft import DecryptionShares
from wasp.consensus.late_coin_agreement import Conf, Term
from wasp.consensus.reliable_broadcast import Echo, Initial, Ready
from wasp.consensus.signing.nonce_signature import PartialNonceSignature
from wasp.signed_anchor import anchor_transaction

ESSENCE = essence_of(Batch(BASE, 5, (), ()), digest("entropy"), inputs=2)
ANCHOR = anchor_transaction(ESSENCE, bytes(64))

rounds = st.integers(0, 2**63 - 1)
digests = st.binary(min_size=32, max_size=32)
branches = st.builds(Branch, rounds, rounds, st.lists(digests, max_size=9).map(tuple))
messages = st.one_of(
    *(st.builds(kind, st.binary(max_size=300)) for kind in (Initial, Echo, Ready)),
    *(st.builds(kind, rounds, st.booleans()) for kind in (BVal, Aux)),
    st.builds(Done, rounds),
    *(st.builds(kind, digests, branches, st.binary(max_size=300)) for kind in (Val, ShardEcho)),
    st.builds(RootReady, digests),
    st.builds(Conf, rounds, st.integers(1, 3)),
    st.builds(Term, rounds, st.booleans()),
    st.builds(DecryptionShares, st.lists(st.binary(max_size=96), max_size=9).map(tuple)),
    st.builds(CoinShare, st.binary(max_size=COIN_SHARE_SIZE_MAX)),
    st.builds(PartialNonceSignature, st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32)),
    st.just(SignedAnchor(ANCHOR)),
)


@given(messages)
def test_a_message_survives_its_encoding(message: Any):
    assert CONSENSUS_CODEC.decode(encode(message)) == message


@given(st.binary(max_size=60))
def test_any_bytes_are_a_message_in_canonical_form_or_rejected(data: bytes):
    try:
        message = CONSENSUS_CODEC.decode(data)
    except Rejected:
        return
    assert encode(message) == data


@pytest.mark.parametrize(
    "message",
    [
        *(BVal(-1, True), Aux(-1, True), Done(-1), CoinShare(bytes(257))),
        *(Conf(0, 0), Conf(0, 4), Conf(-1, 1), Term(-1, True), RootReady(bytes(31))),
        *(DecryptionShares((bytes(97),)), DecryptionShares((b"",) * 257)),
    ],
)
def test_fields_out_of_their_bounds_are_rejected(message: Any):
    with pytest.raises(Rejected):
        CONSENSUS_CODEC.decode(encode(message))


def test_a_digest_that_was_computed_does_not_travel():
    echo = Echo(b"payload")
    before = encode(echo)
    assert echo.digest == Ready(b"payload").digest
    assert encode(echo) == before
    assert echo == Echo(b"payload")
