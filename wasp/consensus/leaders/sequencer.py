"""A single sequencer: one trusted member decides alone. The floor under all protocols, and nothing more.

1. every member: send the own proposal to the sequencer, the first member
2. sequencer, with proposals of n - f members: multicast ``Sequenced(list)``, signed
3. on the sequencer's ``Sequenced``: decide

It tolerates no fault of the sequencer: when that is silent nobody decides, and nothing stops it from telling two members two
lists. It tolerates f members that do not propose. A committee of one is the usual single sequencer. There are no views, no
votes and no timers but the patience of line 2. With constant delay the sequencer decides at 0 and the others at 1d after
its list, which comes one delay after the proposals; n - 1 messages.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from ledger.kernel.automaton import Fault, NodeId, Path, Step, StepBuilder
from ledger.kernel.encoding import Value
from ledger.kernel.identity import Signature
from ledger.kernel.instant import Instant
from wasp.consensus.committee_protocol import ProtocolOutput
from wasp.consensus.leaders.leadership import LeaderProtocol, LeadershipMessage
from wasp.consensus.leaders.proposal_list import ProposalList


class Sequenced(Value):
    """The sequencer's list; it is decided."""

    proposals: ProposalList
    signature: Signature


SequencerMessage: TypeAlias = LeadershipMessage | Sequenced


class Sequencer(LeaderProtocol):
    """One member's part in one instance."""

    name = "sequencer"

    def leader_of(self, view: int) -> NodeId:
        return self._members[0]

    def handle_message(self, sender: NodeId, path: Path, message: Any, now: Instant) -> Step[ProtocolOutput]:
        if path != self._path:
            return Step(faults=(Fault(sender, "no_such_leaf", path),))
        step: StepBuilder[ProtocolOutput] = StepBuilder()
        if isinstance(message, Sequenced):
            self._handle_sequenced(step, sender, message, now)
        else:
            self._handle_leadership(step, sender, message, now)
        return self._conclude(step)

    def _handle_sequenced(
        self, step: StepBuilder[ProtocolOutput], sender: NodeId, message: Sequenced, now: Instant
    ) -> None:
        """Line 3. Members check the list all the same: what they execute must have been proposed."""
        proposals = message.proposals
        if sender != self.leader_of(0):
            self._blame(step, sender, "not_the_leader", f"only {self.leader_of(0)} sequences")
        elif not self._notary.is_signed(sender, message.signature, "Sequenced", proposals.digest):
            self._blame(step, sender, "bad_signature", "Sequenced")
        elif self.decided:
            if proposals.digest != self._decision and self._proof is not None:
                step.faults.append(Fault(sender, "equivocation", self._path, "two lists", (self._proof(), message)))
        elif why := self._gathering.why_bad(proposals, self._committee.index[sender]):
            step.faults.append(Fault(sender, "bad_list", self._path, why, (message,)))
        else:
            self._accept_list(step, proposals, now)
            self._decide(step, proposals.digest, 0, lambda: message, now)

    def _lead(self, step: StepBuilder[ProtocolOutput], now: Instant) -> None:
        """Line 2."""
        proposals = self._gathering.list_with(self._me)
        if proposals is not None and self.proposed_at is None:
            signature = self._notary.sign("Sequenced", proposals.digest)
            self._propose_list(step, Sequenced(proposals, signature), now)

    def _handle_proposed(self, step: StepBuilder[ProtocolOutput], now: Instant) -> None:
        """Nothing is timed here: a sequencer is trusted."""

    def _handle_expiry(self, step: StepBuilder[ProtocolOutput], name: str, now: Instant) -> None:
        """Nothing is timed here."""
