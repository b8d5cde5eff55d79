"""What members of a committee who sign by FROST tell each other, and what they keep of one session.

A session's list may come after shares of it, so a share names by its digest the list that it is for. A coordinator that tells
two lists can't make a correct signer's share look bad, then: it is a share of another list.

``Offers`` is how a coordinator of ROAST (Ruffing, Ronge, Jin, Schneider-Bensch, Schröder 2022, figure 4) picks signers. A
member's offer is a commitment to nonces that wait for their use. Once used for a session it is gone, until the member offers
new ones, with its share of that session. So a member of whom a session gets no share is kept out of all later ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Annotated, Any, TypeAlias

import msgspec

from ledger.kernel.automaton import NOTHING, Envelope, NodeId, Path, Step
from ledger.kernel.encoding import Digest, Natural, Value, digest_of_bytes
from ledger.kernel.identity import Signature
from ledger.kernel.threshold import SigningKey
from wasp.committee import Committee

Commitment = Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]
Share = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
CommitmentList: TypeAlias = tuple[tuple[Natural, Commitment], ...]
"""Signers by index, rising, each with the commitment to the nonces that it signs with."""

Place: TypeAlias = tuple[int, int]
"""An attempt, and a session of it."""


class SignatureShare(Value):
    """The sender computed this digest; its share of the first attempt, if it is a signer there; its next nonces."""

    digest: Digest
    share: Share | None
    offer: Commitment


class NextAttempt(Value):
    """The sender has no signature yet, has begun this attempt, and has these nonces ready for it."""

    attempt: Natural
    offer: Commitment


class SigningSession(Value):
    """The coordinator asks these members to sign with these nonces."""

    attempt: Natural
    session: Natural
    commitments: CommitmentList


class SessionShare(Value):
    """The sender's share of the session whose list of commitments has this digest; its next nonces."""

    attempt: Natural
    session: Natural
    commitments: Digest
    share: Share
    offer: Commitment


class CommitteeSignature(Value):
    """The signature that the receiver still tries to make."""

    signature: Signature


FrostSignatureMessage: TypeAlias = SignatureShare | NextAttempt | SigningSession | SessionShare | CommitteeSignature


class SigningTurns:
    """Whose turn it is, and what is a list of signers: what all members compute alike for one log index."""

    def __init__(self, committee: Committee, log_index: int, key: SigningKey) -> None:
        self._n = committee.n
        self._log_index = log_index
        self._key = key
        self.signer_quorum = committee.waiting
        self.sessions_max = committee.f + 1  # a coordinator needs no more: one faulty member spoils one session

    def coordinator(self, attempt: int) -> int:
        """Who opens the sessions of the attempt; in attempt 0, the first of its signers."""
        return (self._log_index + attempt) % self._n

    def by_turn(self, attempt: int) -> list[int]:
        """All members, from the attempt's coordinator on, so that work is spread."""
        return [(self.coordinator(attempt) + behind) % self._n for behind in range(self._n)]

    def first_list(self, preparations: tuple[tuple[int, bytes], ...]) -> CommitmentList | None:
        """The signers of attempt 0; the same at all correct members, whose decided proposals are the same."""
        prepared = dict(preparations)
        formed = (
            (member, prepared[member])
            for member in self.by_turn(0)
            if member in prepared and self._key.is_commitment(prepared[member])
        )
        signers = tuple(sorted(islice(formed, self.signer_quorum)))
        return signers if len(signers) == self.signer_quorum else None

    def is_place(self, place: Place) -> bool:
        """Whether there may be such an attempt and such a session of it. Attempts go on for as long as an outage does."""
        return place[0] >= 1 and place[1] < self.sessions_max

    def is_list(self, commitments: CommitmentList) -> bool:
        """Whether these are n - f distinct members with commitments. Total."""
        members = [member for member, _ in commitments]
        distinct = len(members) == self.signer_quorum and members == sorted(set(members))
        known = all(member < self._n for member in members)
        return distinct and known and all(self._key.is_commitment(commitment) for _, commitment in commitments)


class Progress:
    """Which attempt each member has begun last: who pulls whom along, and who waits for whom."""

    def __init__(self, committee: Committee) -> None:
        self._join_quorum = committee.some_correct
        self._company_quorum = committee.waiting
        self._begun = [0] * committee.n

    @property
    def joined(self) -> int:
        """The latest attempt that f + 1 members have reached, so a correct one."""
        return sorted(self._begun)[-self._join_quorum]

    def note(self, member: int, attempt: int) -> bool:
        """A member says that it has begun an attempt; whether it says so for the first time."""
        first = attempt > self._begun[member]
        self._begun[member] = max(self._begun[member], attempt)
        return first

    def is_joined(self, attempt: int) -> bool:
        """Whether n - f members have reached the attempt: all correct ones are pulled there."""
        return sum(begun >= attempt for begun in self._begun) >= self._company_quorum

    def beyond(self, place: Place) -> list[int]:
        """Who has begun a later attempt than that of this session."""
        return [member for member, attempt in enumerate(self._begun) if (attempt, 0) > place]


class Session:
    """One session, as one member knows it."""

    def __init__(self) -> None:
        self.commitments: CommitmentList | None = None
        self.signers: frozenset[int] = frozenset()
        self.digest: Digest = b""
        self.shares: dict[int, tuple[Digest, Share]] = {}
        self.answered = False
        """Whether this member has looked for its own name in the list."""
        self.failed = False
        """Whether the shares of all signers were there, and made no signature."""

    def open(self, commitments: CommitmentList) -> None:
        """The list has come."""
        self.commitments = commitments
        self.signers = frozenset(member for member, _ in commitments)
        self.digest = digest_of_bytes(b"".join(member.to_bytes(8, "big") + data for member, data in commitments))

    def all_shares(self) -> dict[int, Share] | None:
        """The shares of all signers, for this list; None while some are missing."""
        if self.commitments is None or len(self.shares) < len(self.commitments):
            return None
        given = ((member, self.shares.get(member)) for member, _ in self.commitments)
        shares = {member: share[1] for member, share in given if share is not None and share[0] == self.digest}
        return shares if len(shares) == len(self.commitments) else None


class Offers:
    """The latest offer of each member, and where it was made; none when it has been used."""

    def __init__(self) -> None:
        self._latest: dict[int, tuple[Place, Commitment | None]] = {}

    def note(self, member: int, place: Place, offer: Commitment) -> None:
        """A member's offers rise with attempt and session, its messages may come in another order."""
        if member not in self._latest or self._latest[member][0] < place:
            self._latest[member] = (place, offer)

    def ready(self, attempt: int, candidates: Iterable[int], count: int) -> CommitmentList | None:
        """The offers for this attempt of the first candidates that have one, by rising index; None if there are too few."""
        latest = [(member, *self._latest.get(member, ((0, 0), None))) for member in candidates]
        found = [(member, offer) for member, place, offer in latest if offer is not None and place[0] == attempt]
        return tuple(sorted(found[:count])) if len(found) >= count else None

    def use(self, commitments: CommitmentList) -> None:
        """A session is opened with these offers."""
        for member, _ in commitments:
            self._latest[member] = (self._latest[member][0], None)


class HeldSignature:
    """The signature at a member that has it, and gives it, once, to each other member that still tries to make it.

    Who asks: whoever speaks about a session or an attempt after that of the signature, or announces an attempt again.
    """

    def __init__(
        self, signature: Signature, place: Place, committee: Committee, path: Path, me: int, progress: Progress
    ) -> None:
        self._message = CommitteeSignature(signature)
        self.place = place
        self._committee = committee
        self._path = path
        self._progress = progress
        self._told = 1 << me

    def answer(self, sender: NodeId, message: Value) -> Step[Any]:
        """A message comes."""
        match message:
            case NextAttempt():
                first = self._progress.note(self._committee.index[sender], message.attempt)
                asking = not first or (message.attempt, 0) > self.place
            case SigningSession() | SessionShare():
                asking = (message.attempt, message.session) > self.place
            case _:
                asking = False
        return self.tell(sender) if asking else NOTHING

    def tell(self, member: NodeId) -> Step[Any]:
        """Give the member the signature."""
        bit = self._committee.bit[member]
        if self._told & bit:
            return NOTHING
        self._told |= bit
        return Step(messages=(Envelope((member,), self._path, self._message),))
