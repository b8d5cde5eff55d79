"""What came of one committee's run, as one JSON object, as rows, and as text.

Keys: ``digest`` (of all the others but those of the last line); ``protocol``, ``nodes``, ``faulty_max`` (f), ``silent``,
``blocks``, ``batch``, ``payload``, ``rate``, ``timers``, ``crypto``, ``seed``, ``network``, ``hardware``: what was asked for;
``blocks_decided``, ``blocks_anchored``: by at least one node; ``decided_us``, ``anchored_us``: one {node: microseconds} per
block, from the block's first proposal to the decision, from the beginning of the index to the signed anchor; ``phases_us``:
minimum, percentiles and maximum over blocks and nodes; ``requests``: the same of an offered load, from the moment at which
a request was to be sent, with how many were sent, refused, and wait still; ``rounds``: per block, of the agreement that took
most; ``agreement_rounds``: of every agreement; ``views_changed``, ``signers_changed``: blocks in which a timer replaced a
leader, or signers; ``messages_per_block``, ``bytes_per_block``: copies sent and bytes of frames, over all nodes, on average,
without the sharing of requests; ``frames_per_block``; ``messages_by_kind``: of the whole run,
with their bytes without frames; ``messages_by_leaf``: by the first word of the leaf below the log index;
``requests_decided``, ``requests_per_second``; ``simulated_us``; ``faults``, ``violations``, ``stalled`` (who waits for what,
when the run came to no end); ``events``, ``transcript``;
``events_per_cpu_second``, ``cpu_seconds``, ``peak_memory_bytes``.

An event is a message, an input or a timer that a node handled. Percentiles are nearest-rank.
"""

from __future__ import annotations

import resource
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from textwrap import shorten, wrap
from typing import Any

from ledger.kernel.instant import SECOND
from node.experiments.committee_options import CommitteeOptions
from node.experiments.committee_recorder import PHASES, CommitteeRecorder, RequestRecord
from node.experiments.results import digest_of_results
from node.experiments.summary import percentile
from node.simulated.runtime import SimulatedRuntime
from wasp.mempool import SharedRequest

PERCENTILES = (50, 95, 99)
MEASURED = ("events_per_cpu_second", "cpu_seconds", "peak_memory_bytes")
"""What a machine is measured by, and no result depends on."""
ROW_COLUMNS: Mapping[str, str] = {
    "block": "int64", "node": "string", "began_us": "int64", **{f"{phase}_us": "int64" for phase in PHASES},
    "rounds": "int64", "messages": "int64",
}  # fmt: skip
"""Of the rows per block and node; a phase that there was not is empty."""
STATUS_WIDTH = 300
"""Characters of the state of a node that waits: enough to see what for."""

Spread = dict[str, int | None]


def summarise(
    options: CommitteeOptions, recorder: CommitteeRecorder, runtime: SimulatedRuntime, cpu_seconds: float
) -> dict[str, Any]:
    """The JSON object."""
    summary = {
        **_asked(options),
        **_latencies(options, recorder),
        **_traffic(options, recorder, runtime),
        "simulated_us": recorder.last_end if recorder.complete else runtime.now,
        "faults": recorder.faults,
        "violations": recorder.violations,
        "stalled": _stalled(options, recorder, runtime),
        "events": runtime.counters.events,
        "transcript": runtime.transcript.hex(),
    }
    measured = {
        "events_per_cpu_second": round(runtime.counters.events / max(cpu_seconds, 1e-9)),
        "cpu_seconds": round(cpu_seconds, 3),
        "peak_memory_bytes": peak_memory(),
    }
    return {"digest": digest_of_results([], summary), **summary, **measured}


def rows_of(
    options: CommitteeOptions, recorder: CommitteeRecorder, runtime: SimulatedRuntime
) -> tuple[tuple[int | str | None, ...], ...]:
    """One row per block and node where it has ended."""
    sent = {node: _sent_by_block(runtime.host(node).sent) for node in options.speaking}
    rows: list[tuple[int | str | None, ...]] = []
    for number, block in enumerate(recorder.blocks, 1):
        for node in [node for node in options.speaking if node in block.ended]:
            _, end = block.ended[node]
            phases = block.phases(node)
            spans = [phases.get(phase) for phase in PHASES]
            rows.append((number, node, end.began_at, *spans, max(block.rounds, default=0), sent[node][number]))
    return tuple(rows)


def spread(values: Sequence[int]) -> Spread:
    """Minimum, percentiles, maximum; none of nothing."""
    ordered = sorted(values)
    middle = {f"p{per_cent}": percentile(ordered, per_cent) for per_cent in PERCENTILES}
    return {"min": ordered[0] if ordered else None, **middle, "max": ordered[-1] if ordered else None}


def peak_memory() -> int:
    """Bytes that this process had at most, so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _asked(options: CommitteeOptions) -> dict[str, Any]:
    fields = options.model_dump(mode="json")
    return {
        "protocol": fields.pop("protocol"),
        "nodes": fields.pop("nodes"),
        "faulty_max": options.faulty_max,
        **fields,
    }


def _latencies(options: CommitteeOptions, recorder: CommitteeRecorder) -> dict[str, Any]:
    blocks = recorder.blocks
    ended = [block.phases(node) for block in blocks for node in block.ended]
    return {
        "blocks_decided": sum(bool(block.decided) for block in blocks),
        "blocks_anchored": sum(block.anchor is not None for block in blocks),
        "decided_us": [
            {node: block.decided_after(node) for node in options.speaking if node in block.decided} for block in blocks
        ],
        "anchored_us": [
            {node: block.phases(node)["anchored"] for node in options.speaking if node in block.ended}
            for block in blocks
        ],
        "phases_us": {phase: spread([spans[phase] for spans in ended if phase in spans]) for phase in PHASES},
        "requests": _requests(recorder.requests),
        "rounds": [max(block.rounds, default=0) for block in blocks],
        "agreement_rounds": [list(block.rounds) for block in blocks],
        "views_changed": sum(block.view_changed for block in blocks),
        "signers_changed": sum(block.signers_changed for block in blocks),
    }


def _requests(record: RequestRecord) -> dict[str, Any] | None:
    if not record.sent:
        return None
    part = max(1, -(-len(record.anchored) // 3))
    thirds = [record.anchored[first : first + part] for first in range(0, 3 * part, part)]
    return {
        "sent": record.sent,
        "refused": record.refused,
        "decided": len(record.decided),
        "anchored": len(record.anchored),
        "waiting": record.waiting,
        "decided_us": spread(record.decided),
        "anchored_us": spread(record.anchored),
        "anchored_p50_by_third_us": [percentile(sorted(third), 50) for third in thirds],
    }


def _traffic(options: CommitteeOptions, recorder: CommitteeRecorder, runtime: SimulatedRuntime) -> dict[str, Any]:
    counters = runtime.counters
    by_leaf: Counter[str] = Counter()
    for node in options.speaking:
        for (_, leaf), copies in runtime.host(node).sent.items():
            by_leaf[leaf] += copies
    sharing, sharing_bytes = counters.kinds.get(SharedRequest, (0, 0))
    messages = sum(copies for copies, _ in counters.kinds.values()) - sharing
    ended = sum(bool(block.ended) for block in recorder.blocks)
    decided = sum(len(block.batch.requests) for block in recorder.blocks if block.batch is not None)
    return {
        "messages_per_block": _average(messages, ended),
        "bytes_per_block": _average(counters.bytes - sharing_bytes, ended),
        "frames_per_block": _average(counters.frames, ended),
        "messages_by_kind": {
            kind.__name__: {"messages": copies, "bytes": size}
            for kind, (copies, size) in sorted(counters.kinds.items(), key=lambda item: item[0].__name__)
        },
        "messages_by_leaf": dict(sorted(by_leaf.items())),
        "requests_decided": decided,
        "requests_per_second": round(decided * SECOND / recorder.last_end, 3) if recorder.last_end else None,
    }


def _average(total: int, count: int) -> int | float | None:
    """Whole where it is: what is counted is equal in every block of a run without faults or jitter."""
    if not count:
        return None
    return total // count if total % count == 0 else round(total / count, 3)


def _sent_by_block(sent: Mapping[tuple[int, str], int]) -> Counter[int]:
    by_block: Counter[int] = Counter()
    for (log_index, _), copies in sent.items():
        by_block[log_index] += copies
    return by_block


def _stalled(options: CommitteeOptions, recorder: CommitteeRecorder, runtime: SimulatedRuntime) -> list[str]:
    """Why the run came to no end: nothing when it did."""
    if recorder.complete:
        return []
    decided = sum(bool(block.decided) for block in recorder.blocks)
    told = [f"{decided} of {options.blocks} blocks were decided; nobody got any further"]
    if options.silent > options.faulty_max:
        told.append(f"{options.silent} of {options.nodes} nodes are silent, at most {options.faulty_max} may be")
    elif options.timers is None and options.silent:
        told.append("timers are off: who waits for a silent leader, or a silent signer, waits for ever")
    waiting = [node for node in options.speaking if node not in recorder.blocks[-1].ended]
    for node in waiting[:1]:
        others = f", and {_counted(len(waiting) - 1, 'other')}" if len(waiting) > 1 else ""
        status = ", ".join(f"{key}: {value}" for key, value in runtime.host(node).status.items())
        told.append(f"{node} waits{others}: {shorten(status, STATUS_WIDTH, placeholder=' ...')}")
    return told


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")


# --------------------------------------------------------------------------------------------------------------- text


def summary_text(summary: Mapping[str, Any]) -> str:
    """The summary for a terminal: at most 100 columns."""
    lines = [*_title_lines(summary), "", *_latency_lines(summary), *_timer_lines(summary), "", *_count_lines(summary)]
    checks = "all nodes agree" if not summary["violations"] else f"{len(summary['violations'])} violations"
    lines += ["", f"agreement: {checks}; faults: {summary['faults']}"]
    lines.append(
        f"{summary['events']:,} events in {summary['cpu_seconds']:,.1f} CPU seconds: "
        f"{summary['events_per_cpu_second']:,} per CPU second; peak memory {summary['peak_memory_bytes'] / 1e6:,.0f} MB"
    )
    lines.append(f"digest: {summary['digest']}")
    return "\n".join(lines)


def _title_lines(summary: Mapping[str, Any]) -> list[str]:
    network, hardware = summary["network"], summary["hardware"]
    silent = f", {summary['silent']} of them silent" if summary["silent"] else ""
    title = (
        f"{summary['protocol']}, {_counted(summary['nodes'], 'node')}{silent}, seed {summary['seed']}: "
        f"{_counted(summary['blocks_anchored'], 'block')} in {summary['simulated_us'] / 1e6:,.3f} s of simulated time"
    )
    if network["model"] == "matrix":
        delays = f"delays of {network['matrix']}"
    else:
        delays = f"delay {network['delay']}" + (
            f" with jitter {network['jitter']}" if network["jitter"] != "0s" else ""
        )
    load = "full" if summary["rate"] is None else f"at {summary['rate']:g} requests/s"
    batches = f"batches of {summary['batch']} requests of {summary['payload']} B, {load}"
    timers = ["timers off"] if summary["timers"] == "off" else []
    parts = [delays, *_machine_words(network, hardware), *timers, f"{summary['crypto']} crypto", batches]
    told = "  " + ", ".join(parts)  # names of profiles and files stay whole
    return [title, *wrap(told, 100, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)]


def _machine_words(network: Mapping[str, Any], hardware: Mapping[str, Any]) -> list[str]:
    """The CPU, and what was named beside it: two runs that differ in a switch don't look alike."""
    words = [f"CPU {hardware['profile']}" if hardware["cpu"] else "CPU off"]
    if hardware["disk"] is not None and hardware["disk"] != hardware["cpu"]:
        words.append(f"disk {hardware['profile']}" if hardware["disk"] else "no disk")
    if network["bandwidth"] is not None:
        unlimited = network["bandwidth"] == "unlimited"
        words.append("unlimited bandwidth" if unlimited else f"{network['bandwidth']:,} bits/s")
    return words if network["frames"] else [*words, "no frames"]


_WORDS = {
    "prepared": "begun to proposed",
    "gathered": "to the leader's list",
    "decided": "first proposal to decided",
    "ready": "to requests and entropy there",
    "signed": "to anchor signed",
    "anchored": "begun to anchor signed",
}


def _latency_lines(summary: Mapping[str, Any]) -> list[str]:
    if not summary["blocks_anchored"]:
        return ["no block was anchored"]
    phases = summary["phases_us"].items()
    lines = [f"{'latency, ms':<34}" + "".join(f"{name:>12}" for name in summary["phases_us"]["anchored"])]
    lines += [_spread_line(_WORDS[phase], spans) for phase, spans in phases if spans["min"] is not None]
    requests = summary["requests"]
    if requests is None:
        return lines
    lines.append(_spread_line("request: sent to decided", requests["decided_us"]))
    lines.append(_spread_line("request: sent to anchored", requests["anchored_us"]))
    thirds = " -> ".join(_milliseconds(span) for span in requests["anchored_p50_by_third_us"])
    lines.append(
        f"requests: {requests['sent']:,} sent, {requests['anchored']:,} anchored, {requests['waiting']:,} wait, "
        f"{requests['refused']:,} refused"
    )
    lines.append(f"  median to anchored, by thirds of the run, ms: {thirds}")
    return lines


def _timer_lines(summary: Mapping[str, Any]) -> list[str]:
    """What a timer had to do with the latencies, where it had."""
    changed = {"views": summary["views_changed"], "signers": summary["signers_changed"]}
    blocks = _counted(summary["blocks"], "block")
    lines = [f"{what} changed by a timer in {count} of {blocks}" for what, count in changed.items() if count]
    return [*lines, f"  their latencies have timeouts in them, from {summary['timers']} on (--timers)"] if lines else []


def _count_lines(summary: Mapping[str, Any]) -> list[str]:
    lines = []
    if summary["messages_per_block"] is not None:
        lines.append(
            f"per block: {summary['messages_per_block']:,} messages, {summary['bytes_per_block']:,} bytes, "
            f"{summary['frames_per_block']:,} frames"
        )
    if summary["requests_per_second"] is not None:
        lines.append(
            f"decided: {summary['requests_decided']:,} requests, {summary['requests_per_second']:,.1f} a second"
        )
    taken = Counter(rounds for block in summary["agreement_rounds"] for rounds in block)
    if taken:
        times = [f"{rounds} x {count:,}" for rounds, count in sorted(taken.items())]
        lines.append(f"rounds of agreement: {', '.join(times)}")
    kinds = [f"{kind} {copies['messages']:,}" for kind, copies in summary["messages_by_kind"].items()]
    return lines + wrap("messages: " + ", ".join(kinds), 98, subsequent_indent="  ")


def _spread_line(words: str, spans: Spread) -> str:
    return f"  {words:<32}" + "".join(f"{_milliseconds(span):>12}" for span in spans.values())


def _milliseconds(span: int | None) -> str:
    return "-" if span is None else f"{span / 1000:,.1f}"
