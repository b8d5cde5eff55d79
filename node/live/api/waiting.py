"""How far a request has come at this member, and why it waits: read from the chain's automata, from the end to the beginning.

| stage | the request | why it waits |
|---|---|---|
| confirmed | has a receipt in the state that layer 1 has confirmed | |
| anchored | has one in the state of a signed anchor | layer 1 has not confirmed the anchor |
| decided | is in the decided batch of a log index | bodies, entropy, execution or signatures are missing |
| proposed | is in this member's proposal for a log index | the members have not agreed |
| mempool | waits for a batch | a nonce below it is missing, its time has not come, or nothing can be proposed |
| refused | left the mempool, for a reason | |
| unknown | is not known here | |

Whatever the stage, when fewer members are connected than a decision needs, that is said first, and who is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from ledger.kernel.encoding import Frozen
from ledger.kernel.instant import Instant
from node.host import Household
from node.live.peer_link import PeerStatus
from wasp.chain import Chain
from wasp.core_contracts.blocklog import receipt_of
from wasp.mempool import RequestRefused
from wasp.request import RequestId

Stage: TypeAlias = Literal["confirmed", "anchored", "decided", "proposed", "mempool", "refused", "unknown"]


class RequestProgress(Frozen):
    """How far a request has come."""

    stage: Stage
    reason: str
    """A sentence; empty when nothing is waited for."""
    log_index: int | None = None
    missing_nonces: tuple[int, ...] = ()
    missing_members: tuple[str, ...] = ()
    """Members that are not connected, when a quorum is lacking."""


def progress_of(
    household: Household,
    chain: Chain,
    request_id: RequestId,
    peers: Sequence[PeerStatus],
    refusal: RequestRefused | None,
    now: Instant,
) -> RequestProgress:
    """How far the request has come on this chain, and why it waits."""
    if receipt_of(chain.confirmed_state, request_id) is not None:
        return RequestProgress("confirmed", "")
    progress = _progress(household, chain, request_id, refusal, now)
    missing = missing_members(chain, peers)
    if not missing or progress.stage in ("refused", "unknown", "anchored"):
        return progress
    return RequestProgress(
        progress.stage,
        f"{lack_of_quorum(chain, missing)}; {progress.reason}",
        progress.log_index,
        progress.missing_nonces,
        missing,
    )


def missing_members(chain: Chain, peers: Sequence[PeerStatus]) -> tuple[str, ...]:
    """The members that are not connected, if so many are missing that nothing can be decided; else none."""
    disconnected = {peer.node for peer in peers if not peer.connected}
    missing = tuple([str(member) for member in chain.committee.members if member in disconnected])
    return missing if chain.committee.n - len(missing) < chain.committee.waiting else ()


def lack_of_quorum(chain: Chain, missing: Sequence[str]) -> str:
    """A sentence about the members that are missing."""
    committee = chain.committee
    return (
        f"the committee lacks a quorum: {committee.n - len(missing)} of {committee.n} members are there, "
        f"{committee.waiting} are needed, {', '.join(missing)} missing"
    )


def _progress(
    household: Household, chain: Chain, request_id: RequestId, refusal: RequestRefused | None, now: Instant
) -> RequestProgress:
    receipt = receipt_of(chain.active_state, request_id)
    if receipt is not None:
        return RequestProgress("anchored", _why_unconfirmed(household, chain, receipt.block_index))
    decided = chain.batches.index_of(request_id)
    if decided is not None:
        why = chain.batches.status[decided]
        return RequestProgress("decided", f"decided in log index {decided}: {why}{_phase(chain, decided)}", decided)
    current = chain.instances.current
    if current is not None and not current.consensus.ended:
        proposal = current.consensus.proposal
        if proposal is not None and request_id in proposal.requests:
            index = current.log_index
            return RequestProgress("proposed", f"proposed in log index {index}{_phase(chain, index)}", index)
    if request_id in chain.mempool.pool:
        return _why_pooled(chain, request_id)
    on_ledger = chain.mempool.inbox.request(request_id)
    if on_ledger is not None:
        opening = chain.mempool.inbox.opening(request_id, now)
        if opening is None:
            why = "its time to be taken is over"
        else:
            why = _why_not_proposed(chain) if opening == now else f"it may be taken from {opening} on"
        return RequestProgress("mempool", f"confirmed on the ledger: {why}")
    if refusal is not None:
        return RequestProgress("refused", f"{refusal.code}: {refusal.detail}")
    return RequestProgress("unknown", f"not known at {chain.me}: it was not submitted here, or it is long forgotten")


def _why_pooled(chain: Chain, request_id: RequestId) -> RequestProgress:
    pool = chain.mempool.pool
    request = pool.held(request_id)
    assert request is not None, "what is in the pool is held"
    missing = pool.gap_below(request)
    if missing:
        names = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")
        reason = f"in the mempool, with nonce {request.essence.nonce}: nobody has sent nonce {names}"
        return RequestProgress("mempool", reason, missing_nonces=missing)
    return RequestProgress("mempool", f"in the mempool: {_why_not_proposed(chain)}")


def _why_not_proposed(chain: Chain) -> str:
    current = chain.instances.current
    if current is None or current.consensus.ended:
        return f"no log index is open: {chain.log.status}"
    if current.consensus.proposed:
        return f"waits for the log index after {current.log_index}{_phase(chain, current.log_index)}"
    if chain.proposer.deadline is not None:
        return f"to be proposed in log index {current.log_index} at {chain.proposer.deadline}"
    return f"not proposed in log index {current.log_index} yet: {chain.proposer.status}"


def _phase(chain: Chain, log_index: int) -> str:
    instance = chain.instances.find(log_index)
    if instance is None:
        return ""
    status: dict[str, Any] = instance.consensus.status
    more = status.get("protocol", status.get("signature", status.get("entropy")))
    if isinstance(more, dict):
        more = ", ".join(f"{name} {value}" for name, value in more.items() if name != "leaves")
    return f", which is at {status['phase']}" + (f": {more}" if more else "")


def _why_unconfirmed(household: Household, chain: Chain, index: int) -> str:
    status = chain.view.status
    return (
        f"anchored in chain block {index}, not confirmed by layer 1: {status['anchors']}; {status['publishing']}; "
        f"layer 1: {household.client.status}"
    )
