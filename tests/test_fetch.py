"""Page after page until the last, and never fewer in silence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest

from blocks.errors import AuthError, BodyError, PagingError, PagingLoop, StatusError
from blocks.fetch import check, pages
from blocks.paginators import NextToken, NextUrl

URL = "https://api.example.com/items"
SECRET = "c4n4ry"

Paginator = Callable[[httpx.Response], httpx.Request | None]


async def paths(
    links: Mapping[str, Any], paginator: Paginator, at_most: int | None = None
) -> list[str]:
    """The paths and queries asked for, where path p is answered with {"next": links[p]}."""
    asked: list[str] = []

    def api(request: httpx.Request) -> httpx.Response:
        assert len(asked) < 100
        asked.append(request.url.raw_path.decode())
        return httpx.Response(200, json={"next": links[asked[-1]]})

    async with httpx.AsyncClient(transport=httpx.MockTransport(api)) as client:
        first = client.build_request("GET", "https://api.example.com/1")
        seen = [
            page.url.raw_path.decode()
            async for page in pages(client, first, paginator, at_most=at_most)
        ]
    assert seen == asked
    return seen


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_pages_follow_the_paginator_to_its_end(anyio_backend: str) -> None:
    """One page or many, in order."""
    assert await paths({"/1": None}, NextUrl("next")) == ["/1"]
    links = {"/1": "/2", "/2": "/3", "/3": None}
    assert await paths(links, NextUrl("next")) == ["/1", "/2", "/3"]
    assert await paths(links, NextUrl("next"), at_most=3) == ["/1", "/2", "/3"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("links", "paginator"),
    [
        ({"/1": "/1"}, NextUrl("next")),
        ({"/1": "/2", "/2": "/1"}, NextUrl("next")),
        ({"/1": "/2", "/2": "/3", "/3": "/2"}, NextUrl("next")),
        ({"/1": "a", "/1?after=a": "a"}, NextToken("next", "after")),
        ({"/1": "a", "/1?after=a": "b", "/1?after=b": "a"}, NextToken("next", "after")),
    ],
)
async def test_a_request_already_sent_is_a_loop(
    links: Mapping[str, Any], paginator: Paginator
) -> None:
    """The API would send us in circles: an error when the first request would repeat."""
    with pytest.raises(PagingLoop) as caught:
        await paths(links, paginator)
    assert isinstance(caught.value.response, httpx.Response)


@pytest.mark.anyio
async def test_a_loop_is_said_with_its_place() -> None:
    """Which page, which request, which response led there."""
    with pytest.raises(
        PagingLoop, match=r"number 3, repeats .*: GET api\.example\.com/1"
    ) as caught:
        await paths({"/1": "/2", "/2": "/1"}, NextUrl("next"))
    assert str(caught.value).endswith("(GET api.example.com/2, status 200)")


@pytest.mark.anyio
async def test_other_bodies_are_other_requests() -> None:
    """A token that travels in the body of a POST to one URL makes each request its own."""

    def api(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"next": len(request.content) % 4})

    def paginator(page: httpx.Response) -> httpx.Request | None:
        if len(page.request.content) == 3:
            return None
        return httpx.Request("POST", URL, content=page.request.content + b"x")

    async with httpx.AsyncClient(transport=httpx.MockTransport(api)) as client:
        first = client.build_request("POST", URL, content=b"x")
        found = [page.json()["next"] async for page in pages(client, first, paginator)]
    assert found == [1, 2, 3]


@pytest.mark.anyio
async def test_a_page_too_many_is_an_error() -> None:
    """A cap that was reached is said, not taken for the end."""
    links = {f"/{number}": f"/{number + 1}" for number in range(1, 99)}
    with pytest.raises(PagingError, match="at most 3 pages, got a next one"):
        await paths(links, NextUrl("next"), at_most=3)


def page(
    content: bytes = b"{}",
    kind: str | None = "application/json",
    status: int = 200,
    request: httpx.Request | None = None,
) -> httpx.Response:
    """The response to a request with a secret in its query."""
    request = request or httpx.Request("GET", URL, params={"key": SECRET})
    headers = {"Content-Type": kind} if kind else {}
    return httpx.Response(status, content=content, headers=headers, request=request)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        *((AuthError, status) for status in (401, 403)),
        *((StatusError, s) for s in (300, 302, 304, 400, 404, 410, 418, 429, 500, 503, 206)),
    ],
)
def test_what_is_no_success_is_an_error(error: type[Exception], status: int) -> None:
    """With the place, without the query."""
    with pytest.raises(error, match=rf"GET api\.example\.com/items, status {status}") as caught:
        check(page(status=status))
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "kind", "got"),
    [
        (b"<html>", "text/html; charset=utf-8", "text/html"),
        (b"a,b", "text/csv", "text/csv"),
        (b"<!doctype html>", "application/json", "HTML or XML"),
        (b"\xef\xbb\xbf\r\n <error/>", None, "HTML or XML"),
        (b"", "application/json", "nothing"),
        (b"", None, "nothing"),
        (b" \n", "application/json", "nothing"),
    ],
)
def test_what_is_no_json_is_an_error(content: bytes, kind: str | None, got: str) -> None:
    """Also with status 200, where some APIs apologize in HTML."""
    with pytest.raises(BodyError, match=f"expected JSON, got {got}"):
        check(page(content, kind))


@pytest.mark.parametrize(
    "kind",
    [
        *("application/json", "Application/JSON; charset=utf-8", "application/vnd.api+json"),
        *("application/x-ndjson", "text/json", "application/problem+json", None),
    ],
)
def test_the_json_family_passes(kind: str | None) -> None:
    """As does no type at all."""
    check(page(kind=kind))


def test_a_part_that_was_asked_for_passes() -> None:
    """206 answers a range."""
    request = httpx.Request("GET", URL, headers={"Range": "bytes=0-99"})
    check(page(status=206, request=request))
