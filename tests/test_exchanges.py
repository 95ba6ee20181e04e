"""Credentials are exchanged for a token with nobody else looking."""

from __future__ import annotations

import functools
import gzip
import time

import anyio
import httpx
import pytest

from blocks.client import client
from blocks.errors import AuthError, ConfigError, ForeignOrigin, RetryError
from blocks.exchanges import apart, endpoint, token_request
from blocks.fetch import pages
from blocks.limits import Rate
from blocks.oauth import ClientCredentials
from blocks.paginators import NextUrl
from blocks.retries import Retry
from tests.authority import Authority, answering, said
from tests.loopback import JSON, Answer, answer, serving

SECRET = "c4n4ry"

at_once = functools.partial(Retry, chance=lambda: 0.0)


def test_nothing_of_the_api_goes_along() -> None:
    """A token request has the timeout and the agent of the request that needs the token."""
    api = httpx.Request(
        "GET",
        "https://api.example.com/items?page=2",
        headers={"User-Agent": "us", "Cookie": "a=b", "X-Key": "k"},
        extensions={"timeout": {"read": 5.0}, "trace": print},
    )
    request = token_request(httpx.URL("https://login/token?v=1"), b"ab", {"X-A": "b"}, api)
    assert (request.method, str(request.url)) == ("POST", "https://login/token?v=1")
    assert dict(request.headers) == {
        "host": "login",
        "accept": "application/json",
        "content-length": "2",
        "user-agent": "us",
        "x-a": "b",
    }
    assert request.extensions == {
        "timeout": {"read": 5.0},
        "token_url": "https://login/token?v=1",
    }
    assert request.read() == b"ab"


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Go", "308 Go"])
@pytest.mark.parametrize("auth", ["basic", "post"])
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_redirect_takes_no_secret_along(status: str, auth: str, kind: str) -> None:
    """Not even with a client that follows them."""
    with (
        serving({"/": [answer(b'{"access_token": "evil"}')]}) as foreign,
        serving({"/token": [answer(status=status, headers=(("Location", foreign.url),))]}) as home,
    ):
        grant = ClientCredentials(f"{home.url}/token", "me", SECRET, client_auth=auth)  # type: ignore[arg-type]

        async def ask() -> None:
            async with httpx.AsyncClient(auth=grant, follow_redirects=True) as api:
                await api.get(f"{home.url}/items")

        def ask_here() -> None:
            with httpx.Client(auth=grant, follow_redirects=True) as api:
                api.get(f"{home.url}/items")

        with pytest.raises((AuthError, httpx.StreamConsumed)):
            anyio.run(ask) if kind == "async" else ask_here()
        assert home.hits("/items") == 0
        assert SECRET.encode() not in b"".join(foreign.requests)
        assert b"bWU6YzRuNHJ5" not in b"".join(foreign.requests)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_history_has_neither_the_secret_nor_the_token(kind: str) -> None:
    """httpx keeps what led to a response; of the exchange nothing is left there."""
    authority = Authority()
    histories: list[list[httpx.Response]] = []
    with answering(authority) as server:
        grant = ClientCredentials(f"{server.url}/token?v=1", "me", SECRET, client_auth="post")

        async def ask() -> None:
            async with httpx.AsyncClient(auth=grant) as api:
                histories.append((await api.get(f"{server.url}/items")).history)

        if kind == "async":
            anyio.run(ask)
        else:
            with httpx.Client(auth=grant) as api:
                histories.append(api.get(f"{server.url}/items").history)
        sent = server.seen[0]
    ((exchange,),) = histories
    assert (sent.target, sent.form["client_secret"]) == ("/token?v=1", SECRET)
    assert exchange.content == b""
    assert exchange.request.url.raw_path == b"/token"
    assert "authorization" not in exchange.request.headers
    assert exchange.request.read() == b""


def test_an_encoded_answer_is_read_once() -> None:
    """What is handed on is the decoded body."""
    body = gzip.compress(b'{"access_token": "t"}')
    coded = answer(body, headers=(*JSON, ("Content-Encoding", "gzip")))
    with serving({"/token": [coded], "/items": [answer()]}) as server:
        grant = ClientCredentials(f"{server.url}/token", "me", SECRET)
        with httpx.Client(auth=grant) as api:
            assert api.get(f"{server.url}/items").status_code == 200
        assert b"Bearer t\r\n" in server.requests[1]


def test_what_is_apart_is_whole() -> None:
    """Status, headers and body for who asked; the response itself is empty."""
    request = httpx.Request("POST", "https://login/token?v=1", content=SECRET)
    response = httpx.Response(201, headers={"X-A": "b"}, stream=httpx.ByteStream(b"x"))
    response.request = request
    alone = apart(response, b"x")
    assert (alone.status_code, alone.headers["x-a"], alone.content) == (201, "b", b"x")
    assert response.read() == b""
    assert response.request.read() == alone.request.read() == b""


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("login.example.com/token", "scheme and host"),
        ("ftp://login.example.com/token", "scheme and host"),
        ("https:///token", "scheme and host"),
        (f"https://me:{SECRET}@login.example.com/token", "without user"),
        ("https://login.example.com/token#top", "without user and fragment"),
        (f"https://login.example.com:{SECRET}", "got other text"),
    ],
)
def test_endpoints_that_cannot_work_are_refused(url: str, message: str) -> None:
    """At construction, without the secret in the text."""
    with pytest.raises(ConfigError, match=message) as caught:
        endpoint(url)
    assert SECRET not in str(caught.value)


@pytest.mark.anyio
async def test_a_token_endpoint_at_another_origin() -> None:
    """The token request may go there, and nothing but it; it passes limit, retries and timeout."""
    authority = Authority(answers=[answer(b"", "503 Busy", (("Retry-After", "0"),))])
    limit = Rate(1000)
    with (
        answering(authority) as login,
        answering(lambda request: said({"next": f"{login.url}/items"})) as server,
    ):
        auth = ClientCredentials(f"{login.url}/token", "me", SECRET)
        async with client(server.url, auth=auth, limit=limit, retry=at_once) as api:
            assert (await api.get("/items")).status_code == 200
            with pytest.raises(ForeignOrigin):
                await api.get(f"{login.url}/token")
            first = api.build_request("GET", "/items")
            with pytest.raises(ForeignOrigin):
                async for _ in pages(api, first, NextUrl("next")):
                    pass
        assert [request.path for request in login.seen] == ["/token", "/token"]
        assert all("authorization" in request.headers for request in server.seen)
    assert limit.statistics().calls == 4


GRANTED = said({"access_token": "t1", "token_type": "Bearer"})
# It is sent nothing, or a byte now and then, which no timeout of a single read would notice.
STUCK = {"silent": Answer(b"", "hang"), "dripping": Answer(GRANTED, drip=0.01)}


@pytest.mark.anyio
@pytest.mark.parametrize("how", STUCK)
@pytest.mark.parametrize("recovers", [False, True])
async def test_a_token_endpoint_that_is_stuck(how: str, recovers: bool) -> None:
    """The client's timeout holds for it, for a read and as a whole, and so do its retries."""
    timeout, attempts = 0.1, 2
    script = {"/token": [STUCK[how], GRANTED if recovers else STUCK[how]]}
    with serving(script) as login, serving({"/items": [answer()]}) as server:
        auth = ClientCredentials(f"{login.url}/token", "me", SECRET)
        retry = functools.partial(at_once, attempts=attempts)
        began = time.monotonic()
        async with client(server.url, auth=auth, retry=retry, timeout=timeout) as api:
            if recovers:
                assert (await api.get("/items")).status_code == 200
            else:
                with pytest.raises(RetryError, match=r"2 of 2 attempts .*: POST .*/token$") as got:
                    await api.get("/items")
                assert isinstance(got.value.__cause__, httpx.ReadTimeout)
        assert (login.hits("/token"), server.hits("/items")) == (2, recovers)
        waits = {"silent": timeout, "dripping": 5 * timeout}[how] * (1 if recovers else attempts)
        assert waits <= time.monotonic() - began < waits + 1


@pytest.mark.anyio
@pytest.mark.parametrize("status", ["302 Found", "307 Go", "308 Go"])
@pytest.mark.parametrize("where", ["another", "its own", "the API's"])
async def test_a_redirect_of_the_token_endpoint_leads_nowhere(status: str, where: str) -> None:
    """Neither to another origin nor to its own or the API's, also where they are followed."""
    with serving({"/": [answer()]}) as foreign, serving({"/elsewhere": [answer()]}) as server:
        targets = {
            "another": foreign.url,
            "its own": "/elsewhere",
            "the API's": server.url + "/elsewhere",
        }
        headers = (("Location", targets[where]),)
        with serving({"/token": [answer(b"", status, headers)], "/elsewhere": [answer()]}) as login:
            auth = ClientCredentials(f"{login.url}/token", "me", SECRET, client_auth="post")
            async with client(server.url, auth=auth) as api:
                with pytest.raises(AuthError, match=f"got no success .*status {status[:3]}"):
                    await api.get("/items")
                with pytest.raises(ForeignOrigin):
                    await api.get("/items", follow_redirects=True)
            assert [login.hits("/token"), login.hits("/elsewhere")] == [2, 0]
        assert foreign.requests == server.requests == []
