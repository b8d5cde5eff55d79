"""Rates per CPU second: ``python -m tests.benchmarks [AREA ...] [--json]``.

CPU time and not wall-clock time, and the best of a few rounds: what else runs on the machine disturbs it little.
A new area is one module with a tuple ``BENCHMARKS``, named in ``AREAS``.
"""

import argparse
import json
import platform
from collections.abc import Sequence

from tests.benchmarks import consensus, execution, kernel, runtime
from tests.benchmarks.rate import Benchmark, rate_of

AREAS: dict[str, Sequence[Benchmark]] = {
    "kernel": kernel.BENCHMARKS,
    "consensus": consensus.BENCHMARKS,
    "execution": execution.BENCHMARKS,
    "runtime": runtime.BENCHMARKS,
}


def main() -> None:
    """Measure the areas that are asked for, all by default."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("areas", nargs="*", metavar="AREA", help=f"one of: {', '.join(AREAS)}")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    arguments = parser.parse_args()
    if unknown := [area for area in arguments.areas if area not in AREAS]:
        parser.error(f"unknown area {unknown[0]!r}, one of {', '.join(AREAS)} expected")
    rates: dict[str, dict[str, int]] = {}
    if not arguments.json:
        print(f"per CPU second, Python {platform.python_version()}")
    for area in arguments.areas or AREAS:
        rates[area] = {}
        for benchmark in AREAS[area]:
            rate = rates[area][benchmark.name] = round(rate_of(benchmark))
            if not arguments.json:
                print(f"{area:<10} {benchmark.name:<44} {rate:>12,} {benchmark.unit}", flush=True)
    if arguments.json:
        print(json.dumps(rates, indent=2))


if __name__ == "__main__":
    main()
