"""Bodies: read to the end, decoded once, bounded in size and time, or an error.

A transport returns as soon as it has the headers; what goes wrong later is noticed where the body
is read, and some of it not at all by httpx: a gzip stream that was cut, JSON cut where only the end
of the connection ends it. `Whole` reads the body as part of the request, so that all of it can be
tried again.
"""

from __future__ import annotations

import re
import time
from typing import cast

import anyio
import httpx
import msgspec
from zlib_ng import zlib_ng  # zlib's interface, bounds and checks, at twice its speed and more

from blocks import events
from blocks.errors import BodyError, ConfigError, where
from blocks.json import check_depth

__all__ = ["LARGEST", "Whole", "content", "read"]

# Bytes of a page, decoded: far more than APIs put on one, and little enough that a few at once fit
# a small machine.
LARGEST = 256 * 2**20
# JSON compresses 5 to 30 times; deflate can reach 1032. Beyond this ratio a large body is a bomb.
_RATIO = 100
_HARMLESS = 32 * 2**20
# A page inflates in one call: each call lets go of the interpreter, and threads that pass it to and
# fro cost more than the inflating does. What a call may make bounds what is held of a bomb.
_STEP = 8 * 2**20
_Damaged = cast("type[Exception]", zlib_ng.error)  # its stub has an instance there
_TOLD = "blocks.bodies"  # in the extensions of a request whose events are published already
# Whole at the end of any line, so that only something outside of them tells whether more was sent.
_LINES = re.compile(r"ndjson|json-?lines|jsonl|json-seq|csv|tab-separated", re.IGNORECASE)


class Whole(httpx.AsyncBaseTransport):
    """A transport that returns a response only when its body is complete and decoded.

    `timeout` bounds a request in seconds, from its start to the last byte of the body, which
    httpx's own timeouts, each for one read, do not: a server that sends a byte now and then would
    hold it for ever. Exceeded, it raises `httpx.ReadTimeout`. `largest` is as for `read`. Requests,
    answers and failures are published (`blocks.events`), by the outermost where one is in another.

    >>> api = httpx.AsyncClient(transport=Whole(httpx.AsyncHTTPTransport(), timeout=300))
    """

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport,
        *,
        timeout: float | None = None,
        largest: int | None = None,
    ) -> None:
        if (largest is not None and largest < 1) or (timeout is not None and not timeout > 0):
            got = f"largest={largest!r}, timeout={timeout!r}"
            raise ConfigError(f"expected positive numbers, got {got}")
        self._transport = transport
        self._timeout = timeout
        self._largest = largest

    def __repr__(self) -> str:
        return f"Whole({self._transport!r}, timeout={self._timeout}, largest={self._largest})"

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The complete response."""
        if not events.heard() or _TOLD in request.extensions:
            return await self._exchange(request)
        place, began = where(request), time.monotonic()
        events.publish(events.Sent(place))
        request.extensions[_TOLD] = True
        try:
            response = await self._exchange(request)
        except Exception as error:
            seconds = time.monotonic() - began
            events.publish(events.Failed(place, type(error).__name__, seconds))
            raise
        finally:
            request.extensions.pop(_TOLD, None)
        size, seconds = len(content(response)), time.monotonic() - began
        events.publish(events.Answered(place, response.status_code, size, seconds))
        return response

    async def aclose(self) -> None:
        """Close the transport within."""
        await self._transport.aclose()

    async def _exchange(self, request: httpx.Request) -> httpx.Response:
        with anyio.move_on_after(self._timeout):
            response = await self._transport.handle_async_request(request)
            response.request = request
            await read(response, self._largest)
            return response
        message = f"no complete response within {self._timeout} s: {where(request)}"
        raise httpx.ReadTimeout(message, request=request)


async def read(response: httpx.Response, largest: int | None = None) -> None:
    """Read and decode the body in place, so that whoever reads `response` next has it whole.

    Headers then describe the decoded body, as after any recipient that decodes (RFC 9110, 8.4): no
    `Content-Encoding`, a matching `Content-Length`. A body that was cut or is not what its coding
    says raises `httpx.DecodingError`, worth another attempt, and JSON cut where only the end of the
    connection ends it `httpx.RemoteProtocolError`, likewise. Lines (NDJSON, CSV) ended by nothing
    else raise `BodyError`, as whole ones and cut ones look the same. So does a body of more than
    `largest` bytes, on the wire or decoded, and a coding other than a single gzip or deflate.
    Unless given, it is 256 MiB, and 32 MiB where that is more than 100 times what was sent.
    `response.request` must be set.

    >>> import zlib
    >>> response = httpx.Response(200, stream=httpx.ByteStream(zlib.compress(b"[1]")),
    ...     headers={"Content-Encoding": "deflate"}, request=httpx.Request("GET", "https://api"))
    >>> anyio.run(read, response)
    >>> anyio.run(response.aread)
    b'[1]'
    """
    headers = response.headers
    coded = "content-encoding" in headers
    if not coded and isinstance(response.stream, httpx.ByteStream):
        return
    body = await _collect(response, largest)
    codings: list[str] = []
    if coded:
        codings = headers.get_list("content-encoding", split_commas=True)
        codings = [coding for coding in codings if coding.lower() != "identity"]
        del headers["content-encoding"]
    if codings and (body or (response.status_code == 200 and response.request.method != "HEAD")):
        body = _decode(body, codings, largest, response)
        headers["content-length"] = str(len(body))
        headers.pop("transfer-encoding", None)
    elif not (
        "content-length" in headers
        or "transfer-encoding" in headers
        or response.extensions.get("http_version") == b"HTTP/2"  # whose frames say where it ends
    ):
        _check_end(body, response)
    response.stream = httpx.ByteStream(body)


def content(response: httpx.Response) -> bytes:
    """The body of a response that `read` has dealt with, but httpx not yet.

    >>> content(httpx.Response(200, stream=httpx.ByteStream(b"[]")))
    b'[]'
    """
    if isinstance(response.stream, httpx.ByteStream):
        return b"".join(response.stream)
    return response.content


async def _collect(response: httpx.Response, largest: int | None) -> bytes:
    stream = cast("httpx.AsyncByteStream", response.stream)
    largest = LARGEST if largest is None else largest
    chunks = []
    left = largest
    try:
        async for chunk in stream:
            left -= len(chunk)
            if left < 0:
                break
            chunks.append(chunk)
    except BaseException:
        with anyio.CancelScope(shield=True):
            await stream.aclose()
        raise
    await stream.aclose()
    if left < 0:
        raise BodyError(f"expected a body of at most {largest} bytes, got more", response)
    return b"".join(chunks)


def _decode(
    body: bytes, codings: list[str], largest: int | None, response: httpx.Response
) -> bytes:
    coding = codings[0].lower() if len(codings) == 1 else ""
    if coding in {"gzip", "x-gzip"}:
        window = 31
    elif coding == "deflate":
        # The zlib format (RFC 9110, 8.4.1.2), or without it, as "some non-conformant
        # implementations" there: the header's check bits tell.
        window = 15 if int.from_bytes(body[:2], "big") % 31 == 0 else -15
    else:
        got = ", ".join(codings)
        raise BodyError(f"expected one coding, gzip or deflate, got {got!r}", response)
    usual = min(LARGEST, max(_HARMLESS, _RATIO * len(body)))
    allowed = usual if largest is None else largest
    inflater = zlib_ng.decompressobj(window)
    parts = []
    size = 0
    rest = body
    while rest:
        if inflater.eof:
            if window != 31:
                raise _bad(f"junk after the {coding} stream", response)
            inflater = zlib_ng.decompressobj(window)  # gzip may be several (RFC 1952, 2.2)
        try:
            part = inflater.decompress(rest, min(_STEP, allowed - size + 1))
        except _Damaged as error:
            raise _bad(f"body is not {coding}: {error}", response) from error
        parts.append(part)
        size += len(part)
        if size > allowed:
            message = f"expected {len(body)} bytes of {coding} to hold at most {allowed} bytes"
            raise BodyError(f"{message}, got more", response)
        rest = inflater.unconsumed_tail or inflater.unused_data
    if not inflater.eof:
        raise _bad(f"{coding} stream was cut after {len(body)} bytes", response)
    return b"".join(parts)


def _check_end(body: bytes, response: httpx.Response) -> None:
    # Only the end of the connection ended this body, and a lost connection ends it likewise.
    kind = response.headers.get("content-type", "")
    if not (body or (response.status_code == 200 and response.request.method != "HEAD")):
        return
    if _LINES.search(kind) and response.is_success:
        message = f"expected a length or a checksum with lines of {kind}, got only the end"
        raise BodyError(f"{message} of the connection, after {len(body)} bytes", response)
    if "json" in kind and _is_cut(body.removeprefix(b"\xef\xbb\xbf")):
        message = f"JSON was cut after {len(body)} bytes: {where(response)}"
        raise httpx.RemoteProtocolError(message, request=response.request)


def _is_cut(text: bytes) -> bool:
    try:
        check_depth(text)
        msgspec.json.decode(text, type=msgspec.Raw)
    except msgspec.DecodeError as error:
        # Wrong at its end, or without one, such as `[1.`; malformed elsewhere, it would be so in
        # every attempt.
        return "truncated" in str(error) or str(error).endswith(f"(byte {len(text)})")
    except (RecursionError, UnicodeDecodeError):
        pass
    return False


def _bad(message: str, response: httpx.Response) -> httpx.DecodingError:
    return httpx.DecodingError(f"{message}: {where(response)}", request=response.request)
