"""Rates of the state and of the virtual machine: mutations, reads, proofs, requests."""

from __future__ import annotations

from collections.abc import Callable

from ledger.kernel.encoding import ZERO_DIGEST, digest, pack
from ledger.kernel.rng import stream
from ledger.output import OutputId
from tests.benchmarks.rate import Benchmark
from tests.harness.probe import Probe
from tests.harness.solo import Solo
from wasp.state import EMPTY_STATE, State, StateKey, verify_proof
from wasp.vm.execution import execute

ENTRIES = 10_000
"""Entries of a chain's state in the evening of a day of trading."""
MUTATIONS = 50
"""Mutations of a usual chain block."""


def a_state() -> tuple[State, list[StateKey]]:
    keys: list[StateKey] = [("auction", "order", n // 5, f"home{n}") for n in range(ENTRIES)]
    state, _ = EMPTY_STATE.write({key: ((n, "bid", 18_900), pack((n, "bid", 18_900))) for n, key in enumerate(keys)})
    assert state.root
    return state, keys


def blocks_of_mutations() -> Callable[[], int]:
    """Writes blocks of mutations one upon the other, with the root of each."""
    start, keys = a_state()
    rng = stream(1, "mutations")
    blocks = [{rng.choice(keys): ((b, n), pack((b, n))) for n in range(MUTATIONS)} for b in range(100)]

    def work() -> int:
        state = start
        for block in blocks:
            state, _ = state.write(block)
            assert state.root
        return len(blocks) * MUTATIONS

    return work


def reads() -> Callable[[], int]:
    """Reads entries whose paths are known."""
    state, keys = a_state()

    def work() -> int:
        return sum(state.value_at(key) is not None for key in keys)

    return work


def proofs() -> Callable[[], int]:
    """Makes and verifies proofs."""
    state, keys = a_state()

    def work() -> int:
        for contract, *key in keys[:2_000]:
            name, rest = str(contract), tuple(key)
            assert verify_proof(state.root, name, rest, state.read(name, *rest), state.prove(name, *rest))
        return 2_000

    return work


def requests() -> Callable[[], int]:
    """Executes blocks of 100 requests that each write one entry."""
    users = tuple(f"home{n}" for n in range(10))
    solo = Solo({"mg1": {"probe": Probe()}}, users, {"mg1": dict.fromkeys(users, 100)})
    chain, base = solo.chains["mg1"], OutputId(ZERO_DIGEST, 0)
    batch = [solo.sign("mg1", user, "probe", "write", user, n, nonce=n) for user in users for n in range(10)]

    def work() -> int:
        execution = execute(chain.program, chain.state, chain.block, base, 1, 10, batch, digest("entropy"))
        assert execution is not None
        assert len(execution.receipts) == len(batch)
        return len(batch)

    return work


BENCHMARKS = (
    Benchmark(f"mutations, {MUTATIONS} a block, {ENTRIES:,} entries", "mutations", blocks_of_mutations),
    Benchmark("reads", "reads", reads),
    Benchmark("proofs made and verified", "proofs", proofs),
    Benchmark("requests, 100 a block", "requests", requests),
)
