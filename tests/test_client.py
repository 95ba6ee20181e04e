"""One client for one API: everything at its place, and nothing for anybody else."""

from __future__ import annotations

import functools
import gzip
import json
import logging
import subprocess
import sys
import time
from collections.abc import Generator

import anyio
import httpx
import pytest

from blocks import events
from blocks.bodies import Whole
from blocks.client import SameOrigin, client
from blocks.connections import Connections
from blocks.errors import BodyError, ConfigError, ForeignOrigin, RetryError, StatusError
from blocks.fetch import check, pages
from blocks.limits import Rate
from blocks.network import prefetch
from blocks.paginators import NextUrl
from blocks.quotas import XRateLimit
from blocks.retries import Retry
from blocks.rules import Judged, Status, Value
from tests.loopback import JSON, Answer, answer, serving

SECRET = "c4n4ry"

# Retries as they are, but without their waits.
at_once = functools.partial(Retry, chance=lambda: 0.0)


class Bearer(httpx.Auth):
    """A credential in its header."""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add it."""
        request.headers["Authorization"] = f"Bearer {SECRET}"
        yield request


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com/items",
        "https://API.EXAMPLE.COM:443/items",
        "/items",
        "items?page=2",
    ],
)
@pytest.mark.anyio
async def test_requests_to_the_origin_pass(url: str) -> None:
    """Default ports and letters' case make no other origin."""
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json={}))
    async with client("https://api.example.com", transport=transport) as api:
        assert (await api.get(url)).status_code == 200


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example.com/items",
        "http://api.example.com/items",
        "https://api.example.com:8443/items",
        "https://api.example.com.evil.org/",
        "https://api.example.com./items",
        "https://user:pass@api.example.com/items",
        "https://api.example.com@evil.org/",
        "//evil.example.com/items",
        "ftp://api.example.com/",
        "http://2130706433/",
    ],
)
@pytest.mark.anyio
async def test_requests_elsewhere_are_not_sent(url: str) -> None:
    """Whoever built them: an error before a byte, the query and credentials not in its text."""
    sent: list[httpx.Request] = []

    def anybody(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200)

    transport = httpx.MockTransport(anybody)
    async with client("https://api.example.com", auth=Bearer(), transport=transport) as api:
        request = httpx.Request("GET", httpx.URL("https://api.example.com").join(url))
        request.url = request.url.copy_merge_params({"key": SECRET})
        with pytest.raises(ForeignOrigin) as caught:
            await api.send(request)
    assert sent == []
    assert SECRET not in str(caught.value)
    assert "user:pass" not in str(caught.value)


@pytest.mark.anyio
@pytest.mark.parametrize("url", ["https://login.example.org/token", "https://api.example.com/x"])
async def test_a_request_for_a_token_goes_to_its_own_url_alone(url: str) -> None:
    """Wherever that is; to another one, as a redirect would make it, not even at home."""
    at_home = SameOrigin(
        httpx.MockTransport(lambda _: httpx.Response(200)), "https://api.example.com"
    )
    request = httpx.Request("POST", url, extensions={"token_url": url})
    assert (await at_home.handle_async_request(request)).status_code == 200
    for other in ("https://evil.example.com/token", "https://api.example.com/items"):
        request = httpx.Request("POST", other, extensions={"token_url": url})
        with pytest.raises(ForeignOrigin):
            await at_home.handle_async_request(request)


@pytest.mark.anyio
async def test_redirects_to_http_or_https_are_the_callers_to_follow() -> None:
    """Whole URLs in any case: a response, with its request, whatever transport is below."""
    found = iter(["https://api.example.com/x", "HTTP://api.example.com/x", "javascript:alert(1)"])

    def away(_: httpx.Request) -> httpx.Response:
        return httpx.Response(302, headers={"Location": next(found)})

    at_home = SameOrigin(httpx.MockTransport(away), "https://api.example.com")
    request = httpx.Request("GET", "https://api.example.com/items")
    for _ in range(2):
        assert (await at_home.handle_async_request(request)).request is request
    with pytest.raises(ForeignOrigin, match=r"GET api\.example\.com/items"):
        await at_home.handle_async_request(request)


@pytest.mark.anyio
async def test_redirects_lead_nowhere_else() -> None:
    """At home they are followed; elsewhere not even where somebody switches that on."""
    with (
        serving({"/": [answer()]}) as foreign,
        serving(
            {
                "/": [answer(status="302 Found", headers=(("Location", "/home"),))],
                "/away": [answer(status="307 Go", headers=(("Location", foreign.url + "/"),))],
                "/home": [answer(b"[1]")],
            }
        ) as server,
    ):
        async with client(server.url, auth=Bearer()) as api:
            assert (await api.get("/")).json() == [1]
            assert (await api.get("/", follow_redirects=True)).json() == [1]
            assert (await api.get("/away")).status_code == 307
            with pytest.raises(ForeignOrigin):
                await api.get("/away", follow_redirects=True)
        assert foreign.requests == []


@pytest.mark.anyio
@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize("scheme", ["javascript", "MAILTO", "file", "data", "gopher"])
async def test_redirects_to_other_schemes_are_refused(scheme: str, follow: bool) -> None:
    """By an error of ours: of some, httpx has none but a ValueError."""
    away = answer(status="302 Found", headers=(("Location", f"{scheme}:alert(1)"),))
    with serving({"/": [away]}) as server:
        async with client(server.url) as api:
            with pytest.raises(ForeignOrigin, match=f"got one to {scheme}"):
                await api.get("/", follow_redirects=follow)


def test_pages_through_every_fault() -> None:
    """The whole chain against a server that fails in every way: all rows, once, in order."""

    def page(number: int, following: str | None) -> bytes:
        return json.dumps({"rows": [number] * 3, "next": following}).encode()

    zipped = gzip.compress(page(3, "/4"))
    coding = (*JSON, ("Content-Encoding", "gzip"))
    script: dict[str, list[Answer | bytes]] = {
        "/1": [
            Answer(b"", "reset"),
            Answer(b"", "close"),
            answer(b"try later", "503 Busy", (("Retry-After", "0"),)),
            answer(page(1, "/2")),
        ],
        "/2": [
            answer(b"slow down", "429 Slow Down", (("Retry-After", "0"),)),
            Answer(answer(page(2, "/3"), length=999), "close"),
            Answer(answer(page(2, "/3")[:20], length=None), "close"),
            Answer(answer(page(2, "/3"), length=999), "reset"),
            answer(page(2, "/3")),
        ],
        "/3": [
            answer(zipped[:-6], headers=coding),
            answer(zipped + b"junk", headers=coding),
            answer(zipped, headers=coding),
        ],
        "/4": [
            answer(b"<h1>Oops</h1>", "502 Bad Gateway", (("Content-Type", "text/html"),)),
            Answer(answer(page(4, None), length=None), "close"),
        ],
    }
    with serving(script) as server:
        api = client(server.url, auth=Bearer(), limit=Rate(1000), retry=at_once)
        found = [
            page.json()["rows"]
            for page in prefetch(pages(api, api.build_request("GET", "/1"), NextUrl("next")))
        ]
        hits = [server.hits(path) for path in script]
    assert found == [[1] * 3, [2] * 3, [3] * 3, [4] * 3]
    assert hits == [4, 5, 3, 2]


@pytest.mark.anyio
async def test_a_dripping_server_does_not_hold_an_attempt() -> None:
    """Each byte is in time, the whole is not: five times `timeout` ends it."""
    with serving({"/": [Answer(answer(b"[" + b"1," * 500 + b"1]"), drip=0.02)]}) as server:
        async with client(server.url, timeout=0.05, retry=lambda transport: transport) as api:
            with anyio.fail_after(10), pytest.raises(httpx.ReadTimeout, match=r"within 0\.25 s"):
                await api.get("/")


@pytest.mark.anyio
@pytest.mark.parametrize("judged", [False, True])
async def test_how_large_a_body_may_be_is_a_setting(judged: bool) -> None:
    """One that inflates a thousandfold is refused, or read by who says so, and told of once."""
    wire = gzip.compress(b"[" + b" " * (33 << 20) + b"]")
    seen = list[events.Event]()
    larger: httpx.AsyncBaseTransport = Whole(Connections(), largest=64 << 20)
    if judged:
        larger = Judged(larger, Value("ok", False))
    zipped = answer(wire, headers=(*JSON, ("Content-Encoding", "gzip")))
    with serving({"/": [zipped]}) as server:
        async with client(server.url) as api:
            with pytest.raises(BodyError, match="to hold at most 33554432 bytes, got more"):
                await api.get("/")
        async with client(server.url, transport=larger) as api:
            stop = events.listen(seen.append)
            sizes = [len((await api.get("/")).content) for _ in range(2)]
            stop()
    assert sizes == [(33 << 20) + 2] * 2
    assert [type(event) for event in seen] == [events.Sent, events.Answered] * 2


@pytest.mark.anyio
async def test_a_limit_said_as_a_403_is_waited_for() -> None:
    """GitHub's primary limit: nothing left, a reset as an epoch, by the server's own clock."""
    date, there = "Tue, 02 Jun 2026 12:00:00 GMT", 1780401600
    over = (
        *(("Date", date), ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", str(there + 1))),
    )
    script = {"/": [answer(b'{"message": "API rate limit"}', "403 No", over), answer(b"[1]")]}
    limit = Rate(1000, quotas=XRateLimit("epoch"))
    with serving(script) as server:
        async with client(server.url, limit=limit, retry=at_once) as api:
            began = time.monotonic()
            assert (await api.get("/")).json() == [1]
    assert time.monotonic() - began >= 1
    assert limit.statistics().pauses == 1


@pytest.mark.anyio
async def test_a_limit_said_as_a_403_is_no_refused_credential() -> None:
    """Told to wait longer than the total: an error that says so; with no retries a StatusError."""
    over = (("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "7200"))
    script = {"/": [answer(b"{}", "403 No", over)]}
    limit = Rate(1000, quotas=XRateLimit("seconds"))
    with serving(script) as server:
        async with client(server.url, limit=limit) as api:
            with pytest.raises(RetryError, match="told to wait 7200 s"):
                await api.get("/")
        async with client(server.url, limit=limit, retry=lambda transport: transport) as api:
            response = await api.get("/")
            with pytest.raises(StatusError, match="got a rate limit by 0 left"):
                check(response)


@pytest.mark.anyio
async def test_rules_reach_everything_above() -> None:
    """A body that says throttled, one not ready yet, one that is empty by its status, over HTTP."""
    script: dict[str, list[Answer | bytes]] = {
        "/1": [
            answer(b'{"ok": false, "error": "ratelimited"}'),
            answer(b'{"ok": true, "rows": [1], "next": "/2"}'),
        ],
        "/2": [
            answer(b'{"status": "running"}', "202 Accepted"),
            answer(b'{"ok": true, "rows": [2], "next": "/3"}'),
        ],
        "/3": [answer(b"<h1>none</h1>", "404 Not Found", (("Content-Type", "text/html"),))],
        "/4": [answer(b'{"ok": false, "error": "no_such_channel"}')],
    }
    rules = (
        Value("error", "ratelimited", "limited"),
        *(Status(202, "retry"), Status(404, "skip"), Value("ok", False)),
    )
    limit, counts = Rate(1000), events.Counts()
    stop = events.listen(counts)
    with serving(script) as server:
        judged = Judged(Connections(), *rules, empty=b'{"rows": []}')
        async with client(server.url, limit=limit, retry=at_once, transport=judged) as api:
            first = api.build_request("GET", "/1")
            rows = [page.json()["rows"] async for page in pages(api, first, NextUrl("next"))]
            with pytest.raises(BodyError, match="got a failure by Value"):
                check(await api.get("/4"))
    stop()
    assert rows == [[1], [2], []]
    assert limit.statistics().pauses == 1
    found = counts.read()
    expected = {"pages": 3, "requests": 6, "retries": 2, "skips": 1}
    assert {name: found[name] for name in expected} == expected
    assert SECRET not in str(found)


@pytest.mark.anyio
async def test_events_tell_no_secrets() -> None:
    """Key in the query, token in the header, neither in any event of a run with faults."""
    script: dict[str, list[Answer | bytes]] = {
        "/": [Answer(b"", "close"), answer(status="429 Slow"), answer(b"[]")]
    }
    seen = list[events.Event]()
    stop = events.listen(seen.append)
    with serving(script) as server:
        url, limit = server.url, Rate(10)
        async with client(url, auth=Bearer(), limit=limit, retry=at_once) as api:
            await api.get("/", params={"key": SECRET})
    stop()
    kinds = [type(event).__name__ for event in seen]
    assert {*kinds} == {"Sent", "Failed", "Answered", "Retried", "Waited"}
    assert kinds.count("Sent") == 3
    assert SECRET not in repr(seen)


@pytest.mark.anyio
async def test_attempts_run_out_with_the_reason_in_the_chain() -> None:
    """A server that always hangs up is a RetryError, over httpx's own error."""
    with serving({"/": [Answer(b"", "close")]}) as server:
        async with client(server.url, retry=at_once) as api:
            with pytest.raises(RetryError) as caught:
                await api.get("/")
        assert server.hits("/") == 5
    assert isinstance(caught.value.__cause__, httpx.RemoteProtocolError)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_all_but_the_connections_run_on_trio(anyio_backend: str) -> None:
    """With httpx's own transport below."""
    with serving({"/": [Answer(b"", "close"), answer(b"[1]")]}) as server:
        transport = httpx.AsyncHTTPTransport()
        async with client(server.url, limit=Rate(1000), retry=at_once, transport=transport) as api:
            assert (await api.get("/")).json() == [1]


@pytest.mark.anyio
async def test_what_is_sent_besides() -> None:
    """gzip is what we can bound; the agent says who asks; both, as anything, may be replaced."""
    with serving({"/v1/items": [answer()]}) as server:
        async with client(server.url + "/v1", headers={"X-Version": "3"}) as api:
            await api.get("/items")
            await api.get("items", headers={"User-Agent": "mine"})
        first, second = (request.decode().lower() for request in server.requests)
    assert "\r\naccept-encoding: gzip\r\n" in first
    assert "\r\nuser-agent: dlt-blocks/" in first
    assert "\r\nx-version: 3\r\n" in first
    assert "\r\nuser-agent: mine\r\n" in second


@pytest.mark.anyio
async def test_cookies_are_kept() -> None:
    """Those that a response sets, and those set by hand, go along from then on."""
    sets = [answer(headers=[("Set-Cookie", f"sid={value}; Path=/")]) for value in "ab"]
    with serving({"/": [sets[0], answer(), answer(), sets[1], answer()]}) as server:
        async with client(server.url) as api:
            await api.get("/")
            await api.get("/")
            api.cookies = {"shop": "x"}  # as httpx has it: in the place of all others
            for _ in range(3):
                await api.get("/")
    sent = [request.decode().lower().partition("\r\ncookie: ")[2] for request in server.requests]
    cookies = [text.partition("\r\n")[0] for text in sent]
    assert cookies == ["", "sid=a", "shop=x", "shop=x", "shop=x; sid=b"]


@pytest.mark.anyio
async def test_the_environment_is_not_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy set there sees a request."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with serving({"/": [answer()]}) as server:
        async with client(server.url) as api:
            assert (await api.get("/")).status_code == 200


@pytest.mark.anyio
async def test_httpcore_logs_no_headers_of_responses(caplog: pytest.LogCaptureFixture) -> None:
    """A server may repeat in a link the key it was sent; cookies are in them, too."""
    caplog.set_level("DEBUG")
    headers = [*JSON, ("Link", f'</items?key={SECRET}&page=2>; rel="next"')]
    with serving({"/items": [answer(headers=headers)]}) as server:
        async with client(server.url, transport=httpx.AsyncHTTPTransport()) as api:
            assert SECRET in (await api.get("/items")).headers["link"]
    assert "httpcore" in caplog.text
    assert SECRET not in caplog.text


@pytest.mark.anyio
async def test_httpx_logs_no_query(caplog: pytest.LogCaptureFixture) -> None:
    """Its line for each request has the path, not the key behind it."""
    caplog.set_level("INFO")
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json={}))
    for _ in range(2):
        async with client("https://api.example.com", transport=transport) as api:
            await api.get("/items", params={"key": SECRET})
    assert "https://api.example.com/items" in caplog.text
    assert SECRET not in caplog.text
    logging.getLogger("httpx").info("%(other)s pass", {"other": "others"})
    assert caplog.messages[-1] == "others pass"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("api.example.com", "needs a scheme and a host"),
        ("/v1", "needs a scheme and a host"),
        ("https:///v1", "needs a scheme and a host"),
        ("ftp://api.example.com", "needs a scheme and a host"),
        (f"https://me:{SECRET}@api.example.com", "credentials go into `auth`"),
        (f"https://api.example.com?key={SECRET}", "credentials go into `auth`"),
        ("https://api.example.com#top", "credentials go into `auth`"),
    ],
)
def test_a_base_url_that_cannot_work_is_refused(url: str, message: str) -> None:
    """Said at construction, without the secret in it."""
    with pytest.raises(ConfigError, match=message) as caught:
        client(url)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_a_timeout_that_cannot_work_is_refused(timeout: float) -> None:
    """For ever is not on offer."""
    with pytest.raises(ConfigError, match="more than 0"):
        client("https://api.example.com", timeout=timeout)


def test_repr_shows_the_chain() -> None:
    """What guards what."""
    guarded = SameOrigin(Whole(httpx.MockTransport(lambda _: httpx.Response(200))), "http://h/v1")
    assert repr(guarded).startswith("SameOrigin(Whole(")
    assert repr(guarded).endswith(", 'http://h:80')")


def test_a_forgotten_client_is_closed_in_silence() -> None:
    """Client after client in one process: no open sockets, no warnings."""
    code = """
import gc, os, sys
from blocks.client import client
from blocks.fetch import pages
from blocks.network import prefetch

for _ in range(5):
    api = client(sys.argv[1])
    request = api.build_request("GET", "/")
    assert len(list(prefetch(pages(api, request, lambda page: None)))) == 1
    del api
    gc.collect()
"""
    with serving({"/": [answer()]}) as server:
        child = subprocess.run(
            [sys.executable, "-W", "error", "-c", code, server.url],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (child.returncode, child.stderr) == (0, "")
        server.closed(5)


@pytest.mark.anyio
async def test_each_attempt_waits_its_turn() -> None:
    """Retries count against the limit like everything else."""
    limit, statuses = Rate(1000), iter([502, 502, 502, 200])
    transport = httpx.MockTransport(lambda request: httpx.Response(next(statuses), json={}))
    url = "https://api.example.com"
    async with client(url, limit=limit, retry=at_once, transport=transport) as api:
        assert (await api.get("/")).status_code == 200
    assert limit.statistics().calls == 4
