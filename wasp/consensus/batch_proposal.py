"""Batch proposals, and the one batch that follows from those that were decided (Wasp's aggregation, ``cons/bp``).

A member proposes the anchor to build on, its time, and the requests that it would like to see executed. The decided
proposals are the same at every correct member, and aggregation is a pure function of them:

1. A proposal that can't be decoded is absent, also from the count (``decode_proposals``).
2. time: sort the times; take the one at position count - f - 1, counted from 0
3. more than f proposals without a base anchor (*empty* ones): skip
4. base: named by at least f + 1, the one with the highest state index; none, or two at that index: skip
5. requests: named by at least f + 1 of those that named the base; sorted by id

What the quorums are for. Line 2: f liars can't move the time outside of the range of honest clocks, at either end. Line 4: a
base has been seen by a correct member, and where correct members see different anchors the committee waits. Line 5: a
request has been held by a correct member *that builds on the same anchor*; without that condition a member that has not seen
the latest chain block would bring back the requests that it executed. A proposal with a base and no request is not empty.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, TypeAlias

import msgspec

from ledger.kernel.encoding import Codec, Frozen, Natural, Value
from ledger.kernel.instant import Instant
from ledger.kernel.quorum import some_correct
from ledger.kernel.rejection import Rejected
from ledger.output import OutputId
from wasp.request import RequestId

REQUESTS_MAX = 1_000
"""Requests in one proposal: with the largest committee, proposals still fit into frames, and a block into its gas limit."""
PREPARATION_SIZE_MAX = 256
"""Bytes of what a signature scheme puts into a proposal: a commitment, or the names of the dealers."""
PROPOSAL_SIZE_MAX = 40 * 1024
"""Bytes of the largest proposal: ``REQUESTS_MAX`` ids of 34 bytes and the rest."""


class AnchorReference(Value):
    """An anchor to build on: signed, perhaps not yet confirmed."""

    output_id: OutputId
    state_index: Natural


class BatchProposal(Value):
    """What a member would do next. No base: its anchors wait for layer 1, it only takes part."""

    base: AnchorReference | None
    time: Instant
    requests: Annotated[tuple[RequestId, ...], msgspec.Meta(max_length=REQUESTS_MAX)]


class MemberProposal(Value):
    """What a member proposes to the committee's protocol: the batch, and what it has prepared for the anchor's signature."""

    batch: BatchProposal
    preparation: Annotated[bytes, msgspec.Meta(max_length=PREPARATION_SIZE_MAX)]


PROPOSAL_CODEC: Codec[MemberProposal] = Codec(MemberProposal, PROPOSAL_SIZE_MAX)


class Batch(Frozen):
    """What the committee has decided to do next.

    ``timestamp_proposed`` is the time of line 2; the chain raises it above the timestamp of its last chain block.
    ``requests`` are sorted by id; the order of execution comes later, from the entropy. ``proposers`` are the indices of
    the members whose proposals were decided and decoded.
    """

    base: AnchorReference
    timestamp_proposed: Instant
    requests: tuple[RequestId, ...]
    proposers: tuple[int, ...]


class NoBatch(Frozen):
    """The decided proposals make no batch: the log index is skipped."""

    reason: str


Aggregate: TypeAlias = Batch | NoBatch


def decode_proposals(decided: Sequence[tuple[int, bytes]]) -> dict[int, MemberProposal]:
    """The decided proposals by index of their members, without those that can't be decoded (line 1)."""
    proposals: dict[int, MemberProposal] = {}
    for member, payload in decided:
        try:
            proposals[member] = PROPOSAL_CODEC.decode(payload)
        except Rejected:
            continue
    return proposals


def aggregate(proposals: Mapping[int, BatchProposal], f: int) -> Aggregate:
    """The batch of the decided proposals, given by index of their members."""
    if len(proposals) < some_correct(f):
        return NoBatch("fewer proposals than one correct member's")
    if sum(proposal.base is None for proposal in proposals.values()) > empty_max(f):
        return NoBatch("empty proposals")
    base = _base(list(proposals.values()), f)
    if base is None:
        return NoBatch("no base anchor")
    return Batch(base, _time(list(proposals.values()), f), _requests(proposals, base, f), tuple(sorted(proposals)))


def base_quorum(f: int) -> int:
    """f + 1 members name the base: a correct one knows the anchor."""
    return some_correct(f)


def request_quorum(f: int) -> int:
    """f + 1 members that named the base name the request: a correct one holds it, and has not seen it executed."""
    return some_correct(f)


def empty_max(f: int) -> int:
    """f empty proposals may be lies; one more comes from a correct member."""
    return f


def time_place(count: int, f: int) -> int:
    """The place, among ``count`` times in rising order, of one that is neither before nor after all honest ones."""
    return count - f - 1


def _time(proposals: Sequence[BatchProposal], f: int) -> Instant:
    """Line 2."""
    times = sorted(proposal.time for proposal in proposals)
    return times[time_place(len(times), f)]


def _base(proposals: Sequence[BatchProposal], f: int) -> AnchorReference | None:
    """Line 4."""
    votes = Counter(proposal.base for proposal in proposals if proposal.base is not None)
    named = [base for base, count in votes.items() if count >= base_quorum(f)]
    highest = max((base.state_index for base in named), default=None)
    candidates = [base for base in named if base.state_index == highest]
    return candidates[0] if len(candidates) == 1 else None


def _requests(proposals: Mapping[int, BatchProposal], base: AnchorReference, f: int) -> tuple[RequestId, ...]:
    """Line 5. A proposal that names a request twice counts once."""
    votes: Counter[RequestId] = Counter()
    for proposal in proposals.values():
        if proposal.base == base:
            votes.update(dict.fromkeys(proposal.requests, 1))
    return tuple(sorted(request for request, count in votes.items() if count >= request_quorum(f)))
