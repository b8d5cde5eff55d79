"""A committee with keys of either kind of crypto, and its members' instances."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ledger.kernel.automaton import NodeId
from ledger.kernel.identity import CryptoKind, Signature, Signer, deal_signer, verifier
from ledger.kernel.key_dealer import deal_member_keys
from ledger.kernel.quorum import max_faulty
from ledger.kernel.rng import Stream, stream
from ledger.kernel.threshold import MemberKeys
from wasp.committee import Committee
from wasp.consensus.committee_protocol import Membership
from wasp.consensus.consensus import Consensus

CHAIN = "mg1"


class DealtCommittee:
    """The committee of n members "m0", "m1", ..., and all their secrets."""

    def __init__(self, n: int, seed: int = 1, kind: CryptoKind = "model") -> None:
        self.members = tuple(NodeId(f"m{index}") for index in range(n))
        self.signers: dict[NodeId, Signer] = {me: deal_signer(kind, seed, me) for me in self.members}
        keys = deal_member_keys(kind, seed, CHAIN, n, max_faulty(n))
        public_keys = [self.signers[me].public_key for me in self.members]
        self.committee = Committee(self.members, public_keys, keys[0].signing.group_key)
        self.keys: dict[NodeId, MemberKeys] = dict(zip(self.members, keys, strict=True))
        self.verifier = verifier(kind)

    def membership(self, me: NodeId, log_index: int = 1, rng: Stream | None = None) -> Membership:
        """A member's place in one instance; its stream is one of the instance's own unless another is given."""
        return Membership(
            (CHAIN, log_index),
            self.committee,
            me,
            self.signers[me],
            self.verifier,
            self.keys[me],
            rng or stream(1, "member", me, log_index),
        )

    def signature(self, message: bytes) -> Signature:
        """The committee's signature: what n - f of its members make together."""
        keys = [self.keys[me].signing for me in self.members[: self.committee.waiting]]
        nonces = [key.make_nonces(stream(1, "nonces", place)) for place, key in enumerate(keys)]
        commitments = tuple((place, pair.commitment) for place, pair in enumerate(nonces))
        shares = [key.sign_share(pair, message, commitments) for key, pair in zip(keys, nonces, strict=True)]
        signature = keys[0].combine(message, commitments, dict(enumerate(shares)))
        assert signature is not None
        return signature

    def consensus(self, me: NodeId, log_index: int = 1, protocol: str = "wasp") -> Consensus:
        """A member's part in one log index."""
        place, path = self.membership(me, log_index), (CHAIN, log_index)
        keys, rng, times = place.keys, place.rng, place.times
        return Consensus(path, self.committee, me, place.signer, place.verifier, keys, rng, protocol, times)

    def each(self, make: Callable[[Membership], Any]) -> dict[NodeId, Any]:
        """One automaton per member."""
        return {me: make(self.membership(me)) for me in self.members}
