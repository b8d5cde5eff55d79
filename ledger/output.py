"""Outputs: what the UTXO ledger of layer 1 holds, and who may spend them.

Two kinds, after IOTA's Stardust (TIP-18): a *basic* output holds tokens for an address, an *anchor* output holds a chain:
its funds, its state index and the commitment to its state. Conditions of a basic output are judged by the timestamp in
the essence of the transaction that spends it:

- before ``timelock`` nobody may spend it,
- before ``expiration`` only ``address`` may, from then on only the return address may.

What is modelled, what is not: no native tokens, no NFTs, no storage deposit (an output carries at least one token).
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

from ledger.kernel.encoding import Digest, Natural, Value, digest
from ledger.kernel.identity import PublicKey
from ledger.kernel.instant import Instant

METADATA_SIZE_MAX = 8_192
"""Bytes of metadata of an output (Stardust's limit): a request with its parameters fits."""
STATE_METADATA_SIZE_MAX = 256
"""Bytes of an anchor's state metadata: a commitment of fixed size, with room for another kind of it."""

ChainId: TypeAlias = Digest
"""A chain's name on the ledger."""

TransactionId: TypeAlias = Digest
"""The digest of a transaction's essence."""


def chain_id(network: str, chain: str) -> ChainId:
    """The ledger's id of the chain with this name in the configuration."""
    return digest("chain", network, chain)


class KeyAddress(Value):
    """Unlocked by one Ed25519 signature."""

    public_key: PublicKey


class ChainAddress(Value):
    """Unlocked by a transaction that also moves the anchor of this chain."""

    chain: ChainId


Address: TypeAlias = KeyAddress | ChainAddress


class OutputId(Value):
    """Output ``index`` of a transaction."""

    transaction: TransactionId
    index: Natural


class Expiration(Value):
    """From ``instant`` on the output belongs to ``return_address``."""

    instant: Instant
    return_address: Address


class SenderFeature(Value):
    """The chain and contract that made the output: layer 1 checks that the transaction moves the chain's anchor."""

    chain: ChainId
    contract: str


class BasicOutput(Value):
    """Tokens for an address; with metadata for a chain, an on-ledger request."""

    amount: Annotated[int, msgspec.Meta(ge=1)]
    address: Address
    expiration: Expiration | None = None
    timelock: Instant | None = None
    sender: SenderFeature | None = None
    metadata: Annotated[bytes, msgspec.Meta(max_length=METADATA_SIZE_MAX)] = b""


class AnchorOutput(Value):
    """A chain: moving it makes the next one, with the state index grown by one."""

    amount: Annotated[int, msgspec.Meta(ge=1)]
    chain: ChainId
    state_index: Natural
    state_metadata: Annotated[bytes, msgspec.Meta(max_length=STATE_METADATA_SIZE_MAX)]
    state_controller: Address


Output: TypeAlias = BasicOutput | AnchorOutput
