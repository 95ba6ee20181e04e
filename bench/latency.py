"""Pages that are slow to come: how near to the ideal they are read, and beside dlt's rest_api.

    python bench/latency.py [milliseconds a page, default 50]

A server in a process of its own answers each request after 50 ms with a page of 100 rows. Two APIs,
40 and 400 pages, 1, 4, 16 and 64 requests at once:

- total: one listing that says how many pages it has. The ideal is the first page, then the rest
  `at once` at a time.
- tokens: each page names the next, so one listing is read one by one; the pages are spread over
  `at once` listings. The ideal is the longest of them.

Each page is parsed into Python rows, which are counted. Clients and their connections are new for
each figure and counted in; the thread and the imports are not. Medians of three rounds, of one
where a round takes longer than three seconds. How late the server itself is, as a bare socket sees
it, is printed first.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from functools import cache
from importlib import metadata
from math import ceil
from statistics import median
from typing import Any

import anyio
import httpx
from dlt.sources.rest_api import rest_api_source

from bench.loopback import response, serve, serving
from blocks.client import client
from blocks.fetch import gather, pages
from blocks.json import loads
from blocks.network import prefetch
from blocks.paginators import NextToken, PageNumber
from blocks.stops import TotalPages, Until

PAGES = (40, 400)
AT_ONCE = (1, 4, 16, 64)
ROWS = 100


@cache
def page(target: bytes) -> bytes:
    """The answer to a request for `target`."""
    query = httpx.URL(target.decode()).params
    number, count = int(query.get("page", 1)), int(query["of"])
    rows = [{"id": number * ROWS + i, "name": f"item number {i} of a page"} for i in range(ROWS)]
    following = str(number + 1) if number < count else None
    return response(json.dumps({"data": rows, "pages": count, "next": following}).encode())


def shares(count: int, at_once: int) -> list[int]:
    """`count` pages spread over `at_once` listings, as evenly as may be."""
    number = min(count, at_once)
    return [count // number + (index < count % number) for index in range(number)]


def our_total(url: str, count: int, at_once: int) -> Iterator[int]:
    """The rows of each page of one listing, `at_once` pages at a time."""
    api = client(url)
    first = api.build_request("GET", "/items", params={"of": count})
    paginator = Until(PageNumber(records="data"), TotalPages("pages"))
    for page in prefetch(gather(api, first, paginator, at_once=at_once)):
        yield len(loads(page.content)["data"])


def our_tokens(url: str, count: int, at_once: int) -> Iterator[int]:
    """The rows of each page of `at_once` listings, each read one by one."""
    api = client(url)

    async def merged() -> AsyncIterator[httpx.Response]:
        send, receive = anyio.create_memory_object_stream[httpx.Response](at_once)

        async def listing(number: int, own: Any) -> None:
            async with own:
                first = api.build_request("GET", f"/{number}", params={"of": number})
                async for page in pages(api, first, NextToken("next", "page")):
                    await own.send(page)

        async with AsyncExitStack() as stack:
            tasks = await stack.enter_async_context(anyio.create_task_group())
            async with send:
                for number in shares(count, at_once):
                    tasks.start_soon(listing, number, send.clone())
            async with receive:
                async for page in receive:
                    yield page

    for page in prefetch(merged()):
        yield len(loads(page.content)["data"])


def dlt_total(url: str, count: int, at_once: int) -> Iterator[int]:
    """The same from dlt, which reads the pages of one listing one by one."""
    paginator = {"type": "page_number", "base_page": 1, "page_param": "page", "total_path": "pages"}
    yield from from_dlt(url, [count], paginator, at_once)


def dlt_tokens(url: str, count: int, at_once: int) -> Iterator[int]:
    """The same from dlt, with as many workers as there are listings."""
    paginator = {"type": "cursor", "cursor_path": "next", "cursor_param": "page"}
    yield from from_dlt(url, shares(count, at_once), paginator, at_once)


def from_dlt(
    url: str, listings: list[int], paginator: dict[str, Any], at_once: int
) -> Iterator[int]:
    """The rows that a parallelized rest_api source yields."""
    os.environ["EXTRACT__WORKERS"] = os.environ["EXTRACT__MAX_PARALLEL_ITEMS"] = str(at_once)
    resources = [
        {
            "name": f"items_{index}",
            "endpoint": {
                "path": f"/{index}",
                "params": {"of": number},
                "data_selector": "data",
                "paginator": paginator,
            },
        }
        for index, number in enumerate(listings)
    ]
    config: Any = {"client": {"base_url": url}, "resources": resources}
    # For the source: on a resource `parallelized` has no effect here in dlt 1.31.
    for item in rest_api_source(config, parallelized=True):
        yield len(item) if isinstance(item, list) else 1


Read = Callable[[str, int, int], Iterator[int]]
WAYS: dict[str, Read] = {
    "total, blocks": our_total,
    "total, dlt": dlt_total,
    "tokens, blocks": our_tokens,
    "tokens, dlt": dlt_tokens,
}


def measure(read: Read, url: str, count: int, at_once: int) -> tuple[float, float]:
    """Pages a second, and milliseconds of CPU a page."""
    rates, costs = [], []
    for _ in range(3):
        began, cpu = time.perf_counter(), time.process_time()
        assert sum(read(url, count, at_once)) == count * ROWS
        taken = time.perf_counter() - began
        rates.append(count / taken)
        costs.append((time.process_time() - cpu) / count * 1e3)
        if taken > 3:
            break
    return median(rates), median(costs)


def main(milliseconds: float) -> None:
    """Measure every cell and print the table."""
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    named = ", ".join(f"{name} {metadata.version(name)}" for name in ("httpx", "aiohttp", "dlt"))
    print(f"Python {platform.python_version()}, {named}, {os.cpu_count()} CPUs")
    print(f"pages/s (% of ideal, CPU ms a page); {milliseconds:g} ms and {ROWS} rows a page")
    with serving(__file__, milliseconds / 1e3) as url:
        print(f"a bare socket waits {bare(url) * 1e3:.1f} ms for a page")
        for read in WAYS.values():  # what is loaded and begun once
            assert sum(read(url, 2, 2)) == 2 * ROWS
        line("", [f"{at_once} at once" for at_once in AT_ONCE])
        for count in PAGES:
            for name, read in WAYS.items():
                line(f"{count} pages, {name}", cells(read, name, url, count, milliseconds / 1e3))


def bare(url: str) -> float:
    """Seconds from a request to its whole answer, without any client."""
    address = httpx.URL(url)
    taken = []
    with socket.create_connection((address.host, address.port or 80)) as connection:
        for _ in range(21):
            began = time.perf_counter()
            connection.sendall(b"GET /items?of=1 HTTP/1.1\r\nHost: bench\r\n\r\n")
            received = b""
            while not received.endswith(b"}"):
                received += connection.recv(1 << 20)
            taken.append(time.perf_counter() - began)
    return median(taken)


def cells(read: Read, name: str, url: str, count: int, seconds: float) -> Iterator[str]:
    """The figures of one row."""
    for at_once in AT_ONCE:
        total = name.startswith("total")
        rounds = 1 + ceil((count - 1) / at_once) if total else max(shares(count, at_once))
        ideal = count / (rounds * seconds)
        if read is dlt_total and at_once > 1:
            yield "one by one"
        else:
            rate, cost = measure(read, url, count, at_once)
            yield f"{rate:.1f} ({rate / ideal:.0%}, {cost:.2f})"


def line(name: str, values: Any) -> None:
    """One row of the table, each figure as soon as it is there."""
    print(f"{name:28}", end="", flush=True)
    for value in values:
        print(f"{value:>24}", end="", flush=True)
    print()


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(page, float(sys.argv[2]))
    else:
        main(float(sys.argv[1]) if sys.argv[1:] else 50.0)
