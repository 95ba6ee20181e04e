"""What each knob of a source does to one load: page size, requests at once, rows a yield, workers.

    python bench/tuning.py [milliseconds a page, default 50]

A server in a process of its own lists 20,000 records of some 500 bytes, with nested rows, each page
after 50 ms, as an API far away does; the source loads them into a new DuckDB file. Each line turns
knobs away from the first line's and is run three times, each in a process of its own; medians.
`rss` is the process's peak memory.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from statistics import median
from typing import Any

import dlt
import httpx

from bench.loopback import response, serve, serving
from blocks.client import client
from blocks.dlt import load
from blocks.fetch import gather, pages
from blocks.network import prefetch
from blocks.paginators import PageNumber
from blocks.stops import TotalPages, Until

RECORDS = 20_000
REPEATS = 3
KNOBS: list[dict[str, int]] = [
    {},
    {"page": 1000},
    {"at_once": 4},
    {"at_once": 16},
    {"page": 1000, "at_once": 4},
    {"page": 1000, "at_once": 4, "rows": 200},
    {"page": 1000, "at_once": 4, "rows": 20_000},
    {"page": 1000, "at_once": 4, "normalize": 4},
    {"page": 1000, "at_once": 4, "load": 1},
]
HEADER = "page  at once    rows  workers  requests  extract  normalize   load    all  CPU s  rss MB"
DEFAULTS = {"page": 100, "at_once": 1, "rows": 5000, "normalize": 1, "load": 20}


def record(number: int) -> dict[str, Any]:
    """A record with a few columns of each kind, and two nested rows."""
    lines = [{"sku": f"sku-{number}-{each}", "count": each, "price": "9.90"} for each in (1, 2)]
    place = {"street": f"{number} Example Street", "city": "Springfield", "zip": f"{number:05}"}
    return {
        "id": number,
        "updated": f"2024-05-01T00:{number // 60 % 60:02}:{number % 60:02}Z",
        "state": "open",
        "total": number * 1.25,
        "note": f"what the customer of order {number} has to say about it, at some length " * 2,
        "customer": {"id": number % 977, "name": f"Customer {number % 977}", "address": place},
        "lines": lines,
    }


@cache
def page(target: bytes) -> bytes:
    """The answer to a request for `target`."""
    query = httpx.URL(target.decode()).params
    number, size = int(query.get("page", 1)), int(query["size"])
    rows = [record(each) for each in range((number - 1) * size, number * size)]
    return response(json.dumps({"data": rows, "pages": RECORDS // size}).encode())


@dlt.resource(primary_key="id", write_disposition="merge")
def orders(url: str, page: int, at_once: int, rows: int) -> Iterator[Any]:
    """All records."""
    api = client(url)
    first = api.build_request("GET", "/orders", params={"size": page})
    paginator = Until(PageNumber(records="data"), TotalPages("pages"))
    # `pages` and not `gather` with one at once: what most sources begin with.
    found = (
        pages(api, first, paginator)
        if at_once == 1
        else gather(api, first, paginator, at_once=at_once)
    )
    yield from load(prefetch(found, ahead=max(8, at_once)), path="data", rows=rows)


def child(url: str, knobs: dict[str, int]) -> None:
    """Load once; print seconds of each step, CPU seconds and peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        pipeline = dlt.pipeline(
            "tuning",
            pipelines_dir=folder,
            destination=dlt.destinations.duckdb(f"{folder}/warehouse.duckdb"),
            dataset_name="data",
        )
        source = orders(url, knobs["page"], knobs["at_once"], knobs["rows"])
        found: dict[str, float] = {}
        cpu = time.process_time()
        for name, step in (
            ("extract", lambda: pipeline.extract(source)),
            ("normalize", lambda: pipeline.normalize(workers=knobs["normalize"])),
            ("load", lambda: pipeline.load(workers=knobs["load"])),
        ):
            began = time.perf_counter()
            step()
            found[name] = time.perf_counter() - began
        found["cpu"] = time.process_time() - cpu
        with pipeline.sql_client() as database:
            assert database.execute_sql("SELECT count(*) FROM orders") == [(RECORDS,)]
    found["rss"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(found))


def measured(url: str, knobs: dict[str, int]) -> dict[str, float]:
    """Medians of some runs."""
    command = [sys.executable, "-W", "ignore", __file__, "child", url, json.dumps(knobs)]
    environment = {**os.environ, "RUNTIME__DLTHUB_TELEMETRY": "false"}
    runs = []
    for _ in range(REPEATS):
        done = subprocess.run(command, capture_output=True, env=environment, check=True)
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    return {name: median(run[name] for run in runs) for name in runs[0]}


def main(milliseconds: float) -> None:
    """Print a line for each setting."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("dlt", "duckdb"))
    size = RECORDS * len(json.dumps(record(10_000))) / 1e6
    print(f"Python {platform.python_version()}, {versions}, {os.cpu_count()} CPUs;", end=" ")
    print(f"{RECORDS:,} records, {size:.0f} MB of JSON, {milliseconds:g} ms a page;", end=" ")
    print(f"median of {REPEATS}\n")
    print(HEADER)
    with serving(__file__, milliseconds / 1e3) as url:
        for turned in KNOBS:
            knobs = DEFAULTS | turned
            found = measured(url, knobs)
            took = found["extract"] + found["normalize"] + found["load"]
            workers = f"{knobs['normalize']}, {knobs['load']}"
            print(
                f"{knobs['page']:4} {knobs['at_once']:8} {knobs['rows']:7,} {workers:>8}"
                f" {RECORDS // knobs['page']:9} {found['extract']:8.2f}"
                f" {found['normalize']:10.2f} {found['load']:6.2f} {took:6.2f}"
                f" {found['cpu']:6.2f} {found['rss']:7.0f}",
                flush=True,
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(page, float(sys.argv[2]))
    elif sys.argv[1:2] == ["child"]:
        child(sys.argv[2], json.loads(sys.argv[3]))
    else:
        main(float(sys.argv[1]) if sys.argv[1:] else 50.0)
