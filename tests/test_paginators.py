"""Every page once, none left out in silence, none fetched elsewhere."""

from __future__ import annotations

import pickle
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from blocks.errors import BodyError, ConfigError, PagingError, PagingLoop
from blocks.json import OrAbsent
from blocks.paginators import (
    Keyset,
    LinkHeader,
    NextToken,
    NextUrl,
    Offset,
    PageNumber,
    Paginator,
    SinglePage,
)
from blocks.places import FormBody, Header, JsonBody, OrNull
from tests.walks import URL, number, page, walk

SECRET = "c4n4ry"


def after(paginator: Paginator, response: httpx.Response) -> str | None:
    """The URL the paginator goes to."""
    request = paginator(response)
    return None if request is None else str(request.url)


# --- what they have in common ---

ALL = [
    LinkHeader(),
    LinkHeader("older"),
    NextUrl("links.next"),
    NextUrl(["@odata.nextLink"]),
    NextToken("meta.next", "cursor"),
    NextToken(("data", -1, "id"), "starting_after"),
    NextToken(Header("X-Next"), JsonBody("variables.after"), keep=["first"]),
    Keyset("data", "id", "starting_after"),
    Keyset(OrNull("data"), ["a.b"], FormBody("after")),
    PageNumber(),
    PageNumber("p", start=0, records=None),
    Offset(100),
    Offset(100, offset_param="skip", limit_param=Header("X-Top"), records="value", start=1),
    SinglePage(),
]


# As a FHIR Bundle has them (hl7.org/fhir/bundle.html).
LINKS = [{"relation": "self", "url": "?page=1"}, {"relation": "next", "url": "?page=2"}]


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
        (NextToken(Header("X-Next"), "page"), page({}, headers={"X-Next": "2"})),
        (NextUrl(Header("X-Next")), page({}, headers={"X-Next": "?page=2"})),
        (NextUrl("@odata.nextLink"), page({"@odata.nextLink": "?page=2"})),
        (NextUrl("link[relation=next].url"), page({"link": LINKS})),
        (Keyset("data", "at.no", "page"), page({"data": [{"at": {"no": 2}}]})),
        (PageNumber(), page([1])),
        (PageNumber(records=None), page({})),
        (PageNumber(start=0, records=OrNull("data")), page({"data": [0]}, url=f"{URL}?page=1")),
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
    [NextUrl("a"), NextToken("a", "b"), PageNumber(records="a"), Offset(9), Keyset("a", "b", "c")],
    ids=repr,
)
def test_a_body_that_is_no_json_is_an_error(paginator: Paginator, body: bytes) -> None:
    """HTML, half a page or an empty body with status 200 is never the end."""
    message = r"JSON.*, got .+ at byte \d+, in .+, of \d+ bytes of text/html"
    with pytest.raises(BodyError, match=message) as caught:
        paginator(page(body, url=f"{URL}?key={SECRET}", headers={"Content-Type": "text/html"}))
    assert "GET api.example.com/v1/items, status 200" in str(caught.value)
    assert caught.value.response is not None


@pytest.mark.parametrize("body", [{"error": "THROTTLED"}, {"data": {}}, {"data": None}, [], "x", 1])
@pytest.mark.parametrize(
    "paginator",
    [PageNumber(records="data"), Offset(9, records="data"), Keyset("data", "id", "after")],
)
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


@given(st.integers(0, 40), st.integers(1, 9), st.integers(0, 2))
def test_page_numbers_are_each_visited_once(rows: int, size: int, start: int) -> None:
    """Pages are asked for in order and once, up to an empty one."""

    def answer(request: httpx.Request) -> Any:
        at = (number(request, "p", start) - start) * size
        return {"data": [*range(rows)][at : at + size]}

    seen = [*walk(answer, PageNumber("p", start=start, records="data"))]
    assert [row for _, body in seen for row in body["data"]] == [*range(rows)]
    asked = [number(request, "p", start) for request, _ in seen]
    assert asked == [*range(start, start + -(-rows // size) + 1)]


@given(
    st.integers(0, 60),
    st.integers(1, 20),
    st.lists(st.integers(1, 20), min_size=1, max_size=5),
    st.integers(0, 10),
    st.integers(0, 1),
)
def test_offset_windows_tile_all_rows(
    total: int, limit: int, caps: list[int], first: int, start: int
) -> None:
    """The windows [offset, offset + rows) tile [first, total), however few rows the API sends."""
    turns = 0

    def answer(request: httpx.Request) -> Any:
        nonlocal turns
        turns += 1
        at = number(request, "skip", start) - start
        return [*range(total)][at : at + min(number(request, "top", 7), caps[turns % len(caps)])]

    paginator = Offset(limit, offset_param="skip", limit_param="top", start=start)
    seen = [*walk(answer, paginator, f"{URL}?skip={first + start}" if first else URL)]
    rows = [body for _, body in seen]
    assert [row for window in rows for row in window] == [*range(first, total)]
    offsets = [number(request, "skip", start) - start for request, _ in seen]
    assert offsets == [first + sum(map(len, rows[:i])) for i in range(len(rows))]
    assert {number(request, "top", limit) for request, _ in seen} == {limit}
    assert sum(not window for window in rows) == 1


@given(st.lists(st.text(min_size=1) | st.integers(1, 2**64), unique_by=str), st.integers(1, 5))
def test_keysets_visit_every_row_once(ids: list[str | int], size: int) -> None:
    """Each page begins after the last record of the one before, whatever its key."""

    def answer(request: httpx.Request) -> Any:
        asked = dict(parse_qsl(request.url.query.decode(), keep_blank_values=True))
        at = [str(each) for each in ids].index(asked["after"]) + 1 if asked else 0
        return {"data": [{"k.y": each} for each in ids[at : at + size]]}

    seen = walk(answer, Keyset("data", ["k.y"], "after"))
    assert [row["k.y"] for _, body in seen for row in body["data"]] == ids


@pytest.mark.parametrize("value", [None, "", True, 1.5, {}, []])
def test_a_last_record_without_its_key_is_no_end(value: Any) -> None:
    """Where there are records there is a next page; one whose key cannot be sent is an error."""
    with pytest.raises(PagingError, match="text or a whole number at 'id' of the last record, got"):
        Keyset("data", "id", "after")(page({"data": [{"id": 1}, {"id": value}]}))
    with pytest.raises(PagingError, match="of the last record, got nothing"):
        Keyset("data", "id", "after")(page({"data": [{"id": 1}, 5]}))


def test_a_single_page_is_all() -> None:
    """Whatever it says."""
    assert after(SinglePage(), page({"next": "/2"}, headers={"Link": "</2>; rel=next"})) is None


@pytest.mark.parametrize(
    "paginator",
    [
        PageNumber(records=OrNull("items")),
        Offset(9, records=OrNull("items")),
        Keyset(OrNull("items"), "id", "after"),
    ],
)
def test_null_is_an_empty_page_where_the_caller_says_so(paginator: Paginator) -> None:
    """Null ends the pages; no key at all is still an error."""
    assert paginator(page({"items": None})) is None
    assert paginator(page({"items": []})) is None
    assert paginator(page({"items": [{"id": 1}]})) is not None
    wrong: list[Any] = [{}, {"items": {}}, None]
    for body in wrong:
        with pytest.raises(BodyError, match="expected an array of records at 'items', got"):
            paginator(page(body))


@pytest.mark.parametrize(
    "paginator",
    [
        PageNumber(records=OrAbsent("items", ["total"])),
        Offset(9, records=OrAbsent("items", ["total"])),
        Keyset(OrAbsent("items", ["total"]), "id", "after"),
    ],
)
def test_no_key_is_an_empty_page_where_the_caller_says_so(paginator: Paginator) -> None:
    """No key ends the pages; null is still an error."""
    assert paginator(page({"total": 0})) is None
    assert paginator(page({"items": [{"id": 1}]})) is not None
    wrong: list[Any] = [{"items": None}, {"items": {}}, {"total": 0, "error": 1}, [], None]
    for body in wrong:
        with pytest.raises(BodyError, match="expected an array of records at 'items', got"):
            paginator(page(body))


def test_a_token_alone() -> None:
    """With `keep`, a later page carries the token and nothing else but what is named."""
    response = page({"next": "c2"}, url=f"{URL}?limit=50&status=open&since=2024&cursor=c1&limit=9")
    assert after(NextToken("next", "cursor", keep=[]), response) == f"{URL}?cursor=c2"
    kept = NextToken("next", "cursor", keep=["limit", "fields"])
    assert after(kept, response) == f"{URL}?limit=50&cursor=c2&limit=9"


def test_a_token_alone_is_in_a_query_or_body() -> None:
    """Headers are never left out, and one text is no list of names."""
    with pytest.raises(ConfigError, match="keep: expected a token in the query or body"):
        NextToken("next", Header("X-Cursor"), keep=[])
    with pytest.raises(ConfigError, match="keep: expected a list of names, got 'limit'"):
        NextToken("next", "cursor", keep="limit")


@pytest.mark.parametrize("start", [1, 2])
def test_a_page_before_the_first_is_an_error(start: int) -> None:
    """A number below that of the first page is a mistake of the first request."""
    with pytest.raises(PagingError, match=f"expected {start} or more as 'page', got 0"):
        PageNumber(start=start)(page([1], url=f"{URL}?page=0"))


def test_rows_show_what_repeats() -> None:
    """Numbered paginators hand out their records as they are written, where there are any."""
    assert PageNumber(records="data").rows(page(b'{"data": [ 1.50 ], "page": 1}')) == b"[ 1.50 ]"
    assert Offset(9, records="data").rows(page(b'{"data": [ 1.50 ]}')) == b"[ 1.50 ]"
    assert Offset(9, records="data").rows(page({"data": []})) is None
    assert PageNumber(records=None).rows(page({"data": [1]})) is None


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


def test_offset_counts_from_zero_in_the_usual_parameters() -> None:
    """Unless told otherwise: a first page that names no offset was that at 0."""
    request = httpx.Request("GET", "https://api.example.com/items")
    turned = Offset(2)(httpx.Response(200, json=[1, 2], request=request))
    assert turned is not None
    assert dict(turned.url.params) == {"offset": "2", "limit": "2"}
