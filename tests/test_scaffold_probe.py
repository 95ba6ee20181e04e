"""Probes of APIs on loopback: what they find out, what they are not sure of, and what they keep."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from blocks.__main__ import main
from blocks.errors import PagingError
from blocks.scaffold.blueprint import Auth, endpoint
from blocks.scaffold.visits import Visits
from blocks.testing import (
    Answer,
    Api,
    Call,
    Server,
    basic,
    bearer,
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

Row = dict[str, Any]
Route = Callable[[Call], Any]


def row(number: int) -> Row:
    """A record that has all a source wants."""
    times = {"created_at": "2024-01-01T00:00:00Z", "updated_at": f"2024-03-01T00:00:{number:02}Z"}
    return {"id": 7_000 + number, "name": f"n{number}", **times}


ROWS = [row(number) for number in range(25)]


@contextmanager
def api(route: Route, *guards: Any) -> Iterator[Server]:
    """An API that has `route` at /items, with any parameters."""
    made = Api(*guards)
    made.get("/items", query="*")(route)
    with serving(made) as server:
        yield server


@pytest.fixture
def probe(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """The command, in a directory of its own: what it prints."""
    monkeypatch.chdir(tmp_path)

    def run(url: str, *options: str, status: int = 0) -> str:
        assert main(["probe", url, *options]) == status
        said = capsys.readouterr()
        return said.out + said.err

    return run


def by_link(call: Call) -> Answer:
    """Next links in a header."""
    page = numbered(ROWS, call.query.whole("page", 1), 10)
    return Answer(page.rows, headers=linked(call, page))


def by_url(call: Call) -> Row:
    """Next URLs in the body, relative ones."""
    page = numbered(ROWS, call.query.whole("p", 1), 10)
    following = f"?p={page.next}" if page.more else None
    return {"data": page.rows, "links": {"self": call.link({}), "next": following}}


def by_rel(call: Call) -> Row:
    """Links by their relation, in an array."""
    page = numbered(ROWS, call.query.whole("p", 1), 10)
    links = [{"rel": "self", "href": call.path}]
    if page.more:
        links.append({"rel": "next", "href": call.link({"p": page.next})})
    return {"entry": page.rows, "link": links}


def by_token(call: Call) -> Row:
    """A token and its parameter, as Google has them."""
    page = offset(ROWS, unwrap(call.query.get("pageToken"), 0), 10)
    return {"items": page.rows, "nextPageToken": wrap(page.next)}


def by_cursor(call: Call) -> Row:
    """A token of this page beside that of the next, whose parameter is called as it is."""
    page = offset(ROWS, unwrap(call.query.get("next_cursor"), 0), 10)
    return {"cursor": "here", "meta": {"next_cursor": wrap(page.next)}, "results": page.rows}


def by_number(call: Call) -> Row:
    """The number of the next page."""
    page = numbered(ROWS, call.query.whole("page", 1), 10)
    return {"data": page.rows, "next_page": page.next}


def by_page(call: Call) -> list[Row]:
    """Page numbers from 1, of which nothing tells."""
    return numbered(ROWS, call.query.whole("page", 1), 10).rows


def by_page_from_0(call: Call) -> list[Row]:
    """Page numbers from 0, of which nothing tells."""
    return numbered(ROWS, call.query.whole("page", 0), 10, first=0).rows


def by_total_pages(call: Call) -> Row:
    """Page numbers, and how many there are."""
    number = call.query.whole("page", 1)
    meta = {"current_page": number, "total": len(ROWS), "total_pages": 3}
    return {"data": numbered(ROWS, number, 10).rows, "meta": meta}


def by_wrong_pages(call: Call) -> Row:
    """Page numbers, and a number called "pages" which is not that of pages."""
    number = call.query.whole("page", 1)
    return {"data": numbered(ROWS, number, 10).rows, "page": number, "pages": 7, "total": 25}


def by_offset(call: Call) -> Row:
    """Offsets with a total, as Jira has them."""
    start = call.query.whole("startAt", 0)
    size = min(call.query.whole("maxResults", 10), 10)
    about = {"startAt": start, "maxResults": size, "total": len(ROWS)}
    return {"issues": offset(ROWS, start, size).rows, **about}


def by_changing_total(call: Call) -> Row:
    """Offsets with a total that is another on each page."""
    start = call.query.whole("startAt", 0)
    return {"issues": offset(ROWS, start, 10).rows, "startAt": start, "total": 100 + start}


def by_index(call: Call) -> Row:
    """Offsets from 1, as in SCIM (RFC 7644, section 3.4.2.4)."""
    start = call.query.whole("startIndex", 1)
    about = {"startIndex": start, "totalResults": len(ROWS)}
    return {"Resources": offset(ROWS, start - 1, 10).rows, **about}


def by_unseen_offset(call: Call) -> Row:
    """Offsets, of which nothing tells."""
    return {"data": offset(ROWS, call.query.whole("offset", 0), 10).rows}


def by_key(call: Call) -> Row:
    """Keysets and a flag, as Stripe has them."""
    after = call.query.whole("starting_after", 0) or None
    page = keyed(ROWS, after, 10)
    return {"has_more": page.more, "data": page.rows}


def by_last(call: Call) -> Row:
    """Keysets, and a flag that says what the last page is."""
    page = keyed(ROWS, call.query.whole("starting_after", 0) or None, 10)
    return {"isLast": not page.more, "data": page.rows}


def by_flag(call: Call) -> Row:
    """Page numbers, with a flag."""
    page = numbered(ROWS, call.query.whole("page", 1), 10)
    return {"has_more": page.more, "data": page.rows}


def by_spring(call: Call) -> Row:
    """Page numbers as Spring has them."""
    page = numbered(ROWS, number := call.query.whole("page", 0), 10, first=0)
    about = {"totalElements": len(ROWS), "totalPages": 3, "number": number, "last": not page.more}
    return {"content": page.rows, **about}


def by_count(call: Call) -> Row:
    """Page numbers, with a count of what is on the page."""
    page = numbered(ROWS, call.query.whole("page", 1), 10)
    return {"count": len(page.rows), "data": page.rows}


@pytest.mark.parametrize(
    ("route", "url", "paginator", "requests"),
    [
        (by_link, "/items", "LinkHeader()", 2),
        (by_url, "/items", 'NextUrl("links.next")', 2),
        (by_rel, "/items", 'NextUrl("link[rel=next].href")', 2),
        (by_token, "/items", 'NextToken("nextPageToken", "pageToken")', 2),
        (by_cursor, "/items", 'NextToken("meta.next_cursor", "next_cursor")', 3),
        (by_number, "/items", 'NextToken("next_page", "page")', 2),
        (by_page, "/items", "PageNumber()", 3),
        (by_page, "/items?page=1", "PageNumber()", 2),
        (by_page_from_0, "/items", "PageNumber(start=0)", 2),
        (by_page_from_0, "/items?page=0", "PageNumber(start=0)", 2),
        (
            by_total_pages,
            "/items",
            'Until(PageNumber(records="data"), TotalPages("meta.total_pages"))',
            2,
        ),
        (by_wrong_pages, "/items", 'PageNumber(records="data")', 2),
        (
            by_offset,
            "/items?maxResults=7",
            'Offset(7, offset_param="startAt", limit_param="maxResults", records="issues")',
            3,
        ),
        (
            by_changing_total,
            "/items",
            'Offset(10, offset_param="startAt", records="issues")',
            3,
        ),
        (
            by_index,
            "/items",
            'Offset(10, offset_param="startIndex", start=1, records="Resources")',
            3,
        ),
        (by_unseen_offset, "/items", 'Offset(10, records="data")', 4),
        (by_unseen_offset, "/items?offset=0", 'Offset(10, records="data")', 3),
        (by_key, "/items", 'Until(Keyset("data", "id", "starting_after"), Flag("has_more"))', 2),
        (
            by_last,
            "/items",
            'Until(Keyset("data", "id", "starting_after"), Flag("isLast", last=True))',
            2,
        ),
        (by_flag, "/items", 'PageNumber(records="data")', 4),
        (by_count, "/items", 'PageNumber(records="data")', 3),
        (
            by_spring,
            "/items",
            'Until(PageNumber(start=0, records="content"), TotalPages("totalPages"))',
            2,
        ),
    ],
)
def test_paging_is_proved(
    probe: Callable[..., str], route: Route, url: str, paginator: str, requests: int
) -> None:
    """Each kind of paging is found, by so many requests, printed as code, and can be written."""
    totals = {by_offset: "total", by_index: "totalResults"}
    if route in totals:
        paginator = f'Until({paginator}, TotalRows("{totals[route]}"))'
    with api(route) as server:
        said = probe(server.url + url, "--write", "proved_items")
        assert f"\npaging   {paginator}\n" in said
        assert f"\npaginator = {paginator}\n" in said
        assert len(server.requests) == requests <= 4
        assert said.startswith(f"{requests} requests\n")
        assert "Wrote proved_items.py, test_proved_items.py, pyproject.toml." in said


def test_evidence_is_told(probe: Callable[..., str]) -> None:
    """All findings say why; the code is Python that makes what they say."""
    with api(by_link) as server:
        said = probe(f"{server.url}/items")
        assert "`next` in the Link header of page 1; page 2, so asked for, has 10 records" in said
        assert "in each of 20 records on 2 pages, no value twice" in said
        assert "a time in each of 20 records, as RFC 3339" in said
        names: dict[str, Any] = {"cursor": lambda *given, **options: given}
        code = said[said.index("from blocks.dlt") :].replace("from blocks.dlt import cursor\n", "")
        exec(code, names)
        assert repr(names["paginator"]) == "LinkHeader(rel='next')"
        assert (names["path"], names["primary_key"]) == ("", "id")
        assert str(ROWS[0]["id"]) not in said  # nor any other value of a record


def silent(call: Call) -> Row:
    """Some records and nothing else, whatever is asked."""
    return {"data": ROWS[:5]}


def ended(call: Call) -> Row:
    """All that there is, with an empty next link."""
    return {"data": ROWS[:5], "next": None}


def over(call: Call) -> Row:
    """All that there is, with a flag that says so."""
    return {"data": ROWS[:5], "has_more": False}


def counted(call: Call) -> Row:
    """All that there is, with a total that says so."""
    return {"data": ROWS[:5], "total": 5}


def unnamed_parameter(call: Call) -> Row:
    """A token, whose parameter is called by no name it has."""
    page = offset(ROWS, unwrap(call.query.get("position"), 0), 10)
    return {"data": page.rows, "next_cursor": wrap(page.next)}


def many(call: Call) -> Row:
    """Tokens of which none is the next page's."""
    return {"data": ROWS[:5], "next_a": "1", "next_b": "2"}


def two_urls(call: Call) -> Row:
    """Two URLs that could be the next page's."""
    return {"data": ROWS[:5], "next": "/items?page=2", "links": {"next_url": "/items?set=2"}}


def loop(call: Call) -> Answer:
    """A next link that leads to the page it is on."""
    return Answer(ROWS[:5], headers={"Link": f'<{call.link({})}>; rel="next"'})


def repeated(call: Call) -> Row:
    """A token that never changes."""
    first = 10 if "cursor" in call.query else 0
    return {"data": ROWS[first : first + 10], "next_cursor": "same"}


def moving(call: Call) -> list[Row]:
    """Pages whose rows moved between the requests."""
    start = 9 if call.query.get("page") == "2" else 0
    return ROWS[start : start + 10]


def shifted(call: Call) -> list[Row]:
    """Page 1 is not what comes unasked."""
    start = {"1": 5, "2": 15}.get(call.query.get("page", ""), 0)
    return ROWS[start : start + 10]


def stuck(call: Call) -> Row:
    """A page that keeps saying that it is number 1."""
    number = call.query.whole("page", 1)
    return {"data": numbered(ROWS, number, 10).rows, "page": 1}


def strict(call: Call) -> Any:
    """An API that refuses parameters it does not know."""
    return Answer({"error": "unknown"}, 400) if call.query else {"data": ROWS[:5]}


def lonely(call: Call) -> Row:
    """One record on a page."""
    return {"data": ROWS[:1], "offset": 0}


def broken(call: Call) -> Any:
    """A second page that is not JSON."""
    body = b"[" if "page" in call.query else json.dumps(ROWS[:5]).encode()
    return Answer(body, headers=linked(call, numbered(ROWS, 1, 10)))


def emptied(call: Call) -> Answer:
    """A second page without any records."""
    rows = [] if "page" in call.query else ROWS[:5]
    return Answer(rows, headers=linked(call, numbered(ROWS, 1, 10)))


def long_token(call: Call) -> Row:
    """A token longer than any URL may be."""
    return {"data": ROWS[:5], "next_cursor": "x" * 5000}


def keyless(call: Call) -> Row:
    """A flag that there are more, of records that no key tells apart, and an error by offset."""
    if "offset" in call.query:
        return {"data": None}
    return {"data": [{"name": row["name"]} for row in ROWS[:5]], "has_more": True}


def odd_link(call: Call) -> Answer:
    """A Link header that is malformed."""
    return Answer(ROWS[:5], headers={"Link": "items; rel=next"})


@pytest.mark.parametrize(
    ("route", "url", "why"),
    [
        (silent, "/items", 'page numbers in "page": page 2, so asked for, has nothing but records'),
        (silent, "/items", 'offsets in "offset": offset=4 does not begin with one of the last'),
        (ended, "/items", '"next" is empty: this may be all'),
        (over, "/items", '"has_more" says there are no more: this may be all'),
        (counted, "/items", '"total" is the number of records on page 1: this may be all'),
        (unnamed_parameter, "/items", '"cursor"): page 2, so asked for, has nothing but records'),
        (many, "/items", "not tried, as 4 requests were made"),
        (two_urls, "/items", 'could be NextUrl("links.next_url")'),
        (loop, "/items", "expected another page, got this one again"),
        (repeated, "/items", "expected another page, got this one again"),
        (moving, "/items", "has 1 of the records of page 1 again"),
        (shifted, "/items", "page=1 has 5 of the records of page 1 again"),
        (stuck, "/items", "page 1 says that it is number 1, but page 2 does not say 2"),
        (strict, "/items", "expected success"),
        (lonely, "/items", "a page of one record does not show how offsets count"),
        (broken, "/items", "expected JSON"),
        (emptied, "/items", "page 2, so asked for, has no records"),
        (long_token, "/items", 'page numbers in "page"'),
        (keyless, "/items", "offset=4 does not begin with one of the last records of page 1"),
        (odd_link, "/items", 'page numbers in "page"'),
        (by_page, "/items?page=2", "only the first page shows where numbers start"),
        (by_page, "/items?page=one", "only the first page shows where numbers start"),
        (by_unseen_offset, "/items?offset=20", "another offset than that of the first page"),
    ],
)
def test_paging_is_not_guessed(probe: Callable[..., str], route: Route, url: str, why: str) -> None:
    """Where no request proves a paginator, there is none, and the report says what was tried."""

    def lenient(call: Call) -> Any:
        call.query.pop("page", None) if call.query.get("page") == "one" else None
        return route(call)

    with api(lenient) as server:
        said = probe(server.url + url)
        assert "\npaging   not sure\n" in said
        assert why in said
        assert "paginator = " not in said
        assert len(server.requests) <= 4


@pytest.mark.parametrize(
    ("body", "options", "said"),
    [
        ({"data": ROWS[:3]}, [], 'records  "data"'),
        ({"data": ROWS[:3], "included": ROWS[:2]}, [], 'records  "data"'),
        ({"data": ROWS[:3], "extras": ROWS[:2]}, [], 'records  "data"'),
        ({"a.b": {"items": ROWS[:3]}}, [], 'records  ["a.b", "items"]'),
        ({"a[": ROWS[:3]}, [], 'records  ["a["]'),
        ({"orders": ROWS[:3], "customers": ROWS[:9]}, [], 'could be "customers": 9 objects'),
        ({"data": ROWS[:3], "extras": ROWS[:9]}, [], 'could be "extras": 9 objects'),
        ({"data": ROWS[:3], "items": ROWS[:3]}, [], "there are 2 arrays of objects"),
        ({"a": ROWS[:3], "b": ROWS[:9]}, ["--records", "a"], "as you say: 3 on page 1"),
        ({"a": ROWS[:3]}, ["--records", "b"], 'there are no records at "b" of page 1'),
        ({"errors": [{"message": "no"}]}, [], '"errors" says that the call failed'),
        ({"ok": False, "data": ROWS[:3]}, [], '"ok" says that the call failed'),
        ({"data": []}, [], "no array with objects in it, though an empty one"),
        ({"items": [1, 2]}, [], "no array with objects in it\n"),
        (7, [], "no array with objects in it\n"),
    ],
)
def test_records(probe: Callable[..., str], body: Any, options: list[str], said: str) -> None:
    """Records are the only array of objects, or the longest if it is called like one."""
    with api(lambda call: body) as server:
        report = probe(f"{server.url}/items", *options)
        assert said in report
        assert ("\nrecords  not sure\n" in report) == ("path = " not in report)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"uuid": "a", "x": 1}, {"uuid": "b", "x": 1}], 'key      "uuid"'),
        ([{"ID": 1, "uuid": "a"}, {"ID": 2, "uuid": "b"}], 'key      "ID"'),
        ([{"itemId": 1, "x": 5}, {"itemId": 2, "x": 5}], 'key      "itemId"'),
        ([{"userId": 1, "shop_id": 1}, {"userId": 2, "shop_id": 2}], "several are called like"),
        ([{"id": 1}, {"id": 1}], "no column is called like a key"),
        ([{"id": 1}, {"id": None}], "no column is called like a key"),
        ([{"id": 1}, {"id": True}], "no column is called like a key"),
        ([{"slug": "a"}, {"slug": "b"}], 'could be "slug"'),
        ([{"id": 1}], "1 record cannot show what differs"),
        ([{"id": 1.5}, {"id": 2.5}], "no column is called like a key"),
    ],
)
def test_keys(probe: Callable[..., str], rows: list[Row], said: str) -> None:
    """A key is called like one, is in each record, and is in none twice."""
    with api(lambda call: rows) as server:
        assert said in probe(f"{server.url}/items")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"updated_at": "2024-01-01T00:00:00.5+02:00"}, "as RFC 3339"),
        ({"lastModified": "2024-01-01"}, 'cursor("last_modified", start="1970-01-01")'),
        ({"updated": 1714557600}, 'kind=Epoch("s")'),
        ({"updated": 1714557600123}, 'kind=Epoch("ms")'),
        ({"updated": 1714557600123456}, 'kind=Epoch("us")'),
        ({"fields": {"Updated": "2024-01-01T00:00:00Z"}}, 'cursor("fields__updated"'),
        ({"changed_time": "2024-01-01T00:00:00Z", "n": 5}, 'cursor("changed_time"'),
        ({"updated_at": "2024-01-01T00:00:00"}, "times without an offset"),
        ({"updated_at": "2024-01-01 00:00:00"}, "times without an offset"),
        ({"updated_at": "yesterday, noon"}, "no column with times"),
        ({"updated_at": "2024W01-1-"}, "no column with times"),
        ({"updated_at": 12}, "no column with times"),
        ({"number": 1714557600}, "no column with times"),
        ({"updated_at": [1]}, "no column with times"),
        ({"created_at": "2024-01-01T00:00:00Z"}, "these tell of new records, and miss"),
        (
            {"status_changed_at": "2024-01-01T00:00:00Z", "edited_at": "2024-01-01T00:00:00Z"},
            "several columns with times",
        ),
        (
            {"updated_at": "2024-01-01T00:00:00Z", "status_changed_at": "2024-01-01T00:00:00Z"},
            'cursor("updated_at"',
        ),
    ],
)
def test_cursors(probe: Callable[..., str], row: Row, said: str) -> None:
    """A cursor holds times in one form, with an offset, and is called like one of changes."""
    with api(lambda call: [row | {"id": 1}, row | {"id": 2}]) as server:
        report = probe(f"{server.url}/items")
        assert said in report
        assert ("updated = cursor(" in report) == ("\ncursor   not sure\n" not in report)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["2024-01-01T00:00:00Z", None], "has a value in 1 of 2 records"),
        (["2024-01-01T00:00:00Z", "2024-01-01"], "has times in more than one form"),
    ],
)
def test_cursors_of_several_records(
    probe: Callable[..., str], values: list[Any], said: str
) -> None:
    """A column that some records lack, or write otherwise, is none."""
    rows = [{"id": number, "updated_at": value} for number, value in enumerate(values)]
    with api(lambda call: rows) as server:
        assert said in probe(f"{server.url}/items")


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"RateLimit-Policy": '"a";q=100;w=60'}, "Rate(100, per=60, quotas=RateLimit())"),
        ({"RateLimit-Policy": '"a";q=9;w=1, "b";q=60;w=60'}, "says 60 in 60 s, the slowest of 2"),
        ({"RateLimit-Limit": "100, 100;w=10"}, "Rate(100, per=10, quotas=RateLimit())"),
        ({"X-RateLimit-Limit": "100, 100;w=10"}, "Rate(100, per=10)"),
        ({"RateLimit-Policy": '"a";q=5;qu="content-bytes";w=1'}, "no header of any answer tells"),
        ({"X-RateLimit-Limit": "60", "X-RateLimit-Reset": "30"}, 'quotas=XRateLimit("seconds")'),
        ({"X-RateLimit-Limit": "60"}, "says 60, but not in which time\n"),
        ({"X-RateLimit-Limit": "sixty"}, "no header of any answer tells"),
        ({}, "no header of any answer tells"),
    ],
)
def test_rates(probe: Callable[..., str], headers: dict[str, str], said: str) -> None:
    """A rate has a number of calls and a time; with the number alone it is not sure."""
    with api(lambda call: Answer(ROWS[:3], headers=headers)) as server:
        assert said in probe(f"{server.url}/items")


@pytest.mark.parametrize(("unit", "kind"), [(1, "epoch"), (1000, "epoch-ms")])
def test_resets_are_known_by_their_size(probe: Callable[..., str], unit: int, kind: str) -> None:
    """A reset that is an instant near the answer's own Date is an epoch."""
    headers = {
        "Date": "Tue, 02 Jun 2026 12:00:00 GMT",
        "X-Rate-Limit-Limit": "600",
        "X-Rate-Limit-Reset": str(1780401630 * unit),
    }
    with api(lambda call: Answer(ROWS[:3], headers=headers)) as server:
        said = probe(f"{server.url}/items")
        assert f'could be Rate(600, per=..., quotas=XRateLimit("{kind}", "X-Rate-Limit-"))' in said
        assert f"X-Rate-Limit-Reset is {kind}: it is at least 30 s" in said


def test_a_limited_second_page(probe: Callable[..., str]) -> None:
    """A 429 ends the probe of the paging, and is told with its wait; nothing is asked again."""

    def route(call: Call) -> Answer:
        if call.query:
            return Answer({}, 429, {"Retry-After": "30"})
        return Answer(ROWS[:3], headers=linked(call, numbered(ROWS, 1, 10)))

    with api(route) as server:
        said = probe(f"{server.url}/items")
        assert "429, Retry-After: 30 s" in said
        assert "\npaging   not sure\n" in said
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("guard", "options", "secret"),
    [
        (bearer("canary-token"), [], "canary-token"),
        (basic("me", "canary-token"), ["--auth", "basic"], "me:canary-token"),
        (header_key("x-key", "canary-token"), ["--auth", "header-key"], "canary-token"),
        (query_key("key", "canary-token"), ["--auth", "query-key"], "canary-token"),
    ],
)
def test_credentials_come_from_the_environment(
    probe: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    guard: Any,
    options: list[str],
    secret: str,
) -> None:
    """They are sent, and are neither in what is printed nor in what is written."""
    monkeypatch.setenv("CANARY", secret)
    if "key" in "".join(options):
        options = [*options, "--auth-name", "x-key" if "header-key" in options else "key"]
    with api(by_link, guard) as server:
        options = [*options, "--token-env", "CANARY", "--write", "canary_items"]
        said = probe(f"{server.url}/items", *options)
        written = "".join(file.read_text() for file in tmp_path.iterdir())
        assert "paginator = LinkHeader()" in said
        assert "def canary_items(" in written
        assert "canary-token" not in said + written


@pytest.mark.parametrize(
    ("url", "options", "said"),
    [
        ("http://127.0.0.1:1/?api_key=s3cret", [], "got a parameter 'api_key'"),
        ("http://me:s3cret@127.0.0.1:1/", [], "expected one without user and fragment"),
        ("http://127.0.0.1:1/#s3cret", [], "expected one without user and fragment"),
        ("http://127.0.0.1:1//s3cret", [], "begins with one slash"),
        ("ftp://127.0.0.1", [], "expected one such as https://api.example.com/items"),
        ("http://127.0.0.1:s3cret", [], "expected a URL, got other text"),
        ("http://127.0.0.1:1/", ["--header", "X-Token: s3cret"], "got a header 'X-Token'"),
        ("http://127.0.0.1:1/", ["--header", "s3cret"], "expected 'Name: value'"),
        ("http://127.0.0.1:1/", ["--auth", "bearer"], "needs --token-env"),
        ("http://127.0.0.1:1/", ["--token-env", "NOT_THERE"], "expected credentials in"),
        ("http://127.0.0.1:1/", ["--token-env", "CANARY", "--auth", "basic"], "got no colon"),
        ("http://127.0.0.1:1/", [], "no answer (ConnectError)"),
        ("http://127.0.0.1:1/", ["--write", "json"], "got 'json'"),
    ],
)
def test_what_cannot_work_is_refused(
    probe: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    options: list[str],
    said: str,
) -> None:
    """Credentials in a URL or header, names that are taken, APIs that are not there."""
    monkeypatch.setenv("CANARY", "s3cret")
    report = probe(url, *options, status=2)
    assert said in report
    assert "s3cret" not in report


@pytest.mark.anyio
async def test_there_is_no_fifth_request() -> None:
    """Whoever asks a fifth time has an error, and the API nothing of it."""
    with api(by_link) as server:
        visits = Visits(endpoint(f"{server.url}/items"), Auth())
        for _ in range(4):
            await visits.first()
        with pytest.raises(PagingError, match="at most 4 requests"):
            await visits.first()
        await visits.close()
        assert len(server.requests) == 4


def test_refusals_of_the_api(probe: Callable[..., str]) -> None:
    """A first answer that is no page is an error that names its status, and no more."""
    with api(by_link, bearer("good")) as server:
        said = probe(f"{server.url}/items?q=hidden", status=2)
        assert "got a refusal of the credentials" in said
        assert "status 401" in said
        assert "hidden" not in said


def test_headers_are_sent(probe: Callable[..., str], tmp_path: Path) -> None:
    """Those that an API wants on each call are sent, and written into the source."""
    with api(by_link, header_key("Api-Version", "2024-01")) as server:
        probe(f"{server.url}/items", "--header", "Api-Version: 2024-01", "--write", "versioned")
        assert 'headers={"Api-Version": "2024-01"}' in (tmp_path / "versioned.py").read_text()


@pytest.mark.parametrize("name", ["orders", "items"])
def test_nothing_is_written_unless_sure(
    probe: Callable[..., str], tmp_path: Path, name: str
) -> None:
    """A source that could miss pages is not written; the report says what it was not sure of."""
    with api(silent) as server:
        said = probe(f"{server.url}/items", "--write", name, status=1)
        assert f"be sure of its paging: say it to `python -m blocks new {name}`" in said
        assert 'records  "data"' in said
        assert [*tmp_path.iterdir()] == []
