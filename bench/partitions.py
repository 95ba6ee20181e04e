"""Partitions: what a cursor for each parent costs, in time and in state.

    python bench/partitions.py [the most parents with marks of their own, default 10000]

Each run asks for the cursor of every parent, takes in its rows (of Arrow tables of 5,000 rows of
all parents, as `load` hands them over) and, in the second half of the table, says that each is
complete. The state is written as JSON, as dlt does, and compressed as dlt does for the destination.
Medians of three; the second run begins with the state of the first.
"""

from __future__ import annotations

import json
import platform
import sys
import time
import zlib
from datetime import UTC, datetime, timedelta
from importlib import metadata
from itertools import pairwise
from statistics import median
from typing import Any

import pyarrow as pa

from blocks.partitions import Partitions

ROUNDS = 3
ROWS = 5000
START = "2024-01-01T00:00:00Z"
FIRST = datetime(2024, 6, 1, tzinfo=UTC)


def batches(parents: int, rows: int, run: int) -> list[pa.Table]:
    """So many rows of each parent, parent after parent, in tables of `ROWS`."""
    count = parents * rows
    keys = pa.array([f"repository-{number // rows}" for number in range(count)])
    first = FIRST + timedelta(days=run)
    times = pa.array(
        [first + timedelta(seconds=number * 7919 % 86_000) for number in range(count)],
        pa.timestamp("us", "UTC"),
    )
    table = pa.table({"repo": keys, "updated_at": times})
    return [table.slice(at, ROWS) for at in range(0, count, ROWS)]


def once(parents: int, most: int, tables: list[pa.Table], state: Any, *, done: bool) -> list[float]:
    """Seconds to ask for all cursors, to observe all rows and to complete, over `state`."""
    until = FIRST + timedelta(days=3)
    found = Partitions("updated_at", start=START, state=state, until=until, key="repo", most=most)
    names = [f"repository-{number}" for number in range(parents)]
    clock = [time.perf_counter()]
    for name in names:
        found.of(name)
    clock.append(time.perf_counter())
    for table in tables:
        found.observe(table)
    clock.append(time.perf_counter())
    for name in names if done else []:
        found.of(name).complete()
    clock.append(time.perf_counter())
    return [later - earlier for earlier, later in pairwise(clock)]


def main() -> None:
    most = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    print(f"Python {platform.python_version()}, pyarrow {metadata.version('pyarrow')}")
    print(f"most={most}, 3 rows a parent and run; microseconds a parent")
    print(f"{'parents':>8} {'run':>4} {'of':>6} {'observe':>8} {'complete':>9}", end="")
    print(f" {'own':>7} {'groups':>7} {'state kB':>9} {'zipped kB':>10}")
    for done in (False, True):
        for parents in (1_000, 10_000, 40_000):
            state: dict[str, Any] = {}
            for run in (1, 2):
                tables = batches(parents, 3, run)
                before = json.dumps(state)
                took = []
                for _ in range(ROUNDS):
                    state = json.loads(before)
                    took.append(once(parents, most, tables, state, done=done))
                costs = [median(each) / parents * 1e6 for each in zip(*took, strict=True)]
                kept = state["partitions"]["updated_at"]
                text = json.dumps(state).encode()
                print(f"{parents:>8} {run:>4} {costs[0]:>6.1f} {costs[1]:>8.1f} ", end="")
                print(f"{costs[2]:>9.1f} {len(kept['marks']):>7} {len(kept['shared']):>7} ", end="")
                print(f"{len(text) / 1e3:>9.0f} {len(zlib.compress(text)) / 1e3:>10.0f}")


if __name__ == "__main__":
    main()
