"""Bombs and depth: bodies that are to use up memory or stack.

`python -m tests.hostile.bombs bombs` and `... depth` run here alone, as their peak of memory and
their recursion limit are those of a process.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import msgspec

from blocks.auth import Bearer
from blocks.bodies import Whole
from blocks.client import client
from blocks.connections import Connections
from blocks.downloads import download, storage
from blocks.errors import BlocksError
from blocks.fetch import pages
from blocks.formats import csv, gunzip, ndjson, unzip
from blocks.json import count, loads, peek, raw
from blocks.network import prefetch
from blocks.normalize import Normalizer
from blocks.paginators import NextUrl
from blocks.retries import Retry
from tests.hostile.table import Line
from tests.loopback import JSON, answer, serving

__all__ = ["LARGEST", "bombs", "depth"]

LARGEST = 64  # MiB that memory may grow by
_SIZE = 512  # MiB that a bomb makes
_DEPTH = 200_000
_STACK = 10**6

_GZIP = ("Content-Encoding", "gzip")


def bomb(layers: int = 1) -> bytes:
    """A gzip of so many layers, of zeros."""
    zeros = b"0" * 2**20
    packer = zlib.compressobj(9, wbits=-15)
    # After a full flush the packed text starts afresh, and so can be repeated.
    piece = packer.compress(zeros) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = 0
    for _ in range(_SIZE):
        checksum = zlib.crc32(zeros, checksum)
    end = packer.flush() + struct.pack("<II", checksum, _SIZE << 20)
    packed = gzip.compress(b"")[:10] + piece * _SIZE + end
    for _ in range(layers - 1):
        packed = gzip.compress(packed)
    return packed


def archive() -> bytes:
    """A zip archive of one file of zeros."""
    out = io.BytesIO()
    with (
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed,
        packed.open("zeros", "w") as file,
    ):
        for _ in range(_SIZE):
            file.write(b"0" * 2**20)
    return out.getvalue()


def get(url: str, **options: Any) -> None:
    """A page, by the ready-made client."""

    async def main() -> None:
        few = partial(Retry, attempts=1)
        async with client(url, auth=Bearer("t"), retry=few, **options) as api:
            async for _ in pages(api, api.build_request("GET", "/x"), NextUrl("next")):
                pass

    asyncio.run(main())


def file(url: str, read: Callable[[Iterator[bytes]], Iterable[object]]) -> None:
    """A file, streamed and read."""
    files = storage(transport=Connections())
    for _ in read(prefetch(download(files, files.build_request("GET", f"{url}/x")))):
        pass


def unpacked(chunks: Iterator[bytes]) -> Iterator[object]:
    """The lines of all files of an archive."""
    for _, content in unzip(chunks):
        yield from ndjson(content)


def _bombs() -> dict[str, tuple[bytes, Callable[[str], None]]]:
    one, two, zipped = bomb(), bomb(2), archive()
    many = [(f"X-{number}", "x" * 1000) for number in range(20_000)]
    small = {"transport": Whole(Connections(), largest=8 << 20)}
    return {
        "gzip page": (answer(one, headers=[*JSON, _GZIP]), get),
        "gzip, gzip page": (
            answer(two, headers=[*JSON, ("Content-Encoding", "gzip, gzip")]),
            get,
        ),
        "gzip twice in lines": (answer(two, headers=[*JSON, _GZIP, _GZIP]), get),
        "gzip transfer of a file": (
            answer(one, headers=[_GZIP]),
            lambda url: file(url, ndjson),
        ),
        "gzip file": (answer(one), lambda url: file(url, lambda it: ndjson(gunzip(it)))),
        "gzip of a gzip file": (
            answer(two),
            lambda url: file(url, lambda it: ndjson(gunzip(gunzip(it)))),
        ),
        "gzip transfer of a gzip file": (
            answer(two, headers=[_GZIP]),
            lambda url: file(url, lambda it: ndjson(gunzip(it))),
        ),
        "csv of one line": (answer(one), lambda url: file(url, lambda it: csv(gunzip(it)))),
        "zip file": (answer(zipped), lambda url: file(url, unpacked)),
        "large page": (
            answer(b"[%s]" % (b"0," * (8 << 20))),
            lambda url: get(url, **small),
        ),
        "one large header": (answer(headers=[*JSON, ("X", "x" * (8 << 20))]), get),
        "many headers": (answer(headers=[*JSON, *many]), get),
    }


def _run_bombs() -> dict[str, Any]:
    found: dict[str, Any] = {}
    prepared = _bombs()
    with serving({"/x": [answer()]}) as server:
        get(server.url)
    for name, (reply, read) in prepared.items():
        with serving({"/x": [reply]}) as server:
            before = _begin()
            try:
                read(server.url)
                found[name] = ("nothing", 0)
            except (BlocksError, httpx.HTTPError) as error:
                found[name] = (type(error).__name__, (_peak() - before) >> 10)
    return found


def _begin() -> int:
    """Let the peak begin anew, for this bomb alone; what it begins with, in KiB."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # proc_pid_clear_refs(5)
    return _peak()


def _peak() -> int:
    # In KiB. Not `ru_maxrss`, which a child has from its parent.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0])


def _run_depth() -> dict[str, Any]:
    sys.setrecursionlimit(_STACK)
    arrays = b'{"data":[' + b"[" * _DEPTH + b"]" * _DEPTH + b"]}"
    objects = b'{"data":[' + b'{"a":' * _DEPTH + b"1" + b"}" * _DEPTH + b"]}"
    # What looks deep but is not has to pass.
    flat = json.dumps({"data": [{"a": "[{" * 100, "b": '"\\'}] * 100}).encode()
    found: dict[str, Any] = {}
    for name, body in {"arrays": arrays, "objects": objects, "flat": flat}.items():
        for reader in (
            lambda body: peek(body, "data"),
            lambda body: peek(body, "other"),
            lambda body: count(body, "data"),
            lambda body: raw(body, "data"),
            loads,
            _unlearned,
            _learned,
            _ended_by_the_connection,
        ):
            place = f"{name} {len(found)}"
            try:
                reader(body)
                found[place] = "read"
            except (BlocksError, ValueError, msgspec.DecodeError) as error:
                found[place] = type(error).__name__
    return found


def _unlearned(body: bytes) -> None:
    Normalizer("t", "data")(body)


def _learned(body: bytes) -> None:
    normalizer = Normalizer("t", "data")
    normalizer(b'{"data": [{"a": 1}]}')
    normalizer(b'{"data": [{"a": "[{", "b": 1}]}')
    normalizer(body)


def _ended_by_the_connection(body: bytes) -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield body

    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=stream(), headers={"Content-Type": "application/json"})

    async def main() -> None:
        async with httpx.AsyncClient(transport=Whole(_Bare(handle))) as api:
            Normalizer("t", "data")((await api.get("http://api.test/x")).content)

    asyncio.run(main())


class _Bare(httpx.MockTransport):
    """A transport whose bodies only the end of the connection ends."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The response without a word on its length."""
        response = await super().handle_async_request(request)
        response.headers.pop("transfer-encoding", None)
        return response


def _child(what: str) -> tuple[int, dict[str, Any]]:
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [sys.executable, "-m", "tests.hostile.bombs", what],
            cwd=Path(__file__).parent.parent.parent,
            env={"PATH": "", "DLT_DATA_DIR": home, "RUNTIME__DLTHUB_TELEMETRY": "false"},
            capture_output=True,
            text=True,
            timeout=100,
        )
    said = done.stdout.strip().splitlines()
    return done.returncode, json.loads(said[-1]) if said else {"stderr": done.stderr[-2000:]}


def bombs() -> Line:
    """Bombs of 512 MiB, single and nested, in pages and files: an error, and little memory."""
    line = Line("exhaustion: bombs")
    code, found = _child("bombs")
    if code:
        line.leak(f"the process ended with {code}: {found}")
        return line
    for name, (error, mib) in found.items():
        line.cells += 1
        if error not in {"BodyError", "NormalizeError", "RetryError", "RemoteProtocolError"}:
            line.leak(f"{name}: {error}")
        if mib > LARGEST:
            line.leak(f"{name}: {mib} MiB")
    line.said = f"{max(mib for _, mib in found.values())} MiB at most"
    return line


def depth() -> Line:
    """JSON nested 200,000 deep, where the interpreter's own limit was raised: an error."""
    line = Line("exhaustion: depth")
    code, found = _child("depth")
    if code:
        line.leak(f"the process ended with {code}: {found}")
        return line
    for name, result in found.items():
        line.cells += 1
        if (result == "read") != name.startswith("flat"):
            line.leak(f"{name}: {result}")
    return line


if __name__ == "__main__":
    print(json.dumps({"bombs": _run_bombs, "depth": _run_depth}[sys.argv[1]]()))  # noqa: T201
