"""Page after page until the last, and never fewer in silence."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks import events
from blocks.errors import (
    AuthError,
    BodyError,
    ConfigError,
    PagingError,
    PagingLoop,
    StatusError,
)
from blocks.fetch import check, gather, pages
from blocks.limits import Limited, Rate
from blocks.network import prefetch
from blocks.outcomes import Verdict, mark
from blocks.paginators import NextToken, NextUrl, Offset, PageNumber, turn
from blocks.places import Header
from blocks.stops import Flag, TotalPages, TotalRows, Until

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


@pytest.mark.anyio
async def test_an_answer_past_the_last_page_is_no_page() -> None:
    """Where the caller says how it looks; the first answer is always taken for a page."""

    def api(request: httpx.Request) -> httpx.Response:
        number = int(request.url.params.get("page", 1))
        found = httpx.Response(200, json={"data": [number]})
        return found if number < 3 else httpx.Response(404)

    def past(answer: httpx.Response) -> bool:
        return answer.status_code == 404

    paginator = PageNumber(records="data")
    async with httpx.AsyncClient(transport=httpx.MockTransport(api)) as client:
        first = client.build_request("GET", URL)
        seen: list[int] = []
        await numbers(pages(client, first, paginator, past=past), seen)
        assert seen == [1, 2]
        with pytest.raises(StatusError):
            await numbers(pages(client, first, paginator), [])
        first = client.build_request("GET", URL, params={"page": 9})
        with pytest.raises(StatusError):
            await numbers(pages(client, first, paginator, past=past), [])


@pytest.mark.anyio
async def test_another_request_in_place_of_one_that_failed() -> None:
    """Here for half the rows, until there is nothing to halve; then the error is raised."""
    heavy = 0

    def api(request: httpx.Request) -> httpx.Response:
        asked.append((at := int(request.url.params.get("offset", 0)), int(request.url.params["n"])))
        if heavy in range(at, at + asked[-1][1]):
            return httpx.Response(413)
        return httpx.Response(200, json={"data": [*range(10)][at : at + asked[-1][1]]})

    def smaller(answer: httpx.Response) -> httpx.Request | None:
        limit = int(answer.request.url.params["n"]) // 2
        return turn(answer.request, {"n": limit}) if limit else None

    paginator = Offset(4, limit_param="n", records="data")
    async with httpx.AsyncClient(transport=httpx.MockTransport(api)) as client:
        first = client.build_request("GET", URL, params={"n": 4})
        seen: list[int] = []
        asked: list[tuple[int, int]] = []
        with pytest.raises(StatusError, match="status 413"):
            await numbers(pages(client, first, paginator, instead=smaller), seen)
        assert (seen, asked) == ([], [(0, 4), (0, 2), (0, 1)])
        heavy = 6
        asked = []
        with pytest.raises(StatusError, match="status 413"):
            await numbers(pages(client, first, paginator, instead=smaller, at_most=3), seen)
        assert seen == [0, 1, 2, 3, 4, 5]
        assert asked == [(0, 4), (4, 4), (4, 2), (6, 4), (6, 2), (6, 1)]


@pytest.mark.anyio
async def test_a_number_that_is_not_heeded_is_a_loop() -> None:
    """An API that sends page 1 whatever it is asked for would do so for ever."""
    seen: list[int] = []
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json={"data": [1, 2]}))
    async with httpx.AsyncClient(transport=transport) as client:
        first = client.build_request("GET", URL)
        with pytest.raises(PagingLoop, match="the rows of the page before"):
            await numbers(pages(client, first, Offset(2, records="data")), seen)
    assert seen == [1, 2]


@pytest.mark.anyio
async def test_rows_deleted_while_they_are_read_are_an_error() -> None:
    """The total tells: those after them moved up, and one of them is on no page."""
    left = [1, 2, 3, 4, 5]

    def api(request: httpx.Request) -> httpx.Response:
        start = int(request.url.params.get("offset", 0))
        page = httpx.Response(200, json={"data": left[start : start + 2], "n": len(left)})
        left[:1] = []
        return page

    seen: list[int] = []
    async with httpx.AsyncClient(transport=httpx.MockTransport(api)) as client:
        paginator = Until(Offset(2, records="data"), TotalRows("n"))
        with pytest.raises(PagingError, match=r"expected a total of 5 .* got 4: rows moved"):
            await numbers(pages(client, client.build_request("GET", URL), paginator), seen)
    assert seen == [1, 2]


@pytest.mark.anyio
@pytest.mark.parametrize("get", [pages, partial(gather, at_once=2)])
async def test_an_error_told_in_the_place_of_an_array_is_no_page(get: Any) -> None:
    """With 200, as an object: a normalizer would take it for one more record."""

    def api(request: httpx.Request) -> httpx.Response:
        page = int(request.url.params.get("page", 1))
        headers = {"X-Pages": "3"}
        return httpx.Response(200, json=[page] if page < 3 else {"error": "later"}, headers=headers)

    async with httpx.AsyncClient(transport=httpx.MockTransport(api)) as client:
        first = client.build_request("GET", URL)
        paginator = Until(PageNumber(), TotalPages(Header("X-Pages")))
        with pytest.raises(BodyError, match="expected an array as on the pages before"):
            async for _ in get(client, first, paginator):
                pass


@pytest.mark.anyio
async def test_each_page_is_told() -> None:
    """To whoever listens: where it came from, its number and size."""
    told: list[events.Event] = []
    stop = events.listen(told.append)
    try:
        await paths({"/1": "/2", "/2": None}, NextUrl("next"))
    finally:
        stop()
    assert told == [
        events.Page("GET api.example.com/1", 1, 13),
        events.Page("GET api.example.com/2", 2, 13),
    ]


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


def test_what_a_rule_said_counts() -> None:
    """A response marked as good passes whatever its status; one marked as bad does not."""
    response = page(b"[]", None, status=404)
    mark(response, Verdict("skip", "Status(404, 'skip')"))
    check(response)
    response = page(b'{"ok": false}')
    mark(response, Verdict("fail", "Value('ok', False)"))
    with pytest.raises(BodyError, match="a failure by Value"):
        check(response)


# --- several at once ---

NUMBERED = Until(PageNumber(records="data"), TotalPages("n"))


class Api:
    """Numbered pages, answered in the order a test says; `answers` replaces some of them."""

    def __init__(
        self, count: int, order: Callable[[int], int] = lambda number: 0, **answers: Any
    ) -> None:
        self.count = count
        self.order = order
        self.answers = {int(name[1:]): answer for name, answer in answers.items()}
        self.asked: list[int] = []
        self.flying = self.most = 0

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        """One page, after as many turns of the event loop as `order` says."""
        number = int(request.url.params.get("page", 1))
        self.asked.append(number)
        self.flying += 1
        self.most = max(self.most, self.flying)
        try:
            for _ in range(self.order(number)):
                await anyio.lowlevel.checkpoint()
        finally:
            self.flying -= 1
        answer = self.answers.get(number, {"data": [number], "n": self.count})
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)

    def gather(self, paginator: Any = NUMBERED, **options: Any) -> AsyncIterator[httpx.Response]:
        """All pages, from the first."""
        client = httpx.AsyncClient(transport=httpx.MockTransport(self))
        return gather(client, client.build_request("GET", URL), paginator, **options)


async def numbers(found: AsyncIterator[httpx.Response], into: list[int]) -> None:
    """Append the number of each page."""
    async with contextlib.aclosing(found) as closing:  # type: ignore[type-var]
        async for each in closing:
            into += each.json()["data"]


@given(
    st.integers(0, 30),
    st.integers(1, 9),
    st.lists(st.integers(0, 12), min_size=1, max_size=9),
    st.integers(0, 3),
)
def test_pages_come_in_order_and_once(
    count: int, at_once: int, turns: list[int], slow: int
) -> None:
    """Whatever the order they are answered in, never more than `at_once` in flight."""
    api = Api(count, lambda number: turns[number % len(turns)])
    if not count:
        api.answers[1] = {"data": [], "n": 0}

    async def main() -> list[int]:
        seen: list[int] = []
        async for each in api.gather(at_once=at_once):
            seen += each.json()["data"]
            for _ in range(slow):
                await anyio.lowlevel.checkpoint()
            assert len(api.asked) <= max(1, len(seen)) + 2 * at_once
        return seen

    assert asyncio.run(main()) == [*range(1, count + 1)]
    assert sorted(api.asked) == [*range(1, max(count, 1) + 1)]
    assert api.most <= at_once


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_all_places_are_used(anyio_backend: str) -> None:
    """As many requests as allowed are in flight where there are as many pages."""
    api = Api(40, lambda number: 20)
    seen: list[int] = []
    await numbers(api.gather(at_once=8), seen)
    assert (seen, api.most) == ([*range(1, 41)], 8)


@pytest.mark.anyio
async def test_a_slow_page_does_not_stop_those_behind_it() -> None:
    """As many again as are asked for at once go by while one is slow, and no more."""
    api = Api(100, lambda number: 1000 if number == 2 else 0)
    seen: list[int] = []
    async with contextlib.aclosing(api.gather(at_once=4)) as found:  # type: ignore[type-var]
        async for each in found:
            seen += each.json()["data"]
            if seen[-1] == 2:
                break
    assert len(api.asked) == 1 + 8


@given(
    st.integers(2, 30),
    st.integers(1, 9),
    st.data(),
    st.lists(st.integers(0, 12), min_size=1, max_size=9),
)
def test_an_error_is_raised_in_its_turn(
    count: int, at_once: int, data: st.DataObject, turns: list[int]
) -> None:
    """After the pages before it, as it is; no page behind it is asked for once it is known."""
    bad = data.draw(st.integers(2, count))
    error = data.draw(st.sampled_from([httpx.ReadError("cut"), httpx.Response(500)]))
    api = Api(count, lambda number: turns[number % len(turns)], **{f"p{bad}": error})
    seen: list[int] = []
    kind = StatusError if isinstance(error, httpx.Response) else httpx.ReadError
    with pytest.raises(kind):
        asyncio.run(numbers(api.gather(at_once=at_once), seen))
    assert seen == [*range(1, bad)]
    assert max(api.asked) < bad + 2 * at_once
    assert api.flying == 0


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_the_earliest_of_several_errors_is_raised(anyio_backend: str) -> None:
    """Even if a later page failed first."""
    api = Api(
        9,
        lambda number: 50 if number == 3 else 0,
        p3=httpx.Response(404),
        p4=httpx.Response(503),
    )
    seen: list[int] = []
    with pytest.raises(StatusError, match="status 404"):
        await numbers(api.gather(at_once=4), seen)
    assert seen == [1, 2]


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_leaving_early_cancels_what_is_in_flight(anyio_backend: str) -> None:
    """Nothing goes on behind the back of who left."""
    api = Api(50, lambda number: 0 if number == 1 else 10**6)
    async with contextlib.aclosing(api.gather(at_once=8)) as found:  # type: ignore[type-var]
        async for _ in found:
            while api.flying < 8:
                await anyio.lowlevel.checkpoint()
            break
    assert api.flying == 0


@pytest.mark.anyio
async def test_a_cancelled_consumer_takes_it_along() -> None:
    """Cancellation from outside passes through as it is."""
    api = Api(50, lambda number: 0 if number == 1 else 10**6)
    seen: list[int] = []
    with anyio.move_on_after(0.05) as scope:
        await numbers(api.gather(at_once=8), seen)
    assert (scope.cancelled_caught, seen, api.flying) == (True, [1], 0)


def test_it_works_under_prefetch() -> None:
    """To the end, left early, and with an error."""
    seen = [each.json()["data"][0] for each in prefetch(Api(30).gather(at_once=4))]
    assert seen == [*range(1, 31)]
    api = Api(30)
    for each in prefetch(api.gather(at_once=4), ahead=2):
        if each.json()["data"] == [5]:
            break
    assert (api.flying, len(api.asked) < 30) == (0, True)
    found = prefetch(Api(30, p7=httpx.Response(500)).gather(at_once=4))
    assert [next(found).json()["data"][0] for _ in range(6)] == [1, 2, 3, 4, 5, 6]
    with pytest.raises(StatusError):
        next(found)


@pytest.mark.anyio
async def test_the_limit_holds() -> None:
    """However many are asked for at once, the limiter of the client says when."""
    began: list[float] = []

    def api(request: httpx.Request) -> httpx.Response:
        began.append(time.monotonic())
        number = int(request.url.params.get("page", 1))
        return httpx.Response(200, json={"data": [number], "n": 12})

    transport = Limited(httpx.MockTransport(api), Rate(100, per=1))
    async with httpx.AsyncClient(transport=transport) as client:
        found = gather(client, client.build_request("GET", URL), NUMBERED, at_once=12)
        assert len([each async for each in found]) == 12
    assert began[-1] - began[0] > 0.105


@pytest.mark.anyio
async def test_rows_that_move_are_an_error() -> None:
    """The total changes, a page is short, or the first page says less than there is."""
    seen: list[int] = []
    with pytest.raises(PagingError, match="expected a total of 6 as on the pages before, got 5"):
        await numbers(Api(6, p3={"data": [3], "n": 5}).gather(at_once=2), seen)
    assert seen == [1, 2, 3]
    rows = Until(Offset(1, offset_param="page", start=1, records="data"), TotalRows("n"))
    with pytest.raises(PagingError, match="expected this page to end where the next begins"):
        await numbers(Api(6, p3={"data": [3, 4], "n": 6}).gather(rows, at_once=2), [])
    with pytest.raises(PagingLoop, match="the rows of the page before"):
        await numbers(Api(6, p4={"data": [3], "n": 6}).gather(at_once=2), [])


@pytest.mark.anyio
async def test_a_first_page_that_does_not_tell_is_an_error() -> None:
    """It is handed over first, as `pages` would."""
    seen: list[int] = []
    with pytest.raises(BodyError, match="expected a whole number at 'n', got nothing"):
        await numbers(Api(6, p1={"data": [1]}).gather(at_once=2), seen)
    assert seen == [1]
    with pytest.raises(ConfigError, match="expected a total"):
        await numbers(Api(6).gather(Until(PageNumber(records="data"), Flag("m")), at_once=2), [])
    with pytest.raises(StatusError):
        await numbers(Api(6, p1=httpx.Response(500)).gather(at_once=2), [])


@pytest.mark.anyio
async def test_more_pages_than_allowed_are_an_error() -> None:
    """After as many as are allowed; as many as there are is fine."""
    seen: list[int] = []
    with pytest.raises(PagingError, match="expected at most 4 pages, got a next one"):
        await numbers(Api(6).gather(at_once=8, at_most=4), seen)
    assert seen == [1, 2, 3, 4]
    await numbers(Api(6).gather(at_once=8, at_most=6), seen := [])
    assert len(seen) == 6


@pytest.mark.anyio
async def test_at_once_is_at_least_one() -> None:
    """Else nothing would be asked for."""
    with pytest.raises(ConfigError, match="at_once >= 1, got 0"):
        await numbers(Api(6).gather(at_once=0), [])


@pytest.mark.anyio
async def test_pages_and_gather_give_the_same() -> None:
    """One after the other or several at once."""

    def bodies(found: list[httpx.Response]) -> list[Any]:
        return [json.loads(each.content) for each in found]

    transport = httpx.MockTransport(Api(20))
    async with httpx.AsyncClient(transport=transport) as client:
        first = client.build_request("GET", URL)
        one = [each async for each in pages(client, first, NUMBERED)]
        many = [each async for each in gather(client, first, NUMBERED, at_once=5)]
    assert bodies(one) == bodies(many)
    assert [each.url for each in one] == [each.url for each in many]
