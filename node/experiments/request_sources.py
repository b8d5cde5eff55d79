"""Where the requests of one committee come from: full batches, or an offered load.

*Full batches*: every member proposes the same requests, another set in every log index; they need not be shared, for they
are made of the index.

*Offered load*, open loop: requests are sent at the moments of a Poisson process, whatever the committee does with them,
each to one of the members that speak, in turn. It shares the request, and all propose the first ``batch`` of those that
wait. Latency counts from the moment at which a request was to be sent, so that what waits in a queue is not forgotten. Above
what the committee can take, the queue grows; beyond ``WAITING_MAX`` further requests are refused and counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from ledger.kernel.identity import CryptoKind, deal_signer
from ledger.kernel.instant import SECOND
from ledger.kernel.rng import stream
from node.experiments.committee_options import CommitteeOptions
from node.experiments.committee_recorder import CommitteeRecorder
from node.simulated.runtime import SimulatedRuntime
from wasp.mempool import SubmitRequest
from wasp.request import OffLedgerRequest, RequestId, call, sign_request

BATCHES_KEPT = 32
"""Batches that are remembered; what is forgotten can be made again."""
WAITING_MAX = 100_000
"""Requests that wait in all: a hundred of the largest batches, and far below a machine's memory."""


class RequestMaker:
    """Makes the requests of a run, by number."""

    def __init__(self, kind: CryptoKind, seed: int, chain: str, payload: int) -> None:
        self._signer = deal_signer(kind, seed, "client")
        self._chain = chain
        self._payload = bytes(payload)

    def request(self, number: int) -> OffLedgerRequest:
        """The request with this number."""
        return sign_request(self._signer, self._chain, number, call("load", "write", self._payload))


class FullBatches:
    """The source of all members together, when every proposal is full."""

    def __init__(self, maker: RequestMaker, batch: int) -> None:
        self._maker = maker
        self._batch = batch
        self._made: dict[int, dict[RequestId, OffLedgerRequest]] = {}

    def proposal(self, log_index: int) -> tuple[RequestId, ...]:
        return tuple(self._of(log_index))

    def find(self, log_index: int, requests: Sequence[RequestId]) -> tuple[OffLedgerRequest, ...]:
        made = self._of(log_index)
        return tuple(made[request] for request in requests)

    def keep(self, request: OffLedgerRequest) -> None:
        """Nobody shares what everybody has."""

    def forget(self, requests: Sequence[RequestId]) -> None:
        """An index is not proposed twice."""

    def _of(self, log_index: int) -> dict[RequestId, OffLedgerRequest]:
        made = self._made.get(log_index)
        if made is None:
            first = log_index * self._batch
            requests = [self._maker.request(number) for number in range(first, first + self._batch)]
            made = self._made[log_index] = {request.id: request for request in requests}
            if len(self._made) > BATCHES_KEPT:
                del self._made[next(iter(self._made))]
        return made


class WaitingRequests:
    """The source of one member under an offered load: the requests that it has heard of, oldest first."""

    def __init__(self, batch: int) -> None:
        self._batch = batch
        self._waiting: dict[RequestId, OffLedgerRequest] = {}
        self._gone: set[RequestId] = set()
        """Executed before they were heard of here: others had them in time."""

    def proposal(self, log_index: int) -> tuple[RequestId, ...] | None:
        return tuple(islice(self._waiting, self._batch)) or None

    def find(self, log_index: int, requests: Sequence[RequestId]) -> tuple[OffLedgerRequest, ...] | None:
        if any(request not in self._waiting for request in requests):
            return None
        return tuple(self._waiting[request] for request in requests)

    def keep(self, request: OffLedgerRequest) -> None:
        if request.id in self._gone:
            self._gone.remove(request.id)
        else:
            self._waiting[request.id] = request

    def forget(self, requests: Sequence[RequestId]) -> None:
        for request in requests:
            if self._waiting.pop(request, None) is None:
                self._gone.add(request)


class OfferedLoad:
    """Sends requests to members until it is stopped."""

    def __init__(
        self,
        options: CommitteeOptions,
        rate: float,
        maker: RequestMaker,
        runtime: SimulatedRuntime,
        recorder: CommitteeRecorder,
    ) -> None:
        self._members = options.speaking
        self._rate = rate
        self._maker = maker
        self._runtime = runtime
        self._recorder = recorder
        self._stream = stream(options.seed, "offered load")
        self._seconds = 0.0
        self._sent = 0
        self._await_next()

    def _await_next(self) -> None:
        self._seconds += self._stream.expovariate(self._rate)
        self._runtime.clock.call_at(round(self._seconds * SECOND), self._send)

    def _send(self) -> None:
        recorder, runtime = self._recorder, self._runtime
        if recorder.complete:
            return
        member = self._members[self._sent % len(self._members)]
        request = self._maker.request(self._sent)
        self._sent += 1
        if recorder.requests.waiting < WAITING_MAX:
            recorder.requests.note_sent(request.id, member, runtime.now)
            runtime.inject(member, SubmitRequest(request))
        else:
            recorder.requests.refused += 1
        self._await_next()
