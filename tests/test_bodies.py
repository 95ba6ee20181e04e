"""A body comes whole, decoded once and of bearable size, or not at all."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Sequence

import anyio
import anyio.lowlevel
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks import events
from blocks.bodies import Whole, content, read
from blocks.errors import BodyError, ConfigError

pytestmark = pytest.mark.anyio

REQUEST = httpx.Request("GET", "https://api.example.com/items?key=secret")
JSON = {"Content-Type": "application/json"}


class Pieces(httpx.AsyncByteStream):
    """A body in pieces, each of which may be an error or a wait in seconds instead."""

    def __init__(self, *pieces: bytes | Exception | float) -> None:
        self.pieces = pieces
        self.closed = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            if isinstance(piece, bytes):
                yield piece
            else:
                await anyio.sleep(piece)

    async def aclose(self) -> None:
        """Counted, and waiting a little, as a real one may."""
        await anyio.lowlevel.checkpoint()
        self.closed += 1


def response(*pieces: bytes | Exception, coding: str = "", status: int = 200) -> httpx.Response:
    """A response with a body still to be read."""
    headers = JSON | ({"Content-Encoding": coding} if coding else {})
    return httpx.Response(status, headers=headers, stream=Pieces(*pieces), request=REQUEST)


async def body(answer: httpx.Response, **options: int) -> bytes:
    """The body as `read` leaves it to httpx."""
    await read(answer, **options)
    return await answer.aread()


def raw_deflate(data: bytes) -> bytes:
    """Deflate without the zlib header, as some servers send it."""
    deflater = zlib.compressobj(wbits=-15)
    return deflater.compress(data) + deflater.flush()


@pytest.mark.parametrize(
    ("coding", "wire"),
    [
        ("", b'{"id": 1}'),
        ("identity", b'{"id": 1}'),
        ("gzip", gzip.compress(b'{"id": 1}')),
        ("GZip", gzip.compress(b'{"id": 1}')),
        ("x-gzip", gzip.compress(b'{"id": 1}')),
        ("identity, gzip", gzip.compress(b'{"id": 1}')),
        ("gzip", gzip.compress(b'{"id"') + gzip.compress(b"") + gzip.compress(b": 1}")),
        ("deflate", zlib.compress(b'{"id": 1}')),
        ("deflate", raw_deflate(b'{"id": 1}')),
    ],
)
async def test_one_coding_is_taken_off(coding: str, wire: bytes) -> None:
    """Once, and the headers describe what is left."""
    answer = response(wire[:7], wire[7:], coding=coding)
    assert await body(answer) == b'{"id": 1}'
    assert "content-encoding" not in answer.headers
    assert await body(answer) == b'{"id": 1}'


@given(data=st.binary(max_size=100_000), cut=st.integers(0, 100))
async def test_a_cut_stream_is_never_taken_for_a_whole_one(data: bytes, cut: int) -> None:
    """Whatever is missing at the end of a gzip stream is noticed; all of it gives the data."""
    wire = gzip.compress(data, 1)
    cut = min(cut, len(wire))
    answer = response(wire[: len(wire) - cut], coding="gzip")
    if not cut:
        assert await body(answer) == data
    else:
        with pytest.raises(httpx.DecodingError, match="cut"):
            await body(answer)


@pytest.mark.parametrize(
    ("coding", "wire"),
    [
        ("gzip", gzip.compress(b"{}") + b"junk"),
        ("gzip", gzip.compress(b"{}") + b"\0" * 20),
        ("gzip", b"{}"),
        ("gzip", gzip.compress(b"{}")[:-8] + b"\0" * 8),
        ("deflate", zlib.compress(b"{}") + b"junk"),
        ("deflate", b"{}"),
    ],
)
async def test_what_is_not_its_coding_is_an_error(coding: str, wire: bytes) -> None:
    """Junk before, in or after the stream: maybe better the next time, so httpx's DecodingError."""
    with pytest.raises(httpx.DecodingError, match=r"GET api\.example\.com/items$"):
        await body(response(wire, coding=coding))


@pytest.mark.parametrize("coding", ["br", "gzip, gzip", "zstd", "gzip, br"])
async def test_other_codings_are_refused(coding: str) -> None:
    """Layers multiply a bomb, and we did not offer them."""
    with pytest.raises(BodyError, match=f"got '{coding}'"):
        await body(response(b"...", coding=coding))


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", 200), ("GET", 304), ("GET", 404), ("GET", 204)]
)
async def test_no_body_needs_no_decoding(method: str, status: int) -> None:
    """Some answers name the coding of the body they would have."""
    answer = response(coding="gzip", status=status)
    answer.request = httpx.Request(method, REQUEST.url)
    assert await body(answer) == b""


async def test_an_empty_stream_is_cut() -> None:
    """With 200 and a coding there is a stream to have, be it of nothing."""
    with pytest.raises(httpx.DecodingError, match="cut after 0 bytes"):
        await body(response(coding="gzip"))
    assert await body(response(gzip.compress(b""), coding="gzip")) == b""


@pytest.mark.parametrize("coding", ["", "gzip"])
async def test_a_body_may_be_as_large_as_said(coding: str) -> None:
    """Exactly `largest` passes, one byte more does not, on the wire or decoded."""
    data = b"[" + b"1" * 998 + b"]"
    wire = gzip.compress(data) if coding else data
    assert await body(response(wire, coding=coding), largest=1000) == data
    with pytest.raises(BodyError, match="at most 999 bytes"):
        await body(response(wire, coding=coding), largest=999)


async def test_a_bomb_is_noticed_early() -> None:
    """Half a gigabyte of zeros in half a megabyte is given up before a tenth of it is held."""
    deflater = zlib.compressobj(9, wbits=31)
    bomb = b"".join([deflater.compress(bytes(2**20)) for _ in range(512)]) + deflater.flush()
    tracemalloc.start()
    with pytest.raises(BodyError, match="got more"):
        await body(response(bomb, coding="gzip"))
    assert tracemalloc.get_traced_memory()[1] < 100 * 2**20
    tracemalloc.stop()


async def test_an_endless_body_is_given_up() -> None:
    """Reading stops at the cap, and the stream is closed."""
    answer = response(*[b"x" * 1000] * 100)
    stream = answer.stream
    assert isinstance(stream, Pieces)
    with pytest.raises(BodyError, match="at most 5000 bytes"):
        await read(answer, 5000)
    assert stream.closed == 1


@pytest.mark.parametrize(
    "text",
    [
        b'{"a": [1',
        b"[1, 2",
        b"  {",
        b"\xef\xbb\xbf[1",
        b"",
        b" ",
        b'[{"a": [1]',
        b'{"a": "}',
        b'"a',
        b"[1.",
        b"[-",
        b'["\\u12',
    ],
)
async def test_json_that_only_the_connection_ended_must_be_whole(text: bytes) -> None:
    """Neither length nor chunks: a lost connection looks the same, the JSON does not."""
    with pytest.raises(httpx.RemoteProtocolError, match="JSON was cut"):
        await body(response(text))


DEEP = b"[" * 100_000


@pytest.mark.parametrize(
    "text",
    [b"{}", b"[1]\r\n", b"\xef\xbb\xbf[1]", b"1", b'"a"', b"[1, 2}", b"[NaN", b'["\xff"]', DEEP],
)
async def test_json_that_is_not_cut_passes(text: bytes) -> None:
    """What is malformed is for whoever reads it: another attempt would bring the same."""
    assert await body(response(text)) == text


async def test_other_bodies_end_as_they_may() -> None:
    """With a length said, of another type or version, or without a body, nothing is to be seen."""
    sized = response(b"[1")
    sized.headers["Content-Length"] = "2"
    assert await body(sized) == b"[1"
    text = response(b"[1")
    text.headers["Content-Type"] = "text/plain"
    assert await body(text) == b"[1"
    framed = response(b"[1")
    framed.extensions["http_version"] = b"HTTP/2"
    assert await body(framed) == b"[1"
    for status in (202, 204, 304, 404):
        assert await body(response(b"", status=status)) == b""


KINDS_OF_LINES = ["application/x-ndjson", "application/jsonl", "application/json-seq", "text/CSV"]


@pytest.mark.parametrize("kind", [*KINDS_OF_LINES, "application/x-json-lines; charset=utf-8"])
async def test_lines_that_only_the_connection_ended_are_refused(kind: str) -> None:
    """Cut where a line ends, they look whole; a length, chunks or a checksum would tell."""
    lines = response(b'{"id": 1}\n')
    lines.headers["Content-Type"] = kind
    with pytest.raises(BodyError, match="expected a length or a checksum"):
        await body(lines)
    told = response(b'{"id": 1}\n')
    told.headers.update({"Content-Type": kind, "Content-Length": "10"})
    assert await body(told) == b'{"id": 1}\n'
    packed = response(gzip.compress(b'{"id": 1}\n'), coding="gzip")
    packed.headers["Content-Type"] = kind
    assert await body(packed) == b'{"id": 1}\n'
    sorry = response(b"later", status=503)
    sorry.headers["Content-Type"] = kind
    assert await body(sorry) == b"later"


async def test_the_stream_is_closed_in_any_case() -> None:
    """After the end, an error, or a cancellation amid the body; the error comes through."""
    for pieces in ([b"{}"], [b"{", httpx.ReadError("reset")], [b"{", 60.0]):
        stream = Pieces(*pieces)
        answer = httpx.Response(200, stream=stream, request=REQUEST)
        if len(pieces) == 1:
            await read(answer)
        elif pieces[1] == 60.0:
            with anyio.move_on_after(0.01):
                await read(answer)
        else:
            with pytest.raises(httpx.ReadError):
                await read(answer)
        assert stream.closed == 1


def whole(*pieces: bytes | float, **options: float) -> httpx.AsyncClient:
    """A client of an API that answers with these pieces."""

    async def api(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers=JSON, stream=Pieces(*pieces))

    transport = Whole(httpx.MockTransport(api), **options)  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport)


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_time_for_the_whole_is_bounded(anyio_backend: str) -> None:
    """A byte now and then keeps no request alive beyond `timeout`."""
    drip: Sequence[bytes | float] = [b" ", 0.02] * 1000
    async with whole(*drip, timeout=0.1) as api:
        with pytest.raises(httpx.ReadTimeout, match=r"within 0.1 s: GET api.example.com/items$"):
            await api.send(REQUEST)
    async with whole(b"[", 0.01, b"]", timeout=10) as api:
        assert (await api.send(REQUEST)).json() == []


async def test_httpx_finds_the_body_ready() -> None:
    """Read, parsed and timed as ever."""
    async with whole(b'{"a":', b"1}") as api:
        answer = await api.send(REQUEST)
        assert answer.json() == {"a": 1}
        assert answer.elapsed.total_seconds() >= 0
        async with api.stream("GET", REQUEST.url) as streamed:
            assert [part async for part in streamed.aiter_bytes()] == [b'{"a":1}']


async def test_requests_and_answers_are_published() -> None:
    """Each with its place, without the query; an answer with its size, a failure with its kind."""
    seen = list[events.Event]()
    stop = events.listen(seen.append)
    async with whole(b"[", b"]") as api:
        await api.send(REQUEST)
    async with whole(b"[", 60.0, timeout=0.01) as api:
        with pytest.raises(httpx.ReadTimeout):
            await api.send(REQUEST)
    stop()
    place = "GET api.example.com/items"
    sent, answered, again, failed = seen
    assert sent == again == events.Sent(place)
    assert isinstance(answered, events.Answered)
    assert (answered.place, answered.status, answered.size) == (place, 200, 2)
    assert isinstance(failed, events.Failed)
    assert (failed.place, failed.reason) == (place, "ReadTimeout")
    assert 0 <= answered.seconds < 10
    assert 0.01 <= failed.seconds < 10


async def test_content_is_there_before_httpx_has_read_it() -> None:
    """From the stream that `read` left, or as httpx has it."""
    answer = response(gzip.compress(b"{}"), coding="gzip")
    await read(answer)
    assert content(answer) == b"{}"
    assert content(httpx.Response(200, content=b"[1]")) == b"[1]"
    with pytest.raises(httpx.ResponseNotRead):
        content(response(b"{}"))


@pytest.mark.parametrize("options", [{"timeout": 0}, {"timeout": -1}, {"largest": 0}])
async def test_bounds_that_cannot_be_are_refused(options: dict[str, int]) -> None:
    """Said at construction."""
    with pytest.raises(ConfigError, match="expected positive numbers"):
        whole(**options)


async def test_repr_is_the_expression() -> None:
    """What is printed shows the settings."""
    transport = httpx.MockTransport(lambda _: httpx.Response(200))
    assert repr(Whole(transport, timeout=5)).endswith(", timeout=5, largest=None)")
