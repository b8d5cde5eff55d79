from __future__ import annotations

from typing import Any, cast

from node.link import LinkHeader
from node.live.connection import Connection
from node.live.handshake import ConnectionKeys
from tests.harness.peers import WIRE, changed

HEADER = LinkHeader(1, 1, 1, 0, 0)


def idle_connection(**limits: int) -> Connection:
    """One that nobody runs: its queue is not emptied."""
    keys = ConnectionKeys(bytes(32), bytes(32))
    return Connection(cast(Any, None), cast(Any, None), keys, 1, True, WIRE, changed(**limits))


async def test_a_queue_takes_no_more_than_so_many_frames():
    connection = idle_connection(queue_max=3)
    assert [connection.put(HEADER, (), 10) for _ in range(5)] == [True, True, True, False, False]
    assert len(connection.queue) == 3


async def test_a_queue_takes_no_more_than_so_many_bytes_but_one_frame_of_any_size():
    connection = idle_connection(queue_bytes_max=100)
    assert connection.put(HEADER, (), 5000)
    assert not connection.put(HEADER, (), 1)
    connection = idle_connection(queue_bytes_max=100)
    assert [connection.put(HEADER, (), size) for size in (60, 40, 1)] == [True, True, False]
    assert connection.queue_bytes == 100
