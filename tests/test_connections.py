"""Requests go out once, as httpx built them, over connections that come and go with their user."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import subprocess
import sys
import threading
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

import anyio
import anyio.to_thread
import httpx
import pytest
import trustme

from blocks.connections import Connections
from blocks.retries import classify
from tests.faults.server import Reply
from tests.faults.server import serving as speaking
from tests.loopback import Answer, Loopback, answer, serving

pytestmark = pytest.mark.anyio

SECRET = "c4n4ry"


def client(server: Loopback, **options: float) -> httpx.AsyncClient:
    """A client of the server, over our connections, with a secret in its header."""
    headers = {"Authorization": f"Bearer {SECRET}", "Accept-Encoding": "gzip"}
    return httpx.AsyncClient(
        transport=Connections(),
        base_url=server.url,
        headers=headers,
        timeout=httpx.Timeout(5.0, **options),
        trust_env=False,
    )


async def test_a_request_goes_out_as_httpx_built_it() -> None:
    """No quoting undone, no header added, no body changed."""
    with serving({"/a%2Fb%7E": [answer()]}) as server:
        async with client(server) as api:
            request = api.build_request("POST", "/a%2Fb%7E?q=a%3Ab%2Fc&e=%41+x", content=b"[1]")
            await api.send(request)
        sent = server.requests[0]
    head, _, body = sent.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    assert first == b"POST /a%2Fb%7E?q=a%3Ab%2Fc&e=%41+x HTTP/1.1"
    expected = [name.lower() + b": " + value for name, value in request.headers.raw]
    assert sorted(line.lower() for line in lines) == sorted(line.lower() for line in expected)
    assert body == b"[1]"


async def test_a_streamed_body_is_sent_with_its_length() -> None:
    """Read first: it must be at hand for another attempt anyway."""

    async def parts() -> AsyncIterator[bytes]:
        yield b"[1,"
        yield b"2]"

    with serving({"/": [answer()]}) as server:
        async with client(server) as api:
            await api.post("/", content=parts())
        assert server.requests[0].endswith(b"\r\n\r\n[1,2]")
        assert b"content-length: 5" in server.requests[0].lower()
        assert b"chunked" not in server.requests[0]


async def test_a_response_comes_as_it_was_sent() -> None:
    """Status, reason, header lines in order and undecoded body, large headers included."""
    headers = (("Content-Encoding", "gzip"), ("Link", "<a>"), ("Link", "<" + "b" * 20_000 + ">"))
    with serving({"/": [answer(b"raw bytes", "207 Many Things", headers)]}) as server:
        async with client(server) as api, api.stream("GET", "/") as response:
            assert [part async for part in response.aiter_raw()] == [b"raw bytes"]
    assert response.status_code == 207
    assert response.reason_phrase == "Many Things"
    assert response.headers.get_list("link") == ["<a>", headers[2][1]]


async def test_connections_are_used_again() -> None:
    """Two requests, one connection; a body not read to its end costs the connection."""
    big = answer(b"x" * 4_000_000)
    with serving({"/": [answer()], "/big": [big]}) as server:
        async with client(server) as api:
            await api.get("/")
            await api.get("/")
            async with api.stream("GET", "/big") as response:
                assert response.status_code == 200
            await api.get("/")
        assert server.connections == 2


async def test_cookies_are_httpx_s_alone() -> None:
    """A cookie taken out of the client's jar is not sent by another jar below it."""
    with serving({"/": [answer(headers=(("Set-Cookie", "a=1"),))]}) as server:
        async with client(server) as api:
            await api.get("/")
            await api.get("/")
            api.cookies.clear()
            await api.get("/")
        cookies = [b"cookie: a=1" in request.lower() for request in server.requests]
        assert cookies == [False, True, False]


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Answer(b"", "reset"), httpx.NetworkError),
        (Answer(b"", "close"), httpx.RemoteProtocolError),
        (Answer(answer(b"[1, 2]", length=100), "reset"), httpx.TransportError),
        (Answer(answer(b"[1, 2]", length=100), "close"), httpx.RemoteProtocolError),
        (Answer(answer(b"[1, 2]", length=100), "hang"), httpx.ReadTimeout),
        (Answer(b"", "hang"), httpx.ReadTimeout),
        (Answer(b"HTTP/9 what\r\n\r\n", "close"), httpx.RemoteProtocolError),
        (Answer(b"<html>", "close"), httpx.RemoteProtocolError),
        (answer(headers=(("X", "y" * 70_000),)), httpx.RemoteProtocolError),
        (
            answer(
                b"zz\r\n[]\r\n0\r\n\r\n", headers=(("Transfer-Encoding", "chunked"),), length=None
            ),
            httpx.RemoteProtocolError,
        ),
        (
            Answer(
                answer(b"9\r\n[1", headers=(("Transfer-Encoding", "chunked"),), length=None),
                "close",
            ),
            httpx.RemoteProtocolError,
        ),
    ],
)
async def test_a_fault_is_httpx_s_error_and_one_request(
    reply: Answer | bytes, error: type[Exception]
) -> None:
    """Never aiohttp's own, never a second request behind the caller's back, never a secret."""
    with serving({"/": [reply]}) as server:
        async with client(server, read=0.3) as api:
            with pytest.raises(error) as caught:
                await api.get("/", params={"key": SECRET})
        assert server.hits("/") == 1
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert SECRET not in shown


CHUNKED = (("Transfer-Encoding", "chunked"),)


@pytest.mark.parametrize(
    "said",
    [
        f"{SECRET} 200\r\n\r\n".encode(),
        f"HTTP/1.1 200 OK\r\n{SECRET} said\r\n\r\n".encode(),
        f"HTTP/1.1 200 OK\r\nX: a\0{SECRET}\r\n\r\n".encode(),
        f"HTTP/1.1 200 OK\r\nX: {SECRET * 20_000}\r\n\r\n".encode(),
        answer(f"5\r\nhello{SECRET}\r\n".encode(), headers=CHUNKED, length=None),
        answer(f"{SECRET}\r\nhello\r\n".encode(), headers=CHUNKED, length=None),
    ],
)
async def test_an_error_quotes_nothing_that_came(said: bytes) -> None:
    """aiohttp shows the bytes it does not like, and a server may repeat what it was sent."""
    with serving({"/": [Answer(said, "close")]}) as server:
        async with client(server) as api:
            with pytest.raises(httpx.RemoteProtocolError) as caught:
                await api.get("/")
    assert str(caught.value)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("pause", [0.0, 0.02])
async def test_a_response_nobody_asked_for_answers_nobody(pause: float) -> None:
    """Come behind another or to an idle connection, it would shift all answers after it by one."""
    replies = (Reply((answer(b"%d" % n), pause, answer(b'"evil"'))) for n in range(9))
    transport = Connections()
    async with (
        speaking(lambda _: next(replies)) as server,
        httpx.AsyncClient(transport=transport) as api,
    ):
        found: list[int] = []
        while len(found) < 3:
            try:
                found.append((await api.get(server.url)).json())
            except httpx.RemoteProtocolError as error:
                assert "nobody had asked for" in str(error)  # noqa: PT017 - only where late
            await anyio.sleep(5 * pause)
    assert found == [0, 1, 2]


async def test_a_server_that_is_not_there() -> None:
    """A connect error, and a connect timeout only when it was the time."""
    with serving({}) as server:
        url = server.url
    async with httpx.AsyncClient(transport=Connections(1), timeout=0.2) as api:
        with pytest.raises(httpx.ConnectError):
            await api.get(url)
    with serving({"/": [Answer(b"", "hang")]}) as server:
        async with (
            httpx.AsyncClient(transport=Connections(1)) as api,
            anyio.create_task_group() as group,
        ):

            async def get(error: type[Exception]) -> None:
                with pytest.raises(error):
                    await api.get(server.url, timeout=httpx.Timeout(0.4, pool=0.1))

            group.start_soon(get, httpx.ReadTimeout)
            await anyio.wait_all_tasks_blocked()
            group.start_soon(get, httpx.ConnectTimeout)


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        (f"gopher://127.0.0.1/{SECRET}", {}),
        (f"/{SECRET}", {}),
        ("", {"X": f"{SECRET}\r\nInjected: yes"}),
    ],
)
async def test_what_cannot_be_sent_is_said_without_the_value(
    url: str, headers: dict[str, str]
) -> None:
    """httpx's error for it, and nothing of URL or header in its text."""
    with serving({"/": [answer()]}) as server:
        async with Connections() as transport:
            request = httpx.Request("GET", url or server.url, headers=headers)
            with pytest.raises((httpx.UnsupportedProtocol, httpx.LocalProtocolError)) as caught:
                await transport.handle_async_request(request)
        assert server.requests == []
    assert SECRET not in "".join(traceback.format_exception(caught.value))


async def test_only_trusted_certificates_get_a_request() -> None:
    """By default certifi's, else what the context says; the reason is in the chain of causes."""
    authority = trustme.CA()
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(ours)
    with serving({"/": [answer()]}, ours) as server:
        async with client(server) as api:
            with pytest.raises(httpx.ConnectError) as caught:
                await api.get("/")
        assert server.requests == []
        assert classify(caught.value) == "fail"
        tls = ssl.create_default_context()
        authority.configure_trust(tls)
        async with httpx.AsyncClient(transport=Connections(tls=tls)) as api:
            assert (await api.get(server.url)).status_code == 200


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1")
@pytest.mark.parametrize("make", [Connections, httpx.AsyncHTTPTransport])
async def test_a_server_without_our_tls_is_asked_once(
    make: Callable[[], httpx.AsyncBaseTransport],
) -> None:
    """One of TLS 1.1 and one of none at all will have no other tomorrow."""
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    trustme.CA().issue_cert("127.0.0.1").configure_cert(old)
    with serving({}, old) as server, answering_once(b"HTTP/1.1 400 No\r\n\r\n") as plain:
        for url in (server.url, plain):
            async with httpx.AsyncClient(transport=make()) as api:
                with pytest.raises(httpx.ConnectError) as caught:
                    await api.get(url)
            assert classify(caught.value) == "fail"


@contextmanager
def answering_once(said: bytes) -> Iterator[str]:
    """An https URL at which `said` answers the first bytes that come."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(said)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(10)


async def fetch(transport: Connections, url: str) -> int:
    """The status of one GET."""
    response = await transport.handle_async_request(httpx.Request("GET", url))
    await response.aread()
    await response.aclose()
    return response.status_code


def test_one_object_serves_loop_after_loop() -> None:
    """Each event loop gets a pool of its own, and closes it."""

    async def main(transport: Connections, url: str) -> int:
        async with transport:
            return await fetch(transport, url)

    transport = Connections()
    with serving({"/": [answer()]}) as server:
        assert [asyncio.run(main(transport, server.url)) for _ in range(3)] == [200] * 3
        assert server.connections == 3


def test_closing_in_one_loop_closes_the_pools_of_others() -> None:
    """Where those loops run; there is nothing to close in one that does not."""
    transport, ready, leave = Connections(), threading.Event(), threading.Event()

    async def other() -> None:
        await fetch(transport, server.url)
        ready.set()
        await anyio.to_thread.run_sync(leave.wait)

    async def main() -> None:
        await fetch(transport, server.url)
        await transport.aclose()
        await transport.aclose()

    with serving({"/": [answer()]}) as server:
        thread = threading.Thread(target=anyio.run, args=[other])
        thread.start()
        assert ready.wait(10)
        asyncio.run(main())
        server.closed(2)
        leave.set()
        thread.join()


async def test_garbage_closes_its_connections() -> None:
    """Forgotten on a running loop, an object leaves no socket and no warning behind."""
    with serving({"/": [answer()]}) as server:
        transport = Connections()
        await fetch(transport, server.url)
        del transport
        gc.collect()
        with anyio.fail_after(10):
            await anyio.to_thread.run_sync(server.closed, 1)


def run(code: str, *arguments: str) -> tuple[int, str, str]:
    """What a program printed, warnings being errors."""
    child = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )
    return child.returncode, child.stdout, child.stderr


PROGRAM = """
import sys, os
from blocks.client import client
from blocks.fetch import pages
from blocks.network import prefetch

api = client(sys.argv[1])

def get():
    request = api.build_request("GET", "/")
    return [page.status_code for page in prefetch(pages(api, request, lambda page: None))]

print(*get())
"""


def test_a_program_may_just_end() -> None:
    """An open client at exit is closed without a word."""
    with serving({"/": [answer()]}) as server:
        assert run(PROGRAM, server.url) == (0, "200\n", "")


def test_a_fork_has_connections_of_its_own() -> None:
    """Parent and child go on with the same client, neither in the other's way."""
    fork = """
sys.stdout.flush()
child = os.fork()
if not child:
    print(*get())
    del api
    sys.exit()
os.waitpid(child, 0)
print(*get())
"""
    with serving({"/": [answer()]}) as server:
        assert run(PROGRAM + fork, server.url) == (0, "200\n200\n200\n", "")
        assert server.connections == 2


def test_repr_is_the_expression() -> None:
    """What is printed can be pasted."""
    assert repr(Connections(8)) == "Connections(8)"


def test_what_a_loop_left_open_is_not_hidden() -> None:
    """Nobody can close the sockets of a loop that is gone: aiohttp's warning stands."""
    code = """
import asyncio, sys, httpx
from blocks.connections import Connections

transport = Connections()

async def main():
    await transport.handle_async_request(httpx.Request("GET", sys.argv[1]))

asyncio.run(main())
del transport
"""
    with serving({"/": [answer()]}) as server:
        status, _, complaint = run(code, server.url)
    assert status == 0
    assert "Unclosed client session" in complaint
