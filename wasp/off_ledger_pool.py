"""Off-ledger requests that wait: per account a queue by nonce.

- Below the account's next nonce a request is refused: it can't run any more.
- A gap waits: only the consecutive nonces from the next one are *runnable*.
- A second request with the same nonce takes the place of the first, which is how a user takes an order back.

Requests that left are held for a while, for members that ask for them late.

Invariants: at most ``off_ledger_max`` requests, per account at most ``nonces_ahead_max``, none twice, each with a nonce not
below its account's next one; a signature was checked once for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from ledger.kernel.encoding import Frozen
from ledger.kernel.identity import PublicKey, Verifier
from ledger.kernel.instant import HOUR, Duration, Instant
from ledger.kernel.rejection import Rejected, require
from wasp.core_contracts.accounts import next_nonce, user_of
from wasp.core_contracts.blocklog import receipt_of
from wasp.request import OffLedgerRequest, Request, RequestId
from wasp.state import State


class ExecutedRequests(Protocol):
    """What is asked of a state."""

    def next_nonce(self, sender: PublicKey) -> int | None:
        """The nonce that the key's next off-ledger request must have; none for a key without an account."""
        ...

    def is_executed(self, request: RequestId) -> bool:
        """Whether the request has a receipt."""
        ...


class StateOfRequests:
    """A chain's state, as it is asked here."""

    def __init__(self, state: State) -> None:
        self._state = state

    def next_nonce(self, sender: PublicKey) -> int | None:
        account = user_of(self._state, sender)
        return None if account is None else next_nonce(self._state, account)

    def is_executed(self, request: RequestId) -> bool:
        return receipt_of(self._state, request) is not None


class PoolLimits(Frozen):
    """They bound the pool's memory."""

    off_ledger_max: int = 2_000
    """Off-ledger requests kept (Wasp's number)."""
    nonces_ahead_max: int = 100
    """How far above its next nonce an account may go, so that no account fills the pool (Wasp's number)."""
    time_to_live: Duration = 24 * HOUR
    """After this time the sender has stopped waiting (Wasp's number)."""
    left_max: int = 2_000
    """Requests that left and are still held: as many as are kept."""


class Pooled(Frozen):
    """A request, and since when it is here."""

    request: OffLedgerRequest
    since: Instant


class OffLedgerPool:
    """The queues of one chain, relative to its active state."""

    def __init__(self, chain: str, verifier: Verifier, state: ExecutedRequests, limits: PoolLimits) -> None:
        self.chain = chain
        self.limits = limits
        self._verifier = verifier
        self._state = state
        self._pooled: dict[RequestId, Pooled] = {}
        """In the order of coming."""
        self._queues: dict[PublicKey, dict[int, OffLedgerRequest]] = {}
        self._next: dict[PublicKey, int] = {}
        """Next nonces read from the active state."""
        self._left: dict[RequestId, OffLedgerRequest] = {}

    def __len__(self) -> int:
        return len(self._pooled)

    def __contains__(self, request_id: RequestId) -> bool:
        return request_id in self._pooled

    def __iter__(self) -> Iterator[Pooled]:
        """In the order of coming."""
        return iter(self._pooled.values())

    def held(self, request_id: RequestId) -> OffLedgerRequest | None:
        """The request with this id, waiting or gone a short while ago."""
        pooled = self._pooled.get(request_id)
        return self._left.get(request_id) if pooled is None else pooled.request

    def check(self, request: OffLedgerRequest) -> None:
        """Whether the request may enter; the signature last, because it costs most.

        Errors: ``Rejected`` with the codes ``wrong_chain``, ``unknown_sender``, ``old_nonce``, ``nonce_ahead``,
        ``pool_full``, ``bad_signature``.
        """
        essence, limits = request.essence, self.limits
        require(essence.chain == self.chain, "wrong_chain", f"the request is for {essence.chain}, this is {self.chain}")
        next_nonce = self._next_nonce(essence.sender)
        if next_nonce is None:
            raise Rejected("unknown_sender", f"{self.chain} has no account for the sender's key")
        require(essence.nonce >= next_nonce, "old_nonce", f"nonce {essence.nonce} is used, {next_nonce} is next")
        top = next_nonce + limits.nonces_ahead_max
        require(essence.nonce < top, "nonce_ahead", f"nonce {essence.nonce}, at most {top - 1} expected")
        room = len(self) < limits.off_ledger_max or self.occupant(request) is not None
        require(room, "pool_full", f"the mempool holds its {limits.off_ledger_max} requests, try again later")
        require(request.verify(self._verifier), "bad_signature", "the sender did not sign the request")

    def occupant(self, request: OffLedgerRequest) -> OffLedgerRequest | None:
        """Who waits in the place of this request."""
        return self._queues.get(request.essence.sender, {}).get(request.essence.nonce)

    def keep(self, request: OffLedgerRequest, now: Instant) -> OffLedgerRequest | None:
        """The checked request enters. The one that it replaces, if any, is returned."""
        replaced = self.occupant(request)
        if replaced is not None:
            self.remove(replaced)
        self._queues.setdefault(request.essence.sender, {})[request.essence.nonce] = request
        self._pooled[request.id] = Pooled(request, now)
        return replaced

    def remove(self, request: OffLedgerRequest) -> None:
        """The request no longer waits."""
        if self._pooled.pop(request.id, None) is not None:
            queue = self._queues[request.essence.sender]
            del queue[request.essence.nonce]
            if not queue:
                del self._queues[request.essence.sender]

    def move(self, state: ExecutedRequests) -> None:
        """The active state is another one now."""
        self._state = state
        self._next.clear()

    def leave(self, executed: Iterable[Request]) -> list[OffLedgerRequest]:
        """These requests were executed in the active state. Others whose nonces were used by that leave too: returned."""
        senders: dict[PublicKey, None] = {}
        for request in executed:
            if isinstance(request, OffLedgerRequest):
                senders[request.essence.sender] = None
                self.remove(request)
                self._left[request.id] = request
        while len(self._left) > self.limits.left_max:
            del self._left[next(iter(self._left))]
        late = []
        for sender in senders:
            next_nonce, queue = self._next_nonce(sender), self._queues.get(sender, {})
            late.extend([queue[nonce] for nonce in sorted(queue) if next_nonce is None or nonce < next_nonce])
        for request in late:
            self.remove(request)
        return late

    def expired(self, now: Instant) -> list[OffLedgerRequest]:
        """Those whose time to live is over: the pool is in the order of coming, so they stand first."""
        expired = []
        for pooled in self:
            if now < pooled.since + self.limits.time_to_live:
                break
            expired.append(pooled.request)
        return expired

    @property
    def next_expiry(self) -> Instant | None:
        """When the time to live of the oldest request ends."""
        oldest = next(iter(self), None)
        return None if oldest is None else oldest.since + self.limits.time_to_live

    def has_runnable(self) -> bool:
        """Whether ``runnable`` has any."""
        return any(self._next_nonce(sender) in queue for sender, queue in self._queues.items())

    def runnable(self) -> list[OffLedgerRequest]:
        """What may run next: every account's first, then every account's second, ...; accounts in the order of coming."""
        senders = dict.fromkeys([pooled.request.essence.sender for pooled in self])
        runs = [self._run(sender) for sender in senders]
        longest = max(map(len, runs), default=0)
        return [run[place] for place in range(longest) for run in runs if place < len(run)]

    def gap_below(self, request: OffLedgerRequest) -> tuple[int, ...]:
        """The nonces that keep the request from running: no request that is here has them."""
        essence, queue = request.essence, self._queues.get(request.essence.sender, {})
        next_nonce = self._next_nonce(essence.sender)
        if next_nonce is None:
            return ()
        return tuple([nonce for nonce in range(next_nonce, essence.nonce) if nonce not in queue])

    def _run(self, sender: PublicKey) -> list[OffLedgerRequest]:
        queue, nonce, run = self._queues[sender], self._next_nonce(sender), []
        while nonce is not None and nonce in queue:
            run.append(queue[nonce])
            nonce += 1
        return run

    def _next_nonce(self, sender: PublicKey) -> int | None:
        nonce = self._next.get(sender)
        if nonce is None:
            nonce = self._state.next_nonce(sender)
            if nonce is not None:
                self._next[sender] = nonce
        return nonce
