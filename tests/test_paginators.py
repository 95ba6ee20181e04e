"""Every page once, none left out in silence, none fetched elsewhere."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
import yarl
from hypothesis import example, given
from hypothesis import strategies as st

from blocks.errors import (
    BlocksError,
    BodyError,
    ConfigError,
    ForeignOrigin,
    PagingError,
    PagingLoop,
)
from blocks.paginators import LinkHeader, NextToken, NextUrl, Offset, PageNumber, follow, turn

Paginator = Callable[[httpx.Response], httpx.Request | None]

SECRET = "c4n4ry"
URL = "https://api.example.com/v1/items"


def page(body: Any = None, *, url: str = URL, **options: Any) -> httpx.Response:
    """The response to a GET of `url`; `body` is JSON unless it is bytes."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.Response(200, content=content, request=httpx.Request("GET", url), **options)


def after(paginator: Paginator, response: httpx.Response) -> str | None:
    """The URL the paginator goes to."""
    request = paginator(response)
    return None if request is None else str(request.url)


def walk(
    answer: Callable[[httpx.Request], Any], paginator: Paginator, url: str = URL
) -> Iterator[tuple[httpx.Request, Any]]:
    """All requests made of an API, with the JSON each was answered; 1,000 at most."""
    request: httpx.Request | None = httpx.Request("GET", url)
    for _ in range(1000):
        assert request is not None
        body = answer(request)
        yield request, body
        request = paginator(httpx.Response(200, json=body, request=request))
        if request is None:
            return
    raise AssertionError("no end")


def number(request: httpx.Request, name: str, default: int) -> int:
    """A parameter as the API reads it."""
    return int(request.url.params.get(name, default))


# --- what they have in common ---

ALL = [
    LinkHeader(),
    LinkHeader("older"),
    NextUrl("links.next"),
    NextUrl(["@odata.nextLink"]),
    NextToken("meta.next", "cursor"),
    NextToken(("data", -1, "id"), "starting_after"),
    PageNumber(),
    PageNumber("p", start=0, records="data", total_pages="meta.pages"),
    Offset(100),
    Offset(100, offset_param="skip", limit_param="top", records="value", total=["@odata.count"]),
]


@pytest.mark.parametrize("paginator", ALL, ids=repr)
def test_repr_is_the_constructing_expression(paginator: Paginator) -> None:
    """What is printed makes an equal paginator, and so does pickling."""
    assert eval(repr(paginator)) == paginator
    assert pickle.loads(pickle.dumps(paginator)) == paginator


@pytest.mark.parametrize("paginator", ALL, ids=repr)
def test_paginators_are_values(paginator: Any) -> None:
    """A paginator keeps nothing from one page to the next."""
    with pytest.raises((AttributeError, TypeError)):
        paginator.seen = 1


@pytest.mark.parametrize(
    ("paginator", "response"),
    [
        (LinkHeader(), page({}, headers={"Link": "</v1/items?page=2>; rel=next"})),
        (NextUrl("next"), page({"next": "/v1/items?page=2"})),
        (NextToken("next", "page"), page({"next": 2})),
        (PageNumber(), page([1])),
        (PageNumber(records="data", total_pages="pages"), page({"data": [], "pages": "2"})),
    ],
)
def test_same_page_is_reached(paginator: Paginator, response: httpx.Response) -> None:
    """Each way of naming page 2 leads to page 2."""
    assert after(paginator, response) == f"{URL}?page=2"


@pytest.mark.parametrize(
    "body", [b"", b"<html></html>", b'{"next": "/p', b'{"a": "\xff"}', b"NaN", b"[" * 100_000]
)
@pytest.mark.parametrize(
    "paginator",
    [NextUrl("a"), NextToken("a", "b"), PageNumber(records="a"), Offset(9, records="a", total="t")],
    ids=repr,
)
def test_a_body_that_is_no_json_is_an_error(paginator: Paginator, body: bytes) -> None:
    """HTML, half a page or an empty body with status 200 is never the end."""
    with pytest.raises(BodyError, match=r"expected JSON, got \d+ bytes of text/html") as caught:
        paginator(page(body, url=f"{URL}?key={SECRET}", headers={"Content-Type": "text/html"}))
    assert "GET api.example.com/v1/items, status 200" in str(caught.value)
    assert caught.value.response is not None


@pytest.mark.parametrize("body", [{"error": "THROTTLED"}, {"data": {}}, {"data": None}, [], "x", 1])
@pytest.mark.parametrize("paginator", [PageNumber(records="data"), Offset(9, records="data")])
def test_records_that_are_not_there_are_an_error(paginator: Paginator, body: Any) -> None:
    """A page without the array of records is no empty page."""
    with pytest.raises(BodyError, match="expected an array of records at 'data', got"):
        paginator(page(body))


@pytest.mark.parametrize("paginator", [NextUrl("next"), NextToken("next", "cursor")])
@pytest.mark.parametrize(
    "body", [{}, {"next": None}, {"next": ""}, {"next": False}, {"data": {"next": "x"}}]
)
def test_ends(paginator: Paginator, body: Any) -> None:
    """Null, false, an empty text or no such key says that this was the last page."""
    assert paginator(page(body)) is None


@pytest.mark.parametrize("body", [[], ["next"], "next", 1, None, True])
def test_a_document_without_keys_is_no_end(body: Any) -> None:
    """Where the document could not have held the key, its absence says nothing."""
    with pytest.raises(BodyError, match="expected an object with 'next', got other JSON"):
        NextUrl("next")(page(body))


def test_a_path_into_an_array_expects_one() -> None:
    """A path that begins with a position ends at an empty array and fails on an object."""
    paginator = NextToken([-1, "id"], "after")
    assert after(paginator, page([{"id": 4}, {"id": 5}])) == f"{URL}?after=5"
    assert paginator(page(b"\xef\xbb\xbf\n []")) is None
    with pytest.raises(BodyError, match="expected an array with"):
        paginator(page({"id": 5}))


@pytest.mark.parametrize("value", [True, 1.5, 7, ["x"], {"href": "x"}])
def test_a_next_url_of_another_kind_is_an_error(value: Any) -> None:
    """A next URL that is no text is neither followed nor the end."""
    with pytest.raises(PagingError, match="expected a URL at 'next', got"):
        NextUrl("next")(page({"next": value}))


@pytest.mark.parametrize("value", [True, 1.5, ["x"], {"after": "x"}])
def test_a_token_of_another_kind_is_an_error(value: Any) -> None:
    """A token is a text or an integer."""
    with pytest.raises(PagingError, match="expected a token at 'next', got"):
        NextToken("next", "cursor")(page({"next": value}))


@pytest.mark.parametrize(
    ("paginator", "response"),
    [
        (LinkHeader(), page({}, headers={"Link": "<>; rel=next"})),
        (LinkHeader(), page({}, headers={"Link": f"<{URL}#top>; rel=next"})),
        (NextUrl("next"), page({"next": URL})),
        (NextUrl("next"), page({"next": "items"})),
        (NextToken("next", "cursor"), page({"next": "c1"}, url=f"{URL}?cursor=c1")),
        (NextToken("next", "cursor"), page({"next": 0}, url=f"{URL}?cursor=0")),
    ],
)
def test_a_page_that_leads_to_itself_is_an_error(
    paginator: Paginator, response: httpx.Response
) -> None:
    """A next page that is this page would never end."""
    with pytest.raises(PagingLoop, match="got this one again"):
        paginator(response)


# --- each of them ---


def test_link_header_takes_the_relation_named() -> None:
    """Only links of the relation count, whatever its case and however many lines there are."""
    headers = [("Link", '</v1/items?page=1>; rel="PREV"'), ("link", "<?page=3>; rel=Next")]
    assert after(LinkHeader(), page({}, headers=headers)) == f"{URL}?page=3"
    assert after(LinkHeader("Prev"), page({}, headers=headers)) == f"{URL}?page=1"
    assert after(LinkHeader("last"), page({}, headers=headers)) is None
    assert after(LinkHeader(), page({})) is None


def test_link_header_ignores_links_about_other_things() -> None:
    """A link with an anchor is about that, not about this page."""
    headers = {"Link": '<?page=9>; rel=next; anchor="/other", <?page=2>; rel=next'}
    assert after(LinkHeader(), page({}, headers=headers)) == f"{URL}?page=2"


def test_link_header_with_two_next_pages_is_an_error() -> None:
    """Which of two different pages is the next is not guessed; the same one twice is fine."""
    headers = {"Link": "<?page=2>; rel=next, <?page=3>; rel=next"}
    with pytest.raises(PagingError, match="expected one link to 'next', got 2"):
        LinkHeader()(page({}, headers=headers))
    headers = {"Link": "<?page=2>; rel=next, <?page=2>; rel='next', <?page=2>; rel=next"}
    assert after(LinkHeader(), page({}, headers=headers)) == f"{URL}?page=2"


def test_a_malformed_link_header_is_no_end() -> None:
    """A header nobody can read may hide the next page."""
    with pytest.raises(PagingError, match=r"expected <\.\.\.> at character 0 of a Link header"):
        LinkHeader()(page({}, headers={"Link": "https://api.example.com?page=2; rel=next"}))


@pytest.mark.parametrize("rel", ["", " ", "next prev"])
def test_link_header_is_for_one_relation(rel: str) -> None:
    """A relation that no link can have is refused at construction."""
    with pytest.raises(ConfigError, match="one relation type"):
        LinkHeader(rel)


@given(st.lists(st.text(min_size=1) | st.integers(1, 2**64), unique_by=str, max_size=20))
@example(["a&b=c", "ü\0\n", "+ %2B", 2**63, "../?#"])
def test_tokens_are_each_visited_once(tokens: list[str | int]) -> None:
    """A chain of tokens of any text is walked to its end, each token sent once and as it was."""
    following = dict(zip(["", *map(str, tokens)], [*tokens, None], strict=True))
    sent = []

    def answer(request: httpx.Request) -> Any:
        asked = dict(parse_qsl(request.url.query.decode(), keep_blank_values=True))
        assert asked.pop("q") == "a,b"
        sent.append(asked.get("cursor", ""))
        return {"meta": {"next": following[sent[-1]]}}

    assert [*walk(answer, NextToken("meta.next", "cursor"), f"{URL}?q=a,b")]
    assert sent == ["", *map(str, tokens)]


def test_a_token_too_long_for_a_url_is_an_error() -> None:
    """httpx's own limit on the length of a URL is met with an error of ours."""
    with pytest.raises(PagingError, match="parameters that fit a URL"):
        NextToken("next", "cursor")(page({"next": "x" * 70_000}, url=f"{URL}?key={SECRET}"))


@given(st.integers(0, 40), st.integers(1, 9), st.integers(0, 2), st.booleans(), st.booleans())
def test_page_numbers_are_each_visited_once(
    rows: int, size: int, start: int, told: bool, as_text: bool
) -> None:
    """Pages are asked for in order and once, the total being known or not, a number or text."""
    pages = -(-rows // size)

    def answer(request: httpx.Request) -> Any:
        at = (number(request, "p", start) - start) * size
        total = str(pages) if as_text else pages
        return {"data": [*range(rows)][at : at + size], "meta": {"pages": total}}

    paginator = PageNumber(
        "p", start=start, records="data", total_pages="meta.pages" if told else None
    )
    seen = [*walk(answer, paginator)]
    assert [row for _, body in seen for row in body["data"]] == [*range(rows)]
    asked = [number(request, "p", start) for request, _ in seen]
    assert asked == [*range(start, start + max(1, pages if told else pages + 1))]


def test_an_empty_page_before_the_last_is_passed() -> None:
    """Where the number of pages is known, a page emptied by the API's own filter is no end."""
    pages = [[1], [], [], [2]]
    paginator = PageNumber(records="rows", total_pages="pages")
    seen = walk(lambda r: {"rows": pages[number(r, "page", 1) - 1], "pages": 4}, paginator)
    assert [body["rows"] for _, body in seen] == pages


def test_rows_beyond_the_last_page_are_an_error() -> None:
    """A number of pages smaller than the rows show is not believed."""
    paginator = PageNumber(records="rows", total_pages="pages")
    with pytest.raises(PagingError, match="expected rows on 0 pages, got some after"):
        paginator(page({"rows": [1], "pages": 0}))
    assert paginator(page({"rows": [], "pages": 0})) is None


@given(
    st.integers(0, 60),
    st.integers(1, 20),
    st.lists(st.integers(1, 20), min_size=1, max_size=5),
    st.integers(0, 10),
    st.booleans(),
    st.booleans(),
)
def test_offset_windows_tile_all_rows(
    total: int, limit: int, caps: list[int], first: int, told: bool, as_text: bool
) -> None:
    """The windows [offset, offset + rows) tile [first, total), however few rows the API sends."""
    turns = 0

    def answer(request: httpx.Request) -> Any:
        nonlocal turns
        turns += 1
        at = number(request, "skip", 0)
        most = min(number(request, "top", 7), caps[turns % len(caps)])
        count = str(total) if as_text else total
        return {"value": [*range(total)][at : at + most], "@odata.count": count}

    paginator = Offset(
        limit,
        offset_param="skip",
        limit_param="top",
        records="value",
        total=["@odata.count"] if told else None,
    )
    url = f"{URL}?skip={first}" if first else URL
    seen = [*walk(answer, paginator, url)]
    rows = [body["value"] for _, body in seen]
    assert [row for window in rows for row in window] == [*range(first, total)]
    offsets = [number(request, "skip", 0) for request, _ in seen]
    assert offsets == [first + sum(map(len, rows[:i])) for i in range(len(rows))]
    assert {number(request, "top", limit) for request, _ in seen} == {limit}
    assert sum(not window for window in rows) == (0 if told and first < total else 1)


def test_an_empty_page_before_the_total_is_an_error() -> None:
    """Rows the API counts but does not send are missed aloud."""
    with pytest.raises(PagingError, match="expected 250 rows, got none after 200"):
        Offset(50, records="rows", total="n")(page({"rows": [], "n": 250}, url=f"{URL}?offset=200"))


@pytest.mark.parametrize(
    "value", [None, True, -1, 2.5, "", "-1", "1e3", "1_000", "٣", "²", " 1", "9" * 20, [], {}]
)
@pytest.mark.parametrize(
    "paginator", [Offset(9, records="rows", total="n"), PageNumber(records="rows", total_pages="n")]
)
def test_a_total_that_is_no_number_is_an_error(paginator: Paginator, value: Any) -> None:
    """A total is a whole number, or its ASCII digits; anything else is not guessed at."""
    with pytest.raises(BodyError, match="expected a whole number at 'n', got"):
        paginator(page({"rows": [1], "n": value}))


@pytest.mark.parametrize("asked", ["", "x", "-1", "1.5", SECRET])
@pytest.mark.parametrize("paginator", [Offset(9, offset_param="at"), PageNumber("at")])
def test_a_request_that_asks_for_no_number_is_an_error(paginator: Paginator, asked: str) -> None:
    """The position of a page is read from its request, and is a whole number there."""
    with pytest.raises(PagingError, match="expected a whole number as 'at'") as caught:
        paginator(page([1], url=f"{URL}?at={asked}"))
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_is_at_least_one(limit: int) -> None:
    """Asking for no rows would end at once and in silence."""
    with pytest.raises(ConfigError, match="limit: expected at least 1"):
        Offset(limit)


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
