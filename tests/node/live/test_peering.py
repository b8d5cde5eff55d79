from __future__ import annotations

import asyncio
import socket

import pytest

from ledger.kernel.automaton import NodeId
from ledger.kernel.instant import MILLISECOND, SECOND
from ledger.kernel.rejection import Rejected
from node.live.link_fault import LinkFault
from node.live.peering_limits import PeeringLimits
from tests.harness.peers import (
    LOOPBACK,
    Neighbourhood,
    PeeringNote,
    Relay,
    changed,
    neighbourhood,
    never,
    note,
    until,
)

A, B, C = NodeId("a"), NodeId("b"), NodeId("c")


async def test_packets_come_to_the_peer_with_the_sender_s_name():
    async with neighbourhood("ab") as nodes:
        nodes.running["a"].send(B, (note(1), note(2, 10)))
        nodes.running["b"].send(A, (note(3),))
        await until(lambda: bool(nodes.notes["a"].frames and nodes.notes["b"].frames))
        assert nodes.notes["b"].frames == [
            (A, ((("note", 1), PeeringNote(1)), (("note", 2), PeeringNote(2, bytes(10)))))
        ]
        assert nodes.notes["a"].frames == [(B, ((("note", 3), PeeringNote(3)),))]
        assert (nodes.notes["a"].faults, nodes.notes["b"].faults) == ([], [])


async def test_of_two_connections_of_a_pair_the_one_stays_that_the_smaller_name_dialled():
    limits = changed(head_start=0)
    nodes = Neighbourhood("abcd")
    try:
        await asyncio.gather(*[nodes.start(name, limits=limits) for name in "abcd"])
        await nodes.connected("ab", "ac", "ad", "bc", "bd", "cd")

        def agreed(one: str, other: str) -> bool:
            mine, theirs = nodes.status(one, other), nodes.status(other, one)
            return mine.connected and theirs.connected and mine.dialled_by_me != theirs.dialled_by_me

        pairs = [(one, other) for one in "abcd" for other in "abcd" if one < other]
        await until(lambda: all(agreed(one, other) for one, other in pairs))
        for one, other in pairs:
            nodes.running[one].send(NodeId(other), (note(1),))
            nodes.running[other].send(NodeId(one), (note(2),))
        await until(lambda: all(len(nodes.notes[name].frames) == 3 for name in "abcd"))
        assert all(nodes.notes[name].faults == [] for name in "abcd")
    finally:
        await nodes.close()


async def test_what_is_sent_before_there_is_a_connection_comes_when_there_is_one():
    async with neighbourhood("ab", running="a") as nodes:
        for number in range(100):
            nodes.running["a"].send(B, (note(number),))
        assert nodes.status("a", "b").queued == 100
        await nodes.start("b")
        await until(lambda: len(nodes.notes["b"].frames) == 100)
        assert nodes.notes["b"].numbers("a") == [*range(100)]
        await until(lambda: nodes.status("a", "b").queued == 0)


async def test_every_frame_comes_once_however_often_the_connection_breaks():
    nodes = Neighbourhood("ab")
    try:
        await nodes.start("b", elsewhere={"a": 1})
        async with Relay(nodes.ports["b"]) as relay:
            await nodes.start("a", elsewhere={"b": relay.port})
            await nodes.connected("ab")
            for number in range(300):
                nodes.running["a"].send(B, (note(number, 1000),))
                nodes.running["b"].send(A, (note(number, 1000),))
                if number % 60 == 30:
                    await asyncio.sleep(0)
                    relay.hang_up()
                    await until(lambda: not nodes.status("a", "b").connected)
                    await nodes.connected("ab")
            await until(lambda: all(len(nodes.notes[name].frames) >= 300 for name in "ab"))
            assert sorted(nodes.notes["b"].numbers("a")) == [*range(300)]
            assert sorted(nodes.notes["a"].numbers("b")) == [*range(300)]
            assert nodes.status("a", "b").connections == 6
            assert nodes.status("b", "a").connections == 6
            assert nodes.notes["a"].reconnected == nodes.notes["b"].reconnected == []
    finally:
        await nodes.close()


async def test_a_peer_that_was_started_again_is_told_as_reconnected_before_its_first_packets():
    async with neighbourhood("ab") as nodes:
        nodes.running["b"].send(A, (note(1),))
        await until(lambda: bool(nodes.notes["a"].frames))
        await nodes.stop("b")
        nodes.running["a"].send(B, (note(2),))
        await nodes.start("b", session=2)
        nodes.running["b"].send(A, (note(3),))
        await until(lambda: nodes.notes["a"].numbers("b") == [1, 3])
        await until(lambda: nodes.notes["b"].numbers("a") == [2])
        assert nodes.notes["a"].reconnected == [B]
        assert nodes.status("a", "b").session == 2


async def test_a_peer_that_comes_with_an_earlier_session_is_refused_with_the_reason():
    async with neighbourhood("ab", running="") as nodes:
        await nodes.start("a", session=1)
        await nodes.start("b", session=5)
        await nodes.connected("ab")
        await nodes.stop("b")
        await nodes.start("b", session=4)
        await until(lambda: "stale_session" in nodes.status("b", "a").last_error)
        assert "runs twice, or on an older copy of its store" in nodes.status("b", "a").last_error
        assert not nodes.status("a", "b").connected


async def test_of_two_processes_of_one_identity_the_one_with_the_later_session_is_talked_to():
    async with neighbourhood("ab") as nodes:
        former = nodes.running.pop("b")
        port = nodes.ports["b"]
        with socket.create_server((LOOPBACK, 0)) as free:
            nodes.ports["b"] = free.getsockname()[1]
        later = await nodes.start("b", session=2)
        await until(lambda: nodes.status("a", "b").session == 2)
        nodes.running["a"].send(B, (note(1),))
        await until(lambda: nodes.notes["b"].numbers("a") == [1])
        await until(lambda: "stale_session" in former.status.peers[0].last_error)
        assert later.status.peers[0].connected
        nodes.ports["b"] = port
        await former.stop()


async def test_a_cut_peer_is_left_and_refused_until_it_is_healed():
    async with neighbourhood("abc") as nodes:
        nodes.running["a"].set_fault(B, LinkFault(cut=True))
        await until(lambda: not nodes.status("b", "a").connected)
        assert nodes.running["a"].faults == {B: LinkFault(cut=True)}
        nodes.running["a"].send(B, (note(1),))
        nodes.running["a"].send(C, (note(2),))
        await until(lambda: nodes.notes["c"].numbers("a") == [2])
        await until(lambda: "cut" in nodes.status("b", "a").last_error)
        assert nodes.notes["b"].frames == []
        nodes.running["a"].set_fault(B)
        await until(lambda: nodes.notes["b"].numbers("a") == [1])
        assert nodes.running["a"].faults == {}


async def test_a_healed_peer_that_is_still_away_is_dialled_at_once_and_then_with_growing_waits():
    dialled = 0

    def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal dialled
        dialled += 1
        writer.close()

    server = await asyncio.start_server(count, LOOPBACK, 0)
    nodes = Neighbourhood("ab")
    limits = changed(back_off_first=20 * SECOND, back_off_max=20 * SECOND)
    try:
        await nodes.start("a", limits=limits, elsewhere={"b": server.sockets[0].getsockname()[1]})
        await until(lambda: dialled > 0)
        before = dialled
        nodes.running["a"].set_fault(B, LinkFault(cut=True))
        nodes.running["a"].set_fault(B)
        await until(lambda: dialled > before)
        await asyncio.sleep(0.2)
        assert dialled <= before + 3  # an attempt, which the client may repeat by itself; the next comes after seconds
    finally:
        server.close()
        await nodes.close()


async def test_frames_that_an_injected_loss_takes_are_sent_again():
    async with neighbourhood("ab") as nodes:
        nodes.running["a"].set_fault(B, LinkFault(loss=0.2))
        for number in range(80):
            nodes.running["a"].send(B, (note(number),))
        await until(lambda: len(nodes.notes["b"].frames) == 80)
        assert sorted(nodes.notes["b"].numbers("a")) == [*range(80)]
        status = nodes.status("a", "b")
        assert status.dropped > 0
        assert status.resent > 0


async def test_frames_leave_later_by_an_injected_delay_in_their_order():
    async with neighbourhood("ab") as nodes:
        loop = asyncio.get_running_loop()
        nodes.running["a"].set_fault(B, LinkFault(delay=300 * MILLISECOND))
        begin = loop.time()
        for number in range(5):
            nodes.running["a"].send(B, (note(number),))
        await until(lambda: len(nodes.notes["b"].frames) == 5)
        assert loop.time() - begin >= 0.299  # at least: a busy machine takes longer
        nodes.running["a"].set_fault(B)
        nodes.running["a"].send(B, (note(5),))
        await until(lambda: len(nodes.notes["b"].frames) == 6)
        assert nodes.notes["b"].numbers("a") == [*range(6)]


async def test_a_connection_that_begins_slow_comes_about():
    async with neighbourhood("ab", running="a") as nodes:
        nodes.running["a"].set_fault(B, LinkFault(delay=100 * MILLISECOND))
        nodes.running["a"].send(B, (note(1),))
        await nodes.start("b")
        await until(lambda: nodes.notes["b"].numbers("a") == [1])


async def test_for_a_peer_that_is_away_a_bounded_number_of_frames_is_held_and_the_oldest_are_given_up():
    async with neighbourhood("ab", running="a", queue_max=10) as nodes:
        for number in range(25):
            nodes.running["a"].send(B, (note(number),))
        status = nodes.status("a", "b")
        assert (status.queued, status.lost) == (10, 15)
        await nodes.start("b")
        await until(lambda: nodes.notes["b"].numbers("a") == [*range(15, 25)])
        await until(lambda: nodes.notes["a"].reconnected == [B])


async def test_for_a_peer_that_is_away_a_bounded_number_of_bytes_is_held():
    async with neighbourhood("ab", running="a", queue_bytes_max=100_000) as nodes:
        for number in range(100):
            nodes.running["a"].send(B, (note(number, 10_000),))
            assert nodes.status("a", "b").queued <= 10
        await nodes.start("b")
        await until(lambda: 99 in nodes.notes["b"].numbers("a"))
        assert nodes.notes["b"].numbers("a") == [*range(100 - len(nodes.notes["b"].frames), 100)]
        assert 8 <= len(nodes.notes["b"].frames) <= 10


async def test_the_largest_frame_is_held_and_comes_even_where_it_is_more_than_is_held_in_all():
    async with neighbourhood("ab", queue_bytes_max=100_000) as nodes:
        nodes.running["a"].send(B, (note(1, 4_000_000),))
        await until(lambda: nodes.notes["b"].numbers("a") == [1])


async def test_a_receiver_without_room_slows_its_peers_down_and_loses_nothing():
    async with neighbourhood("ab") as nodes:
        nodes.notes["b"].has_room.clear()
        for number in range(60):
            nodes.running["a"].send(B, (note(number, 100_000),))
        await until(lambda: nodes.status("a", "b").sent_frames > 2)
        await asyncio.sleep(0.2)
        assert len(nodes.notes["b"].frames) <= 1
        nodes.notes["b"].has_room.set()
        await until(lambda: len(nodes.notes["b"].frames) == 60)
        assert nodes.notes["b"].numbers("a") == [*range(60)]


async def test_a_peer_that_is_not_read_because_there_is_no_room_is_not_taken_for_dead():
    async with neighbourhood("ab", keep_alive_every=20 * MILLISECOND, head_start=5 * SECOND) as nodes:
        nodes.notes["b"].has_room.clear()
        before = nodes.status("b", "a").sent_frames
        await until(lambda: nodes.status("b", "a").sent_frames > before + 20)  # so often it has looked meanwhile
        nodes.notes["b"].has_room.set()
        nodes.running["a"].send(B, (note(1),))
        await until(lambda: nodes.notes["b"].numbers("a") == [1])
        assert nodes.status("b", "a").connections == 1


async def test_a_peer_that_sends_too_fast_is_read_at_the_rate_that_is_allowed():
    async with neighbourhood("ab", running="a") as nodes:
        await nodes.start("b", limits=changed(bytes_per_second_max=1 << 20, bytes_burst_max=1 << 22))
        await nodes.connected("ab")
        loop = asyncio.get_running_loop()
        begin = loop.time()
        for number in range(60):
            nodes.running["a"].send(B, (note(number, 100_000),))
        await until(lambda: len(nodes.notes["b"].frames) == 60)
        assert loop.time() - begin >= 1.5  # at least: of 6 MB 4 MiB pass at once, and the rest at 1 MiB a second
        assert nodes.status("b", "a").throttled_us > 0
        assert nodes.notes["b"].faults == []


async def test_a_peer_that_is_silent_is_left_for_dead_and_dialled_again():
    nodes = Neighbourhood("ab")
    try:
        limits = changed(keep_alive_every=50 * MILLISECOND, handshake_timeout=500 * MILLISECOND)
        await nodes.start("b", limits=limits, elsewhere={"a": 1})
        async with Relay(nodes.ports["b"]) as relay:
            await nodes.start("a", limits=limits, elsewhere={"b": relay.port})
            await nodes.connected("ab")
            relay.silent = True
            await until(lambda: not nodes.status("a", "b").connected)
            await until(lambda: not nodes.status("b", "a").connected)
            assert "silent" in nodes.status("b", "a").last_error
            nodes.running["a"].send(B, (note(1),))
            relay.silent = False
            await until(lambda: nodes.notes["b"].numbers("a") == [1])
    finally:
        await nodes.close()


async def test_an_idle_connection_is_kept_alive():
    async with neighbourhood("ab", keep_alive_every=20 * MILLISECOND) as nodes:
        before = nodes.status("b", "a").received_frames
        await until(lambda: nodes.status("b", "a").received_frames > before + 20)
        assert nodes.status("a", "b").connections == 1


async def test_what_was_sent_before_the_node_stops_still_leaves():
    async with neighbourhood("ab", back_off_first=10 * SECOND, back_off_max=10 * SECOND) as nodes:
        for number in range(60):  # more than sockets take at once
            nodes.running["a"].send(B, (note(number, 100_000),))
        await nodes.stop("a")
        await until(lambda: len(nodes.notes["b"].frames) == 60)
        await until(lambda: "the node stops" in nodes.status("b", "a").last_error)


async def test_stopping_does_not_wait_for_a_peer_that_does_not_read():
    async with neighbourhood("ab", closing_timeout=100 * MILLISECOND) as nodes:
        nodes.notes["b"].has_room.clear()
        for number in range(80):
            nodes.running["a"].send(B, (note(number, 100_000),))
        await nodes.stop("a")
        nodes.notes["b"].has_room.set()


async def test_a_node_that_is_stopping_takes_no_new_connections():
    async with neighbourhood("abc", running="ab") as nodes:
        nodes.notes["b"].has_room.clear()
        for number in range(80):
            nodes.running["a"].send(B, (note(number, 100_000),))
        stopping = asyncio.ensure_future(nodes.running.pop("a").stop())
        await asyncio.sleep(0)
        with pytest.raises(Rejected, match="stopping"):
            await nodes.dial(nodes.identity("c"), "a", never)
        await stopping
        nodes.notes["b"].has_room.set()


async def test_packets_for_somebody_unknown_are_dropped_and_counted():
    async with neighbourhood("a") as nodes:
        nodes.running["a"].send(NodeId("nobody"), (note(1),))
        assert nodes.running["a"].status.refused == {"no_such_peer": 1}


async def test_a_port_that_is_taken_is_an_error_of_the_operating_system_at_the_start():
    nodes = Neighbourhood("a")
    with socket.create_server((LOOPBACK, 0)) as taken:
        nodes.ports["a"] = taken.getsockname()[1]
        with pytest.raises(OSError, match="ddress already in use"):
            await nodes.start("a")
    await nodes.close()


async def test_the_status_tells_what_went_over_a_link():
    async with neighbourhood("ab") as nodes:
        for number in (1, 2):
            nodes.running["a"].send(B, (note(number),))
            await until(lambda: nodes.status("a", "b").queued == 0)
        status, theirs = nodes.status("a", "b"), nodes.status("b", "a")
        assert (status.node, status.address) == (B, f"{LOOPBACK}:{nodes.ports['b']}")
        assert status.sent_frames >= theirs.received_frames >= 3
        assert status.sent_bytes >= theirs.received_bytes > len(note(1))
        assert (status.connections, status.session, status.lost, status.duplicates) == (1, 1, 0, 0)
        assert status.since_us > 0
        assert status.round_trip_us is not None


def test_the_usual_limits_let_a_peer_hand_over_all_it_had_kept():
    limits = PeeringLimits()
    assert limits.frames_burst_max >= 2 * limits.queue_max
    with pytest.raises(AssertionError, match="no flood"):
        PeeringLimits(frames_burst_max=limits.queue_max)
