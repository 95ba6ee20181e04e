"""Batches of ids: every good one answered once, every bad one found, told and counted."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from blocks import events
from blocks.batches import batches, halving, refused
from blocks.client import client
from blocks.errors import AuthError, BodyError, ConfigError, StatusError
from blocks.fanout import fan_out
from blocks.fetch import gather, pages
from blocks.network import prefetch
from blocks.outcomes import Verdict, mark
from blocks.paginators import NextUrl, PageNumber
from blocks.stops import TotalPages, Until
from tests.loopback import answer, serving


class Api:
    """Users by their ids, at most `most` at once; ids in `bad` spoil their batch with a status."""

    def __init__(self, bad: dict[int, int], absent: frozenset[int] = frozenset(), most: int = 99):
        self.bad = bad
        self.absent = absent
        self.most = most
        self.asked: list[list[int]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """The users, or the status of the worst of them."""
        ids = [int(id_) for id_ in request.url.params["ids"].split(",")]
        self.asked.append(ids)
        statuses = [self.bad[id_] for id_ in ids if id_ in self.bad]
        if statuses or len(ids) > self.most:
            return httpx.Response(max(statuses, default=413), json={"error": "no"})
        found = [{"id": str(id_)} for id_ in ids if id_ not in self.absent]
        return httpx.Response(200, json={"users": found})

    async def fetch(self, ids: list[int]) -> AsyncIterator[httpx.Response]:
        """The pages of one batch."""
        async with httpx.AsyncClient(transport=httpx.MockTransport(self)) as api:
            params = {"ids": ",".join(map(str, ids))}
            first = api.build_request("GET", "https://api.example.com/users", params=params)
            async for page in pages(api, first, NextUrl("next")):
                yield page


def found(page: httpx.Response) -> Iterator[Any]:
    """The ids of a page, which are texts where numbers were asked for."""
    return (user["id"] for user in page.json()["users"])


async def collect(read: AsyncIterator[httpx.Response]) -> list[int]:
    """The ids of all pages."""
    return [int(id_) async for page in read for id_ in found(page)]


@given(st.lists(st.integers()), st.integers(1, 9))
def test_batches_have_every_id_in_order(ids: list[int], size: int) -> None:
    """As few lists as can be, none empty, and no more taken than asked for."""
    made = [*batches(ids, size)]
    assert [id_ for batch in made for id_ in batch] == ids
    assert len(made) == math.ceil(len(ids) / size)
    assert all(made)
    left = iter(ids)
    next(batches(left, size), None)
    assert [*left] == ids[size:]


def test_batches_have_a_size() -> None:
    """At least one."""
    with pytest.raises(ConfigError, match="size >= 1, got 0"):
        batches([1], 0)


@given(
    count=st.integers(1, 60),
    bad=st.dictionaries(st.integers(0, 59), st.sampled_from([404, 410]), max_size=8),
    absent=st.frozensets(st.integers(0, 59), max_size=8),
    most=st.integers(1, 60),
)
@example(count=2, bad={0: 404, 1: 410}, absent=frozenset(), most=1)
def test_every_id_is_answered_or_lost(
    count: int, bad: dict[int, int], absent: frozenset[int], most: int
) -> None:
    """Once, in order; the bad ones with their status, those not in an answer as missing."""
    api = Api(bad, absent, most)
    lost: dict[int, str] = {}
    ids = range(count)
    seen = anyio.run(collect, halving(api.fetch, found=found, lost=lost)(ids))
    assert seen == [id_ for id_ in ids if id_ not in bad and id_ not in absent]
    assert lost == {id_: str(bad.get(id_, "missing")) for id_ in ids if id_ in bad or id_ in absent}


def test_halving_takes_few_requests() -> None:
    """One bad id in 128 costs two requests for each halving, and the bad ones are told."""
    api = Api({77: 400})
    lost: dict[int, str] = {}
    api.most = 128
    assert anyio.run(collect, halving(api.fetch, lost=lost)(range(128))) == [
        id_ for id_ in range(128) if id_ != 77
    ]
    assert len(api.asked) == 1 + 2 * 7
    assert lost == {77: "400"}


def test_what_is_lost_is_logged_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    """With place and reason, without the ids, which may be anybody's addresses."""
    told: list[events.Event] = []
    stop = events.listen(told.append)
    try:
        read = halving(Api({2: 422}, frozenset({4, 5})).fetch, found=found)
        assert anyio.run(collect, read([1, 2, 3, 4, 5])) == [1, 3]
    finally:
        stop()
    place = "GET api.example.com/users"
    assert [event for event in told if isinstance(event, events.Skipped)] == [
        events.Skipped(place, "422"),
        events.Skipped(place, "missing"),
        events.Skipped(place, "missing"),
    ]
    logged = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert [record.getMessage() for record in logged] == [
        f"nothing for 1 ids, 422: {place}",
        f"nothing for 2 ids, missing: {place}",
    ]


@pytest.mark.parametrize("status", [400, 413, 414, 422])
def test_a_batch_without_one_good_id_is_an_error(status: int) -> None:
    """The request is wrong, not each of its ids: nothing would come, in silence, for ever."""
    api = Api(dict.fromkeys(range(9), status))
    with pytest.raises(StatusError, match=f"status {status}") as caught:
        anyio.run(collect, halving(api.fetch)(range(9)))
    assert caught.value.response.request.url.params["ids"] == "0,1,2,3,4,5,6,7,8"


def test_ids_that_are_all_gone_are_no_error() -> None:
    """404 and 410 say that it is about them; so is a single id refused with anything else."""
    lost: dict[int, str] = {}
    assert anyio.run(collect, halving(Api({1: 404, 2: 410}).fetch, lost=lost)([1, 2])) == []
    assert anyio.run(collect, halving(Api({3: 422}).fetch, lost=lost)([3])) == []
    assert lost == {1: "404", 2: "410", 3: "422"}


def test_no_ids_are_no_request() -> None:
    """An empty list in a query means "all" to some APIs."""
    api = Api({})
    assert anyio.run(collect, halving(api.fetch)([])) == []
    assert api.asked == []


@pytest.mark.parametrize("status", [401, 403, 409, 429, 500, 503])
def test_other_errors_are_raised(status: int) -> None:
    """At once, for the batch as it was asked."""
    api = Api({3: status})
    with pytest.raises((StatusError, AuthError), match=f"status {status}"):
        anyio.run(collect, halving(api.fetch)(range(9)))
    assert len(api.asked) == 1


def test_refused_is_about_the_request() -> None:
    """Not a rate limit that comes as 400, nor what is no answer."""

    def error(status: int) -> StatusError:
        return StatusError("expected success", httpx.Response(status))

    statuses = [status for status in range(400, 600) if refused(error(status))]
    assert statuses == [400, 404, 410, 413, 414, 422]
    limited = error(400)
    mark(limited.response, Verdict("limited", "code 4"))
    assert not refused(limited)
    assert not refused(AuthError("no token", httpx.Response(404)))
    assert not refused(httpx.ReadTimeout("slow"))


def test_which_errors_to_halve_on_is_yours_to_say() -> None:
    """Also such as have no response; what they are is the reason."""

    async def fetch(ids: list[int]) -> AsyncIterator[httpx.Response]:
        if 3 in ids:
            raise BodyError("errors in the answer")
        if 5 in ids:
            raise httpx.ReadTimeout("too heavy")
        yield httpx.Response(200, json={"users": [{"id": id_} for id_ in ids]})

    lost: dict[int, str] = {}
    kinds = (BodyError, httpx.ReadTimeout)
    read = halving(fetch, narrow=lambda error: isinstance(error, kinds), lost=lost)
    assert anyio.run(collect, read(range(8))) == [0, 1, 2, 4, 6, 7]
    assert lost == {3: "BodyError", 5: "ReadTimeout"}


def test_a_batch_that_gives_no_page_at_all() -> None:
    """All of its ids are missing, wherever they were asked for."""

    async def fetch(ids: list[int]) -> AsyncIterator[httpx.Response]:
        for _ in ids[:0]:
            yield httpx.Response(200)

    lost: dict[int, str] = {}
    assert anyio.run(collect, halving(fetch, found=found, lost=lost)([1, 2])) == []
    assert lost == {1: "missing", 2: "missing"}


def test_a_batch_cut_off_in_its_middle_is_an_error() -> None:
    """Halved after its first page, its rows would come twice."""

    def api(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/next":
            return httpx.Response(400)
        return httpx.Response(200, json={"users": [{"id": 1}], "next": "/next"})

    async def fetch(ids: list[int]) -> AsyncIterator[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.MockTransport(api)) as api_client:
            first = api_client.build_request("GET", "https://api.example.com/users")
            async for page in pages(api_client, first, NextUrl("next")):
                yield page

    with pytest.raises(StatusError, match="/next, status 400"):
        anyio.run(collect, halving(fetch)([1, 2]))


def test_batches_fan_out() -> None:
    """Over HTTP, several at once, each halved on its own; pages of one may come in parallel."""
    rows = [{"id": str(id_)} for id_ in range(10)]
    one = answer(json.dumps({"users": rows[:2], "n": 1}).encode())
    script = {
        "/users/0-4": [answer(b"{}", "404 Not Found")],
        "/users/0-1": [one],
        "/users/2-4": [answer(b"{}", "404 Not Found")],
        "/users/2-2": [answer(b"{}", "404 Not Found")],
        "/users/3-4": [answer(json.dumps({"users": rows[3:5], "n": 1}).encode())],
        "/users/5-9": [
            answer(json.dumps({"users": rows[start : start + 2], "n": 3}).encode())
            for start in (5, 7, 9)
        ],
    }
    lost: dict[int, str] = {}
    paginator = Until(PageNumber(records="users"), TotalPages("n"))
    with serving(script) as server:
        api = client(server.url)

        def fetch(ids: list[int]) -> AsyncIterator[httpx.Response]:
            first = api.build_request("GET", f"/users/{ids[0]}-{ids[-1]}")
            return gather(api, first, paginator, at_once=1)

        read = halving(fetch, found=found, lost=lost)
        fanned = prefetch(fan_out(batches(range(10), 5), read, at_once=2))
        assert [(batch[0], [*found(page)]) for batch, page in fanned] == [
            (0, ["0", "1"]),
            (0, ["3", "4"]),
            (5, ["5", "6"]),
            (5, ["7", "8"]),
            (5, ["9"]),
        ]
        for _ in prefetch(fan_out(batches(range(5, 10), 5), read)):
            break
    assert lost == {2: "404"}
