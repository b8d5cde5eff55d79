"""Cross-chain: which confirmed outputs of layer 1 are requests for this chain, and when it may take them.

A contract's message leaves its chain as an output of the anchor transaction. It exists when that anchor is confirmed, and
the target takes it by consuming it in an anchor of its own. So layer 1 makes every message happen exactly once: as a
request to the target, or, when it has expired, as a request to the sender that it came back.

Times of an output with timelock l and expiration e, by the timestamp of the chain block that takes it::

    before l                  nobody
    l .. e - guard            the target, as a request
    e - guard .. e            nobody: a target's anchor in this minute could meet the sender's reclaim
    e or later                the return address, as a returned request

Whether an output was taken already is a fact of the state (its receipt), not of a list kept here: so after a re-base the
requests of the undone chain blocks stand open again by themselves. A confirmed spending removes the output for good.

Invariants: what is here is confirmed on layer 1 and unspent there; a request is offered only if the state has no receipt
for it and its window is open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ledger.kernel.encoding import digest_of
from ledger.kernel.instant import Duration, Instant, earliest
from ledger.output import BasicOutput, ChainAddress, ChainId, OutputId
from wasp.request import OnLedgerRequest, RequestId


def is_open(output: BasicOutput, chain: ChainId, guard: Duration, at: Instant) -> bool:
    """Whether a chain block of this timestamp may take the output, as a request or as a returned one."""
    return next_opening(output, chain, guard, at) == at


def next_opening(output: BasicOutput, chain: ChainId, guard: Duration, at: Instant) -> Instant | None:
    """The first instant, not before ``at``, at which the chain may take the output; none when there is no more."""
    start = at if output.timelock is None else max(at, output.timelock)
    here = output.address == ChainAddress(chain)
    expiration = output.expiration
    if here:
        return start if expiration is None or start < expiration.instant - guard else None
    if expiration is not None and expiration.return_address == ChainAddress(chain):
        return max(start, expiration.instant)
    return None


class Inbox:
    """The confirmed, unspent outputs that this chain may take, now or later, in the order of their coming."""

    def __init__(self, chain: ChainId, guard: Duration) -> None:
        self.chain = chain
        self.guard = guard
        self._requests: dict[RequestId, OnLedgerRequest] = {}

    def __len__(self) -> int:
        return len(self._requests)

    def synchronize(self, outputs: Iterable[tuple[OutputId, BasicOutput]]) -> None:
        """The confirmed view of layer 1, whole: what is not in it is spent."""
        requests = [OnLedgerRequest(output_id, output) for output_id, output in outputs]
        self._requests = {request.id: request for request in requests}

    def add(self, output_id: OutputId, output: BasicOutput) -> None:
        """An output was confirmed."""
        request = OnLedgerRequest(output_id, output)
        self._requests.setdefault(request.id, request)

    def remove(self, output_id: OutputId) -> None:
        """The output's spending was confirmed, by whomever."""
        self._requests.pop(digest_of(output_id), None)

    def request(self, request_id: RequestId) -> OnLedgerRequest | None:
        """The request with this id, whether it may be taken now or not."""
        return self._requests.get(request_id)

    def opening(self, request_id: RequestId, at: Instant) -> Instant | None:
        """The first instant, not before ``at``, at which the request here may be taken; none when there is no more."""
        request = self._requests[request_id]
        return next_opening(request.output, self.chain, self.guard, at)

    def takeable(self, at: Instant, is_executed: Callable[[RequestId], bool]) -> list[OnLedgerRequest]:
        """What a chain block of this timestamp may take, in the order of coming."""
        return [
            request
            for request in self._requests.values()
            if is_open(request.output, self.chain, self.guard, at) and not is_executed(request.id)
        ]

    def next_opening(self, after: Instant, is_executed: Callable[[RequestId], bool]) -> Instant | None:
        """When, later than ``after``, the next output may be taken that may not be taken now."""
        openings = [
            next_opening(request.output, self.chain, self.guard, after)
            for request in self._requests.values()
            if not is_executed(request.id)
        ]
        return earliest(*(opening for opening in openings if opening is not None and opening > after))
