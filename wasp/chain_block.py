"""Chain blocks: what a committee agreed on, one per anchor.

A chain block says what was executed and what that changed. Its digest, with the root of the state that it leads to,
is the *state commitment*, which stands in the anchor and has always the same size. So the anchor proves the block,
the block proves the one before, and the root proves every value in between.

The digest covers the ids of the requests, not their signatures: members may hold different valid signatures of one
request, and must sign the same commitment.
"""

from __future__ import annotations

from functools import cached_property

from ledger.kernel.encoding import ZERO_DIGEST, Codec, Digest, Natural, Value, digest, encode
from ledger.kernel.instant import Instant
from ledger.output import STATE_METADATA_SIZE_MAX, OutputId
from wasp.request import Name, Request
from wasp.state import EMPTY_STATE, Mutation, State


class ChainBlock(Value, dict=True):
    """The step from one state of a chain to the next."""

    chain: Name
    index: Natural
    previous: Digest
    base: OutputId
    timestamp: Instant
    log_index: Natural
    requests: tuple[Request, ...]
    mutations: tuple[Mutation, ...]
    state_root: Digest

    @cached_property
    def digest(self) -> Digest:
        """What commits to the block: all of it, but the requests' signatures."""
        return digest(
            "chain block",
            self.chain,
            self.index,
            self.previous,
            (self.base.transaction, self.base.index),
            self.timestamp,
            self.log_index,
            tuple([request.id for request in self.requests]),
            tuple([(mutation.key, mutation.value) for mutation in self.mutations]),
            self.state_root,
        )


class StateCommitment(Value):
    """What an anchor says about its chain."""

    root: Digest
    chain_block: Digest


COMMITMENT_CODEC: Codec[StateCommitment] = Codec(StateCommitment, STATE_METADATA_SIZE_MAX)
"""Decodes an anchor's state metadata."""


def commitment_of(block: ChainBlock) -> StateCommitment:
    """The commitment to the block and to the state that it leads to."""
    return StateCommitment(block.state_root, block.digest)


def state_metadata_of(block: ChainBlock) -> bytes:
    """The state metadata of the anchor that the block makes."""
    return encode(commitment_of(block))


def first_block(chain: str, state: State, timestamp: Instant = 0) -> ChainBlock:
    """Block 0, which makes the genesis state of nothing."""
    return ChainBlock(chain, 0, ZERO_DIGEST, OutputId(ZERO_DIGEST, 0), timestamp, 0, (), state.mutations(), state.root)


def replayed(state: State, block: ChainBlock) -> State | None:
    """The state after the block, of its mutations alone; none when they don't lead to the root that it claims."""
    before = EMPTY_STATE if block.index == 0 else state
    after = before.apply(block.mutations)
    return after if after.root == block.state_root else None
