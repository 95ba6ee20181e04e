"""Restarts: a list whose place is lost is begun again, not for ever and never in silence."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import takewhile

import anyio
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.client import client
from blocks.errors import BodyError, ConfigError, StatusError
from blocks.fetch import pages
from blocks.network import prefetch
from blocks.paginators import NextToken
from blocks.restarts import restart
from blocks.testing import Api, Call, Refused, Server, serving

ROWS = 7
SIZE = 2


@dataclass
class Lists:
    """Rows in pages of two; which pages find their place lost, list by list."""

    losses: list[int]
    """At which page each list loses its place; one beyond the last page is whole."""
    status: int = 410
    begun: int = 0
    asked: list[int] = field(default_factory=list)

    def api(self) -> Api:
        """The API of it."""
        api = Api()

        @api.get("/rows", query="token")
        def rows(call: Call) -> object:
            token = call.query.get("token")
            if token is None:
                self.begun += 1
            start = 0 if token is None else int(token)
            self.asked.append(start)
            if start and self.losses[self.begun - 1 :][:1] == [start // SIZE]:
                raise Refused(self.status, "no such place any more")
            found = [{"id": each} for each in range(start, min(start + SIZE, ROWS))]
            more = {"next": str(start + SIZE)} if start + SIZE < ROWS else {}
            return {"rows": found, **more}

        return api


def read(server: Server, at_most: int = 3, *, status: int = 410) -> list[int]:
    """The ids of all rows that come."""
    api = client(server.url)

    def listing() -> AsyncIterator[httpx.Response]:
        first = api.build_request("GET", "/rows")
        return pages(api, first, NextToken("next", "token"))

    found = restart(listing, lambda answer: answer.status_code == status, at_most=at_most)
    return [row["id"] for page in prefetch(found) for row in page.json()["rows"]]


@given(st.lists(st.integers(1, 5), max_size=3))
def test_every_list_is_read_from_its_first_page(losses: list[int]) -> None:
    """What comes are the pages of each list up to where it was lost, and all of the last."""
    lists = Lists(losses)
    with serving(lists.api()) as server:
        found = read(server)
    lost = [*takewhile(lambda page: page * SIZE < ROWS, losses)]
    expected = [*(range(page * SIZE) for page in lost), range(ROWS)]
    assert found == [each for rows in expected for each in rows]
    assert lists.begun == len(expected)


def test_no_list_is_begun_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    """After so many the error is raised, with what was asked and no query; each was logged."""
    lists = Lists([1] * 9)
    expected = r"expected success \(GET .*/rows, status 410\)"
    with serving(lists.api()) as server, pytest.raises(StatusError, match=expected):
        read(server, at_most=2)
    assert lists.begun == 3
    warned = [record for record in caplog.records if record.name == "blocks.restarts"]
    assert [record.levelno for record in warned] == [logging.WARNING] * 2
    assert all("begun again, after 1 pages" in record.getMessage() for record in warned)
    assert all("token" not in record.getMessage() for record in warned)


def test_a_first_request_is_not_sent_again() -> None:
    """Without a page there is no place to lose: it is about the request itself."""
    api = Api()
    with serving(api) as server:  # which knows no /rows
        with pytest.raises(StatusError, match="status 404"):
            read(server, status=404)
        assert len(server.requests) == 1


def test_other_errors_are_raised() -> None:
    """An answer that `lost` is not true of, and whatever is no status."""
    lists = Lists([1], status=400)
    with serving(lists.api()) as server:
        with pytest.raises(StatusError, match="status 400"):
            read(server)
        assert lists.begun == 1

    async def broken() -> AsyncIterator[httpx.Response]:
        yield httpx.Response(200)
        raise BodyError("expected JSON, got nothing")

    async def main() -> None:
        async for _ in restart(broken, lambda _: True):
            pass

    with pytest.raises(BodyError):
        anyio.run(main)


def test_a_list_that_is_left_is_closed() -> None:
    """Who takes no more pages leaves nothing behind."""
    closed = []

    async def listing() -> AsyncIterator[httpx.Response]:
        try:
            yield httpx.Response(200)
        finally:
            closed.append(True)

    async def main() -> None:
        async with aclosing(restart(listing, lambda _: True)) as found:  # type: ignore[type-var]
            async for _ in found:
                break
        assert closed == [True]

    anyio.run(main)


def test_mistakes() -> None:
    """At least one new beginning, or there is no need for it."""

    async def main() -> None:
        async for _ in restart(nothing, lambda _: True, at_most=0):
            pass

    with pytest.raises(ConfigError, match="at_most >= 1, got 0"):
        anyio.run(main)


async def nothing() -> AsyncIterator[httpx.Response]:
    """No pages."""
    return
    yield
