"""Rates per CPU second: ``python -m tests.benchmarks [AREA ...] [--json]``.

CPU time and not wall-clock time, and the best of a few rounds: what else runs on the machine disturbs it little.
A new area is one module, named in ``AREAS``. The area ``runtime`` has long runs, and their memory: it takes minutes.
"""

import argparse
import json
import platform
from collections.abc import Callable, Iterator
from functools import partial

from tests.benchmarks import consensus, execution, kernel, peering, runtime
from tests.benchmarks.rate import Result, results_of

AREAS: dict[str, Callable[[], Iterator[Result]]] = {
    "kernel": partial(results_of, kernel.BENCHMARKS),
    "consensus": partial(results_of, consensus.BENCHMARKS),
    "execution": partial(results_of, execution.BENCHMARKS),
    "peering": peering.results,
    "runtime": runtime.results,
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
        for result in AREAS[area]():
            rate = rates[area][result.name] = round(result.value)
            if result.peak_megabytes is not None:
                rates[area][f"{result.name}, peak MB"] = result.peak_megabytes
            if not arguments.json:
                peak = "" if result.peak_megabytes is None else f", {result.peak_megabytes} MB"
                print(f"{area:<10} {result.name:<44} {rate:>12,} {result.unit}{peak}", flush=True)
    if arguments.json:
        print(json.dumps(rates, indent=2))


if __name__ == "__main__":
    main()
