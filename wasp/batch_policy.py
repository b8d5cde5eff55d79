"""Which of the open requests a member proposes for the next batch: a strategy, chosen by the configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ledger.kernel.encoding import Frozen
from wasp.request import OffLedgerRequest, OnLedgerRequest, Request, RequestId


class BatchPolicy(Protocol):
    """Chooses among candidates."""

    def choose(
        self, on_ledger: Sequence[OnLedgerRequest], off_ledger: Sequence[OffLedgerRequest]
    ) -> tuple[RequestId, ...]:
        """The ids to propose, of candidates in the order of their coming.

        Off-ledger: every account's first, then every account's second, and so on, so that any number of them from the
        start is fair and has no nonce gaps.
        """
        ...


class OldestFirst(Frozen):
    """What came first is proposed first, up to a number of each kind."""

    on_ledger_max: int = 100
    """Inputs of an anchor transaction: the ledger allows 128, and the anchor itself needs one."""
    off_ledger_max: int = 500
    """Wasp's number."""

    def choose(
        self, on_ledger: Sequence[OnLedgerRequest], off_ledger: Sequence[OffLedgerRequest]
    ) -> tuple[RequestId, ...]:
        chosen: list[Request] = [*on_ledger[: self.on_ledger_max], *off_ledger[: self.off_ledger_max]]
        return tuple([request.id for request in chosen])
