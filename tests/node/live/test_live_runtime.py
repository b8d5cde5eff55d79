from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path as FilePath
from typing import Any

import pytest

from ledger.kernel.automaton import NOTHING, Automaton, Envelope, Fault, NodeId, Path, PeerReconnected, Record, Step
from ledger.kernel.encoding import Frozen
from ledger.kernel.instant import MILLISECOND, MINUTE, Instant
from node.live import group_commit
from node.live.counters import Latency
from node.live.group_commit import DiskRefused
from node.live.runtime import InboxFull, LiveLimits, LiveRuntime, NodeFailed
from node.live.store_errors import StoreFailed
from tests.harness.live import Answers, LiveToy, MemoryStore, eventually
from tests.harness.toys import PATH, Alarm, Heard, Say, Talker, ToyPing, ToyPong, ToyVote, names

A, B, C = names(3)
ALL = (A, B, C)
FILE = FilePath("node.db")


def ping(number: int) -> tuple[Path, ToyPing]:
    return PATH, ToyPing(number)


def talker(**surroundings: Any) -> LiveToy:
    return LiveToy(A, lambda boot: Talker(A, boot.records), **surroundings)


class WorkNeeded(Frozen):
    """Answered by ``WorkDone``."""

    number: int


class WorkDone(Frozen):
    number: int


class Worker(Talker):
    """Needs work for each ping."""

    def handle_message(self, sender: NodeId, path: Path, message: Any, now: Instant) -> Step[Any]:
        return Step(outputs=(WorkNeeded(message.number),))


# ------------------------------------------------------------------------------------------------- durable, then released


async def test_records_are_durable_before_the_messages_and_outputs_of_their_turn_leave():
    toy = talker()
    toy.store.gate.clear()
    async with toy.running():
        toy.runtime.inject(Say((B, C), ToyPing(1), record=True))
        await eventually(lambda: toy.store.commits == 1)
        assert (toy.sent, toy.said, toy.store.durable) == ([], [], [])
        toy.store.gate.set()
        await eventually(lambda: toy.sent)
    assert toy.store.durable == [Record(PATH, ToyPing(1))]
    assert (toy.sent, toy.said) == ([(B, (ToyPing(1),)), (C, (ToyPing(1),))], ["said"])
    assert toy.runtime.commits.latency.count == 1


async def test_without_records_nothing_waits_for_the_disk():
    toy = talker()
    async with toy.running():
        toy.runtime.frame_received(B, [ping(1)])
        await eventually(lambda: toy.sent)
    assert toy.sent == [(B, (ToyPong(1),))]
    assert (toy.store.commits, toy.store.closed) == (0, True)


async def test_turns_that_end_while_a_commit_is_under_way_become_one_group_and_are_released_in_order():
    toy = talker()
    toy.store.gate.clear()
    async with toy.running():
        for number in range(5):
            toy.runtime.inject(Say((B,), ToyVote(number, 0), record=number != 2))
            await eventually(lambda expected=number + 1: toy.runtime.counters.turns == expected)
        assert (toy.sent, toy.runtime.commits.turns) == ([], 5)
        toy.store.gate.set()
        await eventually(lambda: len(toy.sent) == 5)
    assert [[record.value.round for record in group] for group in toy.store.groups] == [[0], [1, 3, 4]]
    assert toy.sent == [(B, (ToyVote(number, 0),)) for number in range(5)]
    assert (toy.runtime.commits.turns, toy.runtime.commits.size, toy.runtime.counters.records) == (0, 0, 4)


async def test_a_turn_without_records_never_overtakes_one_that_waits_for_the_disk():
    toy = talker()
    toy.store.gate.clear()
    async with toy.running():
        toy.runtime.inject(Say((B,), ToyVote(1, 0), record=True))
        await eventually(lambda: toy.store.commits == 1)
        toy.runtime.inject(Say((B,), ToyVote(2, 0)))
        await eventually(lambda: toy.runtime.counters.turns == 2)
        assert toy.sent == []
        toy.store.gate.set()
        await eventually(lambda: len(toy.sent) == 2)
    assert toy.sent == [(B, (ToyVote(1, 0),)), (B, (ToyVote(2, 0),))]
    assert toy.store.commits == 1


async def test_a_disk_that_can_no_longer_be_trusted_ends_the_node_and_nothing_of_the_group_is_released():
    toy = talker()
    toy.store.failure = StoreFailed(FILE, "disk I/O error", may_retry=False)
    toy.runtime.inject(Say((B,), ToyPing(1), record=True))
    with pytest.raises(StoreFailed, match=r"node\.db: disk I/O error"):
        await toy.runtime.run()
    assert (toy.sent, toy.said, toy.store.durable, toy.store.closed) == ([], [], [], True)


async def test_while_the_disk_is_full_the_node_says_so_tries_again_and_goes_on_when_there_is_room(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(group_commit, "TRY_AGAIN_AFTER", 0.005)
    toy = talker()
    toy.store.failure = StoreFailed(FILE, "the disk is full", may_retry=True)
    async with toy.running():
        toy.runtime.inject(Say((B,), ToyVote(1, 0), record=True))
        await eventually(lambda: toy.store.commits > 3)
        toy.runtime.inject(Say((B,), ToyVote(2, 0)))
        await eventually(lambda: toy.runtime.counters.turns == 2)
        assert toy.runtime.waits[0].startswith("the disk (the disk is full), for ")
        assert toy.sent == []
        toy.store.failure = None
        await eventually(lambda: len(toy.sent) == 2)
        assert toy.runtime.waits == []
    assert toy.sent == [(B, (ToyVote(1, 0),)), (B, (ToyVote(2, 0),))]
    facts = [output for _, _, output in toy.log.entries if isinstance(output, DiskRefused)]
    assert facts == [DiskRefused("the disk is full"), DiskRefused("")]
    assert (toy.store.durable, toy.runtime.commits.latency.count) == ([Record(PATH, ToyVote(1, 0))], 1)


@pytest.mark.parametrize("is_full", [True, False])
async def test_a_node_that_is_told_to_stop_while_its_disk_is_full_tries_once_more_at_once(is_full: bool):
    toy = talker()
    toy.store.failure = StoreFailed(FILE, "the disk is full", may_retry=True)
    toy.runtime.inject(Say((B,), ToyVote(1, 0), record=True))
    run = asyncio.create_task(toy.runtime.run())
    await eventually(lambda: toy.runtime.commits.refused)
    toy.store.failure = toy.store.failure if is_full else None
    toy.runtime.stop()
    if is_full:
        with pytest.raises(StoreFailed, match="make room on the disk"):
            await run
    else:
        await run
    assert (toy.store.commits, toy.store.closed) == (2, True)
    assert toy.sent == ([] if is_full else [(B, (ToyVote(1, 0),))])


async def test_a_restarted_host_is_given_what_was_durable():
    boots: list[Any] = []

    def host(boot: Any) -> Talker:
        boots.append(boot)
        return Talker(A, boot.records)

    toy = LiveToy(A, host, store=MemoryStore([Record(PATH, ToyPing(1))], incarnation=7))
    assert (boots[0].records, boots[0].incarnation, toy.runtime.incarnation) == ((Record(PATH, ToyPing(1)),), 7, 7)
    assert 0 <= boots[0].now <= toy.runtime.now


# -------------------------------------------------------------------------------------------------------- a turn


async def test_all_that_has_arrived_is_handled_in_one_turn_and_a_peer_has_one_frame_of_it():
    toy = talker()
    async with toy.running():
        toy.runtime.frame_received(B, [ping(1), ping(2)])
        toy.runtime.frame_received(C, [ping(3)])
        toy.runtime.frame_received(B, [ping(4)])
        await eventually(lambda: toy.sent)
    assert toy.sent == [(B, (ToyPong(1), ToyPong(2), ToyPong(4))), (C, (ToyPong(3),))]
    assert len({now for now, _, _ in toy.log.entries}) == 1
    counted = toy.runtime.counters
    assert (counted.turns, counted.messages, counted.frames, counted.outputs) == (1, 4, 2, 4)
    assert counted.kinds[ToyPong] == [4, counted.bytes]


async def test_messages_to_oneself_are_handled_at_once_before_what_waits():
    toy = talker()
    async with toy.running():
        toy.runtime.inject(Say(ALL, ToyVote(1, 0)))
        toy.runtime.frame_received(B, [ping(2)])
        await eventually(lambda: toy.sent)
    assert toy.said == ["said", ToyVote(1, 0), ToyPing(2)]
    assert toy.sent == [(B, (ToyVote(1, 0), ToyPong(2))), (C, (ToyVote(1, 0),))]
    assert toy.runtime.counters.own_messages == 1


async def test_the_host_hears_of_a_peer_that_may_have_missed_something_before_the_peers_messages():
    toy = talker()
    async with toy.running():
        toy.runtime.peer_reconnected(B)
        toy.runtime.frame_received(B, [ping(1)])
        await eventually(lambda: toy.sent)
    assert toy.said == [PeerReconnected(B), ToyPing(1)]


async def test_packets_that_are_too_many_for_one_frame_go_in_several():
    class Loud(Talker):
        def handle_input(self, input: Any, now: Instant) -> Step[Any]:
            return Step(messages=[Envelope((B,), PATH, ToyPing(n, bytes(1 << 20))) for n in range(input)])

    toy = LiveToy(A, lambda boot: Loud(A))
    async with toy.running():
        toy.runtime.inject(5)
        await eventually(lambda: len(toy.sent) == 2)
    assert [(peer, [message.number for message in frame]) for peer, frame in toy.sent] == [(B, [0, 1, 2]), (B, [3, 4])]


# -------------------------------------------------------------------------------------------------------- deadlines


async def test_the_deadline_is_kept_without_polling():
    toy = LiveToy(A, lambda boot: Alarm(A, boot.now + 30 * MILLISECOND, boot.now + 60 * MILLISECOND))
    async with toy.running():
        await eventually(lambda: len(toy.said) == 2)
        await asyncio.sleep(0.05)
    for _, _, heard in toy.log.entries:
        assert heard.now >= heard.message[1], "a timer is never early"
    assert (toy.runtime.counters.timers, toy.runtime.counters.turns) == (2, 2)
    assert toy.runtime.counters.wakes <= 7, "one for each deadline, two more where the loop was early, one to stop"


async def test_an_idle_host_is_left_alone():
    toy = LiveToy(A, lambda boot: Alarm(A, boot.now + MINUTE))
    async with toy.running():
        await asyncio.sleep(0.05)
        assert (toy.runtime.counters.wakes, toy.runtime.waits) == (0, [])


async def test_a_deadline_that_moves_is_followed():
    toy = LiveToy(A, lambda boot: Alarm(A, boot.now + MINUTE))
    async with toy.running():
        soon = toy.runtime.now + 20 * MILLISECOND
        toy.runtime.inject(soon)
        await eventually(lambda: toy.said == [("alarm", soon)])
        toy.runtime.inject(toy.runtime.now + MINUTE)


async def test_a_deadline_that_has_passed_at_the_boot_is_handled_first():
    toy = LiveToy(A, lambda boot: Alarm(A, 0))
    async with toy.running():
        await eventually(lambda: toy.said == [("alarm", 0)])


# ------------------------------------------------------------------------------------------------------------ needs


async def test_a_need_is_answered_by_an_input():
    work = Answers(WorkNeeded)
    toy = LiveToy(A, lambda boot: Worker(A), effects=work)
    async with toy.running():
        toy.runtime.frame_received(B, [ping(1)])
        await eventually(lambda: work.needs)
        need, answer = work.needs[0]
        answer.set_result(WorkDone(need.number))
        await eventually(lambda: len(toy.log.entries) == 2)
    assert [output for _, _, output in toy.log.entries] == [
        WorkNeeded(1),
        Heard(A, WorkDone(1), toy.log.entries[1][2].now),
    ]


async def test_an_answer_that_is_under_way_when_the_node_stops_is_lost():
    work = Answers(WorkNeeded)
    toy = LiveToy(A, lambda boot: Worker(A), effects=work)
    async with toy.running():
        toy.runtime.frame_received(B, [ping(1)])
        await eventually(lambda: work.needs)
    assert (work.closed, work.needs[0][1].cancelled()) == (True, True)
    assert [output for _, _, output in toy.log.entries] == [WorkNeeded(1)]


async def test_a_need_is_not_answered_before_its_turn_is_durable():
    class Careful(Talker):
        def handle_input(self, input: Any, now: Instant) -> Step[Any]:
            return Step((Record(PATH, ToyPing(1)),), (), (WorkNeeded(1),))

    work = Answers(WorkNeeded)
    toy = LiveToy(A, lambda boot: Careful(A), effects=work)
    toy.store.gate.clear()
    async with toy.running():
        toy.runtime.inject("begin")
        await eventually(lambda: toy.store.commits == 1)
        assert work.needs == []
        toy.store.gate.set()
        await eventually(lambda: work.needs)


async def test_an_effect_that_fails_ends_the_node():
    work = Answers(WorkNeeded)
    toy = LiveToy(A, lambda boot: Worker(A), effects=work)
    toy.runtime.frame_received(B, [ping(1)])
    run = asyncio.create_task(toy.runtime.run())
    await eventually(lambda: work.needs)
    work.needs[0][1].set_exception(ValueError("no core left"))
    with pytest.raises(ValueError, match="no core left"):
        await run
    assert toy.store.closed


# --------------------------------------------------------------------------------------------------- back-pressure


async def test_reading_stops_while_the_inbox_is_full_and_nothing_of_it_is_dropped():
    toy = talker(limits=LiveLimits(inbox_max=3))
    async with toy.running():
        runtime = toy.runtime
        runtime.frame_received(B, [ping(1), ping(2)])
        await runtime.room()
        runtime.frame_received(C, [ping(3), ping(4)])
        room = asyncio.create_task(runtime.room())
        with pytest.raises(InboxFull, match="4 wait already"):
            runtime.inject("more")
        runtime.peer_reconnected(B)
        assert runtime.waits == ["its CPU: 5 messages and inputs, nothing more is read from the peers"]
        await room
        assert runtime.waits == []
        runtime.inject("more")
        await eventually(lambda: len(toy.said) == 6)
    assert toy.said == [*(ToyPing(n) for n in (1, 2, 3, 4)), PeerReconnected(B), "more"]
    assert toy.runtime.counters.stalls == 1


@pytest.mark.parametrize("limits", [LiveLimits(inbox_max=2, unreleased_max=3), LiveLimits(2, 1000, 20)])
async def test_while_the_disk_stalls_turns_end_then_the_inbox_fills_then_reading_stops(limits: LiveLimits):
    toy = talker(limits=limits)
    toy.store.gate.clear()
    async with toy.running():
        runtime, given = toy.runtime, 0
        while runtime.counters.stalls == 0:
            runtime.inject(Say((B,), ToyVote(given, 0), record=given % 2 == 0))
            given += 1
            await asyncio.sleep(0.002)
        turns, wakes = runtime.counters.turns, runtime.counters.wakes
        assert turns == runtime.commits.turns == given - 2
        assert runtime.waits[0].startswith("the disk, for ") and len(runtime.waits) == 2
        await asyncio.sleep(0.02)
        assert (runtime.counters.turns, runtime.counters.wakes) == (turns, wakes), "it waits, it does not ask"
        toy.store.gate.set()
        await eventually(lambda: len(toy.sent) == given - 1)
    assert [message for _, frame in toy.sent for message in frame] == [ToyVote(n, 0) for n in range(given)]


async def test_a_deadline_that_comes_while_the_disk_stalls_waits_for_it_without_asking():
    class Snooze(Alarm):
        def handle_input(self, input: Any, now: Instant) -> Step[Any]:
            self._deadlines = [now + MILLISECOND]
            return Step((Record(PATH, ToyPing(1)),))

    toy = LiveToy(A, lambda boot: Snooze(A), limits=LiveLimits(unreleased_max=1))
    toy.store.gate.clear()
    async with toy.running():
        toy.runtime.inject("snooze")
        await eventually(lambda: toy.store.commits == 1)
        await asyncio.sleep(0.05)
        assert (toy.said, toy.runtime.counters.wakes) == ([], 2)
        toy.store.gate.set()
        await eventually(lambda: toy.said)


async def test_an_observer_that_always_has_another_input_does_not_keep_the_loop_to_itself():
    class Restless:
        def observe(self, now: Any, node: Any, outputs: Any, faults: Any) -> None:
            with suppress(InboxFull):  # it is stopping
                toy.runtime.inject("again")

    toy = talker(observer=Restless())
    async with toy.running():
        toy.runtime.inject("begin")
        for _ in range(100):
            await asyncio.sleep(0)
    assert toy.runtime.counters.turns > 1


# ---------------------------------------------------------------------------------------------------- how it ends


async def test_an_exception_of_the_host_ends_the_node_with_a_report_and_nothing_more_leaves():
    class Fragile(Talker):
        def handle_message(self, sender: NodeId, path: Path, message: Any, now: Instant) -> Step[Any]:
            if message.number == 2:
                raise ZeroDivisionError("by two")
            return super().handle_message(sender, path, message, now)

    toy = LiveToy(A, lambda boot: Fragile(A), store=MemoryStore(incarnation=3))
    toy.runtime.frame_received(B, [ping(1), ping(2)])
    with pytest.raises(NodeFailed) as failed:
        await toy.runtime.run()
    report = failed.value
    assert (report.node, report.incarnation, report.event) == (A, 3, ToyPing(2))
    assert isinstance(report.__cause__, ZeroDivisionError)
    assert str(report) == (
        f"node0 (incarnation 3) failed at {report.now} us while it handled "
        "ToyPing(number=2, content=b''): ZeroDivisionError: by two"
    )
    assert (toy.sent, toy.said, toy.store.closed) == ([], [], True)


async def test_turns_that_wait_for_the_disk_are_not_released_when_the_host_fails_but_their_commit_ends():
    class Fragile(Talker):
        def handle_message(self, sender: NodeId, path: Path, message: Any, now: Instant) -> Step[Any]:
            raise ZeroDivisionError

    toy = LiveToy(A, lambda boot: Fragile(A))
    toy.store.gate.clear()
    run = asyncio.create_task(toy.runtime.run())
    toy.runtime.inject(Say((B,), ToyPing(1), record=True))
    await eventually(lambda: toy.store.commits == 1)
    toy.runtime.frame_received(B, [ping(1)])
    await eventually(lambda: toy.runtime.counters.messages == 1)
    toy.store.gate.set()
    with pytest.raises(NodeFailed):
        await run
    assert (toy.store.durable, toy.store.closed, toy.sent) == ([Record(PATH, ToyPing(1))], True, [])


async def test_an_exception_of_the_observer_ends_the_node_as_well():
    class Confused:
        def observe(self, now: Any, node: Any, outputs: Any, faults: Any) -> None:
            raise KeyError("what?")

    toy = talker(observer=Confused())
    toy.runtime.frame_received(B, [ping(1)])
    with pytest.raises(NodeFailed, match=r"while it handled 'what a turn has put out': KeyError: 'what\?'"):
        await toy.runtime.run()


def test_a_host_that_cannot_be_built_is_reported_as_well():
    def host(boot: Any) -> Any:
        raise LookupError("a record is missing")

    with pytest.raises(NodeFailed, match="while it handled 'the boot': LookupError: a record is missing"):
        LiveToy(A, host)


async def test_a_graceful_stop_handles_what_has_arrived_and_waits_for_the_disk():
    toy = talker()
    toy.store.gate.clear()
    async with toy.running():
        toy.runtime.inject(Say((B,), ToyVote(1, 0), record=True))
        await eventually(lambda: toy.store.commits == 1)
        toy.runtime.inject(Say((B,), ToyVote(2, 0), record=True))
        toy.runtime.frame_received(C, [ping(3)])
        toy.runtime.stop()
        assert (toy.runtime.is_running, toy.runtime.waits[-1]) == (False, "is stopping")
        with pytest.raises(InboxFull, match="is stopping"):
            toy.runtime.inject("too late")
        await eventually(lambda: toy.runtime.counters.turns == 2)
        assert (toy.sent, toy.store.closed) == ([], False)
        toy.store.gate.set()
    assert toy.sent == [(B, (ToyVote(1, 0),)), (B, (ToyVote(2, 0),)), (C, (ToyPong(3),))]
    assert [len(group) for group in toy.store.groups] == [1, 1]
    assert toy.store.closed


async def test_a_stop_that_comes_before_the_start_is_heeded():
    toy = talker()
    toy.runtime.stop()
    await asyncio.wait_for(toy.runtime.run(), 10)
    assert toy.store.closed


async def test_a_transport_that_cannot_start_ends_the_node_and_the_store_is_closed():
    class Refused:
        def __init__(self, receiver: Any) -> None: ...

        async def start(self) -> None:
            raise OSError("address already in use")

    toy = talker()
    runtime = LiveRuntime(
        A, lambda boot: Talker(A), toy.store, Refused, None, toy.clock, toy.effects, toy.log  # type: ignore[arg-type]
    )  # fmt: skip
    with pytest.raises(OSError, match="already in use"):
        await runtime.run()
    assert toy.store.closed


# ------------------------------------------------------------------------------------------------------- what is seen


async def test_faults_of_the_host_and_of_the_transport_are_observed_counted_and_the_latest_kept():
    class Suspicious(Talker):
        def handle_message(self, sender: NodeId, path: Path, message: Any, now: Instant) -> Step[Any]:
            return Step(faults=(Fault(sender, "odd", path, str(message.number)),))

    toy = LiveToy(A, lambda boot: Suspicious(A), limits=LiveLimits(faults_kept_max=2))
    async with toy.running():
        toy.runtime.frame_received(B, [ping(1), ping(2)])
        await eventually(lambda: len(toy.log.faults) == 2)
        toy.runtime.peer_fault("10.0.0.7", "bad_handshake", "not a peer")
    stranger = Fault(NodeId("10.0.0.7"), "bad_handshake", (), "not a peer")
    assert toy.log.faults == [Fault(B, "odd", PATH, "1"), Fault(B, "odd", PATH, "2"), stranger]
    assert [fault for _, fault in toy.runtime.faults] == toy.log.faults[1:]
    assert toy.runtime.counters.faults == 3


async def test_a_turn_of_which_nothing_comes_is_only_counted():
    class Deaf(Automaton[Any, Any, Any]):
        def handle_input(self, input: Any, now: Instant) -> Step[Any]:
            return NOTHING

        def handle_message(self, sender: NodeId, path: Path, message: Any, now: Instant) -> Step[Any]:
            return NOTHING

    toy = LiveToy(A, lambda boot: Deaf())
    async with toy.running():
        toy.runtime.frame_received(B, [ping(1)])
        await eventually(lambda: toy.runtime.counters.turns)
    counted = {name: value for name, value in toy.runtime.counters.as_dict().items() if value and name != "wakes"}
    assert counted == {"turns": 1, "messages": 1}
    assert toy.runtime.turn_latency.count == 1


def test_latencies_are_counted_by_powers_of_two():
    latency = Latency()
    assert (latency.count, latency.quantile(50)) == (0, None)
    for duration in (0, 1, 3, 3, 700, 1 << 40):
        latency.note(duration)
    assert (latency.buckets[0], latency.buckets[1], latency.buckets[2], latency.buckets[10], latency.buckets[31]) == (
        1, 1, 2, 1, 1,
    )  # fmt: skip
    assert (latency.count, latency.total, latency.longest) == (6, 707 + (1 << 40), 1 << 40)
    assert [latency.quantile(p) for p in (10, 50, 80, 100)] == [1, 4, 1024, 1 << 31]


# ------------------------------------------------------------------------------------------------- the faster loop


@pytest.mark.parametrize(
    "test",
    [
        test_turns_that_end_while_a_commit_is_under_way_become_one_group_and_are_released_in_order,
        test_the_deadline_is_kept_without_polling,
        test_an_idle_host_is_left_alone,
        test_a_deadline_that_comes_while_the_disk_stalls_waits_for_it_without_asking,
        test_a_graceful_stop_handles_what_has_arrived_and_waits_for_the_disk,
    ],
)
def test_it_holds_on_the_faster_loop_as_well(test: Callable[[], Coroutine[Any, Any, None]]):
    uvloop = pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(test())
