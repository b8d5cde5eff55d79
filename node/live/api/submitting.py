"""Giving a node an input, or saying why not."""

from __future__ import annotations

from ledger.kernel.rejection import Rejected
from node.live.api.endpoint import Refused
from node.live.api.node_view import NodeView, OwnerInput


def submitted(node: NodeView, input: OwnerInput) -> None:
    """The node has the input.

    Errors: ``Refused`` with status 503 when the node starts, stops, or has too much to do.
    """
    if node.host is None or node.stopping:
        raise Refused(503, "not_running", "the node stops" if node.stopping else "the node starts")
    try:
        node.submit(input)
    except Rejected as rejected:
        raise Refused(503, rejected.code, rejected.detail) from None
