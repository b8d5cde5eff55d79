"""Signed proposals and the lists that leaders make of them: what a committee with a leader votes on.

A list holds the signed proposals of n - f distinct members, the leader's own among them. So a leader can choose whom to leave
out, but neither forge nor outvote: n - 2f proposals at least are those of correct members. All members check a list alike,
by its bytes alone; a proposal that was seen before is not verified again.

A proposal's signature binds the instance, its member and the digest of its payload. Without the payload it is a *mark*: proof
that the member has proposed. A member whose proposals to two leaders differ is a liar, but a list with either is a good one.
"""

from __future__ import annotations

from functools import cached_property

from ledger.kernel.automaton import Fault, NodeId
from ledger.kernel.encoding import Digest, Natural, Value, digest_of, digest_of_bytes
from ledger.kernel.identity import Signature
from wasp.committee import Committee
from wasp.consensus.vote import Notary


class SignedProposal(Value, dict=True):
    """The member with this index proposes this payload."""

    member: Natural
    payload: bytes
    signature: Signature

    @cached_property
    def digest(self) -> Digest:
        """The digest of the payload, which is what is signed."""
        return digest_of_bytes(self.payload)

    @cached_property
    def mark(self) -> ProposalMark:
        """The proposal without its payload."""
        return ProposalMark(self.member, self.digest, self.signature)


class ProposalMark(Value):
    """The member with this index has proposed a payload with this digest."""

    member: Natural
    digest: Digest
    signature: Signature


class ProposalList(Value, dict=True):
    """Proposals of n - f members by rising index: what a leader proposes."""

    proposals: tuple[SignedProposal, ...]

    @cached_property
    def digest(self) -> Digest:
        """The digest of all of it, signatures included, so that a digest stands for a valid list or for an invalid one."""
        return digest_of(self)


class Gathering:
    """The proposals that came to this member as a leader, the first of each member; and what a good list of them is."""

    def __init__(self, notary: Notary, committee: Committee, payload_size_max: int) -> None:
        self._notary = notary
        self._committee = committee
        self._payload_size_max = payload_size_max
        self._list_quorum = committee.waiting
        self._mark_quorum = committee.some_correct
        self._verified: set[ProposalMark] = set()
        self.heard: dict[int, SignedProposal] = {}

    def add(self, sender: NodeId, proposal: SignedProposal) -> Fault | None:
        """Take a member's proposal, unless something is wrong with it. The first one counts."""
        place, path = self._committee.index[sender], self._notary.path
        first = self.heard.get(place)
        if first == proposal:
            return None
        if proposal.member != place:
            return Fault(sender, "not_the_proposer", path, f"a proposal of member {proposal.member}")
        if len(proposal.payload) > self._payload_size_max:
            return Fault(sender, "oversized", path, f"a payload of {len(proposal.payload)} bytes")
        if not self._is_signed(proposal.mark):
            return Fault(sender, "bad_signature", path, "a proposal")
        if first is not None:
            return Fault(sender, "equivocation", path, "two proposals", (first.mark, proposal.mark))
        self.heard[place] = proposal
        return None

    def is_enough_for(self, leader: int) -> bool:
        """Whether this leader can propose a list."""
        return len(self.heard) >= self._list_quorum and leader in self.heard

    def list_with(self, leader: int) -> ProposalList | None:
        """The leader's list: its own proposal and those that came first; none while there are too few."""
        if not self.is_enough_for(leader):
            return None
        others = [place for place in self.heard if place != leader][: self._list_quorum - 1]
        return ProposalList(tuple(self.heard[place] for place in sorted((leader, *others))))

    def why_bad(self, proposals: ProposalList, leader: int) -> str:
        """What is wrong with this leader's list; empty when it is good. A signature that was seen before is not verified."""
        members = [proposal.member for proposal in proposals.proposals]
        if len(members) != self._list_quorum or any(members[i] >= members[i + 1] for i in range(len(members) - 1)):
            return "not the proposals of n - f members in rising order"
        if members[-1] >= self._committee.n or leader not in members:
            return "the leader's own proposal is missing, or there is one of no member"
        if any(len(proposal.payload) > self._payload_size_max for proposal in proposals.proposals):
            return "a proposal is too large"
        if not all(self._is_signed(proposal.mark) for proposal in proposals.proposals):
            return "a proposal is not signed by its member"
        return ""

    def are_marks(self, marks: tuple[ProposalMark, ...], me: int) -> bool:
        """Whether f + 1 others have signed proposals with these marks. Total."""
        members = {mark.member for mark in marks if mark.member < self._committee.n and mark.member != me}
        return (
            len(members) == len(marks) >= self._mark_quorum
            and all(self._is_signed(mark) for mark in marks)
        )  # fmt: skip

    def _is_signed(self, mark: ProposalMark) -> bool:
        if mark in self._verified:
            return True
        member = self._committee.members[mark.member]
        if not self._notary.is_signed(member, mark.signature, "proposal", mark.member, mark.digest):
            return False
        self._verified.add(mark)
        return True
