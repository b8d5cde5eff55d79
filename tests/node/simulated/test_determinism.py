from __future__ import annotations

import os
import subprocess
import sys

from ledger.kernel.automaton import NodeId
from node.simulated.clock import SkewedClock
from node.simulated.delay_tables import delay_table
from node.simulated.disk import DiskParameters
from node.simulated.faults import Crash, Heal, LinkChange, Partition, Pause, Restart
from node.simulated.network import NetworkParameters
from tests.harness.simulation import simulate, toy_profile
from tests.harness.toys import Log, Say, ToyPing, names

NODES = names(5)


def eventful_run(seed: int) -> tuple[str, Log]:
    """Everything that draws, waits or fails, in one run."""
    delay = delay_table("aws-regions").place(NODES, jitter=50_000)
    runtime, log = simulate(
        len(NODES),
        network=NetworkParameters(delay, loss=0.1, duplication=0.1, bandwidth=1_000_000),
        seed=seed,
        hardware=toy_profile(frame=30_000_000, encode=1_000_000),
        disk=DiskParameters(3_000, 100_000),
        skews={NODES[1]: SkewedClock(5_000, 50)},
        faults=(
            Pause(100_000, NODES[1], 250_000),
            Crash(300_000, NODES[0], "torn"),
            Partition(400_000, (NODES[:2], NODES[2:])),
            Restart(600_000, NODES[0]),
            LinkChange(700_000, loss=0.3, duplication=0.3),
            Heal(900_000),
        ),
    )
    for number in range(100):
        node = NODES[number * number % 5]
        runtime.inject(NodeId(node), Say(NODES, ToyPing(number), record=number % 4 == 0), at=12_345 * number)
    runtime.run_until(10_000_000)
    return runtime.transcript.hex(), log


def test_one_seed_is_one_run_and_another_seed_another():
    transcript, log = eventful_run(1)
    again, log_again = eventful_run(1)
    other, _ = eventful_run(2)
    assert (again, log_again.entries) == (transcript, log.entries)
    assert other != transcript


def test_a_run_is_the_same_in_another_process_under_another_hash_seed():
    program = "from tests.node.simulated.test_determinism import eventful_run; print(eventful_run(1)[0])"
    for hash_seed in ("1", "4242"):
        result = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert result.stdout.strip() == eventful_run(1)[0]


def test_reading_the_transcript_does_not_change_it():
    def final(reads: int) -> bytes:
        runtime, _ = simulate(2)
        for instant in range(0, 100_000, 10_000):
            runtime.inject(NODES[0], Say(NODES[:2], ToyPing(instant)), at=instant)
        seen = set()
        for read in range(reads):
            runtime.run_until(25_000 * read)
            seen.add(runtime.transcript)
        assert len(seen) == reads
        runtime.run_until(10**6)
        return runtime.transcript

    assert final(reads=0) == final(reads=4)
