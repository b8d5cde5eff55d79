from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.kernel.automaton import NOTHING, Automaton, Envelope, Fault, NodeId, Path, Step
from ledger.kernel.encoding import Frozen
from ledger.kernel.identity import deal_signer
from ledger.kernel.instant import Instant
from node.simulated.clock import SkewedClock
from node.simulated.delays import ConstantDelay, UniformDelay
from node.simulated.disk import DiskParameters
from node.simulated.effects import Effect
from node.simulated.machine import HostFailed
from node.simulated.network import NetworkParameters, constant_network
from tests.harness.simulation import FOREVER, TOY_WIRE, D, assert_frames_add_up, simulate, toy_profile
from tests.harness.toys import PATH, Alarm, Heard, Rounds, Say, Talker, ToyPing, ToyPong, ToyVote, names

A, B, C = names(3)
ALL = (A, B, C)


# ---------------------------------------------------------------------------------------------- delays and frames


def test_a_multicast_is_heard_by_oneself_at_once_and_answered_by_the_others_after_two_delays():
    runtime, log = simulate(3)
    runtime.inject(A, Say(ALL, ToyPing(7)))
    assert runtime.run_until_idle(FOREVER)
    assert log.entries == [
        (0, A, Heard(A, "said", 0)),
        (0, A, Heard(A, ToyPing(7), 0)),
        (0, A, Heard(A, ToyPong(7), 0)),
        (D, B, Heard(A, ToyPing(7), D)),
        (D, C, Heard(A, ToyPing(7), D)),
        (2 * D, A, Heard(B, ToyPong(7), 2 * D)),
        (2 * D, A, Heard(C, ToyPong(7), 2 * D)),
    ]
    assert (runtime.now, runtime.counters.messages, runtime.counters.own_messages) == (2 * D, 4, 2)
    assert_frames_add_up(runtime)


def test_messages_to_oneself_are_handled_in_order_before_what_waits():
    class Chatter(Talker):
        def handle_message(self, sender: NodeId, path: Path, message: Any, now: Instant) -> Step[Any]:
            heard = (Heard(sender, message, now),)
            if message.number >= 3:
                return Step(outputs=heard)
            own = [Envelope((A,), PATH, ToyPong(10 * message.number + place)) for place in (3, 4)]
            return Step(messages=own, outputs=heard)

    runtime, log = simulate(1, lambda me, boot: Chatter(me))
    for number in (1, 2):
        runtime.inject(A, Say((A,), ToyPong(number)))
    runtime.run_until_idle(FOREVER)
    heard = [output.message for _, _, output in log.entries]
    said = "said"
    assert [entry if entry == said else entry.number for entry in heard] == [said, 1, 13, 14, said, 2, 23, 24]


@pytest.mark.parametrize("n", [1, 4, 16])
def test_r_rounds_of_all_to_all_take_r_delays_and_one_frame_per_pair_and_round(n: int):
    runtime, log = simulate(n, lambda me, boot: Rounds(me, names(n), 10))
    for node in names(n):
        runtime.inject(node, "start")
    assert runtime.run_until_idle(FOREVER)
    last = 10 * D if n > 1 else 0
    assert [now for now, _, _ in log.entries] == [last] * n
    assert runtime.counters.messages == runtime.counters.frames == 10 * n * (n - 1)
    assert runtime.counters.own_messages == 10 * n


def test_all_for_one_peer_at_one_time_is_one_frame_in_order():
    runtime, log = simulate(3)
    for number in range(3):
        runtime.inject(A, Say((B,), ToyPong(number)))
    runtime.inject(A, Say((B, C), ToyPong(3)))
    runtime.run_until_idle(FOREVER)
    assert [heard for _, heard in log.heard(B)] == [ToyPong(number) for number in range(4)]
    assert [heard for _, heard in log.heard(C)] == [ToyPong(3)]
    assert (runtime.counters.frames, runtime.counters.messages) == (2, 5)
    packets = [TOY_WIRE.packet(PATH, ToyPong(number)) for number in range(4)]
    assert runtime.counters.bytes == len(TOY_WIRE.frame(None, packets)) + len(TOY_WIRE.frame(None, packets[3:]))


def test_without_bundling_every_message_to_a_peer_is_a_frame():
    runtime, log = simulate(3, network=NetworkParameters(ConstantDelay(D), bundling=False))
    for number in range(3):
        runtime.inject(A, Say((B,), ToyPong(number)))
    runtime.inject(A, Say((B, C), ToyPong(3)))
    runtime.run_until_idle(FOREVER)
    assert [heard for _, heard in log.heard(B)] == [ToyPong(number) for number in range(4)]
    assert [heard for _, heard in log.heard(C)] == [ToyPong(3)]
    assert (runtime.counters.frames, runtime.counters.messages) == (5, 5)
    assert runtime.counters.bytes == sum(
        copies * len(TOY_WIRE.frame(None, [TOY_WIRE.packet(PATH, ToyPong(number))]))
        for number, copies in enumerate((1, 1, 1, 2))
    )


def test_packets_that_are_too_many_for_one_frame_go_in_several():
    runtime, log = simulate(2)
    for number in range(3):
        runtime.inject(A, Say((B,), ToyPing(number, bytes(1_900_000))))
    runtime.run_until_idle(FOREVER)
    assert [heard.number for _, heard in log.heard(B)] == [0, 1, 2]
    assert runtime.counters.frames == 3  # two there, one with three pongs back


def test_a_message_for_nobody_known_is_an_error_of_this_program():
    runtime, _ = simulate(1)
    runtime.inject(A, Say((B,), ToyPong(1)))
    with pytest.raises(HostFailed, match=r"node0 .* failed at 0 us"):
        runtime.run_until_idle(FOREVER)


def test_a_sample_of_frames_decoded_changes_nothing_that_happens():
    results = []
    for codec in ("all", "sample"):
        network = NetworkParameters(UniformDelay(10_000, 40_000))
        runtime, log = simulate(4, lambda me, boot: Rounds(me, names(4), 100), network, codec=codec)
        for node in names(4):
            runtime.inject(node, "start")
        runtime.run_until_idle(FOREVER)
        results.append((runtime.transcript, log.entries, runtime.counters.as_dict()))
    assert results[0] == results[1]


# ------------------------------------------------------------------------------------------------- inputs and timers


def test_an_input_can_be_given_at_an_instant_and_the_run_ends_where_it_is_told_to():
    runtime, log = simulate(1)
    runtime.inject(A, "late", at=500)
    runtime.inject(A, "early", at=400)
    runtime.run_until(499)
    assert (runtime.now, log.heard(A)) == (499, [(400, "early")])
    runtime.run_until(500)
    assert log.heard(A) == [(400, "early"), (500, "late")]


def test_timers_are_handled_at_their_deadline_and_each_once():
    runtime, log = simulate(1, lambda me, boot: Alarm(me, 100, 300, 300))
    assert runtime.run_until_idle(FOREVER)
    assert log.heard(A) == [(100, ("alarm", 100)), (300, ("alarm", 300)), (300, ("alarm", 300))]
    assert runtime.counters.timers == 3


def test_a_deadline_that_moves_is_followed_both_ways():
    runtime, log = simulate(1, lambda me, boot: Alarm(me, 1_000))
    runtime.inject(A, 500, at=100)
    runtime.run_until(200)
    runtime.inject(A, 800)
    assert runtime.run_until_idle(FOREVER)
    assert log.heard(A) == [(800, ("alarm", 800))]


def test_what_arrives_at_the_deadline_is_handled_before_it():
    runtime, log = simulate(2, lambda me, boot: Alarm(me, D) if me == B else Talker(me))
    runtime.inject(A, Say((B,), ToyPong(1)))
    runtime.run_until_idle(FOREVER)
    assert log.heard(B) == [(D, ToyPong(1)), (D, ("alarm", D))]


@given(offset=st.integers(-50_000, 50_000), drift=st.integers(-1_000, 1_000), due=st.integers(60_000, 10**9))
def test_a_timer_is_never_early_by_the_nodes_own_clock_and_at_most_a_microsecond_late(
    offset: int, drift: int, due: int
):
    clock = SkewedClock(offset, drift)
    runtime, log = simulate(1, lambda me, boot: Alarm(me, due), skews={A: clock})
    runtime.run_until_idle(FOREVER)
    ((now, node, output),) = log.entries
    assert (node, output.now) == (A, clock.local(now))
    assert due <= output.now <= due + 1


def test_a_host_that_does_nothing_costs_nothing():
    runtime, _ = simulate(3)
    runtime.run_until(10**12)
    assert runtime.counters.turns == 0


def test_a_host_whose_deadline_never_moves_is_caught():
    class Stuck(Alarm):
        def handle_timer(self, now: Instant) -> Step[Any]:
            return NOTHING

    runtime, _ = simulate(1, lambda me, boot: Stuck(me, 100))
    with pytest.raises(AssertionError, match="time stands still at 100: node0"):
        runtime.run_until_idle(FOREVER)


# ----------------------------------------------------------------------------------------------------------- the CPU


def test_what_a_turn_causes_leaves_at_the_end_of_its_cost_and_the_next_turn_begins_then():
    # 1 us per encoded byte, 3 us per frame sent or received, 2 us per decoded byte.
    profile = toy_profile(encode=1_000_000, decode=2_000_000, frame=3_000_000)
    runtime, log = simulate(2, hardware=profile)
    runtime.inject(A, Say((B,), ToyPing(1)))
    runtime.inject(A, Say((B,), ToyPing(2)), at=1)  # while A is busy
    runtime.run_until_idle(FOREVER)
    packet = len(TOY_WIRE.packet(PATH, ToyPing(1)))
    frame = len(TOY_WIRE.frame(None, [bytes(packet)]))
    answer = len(TOY_WIRE.packet(PATH, ToyPong(1)))
    sent = packet + 3
    received = sent + D
    handled = received + 3 + 2 * frame + answer + 3
    # The second ping left A at the end of a turn of its own, and waited at B for the end of the first one's.
    handled_second = max(received + sent, handled) + 3 + 2 * frame + answer + 3
    assert log.heard(A)[:2] == [(sent, "said"), (2 * sent, "said")]
    assert log.heard(B) == [(handled, ToyPing(1)), (handled_second, ToyPing(2))]
    begun = [output.now for _, node, output in log.entries if node == B]
    assert begun == [received, handled]


def test_all_that_waited_for_the_cpu_is_handled_in_one_turn():
    runtime, log = simulate(2, hardware={B: toy_profile(frame=10_000_000)})
    for instant in (0, 1, 2, 3):
        runtime.inject(A, Say((B,), ToyPong(instant)), at=instant)
    runtime.run_until_idle(FOREVER)
    assert log.heard(B) == [(D + 10, ToyPong(0)), *[(D + 40, ToyPong(number)) for number in (1, 2, 3)]]


def test_a_packet_is_encoded_once_for_all_and_a_frame_sent_to_each():
    runtime, log = simulate(3, hardware={A: toy_profile(encode=1_000_000, frame=1_000_000)})
    runtime.inject(A, Say((B, C), ToyPong(1)))
    runtime.run_until_idle(FOREVER)
    assert log.heard(A) == [(len(TOY_WIRE.packet(PATH, ToyPong(1))) + 2, "said")]


def test_every_message_handled_is_charged_ones_own_too_and_every_packet_at_both_ends():
    runtime, _ = simulate(3, hardware=toy_profile(message=1))
    for number in range(2):
        runtime.inject(A, Say(ALL, ToyPong(number)))
    runtime.run_until_idle(FOREVER)
    charged = [
        {kind: runtime.machines[node].meter.charged[kind] for kind in ("message", "packet", "frame")} for node in ALL
    ]
    assert charged == [{"message": 2, "packet": 2, "frame": 2}, *[{"message": 2, "packet": 2, "frame": 1}] * 2]


def test_signatures_are_charged_through_the_meter_of_the_boot_and_no_timer_cuts_into_a_turn():
    class SigningAlarm(Alarm):
        def __init__(self, me: NodeId, boot: Any) -> None:
            super().__init__(me, 100, 110)
            self._signer = boot.meter.signer(deal_signer("model", 1, me))

        def handle_timer(self, now: Instant) -> Step[Any]:
            self._signer.sign(b"")
            return super().handle_timer(now)

    runtime, log = simulate(1, SigningAlarm, hardware=toy_profile(sign=50_000_000))
    runtime.run_until_idle(FOREVER)
    assert [(now, output.now) for now, _, output in log.entries] == [(150, 100), (200, 150)]


# ---------------------------------------------------------------------------------------------------------- the disk


def test_records_are_durable_before_anything_of_their_step_leaves_and_later_steps_wait():
    runtime, log = simulate(2, disk={A: DiskParameters(5_000)})
    runtime.inject(A, Say((B,), ToyPong(1), record=True))
    runtime.inject(A, Say((B,), ToyPong(2)), at=1_000)
    runtime.inject(A, Say((B,), ToyPong(3), record=True), at=2_000)
    runtime.inject(A, Say((B,), ToyPong(4)), at=3_000)
    runtime.inject(A, Say((B,), ToyPong(5)), at=11_000)
    runtime.run_until_idle(FOREVER)
    assert log.heard(A) == [(5_000, "said"), (5_000, "said"), (10_000, "said"), (10_000, "said"), (11_000, "said")]
    assert [(now - D, heard.number) for now, heard in log.heard(B)] == [
        (5_000, 1),
        (5_000, 2),
        (10_000, 3),
        (10_000, 4),
        (11_000, 5),
    ]


# ------------------------------------------------------------------------------------------------------------ effects


class WorkNeeded(Frozen):
    """Answered by a string."""

    name: str


class Worker(Automaton[Any, Any, Any]):
    def __init__(self, me: NodeId) -> None:
        self._me = me

    def handle_input(self, input: Any, now: Instant) -> Step[Any]:
        match input:
            case tuple():
                return Step(outputs=tuple(WorkNeeded(name) for name in input))
        return Step(outputs=(Heard(self._me, input, now),))

    def handle_message(self, sender: NodeId, path: Path, message: Any, now: Instant) -> Step[Any]:
        return NOTHING


def work_done(mines: bool) -> Any:
    return lambda node, need, stream: Effect(f"{need.name} done", 10_000, mines=mines)


def test_needs_are_answered_after_their_duration_one_after_another_on_the_mining_core():
    for mines, instants in ((True, [10_000, 20_000]), (False, [10_000, 10_000])):
        runtime, log = simulate(1, lambda me, boot: Worker(me), effects={WorkNeeded: work_done(mines)})
        runtime.inject(A, ("x", "y"))
        runtime.run_until_idle(FOREVER)
        assert log.heard(A) == list(zip(instants, ["x done", "y done"], strict=True))


def test_the_operations_of_an_effect_are_charged_when_its_answer_is_handled():
    effect = Effect("done", operations=(("gas", 40),))
    handlers = {WorkNeeded: lambda node, need, stream: effect}
    runtime, log = simulate(1, lambda me, boot: Worker(me), effects=handlers, hardware=toy_profile(gas=1_000_000))
    runtime.inject(A, ("x",))
    runtime.run_until_idle(FOREVER)
    assert log.heard(A) == [(40, "done")]


def test_a_need_that_nobody_answers_stays_an_output():
    runtime, log = simulate(1, lambda me, boot: Worker(me), effects={WorkNeeded: lambda node, need, stream: None})
    runtime.inject(A, ("x",))
    assert runtime.run_until_idle(FOREVER)
    assert log.entries == [(0, A, WorkNeeded("x"))]


# ----------------------------------------------------------------------------------------------------------- failures


class Forgetful(Automaton[Any, Any, Any]):
    """It changes its deadline and says that nothing has changed."""

    def __init__(self, me: NodeId) -> None:
        self.me = me
        self.alarm: Instant | None = None

    def handle_input(self, input: Any, now: Instant) -> Step[Any]:
        return Step(messages=(Envelope((B,), PATH, ToyVote(1, 1)),))

    def handle_message(self, sender: NodeId, path: Path, message: Any, now: Instant) -> Step[Any]:
        self.alarm = now + D
        return NOTHING

    @property
    def deadline(self) -> Instant | None:
        return self.alarm


def test_a_host_that_changes_its_deadline_and_says_that_nothing_has_changed_is_found_out():
    runtime, _ = simulate(2, lambda me, boot: Forgetful(me))
    runtime.inject(A, "start")
    with pytest.raises(HostFailed) as failure:
        runtime.run_until_idle(FOREVER)
    assert isinstance(failure.value.__cause__, AssertionError)
    assert "a deadline has changed" in str(failure.value.__cause__)


class Fragile(Talker):
    def handle_message(self, sender: NodeId, path: Path, message: Any, now: Instant) -> Step[Any]:
        if message == ToyVote(1, 1):
            raise ZeroDivisionError("a bug")
        return NOTHING


def test_a_host_that_raises_stops_the_run_and_says_where_to_look():
    runtime, _ = simulate(2, lambda me, boot: Fragile(me), seed=42)
    runtime.inject(A, Say((B,), ToyVote(0, 0)))
    runtime.inject(A, Say((B,), ToyVote(1, 1)))
    with pytest.raises(HostFailed) as failure:
        runtime.run_until_idle(FOREVER)
    error = failure.value
    assert (error.node, error.incarnation, error.now, error.event, error.seed, error.events) == (
        B,
        1,
        D,
        ToyVote(1, 1),
        42,
        2,
    )
    assert isinstance(error.__cause__, ZeroDivisionError)
    assert str(error) == (
        "node1 (incarnation 1) failed at 25000 us while it handled ToyVote(round=1, voter=1); "
        "to see it again: seed 42, after 2 events"
    )


class Nonsense(Frozen):
    text: str


class Liar(Talker):
    def handle_input(self, input: Any, now: Instant) -> Step[Any]:
        return Step(messages=(Envelope((B,), PATH, Nonsense("not of this wire")),))  # type: ignore[arg-type]


def test_a_frame_that_does_not_decode_is_a_fault_of_its_sender_where_nonsense_is_expected_and_else_an_error():
    runtime, log = simulate(2, lambda me, boot: Liar(me), expects_nonsense=True)
    runtime.inject(A, "lie")
    runtime.run_until_idle(FOREVER)
    ((fault),) = log.faults
    assert isinstance(fault, Fault)
    assert (fault.accused, fault.kind) == (A, "undecodable_frame")
    runtime, log = simulate(2, lambda me, boot: Liar(me))
    runtime.inject(A, "lie")
    with pytest.raises(HostFailed):
        runtime.run_until_idle(FOREVER)


def test_virtual_time_can_begin_anywhere():
    runtime, log = simulate(2, start=10**15, network=constant_network(D))
    runtime.inject(A, Say((B,), ToyPong(1)))
    runtime.run_until_idle(2 * 10**15)
    assert log.heard(B) == [(10**15 + D, ToyPong(1))]
