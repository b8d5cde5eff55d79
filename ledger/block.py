"""Blocks: the points of the Tangle.

A block approves its parents (Popov, *The Tangle*, 2018). A *strong* parent is approved with its whole past cone, a
*weak* one for its payload alone, so that a good transaction is not lost in a cone that lost a conflict (GoShimmer
0.7, section "strong and weak approvers"). A block without a payload is an *activity* block: it carries nothing but
approval.

Proof of work is done over the essence, the signature over essence and nonce, and the id covers everything:

    work_data = digest(essence);  the signature signs digest("block", work_data, nonce)

What is modelled, what is not: GoShimmer's message has a sequence number, and from 0.8 on like and dislike parents;
here a vote is expressed by strong and weak parents alone.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, TypeAlias

import msgspec

from ledger.kernel.encoding import Codec, Digest, Natural, Value, digest, digest_of_bytes, encode
from ledger.kernel.identity import PublicKey, Signature, Signer, Verifier
from ledger.kernel.instant import Instant
from ledger.kernel.rejection import require
from ledger.transaction import Transaction

BLOCK_VERSION = 1
PARENTS_MAX = 8
"""Strong and weak parents together (GoShimmer's limit)."""
BLOCK_SIZE_MAX = 64 * 1024
"""Bytes of a block (GoShimmer's limit)."""

BlockId: TypeAlias = Digest
"""The digest of a block."""


class BlockEssence(Value, dict=True):
    """What the proof of work is done for."""

    version: int
    network: str
    strong: Annotated[tuple[BlockId, ...], msgspec.Meta(min_length=1, max_length=PARENTS_MAX)]
    weak: Annotated[tuple[BlockId, ...], msgspec.Meta(max_length=PARENTS_MAX)]
    issuer: PublicKey
    issuing_time: Instant
    payload: Transaction | None

    @cached_property
    def encoded(self) -> bytes:
        """The essence's bytes."""
        return encode(self)

    @cached_property
    def work_data(self) -> Digest:
        """What a nonce is sought for."""
        return digest_of_bytes(self.encoded)


class Block(Value, dict=True):
    """An essence with its proof of work and the issuer's signature."""

    essence: BlockEssence
    nonce: Natural
    signature: Signature

    @cached_property
    def id(self) -> BlockId:
        """The block's id."""
        return digest("block id", self.essence.work_data, self.nonce, self.signature)

    @cached_property
    def size(self) -> Natural:
        """Bytes of the block."""
        return len(encode(self))


BLOCK_CODEC: Codec[Block] = Codec(Block, BLOCK_SIZE_MAX)


def signing_data(essence: BlockEssence, nonce: int) -> Digest:
    """What the issuer signs."""
    return digest("block", essence.work_data, nonce)


def sign_block(essence: BlockEssence, nonce: int, signer: Signer) -> Block:
    """The block of this essence and proof of work."""
    return Block(essence, nonce, signer.sign(signing_data(essence, nonce)))


def check_block(block: Block, network: str, verifier: Verifier) -> None:
    """What can be judged of a block alone, but for its payload and its proof of work.

    Errors: ``Rejected`` with "wrong_version", "wrong_network", "bad_parents", "too_large",
    "before_transaction", "bad_signature".
    """
    essence = block.essence
    strong, weak = essence.strong, essence.weak
    require(essence.version == BLOCK_VERSION, "wrong_version", f"version {essence.version}, expected {BLOCK_VERSION}")
    require(essence.network == network, "wrong_network", f"network {essence.network!r}, expected {network!r}")
    parents = {*strong, *weak}
    require(
        0 < len(strong) <= len(strong) + len(weak) == len(parents) <= PARENTS_MAX,
        "bad_parents",
        f"{len(strong)} strong and {len(weak)} weak parents, {len(parents)} distinct",
    )
    ordered = (len(strong) == 1 or list(strong) == sorted(strong)) and (len(weak) < 2 or list(weak) == sorted(weak))
    require(ordered, "bad_parents", "parents are not in the order of their ids")
    if essence.payload is not None:
        timestamp = essence.payload.essence.timestamp
        require(essence.issuing_time >= timestamp, "before_transaction", "issued before its transaction's timestamp")
        require(block.size <= BLOCK_SIZE_MAX, "too_large", f"{block.size} bytes, at most {BLOCK_SIZE_MAX} expected")
    signed = verifier.verify(essence.issuer, signing_data(essence, block.nonce), block.signature)
    require(signed, "bad_signature", "the issuer's signature does not verify")
