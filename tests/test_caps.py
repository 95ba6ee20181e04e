"""Searches that show their first so many rows are read to the end, or say that they cannot be."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import dlt
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.caps import Capped
from blocks.client import client
from blocks.dlt import load
from blocks.errors import ConfigError, Overflow, PagingError
from blocks.fetch import pages
from blocks.kinds import Integers, Kind, Texts
from blocks.network import prefetch
from blocks.paginators import NextToken, Offset, PageNumber, Paginator
from blocks.places import JsonBody
from tests.authority import Received, answering, said
from tests.warehouse import Warehouse

URL = "https://api.example.com/search"
Row = dict[str, Any]


class Search:
    """A search as HubSpot has it: a filter in the body, a token that is an offset, and a cap."""

    def __init__(self, rows: list[Row], cap: int, *, newest: bool = False) -> None:
        self.rows = sorted(rows, key=lambda row: int(row["at"]), reverse=newest)
        self.cap = cap
        self.newest = newest
        self.count = 0

    def __call__(self, asked: Any) -> tuple[int, Any]:
        """Status and answer, to what a body asks."""
        self.count += 1
        since, at, size = int(asked["since"]), int(asked.get("after") or 0), asked["limit"]
        if at + size > self.cap:
            return 400, {"message": "beyond the cap"}
        sign = -1 if self.newest else 1
        found = [row for row in self.rows if sign * int(row["at"]) >= sign * since]
        more = {"next": {"after": str(at + size)}} if len(found) > at + size else {}
        return 200, {"results": found[at : at + size], "total": len(found), "paging": more}


def first(since: str | int, size: int = 2) -> httpx.Request:
    """The first request of a search."""
    return httpx.Request("POST", URL, json={"since": since, "limit": size})


def capped(at: int, size: int = 2, order: Kind | None = None) -> Capped:
    """The paginator for `Search`."""
    paginator = NextToken("paging.next.after", JsonBody("after"))
    restart = partial(first, size=size)
    return Capped(paginator, restart, key="at", records="results", at=at, order=order)


def read(search: Search, paginator: Paginator, request: httpx.Request) -> list[Row]:
    """All rows that come, of what `pages` makes of a server."""

    def answer(asked: httpx.Request) -> httpx.Response:
        status, body = search(json.loads(asked.content))
        return httpx.Response(status, json=body)

    async def run() -> list[Row]:
        transport = httpx.MockTransport(answer)
        async with httpx.AsyncClient(transport=transport) as api:
            return [
                row
                async for page in pages(api, request, paginator, at_most=500)
                for row in page.json()["results"]
            ]

    return anyio.run(run)


@given(
    st.lists(st.integers(1, 30), max_size=50), st.integers(1, 4), st.integers(2, 5), st.booleans()
)
def test_every_row_is_found_or_the_search_overflows(
    values: list[int], size: int, cap: int, newest: bool
) -> None:
    """Beyond the cap, ties at its border included; it overflows only where too many are alike."""
    at = size * cap
    rows = [{"id": number, "at": value} for number, value in enumerate(values)]
    search = Search(rows, at, newest=newest)
    try:
        found = read(search, capped(at, size), first(99 if newest else 0, size))
    except Overflow:
        assert max(values.count(value) for value in values) >= at
        return
    assert {row["id"] for row in found} == {row["id"] for row in rows}
    assert search.count <= 1 + sum(1 for _ in range(0, len(found), size)) + len(found) // at + 1


def test_a_search_below_its_cap_is_left_alone() -> None:
    """It is the paginator's that ends it, and no row comes twice."""
    rows = [{"id": number, "at": number} for number in range(5)]
    search = Search(rows, 6)
    assert read(search, capped(6), first(0)) == rows
    assert search.count == 3


def test_what_begins_anew_begins_at_the_last_row() -> None:
    """The rows that share its value come again: that is for merge."""
    rows = [{"id": number, "at": value} for number, value in enumerate([1, 2, 3, 3, 3, 4, 5])]
    found = read(Search(rows, 4), capped(4), first(0))
    assert [row["id"] for row in found] == [0, 1, 2, 3, 2, 3, 4, 5, 5, 6]


def test_more_alike_than_a_search_shows_is_an_overflow() -> None:
    """The rows beyond could not be had: that is no end."""
    rows = [{"id": number, "at": 7} for number in range(9)]
    with pytest.raises(Overflow, match="value at 'at' to move within 4 rows: more rows share it"):
        read(Search(rows, 4), capped(4), first(0))


@pytest.mark.parametrize(
    ("values", "order", "problem"),
    [
        ([1, 3, 2], None, "expected rows sorted by their value at 'at'"),
        (["9", "11", "10"], Integers(), "expected rows sorted by their value at 'at'"),
        (["9", "10"], Texts(), "expected rows sorted by their value at 'at'"),
        ([1, None], None, "expected text or a whole number at 'at' of each record, got nothing"),
        ([1, True], None, "expected text or a whole number at 'at' of each record, got bool"),
        ([[1]], None, "expected text or a whole number at 'at' of each record, got list"),
    ],
)
def test_rows_that_cannot_be_gone_on_from_are_an_error(
    values: list[Any], order: Kind | None, problem: str
) -> None:
    """What the order of the rows does not promise is not read past."""
    request = first("0")
    body = {"results": [{"at": value} for value in values], "paging": {}}
    paginator = capped(len(values), order=order)
    # That a search came from 0 is known from its request, which this paginator made.
    made = capped(1)(httpx.Response(200, json={"results": [{"at": "0"}]}, request=request))
    with pytest.raises(PagingError, match=problem):
        paginator(httpx.Response(200, json=body, request=made))


def test_numbers_written_as_text_are_compared_as_said() -> None:
    """So that 9 comes before 10."""
    rows = [{"id": number, "at": str(number)} for number in range(25)]
    found = read(Search(rows, 4), capped(4, order=Integers()), first("0"))
    assert {row["id"] for row in found} == set(range(25))


@pytest.mark.parametrize(
    "inner", [Offset(2, records="results"), PageNumber(records="results")], ids=repr
)
def test_any_paginator_may_be_capped(inner: Paginator) -> None:
    """It counts rows, and needs not know how the paginator does."""

    def since(value: str | int) -> httpx.Request:
        return httpx.Request("GET", URL, params={"since": value})

    paginator = Capped(inner, since, key="at", records="results", at=4)
    request: httpx.Request | None = since(0)
    asked = []
    for number in range(5):
        assert request is not None
        asked.append(request.url.query.decode())
        rows = [{"at": 2 * number}, {"at": 2 * number + 1}] if number < 4 else []
        request = paginator(httpx.Response(200, json={"results": rows}, request=request))
    assert request is None
    assert [query.partition("&")[0] for query in asked] == [
        *("since=0", "since=0", "since=3", "since=3", "since=7"),
    ]


def test_capped_paginators_are_values() -> None:
    """They compare and pickle as their parts do, and hold nothing between calls."""
    assert capped(4).paginator == pickle.loads(pickle.dumps(capped(4))).paginator
    page = httpx.Response(
        200, json={"results": [{"at": 1}, {"at": 2}], "paging": {}}, request=first(0)
    )
    paginator = capped(2)
    assert str(paginator(page)) == str(paginator(page))
    with pytest.raises(ConfigError, match="at: expected at least 1 row, got 0"):
        capped(0)


def test_a_source_reads_past_the_cap(tmp_path: Path) -> None:
    """Over real HTTP into DuckDB: every row once, though a search shows 20 of the 137."""
    rows = [{"id": number, "at": str(1000 + number // 3)} for number in range(137)]
    search = Search(rows, 20)

    def handle(request: Received) -> bytes:
        status, body = search(json.loads(request.body))
        return said(body, "200 OK" if status == 200 else "400 Bad Request")

    def source(url: str) -> Any:
        @dlt.resource(primary_key="id", write_disposition="merge")
        def contacts() -> Iterator[Any]:
            api = client(url)

            def since(value: str | int) -> httpx.Request:
                return api.build_request("POST", "/search", json={"since": value, "limit": 5})

            token = NextToken("paging.next.after", JsonBody("after"))
            paginator = Capped(token, since, key="at", records="results", at=20)
            yield from load(prefetch(pages(api, since("0"), paginator)), path="results")

        return contacts

    warehouse = Warehouse(tmp_path)
    with answering(handle) as server:
        warehouse.run(source(server.url))
    assert warehouse.query("SELECT count(*), count(DISTINCT id) FROM contacts") == [(137, 137)]


def test_beginning_anew_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """With the place and without the query."""
    page = httpx.Response(
        200,
        json={"results": [{"at": 1}]},
        request=httpx.Request("GET", f"{URL}?token=secret"),
    )
    make: Callable[[str | int], httpx.Request] = first
    with caplog.at_level("INFO", "blocks.caps"):
        assert Capped(NextToken("n", "c"), make, key="at", records="results", at=1)(page)
    assert caplog.messages == ["GET api.example.com/search: begins anew after 1 rows, its cap"]
