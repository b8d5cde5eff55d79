"""Layer 2, after Wasp's API: chains, committees, states with proofs, views, chain blocks.

A state is asked for as it is *confirmed* by layer 1, which is what is answered if nothing else is said, or *active*: after
the newest chain block with a signed anchor, which a rejection could still undo.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field

from ledger.kernel.rejection import Rejected
from node.host import Household
from node.live.api.answers import (
    ApiModel,
    ChainName,
    PlainJson,
    Whole,
    output_id_to_hex,
    plain_from_json,
    plain_to_json,
    status_to_json,
    to_hex,
)
from node.live.api.endpoint import Desk, Endpoint, Question, Refused
from node.live.api.waiting import lack_of_quorum, missing_members
from wasp.chain import Chain
from wasp.chain_block import ChainBlock
from wasp.core_contracts.blocklog import block_info
from wasp.state import Proof, State, StateKey
from wasp.vm.sandbox import call_view

At = Literal["confirmed", "active"]
ARGUMENTS_MAX = 100
"""More than any view takes."""
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,17})")


class ChainPlace(ApiModel):
    """A chain."""

    chain: ChainName


class StatePlace(ChainPlace):
    """A key of its state."""

    key: Annotated[str, Field(min_length=1, max_length=1024, examples=["accounts,balance,home1"])] = Field(
        description="The contract and the parts of its key, with commas; what looks like a whole number is one"
    )


class ChainBlockPlace(ChainPlace):
    """A chain block."""

    index: Whole


class AtQuery(ApiModel):
    """Which state."""

    at: At = "confirmed"


class ChainSummary(ApiModel):
    """A chain in one line."""

    name: str
    chain_id: str
    active_index: int = Field(description="State index of the newest chain block with a signed anchor")
    confirmed_index: int = Field(description="State index of the newest chain block whose anchor is confirmed")
    stuck: str | None = Field(description="Why nothing can be decided; none when that is not known to be so")


class ChainList(ApiModel):
    """The chains that this node is a member of, its own microgrid first."""

    chains: list[ChainSummary]


class BlockSummary(ApiModel):
    """A chain block."""

    state_index: int
    digest: str
    timestamp: int
    log_index: int
    requests: int
    state_root: str
    anchor_id: str | None = Field(description="The anchor that commits to it, if it is in this member's view")


class ChainInfo(ApiModel):
    """Where a chain stands, by one of its members."""

    name: str
    chain_id: str
    member: int = Field(description="This node's index in the committee")
    active: BlockSummary
    confirmed: BlockSummary
    lag: int = Field(description="Chain blocks that are anchored and not confirmed")
    log_index: int = Field(description="The last log index that was opened")
    pooled: int = Field(description="Off-ledger requests that wait")
    inbox: int = Field(description="On-ledger requests that wait")
    stuck: str | None
    status: dict[str, Any] = Field(description="Why its automata wait, in their own words")


class Member(ApiModel):
    """A member of a committee."""

    index: int
    name: str
    public_key: str
    is_me: bool
    is_connected: bool


class CommitteeInfo(ApiModel):
    """A committee."""

    members: list[Member]
    faulty_max: int = Field(description="Faulty members that it survives")
    quorum: int = Field(description="Members without whom nothing is decided")
    connected: int = Field(description="This one included")
    group_key: str


class OtherLeafInfo(ApiModel):
    """A leaf of another key, in the place where an absent key would stand."""

    path: str
    value_digest: str


class ProofInfo(ApiModel):
    """Siblings of each level, top first; under the root, with the digests of this project."""

    levels: list[list[str]]
    other: OtherLeafInfo | None


class StateValue(ApiModel):
    """What stands at a key, be it nothing (null), and the proof of that."""

    key: list[str | int]
    value: PlainJson
    state_index: int
    root: str
    anchor_id: str | None
    proof: ProofInfo


class ViewCall(ApiModel):
    """A call of a view, which changes nothing."""

    contract_name: Annotated[str, Field(min_length=1, max_length=64, examples=["auction"])]
    function_name: Annotated[str, Field(min_length=1, max_length=64, examples=["interval"])]
    arguments: Annotated[tuple[PlainJson, ...], Field(max_length=ARGUMENTS_MAX, examples=[[0]])] = ()
    at: At = "confirmed"


class ViewResult(ApiModel):
    """What a view tells."""

    result: PlainJson
    state_index: int


class ChainBlockInfo(ApiModel):
    """What the block log remembers of a chain block."""

    state_index: int
    timestamp: int
    previous: str
    requests: list[str]
    events: int


def chain_of(desk: Desk, name: str) -> Chain:
    """The chain with this name.

    Errors: ``Refused`` with status 404 when this node is no member of it.
    """
    host = desk.node.host
    chain = host.chains.get(name) if isinstance(host, Household) else None
    if chain is None:
        raise Refused(404, "unknown_chain", f"{desk.node.name} is no member of a chain of this name")
    return chain


def state_of(chain: Chain, at: At) -> tuple[ChainBlock, State]:
    """A chain block and the state after it."""
    if at == "active":
        return chain.active_block, chain.active_state
    return chain.confirmed_block, chain.confirmed_state


def proof_info(proof: Proof) -> ProofInfo:
    """A proof as it stands in an answer."""
    other = proof.other
    return ProofInfo(
        levels=[list(map(to_hex, level)) for level in proof.levels],
        other=None
        if other is None
        else OtherLeafInfo(path=to_hex(other.path), value_digest=to_hex(other.value_digest)),
    )


def anchor_id_of(chain: Chain, block: ChainBlock) -> str | None:
    """The anchor that commits to the block, if it is in the member's view."""
    ids = [anchor.id for anchor in chain.view.anchors.by_height() if anchor.block == block.digest]
    return output_id_to_hex(ids[0]) if ids else None


def _stuck(desk: Desk, chain: Chain) -> str | None:
    missing = missing_members(chain, desk.node.peers)
    return lack_of_quorum(chain, missing) if missing else None


def _chains(desk: Desk, question: Question) -> ChainList:
    host = desk.node.host
    chains = list(host.chains.values()) if isinstance(host, Household) else []
    return ChainList(
        chains=[
            ChainSummary(
                name=chain.name,
                chain_id=to_hex(chain.id),
                active_index=chain.active_block.index,
                confirmed_index=chain.confirmed_block.index,
                stuck=_stuck(desk, chain),
            )
            for chain in chains
        ]
    )


def _chain(desk: Desk, question: Question) -> ChainInfo:
    chain = chain_of(desk, question.path.chain)
    active, confirmed = chain.active_block, chain.confirmed_block
    return ChainInfo(
        name=chain.name,
        chain_id=to_hex(chain.id),
        member=chain.committee.index[chain.me],
        active=_block_summary(chain, active),
        confirmed=_block_summary(chain, confirmed),
        lag=active.index - confirmed.index,
        log_index=chain.log.used,
        pooled=len(chain.mempool.pool),
        inbox=len(chain.mempool.inbox),
        stuck=_stuck(desk, chain),
        status=status_to_json(chain.status),
    )


def _block_summary(chain: Chain, block: ChainBlock) -> BlockSummary:
    return BlockSummary(
        state_index=block.index,
        digest=to_hex(block.digest),
        timestamp=block.timestamp,
        log_index=block.log_index,
        requests=len(block.requests),
        state_root=to_hex(block.state_root),
        anchor_id=anchor_id_of(chain, block),
    )


def _committee(desk: Desk, question: Question) -> CommitteeInfo:
    chain = chain_of(desk, question.path.chain)
    committee = chain.committee
    there = {peer.node for peer in desk.node.peers if peer.connected} | {chain.me}
    return CommitteeInfo(
        members=[
            Member(
                index=index,
                name=member,
                public_key=to_hex(committee.key[member]),
                is_me=member == chain.me,
                is_connected=member in there,
            )
            for member, index in committee.index.items()
        ],
        faulty_max=committee.f,
        quorum=committee.waiting,
        connected=sum(member in there for member in committee.members),
        group_key=to_hex(committee.group_key),
    )


def _state(desk: Desk, question: Question) -> StateValue:
    chain = chain_of(desk, question.path.chain)
    block, state = state_of(chain, question.query.at)
    key = _state_key(question.path.key)
    try:
        value, proof = state.value_at(key), state.prove(str(key[0]), *key[1:])
    except Rejected as rejected:
        raise Refused(400, rejected.code, rejected.detail) from None
    return StateValue(
        key=list(key),
        value=plain_to_json(value),
        state_index=block.index,
        root=to_hex(block.state_root),
        anchor_id=anchor_id_of(chain, block),
        proof=proof_info(proof),
    )


def _state_key(text: str) -> StateKey:
    contract, *parts = text.split(",")
    return (contract, *[int(part) if _NUMBER.fullmatch(part) else part for part in parts])


def _call_view(desk: Desk, question: Question) -> ViewResult:
    chain, call = chain_of(desk, question.path.chain), question.body
    block, state = state_of(chain, call.at)
    try:
        arguments = [plain_from_json(argument) for argument in call.arguments]
        result = call_view(chain.program, state, call.contract_name, call.function_name, *arguments)
    except Rejected as rejected:
        status = 404 if rejected.code == "view" else 400
        raise Refused(status, rejected.code, rejected.detail) from None
    return ViewResult(result=plain_to_json(result), state_index=block.index)


def _chain_block(desk: Desk, question: Question) -> ChainBlockInfo:
    chain = chain_of(desk, question.path.chain)
    _, state = state_of(chain, question.query.at)
    info = block_info(state, question.path.index)
    if info is None:
        raise Refused(404, "unknown_chain_block", "there is no such chain block, or the block log has forgotten it")
    return ChainBlockInfo(
        state_index=question.path.index,
        timestamp=info.timestamp,
        previous=to_hex(info.previous),
        requests=list(map(to_hex, info.requests)),
        events=info.events,
    )


CHAIN = "/v1/chains/{chain}"
CHAIN_ENDPOINTS = (
    Endpoint("GET", "/v1/chains", "chain", "The chains that this node is a member of", _chains, ChainList),
    Endpoint("GET", CHAIN, "chain", "Where a chain stands", _chain, ChainInfo, places=ChainPlace, refusals=(404,)),
    Endpoint(
        "GET",
        f"{CHAIN}/committee",
        "chain",
        "A chain's members, and who is connected",
        _committee,
        CommitteeInfo,
        places=ChainPlace,
        refusals=(404,),
    ),
    Endpoint(
        "GET",
        f"{CHAIN}/state/{{key}}",
        "chain",
        "What stands at a key of the state, with its proof",
        _state,
        StateValue,
        places=StatePlace,
        query=AtQuery,
        refusals=(404,),
    ),
    Endpoint(
        "POST",
        f"{CHAIN}/callview",
        "chain",
        "Call a view of a contract",
        _call_view,
        ViewResult,
        places=ChainPlace,
        body=ViewCall,
        refusals=(404,),
    ),
    Endpoint(
        "GET",
        f"{CHAIN}/core/blocklog/blocks/{{index}}",
        "chain",
        "A chain block, as the block log remembers it",
        _chain_block,
        ChainBlockInfo,
        places=ChainBlockPlace,
        query=AtQuery,
        refusals=(404,),
    ),
)
