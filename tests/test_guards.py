"""Circles are seen, whatever their length, in bounded memory; so are rows that move."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Iterable
from itertools import chain, cycle, islice
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.errors import BodyError, PagingError, PagingLoop
from blocks.guards import Arrays, Moved, Numbered, Rows, Sent, Shrunk
from blocks.paginators import NextToken, Offset, PageNumber
from blocks.places import Header, put
from blocks.stops import Flag, TotalPages, TotalRows, Until

URL = "https://api.example.com/items"


def get(number: int) -> httpx.Request:
    """A request like no other."""
    return httpx.Request("GET", f"{URL}?page={number}")


async def seen_after(guard: Sent, numbers: Iterable[int]) -> int | None:
    """How many requests had been sent when one was found to be a repeat."""
    for count, number in enumerate(numbers):
        if await guard.before(get(number), None):
            return count
    return None


@given(st.integers(0, 40), st.integers(1, 40), st.integers(1, 50))
def test_every_circle_is_seen(before: int, length: int, recent: int) -> None:
    """At its first repeat if it fits into what is kept, else before it was gone round thrice."""
    numbers = chain(range(before), cycle(range(before, before + length)))
    found = asyncio.run(seen_after(Sent(recent), islice(numbers, 1000)))
    assert found is not None
    if length <= recent:
        assert found == before + length
    else:
        assert before + length <= found <= 3 * max(before + 1, length) + length


@given(st.integers(1, 300), st.integers(1, 50))
def test_no_straight_way_is_taken_for_a_circle(length: int, recent: int) -> None:
    """Requests that are all different are all new."""
    guard = Sent(recent)
    assert asyncio.run(seen_after(guard, range(length))) is None
    assert guard.count == length


def test_memory_is_bounded() -> None:
    """What is kept does not grow with the run."""

    async def main() -> list[int]:
        guard, sizes = Sent(recent=500), []
        for start in (0, 2_000, 4_000):
            await seen_after(guard, range(start, start + 2_000))
            sizes.append(tracemalloc.get_traced_memory()[0])
        return sizes

    tracemalloc.start()
    try:
        first, *_, last = asyncio.run(main())
    finally:
        tracemalloc.stop()
    assert last - first < 50_000


@pytest.mark.anyio
async def test_method_url_body_and_changed_headers_make_a_request() -> None:
    """A cursor may be in a header; headers the client renews by itself do not count."""
    guard = Sent()
    first = httpx.Request("POST", URL, content=b"a", headers={"Authorization": "old"})
    assert not await guard.before(first, None)
    page = httpx.Response(200, request=first)
    others = [
        httpx.Request("PUT", URL, content=b"a"),
        httpx.Request("POST", f"{URL}?", content=b"a"),
        httpx.Request("POST", URL, content=b"bb"),
        put(first, Header("X-Cursor"), "c1"),
        put(first, Header("X-Cursor"), "c2"),
    ]
    for other in others:
        other.headers["Authorization"] = "old"
        assert not await guard.before(other, page)
    again = httpx.Request("POST", URL, content=b"a", headers={"Authorization": "old"})
    assert await guard.before(again, httpx.Response(200, request=others[-1]))
    assert await guard.before(put(first, Header("X-Cursor"), "c1"), page)


@pytest.mark.anyio
async def test_a_new_token_makes_no_new_request() -> None:
    """The client has put the same into the page before."""
    guard = Sent()
    assert not await guard.before(httpx.Request("GET", URL, headers={"Authorization": "old"}), None)
    renewed = httpx.Request("GET", URL, headers={"Authorization": "new"})
    assert await guard.before(renewed, httpx.Response(200, request=renewed))


def page(body: Any, number: int = 1) -> httpx.Response:
    """A page of a numbered listing."""
    return httpx.Response(200, json=body, request=get(number))


def test_rows_that_repeat_are_a_circle() -> None:
    """An API that does not heed the number would go on for ever, even if it echoes it."""
    guard = Rows(PageNumber(records="data"))
    guard.check(page({"data": [1, 2], "page": 1}))
    with pytest.raises(PagingLoop, match="got the rows of the page before"):
        guard.check(page({"data": [1, 2], "page": 2}, 2))


def test_rows_that_are_alike_are_no_circle() -> None:
    """Empty pages, pages that are not neighbours, and pages the API itself leads to may be."""
    guard = Rows(PageNumber(records="data"))
    for rows in ([1], [2], [1], [], [], [1]):
        guard.check(page({"data": rows}))
    guard = Rows(NextToken("next", "cursor"))
    guard.check(page({"data": [1]}))
    guard.check(page({"data": [1]}))
    assert not isinstance(NextToken("next", "cursor"), Numbered)
    assert isinstance(Offset(9), Numbered)


def test_pages_that_fit_together_pass() -> None:
    """Each ends where the next begins, the last at the end."""
    guard = Moved(Until(PageNumber(records="data"), TotalPages("n")))
    guard.check(page({"data": [1], "n": 2}), get(2))
    guard.check(page({"data": [2], "n": 2}, 2), None)


@pytest.mark.parametrize("total", [1, 3])
def test_a_total_that_changes_is_an_error(total: int) -> None:
    """Rows came or went, so others may be at another place now."""
    guard = Moved(Until(PageNumber(records="data"), TotalPages("n")))
    guard.check(page({"data": [1], "n": 2}), get(2))
    with pytest.raises(PagingError, match=f"a total of 2 as on the pages before, got {total}"):
        guard.check(page({"data": [2], "n": total}, 2), None)


@pytest.mark.parametrize("planned", [get(3), None])
def test_a_page_that_ends_elsewhere_is_an_error(planned: httpx.Request | None) -> None:
    """Between it and the next one rows would be missing, or twice."""
    guard = Moved(Until(Offset(2, records="data"), TotalRows("n")))
    with pytest.raises(PagingError, match="expected this page to end where the next begins"):
        guard.check(page({"data": [1], "n": 4}), planned)


def test_an_error_in_the_place_of_an_array_is_no_page() -> None:
    """Arrays stay arrays; pages that are objects may begin with any, as may the first."""

    def page(body: bytes) -> httpx.Response:
        return httpx.Response(200, content=body, request=get(1))

    arrays = Arrays()
    for body in (b'{"error": "none of ours to tell"}', b"[1]", b" []", b"\xef\xbb\xbf[2]"):
        arrays.check(page(body))
    with pytest.raises(BodyError, match="expected an array as on the pages before"):
        arrays.check(page(b'{"error": "try again"}'))


def test_a_total_that_shrinks_is_an_error() -> None:
    """Rows have moved up, some past the next page; one that grows hides nothing."""

    def page(total: int) -> httpx.Response:
        return httpx.Response(200, json={"data": [1], "n": total, "more": True}, request=get(1))

    shrunk = Shrunk(Until(Offset(1, records="data"), TotalRows("n")))
    for total in (0, 10, 10, 12):
        shrunk.check(page(total))
    with pytest.raises(
        PagingError, match="a total of 12 as on the pages before, got 11: rows moved"
    ):
        shrunk.check(page(11))
    for other in (PageNumber(records="data"), Until(PageNumber(records="data"), Flag("more"))):
        silent = Shrunk(other)
        for total in (3, 2, 1):
            silent.check(page(total))
