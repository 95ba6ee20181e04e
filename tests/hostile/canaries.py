"""Canaries: secrets that are looked for wherever something of a failed run may be written down.

Logs at DEBUG, errors and their chains, tracebacks with the variables of all frames, ours and those
of others, reprs, pickles; and of a run of dlt its trace, its state, its files and its tables.
"""

from __future__ import annotations

import asyncio
import base64
import io
import logging
import pickle
import traceback
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dlt
import duckdb
import httpx

from blocks.client import client
from blocks.dlt import load
from blocks.errors import BlocksError
from blocks.fetch import pages
from blocks.network import prefetch
from blocks.paginators import NextUrl
from blocks.retries import Retry
from tests.authority import Received
from tests.faults.server import Reply, serving, serving_thread
from tests.hostile.origins import KINDS
from tests.hostile.table import Line
from tests.loopback import JSON, answer
from tests.test_leaks import ANSWERS, SECRET, found

__all__ = ["FAULTS", "errors", "runs"]

_PAGE = b'{"data": [{"id": 1}], "next": "/more"}'
# What the second page is answered with; some repeat what was sent.
FAULTS = {
    "refused": Reply((answer(b'{"error": "invalid_token"}', "401 Unauthorized"),)),
    "forbidden": Reply((answer(b"{}", "403 Forbidden"),)),
    "missing": Reply((answer(b"{}", "404 Not Found"),)),
    "down": Reply((answer(b"{}", "503 Busy", [*JSON, ("Retry-After", "9999")]),)),
    "html": Reply((answer(b"<h1>Hi</h1>", headers=[("Content-Type", "text/html")]),)),
    "no json": Reply((answer(b'{"data": [{"id"'),)),
    "cut": Reply((answer(b"[]", length=99),), "close"),
    "reset": Reply((answer(b"[]", length=99),), "reset"),
    "no http": Reply((b"SSH-2.0-x\r\n\r\n",), "close"),
    "bad header": Reply((b"HTTP/1.1 200 OK\r\nX: \0\r\n\r\n",), "close"),
    "gone": Reply((), "close"),
    "silent": Reply((), "hang"),
    "away": Reply((answer(b'{"data": [], "next": "http://x.test/?k=1"}'),)),
    "loop": Reply((answer(_PAGE),)),
    "gzip": Reply((answer(b"no", headers=[*JSON, ("Content-Encoding", "gzip")]),)),
    "brotli": Reply((answer(b"no", headers=[*JSON, ("Content-Encoding", "br")]),)),
}


def _handle(fault: str) -> Any:
    def handle(received: Received) -> Reply:
        if received.path in ANSWERS:
            return Reply((ANSWERS[received.path],))
        if received.path == "/items":
            return Reply((answer(_PAGE),))
        return FAULTS[fault]

    return handle


@contextmanager
def _logged() -> Iterator[io.StringIO]:
    """All that anybody logs, at DEBUG."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    loggers = [logging.getLogger(), *map(logging.getLogger, ("dlt", "httpx", "blocks", "asyncio"))]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
        logger.addHandler(handler)
    try:
        yield text
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
            logger.removeHandler(handler)


def shown(error: BaseException) -> dict[str, str]:
    """What tools show of an error, by tool."""
    sinks = {
        "text": f"{error} {error!r} {error.args}",
        "traceback": "".join(traceback.format_exception(error)),
        "traceback with variables": "\n".join(_variables(error)),
    }
    if isinstance(error, BlocksError):
        packed = pickle.dumps(error)
        sinks["pickle"] = packed.decode("latin-1") + str(vars(pickle.loads(packed)))
        sinks["attributes"] = str(vars(error))
    return sinks


def _variables(error: BaseException) -> Iterator[str]:
    """What `traceback.TracebackException` captures of all frames but those of the tests."""
    seen: list[BaseException] = []
    below: list[BaseException | None] = [error]
    while below:
        current = below.pop()
        if current is None or current in seen:
            continue
        seen.append(current)
        below += [current.__cause__, current.__context__]
        for frame, _ in traceback.walk_tb(current.__traceback__):
            if not frame.f_globals["__name__"].startswith("tests."):
                for name, value in frame.f_locals.items():
                    yield f"{frame.f_code.co_qualname}: {name} = {value!r}"


def errors() -> Line:
    """Each kind of credential and each fault: what the error and the logs show."""
    line = Line("secrets: errors and logs")
    for kind in KINDS:
        for fault in FAULTS:
            with _logged() as log:
                error, objects = asyncio.run(_fail(kind, fault))
            sinks = {"log": log.getvalue(), **_objects(objects)}
            sinks |= shown(error) if error else {}
            for sink, text in sinks.items():
                line.cells += 1
                for each in text.splitlines():
                    if found(each):
                        line.leak(f"{kind}, {fault}, {sink}: {each.strip()[:200]}")
                        break
    return line


def _objects(options: dict[str, Any]) -> dict[str, str]:
    texts = [f"{value!r} {value!s}" for name, value in options.items() if name != "headers"]
    for name, value in options.items():
        try:
            texts.append(pickle.dumps(value).decode("latin-1") if name != "headers" else "")
        except TypeError as refusal:
            texts.append(str(refusal))
    return {"objects": "\n".join(texts)}


async def _fail(kind: str, fault: str) -> tuple[Exception | None, dict[str, Any]]:
    async with serving(_handle(fault)) as server:
        options = KINDS[kind](server.url)
        quick = Retry if fault == "down" else (lambda transport: Retry(transport, attempts=1))
        async with client(server.url, timeout=0.05, retry=quick, **options) as api:
            try:
                async for _ in pages(api, api.build_request("GET", "/items"), NextUrl("next")):
                    pass
            except (BlocksError, httpx.HTTPError) as error:
                return error, options
    return None, options


def runs(folder: Path, kinds: list[str]) -> Line:
    """Runs of dlt that fail at their second page, and one that does not: all they leave behind."""
    line = Line("secrets: runs of dlt")
    for kind in kinds:
        for fault in ("refused", "no json", "reset", "fine"):
            home = folder / f"{kind} {fault}"
            with _logged() as log:
                sinks = _run(home, kind, fault)
            sinks["log"] = log.getvalue()
            if ("text" in sinks) == (fault == "fine"):
                line.leak(f"{kind}, {fault}: {sinks.get('text', 'no error')}")
            for sink, text in sinks.items():
                line.cells += 1
                for each in text.splitlines():
                    if found(each):
                        line.leak(f"{kind}, {fault}, {sink}: {each.strip()[:200]}")
                        break
    return line


def _run(home: Path, kind: str, fault: str) -> dict[str, str]:
    fine = Reply((answer(b'{"data": [{"id": 2}], "next": null}'),))
    handle = _handle(fault)
    with serving_thread(
        lambda received: fine if fault == "fine" and received.path == "/more" else handle(received)
    ) as server:
        api = client(server.url, retry=lambda it: Retry(it, attempts=1), **KINDS[kind](server.url))

        @dlt.resource(primary_key="id", write_disposition="merge")
        def items() -> Any:
            first = api.build_request("GET", "/items")
            dlt.current.resource_state()["begun"] = True
            yield from load(prefetch(pages(api, first, NextUrl("next"))), path="data")

        @dlt.source
        def vault(key: str = dlt.secrets.value) -> Any:
            return items

        pipeline = dlt.pipeline(
            "vault",
            pipelines_dir=str(home),
            destination=dlt.destinations.duckdb(str(home / "warehouse.duckdb")),
            dataset_name="data",
        )
        sinks: dict[str, str] = {}
        try:
            pipeline.run(vault(key=SECRET))
        except Exception as error:  # noqa: BLE001 - looked at
            sinks |= shown(error)
    sinks["trace"] = f"{pipeline.last_trace} {pipeline.last_trace!r}"
    sinks["state"] = str(pipeline.state)
    for file in home.rglob("*"):
        if file.is_file():
            sinks[str(file.relative_to(home))] = file.read_bytes().decode("latin-1")
    return sinks | _tables(home / "warehouse.duckdb")


def _tables(file: Path) -> dict[str, str]:
    if not file.exists():
        return {}
    sinks = {}
    with duckdb.connect(str(file)) as database:
        names = database.execute(
            "SELECT table_schema, table_name FROM information_schema.tables"
        ).fetchall()
        for schema, name in names:
            rows = database.execute(f'SELECT * FROM "{schema}"."{name}"').fetchall()
            sinks[f"table {schema}.{name}"] = "\n".join(f"{row} {_unpacked(row)}" for row in rows)
    return sinks


def _unpacked(row: tuple[Any, ...]) -> list[bytes]:
    texts = []
    for value in row:
        try:
            texts.append(zlib.decompress(base64.b64decode(value)))
        except (TypeError, ValueError, zlib.error):
            continue
    return texts
