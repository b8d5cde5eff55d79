"""One member's part in the sharing of a nonce."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.kernel.automaton import NOTHING, Envelope, Fault, NodeId, Path, Step
from ledger.kernel.encoding import Value, pack
from ledger.kernel.nonce_key import IMPLICATION_SIZE
from ledger.kernel.rng import stream
from tests.harness.committee import CHAIN, DealtCommittee
from tests.harness.nonce_checks import NONCE_LIARS, NonceLiars, check_sharing, spoiled
from wasp.consensus.binary_agreement import Done
from wasp.consensus.reliable_broadcast import Initial, Ready
from wasp.consensus.signing.nonce_sharing import (
    DealNonce,
    Implicate,
    NonceShared,
    NonceSharing,
    Recover,
    SharingOk,
    SharingReady,
)

DEALT = DealtCommittee(7)
MEMBERS = DEALT.members
PATH: Path = (CHAIN, 1, "signature", 0)
SID = pack(PATH)
KEYS = [DEALT.keys[me].nonces for me in MEMBERS]
GOOD = KEYS[0].deal(SID, stream(1, "dealing"))
BAD = spoiled(GOOD, 7, [1, 2])
SHARES = [key.open(SID, GOOD) or b"" for key in KEYS]


def member(place: int = 1) -> NonceSharing:
    return NonceSharing(PATH, DEALT.committee, 0, KEYS[place])


def tell(sharing: NonceSharing, sender: NodeId, message: Value) -> Step[Any]:
    return sharing.handle_message(sender, PATH, message, 0)


def multicast(message: Value) -> Envelope:
    return Envelope(MEMBERS, PATH, message)


def deliver(sharing: NonceSharing, dealing: bytes) -> Step[Any]:
    """The broadcast delivers this dealing, with the last of five readies."""
    return [tell(sharing, sender, Ready(dealing)) for sender in MEMBERS[:5]][-1]


def implication(place: int, dealing: bytes = BAD) -> Implicate:
    return Implicate(KEYS[place].implicate(SID, dealing))


def test_the_dealer_broadcasts_a_dealing_of_its_leafs_name():
    [envelope] = member(0).handle_input(DealNonce(stream(1, "dealing")), 0).messages
    assert envelope == multicast(Initial(GOOD))


def test_a_share_that_fits_is_confirmed_and_one_that_does_not_is_implicated():
    assert deliver(member(), GOOD) == Step([], [multicast(SharingOk())], [], [])
    assert deliver(member(), BAD) == Step([], [multicast(implication(1))], [], [])


@pytest.mark.parametrize("dealing", [b"", b"garbage", GOOD[:-1], b"\xff" * len(GOOD)])
def test_what_is_no_dealing_is_a_fault_of_the_dealer_and_goes_no_further(dealing: bytes):
    sharing = member()
    assert deliver(sharing, dealing) == Step([], [], [], [Fault(MEMBERS[0], "bad_dealing", PATH)])
    later = [tell(sharing, sender, message) for sender in MEMBERS for message in (SharingReady(), Recover(bytes(32)))]
    assert [output for step in later for output in step.outputs] == []


def test_a_dealing_of_another_leaf_is_no_dealing():
    other = KEYS[0].deal(pack((CHAIN, 2, "signature", 0)), stream(1, "dealing"))
    assert [fault.kind for fault in deliver(member(), other).faults] == ["bad_dealing"]


def test_a_quorum_of_oks_makes_ready_and_further_ones_nothing():
    sharing = member()
    steps = [tell(sharing, sender, SharingOk()) for sender in (*MEMBERS, MEMBERS[0])]
    assert [tuple(step.messages) for step in steps] == [(), (), (), (), (multicast(SharingReady()),), (), (), ()]


def test_one_members_oks_count_once():
    sharing = member()
    assert all(tell(sharing, MEMBERS[3], SharingOk()) == NOTHING for _ in range(7))


def test_some_readies_are_joined_and_n_minus_f_with_a_share_make_the_output():
    sharing = member()
    deliver(sharing, GOOD)
    steps = [tell(sharing, sender, SharingReady()) for sender in (MEMBERS[0], *MEMBERS)]
    ready, output = (multicast(SharingReady()),), (NonceShared(GOOD, SHARES[1]),)
    assert [tuple(step.messages) for step in steps] == [(), (), (), ready, (), (), (), ()]
    assert [tuple(step.outputs) for step in steps] == [(), (), (), (), (), output, (), ()]


def test_readies_that_come_before_the_dealing_count():
    sharing = member()
    for sender in MEMBERS:
        assert tuple(tell(sharing, sender, SharingReady()).outputs) == ()
    assert tuple(deliver(sharing, GOOD).outputs) == (NonceShared(GOOD, SHARES[1]),)


@pytest.mark.parametrize("early", [True, False])
def test_a_valid_implication_proves_the_dealers_fault_and_reveals_the_own_share_once(early: bool):
    sharing = member(3)
    steps = [] if early else [deliver(sharing, BAD)]
    steps += [tell(sharing, MEMBERS[place], implication(place)) for place in (2, 1, 2)]
    steps += [deliver(sharing, BAD)] if early else []
    said = [envelope for step in steps for envelope in step.messages]
    assert said == [multicast(SharingOk()), multicast(Recover(SHARES[3]))]
    assert [fault for step in steps for fault in step.faults] == [
        Fault(MEMBERS[0], "bad_share", PATH, f"the one for {MEMBERS[2]}")
    ]


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("proof", [implication(3, BAD), implication(1, GOOD), Implicate(bytes(IMPLICATION_SIZE))])
def test_a_false_implication_is_a_fault_of_its_sender_and_reveals_nothing(early: bool, proof: Implicate):
    sharing = member(4)
    steps = [] if early else [deliver(sharing, GOOD)]
    steps += [tell(sharing, MEMBERS[3], proof), tell(sharing, MEMBERS[3], proof)]
    steps += [deliver(sharing, GOOD)] if early else []
    assert [envelope for step in steps for envelope in step.messages] == [multicast(SharingOk())]
    assert [fault for step in steps for fault in step.faults] == [Fault(MEMBERS[3], "false_implication", PATH)]


@pytest.mark.parametrize("early", [True, False])
def test_who_got_a_wrong_share_recovers_it_from_some_correct_members(early: bool):
    sharing = member(1)
    for sender in MEMBERS[:5]:
        tell(sharing, sender, SharingReady())
    revealed = [(3, SHARES[3]), (4, bytes(32)), (3, SHARES[3]), (5, SHARES[5]), (6, SHARES[6])]
    steps = [] if early else [deliver(sharing, BAD)]
    steps += [tell(sharing, MEMBERS[place], Recover(share)) for place, share in revealed]
    steps += [deliver(sharing, BAD)] if early else []
    assert [output for step in steps for output in step.outputs] == [NonceShared(BAD, SHARES[1])]
    assert [fault for step in steps for fault in step.faults] == [Fault(MEMBERS[4], "bad_share", PATH)]


def test_a_recovered_share_waits_for_the_readies():
    sharing = member(1)
    deliver(sharing, BAD)
    steps = [tell(sharing, MEMBERS[place], Recover(SHARES[place])) for place in (3, 4, 5)]
    steps += [tell(sharing, sender, SharingReady()) for sender in MEMBERS[:5]]
    assert [len(step.outputs) for step in steps] == [0, 0, 0, 0, 0, 0, 0, 1]


@pytest.mark.parametrize(("one", "two"), [(Recover(bytes(32)), Recover(b"?" * 32)), (implication(1), implication(2))])
def test_early_revelations_wait_one_of_each_kind_per_member(one: Value, two: Value):
    sharing = member(3)
    assert tell(sharing, MEMBERS[1], one) == NOTHING
    assert tell(sharing, MEMBERS[1], one) == NOTHING
    assert [fault.kind for fault in tell(sharing, MEMBERS[1], two).faults] == ["equivocation"]


def test_a_message_of_another_protocol_is_a_fault():
    assert [fault.kind for fault in tell(member(), MEMBERS[1], Done(0)).faults] == ["unexpected_message"]


@pytest.mark.parametrize("n", [4, 5, 6, 7, 8, 9])
@pytest.mark.parametrize("liars", NONCE_LIARS)
def test_all_correct_members_have_their_shares_or_none_has(n: int, liars: NonceLiars):
    for seed in range(100):
        check_sharing(n, liars, seed)


@pytest.mark.parametrize("n", [4, 7])
@pytest.mark.parametrize("liars", NONCE_LIARS)
def test_the_same_holds_with_real_cryptography(n: int, liars: NonceLiars):
    for seed in range(6):
        check_sharing(n, liars, seed, "real")


def test_of_each_member_one_revealed_share_is_checked():
    sharing = member(1)
    deliver(sharing, BAD)
    steps = [tell(sharing, MEMBERS[3], Recover(share)) for share in (bytes(32), bytes(31) + b"1", SHARES[3])]
    assert [list(step.faults) for step in steps] == [[Fault(MEMBERS[3], "bad_share", PATH)], [], []]
    assert sharing.status.endswith("shares of others 0/3")
