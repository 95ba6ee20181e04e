"""A backfill of 1,000 small windows into DuckDB, killed on the way and started again.

    python bench/backfill.py [windows, default 1000]

A window has ten rows with two nested ones each. The process that loads them is killed with SIGKILL
at random times and started again until it ends well; then rows are counted. Seconds include the
starts, of which each imports dlt anew.
"""

from __future__ import annotations

import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import dlt
import duckdb

from blocks.backfill import Progress, backfill
from blocks.dlt import load
from blocks.intervals import Interval
from blocks.kinds import Integers

ROWS = 10
KILLS = {10: 0, 20: 5, 50: 5}  # by windows per load
TIMEOUT = 600.0


@dlt.source(name="history")
def history(window: Interval) -> Any:
    """The rows of a window."""

    @dlt.resource(name="items", write_disposition="append", file_format="parquet")
    def items() -> Iterator[Any]:
        numbers = range(int(window.since), int(window.until))
        yield from load(
            [[{"id": each, "parts": [{"size": each}, {"size": 0}]} for each in numbers]]
        )

    return items


def child(folder: Path, windows: int, per_load: int) -> None:
    """Load what is left, and tell of each load."""
    pipeline = dlt.pipeline(
        "history",
        pipelines_dir=str(folder / "pipelines"),
        destination=dlt.destinations.duckdb(str(folder / "warehouse.duckdb")),
        dataset_name="data",
    )
    ranges = [Interval(low, low + ROWS, Integers()) for low in range(0, windows * ROWS, ROWS)]

    def told(progress: Progress) -> None:
        print(progress.done, flush=True)

    backfill(pipeline, history, ranges, name="history", per_load=per_load, report=told)


def run(folder: Path, windows: int, per_load: int, kills: int) -> tuple[float, int]:
    """Seconds until all was loaded, and how many kills there were."""
    chance = random.Random(per_load)
    began, killed = time.perf_counter(), 0
    while time.perf_counter() - began < TIMEOUT:
        arguments = [str(folder), str(windows), str(per_load)]
        command = [sys.executable, "-W", "ignore", __file__, "child", *arguments]
        environment = {**os.environ, "RUNTIME__DLTHUB_TELEMETRY": "false"}
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
            if killed < kills:
                assert process.stdout is not None
                # After some loads, at any time of the next.
                for _ in range(chance.randint(1, max(1, windows // per_load // (kills + 1)))):
                    process.stdout.readline()
                time.sleep(chance.uniform(0, 0.6))
                process.send_signal(signal.SIGKILL)
                killed += 1
            process.communicate()
        if process.returncode == 0:
            return time.perf_counter() - began, killed
    raise TimeoutError(f"not done within {TIMEOUT:.0f} s")


def main() -> None:
    """Print one line for each number of windows per load."""
    windows = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("dlt", "duckdb"))
    print(f"Python {platform.python_version()}, {versions}; {windows:,} windows of {ROWS} rows\n")
    print("windows per load  loads  kills  seconds  windows/s  rows lost  rows doubled")
    for per_load, kills in KILLS.items():
        with tempfile.TemporaryDirectory() as name:
            seconds, killed = run(Path(name), windows, per_load, kills)
            with duckdb.connect(str(Path(name) / "warehouse.duckdb")) as connection:
                [counts] = connection.execute(
                    "SELECT (SELECT count(*) FROM data._dlt_loads), count(*), count(DISTINCT id),"
                    " (SELECT count(*) FROM data.items__parts) FROM data.items"
                ).fetchall()
        loads, rows, different, nested = counts
        lost = windows * ROWS - different
        doubled = rows - different + abs(nested - 2 * rows)
        print(
            f"{per_load:16} {loads:6} {killed:6} {seconds:8.1f} {windows / seconds:10.1f}"
            f" {lost:10} {doubled:13}"
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    else:
        main()
