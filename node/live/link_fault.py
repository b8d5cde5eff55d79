"""Faults of the way to one peer, injected while a cluster runs: it is cut, slow or lossy."""

from __future__ import annotations

from ledger.kernel.encoding import Frozen
from ledger.kernel.instant import Duration


class LinkFault(Frozen):
    """What happens to what this node sends to the peer; none of the fields set is a good link."""

    cut: bool = False
    """No connection, in both directions: an open one is closed, new ones are refused."""
    delay: Duration = 0
    """Frames leave so much later."""
    loss: float = 0.0
    """So many of the frames, from 0 to 1, are lost; the link sends them again."""

    def __post_init__(self) -> None:
        assert self.delay >= 0
        assert 0 <= self.loss <= 1


NO_FAULT = LinkFault()
