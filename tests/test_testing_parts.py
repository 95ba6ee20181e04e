"""The parts of replicas: paging, credentials, tokens and limits, as laws and values."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.errors import ConfigError
from blocks.oauth import ClientCredentials, RefreshToken
from blocks.testing import (
    Allowance,
    Api,
    Call,
    Refused,
    Tokens,
    basic,
    bearer,
    connection,
    header_key,
    keyed,
    linked,
    numbered,
    offset,
    query_key,
    serving,
    unwrap,
    wrap,
)
from blocks.testing.api import Guard
from blocks.testing.calls import Given
from blocks.testing.paging import Page

FORM = "application/x-www-form-urlencoded"


def call(
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    form: Mapping[str, str] | None = None,
) -> Call:
    """A call as a replica gets it."""
    fields = {"host": "api", "content-type": FORM, **(headers or {})}
    content = urlencode(form or {}).encode()
    return Call("GET", "/items", Given((query or {}).items()), Given(fields.items()), content)


@pytest.mark.parametrize(
    ("first", "turn"),
    [
        (1, numbered),
        (0, lambda rows, at, size: numbered(rows, at, size, first=0)),
        (0, offset),
        (None, keyed),
    ],
)
@given(total=st.integers(0, 30), size=st.integers(1, 10))
def test_pages_tile_the_rows(
    first: int | None, turn: Callable[[Any, Any, int], Page], total: int, size: int
) -> None:
    """Followed to the end, the pages of any kind hold every row once, in order."""
    rows = [{"id": f"r{number}"} for number in range(total)]
    found: list[dict[str, Any]] = []
    page = turn(rows, first, size)
    found += page.rows
    while page.more:
        page = turn(rows, unwrap(wrap(page.next)), size)
        assert page.rows
        found += page.rows
    assert (found, page.total) == (rows, total)


@given(total=st.integers(0, 30), size=st.integers(1, 10))
def test_connections_tile_the_rows(total: int, size: int) -> None:
    """So do the connections of GraphQL, whose cursors stand for rows."""
    rows = [{"id": number} for number in range(total)]
    found: list[dict[str, Any]] = []
    after: str | None = None
    more = True
    while more:
        page = connection(rows, size, after)
        found += page["nodes"]
        assert page["nodes"] == [edge["node"] for edge in page["edges"]]
        more, after = page["pageInfo"]["hasNextPage"], page["pageInfo"]["endCursor"]
    assert found == rows


@pytest.mark.parametrize("token", ["", "x", "!!!!", "eA==", "\N{SNOWMAN}"])
def test_foreign_tokens_are_refused(token: str) -> None:
    """A token that was not made by `wrap` is refused."""
    with pytest.raises(Refused, match="invalid page token"):
        unwrap(token)


def test_links() -> None:
    """A link has the other parameters of its call, repeated ones too, and none that is `None`."""
    made = Call("GET", "/a", Given([("t", "1"), ("t", "2"), ("p", "1")]), Given([("host", "api")]))
    page = Page([], 2, 9)
    assert linked(made, page, "p") == {"Link": '<http://api/a?t=1&t=2&p=2>; rel="next"'}
    assert linked(made, Page([], None, 9)) == {}
    assert made.link({"t": None, "p": None}) == "http://api/a"


def pair(user: str, password: str) -> dict[str, str]:
    """The header of Basic."""
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.mark.parametrize(
    ("guard", "good", "bad"),
    [
        (bearer("a", "b"), call(headers={"authorization": "Bearer b"}), call()),
        (bearer("a"), call(headers={"authorization": "Bearer a"}), call({"access_token": "a"})),
        (basic("u", "p:q"), call(headers=pair("u", "p:q")), call(headers=pair("u", ""))),
        (header_key("X-Key", "k"), call(headers={"x-key": "k"}), call(headers={"x-key": "K"})),
        (query_key("key", "k"), call({"key": "k"}), call({"key": ""})),
    ],
)
def test_guards(guard: Guard, good: Call, bad: Call) -> None:
    """A guard lets pass who has a credential, and nobody else."""
    guard(good)
    with pytest.raises(Refused, match="invalid credentials") as caught:
        guard(bad)
    assert caught.value.status == 401
    assert not good.query


def oauth(tokens: Tokens) -> Api:
    """An API behind tokens, and where they come from."""
    api = Api(tokens)
    api.post("/token", body=Tokens.FIELDS, guards=())(tokens.grant)
    api.get("/items")(lambda call: {})
    return api


def test_client_credentials() -> None:
    """blocks' own grant gets a token, and another when that one is over; secrets as given."""
    now = 0.0
    tokens = Tokens("i d", "s:%", lifetime=60, clock=lambda: now)
    with serving(oauth(tokens)) as server:
        for way in ("basic", "post"):
            auth = ClientCredentials(f"{server.url}/token", "i d", "s:%", client_auth=way)
            auth.clock = lambda: 0.0
            with httpx.Client(base_url=server.url, auth=auth) as api:
                assert api.get("/items").status_code == 200
                now += 60
                assert api.get("/items").status_code == 200
        assert tokens.issued == 4
        assert server.count("/items", status=401) == 2
    assert repr(tokens) == "Tokens('***', issued=4)"


def test_refresh_tokens_rotate() -> None:
    """Each refresh token is good once, as it is with QuickBooks; the client has to keep the new."""
    tokens = Tokens("id", "secret", refresh="r0", lifetime=None, fields={"realm": 7})
    kept: list[str] = []
    with serving(oauth(tokens)) as server:
        auth = RefreshToken(f"{server.url}/token", "id", "secret", "r0", save=kept.append)
        with httpx.Client(base_url=server.url, auth=auth) as api:
            for _ in range(3):
                assert api.get("/items").status_code == 200
                tokens.expire()
        again = {"grant_type": "refresh_token", "refresh_token": "r0"}
        used = httpx.post(f"{server.url}/token", data=again, auth=("id", "secret"))
        assert (used.status_code, used.json()) == (400, {"error": "invalid_grant"})
    assert kept == ["refresh-1", "refresh-2", "refresh-3"]
    issued = tokens.issue()
    assert (issued["refresh_token"], issued["realm"]) == ("refresh-4", 7)
    assert "expires_in" not in issued


CLIENT = {"client_id": "id", "client_secret": "secret"}


@pytest.mark.parametrize(
    ("headers", "form", "error"),
    [
        ({}, {}, "invalid_client"),
        ({}, {**CLIENT, "client_secret": "no"}, "invalid_client"),
        (pair("id", "secret"), CLIENT, "invalid_client"),
        ({"authorization": "Basic ?"}, {}, "invalid_client"),
        ({}, {**CLIENT, "grant_type": "password"}, "unsupported_grant_type"),
        ({}, {**CLIENT, "grant_type": "client_credentials"}, None),
        (pair("id", "secret"), {"grant_type": "client_credentials"}, None),
    ],
)
def test_token_requests(headers: dict[str, str], form: dict[str, str], error: str | None) -> None:
    """Token requests are judged as RFC 6749 says: who, in one place, and by which grant."""
    answer = Tokens("id", "secret").grant(call(headers=headers, form=form))
    assert answer.body.get("error") == error


def test_grant_type_is_required() -> None:
    """A token request that names no grant is refused."""
    with pytest.raises(Refused, match="missing 'grant_type'"):
        Tokens("id", "secret").grant(call(form=CLIENT))


@given(
    steps=st.lists(st.floats(0, 3), max_size=60),
    count=st.integers(1, 5),
    per=st.sampled_from([0.5, 1.0, 2.0]),
)
def test_allowance(steps: list[float], count: int, per: float) -> None:
    """No `per` seconds see more than `count` calls pass, and who waits as told passes."""
    now = 0.0
    allowance = Allowance(count, per, clock=lambda: now)
    passed: list[float] = []
    for step in steps:
        now += step
        left = allowance.left()
        assert left == count - sum(time + per > now for time in passed)
        if not left:
            with pytest.raises(Refused) as caught:
                allowance(call())
            assert caught.value.status == 429
            now += int(caught.value.headers["Retry-After"])
        allowance(call())
        passed.append(now)


@pytest.mark.parametrize(("count", "per"), [(0, 1.0), (1, 0.0), (1, float("nan"))])
def test_impossible_allowances(count: int, per: float) -> None:
    """An allowance that lets nobody pass is a mistake."""
    with pytest.raises(ConfigError, match="expected count"):
        Allowance(count, per)


def test_given() -> None:
    """Whole numbers are whole and within bounds; several are in order."""
    given = Given([("a", "1"), ("a", "2"), ("big", "101")])
    assert (given.several("a"), given.several("b")) == (["1", "2"], [])
    assert given.whole("a", 9) == 2
    with pytest.raises(Refused, match="expected 1 to 100 as 'big'"):
        given.whole("big", 9, least=1, most=100)
