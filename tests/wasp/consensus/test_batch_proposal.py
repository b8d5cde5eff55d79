"""Aggregation is a function of the set of decided proposals, and f of them can't bend it."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from ledger.kernel.encoding import digest, encode
from ledger.kernel.quorum import max_faulty
from ledger.kernel.rejection import Rejected
from ledger.output import OutputId
from tests.harness.consensus_instances import BASE, aggregate_of, decided
from wasp.consensus.batch_proposal import (
    PREPARATION_SIZE_MAX,
    PROPOSAL_CODEC,
    PROPOSAL_SIZE_MAX,
    REQUESTS_MAX,
    AnchorReference,
    Batch,
    BatchProposal,
    MemberProposal,
    NoBatch,
)

IDS = [digest("request", number) for number in range(5)]
ANCHORS = [AnchorReference(OutputId(digest("anchor", place), 0), place // 2) for place in range(6)]

proposals = st.builds(
    BatchProposal,
    base=st.none() | st.sampled_from(ANCHORS),
    time=st.integers(0, 1_000),
    requests=st.lists(st.sampled_from(IDS), max_size=6).map(tuple),
)
payloads = proposals.map(lambda proposal: encode(MemberProposal(proposal, b""))) | st.binary(max_size=20)
committees = st.integers(4, 10).flatmap(
    lambda n: st.tuples(st.just(n), st.lists(payloads, min_size=n - max_faulty(n), max_size=n))
)


def decoded(payload: bytes) -> BatchProposal | None:
    try:
        return PROPOSAL_CODEC.decode(payload).batch
    except Rejected:
        return None


@given(committees)
def test_a_batch_follows_from_the_proposals_by_the_rules(committee: tuple[int, list[bytes]]):
    n, given_payloads = committee
    f = max_faulty(n)
    present = {member: p for member, payload in enumerate(given_payloads) if (p := decoded(payload)) is not None}
    result = aggregate_of(enumerate(given_payloads), f)
    names = Counter(p.base for p in present.values() if p.base)
    candidates = [base for base, count in names.items() if count > f]
    top = max((base.state_index for base in candidates), default=-1)
    winners = [base for base in candidates if base.state_index == top]
    if len(present) <= f or sum(p.base is None for p in present.values()) > f or len(winners) != 1:
        assert isinstance(result, NoBatch)
        return
    votes = Counter(request for p in present.values() if p.base == winners[0] for request in set(p.requests))
    assert result == Batch(
        base=winners[0],
        timestamp_proposed=sorted(p.time for p in present.values())[len(present) - f - 1],
        requests=tuple(sorted(request for request, count in votes.items() if count > f)),
        proposers=tuple(sorted(present)),
    )


@given(st.integers(4, 13), st.data())
def test_f_liars_cannot_move_the_time_outside_of_the_range_of_honest_clocks(n: int, data: st.DataObject):
    f = max_faulty(n)
    honest = data.draw(st.lists(st.integers(0, 100), min_size=n - 2 * f, max_size=n - f))
    lies = data.draw(
        st.lists(st.sampled_from([-(10**18), 10**18]) | st.integers(-200, 200), min_size=f, max_size=f).filter(
            lambda times: len(times) + len(honest) >= n - f
        )
        if len(honest) + f >= n - f
        else st.nothing()
    )
    result = aggregate_of(decided(*(BatchProposal(BASE, time, ()) for time in [*lies, *honest])), f)
    assert isinstance(result, Batch)
    assert min(honest) <= result.timestamp_proposed <= max(honest)


@given(st.integers(4, 10), st.data())
def test_a_liar_can_bring_back_no_request_that_correct_members_have_executed(n: int, data: st.DataObject):
    f = max_faulty(n)
    behind = AnchorReference(OutputId(digest("behind"), 0), BASE.state_index - 1)
    done, fresh = IDS[0], IDS[1]
    count_behind = data.draw(st.integers(0, n - 2 * f - 1))
    honest = [BatchProposal(behind, 1, (done, fresh))] * count_behind
    honest += [BatchProposal(BASE, 1, (fresh,))] * (n - f - count_behind)
    lies = [BatchProposal(BASE, 1, (done,))] * f
    result = aggregate_of(decided(*honest, *lies), f)
    assert isinstance(result, NoBatch) or result.base == behind or done not in result.requests


def test_two_anchors_at_the_highest_index_make_the_committee_wait():
    twin = AnchorReference(OutputId(digest("twin"), 0), BASE.state_index)
    rivals = [BatchProposal(base, 1, ()) for base in (BASE, BASE, twin, twin)]
    assert aggregate_of(decided(*rivals), 1) == NoBatch("no base anchor")


def test_undecodable_proposals_are_absent_also_from_the_count():
    times = [BatchProposal(BASE, time, ()) for time in (10, 20, 30)]
    assert aggregate_of(decided(*times, b"nonsense"), 1) == aggregate_of(decided(*times), 1)


def test_a_proposal_with_a_base_and_no_request_is_not_empty():
    assert aggregate_of(decided(*[BatchProposal(BASE, 5, ())] * 3), 1) == Batch(BASE, 5, (), (0, 1, 2))


def test_a_request_named_twice_by_one_member_counts_once():
    twice = BatchProposal(BASE, 5, (IDS[0], IDS[0]))
    others = [BatchProposal(BASE, 5, ())] * 2
    assert aggregate_of(decided(twice, *others), 1) == Batch(BASE, 5, (), (0, 1, 2))


def test_the_largest_proposal_fits_into_its_limit():
    batch = BatchProposal(BASE, 2**62, tuple(digest("request", number) for number in range(REQUESTS_MAX)))
    largest = MemberProposal(batch, bytes(PREPARATION_SIZE_MAX))
    data = encode(largest)
    assert len(data) <= PROPOSAL_SIZE_MAX
    assert PROPOSAL_CODEC.decode(data) == largest
