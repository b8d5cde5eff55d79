"""Transactions: inputs consumed, outputs created, and the unlocks that entitle to it.

A transaction's id is the digest of its essence. Unlocks are not covered: two unlocks of one essence (two signatures of
one key, say) are one transaction, and never conflict. The timestamp in the essence is the time by which unlock
conditions are judged; for an anchor transaction it is the timestamp of its chain block.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, TypeAlias

import msgspec

from ledger.kernel.encoding import Natural, Value, digest_of
from ledger.kernel.identity import Signature
from ledger.kernel.instant import Instant
from ledger.output import Output, OutputId, TransactionId

INPUTS_MAX = 128
"""Inputs and outputs of a transaction (Stardust's limit)."""
PAYLOAD_SIZE_MAX = 8_192
"""Bytes of free data in an essence."""


class Essence(Value, dict=True):
    """What is signed, and what the id of the transaction covers."""

    network: str
    timestamp: Instant
    inputs: Annotated[tuple[OutputId, ...], msgspec.Meta(min_length=1, max_length=INPUTS_MAX)]
    outputs: Annotated[tuple[Output, ...], msgspec.Meta(min_length=1, max_length=INPUTS_MAX)]
    payload: Annotated[bytes, msgspec.Meta(max_length=PAYLOAD_SIZE_MAX)] = b""

    @cached_property
    def id(self) -> TransactionId:
        """The transaction's id, and what its unlocks sign."""
        return digest_of(self)


class SignatureUnlock(Value):
    """For a key's address: its signature of the transaction's id."""

    signature: Signature


class ChainUnlock(Value):
    """For a chain's address: the place among the inputs of the anchor that this transaction moves."""

    anchor_input: Natural


Unlock: TypeAlias = SignatureUnlock | ChainUnlock


class Transaction(Value):
    """An essence with one unlock per input, in the same order."""

    essence: Essence
    unlocks: Annotated[tuple[Unlock, ...], msgspec.Meta(min_length=1, max_length=INPUTS_MAX)]

    @property
    def id(self) -> TransactionId:
        """The digest of the essence."""
        return self.essence.id

    def output_id(self, index: int) -> OutputId:
        """The id of the output at this index."""
        return OutputId(self.essence.id, index)
