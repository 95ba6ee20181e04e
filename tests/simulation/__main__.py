"""Play many seeds, and print what each kind of source came to.

python -m tests.simulation [--seeds 25] [--first 0] [--source merge] [--runs 6] [--workers 2]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.schedules import hush, play
from tests.simulation.sources import SOURCES


def main() -> int:
    """Play, print, and say whether all was well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=25)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--source", choices=SOURCES, action="append")
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    chosen = given.source or SOURCES
    seeds = range(given.first, given.first + given.seeds)
    cases = [(source, seed, given.runs) for seed in seeds for source in chosen]
    began = time.perf_counter()
    results = []
    with tempfile.TemporaryDirectory() as home:
        # Of the processes that play, and of those that they have killed.
        os.environ |= {
            "DLT_DATA_DIR": home,
            "DLT_PROJECT_DIR": home,
            "RUNTIME__DLTHUB_TELEMETRY": "false",
            "RUNTIME__LOG_LEVEL": "CRITICAL",
        }
        with ProcessPoolExecutor(given.workers, multiprocessing.get_context("spawn"), hush) as pool:
            for result in pool.map(play, *zip(*cases, strict=True)):
                results.append(result)
                if not result.good or len(cases) == 1:
                    say(f"{result}\n")
    heads = f"{'seeds':>7}{'runs':>7}{'requests':>10}{'lost':>7}{'doubled':>9}{'failed':>8}"
    say(f"{'source':10}{heads}  seconds")
    for source in chosen:
        its = [result for result in results if result.source == source]
        runs, requests = (sum(getattr(each, name) for each in its) for name in ("runs", "requests"))
        lost, doubled = (
            sum(len(getattr(each, name)) for each in its) for name in ("lost", "doubled")
        )
        failed = sum(bool(each.broken) for each in its)
        line = f"{source:10}{len(its):7}{runs:7}{requests:10}{lost:7}{doubled:9}{failed:8}"
        say(f"{line}{sum(each.seconds for each in its):9.1f}")
    say(f"{time.perf_counter() - began:.0f} seconds")
    return int(not all(result.good for result in results))


def say(line: str) -> None:
    """Print, and at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
