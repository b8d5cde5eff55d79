"""Requests, after Wasp's API: post one, ask what became of it, wait for it and be told why it still waits.

A request that was taken (202) is in this member's mempool, and on its way to the others'. A posted request that was executed
already is taken again, for whoever did not get the first answer; it is never executed twice.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from pydantic import Field

from ledger.kernel.encoding import PLAIN_SIZE_MAX, Codec, unpack
from ledger.kernel.rejection import Rejected
from node.host import Household
from node.live.api.answers import (
    ApiModel,
    Hex,
    HexDigest,
    PlainJson,
    Problem,
    Whole,
    from_hex,
    plain_to_json,
    status_to_json,
    to_hex,
)
from node.live.api.chain_routes import (
    CHAIN,
    At,
    ChainPlace,
    ProofInfo,
    anchor_id_of,
    chain_of,
    proof_info,
    state_of,
)
from node.live.api.endpoint import Desk, Endpoint, Question, Refused
from node.live.api.metrics import FATES
from node.live.api.submitting import submitted
from node.live.api.waiting import RequestProgress, Stage, progress_of
from wasp.chain import Chain
from wasp.core_contracts.blocklog import Receipt, prove_receipt, receipt_of
from wasp.mempool import RequestRefused, SubmitRequest
from wasp.request import OffLedgerRequest, RequestId

REQUEST_SIZE_MAX = PLAIN_SIZE_MAX + 4096
"""Bytes of the largest request: its parameters, its names and its signature."""
REQUEST_CODEC: Codec[OffLedgerRequest] = Codec(OffLedgerRequest, REQUEST_SIZE_MAX)
TAKING_WAIT = 10
"""Seconds for the mempool's answer: far longer than a turn and a commit take."""
WAIT_MAX = 60
"""Seconds that one question may wait; whoever waits longer asks again."""
_STATUSES = {"pool_full": 503, "nonce_ahead": 429, **dict.fromkeys(sorted(FATES), 409)}
"""Of refusals by their codes: too much waits of all accounts, too much of this one, it comes too late; of others 400."""


class RequestPlace(ChainPlace):
    """A request."""

    request_id: HexDigest


class RequestSubmission(ApiModel):
    """A signed off-ledger request, in the canonical encoding of this project."""

    request: Annotated[Hex, Field(max_length=2 * REQUEST_SIZE_MAX + 2)]


class RequestTaken(ApiModel):
    """The request is in the mempool, or was executed already."""

    request_id: str
    chain: str


class ReceiptQuery(ApiModel):
    """From which state."""

    at: At = "active"


class ReceiptInfo(ApiModel):
    """What became of a request."""

    request_id: str
    stage: Literal["anchored", "confirmed"]
    block_index: int
    timestamp: int
    account: str
    succeeded: bool
    code: str | None = Field(description="Why it failed, a word; none when it succeeded")
    detail: str = Field(description="Why it failed, a sentence")
    gas: int
    fee: int
    result: PlainJson
    state_index: int = Field(description="Of the state that the proof is about")
    root: str
    anchor_id: str | None
    proof: ProofInfo


class WaitQuery(ApiModel):
    """How long, and for what."""

    timeout_seconds: Annotated[Whole, Field(le=WAIT_MAX)] = 10
    wait_for_l1_confirmation: Annotated[
        Literal["true", "false"],
        Field(description="Wait until layer 1 has confirmed it, not only until it is executed"),
    ] = "false"


class StillWaiting(Problem):
    """The request was not executed in this time, and why."""

    stage: Stage
    log_index: int | None
    missing_nonces: list[int]
    missing_members: list[str] = Field(description="Not connected, when a quorum is lacking")
    status: dict[str, Any] = Field(description="Why the chain's automata wait, in their own words")


async def _post(desk: Desk, question: Question) -> RequestTaken:
    request = _decoded(question.body.request)
    chain = chain_of(desk, request.essence.chain)
    taken = RequestTaken(request_id=to_hex(request.id), chain=chain.name)
    receipt = receipt_of(chain.active_state, request.id)
    if receipt is not None:
        return taken
    with desk.events.waiting_for(chain.name, request.id) as wait:
        submitted(desk.node, SubmitRequest(request))
        try:
            async with asyncio.timeout(TAKING_WAIT):
                news = await wait.news()
        except TimeoutError:
            raise Refused(503, "busy", f"not taken within {TAKING_WAIT} seconds; it may still be") from None
    match news:
        case None:
            raise Refused(503, "not_running", "the node stops")
        case RequestRefused() if request.id not in chain.mempool.pool:
            raise _refused(news)
        case _:
            return taken


def _decoded(text: str) -> OffLedgerRequest:
    try:
        return REQUEST_CODEC.decode(from_hex(text))
    except Rejected as rejected:
        raise Refused(400, rejected.code, f"request: {rejected.detail}") from None


def _refused(refusal: RequestRefused) -> Refused:
    return Refused(_STATUSES.get(refusal.code, 400), refusal.code, refusal.detail)


def _receipt(desk: Desk, question: Question) -> ReceiptInfo:
    chain = chain_of(desk, question.path.chain)
    info = _receipt_info(chain, from_hex(question.path.request_id), question.query.at)
    if info is None:
        at = "confirmed " if question.query.at == "confirmed" else ""
        raise Refused(404, "no_receipt", f"the request has no {at}receipt here: it was not executed, or is forgotten")
    return info


def _receipt_info(chain: Chain, request_id: RequestId, at: At) -> ReceiptInfo | None:
    block, state = state_of(chain, at)
    receipt = receipt_of(state, request_id)
    if receipt is None:
        return None
    return ReceiptInfo(
        request_id=to_hex(request_id),
        stage="confirmed" if receipt_of(chain.confirmed_state, request_id) is not None else "anchored",
        block_index=receipt.block_index,
        timestamp=receipt.timestamp,
        account=receipt.account,
        succeeded=receipt.succeeded,
        code=receipt.code,
        detail=receipt.detail,
        gas=receipt.gas,
        fee=receipt.fee,
        result=_result(receipt),
        state_index=block.index,
        root=to_hex(block.state_root),
        anchor_id=anchor_id_of(chain, block),
        proof=proof_info(prove_receipt(state, request_id)),
    )


def _result(receipt: Receipt) -> PlainJson:
    return plain_to_json(unpack(receipt.result)) if receipt.result else None


async def _wait(desk: Desk, question: Question) -> ReceiptInfo:
    chain_name, request_id = question.path.chain, from_hex(question.path.request_id)
    at: At = "confirmed" if question.query.wait_for_l1_confirmation == "true" else "active"
    chain_of(desk, chain_name)
    with desk.events.waiting_for(chain_name, request_id) as wait:
        try:
            async with asyncio.timeout(question.query.timeout_seconds):
                while True:
                    info = _receipt_info(chain_of(desk, chain_name), request_id, at)
                    if info is not None:
                        return info
                    progress = _progress(desk, chain_name, request_id)
                    if progress.stage == "refused":
                        raise _refused(desk.events.refusals[chain_name, request_id])
                    if await wait.news() is None:
                        raise Refused(503, "not_running", f"the node stops; {progress.reason}")
        except TimeoutError:
            raise _still_waiting(desk, chain_name, _progress(desk, chain_name, request_id)) from None


def _progress(desk: Desk, chain_name: str, request_id: RequestId) -> RequestProgress:
    node, host = desk.node, desk.node.host
    chain = chain_of(desk, chain_name)
    assert isinstance(host, Household)
    refusal = desk.events.refusals.get((chain_name, request_id))
    return progress_of(host, chain, request_id, node.peers, refusal, node.now)


def _still_waiting(desk: Desk, chain_name: str, progress: RequestProgress) -> Refused:
    more = {
        "stage": progress.stage,
        "logIndex": progress.log_index,
        "missingNonces": list(progress.missing_nonces),
        "missingMembers": list(progress.missing_members),
        "status": status_to_json(chain_of(desk, chain_name).status),
    }
    return Refused(408, "still_waiting", progress.reason, more=more)


REQUEST_ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/requests/offledger",
        "chain",
        "Post a signed off-ledger request to its chain",
        _post,
        RequestTaken,
        body=RequestSubmission,
        status=202,
        refusals=(404, 409),
    ),
    Endpoint(
        "GET",
        f"{CHAIN}/receipts/{{requestId}}",
        "chain",
        "What became of a request, with the proof",
        _receipt,
        ReceiptInfo,
        places=RequestPlace,
        query=ReceiptQuery,
        refusals=(404,),
    ),
    Endpoint(
        "GET",
        f"{CHAIN}/requests/{{requestId}}/wait",
        "chain",
        "Wait for a request; when it is not executed in time, be told why it still waits",
        _wait,
        ReceiptInfo,
        places=RequestPlace,
        query=WaitQuery,
        refusals=(404, 408, 409),
        refusal=StillWaiting,
        lasting=True,
    ),
)
