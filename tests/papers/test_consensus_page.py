"""The page on consensus says what the code does: its closed forms, its message counts, its quorums."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ledger.kernel.automaton import NodeId
from node.experiments.closed_forms import CLOSED_FORMS, delays_of, longest
from tests.harness.closed_forms import FORMS, D, Instants, Speech, coin_of, expired, gathered, mmr14_rounds
from tests.harness.committee import CHAIN, DealtCommittee
from tests.wasp.consensus.test_mutants import MUTANTS
from wasp.consensus.avid_broadcast import AvidBroadcast
from wasp.consensus.binary_agreement import BinaryAgreement
from wasp.consensus.committee_protocol import Membership
from wasp.consensus.common_coin import WASP_SCHEDULE, CommonCoin
from wasp.consensus.common_subset import CommonSubset
from wasp.consensus.hbbft import HoneyBadger
from wasp.consensus.late_coin_agreement import LateCoinAgreement
from wasp.consensus.leaders.hotstuff import HotStuff
from wasp.consensus.leaders.jolteon import Jolteon
from wasp.consensus.leaders.pbft import Pbft, Prepare
from wasp.consensus.leaders.proposal_list import Gathering
from wasp.consensus.leaders.tendermint import Tendermint
from wasp.consensus.leaders.view_change import ViewChanges
from wasp.consensus.leaders.vote import Notary
from wasp.consensus.protocols import PROTOCOLS
from wasp.consensus.reliable_broadcast import ReliableBroadcast
from wasp.consensus.signing.frost_signature import FrostSignature
from wasp.consensus.signing.nonce_sharing import NonceSharing
from wasp.consensus.signing.nonce_signature import NonceSignature
from wasp.consensus.signing.signing_session import Progress, SigningTurns

PAGE = (Path(__file__).parents[2] / "docs" / "consensus.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("|")]
LOG_INDEX = 1
SIZES = (7, 10, 16, 31)


def row_of(first: str, header: str) -> dict[str, str]:
    """The row that begins with this cell, in the table whose header has this cell, by header."""
    begin = next(place for place, row in enumerate(ROWS) if header in row)
    row = next(row for row in ROWS[begin:] if row[0] == first)
    return dict(zip(ROWS[begin], row, strict=True))


def value(formula: str, **numbers: Any) -> int:
    """What a formula on the page comes to: products are written side by side."""
    product = re.sub(r"([0-9a-z)])(?=\()", r"\1*", formula.replace("T(k)", "T"))
    product = re.sub(r"([0-9nsk])(?=[a-zQRS])", r"\1*", product)
    return int(eval(product, dict(numbers)))


def instants(cell: str, **numbers: Any) -> Instants:
    """Of the leader, in brackets where they differ, and of the others, in microseconds."""
    others, _, leader = cell.partition(" (") if cell.endswith(")") and " (" in cell else (cell, "", "")
    at = value(others, **numbers)
    return Instants(value(leader.rstrip(")"), **numbers) * D if leader else at * D, at * D)


def coin(n: int) -> Any:
    dealt = DealtCommittee(n)
    return coin_of(dealt.keys[dealt.members[0]].coin, (CHAIN, LOG_INDEX))


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_times_on_the_page_are_the_closed_forms(protocol: str, n: int):
    row = row_of(f"`{protocol}`", "decided, f silent")
    form, tossed = FORMS[protocol], coin(n)
    before = value(row["before"])
    for mute, ending in ((0, ""), ((n - 1) // 3, ", f silent")):
        speech = Speech(n, n - mute)
        rounds = mmr14_rounds(speech, tossed)
        numbers = {"R": max(rounds[: speech.s]), "Q": max(rounds[speech.s :], default=0)}
        leader, others = instants(row["decided" + ending], **numbers)
        assert form.agreed(speech, tossed) == (leader // D, others // D)
        assert form.decided(speech, tossed) == (leader + before * D, others + before * D)
        assert form.anchored(speech, tossed) == instants(row["anchored" + ending], **numbers)
    dead = row["anchored, k leaders dead"]
    assert bool(dead) == bool(form.change)
    for k in (1, 2, (n - 1) // 3) if dead else ():
        at = form.anchored(Speech(n, n - k, k), tossed)
        assert at == Instants(*[expired(k) + value(dead, T=0, k=k) * D] * 2)


@pytest.mark.parametrize("n", [4, 5, *SIZES])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_messages_on_the_page_are_the_counted_ones(protocol: str, n: int):
    row = row_of(f"`{protocol}`", "the instance")
    form, tossed = FORMS[protocol], coin(n)
    for mute in (0, (n - 1) // 3):
        s = n - mute
        total = sum(form.sent(Speech(n, s), tossed).values())
        assert total == value(row["the instance"], n=n, s=s, S=sum(mmr14_rounds(Speech(n, s), tossed)))
    alone = sum(form.sent(Speech(n, n), tossed).values()) - 2 * n * (n - 1)
    alone -= n * (n - 1) * (4 * n + 1) if protocol == "wasp" else 0
    alone -= sum(gathered(Speech(n, n)).values()) if form.change is not None else 0
    rounds = sum(mmr14_rounds(Speech(n, n), tossed))
    assert alone == value(row["the agreement alone, nobody silent"], n=n, S=rounds)
    for k in (1, (n - 1) // 3) if form.change else ():
        s = n - k
        assert sum(form.sent(Speech(n, s, k), tossed).values()) == value(
            f"{row['the instance']} + {row['and per dead leader']}", n=n, s=s, k=k
        )


def test_the_longest_of_n_agreements_takes_what_the_page_says():
    (sentence,) = re.findall(r"([0-9.]+) for n = 4, ([0-9.]+) for 16, ([0-9.]+) for 31", PAGE)
    assert list(sentence) == [f"{longest(n):.3f}" for n in (4, 16, 31)]


@pytest.mark.parametrize("protocol", CLOSED_FORMS)
def test_what_figures_are_held_against_are_the_same_forms(protocol: str):
    for mute in (0, 3):
        form, speech = FORMS[protocol], Speech(10, 10 - mute)
        assert delays_of(protocol, 10, bool(mute), whole=False) == form.agreed(speech, coin(10)).others
        assert delays_of(protocol, 10, bool(mute), whole=True) == form.anchored(speech, coin(10)).others / D


MAKERS: dict[str, Callable[[Membership], Any]] = {
    "ReliableBroadcast": lambda place: ReliableBroadcast(place.path, place.committee, 0),
    "AvidBroadcast": lambda place: AvidBroadcast(place.path, place.committee, 0, me=place.me),
    "BinaryAgreement": lambda place: BinaryAgreement(place.path, place.committee, WASP_SCHEDULE),
    "LateCoinAgreement": lambda place: LateCoinAgreement(place.path, place.committee, WASP_SCHEDULE),
    "CommonCoin": lambda place: CommonCoin(place.path, place.committee, place.keys.coin),
    "NonceSharing": lambda place: NonceSharing(place.path, place.committee, 0, place.keys.nonces),
    "SigningTurns": lambda place: SigningTurns(place.committee, LOG_INDEX, place.keys.signing),
    "Progress": lambda place: Progress(place.committee),
    "Gathering": lambda place: Gathering(Notary(place, place.path), place.committee, 0),
    "ViewChanges": lambda place: ViewChanges(Notary(place, place.path), place.committee, Prepare),
    "Consensus": lambda place: DealtCommittee(place.committee.n).consensus(place.me),
}
for maker in (CommonSubset, HoneyBadger, NonceSignature, FrostSignature, Pbft, Tendermint, HotStuff, Jolteon):
    MAKERS[maker.__name__] = maker
QUORUMS = ("intersecting", "waiting", "correct majority", "some correct")
THRESHOLDS = [
    (owner, name, quorum)
    for quorum in QUORUMS
    for owner, name in re.findall(r"`(\w+)\.(\w+)`", row_of(quorum, "thresholds")["thresholds"])
]
OTHERS = re.findall(r"`(\w+)\.(\w+)` is (n - 2f|f \+ 2)", PAGE)


@pytest.mark.parametrize(("owner", "name", "quorum"), THRESHOLDS)
def test_a_threshold_is_the_quorum_that_the_page_says(owner: str, name: str, quorum: str):
    for n in range(1, 14):
        dealt = DealtCommittee(n)
        made = MAKERS[owner](dealt.membership(dealt.members[0]))
        assert getattr(made, name) == getattr(dealt.committee, quorum.replace(" ", "_"))


@pytest.mark.parametrize(("owner", "name", "size"), OTHERS)
def test_a_threshold_of_another_kind_is_what_the_page_says(owner: str, name: str, size: str):
    for n in range(4, 14):
        dealt = DealtCommittee(n)
        made = MAKERS[owner](dealt.membership(dealt.members[0]))
        assert getattr(made, name) == (n - 2 * dealt.committee.f if size == "n - 2f" else dealt.committee.f + 2)


def test_every_threshold_on_the_page_has_a_mutant_one_too_low_and_one_too_high():
    place = DealtCommittee(4).membership(NodeId("m0"))
    named = {(owner, name) for owner, name, _ in [*THRESHOLDS, *OTHERS]}
    assert len(named) == len(THRESHOLDS) + len(OTHERS) == 49
    for owner, name in named:
        kinds = type(MAKERS[owner](place)).__mro__
        assert {by for kind, moved, by, *_ in MUTANTS if kind in kinds and moved == name} == {-1, +1}, (owner, name)
