"""A Byzantine member overrides one thing, and stays true to itself."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.kernel.automaton import NOTHING, Automaton, Envelope, NodeId, Path, Step
from ledger.kernel.encoding import Value, digest
from ledger.kernel.instant import Instant
from ledger.kernel.rng import stream
from tests.harness.committee import CHAIN, DealtCommittee
from wasp.consensus.binary_agreement import Aux, BVal, Done
from wasp.consensus.byzantine.lying import (
    Gossiping,
    Lie,
    Lying,
    bad_shares,
    equivocating_proposer,
    forged,
    lying_echoer,
    lying_voter,
    silent,
)
from wasp.consensus.common_coin import CoinShare
from wasp.consensus.reliable_broadcast import Echo, Initial, Ready
from wasp.consensus.signing.nonce_signature import PartialNonceSignature

MEMBERS = M0, M1, M2, M3, M4 = DealtCommittee(5).members
PATH: Path = (CHAIN, 1, "leaf", 0)

SAID: list[Value] = [
    *(kind(b"v") for kind in (Initial, Echo, Ready)),
    *(BVal(0, True), Aux(0, True), Done(0)),
    *(CoinShare(b"share"), PartialNonceSignature(digest("message"), bytes(32))),
]


class Speaker(Automaton[Any, Any, Any]):
    """Says to all what it is told, with a fault and an output."""

    def handle_input(self, input: Any, now: Instant) -> Step[Any]:
        return Step(messages=(Envelope(MEMBERS, PATH, input),), outputs=("output",))

    def handle_message(self, sender: NodeId, path: Path, message: Any, now: Instant) -> Step[Any]:
        return NOTHING

    def handle_timer(self, now: Instant) -> Step[Any]:
        return self.handle_input(Done(0), now)

    @property
    def deadline(self) -> Instant | None:
        return 5


def told(lie: Lie, message: Value) -> dict[NodeId, list[Value]]:
    """What each member hears from m0."""
    step = Lying(Speaker(), M0, lie).handle_input(message, 0)
    assert step.outputs == ("output",)
    return {me: [envelope.message for envelope in step.messages if me in envelope.recipients] for me in MEMBERS}


def honest(message: Value) -> dict[NodeId, list[Value]]:
    return {me: [message] for me in MEMBERS}


def split(message: Value, other: Value) -> dict[NodeId, list[Value]]:
    return {M0: [message], M1: [message], M2: [message], M3: [other], M4: [other]}


@pytest.mark.parametrize("message", SAID)
def test_a_silent_member_speaks_to_itself_alone(message: Value):
    assert told(silent, message) == {M0: [message], M1: [], M2: [], M3: [], M4: []}


@pytest.mark.parametrize(
    ("lie", "lies"),
    [
        (equivocating_proposer, {Initial: Initial(forged(b"v"))}),
        (lying_echoer, {Echo: Echo(forged(b"v")), Ready: Ready(forged(b"v"))}),
        (lying_voter, {BVal: BVal(0, False), Aux: Aux(0, False)}),
    ],
)
def test_a_liar_tells_half_of_the_others_something_else_about_one_thing(lie: Lie, lies: dict[type, Value]):
    for message in SAID:
        other = lies.get(type(message))
        assert told(lie, message) == (split(message, other) if other is not None else honest(message))


def test_bad_shares_are_bad_for_all_others():
    lies: dict[type, Value] = {
        CoinShare: CoinShare(b"rhare"),
        PartialNonceSignature: PartialNonceSignature(digest("message"), b"\x01" + bytes(31)),
    }
    for message in SAID:
        heard = told(bad_shares, message)
        assert heard.pop(M0) == [message]
        assert set(map(tuple, heard.values())) == {(lies.get(type(message), message),)}


def test_lies_add_up_and_timers_pass_through():
    liar = Lying(Speaker(), M0, equivocating_proposer, silent)
    assert [envelope.recipients for envelope in liar.handle_input(Initial(b"v"), 0).messages] == [(M0,)]
    assert liar.deadline == 5
    assert [envelope.recipients for envelope in liar.handle_timer(5).messages] == [(M0,)]
    assert liar.handle_message(M1, PATH, Done(0), 0) == NOTHING


def test_a_gossip_speaks_a_bounded_number_of_times_and_the_same_by_the_same_stream():
    def speech(seed: int) -> list[Envelope]:
        gossip = Gossiping(M0, MEMBERS, stream(seed, "gossip"), (PATH,))
        steps = [gossip.handle_input(None, 0)]
        steps += [gossip.handle_message(M1, (type(message).__name__,), message, 0) for message in SAID * 10]
        return [envelope for step in steps for envelope in step.messages]

    assert speech(1) == speech(1) != speech(2)
    assert {type(envelope.message) for envelope in speech(1)} == {
        *(Initial, Echo, Ready, BVal, Aux, Done, CoinShare, PartialNonceSignature)
    }
    assert all(M0 not in envelope.recipients for envelope in speech(1))
    assert len(speech(1)) <= 4 + 3 * 4 * (3 * 2 + 2 * 4 + 1), "three tellings a leaf, to four others"
