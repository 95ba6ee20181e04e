"""CPU of the transports that exist for httpx, and of our client over its own, on one server.

    python bench/transports.py [seconds per cell, default 2]

The server runs in a process of its own and answers with bytes made beforehand. For every cell the
transports take turns, in 25 rounds of slices so short that what else the machine does falls on all
of them: with slices of 0.4 s the ratio of one transport to itself came out as 0.83 to 1.07. The
figures are medians of CPU (user and system, all threads of this process) per request, and their
ratio to httpx's own transport; in the last line, medians of the ratios within rounds, and what half
of them lie between. Those not installed are left out:
pip install pyreqwest pyqwest h2 httpx-curl-cffi
"""

from __future__ import annotations

import asyncio
import gzip
import json
import platform
import random
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from importlib import import_module, metadata
from statistics import median, quantiles

import httpx

from bench.loopback import response, serve, serving
from blocks.auth import Bearer
from blocks.bodies import Whole
from blocks.client import client
from blocks.connections import Connections
from blocks.limits import Rate

ROUNDS = 25
Make = Callable[[], httpx.AsyncBaseTransport]
Open = Callable[[str], AbstractAsyncContextManager[httpx.AsyncClient]]

# Path and requests in flight.
CELLS = (("/small", 1), ("/small", 32), ("/page", 8), ("/zipped", 8))


def bodies() -> dict[str, bytes]:
    """A small answer, and a page of 450 kB as it is and compressed to a quarter."""
    chance = random.Random(1)
    rows = [
        {
            "id": number,
            "title": " ".join(chance.choices(["lorem", "ipsum", "dolor", "sit", "amet"], k=8)),
            "score": chance.random(),
            "user": {"login": f"user-{chance.randrange(10_000)}", "id": chance.getrandbits(32)},
        }
        for number in range(3300)
    ]
    page = json.dumps(rows).encode()
    return {"/small": json.dumps(rows[:1]).encode(), "/page": page, "/zipped": gzip.compress(page)}


def answers() -> dict[bytes, bytes]:
    """The response to each target."""
    headers = [
        "Date: Tue, 02 Jun 2026 12:00:00 GMT",
        "ETag: W/123456",
        "X-RateLimit-Remaining: 4999",
        'Link: <http://127.0.0.1/next>; rel="next"',
    ]
    zipped = {"/zipped": ["Content-Encoding: gzip"]}
    return {
        path.encode(): response(body, *headers, *zipped.get(path, []))
        for path, body in bodies().items()
    }


def transports() -> dict[str, Make]:
    """Those installed here, by name and version."""
    found: dict[str, Make] = {named("httpcore"): httpx.AsyncHTTPTransport}
    for distribution, module, name in (
        ("httpx-aiohttp", "httpx_aiohttp", "AiohttpTransport"),
        ("pyreqwest", "pyreqwest.compatibility.httpx", "HttpxTransport"),
        ("pyqwest", "pyqwest.httpx", "AsyncPyqwestTransport"),
        ("httpx-curl-cffi", "httpx_curl_cffi", "AsyncCurlTransport"),
    ):
        with suppress(ImportError):
            make = getattr(import_module(module), name)
            if distribution == "pyqwest":
                make = partial(make, import_module("pyqwest").HTTPTransport())
            found[named(distribution)] = make
    return found | {f"Connections ({named('aiohttp')})": Connections}


def named(distribution: str) -> str:
    """A distribution with its version."""
    return f"{distribution} {metadata.version(distribution)}"


@asynccontextmanager
async def plain(make: Make, url: str) -> AsyncIterator[httpx.AsyncClient]:
    """httpx's client over a transport."""
    headers = {"Accept-Encoding": "gzip"}
    async with httpx.AsyncClient(
        transport=make(), base_url=url, timeout=60, trust_env=False, headers=headers
    ) as api:
        yield api


@asynccontextmanager
async def ours(url: str) -> AsyncIterator[httpx.AsyncClient]:
    """Our client with auth, limit and retry on."""
    async with client(url, auth=Bearer("token"), limit=Rate(10**9)) as api:
        yield api


async def measure(
    api: httpx.AsyncClient, path: str, in_flight: int, expected: int, seconds: float
) -> float:
    """CPU milliseconds per request."""

    async def work(until: float) -> int:
        done = 0
        while time.perf_counter() < until:
            response = await api.get(path)
            assert len(response.content) == expected
            done += 1
        return done

    await asyncio.gather(*[work(time.perf_counter() + 0.01) for _ in range(in_flight)])
    began = time.process_time()
    until = time.perf_counter() + seconds
    done = sum(await asyncio.gather(*[work(until) for _ in range(in_flight)]))
    return (time.process_time() - began) / done * 1e3


def main(seconds: float) -> None:
    """Measure every cell and print the table."""
    made = transports()
    clients: dict[str, Open] = {name: partial(plain, make) for name, make in made.items()}
    bare = list(made)[-1]
    clients["  and Whole"] = partial(plain, lambda: Whole(Connections(), timeout=300))
    clients["  as client(auth, limit, retry)"] = ours
    with serving(__file__) as url:
        cells = {
            (path, n): asyncio.run(column(clients, url, path, n, seconds / ROUNDS))
            for path, n in CELLS
        }
    sizes = {path: len(body) for path, body in bodies().items()}
    print(f"Python {platform.python_version()}, {named('httpx')}, {platform.machine()}")
    print(f"CPU ms per request, and ratio to httpcore; {seconds} s in {ROUNDS} rounds")
    line("", [f"{path} x{in_flight}" for path, in_flight in cells])
    line("bytes on the wire", [f"{sizes[path]:,}" for path, _ in cells])
    for name in clients:
        values = [
            (median(figures[name]), median(next(iter(figures.values()))))
            for figures in cells.values()
        ]
        line(name, [f"{value:.3f} {value / base:5.2f}" for value, base in values])
    ratios = []
    for figures in cells.values():
        pairs = zip(figures["  as client(auth, limit, retry)"], figures[bare], strict=True)
        low, middle, high = quantiles([(mine / theirs - 1) * 100 for mine, theirs in pairs])
        ratios.append(f"{middle:+.0f} % ({low:+.0f}, {high:+.0f})")
    line("client over its bare transport", ratios)


async def column(
    clients: Mapping[str, Open], url: str, path: str, in_flight: int, seconds: float
) -> dict[str, list[float]]:
    """The figures of each client for one cell, in slices of so many seconds, taken in turns."""
    whole = "/page" if path == "/zipped" else path
    expected = len(bodies()[whole])
    taken: dict[str, list[float]] = {name: [] for name in clients}
    async with AsyncExitStack() as stack:
        apis = {name: await stack.enter_async_context(clients[name](url)) for name in clients}
        for turn in range(ROUNDS):
            for name in [*apis][:: 1 if turn % 2 else -1]:  # nobody is always after the same one
                taken[name].append(await measure(apis[name], path, in_flight, expected, seconds))
    return taken


def line(name: str, values: list[str]) -> None:
    """One row of the table."""
    print(f"{name:36}" + "".join(f"{value:>18}" for value in values))


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(answers().__getitem__)
    else:
        main(float(sys.argv[1]) if sys.argv[1:] else 2.0)
