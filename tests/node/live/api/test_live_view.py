"""A live node as its API sees it: the runtime and the peering behind one face."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from threading import Semaphore
from types import SimpleNamespace
from typing import Any

import pytest

from ledger.kernel.automaton import Fault, NodeId, Record
from ledger.kernel.rejection import Rejected
from node.live.api.live_view import LiveNodeView
from node.live.link_fault import NO_FAULT, LinkFault
from node.live.runtime import LiveLimits
from node.live.store_errors import StoreFailed
from tests.harness.live import PATIENCE, LiveToy, MemoryStore, eventually
from tests.harness.toys import Say, Talker, ToyPing, names
from tests.harness.virtual_nodes import peer_status

A, B, C = names(3)


class FakePeering:
    """Two peers, and what was done to their links."""

    def __init__(self) -> None:
        self.faults: dict[NodeId, LinkFault] = {}

    @property
    def status(self) -> Any:
        return SimpleNamespace(peers=(peer_status(B, connected=True), peer_status(C, connected=False)))

    def set_fault(self, peer: NodeId, fault: LinkFault) -> None:
        self.faults.pop(peer, None)
        if fault != NO_FAULT:
            self.faults[peer] = fault


def seen(**surroundings: Any) -> tuple[LiveToy, FakePeering, LiveNodeView]:
    toy = LiveToy(A, lambda boot: Talker(A, boot.records), **surroundings)
    peering = FakePeering()
    return toy, peering, LiveNodeView("small", 7, toy.runtime, peering, toy.runtime.stop)  # type: ignore[arg-type]


def say() -> Any:
    return Say((B, C), ToyPing(1), record=True)


async def test_what_the_runtime_and_the_peering_know_is_seen():
    toy, _, view = seen()
    async with toy.running():
        toy.runtime.inject(say())
        toy.runtime.peer_fault(B, "flooding", "too much")
        await eventually(lambda: toy.said)
        assert (view.name, view.network, view.epoch_us, view.incarnation) == (A, "small", 7, 1)
        assert view.started_at <= view.now
        assert [(fault.accused, fault.kind, fault.detail) for fault in view.faults] == [(B, "flooding", "too much")]
        assert view.counters["inputs"] == 1
        assert view.latencies["commit"].count == 1
        assert [(peer.node, peer.connected) for peer in view.peers] == [(B, True), (C, False)]
        assert not view.stopping
        view.stop()
        assert view.stopping
    assert Fault(B, "flooding", (), "too much") in [fault for _, fault in toy.runtime.faults]


async def test_the_links_that_are_not_named_are_good_again():
    _, peering, view = seen()
    view.change_links({B: LinkFault(cut=True), C: LinkFault(delay=5)})
    assert view.link_faults == {B: LinkFault(cut=True), C: LinkFault(delay=5)}
    view.change_links({C: LinkFault(loss=0.5)})
    assert peering.faults == {C: LinkFault(loss=0.5)}
    with pytest.raises(Rejected, match=r"unknown_peer: .* has no peer 'nobody'"):
        view.change_links({NodeId("nobody"): NO_FAULT, B: NO_FAULT})
    assert peering.faults == {C: LinkFault(loss=0.5)}


async def test_a_full_inbox_is_a_busy_node():
    toy, _, view = seen(limits=LiveLimits(inbox_max=1))
    view.submit(say())  # type: ignore[arg-type]
    with pytest.raises(Rejected, match="busy: 1 wait already"):
        view.submit(say())  # type: ignore[arg-type]
    async with toy.running():
        await eventually(lambda: toy.said)


class SteppedStore(MemoryStore):
    """Each commit needs a step."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = Semaphore(0)

    def commit(self, records: Sequence[Record]) -> None:
        assert self.steps.acquire(timeout=PATIENCE)
        super().commit(records)


async def test_durable_waits_for_what_the_host_has_done_and_not_for_what_comes_after():
    store = SteppedStore()
    toy, _, view = seen(store=store)
    async with toy.running():
        await view.durable()
        waiting: list[asyncio.Task[None]] = []
        for turns in (1, 2):
            toy.runtime.inject(say())
            await eventually(lambda turns=turns: toy.runtime.commits.turns == turns)
            waiting.append(asyncio.create_task(view.durable()))
            await asyncio.sleep(0)
        store.steps.release()
        await waiting[0]
        assert (toy.said, waiting[1].done()) == (["said"], False)
        store.steps.release()
        await waiting[1]
        assert toy.said == ["said", "said"]
        await view.durable()


async def test_nobody_is_told_what_a_store_that_fails_has_taken_back():
    store = MemoryStore()
    toy, _, view = seen(store=store)
    store.failure = StoreFailed(Path("store.db"), "disk I/O error", may_retry=False)
    store.gate.clear()

    async def wait_in_vain() -> None:
        async with toy.running():
            toy.runtime.inject(say())
            await eventually(lambda: store.commits == 1)
            waiting = asyncio.create_task(view.durable())
            await asyncio.sleep(0)
            store.gate.set()
            with pytest.raises(asyncio.CancelledError):
                await waiting

    with pytest.raises(StoreFailed, match="disk I/O error"):
        await wait_in_vain()
