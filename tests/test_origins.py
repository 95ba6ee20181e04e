"""Credentials stay at home: two origins on loopback, and what the second one gets to see."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from blocks.auth import Basic, Bearer, HeaderKey, QueryKey
from blocks.client import client
from blocks.connections import Connections
from blocks.downloads import storage
from blocks.errors import BlocksError, ForeignOrigin, PagingError, StatusError
from blocks.fetch import gather, pages
from blocks.paginators import LinkHeader, NextToken, NextUrl, PageNumber, Paginator
from blocks.places import FormBody, Header, JsonBody
from blocks.requests import path
from blocks.stops import TotalPages, Until
from tests.loopback import JSON, Loopback, answer, serving

SECRET = "c4n4ry"
BASIC = "bWU6YzRuNHJ5"  # me:c4n4ry

CREDENTIALS: dict[str, Callable[[], dict[str, Any]]] = {
    "Bearer": lambda: {"auth": Bearer(SECRET)},
    "Basic": lambda: {"auth": Basic("me", SECRET)},
    "HeaderKey": lambda: {"auth": HeaderKey(SECRET)},
    "QueryKey": lambda: {"auth": QueryKey(SECRET)},
    "headers": lambda: {"headers": {"X-Token": SECRET}},
    "cookies": lambda: {"headers": {"Cookie": f"sid={SECRET}"}},
}


def bare(base_url: str, **options: Any) -> httpx.AsyncClient:
    """httpx's own client, without the guard that ours has."""
    return httpx.AsyncClient(base_url=base_url, trust_env=False, timeout=10, **options)


# What the URL of the next page may look like: {own} and {other} are host and port.
ELSEWHERE = {
    "port": "http://{other}/items",
    "host": "http://localhost:{other_port}/items",
    "scheme": "https://{own}/items",
    "no scheme": "//{other}/items",
    "user": "http://{own}@{other}/items",
    "password": "http://x:y@{own}/items",
    "case": "HTTP://{other}/items",
    "backslash": "\\\\{other}/items",
    "number": "http://2130706433:{other_port}/items",
}


def place(form: str, own: Loopback, other: Loopback) -> str:
    """The URL of that form."""
    return ELSEWHERE[form].format(
        own=own.url.removeprefix("http://"),
        other=other.url.removeprefix("http://"),
        other_port=other.url.rpartition(":")[2],
    )


async def follow_all(api: httpx.AsyncClient, paginator: Paginator) -> int:
    """How many pages there were."""
    async with api:
        found = [page async for page in pages(api, api.build_request("GET", "/items"), paginator)]
    return len(found)


def saw_secret(server: Loopback) -> bool:
    """Whether a credential was in what the server was sent."""
    said = b"".join(server.requests)
    return SECRET.encode() in said or BASIC.encode() in said


@pytest.mark.parametrize("form", ELSEWHERE)
@pytest.mark.parametrize("how", ["body", "link", "location"])
@pytest.mark.parametrize("make", [client, bare], ids=["ours", "httpx"])
@pytest.mark.parametrize("credential", CREDENTIALS)
def test_no_next_link_takes_credentials_elsewhere(
    credential: str, make: Callable[..., httpx.AsyncClient], how: str, form: str
) -> None:
    """Another port, host or scheme is not even connected to, whichever client follows the link."""
    script: dict[str, list[bytes]] = {}
    with serving({"/items": [answer(b"{}")]}) as other, serving(script) as own:
        url = place(form, own, other)
        headers = {"link": [("Link", f"<{url}>; rel=next")], "location": [("Location", url)]}
        body = json.dumps({"next": url if how == "body" else None}).encode()
        script["/items"] = [answer(body, headers=[*JSON, *headers.get(how, [])])]
        paginators: dict[str, Paginator] = {
            "body": NextUrl("next"),
            "link": LinkHeader(),
            "location": NextUrl(Header("Location")),
        }
        with pytest.raises(ForeignOrigin) as caught:
            asyncio.run(follow_all(make(own.url, **CREDENTIALS[credential]()), paginators[how]))
        assert SECRET not in str(caught.value)
        assert (saw_secret(own), len(own.requests)) == (True, 1)
        assert (other.connections, own.connections) == (0, 1)


@pytest.mark.parametrize("credential", CREDENTIALS)
def test_credentials_go_along_at_home(credential: str) -> None:
    """The next page of the same origin is asked for with the same credentials, once."""
    script = {"/items": [answer(b'{"next": "?page=2"}'), answer(b'{"next": null}')]}
    with serving(script) as own:
        assert asyncio.run(
            follow_all(client(own.url, **CREDENTIALS[credential]()), NextUrl("next"))
        )
        first, second = own.requests
        for request in (first, second):
            assert request.count(SECRET.encode()) + request.count(BASIC.encode()) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize("credential", CREDENTIALS)
def test_no_redirect_takes_credentials_elsewhere(
    credential: str, follow: bool, status: int
) -> None:
    """They are not followed elsewhere; who switches that on still stays within the origin."""
    script: dict[str, list[bytes]] = {}
    with serving({"/items": [answer(b"{}")]}) as other, serving(script) as own:
        location = ("Location", f"{other.url}/items")
        script["/items"] = [answer(b"", f"{status} Moved", [location])]
        api = client(own.url, **CREDENTIALS[credential]())
        api.follow_redirects = follow
        with pytest.raises(ForeignOrigin if follow else StatusError):
            asyncio.run(follow_all(api, NextUrl("next")))
        assert (saw_secret(own), other.connections) == (True, 0)


@pytest.mark.parametrize("credential", CREDENTIALS)
def test_a_redirect_followed_by_hand_takes_nothing_along(credential: str) -> None:
    """Another origin is asked only by who says so, with a client that has no credentials."""

    async def main(own: Loopback) -> Any:
        async with (
            client(own.url, **CREDENTIALS[credential]()) as api,
            storage(transport=Connections()) as files,
        ):
            answered = await api.get("/file")
            with pytest.raises(ForeignOrigin):
                await api.get(answered.headers["Location"])
            return (await files.get(answered.headers["Location"])).json()

    script: dict[str, list[bytes]] = {}
    with serving({"/x": [answer(b"[1]")]}) as other, serving(script) as own:
        script["/file"] = [answer(b"", "302 Found", [("Location", f"{other.url}/x?signature=1")])]
        assert asyncio.run(main(own)) == [1]
        assert (saw_secret(own), saw_secret(other), len(other.requests)) == (True, False, 1)


@pytest.mark.parametrize("credential", CREDENTIALS)
def test_no_job_takes_credentials_elsewhere(credential: str) -> None:
    """A server says where the result of a job is; our client asks there only within the origin."""

    async def main(own: Loopback) -> None:
        async with client(own.url, **CREDENTIALS[credential]()) as api:
            created = await api.post("/jobs", json={})
            await api.get(created.headers["Location"])

    script: dict[str, list[bytes]] = {}
    with serving({"/result": [answer(b"{}")]}) as other, serving(script) as own:
        script["/jobs"] = [
            answer(b"{}", "202 Accepted", [*JSON, ("Location", f"{other.url}/result")])
        ]
        with pytest.raises(ForeignOrigin):
            asyncio.run(main(own))
        assert (saw_secret(own), other.connections) == (True, 0)


@asynccontextmanager
async def opened(own: Loopback) -> AsyncIterator[httpx.AsyncClient]:
    """A client of ours."""
    async with client(own.url, auth=Bearer(SECRET)) as api:
        yield api


def test_ids_reach_no_other_endpoint() -> None:
    """An id that looks like a path or a query arrives as one part of the path, byte for byte."""
    quoted = "/users/a%2F..%2Fb%3Fx%3D1/posts"

    async def main(own: Loopback) -> None:
        async with opened(own) as api:
            first = api.build_request("GET", path("/users/{}/posts", "a/../b?x=1"))
            assert [page async for page in pages(api, first, NextUrl("next"))]

    with serving({quoted: [answer()]}) as own:
        asyncio.run(main(own))
        assert [request.split(b" ")[1] for request in own.requests] == [quoted.encode()]


@pytest.mark.parametrize("text", ["a\r\nX-Evil: 1\r\n\r\nGET /evil HTTP/1.1", "a\nb", "a\0b"])
@pytest.mark.parametrize(
    "paginator",
    [
        NextUrl("next"),
        NextToken("next", Header("X-Cursor")),
        NextToken("next", "cursor"),
        NextToken("next", FormBody("cursor")),
        NextToken("next", JsonBody("cursor")),
    ],
    ids=repr,
)
def test_no_cursor_breaks_out(paginator: Paginator, text: str) -> None:
    """Line ends in what a server sends are refused, or quoted where they may be."""
    script = {"/items": [answer(json.dumps({"next": text}).encode()), answer(b"{}")]}
    quoted = isinstance(paginator, NextToken) and not isinstance(paginator.target, Header)

    async def main(own: Loopback) -> None:
        async with opened(own) as api:
            target = getattr(paginator, "target", None)
            body: dict[str, Any] = {"json": {}}
            if isinstance(target, FormBody):
                body = {"data": {"q": "1"}}
            first = api.build_request("POST", "/items", **body)
            assert [page async for page in pages(api, first, paginator)]

    with serving(script) as own:
        if quoted:
            asyncio.run(main(own))
        else:
            with pytest.raises(PagingError, match=r"^(?!.*Evil)"):
                asyncio.run(main(own))
        for request in own.requests:
            head, _, _ = request.partition(b"\r\n\r\n")
            assert b"\r\nX-Evil" not in head
            assert head.count(b"HTTP/1.1") == 1
        assert len(own.requests) == (2 if quoted else 1)


def test_pages_at_once_stay_at_home() -> None:
    """A paginator that leads elsewhere is stopped by the client before anything is sent."""

    async def main(own: Loopback, other: Loopback) -> None:
        class Elsewhere:
            inner = Until(PageNumber(records="data"), TotalPages("n"))

            def follows(self, response: httpx.Response, request: httpx.Request | None) -> bool:
                return self.inner.follows(response, request)

            def total(self, response: httpx.Response) -> int:
                return self.inner.total(response)

            def rest(self, response: httpx.Response) -> Any:
                for request in self.inner.rest(response):
                    request.url = httpx.URL(f"{other.url}/items?page=2")
                    yield request

        async with opened(own) as api:
            first = api.build_request("GET", "/items")
            assert [page async for page in gather(api, first, Elsewhere(), at_once=4)]

    with (
        serving({"/items": [answer(b"{}")]}) as other,
        serving({"/items": [answer(b'{"data": [1], "n": 3}')]}) as own,
    ):
        with pytest.raises(BlocksError):
            asyncio.run(main(own, other))
        assert other.connections == 0
