"""Children of many parents: all of them, in order or as they come, bounded, every skip counted."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks import events
from blocks.client import client
from blocks.errors import AuthError, BodyError, ConfigError, StatusError
from blocks.fanout import fan_out, parents
from blocks.fetch import gather, pages
from blocks.network import prefetch
from blocks.oauth import ClientCredentials
from blocks.outcomes import Verdict, mark
from blocks.paginators import NextUrl, PageNumber
from blocks.requests import path
from blocks.stops import TotalPages, Until
from tests.loopback import answer, serving

BOTH = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])

Pair = tuple[int, str]


class Children:
    """Pages named "7.1", "7.2" for parent 7, each after some turns of the event loop."""

    def __init__(
        self, counts: dict[int, int], turns: Callable[[int], int] = lambda parent: 0
    ) -> None:
        self.counts = counts
        self.turns = turns
        self.taken: list[int] = []
        self.made = self.closed = 0
        self.flying = self.most = 0
        self.errors: dict[str, Exception] = {}

    async def __call__(self, parent: int) -> AsyncIterator[str]:
        """The pages of one parent."""
        self.flying += 1
        self.most = max(self.most, self.flying)
        try:
            for number in range(1, self.counts[parent] + 1):
                for _ in range(self.turns(parent)):
                    await anyio.lowlevel.checkpoint()
                name = f"{parent}.{number}"
                if name in self.errors:
                    raise self.errors[name]
                self.made += 1
                yield name
        finally:
            self.flying -= 1
            self.closed += 1

    def parents(self) -> Iterator[int]:
        """The parents, and which of them were taken."""
        for parent in self.counts:
            self.taken.append(parent)
            yield parent

    async def slowly(self) -> AsyncIterator[int]:
        """The same, as they come over a network."""
        for parent in self.parents():
            await anyio.lowlevel.checkpoint()
            yield parent

    def all(self) -> list[Pair]:
        """All pages in order."""
        return [
            (parent, f"{parent}.{number}")
            for parent, count in self.counts.items()
            for number in range(1, count + 1)
        ]


async def collect(found: AsyncIterator[Any], into: list[Any] | None = None) -> list[Any]:
    """Append each item; also those before an error."""
    into = [] if into is None else into
    async with contextlib.aclosing(found) as closing:  # type: ignore[type-var]
        async for each in closing:
            into.append(each)
    return into


def refusal(status: int, **headers: str) -> StatusError | AuthError:
    """The error of an answer with that status."""
    request = httpx.Request("GET", "https://api.example.com/issues/7")
    response = httpx.Response(status, request=request, headers=headers)
    kind = AuthError if status in {401, 403} else StatusError
    return kind("expected success", response)


@given(
    counts=st.lists(st.integers(0, 9), max_size=20),
    turns=st.lists(st.integers(0, 6), min_size=20, max_size=20),
    at_once=st.integers(1, 6),
    ordered=st.booleans(),
    slowly=st.booleans(),
)
def test_every_page_of_every_parent_comes_once(
    counts: list[int], turns: list[int], at_once: int, ordered: bool, slowly: bool
) -> None:
    """A parent's pages in their order; parents in theirs if ordered; no more than `at_once` fly."""
    children = Children(dict(enumerate(counts)), turns.__getitem__)
    given = children.slowly() if slowly else children.parents()
    found = anyio.run(collect, fan_out(given, children, at_once=at_once, ordered=ordered))
    if not ordered:
        found.sort(key=lambda pair: pair[0])  # a stable sort: pages of a parent keep their order
    assert found == children.all()
    assert children.most <= at_once
    assert children.closed == len(counts)


@pytest.mark.anyio
@BOTH
@pytest.mark.parametrize("ordered", [True, False])
async def test_parents_are_worked_at_together(ordered: bool, anyio_backend: str) -> None:
    """As many as were asked for, when there are as many."""
    children = Children(dict.fromkeys(range(20), 2), lambda parent: 50)
    found = await collect(fan_out(children.slowly(), children, at_once=5, ordered=ordered))
    assert sorted(found) == sorted(children.all())
    assert children.most == 5


@pytest.mark.anyio
@BOTH
async def test_as_they_come(anyio_backend: str) -> None:
    """Unordered, a parent that is slow holds nobody up."""
    slow = anyio.Event()

    async def fetch(parent: int) -> AsyncIterator[str]:
        if parent == 0:
            await slow.wait()
        yield f"page of {parent}"

    seen = []
    async with contextlib.aclosing(  # type: ignore[type-var]
        fan_out(range(9), fetch, at_once=2, ordered=False)
    ) as found:
        async for parent, _ in found:
            seen.append(parent)
            if len(seen) == 8:
                slow.set()
    assert seen == [1, 2, 3, 4, 5, 6, 7, 8, 0]


@pytest.mark.anyio
@BOTH
@pytest.mark.parametrize("count", [1, 3, 50])
@pytest.mark.parametrize("ordered", [True, False])
async def test_nothing_is_made_ahead_without_bound(
    count: int, ordered: bool, anyio_backend: str
) -> None:
    """While the taker pauses, parents taken and pages made stay within what is said."""
    at_once = 3
    children = Children(dict.fromkeys(range(1000), count))
    async with contextlib.aclosing(  # type: ignore[type-var]
        fan_out(children.parents(), children, at_once=at_once, ordered=ordered)
    ) as found:
        for taken in range(1, 12):
            await anext(found)
            for _ in range(200):
                await anyio.lowlevel.checkpoint()
            begun = taken // count
            # Waiting pages, and one in the hands of each who works.
            ahead = 2 * at_once * 4 + at_once if ordered else 2 * at_once
            assert children.made <= taken + ahead
            assert len(children.taken) <= begun + (2 if ordered else 3) * at_once + 1
    assert children.flying == 0


@pytest.mark.anyio
@BOTH
@pytest.mark.parametrize("at_once", [1, 4])
async def test_an_error_comes_after_what_was_before_it(at_once: int, anyio_backend: str) -> None:
    """In order: all pages of the parents before, those of its own before, then the error itself."""
    children = Children(dict.fromkeys(range(100), 3), lambda parent: 9 - parent % 10)
    children.errors["7.3"] = error = ValueError("7.3")
    seen: list[Pair] = []
    with pytest.raises(ValueError, match=r"^7\.3$") as caught:
        await collect(fan_out(children.parents(), children, at_once=at_once), seen)
    assert caught.value is error
    assert seen == children.all()[: 7 * 3 + 2]
    assert len(children.taken) <= 8 + 2 * at_once
    assert children.flying == 0


@pytest.mark.anyio
@BOTH
async def test_an_error_cancels_the_rest(anyio_backend: str) -> None:
    """Those that would never end, too; unordered it is raised as it comes."""
    ended = 0

    async def fetch(parent: int) -> AsyncIterator[str]:
        nonlocal ended
        try:
            if parent == 3:
                raise ValueError(parent)
            yield f"page of {parent}"
            await anyio.sleep_forever()
        finally:
            ended += 1

    seen: list[Any] = []
    with pytest.raises(ValueError, match="3"):
        await collect(fan_out(range(100), fetch, at_once=4, ordered=False), seen)
    assert [parent for parent, _ in seen] == [0, 1, 2] or anyio_backend == "trio"
    assert ended == 4


@pytest.mark.anyio
@BOTH
@pytest.mark.parametrize("ordered", [True, False])
async def test_an_error_of_the_parents(ordered: bool, anyio_backend: str) -> None:
    """It is raised as it is; in order after the children of those before it."""
    children = Children(dict.fromkeys(range(9), 2))

    async def broken() -> AsyncIterator[int]:
        for parent in range(5):
            await anyio.lowlevel.checkpoint()
            yield parent
        raise OSError("no more parents")

    seen: list[Pair] = []
    with pytest.raises(OSError, match="no more parents"):
        await collect(fan_out(broken(), children, ordered=ordered), seen)
    assert set(seen) <= set(children.all()[:10])
    assert not ordered or seen == children.all()[:10]
    assert children.flying == 0


@pytest.mark.anyio
@BOTH
@pytest.mark.parametrize("ordered", [True, False])
async def test_leaving_early_leaves_nothing_behind(ordered: bool, anyio_backend: str) -> None:
    """What was begun is closed, and parents are taken no further."""
    children = Children(dict.fromkeys(range(100), 9))
    taken = closed = 0

    async def given() -> AsyncIterator[int]:
        nonlocal taken, closed
        try:
            for parent in range(100):
                taken += 1
                yield parent
        finally:
            closed += 1

    async with contextlib.aclosing(  # type: ignore[type-var]
        fan_out(given(), children, at_once=3, ordered=ordered)
    ) as found:
        assert await anext(found)
    assert (children.flying, closed, taken < 10) == (0, 1, True)


@pytest.mark.anyio
@BOTH
async def test_parents_and_pages_need_not_be_generators(anyio_backend: str) -> None:
    """Any asynchronous iterable will do."""

    class Numbers:
        """Three numbers."""

        def __init__(self) -> None:
            self.left = [3, 2, 1]

        def __aiter__(self) -> Numbers:
            return self

        async def __anext__(self) -> int:
            if not self.left:
                raise StopAsyncIteration
            return self.left.pop()

    found = await collect(fan_out(Numbers(), lambda parent: Numbers()))
    assert found == [(parent, number) for parent in (1, 2, 3) for number in (1, 2, 3)]


@pytest.mark.parametrize("ordered", [True, False])
def test_levels_within_levels_under_prefetch(ordered: bool) -> None:
    """What a parent gives may be a fan-out or a gather itself; leaving it early closes them all."""

    def api(request: httpx.Request) -> httpx.Response:
        page = int(request.url.params.get("page", 1))
        return httpx.Response(200, json={"data": [f"{request.url.path}.{page}"], "n": 3})

    api_client = httpx.AsyncClient(transport=httpx.MockTransport(api))
    paginator = Until(PageNumber(records="data"), TotalPages("n"))

    def leaf(name: str) -> AsyncIterator[httpx.Response]:
        first = api_client.build_request("GET", f"https://api.example.com/{name}")
        return gather(api_client, first, paginator, at_once=2)

    def branch(name: str) -> AsyncIterator[tuple[str, httpx.Response]]:
        return fan_out([f"{name}/{number}" for number in range(3)], leaf, at_once=2)

    def tree() -> AsyncIterator[tuple[str, tuple[str, httpx.Response]]]:
        return fan_out("abcdef", branch, at_once=2, ordered=ordered)

    found = [page.json()["data"][0] for _, (_, page) in prefetch(tree())]
    expected = [f"/{a}/{b}.{c}" for a in "abcdef" for b in range(3) for c in (1, 2, 3)]
    assert sorted(found) == expected
    assert not ordered or found == expected
    for number, _ in enumerate(prefetch(tree(), ahead=1)):
        if number == 4:
            break


# --- skips ---


@contextlib.contextmanager
def heard() -> Iterator[list[events.Event]]:
    """The events published within."""
    told: list[events.Event] = []
    stop = events.listen(told.append)
    try:
        yield told
    finally:
        stop()


@pytest.mark.anyio
@BOTH
@pytest.mark.parametrize("ordered", [True, False])
async def test_skipped_children_are_counted(
    ordered: bool, anyio_backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A status that was named passes over its child; place and status are logged and published."""
    children = Children(dict.fromkeys(range(10), 2))
    children.errors |= {f"{parent}.1": refusal(404) for parent in (0, 4, 9)}
    children.errors["5.1"] = refusal(403)
    caplog.set_level(logging.INFO, "blocks.fanout")
    with heard() as told:
        found = await collect(
            fan_out(children.parents(), children, skip={403, 404}, at_once=3, ordered=ordered)
        )
    assert sorted(found) == [pair for pair in children.all() if pair[0] not in {0, 4, 5, 9}]
    counts = events.Counts()
    for event in told:
        counts(event)
    assert counts.read() == {"skips": 4, "skips: 403": 1, "skips: 404": 3}
    assert events.Skipped("GET api.example.com/issues/7", "404") in told
    assert "skipping GET api.example.com/issues/7: status 403" in caplog.messages


@pytest.mark.anyio
@pytest.mark.parametrize(
    "error",
    [
        refusal(410),
        refusal(401),
        refusal(403, **{"Retry-After": "60"}),
        AuthError("no token could be had"),
        BodyError("no rows", refusal(404).response),
        ValueError("404"),
    ],
    ids=repr,
)
async def test_other_errors_are_no_skip(error: Exception) -> None:
    """A status not named, a rate limit dressed as 403, and what is no refusal of this child."""
    children = Children({1: 1, 2: 1})
    children.errors["1.1"] = error
    with heard() as told, pytest.raises(type(error)) as caught:
        await collect(fan_out(children.parents(), children, skip={403, 404}))
    assert (caught.value, told) == (error, [])


@pytest.mark.anyio
async def test_what_a_rule_said_is_no_skip() -> None:
    """A 403 that means "log in again", or a 404 that means "not ready", is not about the child."""
    for outcome in ("reauth", "retry", "limited"):
        children = Children({1: 1})
        children.errors["1.1"] = error = refusal(404)
        assert error.response is not None
        mark(error.response, Verdict(outcome, "a rule"))
        with pytest.raises(StatusError):
            await collect(fan_out(children.parents(), children, skip={404}))


@pytest.mark.anyio
async def test_a_child_cut_off_in_its_middle_is_no_skip() -> None:
    """After its first page a 404 may be a page token that expired: rows would be missing."""
    children = Children({1: 2, 2: 2})
    children.errors["1.2"] = refusal(404)
    seen: list[Pair] = []
    with pytest.raises(StatusError):
        await collect(fan_out(children.parents(), children, skip={404}), seen)
    assert seen == [(1, "1.1")]


def test_a_refused_token_request_is_no_skip() -> None:
    """Where no token can be had, not one child is asked for, and that is no "not found" of all."""
    script = {"/token": [answer(b"{}", "404 Not Found")], "/children/1": [answer(b"[]")]}
    with serving(script) as server:
        token = f"{server.url}/token"
        api = client(server.url, auth=ClientCredentials(token, "id", "secret"))

        def fetch(parent: int) -> AsyncIterator[httpx.Response]:
            first = api.build_request("GET", f"/children/{parent}")
            return pages(api, first, NextUrl("next"))

        with heard() as told, pytest.raises(AuthError, match=r"POST .*/token, status 404"):
            list(prefetch(fan_out([1, 2], fetch, skip={403, 404})))
        assert not [event for event in told if isinstance(event, events.Skipped)]
        assert server.hits("/children/1") == 0


@pytest.mark.anyio
@pytest.mark.parametrize("status", [200, 304, 401, 408, 429, 503])
async def test_statuses_that_are_never_about_a_child(status: int) -> None:
    """Ours to deal with, or the moment's: skipping them would lose children that are there."""
    with pytest.raises(ConfigError, match=f"about a child, got {status}"):
        await collect(fan_out([1], Children({1: 1}), skip={status}))


@pytest.mark.anyio
async def test_at_once_is_at_least_one() -> None:
    """Else nothing would be done, in silence."""
    with pytest.raises(ConfigError, match="at_once >= 1, got 0"):
        await collect(fan_out([1], Children({1: 1}), at_once=0))


def test_ids_hit_no_other_endpoint() -> None:
    """Whatever an id holds, it stays one part of the path, all the way to the server."""
    ids = ["a/../b?x=1", "%2e%2e", "ü#&", "a b", "..;", "http://other.test/"]
    made = [path("/users/{}/posts", id_) for id_ in ids]
    with serving({each: [answer(b"{}")] for each in made}) as server:
        api = client(server.url)

        def posts(user: str) -> AsyncIterator[httpx.Response]:
            first = api.build_request("GET", path("/users/{}/posts", user))
            return pages(api, first, NextUrl("next"))

        found = list(prefetch(fan_out(ids, posts)))
        assert [user for user, _ in found] == ids
        assert sorted(sent.split(b" ")[1].decode() for sent in server.requests) == sorted(made)
        with pytest.raises(ConfigError, match="one of dots"):
            list(prefetch(fan_out([".."], posts)))


# --- parents ---

ISSUES = pa.table(
    {
        "id": pa.array([1, 2, 3, 2], pa.int64()),
        "number": pa.array([7, None, 9, None], pa.int64()),
        "title": ["a", "b", None, "b"],
    }
)


def test_parents_are_the_values_of_a_column() -> None:
    """Of one column the values, of several dicts, each once, in the order of the rows."""
    assert parents(ISSUES, "id") == [1, 2, 3]
    tagged = ISSUES.set_column(2, "title", pa.array(["x", "x", "y", "z"]))
    assert parents(tagged, "id", "title") == [
        {"id": 1, "title": "x"},
        {"id": 2, "title": "x"},
        {"id": 3, "title": "y"},
        {"id": 2, "title": "z"},
    ]
    assert parents(ISSUES.slice(0, 0), "id") == []


def test_a_nested_table_has_no_parents() -> None:
    """A transformer gets the nested tables of its parent resource as well."""
    labels = pa.table({"value": ["bug"], "_dlt_parent_id": ["x"]})
    assert parents(labels, "number") == []


def test_rows_without_a_value_are_an_error_unless_declared(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """They have no children ("drop", counted in the log), or `None` to ask by ("keep")."""
    with pytest.raises(BodyError, match="in each row, to ask for its children, id, number: 2 of 4"):
        parents(ISSUES, "id", "number")
    caplog.set_level(logging.INFO, "blocks.fanout")
    assert parents(ISSUES, "number", missing="drop") == [7, 9]
    assert caplog.messages == ["no children for rows without number: 2 of 4 rows have none"]
    assert parents(ISSUES, "id", "title", missing="keep") == [
        {"id": 1, "title": "a"},
        {"id": 2, "title": "b"},
        {"id": 3, "title": None},
    ]


def test_a_column_that_no_row_had_so_far() -> None:
    """It is not in the table at all: an error, or nothing, as for nulls."""
    with pytest.raises(BodyError, match=r"expected column owner.*got columns id, number, title"):
        parents(ISSUES, "owner")
    assert parents(ISSUES, "owner", missing="drop") == []
    assert parents(ISSUES, "id", "owner", missing="keep")[0] == {"id": 1, "owner": None}


def test_parents_needs_to_know_what_to_take() -> None:
    """No column, or a policy that is none, is refused."""
    with pytest.raises(ConfigError, match="needs a column"):
        parents(ISSUES)
    with pytest.raises(ConfigError, match="'raise', 'drop' or 'keep', got 'skip'"):
        parents(ISSUES, "id", missing="skip")  # type: ignore[arg-type]
