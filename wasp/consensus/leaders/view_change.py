"""Changing views (Castro and Liskov 1999, section 4.4): who has left for which view, and what the next leader must propose.

1. who leaves for view v says what it prepared last, with the certificate: ``ViewChange(v, certificate or none)``
2. f + 1 members in later views hold a correct one: go to the lowest of these views
3. n - f members in view v or later: v has begun
4. the next leader takes n - f *marks* of view v, and the certificate of the highest claim among them
5. whoever is shown these checks the marks, and the one certificate

A mark is what a ``ViewChange`` signs: who claims to have prepared which digest in which view. Only the highest claim matters:
a correct member that prepared what was decided is among any n - f, and claims at least that view. So the certificates of the
others need not travel again, and only the leader of v verifies the certificate of every claim, before it counts the claim.
"""

from __future__ import annotations

from typing import NamedTuple

from ledger.kernel.automaton import Fault, NodeId
from ledger.kernel.encoding import Digest, Natural, Value
from ledger.kernel.identity import Signature
from wasp.committee import Committee
from wasp.consensus.leaders.vote import NO_VALUE, Certificate, Kind, Notary


class ViewChange(Value):
    """The sender takes part in no earlier view any more; what it prepared last, if anything."""

    view: Natural
    prepared: Certificate | None
    signature: Signature


class ViewChangeMark(Value):
    """The member left for this view, having prepared this digest in that view, if anything."""

    member: Natural
    view: Natural
    prepared_in: Natural | None
    digest: Digest
    signature: Signature


class Claim(NamedTuple):
    """What a member says to have prepared."""

    prepared_in: int | None
    digest: Digest


def claim_of(prepared: Certificate | None) -> Claim:
    """What a certificate says."""
    return Claim(None, NO_VALUE) if prepared is None else Claim(prepared.view, prepared.digest)


def highest_claim(marks: tuple[ViewChangeMark, ...]) -> Claim:
    """The latest of the claims."""
    highest = max(marks, key=lambda mark: -1 if mark.prepared_in is None else mark.prepared_in)
    return Claim(highest.prepared_in, highest.digest)


class ViewChanges:
    """The view changes that one member knows of: the last of each member, and the marks of the present and later views."""

    def __init__(self, notary: Notary, committee: Committee, kind: Kind) -> None:
        self._notary = notary
        self._committee = committee
        self._kind = kind
        self._certificate_quorum = committee.intersecting
        self._change_quorum = committee.waiting
        self._follow_quorum = committee.some_correct
        self._marks: dict[int, dict[NodeId, ViewChangeMark]] = {}
        self._last: dict[NodeId, int] = {}

    def make(self, view: int, prepared: Certificate | None) -> ViewChange:
        """Line 1."""
        return ViewChange(view, prepared, self._notary.sign("ViewChange", view, *claim_of(prepared)))

    def add(self, sender: NodeId, message: ViewChange, leading: bool) -> Fault | None:
        """Count a member's view change. ``leading``: this member leads that view, so a claim must be proved."""
        view, prepared, path = message.view, message.prepared, self._notary.path
        mark = ViewChangeMark(self._committee.index[sender], view, *claim_of(prepared), message.signature)
        first = self._marks.get(view, {}).get(sender)
        if first == mark:
            return None
        if prepared is not None and prepared.view >= view:
            return Fault(sender, "bad_view_change", path, f"prepared in {prepared.view}, left for {view}")
        if not self._is_signed(mark):
            return Fault(sender, "bad_signature", path, "ViewChange")
        if first is not None:
            return Fault(sender, "equivocation", path, f"two changes to view {view}", (first, mark))
        if leading and prepared is not None and not self._is_true(prepared):
            return Fault(sender, "bad_certificate", path, "a claim without proof")
        self._marks.setdefault(view, {})[sender] = mark
        self.note(sender, view)
        return None

    def note(self, sender: NodeId, view: int) -> None:
        """A member has left for this view, whatever it claims."""
        self._last[sender] = max(view, self._last.get(sender, view))

    def forget_before(self, view: int) -> None:
        """What is about earlier views has no use any more."""
        for old in [old for old in self._marks if old < view]:
            del self._marks[old]

    def count(self, view: int) -> int:
        """How many members have left for this view."""
        return len(self._marks.get(view, ()))

    def followed(self) -> int:
        """Line 2: the latest view that f + 1 members have reached or passed; 0 when so many have left for none."""
        views = sorted(self._last.values(), reverse=True)
        return views[self._follow_quorum - 1] if len(views) >= self._follow_quorum else 0

    def have_begun(self, view: int) -> bool:
        """Line 3."""
        return sum(last >= view for last in self._last.values()) >= self._change_quorum

    def marks(self, view: int) -> tuple[ViewChangeMark, ...]:
        """Line 4: n - f marks by rising index; none while there are too few."""
        first = list(self._marks.get(view, {}).values())[: self._change_quorum]
        return tuple(sorted(first, key=lambda mark: mark.member)) if len(first) == self._change_quorum else ()

    def highest(self, marks: tuple[ViewChangeMark, ...]) -> Certificate | None:
        """Line 4: the certificate of the highest claim among the marks of a view that this member leads."""
        prepared_in, digest = highest_claim(marks)
        if prepared_in is None:
            return None
        certificate = self._notary.known(self._kind, prepared_in, digest)
        assert certificate is not None, "a claim is counted after it was proved"
        return certificate

    def why_bad(self, view: int, marks: tuple[ViewChangeMark, ...], prepared: Certificate | None) -> str:
        """Line 5: what is wrong with these; empty when the certificate follows from the marks."""
        members = [mark.member for mark in marks]
        if len(members) != self._change_quorum or any(members[i] >= members[i + 1] for i in range(len(members) - 1)):
            return "not the marks of n - f members in rising order"
        if members[-1] >= self._committee.n or any(mark.view != view for mark in marks):
            return "a mark of no member, or of another view"
        known = self._marks.get(view, {})
        if not all(known.get(self._committee.members[mark.member]) == mark or self._is_signed(mark) for mark in marks):
            return "a mark that its member did not sign"
        if claim_of(prepared) != highest_claim(marks):
            return "not the certificate of the highest claim"
        if prepared is not None and not self._notary.is_certified(self._kind, prepared, self._certificate_quorum):
            return "a certificate that is none"
        return ""

    def _is_true(self, prepared: Certificate) -> bool:
        """Whether something certifies the claim, this certificate or another one."""
        known = self._notary.known(self._kind, prepared.view, prepared.digest)
        return known is not None or self._notary.is_certified(self._kind, prepared, self._certificate_quorum)

    def _is_signed(self, mark: ViewChangeMark) -> bool:
        member = self._committee.members[mark.member]
        return self._notary.is_signed(member, mark.signature, "ViewChange", mark.view, mark.prepared_in, mark.digest)
