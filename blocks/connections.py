"""Connections: the pool under the ready-made client, aiohttp worn as an httpx transport."""

from __future__ import annotations

import asyncio
import atexit
import os
import re
import socket
import ssl
import weakref
from concurrent.futures import wait
from typing import TYPE_CHECKING, TypeAlias

import aiohttp
import httpx
import yarl

from blocks.addresses import is_public
from blocks.errors import ForeignOrigin, where

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType

    from aiohttp.connector import AddrInfoType, Connection

__all__ = ["Connections"]

# A Link header with long cursors passes aiohttp's 8 KiB; h11, under httpx, allows 100.
_HEADER_BYTES = 64 * 2**10
# A page comes in few steps: 490 kB cost a fifth less CPU than in pieces of 16 KiB
# (bench/transports.py, httpx-aiohttp).
_READ_BYTES = 2**19
# Where aiohttp's messages begin to quote what the server sent.
_QUOTE = re.compile(r":?\s*\n|:? b['\"]")


class Connections(httpx.AsyncBaseTransport):
    """Up to `count` pooled HTTP/1.1 connections, one pool for each event loop that uses them.

    A request is sent once, byte for byte as httpx built it. Pools open when first used, so one
    object serves `asyncio.run` after `asyncio.run`, and forked children. They close with `aclose`;
    those of running loops also when the object is garbage-collected. Of TLS, certifi's authorities
    are trusted, or what `tls` says. No proxy, `.netrc` or environment variable is heeded. Needs
    asyncio.

    With `public`, no address but those of the public internet (`blocks.addresses`) is connected to:
    `ForeignOrigin`, whatever the URL and its name said. For URLs that somebody else has chosen.

    Why not `httpx_aiohttp.AiohttpTransport`, which showed the way: version 0.2 reports a lost
    connection as a connect timeout, has aiohttp repeat a GET behind the limiter's back, rewrites
    URLs (`%2F` in a query becomes `/`, which breaks signed ones), keeps a second cookie jar, and
    lets aiohttp's errors through, whose text holds the credentials. Each of these is a test here.
    """

    def __init__(
        self, count: int = 100, *, tls: ssl.SSLContext | None = None, public: bool = False
    ) -> None:
        self._count = count
        self._tls = tls
        self._public = public
        self._pools = _Pools()
        weakref.finalize(self, self._pools.close).atexit = False

    def __repr__(self) -> str:
        return f"Connections({self._count}{', public=True' if self._public else ''})"

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The head of the response; its body comes through the stream."""
        try:
            return await self._answer(request)
        except _NotPublicError:
            message = f"expected a host on the public internet: {where(request)}"
            raise ForeignOrigin(f"{message}, got one of another network; not sent") from None
        except httpx.TransportError as error:
            raise _without_frames(error)  # noqa: B904 - it is the same

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        content = await request.aread()
        timeout = request.extensions.get("timeout", {})
        if request.url.scheme == "https" and self._tls is None:
            self._tls = httpx.create_ssl_context(trust_env=False)
        with _httpx_errors:
            response = await self._session().request(
                request.method,
                yarl.URL(str(request.url), encoded=True),
                headers=[
                    (name.decode("ascii"), value.decode("latin-1"))
                    for name, value in request.headers.raw
                    if name.lower()
                    != b"transfer-encoding"  # the content is read: its length is known
                ],
                data=content or None,
                allow_redirects=False,
                ssl=self._tls or True,
                server_hostname=request.extensions.get("sni_hostname"),
                timeout=aiohttp.ClientTimeout(
                    connect=timeout.get("pool"),
                    sock_connect=timeout.get("connect"),
                    sock_read=timeout.get("read"),
                ),
            )
        return httpx.Response(
            response.status,
            headers=response.raw_headers,
            stream=_Stream(response),
            request=request,
            extensions={"reason_phrase": (response.reason or "").encode("ascii", "ignore")},
        )

    async def aclose(self) -> None:
        """Close the pools; a later request opens new ones."""
        session = self._pools.pop(asyncio.get_running_loop(), None)
        if session is not None:
            await session.close()
        self._pools.close()

    def _session(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        session = self._pools.get(loop)
        if session is None:
            session = self._pools[loop] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self._count, socket_factory=_public_socket if self._public else None
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
                auto_decompress=False,
                read_bufsize=_READ_BYTES,
                max_line_size=_HEADER_BYTES,
                max_field_size=_HEADER_BYTES,
                middlewares=(_once,),
                request_class=_Request,
            )
        return session


class _NotPublicError(OSError):
    """An address that is not of the public internet; aiohttp goes on to a host's next one."""


def _public_socket(info: AddrInfoType) -> socket.socket:
    # Made for the very address that is connected to next: what the name led to before, or will
    # lead to, is of no importance, and neither is how the address was written.
    family, kind, protocol, _, (address, *_) = info
    if not is_public(str(address)):
        raise _NotPublicError("not of the public internet")
    return socket.socket(family, kind, protocol)


class _Request(aiohttp.ClientRequest):
    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        # aiohttp closes a connection with a second response behind the first, but not one to which
        # it came while idle in the pool: each request from then on would get the answer to the one
        # before. As a lost connection it costs an attempt, and nothing else.
        if conn.protocol is not None and len(conn.protocol):
            raise aiohttp.ServerDisconnectedError("a response came that nobody had asked for")
        return await super().send(conn)


class _Stream(httpx.AsyncByteStream):
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            with _httpx_errors:
                chunk = await self._response.content.readany()
            if not chunk:
                return
            yield chunk

    async def aclose(self) -> None:
        self._response.close()  # after the last byte the connection is back in its pool already


async def _once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    # aiohttp sends an idempotent request again when the connection was lost, but only upon errors
    # of its own: translated here, a request on the wire stays one turn of the limiter.
    with _httpx_errors:
        return await handler(request)


# The first that fits. aiohttp's classes overlap: a failed certificate is a ClientOSError, too.
_ERRORS: tuple[tuple[type[Exception], type[httpx.TransportError]], ...] = (
    (aiohttp.ClientConnectorError, httpx.ConnectError),
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout),
    (aiohttp.ServerTimeoutError, httpx.ReadTimeout),
    (aiohttp.ServerDisconnectedError, httpx.RemoteProtocolError),
    (aiohttp.ClientPayloadError, httpx.RemoteProtocolError),
    (aiohttp.ClientResponseError, httpx.RemoteProtocolError),
    (aiohttp.InvalidURL, httpx.UnsupportedProtocol),
    (aiohttp.NonHttpUrlClientError, httpx.UnsupportedProtocol),
    (aiohttp.ClientError, httpx.NetworkError),
    (OSError, httpx.NetworkError),
    (ValueError, httpx.LocalProtocolError),  # line breaks in a header
)


def _without_frames(error: httpx.TransportError) -> httpx.TransportError:
    # The variables of aiohttp's are the headers that were sent; tools that report errors show them.
    seen: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in seen:
        seen.append(current.with_traceback(None))
        current = current.__cause__ or current.__context__
    return error


class _HttpxErrors:
    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None or isinstance(error, _NotPublicError):
            return
        if isinstance(error.__cause__, _NotPublicError):
            raise error.__cause__ from None
        ours = next((ours for theirs, ours in _ERRORS if isinstance(error, theirs)), None)
        if ours is None:
            return
        if isinstance(error, aiohttp.ClientResponseError | aiohttp.ClientPayloadError):
            # The text of the first has the URL, its repr all headers sent; both quote what came.
            said = error.message if isinstance(error, aiohttp.ClientResponseError) else str(error)
            raise ours(_QUOTE.split(said)[0] or type(error).__name__) from None
        if ours in {httpx.UnsupportedProtocol, httpx.LocalProtocolError}:
            raise ours("the request cannot be sent: bad URL or header") from None
        raise ours(str(error) or type(error).__name__) from error


_httpx_errors = _HttpxErrors()


class _Pools(dict[asyncio.AbstractEventLoop, aiohttp.ClientSession]):
    """The sessions of one `Connections`, by loop; apart from it, so that they can outlive it."""

    def __init__(self) -> None:
        super().__init__()
        _alive[id(self)] = self

    def close(self) -> None:
        # Runs in any thread, the loop's own included, whenever the collector says: never waits.
        while self:
            loop, session = self.popitem()
            if loop.is_running():
                loop.call_soon_threadsafe(_close, loop, session)


_alive: weakref.WeakValueDictionary[int, _Pools] = weakref.WeakValueDictionary()
_closing: set[asyncio.Task[None]] = set()
_Inherited: TypeAlias = list[dict[asyncio.AbstractEventLoop, aiohttp.ClientSession]]
_inherited: _Inherited = []


def _close(loop: asyncio.AbstractEventLoop, session: aiohttp.ClientSession) -> None:
    task = loop.create_task(session.close())
    _closing.add(task)
    task.add_done_callback(_closing.discard)


@atexit.register
def _close_all() -> None:
    # Loops in daemon threads are still running here; a second is plenty to close idle sockets.
    open_pools = [item for pools in _alive.values() for item in pools.items()]
    wait(
        [
            asyncio.run_coroutine_threadsafe(session.close(), loop)
            for loop, session in open_pools
            if loop.is_running()
        ],
        timeout=1.0,
    )


def _leave_to_parent() -> None:
    # The child shares the parent's sockets and selector: closing or collecting would disturb them.
    for pools in _alive.values():
        _inherited.append(dict(pools))
        pools.clear()


os.register_at_fork(after_in_child=_leave_to_parent)
