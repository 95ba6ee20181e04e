"""Redirects: followed at home with everything, elsewhere by name, with nothing of ours."""

from __future__ import annotations

import functools
import itertools
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from blocks.auth import Bearer, QueryKey
from blocks.client import client
from blocks.connections import Connections
from blocks.credentials import CredentialPool
from blocks.errors import BlocksError, ConfigError, ForeignOrigin, StatusError
from blocks.fetch import pages
from blocks.limits import Rate
from blocks.paginators import NextUrl, PageNumber, Paginator
from blocks.redirects import Redirects, RedirectsTo
from blocks.retries import Retry
from blocks.rules import Judged, Status
from blocks.signing import Signed
from tests.authority import Received, answering
from tests.loopback import JSON, answer, serving

pytestmark = pytest.mark.anyio

SECRET = "c4n4ry"
GOOD = answer(b'{"rows": [1], "next": null}')
STATUSES = [301, 302, 303, 307, 308]

# Retries as they are, but without their waits.
at_once = functools.partial(Retry, chance=lambda: 0.0)


def away(location: str, status: int = 302, *more: tuple[str, str]) -> bytes:
    """A redirect."""
    return answer(b"", f"{status} See There", [("Location", location), *more])


def allowed(*urls: str) -> RedirectsTo:
    """Connections that follow redirects to `urls`, this machine's own included."""
    return RedirectsTo(Connections(), urls, through=Connections())


def lines(requests: list[bytes]) -> list[str]:
    """Method and target of each request."""
    return [" ".join(request.decode("latin-1").split(" ", 2)[:2]) for request in requests]


async def read(api: httpx.AsyncClient, url: str, paginator: Paginator) -> list[Any]:
    """All pages from `url` on, parsed."""
    first = api.build_request("GET", url)
    return [page.json() async for page in pages(api, first, paginator)]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("status", STATUSES)
async def test_reads_are_followed_within_the_origin(status: int, method: str) -> None:
    """With the method and the credentials, however the URL is written."""
    script = {
        "/v1/a": [away("b?x=1", status)],
        "/v1/b": [away("/c%2Fd?y=1#end", status)],
        "/e": [answer(b"")],
    }
    with serving(script) as server:
        script["/c%2Fd"] = [away(server.url.replace("http", "HTTP") + "/e?z=a,b", status)]
        async with client(server.url, auth=Bearer(SECRET)) as api:
            assert (await api.request(method, "/v1/a?page=1")).status_code == 200
        targets = ["/v1/a?page=1", "/v1/b?x=1", "/c%2Fd?y=1", "/e?z=a,b"]
        assert lines(server.requests) == [f"{method} {target}" for target in targets]
        assert all(f"Bearer {SECRET}".encode() in request for request in server.requests)


@pytest.mark.parametrize("status", STATUSES)
async def test_a_post_stays_a_post(status: int) -> None:
    """307 and 308 take method and body along; the others are answers, and no pages."""
    with serving({"/a": [away("/b", status)], "/b": [GOOD]}) as server:
        async with client(server.url) as api:
            answered = await api.post("/a", json={"q": 1})
            if status in {307, 308}:
                assert answered.json()["rows"] == [1]
                assert [request[-7:] for request in server.requests] == [b'{"q":1}'] * 2
                assert lines(server.requests) == ["POST /a", "POST /b"]
                return
            assert (answered.status_code, answered.headers["location"]) == (status, "/b")
            with pytest.raises(StatusError, match=f"a redirect that is not followed .* {status}"):
                async for _ in pages(api, api.build_request("POST", "/a"), NextUrl("next")):
                    pass
        assert server.hits("/b") == 0


async def test_a_body_that_was_a_stream_is_not_sent_again() -> None:
    """Without retries, which keep it, it is gone with the first request."""

    async def body() -> AsyncIterator[bytes]:
        yield b"{}"

    with serving({"/a": [away("/b", 307)]}) as server:
        # httpx's own sends the stream as it is; ours has to know its length.
        transport = Redirects(httpx.AsyncHTTPTransport())
        async with httpx.AsyncClient(transport=transport, base_url=server.url) as api:
            headers = {"Content-Length": "2"}
            assert (await api.post("/a", content=body(), headers=headers)).status_code == 307


async def test_over_any_transport() -> None:
    """Connections that leave it to the client to say what was asked; here there is none."""
    with serving({"/a": [away("/b?x=1")], "/b": [GOOD]}) as server:
        transport = Redirects(httpx.AsyncHTTPTransport())
        request = httpx.Request("GET", server.url + "/a")
        response = await transport.handle_async_request(request)
        assert (await response.aread(), response.request) == (
            b'{"rows": [1], "next": null}',
            request,
        )
        await response.aclose()
        await transport.aclose()


async def test_each_hop_is_a_request_like_any_other() -> None:
    """It waits for its turn, is tried again, and is signed anew."""
    script = {
        "/a": [answer(b"", "503 Busy"), away("/b", 307)],
        "/b": [answer(b"", "502 Bad Gateway"), answer(b"", "500 Oops"), GOOD],
    }
    numbers = itertools.count()

    def sign(request: httpx.Request) -> None:
        request.headers["X-Signature"] = f"{request.method} {request.url.path} {next(numbers)}"

    limit = Rate(1000)
    with serving(script) as server:
        transport = Signed(Connections(), sign)
        async with client(server.url, limit=limit, retry=at_once, transport=transport) as api:
            assert (await api.post("/a", content=b"x")).status_code == 503
            assert (await api.get("/a")).json()["rows"] == [1]
        signatures = [Received(request).headers["x-signature"] for request in server.requests[1:]]
        assert signatures == ["GET /a 1", "GET /b 2", "GET /b 3", "GET /b 4"]
    assert limit.statistics().calls == 5


@pytest.mark.parametrize(
    ("script", "requests"),
    [
        ({"/a": [f"/a?key={SECRET}"]}, 1),
        ({"/a": ["/b"], "/b": [f"/a?key={SECRET}"]}, 2),
        ({"/a": [f"/a?key={SECRET}&n={number}" for number in range(20)]}, 11),
    ],
)
async def test_no_redirects_without_end(
    script: dict[str, list[str]], requests: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Circles are seen where they close, long ways are cut; nothing tells a query."""
    caplog.set_level(logging.DEBUG)
    served = {path: [away(url) for url in urls] for path, urls in script.items()}
    with serving(served) as server:
        async with client(server.url) as api:
            with pytest.raises(StatusError, match="redirects") as caught:
                await api.get("/a", params={"key": SECRET})
        assert len(server.requests) == requests
    assert caught.value.response.status_code == 302
    assert SECRET not in f"{caught.value} {caught.value!r} {caplog.text}"


@pytest.mark.parametrize("repeated", ["", f"&api_key={SECRET}", f"&token={SECRET}"])
async def test_a_key_in_the_query_goes_along(repeated: str) -> None:
    """Once, whether the server repeats it or not; what pages carry is without."""
    script = {
        "/a": [away(f"/b?page=1{repeated}"), away(f"/a?page=2{repeated}")],
        "/b": [answer(b'{"next": ""}'), answer(b'{"next": "?page=2"}'), GOOD],
    }
    with serving(script) as server:
        async with client(server.url, auth=QueryKey(SECRET)) as api:
            answered = await api.get("/a?page=1")
            assert str(answered.request.url) == f"{server.url}/a?page=1"
            with pytest.raises(StatusError, match="circles"):
                await api.get("/a?page=2")
            assert len(await read(api, "/b?page=1", NextUrl("next"))) == 2
        key = f"&api_key={SECRET}"
        targets = [target.removeprefix("GET ") for target in lines(server.requests)]
        expected = ["/a?page=1", "/b?page=1", "/a?page=2", "/b?page=1", "/b?page=2"]
        assert targets == [target + key for target in expected]


async def test_relative_links_are_relative_to_where_the_page_is() -> None:
    """RFC 3986: not to where it was asked for."""
    script = {
        "/items": [away("/v2/all/?page=1", 308)],
        "/v2/all/": [answer(b'{"next": "?page=2"}'), answer(b'{"next": "more"}')],
        "/v2/all/more": [GOOD],
    }
    with serving(script) as server:
        async with client(server.url, auth=QueryKey(SECRET)) as api:
            assert len(await read(api, "/items", NextUrl("next"))) == 3
        sent = [Received(request).path for request in server.requests]
        assert sent == ["/items", "/v2/all/", "/v2/all/", "/v2/all/more"]


async def test_counted_pages_are_asked_for_as_the_first() -> None:
    """Another may be redirected elsewhere: RFC 9110 has clients keep the URL they had."""
    empty = answer(b'{"rows": []}')
    script = {
        "/items": [away("/one?signature=1"), away("/two?signature=2")],
        "/one": [GOOD],
        "/two": [empty],
    }
    with serving(script) as server:
        async with client(server.url) as api:
            assert len(await read(api, "/items?q=1&page=1", PageNumber(records="rows"))) == 2
        assert lines(server.requests) == [
            "GET /items?q=1&page=1",
            "GET /one?signature=1",
            "GET /items?q=1&page=2",
            "GET /two?signature=2",
        ]


async def test_what_a_rule_has_marked_is_not_followed() -> None:
    """Whoever wants to see redirects says so."""
    with serving({"/a": [away("/b")], "/b": [GOOD]}) as server:
        transport = Judged(Connections(), Status(302, "ok"))
        async with client(server.url, transport=transport) as api:
            assert (await api.get("/a")).status_code == 302


@pytest.mark.parametrize(
    "locations",
    [["/b", "/b"], [], ["\\b"], ["http://[::1"], ["http://x@b.test/b"], ["//c.test"]],
)
@pytest.mark.parametrize("make", [Redirects, lambda inner: RedirectsTo(inner, ["http://b.test"])])
async def test_odd_locations_are_not_followed(
    make: Callable[[httpx.AsyncBaseTransport], httpx.AsyncBaseTransport], locations: list[str]
) -> None:
    """Two, none, what is no URL, or one with a user; one elsewhere is for those who allow it."""
    headers = [("Location", location) for location in locations]
    inner = httpx.MockTransport(lambda _: httpx.Response(302, headers=headers))
    request = httpx.Request("GET", "http://127.0.0.1/a")
    assert (await make(inner).handle_async_request(request)).status_code == 302


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("status", STATUSES)
async def test_an_origin_that_was_named_gets_nothing_of_ours(status: int, method: str) -> None:
    """Neither headers nor the key that the API repeats; it sets no cookie."""
    body = b"[1]" if method == "GET" else b""
    files = answer(body, headers=[*JSON, ("Set-Cookie", "sid=evil")])
    with serving({"/f": [files]}) as other:

        def handle(request: Received) -> bytes:
            return away(f"{other.url}/f?sig=a%2Fb&{request.target.partition('?')[2]}", status)

        with answering(handle) as server:
            sent = {"X-Token": SECRET, "Cookie": f"a={SECRET}", "Range": "bytes=0-9"}
            auth, transport = QueryKey(SECRET), allowed(other.url)
            async with client(server.url, auth=auth, headers=sent, transport=transport) as api:
                answered = await api.request(method, "/x", params={"n": 1})
                assert (answered.status_code, answered.content) == (200, body)
                assert str(answered.request.url) == f"{server.url}/x?n=1"
                assert not api.cookies
            assert SECRET.encode() in server.requests[0]
        assert lines(other.requests) == [f"{method} /f?sig=a%2Fb&n=1"]
        names = {*Received(other.requests[0]).headers}
        assert names == {"host", "accept", "accept-encoding", "range", "user-agent"}


async def test_files_on_the_way_are_asked_for_anew() -> None:
    """A link that has expired is replaced by the retry; only the API's requests take turns."""
    script = {"/f1": [answer(b"", "503 Busy")], "/f2": [away("/f3")], "/f3": [GOOD]}
    limit = Rate(1000)
    with serving(script) as other:
        mine = {"/x": [away("/y")], "/y": [away(f"{other.url}/f1"), away(f"{other.url}/f2")]}
        with serving(mine) as server:
            transport = allowed(other.url)
            async with client(server.url, limit=limit, retry=at_once, transport=transport) as api:
                assert (await api.get("/x")).json()["rows"] == [1]
            assert lines(server.requests) == ["GET /x", "GET /y", "GET /y"]
        assert lines(other.requests) == ["GET /f1", "GET /f2", "GET /f3"]
    assert limit.statistics().calls == 3


async def test_pages_elsewhere_lead_back_home_only_by_count() -> None:
    """The next number is asked for at home; a link is relative to the other, and refused."""
    script = {
        "/f1": [answer(b'{"rows": [1], "next": "?page=2"}')],
        "/f2": [answer(b'{"rows": []}')],
    }
    with serving(script) as other:
        mine = [away(f"{other.url}/f1"), away(f"{other.url}/f2"), away(f"{other.url}/f1")]
        with serving({"/x": mine}) as server:
            async with client(server.url, transport=allowed(other.url)) as api:
                assert len(await read(api, "/x?page=1", PageNumber(records="rows"))) == 2
                with pytest.raises(ForeignOrigin):
                    await read(api, "/x", NextUrl("next"))
        assert len(other.requests) == 3


@pytest.mark.parametrize("form", ["not named", "port", "scheme", "home", "script", "down"])
async def test_one_that_was_named_leads_to_nobody_else(form: str) -> None:
    """Neither to others nor back home, where we would come without credentials."""
    script: dict[str, list[bytes]] = {}
    with serving(script) as server, serving({"/": [GOOD]}) as third, serving(script) as other:
        script["/x"] = [away(f"{other.url}/f")]
        target = {
            "not named": third.url.replace("127.0.0.1", "localhost"),
            "port": third.url,
            "scheme": other.url.replace("http", "https"),
            "home": f"{server.url}/y",
            "script": "javascript:alert(1)",
            "down": f"{other.url}/f",
        }[form]
        script["/f"] = [away(target)]
        async with client(server.url, transport=allowed(other.url)) as api:
            with pytest.raises(BlocksError, match=r"GET 127\.0\.0\.1:[0-9]+/f, status 302"):
                await api.get("/x")
        assert (len(server.requests), len(other.requests), third.connections) == (1, 1, 0)


async def test_https_is_not_left_for_http() -> None:
    """Not even by name, on the first hop or on a later one."""
    secure = httpx.MockTransport(lambda _: httpx.Response(302, headers={"Location": "http://f/x"}))
    transport = RedirectsTo(secure, ["http://f", "https://g"], through=secure)
    async with client("https://api.example.com", transport=transport) as api:
        assert (await api.get("/x")).status_code == 302
    first = httpx.MockTransport(lambda _: httpx.Response(302, headers={"Location": "https://g/x"}))
    transport = RedirectsTo(first, ["http://f", "https://g"], through=secure)
    async with client("https://api.example.com", transport=transport) as api:
        with pytest.raises(ForeignOrigin, match="origin that was named"):
            await api.get("/x")


@pytest.mark.parametrize("status", STATUSES)
async def test_nothing_but_reads_goes_elsewhere(status: int) -> None:
    """A body may be worth as much as a credential."""
    with serving({"/f": [GOOD]}) as other, serving({"/x": [away("/", status)]}) as server:
        server.script["/x"][0] = away(f"{other.url}/f", status)  # type: ignore[index]
        async with client(server.url, transport=allowed(other.url)) as api:
            assert (await api.post("/x", json={"key": SECRET})).status_code == status
        assert other.connections == 0


async def test_timeouts_hold_elsewhere_and_nothing_else_of_a_request() -> None:
    """Extensions may be anybody's, such as another name for the certificate."""
    given: list[dict[str, Any]] = []

    def files(request: httpx.Request) -> httpx.Response:
        given.append(request.extensions)
        return httpx.Response(200)

    first = httpx.MockTransport(lambda _: httpx.Response(302, headers={"Location": "http://f/x"}))
    transport = RedirectsTo(first, ["http://f"], through=httpx.MockTransport(files))
    for extensions in ({"timeout": {"read": 5.0}, "sni_hostname": "api"}, {"trace": print}):
        request = httpx.Request("GET", "http://api/x", extensions=extensions)
        assert (await transport.handle_async_request(request)).request is request
    assert given == [{"timeout": {"read": 5.0}}, {}]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_names_do_not_open_private_networks(host: str) -> None:
    """Named by whom ever, this machine is connected to only where that is said, too."""
    with serving({"/f": [GOOD]}) as other:
        url = other.url.replace("127.0.0.1", host)
        with serving({"/x": [away(f"{url}/f?key={SECRET}")]}) as server:
            transport = RedirectsTo(Connections(), [url])
            async with client(server.url, transport=transport, retry=at_once) as api:
                with pytest.raises(ForeignOrigin, match="public internet") as caught:
                    await api.get("/x")
        assert other.connections == 0
    assert SECRET not in str(caught.value)


async def test_signatures_and_pooled_keys_stay_below() -> None:
    """Right above the connections it sees what others add: none of that is passed on."""
    with serving({"/f": [GOOD]}) as other:

        def handle(request: Received) -> bytes:
            return away(f"{other.url}/f?{request.target.partition('?')[2]}")

        def sign(request: httpx.Request) -> None:
            request.headers["X-Signature"] = SECRET

        with answering(handle) as server:
            for transport in (
                Signed(allowed(other.url), sign),
                CredentialPool(allowed(other.url), [QueryKey(SECRET)]),
            ):
                async with client(server.url, transport=transport) as api:
                    assert (await api.get("/x?n=1")).json()["rows"] == [1]
            assert all(SECRET.encode() in request for request in server.requests)
        assert SECRET.encode() not in b"".join(other.requests)


@pytest.mark.parametrize(
    ("origins", "message"),
    [
        ("https://files.example.com", "expected scheme and host"),
        (["files.example.com"], "expected scheme and host"),
        (["ftp://files.example.com"], "expected scheme and host"),
        (["https://files.example.com/x"], "scheme, host and port alone"),
        (["https://files.example.com?x=1"], "scheme, host and port alone"),
        (["https://files.example.com#x"], "scheme, host and port alone"),
        ([f"https://me:{SECRET}@files.example.com"], "scheme, host and port alone"),
        ([f"https://files.example.com:{SECRET}"], "expected URLs, got other text"),
    ],
)
def test_origins_that_cannot_work_are_refused(origins: Any, message: str) -> None:
    """Said at construction, without a secret in it."""
    with pytest.raises(ConfigError, match=message) as caught:
        RedirectsTo(Connections(), origins)
    assert SECRET not in str(caught.value)


async def test_both_are_closed() -> None:
    """What the transports wear, and what they look like."""

    class Closing(httpx.AsyncBaseTransport):
        closed = 0

        def __repr__(self) -> str:
            return "Closing()"

        async def aclose(self) -> None:
            self.closed += 1

    inner = Closing()
    transport = Redirects(RedirectsTo(inner, ["https://files.example.com"], through=inner))
    async with httpx.AsyncClient(transport=transport):
        pass
    assert inner.closed == 2
    shown = "RedirectsTo(Closing(), ['https://files.example.com:443'], through=Closing())"
    assert repr(transport) == f"Redirects({shown})"
