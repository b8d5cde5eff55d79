"""Gas: what acts cost, and the meter that counts them.

Gas bounds the work of a chain block, whatever its requests do. The limits are those of Wasp: at most 1e9 a block,
50e6 a request, and never less than 10,000 charged, because a request costs its place in the block even when it does
nothing. Costs are round numbers in proportion to the work of a member: about one gas for a nanosecond of the
reference interpreter.

A price policy turns gas into tokens. The default is none: the members are the households themselves.
"""

from __future__ import annotations

from ledger.kernel.encoding import Frozen
from ledger.kernel.rejection import Rejected
from wasp.request import GAS_BUDGET_MAX

GAS_BLOCK_MAX = 1_000_000_000
"""Gas of all requests of a chain block: twenty of the largest."""
GAS_REQUEST_MAX = GAS_BUDGET_MAX
"""Gas of one request."""
GAS_REQUEST_MIN = 10_000
"""What the smallest request is charged."""

GAS_CALL = 5_000
"""Finding the entry point and decoding the parameters."""
GAS_PARAMETER_BYTE = 10
"""A byte of parameters: it is decoded, stored with the chain block and sent to every member."""
GAS_READ = 2_000
"""A walk down the trie."""
GAS_WRITE = 10_000
"""A new path in the trie: packed, hashed, stored."""
GAS_WRITE_BYTE = 20
"""A byte of a written value: packed, hashed, stored by every member for as long as blocks are kept."""
GAS_TRANSFER = 20_000
"""Two balances read and written."""
GAS_SEND = 50_000
"""A message: a balance moved, an entry of the outbox, an output of layer 1."""
GAS_EVENT = 10_000
"""An event: an entry of the block log."""
GAS_DRAW = 5_000
"""Seeding a stream."""


class GasPolicy(Frozen):
    """``tokens`` for every ``gas`` burned, rounded down. Zero tokens: free."""

    tokens: int
    gas: int

    def fee(self, burned: int) -> int:
        """Tokens for this much gas."""
        return burned * self.tokens // self.gas


FREE = GasPolicy(0, 1)


class GasMeter:
    """Counts the gas of one request, or of the due moments of a block."""

    __slots__ = ("limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def burn(self, gas: int) -> None:
        """Count this much.

        Errors: ``Rejected("gas", ...)`` beyond the limit; from then on every call raises it.
        """
        self.used += gas
        if self.used > self.limit:
            raise Rejected("gas", f"more than {self.limit} gas needed")

    @property
    def exhausted(self) -> bool:
        """Whether more was burned than allowed."""
        return self.used > self.limit
