"""One member's part in the committee's signature by FROST."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ledger.kernel.automaton import NOTHING, NodeId
from ledger.kernel.rng import stream
from tests.harness.signature_checks import (
    MESSAGE,
    OTHER,
    SIGNERS,
    Signers,
    SigningCommittee,
    check_signature,
    path_of,
)
from wasp.consensus.common_coin import CoinShare
from wasp.consensus.protocol_times import ATTEMPT_TIMEOUT, TIMEOUT_MAX
from wasp.consensus.signing.anchor_signature import MessageSigned, PrepareSignature, SignaturePrepared, SignMessage
from wasp.consensus.signing.frost_signature import FrostSignature
from wasp.consensus.signing.signing_session import (
    CommitmentList,
    CommitteeSignature,
    NextAttempt,
    SessionShare,
    SignatureShare,
    SigningSession,
)

LOG_INDEX = 1
PATH = path_of(LOG_INDEX)


class Members(SigningCommittee):
    """Five members, of whom four sign: in attempt 0 m1, m2, m3, m4; the coordinator of attempt 1 is m2, of 2 m3, ..."""

    def __init__(self, n: int = 5, prepare: bool = True) -> None:
        super().__init__(n, LOG_INDEX)
        self.said: dict[NodeId, list[Any]] = {me: [] for me in self.members}
        if prepare:
            for member, me in enumerate(self.members):
                [prepared] = self.nodes[me].handle_input(PrepareSignature(), 0).outputs
                self.preparations[member] = prepared.preparation

    def node(self, member: int) -> FrostSignature:
        node: FrostSignature = self.nodes[self.members[member]]
        return node

    def sign(self, member: int, input: SignMessage | None = None) -> Any:
        """The member learns the digest; what it says to all, it hears itself."""
        step = self.node(member).handle_input(input or self.decided(), 0)
        self.loop_back(member, step)
        return step

    def tell(self, member: int, sender: int, message: Any, now: int = 0) -> Any:
        """A message comes; what it causes the member hears itself."""
        step = self.node(member).handle_message(self.members[sender], PATH, message, now)
        self.loop_back(member, step)
        return step

    def loop_back(self, member: int, step: Any) -> None:
        me = self.members[member]
        for envelope in step.messages:
            assert envelope.path == PATH
            self.said[me].append(envelope.message)
            if me in envelope.recipients:
                self.tell(member, member, envelope.message)

    def share_of(self, member: int) -> SignatureShare:
        """What the member says when it learns the digest."""
        if not self.node(member).started:
            self.sign(member)
        share: SignatureShare = self.said[self.members[member]][0]
        return share

    def offers(self, *signers: int) -> CommitmentList:
        return tuple((member, self.share_of(member).offer) for member in signers)


def faults(step: Any) -> list[tuple[str, str]]:
    return [(fault.accused, fault.kind) for fault in step.faults]


def messages(step: Any) -> list[Any]:
    return [envelope.message for envelope in step.messages]


def spoilt(share: Any) -> Any:
    return msgspec.structs.replace(share, share=bytes(32))


def test_the_preparation_is_a_commitment_and_the_first_signers_share_fits_it():
    committee = Members()
    share = committee.share_of(1)
    assert (share.digest, share.share is not None) == (MESSAGE, True)
    key = committee.keys[committee.members[0]]
    commitments = tuple((member, committee.preparations[member]) for member in (1, 2, 3, 4))
    assert key.verify_share(1, MESSAGE, commitments, share.share)
    assert key.is_commitment(share.offer) and share.offer not in committee.preparations.values()


@pytest.mark.parametrize("log_index", range(1, 8))
def test_signers_rotate_with_the_log_index_and_skip_who_has_no_commitment(log_index: int):
    committee = SigningCommittee(7, log_index)
    for member, me in enumerate(committee.members):
        [prepared] = committee.nodes[me].handle_input(PrepareSignature(), 0).outputs
        committee.preparations[member] = prepared.preparation
    committee.preparations[3] = b"nothing"
    signers = set()
    for member, me in enumerate(committee.members):
        [said] = committee.nodes[me].handle_input(committee.decided(), 0).messages[:1]
        if said.message.share is not None:
            signers.add(member)
    in_turn = [(log_index + behind) % 7 for behind in range(7)]
    assert signers == set([member for member in in_turn if member != 3][:5])


def test_shares_of_all_signers_make_the_signature_whether_early_or_late():
    committee = Members()
    shares = {member: committee.share_of(member) for member in (1, 2, 3, 4)}
    late = committee.node(0)
    assert committee.tell(0, 1, shares[1]) == NOTHING
    assert committee.tell(0, 2, shares[2]) == NOTHING
    committee.sign(0)
    assert late.status == "signed by me True, attempt 0, shares 2/4"
    assert committee.tell(0, 2, shares[2]) == NOTHING
    assert committee.tell(0, 3, shares[3]) == NOTHING
    [signed] = committee.tell(0, 4, shares[4]).outputs
    assert committee.dealt.verifier.verify(committee.group_key, MESSAGE, signed.signature)
    assert (late.status, late.deadline) == ("signed in attempt 0", None)
    early = Members()
    for member in (1, 2, 3, 4):
        committee_share = early.share_of(member)
        assert early.tell(0, member, committee_share) == NOTHING
    assert [type(output) for output in early.sign(0).outputs] == [MessageSigned]


@pytest.mark.parametrize("early", [True, False])
def test_who_spoils_the_first_attempt_is_accused_and_the_next_one_begins(early: bool):
    for sender, lie, fault in (
        (1, spoilt, None),
        (1, lambda share: msgspec.structs.replace(share, share=None), "bad_share"),
        (1, lambda share: msgspec.structs.replace(share, digest=OTHER), "divergent"),
    ):
        committee = Members()
        lied = lie(committee.share_of(sender))
        if early:
            committee.tell(0, sender, lied)
            step = committee.sign(0)
        else:
            committee.sign(0)
            step = committee.tell(0, sender, lied)
        if fault is None:
            assert faults(step) == [], "nobody knows before all shares are there"
            for member in (2, 3):
                committee.tell(0, member, committee.share_of(member))
            step = committee.tell(0, 4, committee.share_of(4))
        assert faults(step) == [("m1", fault or "bad_share")]
        assert messages(step)[-1] == NextAttempt(1, committee.share_of(0).offer)


def test_a_share_of_somebody_who_is_no_signer_is_a_fault_and_spoils_nothing():
    committee = Members()
    lied = msgspec.structs.replace(committee.share_of(0), share=bytes(32))
    committee.sign(1)
    step = committee.tell(1, 0, lied)
    assert (faults(step), messages(step)) == ([("m0", "bad_share")], [])


def test_two_first_shares_are_equivocation():
    committee = Members()
    share = committee.share_of(1)
    assert committee.tell(0, 1, share) == NOTHING
    assert faults(committee.tell(0, 1, spoilt(share))) == [("m1", "equivocation")]


def test_with_too_few_commitments_the_first_attempt_is_left_out():
    committee = Members()
    committee.preparations.update({1: b"", 2: bytes(64)})
    step = committee.sign(0)
    share, attempt = messages(step)
    assert (share.share, attempt) == (None, NextAttempt(1, share.offer))


def coordinator() -> Members:
    """m2 has begun attempt 1, whose coordinator it is, and knows its own offer."""
    committee = Members()
    committee.preparations.update({1: b"", 2: b""})
    committee.sign(2)
    return committee


def test_a_coordinator_asks_the_first_n_minus_f_members_that_agree():
    committee = coordinator()
    assert messages(committee.tell(2, 0, committee.share_of(0))) == []
    assert messages(committee.tell(2, 4, committee.share_of(4))) == []
    assert messages(committee.tell(2, 3, msgspec.structs.replace(committee.share_of(3), digest=OTHER))) == []
    session, *_ = messages(committee.tell(2, 1, committee.share_of(1)))
    assert session == SigningSession(1, 0, committee.offers(0, 1, 2, 4))


def test_a_coordinator_begins_anew_when_its_turn_comes_again():
    committee = coordinator()
    for member in (0, 3, 4):
        committee.tell(2, member, committee.share_of(member))
    assert committee.node(2)._opened == 1
    for member in (0, 1, 3):
        step = committee.tell(2, member, NextAttempt(6, committee.share_of(member).offer))
    session = messages(step)[0]
    assert (session.attempt, session.session, [member for member, _ in session.commitments]) == (6, 0, [0, 1, 2, 3])


def test_a_malformed_offer_is_found_when_it_is_to_be_used_and_another_is_taken():
    committee = coordinator()
    committee.tell(2, 0, msgspec.structs.replace(committee.share_of(0), offer=bytes(64)))
    committee.tell(2, 3, committee.share_of(3))
    step = committee.tell(2, 4, committee.share_of(4))
    assert (faults(step), messages(step)) == ([("m0", "bad_commitment")], [])
    [session] = messages(committee.tell(2, 1, committee.share_of(1)))
    assert session == SigningSession(1, 0, committee.offers(1, 2, 3, 4))


def test_a_coordinator_asks_others_in_the_place_of_a_member_whose_answer_is_missing():
    committee = coordinator()
    for member in (0, 3, 4):
        committee.tell(2, member, committee.share_of(member))
    session, own = committee.said[NodeId("m2")][-2:]
    assert session == SigningSession(1, 0, committee.offers(0, 2, 3, 4))
    assert committee.tell(2, 1, committee.share_of(1)) == NOTHING
    [third] = messages(committee.tell(3, 2, session))
    assert committee.tell(2, 3, third) == NOTHING
    [fourth] = messages(committee.tell(4, 2, session))
    offers = ((1, committee.share_of(1).offer), (2, own.offer), (3, third.offer), (4, fourth.offer))
    assert messages(committee.tell(2, 4, fourth)) == [SigningSession(1, 1, offers)]
    [late] = messages(committee.tell(0, 2, session))
    assert [type(output) for output in committee.tell(2, 0, late).outputs] == [MessageSigned]


def asked() -> tuple[Members, SigningSession]:
    """m0 knows the digest, and a good session of attempt 1 names it."""
    committee = Members()
    committee.sign(0)
    return committee, SigningSession(1, 0, committee.offers(0, 1, 2, 3))


def test_a_session_is_answered_once_with_new_nonces_before_the_own_time_is_over():
    committee, session = asked()
    [answer] = messages(committee.tell(0, 2, session))
    assert (answer.attempt, answer.session) == (1, 0)
    assert committee.keys[NodeId("m1")].verify_share(0, MESSAGE, session.commitments, answer.share)
    assert answer.offer != committee.share_of(0).offer
    assert committee.tell(0, 2, session) == NOTHING


def test_nonces_are_not_used_again_for_another_session():
    committee, session = asked()
    [answer] = messages(committee.tell(0, 2, session))
    again = msgspec.structs.replace(session, session=1)
    step = committee.tell(0, 2, again)
    assert (faults(step), messages(step)) == ([("m2", "bad_session")], [])
    other = msgspec.structs.replace(session, commitments=committee.offers(0, 1, 2, 4))
    step = committee.tell(0, 2, other)
    assert (faults(step), messages(step)) == ([("m2", "equivocation")], [])
    fresh = SigningSession(1, 2, ((0, answer.offer), *session.commitments[1:]))
    assert faults(committee.tell(0, 2, fresh)) == [("m2", "bad_session")], "f + 1 sessions are enough"


def test_a_session_that_leaves_one_out_is_not_answered_by_it():
    committee, _ = asked()
    assert committee.tell(0, 2, SigningSession(1, 0, committee.offers(1, 2, 3, 4))) == NOTHING


def lies(committee: Members, session: SigningSession) -> dict[str, SigningSession]:
    first, second, third, fourth = session.commitments

    def listed(*commitments: tuple[int, bytes]) -> SigningSession:
        return msgspec.structs.replace(session, commitments=commitments)

    return {
        "too few": listed(first, second, third),
        "too many": listed(*session.commitments, (4, committee.share_of(4).offer)),
        "repeated": listed(first, second, second, third),
        "not rising": listed(second, first, third, fourth),
        "no member": listed(first, second, third, (5, fourth[1])),
        "no commitment": listed(first, second, third, (3, bytes(64))),
        "not offered": listed((0, committee.preparations[0]), second, third, fourth),
        "of another": listed((0, second[1]), second, third, fourth),
        "not the coordinator's": msgspec.structs.replace(session, attempt=2),
        "first attempt": msgspec.structs.replace(session, attempt=0),
        "beyond all sessions": msgspec.structs.replace(session, session=2),
    }


@pytest.mark.parametrize("lie", lies(*asked()))
def test_a_coordinator_that_lies_is_accused_and_not_answered(lie: str):
    committee, session = asked()
    step = committee.tell(0, 2, lies(committee, session)[lie])
    assert (faults(step), messages(step)) == ([("m2", "bad_session")], [])


def test_shares_of_a_session_make_the_signature_whatever_comes_first():
    committee, session = asked()
    answers = {}
    for member in (1, 2, 3):
        [answers[member]] = messages(committee.tell(member, 2, session))
    for member in (1, 3):
        assert committee.tell(0, member, answers[member]) == NOTHING
    assert [type(message) for message in messages(committee.tell(0, 2, session))] == [SessionShare]
    assert [type(output) for output in committee.tell(0, 2, answers[2]).outputs] == [MessageSigned]


def test_a_session_that_was_over_before_the_digest_was_known_gives_the_signature_too():
    committee = Members()
    session = SigningSession(1, 0, committee.offers(1, 2, 3, 4))
    assert committee.tell(0, 2, session) == NOTHING
    for member in (1, 2, 3, 4):
        [answer] = messages(committee.tell(member, 2, session))
        assert committee.tell(0, member, answer) == NOTHING
    assert [type(output) for output in committee.sign(0).outputs] == [MessageSigned]


def test_a_share_for_another_list_makes_nobody_a_culprit():
    committee, session = asked()
    committee.tell(0, 2, session)
    other = msgspec.structs.replace(session, commitments=committee.offers(1, 2, 3, 4))
    for member, told in ((1, session), (2, session), (3, other)):
        [answer] = messages(committee.tell(member, 2, told))
        assert committee.tell(0, member, answer) == NOTHING
    assert not any(isinstance(message, NextAttempt) for message in committee.said[NodeId("m0")])


def test_a_bad_share_of_a_session_is_told_and_two_shares_are_equivocation():
    committee, session = asked()
    committee.tell(0, 2, session)
    answers = {member: messages(committee.tell(member, 2, session))[0] for member in (1, 2, 3)}
    committee.tell(0, 1, answers[1])
    committee.tell(0, 2, spoilt(answers[2]))
    assert faults(committee.tell(0, 2, answers[2])) == [("m2", "equivocation")]
    step = committee.tell(0, 3, answers[3])
    assert (faults(step), messages(step)) == (
        [("m2", "bad_share")],
        [NextAttempt(1, committee.said[NodeId("m0")][1].offer)],
    )
    assert committee.tell(0, 3, answers[3]) == NOTHING, "blamed once"


def test_f_plus_1_members_in_a_later_attempt_pull_others_along_and_f_do_not():
    committee = Members(7)
    committee.sign(0)
    offer = committee.share_of(1).offer
    assert messages(committee.tell(0, 1, NextAttempt(5, offer))) == []
    assert messages(committee.tell(0, 2, NextAttempt(4, offer))) == []
    assert messages(committee.tell(0, 3, NextAttempt(3, offer))) == [NextAttempt(3, committee.share_of(0).offer)]
    assert messages(committee.tell(0, 4, NextAttempt(9, offer))) == [NextAttempt(4, committee.share_of(0).offer)]


def test_announcements_that_come_before_the_digest_pull_too():
    committee = Members()
    offer = committee.share_of(1).offer
    for sender in (1, 2):
        assert committee.tell(0, sender, NextAttempt(2, offer)) == NOTHING
    assert messages(committee.sign(0))[1] == NextAttempt(2, committee.share_of(0).offer)


@pytest.mark.parametrize("alone", [False, True])
def test_attempts_last_twice_as_long_each_up_to_a_limit_and_do_not_end(alone: bool):
    """A member that is alone in an attempt announces it again, where with n - f it would go on."""
    committee = Members()
    node = committee.node(0)
    committee.sign(0)
    now, waits = 0, []
    for _ in range(100):
        assert node.deadline is not None
        waits.append(node.deadline - now)
        assert node.handle_timer(node.deadline - 1) == NOTHING
        now = node.deadline
        [announced, *_] = messages(node.handle_timer(now))
        assert announced.attempt == (1 if alone else len(waits))
        for other in () if alone else (0, 2, 3, 4):
            committee.tell(0, other, announced, now)
    assert waits == [min(ATTEMPT_TIMEOUT * 2**attempt, TIMEOUT_MAX) for attempt in range(100)]


def test_an_attempt_has_its_time_from_when_n_minus_f_members_are_there():
    committee = Members()
    node = committee.node(0)
    committee.sign(0)
    now = ATTEMPT_TIMEOUT
    [announced, *_] = messages(node.handle_timer(now))
    for others, sender in enumerate((0, 2, 3, 4), 1):
        now += 1_000
        committee.tell(0, sender, announced, now)
        assert node.deadline == (now if others == 4 else ATTEMPT_TIMEOUT) + 2 * ATTEMPT_TIMEOUT


def test_who_has_the_signature_gives_it_to_a_member_that_says_again_where_it_is():
    """The member is in the attempt of the signature, and its share came to others before theirs came to it."""
    committee = Members()
    node = committee.node(0)
    committee.sign(0)
    steps = [committee.tell(0, member, committee.share_of(member)) for member in (1, 2, 3, 4)]
    [signed] = steps[-1].outputs
    assert node._held is not None
    node._held.place = (1, 0)
    asking = NextAttempt(1, committee.share_of(3).offer)
    told = [messages(committee.tell(0, 3, asking)) for _ in range(3)]
    assert told == [[], [CommitteeSignature(signed.signature)], []]


def test_attempt_0_is_not_announced_and_one_that_is_far_ahead_takes_no_room():
    committee = Members()
    offer = committee.share_of(1).offer
    assert faults(committee.tell(0, 1, NextAttempt(0, offer))) == [("m1", "bad_attempt")]
    assert faults(committee.tell(0, 1, SessionShare(0, 0, bytes(32), bytes(32), offer))) == [("m1", "bad_session")]
    assert committee.tell(0, 1, NextAttempt(2**64 - 1, offer)) == NOTHING
    assert committee.tell(0, 1, SessionShare(2**64 - 1, 0, bytes(32), bytes(32), offer)) == NOTHING
    assert not committee.node(0)._sessions


@pytest.mark.parametrize("present", [0, 1, 4])
def test_only_sessions_of_this_attempt_and_the_next_are_kept(present: int):
    committee = Members()
    committee.sign(0)
    committee.tell(0, 2, SigningSession(1, 0, committee.offers(1, 2, 3, 4)))
    for sender in (1, 2):
        committee.tell(0, sender, NextAttempt(present, bytes(64)) if present else committee.share_of(sender))
    for attempt in range(1, 11):
        committee.tell(0, (LOG_INDEX + attempt) % 5, SigningSession(attempt, 0, committee.offers(1, 2, 3, 4)))
        committee.tell(0, 3, SessionShare(attempt, 1, bytes(32), bytes(32), bytes(64)))
    kept = [(attempt, session) for attempt in (max(present, 1), max(present, 1) + 1) for session in (0, 1)]
    assert sorted(committee.node(0)._sessions) == [(0, 0), *kept]


def signed() -> tuple[Members, CommitteeSignature]:
    """m0 has the signature, by the first attempt."""
    committee = Members()
    committee.sign(0)
    for member in (1, 2, 3, 4):
        step = committee.tell(0, member, committee.share_of(member))
    return committee, CommitteeSignature(step.outputs[0].signature)


def test_who_has_the_signature_tells_it_once_to_each_member_that_goes_on():
    committee, signature = signed()
    offer = committee.share_of(1).offer
    assert committee.tell(0, 1, committee.share_of(1)) == NOTHING
    for sender, message in (
        (1, NextAttempt(1, offer)),
        (2, SigningSession(1, 0, committee.offers(0, 1, 2, 3))),
        (3, SessionShare(1, 0, bytes(32), bytes(32), offer)),
    ):
        step = committee.tell(0, sender, message)
        assert [(envelope.recipients, envelope.message) for envelope in step.messages] == [
            ((committee.members[sender],), signature)
        ]
        assert committee.tell(0, sender, message) == NOTHING


def test_what_belongs_to_the_session_that_was_signed_in_needs_no_answer_and_what_comes_later_does():
    committee, session = asked()
    committee.tell(0, 2, session)
    answers = {member: messages(committee.tell(member, 2, session))[0] for member in (1, 2, 3)}
    for member in (1, 2, 3):
        committee.tell(0, member, answers[member])
    assert committee.node(0).status == "signed in attempt 1"
    for sender, message in ((1, NextAttempt(1, answers[1].offer)), (2, session), (3, answers[3])):
        assert committee.tell(0, sender, message) == NOTHING
    later = SigningSession(1, 1, ())
    assert [type(message) for message in messages(committee.tell(0, 2, later))] == [CommitteeSignature]


def test_who_asked_before_the_signature_was_there_is_told_as_well():
    committee = Members()
    committee.sign(0)
    committee.tell(0, 1, NextAttempt(1, committee.share_of(1).offer))
    for member in (2, 3, 4, 1):
        step = committee.tell(0, member, committee.share_of(member))
    assert [(envelope.recipients, type(envelope.message)) for envelope in step.messages] == [
        ((NodeId("m1"),), CommitteeSignature)
    ]


def test_the_committees_signature_is_taken_from_anybody_and_no_other():
    _, signature = signed()
    committee = Members()
    assert faults(committee.tell(0, 3, signature)) == [("m3", "unexpected_message")]
    committee.sign(0)
    assert faults(committee.tell(0, 3, CommitteeSignature(bytes(64)))) == [("m3", "bad_signature")]
    assert committee.tell(0, 4, signature).outputs == [MessageSigned(signature.signature)]


def test_other_messages_are_faults():
    committee = Members()
    assert faults(committee.tell(0, 1, CoinShare(b""))) == [("m1", "unexpected_message")]


def test_an_instance_is_prepared_once_and_signs_once():
    committee = Members(prepare=False)
    node = committee.node(0)
    with pytest.raises(AssertionError, match="prepared"):
        node.handle_input(SignMessage(MESSAGE, ()), 0)
    [prepared] = node.handle_input(PrepareSignature(), 0).outputs
    assert isinstance(prepared, SignaturePrepared)
    with pytest.raises(AssertionError, match="prepared once"):
        node.handle_input(PrepareSignature(), 0)
    assert (node.started, node.deadline) == (False, None)


@pytest.mark.parametrize("n", [4, 5, 6, 7, 8, 9])
@pytest.mark.parametrize("liars", SIGNERS)
def test_with_f_faulty_members_all_others_get_the_signature_and_no_nonces_sign_twice(liars: Signers, n: int):
    for seed in range(12):
        check_signature(n, liars, seed)


@pytest.mark.parametrize("liars", SIGNERS)
def test_real_keys_keep_the_same_promises(liars: Signers):
    for seed in range(3):
        check_signature(4, liars, seed, "real")


@pytest.mark.parametrize("n", [1, 2, 3])
def test_small_committees_sign_too(n: int):
    check_signature(n, "silent", 1)


def test_of_each_member_one_committee_signature_is_checked():
    committee = Members()
    committee.sign(0)
    told = [committee.tell(0, 4, CommitteeSignature(bytes([number]) * 64)) for number in range(3)]
    assert [faults(step) for step in told] == [[("m4", "bad_signature")], [], []]


def test_who_has_forgotten_what_it_proposed_gives_no_share_and_says_so_at_once():
    committee = Members()
    former_life = committee.keys[committee.members[1]].make_nonces(stream(1, "former life"))
    committee.preparations[1] = former_life.commitment
    share = committee.share_of(1)
    assert (share.digest, share.share) == (MESSAGE, None)
    committee.sign(0)
    assert faults(committee.tell(0, 1, share)) == [("m1", "bad_share")]
    assert committee.node(0).attempts == 2
