from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.kernel.automaton import NodeId, PeerReconnected, Record
from node.hosting import Boot
from node.simulated.delays import ConstantDelay, UniformDelay
from node.simulated.disk import DiskParameters
from node.simulated.effects import Effect
from node.simulated.faults import (
    ClockSkew,
    Crash,
    Heal,
    LinkChange,
    Partition,
    Pause,
    Restart,
    SlowCpu,
)
from node.simulated.machine import HostFailed
from node.simulated.network import NetworkParameters
from tests.harness.simulation import FOREVER, D, assert_frames_add_up, simulate, toy_profile
from tests.harness.toys import PATH, Alarm, Heard, Say, Talker, ToyPing, ToyPong, names

A, B, C = names(3)
FSYNC = DiskParameters(5_000)


def numbers(heard: list[tuple[int, Any]]) -> list[int]:
    return [message.number for _, message in heard if isinstance(message, ToyPong | ToyPing)]


# ----------------------------------------------------------------------------------------------------------- crashes


def test_a_crash_loses_what_waits_for_the_disk_and_a_restart_gives_the_durable_records_back():
    faults = (Crash(6_000, A), Restart(20_000, A))
    runtime, log = simulate(2, disk=FSYNC, faults=faults)
    runtime.inject(A, Say((B,), ToyPong(1), record=True))
    runtime.inject(A, Say((B,), ToyPong(2), record=True), at=1_000)  # durable at 10 ms, had it lived
    runtime.run_until(200_000)
    assert runtime.host(A).records == (Record(PATH, ToyPong(1)),)
    assert numbers(log.heard(B)) == [1]
    assert log.heard(A) == [(5_000, "said")]


def test_a_crash_loses_what_waits_for_the_cpu():
    profile = toy_profile(frame=100_000_000)
    runtime, log = simulate(2, hardware={A: profile}, faults=(Crash(50, A),))
    runtime.inject(A, Say((B,), ToyPong(1)))
    runtime.inject(A, Say((B,), ToyPong(2)), at=10)
    runtime.run_until(10**6)
    assert log.entries == []
    assert runtime.counters.lost_inputs == 1


def test_what_a_former_life_was_computing_does_not_leave_after_the_restart():
    faults = (Crash(50, A), Restart(60, A))
    runtime, log = simulate(2, hardware={A: toy_profile(frame=100_000_000)}, faults=faults)
    runtime.inject(A, Say((B,), ToyPong(1)))
    runtime.run_until(10_000_000)
    assert log.entries == []


def test_what_a_former_life_had_not_delivered_is_forgotten_with_it():
    faults = (Partition(0, ((A,), (B,))), Crash(100_000, A), Restart(200_000, A), Heal(300_000))
    runtime, log = simulate(2, faults=faults)
    runtime.inject(A, Say((B,), ToyPong(1)), at=50_000)
    runtime.inject(A, Say((B,), ToyPong(2)), at=250_000)
    runtime.run_until(10_000_000)
    assert numbers(log.heard(B)) == [2]


def test_a_restarted_host_does_not_wait_for_the_mining_of_its_former_life():
    effects = {Heard: lambda node, need, stream: Effect(1, need.message, mines=True) if need.message > 1 else None}
    faults = (Crash(5_000, A), Restart(6_000, A))
    runtime, log = simulate(1, effects=effects, faults=faults)
    runtime.inject(A, 1_000_000)
    runtime.inject(A, 10_000, at=7_000)
    runtime.run_until_idle(FOREVER)
    assert log.heard(A) == [(0, 1_000_000), (7_000, 10_000), (17_000, 1)]


def test_what_arrives_at_a_machine_that_is_down_is_lost_and_counted():
    runtime, log = simulate(2, faults=(Crash(100, B),))
    runtime.inject(A, Say((B,), ToyPong(1)), at=0)
    runtime.inject(B, "an input", at=200)
    runtime.run_until(D)
    assert runtime.host(B) is None
    assert log.heard(B) == []
    assert (runtime.network.dropped["down"], runtime.counters.lost_inputs) == (1, 1)
    assert_frames_add_up(runtime)


def test_messages_for_a_machine_that_is_down_reach_its_next_incarnation_once():
    faults = (Crash(100, B), Restart(3_000_000, B))
    runtime, log = simulate(2, faults=faults)
    for number in range(5):
        runtime.inject(A, Say((B,), ToyPong(number)), at=1_000 * number)
    runtime.run_until(20_000_000)
    assert sorted(numbers(log.heard(B))) == list(range(5))
    assert min(now for now, _ in log.heard(B)) > 3_000_000


def test_a_restarted_sender_is_heard_again():
    faults = (Crash(100_000, A), Restart(200_000, A))
    runtime, log = simulate(2, faults=faults)
    for number, instant in enumerate((0, 50_000, 99_999, 300_000, 400_000)):
        runtime.inject(A, Say((B,), ToyPong(number)), at=instant)
    runtime.run_until(10_000_000)
    assert numbers(log.heard(B)) == [0, 1, 2, 3, 4]
    assert runtime.machines[A].incarnation == 2


def test_a_host_is_told_of_a_peer_that_restarted_before_it_hears_it():
    faults = (Crash(100_000, A), Restart(200_000, A))
    runtime, log = simulate(2, faults=faults)
    runtime.inject(A, Say((B,), ToyPong(1)))
    runtime.inject(A, Say((B,), ToyPong(2)), at=300_000)
    runtime.run_until(10_000_000)
    assert [message for _, message in log.heard(B)] == [ToyPong(1), PeerReconnected(A), ToyPong(2)]
    assert not any(isinstance(message, PeerReconnected) for _, message in log.heard(A))


def test_a_need_of_a_former_life_is_not_answered():
    class Asker(Talker):
        pass

    effects = {Heard: lambda node, need, stream: Effect("answer", 10_000) if need.message == "ask" else None}
    faults = (Crash(5_000, A), Restart(6_000, A))
    runtime, log = simulate(1, lambda me, boot: Asker(me), effects=effects, faults=faults)
    runtime.inject(A, "ask")
    runtime.inject(A, "ask", at=7_000)
    runtime.run_until_idle(FOREVER)
    assert log.heard(A) == [(0, "ask"), (7_000, "ask"), (17_000, "answer")]


def test_a_torn_tail_is_a_prefix_of_the_records_under_way():
    lengths = set()
    for seed in range(30):
        faults = (Crash(8_000, A, "torn"), Restart(9_000, A))
        runtime, _ = simulate(2, disk=FSYNC, faults=faults, seed=seed)
        for number, instant in enumerate((0, 1_000, 2_000)):
            runtime.inject(A, Say((B,), ToyPong(number), record=True), at=instant)
        runtime.run_until(100_000)
        found = [record.value.number for record in runtime.host(A).records]
        assert found == [0, 1, 2][: len(found)]
        lengths.add(len(found))
    assert lengths == {1, 2, 3}


def test_amnesia_gives_nothing_back():
    runtime, _ = simulate(2, disk=FSYNC, faults=(Crash(10_000, A, "all"), Restart(20_000, A)))
    runtime.inject(A, Say((B,), ToyPong(1), record=True))
    runtime.run_until(30_000)
    assert runtime.host(A).records == ()


def test_a_restart_of_a_machine_that_runs_does_nothing():
    runtime, _ = simulate(1, faults=(Restart(100, A),))
    runtime.run_until(200)
    assert runtime.machines[A].incarnation == 1


def test_a_host_that_fails_in_its_boot_stops_the_run_like_any_other():
    def host(me: NodeId, boot: Boot) -> Talker:
        if boot.incarnation == 2:
            raise ZeroDivisionError("a bug")
        return Talker(me)

    runtime, _ = simulate(1, host, faults=(Crash(100, A), Restart(200, A)))
    with pytest.raises(HostFailed) as failure:
        runtime.run_until_idle(FOREVER)
    assert (failure.value.node, failure.value.now, failure.value.event) == (A, 200, "the boot")


# ------------------------------------------------------------------------------------------------- pauses and clocks


def test_a_paused_host_handles_what_waited_when_it_wakes_its_late_timer_included():
    def host(me: NodeId, boot: Boot) -> Any:
        return Alarm(me, 30_000) if me == B else Talker(me)

    runtime, log = simulate(2, host, faults=(Pause(10_000, B, 90_000),))
    runtime.inject(A, Say((B,), ToyPong(1)))
    runtime.run_until_idle(FOREVER)
    assert log.heard(B) == [(100_000, ToyPong(1)), (100_000, ("alarm", 30_000))]


def test_a_slowed_cpu_takes_longer_from_then_on():
    runtime, log = simulate(2, hardware=toy_profile(frame=10_000_000), faults=(SlowCpu(500, A, 300),))
    for instant in (0, 1_000):
        runtime.inject(A, Say((B,), ToyPong(instant)), at=instant)
    runtime.run_until_idle(FOREVER)
    assert [now for now, _ in log.heard(A)] == [10, 1_030]


def test_a_clock_that_jumps_ahead_makes_the_timer_due_and_one_that_falls_back_makes_it_late():
    for offset, instants in ((600, [500]), (-600, [1_600]), (200, [800])):
        faults = (ClockSkew(500, A, offset),)
        runtime, log = simulate(1, lambda me, boot: Alarm(me, 1_000), faults=faults)
        runtime.run_until_idle(FOREVER)
        assert [now for now, _ in log.heard(A)] == instants


# ------------------------------------------------------------------------------------------- partitions and lossy links


def test_after_a_partition_heals_everything_has_arrived_exactly_once():
    faults = (Partition(100_000, ((A,), (B, C))), Heal(2_000_000))
    runtime, log = simulate(3, faults=faults)
    for number in range(40):
        runtime.inject(A, Say((A, B, C), ToyPong(number)), at=10_000 * number)
    assert runtime.run_until_idle(10**8)
    for node in (A, B, C):
        assert sorted(numbers(log.heard(node))) == list(range(40))
    late = [now for now, message in log.heard(B) if message.number > 20]
    assert min(late) > 2_000_000
    assert runtime.network.dropped["partition"] > 0
    assert_frames_add_up(runtime)


def test_a_link_change_makes_a_network_worse_and_good_again():
    faults = (
        LinkChange(0, (A,), (B,), loss=1.0),
        LinkChange(500_000, (A,), (B,), extra_delay=1_000),
    )
    runtime, log = simulate(2, faults=faults)
    runtime.inject(A, Say((B,), ToyPong(1)), at=10)
    runtime.run_until_idle(FOREVER)
    assert log.heard(B) == [(10 + 1_000_000 + D + 1_000, ToyPong(1))]  # sent again after a second


def test_faults_of_one_instant_take_effect_in_the_order_of_the_schedule_before_what_arrives():
    faults = (Crash(D, B), Restart(D, B))
    runtime, log = simulate(2, faults=faults)
    runtime.inject(A, Say((B,), ToyPong(1)))
    runtime.run_until(D)
    assert runtime.machines[B].incarnation == 2
    assert log.heard(B) == [(D, ToyPong(1))]


def test_a_schedule_is_carried_out_in_the_order_of_its_instants():
    runtime, log = simulate(2, faults=(Restart(300, B), Crash(100, B), Heal(100), Crash(500, B)))
    for instant in range(50, 650, 100):
        runtime.inject(B, instant, at=instant)
    runtime.run_until(1_000)
    assert [message for _, message in log.heard(B)] == [50, 350, 450]


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**32),
    loss=st.floats(0, 0.5),
    duplication=st.floats(0, 0.5),
    constant=st.booleans(),
    cpu=st.booleans(),
)
def test_over_a_lossy_network_every_message_arrives_exactly_once(seed, loss, duplication, constant, cpu):
    delay = ConstantDelay(D) if constant else UniformDelay(1_000, 60_000)
    network = NetworkParameters(delay, loss, duplication, bandwidth=10_000_000)
    hardware = toy_profile(frame=20_000_000) if cpu else None
    faults = (Pause(50_000, B, 300_000), Partition(200_000, ((A,), (B,))), Heal(900_000))
    runtime, log = simulate(3, network=network, seed=seed, hardware=hardware, faults=faults, disk=FSYNC)
    for number in range(20):
        for sender in (A, B, C):
            runtime.inject(sender, Say((A, B, C), ToyPing(number), record=number % 3 == 0), at=20_000 * number)
    for instant in range(0, 2_000_000, 100_000):
        runtime.run_until(instant)
        assert_frames_add_up(runtime)
    assert runtime.run_until_idle(FOREVER)
    assert_frames_add_up(runtime)
    for node in (A, B, C):
        told = [(output.sender, output.message) for _, at, output in log.entries if at == node]
        pings = [(sender, message.number) for sender, message in told if isinstance(message, ToyPing)]
        pongs = [(sender, message.number) for sender, message in told if isinstance(message, ToyPong)]
        expected = sorted((sender, number) for sender in (A, B, C) for number in range(20))
        assert (sorted(pings), sorted(pongs)) == (expected, expected)
