"""What one member knows about one dealer of a key generation, and what it makes of it.

Everything comes in any order: the dealing and its answers are broadcast, so they are the same at all members; the member's
own shares are told to it alone. Only the right shares are kept, whichever way they came: there is only one right list.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

from ledger.kernel.encoding import Codec, Natural, Value
from ledger.kernel.group import SCALAR_SIZE, Scalar
from ledger.kernel.key_dealing import KeyDealing, check_dealing, open_share
from ledger.kernel.rejection import Rejected

ShareBytes = Annotated[bytes, msgspec.Meta(min_length=SCALAR_SIZE, max_length=SCALAR_SIZE)]
Finding: TypeAlias = tuple[str, str]
"""Kind and detail of a fault of the dealer."""


class DealtKeys(Value):
    """Payload: the public part of a dealing per key."""

    dealings: tuple[KeyDealing, ...]


class DealtShares(Value):
    """Message of a dealer to one member: its share of each key's polynomial."""

    shares: tuple[ShareBytes, ...]


class RevealedShares(Value):
    """Payload: the shares of members that complained, in rising order of members."""

    answers: tuple[tuple[Natural, tuple[ShareBytes, ...]], ...]


_DEALT: Codec[DealtKeys] = Codec(DealtKeys)
_REVEALED: Codec[RevealedShares] = Codec(RevealedShares)


class DealerCase:
    """One dealer, seen by one member; ``context`` is what the dealer's proofs are bound to."""

    def __init__(self, me: int, n: int, thresholds: tuple[int, ...], context: bytes) -> None:
        self._me = me
        self._n = n
        self._thresholds = thresholds
        self._context = context
        self._told: DealtShares | None = None
        self._answers: tuple[tuple[int, tuple[bytes, ...]], ...] = ()
        self._answered = 0
        """Mask of the members whose right shares were revealed."""
        self._counted = 0
        """Mask of the complaints that were there when they were counted."""
        self.complaints = 0
        """Mask of the members that complained."""
        self.dealings: tuple[KeyDealing, ...] | None = None
        """Once they are known and right."""
        self.shares: tuple[Scalar, ...] | None = None
        """This member's own, once they are known and right."""

    def hear_dealing(self, payload: bytes) -> list[Finding]:
        """The dealer's broadcast has brought this, once."""
        try:
            dealings = _DEALT.decode(payload).dealings
        except Rejected as rejected:
            return [("undecodable", rejected.detail)]
        if len(dealings) != len(self._thresholds) or not all(
            check_dealing(dealing, threshold, self._context)
            for dealing, threshold in zip(dealings, self._thresholds, strict=True)
        ):
            return [("bad_dealing", "")]
        self.dealings = dealings
        return self._open_told() + self._open_answers()

    def hear_shares(self, message: DealtShares) -> list[Finding]:
        """The dealer has told this member its shares."""
        if self._told is not None:
            return [] if self._told == message else [("equivocation", "two lists of shares")]
        self._told = message
        return self._open_told()

    def hear_answers(self, payload: bytes) -> list[Finding]:
        """The dealer's broadcast of answers has brought this, once."""
        try:
            answers = _REVEALED.decode(payload).answers
        except Rejected as rejected:
            return [("undecodable", rejected.detail)]
        members = [member for member, _ in answers]
        if members != sorted(set(members)) or members[-1:] >= [self._n]:
            return [("bad_answer", "not one per member, in order")]
        self._answers = answers
        return self._open_answers()

    def count_complaints(self) -> None:
        """Those that have come by now are the ones that matter."""
        self._counted = self.complaints

    def is_good(self, complaints_max: int) -> bool:
        """Whether the dealing is right and all counted complaints, not too many, are answered rightly."""
        return (
            self.dealings is not None
            and self._counted.bit_count() <= complaints_max
            and self._counted & ~self._answered == 0
        )

    def _open_told(self) -> list[Finding]:
        if self._told is None or self.dealings is None:
            return []
        opened = _opened(self.dealings, self._me, self._told.shares)
        if opened is None:
            return [("bad_share", "")]
        self.shares = opened
        return []

    def _open_answers(self) -> list[Finding]:
        if self.dealings is None:
            return []
        findings: list[Finding] = []
        for member, shares in self._answers:
            opened = _opened(self.dealings, member, shares)
            if opened is None:
                findings.append(("bad_answer", f"for member {member}"))
                continue
            self._answered |= 1 << member
            if member == self._me:
                self.shares = opened
        return findings


def _opened(dealings: tuple[KeyDealing, ...], member: int, shares: tuple[bytes, ...]) -> tuple[Scalar, ...] | None:
    """The member's shares, if all of them are right."""
    if len(shares) != len(dealings):
        return None
    opened = [open_share(dealing, member, share) for dealing, share in zip(dealings, shares, strict=True)]
    right = tuple(share for share in opened if share is not None)
    return right if len(right) == len(opened) else None
