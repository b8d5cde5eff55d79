"""What every protocol of a committee looks like from above, so that one line of the configuration chooses it.

The owner gives each member's proposal, once; the protocol outputs, once, the proposals of n - f or more members, n - 2f or
more of them correct: the same ones, with the same bytes, at every correct member. What a faulty member encrypted so that it
can't be opened is left out. A protocol without a leader decides a subset of what was proposed; a protocol with one decides a
list that its leader gathered. What the bytes mean is the business of the owner.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, TypeAlias

from ledger.kernel.automaton import Automaton, NodeId, Path
from ledger.kernel.encoding import Frozen
from ledger.kernel.identity import Signer, Verifier
from ledger.kernel.rng import Stream
from ledger.kernel.threshold import MemberKeys
from wasp.committee import Committee
from wasp.consensus.protocol_times import ProtocolTimes


class Propose(Frozen):
    """Input, once: the member's proposal."""

    payload: bytes


class ProposalsSeen(Frozen):
    """Output, once: f + 1 other members have proposed, so a correct one; a member that holds its proposal back joins."""


class ProposalsDecided(Frozen):
    """Output, once: proposals by index of their members, in rising order; n - f at least, without unopened ones."""

    proposals: tuple[tuple[int, bytes], ...]


ProtocolOutput: TypeAlias = ProposalsSeen | ProposalsDecided


class Membership(Frozen):
    """A member's place in one instance: what a protocol may need, given by the owner."""

    path: Path
    committee: Committee
    me: NodeId
    signer: Signer
    verifier: Verifier
    keys: MemberKeys
    rng: Stream
    """For secrets of its own; never the same stream in two lives of a member."""
    times: ProtocolTimes = ProtocolTimes()


class CommitteeProtocol(Automaton[Propose, Any, ProtocolOutput]):
    """One member's part in one instance. Senders of messages are members: the owner has checked that.

    Messages may come before the own proposal. After its output an instance goes on answering, until it is no longer kept.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def rounds(self) -> tuple[int, ...]:
        """How many rounds each agreement took until this member decided in it, 0 before; how many views leaders had."""

    @property
    @abstractmethod
    def terminated(self) -> bool:
        """Whether this member will start nothing more here by itself."""

    @property
    @abstractmethod
    def status(self) -> dict[str, Any]:
        """Why it waits."""
