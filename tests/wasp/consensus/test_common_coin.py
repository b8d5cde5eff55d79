"""One member's part in a threshold value."""

from __future__ import annotations

from typing import Any

from ledger.kernel.automaton import NOTHING, Fault, NodeId, Path
from tests.harness.committee import CHAIN, DealtCommittee
from wasp.consensus.binary_agreement import Done
from wasp.consensus.common_coin import WASP_SCHEDULE, CoinShare, CoinTossed, CommonCoin, ReleaseShare

DEALT = DealtCommittee(4)
M0, M1, M2, M3 = DEALT.members


def coin(me: NodeId, path: Path = (CHAIN, 1, "coin", 0, 4)) -> CommonCoin:
    return CommonCoin(path, DEALT.committee, DEALT.keys[me].coin)


def share_of(me: NodeId, purpose: bytes = b"", path: Path = (CHAIN, 1, "coin", 0, 4)) -> Any:
    [envelope] = coin(me, path).handle_input(ReleaseShare(purpose), 0).messages
    assert envelope.recipients == DEALT.members
    return envelope.message


def test_wasps_schedule_has_a_real_coin_in_every_fifth_round():
    assert [WASP_SCHEDULE.fixed(round) for round in range(6)] == [True, True, False, False, None, True]


def test_shares_that_came_before_the_name_was_known_count():
    early = coin(M0)
    assert early.handle_message(M1, (), share_of(M1), 0) == NOTHING
    assert early.handle_message(M2, (), share_of(M2), 0) == NOTHING
    [tossed] = early.handle_input(ReleaseShare(), 0).outputs
    late = coin(M3)
    late.handle_input(ReleaseShare(), 0)
    assert late.handle_message(M3, (), share_of(M3), 0) == NOTHING
    assert late.handle_message(M0, (), share_of(M0), 0).outputs == (tossed,)
    assert late.handle_message(M1, (), share_of(M1), 0) == NOTHING


def test_a_bad_share_is_a_fault_whenever_it_came():
    path: Path = (CHAIN, 1, "coin", 0, 4)
    bad = CoinShare(bytes(96))
    asked = coin(M0)
    asked.handle_input(ReleaseShare(), 0)
    assert asked.handle_message(M1, path, bad, 0).faults == (Fault(M1, "bad_share", path),)
    waiting = coin(M0)
    assert waiting.handle_message(M1, path, bad, 0) == NOTHING
    assert waiting.handle_input(ReleaseShare(), 0).faults == [Fault(M1, "bad_share", path)]


def test_a_share_under_anothers_name_a_second_share_and_another_message_are_faults():
    asked = coin(M0)
    assert asked.handle_message(M1, (), share_of(M1), 0) == NOTHING
    assert [fault.kind for fault in asked.handle_message(M1, (), CoinShare(b"2"), 0).faults] == ["equivocation"]
    asked.handle_input(ReleaseShare(), 0)
    assert [fault.kind for fault in asked.handle_message(M2, (), share_of(M3), 0).faults] == ["bad_share"]
    assert [fault.kind for fault in asked.handle_message(M2, (), Done(0), 0).faults] == ["unexpected_message"]


def test_values_of_other_places_and_other_purposes_are_other_values():
    def value(path: Path, purpose: bytes) -> bytes:
        member = coin(M0, path)
        member.handle_input(ReleaseShare(purpose), 0)
        member.handle_message(M0, path, share_of(M0, purpose, path), 0)
        [tossed] = member.handle_message(M1, path, share_of(M1, purpose, path), 0).outputs
        assert isinstance(tossed, CoinTossed)
        assert tossed.bit == bool(tossed.value[0] & 1)
        return tossed.value

    paths: list[Path] = [
        (CHAIN, 1, "coin", 0, 4),
        (CHAIN, 1, "coin", 0, 9),
        (CHAIN, 1, "coin", 1, 4),
        (CHAIN, 2, "coin", 0, 4),
        ("mg2", 1, "coin", 0, 4),
        (CHAIN, 1, "entropy"),
    ]
    assert len({value(path, purpose) for path in paths for purpose in (b"", b"purpose")}) == 12


def test_of_each_member_one_share_is_checked():
    path: Path = (CHAIN, 1, "coin", 0, 4)
    asked = coin(M0)
    asked.handle_input(ReleaseShare(), 0)
    steps = [asked.handle_message(M1, path, message, 0) for message in (CoinShare(b"1"), CoinShare(b"2"), share_of(M1))]
    assert [list(step.faults) for step in steps] == [[Fault(M1, "bad_share", path)], [], []]
    assert asked.status == "released True, shares 0/2"
