"""Exhaustion: cut bodies, numbers and waits that are to be believed, or to use up time."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable
from functools import partial

import httpx
import msgspec

from blocks.client import client
from blocks.connections import Connections
from blocks.downloads import download, storage
from blocks.errors import BlocksError
from blocks.fetch import gather, pages
from blocks.formats import gunzip, ndjson
from blocks.normalize import Normalizer
from blocks.oauth import ClientCredentials
from blocks.paginators import NextUrl, PageNumber
from blocks.stops import TotalPages, Until
from tests.authority import Received, said
from tests.faults.clock import run as run_virtually
from tests.faults.server import Reply
from tests.faults.server import serving as serving_here
from tests.hostile.table import Line
from tests.loopback import JSON, answer

__all__ = ["cuts", "numbers", "waits"]

_GZIP = ("Content-Encoding", "gzip")


def cuts() -> Line:
    """A gzip cut anywhere, its length as told: no page, no file, no line of it is taken."""
    line = Line("exhaustion: cut gzip")
    text = b"".join(b'{"id": %d}\n' % (number * 7919) for number in range(300))
    page = b"[" + text.strip().replace(b"\n", b",") + b"]"
    served: list[bytes] = [b""]

    async def main() -> None:
        async with serving_here(lambda _: Reply((served[0],), "close")) as server:
            api = client(server.url, retry=lambda transport: transport)
            files = storage(transport=Connections())
            async with api, files:
                for body, kind in ((page, "application/json"), (text, "application/x-ndjson")):
                    whole = gzip.compress(body, mtime=0)
                    for end in range(0, len(whole), 13):
                        headers = [("Content-Type", kind), _GZIP]
                        served[0] = answer(whole[:end], headers=headers)
                        await _refused(line, f"page cut at {end}", api.get("/x"))
                        request = files.build_request("GET", f"{server.url}/x")
                        packed = download(files, request, attempts=1)
                        await _refused(line, f"file cut at {end}", _all(packed))
                        line.cells += 1
                        if _read_lines([whole[:end]]):
                            line.leak(f"lines of a file cut at {end}")

    run_virtually(main)
    return line


async def _refused(line: Line, what: str, coming: Awaitable[object]) -> None:
    line.cells += 1
    try:
        await coming
    except (BlocksError, httpx.HTTPError):
        return
    line.leak(what)


async def _all(chunks: AsyncIterator[bytes]) -> list[bytes]:
    return [chunk async for chunk in chunks]


def _read_lines(chunks: list[bytes]) -> bool:
    try:
        list(ndjson(gunzip(chunks)))
    except BlocksError:
        return False
    return chunks != [b""]  # an empty file is an empty file


def numbers(keys: int = 10**6) -> Line:
    """A million keys in an object, a billion pages, tokens for ever: an error, or no harm."""
    line = Line("exhaustion: numbers")
    row = b"{" + b",".join(b'"k%d":1' % number for number in range(keys)) + b"}"
    for body in (row, b'[{"a":' + row + b"}]"):
        line.cells += 1
        try:
            Normalizer("t")(body)
            line.leak(f"{keys} columns")
        except BlocksError:
            pass
    for name, told in (("pages", 10**9), ("pages", 10**30)):
        line.cells += 1
        if wrong := run_virtually(partial(_too_many_pages, told)):
            line.leak(f"{told} {name}: {wrong}")
    for lifetime in (10**20, 10**400, -1, 1e308, "9" * 400):
        line.cells += 1
        try:
            if run_virtually(partial(_long_life, lifetime)) != (3, 1):
                line.leak(f"expires_in {str(lifetime)[:30]}")
        except BlocksError:  # no number for JSON
            continue
    return line


async def _too_many_pages(told: int) -> str:
    def handle(received: Received) -> Reply:
        page = int(dict(httpx.URL(received.target).params).get("page", "1"))
        rows = [{"id": page}] if page <= 3 else []
        body = f'{{"pages": {told}, "data": {json.dumps(rows)}}}'
        return Reply((answer(body.encode()),))

    async with serving_here(handle) as server, client(server.url) as api:
        paginator = Until(PageNumber(records="data"), TotalPages("pages"))
        first = api.build_request("GET", "/items")
        found = 0
        try:
            async for _ in gather(api, first, paginator, at_once=4, at_most=50):
                found += 1
        except (BlocksError, msgspec.DecodeError):
            return ""
        return f"{found} pages, and no word" if len(server.received) > 100 else ""


async def _long_life(lifetime: object) -> tuple[int, int]:
    asked = 0

    def handle(received: Received) -> Reply:
        nonlocal asked
        if received.path == "/token":
            asked += 1
            text = lifetime if isinstance(lifetime, str) else json.dumps(lifetime)
            body = f'{{"access_token": "t", "token_type": "bearer", "expires_in": {text}}}'
            return Reply((answer(body.encode()),))
        return Reply((said({}),))

    async with serving_here(handle) as server:
        auth = ClientCredentials(f"{server.url}/token", "me", "secret")
        async with client(server.url, auth=auth) as api:
            for _ in range(3):
                assert (await api.get("/items")).status_code == 200
        return len(server.received) - asked, asked


def waits() -> Line:
    """Waits told too long, and servers that drip: an error in the time that is documented."""
    line = Line("exhaustion: waits")
    long = ("99999999999999999999999", "3600", "Fri, 31 Dec 9999 23:59:59 GMT")
    replies = {
        **{f"Retry-After: {told}": (Reply((_busy(told),)), 1.0) for told in long},
        # Five attempts of five times 60 s, and the pauses between them.
        "a head that drips": (Reply(_dripped(answer())), 5 * 300 + 60.0),
        "a body that drips": (Reply(_dripped(answer(), at=-2)), 5 * 300 + 60.0),
        "an answer that never comes": (Reply((), "hang"), 5 * 300 + 60.0),
    }
    for name, (reply, most) in replies.items():
        line.cells += 1
        seconds = run_virtually(partial(_waited, reply))
        if seconds > most:
            line.leak(f"{name}: {seconds:.0f} s, not {most:.0f}")
    return line


def _busy(told: str) -> bytes:
    return answer(b"{}", "429 Too Many", [*JSON, ("Retry-After", told)])


def _dripped(reply: bytes, at: int = 9) -> tuple[bytes | float, ...]:
    parts: list[bytes | float] = [reply[:at]]
    for byte in range(1000):
        parts += [50.0, b"%c" % (65 + byte % 26)]
    return tuple(parts)


async def _waited(reply: Reply) -> float:
    loop = asyncio.get_running_loop()
    async with serving_here(lambda _: reply) as server, client(server.url) as api:
        before = loop.time()
        try:
            async for _ in pages(api, api.build_request("GET", "/x"), NextUrl("next")):
                pass
        except BlocksError:
            return loop.time() - before
    return float("inf")
