"""The metrics of one node, for Prometheus: one registry per node, so that several nodes can live in one process.

What happens is counted as it is observed; how things stand is read from the node when somebody asks. Names follow Wasp's
(subsystem, then what is measured, with the label ``chain``); times are in seconds and sizes in bytes, as Prometheus wants.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from ledger.access import TransactionConfirmed, TransactionRejected
from ledger.booking import BlockBooked, BlockRefused
from ledger.finality import BlockConfirmed
from ledger.kernel.automaton import Fault, NodeId
from ledger.kernel.instant import SECOND, Instant
from node.host import ChainFact, Household, LedgerHost
from node.live.api.node_view import NodeView
from node.live.counters import Latency
from wasp.chain_interface import ChainBlockAnchored, ChainBlockConfirmed, ChainBlocksUndone
from wasp.consensus.consensus_interface import IndexSkipped
from wasp.mempool import RequestPooled, RequestRefused
from wasp.request import RequestId

PREFIX = "tanglegrid"
TIMED_MAX = 10_000
"""Requests whose times are being measured: more than mempools hold."""
BUCKETS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
"""Seconds: a request takes from a network delay to an outage."""
FATES = frozenset({"old_nonce", "replaced", "expired"})
"""Codes of refusals after which the request is not executed any more."""
KINDS_MAX = 64
"""Different kinds of faults that are counted apart: there are some dozens, and peers must not make more."""


class NodeMetrics:
    """What is counted of one node. ``serve`` adds how the node stands."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        if ProcessCollector is not None:
            ProcessCollector(registry=self.registry)
        self._blocks = self._counter("tangle_blocks", "Blocks of layer 1 by what became of them here", "event")
        self._transactions = self._counter("tangle_transactions", "Settled transactions of layer 1", "standing")
        self._chain_blocks = self._counter("chain_blocks", "Chain blocks by what became of them", "chain", "event")
        self._off_ledger = self._counter("requests_off_ledger", "Off-ledger requests that entered the mempool", "chain")
        self._refused = self._counter(
            "requests_refused", "Off-ledger requests that the mempool refused", "chain", "code"
        )
        self._processed = self._counter("requests_processed", "Requests with a receipt", "chain")
        self._skipped = self._counter("consensus_skipped", "Log indices that were skipped", "chain")
        self._faults = self._counter("peering_faults", "Evidence against peers", "kind")
        self.answers = self._counter("webapi_requests", "Answers of this interface", "route", "status")
        self._times = Histogram(
            f"{PREFIX}_requests_processing_time_seconds",
            "From a request's coming into the mempool to its receipt, by the anchor signed or confirmed",
            ("chain", "stage"),
            registry=self.registry,
            buckets=BUCKETS,
        )
        self._kinds: set[str] = set()
        self._came: dict[tuple[str, RequestId], Instant] = {}

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        return Counter(f"{PREFIX}_{name}", documentation, labels, registry=self.registry)

    def serve(self, node: NodeView) -> None:
        """From now on an exposition also tells how this node stands."""
        self.registry.register(_Standing(node))

    def exposition(self) -> bytes:
        """All metrics, in Prometheus' text format."""
        return generate_latest(self.registry)

    # ------------------------------------------------------------------------------------------------------- observing

    def observe(self, now: Instant, node: NodeId, outputs: Sequence[Any], faults: Sequence[Fault]) -> None:
        """These were released at this instant."""
        for output in outputs:
            match output:
                case ChainFact():
                    self._observe_chain(now, output.chain, output.fact)
                case BlockBooked():
                    self._blocks.labels("booked").inc()
                case BlockConfirmed():
                    self._blocks.labels("confirmed").inc()
                case BlockRefused():
                    self._blocks.labels("refused").inc()
                case TransactionConfirmed():
                    self._transactions.labels("confirmed").inc()
                case TransactionRejected():
                    self._transactions.labels("rejected").inc()
                case _:
                    pass
        for fault in faults:
            if len(self._kinds) < KINDS_MAX:
                self._kinds.add(fault.kind)
            self._faults.labels(fault.kind if fault.kind in self._kinds else "other").inc()

    def _observe_chain(self, now: Instant, chain: str, fact: Any) -> None:
        match fact:
            case RequestPooled():
                if (chain, fact.request_id) in self._came:
                    return  # submitted again, and here already
                self._off_ledger.labels(chain).inc()
                if len(self._came) < TIMED_MAX:
                    self._came[chain, fact.request_id] = now
            case RequestRefused():
                self._refused.labels(chain, fact.code).inc()
                if fact.code in FATES:
                    self._came.pop((chain, fact.request_id), None)
            case ChainBlockAnchored():
                self._chain_blocks.labels(chain, "anchored").inc()
                self._processed.labels(chain).inc(len(fact.receipts))
                for request in fact.block.requests:
                    self._measure(now, chain, request.id, "anchored")
            case ChainBlockConfirmed():
                self._chain_blocks.labels(chain, "confirmed").inc()
                for request in fact.block.requests:
                    self._measure(now, chain, request.id, "confirmed")
                    self._came.pop((chain, request.id), None)
            case ChainBlocksUndone():
                self._chain_blocks.labels(chain, "undone").inc(len(fact.blocks))
            case IndexSkipped():
                self._skipped.labels(chain).inc()
            case _:
                pass

    def _measure(self, now: Instant, chain: str, request_id: RequestId, stage: str) -> None:
        came = self._came.get((chain, request_id))
        if came is not None:
            self._times.labels(chain, stage).observe((now - came) / SECOND)


class _Standing(Collector):
    """How a node stands at the moment of the question."""

    def __init__(self, node: NodeView) -> None:
        self._node = node

    def collect(self) -> Iterator[Metric]:
        node = self._node
        info = _gauge("node_info", "The node's name and network", "name", "network")
        info.add_metric([node.name, node.network], 1)
        yield info
        yield _gauge("node_incarnation", "How often the node has started", value=node.incarnation)
        yield _gauge("node_uptime_seconds", "Since the last start", value=(node.now - node.started_at) / SECOND)
        match node.host:
            case LedgerHost() as host:
                yield _gauge("tangle_tips", "Strong tips", value=len(host.tangle.tips))
                yield _gauge("tangle_blocks_kept", "Blocks that are not pruned", value=len(host.tangle.dag.entries))
                open_count = host.tangle.ledger.open_count
                yield _gauge("tangle_transactions_open", "Transactions that are not settled", value=open_count)
            case Household() as host:
                yield from _chain_gauges(host)
            case _:
                pass
        yield from _peer_metrics(node)
        for name, count in node.counters.items():
            yield CounterMetricFamily(f"{PREFIX}_runtime_{name}", "Counted by the runtime", value=count)
        for name, latency in node.latencies.items():
            yield _latency(f"{PREFIX}_runtime_{name}_seconds", latency)


def _gauge(name: str, documentation: str, *labels: str, value: float | None = None) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}_{name}", documentation, value, labels or None)


def _latency(name: str, latency: Latency) -> HistogramMetricFamily:
    counted, buckets = 0, []
    for k, in_bucket in enumerate(latency.buckets[:-1]):
        counted += in_bucket
        buckets.append((str((1 << k) / SECOND), counted))
    buckets.append(("+Inf", latency.count))
    return HistogramMetricFamily(name, "Measured by the runtime", buckets, latency.total / SECOND)


def _chain_gauges(host: Household) -> Iterator[Metric]:
    log_index = _gauge("cmt_log_log_index", "The last log index that was opened", "chain")
    active = _gauge("chain_active_state_index", "Of the newest chain block with a signed anchor", "chain")
    confirmed = _gauge("chain_confirmed_state_index", "Of the newest chain block whose anchor is confirmed", "chain")
    off_ledger = _gauge("mempool_off_ledger_pool_size", "Off-ledger requests that wait", "chain")
    on_ledger = _gauge("mempool_on_ledger_pool_size", "On-ledger requests that wait", "chain")
    missing = _gauge("mempool_missing_reqs", "Decided requests that are sought", "chain")
    for name, chain in host.chains.items():
        log_index.add_metric([name], chain.log.used)
        active.add_metric([name], chain.active_block.index)
        confirmed.add_metric([name], chain.confirmed_block.index)
        off_ledger.add_metric([name], len(chain.mempool.pool))
        on_ledger.add_metric([name], len(chain.mempool.inbox))
        missing.add_metric([name], len(chain.mempool.search))
    yield from (log_index, active, confirmed, off_ledger, on_ledger, missing)


def _peer_metrics(node: NodeView) -> Iterator[Metric]:
    connected = _gauge("peering_connected", "Whether the peer is connected", "peer")
    queue = _gauge("peering_send_queue_len", "Frames that the peer has not acknowledged", "peer")
    frames = CounterMetricFamily(f"{PREFIX}_peering_frames", "Frames exchanged", labels=["peer", "direction"])
    sizes = CounterMetricFamily(f"{PREFIX}_peering_bytes", "Bytes exchanged", labels=["peer", "direction"])
    resent = CounterMetricFamily(f"{PREFIX}_peering_resent", "Frames sent again", labels=["peer"])
    lost = CounterMetricFamily(f"{PREFIX}_peering_lost", "Frames given up", labels=["peer"])
    for peer in node.peers:
        connected.add_metric([peer.node], int(peer.connected))
        queue.add_metric([peer.node], peer.queued)
        frames.add_metric([peer.node, "sent"], peer.sent_frames)
        frames.add_metric([peer.node, "received"], peer.received_frames)
        sizes.add_metric([peer.node, "sent"], peer.sent_bytes)
        sizes.add_metric([peer.node, "received"], peer.received_bytes)
        resent.add_metric([peer.node], peer.resent)
        lost.add_metric([peer.node], peer.lost)
    yield from (connected, queue, frames, sizes, resent, lost)
