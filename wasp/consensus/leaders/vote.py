"""Signed votes, and the certificates that a quorum of them makes: what protocols with a leader count.

A member votes for one digest per view and kind of vote; kinds are the subclasses of ``Vote``. Its signature binds the path
of the instance, the kind, the view and the digest, so a vote says nothing in another instance, phase or view, and anybody
who knows the members' keys can check it: votes are passed on, in certificates and as evidence.

1. on a member's first vote of a kind in a view: verify its signature, count it for its digest
2. on a second, signed one for another digest: a fault with both as evidence, once per ballot and member
3. a quorum of votes for one digest is a certificate; the ballot is closed, and takes no further members' votes

What a quorum tells no further vote can change, so those that come to a closed ballot are not verified: a third of them. A
liar whose first vote comes then escapes being accused, nothing else.
"""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar, TypeAlias, TypeVar

from ledger.kernel.automaton import Fault, NodeId, Path
from ledger.kernel.encoding import ZERO_DIGEST, Digest, Natural, Plain, Value, digest
from ledger.kernel.identity import Signature
from wasp.consensus.committee_protocol import Membership

NO_VALUE: Digest = ZERO_DIGEST
"""What a vote names that is for no value."""


class Vote(Value):
    """The sender votes for this digest in this view, in the phase that the subclass names."""

    view: Natural
    digest: Digest
    signature: Signature


class Certificate(Value):
    """So many members voted for this digest in this view; signers by index, rising, with the signature of each."""

    view: Natural
    digest: Digest
    signers: tuple[Natural, ...]
    signatures: tuple[Signature, ...]


AnyVote = TypeVar("AnyVote", bound=Vote)
Kind: TypeAlias = type[Vote]
Claim: TypeAlias = tuple[Kind, int, Digest]
"""What a certificate certifies."""


class Notary:
    """One member's pen and seal in one instance: signs what it says there, verifies what others say."""

    statements_max: ClassVar[int] = 4096
    """Statements remembered, of all instances: a committee's proposals and votes of a few instances at a time."""
    certificates_max: ClassVar[int] = 1024
    """Certificates that are known to be good, so that none is verified twice: two per view last for hours of views."""

    def __init__(self, membership: Membership, path: Path) -> None:
        self.path = path
        self._committee = membership.committee
        self._signer = membership.signer
        self.verify = membership.verifier.verify
        self.key = membership.committee.key
        self._certificates: dict[Claim, Certificate] = {}

    def sign(self, *parts: Plain) -> Signature:
        """This member's signature of a statement in this instance; the first part says what kind of statement it is."""
        return self._signer.sign(self.statement(*parts))

    def is_signed(self, member: NodeId, signature: Signature, *parts: Plain) -> bool:
        """Whether the member signed the statement."""
        return self.verify(self.key[member], self.statement(*parts), signature)

    def statement(self, *parts: Plain) -> bytes:
        """What is signed."""
        return _statement(self.path, *parts)

    def vote(self, kind: type[AnyVote], view: int, digest: Digest) -> AnyVote:
        """This member's vote."""
        return kind(view, digest, self.sign(kind.__name__, view, digest))

    def is_vote(self, member: NodeId, vote: Vote) -> bool:
        """Whether the member signed the vote."""
        return self.is_signed(member, vote.signature, type(vote).__name__, vote.view, vote.digest)

    def known(self, kind: Kind, view: int, digest: Digest) -> Certificate | None:
        """The certificate that this member made or verified, if there is one."""
        return self._certificates.get((kind, view, digest))

    def keep(self, kind: Kind, certificate: Certificate) -> Certificate:
        """Remember a good certificate; the first one of its claim is returned."""
        if len(self._certificates) >= self.certificates_max:
            del self._certificates[next(iter(self._certificates))]
        return self._certificates.setdefault((kind, certificate.view, certificate.digest), certificate)

    def is_certified(self, kind: Kind, certificate: Certificate, quorum: int) -> bool:
        """Whether a quorum of members signed these votes. Total. The very same certificate is verified once."""
        if self.known(kind, certificate.view, certificate.digest) == certificate:
            return True
        members, signers = self._committee.members, certificate.signers
        if not quorum <= len(signers) == len(certificate.signatures) <= len(members) or signers[-1] >= len(members):
            return False
        if any(signers[place] >= signers[place + 1] for place in range(len(signers) - 1)):
            return False
        statement = self.statement(kind.__name__, certificate.view, certificate.digest)
        for signer, signature in zip(signers, certificate.signatures, strict=True):
            if not self.verify(self.key[members[signer]], statement, signature):
                return False
        self.keep(kind, certificate)
        return True


@lru_cache(maxsize=Notary.statements_max)
def _statement(path: Path, *parts: Plain) -> bytes:
    return digest("statement", path, *parts)


class _Tally:
    """How many voted for a digest, and what each of them signed."""

    __slots__ = ("count", "statement")

    def __init__(self, statement: bytes) -> None:
        self.statement = statement
        self.count = 0


class Ballot:
    """The votes of one kind in one view: the first of each member, until a quorum has voted for one digest."""

    __slots__ = ("_accused", "_key", "_kind", "_notary", "_quorum", "_tallies", "_verify", "_view", "_votes", "closed")

    def __init__(self, notary: Notary, kind: Kind, view: int, quorum: int) -> None:
        self._notary = notary
        self._verify = notary.verify
        self._key = notary.key
        self._kind = kind
        self._view = view
        self._quorum = quorum
        self._votes: dict[NodeId, Vote] = {}
        self._tallies: dict[Digest, _Tally] = {}
        self._accused: set[NodeId] = set()
        self.closed = False

    @property
    def total(self) -> int:
        """How many members have voted, for whatever."""
        return len(self._votes)

    def count(self, digest: Digest) -> int:
        """How many members have voted for this digest."""
        tally = self._tallies.get(digest)
        return 0 if tally is None else tally.count

    def add(self, sender: NodeId, vote: Vote) -> int | Fault:
        """The member's vote: how many votes its digest has now, 0 when nothing changed."""
        first = self._votes.get(sender)
        if first is not None:
            return 0 if first.digest == vote.digest else self._accuse(sender, first, vote)
        if self.closed:
            return 0
        tally = self._tallies.get(vote.digest)
        if tally is None:
            tally = _Tally(self._notary.statement(self._kind.__name__, self._view, vote.digest))
        if not self._verify(self._key[sender], tally.statement, vote.signature):
            return self._bad_signature(sender)
        self._votes[sender] = vote
        tally.count = count = tally.count + 1
        if count == 1:
            self._tallies[vote.digest] = tally
        if count == self._quorum:
            self.closed = True
        return count

    def certificate(self, digest: Digest) -> Certificate | None:
        """The certificate of a digest that has a quorum."""
        if self.count(digest) < self._quorum:
            return None
        members = self._notary.key
        votes = [
            (place, self._votes[member].signature)
            for place, member in enumerate(members)
            if member in self._votes and self._votes[member].digest == digest
        ]
        signers, signatures = zip(*votes, strict=True)
        return self._notary.keep(self._kind, Certificate(self._view, digest, signers, signatures))

    def _accuse(self, sender: NodeId, first: Vote, second: Vote) -> int | Fault:
        if sender in self._accused:
            return 0
        if not self._notary.is_vote(sender, second):
            return self._bad_signature(sender)
        self._accused.add(sender)
        detail = f"two votes {self._kind.__name__} in view {self._view}"
        return Fault(sender, "equivocation", self._notary.path, detail, (first, second))

    def _bad_signature(self, sender: NodeId) -> Fault:
        detail = f"{self._kind.__name__} in view {self._view}"
        return Fault(sender, "bad_signature", self._notary.path, detail)
