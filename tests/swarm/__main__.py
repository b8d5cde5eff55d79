"""Many random scenarios: ``python -m tests.swarm --seeds 0-499 [--jobs 1] [--keep DIR]``.

One line per seed that failed, with the command that shows it again; exit code 1 if there is one. ``--keep`` leaves each
scenario's file and data in a folder of its own, so that they can be run with the project's command, and cut down.
"""

import argparse
import sys
import tempfile
import traceback
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from time import process_time

from tests.swarm.scenarios import draw
from tests.swarm.verdict import judge


def main() -> None:
    """Run the seeds that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.swarm", description=__doc__)
    parser.add_argument("--seeds", default="0-99", metavar="A-B", help="one seed, or a first and a last one")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where the scenarios are left")
    arguments = parser.parse_args()
    first, _, last = arguments.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    if arguments.jobs == 1:
        results = map(run_seed, seeds, [arguments.keep] * len(seeds))
        failed = sum(map(tell, results))
    else:
        with ProcessPoolExecutor(arguments.jobs) as pool:
            failed = sum(map(tell, pool.map(run_seed, seeds, [arguments.keep] * len(seeds))))
    print(f"{len(seeds)} scenarios, {failed} failed")
    sys.exit(1 if failed else 0)


def run_seed(seed: int, keep: Path | None) -> tuple[int, str, list[str]]:
    """The seed, a line about its run, and what was wrong with it."""
    began = process_time()
    life = draw(seed)
    with tempfile.TemporaryDirectory() as folder:
        try:
            verdict = judge(life, keep / str(seed) if keep else Path(folder))
        except Exception:
            return seed, f"{life.story}, raised", [traceback.format_exc(limit=-8)]
    told = f"{life.story}, drained after {verdict.settled_after_us / 6e7:.0f} min" if verdict.drained else life.story
    missed, unsettled = verdict.summary["missed_gates"], len(verdict.summary["unsettled"])
    undone = sum(chain["undone"] for chain in verdict.summary["chains"].values())
    told += f", {verdict.events} events, undone {undone}, missed {missed['home']}/{missed['chain']}, "
    told += f"returned {verdict.summary['returned']}, debts {len(verdict.summary['debts'])}, unsettled {unsettled}"
    return seed, f"{told}, {process_time() - began:.1f} s", list(verdict.problems)


def tell(result: tuple[int, str, list[str]]) -> bool:
    """Print what came of a seed; whether it failed."""
    seed, told, problems = result
    print(f"{seed}: {told}{' FAILED' if problems else ''}", flush=True)
    for problem in problems[:10]:
        print(f"  {problem[:3000]}", flush=True)
    if problems:
        print(f"  to see it again: .venv/bin/python -m tests.swarm --seeds {seed}", flush=True)
    return bool(problems)


if __name__ == "__main__":
    main()
