"""The good lists that a member knows, its questions for one that it lacks, and its answers to those of others.

A certificate names a list by its digest alone, and a quorum vouches for it: whoever must propose or output a list that it
never got asks for it until somebody sends it. One list is sought at a time, the last that was wanted.
"""

from __future__ import annotations

from ledger.kernel.automaton import Envelope, NodeId, Path
from ledger.kernel.encoding import Digest, Value
from ledger.kernel.instant import Duration, Instant
from ledger.kernel.rng import Stream
from wasp.consensus.leaders.proposal_list import ProposalList
from wasp.questions import Questions

FAN_OUT = 2
"""Members asked at a time for a list, which is large: one of two drawn by chance mostly has it."""


class ListWanted(Value):
    """The sender knows by a certificate that this list is good, and lacks it; answered by the ``ProposalList``."""

    digest: Digest


class KnownLists:
    """One member's lists in one instance."""

    __slots__ = ("_known", "_others", "_path", "_questions", "_retry", "_rng", "_sent", "missing")

    def __init__(self, path: Path, others: tuple[NodeId, ...], retry: Duration, rng: Stream) -> None:
        self._path = path
        self._others = others
        self._retry = retry
        self._rng = rng
        self._known: dict[Digest, ProposalList] = {}
        self._sent: set[tuple[NodeId, Digest]] = set()
        self._questions: Questions | None = None
        self.missing: Digest | None = None
        """The list that is sought."""

    @property
    def deadline(self) -> Instant | None:
        """When to ask again."""
        return None if self.missing is None or self._questions is None else self._questions.deadline

    def get(self, digest: Digest) -> ProposalList | None:
        """The list with this digest, if it is known."""
        return self._known.get(digest)

    def add(self, proposals: ProposalList) -> None:
        """A good list, which is no longer sought."""
        self._known[proposals.digest] = proposals
        if proposals.digest == self.missing:
            self.missing = None

    def want(self, digest: Digest, now: Instant) -> tuple[Envelope, ...]:
        """Questions for a list that a certificate vouches for; none if it is sought already."""
        if self.missing == digest:
            return ()
        self.missing = digest
        self._questions = Questions(self._others, self._retry, FAN_OUT, self._rng)
        return self.ask(now)

    def ask(self, now: Instant) -> tuple[Envelope, ...]:
        """Questions for the list that is sought, to members drawn anew."""
        if self.missing is None or self._questions is None or not (asked := self._questions.ask(now)):
            return ()
        return (Envelope(asked, self._path, ListWanted(self.missing)),)

    def answer(self, sender: NodeId, digest: Digest) -> tuple[Envelope, ...]:
        """A list for who lacks it, once per member and list: links are reliable, and lists are large."""
        proposals = self._known.get(digest)
        if proposals is None or (sender, digest) in self._sent:
            return ()
        self._sent.add((sender, digest))
        return (Envelope((sender,), self._path, proposals),)
