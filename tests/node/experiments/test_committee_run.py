"""One committee in the simulated runtime: what is measured is exact, what is wrong ends the run, one seed is one result."""

import gc
import json
import pickle
import re
import weakref

import msgspec
import pytest

from ledger.kernel.rng import Stream
from node.configuration import ConfigurationError, NetworkSection
from node.experiments import committee_member, committee_run, request_sources
from node.experiments.committee_interface import BlockEnded
from node.experiments.committee_options import CommitteeOptions, read_options
from node.experiments.committee_recorder import CommitteeRecorder
from node.experiments.committee_run import run_committee
from node.experiments.committee_summary import MEASURED, ROW_COLUMNS
from node.simulated.conditions import hardware_section, network_section
from wasp.consensus.protocols import PROTOCOLS

D = 25_000
KEYS = {
    "digest", "protocol", "nodes", "faulty_max", "silent", "blocks", "batch", "payload", "rate", "timers", "crypto", "seed",
    "network", "hardware", "blocks_decided", "blocks_anchored", "decided_us", "anchored_us", "phases_us", "requests",
    "rounds", "agreement_rounds", "views_changed", "signers_changed", "messages_per_block", "bytes_per_block",
    "frames_per_block", "messages_by_kind", "messages_by_leaf", "requests_decided", "requests_per_second", "simulated_us",
    "faults", "violations", "stalled", "events", "transcript", "events_per_cpu_second", "cpu_seconds", "peak_memory_bytes",
}  # fmt: skip
JITTER = network_section("25ms", "10ms")
SHORT = {"blocks": 2, "batch": 3}


def run(**fields):
    return run_committee(CommitteeOptions(**{**SHORT, **fields}))


def results(outcome):
    return {key: value for key, value in outcome.summary.items() if key not in MEASURED}


def latencies(summary, key):
    return {span for block in summary[key] for span in block.values()}


# --------------------------------------------------------------------------------------------------------- all protocols


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("network", [network_section(), JITTER], ids=["constant", "jitter"])
@pytest.mark.parametrize("silent", [0, 1])
def test_every_protocol_runs_to_its_signed_anchors(protocol, network, silent):
    outcome = run(protocol=protocol, nodes=5, silent=silent, network=network)
    summary = outcome.summary
    speaking = [f"n{place}" for place in range(5 - silent)]
    assert outcome.failures == [] and summary["faults"] == 0
    assert (summary["blocks_decided"], summary["blocks_anchored"]) == (2, 2)
    assert [sorted(block) for block in summary["decided_us"]] == [speaking] * 2
    assert [sorted(block) for block in summary["anchored_us"]] == [speaking] * 2
    assert summary["requests_decided"] == 6
    assert min(summary["rounds"]) >= 1
    assert summary["messages_per_block"] > 0 and summary["bytes_per_block"] > 0
    copies = sum(kind["messages"] for kind in summary["messages_by_kind"].values())
    assert sum(summary["messages_by_leaf"].values()) == copies
    assert sum(row[-1] for row in outcome.rows) == copies
    assert len(outcome.rows) == 2 * len(speaking)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_sum_of_the_phases_is_the_whole(protocol):
    outcome = run(protocol=protocol, nodes=4, network=JITTER)
    columns = list(ROW_COLUMNS)
    for row in outcome.rows:
        cells = dict(zip(columns, row, strict=True))
        phases = ("prepared", "gathered", "decided", "ready", "signed")
        parts = sum(cells[f"{phase}_us"] or 0 for phase in phases)
        assert parts == cells["anchored_us"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_real_crypto_gives_the_same_times_rounds_and_bytes(protocol):
    model, real = (run(protocol=protocol, crypto=crypto, blocks=1).summary for crypto in ("model", "real"))
    assert real["stalled"] == real["violations"] == []
    differing = {key for key in results_of(model) if model[key] != real[key]}
    assert differing <= {"crypto", "digest", "transcript"}


def results_of(summary):
    return summary.keys() - set(MEASURED)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_offered_load_reaches_its_anchors(protocol):
    summary = run(protocol=protocol, blocks=6, batch=50, rate=60.0, network=JITTER).summary
    requests = summary["requests"]
    assert summary["stalled"] == summary["violations"] == [] and summary["faults"] == 0
    assert requests["sent"] == requests["anchored"] + requests["waiting"]
    assert 0 < requests["anchored"] <= requests["decided"] == summary["requests_decided"]
    assert 0 < requests["decided_us"]["min"] < requests["anchored_us"]["min"]


# ------------------------------------------------------------------------------------------------------------- exactness


@pytest.mark.parametrize("n", [4, 7])
def test_wasp_decides_at_5d_and_with_f_silent_at_11d(n):
    full, down = run(nodes=n).summary, run(nodes=n, silent=(n - 1) // 3).summary
    assert latencies(full, "decided_us") == {5 * D}
    assert latencies(down, "decided_us") == {11 * D}
    assert (set(full["rounds"]), set(down["rounds"])) == ({1}, {3})
    assert full["phases_us"]["decided"] == dict.fromkeys(("min", "p50", "p95", "p99", "max"), 5 * D)


def test_blocks_follow_upon_each_other_at_once():
    outcome = run(nodes=4, blocks=3)
    rows = [dict(zip(ROW_COLUMNS, row, strict=True)) for row in outcome.rows if row[1] == "n2"]
    begun = [row["began_us"] for row in rows]
    whole = rows[0]["anchored_us"]
    assert begun == [0, whole, 2 * whole]
    assert outcome.summary["simulated_us"] >= 3 * whole


def test_with_a_cpu_everything_takes_longer_and_nothing_else_changes():
    off = run(nodes=4).summary
    on = run(nodes=4, hardware=hardware_section("raspberry-pi-4")).summary
    for key in ("decided_us", "anchored_us"):
        assert min(latencies(on, key)) > max(latencies(off, key))
    assert on["blocks_anchored"] == 2 and on["requests_decided"] == off["requests_decided"]


def test_a_disk_alone_adds_its_syncs_to_the_anchor():
    off, on = run(nodes=4).summary, run(nodes=4, hardware=hardware_section("off", disk=True)).summary
    assert min(latencies(on, "anchored_us")) > max(latencies(off, "anchored_us"))


def test_one_far_node_is_late_and_holds_up_nobody():
    regions = ("London", "Ireland", "Frankfurt", "London", "Ireland", "Frankfurt", "Sydney")
    summary = run(nodes=7, blocks=4, network=NetworkSection(model="matrix", placement=regions, jitter="0s")).summary
    assert summary["stalled"] == summary["violations"] == []
    assert summary["decided_us"][0]["n6"] > 131_000  # one delay from London to Sydney
    for block in summary["anchored_us"]:
        assert max(span for node, span in block.items() if node != "n6") < 2 * 131_000


# ------------------------------------------------------------------------------------------------------------------ load


def test_below_saturation_latency_stays_and_above_it_grows():
    calm = run(blocks=30, batch=10, rate=30.0).summary["requests"]
    flooded = run(blocks=30, batch=10, rate=400.0).summary["requests"]
    assert calm["waiting"] < 20 and flooded["waiting"] > 500
    first, _, last = calm["anchored_p50_by_third_us"]
    assert last < 2 * first
    first, middle, last = flooded["anchored_p50_by_third_us"]
    assert first * 2 < middle and middle < last
    assert flooded["decided_us"]["max"] > 4 * calm["decided_us"]["max"]


def test_requests_are_offered_at_the_rate_whatever_the_committee_does():
    slow, fast = (
        run(blocks=20, batch=10, rate=200.0, network=network_section(delay)).summary for delay in ("50ms", "5ms")
    )
    for summary in (slow, fast):
        expected = 200 * summary["simulated_us"] / 1e6
        assert 0.7 * expected < summary["requests"]["sent"] < 1.3 * expected


def test_requests_go_to_all_who_speak_in_turn(monkeypatch):
    given = []
    real = request_sources.OfferedLoad._give

    def noting(self, member, request):
        given.append(member)
        real(self, member, request)

    monkeypatch.setattr(request_sources.OfferedLoad, "_give", noting)
    run(nodes=4, silent=1, rate=100.0)
    assert len(given) > 6
    assert given == [f"n{place % 3}" for place in range(len(given))]


def test_a_queue_beyond_its_limit_refuses(monkeypatch):
    monkeypatch.setattr(request_sources, "WAITING_MAX", 40)
    requests = run(blocks=10, batch=5, rate=500.0).summary["requests"]
    assert requests["refused"] > 100 and requests["waiting"] <= 40


def test_the_sharing_of_requests_is_counted_apart():
    summary = run(blocks=4, rate=40.0).summary
    shared = summary["messages_by_kind"]["SharedRequest"]["messages"]
    assert shared == 3 * summary["requests"]["sent"]
    total = sum(kind["messages"] for kind in summary["messages_by_kind"].values())
    assert summary["messages_per_block"] * 4 == total - shared == sum(summary["messages_by_leaf"].values())


def test_larger_requests_cost_bytes_only_where_they_are_shared():
    small, large = (run(blocks=3, rate=40.0, payload=payload).summary for payload in (10, 1_010))
    sizes = [summary["messages_by_kind"]["SharedRequest"]["bytes"] for summary in (small, large)]
    assert sizes[1] - sizes[0] >= 1_000 * small["messages_by_kind"]["SharedRequest"]["messages"]


# ----------------------------------------------------------------------------------------------------- what must not hold


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_with_more_than_f_silent_nothing_is_decided_and_it_is_told_why(protocol):
    outcome = run(protocol=protocol, nodes=4, silent=2)
    assert outcome.summary["decided_us"] == [{}, {}]
    assert outcome.summary["messages_per_block"] is None
    assert outcome.failures[:2] == [
        "0 of 2 blocks were decided; nobody got any further",
        "2 of 4 nodes are silent, at most 1 may be",
    ]
    assert outcome.failures[2].startswith("n0 waits, and 1 other: log_index: 1, phase: ")
    assert outcome.text() and json.loads(outcome.json())["blocks_anchored"] == 0


def test_a_member_that_signs_something_else_is_found(monkeypatch):
    real = committee_member.CommitteeMember._handle_execution_needed

    def astray(self, step, instance, need, now):
        if self.me == "n1":
            need = type(need)(need.log_index, need.batch, need.requests, bytes(32))
        real(self, step, instance, need, now)

    monkeypatch.setattr(committee_member.CommitteeMember, "_handle_execution_needed", astray)
    outcome = run(nodes=4)
    assert outcome.failures and outcome.summary["faults"] > 0


def test_disagreement_is_found(monkeypatch):
    real = committee_member._decided
    calls = []

    def decided_otherwise(instance, batch):
        calls.append(instance)
        return real(instance, msgspec.structs.replace(batch, timestamp_proposed=len(calls) // 4))

    monkeypatch.setattr(committee_member, "_decided", decided_otherwise)
    (failure,) = run(nodes=4, blocks=1).failures
    assert re.fullmatch(r"block 1: n\d decided another batch than n\d", failure)


def test_another_anchor_is_found():
    recorder = CommitteeRecorder(("n0", "n1"), 1)
    for node in ("n0", "n1"):
        recorder.observe(5, node, [BlockEnded(1, 0, 0, node.encode(), 1)], ())
    assert recorder.violations == ["block 1: n1 signed another anchor than n0"]
    assert recorder.complete


def test_who_gives_up_too_early_is_not_told_that_too_many_are_silent(monkeypatch):
    monkeypatch.setattr(committee_run, "PATIENCE", 0)
    outcome = run(nodes=4, silent=1)
    assert [failure.split(":")[0] for failure in outcome.failures] == [
        "0 of 2 blocks were decided; nobody got any further",
        "n0 waits, and 2 others",
    ]


@pytest.mark.parametrize(
    ("network", "hardware", "told"),
    [
        ({}, {}, "CPU off, model crypto"),
        ({}, {"disk": True}, "CPU off, disk laptop, model crypto"),
        ({}, {"disk": False}, "CPU off, model crypto"),
        ({}, {"cpu": "cloud-core"}, "CPU cloud-core, model crypto"),
        ({}, {"cpu": "cloud-core", "disk": True}, "CPU cloud-core, model crypto"),
        ({}, {"cpu": "cloud-core", "disk": False}, "CPU cloud-core, no disk, model crypto"),
        ({"bandwidth": "100M"}, {}, "CPU off, 100,000,000 bits/s, model crypto"),
        ({"bandwidth": "unlimited"}, {"cpu": "laptop"}, "CPU laptop, unlimited bandwidth, model crypto"),
        ({"frames": False}, {}, "CPU off, no frames, model crypto"),
    ],
)
def test_the_head_of_the_text_tells_each_switch_that_is_not_as_usual(network, hardware, told):
    text = run(nodes=4, blocks=1, network=network_section(**network), hardware=hardware_section(**hardware)).text()
    title, conditions, empty, *_ = text.splitlines()
    assert (title.split(":")[0], empty) == ("wasp, 4 nodes, seed 1", "")
    assert conditions == f"  delay 25ms, {told}, batches of 3 requests of 50 B, full"


def test_the_head_of_the_text_is_broken_between_words_and_counts_one_node_as_one():
    outcome = run(nodes=1, blocks=1, timers="off", network=network_section(frames=False, matrix="aws-regions"),
                  hardware=hardware_section("raspberry-pi-4", disk=False))  # fmt: skip
    title, first, second, empty, *_ = outcome.text().splitlines()
    assert (title.split(",")[1], empty) == (" 1 node", "")
    usual = "  delays of aws-regions, CPU raspberry-pi-4, no disk, no frames, timers off, model crypto, batches"
    assert (first, second) == (usual, "  of 3 requests of 50 B, full")


# ---------------------------------------------------------------------------------------------------------------- timers


def test_a_silent_leader_of_pbft_is_replaced_when_its_time_is_over_and_the_summary_says_so():
    outcome = run(protocol="pbft", nodes=4, silent=1, blocks=3, timers="1s")  # n3 leads block 3
    rows = [dict(zip(ROW_COLUMNS, row, strict=True)) for row in outcome.rows]
    decided = {row["anchored_us"] - row["ready_us"] - row["signed_us"] for row in rows if row["block"] == 3}
    assert decided == {1_000_000 + 4 * D}
    assert (outcome.summary["rounds"], outcome.summary["views_changed"]) == ([1, 1, 2], 1)
    assert outcome.summary["signers_changed"] == 0
    assert "views changed by a timer in 1 of 3 blocks" in outcome.text().splitlines()


def test_without_timers_nobody_replaces_a_silent_leader_and_the_run_says_why():
    outcome = run(protocol="pbft", nodes=4, silent=1, blocks=3, timers="off")
    assert [len(block) for block in outcome.summary["decided_us"]] == [3, 3, 0]
    told, why, status = outcome.failures
    assert told == "2 of 3 blocks were decided; nobody got any further"
    assert why == "timers are off: who waits for a silent leader, or a silent signer, waits for ever"
    assert status.startswith("n0 waits, and 2 others: log_index: 3, phase: agreement, proposed: True, protocol: ")
    assert "'view': 0, 'leader': 'n3'" in status and "'timers': {}" in status
    assert "CPU off, timers off, model crypto" in outcome.text()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_without_timers_latency_is_that_of_messages_alone(protocol):
    """Even where the usual timers would be over before the first message has come."""
    near, far = (
        run(protocol=protocol, timers="off", network=network_section(delay)).summary for delay in ("25ms", "10s")
    )
    assert far["stalled"] == far["violations"] == [] and far["views_changed"] == far["signers_changed"] == 0
    for key in ("decided_us", "anchored_us"):
        assert latencies(far, key) == {400 * span for span in latencies(near, key)}
    assert far["rounds"] == near["rounds"]


def test_timers_that_are_too_short_are_seen_in_the_summary():
    hasty = run(protocol="jolteon", timers="120ms", blocks=4)
    assert hasty.summary["stalled"] == [] and hasty.summary["views_changed"] == 4
    signing = run(protocol="hbbft", timers="10ms", blocks=4)
    assert (signing.summary["views_changed"], signing.summary["signers_changed"]) == (0, 4)
    assert "signers changed by a timer in 4 of 4 blocks" in signing.text().splitlines()
    assert "changed by a timer" not in run(protocol="jolteon").text()


# -------------------------------------------------------------------------------------------------- determinism, memory


def test_equal_options_give_equal_results_and_another_seed_others():
    options = {"nodes": 4, "network": JITTER, "rate": 50.0}
    first, again, other = run(**options), run(**options), run(**options, seed=2)
    assert results(first) == results(again) and first.rows == again.rows
    assert first.summary["digest"] == again.summary["digest"] != other.summary["digest"]
    assert first.summary.keys() == KEYS


def test_options_and_results_travel_between_processes():
    options = CommitteeOptions(**SHORT, network=JITTER, rate=50.0)
    outcome = run_committee(pickle.loads(pickle.dumps(options)))
    assert pickle.loads(pickle.dumps(outcome)) == outcome
    assert all(len(row) == len(ROW_COLUMNS) for row in outcome.rows)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_old_instances_are_freed_without_the_cyclic_collector(protocol, monkeypatch):
    opened = []
    real = committee_run.Consensus

    def noting(*arguments):
        instance = real(*arguments)
        opened.append(weakref.ref(instance))
        return instance

    monkeypatch.setattr(committee_run, "Consensus", noting)
    kept = []

    def watched(runtime, recorder, options):
        gc.disable()
        real_run(runtime, recorder, options)
        kept.extend(reference() for reference in opened if reference() is not None)
        gc.enable()

    real_run = committee_run._run
    monkeypatch.setattr(committee_run, "_run", watched)
    run(protocol=protocol, nodes=4, blocks=8)
    assert len(opened) == 32
    assert len(kept) <= 8  # the last block's, and one more of those who have not heard everybody yet


def test_every_instance_draws_from_a_stream_of_its_own(monkeypatch):
    draws = []
    real = committee_run.Consensus

    def noting(*arguments):
        draws.extend(argument.random() for argument in arguments if isinstance(argument, Stream))
        return real(*arguments)

    monkeypatch.setattr(committee_run, "Consensus", noting)
    run(nodes=4)
    assert len(draws) == len(set(draws)) == 8


# --------------------------------------------------------------------------------------------------------------- options


def refused(fields=None, network=None, hardware=None, folder="."):
    from pathlib import Path

    with pytest.raises(ConfigurationError) as caught:
        read_options(fields or {}, network or {}, hardware or {}, Path(folder))
    return list(caught.value.problems)


def test_all_problems_of_the_options_are_told_at_once():
    problems = refused(
        {"protocol": "nope", "nodes": "0", "blocks": "many", "seed": None}, {"matrix": "mars"}, {"cpu": "abacus"}
    )
    assert [problem.split(":")[0] for problem in problems] == ["--protocol", "--nodes", "--blocks", "--cpu", "--matrix"]
    assert problems[1:3] == [
        "--nodes: expected at least 1, not '0'",
        "--blocks: expected a whole number, not 'many'",
    ]


@pytest.mark.parametrize(
    ("fields", "network", "problem"),
    [
        ({"silent": "4"}, {}, "--silent: expected fewer than the 4 nodes, not 4"),
        ({"rate": "5", "batch": "0"}, {}, "--batch: expected at least 1 with a rate, not 0"),
        ({"rate": "0"}, {}, "--rate: expected more than 0, not '0'"),
        ({"crypto": "none"}, {}, "--crypto: expected 'model' or 'real', not 'none'"),
        ({"timers": "on"}, {}, '--timers: expected "off", or a duration such as "90s", "1h30m" or "25ms", not \'on\''),
        ({"timers": "0s"}, {}, '--timers: expected "off", or a duration above zero, not \'0s\''),
        ({"batch": "1001"}, {}, "--batch: expected at most 1000, not '1001'"),
        ({}, {"matrix": "aws-regions", "jitter": "1ms"}, "--matrix has delays of its own"),
        ({}, {"matrix": "aws-regions", "placement": "London,Mars"}, "--placement: "),
        ({}, {"delay": "5ms", "jitter": "10ms"}, "--jitter: "),
        ({}, {"delay": "fast"}, "--delay: expected a duration"),
    ],
)  # fmt: skip
def test_an_unusable_option_is_named(fields, network, problem):
    (told,) = refused(fields, network)
    assert told.startswith(problem)
