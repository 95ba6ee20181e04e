"""GraphQL: errors that come with success, Relay's pages, and what may be sent again."""

from __future__ import annotations

import json
import pickle
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.errors import BlocksError, BodyError, ConfigError, PagingError, PagingLoop
from blocks.fetch import pages
from blocks.graphql import Errors, Relay, query, reads, wait
from blocks.outcomes import Outcome

URL = "https://api.example.com/graphql"
SECRET = "c4n4ry"


def answer(body: Any, status: int = 200, **variables: Any) -> httpx.Response:
    """The answer to a query with these variables."""
    request = httpx.Request("POST", URL, json={"query": "{ x }", "variables": variables})
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.Response(status, content=content, request=request)


def test_query() -> None:
    """A POST of the document with its variables, which stay out of its text."""
    api = httpx.AsyncClient(base_url="https://api.example.com")
    asked = query(api, "/graphql", "query($q: String) { x }", {"q": '") { secret }'})
    assert (asked.method, str(asked.url)) == ("POST", URL)
    assert json.loads(asked.content) == {
        "query": "query($q: String) { x }",
        "variables": {"q": '") { secret }'},
    }
    assert json.loads(query(api, URL, "{ x }").content) == {"query": "{ x }", "variables": {}}


@pytest.mark.parametrize(
    "document",
    [
        "{ x }",
        "query Q { x }",
        'query { x(q: "mutation") }',
        'query { x(q: "\\"mutation") }',
        'query { x(q: """\nmutation \\""" { } """) }',
        "# mutation\nquery { x }",
        "query { mutations subscriptionId }",
    ],
)
def test_queries_read(document: str) -> None:
    """A query is safe to send again, whatever its texts and comments say."""
    assert reads(httpx.Request("POST", URL, json={"query": document}))


@pytest.mark.parametrize(
    "request_",
    [
        *(
            httpx.Request("POST", URL, json={"query": document})
            for document in (
                "mutation { pay }",
                "query A { x } mutation B { pay }",
                "\ufeffmutation{pay}",
                "fragment F on X { y }mutation { pay }",
                "subscription { x }",
                'query { x(q: "a") }\nmutation { pay }',
                '# "\nmutation { pay } # "',
                "query { mutation }",
            )
        ),
        httpx.Request("POST", URL, json={"id": 7}),
        httpx.Request("POST", URL, json={"query": {"match_all": {}}}),
        httpx.Request("POST", URL, json=[{"query": "mutation { pay }"}]),
        httpx.Request("POST", URL, content=b"mutation { pay }"),
        httpx.Request("POST", URL, content=iter([b"{}"])),
        httpx.Request("PUT", URL, json={"query": "{ x }"}),
        httpx.Request("DELETE", URL),
    ],
)
def test_what_may_change_something_is_no_read(request_: httpx.Request) -> None:
    """Nor is what cannot be understood."""
    assert not reads(request_)


def test_a_get_reads() -> None:
    """As everywhere."""
    assert reads(httpx.Request("GET", URL))


# --- Relay ---


def connection(more: Any = True, cursor: Any = "c2", **beside: Any) -> dict[str, Any]:
    """An answer with a connection."""
    info = {"hasNextPage": more, "endCursor": cursor}
    return {"data": {"repo": {"issues": {"nodes": [1], "pageInfo": info}}}} | beside


def test_relay_goes_on_from_the_end_cursor() -> None:
    """As the variable named, the query and the other variables staying."""
    following = Relay("data.repo.issues", "cursor")(answer(connection(), n=9, cursor="c1"))
    assert following is not None
    assert json.loads(following.content) == {
        "query": "{ x }",
        "variables": {"n": 9, "cursor": "c2"},
    }
    assert Relay("data.repo.issues")(answer(connection(False))) is None
    assert Relay("data.repo.issues")(answer(connection(False, None))) is None


@given(st.lists(st.text(min_size=1), unique=True))
def test_relay_visits_each_page_once(cursors: list[str]) -> None:
    """Cursors of any text are sent as they came."""
    following = dict(zip([None, *cursors], [*cursors, None], strict=True))
    request: httpx.Request | None = httpx.Request("POST", URL, json={"query": "{ x }"})
    seen = []
    while request is not None:
        seen.append(json.loads(request.content).get("variables", {}).get("after"))
        cursor = following[seen[-1]]
        response = httpx.Response(200, json=connection(cursor is not None, cursor), request=request)
        request = Relay("data.repo.issues")(response)
    assert seen == [None, *cursors]


@pytest.mark.parametrize(
    ("body", "kind", "problem"),
    [
        ({"data": None, "errors": [{"message": SECRET}]}, BodyError, "without errors, got 1"),
        (connection(errors=[{"type": "NOT_FOUND"}]), BodyError, r"got 1 with data \(notfound\)"),
        (connection(errors="no"), BodyError, "got 1 with data"),
        ({"data": None}, BodyError, "expected an object at .*pageInfo.*, got nothing"),
        ({"data": {"repo": {"issues": {"nodes": []}}}}, BodyError, "got nothing"),
        (connection(None), BodyError, "expected true or false at"),
        (connection(cursor=None), PagingError, "expected an endCursor, as there is a next page"),
        (connection(cursor=""), PagingError, "expected an endCursor"),
        (connection(cursor=5), PagingError, "expected an endCursor"),
        (connection(cursor="c1"), PagingLoop, "got this one again"),
    ],
)
def test_what_is_not_relays_is_no_end(body: Any, kind: type[BlocksError], problem: str) -> None:
    """Errors, a missing connection and a cursor that does not move are said."""
    with pytest.raises(kind, match=problem) as caught:
        Relay("data.repo.issues")(answer(body, after="c1"))
    assert SECRET not in str(caught.value)


def test_relay_accepts_part_of_the_data_where_asked_to() -> None:
    """With `partial`, errors beside data are not its business."""
    body = connection(errors=[{"message": "no access to one of them"}])
    assert Relay("data.repo.issues", partial=True)(answer(body)) is not None


@pytest.mark.anyio
async def test_pages_of_a_connection() -> None:
    """Queries differ by their body only; each is sent once."""

    def api(request: httpx.Request) -> httpx.Response:
        after = json.loads(request.content)["variables"].get("after", 0)
        return httpx.Response(200, json=connection(after < 3, str(after + 1)) | {"at": after})

    def numbered(response: httpx.Response) -> httpx.Request | None:
        following = Relay("data.repo.issues")(response)
        if following is None:
            return None
        body = json.loads(following.content)
        body["variables"]["after"] = int(body["variables"]["after"])
        return httpx.Request("POST", URL, json=body)

    async with httpx.AsyncClient(transport=httpx.MockTransport(api)) as client:
        first = query(client, URL, "{ x }")
        assert [page.json()["at"] async for page in pages(client, first, numbered)] == [0, 1, 2, 3]


# --- errors with 200 ---

THROTTLED = {
    "errors": [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}],
    "extensions": {
        "cost": {
            "requestedQueryCost": 70,
            "actualQueryCost": None,
            "throttleStatus": {
                "maximumAvailable": 1000,
                "currentlyAvailable": 66,
                "restoreRate": 50,
            },
        }
    },
}


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (THROTTLED, "limited"),
        ({"errors": [{"message": "Throttled"}]}, "limited"),
        ({"errors": [{"type": "RATE_LIMIT", "code": "graphql_rate_limit"}]}, "limited"),
        ({"errors": [{"type": "RATE_LIMITED"}], "data": None}, "limited"),
        ({"errors": [{"extensions": {"code": "RATELIMITED"}}]}, "limited"),
        ({"errors": [{"extensions": {"code": "COMPLEXITY_BUDGET_EXHAUSTED"}}]}, "limited"),
        ({"errors": [{"type": "NOT_FOUND"}, {"type": "RATE_LIMITED"}]}, "limited"),
        ({"errors": [{"extensions": {"code": "INTERNAL_SERVER_ERROR"}}]}, "retry"),
        ({"errors": [{"code": "TIMEOUT"}, {"type": "NOT_FOUND"}]}, "fail"),
        ({"errors": [{"message": "Cannot query field"}]}, "fail"),
        ({"errors": [{"extensions": "x"}], "data": None}, "fail"),
        ({"errors": ["no"], "data": {"repo": None}}, "fail"),
        ({"errors": "no", "data": {}}, "fail"),
        ({"errors": [{"path": ["b"]}], "data": {"a": {"id": 1}, "b": None}}, "ok"),
        ({"errors": [{"path": ["b"]}], "data": [1]}, "ok"),
        ({"errors": [], "data": {"a": 1}}, None),
        ({"errors": None, "data": {"a": 1}}, None),
        ({"data": {"a": 1}}, None),
        ([], None),
        (b"<html>", None),
    ],
)
def test_errors(body: Any, outcome: Outcome | None) -> None:
    """Throttled, the server's fault, part of the data, or the request's fault."""
    assert Errors(partial="ok")(answer(body)) == outcome
    assert Errors()(answer(body)) == ("fail" if outcome == "ok" else outcome)


def test_a_status_that_says_more_is_left_alone() -> None:
    """A failing server may add errors of the kind that would be final with 200."""
    body = {"errors": [{"message": "upstream"}]}
    assert Errors()(answer(body, 502)) is None
    assert Errors()(answer(body, 401)) is None
    assert Errors()(answer(body, 400)) == "fail"
    assert Errors()(answer(THROTTLED, 429)) == "limited"


def test_errors_is_a_value() -> None:
    """With a repr that is its expression; what partial data cannot be is refused."""
    assert eval(repr(Errors(partial="ok"))) == Errors(partial="ok")
    assert pickle.loads(pickle.dumps(Relay("a.b"))) == Relay("a.b")
    outcome: Any
    for outcome in ("limited", "reauth", "fine"):
        with pytest.raises(ConfigError, match="partial: expected ok, retry, skip or fail"):
            Errors(partial=outcome)


def test_wait() -> None:
    """The missing points over the points restored each second, and nothing if none are."""
    assert wait(answer(THROTTLED)) == pytest.approx(0.08)
    full = json.loads(json.dumps(THROTTLED))
    full["extensions"]["cost"]["throttleStatus"]["currentlyAvailable"] = 1000.0
    assert wait(answer(full)) == 0


@pytest.mark.parametrize(
    "cost",
    [
        None,
        "x",
        {},
        {"throttleStatus": None},
        {"throttleStatus": {}},
        {"requestedQueryCost": 9, "throttleStatus": {"currentlyAvailable": 1, "restoreRate": 0}},
        {"requestedQueryCost": 9, "throttleStatus": {"currentlyAvailable": "1", "restoreRate": 5}},
    ],
)
def test_no_cost_no_wait(cost: Any) -> None:
    """What is not said is not guessed."""
    assert wait(answer({"extensions": {"cost": cost}})) is None
    assert wait(answer(b"<html>")) is None
