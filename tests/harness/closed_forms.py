"""When members of a committee decide and have their anchor signed, and what they say until then, derived by hand.

Every link takes the same delay d, a member's copy to itself takes none, handling takes none, all members open the instance
and propose at 0. s of the n members speak, among them n - f at least. In protocols with a leader the leaders of the first k
views are dead; the *leader* is that of view k, which speaks.

1. prepared: ``wasp`` 5d for the nonces (``nonce_sharing``), all others at once
2. gathered, with a leader: 1d until the leader has n - f proposals; when k leaders are dead they come along with what leaves
   the last dead leader's view, so they cost nothing
3. decided: what the protocol takes, see ``FORMS``
4. the entropy: shares of f + 1 members
5. signed: shares of n - f members; with FROST these are the first n - f, by turn, whose proposals were decided

Line 4 where all decide at the same instant: 1d. Where the leader decides 1d before the others (``hotstuff``, ``jolteon``,
``sequencer``), its share of the entropy meets their decision: with their own they have two, so if f = 1 they know the entropy
at once, otherwise 1d later. The leader has shares of others 2d after its own decision.

Line 5: 1d after the last signer knows the entropy. The leader is a signer, because its list holds its own proposal. So it has
all shares 1d after the others know the entropy, and the others have its share 1d after it knows that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ledger.kernel.automaton import Path
from ledger.kernel.encoding import pack
from ledger.kernel.quorum import max_faulty
from ledger.kernel.threshold import CoinKey

D = 25_000
"""d, in microseconds."""
T = 2_000_000
"""The timeout of the first view; they double."""
T_MAX = 60_000_000
"""Up to this."""

Coin = Callable[[int, int], bool]
"""The real coin of the agreement about this proposer's broadcast in this round."""
Counts = dict[str, int]


class Instants(NamedTuple):
    """Of the leader, and of everybody else; the same in protocols without one."""

    leader: int
    others: int


class Speech(NamedTuple):
    """How many members speak, and how many leaders in a row don't."""

    n: int
    s: int
    k: int = 0

    @property
    def f(self) -> int:
        return max_faulty(self.n)


@dataclass(frozen=True)
class Form:
    """The closed forms of one protocol."""

    agreed: Callable[[Speech, Coin], Instants]
    """From the first proposal (the leader's list) to the decision, in d."""
    said: Callable[[Speech, Coin], Counts]
    """Copies for others of each kind of message, up to the decision, those of preparing and gathering among them."""
    change: int | None = None
    """With a leader: what a dead one costs besides its timeout, in d."""
    prepared: int = 0
    """In d."""
    share: str = "SignatureShare"
    """The message that signs."""
    trusted: int | None = None
    """The member that leads always."""

    def leader(self, log_index: int, speech: Speech) -> int | None:
        """The index of the member that leads the view that decides."""
        if self.change is None:
            return None
        return (log_index + speech.k) % speech.n if self.trusted is None else self.trusted

    def decided(self, speech: Speech, coin: Coin) -> Instants:
        """Lines 1 to 3, in microseconds."""
        before = self.prepared * D
        if self.change is not None:
            before += expired(speech.k) + speech.k * self.change * D if speech.k else D
        leader, others = self.agreed(speech, coin)
        return Instants(before + leader * D, before + others * D)

    def tossed(self, speech: Speech, coin: Coin) -> Instants:
        """Line 4, in microseconds."""
        leader, others = self.decided(speech, coin)
        if leader == others:
            return Instants(leader + D, others + D)
        return Instants(leader + 2 * D, others + (0 if speech.f == 1 else D))

    def anchored(self, speech: Speech, coin: Coin) -> Instants:
        """Line 5, in microseconds."""
        leader, others = self.tossed(speech, coin)
        return Instants(others + D, max(leader, others) + D)

    def sent(self, speech: Speech, coin: Coin) -> Counts:
        """Copies for others of each kind of message in the whole instance."""
        n, s, _ = speech
        counts = self.said(speech, coin)
        counts["CoinShare"] = counts.get("CoinShare", 0) + s * (n - 1)
        counts[self.share] = s * (n - 1)
        return {kind: count for kind, count in counts.items() if count}


def expired(k: int) -> int:
    """The timeouts of k views."""
    return sum(min(T << view, T_MAX) for view in range(k))


def coin_of(key: CoinKey, path: Path) -> Coin:
    """The coins of the instance at this path, by one who holds the whole key."""
    shares = dict.fromkeys(range(key.threshold), b"")
    return lambda proposer, round: bool(key.combine(pack(((*path, "coin", proposer, round), b"")), shares)[0] & 1)


# ------------------------------------------------------------------------------------------------------ without a leader


def rounds_of(coin: Coin, proposer: int, value: bool) -> int:
    """With real coins only: how many rounds until all who start with this value decide it."""
    return next(round + 1 for round in range(200) if coin(proposer, round) == value)


def wasp_agreed(speech: Speech, coin: Coin) -> Instants:
    """Broadcasts 3d; all agreements start with 1, the coin of round 0 is 1: 2d. Those about silent members' broadcasts
    start with 0 when n - f have decided; the first coin that is 0 is that of round 2: 6d."""
    at = 5 if speech.s == speech.n else 11
    return Instants(at, at)


def wasp_said(speech: Speech, coin: Coin) -> Counts:
    """The broadcasts of the nonces' dealings and of the proposals: each member's own, and an echo and a ready about each
    speaker's. About each dealing an ok and a ready. About each agreement a vote and an auxiliary vote per round, up to the
    second decision, in the round after the first: two rounds with 1, four with 0; and one announcement."""
    n, s, _ = speech
    rounds = 2 * s + 4 * (n - s)
    spoken = {"Initial": 2, "Echo": 2 * s, "Ready": 2 * s, "SharingOk": s, "SharingReady": s}
    spoken |= {"BVal": rounds, "Aux": rounds, "Done": n}
    return {kind: s * (n - 1) * each for kind, each in spoken.items()}


def hbbft_agreed(speech: Speech, coin: Coin) -> Instants:
    """Broadcasts 3d, the first coin is 1: 2d, shares of opening: 1d. Agreements about silent members' broadcasts start with
    0 after that of the others, and end with the second coin: 4d."""
    at = 6 if speech.s == speech.n else 10
    return Instants(at, at)


def hbbft_said(speech: Speech, coin: Coin) -> Counts:
    """An agreement ends with its decision, after one round with 1, two with 0."""
    n, s, _ = speech
    rounds = s + 2 * (n - s)
    spoken = {"Val": 1, "ShardEcho": s, "RootReady": s, "BVal": rounds, "Aux": rounds, "Term": n, "DecryptionShares": 1}
    return {kind: s * (n - 1) * each for kind, each in spoken.items()}


def mmr14_rounds(speech: Speech, coin: Coin) -> list[int]:
    """Of each agreement: the last n - s members are silent."""
    return [rounds_of(coin, proposer, proposer < speech.s) for proposer in range(speech.n)]


def mmr14_agreed(speech: Speech, coin: Coin) -> Instants:
    """Broadcasts 3d, rounds of votes, auxiliary votes and shares of the coin: 3d each."""
    rounds = mmr14_rounds(speech, coin)
    at = 3 + 3 * (max(rounds[: speech.s]) + max(rounds[speech.s :], default=0))
    return Instants(at, at)


def mmr14_said(speech: Speech, coin: Coin) -> Counts:
    n, s, _ = speech
    rounds = sum(mmr14_rounds(speech, coin))
    spoken = {"Initial": 1, "Echo": s, "Ready": s, "BVal": rounds, "Aux": rounds, "CoinShare": rounds, "Term": n}
    return {kind: s * (n - 1) * each for kind, each in spoken.items()}


# --------------------------------------------------------------------------------------------------------- with a leader


def after(leader: int, others: int) -> Callable[[Speech, Coin], Instants]:
    """From the leader's list, in d."""
    return lambda speech, coin: Instants(leader, others)


def gathered(speech: Speech) -> Counts:
    """Each speaker's proposal for every leader, but for its own."""
    return {"SignedProposal": speech.k * speech.s + speech.s - 1}


def pbft_said(speech: Speech, coin: Coin) -> Counts:
    """The leader's proposal stands for its first vote."""
    n, s, k = speech
    counts = {"NewView" if k else "PrePrepare": n - 1, "Prepare": (s - 1) * (n - 1), "Commit": s * (n - 1)}
    return gathered(speech) | counts | {"ViewChange": k * s * (n - 1)}


def tendermint_said(speech: Speech, coin: Coin) -> Counts:
    """Votes for nil in every round of a dead leader."""
    n, s, k = speech
    votes = (k + 1) * s * (n - 1)
    return gathered(speech) | {"RoundProposal": n - 1, "Prevote": votes, "Precommit": votes}


def hotstuff_said(speech: Speech, coin: Coin) -> Counts:
    """A view change goes to the next leader, and a wish to everybody else, the sender too."""
    n, s, k = speech
    shown = dict.fromkeys(("ViewProposal", "Prepared", "PreCommitted", "Decision"), n - 1)
    votes = dict.fromkeys(("PrepareVote", "PreCommitVote", "CommitVote"), s - 1)
    changes = {"ViewChange": k * s - 1, "Wish": k * s * (n - 2) + 1} if k else {}
    return gathered(speech) | shown | votes | changes


def jolteon_said(speech: Speech, coin: Coin) -> Counts:
    n, s, k = speech
    shown = dict.fromkeys(("ViewProposal", "FirstCertified", "Decision"), n - 1)
    votes = dict.fromkeys(("FirstVote", "SecondVote"), s - 1)
    return gathered(speech) | shown | votes | {"ViewChange": k * s * (n - 1)}


def sequencer_said(speech: Speech, coin: Coin) -> Counts:
    return gathered(speech) | {"Sequenced": speech.n - 1}


FORMS: Mapping[str, Form] = {
    "wasp": Form(wasp_agreed, wasp_said, prepared=5, share="PartialNonceSignature"),
    "hbbft": Form(hbbft_agreed, hbbft_said),
    "mmr14": Form(mmr14_agreed, mmr14_said),
    "pbft": Form(after(3, 3), pbft_said, change=1),
    "tendermint": Form(after(3, 3), tendermint_said, change=2),
    "hotstuff": Form(after(6, 7), hotstuff_said, change=1),
    "jolteon": Form(after(4, 5), jolteon_said, change=1),
    "sequencer": Form(after(0, 1), sequencer_said, change=0, trusted=0),
}
"""By protocol. The phases of those with a leader:

- ``pbft``: pre-prepare, prepare, commit: 3d. A dead leader costs its timeout and 1d for the view changes.
- ``tendermint``: propose, prevote, precommit: 3d. A dead leader costs its timeout and 2d for the votes for nil.
- ``hotstuff``: three times a certificate is shown and voted on, then the last is shown: 6d at the leader, 7d elsewhere.
- ``jolteon``: twice: 4d and 5d. For both a dead leader costs its timeout and 1d for the view changes.
- ``sequencer``: its list is the decision: 0 and 1d. It is never replaced.
"""
