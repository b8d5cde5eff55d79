"""What the API remembers is bounded, whatever strangers and peers make it see."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.kernel.automaton import Fault, NodeId
from ledger.kernel.encoding import digest
from node.host import ChainFact
from node.live.api import door, events, metrics
from node.live.api.door import ApiSettings, Door
from node.live.api.endpoint import Refused
from node.live.api.events import NodeEvents
from node.live.api.metrics import NodeMetrics
from wasp.mempool import RequestPooled, RequestRefused

ME = NodeId("a1")


class Asker:
    """As much of a question as its rate needs."""

    def __init__(self, address: str) -> None:
        self.remote = address


def told(refusal: str, number: int) -> ChainFact:
    return ChainFact("north", RequestRefused("north", digest("request", number), refusal, "why"))


def test_rates_are_remembered_of_so_many_addresses(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(door, "ADDRESSES_MAX", 3)
    settings = ApiSettings(limits=door.ApiLimits(rate_max=1, burst_max=1))
    at_the_door = Door(settings, lambda: 0)

    def is_let_in(address: str) -> bool:
        asker: Any = Asker(address)
        try:
            at_the_door.check(asker, "token")
        except Refused as refused:
            assert refused.status == 429
            return False
        return True

    assert [is_let_in(address) for address in ("a", "b", "c", "a", "b", "c")] == [True] * 3 + [False] * 3
    assert is_let_in("d")
    assert [is_let_in(address) for address in ("b", "c", "d", "a")] == [False, False, False, True]


def test_the_newest_fates_are_remembered_and_other_refusals_are_not(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(events, "REFUSALS_KEPT", 3)
    seen = NodeEvents(NodeMetrics())
    seen.observe(0, ME, [told("replaced", number) for number in range(4)], ())
    seen.observe(0, ME, [told("old_nonce", 1), told("expired", 4), told("bad_signature", 5), told("pool_full", 6)], ())
    assert [(key[1], fact.code) for key, fact in seen.refusals.items()] == [
        (digest("request", 3), "replaced"),
        (digest("request", 1), "old_nonce"),
        (digest("request", 4), "expired"),
    ]


def test_kinds_of_faults_beyond_the_usual_ones_are_counted_together(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(metrics, "KINDS_MAX", 2)
    counted = NodeMetrics()
    counted.observe(0, ME, (), [Fault(ME, kind, ()) for kind in ("one", "two", "three", "four", "one")])
    lines = [line for line in counted.exposition().decode().splitlines() if "faults_total{" in line]
    assert lines == [
        'tanglegrid_peering_faults_total{kind="one"} 2.0',
        'tanglegrid_peering_faults_total{kind="two"} 1.0',
        'tanglegrid_peering_faults_total{kind="other"} 2.0',
    ]


def test_times_are_measured_of_so_many_requests_at_once_and_all_are_counted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(metrics, "TIMED_MAX", 2)
    counted = NodeMetrics()
    pooled = [ChainFact("north", RequestPooled("north", digest("request", number))) for number in range(3)]
    counted.observe(0, ME, pooled, ())
    assert 'tanglegrid_requests_off_ledger_total{chain="north"} 3.0' in counted.exposition().decode()
    assert len(counted._came) == 2
