"""The protocols by which a committee can decide, by the names that a configuration gives them, and how each signs its anchor.

``wasp`` and ``hbbft`` are asynchronous: they need no clock, and no leader. ``mmr14`` is ``wasp`` with the agreement as it was
first printed; an adversary who orders the messages can stall it for ever, which is what it is there for. The others follow
a leader, and need timers to replace it. ``sequencer`` trusts it, and is the floor of what agreement can cost.

``wasp`` signs with nonces that are dealt anew in every instance, as the real one does, all others by FROST.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from wasp.consensus.committee_protocol import CommitteeProtocol, Membership
from wasp.consensus.common_subset import CommonSubset, SubsetMessage
from wasp.consensus.hbbft import HoneyBadger, HoneyBadgerMessage
from wasp.consensus.leaders.hotstuff import HotStuff, HotStuffMessage
from wasp.consensus.leaders.jolteon import Jolteon, JolteonMessage
from wasp.consensus.leaders.pbft import Pbft, PbftMessage
from wasp.consensus.leaders.sequencer import Sequencer, SequencerMessage
from wasp.consensus.leaders.tendermint import Tendermint, TendermintMessage
from wasp.consensus.mmr14 import Mmr14, Mmr14Message
from wasp.consensus.signing.anchor_signature import AnchorSignature
from wasp.consensus.signing.frost_signature import FrostSignature
from wasp.consensus.signing.nonce_signature import NonceSignature, NonceSignatureMessage
from wasp.consensus.signing.signing_session import FrostSignatureMessage

PROTOCOLS: Mapping[str, Callable[[Membership], CommitteeProtocol]] = {
    "wasp": CommonSubset,
    "hbbft": HoneyBadger,
    "mmr14": Mmr14,
    "pbft": Pbft,
    "tendermint": Tendermint,
    "hotstuff": HotStuff,
    "jolteon": Jolteon,
    "sequencer": Sequencer,
}

SIGNATURES: Mapping[str, Callable[[Membership], AnchorSignature]] = {
    name: NonceSignature if name == "wasp" else FrostSignature for name in PROTOCOLS
}

ProtocolMessage: TypeAlias = (
    SubsetMessage
    | HoneyBadgerMessage
    | Mmr14Message
    | PbftMessage
    | TendermintMessage
    | HotStuffMessage
    | JolteonMessage
    | SequencerMessage
)
AnchorSignatureMessage: TypeAlias = NonceSignatureMessage | FrostSignatureMessage
