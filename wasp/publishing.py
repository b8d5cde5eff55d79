"""Publishing signed anchors: one member is enough, so the others wait for it (after Wasp 0.2's ranked posting).

::

    rank = (own index - state index) mod n          the first changes with every anchor
    signed         publish after rank * publish_delay, unless a block with the transaction is seen before
    seen, or published by this member, and not accepted:
                   publish again after reattach_after + rank * publish_delay
    accepted       done, unless it is rejected
    layer 1 was out of sight        all of this again, since acceptance and rejection may have been missed

Invariants: without faults and with a delay longer than a block's way, every anchor is published once.
"""

from __future__ import annotations

from collections.abc import Iterable

from ledger.kernel.automaton import NOTHING, Step
from ledger.kernel.encoding import Frozen
from ledger.kernel.instant import SECOND, Duration, Instant, earliest
from ledger.output import TransactionId
from ledger.transaction import Transaction
from wasp.anchoring import Anchor


class PublicationTimes(Frozen):
    """Delays of publishing."""

    publish_delay: Duration = 2 * SECOND
    """Between two ranks: longer than proof of work and a block's way."""
    reattach_after: Duration = 20 * SECOND
    """Longer than acceptance takes."""


class PublicationNeeded(Frozen):
    """Output: attach this transaction to layer 1. No answer: the ledger's view tells when it is seen."""

    transaction: Transaction


class _Publication:
    __slots__ = ("at", "rank", "transaction")

    def __init__(self, transaction: Transaction, rank: int, at: Instant) -> None:
        self.transaction = transaction
        self.rank = rank
        self.at: Instant | None = at


class Publisher:
    """One member's publications. It talks to nobody: the chain feeds it, its outputs are needs."""

    def __init__(self, member: int, n: int, times: PublicationTimes) -> None:
        self.member = member
        self.n = n
        self.times = times
        self._publications: dict[TransactionId, _Publication] = {}

    def follow(self, unconfirmed: Iterable[Anchor], now: Instant) -> Step[PublicationNeeded]:
        """These are the signed anchors that wait for layer 1; all others need nothing any more."""
        before, self._publications = self._publications, {}
        for anchor in unconfirmed:
            transaction = anchor.transaction
            assert transaction is not None
            known = before.get(transaction.id)
            if known is None:
                rank = (self.member - anchor.index) % self.n
                known = _Publication(transaction, rank, now + rank * self.times.publish_delay)
            self._publications[transaction.id] = known
        return self.handle_timer(now)

    def begin_session(self, now: Instant) -> None:
        """What became of the anchors may have been missed: whoever publishes one again is told."""
        for publication in self._publications.values():
            publication.at = self._again(publication, now)

    def handle_seen(self, transaction_id: TransactionId, now: Instant) -> None:
        """A block with it has reached this member's layer-1 node."""
        publication = self._publications.get(transaction_id)
        if publication is not None and publication.at is not None:
            publication.at = self._again(publication, now)

    def handle_accepted(self, transaction_id: TransactionId) -> None:
        """Layer 1 has accepted it."""
        publication = self._publications.get(transaction_id)
        if publication is not None:
            publication.at = None

    def handle_timer(self, now: Instant) -> Step[PublicationNeeded]:
        outputs = []
        for publication in self._publications.values():
            if publication.at is not None and now >= publication.at:
                publication.at = self._again(publication, now)
                outputs.append(PublicationNeeded(publication.transaction))
        return Step(outputs=outputs) if outputs else NOTHING

    @property
    def deadline(self) -> Instant | None:
        return earliest(*[publication.at for publication in self._publications.values()])

    @property
    def status(self) -> str:
        """How many wait for what."""
        waiting = sum([publication.at is not None for publication in self._publications.values()])
        return f"{waiting} of {len(self._publications)} signed anchors not yet accepted"

    def _again(self, publication: _Publication, now: Instant) -> Instant:
        return now + self.times.reattach_after + publication.rank * self.times.publish_delay
