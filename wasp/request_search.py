"""The bodies of the requests that a decided batch names: those not here are asked for until they came.

f + 1 members named each request, so a correct one holds it. After ``PULLS_MAX`` questions without a single answer
nobody has them any more (an output that was spent by others meanwhile): the log index is left to recovery.

Invariant: a batch's requests are found once, complete and in its order.
"""

from __future__ import annotations

from collections.abc import Iterable

from ledger.kernel.automaton import NodeId
from ledger.kernel.instant import Duration, Instant
from ledger.kernel.rng import Stream
from wasp.questions import Questions
from wasp.request import Request, RequestId

PULLS_MAX = 16
"""Questions without any answer: about six minutes."""


class _Wanted:
    """A batch with requests that are not all here; ``found`` are those that came for it."""

    __slots__ = ("found", "missing", "order")

    def __init__(self, order: tuple[RequestId, ...]) -> None:
        self.order = order
        self.found: dict[RequestId, Request] = {}
        self.missing: dict[RequestId, None] = dict.fromkeys(order)


class RequestSearch:
    """What one member is looking for, by log index, and whom it asks next."""

    def __init__(self, others: Iterable[NodeId], retry: Duration, fan_out: int, rng: Stream) -> None:
        self._questions = Questions(others, retry, fan_out, rng)
        self._wanted: dict[int, _Wanted] = {}

    @property
    def deadline(self) -> Instant | None:
        """When to ask again."""
        return self._questions.deadline

    def __len__(self) -> int:
        return len(self.missing())

    def add(self, log_index: int, requests: tuple[RequestId, ...]) -> None:
        """A batch names these requests."""
        self._wanted[log_index] = _Wanted(requests)
        self._questions.begin_anew()

    def forget(self, log_index: int) -> None:
        """They are no longer needed."""
        self._wanted.pop(log_index, None)

    def missing(self) -> dict[RequestId, None]:
        """All that are looked for, in the order of their batches."""
        return {request_id: None for wanted in self._wanted.values() for request_id in wanted.missing}

    def complete(self, arrived: dict[RequestId, Request]) -> list[tuple[int, tuple[Request, ...]]]:
        """These requests are here now: the batches that are complete by that."""
        complete = []
        for log_index in list(self._wanted):
            wanted = self._wanted[log_index]
            for request_id in [request_id for request_id in wanted.missing if request_id in arrived]:
                wanted.found[request_id] = arrived[request_id]
                del wanted.missing[request_id]
                self._questions.begin_anew()
            if not wanted.missing:
                del self._wanted[log_index]
                complete.append((log_index, tuple([wanted.found[place] for place in wanted.order])))
        return complete

    def ask(self, now: Instant) -> tuple[NodeId, ...]:
        """Whom to ask now for what is missing, if anybody; afterwards ``deadline`` says when to ask again."""
        if not self._wanted or self._questions.asked >= PULLS_MAX:
            self._questions.rest()
            return ()
        return self._questions.ask(now)
