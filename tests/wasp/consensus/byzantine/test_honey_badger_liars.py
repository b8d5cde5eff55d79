"""Lies about shards, confirmations and ends are what they say they are."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.kernel.automaton import Envelope, Path
from ledger.kernel.encoding import Value, digest
from ledger.kernel.erasure import decode_shards
from ledger.kernel.rng import stream
from tests.harness.committee import CHAIN, DealtCommittee
from wasp.consensus.avid_broadcast import ProvenShard, RootReady, ShardEcho, Val
from wasp.consensus.binary_agreement import Aux, BVal
from wasp.consensus.byzantine.honey_badger import (
    GossipingHoneyBadger,
    bad_decryption_shares,
    codeless_proposer,
    equivocating_avid_proposer,
    future_flood,
    lying_confirmer,
    lying_shard_echoer,
    replaying,
    vals_of_none,
    vals_of_payload,
    wrong_branches,
)
from wasp.consensus.byzantine.lying import Lie
from wasp.consensus.common_coin import CoinShare
from wasp.consensus.hbbft import DecryptionShares
from wasp.consensus.late_coin_agreement import Conf, Term

MEMBERS = M0, M1, M2, M3, M4 = DealtCommittee(5).members
PATH: Path = (CHAIN, 1, "agreement", 0)
VALS = vals_of_payload(b"v", 5)
ECHO = ShardEcho(VALS[0].root, VALS[0].branch, VALS[0].shard)
READY = RootReady(VALS[0].root)
SHARES = DecryptionShares((b"one", b"two"))
SAID: list[Value] = [VALS[1], ECHO, READY, BVal(0, True), Aux(0, True), Conf(2, 1), Term(0, True), SHARES]


def told(lie: Lie, message: Value) -> list[tuple[Any, Value]]:
    """What the others hear from m0, in the order of members."""
    envelopes = lie(Envelope((M1, M2, M3, M4), PATH, message))
    return [(recipient, envelope.message) for envelope in envelopes for recipient in envelope.recipients]


def honest(message: Value) -> list[tuple[Any, Value]]:
    return [(me, message) for me in (M1, M2, M3, M4)]


def split(one: Value, other: Value) -> list[tuple[Any, Value]]:
    return [(M1, one), (M2, one), (M3, other), (M4, other)]


@pytest.mark.parametrize(
    ("lie", "lies"),
    [
        (lying_confirmer, {Conf: Conf(2, 2), Term: Term(0, False)}),
        (lying_shard_echoer, {RootReady: RootReady(digest("forged", READY.root)), ShardEcho: None}),
    ],
)
def test_a_liar_tells_half_of_the_others_something_else(lie: Lie, lies: dict[type, Any]):
    for message in SAID:
        heard = told(lie, message)
        if type(message) not in lies:
            assert heard == honest(message)
        elif lies[type(message)] is not None:
            assert heard == split(message, lies[type(message)])
        else:
            other = heard[-1][1]
            assert heard == split(message, other)
            assert isinstance(other, ProvenShard) and other.proven and other != message


@pytest.mark.parametrize("lie", [equivocating_avid_proposer, codeless_proposer])
def test_a_lying_proposer_has_valid_branches(lie: Lie):
    heard = [told(lie, val)[0][1] for val in VALS]
    assert all(isinstance(val, Val) and val.proven and val.branch.index == place for place, val in enumerate(heard))
    assert len({val.root for val in heard if isinstance(val, Val)}) == (2 if lie is equivocating_avid_proposer else 1)
    assert told(lie, BVal(0, True)) == honest(BVal(0, True))


def test_shards_of_none_give_two_payloads():
    shards = {place: val.shard for place, val in enumerate(vals_of_none(5))}
    first = decode_shards(shards, 3, 5)
    del shards[2]
    assert None is not first != decode_shards(shards, 3, 5) is not None


def test_wrong_branches_prove_nothing_or_for_another_place():
    heard = [message for _, message in told(wrong_branches, ECHO)]
    assert [isinstance(echo, ShardEcho) and echo.proven for echo in heard] == [False, False, True, True]
    assert [echo.branch.index for echo in heard if isinstance(echo, ShardEcho)] == [0, 0, 4, 4]
    assert told(wrong_branches, READY) == honest(READY)


def test_bad_decryption_shares_are_bad_for_all_others():
    assert told(bad_decryption_shares, SHARES) == honest(DecryptionShares((b"nne", b"uwo")))
    assert told(bad_decryption_shares, ECHO) == honest(ECHO)


def test_a_flood_is_about_rounds_ahead_and_comes_with_the_truth():
    envelopes = future_flood(Envelope(MEMBERS, PATH, BVal(3, True)))
    assert envelopes[0].message == BVal(3, True)
    assert {type(envelope.message) for envelope in envelopes} == {BVal, Aux, Conf, CoinShare}
    rounds = [envelope.message.round for envelope in envelopes[1:] if not isinstance(envelope.message, CoinShare)]
    assert min(rounds) == 4 and max(rounds) > 2**40
    assert len(future_flood(Envelope(MEMBERS, PATH, Aux(3, True)))) == 1


def test_a_replay_says_it_twice_and_of_the_next_proposer():
    said = Envelope(MEMBERS, (CHAIN, 1, "coin", 2, 4), CoinShare(b"share"))
    assert replaying(said) == (said, said, Envelope(MEMBERS, (CHAIN, 1, "coin", 3, 4), CoinShare(b"share")))
    elsewhere = Envelope(MEMBERS, (CHAIN, 1, "decryption", "shares"), SHARES)
    assert replaying(elsewhere) == (elsewhere, elsewhere)


def test_a_gossip_speaks_a_bounded_number_of_times_and_the_same_by_the_same_stream():
    broadcast: Path = (CHAIN, 1, "broadcast", 0)

    def speech(seed: int) -> list[Envelope]:
        gossip = GossipingHoneyBadger(M0, MEMBERS, stream(seed, "gossip"), (broadcast,))
        steps = [gossip.handle_input(None, 0)]
        paths = [broadcast if isinstance(message, ProvenShard | RootReady) else PATH for message in SAID]
        steps += [
            gossip.handle_message(M1, path, message, 0) for path, message in zip(paths * 10, SAID * 10, strict=True)
        ]
        return [envelope for step in steps for envelope in step.messages]

    assert speech(1) == speech(1) != speech(2)
    assert {type(envelope.message) for envelope in speech(1)} >= {Val, ShardEcho, RootReady, BVal, Aux, Conf, Term}
    assert all(M0 not in envelope.recipients for envelope in speech(1))
    assert len(speech(1)) < 200
