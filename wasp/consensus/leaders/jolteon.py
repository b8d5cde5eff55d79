"""Jolteon (Gelashvili, Kokoris-Kogias, Sonnino, Spiegelman, Xiang, FC 2022, figure 2), one decision per instance.

1. leader, with its list, and in later views with the proof of line 5: multicast ``ViewProposal``
2. on a good ``ViewProposal`` in the current view: send the leader ``FirstVote``
3. leader, on a quorum of these: multicast ``FirstCertified``; on it: that is the latest to claim; send ``SecondVote``
4. leader, on a quorum of these: multicast ``Decision``; on it: decide
5. when the view's timer expires, or f + 1 members are in later views: multicast ``ViewChange(v + 1)`` with the latest claim
   (the paper's timeout of v); n - f of these, as marks, are the timeout certificate. The leader of v + 1 shows it, and
   proposes the list of the latest claim in it, with the certificate; there is none: a list of its own
6. on a ``ViewProposal`` whose certificate is that of the latest claim in its marks: go to its view, line 2

The leader decides 4d after its proposal, the others at 5d, with 5(n - 1) messages; with a dead leader at T + d + 5d, T being
the timeout. A view change has n(n - 1) messages.

Departures. (a) Not pipelined: the chain above needs each chain block signed before the next is proposed. A decision takes a
chain of two certified blocks in consecutive rounds; here the second block is empty and of the same leader, so a view is two
of the paper's rounds. That is the shape of HotStuff-2 in one view (Malkhi and Nayak 2023, eprint 2023/397), which changes
views by waiting out the largest delay instead. (b) Certificates are lists of signatures (see ``certified_phases``), and
quorums intersect for every n. (c) A timeout certificate holds marks, and the one certificate that matters (``view_change``).

Invariants. A view has one certified digest at most. Members hold no locks: a decision in v leaves an intersecting quorum
whose latest claim is of v or later, one of its correct members is among any n - f marks, and so line 6 lets only the same
list be certified after v. Without the check of line 6 it would be the leader's choice, and agreement would break: the flaw
that Twins found in Fast-HotStuff (Bano et al. 2020).
"""

from __future__ import annotations

from typing import TypeAlias

from wasp.consensus.leaders.certified_phases import Certified, CertifiedPhases, Phase, ViewProposal, later
from wasp.consensus.leaders.leadership import Decision, LeadershipMessage
from wasp.consensus.leaders.view_change import ViewChange
from wasp.consensus.leaders.vote import Certificate, Vote


class FirstVote(Vote):
    """The leader of this view proposed this list to the sender, and it is the one that the view demands."""


class SecondVote(Vote):
    """The sender has seen the certificate of the first votes, and will claim it."""


class FirstCertified(Certified):
    """A quorum's ``FirstVote``: no other list can be certified in this view."""


JolteonMessage: TypeAlias = LeadershipMessage | ViewProposal | FirstVote | FirstCertified | SecondVote | ViewChange


class Jolteon(CertifiedPhases):
    """One member's part in one instance."""

    name = "jolteon"
    claimed = FirstVote
    phases = (Phase(FirstVote, FirstCertified), Phase(SecondVote, Decision))
    decisive = SecondVote

    def _may_accept(self, message: ViewProposal) -> bool:
        """Line 2: what is good is what the view demands."""
        return True

    def _why_bad(self, message: ViewProposal) -> str:
        """Line 6."""
        if message.view > 0:
            return self._changes.why_bad(message.view, message.marks, message.prepared)
        return "marks of view 0" if message.marks else ""

    def _remember(self, place: int, certificate: Certificate) -> None:
        """Line 3."""
        self._prepared = later(self._prepared, certificate)
