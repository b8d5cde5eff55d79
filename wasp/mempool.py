"""The mempool: requests that wait for a batch, shared among the members of the committee (after Wasp's mempool).

Off-ledger requests come from users of this node or from other members; on-ledger ones from layer 1 (the ``Inbox``).

::

     1  submitted                 check it, keep it, multicast it; or tell why it is refused
     2  shared by a member        check it, keep it
     3  kept for too long         refuse it; kept for a while: multicast it again, at doubling intervals
     4  asked what to propose     per account the consecutive nonces from its next one; the inbox's open outputs
     5  a batch names requests    those kept are found at once; ask members for the others, a few at a time, until they came
     6  a member asks             answer with those kept, as many as fit
     7  a chain block is active   its requests leave, and whatever lies below the new nonces
     8  a chain block is undone   its requests come back, unless the new active state has executed them

On-ledger requests are never taken from a peer: their id says which output, not what is in it. What f + 1 members name
is confirmed at one of them, and so comes from this node's own view of layer 1.

Departures: Wasp shares a request once and republishes it on a timer of the node; here the doubling interval keeps a request
that can't be executed from costing for ever. Wasp keeps requests until their block is confirmed; here they leave at once, and
the undone chain blocks bring them back, also to members that had never pooled them.

Invariant: what is proposed is runnable in the active state.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, TypeAlias

import msgspec

from ledger.kernel.automaton import NOTHING, Automaton, Envelope, Fault, NodeId, Path, Step
from ledger.kernel.encoding import Frozen, Value, encode
from ledger.kernel.identity import Verifier
from ledger.kernel.instant import MILLISECOND, SECOND, Duration, Instant, earliest
from ledger.kernel.rejection import Rejected
from ledger.kernel.rng import Stream
from wasp.batch_policy import BatchPolicy
from wasp.committee import Committee
from wasp.crosschain import Inbox
from wasp.off_ledger_pool import ExecutedRequests, OffLedgerPool, PoolLimits
from wasp.request import OffLedgerRequest, Request, RequestId
from wasp.request_search import RequestSearch

QUERY_MAX = 1_024
"""Requests named in one question: more than any batch."""
ANSWER_SIZE_MAX = 512 * 1024
"""Bytes of requests in one answer: far below a frame, so that an answer never holds up a vote for long."""
SHARED_AGAIN_MAX = 256
"""Requests multicast again at one time: a burst that a link carries in a moment."""
DOUBLINGS_MAX = 6
"""Times that the interval of sharing again is doubled: 5 seconds become 5 minutes."""
_SENDERS_BLAME = ("bad_signature", "wrong_chain")
"""Codes of refusals that a correct member finds, whatever its state, before it shares the request."""


class SharingTimes(Frozen):
    """When a message is taken for lost."""

    share_again_after: Duration = 5 * SECOND
    """Longer than a request takes that nothing holds up."""
    pull_retry: Duration = 500 * MILLISECOND
    """Longer than an answer takes."""
    pull_fan_out: int = 2
    """Members asked at a time for missing requests."""


class SharedRequest(Value):
    """A user gave me this request: keep it, so that enough of us propose it."""

    request: OffLedgerRequest


class RequestQuery(Value):
    """A decided batch names these requests, and I don't have them."""

    requests: Annotated[tuple[RequestId, ...], msgspec.Meta(min_length=1, max_length=QUERY_MAX)]


class RequestAnswer(Value):
    """Requests that you asked for."""

    requests: Annotated[tuple[OffLedgerRequest, ...], msgspec.Meta(max_length=QUERY_MAX)]


MempoolMessage: TypeAlias = SharedRequest | RequestQuery | RequestAnswer


class SubmitRequest(Frozen):
    """Input: a user of this node asks for this. Answered by ``RequestPooled`` or ``RequestRefused``."""

    request: OffLedgerRequest


class FindRequests(Frozen):
    """Input: the batch of this log index names these requests. Answered by ``RequestsFound``."""

    log_index: int
    requests: tuple[RequestId, ...]


class ForgetRequests(Frozen):
    """Input: the instance of this log index needs no requests any more."""

    log_index: int


class ActiveStateMoved(Frozen):
    """Input: the active state is another one now; these requests are executed in it, those no longer."""

    state: ExecutedRequests
    executed: tuple[Request, ...]
    undone: tuple[Request, ...] = ()


class InboxGrew(Frozen):
    """Input: the inbox holds outputs that it did not hold before."""


MempoolInput: TypeAlias = SubmitRequest | FindRequests | ForgetRequests | ActiveStateMoved | InboxGrew


class RequestPooled(Frozen):
    """Output: the request is kept, and will be proposed."""

    chain: str
    request_id: RequestId


class RequestRefused(Frozen):
    """Output: the request was not kept, or no longer is."""

    chain: str
    request_id: RequestId
    code: str
    detail: str


class RequestsFound(Frozen):
    """Output: all requests of the batch, in its order."""

    log_index: int
    requests: tuple[Request, ...]


MempoolOutput: TypeAlias = RequestPooled | RequestRefused | RequestsFound


class Mempool(Automaton[MempoolInput, MempoolMessage, MempoolOutput]):
    """One member's mempool, relative to the active state."""

    def __init__(
        self,
        path: Path,
        committee: Committee,
        me: NodeId,
        verifier: Verifier,
        inbox: Inbox,
        state: ExecutedRequests,
        limits: PoolLimits,
        times: SharingTimes,
        rng: Stream,
    ) -> None:
        self.path = path
        self.chain = str(path[0])
        self.committee = committee
        self.inbox = inbox
        self.pool = OffLedgerPool(self.chain, verifier, state, limits)
        self.times = times
        others = [member for member in committee.members if member != me]
        self.search = RequestSearch(others, times.pull_retry, times.pull_fan_out, rng)
        self._verifier = verifier
        self._state = state
        self._share_at: Instant | None = None
        self._shares = 0

    def handle_input(self, input: MempoolInput, now: Instant) -> Step[MempoolOutput]:
        match input:
            case SubmitRequest():
                return self._handle_submitted(input.request, now)
            case FindRequests():
                return self._handle_find(input, now)
            case ForgetRequests():
                self.search.forget(input.log_index)
                return NOTHING
            case ActiveStateMoved():
                return self._handle_moved(input, now)
            case InboxGrew():
                return Step(outputs=self._found(()))

    def handle_message(self, sender: NodeId, path: Path, message: MempoolMessage, now: Instant) -> Step[MempoolOutput]:
        if sender not in self.committee:
            return self._fault(sender, "not_a_member", type(message).__name__)
        match message:
            case SharedRequest():
                return self._handle_shared(sender, message.request, now)
            case RequestQuery():
                return self._handle_query(sender, message)
            case RequestAnswer():
                return self._handle_answer(sender, message, now)

    def handle_timer(self, now: Instant) -> Step[MempoolOutput]:
        """Line 3, and line 5 again."""
        outputs: list[MempoolOutput] = []
        messages: list[Envelope] = []
        for request in self.pool.expired(now):
            self.pool.remove(request)
            outputs.append(self._refused(request, "expired", "nobody executed it within its time to live"))
        if self._share_at is not None and now >= self._share_at:
            messages.extend(self._share_again(now))
        if self.search.deadline is not None and now >= self.search.deadline:
            messages.extend(self._pull(now))
        return Step((), messages, outputs) if outputs or messages else NOTHING

    @property
    def deadline(self) -> Instant | None:
        return earliest(self.pool.next_expiry, self._share_at, self.search.deadline)

    @property
    def status(self) -> str:
        """What waits here, and what it waits for."""
        pools = f"{len(self.pool)} off-ledger and {len(self.inbox)} on-ledger requests"
        return f"{pools}, {len(self.search)} missing for a batch"

    def proposable(self, at: Instant, policy: BatchPolicy) -> tuple[RequestId, ...]:
        """Line 4: what this member proposes for a chain block of about this time."""
        return policy.choose(self.inbox.takeable(at, self._state.is_executed), self.pool.runnable())

    def has_proposable(self, at: Instant) -> bool:
        """Whether there are candidates for ``proposable``."""
        return self.pool.has_runnable() or bool(self.inbox.takeable(at, self._state.is_executed))

    def next_opening(self, after: Instant) -> Instant | None:
        """When, later than ``after``, an on-ledger request becomes proposable by time alone."""
        return self.inbox.next_opening(after, self._state.is_executed)

    def _handle_submitted(self, request: OffLedgerRequest, now: Instant) -> Step[MempoolOutput]:
        """Line 1."""
        if request.id in self.pool:
            return Step(outputs=(RequestPooled(self.chain, request.id),))
        try:
            self.pool.check(request)
        except Rejected as rejected:
            return Step(outputs=(self._refused(request, rejected.code, rejected.detail),))
        outputs = self._keep(request, now)
        return Step((), (self._share(request),), [*outputs, *self._found((request,))])

    def _handle_shared(self, sender: NodeId, request: OffLedgerRequest, now: Instant) -> Step[MempoolOutput]:
        """Line 2."""
        if request.id in self.pool:
            return NOTHING
        try:
            self.pool.check(request)
        except Rejected as rejected:
            if rejected.code in _SENDERS_BLAME:
                return self._fault(sender, rejected.code, rejected.detail)
            return NOTHING
        outputs = self._keep(request, now)
        return Step((), (), [*outputs, *self._found((request,))])

    def _handle_find(self, input: FindRequests, now: Instant) -> Step[MempoolOutput]:
        """Line 5."""
        self.search.add(input.log_index, input.requests)
        held = [self.pool.held(request_id) for request_id in input.requests]
        found = self._found([request for request in held if request is not None])
        return Step((), self._pull(now), found)

    def _handle_query(self, sender: NodeId, message: RequestQuery) -> Step[MempoolOutput]:
        """Line 6."""
        answer: list[OffLedgerRequest] = []
        size = 0
        for request_id in message.requests:
            request = self.pool.held(request_id)
            if request is not None:
                size += len(encode(request))
                if size > ANSWER_SIZE_MAX and answer:
                    break
                answer.append(request)
        if not answer:
            return NOTHING
        return Step(messages=(Envelope((sender,), self.path, RequestAnswer(tuple(answer))),))

    def _handle_answer(self, sender: NodeId, message: RequestAnswer, now: Instant) -> Step[MempoolOutput]:
        """Line 5."""
        missing = self.search.missing()
        found: list[Request] = []
        outputs: list[MempoolOutput] = []
        faults: list[Fault] = []
        for request in message.requests:
            if request.id not in missing:
                continue  # another member was faster, or nobody asked: ignoring it costs nothing
            if not request.verify(self._verifier):
                faults.append(Fault(sender, "bad_signature", self.path, "a request that its sender did not sign"))
                continue
            found.append(request)
            outputs.extend(self._keep_again(request, now))
        outputs.extend(self._found(found))
        return Step((), self._pull(now) if found else (), outputs, faults)

    def _handle_moved(self, input: ActiveStateMoved, now: Instant) -> Step[MempoolOutput]:
        """Lines 7 and 8."""
        outputs: list[MempoolOutput] = []
        self._state = input.state
        self.pool.move(input.state)
        for request in input.undone:
            if isinstance(request, OffLedgerRequest):
                outputs.extend(self._keep_again(request, now))
        for request in self.pool.leave(input.executed):
            nonce = request.essence.nonce
            outputs.append(self._refused(request, "old_nonce", f"another request with nonce {nonce} was executed"))
        return Step((), (), outputs) if outputs else NOTHING

    def _keep(self, request: OffLedgerRequest, now: Instant) -> list[MempoolOutput]:
        outputs: list[MempoolOutput] = []
        replaced = self.pool.keep(request, now)
        if replaced is not None:
            outputs.append(self._refused(replaced, "replaced", "the sender signed another request with its nonce"))
        if self._share_at is None:
            self._shares = 0
            self._share_at = now + self.times.share_again_after
        return [*outputs, RequestPooled(self.chain, request.id)]

    def _keep_again(self, request: OffLedgerRequest, now: Instant) -> list[MempoolOutput]:
        """What came by the way of a batch or of an undone chain block enters if it may, and replaces nothing."""
        if self.pool.occupant(request) is not None:
            return []
        try:
            self.pool.check(request)
        except Rejected:
            return []
        return self._keep(request, now)

    def _share_again(self, now: Instant) -> list[Envelope]:
        """Line 3."""
        interval = self.times.share_again_after
        if not len(self.pool):
            self._share_at = None
            return []
        waiting = [pooled.request for pooled in self.pool if now >= pooled.since + interval]
        self._shares = min(self._shares + 1, DOUBLINGS_MAX) if waiting else 0
        self._share_at = now + (interval << self._shares)
        return [self._share(request) for request in waiting[:SHARED_AGAIN_MAX]]

    def _share(self, request: OffLedgerRequest) -> Envelope:
        return Envelope(self.committee.members, self.path, SharedRequest(request))

    def _pull(self, now: Instant) -> list[Envelope]:
        """Line 5."""
        asked = self.search.ask(now)
        if not asked:
            return []
        return [Envelope(asked, self.path, RequestQuery(tuple(self.search.missing())[:QUERY_MAX]))]

    def _found(self, requests: Iterable[Request]) -> list[MempoolOutput]:
        """Line 5: these requests, or others of the inbox, are here now."""
        arrived = {request.id: request for request in requests}
        for request_id in self.search.missing():
            on_ledger = self.inbox.request(request_id)
            if on_ledger is not None:
                arrived[request_id] = on_ledger
        return [RequestsFound(log_index, found) for log_index, found in self.search.complete(arrived)]

    def _refused(self, request: OffLedgerRequest, code: str, detail: str) -> RequestRefused:
        return RequestRefused(self.chain, request.id, code, detail)

    def _fault(self, accused: NodeId, kind: str, detail: str) -> Step[MempoolOutput]:
        return Step(faults=(Fault(accused, kind, self.path, detail),))
