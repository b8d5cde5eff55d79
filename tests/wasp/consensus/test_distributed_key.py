"""Members make keys: with liars, and at the very edge of what is assumed of time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.kernel.automaton import Fault, NodeId
from ledger.kernel.coin_key import RealCoinKey
from ledger.kernel.decryption_key import RealDecryptionKey
from ledger.kernel.encoding import encode
from ledger.kernel.identity import RealVerifier
from ledger.kernel.rng import stream
from ledger.kernel.signing_key import RealSigningKey
from tests.harness.committee import DealtCommittee
from tests.harness.key_ceremony import (
    LIARS,
    PATH,
    VIEW_TIMEOUT,
    Accuser,
    BadDealer,
    ClockedNetwork,
    D,
    FixedAgreement,
    check_complaints_max,
    check_good_quorum,
    check_key_generation,
    check_keys,
    check_qualified_min,
    member,
)
from tests.harness.virtual_network import Pending
from wasp.consensus import distributed_key
from wasp.consensus.dealer_case import DealerCase, DealtShares, RevealedShares
from wasp.consensus.distributed_key import DistributedKey, GenerateKeys, GenerationFailed, KeysGenerated
from wasp.consensus.reliable_broadcast import Echo, Initial, Ready


def honest_run(n: int, delay: int = D - 1) -> tuple[DealtCommittee, ClockedNetwork]:
    dealt = DealtCommittee(n)
    nodes = {me: member(dealt, me) for me in dealt.members}
    network = ClockedNetwork(nodes, dict.fromkeys(dealt.members, 0), lambda item: delay, ())
    network.run()
    return dealt, network


@pytest.mark.parametrize("n", range(1, 10))
def test_honest_members_make_keys_that_toss_sign_and_decrypt(n):
    dealt, network = honest_run(n)
    assert check_keys(dealt, network) == tuple(range(n))
    assert not network.faults
    made = [network.outputs_of(me, KeysGenerated)[0].keys for me in dealt.members]

    coins = [RealCoinKey(coin) for coin, _, _ in made]
    shares = {index: key.share(b"coin 1") for index, key in enumerate(coins)}
    assert all(coins[0].verify_share(index, b"coin 1", share) for index, share in shares.items())
    threshold = dealt.committee.some_correct
    groups = (range(threshold), range(n - threshold, n))
    assert len({coins[0].combine(b"coin 1", {index: shares[index] for index in group}) for group in groups}) == 1

    signing = [RealSigningKey(index, key) for index, (_, key, _) in enumerate(made)]
    signers = range(n - dealt.committee.waiting, n)
    nonces = {index: signing[index].make_nonces(stream(index, "nonces")) for index in signers}
    commitments = [(index, nonces[index].commitment) for index in signers]
    partial = {index: signing[index].sign_share(nonces[index], b"anchor", commitments) for index in signers}
    signature = signing[0].combine(b"anchor", commitments, partial)
    assert signature is not None
    assert RealVerifier().verify(signing[0].group_key, b"anchor", signature)

    opening = [RealDecryptionKey(key) for _, _, key in made]
    ciphertext = opening[0].encrypt(b"label", b"proposal", stream(1, "encrypt"))
    opened = {index: opening[index].share(ciphertext) for index in groups[1]}
    assert opening[0].combine(ciphertext, opened) == b"proposal"


@pytest.mark.parametrize("n", [4, 5, 7])
def test_what_a_ceremony_without_complaints_costs(n):
    _, network = honest_run(n, delay=10)
    assert network.sent["DealtShares"] == n * (n - 1)
    assert network.sent["Initial"] == n * (n - 1)
    assert network.sent["Echo"] == network.sent["Ready"] == n * n * (n - 1)
    after = {instant - 15 * D for outputs in network.outputs.values() for instant, _ in outputs}
    assert after == {40}  # PBFT's three delays, after one for the proposals to its leader


@pytest.mark.parametrize("liars", LIARS)
@pytest.mark.parametrize("n", range(4, 10))
def test_liars_up_to_f_do_no_harm(n, liars):
    for seed in range(2 if n < 6 else 1):
        check_key_generation(n, liars, seed)


def test_who_sends_bad_shares_answers_or_is_out():
    """Everywhere alike: the check says so. Here, that both happen."""
    sizes = {len(check_key_generation(4, "bad dealers", seed)) for seed in range(12)}
    assert sizes == {3, 4}


def test_silent_dealers_are_out_and_false_complaints_are_answered():
    for seed in range(4):
        assert len(check_key_generation(4, "silent", seed)) == 3
        assert len(check_key_generation(4, "accusing", seed)) in (3, 4)


def test_a_committee_of_other_liars_makes_other_keys():
    first, second = (
        {me: network.outputs_of(me, KeysGenerated) for me in dealt.members}
        for dealt, network in (honest_run(4), honest_run(5))
    )
    keys = {key.group_key for made in (first, second) for [said] in made.values() for key in said.keys}
    assert len(keys) == 6


def edge(early: int, starts: dict[int, int], faulty: tuple[int, ...], nodes: dict[NodeId, Any]) -> ClockedNetwork:
    """Members below ``early`` are far from the others, which are near each other; all start in time."""
    members = list(nodes)

    def delays(item: Pending) -> int | None:
        apart = (members.index(item.sender) < early) != (members.index(item.recipient) < early)
        hidden = item.path[-2:-1] == ("complaints",) and members.index(item.sender) in faulty
        return None if hidden and apart else D - 1 if apart else 1

    return ClockedNetwork(
        nodes, {me: starts[index] for index, me in enumerate(members)}, delays, [members[index] for index in faulty]
    )


def slow(dealt: DealtCommittee, nodes: dict[NodeId, Any], late: set[int], faulty: tuple[int, ...]) -> ClockedNetwork:
    """Every message takes as long as it may; some start as late as they may."""
    starts = {me: D - 1 if index in late else 0 for index, me in enumerate(dealt.members)}
    return ClockedNetwork(nodes, starts, lambda item: D - 1, [dealt.members[index] for index in faulty])


def late_dealers() -> None:
    dealt = DealtCommittee(4)
    network = slow(dealt, {me: member(dealt, me) for me in dealt.members}, {2, 3}, ())
    network.run()
    check_keys(dealt, network)


def late_complaint() -> None:
    dealt = DealtCommittee(4)
    nodes = {me: member(dealt, me) for me in dealt.members}
    bad = member(dealt, dealt.members[3], kind=BadDealer)
    assert isinstance(bad, BadDealer)
    bad.cheated, bad.answering = {2: 0}, "not at all"
    nodes[dealt.members[3]] = bad
    network = slow(dealt, nodes, {2}, (3,))
    network.run()
    check_keys(dealt, network)


def late_answer() -> None:
    dealt = DealtCommittee(4)
    nodes = {me: member(dealt, me) for me in dealt.members}
    nodes[dealt.members[3]] = member(dealt, dealt.members[3], kind=Accuser)
    network = slow(dealt, nodes, {0}, (3,))
    network.run()
    check_keys(dealt, network)


class LateAccuser(Accuser):
    """Complains about the first member so that the near ones hear of it just before they count."""

    def _complain(self, whole, now) -> None:
        self._due.insert(1, (distributed_key.COUNT_AFTER * D + D - 1 - 4, self._late_complain))
        self._due.sort(key=lambda item: item[0])

    def _late_complain(self, whole, now) -> None:
        super()._complain(whole, now)

    accused = (0,)


def divided_complaint() -> None:
    """Three near members deliver it just before they count, two far ones two delays later: f liars are enough for that."""
    dealt = DealtCommittee(7)
    nodes: dict[NodeId, Any] = {me: member(dealt, me) for me in dealt.members}
    nodes[dealt.members[5]] = member(dealt, dealt.members[5], kind=LateAccuser)
    starts = {index: 0 if index < 2 else D - 1 for index in range(7)}
    network = edge(2, starts, (5, 6), nodes)
    # the far ones are far from each other too
    near = network._delays
    network._delays = lambda item: (
        D - 1 if {item.sender, item.recipient} == set(dealt.members[:2]) else near(item)  # both of them
    )
    network.run()
    counted = [node._cases[0]._counted >> 5 & 1 for node in nodes.values()]
    assert counted[:2] == [0, 0] and counted[2:5] == [1, 1, 1], f"the scene: {counted}"
    check_keys(dealt, network)


EDGES = {
    "COMPLAIN_AFTER": (3, late_dealers, "validity"),
    "COUNT_AFTER": (7, late_complaint, "termination"),
    "ANSWER_AFTER": (10, divided_complaint, "validity"),
    "PROPOSE_AFTER": (14, late_answer, "validity"),
}


@pytest.mark.parametrize("scene", [late_dealers, late_complaint, divided_complaint, late_answer])
def test_at_the_edge_of_the_assumption_all_is_well(scene):
    scene()


@pytest.mark.parametrize("name", EDGES)
def test_one_delay_less_breaks_a_promise(name, monkeypatch):
    value, scene, promise = EDGES[name]
    assert getattr(distributed_key, name) == value + 1
    monkeypatch.setattr(distributed_key, name, value)
    with pytest.raises(AssertionError, match=promise):
        scene()


def test_complaints_counted_one_delay_later_break_a_promise(monkeypatch):
    monkeypatch.setattr(distributed_key, "COUNT_AFTER", 9)
    with pytest.raises(AssertionError, match="validity"):
        divided_complaint()


def test_when_nothing_comes_in_time_it_fails_everywhere_and_reveals_nothing():
    dealt = DealtCommittee(4)
    nodes = {me: member(dealt, me) for me in dealt.members}
    network = ClockedNetwork(nodes, dict.fromkeys(dealt.members, 0), lambda item: 6 * D, ())
    network.run()
    assert {tuple(network.outputs_of(me)) for me in dealt.members} == {(GenerationFailed(()),)}
    assert not any(case._answered for node in nodes.values() for case in node._cases)
    assert not network.faults


def test_late_shares_are_taken_when_they_come():
    """What one member was told comes after all is decided: it complained in vain, which f complaints are answered for."""
    dealt = DealtCommittee(4)
    nodes = {me: member(dealt, me) for me in dealt.members}

    def delays(item: Pending) -> int | None:
        return 40 * D if isinstance(item.message, DealtShares) and item.recipient == dealt.members[2] else 1

    network = ClockedNetwork(nodes, dict.fromkeys(dealt.members, 0), delays, ())
    network.run()
    assert [len(network.outputs_of(me, KeysGenerated)) for me in dealt.members] == [1] * 4
    assert not network.faults


def test_who_is_good_for_one_correct_member_qualifies():
    check_good_quorum()


def test_too_few_qualified_dealers_are_a_failure():
    check_qualified_min()


def test_more_than_f_complaints_are_not_answered():
    check_complaints_max()


M0, M1, M2, M3 = DealtCommittee(4).members


def kinds(step: Any) -> list[str]:
    return [fault.kind for fault in step.faults]


def started(n: int = 4) -> tuple[DistributedKey, tuple[DistributedKey, ...]]:
    dealt = DealtCommittee(n)
    return member(dealt, M0), tuple(member(dealt, me) for me in dealt.members[1:])


def test_nonsense_and_contradictions_are_faults():
    me, (other, *_) = started()
    shares = [envelope.message for envelope in other.handle_input(GenerateKeys(), 0).messages[1:]]
    path = (*PATH, "shares")
    assert kinds(me.handle_message(M1, path, shares[0], 0)) == []
    assert kinds(me.handle_message(M1, path, shares[0], 0)) == []
    assert me.handle_message(M1, path, shares[1], 0).faults == [Fault(M1, "equivocation", path, "two lists of shares")]
    assert kinds(me.handle_message(M1, path, Echo(b""), 0)) == ["unexpected_message"]
    assert kinds(me.handle_message(M1, (*PATH, "dealing", 2), Initial(b""), 0)) == ["not_the_proposer"]
    for unknown in ((*PATH, "dealing", 4), (*PATH, "shares", 1), PATH, (), ("x",)):
        assert kinds(me.handle_message(M1, unknown, shares[0], 0)) == ["no_such_leaf"]


def case(n: int = 4) -> tuple[DealerCase, bytes, list[DealtShares]]:
    """What member 0 knows of dealer 1, and what that dealer says."""
    _, (other, *_) = started(n)
    messages: Any = other.handle_input(GenerateKeys(), 0).messages
    dealing = messages[0].message.payload
    context = other._context(1)
    return DealerCase(0, n, (2, 3, 2), context), dealing, [envelope.message for envelope in messages[1:]]


def test_a_case_comes_to_the_same_in_any_order():
    first, dealing, shares = case()
    second, *_ = case()
    answers = encode(RevealedShares(((0, shares[0].shares), (2, shares[2].shares))))
    assert first.hear_dealing(dealing) + first.hear_shares(shares[0]) + first.hear_answers(answers) == []
    assert second.hear_answers(answers) + second.hear_dealing(dealing) == []
    assert first.shares is not None and first.shares == second.shares
    assert first._answered == second._answered == 0b101


def test_wrong_shares_dealings_and_answers_are_found():
    known, dealing, shares = case()
    assert known.hear_shares(shares[1]) == []
    assert known.hear_dealing(dealing) == [("bad_share", "")]
    assert known.shares is None
    wrong = encode(RevealedShares(((0, shares[1].shares), (1, shares[1].shares), (2, shares[2].shares[:2]))))
    assert known.hear_answers(wrong) == [("bad_answer", "for member 0"), ("bad_answer", "for member 2")]
    assert (known.shares, known._answered) == (None, 0b010)
    for disorder in (((2, shares[2].shares), (0, shares[0].shares)), ((0, ()), (0, ())), ((4, ()),)):
        assert known.hear_answers(encode(RevealedShares(disorder))) == [("bad_answer", "not one per member, in order")]
    for thresholds in ((2, 3), (3, 2, 2), (2, 4, 2), (2, 3, 1)):
        other, *_ = case()
        other._thresholds = thresholds
        assert other.hear_dealing(dealing) == [("bad_dealing", "")]


def test_nobody_deals_what_another_has_dealt():
    me, (other, *_) = started()
    dealing: Any = other.handle_input(GenerateKeys(), 0).messages[0].message
    assert [case.hear_dealing(dealing.payload) for case in me._cases] == [
        [] if dealer == 1 else [("bad_dealing", "")] for dealer in range(4)
    ]
    elsewhere = DealtCommittee(4)
    agreement = FixedAgreement(())
    again = DistributedKey(("mg2", "keys"), elsewhere.committee, M1, (2, 3, 2), D, agreement, stream(1, "ceremony", M1))
    replayed: Any = again.handle_input(GenerateKeys(), 0).messages[0].message
    assert member(elsewhere, M0)._cases[1].hear_dealing(replayed.payload) == [("bad_dealing", "")]


def test_unanswered_and_too_many_complaints_are_not_good():
    known, dealing, shares = case()
    assert not known.is_good(1)
    known.hear_dealing(dealing)
    assert known.is_good(0) and known.is_good(1)
    known.complaints = 0b100
    assert known.is_good(0)
    known.count_complaints()
    assert not known.is_good(1)
    known.hear_answers(encode(RevealedShares(((2, shares[2].shares),))))
    assert known.is_good(1) and not known.is_good(0)
    known.complaints = 0b101
    assert known.is_good(1)


points = st.binary(min_size=32, max_size=32)


@settings(max_examples=60)
@given(
    st.lists(st.binary(max_size=80), max_size=3),
    st.lists(points, max_size=4),
    st.lists(st.tuples(st.integers(0, 2**64 - 1), st.lists(points, max_size=4)), max_size=4),
)
def test_any_bytes_are_judged_without_an_exception(payloads, shares, answers):
    known, dealing, _ = case()
    known.hear_shares(DealtShares(tuple(shares)))
    for payload in payloads:
        assert known.hear_dealing(payload) and known.hear_answers(payload)
    known.hear_answers(encode(RevealedShares(tuple((who, tuple(said)) for who, said in answers))))
    known.hear_dealing(dealing)
    assert known.is_good(1)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from(["dealing", "complaints", "answers"]), st.integers(0, 3), st.binary())))
def test_any_payload_that_is_delivered_is_handled(said):
    me, _ = started()
    me.handle_input(GenerateKeys(), 0)
    for kind, speaker, payload in said:
        for sender in (M1, M2, M3):
            me.handle_message(sender, (*PATH, kind, speaker), Ready(payload), 0)
    assert me.deadline == 4 * D
    me.handle_timer(15 * D)
    assert me.deadline == 15 * D + VIEW_TIMEOUT  # the agreement's
