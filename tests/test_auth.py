"""Credentials reach the API as its standard says, and nothing else sees them."""

from __future__ import annotations

import base64
import copy
import functools
import pickle
from collections.abc import Callable
from urllib.parse import parse_qsl

import anyio
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.auth import Basic, Bearer, CookieKey, HeaderKey, QueryKey
from blocks.errors import ConfigError

SECRET = "c4n4ry"

ALL = [
    (Bearer(SECRET), "Bearer('***')"),
    (Basic(SECRET, SECRET), "Basic('***', '***')"),
    (HeaderKey(SECRET), "HeaderKey('***', name='X-API-Key')"),
    (HeaderKey(SECRET, name="X-Token"), "HeaderKey('***', name='X-Token')"),
    (QueryKey(SECRET), "QueryKey('***', name='api_key')"),
    (CookieKey(SECRET, name="sid"), "CookieKey('***', name='sid')"),
]


def seen(auth: httpx.Auth, url: str = "https://api.example.com/items") -> httpx.Request:
    """The request that arrives at the API, the same from both of httpx's clients."""
    arrived: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        arrived.append(request)
        return httpx.Response(200)

    async def ask() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer), auth=auth) as client:
            await client.get(url)

    with httpx.Client(transport=httpx.MockTransport(answer), auth=auth) as client:
        client.get(url)
    anyio.run(ask)
    first, second = arrived
    assert (first.url, first.headers) == (second.url, second.headers)
    return first


def test_bearer_header() -> None:
    """The token follows the word Bearer."""
    assert seen(Bearer("t0k.en-_~+/==")).headers["authorization"] == "Bearer t0k.en-_~+/=="


def test_basic_example_of_the_rfc() -> None:
    """RFC 7617, section 2: Aladdin's header, and section 2.1: a pound sign as UTF-8."""
    aladdin = seen(Basic("Aladdin", "open sesame")).headers["authorization"]
    assert aladdin == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    assert seen(Basic("test", "123£")).headers["authorization"] == "Basic dGVzdDoxMjPCow=="


@given(
    st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters=":"), min_size=1),
    st.text(st.characters(exclude_categories=["Cc", "Cs"])),
)
def test_basic_comes_back_as_it_was(user: str, password: str) -> None:
    """Any user without colon and any password arrive as they were given."""
    request = next(Basic(user, password).auth_flow(httpx.Request("GET", "https://a.example")))
    scheme, encoded = request.headers["authorization"].split(" ")
    assert scheme == "Basic"
    assert base64.b64decode(encoded).decode().partition(":") == (user, ":", password)


@pytest.mark.parametrize(("user", "password"), [("key", ""), ("", "token")])
def test_basic_with_one_empty_part(user: str, password: str) -> None:
    """A key as user without password, or a token as password without user, is fine."""
    header = seen(Basic(user, password)).headers["authorization"]
    assert base64.b64decode(header.removeprefix("Basic ")).decode() == f"{user}:{password}"


def test_header_key() -> None:
    """The key is the value of the header named, schemes with a space inside included."""
    assert seen(HeaderKey("k3y")).headers["x-api-key"] == "k3y"
    token = HeaderKey("Token k3y", name="Authorization")
    assert seen(token).headers["authorization"] == "Token k3y"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://a.example/", "api_key=k%2F3%20y"),
        ("https://a.example/?", "api_key=k%2F3%20y"),
        ("https://a.example/?a=%2f,b&c&d=%FF+", "a=%2f,b&c&d=%FF+&api_key=k%2F3%20y"),
        ("https://a.example/?api_key=old&a=1&api%5Fkey=older", "a=1&api_key=k%2F3%20y"),
        ("https://a.example/?api_key&my_api_key=1", "my_api_key=1&api_key=k%2F3%20y"),
    ],
)
def test_query_key(url: str, expected: str) -> None:
    """The key replaces parameters of its name, however spelled, and leaves the bytes of others."""
    assert seen(QueryKey("k/3 y"), url).url.query.decode() == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("a=%2f,b&&c&d=%FF+", "a=%2f,b&&c&d=%FF+"),
        ("a=%2f,b&api_key=k%2f3+y&token=k/3%20y&c", "a=%2f,b&c"),
        ("api_key=other&x=k", "api_key=other&x=k"),
        ("api_key=k/3+y", ""),
    ],
)
def test_query_key_taken_away(query: str, expected: str) -> None:
    """Wherever the key is the value, under any name and spelling; others keep their bytes."""
    url = QueryKey("k/3 y").unkeyed(httpx.URL(f"https://a.example/x?{query}"))
    assert str(url) == f"https://a.example/x{'?' if expected else ''}{expected}"


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc", "Z"]), min_size=1))
def test_query_key_arrives_whole(key: str) -> None:
    """Any key is read back by a form decoder, once, even when the request is signed twice."""
    request = httpx.Request("GET", "https://a.example/?page=2")
    for _ in range(2):
        request = next(QueryKey(key, name="k&=").auth_flow(request))
    assert parse_qsl(request.url.query.decode()) == [("page", "2"), ("k&=", key)]


@pytest.mark.parametrize(
    ("cookies", "expected"),
    [
        ("", "sid=k3y"),
        ("a=1", "a=1; sid=k3y"),
        ('sid=old; a="1 2";sid=older; sid2=x', 'a="1 2"; sid2=x; sid=k3y'),
    ],
)
def test_cookie_key(cookies: str, expected: str) -> None:
    """The key replaces the cookies of its name and leaves the others as they are."""
    request = httpx.Request("GET", "https://a.example", headers={"Cookie": cookies})
    for _ in range(2):
        request = next(CookieKey("k3y", name="sid").auth_flow(request))
    assert request.headers["cookie"] == expected


@pytest.mark.parametrize("key", ["a;b", 'a"b', "a,b", "a\\b", "a b", ""])
def test_cookie_values_are_cookie_octets(key: str) -> None:
    """RFC 6265: what would end the cookie, or begin another, is refused."""
    with pytest.raises(ConfigError, match="key: "):
        CookieKey(key, name="sid")


@pytest.mark.parametrize("name", ["", "a b", "a=b", "a;b", "é"])
def test_cookie_names_are_tokens(name: str) -> None:
    """RFC 6265: a cookie's name is a token."""
    with pytest.raises(ConfigError, match="name of a cookie"):
        CookieKey(SECRET, name=name)


@pytest.mark.parametrize(
    "auth", [Bearer("new"), Basic("new", ""), HeaderKey("new", name="Authorization")]
)
def test_a_stale_header_is_replaced(auth: httpx.Auth) -> None:
    """A request that carries an older credential leaves with the new one only."""
    request = httpx.Request("GET", "https://a.example", headers={"Authorization": "old"})
    signed = next(auth.auth_flow(request))
    assert "old" not in signed.headers.get_list("authorization")
    assert len(signed.headers.get_list("authorization")) == 1


@pytest.mark.parametrize(("auth", "expected"), ALL)
def test_repr_is_the_expression_without_the_secret(auth: httpx.Auth, expected: str) -> None:
    """Printing, formatting and listing a credential shows how it was made, not what it is."""
    assert repr(auth) == str(auth) == f"{auth}" == expected
    assert SECRET not in str(vars(auth))
    assert repr(eval(expected)) == expected


@pytest.mark.parametrize("auth", [auth for auth, _ in ALL])
@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
def test_credentials_are_not_pickled(
    auth: httpx.Auth, duplicate: Callable[[httpx.Auth], object]
) -> None:
    """A credential refuses to be written down, and says so without saying it."""
    with pytest.raises(TypeError, match="build it where it is used") as caught:
        duplicate(auth)
    assert SECRET not in str(caught.value)


TOKENS = ["", "\n", f"{SECRET}\n", f"{SECRET}\r\n", f" {SECRET}", f"{SECRET} ", f"{SECRET}\0"]
TOKENS += [f"{SECRET}\x7f", f"ü{SECRET}", f"\ud800{SECRET}", f"{SECRET}\x85", f"\t{SECRET}"]


@pytest.mark.parametrize("token", [*TOKENS, None, 7, SECRET.encode()])
@pytest.mark.parametrize(
    "kind", [Bearer, HeaderKey, QueryKey, functools.partial(CookieKey, name="sid")]
)
def test_a_token_that_cannot_work_is_refused(kind: Callable[[str], object], token: str) -> None:
    """Line ends, control characters, outer spaces, other scripts and None fail at construction."""
    with pytest.raises(ConfigError) as caught:
        kind(token)
    assert SECRET not in str(caught.value)
    assert caught.value.__context__ is None


def test_bearer_takes_no_scheme() -> None:
    """The word Bearer before the token is a mistake, said at once."""
    with pytest.raises(ConfigError, match="position 6"):
        Bearer(f"Bearer {SECRET}")


@pytest.mark.parametrize(
    ("user", "password", "message"),
    [
        (f"a:{SECRET}", "x", "user: .* or colons, got one at position 1"),
        ("a", f"{SECRET}\n", "password: .* control characters, got one at position 6"),
        (f"{SECRET}\x7f", "x", "user: .* position 6"),
        ("a", f"\ud800{SECRET}", "password: .* position 0"),
        (None, SECRET, "user: expected text, got NoneType"),
        (SECRET, None, "password: expected text, got NoneType"),
        ("", "", "two empty strings"),
    ],
)
def test_basic_parts_that_cannot_work(user: str, password: str, message: str) -> None:
    """RFC 7617: no colon in the user, no control characters; nor None, nor nothing at all."""
    with pytest.raises(ConfigError, match=message) as caught:
        Basic(user, password)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("name", ["", "X Key", "X-Key:", "X-Key\r\nY", "Schlüssel"])
def test_header_names_are_tokens(name: str) -> None:
    """A header name that is no RFC 9110 token is refused."""
    with pytest.raises(ConfigError, match="name of a header"):
        HeaderKey(SECRET, name=name)


def test_query_names_are_not_empty() -> None:
    """A query parameter needs a name."""
    with pytest.raises(ConfigError, match="name of a query parameter"):
        QueryKey(SECRET, name="")
