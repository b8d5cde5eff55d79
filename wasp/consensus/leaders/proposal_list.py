"""Signed proposals and the lists that leaders make of them: what a committee with a leader votes on.

A list holds the signed proposals of n - f distinct members, the leader's own among them. So a leader can choose whom to leave
out, but neither forge nor outvote: n - 2f proposals at least are those of correct members. All members check a list alike,
by its bytes alone; a proposal that was seen before is not verified again.

A proposal's signature binds the instance, its member and the digest of its payload. Without the payload it is a *mark*: proof
that the member has proposed. A member whose proposals to two leaders differ is a liar, but a list with either is a good one.
"""

from __future__ import annotations

from functools import cached_property
from operator import lt

from ledger.kernel.automaton import Fault, NodeId, Path
from ledger.kernel.encoding import Digest, Natural, Value, digest_of, digest_of_bytes
from ledger.kernel.identity import Signature
from wasp.committee import Committee
from wasp.consensus.leaders.vote import Notary


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

    @property
    def stated(self) -> tuple[str, int, Digest]:
        """What is signed."""
        return ("proposal", self.member, self.digest)


class ProposalList(Value, dict=True):
    """Proposals of n - f members by rising index: what a leader proposes."""

    proposals: tuple[SignedProposal, ...]

    @cached_property
    def digest(self) -> Digest:
        """The digest of all of it, signatures included, so that a digest stands for a valid list or for an invalid one."""
        return digest_of(self)

    @cached_property
    def members(self) -> tuple[int, ...]:
        """Whose proposals they are."""
        return tuple([proposal.member for proposal in self.proposals])

    @cached_property
    def is_rising(self) -> bool:
        """Whether their members are distinct and stand in order."""
        return all(map(lt, self.members, self.members[1:]))

    @cached_property
    def payload_size_max(self) -> int:
        """The size of the largest of their payloads."""
        return max([len(proposal.payload) for proposal in self.proposals])

    @cached_property
    def payloads(self) -> tuple[tuple[int, bytes], ...]:
        """What is decided with this list."""
        return tuple([(proposal.member, proposal.payload) for proposal in self.proposals])

    def statements(self, notary: Notary) -> tuple[bytes, ...]:
        """What its members signed; computed once for all members of an instance that hold this object."""
        known: tuple[Path, tuple[bytes, ...]] | None = self.__dict__.get("stated")
        if known is None or known[0] != notary.path:
            statements = [notary.statement(*proposal.mark.stated) for proposal in self.proposals]
            known = self.__dict__["stated"] = notary.path, tuple(statements)
        return known[1]


class Gathering:
    """The proposals that came to this member as a leader, the first of each member; and what a good list of them is."""

    def __init__(self, notary: Notary, committee: Committee, payload_size_max: int) -> None:
        self._notary = notary
        self._committee = committee
        self._payload_size_max = payload_size_max
        self._list_quorum = committee.waiting
        self._mark_quorum = committee.some_correct
        self._verified: dict[int, SignedProposal] = {}
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
        if not self._notary.is_signed(sender, proposal.signature, *proposal.mark.stated):
            return Fault(sender, "bad_signature", path, "a proposal")
        if first is not None:
            return Fault(sender, "equivocation", path, "two proposals", (first.mark, proposal.mark))
        self.heard[place] = self._verified[place] = proposal
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
        members = proposals.members
        if len(members) != self._list_quorum or not proposals.is_rising:
            return "not the proposals of n - f members in rising order"
        if members[-1] >= self._committee.n or leader not in members:
            return "the leader's own proposal is missing, or there is one of no member"
        if proposals.payload_size_max > self._payload_size_max:
            return "a proposal is too large"
        return "" if self._are_signed(proposals) else "a proposal is not signed by its member"

    def are_marks(self, marks: tuple[ProposalMark, ...], me: int) -> bool:
        """Whether f + 1 others have signed proposals with these marks. Total."""
        members = {mark.member for mark in marks if mark.member < self._committee.n and mark.member != me}
        if not len(members) == len(marks) >= self._mark_quorum:
            return False
        return all(
            self._notary.is_signed(self._committee.members[mark.member], mark.signature, *mark.stated) for mark in marks
        )

    def _are_signed(self, proposals: ProposalList) -> bool:
        """Whether their members signed them; of each member the first good proposal is known again."""
        verified, verify = self._verified, self._notary.verify
        key, names = self._notary.key, self._committee.members
        for proposal, statement in zip(proposals.proposals, proposals.statements(self._notary), strict=True):
            member = proposal.member
            if verified.get(member) != proposal:
                if not verify(key[names[member]], statement, proposal.signature):
                    return False
                verified.setdefault(member, proposal)
        return True
