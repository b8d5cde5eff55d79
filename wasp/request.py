"""Requests: what a chain is asked to do.

- *off-ledger*: signed by an account's key, with a nonce that counts the account's requests on this chain; it spends only
  what the account has on the chain, at most ``allowance`` of it.
- *on-ledger*: an output of layer 1 addressed to the chain. Its tokens are credited to the sender's account here, and all
  of them are the allowance. Its metadata is a ``CrossChainMessage``.

A message between chains is named for ever by (chain, contract, counter) of its sender.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, TypeAlias

import msgspec

from ledger.kernel.encoding import PLAIN_SIZE_MAX, Codec, Digest, Natural, Plain, Value, digest_of, pack
from ledger.kernel.identity import PublicKey, Signature, Signer, Verifier
from ledger.output import BasicOutput, OutputId

NAME_SIZE_MAX = 64
"""Characters of a chain's, contract's, entry point's or account's name."""
GAS_BUDGET_MAX = 50_000_000
"""Gas of the largest request (Wasp's limit)."""

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_SIZE_MAX)]
RequestId: TypeAlias = Digest


class Call(Value):
    """A call of an entry point with packed plain parameters."""

    contract: Name
    entry_point: Name
    parameters: Annotated[bytes, msgspec.Meta(max_length=PLAIN_SIZE_MAX)]


def call(contract: str, entry_point: str, *parameters: Plain) -> Call:
    """The call with these parameters."""
    return Call(contract, entry_point, pack(parameters))


class RequestEssence(Value, dict=True):
    """What the sender of an off-ledger request signs."""

    chain: Name
    sender: PublicKey
    nonce: Natural
    call: Call
    allowance: Natural
    gas_budget: Annotated[int, msgspec.Meta(ge=0, le=GAS_BUDGET_MAX)]

    @cached_property
    def id(self) -> RequestId:
        """The request's id; the signature is not covered."""
        return digest_of(self)


class OffLedgerRequest(Value):
    """A signed request."""

    essence: RequestEssence
    signature: Signature

    @property
    def id(self) -> RequestId:
        """The digest of the essence."""
        return self.essence.id

    def verify(self, verifier: Verifier) -> bool:
        """Whether the sender signed it."""
        return verifier.verify(self.essence.sender, self.essence.id, self.signature)


class OnLedgerRequest(Value, dict=True):
    """A confirmed output that asks a chain for something."""

    output_id: OutputId
    output: BasicOutput

    @cached_property
    def id(self) -> RequestId:
        """The digest of the output's id."""
        return digest_of(self.output_id)


Request: TypeAlias = OffLedgerRequest | OnLedgerRequest


class MessageId(Value):
    """The ``counter``-th message that a contract of a chain put into the outbox."""

    chain: Name
    contract: Name
    counter: Natural


class CrossChainMessage(Value):
    """The metadata of an output from one chain to another."""

    id: MessageId
    call: Call
    gas_budget: Annotated[int, msgspec.Meta(ge=0, le=GAS_BUDGET_MAX)] = GAS_BUDGET_MAX


MESSAGE_CODEC: Codec[CrossChainMessage] = Codec(CrossChainMessage)


def sign_request(
    signer: Signer, chain: str, nonce: int, call: Call, allowance: int = 0, gas_budget: int = GAS_BUDGET_MAX
) -> OffLedgerRequest:
    """The off-ledger request of the signer's account."""
    essence = RequestEssence(chain, signer.public_key, nonce, call, allowance, gas_budget)
    return OffLedgerRequest(essence, signer.sign(essence.id))
