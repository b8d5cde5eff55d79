"""Binary agreement (Mostefaoui, Moumen, Raynal, *Signature-free asynchronous Byzantine consensus*, PODC 2014), as in Wasp.

All members start with a bit each, all correct members decide one of the bits that correct members started with.

1. on the start with bit b: est := b; r := 0
2. round r: multicast ``BVal(r, est)``; if the coin of r is real, want it now
3. on ``BVal(r, b)`` from f + 1: multicast ``BVal(r, b)`` unless sent
4. on ``BVal(r, b)`` from 2f + 1: bin_values := bin_values + {b}; if b is the first of them: multicast ``Aux(r, b)``
5. wait for ``Aux(r, .)`` with values in bin_values from n - f; vals := their values
6. wait for the coin s of round r
7. vals = {b}: est := b; if b = s: decide b (once), multicast ``Done(r)`` at the first decision
8. otherwise est := s
9. terminated if line 7 decided before in an earlier round, or more than f members were done in rounds before the own decision
10. unless terminated: r := r + 1, go to 2

As in Wasp there is no phase of ``Conf``: the share of a real coin is out while slow members have not fixed vals. So a
scheduler who reads f + 1 shares keeps members divided for ever (docs/consensus.md); agreement and validity are not touched.

Departures. (a) Lines 3 and 4 go on for the rounds behind a member, also when it has terminated: a slower member's line 4
needs 2f + 1 of all correct members, and hangs for ever when those ahead drop what belongs to earlier rounds, as Wasp's do.
(b) Votes for rounds ahead are not buffered, they are counted: a round is a few small integers, ``rounds_max`` bounds them.

Deciding is not terminating, and terminating is only not to start another round. Invariants: two correct members never decide
differently (a decision b in round r makes b the only estimate of correct members after r); a bit that is in bin_values of a
correct member was the estimate of a correct member. With constant delay d a round with a fixed coin takes 2d, with a real one
that is wanted at its start 2d as well; mixed estimates cost one d more.
"""

from __future__ import annotations

from typing import TypeAlias

from ledger.kernel.automaton import NOTHING, Automaton, Envelope, Fault, NodeId, Path, Step, StepBuilder
from ledger.kernel.encoding import Frozen, Natural, Value
from ledger.kernel.instant import Instant
from wasp.committee import Committee
from wasp.consensus.common_coin import CoinSchedule

ROUNDS_MAX = 200
"""Rounds of one agreement: Wasp's schedule then has 40 real coins, so that a scheduler who can't foresee them keeps members
from deciding with a chance of 2^-40. One who reads shares can. Then the committee goes on with its next log index."""


class BVal(Value):
    """The value is the sender's estimate in this round, or at least one correct member's."""

    round: Natural
    value: bool


class Aux(Value):
    """The value is the first that the sender knows to be backed by a majority of correct members."""

    round: Natural
    value: bool


class Done(Value):
    """The sender has decided in this round, for the first time."""

    round: Natural


AgreementMessage: TypeAlias = BVal | Aux | Done


class VoteGiven(Frozen):
    """Input, once: the bit to start with."""

    value: bool


class CoinNeeded(Frozen):
    """Output: the coin of this round is wanted; answered by ``CoinLearned``."""

    round: int


class CoinLearned(Frozen):
    """Input: the coin of this round."""

    round: int
    value: bool


class BitDecided(Frozen):
    """Output, once: the decision."""

    value: bool


_VALUES = ("none", "False", "True", "False and True")
"""What a mask of values holds."""


class _Round:
    """The votes of one round: a mask of voters per value; and masks of values: 1 stands for False, 2 for True."""

    __slots__ = ("aux", "aux_sent", "bin_values", "bvals", "coin", "number", "sent", "vals")

    def __init__(self, number: int, coin: bool | None) -> None:
        self.number = number
        self.coin = coin
        self.bvals = [0, 0]
        self.aux = [0, 0]
        self.sent = 0
        self.aux_sent = False
        self.bin_values = 0
        self.vals: tuple[bool, ...] = ()


class BinaryAgreement(Automaton[VoteGiven | CoinLearned, AgreementMessage, BitDecided | CoinNeeded]):
    """One member's part in one agreement. Senders of messages are members: the owner has checked that.

    Slotted, as a common subset has n of them at every member: what is small stays in the processor's cache.
    """

    __slots__ = ("_accept_quorum", "_bit", "_current", "_decided_round", "_done", "_done_quorum", "_estimate", "_members",
                 "_path", "_relay_quorum", "_round", "_rounds", "_rounds_max", "_schedule", "_wait_quorum", "decision",
                 "terminated")  # fmt: skip

    def __init__(self, path: Path, committee: Committee, schedule: CoinSchedule, rounds_max: int = ROUNDS_MAX) -> None:
        self._path = path
        self._members = committee.members
        self._bit = committee.bit
        self._schedule = schedule
        self._rounds_max = rounds_max
        self._relay_quorum = committee.some_correct
        self._accept_quorum = committee.correct_majority
        self._wait_quorum = committee.waiting
        self._done_quorum = committee.some_correct
        self._rounds: dict[int, _Round] = {}
        self._round = -1
        self._current: _Round | None = None
        self._estimate = False
        self._decided_round: int | None = None
        self._done: dict[int, int] = {}
        self.decision: bool | None = None
        self.terminated = False

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
        return 0 if self._decided_round is None else self._decided_round + 1

    @property
    def status(self) -> str:
        """Where it stands, and what is waited for."""
        state = self._current
        if state is None:
            ended = "terminated" if self.terminated else "out of rounds" if self.started else "waits for its input"
            return f"{ended}, decided {self.decision}"
        votes = (state.aux[0] | state.aux[1]).bit_count()
        return (
            f"round {self._round}, estimate {self._estimate}, bin_values {_VALUES[state.bin_values]}, aux {votes}/"
            f"{self._wait_quorum}, coin {state.coin}, decided {self.decision}, terminated {self.terminated}"
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
            case Done():
                return self._handle_done(sender, message)
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
        count = mask.bit_count()
        if (count != self._relay_quorum and count != self._accept_quorum) or state.number > self._round:
            return NOTHING
        step: StepBuilder[BitDecided | CoinNeeded] = StepBuilder()
        self._weigh(state, value, step)
        if state is self._current:
            self._advance(step)
        return step.build()

    def _handle_aux(self, sender: NodeId, message: Aux) -> Step[BitDecided | CoinNeeded]:
        """Line 5."""
        state = self._rounds.get(message.round) or self._open(message.round)
        if state is None:
            return self._blame(sender, "round_out_of_bounds", f"round {message.round}")
        bit, aux, value = self._bit[sender], state.aux, message.value
        if (aux[0] | aux[1]) & bit:
            return NOTHING if aux[value] & bit else self._blame(sender, "equivocation", "two values in Aux")
        aux[value] |= bit
        if state is not self._current or state.vals or not self._values_heard(state):
            return NOTHING
        step: StepBuilder[BitDecided | CoinNeeded] = StepBuilder()
        self._advance(step)
        return step.build()

    def _handle_done(self, sender: NodeId, message: Done) -> Step[BitDecided | CoinNeeded]:
        """Line 9, its second half."""
        if not 0 <= message.round < self._rounds_max:
            return self._blame(sender, "round_out_of_bounds", f"round {message.round}")
        bit, done = self._bit[sender], self._done
        for round, voters in done.items():
            if voters & bit and round != message.round:
                return self._blame(sender, "equivocation", "done for the first time in two rounds")
        done[message.round] = done.get(message.round, 0) | bit
        if self._decided_round is not None and message.round < self._decided_round:
            self.terminated = self.terminated or self._outrun()
        return NOTHING

    def _handle_coin_learned(self, input: CoinLearned) -> Step[BitDecided | CoinNeeded]:
        """Line 6."""
        state = self._rounds[input.round]
        assert state.coin is None, "a coin is tossed once"
        state.coin = input.value
        step: StepBuilder[BitDecided | CoinNeeded] = StepBuilder()
        self._advance(step)
        return step.build()

    def _open(self, number: int) -> _Round | None:
        if not 0 <= number < self._rounds_max:
            return None
        state = self._rounds[number] = _Round(number, self._schedule.fixed(number))
        return state

    def _start_round(self, step: StepBuilder[BitDecided | CoinNeeded]) -> None:
        """Line 2, and lines 3 and 4 for what was counted ahead."""
        self._round += 1
        state = self._rounds.get(self._round) or self._open(self._round)
        self._current = state
        if state is None:
            return
        self._multicast_bval(state, self._estimate, step)
        self._weigh(state, False, step)
        self._weigh(state, True, step)
        if state.coin is None:
            step.outputs.append(CoinNeeded(self._round))

    def _weigh(self, state: _Round, value: bool, step: StepBuilder[BitDecided | CoinNeeded]) -> None:
        """Lines 3 and 4."""
        count = state.bvals[value].bit_count()
        if count >= self._relay_quorum:
            self._multicast_bval(state, value, step)
        if count >= self._accept_quorum:
            state.bin_values |= 1 << value
            if not state.aux_sent:
                state.aux_sent = True
                step.messages.append(Envelope(self._members, self._path, Aux(state.number, value)))

    def _multicast_bval(self, state: _Round, value: bool, step: StepBuilder[BitDecided | CoinNeeded]) -> None:
        if not state.sent & 1 << value:
            state.sent |= 1 << value
            step.messages.append(Envelope(self._members, self._path, BVal(state.number, value)))

    def _values_heard(self, state: _Round) -> tuple[bool, ...]:
        """Line 5: the values of n - f ``Aux`` within bin_values; none while there are too few."""
        no, yes = state.aux
        no, yes = no if state.bin_values & 1 else 0, yes if state.bin_values & 2 else 0
        if (no | yes).bit_count() < self._wait_quorum:
            return ()
        return (False, True) if no and yes else (bool(yes),)

    def _advance(self, step: StepBuilder[BitDecided | CoinNeeded]) -> None:
        """Lines 5 to 10, through as many rounds as the votes counted so far carry."""
        while (state := self._current) is not None:
            if not state.vals:
                state.vals = self._values_heard(state)
            if not state.vals or state.coin is None:
                return
            self._estimate = state.vals[0] if len(state.vals) == 1 else state.coin
            if state.vals == (state.coin,):
                self._decide(state.coin, step)
            if self.terminated:
                self._current = None
                return
            self._start_round(step)

    def _decide(self, value: bool, step: StepBuilder[BitDecided | CoinNeeded]) -> None:
        """Lines 7 and 9."""
        if self._decided_round is not None:
            self.terminated = True
            return
        self.decision = value
        self._decided_round = self._round
        step.outputs.append(BitDecided(value))
        step.messages.append(Envelope(self._members, self._path, Done(self._round)))
        self.terminated = self._outrun()

    def _outrun(self) -> bool:
        """Line 9: whether some correct member had decided in an earlier round, so that no round after the own is needed."""
        if self._decided_round is None:
            return False
        earlier = sum(voters.bit_count() for round, voters in self._done.items() if round < self._decided_round)
        return earlier >= self._done_quorum

    def _blame(self, sender: NodeId, kind: str, detail: str) -> Step[BitDecided | CoinNeeded]:
        return Step(faults=(Fault(sender, kind, self._path, detail),))
