"""The recipe beside dlt's own `rest_api` source: extract and normalize, same server, same pages.

    python bench/pipeline.py [--records 20000] [--repeats 3]

Both read the demo's API over loopback, served by a process of its own without its rate limit, and
stop before the load into DuckDB, which is the same for both. dlt writes Parquet, and what it
writes for DuckDB by default (insert statements).
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dlt
from dlt.sources.rest_api import rest_api_source

from blocks.demo.run import recipe
from blocks.demo.server import Server, Settings, serving


def ours(server: Server) -> Any:
    return recipe()(repo=server.repository, base_url=server.url, token=server.token)


def rest_api(server: Server) -> Any:
    endpoint: Any = {
        "path": f"repos/{server.repository}/issues",
        "params": {
            "state": "all",
            "per_page": 100,
            "sort": "updated",
            "direction": "asc",
            "since": "{incremental.start_value}",
        },
        "incremental": {"cursor_path": "updated_at", "initial_value": "2024-01-01T00:00:00Z"},
    }
    return rest_api_source(
        {
            "client": {
                "base_url": server.url,
                "auth": {"type": "bearer", "token": server.token},
                "paginator": "header_link",
            },
            "resources": [
                {
                    "name": "issues",
                    "primary_key": "id",
                    "write_disposition": "merge",
                    "endpoint": endpoint,
                }
            ],
        },
        name="github",
    )


def measure(source: Callable[[Server], Any], server: Server, file_format: str) -> list[float]:
    """Seconds and CPU seconds of extract and of normalize, into an empty pipeline."""
    with tempfile.TemporaryDirectory() as folder:
        pipeline = dlt.pipeline(
            "bench",
            pipelines_dir=str(Path(folder) / "pipelines"),
            destination=dlt.destinations.duckdb(str(Path(folder) / "bench.duckdb")),
        )
        loaded = source(server)
        clock = [(time.perf_counter(), time.process_time())]
        pipeline.extract(loaded, loader_file_format=file_format)  # type: ignore[arg-type]
        clock.append((time.perf_counter(), time.process_time()))
        pipeline.normalize()
        clock.append((time.perf_counter(), time.process_time()))
        trace: Any = pipeline.last_trace
        rows = trace.last_normalize_info.row_counts["issues"]
        assert rows == server.counts()["issues"], rows
    (a, cpu_a), (b, _), (c, cpu_c) = clock
    return [b - a, c - b, c - a, cpu_c - cpu_a]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    contenders = {
        "blocks": (ours, "parquet"),
        "dlt rest_api, Parquet": (rest_api, "parquet"),
        "dlt rest_api, its default": (rest_api, "insert_values"),
    }
    names = ("dlt", "httpx", "aiohttp", "msgspec", "orjson", "pyarrow")
    packages = ", ".join(f"{name} {version(name)}" for name in names)
    print(f"Python {platform.python_version()}, {packages}")
    settings = Settings(records=arguments.records, rate=1e6, burst=10**9)
    with serving(settings) as server:
        results: dict[str, list[list[float]]] = {name: [] for name in contenders}
        for repeat in range(arguments.repeats):
            for name, (source, file_format) in contenders.items():
                results[name].append(measure(source, server, file_format))
                print(f"  {repeat + 1}. {name}: {results[name][-1][2]:.2f} s", flush=True)
        counts = server.counts()
    megabytes = counts["json_bytes"] / 1e6 / arguments.repeats / len(contenders)
    print(
        f"\n{arguments.records:,} records, {megabytes:.0f} MB of JSON,"
        f" median of {arguments.repeats}\n"
    )
    medians = {
        name: [statistics.median(column) for column in zip(*runs, strict=True)]
        for name, runs in results.items()
    }
    best = medians["blocks"]
    print(f"{'':28}{'extract':>9}{'normalize':>11}{'both':>8}{'MB/s':>8}{'times':>8}{'CPU s':>8}")
    for name, (extract, normalize, both, cpu) in medians.items():
        print(
            f"{name:28}{extract:9.2f}{normalize:11.2f}{both:8.2f}{megabytes / both:8.1f}"
            f"{both / best[2]:8.1f}{cpu:8.2f}"
        )


if __name__ == "__main__":
    main()
