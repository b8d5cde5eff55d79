"""The base anchor of a decided batch that this member does not know: it asks the others for the signed transaction.

Members that were away, or restarted in the middle of a log index, miss the anchor that the others signed, and are told of it
by layer 1 only when it is confirmed. f + 1 members named the base, so a correct one holds its transaction.

::

    1  a batch names an anchor that is not in the view    ask members for it, a few at a time, at doubling intervals
    2  asked                                              answer with the transaction, if the anchor is in the view
    3  answered                                           if it makes that anchor and the committee has signed it: found

Invariant: what is found was signed by the committee, whoever sent it.
"""

from __future__ import annotations

from typing import TypeAlias

from ledger.kernel.automaton import NOTHING, Automaton, Envelope, Fault, NodeId, Path, Step
from ledger.kernel.encoding import Frozen, Value
from ledger.kernel.identity import Verifier
from ledger.kernel.instant import Instant
from ledger.kernel.rng import Stream
from ledger.output import OutputId
from ledger.transaction import Transaction
from wasp.anchoring import AnchorView
from wasp.committee import Committee
from wasp.questions import Questions
from wasp.signed_anchor import is_signed_anchor
from wasp.state_manager import FetchTimes

ANCHORS_SOUGHT_MAX = 16
"""Anchors looked for at a time: one per kept log index."""


class AnchorQuery(Value):
    """A batch builds on this anchor, and I don't know it."""

    anchor_id: OutputId


class AnchorAnswer(Value):
    """The transaction that makes the anchor that you asked for."""

    transaction: Transaction


AnchorMessage: TypeAlias = AnchorQuery | AnchorAnswer


class SeekAnchors(Frozen):
    """Input: these anchors are needed now, and no others."""

    anchors: tuple[OutputId, ...]


class AnchorFound(Frozen):
    """Output: the signed transaction of an anchor that was sought."""

    transaction: Transaction


class AnchorSearch(Automaton[SeekAnchors, AnchorMessage, AnchorFound]):
    """One member's questions for anchors, and its answers."""

    def __init__(
        self,
        path: Path,
        committee: Committee,
        me: NodeId,
        verifier: Verifier,
        anchors: AnchorView,
        times: FetchTimes,
        rng: Stream,
    ) -> None:
        self.path = path
        self.committee = committee
        self.anchors = anchors
        others = [member for member in committee.members if member != me]
        self._questions = Questions(others, times.fetch_retry, times.fetch_fan_out, rng)
        self._verifier = verifier
        self._sought: tuple[OutputId, ...] = ()

    def handle_input(self, input: SeekAnchors, now: Instant) -> Step[AnchorFound]:
        """Line 1."""
        sought = input.anchors[:ANCHORS_SOUGHT_MAX]
        if sought == self._sought:
            return NOTHING
        self._sought = sought
        self._questions.begin_anew()
        return self._ask(now)

    def handle_message(self, sender: NodeId, path: Path, message: AnchorMessage, now: Instant) -> Step[AnchorFound]:
        if sender not in self.committee:
            return self._fault(sender, "not_a_member", type(message).__name__)
        match message:
            case AnchorQuery():
                return self._handle_query(sender, message)
            case AnchorAnswer():
                return self._handle_answer(sender, message.transaction)

    def handle_timer(self, now: Instant) -> Step[AnchorFound]:
        if self.deadline is None or now < self.deadline:
            return NOTHING
        return self._ask(now)

    @property
    def deadline(self) -> Instant | None:
        return self._questions.deadline

    def _handle_query(self, sender: NodeId, message: AnchorQuery) -> Step[AnchorFound]:
        """Line 2."""
        anchor = self.anchors.anchor(message.anchor_id)
        if anchor is None or anchor.transaction is None:
            return NOTHING
        return Step(messages=(Envelope((sender,), self.path, AnchorAnswer(anchor.transaction)),))

    def _handle_answer(self, sender: NodeId, transaction: Transaction) -> Step[AnchorFound]:
        """Line 3."""
        if transaction.output_id(0) not in self._sought:
            return NOTHING
        if not is_signed_anchor(transaction, transaction.essence.inputs[0], self.committee, self._verifier):
            return self._fault(sender, "bad_anchor", "an answer that the committee has not signed")
        return Step(outputs=(AnchorFound(transaction),))

    def _ask(self, now: Instant) -> Step[AnchorFound]:
        if not self._sought:
            self._questions.rest()
            return NOTHING
        asked = self._questions.ask(now)
        if not asked:
            return NOTHING
        return Step(messages=[Envelope(asked, self.path, AnchorQuery(anchor)) for anchor in self._sought])

    def _fault(self, accused: NodeId, kind: str, detail: str) -> Step[AnchorFound]:
        return Step(faults=(Fault(accused, kind, self.path, detail),))
