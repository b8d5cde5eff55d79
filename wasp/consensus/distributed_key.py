"""Distributed key generation: the members make the keys of their committee, and nobody ever holds one.

Joint Feldman (Pedersen 1991, as described by Gennaro, Jarecki, Krawczyk and Rabin 1999), with the proofs of knowledge of
FROST's key generation (Komlo and Goldberg 2020). Each member deals one polynomial per key. What is said to all goes by
reliable broadcast. D is ``delay_max``, times are since the member's own start.

1. at 0: deal: broadcast commitments and proofs; send each member its shares of the polynomials
2. at 4 D: broadcast which dealers gave no right shares, if there are such
3. at 8 D: count the complaints that have come
4. at 11 D, if at most f have complained about oneself: broadcast the shares of those who did
5. at 15 D: a dealer is *good* if its dealing is right, at most f complaints about it were counted, and its answers to all of
   these are right; propose the mask of the good dealers to an agreement
6. on the agreed masks of n - f members: who is good in f + 1 of them *qualifies*; if fewer than f + 1 do, output the failure
7. on the own shares of all qualified dealers, told or in an answer, whenever they come: output the sums

*What is assumed of time*: correct members start less than D apart, and a message between them takes less than D, its
handling included. So what a correct member broadcasts is delivered everywhere within 3 D, and what one of them delivers,
by all others within 2 D. Since the first start, dealings of correct members are there by 1 + 3, complaints of correct
members by 1 + 4 + 3; what a correct member has counted by 1 + 8 has reached its dealer by 9 + 2; answers are there by 12 + 3.

*Then* all correct dealers qualify: of n - f agreed masks n - 2f, so f + 1, are correct members'. Who qualifies has convinced
a correct member, which has counted the complaints of all correct ones: all have their shares, and output.

*Without it* the result is still the same everywhere: a broadcast that comes late divides opinions, and the agreement decides.
But a member may wait for shares for ever; and a correct member that complains for want of time gets its share revealed, which
with those of f liars is the dealer's polynomial of degree f. (A key stays secret as long as one dealer's part of it does.)
More than f complaints are not answered: where nothing arrives in time, nothing is revealed, and it fails.

*A rushing adversary* may deal last, knowing the others' commitments, and choose which of its f dealings qualify, by not
answering its own complaints: the best of 2^f keys, so it can fix about f bits of each (Gennaro and others, section 3). It
knows no key. Schnorr signatures and Diffie-Hellman coins stay secure (Gennaro and others 2003; Gurkan and others 2021).
Pedersen's commitments before Feldman's would remove the bias, at the price of more phases.

Departures. The papers' broadcast has rounds; ours is reliable broadcast and an agreement, any protocol of committees that
needs none of these keys, such as PBFT. Private shares trust the transport to authenticate and encrypt. Nothing is recorded:
who crashes in a ceremony sits out the rest of it. Faults are told only where no delay can be the reason.

Messages, nobody complaining: n (n - 1)(2n + 2) and the agreement's; per member that complains, or answers, (n - 1)(2n + 1).
The agreement starts at 15 D, however fast the network is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from ledger.kernel.automaton import Automaton, Envelope, Fault, NodeId, Path, Step, StepBuilder
from ledger.kernel.encoding import Frozen, encode, pack
from ledger.kernel.group import Scalar, evaluate, random_polynomial, scalar_bytes
from ledger.kernel.instant import Duration, Instant
from ledger.kernel.key_dealing import join_dealings, make_dealing
from ledger.kernel.key_share import KeyShare
from ledger.kernel.rng import Stream
from wasp.committee import Committee
from wasp.consensus.committee_protocol import CommitteeProtocol, ProposalsDecided, Propose
from wasp.consensus.dealer_case import DealerCase, DealtKeys, DealtShares, Finding, RevealedShares
from wasp.consensus.reliable_broadcast import BroadcastMessage, BroadcastPayload, PayloadDelivered, ReliableBroadcast

COMPLAIN_AFTER, COUNT_AFTER, ANSWER_AFTER, PROPOSE_AFTER = 4, 8, 11, 15
"""When lines 2 to 5 are due, in longest delays since the own start."""

DistributedKeyMessage: TypeAlias = DealtShares | BroadcastMessage
"""Beside the messages of the agreement."""


class GenerateKeys(Frozen):
    """Input, once, at the time that the members have agreed on."""


class KeysGenerated(Frozen):
    """Output, once: this member's share of each key, and who dealt them; what is public of it is the same at all members."""

    keys: tuple[KeyShare, ...]
    qualified: tuple[int, ...]


class GenerationFailed(Frozen):
    """Output, once, and at all members: of those who qualified, none need be correct."""

    qualified: tuple[int, ...]


KeyOutput: TypeAlias = KeysGenerated | GenerationFailed


def key_thresholds(committee: Committee) -> tuple[int, ...]:
    """Of the keys that a chain's committee needs: to its coin, to signatures, to decryption."""
    return committee.some_correct, committee.waiting, committee.some_correct


class DistributedKey(Automaton[GenerateKeys, Any, KeyOutput]):
    """One member's part in one ceremony. Senders of messages are members: the owner has checked that.

    Leaves are (*path, "dealing" | "complaints" | "answers", j) and (*path, "shares"); all else is the agreement's.
    """

    def __init__(
        self,
        path: Path,
        committee: Committee,
        me: NodeId,
        thresholds: tuple[int, ...],
        delay_max: Duration,
        agreement: CommitteeProtocol,
        rng: Stream,
    ) -> None:
        self._path = path
        self._shares_path = (*path, "shares")
        self._members = committee.members
        self._index = committee.index
        self._me = committee.index[me]
        self._thresholds = thresholds
        self._delay_max = delay_max
        self._agreement = agreement
        self._rng = rng
        self._complaints_max = committee.f
        self._good_quorum = committee.some_correct
        self._qualified_min = committee.some_correct
        self._broadcasts = {
            (*path, kind, j): ReliableBroadcast((*path, kind, j), committee, j)
            for kind in ("dealing", "complaints", "answers")
            for j in range(committee.n)
        }
        self._cases = [DealerCase(self._me, committee.n, thresholds, self._context(j)) for j in range(committee.n)]
        self._due: list[tuple[Instant, Callable[[StepBuilder[KeyOutput], Instant], None]]] = []
        self._polynomials: tuple[tuple[Scalar, ...], ...] = ()
        self._qualified: tuple[int, ...] | None = None
        self._output = False

    @property
    def status(self) -> dict[str, Any]:
        """What there is, and so what is waited for."""
        return {
            "started": bool(self._polynomials),
            "dealings": self._dealers(lambda case: case.dealings is not None),
            "shares": self._dealers(lambda case: case.shares is not None),
            "accused": self._dealers(lambda case: case.complaints > 0),
            "agreement": self._agreement.status,
            "qualified": self._qualified,
            "output": self._output,
        }

    @property
    def deadline(self) -> Instant | None:
        deadlines = [instant for instant, _ in self._due[:1]]
        if self._agreement.deadline is not None:
            deadlines.append(self._agreement.deadline)
        return min(deadlines, default=None)

    def handle_input(self, input: GenerateKeys, now: Instant) -> Step[KeyOutput]:
        """Line 1."""
        assert not self._polynomials, "keys are dealt once"
        self._polynomials = tuple(random_polynomial(self._rng, threshold - 1) for threshold in self._thresholds)
        self._due = [
            (now + COMPLAIN_AFTER * self._delay_max, self._complain),
            (now + COUNT_AFTER * self._delay_max, self._count),
            (now + ANSWER_AFTER * self._delay_max, self._answer),
            (now + PROPOSE_AFTER * self._delay_max, self._propose),
        ]
        whole: StepBuilder[KeyOutput] = StepBuilder()
        dealings = tuple(make_dealing(polynomial, self._context(self._me)) for polynomial in self._polynomials)
        self._broadcast(whole, "dealing", encode(DealtKeys(dealings)), now)
        whole.messages.extend(
            Envelope((member,), self._shares_path, DealtShares(self._shares_of(index)))
            for index, member in enumerate(self._members)
        )
        return whole.build()

    def handle_message(self, sender: NodeId, path: Path, message: Any, now: Instant) -> Step[KeyOutput]:
        whole: StepBuilder[KeyOutput] = StepBuilder()
        broadcast = self._broadcasts.get(path)
        if broadcast is not None:
            self._absorb(whole, path, broadcast.handle_message(sender, path, message, now))
        elif path != self._shares_path:
            self._conclude(whole, self._agreement.handle_message(sender, path, message, now))
        elif isinstance(message, DealtShares):
            dealer = self._index[sender]
            self._blame(whole, dealer, path, self._cases[dealer].hear_shares(message))
        else:
            whole.faults.append(Fault(sender, "unexpected_message", path, type(message).__name__))
        self._finish(whole)
        return whole.build()

    def handle_timer(self, now: Instant) -> Step[KeyOutput]:
        whole: StepBuilder[KeyOutput] = StepBuilder()
        while self._due and self._due[0][0] <= now:
            _, act = self._due.pop(0)
            act(whole, now)
        if self._agreement.deadline is not None and self._agreement.deadline <= now:
            self._conclude(whole, self._agreement.handle_timer(now))
        self._finish(whole)
        return whole.build()

    def _complain(self, whole: StepBuilder[KeyOutput], now: Instant) -> None:
        """Line 2."""
        missing = self._dealers(lambda case: case.shares is None)
        if missing:
            self._broadcast(whole, "complaints", self._mask(missing), now)

    def _count(self, whole: StepBuilder[KeyOutput], now: Instant) -> None:
        """Line 3."""
        for case in self._cases:
            case.count_complaints()

    def _answer(self, whole: StepBuilder[KeyOutput], now: Instant) -> None:
        """Line 4."""
        mask = self._cases[self._me].complaints
        if 0 < mask.bit_count() <= self._complaints_max:
            accusers = [member for member in range(len(self._members)) if mask >> member & 1]
            answers = tuple((member, self._shares_of(member)) for member in accusers)
            self._broadcast(whole, "answers", encode(RevealedShares(answers)), now)

    def _propose(self, whole: StepBuilder[KeyOutput], now: Instant) -> None:
        """Line 5."""
        good = self._dealers(lambda case: case.is_good(self._complaints_max))
        self._conclude(whole, self._agreement.handle_input(Propose(self._mask(good)), now))

    def _absorb(self, whole: StepBuilder[KeyOutput], path: Path, step: Step[Any]) -> None:
        """What a broadcast has brought."""
        kind, speaker = path[-2:]
        assert isinstance(speaker, int)
        for output in whole.add(step):
            if not isinstance(output, PayloadDelivered):
                continue
            if kind == "dealing":
                self._blame(whole, speaker, path, self._cases[speaker].hear_dealing(output.payload))
            elif kind == "answers":
                self._blame(whole, speaker, path, self._cases[speaker].hear_answers(output.payload))
            else:
                mask = int.from_bytes(output.payload, "little")
                for dealer, case in enumerate(self._cases):
                    case.complaints |= (mask >> dealer & 1) << speaker

    def _conclude(self, whole: StepBuilder[KeyOutput], step: Step[Any]) -> None:
        """Line 6: what the agreement has brought."""
        for output in whole.add(step):
            if isinstance(output, ProposalsDecided):
                masks = [int.from_bytes(payload, "little") for _, payload in output.proposals]
                good_in = [sum(mask >> dealer & 1 for mask in masks) for dealer in range(len(self._members))]
                self._qualified = tuple(dealer for dealer, times in enumerate(good_in) if times >= self._good_quorum)

    def _finish(self, whole: StepBuilder[KeyOutput]) -> None:
        """Line 7, or the end of line 6."""
        if self._output or self._qualified is None:
            return
        if len(self._qualified) < self._qualified_min:
            self._output = True
            whole.outputs.append(GenerationFailed(self._qualified))
            return
        held = [
            (case.dealings, case.shares)
            for case in map(self._cases.__getitem__, self._qualified)
            if case.dealings is not None and case.shares is not None
        ]
        if len(held) < len(self._qualified):
            return
        self._output = True
        keys = [
            join_dealings([deals[key] for deals, _ in held], [shares[key] for _, shares in held], len(self._members))
            for key in range(len(self._thresholds))
        ]
        whole.outputs.append(KeysGenerated(tuple(keys), self._qualified))

    def _broadcast(self, whole: StepBuilder[KeyOutput], kind: str, payload: bytes, now: Instant) -> None:
        path = (*self._path, kind, self._me)
        self._absorb(whole, path, self._broadcasts[path].handle_input(BroadcastPayload(payload), now))

    def _blame(self, whole: StepBuilder[KeyOutput], dealer: int, path: Path, findings: Iterable[Finding]) -> None:
        whole.faults.extend(Fault(self._members[dealer], kind, path, detail) for kind, detail in findings)

    def _shares_of(self, member: int) -> tuple[bytes, ...]:
        return tuple(scalar_bytes(evaluate(polynomial, member)) for polynomial in self._polynomials)

    def _dealers(self, holds: Callable[[DealerCase], bool]) -> list[int]:
        return [dealer for dealer, case in enumerate(self._cases) if holds(case)]

    def _mask(self, dealers: Iterable[int]) -> bytes:
        return sum(1 << dealer for dealer in dealers).to_bytes((len(self._members) + 7) // 8, "little")

    def _context(self, dealer: int) -> bytes:
        return pack((self._path, dealer))
