"""What a node tells of itself: health, readiness, information, peers, faults, metrics; and what its operator may do to it.

*Healthy* is a node that runs, *ready* one that can answer for the present: a layer-1 node has heard from a neighbour what it
missed, a household has its view of layer 1 and the newest state of each of its chains. A node that has come to that stays
ready while a committee lacks members: it can't do more about it, and its chains tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import Field

from ledger.kernel.automaton import NodeId
from ledger.kernel.instant import MINUTE
from ledger.kernel.rejection import Rejected
from node.host import Household, LedgerHost
from node.live.api.answers import ApiModel, Limit, status_to_json
from node.live.api.endpoint import BODY_TYPE, METRICS_TYPE, Desk, Endpoint, Question, Refused
from node.live.api.node_view import NodeView
from node.live.link_fault import LinkFault

DELAY_MAX = 10 * MINUTE
"""Added to frames by a fault: longer than any timeout that is worth a test."""
LINKS_MAX = 1_000
"""Peers that one question names."""


class Health(ApiModel):
    """The node runs."""

    is_healthy: Literal[True]


class Readiness(ApiModel):
    """The node can answer for the present."""

    is_ready: Literal[True]


class NodeInfo(ApiModel):
    """Who the node is."""

    name: str
    network: str
    version: str
    kind: Literal["ledger", "household"]
    chains: list[str] = Field(description="Whose member it is, its own microgrid first")
    incarnation: int = Field(description="Rises with every start of the node")
    epoch_unix_us: int = Field(description="Instant 0, in microseconds of Unix time")
    started_at: int
    now: int


class LinkSetting(ApiModel):
    """What is done on purpose to the link to one peer."""

    cut: Annotated[bool, Field(description="Nothing is exchanged")] = False
    delay_us: Annotated[int, Field(ge=0, le=DELAY_MAX, description="Added to each frame that is sent")] = 0
    loss: Annotated[float, Field(ge=0, le=1, description="Part of the frames that is lost")] = 0.0


class LinkSettings(ApiModel):
    """What is done on purpose to the links, by peer; all others are good."""

    links: Annotated[dict[str, LinkSetting], Field(max_length=LINKS_MAX, examples=[{"home2": {"cut": True}}])]


class NodeStatus(ApiModel):
    """Why its automata wait, in their own words, and what the runtime counted."""

    waits: list[str] = Field(description="Why the node is not ready, and what its runtime waits for")
    automata: dict[str, Any]
    counters: dict[str, int]
    link_faults: dict[str, LinkSetting]


class Peer(ApiModel):
    """How the link to a peer stands; counters are since the node's start."""

    name: str
    address: str
    is_connected: bool
    since_unix_us: int | None = Field(description="When the connection, or its absence, began; none: never connected")
    incarnation: int | None = Field(description="Of the peer, when it was connected last")
    connections: int
    queued: int = Field(description="Frames that the peer has not acknowledged")
    sent_frames: int
    sent_bytes: int
    received_frames: int
    received_bytes: int
    duplicates: int
    resent: int
    lost: int = Field(description="Frames given up because too many were held")
    dropped: int = Field(description="Frames that a fault on purpose took")
    round_trip_us: int | None
    is_suspended: bool = Field(description="Sent away for a while, because it broke the rules of peering")
    last_error: str


class Peers(ApiModel):
    """All peers, in the order of the configuration."""

    peers: list[Peer]


class FaultSeen(ApiModel):
    """A peer broke the protocol."""

    at: int
    accused: str
    kind: str
    detail: str


class Faults(ApiModel):
    """The newest faults, newest first."""

    faults: list[FaultSeen]


class LimitQuery(ApiModel):
    """How many."""

    limit: Limit = 100


class Stopping(ApiModel):
    """The node stops."""

    is_stopping: Literal[True]


def why_not_ready(node: NodeView) -> list[str]:
    """What keeps the node from being ready."""
    match node.host:
        case LedgerHost() as host:
            return [] if host.tangle.synchronised else ["waits for a neighbour to tell what it missed"]
        case Household() as host:
            waits = [] if host.client.synced else [f"layer 1: {host.client.status}"]
            for name, chain in host.chains.items():
                if not chain.view.synced:
                    waits.append(f"{name}: layer 1 has not told its confirmed view")
                elif not chain.view.is_current:
                    waits.append(f"{name}: the state after the tip is missing: {chain.view.states.status}")
            return waits
        case _:
            return ["the node starts"]


def _health(desk: Desk, question: Question) -> Health:
    if desk.node.host is None or desk.node.stopping:
        raise Refused(503, "not_running", "the node stops" if desk.node.stopping else "the node starts")
    return Health(is_healthy=True)


def _readiness(desk: Desk, question: Question) -> Readiness:
    waits = ["the node stops"] if desk.node.stopping else why_not_ready(desk.node)
    if waits:
        raise Refused(503, "not_ready", "; ".join(waits))
    return Readiness(is_ready=True)


def _information(desk: Desk, question: Question) -> NodeInfo:
    node = desk.node
    host = node.host
    return NodeInfo(
        name=node.name,
        network=node.network,
        version=version("tanglegrid"),
        kind="ledger" if isinstance(host, LedgerHost) else "household",
        chains=list(host.chains) if isinstance(host, Household) else [],
        incarnation=node.incarnation,
        epoch_unix_us=node.epoch_us,
        started_at=node.started_at,
        now=node.now,
    )


def _status(desk: Desk, question: Question) -> NodeStatus:
    automata: dict[str, Any] = {}
    match desk.node.host:
        case LedgerHost() as host:
            automata = {"tangle": host.tangle.status, "access": host.server.status}
        case Household() as host:
            automata = {"access": host.client.status, **{name: chain.status for name, chain in host.chains.items()}}
            if host.prosumer is not None:
                automata["prosumer"] = host.prosumer.status
        case _:
            pass
    return NodeStatus(
        waits=[*why_not_ready(desk.node), *desk.node.waits],
        automata=status_to_json(automata),
        counters=dict(desk.node.counters),
        link_faults=_settings(desk.node.link_faults),
    )


def _peers(desk: Desk, question: Question) -> Peers:
    return Peers(
        peers=[
            Peer(
                name=peer.node,
                address=peer.address,
                is_connected=peer.connected,
                since_unix_us=peer.since_us,
                incarnation=peer.session,
                connections=peer.connections,
                queued=peer.queued,
                sent_frames=peer.sent_frames,
                sent_bytes=peer.sent_bytes,
                received_frames=peer.received_frames,
                received_bytes=peer.received_bytes,
                duplicates=peer.duplicates,
                resent=peer.resent,
                lost=peer.lost,
                dropped=peer.dropped,
                round_trip_us=peer.round_trip_us,
                is_suspended=peer.suspended,
                last_error=peer.last_error,
            )
            for peer in desk.node.peers
        ]
    )


def _faults(desk: Desk, question: Question) -> Faults:
    newest = list(desk.node.faults)[-question.query.limit :][::-1]
    return Faults(
        faults=[FaultSeen(at=fault.at, accused=fault.accused, kind=fault.kind, detail=fault.detail) for fault in newest]
    )


def _metrics(desk: Desk, question: Question) -> web.Response:
    return web.Response(body=desk.events.metrics.exposition(), content_type=METRICS_TYPE, charset="utf-8")


def _document(desk: Desk, question: Question) -> web.Response:
    return web.json_response(desk.document)


def _change_links(desk: Desk, question: Question) -> LinkSettings:
    links: dict[str, LinkSetting] = question.body.links
    try:
        desk.node.change_links(
            {NodeId(peer): LinkFault(link.cut, link.delay_us, link.loss) for peer, link in links.items()}
        )
    except Rejected as rejected:
        raise Refused(404, rejected.code, rejected.detail) from None
    return LinkSettings(links=_settings(desk.node.link_faults))


def _stop(desk: Desk, question: Question) -> Stopping:
    desk.node.stop()
    return Stopping(is_stopping=True)


def _settings(faults: Mapping[NodeId, LinkFault]) -> dict[str, LinkSetting]:
    return {peer: LinkSetting(cut=fault.cut, delay_us=fault.delay, loss=fault.loss) for peer, fault in faults.items()}


NODE_ENDPOINTS = (
    Endpoint(
        "GET",
        "/health",
        "node",
        "Whether the node runs",
        _health,
        Health,
        access="open",
        refusals=(503,),
        durable=False,
    ),
    Endpoint(
        "GET",
        "/ready",
        "node",
        "Whether the node can answer for the present",
        _readiness,
        Readiness,
        access="open",
        refusals=(503,),
        durable=False,
    ),
    Endpoint("GET", "/v1/node/info", "node", "Who the node is", _information, NodeInfo, durable=False),
    Endpoint(
        "GET",
        "/v1/node/status",
        "node",
        "Why its automata wait, and what was counted",
        _status,
        NodeStatus,
        durable=False,
    ),
    Endpoint("GET", "/v1/node/peers", "node", "How the links to the peers stand", _peers, Peers, durable=False),
    Endpoint(
        "GET",
        "/v1/node/faults",
        "node",
        "Who broke the protocol lately",
        _faults,
        Faults,
        query=LimitQuery,
        durable=False,
    ),
    Endpoint("GET", "/metrics", "node", "Metrics for Prometheus", _metrics, METRICS_TYPE),
    Endpoint("GET", "/openapi.json", "node", "This document", _document, BODY_TYPE),
    Endpoint(
        "POST",
        "/admin/links",
        "admin",
        "Cut, delay or lose what the node's links carry: from now on this and nothing else",
        _change_links,
        LinkSettings,
        body=LinkSettings,
        refusals=(404,),
        access="admin",
        durable=False,
    ),
    Endpoint(
        "POST",
        "/admin/stop",
        "admin",
        "Stop the node gracefully",
        _stop,
        Stopping,
        status=202,
        access="admin",
        durable=False,
    ),
)
