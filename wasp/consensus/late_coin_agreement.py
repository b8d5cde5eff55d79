"""Binary agreement with a coin that is tossed after the votes: the forms of HoneyBadgerBFT and of PODC 2014.

The agreement of Mostefaoui, Moumen and Raynal again, as in ``binary_agreement``, but nobody releases a share of a real coin
before its own votes are fixed, and who decides stops.

1. on the start with bit b: est := b; r := 0
2. round r: multicast ``BVal(r, est)``
3. on ``BVal(r, b)`` from f + 1: multicast ``BVal(r, b)`` unless sent
4. on ``BVal(r, b)`` from 2f + 1: bin_values := bin_values + {b}; if b is the first of them: multicast ``Aux(r, b)``
5. wait for ``Aux(r, .)`` with values in bin_values from n - f; vals := their values
6. if confirming and the coin of r is real: multicast ``Conf(r, vals)``; wait for ``Conf(r, .)`` within bin_values from n - f;
   vals := the union of theirs
7. want the coin s of round r, if it is real, and wait for it
8. vals = {b}: est := b; if b = s: decide b, multicast ``Term(r, b)``, stop; otherwise: est := s
9. ``Term(q, b)`` counts as its sender's ``BVal``, ``Aux`` and ``Conf`` of b in all rounds after q;
   in round r, on ``Term(q, b)`` with q < r from f + 1: decide b, multicast ``Term(r - 1, b)``, stop
10. r := r + 1, go to 2

- *Confirming* (``hbbft``): Miller et al. 2016 as corrected in 2018, with POA's coins 1, 0, real. In line 6 vals is sent, not
  bin_values, which may have grown. Before any share is out, n - f have confirmed: of two correct members no more than one bit
  can be confirmed alone, so at most one bit b can still be somebody's only value when the scheduler learns the coin. The coin
  is b with a chance of a half, and then all have the same estimate.
- *Not confirming* (``mmr14``): the form of PODC 2014, real coins only. **Deliberately flawed, a target for tests**: the first
  members to fix vals release the coin, and a scheduler with one Byzantine member then gives the slow ones the other bit as
  their only value, in every round (E. MacBrough 2018; Tholoniat and Gramoli 2019). Agreement and validity hold all the same.

Departures. (a) As in ``binary_agreement``, lines 3 and 4 go on for the rounds behind a member, also when it has stopped.
(b) In POA's hbbft a ``Term`` names the first round for which it counts, here the last for which it does not. (c) PODC 2014
does not end: line 9 ends it. (d) Votes for rounds ahead are not buffered, they are counted: ``rounds_max`` bounds them.

Why line 9 is right: after a correct member has decided b in round q all correct estimates are b, so b is all that it would
ever say. Who stops by f + 1 ``Term`` has voted in full up to round r - 1, and its votes of r can only be b. If more than f
correct members stop, all others hear f + 1 ``Term``; if not, the f + 1 others toss the coins.

With constant delay d a round with a fixed coin takes 2d, with a real one 3d, confirming 4d; estimates that differ cost one d
more. A round is n (n - 1) messages per phase, the end as many ``Term``.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

from ledger.kernel.automaton import NOTHING, Automaton, Envelope, Fault, NodeId, Path, Step, StepBuilder
from ledger.kernel.encoding import Natural, Value
from ledger.kernel.instant import Instant
from wasp.committee import Committee
from wasp.consensus.binary_agreement import ROUNDS_MAX, Aux, BitDecided, BVal, CoinLearned, CoinNeeded, VoteGiven
from wasp.consensus.common_coin import CoinSchedule

Bits: TypeAlias = int
"""A set of bits, as a mask: 1 is {0}, 2 is {1}, 3 is {0, 1}, 0 is none."""


class Conf(Value):
    """The sender has heard these values, and no others, from n - f members."""

    round: Natural
    values: Annotated[Bits, msgspec.Meta(ge=1, le=3)]


class Term(Value):
    """The sender has decided this value: it is its vote in every round after this one."""

    round: Natural
    value: bool


LateCoinMessage: TypeAlias = BVal | Aux | Conf | Term


class _Round:
    """The votes of one round: a mask of voters per value, or per set of values."""

    __slots__ = ("aux", "aux_sent", "bin_values", "bvals", "coin", "confs", "fixed", "number", "sent", "vals")

    def __init__(self, number: int, coin: bool | None) -> None:
        self.number = number
        self.coin = coin
        self.bvals = [0, 0]
        self.aux = [0, 0]
        self.confs = [0, 0, 0, 0]
        self.sent = [False, False]
        self.aux_sent = False
        self.bin_values: Bits = 0
        self.vals: Bits = 0
        self.fixed: Bits = 0
        """What line 5 gives, and what line 6 makes of it."""


class LateCoinAgreement(Automaton[VoteGiven | CoinLearned, LateCoinMessage, BitDecided | CoinNeeded]):
    """One member's part in one agreement. Senders of messages are members: the owner has checked that."""

    def __init__(
        self,
        path: Path,
        committee: Committee,
        schedule: CoinSchedule,
        rounds_max: int = ROUNDS_MAX,
        *,
        confirming: bool = True,
    ) -> None:
        self._path = path
        self._members = committee.members
        self._bit = committee.bit
        self._schedule = schedule
        self._rounds_max = rounds_max
        self._confirming = confirming
        self._relay_quorum = committee.some_correct
        self._accept_quorum = committee.correct_majority
        self._wait_quorum = committee.waiting
        self._confirmation_quorum = committee.waiting
        self._term_quorum = committee.some_correct
        self._rounds: dict[int, _Round] = {}
        self._round = -1
        self._current: _Round | None = None
        self._estimate = False
        self._terms: dict[NodeId, Term] = {}
        self.decision: bool | None = None

    @property
    def started(self) -> bool:
        """Whether the member has given its bit."""
        return self._round >= 0

    @property
    def round(self) -> int:
        """The current round, -1 before the start."""
        return self._round

    @property
    def rounds_taken(self) -> int:
        """How many rounds it took until this member decided; 0 before."""
        return self._round + 1 if self.terminated else 0

    @property
    def terminated(self) -> bool:
        """Who has decided starts no other round."""
        return self.decision is not None

    @property
    def status(self) -> str:
        """Where it stands, and what is waited for."""
        state = self._current
        if state is None:
            stopped = "out of rounds" if self.started else "waits for its input"
            return f"decided {self.decision}" if self.terminated else stopped
        votes = (state.aux[0] | state.aux[1]).bit_count()
        confirmations = sum(mask.bit_count() for mask in state.confs)
        return (
            f"round {self._round}, estimate {self._estimate}, bin_values {state.bin_values}, aux {votes}/"
            f"{self._wait_quorum}, conf {confirmations}/{self._confirmation_quorum}, vals {state.vals} {state.fixed}, "
            f"coin {state.coin}, ended {len(self._terms)}"
        )

    def handle_input(self, input: VoteGiven | CoinLearned, now: Instant) -> Step[BitDecided | CoinNeeded]:
        match input:
            case VoteGiven():
                return self._handle_vote_given(input)
            case CoinLearned():
                return self._handle_coin_learned(input)

    def handle_message(self, sender: NodeId, path: Path, message: Value, now: Instant) -> Step[BitDecided | CoinNeeded]:
        match message:
            case BVal():
                return self._handle_bval(sender, message)
            case Aux():
                return self._handle_aux(sender, message)
            case Conf():
                return self._handle_conf(sender, message)
            case Term():
                return self._handle_term(sender, message)
            case _:
                return self._blame(sender, "unexpected_message", type(message).__name__)

    def _handle_vote_given(self, input: VoteGiven) -> Step[BitDecided | CoinNeeded]:
        """Line 1."""
        assert not self.started, "an agreement has one input"
        self._estimate = input.value
        step: StepBuilder[BitDecided | CoinNeeded] = StepBuilder()
        self._start_round(step)
        self._advance(step)
        return step.build()

    def _handle_bval(self, sender: NodeId, message: BVal) -> Step[BitDecided | CoinNeeded]:
        """Lines 3 and 4, also for rounds behind."""
        state = self._rounds.get(message.round) or self._open(message.round)
        if state is None:
            return self._blame(sender, "round_out_of_bounds", f"round {message.round}")
        bvals, value = state.bvals, message.value
        mask = bvals[value] | self._bit[sender]
        if mask == bvals[value]:
            return NOTHING
        bvals[value] = mask
        return self._weigh_and_advance(state)

    def _handle_aux(self, sender: NodeId, message: Aux) -> Step[BitDecided | CoinNeeded]:
        """Line 5."""
        state = self._rounds.get(message.round) or self._open(message.round)
        if state is None:
            return self._blame(sender, "round_out_of_bounds", f"round {message.round}")
        bit, aux, value = self._bit[sender], state.aux, message.value
        if (aux[0] | aux[1]) & bit:
            return NOTHING if aux[value] & bit else self._blame(sender, "equivocation", "two values in Aux")
        aux[value] |= bit
        return self._advance_in(state)

    def _handle_conf(self, sender: NodeId, message: Conf) -> Step[BitDecided | CoinNeeded]:
        """Line 6."""
        state = self._rounds.get(message.round) or self._open(message.round)
        if state is None:
            return self._blame(sender, "round_out_of_bounds", f"round {message.round}")
        if not self._is_confirmed(state):
            return self._blame(sender, "unexpected_message", f"nothing is confirmed in round {message.round}")
        bit, confs = self._bit[sender], state.confs
        if any(mask & bit for mask in confs):
            return NOTHING if confs[message.values] & bit else self._blame(sender, "equivocation", "two sets in Conf")
        confs[message.values] |= bit
        return self._advance_in(state)

    def _handle_term(self, sender: NodeId, message: Term) -> Step[BitDecided | CoinNeeded]:
        """Line 9."""
        if not 0 <= message.round < self._rounds_max:
            return self._blame(sender, "round_out_of_bounds", f"round {message.round}")
        if sender in self._terms:
            known = self._terms[sender] == message
            return NOTHING if known else self._blame(sender, "equivocation", "ended in two ways")
        self._terms[sender] = message
        step: StepBuilder[BitDecided | CoinNeeded] = StepBuilder()
        for state in self._rounds.values():
            self._count_term(state, sender, message)
            self._weigh(state, step)
        self._advance(step)
        return step.build()

    def _handle_coin_learned(self, input: CoinLearned) -> Step[BitDecided | CoinNeeded]:
        """Line 7."""
        state = self._rounds[input.round]
        assert state.coin is None, "a coin is tossed once"
        state.coin = input.value
        return self._advance_in(state)

    def _open(self, number: int) -> _Round | None:
        if not 0 <= number < self._rounds_max:
            return None
        state = self._rounds[number] = _Round(number, self._schedule.fixed(number))
        for sender, term in self._terms.items():
            self._count_term(state, sender, term)
        return state

    def _count_term(self, state: _Round, sender: NodeId, term: Term) -> None:
        """Line 9: what the sender has said itself in this round, if anything, stands."""
        if term.round >= state.number:
            return
        bit, value = self._bit[sender], term.value
        state.bvals[value] |= bit
        if not (state.aux[0] | state.aux[1]) & bit:
            state.aux[value] |= bit
        if not any(mask & bit for mask in state.confs):
            state.confs[1 << value] |= bit

    def _start_round(self, step: StepBuilder[BitDecided | CoinNeeded]) -> None:
        """Line 2, and lines 3, 4 and 9 for what was counted ahead."""
        self._round += 1
        state = self._rounds.get(self._round) or self._open(self._round)
        self._current = state
        if state is not None:
            self._multicast_bval(state, self._estimate, step)
            self._weigh(state, step)

    def _weigh_and_advance(self, state: _Round) -> Step[BitDecided | CoinNeeded]:
        step: StepBuilder[BitDecided | CoinNeeded] = StepBuilder()
        self._weigh(state, step)
        if state is self._current:
            self._advance(step)
        return step.build()

    def _weigh(self, state: _Round, step: StepBuilder[BitDecided | CoinNeeded]) -> None:
        """Lines 3 and 4."""
        if state.number > self._round:
            return
        for value in (False, True):
            count = state.bvals[value].bit_count()
            if count >= self._relay_quorum:
                self._multicast_bval(state, value, step)
            if count >= self._accept_quorum:
                state.bin_values |= 1 << value
                if not state.aux_sent:
                    state.aux_sent = True
                    step.messages.append(Envelope(self._members, self._path, Aux(state.number, value)))

    def _multicast_bval(self, state: _Round, value: bool, step: StepBuilder[BitDecided | CoinNeeded]) -> None:
        if not state.sent[value]:
            state.sent[value] = True
            step.messages.append(Envelope(self._members, self._path, BVal(state.number, value)))

    def _values_heard(self, state: _Round) -> Bits:
        """Line 5: the values of n - f ``Aux`` within bin_values; none while there are too few."""
        no, yes = (state.aux[value] if state.bin_values >> value & 1 else 0 for value in (False, True))
        if (no | yes).bit_count() < self._wait_quorum:
            return 0
        return (1 if no else 0) | (2 if yes else 0)

    def _values_confirmed(self, state: _Round) -> Bits:
        """Line 6: the union of n - f ``Conf`` within bin_values; none while there are too few."""
        within = [values for values in (1, 2, 3) if state.confs[values] and not values & ~state.bin_values]
        if sum(state.confs[values].bit_count() for values in within) < self._confirmation_quorum:
            return 0
        return within[0] | within[-1]

    def _advance_in(self, state: _Round) -> Step[BitDecided | CoinNeeded]:
        if state is not self._current:
            return NOTHING
        step: StepBuilder[BitDecided | CoinNeeded] = StepBuilder()
        self._advance(step)
        return step.build()

    def _advance(self, step: StepBuilder[BitDecided | CoinNeeded]) -> None:
        """Lines 5 to 10, through as many rounds as the votes counted so far carry."""
        while (state := self._current) is not None:
            if self._ended_by_others(step) or not self._fix_values(state, step) or state.coin is None:
                return
            only = state.fixed != 3
            self._estimate = state.fixed == 2 if only else state.coin
            if only and self._estimate == state.coin:
                self._stop(self._estimate, self._round, step)
                return
            self._start_round(step)

    def _fix_values(self, state: _Round, step: StepBuilder[BitDecided | CoinNeeded]) -> bool:
        """Lines 5 to 7: whether the coin is all that is waited for."""
        if not state.vals:
            state.vals = self._values_heard(state)
            if state.vals and self._is_confirmed(state):
                step.messages.append(Envelope(self._members, self._path, Conf(state.number, state.vals)))
        if state.vals and not state.fixed:
            state.fixed = self._values_confirmed(state) if self._is_confirmed(state) else state.vals
            if state.fixed and self._is_tossed(state):
                step.outputs.append(CoinNeeded(state.number))
        return bool(state.fixed)

    def _is_tossed(self, state: _Round) -> bool:
        return self._schedule.fixed(state.number) is None

    def _is_confirmed(self, state: _Round) -> bool:
        return self._confirming and self._is_tossed(state)

    def _ended_by_others(self, step: StepBuilder[BitDecided | CoinNeeded]) -> bool:
        """Line 9, its second half."""
        if len(self._terms) < self._term_quorum:
            return False
        for value in (False, True):
            ended = sum(term.value == value and term.round < self._round for term in self._terms.values())
            if ended >= self._term_quorum:
                self._stop(value, self._round - 1, step)
        return self.terminated

    def _stop(self, value: bool, last_round: int, step: StepBuilder[BitDecided | CoinNeeded]) -> None:
        self.decision = value
        self._current = None
        step.outputs.append(BitDecided(value))
        step.messages.append(Envelope(self._members, self._path, Term(last_round, value)))

    def _blame(self, sender: NodeId, kind: str, detail: str) -> Step[BitDecided | CoinNeeded]:
        return Step(faults=(Fault(sender, kind, self._path, detail),))
