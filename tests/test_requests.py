"""The next request: the same as the last but for what changes, and never to somebody else."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, unquote

import httpx
import pytest
import yarl
from hypothesis import given
from hypothesis import strategies as st

from blocks.errors import BlocksError, ConfigError, ForeignOrigin, PagingError
from blocks.paginators import LinkHeader, NextUrl
from blocks.requests import follow, path, repeat, replaced, turn

Paginator = Callable[[httpx.Response], httpx.Request | None]

SECRET = "c4n4ry"
URL = "https://api.example.com/v1/items"


def page(body: Any = None, *, url: str = URL, **options: Any) -> httpx.Response:
    """The response to a GET of `url`."""
    return httpx.Response(200, json=body, request=httpx.Request("GET", url), **options)


# --- the next request ---


def sent() -> httpx.Request:
    """A request with something in every part."""
    return httpx.Request(
        "POST",
        f"{URL}?page=1",
        headers=[("Authorization", SECRET), ("Cookie", "sid=1"), ("X-A", "1"), ("X-A", "2")],
        json={"filter": {"since": "2024-01-01"}},
        extensions={"timeout": {"connect": 5.0, "read": 60.0}, "sni_hostname": "api.example.com"},
    )


def parts(request: httpx.Request) -> Any:
    """Everything a request is made of."""
    return copy.deepcopy(
        (
            request.method,
            str(request.url),
            request.headers.raw,
            request.content,
            request.extensions,
        )
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda request: follow(httpx.Response(200, request=request), "?page=2"),
        lambda request: turn(request, {"page": 2}),
    ],
)
def test_the_next_request_is_the_same_but_for_its_url(
    make: Callable[[httpx.Request], httpx.Request],
) -> None:
    """Method, headers, body and extensions are kept, nothing is shared, nothing is changed."""
    request = sent()
    before = parts(request)
    made = make(request)
    assert parts(made) == (before[0], f"{URL}?page=2", *before[2:])
    made.headers["X-A"] = "3"
    made.extensions["trace"] = print
    made.url = made.url.copy_with(path="/")
    assert parts(request) == before


def test_the_next_request_arrives_as_the_first_did() -> None:
    """Headers and cookies of a client, which httpx adds only to requests it builds, come along."""

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append((request.headers, request.read()))
        return httpx.Response(200, json={"next": "?page=2"})

    seen: list[tuple[httpx.Headers, bytes]] = []
    headers = {"Authorization": "Token t", "X-Tenant": "7"}
    transport = httpx.MockTransport(answer)
    with httpx.Client(transport=transport, headers=headers, cookies={"sid": "1"}) as client:
        response = client.post(URL, json={"a": 1}, headers={"X-Once": "2"})
        request = NextUrl("next")(response)
        assert request is not None
        client.send(request)
    assert seen[0] == seen[1]


@pytest.mark.parametrize("make", [lambda r: follow(r, "?b"), lambda r: turn(r.request, {"b": 1})])
def test_a_streamed_body_cannot_be_sent_again(make: Callable[[httpx.Response], object]) -> None:
    """A request whose body was a stream is refused rather than repeated without it."""
    request = httpx.Request("POST", f"{URL}?key={SECRET}", content=iter([b"x"]))
    with pytest.raises(PagingError, match=r"got a stream \(POST api.example.com/v1/items\)"):
        make(httpx.Response(200, request=request))


@pytest.mark.parametrize(
    ("query", "changes", "expected"),
    [
        ("", {}, ""),
        ("?", {}, ""),
        ("", {"a": 1}, "?a=1"),
        ("?a=1&b=2", {"a": 3}, "?a=3&b=2"),
        ("?b=2", {"a": "x y&z=ü/+"}, "?b=2&a=x%20y%26z%3D%C3%BC%2F%2B"),
        ("?a=1&c&a=2&%61=3", {"a": 4}, "?a=4&c"),
        ("?q=a,b%2f+c&d=%FF&&e", {"a": 1}, "?q=a,b%2f+c&d=%FF&e&a=1"),
        ("?page%5Bsize%5D=5&page[n]=1", {"page[n]": 2}, "?page%5Bsize%5D=5&page%5Bn%5D=2"),
        ("?a=1", {"a": ""}, "?a="),
    ],
)
def test_turn_replaces_parameters(query: str, changes: dict[str, str | int], expected: str) -> None:
    """A parameter is replaced in its place, once; the bytes of all others stay."""
    assert str(turn(httpx.Request("GET", URL + query), changes).url) == URL + expected


@given(st.dictionaries(st.text(), st.text() | st.integers()), st.dictionaries(st.text(), st.text()))
def test_turn_arrives_as_meant(changes: dict[str, str | int], there: dict[str, str]) -> None:
    """A form decoder reads the new values of parameters changed and the old ones of the others."""
    request = turn(httpx.Request("GET", httpx.URL(URL, params=there)), changes)
    read = dict(parse_qsl(request.url.query.decode(), keep_blank_values=True))
    assert read == there | {name: str(value) for name, value in changes.items()}


# --- where it goes ---


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://api.example.com/v1/items?page=2", "https://api.example.com/v1/items?page=2"),
        ("HTTPS://API.EXAMPLE.COM:443/x", "https://api.example.com/x"),
        ("https://api.example.com./x", "https://api.example.com/x"),
        ("https://api.example.com", "https://api.example.com/"),
        ("//api.example.com/x?y", "https://api.example.com/x?y"),
        ("?page=2", "https://api.example.com/v1/items?page=2"),
        ("more?page=2#top", "https://api.example.com/v1/more?page=2"),
        ("/x/../y", "https://api.example.com/y"),
        ("../../../x", "https://api.example.com/x"),
        ("https://api.example.com//evil.example/x", "https://api.example.com//evil.example/x"),
        ("/x?q=a b&c=ü", "https://api.example.com/x?q=a%20b&c=%C3%BC"),
        ("/x?next=https://evil.example/", "https://api.example.com/x?next=https://evil.example/"),
        ("/x%2F..%2fy?z=%20", "https://api.example.com/x%2F..%2fy?z=%20"),
        ("", "https://api.example.com/v1/items?page=1"),
    ],
)
def test_follow_stays_at_the_origin(url: str, expected: str) -> None:
    """Absolute or relative, a URL of the same origin is followed, its bytes kept."""
    assert str(follow(page(url=f"{URL}?page=1"), url).url) == expected


def test_follow_keeps_the_spelling_of_the_origin() -> None:
    """User info and port of the request stay with it."""
    response = page(url=f"http://me:{SECRET}@127.0.0.1:8080/items")
    assert str(follow(response, "http://127.0.0.1:8080/x").url) == (
        f"http://me:{SECRET}@127.0.0.1:8080/x"
    )
    response = page(url="https://bücher.example/")
    assert (
        str(follow(response, "//XN--bcher-kva.example/x").url) == "https://xn--bcher-kva.example/x"
    )


FOREIGN = [
    "https://evil.example/",
    "//evil.example/",
    "//evil.example",
    "http://api.example.com/v1/items",  # https never falls to http
    "https://api.example.com:8443/",
    "https://api.example.com:0/",
    "https://api.example.com.evil.example/",
    "https://evil-api.example.com/",
    "https://api.example.com..//",
    "https://%61pi.example.com/",
    "https://user@api.example.com/",
    "https://user:pass@api.example.com/",
    "https://api.example.com@evil.example/",
    "https://api.example.com:443@evil.example/",
    "//user@/x",
    "\\\\evil.example/",
    "/\\evil.example/",
    "https:\\\\evil.example/",
    "https://api.example.com\\@evil.example/",
    "https://evil.example\\.api.example.com/",
    "\thttps://evil.example/",
    " https://api.example.com/",
    "https://api.example.com/ ",
    "\u00a0//evil.example/",
    "/\t/evil.example/",
    "ht\ntps://evil.example/",
    "https://api.example.com/\r\nHost: evil.example",
    "/x\0",
    "/x\x7f",
    "https:/evil.example/",
    "https:evil.example",
    "https:///evil.example/",
    "//:80/x",
    "file:///etc/passwd",
    "ftp://api.example.com/x",
    "data:application/json,{}",
    "javascript:alert(1)",
    "gopher://api.example.com:443/",
    "mailto:a@api.example.com",
    "items:next?page=2",
    "https://127.0.0.1/",
    "https://2130706433/",
    "https://0x7f.1/",
    "https://[::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://169.254.169.254/latest/meta-data/",
    "https://xn--api-example-com/",
    "https://аpi.example.com/",  # noqa: RUF001 - the first letter is Cyrillic
]


@pytest.mark.parametrize("url", FOREIGN)
@pytest.mark.parametrize("how", ["body", "header"])
def test_a_foreign_next_page_is_refused(url: str, how: str) -> None:
    """Another scheme, host or port, user info, and what parsers read in two ways, is refused."""
    base = f"{URL}?key={SECRET}"
    if how == "body":
        paginator: Paginator = NextUrl("next")
        response = page({"next": url}, url=base)
    else:
        paginator = LinkHeader()
        response = page({}, url=base, headers=[(b"Link", f"<{url}>; rel=next".encode())])
    with pytest.raises(ForeignOrigin) as caught:
        paginator(response)
    assert SECRET not in str(caught.value)
    assert caught.value.response is response


@pytest.mark.parametrize(
    "url",
    [
        f"https://api.example.com:port/{SECRET}",
        f"https://api.example.com:{SECRET}/",
        f"https://999.1.1.1/{SECRET}",
        f"https://[::g]/{SECRET}",
        f"https://☃☃.a..b/{SECRET}",
        f"/{SECRET}\ud800",
        f"//{SECRET}\ud800/",
        f"/{SECRET}" + "x" * 70_000,
        f"?{SECRET}" + "ü" * 30_000,
    ],
)
def test_text_that_is_no_url_is_an_error(url: str) -> None:
    """What httpx cannot parse or carry is an error of ours that does not quote it."""
    with pytest.raises(PagingError, match="expected a URL for the next page") as caught:
        follow(page(), url)
    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__


hosts = [
    "api.example.com",
    "evil.example",
    "127.0.0.1",
    "xn--",
    "ü",
    "。",
    "user:pass@",
    ":443",
    ":80",
]
others = ["//", "http:", "https:", "HTTPS://", "..", "%2f", "%5c", "%40", "\ud800"]
pieces = st.sampled_from([*"/\\?#@:.;%[]&= \t\n", *hosts, *others])
urls = st.lists(pieces | st.text(max_size=3), max_size=12).map("".join) | st.text()


@given(urls | urls.map(lambda text: f"https://api.example.com{text}"))
def test_no_text_leads_elsewhere(url: str) -> None:
    """Whatever text a server sends, a request made of it is for the same origin.

    Also as yarl reads it, which is the parser that opens the connection.
    """
    response = page(url=f"{URL}?page=1")
    try:
        request = follow(response, url)
    except BlocksError:
        return
    assert (request.url.scheme, request.url.raw_host, request.url.port) == (
        "https",
        b"api.example.com",
        None,
    )
    assert (request.url.userinfo, request.url.fragment) == (b"", "")
    connected = yarl.URL(str(request.url))
    assert (connected.scheme, connected.raw_host, connected.port, connected.user) == (
        "https",
        "api.example.com",
        443,
        None,
    )


# --- repeat, replaced ---


def test_repeat_changes_what_is_named() -> None:
    """A new body has its own length; headers named are replaced, whatever their case."""
    request = sent()
    before = parts(request)
    made = repeat(request, body=b"[]", headers={"x-a": "3", "X-B": "4"})
    assert (made.content, made.headers["content-length"]) == (b"[]", "2")
    assert (made.headers.get_list("X-A"), made.headers["X-B"]) == (["3"], "4")
    assert (made.url, made.headers["authorization"]) == (request.url, SECRET)
    assert parts(request) == before


def test_replaced_keeps_bytes_that_are_no_text() -> None:
    """A form that was not encoded as it should be stays as it is."""
    assert replaced(b"q=\xff\xe4&page=1", {"page": 2}) == b"q=\xff\xe4&page=2"
    assert replaced(b"", {}) == b""


def test_replaced_keeps_what_is_named_or_all() -> None:
    """Fields to be kept are found by their names, however those are quoted."""
    form = b"limit=9&cursor=a&sort%5b%5d=x&q=y"
    assert replaced(form, {"cursor": "b"}, ["limit", "sort[]"]) == b"limit=9&cursor=b&sort%5b%5d=x"
    assert replaced(form, {"cursor": "b"}, []) == b"cursor=b"
    assert replaced(form, {"cursor": "b"}) == form.replace(b"=a", b"=b")


# --- paths ---


@pytest.mark.parametrize(
    ("template", "ids", "expected"),
    [
        ("/items", [], "/items"),
        ("/users/{}/posts", [7], "/users/7/posts"),
        ("/users/{}/posts", ["a/../b?x=1"], "/users/a%2F..%2Fb%3Fx%3D1/posts"),
        ("/repos/{}/{}?a={}", ["x y", "z#", "1&b=2"], "/repos/x%20y/z%23?a=1%26b%3D2"),
        ("/files/{}", ["%2e%2e"], "/files/%252e%252e"),
        ("/files/{}", ["..."], "/files/..."),
        ("/files/{}.json", [".."], "/files/...json"),
        ("/x/{}", ["\r\nHost: evil.example\0ü"], "/x/%0D%0AHost%3A%20evil.example%00%C3%BC"),
        ("/x?up={}", [".."], "/x?up=.."),
        ("{}", ["https://evil.example/"], "https%3A%2F%2Fevil.example%2F"),
    ],
)
def test_ids_are_quoted(template: str, ids: list[str | int], expected: str) -> None:
    """Each id stays within its part of the path."""
    assert path(template, *ids) == expected


@pytest.mark.parametrize(
    ("template", "ids", "problem"),
    [
        ("/users/{}/posts", [""], "got an empty one"),
        ("/users/{}/posts", ["."], "got one of dots"),
        ("/users/{}", [".."], "got one of dots"),
        ("/users/.{}", ["."], "got one of dots"),
        ("/users/{}", ["\ud800"], "ids of Unicode text"),
        ("/users/{}", [], "expected 1 ids for '/users/{}', got 0"),
        ("/users", [1], "expected 0 ids for '/users', got 1"),
        ("/users/{}", [None], "got NoneType"),
        ("/users/{}", [True], "got bool"),
    ],
)
def test_ids_no_path_can_hold_are_refused(template: str, ids: list[Any], problem: str) -> None:
    """What would be another path, however it is quoted, is an error."""
    with pytest.raises(ConfigError, match=problem):
        path(template, *ids)


@given(st.text() | st.integers())
def test_no_id_leaves_its_place(each: str | int) -> None:
    """Whatever the id, the path has as many parts as the template, and gives it back."""
    try:
        made = path("/v1/users/{}/posts", each)
    except ConfigError:
        return
    for url in (httpx.URL(f"https://api.example.com{made}"), httpx.URL("https://api").join(made)):
        *before, part, last = url.raw_path.decode().split("/")
        assert (before, unquote(part), last) == (["", "v1", "users"], str(each), "posts")
    assert yarl.URL(f"https://api.example.com{made}", encoded=True).raw_path == made
